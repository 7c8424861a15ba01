//! Verifying a migration's copy: before a cutover, and whenever somebody asks.

use segue_core::digest::Mark;
use segue_core::ids::{MigrationId, Position, StoreId, Term};
use segue_core::tenancy::Route;
use segue_core::tenancy::migration::journal::{Proof, Verified};
use segue_core::tenancy::migration::{Entry, MigrationConfig, Stage, VerificationLevel, Why};
use segue_store::control::By;
use segue_store::control::audit::Action;
use segue_store::control::migrations as row;
use tracing::Instrument;

use super::at::At;
use super::driver::Driver;
use super::trouble::Trouble;
use super::{MigrationCoordinator, Shared};
use crate::error::Result;
use crate::telemetry;
use crate::tenants::consistency::{ConsistencyVerifier, VerificationReport, Violation};
use crate::tenants::migration_error::MigrationError;
use crate::tenants::verify::Progress;

/// How often a comparison is made again because the stores changed roles meanwhile.
const ROUNDS: u32 = 3;

/// How many violations are kept with a migration.
const KEPT: usize = 10;

/// How far FULL may be behind the copy when a cutover begins: what is left is compared during the pause.
const LEFT_FOR_THE_PAUSE: u64 = 1_000;

impl MigrationCoordinator {
    /// Compares the copy of a migration with what it was copied from; `from` is the mark up to which an
    /// earlier report calls it sound.
    ///
    /// # Errors
    /// [`MigrationError::NotFound`]; [`MigrationError::InvalidStateTransition`] when there is no copy;
    /// [`crate::Error::Unavailable`].
    pub async fn verify(
        &self,
        id: MigrationId,
        asked: Asked,
        by: &By,
        mut tell: impl FnMut(Progress),
    ) -> Result<VerificationReport> {
        let migration = self.shared.row(id).await?;
        let level = asked.level.unwrap_or(migration.config.verification_level);
        let sample = asked.sample_percentage.unwrap_or(migration.config.sample_percentage);
        let mut round = 1;
        let report = loop {
            let before = self.shared.route(migration.tenant_id).await?;
            let verifier = self.shared.verifier(&migration).await?;
            let report = verifier.verify_tenant_consistency(level, sample, asked.from, &mut tell);
            let report = report.await?;
            // Differences between what changed roles meanwhile, or was taken back, mean nothing.
            let is_about_one_copy = || async {
                let after = self.shared.route(migration.tenant_id).await?;
                Ok::<_, crate::Error>(copy_of(&before) == copy_of(&after))
            };
            if report.is_consistent || round == ROUNDS || is_about_one_copy().await? {
                break report;
            }
            round += 1;
        };
        if migration.config.enable_metrics {
            telemetry::copy_verified(report.level, report.is_consistent);
        }
        let entries = vec![Entry::Verified(verified(&report, by.at))];
        let by = by.with("level", level.as_str()).with("is_consistent", report.is_consistent);
        let (tenant, action) = (migration.tenant_id, Some(Action::MigrationVerified));
        self.shared.control.note_migration(tenant, id, entries, action, &by).await?;
        Ok(report)
    }
}

/// Which copy a route is about: where it is, of what, and by which claim.
pub(super) fn copy_of(route: &Route) -> Option<(&StoreId, &StoreId, Term)> {
    route.moving.as_ref().map(|moving| (&route.store_id, &moving.peer, moving.claim))
}

/// What of a verification is asked for; nothing leaves it to the migration's settings.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// What to compare.
    pub level: Option<VerificationLevel>,
    /// How many events FULL compares field by field, in percent.
    pub sample_percentage: Option<f64>,
    /// Where to begin.
    pub from: Mark,
}

impl Default for Asked {
    fn default() -> Self {
        Self { level: None, sample_percentage: None, from: Mark::START }
    }
}

impl Shared {
    /// What compares the copy of an active migration with its owner's log.
    pub(super) async fn verifier(&self, migration: &row::Migration) -> Result<ConsistencyVerifier> {
        let route = self.route(migration.tenant_id).await?;
        let moving = route.moving.filter(|moving| moving.migration == migration.id);
        let has_copy = |stage: &Stage| match stage {
            Stage::BulkCopy
            | Stage::DualWrite
            | Stage::Paused { .. }
            | Stage::Failed { .. }
            | Stage::CutoverPaused { .. }
            | Stage::Reopening { .. }
            | Stage::Migrated { .. } => true,
            Stage::Pending | Stage::RollingBack | Stage::Finishing { .. } => false,
        };
        let Some(moving) = moving.filter(|moving| has_copy(&moving.stage)) else {
            let refused = MigrationError::not_from_here(migration, "be verified", migration.state);
            return Err(refused.into());
        };
        let (owner, peer) = (self.router.store(&route.store_id)?, self.router.store(&moving.peer)?);
        let tenant = migration.tenant_id;
        Ok(ConsistencyVerifier::new(tenant, (route.store_id, owner), (moving.peer, peer)))
    }
}

impl Driver {
    /// Whether the copy's history was verified for the wish to cut over that stands; verifies it if not. A
    /// copy that differs ends the wish.
    pub(super) async fn verified(&self, at: &mut At) -> std::result::Result<bool, Trouble> {
        let Some(proof) = at.migration.journal.proof() else {
            return self.verify_history(at).await;
        };
        let (is_consistent, compared) = (proof.is_consistent, proof.position);
        let full = at.migration.config.verification_level == VerificationLevel::Full;
        let copied = at.sight.peer.map_or(Position(0), |peer| peer.position);
        let is_close = copied.0.saturating_sub(compared.0) <= LEFT_FOR_THE_PAUSE;
        if !is_consistent || !full || is_close {
            return Ok(is_consistent);
        }
        self.compare_further(at, compared, copied).await
    }

