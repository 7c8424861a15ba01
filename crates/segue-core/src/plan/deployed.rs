//! What remains of a plan once it is deployed: enough to derive every session's mark, and small enough
//! to keep for as long as a dormant customer may return.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{PlanId, ScenarioId, Version};
use crate::plan::policy::Policies;
use crate::scenario::hash::Checksum;

/// The record of a deployed plan. The map can be computed again from the two archived versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// The plan.
    pub plan_id: PlanId,
    /// Whose plan it is.
    pub scenario_id: ScenarioId,
    /// Sessions on this version are migrated …
    pub from_version: Version,
    /// … to this one.
    pub to_version: Version,
    /// The checksum of the version they leave.
    pub from_checksum: Checksum,
    /// The checksum of the version they come to.
    pub to_checksum: Checksum,
    /// The operator's settings by anchor; anchors that are not named have the default policy.
    pub policies: Policies,
    /// When it was deployed; ages of sessions count from here.
    pub deployed_at: Timestamp,
    /// Whether existing sessions are marked at all; if not only new sessions walk the new version
    /// (`deployment.auto_mark_sessions`).
    pub marks_sessions: bool,
    /// When the operator took it back; it no longer applies to sessions that have not migrated.
    pub withdrawn_at: Option<Timestamp>,
}
