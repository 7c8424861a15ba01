//! A circuit breaker: what fails over and over is left alone for a while, then tried once.

use std::time::Duration;

/// When a circuit opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How many failures in a row open it.
    pub tolerated: u32,
    /// The first time that it stays open; each further failure doubles it.
    pub first: Duration,
    /// The longest.
    pub longest: Duration,
}

impl Default for Settings {
    /// For stores, whose failures pass within seconds as a rule.
    fn default() -> Self {
        Self { tolerated: 3, first: Duration::from_millis(250), longest: Duration::from_secs(15) }
    }
}

/// The state of a circuit. Times are told by the caller, since any moment of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Breaker {
    settings: Settings,
    failures: u32,
    retry_at: Option<Duration>,
}

impl Breaker {
    /// A closed circuit.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, failures: 0, retry_at: None }
    }

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

    /// As [`admits`](Self::admits), for several who try at once: while the circuit is open one of them is
    /// let through, and the others wait until it has failed or succeeded, or until `lease` is over.
    ///
    /// # Errors
    /// The time that is left.
    ///
    /// ```
    /// use std::time::Duration;
    /// use segue_core::breaker::Breaker;
    ///
    /// let (mut breaker, second) = (Breaker::default(), Duration::from_secs(1));
    /// (0..3).for_each(|_| breaker.failed(Duration::ZERO));
    /// assert_eq!(breaker.claim(second, second), Ok(()), "one may try");
    /// assert_eq!(breaker.claim(second, second), Err(second), "and no other meanwhile");
    /// breaker.succeeded();
    /// assert_eq!(breaker.claim(second, second), Ok(()));
    /// ```
    pub fn claim(&mut self, now: Duration, lease: Duration) -> Result<(), Duration> {
        self.admits(now)?;
        if self.is_open() {
            self.retry_at = Some(now + lease);
        }
        Ok(())
    }

    /// Notes that something succeeded.
    pub fn succeeded(&mut self) {
        *self = Self::new(self.settings);
    }

    /// Notes that something failed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use segue_core::breaker::Breaker;
    ///
    /// let (mut breaker, now) = (Breaker::default(), Duration::from_secs(5));
    /// breaker.failed(now);
    /// assert!(breaker.admits(now).is_ok(), "once is nothing");
    /// (0..2).for_each(|_| breaker.failed(now));
    /// assert_eq!(breaker.admits(now), Err(Duration::from_millis(250)));
    /// ```
    pub fn failed(&mut self, now: Duration) {
        let Settings { tolerated, first, longest } = self.settings;
        self.failures = self.failures.saturating_add(1);
        let doublings = match self.failures.checked_sub(tolerated) {
            Some(doublings) => doublings,
            // It was open for another reason, and the one that was let through has failed.
            None if self.is_open() => 0,
            None => return,
        };
        let time = first.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX));
        self.retry_at = Some(now + time.min(longest));
    }

    /// Notes that it asked to be left alone for so long; it is, though no longer than for failures.
    pub fn asked_for_rest(&mut self, now: Duration, rest: Duration) {
        let until = now + rest.min(self.settings.longest);
        self.retry_at = self.retry_at.max(Some(until));
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
        assert_eq!(waited.last(), Some(&Settings::default().longest));
        breaker.succeeded();
        breaker.failed(now);
        assert!(breaker.admits(now).is_ok() && !breaker.is_open());
    }

    #[test]
    fn whoever_was_let_through_and_never_came_back_blocks_nobody_for_ever() {
        let settings = Settings { tolerated: 1, ..Settings::default() };
        let mut breaker = Breaker::new(settings);
        breaker.failed(Duration::ZERO);
        let lease = Duration::from_secs(2);
        assert_eq!(breaker.claim(settings.first, lease), Ok(()));
        assert_eq!(breaker.claim(settings.first, lease), Err(lease));
        assert_eq!(breaker.claim(settings.first + lease, lease), Ok(()));
    }

    #[test]
    fn a_wish_to_be_left_alone_is_granted_within_bounds() {
        let mut breaker = Breaker::default();
        breaker.asked_for_rest(Duration::ZERO, Duration::from_secs(5));
        assert_eq!(breaker.admits(Duration::ZERO), Err(Duration::from_secs(5)));
        breaker.asked_for_rest(Duration::ZERO, Duration::from_secs(86_400));
        assert_eq!(breaker.admits(Duration::ZERO), Err(Settings::default().longest));

        let later = Settings::default().longest;
        assert_eq!(breaker.claim(later, Duration::from_secs(60)), Ok(()));
        breaker.failed(later);
        assert_eq!(breaker.admits(later), Err(Settings::default().first), "not the whole lease");
    }
}
