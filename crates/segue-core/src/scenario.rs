//! Scenarios: versioned graphs of steps, as operators write them.
//!
//! This file holds the document. [`graph`] checks it and compiles it into what everything else works
//! on; [`hash`] says what a step means; [`validate`] names everything that is wrong with a document.

pub mod graph;
pub mod hash;
pub mod validate;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{FieldName, ScenarioId, StepId, Version};

/// One immutable version of a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The scenario that this is a version of.
    pub id: ScenarioId,
    /// What operators call it.
    pub name: String,
    /// A sentence for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Greater than every version before it.
    pub version: Version,
    /// Where new sessions begin.
    pub entry_step_id: StepId,
    /// The nodes of the graph. The order means nothing but is kept.
    pub steps: Vec<Step>,
}

/// A node of the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Unique inside its version.
    pub id: StepId,
    /// What operators call it.
    pub name: String,
    /// What happens here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The ways out.
    #[serde(default)]
    pub transitions: Vec<Transition>,
    /// The rules that apply here.
    #[serde(default)]
    pub rule_ids: Vec<Uuid>,
    /// Fields that the customer is asked for here.
    #[serde(default)]
    pub collects_profile_fields: Vec<FieldName>,
    /// Whether the effect of this step is irreversible, such as a payment.
    #[serde(default)]
    pub is_checkpoint: bool,
    /// What is irreversible about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_description: Option<String>,
    /// Whether sessions begin here; agrees with `entry_step_id` where it is given.
    #[serde(default)]
    pub is_entry: bool,
    /// Whether sessions end here.
    #[serde(default)]
    pub is_terminal: bool,
    /// Whether the caller performs an action here.
    #[serde(default)]
    pub performs_action: bool,
    /// Whether that action must have been performed by everyone who comes past.
    #[serde(default)]
    pub is_required_action: bool,
}

/// A way from one step to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Transition {
    /// Where it leads.
    pub to_step_id: StepId,
    /// When it is taken: CEL, or natural language for a judge; nothing holds always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition_text: Option<String>,
    /// Among several, the highest is tried first.
    #[serde(default)]
    pub priority: i64,
    /// The fields that the condition needs; by default the identifiers in it.
    #[serde(default)]
    pub condition_fields: Vec<FieldName>,
}

impl Transition {
    /// The condition, or nothing if it holds always (absent and blank mean the same).
    #[must_use]
    pub fn condition(&self) -> Option<&str> {
        self.condition_text.as_deref().map(str::trim).filter(|text| !text.is_empty())
    }
}
