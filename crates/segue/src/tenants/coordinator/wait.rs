//! Waiting for what was asked for to be carried out, by whichever process does it.

use std::time::Duration;

use segue_core::ids::MigrationId;
use segue_core::tenancy::migration::{MigrationState, Why};
use segue_store::control::migrations as row;
use tokio::time::Instant;

use super::{MigrationCoordinator, Shared};
use crate::error::Result;
use crate::tenants::migration::Migration;
use crate::tenants::migration_error::MigrationError;

/// How often the control plane is asked at first, and in the end.
const FIRST: Duration = Duration::from_millis(5);
const LAST: Duration = Duration::from_millis(250);

/// What came of a wish to cut over, as far as it is known.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The tenant has moved.
    Migrated(Box<Migration>),
    /// Not yet: the wish stands, and is carried out when the target is close enough.
    Standing(Box<Migration>),
}

impl MigrationCoordinator {
    /// Waits until a migration is as wanted, but no longer than `patience`; answers with it as it is then.
    ///
    /// # Errors
    /// [`MigrationError::NotFound`].
    pub async fn wait_until(
        &self,
        id: MigrationId,
        patience: Duration,
        is_wanted: impl Fn(&Migration) -> bool,
    ) -> Result<Migration> {
        let deadline = Instant::now() + patience;
        let mut pause = FIRST;
        loop {
            let migration = Migration::from(self.shared.row(id).await?);
            if is_wanted(&migration) || Instant::now() >= deadline {
                return Ok(migration);
            }
            tokio::time::sleep_until(deadline.min(Instant::now() + pause)).await;
            pause = (pause * 3 / 2).min(LAST);
        }
    }

    /// Waits for what comes of a wish to cut over, made when `before` cutovers had been tried.
    pub(super) async fn wait_for_cutover(
        &self,
        id: MigrationId,
        before: u32,
        patience: Duration,
    ) -> Result<Outcome> {
        let is_over = |migration: &Migration| {
            let tried = migration.cutover.attempts > before;
            let is_dropped = !migration.cutover.requested;
            migration.state != MigrationState::CutoverPaused
                && (migration.state == MigrationState::Migrated || tried || is_dropped)
        };
        let migration = self.wait_until(id, patience, is_over).await?;
        if migration.state == MigrationState::Migrated {
            return Ok(Outcome::Migrated(Box::new(migration)));
        }
        if !is_over(&migration) {
            return Ok(Outcome::Standing(Box::new(migration)));
        }
        Err(self.shared.failed_cutover(&migration).into())
    }
}

impl Shared {
    /// Why a cutover came to nothing.
    fn failed_cutover(&self, migration: &Migration) -> MigrationError {
        let migration_id = migration.id;
        let last = migration.cutover.history.last().and_then(|cutover| cutover.gave_up);
        let obstacle = migration.error.clone();
        let verification = migration.verification.as_ref();
        let details = || {
            let differs = verification.and_then(|verified| verified.violations.first().cloned());
            let obstacle = obstacle.as_ref().map(|obstacle| obstacle.message.clone());
            differs.or(obstacle).unwrap_or_else(|| Why::Inconsistent.to_string())
        };
        match last {
            _ if verification.is_some_and(|verified| !verified.is_consistent) => {
                MigrationError::Consistency { migration_id, details: details() }
            }
            Some(Why::Timeout) => MigrationError::CutoverTimeout {
                migration_id,
                timeout_seconds: migration.config.cutover_timeout_seconds,
                blocked_writers: self.router.waiting.count(migration.tenant_id),
            },
            Some(Why::Inconsistent) => {
                MigrationError::Consistency { migration_id, details: details() }
            }
            Some(Why::TargetLost) | None => MigrationError::Obstructed {
                migration_id,
                details: obstacle.as_ref().map_or_else(
                    || "the cutover was given up".to_owned(),
                    |obstacle| obstacle.message.clone(),
                ),
                recoverable: obstacle.as_ref().is_none_or(|obstacle| obstacle.recoverable),
                suggested_action: obstacle.and_then(|obstacle| obstacle.suggested_action),
            },
        }
    }
}

/// How many cutovers a migration has tried.
pub(super) fn attempts(migration: &row::Migration) -> u32 {
    migration.journal.cutovers.last().map_or(0, |last| last.attempt)
}
