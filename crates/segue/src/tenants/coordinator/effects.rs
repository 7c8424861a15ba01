//! Performing what the core says is left to do in the stores.

use std::time::Duration;

use segue_core::digest::Mark;
use segue_core::ids::{Epoch, Position, Term};
use segue_core::tenancy::head::{HeadSwap, Mode};
use segue_core::tenancy::migration::journal::Obstacle;
use segue_core::tenancy::migration::pace::{SLICE, Slice};
use segue_core::tenancy::migration::{Effect, Entry, Side, Stage};
use segue_store::events::{self, Head, Purge, TenantMoved};
use tokio::time::Instant;

use super::at::At;
use super::driver::{CLOSE, Driver};
use super::trouble::Trouble;
use crate::error::Error;
use crate::telemetry;
use crate::tenants::copier::{BulkCopier, CopyError};
use crate::tenants::preflight::{Preflight, Refusal};

/// How long a read-back goes on before the driver looks around.
const READ_SLICE: Duration = Duration::from_millis(200);

/// How long a slice of a bulk copy keeps its turn.
const LONGEST_TURN: Duration = Duration::from_secs(2);

/// Up to how many batches a target that follows is brought at once, without a turn or a rest.
const FEW_BATCHES: u64 = 4;

/// What is told of a copy that falls behind.
const OUTRUN: &str = "the tenant is written faster than it is copied";

/// What to do about a store that answers with something that it never should.
const MEND: &str = "mend the store, then resume the migration";

/// How long a drain waits for the mirror's import that is under way.
const MIRROR_ENDS: Duration = Duration::from_millis(50);

/// Up to which lag a mirror of this process is left to bring what its target lacks.
const MIRRORED: u64 = 10_000;

impl Driver {
    /// Does one thing, and takes note of what came of it.
    pub(super) async fn perform(&self, at: &mut At, effect: Effect) -> Result<(), Trouble> {
        match effect {
            Effect::Preflight => self.preflight(at).await?,
            Effect::Claim { side, epoch, term } => self.claim(at, side, epoch, term).await?,
            Effect::Copy => self.copy(at).await?,
            Effect::Drain { into, to, epoch, term } => {
                self.drain(at, into, to, epoch, term).await?
            }
            Effect::ReadBack => {
                self.read_back(at).await?;
                if at.attempt.is_none() {
                    self.look(at).await?;
                }
            }
            Effect::SwapOwner(swap) => self.swap_owner(at, swap).await?,
            Effect::Retire(swap) => self.retire(at, swap).await?,
            Effect::Purge { epoch, term } => self.purge(at, epoch, term).await?,
        }
        self.saw(at);
        Ok(())
    }

    async fn preflight(&self, at: &mut At) -> Result<(), Trouble> {
        let peer = at.route.moving.as_ref().ok_or(Trouble::Deposed)?.peer.clone();
        let preflight = Preflight {
            control: &self.shared.control,
            tenant: self.tenant,
            source: (&at.route.store_id, &at.owner),
            target: (&peer, &at.peer),
            config: &at.migration.config,
        };
        match preflight.run().await {
            Ok(cleared) => {
                let entries = vec![Entry::Incarnations(cleared.incarnations)];
                self.note(at, entries, None).await?;
                (at.sight.owner, at.sight.peer) = (Some(cleared.source), cleared.target);
                at.sight.preflight_passed = true;
                Ok(())
            }
            Err(Refusal::Later(error)) => Err(Trouble::Unavailable(error)),
            Err(Refusal::Final(error)) => Err(Trouble::Stuck(Obstacle {
                message: error.to_string(),
                recoverable: error.recoverable(),
                suggested_action: error.suggested_action(),
                at: self.shared.clock.now(),
            })),
        }
    }

    /// Claims a copy. What is left of a log that was purged goes first.
    async fn claim(
        &self,
        at: &mut At,
        side: Side,
        epoch: Epoch,
        term: Term,
    ) -> Result<(), Trouble> {
        let (store, seen) = match side {
            Side::Owner => (at.owner.clone(), at.sight.owner),
            Side::Peer => (at.peer.clone(), at.sight.peer),
        };
        if seen.is_some_and(|head| head.mode == Mode::Tombstone) {
            let purge = Purge { tenant: self.tenant, epoch, term };
            while !store.purge(purge).await.map_err(|error| self.of(at, side, error))?.is_complete {
            }
        }
        let head = store.begin_copy(self.tenant, epoch, term).await;
        let head = Some(head.map_err(|error| self.of(at, side, error))?);
        match side {
            Side::Owner => at.sight.owner = head,
            Side::Peer => at.sight.peer = head,
        }
        Ok(())
    }

