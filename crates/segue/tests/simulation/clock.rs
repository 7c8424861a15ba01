//! The clock of a simulated process: as wrong as the seed says, and always wrong by the same.

use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use segue::clock::Clock;
use tokio::time::Instant;
use uuid::Uuid;

/// Tells simulated time, off by an amount of its own, and counts ids.
#[derive(Debug)]
pub struct SkewedClock {
    begun: Instant,
    skew: SignedDuration,
    process: u64,
    ids: Mutex<u64>,
}

impl SkewedClock {
    pub fn new(begun: Instant, skew: SignedDuration, process: u64) -> Self {
        Self { begun, skew, process, ids: Mutex::new(0) }
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let passed = SignedDuration::try_from(self.begun.elapsed()).unwrap();
        start.checked_add(passed + self.skew).unwrap()
    }

    fn new_id(&self) -> Uuid {
        let mut ids = self.ids.lock().unwrap();
        *ids += 1;
        let milliseconds = u128::try_from(self.now().as_millisecond()).unwrap();
        Uuid::from_u128(milliseconds << 80 | u128::from(self.process) << 64 | u128::from(*ids))
    }
}
