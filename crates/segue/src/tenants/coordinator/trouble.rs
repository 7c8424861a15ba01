//! Why a step of a migration was not made, and what is done about it.

use std::time::Duration;

use segue_core::tenancy::migration::journal::Obstacle;
use segue_core::tenancy::migration::{Copying, Decision, Entry, Stage, Why};
use segue_store::control::migrations::Decided;
use segue_store::control::{self, Conflict};

use super::at::At;
use super::driver::Driver;
use crate::error::Error;
use crate::telemetry::{self, BreakerOf};

/// The pauses after something that does not answer.
const RETRY: Duration = Duration::from_millis(100);

/// How often in a row the stores may refuse what the core says before it is waited.
const REFUSALS: u32 = 8;

/// Why a step was not made.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Another process carries it on, or it is over.
    Deposed,
    /// A store or the control plane has seen something later: look again.
    Outdated,
    /// A part does not answer now.
    Unavailable(Error),
    /// It does not pass by itself.
    Stuck(Obstacle),
}

impl From<control::Error> for Trouble {
    fn from(error: control::Error) -> Self {
        match error {
            control::Error::Conflict(Conflict::Route(_)) | control::Error::Transition(_) => {
                Self::Outdated
            }
            control::Error::NotFound(_) => Self::Deposed,
            other => Self::Unavailable(other.into()),
        }
    }
}

impl Driver {
    /// Deals with a step that was not made.
    pub(super) async fn meet(&self, at: &mut At, trouble: Trouble) -> Result<(), Trouble> {
        let met = match trouble {
            Trouble::Deposed => return Err(Trouble::Deposed),
            Trouble::Outdated => {
                at.refusals += 1;
                if at.refusals > REFUSALS {
                    tokio::time::sleep(RETRY).await;
                }
                self.look_again(at).await
            }
            Trouble::Unavailable(error) => self.wait_for(at, error).await,
            Trouble::Stuck(obstacle) => self.give_in(at, obstacle).await,
        };
        match met {
            // The control plane or a store is away: what was known still holds.
            Err(Trouble::Unavailable(error)) => {
                tracing::debug!(migration_id = %self.id, %error, "waiting for a part that is away");
                tokio::time::sleep(RETRY).await;
                Ok(())
            }
            // Something else was decided meanwhile, maybe that this is another process's affair now.
            Err(Trouble::Outdated | Trouble::Stuck(_)) => {
                tokio::time::sleep(RETRY / 4).await;
                match self.look_again(at).await {
                    Err(Trouble::Deposed) => Err(Trouble::Deposed),
                    Err(_) | Ok(()) => Ok(()),
                }
            }
            Ok(()) => Ok(()),
            Err(Trouble::Deposed) => Err(Trouble::Deposed),
        }
    }

    async fn look_again(&self, at: &mut At) -> Result<(), Trouble> {
        at.copier.forget();
        self.reread(at).await?;
        self.look(at).await
    }

    /// Something does not answer: left alone for a while, longer each time; while writes wait, not for long.
    async fn wait_for(&self, at: &mut At, error: Error) -> Result<(), Trouble> {
        let was_open = at.breaker.is_open();
        at.breaker.failed(at.begun.elapsed());
        if at.migration.config.enable_metrics && at.breaker.is_open() && !was_open {
            telemetry::breaker_opened(BreakerOf::Coordinator);
        }
        let wait = at.breaker.admits(at.begun.elapsed()).err().unwrap_or(RETRY).max(RETRY / 4);
        let wait = if at.route.is_cut_over() { wait.min(RETRY / 2) } else { wait };
        tracing::debug!(migration = %self.id, %error, ?wait, "a step failed; trying again");
        if at.breaker.is_open() && !at.route.is_cut_over() {
            let suggested = "look at the health of both stores; the migration goes on by itself";
            self.obstruct(at, error.to_string(), suggested).await?;
        }
        let _ = tokio::time::timeout(wait, self.news.notified()).await;
        self.look_again(at).await
    }

    /// Something does not pass by itself: the migration fails where it can, and waits where it cannot.
    async fn give_in(&self, at: &mut At, obstacle: Obstacle) -> Result<(), Trouble> {
        // What contradicts a route that is old may be what was decided since, such as a repair.
        let known = at.route.term;
        self.reread(at).await?;
        if at.route.term != known {
            at.copier.forget();
            return self.look(at).await;
        }
        tracing::error!(
            tenant = %self.tenant, migration_id = %self.id, error = obstacle.message,
            "a migration cannot go on by itself"
        );
        let stage = at.route.moving.as_ref().map(|moving| moving.stage.clone());
        match stage {
            Some(Stage::Pending | Stage::BulkCopy | Stage::DualWrite) => {
                if at.migration.config.enable_metrics {
                    telemetry::migration_failed();
                }
                let mut decided = Decided::new(at.route.term, Decision::Fail);
                decided.entries = vec![Entry::Obstructed(obstacle), Entry::WishDropped];
                let by = self.by();
                let made = self.shared.control.decide_migration(self.tenant, decided, &by).await?;
                self.settle(at, made.0, made.1)
            }
            Some(Stage::CutoverPaused { .. }) => {
                self.stand_in_the_way(at, obstacle.message, "verify and repair the target").await?;
                self.decide(at, Decision::GiveUp { why: Why::Inconsistent }).await
            }
            _ => {
                let suggested = obstacle.suggested_action.unwrap_or_default();
                self.obstruct(at, obstacle.message, &suggested).await?;
                let patience = at.migration.config.check_interval();
                let _ = tokio::time::timeout(patience, self.news.notified()).await;
                self.look_again(at).await
            }
        }
    }

    /// Keeps what stands in the way, if that is news.
    pub(super) async fn obstruct(
        &self,
        at: &mut At,
        message: String,
        suggested: &str,
    ) -> Result<(), Trouble> {
        if at.migration.journal.error.as_ref().is_some_and(|known| known.message == message) {
            return Ok(());
        }
        let entries = vec![Entry::Obstructed(self.obstacle(message, suggested))];
        self.note(at, entries, None).await
    }

    /// Something that does not pass by itself.
    pub(super) fn stuck(&self, message: String, suggested: &str) -> Trouble {
        Trouble::Stuck(self.obstacle(message, suggested))
    }

    /// Something that is met now.
    pub(super) fn obstacle(&self, message: String, suggested: &str) -> Obstacle {
        Obstacle {
            message,
            recoverable: true,
            suggested_action: Some(suggested.to_owned()).filter(|text| !text.is_empty()),
            at: self.shared.clock.now(),
        }
    }

    /// The same for what is not over with the next step that is made.
    pub(super) async fn stand_in_the_way(
        &self,
        at: &mut At,
        message: String,
        suggested: &str,
    ) -> Result<(), Trouble> {
        at.standing = Some(message.clone());
        self.obstruct(at, message, suggested).await
    }

    /// Nothing stands in the way any more.
    pub(super) async fn clear(&self, at: &mut At) -> Result<(), Trouble> {
        let waits_for_operator = matches!(
            at.route.moving.as_ref().map(|moving| &moving.stage),
            Some(Stage::Failed { from: Copying::Pending | Copying::BulkCopy | Copying::DualWrite })
        );
        let Some(known) = &at.migration.journal.error else { return Ok(()) };
        let stands = at.standing.as_ref() == Some(&known.message);
        if stands || waits_for_operator || at.route.is_cut_over() {
            return Ok(());
        }
        self.note(at, vec![Entry::Clear], None).await
    }
}
