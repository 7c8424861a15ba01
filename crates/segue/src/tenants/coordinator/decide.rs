//! Deciding what the core says is to be decided, and what follows from it here.

use std::sync::Arc;
use std::time::Duration;

use segue_core::tenancy::migration::{Decision, Entry};
use segue_store::control::migrations::Decided;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::When;
use super::at::At;
use super::attempt::Attempt;
use super::driver::Driver;
use super::spans::outcome_of;
use super::trouble::Trouble;
use crate::telemetry;

/// How long those who waited for a cutover have the stores for themselves before the coordinator goes on.
const HEAD_START: Duration = Duration::from_millis(20);

/// How long after an automatic cutover was given up the next is tried.
const AUTO_RETRY: Duration = Duration::from_secs(5);

impl Driver {
    /// Decides something, and works on with what came of it.
    pub(super) async fn decide(&self, at: &mut At, decision: Decision) -> Result<(), Trouble> {
        let name = decision.name();
        let shared = &self.shared;
        shared.observer.step(self.tenant, name, When::Before).await;
        let mut decided = Decided::new(at.route.term, decision.clone());
        decided.entries = self.entries(at, &decision);
        let span = at.spans.decision(name, &at.migration);
        let begun = Instant::now();
        let by = self.by();
        let made = shared.control.decide_migration(self.tenant, decided, &by);
        let made = made.instrument(span.clone()).await.map_err(Trouble::from);
        if let Ok((route, _)) = &made {
            span.record("term", route.term.0);
        }
        span.record("outcome", outcome_of(&made));
        drop(span);
        at.measured.decision = begun.elapsed();
        shared.observer.step(self.tenant, name, When::After).await;
        let (route, migration) = made?;
        tracing::info!(
            tenant = %self.tenant, migration_id = %self.id, decision = name, phase = %migration.state,
            term = route.term.0, "decided"
        );
        self.settle(at, route, migration)?;
        self.after(at, &decision).await
    }

    /// What to keep with a decision.
    fn entries(&self, at: &At, decision: &Decision) -> Vec<Entry> {
        let cutover = |gave_up| at.attempt.map(|attempt| Entry::CutOver(attempt.told(gave_up)));
        match decision {
            // What stood in the way of it does no more.
            Decision::Commit { .. } => cutover(None).into_iter().chain([Entry::Clear]).collect(),
            Decision::GiveUp { why } => {
                cutover(Some(*why)).into_iter().chain([Entry::WishDropped]).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What follows from a decision for this driver.
    async fn after(&self, at: &mut At, decision: &Decision) -> Result<(), Trouble> {
        match decision {
            Decision::Commit { .. } => {
                if let Some(attempt) = at.attempt.take() {
                    at.spans.cutover_over(&attempt.told(None));
                    self.committed(at, attempt).await;
                }
            }
            Decision::CutOver => {
                let number = at.attempt.map_or(0, |attempt| attempt.number);
                at.spans.cutover_begun(number);
            }
            Decision::BeginDualWrite => at.analyzing = Some(self.analyze(at)),
            Decision::GiveUp { why } => {
                if let Some(attempt) = at.attempt.take() {
                    at.spans.cutover_over(&attempt.told(Some(*why)));
                }
                at.retry_auto_at = Some(Instant::now() + AUTO_RETRY);
                if at.migration.config.enable_metrics {
                    telemetry::cutover_given_up(*why);
                }
                tracing::warn!(tenant = %self.tenant, migration_id = %self.id, %why, "a cutover was given up");
            }
            _ => {}
        }
        Ok(())
    }

    /// Has the target look at what was copied, beside everything else: until then its queries may be planned as
    /// if it were empty, those of the cutover too. Where it ends with this process, the store does it when it
    /// comes round to it.
    fn analyze(&self, at: &At) -> AbortOnDropHandle<()> {
        let (peer, tenant, migration) = (Arc::clone(&at.peer), self.tenant, self.id);
        AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = peer.analyze().await {
                tracing::warn!(%tenant, migration_id = %migration, %error, "the target was not analyzed");
            }
        }))
    }

    /// Tells how long the pause was, now that it is over. Nothing depends on it.
    async fn committed(&self, at: &mut At, attempt: Attempt) {
        let cutover = attempt.told(None);
        let waited = self.shared.router.waiting.count(self.tenant);
        let pause_ms = cutover.pause_ms.unwrap_or_default();
        if at.migration.config.enable_metrics {
            telemetry::tenant_migrated(pause_ms);
        }
        tracing::info!(
            tenant = %self.tenant, migration_id = %self.id, pause_ms, drained = cutover.events_drained,
            waited, "a tenant has moved"
        );
        tokio::time::sleep(HEAD_START).await;
        let entries = vec![Entry::CutOver(cutover)];
        let by = self.by();
        let noted = self.shared.control.note_migration(self.tenant, self.id, entries, None, &by);
        if let Ok(migration) = noted.await {
            at.migration = migration;
        }
    }
}
