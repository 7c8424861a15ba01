//! The end of a migration whose purge will never be made, for the store is gone for good.
//!
//! A migration stays active until the copy that it leaves behind is purged, and a store that never comes
//! back never answers. An operator may end it all the same. That is refused while the store answers, and
//! while the owner is not as it should be, for the copy may be needed then. What is left in the store lacks
//! the tombstone; [`Decision::Abandon`] says why it takes no writes all the same.

use std::time::Duration;

use segue_core::ids::{MigrationId, StoreId};
use segue_core::tenancy::migration::{Decision, Entry, MigrationState};
use segue_store::control::By;
use segue_store::events;

use super::MigrationCoordinator;
use super::lifecycle::Asked;
use crate::error::{Error, Result};
use crate::tenants::migration::Migration;
use crate::tenants::migration_error::MigrationError;
use crate::tenants::placement::with_causes;

/// How long a store may take to show that it is not gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long an abort is waited for until nothing but the purge is left.
const REOPENED_WITHIN: Duration = Duration::from_secs(5);

impl MigrationCoordinator {
    /// Aborts a migration whose target is gone for good: what the target holds is not purged.
    ///
    /// # Errors
    /// [`MigrationError::Obstructed`] when the target answers, or the source does not take writes yet;
    /// otherwise as [`MigrationCoordinator::abort_migration`].
    pub async fn abort_and_abandon(
        &self,
        id: MigrationId,
        reason: &str,
        by: &By,
    ) -> Result<Migration> {
        let asked = Asked { action: "be aborted", leads_to: MigrationState::RolledBack };
        let gone = self.gone(id, asked).await?;
        let before = self.shared.row(id).await?;
        if before.state != MigrationState::RolledBack {
            self.decide_abort(id, reason, by).await?;
        }
        let is_rolling_back = |migration: &Migration| migration.state == MigrationState::RolledBack;
        let aborted = self.wait_until(id, REOPENED_WITHIN, is_rolling_back).await?;
        if !is_rolling_back(&aborted) {
            let details = "it is aborted, and the source does not take writes again yet: a server that has \
                           both stores in its configuration sees to that first";
            return Err(obstructed(id, details.to_owned()));
        }
        match aborted.is_active {
            true => self.abandon(id, asked, gone, by).await,
            // It was aborted before anything was sent to the target, or is clean by now.
            false => Ok(aborted),
        }
    }

    /// Finishes a migration whose old source is gone for good: what the old source holds is not purged.
    ///
    /// # Errors
    /// [`MigrationError::Obstructed`] when the old source answers, or the owner lacks what it had at the
    /// commit; [`Error::Unavailable`] when the owner does not answer; otherwise as
    /// [`MigrationCoordinator::finish`].
    pub async fn finish_and_abandon(&self, id: MigrationId, by: &By) -> Result<Migration> {
        let asked = Asked { action: "be finished", leads_to: MigrationState::Migrated };
        let gone = self.gone(id, asked).await?;
        self.finish(id, true, by).await?;
        self.abandon(id, asked, gone, by).await
    }

    async fn abandon(
        &self,
        id: MigrationId,
        asked: Asked,
        Gone { store, why }: Gone,
        by: &By,
    ) -> Result<Migration> {
        tracing::warn!(migration_id = %id, %store, why, "what this store holds is given up");
        let left = "what was copied of the tenant's log up to then; a tombstone is missing";
        let by = by
            .with("store_id", store.as_str())
            .with("unreachable", why)
            .with("may_be_left_there", left);
        self.decide(id, asked, |_, _| (Decision::Abandon, vec![Entry::Clear]), &by).await
    }

    /// The store that would be purged, if it is gone and nobody needs what it holds.
    async fn gone(&self, id: MigrationId, asked: Asked) -> Result<Gone> {
        let migration = self.shared.row(id).await?;
        let tenant = migration.tenant_id;
        let route = self.shared.route(tenant).await?;
        let moving = route.moving.as_ref().filter(|moving| moving.migration == id);
        let store = moving.ok_or_else(|| asked.refused(&migration))?.peer.clone();
        let why = match self.shared.router.store(&store) {
            Err(_) => "it is not in this server's configuration".to_owned(),
            Ok(peer) => match tokio::time::timeout(PATIENCE, peer.head(tenant)).await {
                Err(_elapsed) => format!("it did not answer within {} s", PATIENCE.as_secs()),
                Ok(Ok(_) | Err(events::Error::NotFound { .. })) => {
                    let details = format!(
                        "store `{store}` answers, so what it holds is purged and not given up"
                    );
                    return Err(obstructed(id, details));
                }
                Ok(Err(error)) => with_causes(&error),
            },
        };
        let owner = self.shared.router.head(tenant).await?;
        // While writes wait for a cutover to be taken back, the owner is at an epoch before.
        if !route.is_cut_over() && owner.is_none_or(|head| head.epoch != route.epoch) {
            let owner = &route.store_id;
            let details = format!(
                "store `{owner}` does not hold what it had when the tenant came there, and `{store}` may"
            );
            return Err(obstructed(id, details));
        }
        Ok(Gone { store, why })
    }
}

/// A store that does not come back.
struct Gone {
    store: StoreId,
    /// How that was seen.
    why: String,
}

fn obstructed(migration_id: MigrationId, details: String) -> Error {
    let action = "read the migration, and decide without `abandon` where both stores answer";
    MigrationError::Obstructed {
        migration_id,
        details,
        recoverable: true,
        suggested_action: Some(action.to_owned()),
    }
    .into()
}
