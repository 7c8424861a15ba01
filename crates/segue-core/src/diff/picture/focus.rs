//! The part of a picture that is worth looking at: what changes, and what stands beside it.
//!
//! Of a thousand steps ten may change. The part shows those, their neighbours, the entry, and instead of what
//! lies between them lines that say how many steps they skip.

use std::collections::VecDeque;

use super::{Fate, Line, Picture};

impl Picture {
    /// The part around what changes, of at most `most` steps; nothing when the whole has no more than that.
    /// When nothing changes it is the part around the entry.
    #[must_use]
    pub fn around_changes(&self, most: usize) -> Option<Self> {
        (self.nodes.len() > most).then(|| self.part(&self.chosen(most)))
    }

    /// By node: whether it is shown. First what changes, in the order of the steps; then what stands beside
    /// that, ring after ring.
    fn chosen(&self, most: usize) -> Vec<bool> {
        let mut beside = vec![Vec::new(); self.nodes.len()];
        let mut touched = vec![false; self.nodes.len()];
        for line in &self.lines {
            beside[line.from].push(line.to);
            beside[line.to].push(line.from);
            if line.fate == Fate::Changed {
                touched[line.from] = true;
            }
        }
        let mut chosen = vec![false; self.nodes.len()];
        let mut left = most;
        let mut ring = VecDeque::new();
        let changes = (0..self.nodes.len()).filter(|nth| {
            let node = &self.nodes[*nth];
            node.fate != Fate::Kept || node.is_new_fork || touched[*nth]
        });
        for nth in std::iter::once(self.entry).chain(changes) {
            if left > 0 && !chosen[nth] {
                chosen[nth] = true;
                left -= 1;
                ring.push_back((nth, 0));
            }
        }
        let rings = if ring.len() > 1 { 1 } else { usize::MAX };
        while let Some((nth, distance)) = ring.pop_front() {
            for next in beside[nth].iter().copied().filter(|_| distance < rings) {
                if left > 0 && !chosen[next] {
                    chosen[next] = true;
                    left -= 1;
                    ring.push_back((next, distance + 1));
                }
            }
        }
        chosen
    }

    fn part(&self, is_shown: &[bool]) -> Self {
        let mut place = vec![usize::MAX; self.nodes.len()];
        let mut nodes = Vec::new();
        for (nth, node) in self.nodes.iter().enumerate().filter(|(nth, _)| is_shown[*nth]) {
            place[nth] = nodes.len();
            nodes.push(node.clone());
        }
        let mut lines: Vec<Line> = self
            .lines
            .iter()
            .filter(|line| is_shown[line.from] && is_shown[line.to])
            .map(|line| Line { from: place[line.from], to: place[line.to], ..line.clone() })
            .collect();
        for (from, to, skipped) in self.bridges(is_shown) {
            lines.push(Line {
                from: place[from],
                to: place[to],
                fate: Fate::Kept,
                condition: format!("… {skipped} more"),
                skipped,
            });
        }
        let entry = place[self.entry];
        Self { title: self.title.clone(), nodes, lines, entry, is_comparison: self.is_comparison }
    }

    /// For each node that is shown and that nothing shown leads to: the nearest shown node before it, and how
    /// many steps lie between.
    fn bridges(&self, is_shown: &[bool]) -> Vec<(usize, usize, usize)> {
        let mut before = vec![Vec::new(); self.nodes.len()];
        for line in self.lines.iter().filter(|line| line.from != line.to) {
            before[line.to].push(line.from);
        }
        let mut bridges = Vec::new();
        let mut seen = vec![usize::MAX; self.nodes.len()];
        for to in (0..self.nodes.len()).filter(|nth| is_shown[*nth] && *nth != self.entry) {
            if before[to].iter().any(|from| is_shown[*from]) {
                continue;
            }
            seen[to] = to;
            let mut waiting = VecDeque::from([(to, 0)]);
            while let Some((nth, skipped)) = waiting.pop_front() {
                if nth != to && is_shown[nth] {
                    bridges.push((nth, to, skipped - 1));
                    break;
                }
                for from in &before[nth] {
                    if seen[*from] != to {
                        seen[*from] = to;
                        waiting.push_back((*from, skipped + 1));
                    }
                }
            }
        }
        bridges
    }
}
