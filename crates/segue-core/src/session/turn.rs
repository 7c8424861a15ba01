//! A turn: what the caller brings, and where the session goes by its own rules.
//!
//! ```text
//! input -> applied to the session (fields, confirmations, actions, message)
//!       -> a pending migration is reconciled
//!       -> the session moves: to the step that the caller chose, or by itself
//!       -> the answer: where it went, what the step asks for
//! ```
//!
//! By itself a session moves on while the step's fields are known, its action is reported done, and
//! exactly one transition holds: the highest priority first, an empty condition always, `otherwise` when
//! nothing else does. A condition that nobody can evaluate yet stops it, and so do two transitions of
//! the same priority that both hold: it never guesses. While a migration waits for the customer the
//! session does not move at all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fields::Known;
use crate::ids::{FieldName, StepId, Version};
use crate::reconcile::{Need, Situation};
use crate::session::event::{Answer, Event, Idempotency};
use crate::session::{Message, Session, Status};

/// What a caller brings to a turn. Everything is optional: an empty turn only reconciles and moves on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Input {
    /// What the customer wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// Values that are known now; they set the session's variables and the customer's profile.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::HashMap<String, Value>))]
    pub fields: BTreeMap<FieldName, Value>,
    /// The customer's word on values that were found in the conversation.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::HashMap<String, bool>))]
    pub confirmations: BTreeMap<FieldName, bool>,
    /// Steps whose action the caller has run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions_done: Vec<StepId>,
    /// Where the caller's agent decided to go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_id: Option<StepId>,
}

/// Where the session went in a turn, and what the step where it stands asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepAnswer {
    /// The steps that the session came to by its own rules or the caller's choice, in order.
    pub entered_steps: Vec<StepId>,
    /// Fields that the session waits for where it stands.
    pub collect_fields: Vec<FieldName>,
    /// What to ask the customer, if something is to be asked.
    pub prompt: Option<String>,
}

/// Why a turn is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The session takes no more turns.
    #[error("the session takes no more turns: it is {}", .status.name())]
    NotActive {
        /// What it is.
        status: Status,
    },
    /// No transition leads to the step that the caller chose.
    #[error(
        "step `{step_id}` cannot be entered from `{from}` in version {version}; \
         a transition leads to: {}", list(.allowed)
    )]
    StepNotAllowed {
        /// The step that the caller chose.
        step_id: StepId,
        /// Where the session stands.
        from: StepId,
        /// The version that it walks.
        version: Version,
        /// The steps that may be chosen: where it stands, and where a transition leads.
        allowed: Vec<StepId>,
    },
}

fn list(steps: &[StepId]) -> String {
    steps.iter().map(|step| format!("`{step}`")).collect::<Vec<_>>().join(", ")
}

/// A turn to be decided.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// The session before the turn, and what the decision depends on.
    pub situation: Situation<'a>,
    /// What the caller brings.
    pub input: &'a Input,
    /// How a repetition of the request is recognised.
    pub idempotency: Option<&'a Idempotency>,
}

/// A decided turn: append the events, then answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// What to answer.
    pub answer: Answer,
    /// What happened, for one append.
    pub events: Vec<Event>,
    /// The session after these events, recorded at the turn's time: its new snapshot.
    pub session: Session,
    /// What was learned of the customer, if the session has one.
    pub profile_writes: BTreeMap<FieldName, Known>,
}

/// What came of the attempt to decide a turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is decided.
    Taken(Box<Taken>),
    /// It needs an answer from outside first.
    Need(Need),
}
