//! A checked version, compiled into what the diff, the turn and the reconciliation walk on.

use std::collections::HashMap;
use std::sync::Arc;

use crate::condition::Condition;
use crate::ids::StepId;
use crate::scenario::hash::{Checksum, ContentHash};
use crate::scenario::validate::Problem;
use crate::scenario::{Scenario, Step};

/// A step by its place in [`Scenario::steps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ix(pub u32);

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
        let _ = scenario;
        todo!("core-diff")
    }
    /// The document.
    #[must_use]
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }
    /// How many steps there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }
    /// Every step.
    pub fn indices(&self) -> impl Iterator<Item = Ix> + use<> {
        (0..self.hashes.len() as u32).map(Ix)
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
        &self.scenario.steps[ix.0 as usize]
    }
    /// What the step means.
    #[must_use]
    pub fn hash(&self, ix: Ix) -> ContentHash {
        self.hashes[ix.0 as usize]
    }
    /// The ways out of a step, in the order in which they are tried.
    #[must_use]
    pub fn edges(&self, ix: Ix) -> &[Edge] {
        &self.edges[ix.0 as usize]
    }
    /// The steps with a transition to this one, each once.
    #[must_use]
    pub fn predecessors(&self, ix: Ix) -> &[Ix] {
        &self.predecessors[ix.0 as usize]
    }
    /// The checksum of the document.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }
}