    async fn copy(&self, at: &mut At) -> Result<(), Trouble> {
        let moving = at.route.moving.as_ref().ok_or(Trouble::Deposed)?;
        let (is_bulk, mirrors) = (moving.stage == Stage::BulkCopy, moving.stage.mirrors());
        let claim = moving.claim;
        let head = at.sight.peer.ok_or(Trouble::Outdated)?;
        let owner = at.sight.owner.map_or(Position(0), |owner| owner.position);
        let lag = owner.0.saturating_sub(head.position.0);
        if mirrors && lag <= MIRRORED && at.left_to_mirror != Some(head.position) {
            // Appends of this process are on their way to the target.
            at.left_to_mirror = Some(head.position);
            tokio::time::sleep(CLOSE).await;
            return self.look(at).await;
        }
        let few = FEW_BATCHES * u64::from(at.migration.config.batch_size);
        if !is_bulk && (lag <= few || at.is_waited_for()) {
            return self.copy_tail(at, head, claim).await;
        }
        let slice = {
            let turn = self.shared.copies.acquire().await.map_err(|_| Trouble::Deposed)?;
            let mut slicing = std::pin::pin!(self.copy_slice(at, head, claim));
            match tokio::time::timeout(LONGEST_TURN, &mut slicing).await {
                Ok(slice) => slice?,
                // A store is slow or hangs. That is waited for, but not in the way of others.
                Err(_elapsed) => {
                    drop(turn);
                    slicing.await?
                }
            }
        };
        self.tell_mirror(at);
        let rest = at.pace.rest_after(&slice);
        at.measured.last_slice =
            Some((Instant::now(), at.sight.owner.map_or(Position(0), |head| head.position)));
        self.note_outrun(at).await?;
        self.rest(at, Instant::now() + rest).await
    }

    /// Tells that the copy cannot come to its end, while it cannot.
    async fn note_outrun(&self, at: &mut At) -> Result<(), Trouble> {
        if !at.pace.is_outrun() {
            at.standing = at.standing.take().filter(|standing| standing != OUTRUN);
            return Ok(());
        }
        let suggested = "raise max_bulk_copy_rate if it is set, choose a target that takes more, or \
                         move the tenant when it is written less";
        self.stand_in_the_way(at, OUTRUN.to_owned(), suggested).await
    }

    /// Tells the mirror of this process how far the target has come.
    fn tell_mirror(&self, at: &At) {
        let mirror = self.shared.router.mirrors.of(self.tenant, self.id);
        if let (Some(mirror), Some(peer)) = (mirror, at.sight.peer) {
            mirror.saw(peer.position);
        }
    }

