//! What operators ask of a migration: each a decision, made once.

use std::time::Duration;

use jiff::SignedDuration;
use segue_core::ids::{MigrationId, StoreId, TenantId};
use segue_core::tenancy::Route;
use segue_core::tenancy::migration::journal::Wish;
use segue_core::tenancy::migration::{Decision, Entry, MigrationConfig, MigrationState};
use segue_store::control::audit::Action;
use segue_store::control::migrations::{self as row, Decided};
use segue_store::control::{self, By, Conflict};

use super::wait::{Outcome, attempts};
use super::{MigrationCoordinator, Shared};
use crate::error::{Error, Result};
use crate::tenants::migration::Migration;
use crate::tenants::migration_error::MigrationError;

/// How often a decision is tried again because somebody decided something else meanwhile.
const ROUNDS: usize = 32;

/// How long an abort is waited for until writes go on and the target is clean. It goes on by itself.
const ABORTED_WITHIN: Duration = Duration::from_secs(10);

/// How many characters a reason may have.
pub const REASON_LENGTH: usize = 1_000;

impl MigrationCoordinator {
    /// Starts to move a tenant to a store.
    ///
    /// # Errors
    /// [`Error::UnknownStore`]; [`Error::NotFound`] for a tenant that lives nowhere;
    /// [`MigrationError::SameStore`]; [`MigrationError::AlreadyExists`]; what a dry run finds.
    pub async fn start_migration(
        &self,
        tenant: TenantId,
        target: &StoreId,
        config: MigrationConfig,
        by: &By,
    ) -> Result<Migration> {
        // Whoever asks is told at once what would make it fail.
        self.shared.clear(tenant, target, &config).await?;
        for _ in 0..ROUNDS {
            let route = self.shared.route(tenant).await?;
            if let Some(moving) = &route.moving {
                let state = MigrationState::from(&moving.stage);
                let (tenant_id, migration_id) = (tenant, moving.migration);
                return Err(MigrationError::AlreadyExists { tenant_id, migration_id, state }.into());
            }
            if route.store_id == *target {
                let (tenant_id, store) = (tenant, target.clone());
                return Err(MigrationError::SameStore { tenant_id, store }.into());
            }
            let migration = MigrationId(self.shared.clock.new_id());
            let start = Decision::Start { migration, target: target.clone() };
            let mut decided = Decided::new(route.term, start);
            decided.config = Some(config.clone());
            decided.coordinator = Some(self.shared.process);
            match self.shared.control.decide_migration(tenant, decided, by).await {
                Ok((route, started)) => {
                    self.shared.router.remember(tenant, Some(&route));
                    self.carry_on(tenant, migration);
                    return Ok(started.into());
                }
                Err(
                    control::Error::Conflict(Conflict::Route(_)) | control::Error::Transition(_),
                ) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended(tenant))
    }

    /// Stops the copying for a while. Writers do not notice. Who wanted to cut over has to say so again.
    ///
    /// # Errors
    /// [`MigrationError::NotFound`]; [`MigrationError::InvalidStateTransition`] unless it copies or follows.
    pub async fn pause_migration(&self, id: MigrationId, by: &By) -> Result<Migration> {
        let asked = Asked { action: "be paused", leads_to: MigrationState::Paused };
        let pause = |_: &Route, _: &row::Migration| (Decision::Pause, vec![Entry::WishDropped]);
        self.decide(id, asked, pause, by).await
    }

    /// Goes on where a migration was paused, or where it failed.
    ///
    /// # Errors
    /// [`MigrationError::NotFound`]; [`MigrationError::InvalidStateTransition`] unless it is paused or failed.
    pub async fn resume_migration(&self, id: MigrationId, by: &By) -> Result<Migration> {
        let asked = Asked { action: "be resumed", leads_to: MigrationState::BulkCopy };
        let resume = |_: &Route, _: &row::Migration| {
            // What was found before may have been mended, or broken, meanwhile.
            (Decision::Resume, vec![Entry::Clear, Entry::Disproved])
        };
        self.decide(id, asked, resume, by).await
    }

    /// Aborts a migration: the tenant stays in the source, and the target is cleaned. Waits for that, but
    /// not for long; it is done in any case.
    ///
    /// # Errors
    /// [`MigrationError::NotFound`]; [`MigrationError::InvalidStateTransition`] when it is decided already.
    pub async fn abort_migration(
        &self,
        id: MigrationId,
        reason: &str,
        by: &By,
    ) -> Result<Migration> {
        self.decide_abort(id, reason, by).await?;
        let is_over = |migration: &Migration| {
            migration.state == MigrationState::RolledBack && !migration.is_active
        };
        self.wait_until(id, ABORTED_WITHIN, is_over).await
    }

    pub(super) async fn decide_abort(
        &self,
        id: MigrationId,
        reason: &str,
        by: &By,
    ) -> Result<Migration> {
        let asked = Asked { action: "be aborted", leads_to: MigrationState::RolledBack };
        let abort = |_: &Route, _: &row::Migration| {
            (Decision::Abort, vec![Entry::Aborted(reason.to_owned()), Entry::WishDropped])
        };
        self.decide(id, asked, abort, by).await
    }

    /// Wishes to cut over: as soon as the target is close enough and its history verified, writes are
    /// paused for a moment and the tenant moves. `force` passes over the verification of the history, never
    /// over the equality of both ends. Waits for what comes of it for as long as `patience`.
    ///
    /// # Errors
    /// [`MigrationError::NotFound`]; [`MigrationError::InvalidStateTransition`] unless the target follows
    /// the source; [`MigrationError::CutoverTimeout`], [`MigrationError::Consistency`] and
    /// [`MigrationError::Obstructed`] when it was given up: writes go on in the source.
    pub async fn initiate_cutover(
        &self,
        id: MigrationId,
        force: bool,
        by: &By,
        patience: Duration,
    ) -> Result<Outcome> {
        let migration = self.shared.row(id).await?;
        let asked = Asked { action: "cut over", leads_to: MigrationState::CutoverPaused };
        if migration.state != MigrationState::DualWrite {
            return Err(asked.refused(&migration).into());
        }
        let wish = Wish { force, by: by.actor.clone(), at: by.at };
        let by = by.with("force", force);
        let entries = vec![Entry::Wished(wish), Entry::Clear];
        let action = Some(Action::CutoverRequested);
        let tenant = migration.tenant_id;
        self.shared.control.note_migration(tenant, id, entries, action, &by).await?;
        self.carry_on(tenant, id);
        self.wait_for_cutover(id, attempts(&migration), patience).await
    }

    /// Goes back to the old source, by a migration of its own.
    ///
    /// # Errors
    /// [`MigrationError::NotFound`]; [`MigrationError::InvalidStateTransition`] unless it is migrated and
    /// not finished.
    pub async fn reverse(&self, id: MigrationId, by: &By) -> Result<Migration> {
        let back = MigrationId(self.shared.clock.new_id());
        let asked = Asked { action: "be reversed", leads_to: MigrationState::Migrated };
        let reverse =
            |_: &Route, _: &row::Migration| (Decision::Reverse { migration: back }, Vec::new());
        self.decide(id, asked, reverse, by).await
    }

    /// Gives up the way back: the old source is purged, `now` or when it has been kept for as long as the
    /// migration's settings say.
    ///
    /// # Errors
    /// [`MigrationError::NotFound`]; [`MigrationError::InvalidStateTransition`] unless it is migrated.
    pub async fn finish(&self, id: MigrationId, now: bool, by: &By) -> Result<Migration> {
        let asked = Asked { action: "be finished", leads_to: MigrationState::Migrated };
        let finish = |_: &Route, migration: &row::Migration| {
            let kept = migration.config.source_retention_seconds;
            let kept = SignedDuration::from_secs(i64::try_from(kept).unwrap_or(i64::MAX));
            let since = migration.completed_at.unwrap_or(by.at);
            let due = since.checked_add(kept).unwrap_or(jiff::Timestamp::MAX);
            let purge_at = if now { by.at } else { due };
            (Decision::Finish { purge_at }, Vec::new())
        };
        self.decide(id, asked, finish, by).await
    }

    /// Decides something about a migration, on what it is now.
    pub(super) async fn decide(
        &self,
        id: MigrationId,
        asked: Asked,
        make: impl Fn(&Route, &row::Migration) -> (Decision, Vec<Entry>),
        by: &By,
    ) -> Result<Migration> {
        let mut tenant = None;
        for _ in 0..ROUNDS {
            let migration = self.shared.row(id).await?;
            let route = self.shared.route(migration.tenant_id).await?;
            let is_about_it =
                route.moving.as_ref().is_some_and(|moving| moving.migration == migration.id);
            if !is_about_it {
                return Err(asked.refused(&migration).into());
            }
            let (decision, entries) = make(&route, &migration);
            let mut decided = Decided::new(route.term, decision);
            decided.entries = entries;
            if matches!(decided.decision, Decision::Reverse { .. }) {
                decided.coordinator = Some(self.shared.process);
            }
            let of = migration.tenant_id;
            match self.shared.control.decide_migration(of, decided, by).await {
                Ok((route, after)) => {
                    self.shared.router.remember(of, Some(&route));
                    self.carry_on(of, after.id);
                    return Ok(after.into());
                }
                Err(control::Error::Transition(_)) => {
                    return Err(asked.refused(&migration).into());
                }
                Err(control::Error::Conflict(Conflict::Route(_))) => tenant = Some(of),
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended(tenant.unwrap_or(TenantId(id.0))))
    }

    /// Lets whoever carries the tenant's migrations on look at once, here or by looking for it.
    pub(super) fn carry_on(&self, tenant: TenantId, id: MigrationId) {
        self.shared.nudge(Some(tenant));
        let is_attending = self
            .shared
            .attending
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .is_some();
        if is_attending {
            self.shared.drive_if_mine(tenant, id);
        }
    }
}

/// What is asked of a migration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// As a verb.
    pub(super) action: &'static str,
    /// The state that it leads to.
    pub(super) leads_to: MigrationState,
}

impl Asked {
    pub(super) fn refused(self, migration: &row::Migration) -> MigrationError {
        MigrationError::not_from_here(migration, self.action, self.leads_to)
    }
}

impl Shared {
    /// Looks at both stores, so that whoever asks is told what is in the way.
    async fn clear(
        &self,
        tenant: TenantId,
        target: &StoreId,
        config: &MigrationConfig,
    ) -> Result<()> {
        let (source, stores) = self.ends(tenant, target).await?;
        self.settled(tenant).await?;
        self.router.release(tenant, &self.route(tenant).await?, target).await;
        let preflight = super::Preflight {
            control: &self.control,
            tenant,
            source: (&source, &stores.0),
            target: (target, &stores.1),
            config,
        };
        preflight.run().await.map(drop).map_err(Error::from)
    }
}

fn contended(tenant: TenantId) -> Error {
    Error::Unavailable {
        what: "the control plane",
        reason: format!("others keep deciding about tenant {tenant}"),
        source: None,
    }
}
