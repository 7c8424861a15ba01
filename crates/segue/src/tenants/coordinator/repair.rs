//! Repairing a copy: it is taken back to the last digest that both stores agree on and that what is stored
//! comes to, and copied anew from there.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use segue_core::digest::Mark;
use segue_core::ids::{Epoch, MigrationId, Position, TenantId, Term};
use segue_core::tenancy::Route;
use segue_core::tenancy::head::Head;
use segue_core::tenancy::migration::{
    Copying, Decision, Entry, Moving, Progress, Stage, VerificationLevel,
};
use segue_store::control::By;
use segue_store::control::audit::Action;
use segue_store::control::migrations::{self as row, Decided};
use segue_store::events::{self, Access, EventStore, Purge, Rewind, limits};
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use super::beat::beat;
use super::verification::copy_of;
use super::{Driven, MigrationCoordinator, Shared};
use crate::error::{Error, Result};
use crate::tenants::consistency::last_of;
use crate::tenants::marks::common_before;
use crate::tenants::migration::Migration;
use crate::tenants::migration_error::MigrationError;

/// What a repair came to.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Repaired {
    /// The migration.
    pub migration: Migration,
    /// What had been wrong: the first hundred.
    pub violations: Vec<super::super::consistency::Violation>,
    /// Where the copy ended.
    pub from_position: Position,
    /// Where it was taken back to; what follows is copied anew.
    pub to_position: Position,
}

impl MigrationCoordinator {
    /// Finds what is wrong with the copy of a migration and takes it back to before that. The migration goes
    /// on from there; one that has failed or is paused stays so until it is resumed.
    ///
    /// # Errors
    /// [`MigrationError::NotFound`]; [`MigrationError::InvalidStateTransition`] unless it copies, follows, is
    /// paused or has failed; [`Error::Unavailable`].
    pub async fn repair(&self, id: MigrationId, by: &By) -> Result<Repaired> {
        let shared = &self.shared;
        let migration = shared.row(id).await?;
        let tenant = migration.tenant_id;
        let route = shared.route(tenant).await?;
        let Some(moving) = repairable(&route, id) else {
            return Err(refused(&migration).into());
        };
        // There may be no copy yet.
        self.claim(tenant, route.epoch, moving).await?;
        let verifier = shared.verifier(&migration).await?;
        let level = VerificationLevel::Full;
        let report = verifier.verify_tenant_consistency(level, 100.0, Mark::START, |_| ()).await?;
        // Whoever copied until now is refused from here on, and nobody of this process begins again.
        let alone = Alone::with(shared, &migration);
        let compared = route;
        let route = shared.route(tenant).await?;
        if repairable(&route, id).is_none() {
            return Err(refused(&shared.row(id).await?).into());
        }
        if copy_of(&route) != copy_of(&compared) {
            return Err(taken_over());
        }
        let mut take = Decided::new(route.term, Decision::TakeOver);
        take.coordinator = Some(shared.process);
        let (route, migration) = shared.control.decide_migration(tenant, take, by).await?;
        shared.router.remember(tenant, Some(&route));
        let moving = route.moving.as_ref().ok_or(MigrationError::NotFound { migration_id: id })?;
        let (peer, head) = self.claim(tenant, route.epoch, moving).await?;
        let owner = shared.router.store(&route.store_id)?;
        let of_owner = |error| Error::of_store(&route.store_id, error);
        let of_peer = |error| Error::of_store(&moving.peer, error);
        let mut bad: Vec<Position> =
            report.violations.iter().filter_map(|violation| violation.position).collect();
        for stream in report.violations.iter().filter_map(|violation| violation.stream_id.as_ref())
        {
            // The page with a stream's last event brings its state. Where nothing is kept of a stream, its
            // events are known in the source alone.
            let last = match last_of(&peer, tenant, stream).await.map_err(of_peer)? {
                None => last_of(&owner, tenant, stream).await.map_err(of_owner)?,
                last => last,
            };
            bad.push(last.unwrap_or(Position(1)));
        }
        let rewound = match bad.into_iter().min() {
            None => head,
            Some(first) => {
                let to = common_before(&owner, &peer, tenant, first).await.map_err(of_peer)?;
                let claimed = Claimed { tenant, epoch: route.epoch, term: head.term };
                take_back(&peer, claimed, to).await.map_err(of_peer)?
            }
        };
        drop(alone);
        let progress =
            Progress { copied: rewound.position, read_back: Mark::START, ..migration.progress };
        shared.control.beat(tenant, id, shared.process, progress).await?;
        let by = by.with("from_position", head.position.0).with("to_position", rewound.position.0);
        let entries = vec![Entry::Clear, Entry::Disproved];
        let action = Some(Action::MigrationRepaired);
        let noted = shared.control.note_migration(tenant, id, entries, action, &by).await?;
        self.carry_on(tenant, id);
        Ok(Repaired {
            migration: noted.into(),
            violations: report.violations,
            from_position: head.position,
            to_position: rewound.position,
        })
    }

