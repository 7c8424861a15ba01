//! Saying that a process that carries a migration on is alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use segue_core::ids::{MigrationId, TenantId};
use segue_core::tenancy::migration::Progress;
use tokio::sync::{Notify, watch};

use super::Shared;

/// Says that this process is alive, until it is told that another one carries the migration on: often enough
/// for those who wait for the lease that counts now.
pub(super) async fn beat(
    shared: Arc<Shared>,
    (tenant, id): (TenantId, MigrationId),
    progress: watch::Receiver<Progress>,
    mut lease: watch::Receiver<Duration>,
    deposed: Arc<AtomicBool>,
    news: Arc<Notify>,
) {
    loop {
        let now = *progress.borrow();
        match shared.control.beat(tenant, id, shared.process, now).await {
            Ok(true) => {}
            Ok(false) => {
                deposed.store(true, Ordering::Relaxed);
                news.notify_one();
                return;
            }
            Err(error) => {
                tracing::debug!(migration_id = %id, %error, "a coordinator could not say it is alive")
            }
        }
        let every = *lease.borrow_and_update() / 4;
        let _ = tokio::time::timeout(every, lease.changed()).await;
    }
}
