//! How the steps of one version lie before and after each other: cycles condensed, and who dominates whom.
//!
//! All steps on some path from the entry to a step `a` that does not pass `a` are: the steps that reach
//! `a`, that the entry reaches, and that the entry still reaches when `a` is taken away. The last are
//! those that `a` does not dominate. In an order in which each step is followed by the steps that it
//! dominates, these form one interval; so one row of bits for each cycle and one interval for each step
//! answer for all steps at once.

use petgraph::algo::{dominators, kosaraju_scc};
use petgraph::graph::{DiGraph, NodeIndex};

use crate::scenario::graph::{Graph, Ix};

/// One version, condensed.
pub(super) struct Order {
    /// Sets of steps that lie on common cycles, each step in one; a set comes after those that it leads to.
    pub components: Vec<Vec<Ix>>,
    /// By step: its place in `components`.
    pub component: Vec<usize>,
    /// All steps, such that what lies before any of them is a few ranges: sets on cycles after each other,
    /// each before those that it leads to, and inside a set in the order of dominance.
    pub listing: Vec<Ix>,
    /// The steps that the entry reaches, each followed by those that it dominates, then the others.
    pub dominance: Vec<Ix>,
    /// By step: its place in `dominance`, and how many places it and those that it dominates take; none
    /// for a step that the entry does not reach.
    pub dominated: Vec<Option<(usize, usize)>>,
}

impl Order {
    /// Condenses a version.
    pub fn of(graph: &Graph) -> Self {
        let mut edges: DiGraph<(), (), u32> = DiGraph::with_capacity(graph.len(), graph.len() * 2);
        for _ in graph.indices() {
            edges.add_node(());
        }
        for to in graph.indices() {
            for from in graph.predecessors(to) {
                edges.add_edge(NodeIndex::new(from.at()), NodeIndex::new(to.at()), ());
            }
        }
        let components: Vec<Vec<Ix>> = kosaraju_scc(&edges)
            .into_iter()
            .map(|steps| steps.into_iter().map(|node| Ix::new(node.index())).collect())
            .collect();
        let mut component = vec![0; graph.len()];
        for (nth, steps) in components.iter().enumerate() {
            for ix in steps {
                component[ix.at()] = nth;
            }
        }
        let (dominance, dominated) = dominance(graph, &edges, &component);
        let mut listing = dominance.clone();
        listing.sort_by_key(|ix| std::cmp::Reverse(component[ix.at()]));
        Self { components, component, listing, dominance, dominated }
    }
}

/// The order of dominance; among the steps that one step dominates, what leads to others comes first.
fn dominance(
    graph: &Graph,
    edges: &DiGraph<(), (), u32>,
    component: &[usize],
) -> (Vec<Ix>, Vec<Option<(usize, usize)>>) {
    let tree = dominators::simple_fast(edges, NodeIndex::new(graph.entry().at()));
    let mut children: Vec<Vec<Ix>> = vec![Vec::new(); graph.len()];
    let mut by_depth: Vec<Ix> = graph.indices().collect();
    by_depth.sort_by_key(|ix| (component[ix.at()], *ix));
    for ix in by_depth {
        if let Some(parent) = tree.immediate_dominator(NodeIndex::new(ix.at())) {
            children[parent.index()].push(ix);
        }
    }
    let mut order = Vec::with_capacity(graph.len());
    let mut dominated = vec![None; graph.len()];
    let mut waiting = vec![(graph.entry(), false)];
    while let Some((ix, is_done)) = waiting.pop() {
        if is_done {
            let (at, _) = dominated[ix.at()].expect("a step is entered before it is left");
            dominated[ix.at()] = Some((at, order.len() - at));
            continue;
        }
        dominated[ix.at()] = Some((order.len(), 1));
        order.push(ix);
        waiting.push((ix, true));
        // Components come after what they lead to, so the last child on the stack is the first in order.
        waiting.extend(children[ix.at()].iter().map(|child| (*child, false)));
    }
    order.extend(graph.indices().filter(|ix| dominated[ix.at()].is_none()));
    (order, dominated)
}
