//! Repairing a copy: it is taken back to the last digest that both stores agree on and that what is stored
//! comes to, and copied anew from there.

use std::sync::Arc;

use segue_core::digest::Mark;
use segue_core::ids::{Epoch, MigrationId, Position, TenantId};
use segue_core::tenancy::head::{Head, Mode};
use segue_core::tenancy::migration::{Decision, Entry, Progress, Stage, VerificationLevel};
use segue_store::control::By;
use segue_store::control::audit::Action;
use segue_store::control::migrations::Decided;
use segue_store::events::{self, Access, EventStore, Purge, Rewind, limits};
use serde::Serialize;

use super::MigrationCoordinator;
use crate::error::{Error, Result};
use crate::tenants::consistency::last_of;
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
        let moving = route.moving.as_ref().filter(|moving| moving.migration == id);
        let can_be = |stage: &Stage| match stage {
            Stage::BulkCopy | Stage::DualWrite | Stage::Paused { .. } | Stage::Failed { .. } => {
                true
            }
            Stage::Pending
            | Stage::CutoverPaused { .. }
            | Stage::Reopening { .. }
            | Stage::RollingBack
            | Stage::Migrated { .. }
            | Stage::Finishing { .. } => false,
        };
        if !moving.is_some_and(|moving| can_be(&moving.stage)) {
            return Err(MigrationError::InvalidStateTransition {
                migration_id: id,
                current_state: migration.state,
                action: "be repaired",
                attempted_state: migration.state,
                allowed_transitions: migration.state.allowed_transitions().to_vec(),
            }
            .into());
        }
        // Whoever copied until now is refused from here on.
        let mut take = Decided::new(route.term, Decision::TakeOver);
        take.coordinator = Some(shared.process);
        let (route, migration) = shared.control.decide_migration(tenant, take, by).await?;
        shared.router.remember(tenant, Some(&route));
        let moving = route.moving.as_ref().ok_or(MigrationError::NotFound { migration_id: id })?;
        let peer_id = moving.peer.clone();
        let peer = shared.router.store(&peer_id)?;
        let owner = shared.router.store(&route.store_id)?;
        let of_peer = |error| Error::of_store(&peer_id, error);
        let of_owner = |error| Error::of_store(&route.store_id, error);
        let head = peer.begin_copy(tenant, route.epoch, moving.claim).await.map_err(of_peer)?;

        let verifier = shared.verifier(&migration).await?;
        let level = VerificationLevel::Full;
        let report = verifier.verify_tenant_consistency(level, 100.0, Mark::START, |_| ()).await?;
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
                let claimed = Claimed { tenant, epoch: route.epoch, head };
                take_back(&peer, claimed, to).await.map_err(of_peer)?
            }
        };
        let progress =
            Progress { copied: rewound.position, read_back: Mark::START, ..migration.progress };
        shared.control.beat(tenant, id, shared.process, progress).await?;
        let by = by.with("from_position", head.position.0).with("to_position", rewound.position.0);
        let (entries, action) = (vec![Entry::Clear], Some(Action::MigrationRepaired));
        let noted = shared.control.note_migration(tenant, id, entries, action, &by).await?;
        self.carry_on(tenant, id);
        Ok(Repaired {
            migration: noted.into(),
            violations: report.violations,
            from_position: head.position,
            to_position: rewound.position,
        })
    }
}

/// A copy that is claimed.
struct Claimed {
    tenant: TenantId,
    epoch: Epoch,
    head: Head,
}

/// The last digest before a position that both stores keep.
async fn common_before(
    source: &Arc<dyn EventStore>,
    target: &Arc<dyn EventStore>,
    tenant: TenantId,
    before: Position,
) -> events::Result<Mark> {
    let mut common = Mark::START;
    loop {
        let kept = |store: &Arc<dyn EventStore>| {
            let store = Arc::clone(store);
            async move { store.digests(tenant, Access::Copy, common.position, 500).await }
        };
        let (written, read) = tokio::join!(kept(source), kept(target));
        let (written, read) = (written?, read?);
        let same = read.iter().rfind(|mark| mark.position < before && written.contains(mark));
        match same {
            Some(mark) if mark.position > common.position => common = *mark,
            _ => return Ok(common),
        }
    }
}

/// Takes a copy back step by step, each within what one rewind takes.
async fn take_back(
    store: &Arc<dyn EventStore>,
    Claimed { tenant, epoch, mut head }: Claimed,
    to: Mark,
) -> events::Result<Head> {
    let term = head.term;
    while head.position > to.position {
        let room = limits::EVENTS_PER_REWIND as u64 / 2;
        let step = next_step(store, tenant, to, head.position, room).await?;
        match store.rewind(Rewind { tenant, term, to: step }).await {
            Ok(rewound) => head = rewound,
            // No digest that is kept can be trusted: from the beginning, then.
            Err(events::Error::Invalid(_) | events::Error::TooLarge { .. }) => {
                while !store.purge(Purge { tenant, epoch, term }).await?.is_complete {}
                return store.begin_copy(tenant, epoch, term).await;
            }
            Err(error) => return Err(error),
        }
        debug_assert_eq!(head.mode, Mode::Copying);
    }
    Ok(head)
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
