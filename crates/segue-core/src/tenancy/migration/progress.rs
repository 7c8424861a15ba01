//! How far a move has come and how long it takes: arithmetic, so that no two places show other numbers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::digest::Mark;
use crate::ids::Position;

/// How far a move has come, as its coordinator last told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The last position in the target.
    pub copied: Position,
    /// The last position in the source.
    pub total: Position,
    /// How far the target was read back, and what that hashed to.
    pub read_back: Mark,
    /// Events per second of late; 0 while none are copied.
    pub events_per_second: f64,
}

impl Default for Progress {
    fn default() -> Self {
        let position = Position(0);
        Self { copied: position, total: position, read_back: Mark::START, events_per_second: 0.0 }
    }
}

impl Progress {
    /// How much of the log the target has, from 0 to 100. All of nothing is 100.
    #[must_use]
    pub fn percentage(&self) -> f64 {
        match self.total.0 {
            0 => 100.0,
            total => 100.0 * (self.copied.0.min(total) as f64) / total as f64,
        }
    }

    /// How many events the target is behind.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.total.0.saturating_sub(self.copied.0)
    }

    /// How long the rest takes at the present rate; nothing while that is not known.
    #[must_use]
    pub fn eta(&self) -> Option<Duration> {
        eta(self.lag(), self.events_per_second)
    }
}

/// How long so many events take at a rate; nothing without one.
#[must_use]
pub fn eta(events: u64, per_second: f64) -> Option<Duration> {
    if events == 0 {
        return Some(Duration::ZERO);
    }
    Duration::try_from_secs_f64(events as f64 / per_second).ok()
}

/// What a pause is made of, as far as it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// A durable change of the source's head.
    pub fence: Duration,
    /// A durable import of a few events into the target, read back.
    pub drain: Duration,
    /// A decision of the control plane.
    pub commit: Duration,
}

impl Pause {
    /// How long writes will wait when the target is so many events behind and takes so many per second.
    ///
    /// ```
    /// use std::time::Duration;
    /// use segue_core::tenancy::migration::Pause;
    ///
    /// let ms = Duration::from_millis;
    /// let pause = Pause { fence: ms(5), drain: ms(8), commit: ms(6) };
    /// assert_eq!(pause.predict(50, 50_000.0), ms(20));
    /// ```
    #[must_use]
    pub fn predict(&self, lag: u64, per_second: f64) -> Duration {
        let drained = eta(lag, per_second).unwrap_or(Duration::from_secs(60 * 60));
        self.fence + self.drain + self.commit + drained
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_share_of_what_is_there_now() {
        let progress = Progress {
            copied: Position(250),
            total: Position(1_000),
            events_per_second: 500.0,
            ..Progress::default()
        };
        assert_eq!((progress.percentage(), progress.lag()), (25.0, 750));
        assert_eq!(progress.eta(), Some(Duration::from_millis(1_500)));
        let ahead = Progress { copied: Position(1_001), ..progress };
        assert_eq!((ahead.percentage(), ahead.lag()), (100.0, 0), "the total is a little older");
    }

    #[test]
    fn an_empty_log_is_copied_and_a_standstill_has_no_end() {
        let empty = Progress::default();
        assert_eq!((empty.percentage(), empty.eta()), (100.0, Some(Duration::ZERO)));
        assert_eq!(Progress { total: Position(1), ..empty }.eta(), None);
    }
}
