//! What happens to a session, as appended to its stream.
//!
//! One turn is one append: [`TurnTaken`] first, with everything that the caller brought and the answer
//! that was given, then what followed from it, in order. The events say all that the fold
//! ([`Session::apply`](super::Session::apply)) needs; it looks nothing up, neither graphs nor clocks.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fields::{Known, Source};
use crate::ids::{Channel, CustomerId, FieldName, PlanId, ScenarioId, SessionId, StepId, Version};
use crate::plan::policy::{AnchorKey, MigrationScenario};
use crate::reconcile::{Action, Reconciliation};
use crate::scenario::graph::{Graph, Ix};
use crate::scenario::hash::{Checksum, ContentHash};
use crate::session::Extracted;
use crate::session::turn::{Input, StepAnswer};

/// Says why stored bytes are not an event.
#[derive(Debug, thiserror::Error)]
pub enum Corrupt {
    /// No event has this type.
    #[error("a session's stream holds no events of type `{event_type}`")]
    UnknownType {
        /// What was found.
        event_type: String,
    },
    /// The payload does not have the shape of its type.
    #[error("the payload of a `{event_type}` event cannot be read")]
    Payload {
        /// Its type.
        event_type: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// An event of a session's stream.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Event {
            $($(#[$doc])* $name($name),)+
        }

        impl Event {
            /// The names of all types of events.
            pub const TYPES: &[&str] = &[$(stringify!($name)),+];

            /// The name under which the store keeps it.
            #[must_use]
            pub fn event_type(&self) -> &'static str {
                match self {
                    $(Event::$name(_) => stringify!($name),)+
                }
            }

            /// The bytes that the store keeps.
            ///
            /// # Panics
            /// Never: the payloads are plain data with text keys.
            #[must_use]
            pub fn to_payload(&self) -> Vec<u8> {
                match self {
                    $(Event::$name(payload) => serde_json::to_vec(payload),)+
                }
                .expect("plain data with text keys serialises")
            }

            /// Reads an event back.
            ///
            /// # Errors
            /// When the type is unknown or the payload has another shape.
            pub fn from_payload(event_type: &str, payload: &[u8]) -> Result<Self, Corrupt> {
                match event_type {
                    $(stringify!($name) => serde_json::from_slice(payload)
                        .map(Event::$name)
                        .map_err(|source| Corrupt::Payload { event_type: stringify!($name), source }),)+
                    other => Err(Corrupt::UnknownType { event_type: other.to_owned() }),
                }
            }
        }

        $(impl From<$name> for Event {
            fn from(payload: $name) -> Event {
                Event::$name(payload)
            }
        })+
    };
}

events! {
    /// A customer began to walk a scenario.
    SessionStarted,
    /// A turn was taken; the events after it say what followed.
    TurnTaken,
    /// Values were filled in that the caller did not bring.
    FieldsFilled,
    /// Values were found in the conversation; they wait for the customer's word.
    FieldsFound,
    /// The migration has to wait: the customer or the caller was asked for something.
    MigrationWaits,
    /// The session moved to another version.
    MigrationApplied,
    /// A migration was decided without moving the session; its plans do not try again.
    MigrationSettled,
    /// The session came to a step.
    StepEntered,
    /// The session came to its end.
    SessionFinished,
}

/// A step as visits record it: whatever later decisions need, because versions do not live for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The step.
    pub step_id: StepId,
    /// Its name.
    pub step_name: String,
    /// What it means.
    pub step_content_hash: ContentHash,
    /// Whether its effect is irreversible.
    pub is_checkpoint: bool,
    /// What is irreversible about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_description: Option<String>,
}

impl Place {
    /// A step of a graph.
    #[must_use]
    pub fn of(graph: &Graph, ix: Ix) -> Self {
        let step = graph.step(ix);
        Self {
            step_id: step.id.clone(),
            step_name: step.name.clone(),
            step_content_hash: graph.hash(ix),
            is_checkpoint: step.is_checkpoint,
            checkpoint_description: step.checkpoint_description.clone(),
        }
    }
}

/// See [`Event::SessionStarted`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionStarted {
    /// The session.
    pub session_id: SessionId,
    /// The scenario that it walks.
    pub scenario_id: ScenarioId,
    /// The version that was current.
    pub version: Version,
    /// The checksum of that version.
    pub scenario_checksum: Checksum,
    /// Where the conversation takes place.
    pub channel: Channel,
    /// Whose profile it reads and writes.
    pub customer_id: Option<CustomerId>,
    /// What is known from the start.
    pub variables: BTreeMap<FieldName, Known>,
    /// Where it begins.
    pub entry: Place,
}

