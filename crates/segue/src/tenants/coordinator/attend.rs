//! Who carries a migration on: this process, when nobody else does.
//!
//! A coordinator says now and then that it is alive, by a number that grows. Whoever sees that number stand
//! still for as long as the lease lasts, by its own clock, takes over; while a tenant's writes wait, sooner.
//! So no two clocks have to agree, and a lease is a courtesy: what keeps data safe is the term.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use segue_core::ids::{MigrationId, TenantId};
use segue_core::tenancy::migration::MigrationState;
use segue_store::control::audit::Subject;
use segue_store::control::migrations::{self as row, Filter};
use segue_store::control::{Changed, Page};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::driver::Driver;
use super::{Driven, MigrationCoordinator, Shared};
use crate::tenants::course::Source;

/// How many active migrations are read at once.
const PAGE: u32 = 100;

impl MigrationCoordinator {
    /// Begins to carry on what nobody else does, and to look after the stores, until the last clone of this
    /// coordinator is gone. Again, it changes nothing.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn attend(&self) {
        let mut attending =
            self.shared.attending.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        attending.get_or_insert_with(|| {
            let shared = || Arc::downgrade(&self.shared);
            [tokio::spawn(attend(shared())), tokio::spawn(guard(shared()))]
                .map(|task| task.abort_handle())
        });
    }

    /// Stops carrying anything on, at once and wherever it is, as the end of the process would.
    pub fn stop(&self) {
        self.shared.stop();
    }
}

impl Shared {
    pub(super) fn stop(&self) {
        let attending =
            self.attending.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        attending.into_iter().flatten().for_each(|task| task.abort());
        std::mem::take(&mut *self.driven()).into_values().for_each(|driven| driven.task.abort());
    }

    /// Carries a migration on, unless this process does so already.
    pub(super) fn drive(self: &Arc<Self>, tenant: TenantId, id: MigrationId) {
        let mut driven = self.driven();
        if driven.contains_key(&id) {
            return;
        }
        let news = Arc::new(Notify::new());
        let driver = Driver::new(Arc::clone(self), tenant, id, Arc::clone(&news));
        let (shared, ended) = (Arc::downgrade(self), Arc::clone(&news));
        let task = tokio::spawn(async move {
            let _ended = Ended { shared, id, news: ended };
            driver.run().await;
        });
        driven.insert(id, Driven { tenant, news, task: task.abort_handle() });
    }

    /// Carries a migration on if this process is the one that does.
    pub(super) fn drive_if_mine(self: &Arc<Self>, tenant: TenantId, id: MigrationId) {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            if let Ok(migration) = shared.control.migration(id).await
                && migration.coordinator == Some(shared.process)
                && migration.is_active
            {
                shared.drive(tenant, id);
            }
        });
    }

    /// Whether this process has the stores that a migration is between.
    fn knows_stores(&self, migration: &row::Migration) -> bool {
        let known = |id| self.router.store(id).is_ok();
        known(&migration.source) && known(&migration.target)
    }
}

/// The end of a driver, also of one that panics: the migration is left alone then, and found so.
struct Ended {
    shared: Weak<Shared>,
    id: MigrationId,
    news: Arc<Notify>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.forget(self.id, &self.news);
        }
    }
}

/// A migration of somebody else, as it was seen first in this way.
#[derive(Debug, Clone, Copy)]
struct Seen {
    beats: u64,
    state: MigrationState,
    since: Instant,
}

async fn attend(shared: Weak<Shared>) {
    let mut seen: HashMap<MigrationId, Seen> = HashMap::new();
    let Some(mut changes) = shared.upgrade().map(|shared| shared.control.changes()) else { return };
    loop {
        let look_every = {
            let Some(shared) = shared.upgrade() else { return };
            if let Err(error) = look(&shared, &mut seen).await {
                tracing::debug!(%error, "cannot look for migrations; looking again");
            }
            shared.settings.look_every
        };
        let next = Instant::now() + look_every;
        while let Ok(changed) = tokio::time::timeout_at(next, changes.next()).await {
            let Some(shared) = shared.upgrade() else { return };
            match changed {
                Changed::Noun(tenant, Subject::Migration | Subject::Tenant)
                | Changed::Tenant(tenant) => shared.nudge(Some(tenant)),
                Changed::Noun(..) => continue,
                Changed::Anything => shared.nudge(None),
            }
            // Something was decided that may want to be carried on.
            if matches!(changed, Changed::Noun(_, Subject::Migration)) {
                break;
            }
        }
        // A storm of decisions is looked at together.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Looks after stores that come back without their fences. One that does not answer delays nothing else.
async fn guard(shared: Weak<Shared>) {
    while let Some(shared) = shared.upgrade() {
        shared.router.guard(&*shared.clock).await;
        let look_every = shared.settings.look_every;
        drop(shared);
        tokio::time::sleep(look_every).await;
    }
}

/// Looks at every active migration, and takes over what nobody carries on.
async fn look(
    shared: &Arc<Shared>,
    seen: &mut HashMap<MigrationId, Seen>,
) -> segue_store::control::Result<()> {
    let filter = Filter { only_active: true, ..Filter::default() };
    let (mut after, mut active) = (None, Vec::new());
    loop {
        let page = shared.control.list_migrations(&filter, Page { limit: PAGE, after }).await?;
        active.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    shared.courses.see(&active, shared.clock.now(), Source::Told);
    seen.retain(|id, _| active.iter().any(|migration| migration.id == *id));
    for migration in active {
        let wants_nobody =
            matches!(migration.state, MigrationState::Paused | MigrationState::Failed);
        if wants_nobody || !shared.knows_stores(&migration) {
            seen.remove(&migration.id);
            continue;
        }
        if is_left_alone(shared, seen, &migration) {
            shared.drive(migration.tenant_id, migration.id);
        }
    }
    Ok(())
}

/// Whether nobody carries a migration on.
fn is_left_alone(
    shared: &Shared,
    seen: &mut HashMap<MigrationId, Seen>,
    migration: &row::Migration,
) -> bool {
    if migration.coordinator.is_none_or(|process| process == shared.process) {
        return true;
    }
    let (beats, state) = (migration.beats, migration.state);
    let now = Seen { beats, state, since: Instant::now() };
    let before = seen.entry(migration.id).or_insert(now);
    if (before.beats, before.state) != (beats, state) {
        *before = now;
    }
    let lease = match state {
        MigrationState::CutoverPaused => shared.settings.cutover_lease,
        MigrationState::Pending
        | MigrationState::BulkCopy
        | MigrationState::DualWrite
        | MigrationState::Migrated
        | MigrationState::Failed
        | MigrationState::RolledBack
        | MigrationState::Paused => shared.settings.lease,
    };
    before.since.elapsed() >= lease
}