    async fn verify_history(&self, at: &mut At) -> std::result::Result<bool, Trouble> {
        let config = &at.migration.config;
        let (level, sample) = (compared(config), config.sample_percentage);
        let span = at.spans.verification(level);
        let verifier = self.verifier(at).await?;
        let report = verifier.verify_tenant_consistency(level, sample, Mark::START, |_| ());
        let report = report.instrument(span.clone()).await.map_err(Trouble::Unavailable)?;
        span.record("is_consistent", report.is_consistent);
        span.record("position", report.position.0);
        drop(span);
        let is_consistent = report.is_consistent;
        self.keep(at, verified(&report, self.shared.clock.now())).await?;
        Ok(is_consistent)
    }

    /// Compares field by field what was copied since the last comparison.
    async fn compare_further(
        &self,
        at: &mut At,
        after: Position,
        end: Position,
    ) -> std::result::Result<bool, Trouble> {
        let sample = at.migration.config.sample_percentage;
        let violations = self.compare(at, (after, end), sample).await?;
        let is_consistent = violations.is_empty();
        let verified = Verified {
            level: VerificationLevel::Full,
            sample_percentage: sample,
            position: end,
            is_consistent,
            violations: violations.iter().take(KEPT).map(ToString::to_string).collect(),
            at: self.shared.clock.now(),
        };
        self.keep(at, verified).await?;
        Ok(is_consistent)
    }

    /// What speaks against the commit when everything else is proved: that what FULL has not compared yet,
    /// and compares during the pause, differs, or that there is no time left for that.
    pub(super) async fn speaks_against(
        &self,
        at: &mut At,
        end: Position,
        is_over_budget: bool,
    ) -> std::result::Result<Option<Why>, Trouble> {
        let force = at.migration.journal.wish.as_ref().is_some_and(|wish| wish.force);
        let is_full = at.migration.config.verification_level == VerificationLevel::Full;
        let is_compared = at.attempt.is_some_and(|attempt| attempt.compared == Some(end));
        if force || !is_full || is_compared {
            return Ok(None);
        }
        if is_over_budget {
            return Ok(Some(Why::Timeout));
        }
        Ok((!self.compare_the_rest(at, end).await?).then_some(Why::Inconsistent))
    }

    async fn compare_the_rest(
        &self,
        at: &mut At,
        end: Position,
    ) -> std::result::Result<bool, Trouble> {
        let after = at.migration.journal.proof().map_or(Position(0), |proof| proof.position);
        let violations = self.compare(at, (after, end), 100.0).await?;
        if at.migration.config.enable_metrics {
            telemetry::copy_verified(VerificationLevel::Full, violations.is_empty());
        }
        for violation in &violations {
            tracing::error!(tenant = %self.tenant, migration_id = %self.id, %violation, "the copy differs");
        }
        if let Some(attempt) = &mut at.attempt {
            attempt.compared = violations.is_empty().then_some(end);
        }
        Ok(violations.is_empty())
    }

    /// Compares some events of both ends, in a span of its own.
    async fn compare(
        &self,
        at: &mut At,
        (after, end): (Position, Position),
        sample: f64,
    ) -> std::result::Result<Vec<Violation>, Trouble> {
        let span = at.spans.verification(VerificationLevel::Full);
        let verifier = self.verifier(at).await?;
        let violations = verifier.compare_events(after, end, sample).instrument(span.clone());
        let violations = violations.await.map_err(Trouble::Unavailable)?;
        span.record("is_consistent", violations.is_empty());
        span.record("position", end.0);
        Ok(violations)
    }

    async fn verifier(&self, at: &At) -> std::result::Result<ConsistencyVerifier, Trouble> {
        self.shared.verifier(&at.migration).await.map_err(Trouble::Unavailable)
    }

    /// Keeps what was found; a difference ends the wish to cut over.
    async fn keep(&self, at: &mut At, verified: Verified) -> std::result::Result<(), Trouble> {
        if at.migration.config.enable_metrics {
            telemetry::copy_verified(verified.level, verified.is_consistent);
        }
        if !verified.is_consistent {
            // Another process may have moved the tenant while this one looked.
            self.reread(at).await?;
        }
        let wished_at = at.migration.journal.wish.as_ref().map(|wish| wish.at);
        let proof = Proof { verified: verified.clone(), wished_at };
        let mut entries = vec![Entry::Verified(verified.clone()), Entry::Proved(proof)];
        if !verified.is_consistent {
            let first = verified.violations.first().map_or("it differs", String::as_str);
            at.standing = Some(first.to_owned());
            let suggested = "repair the migration, then cut over again";
            entries.push(Entry::Obstructed(self.obstacle(first.to_owned(), suggested)));
            entries.push(Entry::WishDropped);
        }
        self.note(at, entries, None).await
    }
}

/// What of a history is compared before a cutover. What HASH adds to COUNT is no comparison: the driver reads
/// back what is stored as it is copied, and nothing is committed before all of it is.
fn compared(config: &MigrationConfig) -> VerificationLevel {
    match config.verification_level {
        VerificationLevel::Count | VerificationLevel::Hash => VerificationLevel::Count,
        VerificationLevel::Full => VerificationLevel::Full,
    }
}

fn verified(report: &VerificationReport, at: jiff::Timestamp) -> Verified {
    Verified {
        level: report.level,
        sample_percentage: report.sample_percentage,
        position: report.position,
        is_consistent: report.is_consistent,
        violations: report.violations.iter().take(KEPT).map(ToString::to_string).collect(),
        at,
    }
}
