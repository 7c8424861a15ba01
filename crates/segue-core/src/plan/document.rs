//! A plan as the API shows it, with the names of the original system.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::diff::document::TransformationMap;
use crate::ids::{PlanId, ScenarioId, TenantId, Version};
use crate::plan::Plan;
use crate::plan::lifecycle::{Kind, Status};
use crate::plan::policy::{AnchorMigrationPolicy, Policies};
use crate::plan::summary::MigrationSummary;
use crate::scenario::hash::Checksum;

/// A migration plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MigrationPlan {
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
    pub transformation_map: TransformationMap,
    /// The policy of every anchor, also where it is the default.
    pub anchor_policies: Policies,
    /// What an operator reads before they decide.
    pub summary: MigrationSummary,
    /// Where it stands.
    pub status: Kind,
    /// Rises with every change.
    pub revision: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: Option<String>,
    /// When it was approved.
    pub approved_at: Option<Timestamp>,
    /// By whom.
    pub approved_by: Option<String>,
    /// When it was rejected.
    pub rejected_at: Option<Timestamp>,
    /// By whom.
    pub rejected_by: Option<String>,
    /// Why.
    pub rejection_reason: Option<String>,
    /// When it was deployed.
    pub deployed_at: Option<Timestamp>,
    /// By whom.
    pub deployed_by: Option<String>,
    /// How many sessions had a pending migration by it at that moment.
    pub sessions_marked: Option<u64>,
    /// When it was taken back.
    pub withdrawn_at: Option<Timestamp>,
    /// By whom.
    pub withdrawn_by: Option<String>,
    /// When a newer plan of the scenario was deployed.
    pub superseded_at: Option<Timestamp>,
    /// The newer plan.
    pub superseded_by: Option<PlanId>,
    /// When it may be removed, unless something needs it.
    pub expires_at: Timestamp,
}

impl Plan {
    /// The plan as the API shows it; the lists around its anchors are left out when together they would
    /// have more than `limit` entries.
    #[must_use]
    pub fn document(&self, limit: usize) -> MigrationPlan {
        let approved = self.status.approved();
        let deployed = self.status.deployed();
        let (rejected, rejection_reason) = match &self.status {
            Status::Rejected { rejected, reason } => (Some(rejected), reason.clone()),
            Status::Pending
            | Status::Approved { .. }
            | Status::Deployed { .. }
            | Status::Withdrawn { .. }
            | Status::Superseded { .. } => (None, None),
        };
        let withdrawn = match &self.status {
            Status::Withdrawn { withdrawn, .. } => Some(withdrawn),
            Status::Pending
            | Status::Approved { .. }
            | Status::Rejected { .. }
            | Status::Deployed { .. }
            | Status::Superseded { .. } => None,
        };
        let superseded = match &self.status {
            Status::Superseded { at, by_plan, .. } => Some((*at, *by_plan)),
            Status::Pending
            | Status::Approved { .. }
            | Status::Rejected { .. }
            | Status::Deployed { .. }
            | Status::Withdrawn { .. } => None,
        };
        MigrationPlan {
            id: self.id,
            tenant_id: self.tenant_id,
            scenario_id: self.scenario_id,
            from_version: self.from_version,
            to_version: self.to_version,
            scenario_checksum_v1: self.scenario_checksum_v1,
            scenario_checksum_v2: self.scenario_checksum_v2,
            transformation_map: self.map.document(limit),
            anchor_policies: self.all_policies(),
            summary: self.summary.clone(),
            status: self.status.kind(),
            revision: self.revision,
            created_at: self.created.at,
            created_by: self.created.by.clone(),
            approved_at: approved.map(|signed| signed.at),
            approved_by: approved.and_then(|signed| signed.by.clone()),
            rejected_at: rejected.map(|signed| signed.at),
            rejected_by: rejected.and_then(|signed| signed.by.clone()),
            rejection_reason,
            deployed_at: deployed.map(|deployment| deployment.signed.at),
            deployed_by: deployed.and_then(|deployment| deployment.signed.by.clone()),
            sessions_marked: deployed.map(|deployment| deployment.sessions_marked),
            withdrawn_at: withdrawn.map(|signed| signed.at),
            withdrawn_by: withdrawn.and_then(|signed| signed.by.clone()),
            superseded_at: superseded.map(|(at, _)| at),
            superseded_by: superseded.map(|(_, by_plan)| by_plan),
            expires_at: self.expires_at,
        }
    }

    /// The policy of every anchor and every accepted suggestion.
    #[must_use]
    pub fn all_policies(&self) -> Policies {
        let mut policies: Policies = self
            .map
            .anchors()
            .iter()
            .map(|anchor| {
                let policy = AnchorMigrationPolicy {
                    anchor_content_hash: Some(anchor.key.clone()),
                    anchor_name: Some(anchor.name.clone()),
                    ..AnchorMigrationPolicy::default()
                };
                (anchor.key.clone(), policy)
            })
            .collect();
        policies.extend(self.policies.clone());
        policies
    }
}
