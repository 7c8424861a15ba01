//! Both versions in one picture: what stays, moves, comes and goes.
//!
//! The two graphs are laid over each other: an anchor is one node, a deleted or new step is one that only
//! one version has. [`svg`] draws it in layers, top to bottom, readable in light and dark and without
//! colours; [`dot`] writes the same for Graphviz. A [`Picture`] can also be of one version alone, be cut down
//! to what changes ([`Picture::around_changes`]), and become part of a page ([`Picture::inline`]).

mod dot;
mod focus;
mod layout;
mod svg;

use std::collections::{BTreeMap, BTreeSet};

use crate::diff::{Diff, changes};
use crate::ids::StepId;
use crate::plan::policy::AnchorKey;
use crate::plan::summary::SessionCounts;
use crate::scenario::Step;
use crate::scenario::graph::{Edge, Graph, Ix};

/// Draws a diff, with the sessions at each step where they are known.
#[must_use]
pub fn svg(diff: &Diff, sessions: &SessionCounts) -> String {
    svg::draw(&Picture::of(diff, sessions))
}

/// Writes a diff for Graphviz, with the sessions at each step where they are known.
#[must_use]
pub fn dot(diff: &Diff, sessions: &SessionCounts) -> String {
    dot::write(&Picture::of(diff, sessions))
}

/// What happened to a step or a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Fate {
    Kept,
    /// A step that stands between other steps than before.
    Moved,
    /// A transition with another condition or priority.
    Changed,
    Inserted,
    Deleted,
}

impl Fate {
    fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Moved => "moved",
            Self::Changed => "changed",
            Self::Inserted => "inserted",
            Self::Deleted => "deleted",
        }
    }

    /// A sign for those who do not see the colour.
    fn sign(self) -> &'static str {
        match self {
            Self::Kept => "",
            Self::Moved => "↷",
            Self::Changed => "~",
            Self::Inserted => "+",
            Self::Deleted => "−",
        }
    }
}

/// What a node of the picture stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The step: of V1 if it is deleted, of V2 or the only version otherwise.
    pub step: StepId,
    /// What policies call its anchor, if it is one.
    pub anchor: Option<AnchorKey>,
    /// Whether only V1 has it.
    pub is_deleted: bool,
}

/// A step of either version, or the same step of both.
#[derive(Debug, Clone)]
struct Node {
    spot: Spot,
    name: String,
    fate: Fate,
    is_entry: bool,
    is_checkpoint: bool,
    /// It has several ways on in V2 and is inserted or gained one.
    is_new_fork: bool,
    collects: Vec<String>,
    sessions: u64,
}

/// A transition of either version, or the same transition of both; parallel ones are one.
#[derive(Debug, Clone)]
struct Line {
    from: usize,
    to: usize,
    fate: Fate,
    condition: String,
    /// Steps that are not shown and lie between the two.
    skipped: usize,
}

/// A graph, or two laid over each other.
#[derive(Debug, Clone)]
pub struct Picture {
    title: String,
    nodes: Vec<Node>,
    lines: Vec<Line>,
    entry: usize,
    /// Whether it is of two versions.
    is_comparison: bool,
}

impl Picture {
    /// Both versions of a diff, with the sessions at each step of V1 where they are known.
    #[must_use]
    pub fn of(diff: &Diff, sessions: &SessionCounts) -> Self {
        let mut nodes = Vec::new();
        // By step: its node. V2 first, so that the picture follows the version to come.
        let mut at_v2 = vec![0; diff.v2.len()];
        for ix in diff.v2.indices() {
            at_v2[ix.at()] = nodes.len();
            nodes.push(in_v2(diff, ix));
        }
        let mut at_v1 = vec![0; diff.v1.len()];
        for ix in diff.v1.indices() {
            at_v1[ix.at()] = match diff.counterpart(ix) {
                Some(v2) => at_v2[v2.at()],
                None => {
                    let mut node = node(diff.v1.step(ix), Fate::Deleted);
                    node.spot.is_deleted = true;
                    nodes.push(node);
                    nodes.len() - 1
                }
            };
            nodes[at_v1[ix.at()]].sessions += sessions.at(&diff.v1.step(ix).id);
        }
        let entry = at_v2[diff.v2.entry().at()];
        nodes[entry].is_entry = true;
        let lines = lines(diff, &at_v1, &at_v2);
        Self { title: title(diff), lines, nodes, entry, is_comparison: true }
    }

