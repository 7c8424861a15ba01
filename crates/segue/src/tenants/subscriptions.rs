//! What a move means for the consumers of a tenant's log, and taking them along.
//!
//! Between our own stores an event keeps its position, so a consumer goes on exactly where it is, and the
//! commit of a migration takes the rows along in its own transaction: there is nothing left to do. A foreign
//! source has numbers of its own; then every subscription is set, once, to where its number lies here.

use std::sync::Arc;

use segue_core::ids::{MigrationId, Position, SubscriptionName, TenantId};
use segue_core::tenancy::migration::PositionMapper;
use segue_core::tenancy::migration::journal::SubscriptionMigration;
use segue_store::control::audit::{Action, Filter, Subject};
use segue_store::control::subscriptions::Subscription;
use segue_store::control::{By, ControlPlane, Page};

use super::TenantStoreRouter;
use crate::error::{Error, Kind, Result};

/// How many lines of the audit are read at a time.
const LINES: u32 = 100;

/// The detail by which the audit tells that a subscription was taken along by a migration.
const MIGRATION: &str = "migration_id";

/// Takes the subscriptions of a tenant to another log.
#[derive(Debug, Clone)]
pub struct SubscriptionMigrator {
    control: Arc<dyn ControlPlane>,
    router: Arc<TenantStoreRouter>,
    positions: PositionMapper,
}

/// Which subscriptions.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// Every one that the tenant has.
    All,
    /// These.
    Named(&'a [SubscriptionName]),
}

/// What would become of subscriptions; nothing is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationPlan {
    /// By which migration.
    pub migration_id: MigrationId,
    /// Whose.
    pub tenant_id: TenantId,
    /// Each of them, by name.
    pub planned_migrations: Vec<SubscriptionMigration>,
}

/// What became of subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationSummary {
    /// By which migration.
    pub migration_id: MigrationId,
    /// Whose.
    pub tenant_id: TenantId,
    /// Each of them, by name.
    pub results: Vec<Taken>,
    /// How many go on where they should.
    pub successful_count: usize,
}

/// A subscription that was taken along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its name.
    pub subscription_name: SubscriptionName,
    /// Where it goes on.
    pub position: Position,
    /// What was done for that.
    pub outcome: Outcome,
}

/// What was done about a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: it means the same place in both logs.
    Kept,
    /// It was set to where its number lies here.
    Translated,
    /// Nothing more: it was translated for this migration before.
    TranslatedBefore,
}

impl SubscriptionMigrator {
    /// Takes subscriptions along by these positions: [`PositionMapper::identity`] between our own stores.
    #[must_use]
    pub fn new(
        control: Arc<dyn ControlPlane>,
        router: Arc<TenantStoreRouter>,
        positions: PositionMapper,
    ) -> Self {
        Self { control, router, positions }
    }

    /// What a migration would mean for subscriptions.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a subscription that the tenant does not have; [`Error::Unavailable`].
    pub async fn plan_migration(
        &self,
        migration_id: MigrationId,
        tenant_id: TenantId,
        which: Which<'_>,
    ) -> Result<MigrationPlan> {
        let end = self.end(tenant_id).await?;
        let subscriptions = self.subscriptions(tenant_id, which).await?;
        let planned = subscriptions.into_iter().map(|subscription| {
            let mapped = self.positions.map(subscription.position.0);
            SubscriptionMigration {
                subscription_name: subscription.name,
                current_position: subscription.position,
                planned_target_position: mapped.position,
                is_exact: mapped.is_exact,
                lag: end.0.saturating_sub(mapped.position.0),
            }
        });
        let planned_migrations = planned.collect();
        Ok(MigrationPlan { migration_id, tenant_id, planned_migrations })
    }

    /// Takes subscriptions along. Each is translated once for a migration, whatever its consumer does
    /// meanwhile and however often this is repeated; the audit says so.
    ///
    /// # Errors
    /// As [`SubscriptionMigrator::plan_migration`]. Those before the one that failed are taken along;
    /// repeating it goes on with the others.
    pub async fn migrate_subscriptions(
        &self,
        migration_id: MigrationId,
        tenant_id: TenantId,
        which: Which<'_>,
        by: &By,
    ) -> Result<MigrationSummary> {
        let plan = self.plan_migration(migration_id, tenant_id, which).await?;
        let mut results = Vec::with_capacity(plan.planned_migrations.len());
        for planned in plan.planned_migrations {
            results.push(self.take(migration_id, tenant_id, planned, by).await?);
        }
        let successful_count = results.len();
        Ok(MigrationSummary { migration_id, tenant_id, results, successful_count })
    }

    async fn take(
        &self,
        migration: MigrationId,
        tenant: TenantId,
        planned: SubscriptionMigration,
        by: &By,
    ) -> Result<Taken> {
        let name = planned.subscription_name;
        let taken =
            |position, outcome| Taken { subscription_name: name.clone(), position, outcome };
        if self.positions.is_identity() {
            return Ok(taken(planned.current_position, Outcome::Kept));
        }
        // Its present number may be one of ours already.
        if self.was_translated(migration, tenant, &name).await? {
            return Ok(taken(planned.current_position, Outcome::TranslatedBefore));
        }
        if planned.current_position == planned.planned_target_position {
            return Ok(taken(planned.current_position, Outcome::Kept));
        }
        let by = by
            .with(MIGRATION, migration.to_string())
            .with("source_position", planned.current_position.0)
            .with("is_exact", planned.is_exact);
        let target = planned.planned_target_position;
        let after = self.control.reset_subscription(tenant, &name, target, &by).await?;
        Ok(taken(after.position, Outcome::Translated))
    }

    /// Whether the audit, which is written together with the position, says so.
    async fn was_translated(
        &self,
        migration: MigrationId,
        tenant: TenantId,
        name: &SubscriptionName,
    ) -> Result<bool> {
        let filter = Filter {
            action: Some(Action::SubscriptionReset),
            subjects: vec![Subject::Subscription],
            subject_id: Some(name.to_string()),
            ..Filter::default()
        };
        let id = migration.to_string();
        let mut after = None;
        loop {
            let page = Page { limit: LINES, after };
            let page = self.control.list_audit(tenant, &filter, page).await?;
            if page.items.iter().any(|line| line.details[MIGRATION] == id.as_str()) {
                return Ok(true);
            }
            after = page.next;
            if after.is_none() {
                return Ok(false);
            }
        }
    }

    async fn subscriptions(&self, tenant: TenantId, which: Which<'_>) -> Result<Vec<Subscription>> {
        let mut all = self.control.subscriptions(tenant).await?;
        let Which::Named(names) = which else { return Ok(all) };
        let known = |name: &&SubscriptionName| all.iter().any(|found| found.name == **name);
        if let Some(unknown) = names.iter().find(|name| !known(name)) {
            return Err(Error::NotFound { kind: Kind::Subscription, id: unknown.to_string() });
        }
        all.retain(|subscription| names.contains(&subscription.name));
        Ok(all)
    }

    /// Where the tenant's log ends.
    async fn end(&self, tenant: TenantId) -> Result<Position> {
        let home = self.router.home(tenant).await?;
        let home = home.ok_or(Error::NotFound { kind: Kind::Tenant, id: tenant.to_string() })?;
        let head = home.store.head(tenant).await;
        let head = head.map_err(|error| Error::of_store(&home.route.store_id, error))?;
        Ok(head.position)
    }
}
