//! What changed before and after one anchor.

use fixedbitset::FixedBitSet;

use crate::diff::{Anchor, Diff};
use crate::plan::policy::MigrationScenario;
use crate::scenario::Step;
use crate::scenario::graph::{Edge, Graph, Ix};

/// Where to look, seen from an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Steps on some path from the entry to the anchor that does not pass the anchor.
    Upstream,
    /// Steps that the anchor leads to, itself excluded.
    Downstream,
}

/// What changed on one side of an anchor. Lists are in the order of the steps of their version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Steps of V2 on this side; nothing on the same side in V1 means the same. A step that was moved
    /// here counts.
    pub inserted: Vec<Ix>,
    /// Steps of V1 on this side; nothing on the same side in V2 means the same.
    pub removed: Vec<Ix>,
    /// Steps of V2 on this side with more than one way on, which are inserted or gained a branch.
    pub forks: Vec<Ix>,
    /// Transitions of steps on this side that exist in both versions.
    pub modified: Vec<Modified>,
}

impl Changes {
    /// What they mean for a customer, when they lie upstream.
    #[must_use]
    pub fn migration_scenario(&self, v2: &Graph) -> MigrationScenario {
        if !self.forks.is_empty() {
            MigrationScenario::ReRoute
        } else if self.inserted.iter().any(|ix| asks(v2.step(*ix))) {
            MigrationScenario::GapFill
        } else {
            MigrationScenario::CleanGraft
        }
    }
}

/// Whether a step that somebody missed may have to be made up for.
pub(super) fn asks(step: &Step) -> bool {
    !step.collects_profile_fields.is_empty() || step.is_required_action
}

/// How a transition changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// Only V2 has it.
    Added {
        /// Its place among the transitions of the step of V2, as written.
        v2: usize,
    },
    /// Only V1 has it.
    Removed {
        /// Its place among the transitions of the step of V1, as written.
        v1: usize,
    },
    /// It leads to the same step by another condition or priority.
    Modified {
        /// Its place in V1, as written.
        v1: usize,
        /// Its place in V2, as written.
        v2: usize,
    },
}

/// A changed transition of a step that exists in both versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Modified {
    /// The step in V2.
    pub v2: Ix,
    /// The step in V1.
    pub v1: Ix,
    /// How it changed.
    pub change: Change,
}

/// Finds what changed on one side of an anchor.
pub(super) fn of(diff: &Diff, anchor: &Anchor, side: Side) -> Changes {
    let in_v1 = beside(&diff.v1, anchor.v1, side);
    let in_v2 = beside(&diff.v2, anchor.v2, side);
    let meant_in_v1 = meanings(&in_v1, &diff.meaning_v1, diff.meanings);
    let meant_in_v2 = meanings(&in_v2, &diff.meaning_v2, diff.meanings);
    let meaning = |ix: usize, of: &[u32]| of[ix] as usize;
    let is_inserted = |ix: usize| !meant_in_v1.contains(meaning(ix, &diff.meaning_v2));
    let inserted = in_v2.ones().filter(|ix| is_inserted(*ix)).map(Ix::new).collect();
    let removed = in_v1
        .ones()
        .filter(|ix| !meant_in_v2.contains(meaning(*ix, &diff.meaning_v1)))
        .map(Ix::new)
        .collect();
    let forks = in_v2
        .ones()
        .map(Ix::new)
        .filter(|ix| {
            branches(&diff.v2, *ix) > 1 && (is_inserted(ix.at()) || gained_branch(diff, *ix))
        })
        .collect();
    let modified = diff
        .anchors
        .iter()
        .filter(|pair| in_v2.contains(pair.v2.at()) || in_v1.contains(pair.v1.at()))
        .flat_map(|pair| modified(diff, pair))
        .collect();
    Changes { inserted, removed, forks, modified }
}

/// The steps on one side of a step.
pub(super) fn beside(graph: &Graph, step: Ix, side: Side) -> FixedBitSet {
    let mut steps = match side {
        Side::Upstream => {
            let mut before = graph.reaching(step);
            before.intersect_with(&graph.reachable_without(graph.entry(), Some(step)));
            before
        }
        Side::Downstream => graph.reachable_from(step),
    };
    steps.set(step.at(), false);
    steps
}

