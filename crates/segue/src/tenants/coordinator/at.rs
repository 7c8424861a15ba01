//! What a driver works with: what is decided, what was seen, and what was measured on the way.

use std::sync::Arc;
use std::time::Duration;

use segue_core::breaker::Breaker;
use segue_core::ids::Position;
use segue_core::tenancy::Route;
use segue_core::tenancy::migration::pace::Pace;
use segue_core::tenancy::migration::{Effect, MigrationState, Pause, Progress, Sight, Stage};
use segue_store::control::migrations as row;
use segue_store::events::EventStore;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::attempt::Attempt;
use super::spans::Spans;
use crate::tenants::copier::BulkCopier;
use crate::tenants::read_back::ReadBack;

/// How much a new rate counts against those before it.
const FRESH: f64 = 0.3;

/// For how long a rate is told after nothing was copied any more.
const TOLD_FOR: Duration = Duration::from_secs(10);

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
    pub(super) spans: Spans,
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
    /// Events copied since this process took the migration on.
    pub(super) copied: u64,
    /// Events per second of late while events are copied, without the rests: for predictions.
    pub(super) rate: f64,
    /// The same with the rests, as it is told, and up to when it was measured.
    pub(super) told: Option<(f64, Instant)>,
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

    /// How far an effect has come that is about events.
    pub(super) fn reached(&self, effect: &Effect) -> u64 {
        match effect {
            Effect::ReadBack => self.sight.read_back.position.0,
            // What was seen of the target is forgotten when something is decided in the rest of a copy.
            Effect::Copy => self.measured.copied,
            Effect::Drain { .. } => self.sight.peer.map_or(0, |peer| peer.position.0),
            Effect::Preflight
            | Effect::Claim { .. }
            | Effect::SwapOwner(_)
            | Effect::Retire(_)
            | Effect::Purge { .. } => 0,
        }
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
    /// Counts events whose copying has just ended.
    pub(super) fn copied(&mut self, events: u64, time: Duration, ended: Instant) {
        self.copied += events;
        let rate = |time: Duration| events as f64 / time.as_secs_f64().max(1e-6);
        let mixed = |before: f64, now: f64| before + FRESH * (now - before);
        let now = rate(time);
        self.rate = if self.rate == 0.0 { now } else { mixed(self.rate, now) };
        let told = match self.told {
            Some((before, since)) => mixed(before, rate((ended - since).max(time))),
            None => now,
        };
        self.told = Some((told, ended));
    }

    /// Events per second as they are told; 0 when none have been copied for a while.
    pub(super) fn told_rate(&self, now: Instant) -> f64 {
        self.told.filter(|(_, since)| now - *since <= TOLD_FOR).map_or(0.0, |(told, _)| told)
    }

    /// What a pause is made of, as far as it was measured: a fence is a look and a flush, a decision is
    /// about as long as the last one.
    pub(super) fn pause(&self) -> Pause {
        let drain = if self.page.is_zero() { self.look * 4 } else { self.page };
        Pause { fence: self.look * 2, drain, commit: self.decision }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_that_is_told_counts_the_rests_and_ends_with_the_copying() {
        let (mut measured, begun) = (Measured::default(), Instant::now());
        let at = |second: u64| begun + Duration::from_secs(second);
        // A page of 1,000 events takes a tenth of a second, and is followed by a rest.
        for second in 1..60 {
            measured.copied(1_000, Duration::from_millis(100), at(second));
        }
        assert!((measured.rate - 10_000.0).abs() < 1.0, "{}", measured.rate);
        let told = measured.told_rate(at(60));
        assert!((told - 1_000.0).abs() < 1.0, "{told}");
        assert_eq!(measured.told_rate(at(75)), 0.0);
    }
}
