//! A checked version, compiled into what the diff, the turn and the reconciliation walk on.

use std::collections::HashMap;
use std::sync::Arc;

use fixedbitset::FixedBitSet;

use crate::condition::Condition;
use crate::ids::{FieldName, StepId};
use crate::scenario::hash::{self, Checksum, ContentHash};
use crate::scenario::validate::{self, Problem};
use crate::scenario::{Scenario, Step};

/// A step by its place in [`Scenario::steps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ix(pub u32);

impl Ix {
    /// The step at this place.
    ///
    /// # Panics
    /// When the place is beyond four billion, which no valid version reaches.
    #[must_use]
    pub fn new(place: usize) -> Self {
        Self(u32::try_from(place).expect("a version has at most 10,000 steps"))
    }

    /// Its place.
    #[must_use]
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

/// A transition, compiled.
#[derive(Debug, Clone)]
pub struct Edge {
    /// Where it leads.
    pub to: Ix,
    /// When it is taken; nothing holds always.
    pub condition: Option<Arc<Condition>>,
    /// Among several, the highest is tried first.
    pub priority: i64,
    /// Its place among the step's transitions as written.
    pub nth: usize,
}

impl Edge {
    /// The text of the condition; empty holds always.
    #[must_use]
    pub fn condition_text(&self) -> &str {
        self.condition.as_deref().map_or("", Condition::text)
    }

    /// Whether it is taken where no other transition of its step is.
    #[must_use]
    pub fn is_otherwise(&self) -> bool {
        self.condition.as_deref().is_some_and(Condition::is_otherwise)
    }
}

/// A valid version with everything derived from it once.
#[derive(Debug, Clone)]
pub struct Graph {
    scenario: Scenario,
    by_id: HashMap<StepId, Ix>,
    hashes: Vec<ContentHash>,
    checksum: Checksum,
    entry: Ix,
    /// By step, in the order in which they are tried: priority from high to low, then as written.
    edges: Vec<Vec<Edge>>,
    /// By step: distinct predecessors.
    predecessors: Vec<Vec<Ix>>,
}

impl Graph {
    /// Checks a version and compiles it.
    ///
    /// # Errors
    /// Every problem of the document at once.
    pub fn new(scenario: Scenario) -> Result<Self, Vec<Problem>> {
        let problems = validate::problems(&scenario);
        if !problems.is_empty() {
            return Err(problems);
        }
        let by_id: HashMap<StepId, Ix> = scenario
            .steps
            .iter()
            .enumerate()
            .map(|(nth, step)| (step.id.clone(), Ix::new(nth)))
            .collect();
        let edges = compile_edges(&scenario, &by_id);
        let mut predecessors = vec![Vec::new(); edges.len()];
        for (from, edges) in edges.iter().enumerate() {
            for edge in edges {
                let known: &mut Vec<Ix> = &mut predecessors[edge.to.at()];
                // All edges of one step are seen in a row, so a repeated one is the last.
                if known.last() != Some(&Ix::new(from)) {
                    known.push(Ix::new(from));
                }
            }
        }
        Ok(Self {
            hashes: scenario.steps.iter().map(hash::content_hash).collect(),
            checksum: hash::checksum(&scenario),
            entry: by_id[&scenario.entry_step_id],
            by_id,
            edges,
            predecessors,
            scenario,
        })
    }

    /// The document.
    #[must_use]
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// How many steps there are; never none.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a valid version has a step")]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Every step.
    pub fn indices(&self) -> impl Iterator<Item = Ix> + use<> {
        (0..self.hashes.len()).map(Ix::new)
    }

    /// Where sessions begin.
    #[must_use]
    pub fn entry(&self) -> Ix {
        self.entry
    }

    /// The step with this id.
    #[must_use]
    pub fn index(&self, id: &StepId) -> Option<Ix> {
        self.by_id.get(id).copied()
    }