fn meanings(steps: &FixedBitSet, meaning: &[u32], count: usize) -> FixedBitSet {
    let mut meant = FixedBitSet::with_capacity(count);
    for ix in steps.ones() {
        meant.insert(meaning[ix] as usize);
    }
    meant
}

/// How many ways on a step has: distinct targets, itself not counted.
pub(super) fn branches(graph: &Graph, step: Ix) -> usize {
    let mut targets: Vec<Ix> =
        graph.edges(step).iter().map(|edge| edge.to).filter(|to| *to != step).collect();
    targets.sort_unstable();
    targets.dedup();
    targets.len()
}

/// Whether a step of V2 that exists in V1 has more ways on than it had there.
pub(super) fn gained_branch(diff: &Diff, v2: Ix) -> bool {
    diff.counterpart_back(v2).is_some_and(|v1| branches(&diff.v2, v2) > branches(&diff.v1, v1))
}

/// See [`Diff::retargeted`].
pub(super) fn retargeted(diff: &Diff, v2: Ix) -> bool {
    let Some(v1) = diff.counterpart_back(v2) else { return false };
    let mut before: Vec<Option<Ix>> =
        diff.v1.edges(v1).iter().map(|edge| diff.counterpart(edge.to)).collect();
    let mut after: Vec<Option<Ix>> = diff.v2.edges(v2).iter().map(|edge| Some(edge.to)).collect();
    for targets in [&mut before, &mut after] {
        targets.sort_unstable();
        targets.dedup();
    }
    branches(&diff.v2, v2) > 1 && before != after && !gained_branch(diff, v2)
}

/// See [`Diff::rules_changed`].
pub(super) fn rules_changed(diff: &Diff, v2: Ix) -> bool {
    let Some(v1) = diff.counterpart_back(v2) else { return true };
    let (before, after) = (diff.v1.edges(v1), diff.v2.edges(v2));
    // Most rules stay as they were, in the same order.
    if before.len() == after.len() && before.iter().zip(after).all(|(a, b)| same_rule(diff, a, b)) {
        return false;
    }
    !(before.iter().all(|a| after.iter().any(|b| same_rule(diff, a, b)))
        && after.iter().all(|b| before.iter().any(|a| same_rule(diff, a, b))))
}

fn same_rule(diff: &Diff, v1: &Edge, v2: &Edge) -> bool {
    diff.counterpart(v1.to) == Some(v2.to)
        && v1.priority == v2.priority
        && v1.condition_text() == v2.condition_text()
}

/// The changed transitions of a step that exists in both versions.
pub(super) fn modified(diff: &Diff, pair: &Anchor) -> Vec<Modified> {
    let (before, after) = (diff.v1.edges(pair.v1), diff.v2.edges(pair.v2));
    let same_in_order =
        before.len() == after.len() && before.iter().zip(after).all(|(a, b)| same_rule(diff, a, b));
    if same_in_order {
        return Vec::new();
    }
    let mut before: Vec<&Edge> = before.iter().collect();
    let mut after: Vec<&Edge> = after.iter().collect();
    before.sort_by_key(|edge| edge.nth);
    after.sort_by_key(|edge| edge.nth);
    let mut changes = Vec::new();
    match_up(&mut before, &mut after, |a, b| same_rule(diff, a, b), |_, _| {});
    let same_target = |a: &Edge, b: &Edge| diff.counterpart(a.to) == Some(b.to);
    let mut modify = |a: &Edge, b: &Edge| changes.push(Change::Modified { v1: a.nth, v2: b.nth });
    match_up(
        &mut before,
        &mut after,
        |a, b| same_target(a, b) && a.condition_text() == b.condition_text(),
        &mut modify,
    );
    match_up(&mut before, &mut after, same_target, &mut modify);
    changes.extend(before.iter().map(|edge| Change::Removed { v1: edge.nth }));
    changes.extend(after.iter().map(|edge| Change::Added { v2: edge.nth }));
    changes.into_iter().map(|change| Modified { v2: pair.v2, v1: pair.v1, change }).collect()
}

/// Takes pairs that are alike out of both lists, in order.
fn match_up(
    before: &mut Vec<&Edge>,
    after: &mut Vec<&Edge>,
    alike: impl Fn(&Edge, &Edge) -> bool,
    mut found: impl FnMut(&Edge, &Edge),
) {
    before.retain(|a| match after.iter().position(|b| alike(a, b)) {
        Some(nth) => {
            found(a, after.remove(nth));
            false
        }
        None => true,
    });
}
