//! Migration plans: two versions, their diff, the operator's policies, and the life of a decision.
//!
//! [`generate`] computes a [`Plan`] from two graphs and counts of sessions. The plan keeps everything that
//! an operator sees, so that what is deployed is what was approved. [`policy`] and [`check`] are what an
//! operator may change while it is pending, [`lifecycle`] what may happen to it, [`document`] how the API
//! shows it, [`forecast`] what it would do to every session, and [`deployed`] what remains of it for the
//! sessions that it applies to.

pub mod check;
pub mod deployed;
pub mod document;
pub mod forecast;
pub mod lifecycle;
pub mod policy;
pub mod summary;
mod warnings;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::diff::Diff;
use crate::diff::map::Map;
use crate::fields::Definitions;
use crate::ids::{PlanId, ScenarioId, TenantId, Version};
use crate::plan::lifecycle::{Action, Approval, Refused, Signed, Status};
use crate::plan::policy::Policies;
use crate::plan::summary::{Basis, Judge, MigrationSummary, SessionCounts};
use crate::scenario::graph::Graph;
use crate::scenario::hash::Checksum;

/// A migration plan, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The plan.
    pub id: PlanId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The scenario that changes.
    pub scenario_id: ScenarioId,
    /// Sessions on this version are migrated …
    pub from_version: Version,
    /// … to this one.
    pub to_version: Version,
    /// The checksum of the version that they leave.
    pub scenario_checksum_v1: Checksum,
    /// The checksum of the version that they come to.
    pub scenario_checksum_v2: Checksum,
    /// What changes around every anchor.
    pub map: Map,
    /// What the operator set; anchors that are not named have the default policy.
    pub policies: Policies,
    /// What the operator reads.
    pub summary: MigrationSummary,
    /// Where it stands.
    pub status: Status,
    /// Rises with every change; changes are compare-and-swap on it.
    pub revision: u64,
    /// When and by whom it was made.
    pub created: Signed,
    /// When it may be removed, unless something needs it.
    pub expires_at: Timestamp,
}

/// What a plan is made from.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The id of the new plan.
    pub id: PlanId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The version that sessions leave.
    pub v1: Arc<Graph>,
    /// The version that they come to.
    pub v2: Arc<Graph>,
    /// The active sessions on V1.
    pub sessions: &'a SessionCounts,
    /// How fields are called and whether they can be extracted.
    pub definitions: &'a Definitions,
    /// Whether somebody answers conditions in natural language.
    pub judge: Judge,
    /// When and by whom.
    pub created: Signed,
    /// For how many days it is kept (`retention.plan_retention_days`).
    pub retention_days: u32,
}

/// Why no plan can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The new version does not come after the old one.
    #[error("the new version must be greater than {from}, the one that sessions leave; it is {to}")]
    VersionNotGreater {
        /// The version that sessions leave.
        from: Version,
        /// The new version.
        to: Version,
    },
    /// The two versions are not of one scenario.
    #[error("the new version is of scenario {v2}, not of {v1}; leave its id out or correct it")]
    OtherScenario {
        /// The scenario that sessions are in.
        v1: ScenarioId,
        /// The scenario that was given.
        v2: ScenarioId,
    },
}

/// Computes a plan. The same request always gives the same plan.
///
/// # Errors
/// When the second version is not a later version of the same scenario.
pub fn generate(request: Request<'_>) -> Result<Plan, Error> {
    let (v1, v2) = (request.v1.scenario(), request.v2.scenario());
    if v1.id != v2.id {
        return Err(Error::OtherScenario { v1: v1.id, v2: v2.id });
    }
    if v2.version <= v1.version {
        return Err(Error::VersionNotGreater { from: v1.version, to: v2.version });
    }
    let diff = Diff::between(Arc::clone(&request.v1), Arc::clone(&request.v2), &[]);
    let map = Map::of(&diff);
    let summary = summary::summarise(Basis {
        diff: &diff,
        map: &map,
        sessions: request.sessions,
        definitions: request.definitions,
        judge: request.judge,
    });
    let kept = SignedDuration::from_hours(i64::from(request.retention_days) * 24);
    Ok(Plan {
        id: request.id,
        tenant_id: request.tenant_id,
        scenario_id: v1.id,
        from_version: v1.version,
        to_version: v2.version,
        scenario_checksum_v1: request.v1.checksum(),
        scenario_checksum_v2: request.v2.checksum(),
        map,
        policies: Policies::new(),
        summary,
        status: Status::Pending,
        revision: 1,
        expires_at: request.created.at.checked_add(kept).unwrap_or(Timestamp::MAX),
        created: request.created,
    })
}

impl Plan {
    /// The plan after an action; its revision has risen.
    ///
    /// # Errors
    /// When the action does not fit its status.
    pub fn after(self, action: Action, approval: Approval) -> Result<Self, Refused> {
        let status = self.status.after(action, approval)?;
        Ok(Self { status, revision: self.revision + 1, ..self })
    }

    /// The record that is kept for the sessions that it applies to, once it is deployed.
    #[must_use]
    pub fn deployed(&self, marks_sessions: bool) -> Option<deployed::Deployed> {
        let deployment = self.status.deployed()?;
        Some(deployed::Deployed {
            plan_id: self.id,
            scenario_id: self.scenario_id,
            from_version: self.from_version,
            to_version: self.to_version,
            from_checksum: self.scenario_checksum_v1,
            to_checksum: self.scenario_checksum_v2,
            policies: self.policies.clone(),
            deployed_at: deployment.signed.at,
            marks_sessions,
            withdrawn_at: match &self.status {
                Status::Withdrawn { withdrawn, .. } => Some(withdrawn.at),
                Status::Pending
                | Status::Approved { .. }
                | Status::Rejected { .. }
                | Status::Deployed { .. }
                | Status::Superseded { .. } => None,
            },
        })
    }
}