/// See [`Event::TurnTaken`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnTaken {
    /// 1, 2, 3, …
    pub turn_number: u64,
    /// What the caller brought.
    pub input: Input,
    /// How many messages the session keeps.
    pub messages_kept: usize,
    /// How a repetition of the request is recognised, if the caller asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Idempotency>,
    /// What was answered, so that a repeated request gets the same.
    pub answer: Answer,
}

/// How a repeated request is told from a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// The caller's key.
    pub key: String,
    /// A hash over the request: the same key with another request is a mistake of the caller.
    pub request_hash: String,
}

/// What a turn answers, besides the session itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Answer {
    /// What became of a pending migration.
    pub reconciliation: Reconciliation,
    /// Where the session went, and what the step where it stands asks for.
    #[serde(flatten)]
    pub step: StepAnswer,
}

/// See [`Event::FieldsFilled`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldsFilled {
    /// The values, with where they came from.
    pub fields: BTreeMap<FieldName, Known>,
}

/// See [`Event::FieldsFound`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldsFound {
    /// What was found, and the words it was taken from.
    pub unconfirmed: BTreeMap<FieldName, Extracted>,
}

/// See [`Event::MigrationWaits`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MigrationWaits {
    /// The plans that wait.
    pub plan_ids: Vec<PlanId>,
    /// The fields that the customer is asked for.
    pub collect_fields: BTreeSet<FieldName>,
    /// The actions that the caller is asked to run.
    pub execute_action_ids: Vec<StepId>,
}

/// A migration as decided: the audit record of what was done to a session, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Migration {
    /// The plans that were followed, in order; none when the session was relocated without a plan.
    pub plan_ids: Vec<PlanId>,
    /// The version that the session walked.
    pub from_version: Version,
    /// The version that the migration leads to.
    pub to_version: Version,
    /// What it was for this session.
    pub migration_scenario: Option<MigrationScenario>,
    /// The anchor where the session stood, if its step is one.
    pub anchor: Option<AnchorKey>,
    /// Where the session stood.
    pub step_before: StepId,
    /// Where it stands now.
    pub step_after: StepId,
    /// What was done.
    pub action: Action,
    /// The short reason, such as `clean_graft`.
    pub teleport_reason: Option<String>,
    /// Fields that were missed and are known now, and from where.
    pub fields_filled: Vec<Filled>,
    /// Fields that the customer was asked for on the way.
    pub fields_asked: BTreeSet<FieldName>,
    /// The checkpoint that forbade a move, if one did.
    pub checkpoint_block: Option<CheckpointBlock>,
    /// Why, in words for people.
    pub reason: String,
    /// How long the decision took, in milliseconds; the shell measures it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<f64>,
}

/// A field and where its value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Filled {
    /// The field.
    pub field: FieldName,
    /// Where its value came from.
    pub source: Source,
}

/// A move that a passed checkpoint forbids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CheckpointBlock {
    /// The checkpoint that the customer has passed.
    pub checkpoint_name: String,
    /// What is irreversible about it.
    pub checkpoint_description: Option<String>,
    /// When the customer passed it.
    pub passed_at: Timestamp,
    /// The step that the migration wanted to move the session to.
    pub target_step_id: StepId,
    /// Its name.
    pub target_name: String,
}

/// See [`Event::MigrationApplied`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MigrationApplied {
    /// What was decided, and why.
    pub migration: Migration,
    /// Where the session goes on, or nothing if it leaves the scenario.
    pub place: Option<Place>,
    /// The checksum of the version that it walks from now on.
    pub scenario_checksum: Checksum,
    /// Steps that are called otherwise in the new version, or whose meaning was mapped by the operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renamed: Vec<Renamed>,
    /// Visited steps that the new version no longer has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<Gone>,
    /// Steps of the new version that the customer missed and whose action was run for this move: they
    /// count as visited, and those that are checkpoints as passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made_up: Vec<Place>,
}

/// A visited step that the new version no longer has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// The step in the version that the session leaves.
    pub step_id: StepId,
    /// What it meant there.
    pub content_hash: ContentHash,
}

/// A step of the old version and its counterpart in the new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renamed {
    /// The step in the version that the session leaves.
    pub from: StepId,
    /// What it meant there.
    pub from_hash: ContentHash,
    /// The step in the version that the session comes to.
    pub to: StepId,
    /// What it means there; differs where the operator accepted a mapping.
    pub to_hash: ContentHash,
    /// Whether it is a checkpoint there: then whoever visited it has passed that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub to_checkpoint: bool,
}

/// See [`Event::MigrationSettled`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MigrationSettled {
    /// What was decided, and why.
    pub migration: Migration,
}

/// See [`Event::StepEntered`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepEntered {
    /// The step.
    pub place: Place,
    /// `transition`, or `caller` when the caller's agent chose the step.
    pub transition_reason: String,
}

/// See [`Event::SessionFinished`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionFinished {
    /// The terminal step.
    pub step_id: StepId,
}
