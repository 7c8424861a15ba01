//! Migration plans: a large immutable document, and a small header that changes by compare-and-swap.
//!
//! What may follow what is decided by [`segue_core::plan::lifecycle`]; this keeps the outcome, and sees to
//! it that it was decided on the plan as it is.

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use segue_core::ids::{PlanId, ScenarioId, TenantId, Version};
use segue_core::plan::lifecycle::{Kind, Status};
use segue_core::plan::policy::Policies;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::audit::Action;
use super::scenarios::NewVersion;
use super::{By, Conflict, Error, Listing, Page, Result};

/// Counts the changes of a plan's header: 1 when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A plan that is to be kept; it begins pending at revision 1.
#[derive(Debug, Clone)]
pub struct NewPlan {
    /// The plan.
    pub plan_id: PlanId,
    /// Whose plan it is.
    pub scenario_id: ScenarioId,
    /// Sessions on this version are migrated …
    pub from_version: Version,
    /// … to this one.
    pub to_version: Version,
    /// The new version, if the plan brings it; it is registered in the same transaction and becomes
    /// current when the plan is deployed.
    pub new_version: Option<NewVersion>,
    /// The operator's settings so far.
    pub policies: Policies,
    /// What a list shows of the plan beyond its header; small.
    pub overview: Value,
    /// The summary for operators, as JSON.
    pub summary: Box<RawValue>,
    /// The transformation map, as JSON; up to a few megabytes.
    pub map: Box<RawValue>,
}

/// A plan's header.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The plan.
    pub plan_id: PlanId,
    /// Whose plan it is.
    pub scenario_id: ScenarioId,
    /// Sessions on this version are migrated …
    pub from_version: Version,
    /// … to this one.
    pub to_version: Version,
    /// What a compare-and-swap must name.
    pub revision: Revision,
    /// Where it stands, and how it came there.
    pub status: Status,
    /// The operator's settings.
    pub policies: Policies,
    /// What a list shows of the plan beyond this.
    pub overview: Value,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
}

/// What the core decided about a plan's header.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The plan.
    pub plan_id: PlanId,
    /// The revision that this was decided upon.
    pub expected: Revision,
    /// The status after it.
    pub status: Status,
    /// The policies after it; nothing leaves them.
    pub policies: Option<Policies>,
}

impl Plan {
    /// Says that the plan is not as the caller expected it.
    pub(super) fn changed(&self) -> Error {
        Error::Conflict(Conflict::Plan {
            plan_id: self.plan_id,
            revision: self.revision,
            status: self.status.kind(),
        })
    }
}

impl NewPlan {
    /// The act of making it, with what its line of the audit tells.
    pub(super) fn told(&self, by: &By) -> By {
        by.with("scenario_id", self.scenario_id.to_string())
            .with("from_version", self.from_version.0)
            .with("to_version", self.to_version.0)
    }
}

impl Change {
    /// Checks the change against the plan as it is, before anything is written.
    pub(super) fn check(&self, before: &Plan) -> Result<()> {
        if before.revision != self.expected {
            return Err(before.changed());
        }
        let (from, to) = (before.status.kind(), self.status.kind());
        let stays_its_own_affair = match to {
            Kind::Pending | Kind::Approved | Kind::Rejected => before.status.is_open(),
            Kind::Deployed | Kind::Superseded | Kind::Withdrawn => from == to,
        };
        if stays_its_own_affair {
            return Ok(());
        }
        Err(Error::Refused(
            "a plan is deployed, superseded and withdrawn by a deployment, and never opened again",
        ))
    }
}

/// Which plans are wanted; nothing means all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only plans of this scenario.
    pub scenario_id: Option<ScenarioId>,
    /// Only plans of this status.
    pub status: Option<Kind>,
}

/// Keeps plans.
#[async_trait]
pub trait Plans: Send + Sync {
    /// Keeps a new plan, and registers the version that it brings.
    ///
    /// # Errors
    /// - [`super::Error::Exists`] of [`super::Noun::OpenPlan`] if an open plan between these versions
    ///   exists, of [`super::Noun::Version`] if the new version's number holds another document, of
    ///   [`super::Noun::Plan`] if the id is taken.
    /// - [`super::Error::NotFound`] if the scenario or one of the versions is not there.
    async fn create_plan(&self, tenant: TenantId, plan: &NewPlan, by: &By) -> Result<Plan>;

    /// Reads a plan's header.
    ///
    /// # Errors
    /// [`super::Error::NotFound`].
    async fn plan(&self, tenant: TenantId, plan: PlanId) -> Result<Plan>;

    /// Reads a plan's summary.
    ///
    /// # Errors
    /// [`super::Error::NotFound`].
    async fn plan_summary(&self, tenant: TenantId, plan: PlanId) -> Result<Box<RawValue>>;

    /// Reads a plan's transformation map.
    ///
    /// # Errors
    /// [`super::Error::NotFound`].
    async fn plan_map(&self, tenant: TenantId, plan: PlanId) -> Result<Box<RawValue>>;

    /// Lists a tenant's plans, the newest first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn list_plans(
        &self,
        tenant: TenantId,
        filter: Filter,
        page: Page,
    ) -> Result<Listing<Plan>>;

    /// Changes a plan's header if it still is at the expected revision. `action` is what the audit calls
    /// it.
    ///
    /// # Errors
    /// - [`super::Error::Conflict`] with the present revision and status.
    /// - [`super::Error::Refused`] if the change deploys, supersedes or withdraws the plan: that is
    ///   [`super::Deployments`]' to do, for it changes more than the plan.
    /// - [`super::Error::NotFound`].
    async fn update_plan(
        &self,
        tenant: TenantId,
        change: &Change,
        action: Action,
        by: &By,
    ) -> Result<Plan>;
}
