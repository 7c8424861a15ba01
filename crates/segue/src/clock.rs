//! Where time and new ids come from.
//!
//! The core takes both as arguments; this is the one place in the shell that asks the world for them,
//! so that a test can stand still and a replay can be exact.

use std::fmt::Debug;
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// Tells the time and makes ids.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The present moment, to the microsecond: that is what stores keep.
    fn now(&self) -> Timestamp;
    /// A fresh id; later ones sort after earlier ones.
    fn new_id(&self) -> Uuid;
}

/// The machine's clock and randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// A clock that moves only when told to, with ids that count up.
///
/// ```
/// use jiff::SignedDuration;
/// use segue::clock::{Clock, ManualClock};
///
/// let clock = ManualClock::at("2026-11-20T10:00:00Z".parse()?);
/// clock.advance(SignedDuration::from_hours(24));
/// assert_eq!(clock.now().to_string(), "2026-11-21T10:00:00Z");
/// assert!(clock.new_id() < clock.new_id());
/// # Ok::<(), jiff::Error>(())
/// ```
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<(Timestamp, u128)>,
}

impl ManualClock {
    /// Starts at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { state: Mutex::new((now, 0)) }
    }

    /// Lets time pass.
    ///
    /// # Panics
    /// When the result is no longer representable (past the year 9999).
    pub fn advance(&self, by: SignedDuration) {
        let mut state = self.lock();
        state.0 = state.0.checked_add(by).expect("tests stay within the calendar");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Timestamp, u128)> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.lock().0
    }

    fn new_id(&self) -> Uuid {
        let mut state = self.lock();
        state.1 += 1;
        Uuid::from_u128(state.1)
    }
}