    /// Leaves the source to its writers, until a moment or until something is decided.
    async fn rest(&self, at: &mut At, until: Instant) -> Result<(), Trouble> {
        let decided = at.route.term;
        while at.route.term == decided && !at.is_waited_for() {
            let woken = tokio::time::timeout_at(until, self.news.notified()).await;
            self.reread(at).await?;
            if woken.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// A slice of a large copy, and of what is read back of it meanwhile.
    async fn copy_slice(&self, at: &mut At, head: Head, claim: Term) -> Result<Slice, Trouble> {
        let begun = Instant::now();
        let source_before = at.sight.owner.map_or(Position(0), |head| head.position);
        let (rested, appended_at_rest) = match at.measured.last_slice {
            Some((ended, position)) => {
                // Where the source stands now is only known when it is read.
                let now = at.owner.head(self.tenant).await;
                let now = now.map_err(|error| self.of(at, Side::Owner, error))?;
                at.sight.owner = Some(now);
                (begun - ended, now.position.0.saturating_sub(position.0))
            }
            None => (Duration::ZERO, 0),
        };
        let begun = Instant::now();
        // What only follows is read back when the tenant is to go there.
        let stage = at.route.moving.as_ref().map(|moving| &moving.stage);
        let follows = matches!(stage, Some(Stage::Migrated { .. }));
        let reads_back = at.migration.config.needs_read_back() && !follows;
        let copying = at.copier.copy(head, claim, begun + SLICE, at.pace.most_at_once());
        let reading = async {
            match reads_back && at.read_back.mark().position < head.position {
                true => at.read_back.run(begun + SLICE).await.map(drop),
                false => Ok(()),
            }
        };
        let (copied, read) = tokio::join!(copying, reading);
        let copied = copied.map_err(|error| self.of_copy(at, Side::Peer, error))?;
        read.map_err(|error| self.of(at, Side::Peer, error))?;
        let worked = begun.elapsed();
        at.sight.read_back = at.read_back.mark();
        let before = at.sight.owner.map_or(source_before, |head| head.position);
        (at.sight.owner, at.sight.peer) = (Some(copied.source), Some(copied.target));
        at.measured.copied(copied.events_copied, worked, Instant::now());
        if at.migration.config.enable_metrics {
            telemetry::events_copied(copied.events_copied);
        }
        Ok(Slice {
            worked,
            copied: copied.events_copied,
            appended_at_work: copied.source.position.0.saturating_sub(before.0),
            rested,
            appended_at_rest,
        })
    }

    /// What the mirrors have not brought.
    async fn copy_tail(&self, at: &mut At, head: Head, claim: Term) -> Result<(), Trouble> {
        let begun = Instant::now();
        let copied = at.copier.copy(head, claim, begun + SLICE, u64::MAX).await;
        let copied = copied.map_err(|error| self.of_copy(at, Side::Peer, error))?;
        if copied.events_copied > 0 {
            at.measured.page = begun.elapsed();
            at.measured.copied(copied.events_copied, begun.elapsed(), Instant::now());
        }
        (at.sight.owner, at.sight.peer) = (Some(copied.source), Some(copied.target));
        if at.migration.config.enable_metrics {
            telemetry::events_copied(copied.events_copied);
        }
        self.tell_mirror(at);
        self.reread(at).await
    }

    /// Brings one side to where the other one ends, and prepares it. On the owner's side, that is one that
    /// was prepared before the commit and has lost it.
    async fn drain(
        &self,
        at: &mut At,
        into: Side,
        to: Mark,
        epoch: Epoch,
        term: Term,
    ) -> Result<(), Trouble> {
        match into {
            Side::Peer => {
                let seen = at.sight.peer.ok_or(Trouble::Outdated)?;
                let head = self.left_by_mirror(seen).await.unwrap_or(seen);
                // What was read before the fence may lack the last state of a stream.
                at.copier.forget();
                if let Some(attempt) = &mut at.attempt {
                    attempt.drained = to.position.0.saturating_sub(head.position.0);
                }
                let drained = at.copier.drain(head, to, term, epoch).await;
                at.sight.peer = Some(drained.map_err(|error| self.of_copy(at, Side::Peer, error))?);
            }
            Side::Owner => {
                let head = at.sight.owner.ok_or(Trouble::Outdated)?;
                let batch = usize::try_from(at.migration.config.batch_size).unwrap_or(1_000);
                let (from, into) = (at.peer.clone(), at.owner.clone());
                let mut back = BulkCopier::new(from, into, self.tenant, batch);
                let drained = back.drain(head, to, term, epoch).await;
                at.sight.owner =
                    Some(drained.map_err(|error| self.of_copy(at, Side::Owner, error))?);
            }
        }
        Ok(())
    }

    /// Where the mirror of this process has left the target, if that is further than it was seen. An import
    /// that was under way when the cutover was decided would win against the drain, so it is waited for,
    /// but not for long: the drain finds out by itself, and a store may hang on one connection only.
    async fn left_by_mirror(&self, seen: Head) -> Option<Head> {
        let mirror = self.shared.router.mirrors.of(self.tenant, self.id)?;
        let left = tokio::time::timeout(MIRROR_ENDS, mirror.take_head()).await.ok().flatten()?;
        let continues = (left.mode, left.term) == (seen.mode, seen.term);
        Some(left).filter(|left| continues && left.position > seen.position)
    }

    async fn read_back(&self, at: &mut At) -> Result<(), Trouble> {
        let read = at.read_back.run(Instant::now() + READ_SLICE).await;
        at.sight.read_back = at.read_back.mark();
        match read {
            Ok(Some(head)) => at.sight.peer = Some(head),
            Ok(None) => {}
            Err(events::Error::Damaged { position, what }) => {
                let message = format!("the target is damaged at position {position}: {what}");
                return Err(self.stuck(message, "repair the migration, then resume it"));
            }
            Err(error) => return Err(self.of(at, Side::Peer, error)),
        }
        Ok(())
    }

    /// Fences the owner, or opens it again.
    async fn swap_owner(&self, at: &mut At, swap: HeadSwap) -> Result<(), Trouble> {
        if let Some(attempt) = &mut at.attempt
            && swap.mode == Mode::Fenced
        {
            attempt.fenced.get_or_insert_with(Instant::now);
        }
        let head = at.owner.swap_head(self.tenant, swap).await;
        at.sight.owner = Some(head.map_err(|error| self.of(at, Side::Owner, error))?);
        Ok(())
    }

    async fn retire(&self, at: &mut At, swap: HeadSwap) -> Result<(), Trouble> {
        // Where it ends is where the owner began, and the core has seen that its digest is right: also when
        // the tenant is on its way back already.
        let left = at.sight.peer.ok_or(Trouble::Outdated)?;
        let moved = TenantMoved {
            target: at.route.store_id.clone(),
            epoch: at.route.epoch,
            at: left.mark(),
            moved_at: at.migration.completed_at.unwrap_or_else(|| self.shared.clock.now()),
        };
        let head = at.peer.retire(self.tenant, swap, moved).await;
        at.sight.peer = Some(head.map_err(|error| self.of(at, Side::Peer, error))?);
        Ok(())
    }

    async fn purge(&self, at: &mut At, epoch: Epoch, term: Term) -> Result<(), Trouble> {
        let purged = at.peer.purge(Purge { tenant: self.tenant, epoch, term }).await;
        let purged = purged.map_err(|error| self.of(at, Side::Peer, error))?;
        at.sight.peer = Some(purged.head);
        at.sight.is_purged = purged.is_complete;
        Ok(())
    }

    /// What an error of one of the stores means.
    fn of(&self, at: &At, side: Side, error: events::Error) -> Trouble {
        let store = match (side, &at.route.moving) {
            (Side::Peer, Some(moving)) => &moving.peer,
            (Side::Owner | Side::Peer, _) => &at.route.store_id,
        };
        match error {
            events::Error::HeadDiffers { .. }
            | events::Error::Fenced { .. }
            | events::Error::NotFound { .. }
            | events::Error::Conflict { .. } => Trouble::Outdated,
            events::Error::Unavailable { .. } => {
                Trouble::Unavailable(Error::of_store(store, error))
            }
            events::Error::Damaged { .. }
            | events::Error::Corrupt { .. }
            | events::Error::DuplicateEvent { .. }
            | events::Error::StreamNotFound { .. }
            | events::Error::TooLarge { .. }
            | events::Error::Invalid(_) => self.stuck(format!("store `{store}`: {error}"), MEND),
        }
    }

    /// What an error of a copy into one side means.
    fn of_copy(&self, at: &At, into: Side, error: CopyError) -> Trouble {
        match error {
            CopyError::Source(error @ events::Error::Unavailable { .. }) => {
                self.of(at, into.other(), error)
            }
            CopyError::Target(error @ events::Error::Unavailable { .. }) => {
                self.of(at, into, error)
            }
            CopyError::Source(
                events::Error::HeadDiffers { .. }
                | events::Error::Fenced { .. }
                | events::Error::NotFound { .. },
            )
            | CopyError::Target(
                events::Error::HeadDiffers { .. }
                | events::Error::Fenced { .. }
                | events::Error::NotFound { .. },
            ) => Trouble::Outdated,
            CopyError::Damaged { .. } => self.stuck(
                error.to_string(),
                "verify the tenant's log and restore the source; then resume the migration, or abort it",
            ),
            CopyError::Apart { .. } => self.stuck(
                error.to_string(),
                "verify the tenant's log in both stores; repair the migration, or abort it",
            ),
            CopyError::Source(_) | CopyError::Target(_) => self.stuck(error.to_string(), MEND),
        }
    }
}
