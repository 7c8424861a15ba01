//! How long to wait before trying again.

use std::time::Duration;

use uuid::Uuid;

use crate::dice::Dice;

/// Pauses that double with each failure up to a limit, and vary so that nobody comes back in step with
/// others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    /// About the pause after the first failure; none of its kind is longer.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Backoff {
    /// The pause after so many failures: half of it certain, half of it chance.
    pub(crate) fn pause(self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let half = doubled.min(self.longest) / 2;
        let (seed, _) = Uuid::new_v4().as_u64_pair();
        let chance = Dice(seed).below(u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1));
        half + Duration::from_micros(chance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_vary() {
        let backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(2) };
        assert!(backoff.pause(1) <= backoff.first);
        let far = || backoff.pause(40);
        assert!(far() <= backoff.longest && far() >= backoff.longest / 2);
        assert!((0..20).map(|_| far()).any(|other| other != far()));
    }
}
