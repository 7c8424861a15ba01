//! The diff as the API shows it, with the names of the original system.

use serde::{Deserialize, Serialize};

use crate::diff::Origin;
use crate::ids::{FieldName, StepId};
use crate::plan::policy::{AnchorKey, MigrationScenario};
use crate::scenario::Step;
use crate::scenario::graph::{Graph, Ix};
use crate::scenario::hash::ContentHash;

/// What the change of a version means, anchor by anchor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransformationMap {
    /// In the order of V1's steps.
    pub anchors: Vec<AnchorTransformation>,
    /// Steps of V1 that nothing in V2 means.
    pub deleted_nodes: Vec<DeletedNode>,
    /// Steps of V2 that nothing in V1 means.
    pub new_node_ids: Vec<StepId>,
    /// Which of these probably belong together; an operator may accept them.
    pub suggestions: Vec<Suggestion>,
    /// Whether the lists inside the anchors are left out because they would be too long; their counts are
    /// there, and each anchor's own page has the lists.
    pub truncated: bool,
}

/// One anchor and what changed around it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnchorTransformation {
    /// What policies call it.
    pub anchor_key: AnchorKey,
    /// What its steps mean.
    pub anchor_content_hash: ContentHash,
    /// The name of its step in V1.
    pub anchor_name: String,
    /// Its step in V1.
    pub anchor_node_id_v1: StepId,
    /// Its step in V2.
    pub anchor_node_id_v2: StepId,
    /// How the two were found to mean the same.
    pub origin: Origin,
    /// What a customer who stands here may meet, at most.
    pub migration_scenario: MigrationScenario,
    /// What changed on the way here.
    pub upstream_changes: ChangeSet,
    /// What changed from here on.
    pub downstream_changes: ChangeSet,
}

/// What changed on one side of an anchor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeSet {
    /// Steps of V2 that nothing on this side in V1 means.
    pub inserted_nodes: Vec<InsertedNode>,
    /// Steps of V1 that nothing on this side in V2 means.
    pub removed_node_ids: Vec<StepId>,
    /// Steps of V2 with several ways on that are inserted or gained one.
    pub new_forks: Vec<NewFork>,
    /// Changed transitions of steps that exist in both versions.
    pub modified_transitions: Vec<ModifiedTransition>,
    /// How long the lists are, also where they are left out.
    pub counts: ChangeCounts,
}

/// How much changed on one side of an anchor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeCounts {
    /// Inserted steps.
    pub inserted_nodes: usize,
    /// Removed steps.
    pub removed_nodes: usize,
    /// New forks.
    pub new_forks: usize,
    /// Steps with changed transitions.
    pub steps_with_modified_transitions: usize,
}

impl ChangeCounts {
    /// How many entries the lists have.
    #[must_use]
    pub fn total(self) -> usize {
        self.inserted_nodes
            + self.removed_nodes
            + self.new_forks
            + self.steps_with_modified_transitions
    }
}

/// A step of V2 that is new where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InsertedNode {
    /// The step.
    pub node_id: StepId,
    /// Its name.
    pub node_name: String,
    /// The fields that it asks for.
    pub collects_fields: Vec<FieldName>,
    /// Whether rules apply there.
    pub has_rules: bool,
    /// Whether everyone who comes past must have had its action performed.
    pub is_required_action: bool,
    /// Whether its effect is irreversible.
    pub is_checkpoint: bool,
}

impl InsertedNode {
    pub(super) fn of(step: &Step) -> Self {
        Self {
            node_id: step.id.clone(),
            node_name: step.name.clone(),
            collects_fields: step.collects_profile_fields.clone(),
            has_rules: !step.rule_ids.is_empty(),
            is_required_action: step.is_required_action,
            is_checkpoint: step.is_checkpoint,
        }
    }
}

/// A step of V2 with several ways on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewFork {
    /// The step.
    pub fork_node_id: StepId,
    /// Its name.
    pub fork_node_name: String,
    /// Its transitions, as written.
    pub branches: Vec<Branch>,
}

/// One way on from a fork.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Branch {
    /// Where it leads.
    pub target_step_id: StepId,
    /// What that step is called.
    pub target_step_name: String,
    /// When it is taken; empty holds always.
    pub condition_text: String,
    /// The fields that the condition needs, as declared.
    pub condition_fields: Vec<FieldName>,
}

impl NewFork {
    pub(super) fn of(graph: &Graph, ix: Ix) -> Self {
        let step = graph.step(ix);
        let branch = |transition: &crate::scenario::Transition| Branch {
            target_step_id: transition.to_step_id.clone(),
            target_step_name: graph
                .index(&transition.to_step_id)
                .map(|target| graph.step(target).name.clone())
                .unwrap_or_default(),
            condition_text: transition.condition_text.clone().unwrap_or_default(),
            condition_fields: transition.condition_fields.clone(),
        };
        Self {
            fork_node_id: step.id.clone(),
            fork_node_name: step.name.clone(),
            branches: step.transitions.iter().map(branch).collect(),
        }
    }
}

/// How a transition changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChangeType {
    /// Only V2 has it.
    Added,
    /// Only V1 has it.
    Removed,
    /// It leads to the same step by another condition or priority.
    Modified,
}

/// A changed transition of a step that exists in both versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModifiedTransition {
    /// How it changed.
    pub change_type: ChangeType,
    /// The step, in V2.
    pub from_step_id: StepId,
    /// Where it leads, in V2; in V1 if it was removed.
    pub to_step_id: StepId,
    /// The condition in V1; empty holds always. Absent if it was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_condition_text: Option<String>,
    /// The condition in V2; empty holds always. Absent if it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_condition_text: Option<String>,
    /// The priority in V1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_priority: Option<i64>,
    /// The priority in V2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_priority: Option<i64>,
}

/// A step of V1 that nothing in V2 means, and where sessions that stand there go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeletedNode {
    /// The step.
    pub node_id_v1: StepId,
    /// Its name.
    pub node_name: String,
    /// What the nearest anchor means, if there is one.
    pub nearest_anchor_hash: Option<ContentHash>,
    /// The nearest anchor's step in V2.
    pub nearest_anchor_id_v2: Option<StepId>,
    /// What policies call the nearest anchor.
    pub nearest_anchor_key: Option<AnchorKey>,
}

/// Why two steps probably belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SuggestionReason {
    /// They have the same id.
    SameId,
    /// They stand between the same anchors, and no other steps do.
    SamePlace,
    /// They have the same name, and no other steps do.
    SameName,
}

/// A deleted step of V1 and a new step of V2 that are probably one step, edited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Suggestion {
    /// The policy key under which an operator accepts it.
    pub key: AnchorKey,
    /// The step of V1.
    pub node_id_v1: StepId,
    /// Its name.
    pub node_name_v1: String,
    /// The step of V2.
    pub node_id_v2: StepId,
    /// Its name.
    pub node_name_v2: String,
    /// From 0 to 1.
    pub confidence: f64,
    /// Why.
    pub reasons: Vec<SuggestionReason>,
}
