//! What lies before and after every anchor of one version, as rows of bits.

use crate::diff::bits;
use crate::diff::changes::Side;
use crate::diff::order::Order;
use crate::scenario::graph::{Graph, Ix};

/// Rows for one version and one side: for each cycle of steps everything on that side of it, itself
/// included. Bits are columns: places in an order of the version's steps that both versions share as far
/// as they can.
pub(super) struct Closure<'a> {
    order: &'a Order,
    side: Side,
    columns: &'a [usize],
    /// Words in a row.
    width: usize,
    /// By component.
    rows: Vec<u64>,
    /// By place in the order of dominance: how far columns go on rising by one.
    runs: Vec<usize>,
}

impl<'a> Closure<'a> {
    /// Computes all rows, in the memory of `rows`: there can be megabytes of them.
    pub fn new(
        graph: &Graph,
        order: &'a Order,
        columns: &'a [usize],
        side: Side,
        mut rows: Vec<u64>,
    ) -> Self {
        let width = bits::words(graph.len());
        rows.clear();
        rows.resize(order.components.len() * width, 0);
        let count = order.components.len();
        for step in 0..count {
            // Components come after what they lead to.
            let component = match side {
                Side::Upstream => count - 1 - step,
                Side::Downstream => step,
            };
            let at = component * width;
            for ix in &order.components[component] {
                if side == Side::Upstream && order.dominated[ix.at()].is_none() {
                    continue;
                }
                bits::set(&mut rows[at..at + width], columns[ix.at()]);
                let mut join = |next: Ix| {
                    let other = order.component[next.at()];
                    if other != component {
                        join_row(&mut rows, at, other * width, width);
                    }
                };
                match side {
                    Side::Upstream => graph.predecessors(*ix).iter().for_each(|from| join(*from)),
                    Side::Downstream => graph.edges(*ix).iter().for_each(|edge| join(edge.to)),
                }
            }
        }
        let mut runs = vec![0; order.dominance.len()];
        for nth in (0..runs.len()).rev() {
            let column = columns[order.dominance[nth].at()];
            let goes_on =
                order.dominance.get(nth + 1).is_some_and(|next| columns[next.at()] == column + 1);
            runs[nth] = if goes_on { runs[nth + 1] } else { nth + 1 };
        }
        Self { order, side, columns, width, rows, runs }
    }

    /// Gives the memory back.
    pub fn into_rows(self) -> Vec<u64> {
        self.rows
    }

    /// Writes what lies on the side of a step into `row`: on a path from the entry that does not pass the
    /// step, or reachable from it.
    pub fn beside(&self, step: Ix, row: &mut [u64]) {
        let component = self.order.component[step.at()];
        match (self.side, self.order.dominated[step.at()]) {
            (Side::Upstream, None) => row.fill(0),
            (Side::Upstream, Some((first, count))) => {
                row.copy_from_slice(self.row(component));
                if self.order.components[component].len() == 1 {
                    bits::clear(row, self.column_of(step)..self.column_of(step) + 1);
                } else {
                    self.clear_dominated(row, first, first + count);
                }
            }
            (Side::Downstream, _) => {
                row.copy_from_slice(self.row(component));
                bits::clear(row, self.column_of(step)..self.column_of(step) + 1);
            }
        }
    }

    fn clear_dominated(&self, row: &mut [u64], first: usize, end: usize) {
        let mut at = first;
        while at < end {
            let until = self.runs[at].min(end);
            let column = self.column_of(self.order.dominance[at]);
            bits::clear(row, column..column + until - at);
            at = until;
        }
    }

    fn column_of(&self, step: Ix) -> usize {
        self.columns[step.at()]
    }

    fn row(&self, component: usize) -> &[u64] {
        &self.rows[component * self.width..(component + 1) * self.width]
    }
}

fn join_row(rows: &mut [u64], into: usize, from: usize, width: usize) {
    let (target, source) = if into < from {
        let (low, high) = rows.split_at_mut(from);
        (&mut low[into..into + width], &high[..width])
    } else {
        let (low, high) = rows.split_at_mut(into);
        (&mut high[..width], &low[from..from + width])
    };
    for (target, source) in target.iter_mut().zip(source) {
        *target |= source;
    }
}
