//! The anchor that is closest to each step of V1, for sessions that stand where nothing is left.

use std::collections::VecDeque;

use crate::scenario::graph::{Graph, Ix};

/// By step: the closest anchor by undirected distance. Among equally close ones the way forward wins, then
/// the order of the transitions as written: what a search from the step, successors first, meets first.
pub(super) fn anchors(graph: &Graph, at: &[Option<usize>]) -> Vec<Option<usize>> {
    let mut nearest = at.to_vec();
    if nearest.iter().all(Option::is_some) {
        return nearest;
    }
    // One search from all anchors at once gives distances; the first neighbour that is one step closer
    // then leads to the same anchor that a search from the step itself would meet first.
    let mut distance: Vec<u32> =
        at.iter().map(|at| if at.is_some() { 0 } else { u32::MAX }).collect();
    let mut waiting: VecDeque<Ix> = graph.indices().filter(|ix| at[ix.at()].is_some()).collect();
    while let Some(ix) = waiting.pop_front() {
        if nearest[ix.at()].is_none() {
            nearest[ix.at()] = neighbours(graph, ix)
                .find(|next| distance[next.at()] < distance[ix.at()])
                .and_then(|next| nearest[next.at()]);
        }
        for next in neighbours(graph, ix) {
            if distance[next.at()] == u32::MAX {
                distance[next.at()] = distance[ix.at()] + 1;
                waiting.push_back(next);
            }
        }
    }
    nearest
}

/// Successors in the order of the transitions as written, then predecessors in the order of the steps.
fn neighbours(graph: &Graph, ix: Ix) -> impl Iterator<Item = Ix> + '_ {
    let mut forward: Vec<_> = graph.edges(ix).iter().map(|edge| (edge.nth, edge.to)).collect();
    forward.sort_unstable();
    forward.into_iter().map(|(_, to)| to).chain(graph.predecessors(ix).iter().copied())
}
