//! What may go: plans past their retention, and versions that nobody needs any more.
//!
//! Whatever a dormant customer may need on their return stays: the record of every deployed plan, and each
//! version that a live session walks or that deployed plans lead to from there. So does the version that
//! is current again if the operator takes a deployed plan back.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use segue_core::config::Retention;
use segue_core::ids::{PlanId, ScenarioId, TenantId, Version};
use segue_core::plan::deployed::Deployed;
use segue_core::plan::lifecycle::Kind;
use segue_store::control::deployments::{History, current_version};
use segue_store::control::plans::Filter as PlanFilter;
use segue_store::control::scenarios::VersionCleanup;
use segue_store::control::{Error as ControlError, Page};
use segue_store::events::{CountBy, Filter};

use super::{MigrationDeployer, Shared, planner};
use crate::error::Result;

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many plans.
    pub plans: usize,
    /// How many versions.
    pub versions: usize,
}

impl MigrationDeployer {
    /// Removes plans that were closed longer ago than this many days, and answers how many. The records
    /// of the deployed ones stay.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn cleanup_old_plans(&self, tenant: TenantId, retention_days: u32) -> Result<usize> {
        let older_than = days_before(self.0.now(), retention_days);
        let by = self.0.by("segue");
        Ok(self.0.control.cleanup_old_plans(tenant, older_than, &by).await?.len())
    }

    /// Removes what is past the configured retention, of every tenant. A tenant whose store does not
    /// answer is left for the next time, so that it does not keep the others' waiting.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`] if the tenants cannot be listed; what was removed before stays
    /// removed.
    pub async fn tidy(&self) -> Result<Removed> {
        let retention = &self.0.config.retention;
        let mut removed = Removed::default();
        let mut page = Page::first(100);
        loop {
            let tenants = self.0.control.list_tenants(None, page).await?;
            for tenant in tenants.items.iter().map(|tenant| tenant.tenant_id) {
                if let Err(error) = self.tidy_tenant(tenant, retention, &mut removed).await {
                    tracing::warn!(%tenant, %error, "could not tidy a tenant; trying again later");
                }
            }
            match tenants.next {
                Some(next) => page.after = Some(next),
                None => return Ok(removed),
            }
        }
    }

    async fn tidy_tenant(
        &self,
        tenant: TenantId,
        retention: &Retention,
        removed: &mut Removed,
    ) -> Result<()> {
        removed.plans += self.cleanup_old_plans(tenant, retention.plan_retention_days).await?;
        for scenario in super::scope::every_scenario(&self.0, tenant).await? {
            removed.versions += cleanup_versions(&self.0, tenant, scenario).await?;
        }
        Ok(())
    }
}

async fn cleanup_versions(
    shared: &Shared,
    tenant: TenantId,
    scenario: ScenarioId,
) -> Result<usize> {
    let history = shared.control.deployed(tenant, scenario).await?;
    let live = Filter { live: Some(true), ..shared.sessions_of(scenario) };
    let counts = shared.count(tenant, live, CountBy::Version).await?;
    let walked = counts.iter().filter_map(|count| count.scenario_version);
    let mut needed = reachable(walked.chain([history.current_version]), &history.deployed);
    let deployed = PlanFilter { scenario_id: Some(scenario), status: Some(Kind::Deployed) };
    let withdrawable = planner::every_plan(shared, tenant, deployed).await?;
    let withdrawable = withdrawable.into_iter().map(|plan| plan.plan_id).collect();
    needed.extend(current_after_withdrawals(&history, &withdrawable));
    let cleanup = VersionCleanup {
        replaced_before: days_before(shared.now(), shared.config.retention.version_retention_days),
        needed,
        expected: history.generation,
    };
    match shared.control.delete_versions(tenant, scenario, &cleanup, &shared.by("segue")).await {
        Ok(deleted) => Ok(deleted.len()),
        // Something was deployed meanwhile; the next round looks again.
        Err(ControlError::Conflict(_)) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// These versions, and each one that deployed plans lead to from them.
pub(super) fn reachable(
    versions: impl IntoIterator<Item = Version>,
    deployed: &[Deployed],
) -> BTreeSet<Version> {
    let mut reached: BTreeSet<Version> = versions.into_iter().collect();
    let mut found: Vec<Version> = reached.iter().copied().collect();
    while let Some(from) = found.pop() {
        for plan in deployed.iter().filter(|plan| plan.from_version == from) {
            if plan.withdrawn_at.is_none() && reached.insert(plan.to_version) {
                found.push(plan.to_version);
            }
        }
    }
    reached
}

/// Every version that may be current once some of these plans are withdrawn, in whatever order.
fn current_after_withdrawals(
    history: &History,
    withdrawable: &BTreeSet<PlanId>,
) -> BTreeSet<Version> {
    let (may_go, stay): (Vec<Deployed>, Vec<Deployed>) =
        history.deployed.iter().cloned().partition(|plan| withdrawable.contains(&plan.plan_id));
    let lowest = current_version(history.first_version, &stay);
    let between = may_go.iter().map(|plan| plan.to_version).filter(|version| *version > lowest);
    between.chain([lowest]).collect()
}

fn days_before(now: Timestamp, days: u32) -> Timestamp {
    now.checked_sub(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::MIN)
}