    /// Claims the copy of a repairable migration, as its coordinator does; answers with the store that holds
    /// it.
    async fn claim(
        &self,
        tenant: TenantId,
        epoch: Epoch,
        moving: &Moving,
    ) -> Result<(Arc<dyn EventStore>, Head)> {
        let peer = self.shared.router.store(&moving.peer)?;
        let head = peer.begin_copy(tenant, epoch, moving.claim).await;
        let head = head.map_err(|error| Error::of_store(&moving.peer, error))?;
        Ok((peer, head))
    }
}

/// A migration whose copy may be taken back.
fn repairable(route: &Route, id: MigrationId) -> Option<&Moving> {
    let moving = route.moving.as_ref().filter(|moving| moving.migration == id);
    moving.filter(|moving| match moving.stage {
        Stage::BulkCopy
        | Stage::DualWrite
        | Stage::Paused { .. }
        | Stage::Failed { from: Copying::BulkCopy | Copying::DualWrite } => true,
        // Nothing was sent to the target yet, and an abort would leave there what a repair began.
        Stage::Failed { from: Copying::Pending }
        | Stage::Pending
        | Stage::CutoverPaused { .. }
        | Stage::Reopening { .. }
        | Stage::RollingBack
        | Stage::Migrated { .. }
        | Stage::Finishing { .. } => false,
    })
}

fn refused(migration: &row::Migration) -> MigrationError {
    MigrationError::not_from_here(migration, "be repaired", migration.state)
}

fn taken_over() -> Error {
    Error::Unavailable {
        what: "the migration",
        reason: "another process has taken it over while its copy was compared; repair it again"
            .to_owned(),
        source: None,
    }
}

/// While it lives, this process carries a migration on no further, and says that it is alive all the same.
/// What mirrors bring still comes.
struct Alone {
    shared: Arc<Shared>,
    id: MigrationId,
    news: Arc<Notify>,
    _beating: AbortOnDropHandle<()>,
}

impl Alone {
    /// Stops the driver where it is, as the end of the process would, and takes its place.
    fn with(shared: &Arc<Shared>, migration: &row::Migration) -> Self {
        let (tenant, id) = (migration.tenant_id, migration.id);
        let news = Arc::new(Notify::new());
        // What was read back may be taken back.
        let progress = Progress { read_back: Mark::START, ..migration.progress };
        let beating = {
            let (shared, news) = (Arc::clone(shared), Arc::clone(&news));
            tokio::spawn(async move {
                let (_telling, told) = watch::channel(progress);
                let (_leasing, lease) = watch::channel(shared.settings.lease);
                loop {
                    // It ends where another process is the coordinator, as it may be at first.
                    let deposed = Arc::new(AtomicBool::new(false));
                    let (shared, news) = (Arc::clone(&shared), Arc::clone(&news));
                    let every = shared.settings.lease / 4;
                    beat(shared, (tenant, id), told.clone(), lease.clone(), deposed, news).await;
                    tokio::time::sleep(every).await;
                }
            })
        };
        let task = beating.abort_handle();
        let driven = Driven { tenant, news: Arc::clone(&news), task };
        if let Some(driver) = shared.driven().insert(id, driven) {
            driver.task.abort();
        }
        let _beating = AbortOnDropHandle::new(beating);
        Self { shared: Arc::clone(shared), id, news, _beating }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.shared.forget(self.id, &self.news);
    }
}

