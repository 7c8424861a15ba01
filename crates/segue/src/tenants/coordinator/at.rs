//! What a driver works with: what is decided, what was seen, and what was measured on the way.

use std::sync::Arc;
use std::time::Duration;

use segue_core::breaker::Breaker;
use segue_core::ids::Position;
use segue_core::tenancy::Route;
use segue_core::tenancy::migration::pace::Pace;
use segue_core::tenancy::migration::{MigrationState, Pause, Progress, Sight, Stage};
use segue_store::control::migrations as row;
use segue_store::events::EventStore;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::attempt::Attempt;
use crate::tenants::copier::BulkCopier;
use crate::tenants::read_back::ReadBack;

/// How much a new rate counts against those before it.
const FRESH: f64 = 0.3;

/// What a driver works with while it is the coordinator.
pub(super) struct At {
    pub(super) route: Route,
    pub(super) migration: row::Migration,
    pub(super) sight: Sight,
    /// Whether both heads were seen since it began; until then nothing can be said of them.
    pub(super) has_looked: bool,
    pub(super) owner: Arc<dyn EventStore>,
    pub(super) peer: Arc<dyn EventStore>,
    pub(super) copier: BulkCopier,
    pub(super) read_back: ReadBack,
    pub(super) pace: Pace,
    pub(super) measured: Measured,
    pub(super) attempt: Option<Attempt>,
    /// Where the peer stood when the mirror was last left to bring what it lacks.
    pub(super) left_to_mirror: Option<Position>,
    pub(super) breaker: Breaker,
    /// The target looks at what was copied.
    pub(super) analyzing: Option<AbortOnDropHandle<()>>,
    pub(super) begun: Instant,
    pub(super) refusals: u32,
    pub(super) retry_auto_at: Option<Instant>,
    /// What was found to stand in the way of a cutover; it is told until that is looked at again, or
    /// somebody has dealt with it.
    pub(super) standing: Option<String>,
    pub(super) telling: watch::Sender<Progress>,
    /// How long this process may be silent.
    pub(super) lease: watch::Sender<Duration>,
}

/// What was measured on the way.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Measured {
    /// How long the last decision took.
    pub(super) decision: Duration,
    /// How long the last page of a few events took.
    pub(super) page: Duration,
    /// How long a look at both heads took.
    pub(super) look: Duration,
    /// Events per second of late.
    pub(super) rate: f64,
    /// When a slice of the copy ended, and where the source was.
    pub(super) last_slice: Option<(Instant, Position)>,
}

impl At {
    /// When the cutover that is being decided has to be given up.
    pub(super) fn gives_up_at(&self) -> Option<Instant> {
        let is_undecided = Attempt::of(&self.route).is_some();
        let attempt = self.attempt.filter(|_| is_undecided)?;
        Some(attempt.ends_at(self.migration.config.pause_budget()))
    }

    /// How long writes would wait for a cutover now.
    pub(super) fn predicted_pause(&self) -> Duration {
        let lag = self.telling.borrow().lag();
        self.measured.pause().predict(lag, self.measured.rate.max(5_000.0))
    }

    /// Whether writes wait for the target.
    pub(super) fn is_waited_for(&self) -> bool {
        let config = &self.migration.config;
        let is_ready = self.migration.journal.is_ready(config.auto_cutover);
        self.migration.state == MigrationState::DualWrite
            && (config.synchronous_dual_write || is_ready)
    }

    /// Whether a cutover is taken back.
    pub(super) fn is_reopening(&self) -> bool {
        let stage = self.route.moving.as_ref().map(|moving| &moving.stage);
        matches!(stage, Some(Stage::Reopening { .. }))
    }
}

impl Measured {
    /// Counts events that were copied.
    pub(super) fn copied(&mut self, events: u64, time: Duration) {
        let now = events as f64 / time.as_secs_f64().max(1e-6);
        self.rate = if self.rate == 0.0 { now } else { self.rate + FRESH * (now - self.rate) };
    }

    /// What a pause is made of, as far as it was measured: a fence is a look and a flush, a decision is
    /// about as long as the last one.
    pub(super) fn pause(&self) -> Pause {
        let drain = if self.page.is_zero() { self.look * 4 } else { self.page };
        Pause { fence: self.look * 2, drain, commit: self.decision }
    }
}
