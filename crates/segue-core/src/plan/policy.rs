//! What the operator decides for an anchor: whom to migrate, and how.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::diff::Mapping;
use crate::ids::{Channel, StepId};
use crate::scenario::hash::ContentHash;

/// The three migration scenarios at an anchor, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum MigrationScenario {
    /// Nothing before the anchor concerns the customer: they go on silently.
    CleanGraft,
    /// Something new before the anchor collects data or requires an action.
    GapFill,
    /// A new fork before the anchor may lead the customer elsewhere.
    ReRoute,
}

/// Names an anchor in a plan: the content hash, and `hash~2`, `hash~3`, … for further pairs of the same
/// hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
#[serde(transparent)]
pub struct AnchorKey(pub String);

impl AnchorKey {
    const MAPPING: &str = "suggestion:";

    /// The key under which a policy accepts the suggestion for a deleted step of V1.
    #[must_use]
    pub fn for_mapping(v1: &StepId) -> Self {
        Self(format!("{}{v1}", Self::MAPPING))
    }

    /// The id of the deleted step of V1, if the key is that of an accepted suggestion.
    #[must_use]
    pub fn mapped_step(&self) -> Option<&str> {
        self.0.strip_prefix(Self::MAPPING)
    }
}

impl std::fmt::Display for AnchorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The policies of a plan, by anchor.
pub type Policies = BTreeMap<AnchorKey, AnchorMigrationPolicy>;

/// What happens to the sessions at one anchor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AnchorMigrationPolicy {
    /// The anchor's content hash; the plan fills it in where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor_content_hash: Option<AnchorKey>,
    /// The anchor's name, for people; the plan fills it in where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor_name: Option<String>,
    /// Which sessions the plan admits.
    #[serde(default)]
    pub scope_filter: ScopeFilter,
    /// Whether sessions move to the new version at all; if not they keep following their present one.
    #[serde(default = "yes")]
    pub update_downstream: bool,
    /// Overrides the computed migration scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_scenario: Option<MigrationScenario>,
    /// Accepts a suggestion: sessions at this deleted step of V1 go on at this step of V2, as if the two
    /// meant the same. Only on a key `suggestion:<step id of V1>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_to_step_id: Option<StepId>,
}

fn yes() -> bool {
    true
}

impl Default for AnchorMigrationPolicy {
    fn default() -> Self {
        Self {
            anchor_content_hash: None,
            anchor_name: None,
            scope_filter: ScopeFilter::default(),
            update_downstream: true,
            force_scenario: None,
            map_to_step_id: None,
        }
    }
}

/// Which sessions a policy admits. An empty filter admits all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ScopeFilter {
    /// Only these channels, if any are named.
    pub include_channels: Vec<Channel>,
    /// Never these channels.
    pub exclude_channels: Vec<Channel>,
    /// Only sessions at these steps of V1, if any are named.
    pub include_current_nodes: Vec<StepId>,
    /// Never sessions at these steps of V1.
    pub exclude_current_nodes: Vec<StepId>,
    /// Skip sessions older than this many days at the deploy.
    pub max_session_age_days: Option<u32>,
    /// Skip sessions younger than this many days at the deploy.
    pub min_session_age_days: Option<u32>,
}

impl ScopeFilter {
    /// Whether a session is in scope, its age counted at `deployed_at`.
    #[must_use]
    pub fn admits(
        &self,
        channel: &Channel,
        step: &StepId,
        started_at: Timestamp,
        deployed_at: Timestamp,
    ) -> bool {
        let listed = self.include_channels.is_empty() || self.include_channels.contains(channel);
        let step_listed =
            self.include_current_nodes.is_empty() || self.include_current_nodes.contains(step);
        let age_seconds = deployed_at.as_second().saturating_sub(started_at.as_second());
        let days = |days: u32| i64::from(days) * 86_400;
        listed
            && step_listed
            && !self.exclude_channels.contains(channel)
            && !self.exclude_current_nodes.contains(step)
            && self.max_session_age_days.is_none_or(|max| age_seconds <= days(max))
            && self.min_session_age_days.is_none_or(|min| age_seconds >= days(min))
    }
}

/// How an anchor is told apart from the others: what it means, and how often that meaning stands there.
#[must_use]
pub fn anchor_key(hash: ContentHash, nth: usize) -> AnchorKey {
    AnchorKey(if nth == 1 { hash.to_string() } else { format!("{hash}~{nth}") })
}

/// The suggestions that an operator accepted.
#[must_use]
pub fn mappings(policies: &Policies) -> Vec<Mapping> {
    policies
        .iter()
        .filter_map(|(key, policy)| {
            let from = StepId::new(key.mapped_step()?).ok()?;
            Some(Mapping { from, to: policy.map_to_step_id.clone()? })
        })
        .collect()
}
