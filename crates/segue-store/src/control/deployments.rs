//! Deployments: a plan begins to apply, or ceases to, in one transaction that touches no session.
//!
//! A deploy changes together, or not at all: the plan's status, the scenario's current version, the
//! status of the older open plans, the record of the deployment, the scenario's generation, the audit.

use async_trait::async_trait;
use jiff::Timestamp;
use segue_core::ids::{PlanId, ScenarioId, TenantId, Version};
use segue_core::plan::deployed::Deployed;
use segue_core::plan::lifecycle::Kind;

use super::plans::{Change, Plan};
use super::{By, Error, Generation, Result};

/// What the core decided when an operator deploys a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// The plan, from now on deployed.
    pub plan: Change,
    /// Every open plan of the scenario that was made before this one, from now on superseded. A plan
    /// that is deployed may be among them; it still applies to the sessions that it marked.
    pub superseded: Vec<Change>,
    /// What is kept for as long as a dormant customer may return.
    pub record: Deployed,
}

/// What the core decided when an operator takes a deployed plan back.
#[derive(Debug, Clone, PartialEq)]
pub struct Withdrawal {
    /// The plan, from now on withdrawn.
    pub plan: Change,
    /// From when on the plan no longer applies.
    pub withdrawn_at: Timestamp,
}

impl Deployment {
    /// Checks the deployment against its plan as it is, before anything is written.
    pub(super) fn check(&self, before: &Plan) -> Result<()> {
        let Self { plan: change, superseded, record } = self;
        let agrees = record.plan_id == before.plan_id
            && record.scenario_id == before.scenario_id
            && (record.from_version, record.to_version) == (before.from_version, before.to_version)
            && change.status.kind() == Kind::Deployed
            && superseded.iter().all(|older| older.status.kind() == Kind::Superseded);
        if !agrees {
            return Err(Error::Refused("the parts of the deployment contradict each other"));
        }
        if before.revision != change.expected || !before.status.is_open() {
            return Err(before.changed());
        }
        Ok(())
    }

    /// Checks that a plan can give way to this one.
    pub(super) fn check_superseded(&self, older: &Plan) -> Result<()> {
        let replaceable = older.status.is_open() || older.status.kind() == Kind::Deployed;
        if older.scenario_id != self.record.scenario_id || !replaceable {
            return Err(older.changed());
        }
        Ok(())
    }

    /// The act of deploying, with what its line of the audit tells.
    pub(super) fn told(&self, by: &By) -> By {
        by.with("scenario_id", self.record.scenario_id.to_string())
            .with("from_version", self.record.from_version.0)
            .with("to_version", self.record.to_version.0)
    }
}

impl Withdrawal {
    /// Checks the withdrawal against its plan as it is, before anything is written.
    pub(super) fn check(&self, before: &Plan) -> Result<()> {
        if self.plan.status.kind() != Kind::Withdrawn {
            return Err(Error::Refused("a withdrawal leaves its plan withdrawn"));
        }
        if before.revision != self.plan.expected || before.status.kind() != Kind::Deployed {
            return Err(before.changed());
        }
        Ok(())
    }
}

/// All that is deployed of a scenario, as of one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The generation that this is true of.
    pub generation: Generation,
    /// The version that the scenario began with.
    pub first_version: Version,
    /// Where new sessions begin.
    pub current_version: Version,
    /// The deployed plans in the order of their deployment, the withdrawn ones among them.
    pub deployed: Vec<Deployed>,
}

/// Which version is current once the deployments stand as they do: the highest target of those that are
/// not withdrawn, or else the version that the scenario began with.
///
/// The highest and not the latest: a plan that picks up sessions left behind on an old version may lead
/// them to one that is itself no longer the newest.
#[must_use]
pub fn current_version(first: Version, deployed: &[Deployed]) -> Version {
    let applying = deployed.iter().filter(|record| record.withdrawn_at.is_none());
    applying.map(|record| record.to_version).max().unwrap_or(first)
}

/// Deploys plans, takes them back, and keeps the record.
#[async_trait]
pub trait Deployments: Send + Sync {
    /// Deploys a plan. Its version becomes current, unless a higher one is ([`current_version`]).
    ///
    /// # Errors
    /// - [`super::Error::Conflict`] if the plan, or one of those to supersede, is not at the expected
    ///   revision, or an older open plan is missing among them. If an earlier call of an unknown outcome
    ///   did deploy the plan, this is the answer, and the plan says `deployed`.
    /// - [`super::Error::NotFound`] if the plan or its new version is not there.
    async fn deploy(&self, tenant: TenantId, deployment: &Deployment, by: &By) -> Result<Plan>;

    /// Takes a deployed plan back. The version that was current before is current again, unless a higher
    /// one still applies ([`current_version`]).
    ///
    /// # Errors
    /// [`super::Error::Conflict`], also if the plan is not deployed; [`super::Error::NotFound`] if the
    /// plan, or the version to go back to, is no longer kept.
    async fn withdraw(&self, tenant: TenantId, withdrawal: &Withdrawal, by: &By) -> Result<Plan>;

    /// Reads all that is deployed of a scenario, from one snapshot.
    ///
    /// # Errors
    /// [`super::Error::NotFound`] if there is no such scenario.
    async fn deployed(&self, tenant: TenantId, scenario: ScenarioId) -> Result<History>;

    /// Removes plans that were closed before `older_than`, and answers which. The records of the
    /// deployed ones stay.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn cleanup_old_plans(
        &self,
        tenant: TenantId,
        older_than: Timestamp,
        by: &By,
    ) -> Result<Vec<PlanId>>;
}
