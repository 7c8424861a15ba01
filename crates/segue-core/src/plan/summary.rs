//! What an operator reads before they decide: how many are affected, what they will be asked, what to
//! look at.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::diff::Diff;
use crate::diff::map::Map;
use crate::fields::{Definitions, ValueType};
use crate::ids::{FieldName, StepId};
use crate::plan::policy::{AnchorKey, MigrationScenario};
use crate::plan::warnings;

/// Anchors that are named for one field at most; their number is exact.
pub const MAX_AFFECTED_ANCHORS: usize = 200;

/// The active sessions on V1, as the shell counted them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// By the step where they stand.
    pub by_step: BTreeMap<StepId, u64>,
    /// By checkpoint that they have passed, then by the step where they stand.
    pub passed: BTreeMap<StepId, BTreeMap<StepId, u64>>,
}

impl SessionCounts {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_step.values().sum()
    }

    /// Those that stand at a step.
    #[must_use]
    pub fn at(&self, step: &StepId) -> u64 {
        self.by_step.get(step).copied().unwrap_or(0)
    }

    /// Those that stand at a step and have passed a checkpoint.
    #[must_use]
    pub fn passed_at(&self, checkpoint: &StepId, step: &StepId) -> u64 {
        self.passed.get(checkpoint).and_then(|at| at.get(step)).copied().unwrap_or(0)
    }
}

/// Whether somebody can answer conditions in natural language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judge {
    /// An endpoint is configured.
    Configured,
    /// Nobody; such conditions stay unknown.
    None,
}

/// How much a warning matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it before approving.
    Warning,
    /// Customers will be stranded or let go.
    Critical,
}

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MigrationWarning {
    /// How much it matters.
    pub severity: Severity,
    /// The anchor that it is about, or `Multiple`; nothing if it is about no anchor.
    pub anchor_name: Option<String>,
    /// What policies call that anchor, if it is a single one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor_key: Option<AnchorKey>,
    /// What it is.
    pub message: String,
    /// How many sessions it concerns.
    pub affected_sessions_estimate: u64,
}

/// A field that customers may be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldToCollect {
    /// The field.
    pub field_name: FieldName,
    /// What people call it.
    pub display_name: String,
    /// The names of the anchors where it may be asked for, at most 200.
    pub affected_anchors: Vec<String>,
    /// How many anchors that are.
    pub affected_anchor_count: usize,
    /// Why it is needed.
    pub reason: String,
    /// Whether it may be found in the conversation instead.
    pub can_extract_from_conversation: bool,
}

/// What an operator reads before they decide.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MigrationSummary {
    /// Anchors in all.
    pub total_anchors: usize,
    /// Anchors where sessions go on silently.
    pub anchors_with_clean_graft: usize,
    /// Anchors where something may have to be asked or done.
    pub anchors_with_gap_fill: usize,
    /// Anchors where customers may be redirected.
    pub anchors_with_re_route: usize,
    /// Steps of V1 that nothing in V2 means.
    pub nodes_deleted: usize,
    /// Active sessions on V1 when the plan was made.
    pub estimated_sessions_affected: u64,
    /// The same by anchor; those at deleted steps are in `sessions_by_deleted_node`.
    pub sessions_by_anchor: BTreeMap<AnchorKey, u64>,
    /// Those that stand at a deleted step, by step.
    #[serde(default)]
    pub sessions_by_deleted_node: BTreeMap<StepId, u64>,
    /// What to look at, the gravest first.
    pub warnings: Vec<MigrationWarning>,
    /// What customers may be asked for.
    pub fields_to_collect: Vec<FieldToCollect>,
}

/// What a summary is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Basis<'a> {
    pub diff: &'a Diff,
    pub map: &'a Map,
    pub sessions: &'a SessionCounts,
    pub definitions: &'a Definitions,
    pub judge: Judge,
}