    /// One version, with the sessions at each of its steps.
    #[must_use]
    pub fn of_version(graph: &Graph, sessions: &BTreeMap<StepId, u64>) -> Self {
        let mut nodes = Vec::with_capacity(graph.len());
        let mut ways: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
        for ix in graph.indices() {
            let mut node = node(graph.step(ix), Fate::Kept);
            node.sessions = sessions.get(&graph.step(ix).id).copied().unwrap_or(0);
            nodes.push(node);
            for edge in graph.edges(ix) {
                ways.entry((ix.at(), edge.to.at())).or_default().push(edge.condition_text());
            }
        }
        let entry = graph.entry().at();
        nodes[entry].is_entry = true;
        let lines = ways.into_iter().map(|((from, to), mut conditions)| {
            conditions.retain(|text| !text.is_empty());
            Line { from, to, fate: Fate::Kept, condition: conditions.join(" / "), skipped: 0 }
        });
        let scenario = graph.scenario();
        let title = format!("{}: version {}", scenario.name, scenario.version);
        Self { title, lines: lines.collect(), nodes, entry, is_comparison: false }
    }

    /// How many steps it shows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether it shows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Draws it as part of a page: without a heading and colours of its own, for the page's style sheet. `name`
    /// begins every id in it; `link` says where a node leads.
    #[must_use]
    pub fn inline(&self, name: &str, link: &dyn Fn(&Spot) -> Option<String>) -> String {
        svg::inline(self, name, link)
    }
}

fn title(diff: &Diff) -> String {
    let (v1, v2) = (diff.v1.scenario(), diff.v2.scenario());
    format!("{}: version {} to version {}", v2.name, v1.version, v2.version)
}

fn node(step: &Step, fate: Fate) -> Node {
    Node {
        spot: Spot { step: step.id.clone(), anchor: None, is_deleted: false },
        name: step.name.clone(),
        fate,
        is_entry: false,
        is_checkpoint: step.is_checkpoint,
        is_new_fork: false,
        collects: step.collects_profile_fields.iter().map(ToString::to_string).collect(),
        sessions: 0,
    }
}

fn in_v2(diff: &Diff, ix: Ix) -> Node {
    let fate = match diff.counterpart_back(ix) {
        None => Fate::Inserted,
        Some(v1) if has_moved(diff, v1, ix) => Fate::Moved,
        Some(_) => Fate::Kept,
    };
    let branches = changes::branches(&diff.v2, ix) > 1;
    let mut node = node(diff.v2.step(ix), fate);
    node.is_new_fork = branches && (fate == Fate::Inserted || changes::gained_branch(diff, ix));
    node.spot.anchor = diff.anchor_at_v2(ix).map(|anchor| anchor.key.clone());
    node
}

/// Whether a step is reached from none of the steps that it was reached from; what was inserted or deleted
/// in between does not count.
fn has_moved(diff: &Diff, v1: Ix, v2: Ix) -> bool {
    let before: BTreeSet<Ix> = anchors_before(&diff.v1, v1, |ix| diff.counterpart(ix));
    let after = anchors_before(&diff.v2, v2, |ix| diff.counterpart_back(ix).map(|_| ix));
    !before.is_empty() && !after.is_empty() && before.is_disjoint(&after)
}

fn anchors_before(graph: &Graph, step: Ix, anchor: impl Fn(Ix) -> Option<Ix>) -> BTreeSet<Ix> {
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::from([step]));
    let mut waiting = graph.predecessors(step).to_vec();
    while let Some(ix) = waiting.pop() {
        match anchor(ix) {
            _ if !seen.insert(ix) => {}
            Some(anchor) => {
                found.insert(anchor);
            }
            None => waiting.extend(graph.predecessors(ix)),
        }
    }
    found
}

fn lines(diff: &Diff, at_v1: &[usize], at_v2: &[usize]) -> Vec<Line> {
    let mut both: BTreeMap<(usize, usize), [Vec<&Edge>; 2]> = BTreeMap::new();
    for (version, (graph, at)) in [(&diff.v1, at_v1), (&diff.v2, at_v2)].into_iter().enumerate() {
        for ix in graph.indices() {
            for edge in graph.edges(ix) {
                both.entry((at[ix.at()], at[edge.to.at()])).or_default()[version].push(edge);
            }
        }
    }
    let rules = |edges: &[&Edge]| -> BTreeSet<(String, i64)> {
        edges.iter().map(|edge| (edge.condition_text().to_owned(), edge.priority)).collect()
    };
    both.into_iter()
        .map(|((from, to), [v1, v2])| {
            let shown = if v2.is_empty() { &v1 } else { &v2 };
            let conditions: Vec<&str> = shown
                .iter()
                .map(|edge| edge.condition_text())
                .filter(|text| !text.is_empty())
                .collect();
            Line {
                from,
                to,
                fate: match (v1.is_empty(), v2.is_empty()) {
                    (true, _) => Fate::Inserted,
                    (_, true) => Fate::Deleted,
                    _ if rules(&v1) == rules(&v2) => Fate::Kept,
                    _ => Fate::Changed,
                },
                condition: conditions.join(" / "),
                skipped: 0,
            }
        })
        .collect()
}
