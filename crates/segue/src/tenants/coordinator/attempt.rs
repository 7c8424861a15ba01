//! A cutover that is tried, and how long writes may wait for it.

use std::time::Duration;

use segue_core::ids::Position;
use segue_core::tenancy::Route;
use segue_core::tenancy::migration::journal::Cutover;
use segue_core::tenancy::migration::{Stage, Why};
use tokio::time::Instant;

/// A cutover that this driver tries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    /// Its number.
    pub(super) number: u32,
    /// When it was decided.
    pub(super) began_at: jiff::Timestamp,
    /// When the fence was sent; until then nobody waits for long.
    pub(super) fenced: Option<Instant>,
    /// Since when this driver sees writes wait.
    pub(super) since: Instant,
    /// How many events the target lacked then.
    pub(super) drained: u64,
    /// Up to where everything was compared, where that is asked for.
    pub(super) compared: Option<Position>,
    /// Whether it has been tried for so long that it can only be given up.
    is_overdue: bool,
}

/// How many budgets a cutover may take in all, whoever dies over it and however often.
const BUDGETS: u32 = 10;

impl Attempt {
    /// The cutover that a route says is being decided. Whoever decided that, and whether it was this
    /// process and did not hear so, it is timed from now on.
    pub(super) fn of(route: &Route) -> Option<Self> {
        let moving = route.moving.as_ref()?;
        let Stage::CutoverPaused { since: began_at, .. } = moving.stage else { return None };
        let (number, since) = (moving.attempts, Instant::now());
        Some(Self {
            number,
            began_at,
            fenced: None,
            since,
            drained: 0,
            compared: None,
            is_overdue: false,
        })
    }

    /// The same for one that may have been begun by another process: each has the whole budget, since it
    /// may be about to commit, but not for ever one after the other.
    pub(super) fn found(route: &Route, budget: Duration, now: jiff::Timestamp) -> Option<Self> {
        let found = Self::of(route)?;
        let tried = Duration::try_from(now.duration_since(found.began_at)).unwrap_or_default();
        Some(Self { is_overdue: tried > budget * BUDGETS, ..found })
    }

    /// When it has to be given up.
    pub(super) fn ends_at(&self, budget: Duration) -> Instant {
        let budget = if self.is_overdue { Duration::ZERO } else { budget };
        self.fenced.unwrap_or(self.since) + budget
    }

    /// What is kept of it.
    pub(super) fn told(&self, gave_up: Option<Why>) -> Cutover {
        Cutover {
            attempt: self.number,
            began_at: self.began_at,
            gave_up,
            pause_ms: self.fenced.map(|fenced| fenced.elapsed().as_secs_f64() * 1e3),
            events_drained: self.drained,
        }
    }
}