/// A copy that is claimed.
#[derive(Debug, Clone, Copy)]
struct Claimed {
    tenant: TenantId,
    epoch: Epoch,
    term: Term,
}

/// Takes a copy back step by step, each within what one rewind takes. Mirrors may extend it meanwhile.
async fn take_back(
    store: &Arc<dyn EventStore>,
    Claimed { tenant, epoch, term }: Claimed,
    to: Mark,
) -> events::Result<Head> {
    loop {
        let head = store.head(tenant).await?;
        if head.position <= to.position {
            return Ok(head);
        }
        let room = limits::EVENTS_PER_REWIND as u64 / 2;
        let step = next_step(store, tenant, to, head.position, room).await?;
        match store.rewind(Rewind { tenant, term, to: step }).await {
            Ok(_) => continue,
            // More than one rewind takes has come meanwhile, or somebody else has taken it back further.
            Err(events::Error::TooLarge { .. }) => {
                let is_near = head.position.0 - step.position.0 <= room;
                let now = store.head(tenant).await?;
                if is_near && now.position > head.position {
                    continue;
                }
            }
            Err(events::Error::Invalid(_)) => {
                if store.head(tenant).await?.position < step.position {
                    continue;
                }
            }
            Err(error) => return Err(error),
        }
        // No digest that is kept can be trusted: from the beginning, then.
        while !store.purge(Purge { tenant, epoch, term }).await?.is_complete {}
        return store.begin_copy(tenant, epoch, term).await;
    }
}

/// The next digest to rewind to: the wanted one, or one on the way.
async fn next_step(
    store: &Arc<dyn EventStore>,
    tenant: TenantId,
    to: Mark,
    end: Position,
    room: u64,
) -> events::Result<Mark> {
    if end.0 - to.position.0 <= room {
        return Ok(to);
    }
    let after = Position((end.0 - room).max(to.position.0));
    let kept = store.digests(tenant, Access::Copy, after, 1).await?;
    Ok(kept.into_iter().find(|mark| mark.position < end).unwrap_or(to))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use segue_store::events::{Import, LogRead, MemoryEventStore};
    use segue_store::faulty::{Fault, FaultyEventStore, Operation};

    use super::*;
    use crate::tenants::fixture::{EPOCH, TENANT, append};

    const CLAIMED: Claimed = Claimed { tenant: TENANT, epoch: EPOCH, term: Term(1) };

    async fn source(groups: usize) -> MemoryEventStore {
        let store = MemoryEventStore::new();
        store.open_tenant(TENANT, EPOCH).await.unwrap();
        for _ in 0..groups {
            append(&store, "s", 1_000, None).await;
        }
        store
    }

    /// Copies so many groups more.
    async fn extend(source: &MemoryEventStore, target: &dyn EventStore, groups: usize) {
        let Claimed { tenant, term, .. } = CLAIMED;
        for _ in 0..groups {
            let head = target.head(tenant).await.unwrap();
            let (access, after, limit) = (Access::Copy, head.position, 1_000);
            let read = LogRead { tenant, access, after, limit, max_bytes: usize::MAX };
            let events = source.read_log(read).await.unwrap().events;
            let (after, streams, prepare) = (head.mark(), Vec::new(), None);
            let import = Import { tenant, term, after, events, streams, prepare };
            target.import(import).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_that_grows_while_it_is_taken_back_loses_no_more_than_it_must() {
        let Claimed { tenant, epoch, term } = CLAIMED;
        let source = source(40).await;
        let target = Arc::new(FaultyEventStore::around(Arc::new(MemoryEventStore::new())));
        target.begin_copy(tenant, epoch, term).await.unwrap();
        extend(&source, target.as_ref(), 12).await;
        let kept = target.digests(tenant, Access::Copy, Position(0), 1).await.unwrap();
        target.inject_next(Operation::Rewind, Fault::Delay(Duration::from_secs(1)));
        let growing = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            extend(&source, target.as_ref(), 28).await;
        };
        let store: Arc<dyn EventStore> = target.clone();
        let (taken_back, ()) = tokio::join!(take_back(&store, CLAIMED, kept[0]), growing);
        assert_eq!(taken_back.unwrap().mark(), kept[0]);
        assert_eq!(target.calls(Operation::Purge), 0, "and it is not begun anew");
    }
}
