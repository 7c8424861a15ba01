//! Saying that a process that carries a migration on is alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use segue_core::ids::{MigrationId, TenantId};
use segue_core::tenancy::migration::Progress;
use tokio::sync::{Notify, watch};

use super::Shared;

/// Says that this process is alive, until it is told that another one carries the migration on.
pub(super) async fn beat(
    shared: Arc<Shared>,
    (tenant, id): (TenantId, MigrationId),
    progress: watch::Receiver<Progress>,
    deposed: Arc<AtomicBool>,
    news: Arc<Notify>,
) {
    // Often enough for those who wait for the shorter of both leases.
    let every = shared.settings.lease.min(shared.settings.cutover_lease) / 4;
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
                tracing::debug!(migration = %id, %error, "a coordinator could not say it is alive")
            }
        }
        tokio::time::sleep(every).await;
    }
}
