//! A migration as it is at this moment: what its coordinator last told may be a second old.

use std::time::Duration;

use segue_core::ids::{MigrationId, Position, TenantId};
use segue_core::tenancy::Route;
use segue_core::tenancy::migration::{MigrationState, Progress};
use segue_store::control::migrations as row;
use segue_store::events::{self, Head, Mode};

use super::coordinator::MigrationCoordinator;
use super::migration::Migration;
use super::router::TenantStoreRouter;
use crate::error::Result;

/// How long the stores are waited for; then what was told last is shown.
const PATIENCE: Duration = Duration::from_millis(500);

impl MigrationCoordinator {
    /// Reads a migration. While it copies or follows, its progress is what both stores say now, if they
    /// answer soon.
    ///
    /// # Errors
    /// [`MigrationError::NotFound`](super::MigrationError::NotFound).
    pub async fn present_migration(&self, id: MigrationId) -> Result<Migration> {
        let migration = self.router().present(self.row(id).await?).await;
        self.saw(&migration);
        Ok(migration.into())
    }
}

impl TenantStoreRouter {
    /// A migration with its progress as both stores say now, if they answer soon.
    pub(super) async fn present(&self, migration: row::Migration) -> row::Migration {
        let progresses = match migration.state {
            MigrationState::BulkCopy
            | MigrationState::DualWrite
            | MigrationState::Paused
            | MigrationState::Failed => migration.is_active,
            MigrationState::Pending
            | MigrationState::CutoverPaused
            | MigrationState::Migrated
            | MigrationState::RolledBack => false,
        };
        if !progresses {
            return migration;
        }
        match tokio::time::timeout(PATIENCE, self.progress_now(&migration)).await {
            // So somebody has told how far it is.
            Ok(Some(progress)) => {
                let beats = migration.beats.max(1);
                row::Migration { progress, beats, ..migration }
            }
            Ok(None) | Err(_) => migration,
        }
    }

    /// How far a migration has come; nothing where the stores do not say.
    async fn progress_now(&self, migration: &row::Migration) -> Option<Progress> {
        let tenant = migration.tenant_id;
        let route = self.control().route(tenant).await.ok()??;
        let (owner, peer) = self.heads(&route, tenant).await?;
        let copied = peer.filter(|peer| peer.mode == Mode::Copying);
        let copied = copied.map_or(Position(0), |peer| peer.position);
        Some(Progress { copied, total: owner.position, ..migration.progress })
    }

    /// The heads of the owner and of the store beside it.
    async fn heads(&self, route: &Route, tenant: TenantId) -> Option<(Head, Option<Head>)> {
        let peer = &route.moving.as_ref()?.peer;
        let (owner, peer) = (self.store(&route.store_id).ok()?, self.store(peer).ok()?);
        let (owner, peer) = tokio::join!(owner.head(tenant), peer.head(tenant));
        let peer = match peer {
            Ok(head) => Some(head),
            Err(events::Error::NotFound { .. }) => None,
            Err(_) => return None,
        };
        Some((owner.ok()?, peer))
    }
}
