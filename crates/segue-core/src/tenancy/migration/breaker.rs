//! A circuit breaker: what fails over and over is left alone for a while, then tried once.

use std::time::Duration;

/// How many failures in a row open the circuit.
const TOLERATED: u32 = 3;

/// The first time that it stays open.
const FIRST: Duration = Duration::from_millis(250);

/// The longest.
const LONGEST: Duration = Duration::from_secs(15);

/// The state of a circuit. Times are told by the caller, since any moment of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    retry_at: Option<Duration>,
}

impl Breaker {
    /// Whether something may be tried now; otherwise how long to wait.
    ///
    /// # Errors
    /// The time that is left.
    pub fn admits(&self, now: Duration) -> Result<(), Duration> {
        match self.retry_at.and_then(|at| at.checked_sub(now)).filter(|left| !left.is_zero()) {
            Some(left) => Err(left),
            None => Ok(()),
        }
    }

    /// Notes that something succeeded.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Notes that something failed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use segue_core::tenancy::migration::breaker::Breaker;
    ///
    /// let (mut breaker, now) = (Breaker::default(), Duration::from_secs(5));
    /// breaker.failed(now);
    /// assert!(breaker.admits(now).is_ok(), "once is nothing");
    /// (0..2).for_each(|_| breaker.failed(now));
    /// assert_eq!(breaker.admits(now), Err(Duration::from_millis(250)));
    /// ```
    pub fn failed(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        let Some(doublings) = self.failures.checked_sub(TOLERATED) else { return };
        let time = FIRST.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX));
        self.retry_at = Some(now + time.min(LONGEST));
    }

    /// Whether it is left alone for the time being.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.retry_at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_target_is_tried_less_and_less_often_and_at_once_after_a_success() {
        let mut breaker = Breaker::default();
        let mut now = Duration::ZERO;
        let mut waited = Vec::new();
        for _ in 0..12 {
            breaker.failed(now);
            let wait = breaker.admits(now).err().unwrap_or_default();
            waited.push(wait);
            now += wait;
            assert!(breaker.admits(now).is_ok(), "one try when the time is over");
        }
        assert!(waited.windows(2).all(|pair| pair[0] <= pair[1]), "{waited:?}");
        assert_eq!(waited.last(), Some(&LONGEST));
        breaker.succeeded();
        breaker.failed(now);
        assert!(breaker.admits(now).is_ok() && !breaker.is_open());
    }
}