    /// The step as written.
    #[must_use]
    pub fn step(&self, ix: Ix) -> &Step {
        &self.scenario.steps[ix.at()]
    }

    /// What the step means.
    #[must_use]
    pub fn hash(&self, ix: Ix) -> ContentHash {
        self.hashes[ix.at()]
    }

    /// The ways out of a step, in the order in which they are tried.
    #[must_use]
    pub fn edges(&self, ix: Ix) -> &[Edge] {
        &self.edges[ix.at()]
    }

    /// The steps with a transition to this one, each once.
    #[must_use]
    pub fn predecessors(&self, ix: Ix) -> &[Ix] {
        &self.predecessors[ix.at()]
    }

    /// The checksum of the document.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// Whether a path leads from one step to another; every step reaches itself.
    #[must_use]
    pub fn reaches(&self, from: Ix, to: Ix) -> bool {
        from == to || self.reachable_from(from).contains(to.at())
    }

    /// A step and everything that it leads to, as places.
    #[must_use]
    pub fn reachable_from(&self, step: Ix) -> FixedBitSet {
        self.reachable_without(step, None)
    }

    /// A step and everything that it leads to without passing `closed`; nothing if it is `closed` itself.
    #[must_use]
    pub fn reachable_without(&self, step: Ix, closed: Option<Ix>) -> FixedBitSet {
        flood(self.len(), [step], closed, |ix| self.edges(ix).iter().map(|edge| edge.to))
    }

    /// A step and everything that leads to it, as places.
    #[must_use]
    pub fn reaching(&self, step: Ix) -> FixedBitSet {
        flood(self.len(), [step], None, |ix| self.predecessors(ix).iter().copied())
    }

    /// Everything from which a session can come to an end: a terminal step, or one without a way out.
    #[must_use]
    pub fn reaching_an_end(&self) -> FixedBitSet {
        let ends: Vec<Ix> = self
            .indices()
            .filter(|ix| self.step(*ix).is_terminal || self.edges(*ix).is_empty())
            .collect();
        flood(self.len(), ends, None, |ix| self.predecessors(ix).iter().copied())
    }
}

fn flood<I: IntoIterator<Item = Ix>>(
    steps: usize,
    starts: impl IntoIterator<Item = Ix>,
    closed: Option<Ix>,
    neighbours: impl Fn(Ix) -> I,
) -> FixedBitSet {
    let mut seen = FixedBitSet::with_capacity(steps);
    let mut waiting = Vec::new();
    let mut visit = |ix: Ix, waiting: &mut Vec<Ix>| {
        if Some(ix) != closed && !seen.put(ix.at()) {
            waiting.push(ix);
        }
    };
    for start in starts {
        visit(start, &mut waiting);
    }
    while let Some(ix) = waiting.pop() {
        for next in neighbours(ix) {
            visit(next, &mut waiting);
        }
    }
    seen
}

fn compile_edges(scenario: &Scenario, by_id: &HashMap<StepId, Ix>) -> Vec<Vec<Edge>> {
    // Equal conditions share one, because parsing one costs more than everything else here.
    let mut conditions: HashMap<(&str, &[FieldName]), Arc<Condition>> = HashMap::new();
    scenario
        .steps
        .iter()
        .map(|step| {
            let mut edges: Vec<Edge> = step
                .transitions
                .iter()
                .enumerate()
                .map(|(nth, transition)| Edge {
                    to: by_id[&transition.to_step_id],
                    condition: transition.condition().map(|text| {
                        let fields = transition.condition_fields.as_slice();
                        let condition = conditions.entry((text, fields)).or_insert_with(|| {
                            let condition = Condition::with_fields(text, fields);
                            Arc::new(condition.expect("the validation has checked its limits"))
                        });
                        Arc::clone(condition)
                    }),
                    priority: transition.priority,
                    nth,
                })
                .collect();
            edges.sort_by_key(|edge| std::cmp::Reverse(edge.priority));
            edges
        })
        .collect()
}
