//! Snapshots and what they can be found by.

use jiff::Timestamp;
use segue_core::ids::{Channel, CustomerId, PlanId, ScenarioId, StepId, Version};
use segue_core::scenario::hash::ContentHash;

/// The folded state of a stream, written with the events that led to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The state; any bytes.
    pub state: Vec<u8>,
    /// What it can be found by.
    pub facets: Facets,
}

/// The fields of a state that lists and counts look at. What a stream does not have stays empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facets {
    /// The scenario a session walks.
    pub scenario_id: Option<ScenarioId>,
    /// The version it walks.
    pub scenario_version: Option<Version>,
    /// Where it stands.
    pub step_id: Option<StepId>,
    /// Where the conversation takes place.
    pub channel: Option<Channel>,
    /// Whose it is.
    pub customer_id: Option<CustomerId>,
    /// Whether it still takes turns.
    pub live: bool,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// What the irreversible steps it has passed mean, each once, in order.
    pub checkpoints: Vec<ContentHash>,
    /// The last plan that was decided for it without moving it.
    pub settled: Option<PlanId>,
}
