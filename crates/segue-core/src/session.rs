//! Sessions: one customer's way through one version of a scenario.
//!
//! A session is the fold of the events of its stream ([`event`]); the fold is also its snapshot, so that
//! loading one reads one row. Its size is bounded by the graph and by the conversation window, never by
//! how long the session has lived: [`Session::step_history`] keeps one visit for each step, the latest,
//! with the step that it was left for. Following these last exits from the entry is always a simple
//! path to the present step.

pub mod event;
pub mod fold;
pub mod turn;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fields::Known;
use crate::ids::{
    Channel, CustomerId, FieldName, PlanId, ScenarioId, SessionId, StepId, StreamVersion, Version,
};
use crate::scenario::hash::{Checksum, ContentHash};

/// Whether a session still takes turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It takes turns.
    Active,
    /// It reached a terminal step.
    Finished,
    /// A migration found no place for it, and let the customer go with a friendly message.
    Exited,
    /// What was said in it was erased, as a customer may ask.
    Erased,
}

impl Status {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Finished => "finished",
            Self::Exited => "exited",
            Self::Erased => "erased",
        }
    }
}

/// The folded state of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// The session.
    pub id: SessionId,
    /// The scenario it walks.
    pub scenario_id: ScenarioId,
    /// The version it walks.
    pub version: Version,
    /// The checksum of that version when the session came to it.
    pub scenario_checksum: Checksum,
    /// Where the conversation takes place.
    pub channel: Channel,
    /// Whose profile it reads and writes.
    pub customer_id: Option<CustomerId>,
    /// Whether it still takes turns.
    pub status: Status,
    /// Where it stands.
    pub step_id: StepId,
    /// What the step means where it stands.
    pub step_content_hash: ContentHash,
    /// What is known in this session.
    pub variables: BTreeMap<FieldName, Known>,
    /// The latest visit to each step, in order of visiting.
    pub step_history: Vec<Visit>,
    /// The last messages, oldest first, bounded by the conversation window.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Message>))]
    pub messages: VecDeque<Message>,
    /// Values found in the conversation that wait for the customer's word.
    pub unconfirmed: BTreeMap<FieldName, Extracted>,
    /// Values found in the conversation that the customer refused; the same values are not used again.
    pub refused: BTreeMap<FieldName, Vec<Value>>,
    /// Fields that the customer was asked for on behalf of the pending migration.
    pub fields_asked: BTreeSet<FieldName>,
    /// Required actions that the caller was told to run and has not reported done.
    pub actions_due: Vec<StepId>,
    /// Actions that the caller has reported done.
    pub actions_done: Vec<StepId>,
    /// Actions of the version that the pending migration leads to, reported done before the move. An id
    /// may mean another step there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions_ahead: Vec<StepId>,
    /// Plans whose migration waits for the customer or the caller; the session is still where it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<PlanId>,
    /// Plans that were decided for this session without moving it; they do not try again.
    pub settled: Vec<PlanId>,
    /// Turns taken.
    pub turn_count: u64,
    /// When it began; its age counts from here.
    pub created_at: Timestamp,
    /// When its last event was recorded.
    pub updated_at: Timestamp,
    /// The version of its stream.
    pub stream_version: StreamVersion,
}

impl Session {
    /// What is left when the session's stream is redacted: where it stood and when, and nothing of whom.
    #[must_use]
    pub fn erased(&self, at: Timestamp) -> Self {
        Self {
            id: self.id,
            scenario_id: self.scenario_id,
            version: self.version,
            scenario_checksum: self.scenario_checksum,
            channel: self.channel.clone(),
            customer_id: None,
            status: Status::Erased,
            step_id: self.step_id.clone(),
            step_content_hash: self.step_content_hash,
            variables: BTreeMap::new(),
            step_history: Vec::new(),
            messages: VecDeque::new(),
            unconfirmed: BTreeMap::new(),
            refused: BTreeMap::new(),
            fields_asked: BTreeSet::new(),
            actions_due: Vec::new(),
            actions_done: Vec::new(),
            actions_ahead: Vec::new(),
            waiting_for: Vec::new(),
            settled: Vec::new(),
            turn_count: self.turn_count,
            created_at: self.created_at,
            updated_at: at,
            stream_version: self.stream_version.next(),
        }
    }
}

/// A visit to a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Visit {
    /// The step, by its id in the version that the session walked then.
    pub step_id: StepId,
    /// Its name.
    pub step_name: String,
    /// What it meant.
    pub step_content_hash: ContentHash,
    /// Whether it was a checkpoint.
    pub is_checkpoint: bool,
    /// What was irreversible about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_description: Option<String>,
    /// When the session came there.
    pub entered_at: Timestamp,
    /// In which turn; 0 is the start.
    pub turn_number: u64,
    /// `entry`, `transition`, `caller` or `migration:<reason>`.
    pub transition_reason: String,
    /// The step that the session left it for, once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_to: Option<StepId>,
}

/// A message of the customer, or an answer that the caller reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who wrote it.
    #[serde(default)]
    pub role: Role,
    /// What they wrote.
    pub text: String,
}

/// Who wrote a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The customer. Only their words are evidence for extraction.
    #[default]
    User,
    /// The agent.
    Assistant,
}

/// A value that an extractor found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Extracted {
    /// The value, of the field's type.
    pub value: Value,
    /// From 0 to 1.
    pub confidence: f64,
    /// The words it was taken from.
    pub source_quote: String,
}