/// Sums a plan up.
pub(super) fn summarise(basis: Basis<'_>) -> MigrationSummary {
    let Basis { map, sessions, .. } = basis;
    let with = |scenario: MigrationScenario| {
        map.anchors().iter().filter(|anchor| anchor.migration_scenario == scenario).count()
    };
    let fields = fields_to_collect(basis);
    let warnings = warnings::warnings(basis, &fields);
    MigrationSummary {
        total_anchors: map.anchors().len(),
        anchors_with_clean_graft: with(MigrationScenario::CleanGraft),
        anchors_with_gap_fill: with(MigrationScenario::GapFill),
        anchors_with_re_route: with(MigrationScenario::ReRoute),
        nodes_deleted: map.deleted_nodes().len(),
        estimated_sessions_affected: sessions.total(),
        sessions_by_anchor: map
            .anchors()
            .iter()
            .map(|anchor| (anchor.key.clone(), sessions.at(&anchor.v1)))
            .collect(),
        sessions_by_deleted_node: map
            .deleted_nodes()
            .iter()
            .map(|node| (node.node_id_v1.clone(), sessions.at(&node.node_id_v1)))
            .filter(|(_, count)| *count > 0)
            .collect(),
        warnings,
        fields_to_collect: fields.into_iter().map(|needed| needed.field).collect(),
    }
}

/// A field that customers may be asked for, and how many stand where it is.
pub(super) struct Needed {
    pub field: FieldToCollect,
    pub sessions: u64,
    /// The only anchor, if there is one.
    pub only_anchor: Option<AnchorKey>,
}

/// The fields of steps inserted upstream of any anchor, in alphabetical order.
fn fields_to_collect(basis: Basis<'_>) -> Vec<Needed> {
    let Basis { map, sessions, definitions, .. } = basis;
    let collecting = map.inserted_where(|node| !node.collects_fields.is_empty());
    let names: BTreeSet<&FieldName> =
        collecting.nodes().iter().flat_map(|node| &node.collects_fields).collect();
    // Every anchor below an inserted step is looked at, so names are looked up once for each step.
    let mut needed: Vec<(&FieldName, Vec<usize>, u64)> =
        names.into_iter().map(|name| (name, Vec::new(), 0)).collect();
    let place = |name: &FieldName| needed.binary_search_by(|(known, ..)| (*known).cmp(name)).ok();
    let by_node: Vec<Vec<usize>> = collecting
        .nodes()
        .iter()
        .map(|node| node.collects_fields.iter().filter_map(place).collect())
        .collect();
    for (nth, anchor) in map.anchors().iter().enumerate() {
        if anchor.migration_scenario == MigrationScenario::CleanGraft {
            continue;
        }
        let here = sessions.at(&anchor.v1);
        for field in collecting.upstream(anchor).flat_map(|node| &by_node[node]) {
            let (_, anchors, affected) = &mut needed[*field];
            if anchors.last() != Some(&nth) {
                anchors.push(nth);
                *affected += here;
            }
        }
    }
    needed
        .into_iter()
        .filter(|(_, anchors, _)| !anchors.is_empty())
        .map(|(name, anchors, affected)| {
            let definition = definitions.get(name);
            Needed {
                sessions: affected,
                only_anchor: match anchors.as_slice() {
                    [only] => Some(map.anchors()[*only].key.clone()),
                    _ => None,
                },
                field: FieldToCollect {
                    field_name: name.clone(),
                    display_name: definition
                        .and_then(|definition| definition.display_name.clone())
                        .unwrap_or_else(|| title(name.as_str())),
                    affected_anchor_count: anchors.len(),
                    affected_anchors: anchors
                        .iter()
                        .take(MAX_AFFECTED_ANCHORS)
                        .map(|nth| map.anchors()[*nth].name.clone())
                        .collect(),
                    reason: "Required by new upstream step".to_owned(),
                    can_extract_from_conversation: definition.is_none_or(|definition| {
                        definition.value_type != ValueType::String || definition.pattern.is_some()
                    }),
                },
            }
        })
        .collect()
}

/// `zip_code` as people write it: each run of letters begins with a capital (Python's `str.title`).
fn title(name: &str) -> String {
    let mut is_inside_word = false;
    name.chars()
        .flat_map(|character| {
            let character = if character == '_' { ' ' } else { character };
            let cased: Vec<char> = if is_inside_word {
                character.to_lowercase().collect()
            } else {
                character.to_uppercase().collect()
            };
            is_inside_word = character.is_alphabetic();
            cased
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::title;

    #[test]
    fn a_field_without_a_definition_is_shown_as_words() {
        assert_eq!(title("zip_code"), "Zip Code");
        assert_eq!(title("e-mail_2nd"), "E-Mail 2Nd");
    }
}
