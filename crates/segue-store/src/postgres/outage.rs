//! What is known of a database that does not answer, so that nobody waits for what is known to fail.
//!
//! While it is down every caller is answered at once with why. After a pause, which doubles with every
//! failure and varies so that servers do not come back in step, one caller is let through to try.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::OpenError;
use crate::dice::Dice;

/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause, so that a database that is back is used within seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Whether the database is down, and since how many tries.
#[derive(Debug, Default)]
pub(super) struct Outage {
    down: Mutex<Option<Down>>,
}

#[derive(Debug)]
struct Down {
    failures: u32,
    since: Instant,
    again_at: Instant,
    error: OpenError,
}

impl Outage {
    /// Lets a caller try, unless the database is known to be down. The one who is let through has
    /// `patience` to find out; until then the others are not.
    ///
    /// # Errors
    /// Why the last try failed.
    pub(super) fn admit(&self, patience: Duration) -> Result<(), OpenError> {
        let now = Instant::now();
        match &mut *self.lock() {
            Some(down) if now < down.again_at => Err(down.error.clone()),
            Some(down) => {
                down.again_at = now + patience;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Notes that a try failed.
    pub(super) fn failed(&self, error: &OpenError) {
        let now = Instant::now();
        let mut state = self.lock();
        let (failures, since) = match &*state {
            Some(down) => (down.failures.saturating_add(1), down.since),
            None => (1, now),
        };
        let is_news = state.as_ref().is_none_or(|down| down.error.reason != error.reason);
        if is_news {
            let cause = error.source.as_deref().map(innermost);
            tracing::warn!(%error, cause, "the database cannot be used; trying again");
        }
        let again_at = now + pause(failures);
        *state = Some(Down { failures, since, again_at, error: error.clone() });
    }

    /// Notes that the database answers.
    pub(super) fn is_over(&self) {
        if let Some(down) = self.lock().take() {
            let after = down.since.elapsed();
            tracing::info!(database = down.error.database, ?after, "the database is back");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Down>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pause after so many failures: half of it certain, half of it chance.
pub(crate) fn pause(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let half = doubled.min(LONGEST_PAUSE) / 2;
    let (seed, _) = Uuid::new_v4().as_u64_pair();
    let chance = Dice(seed).below(u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1));
    half + Duration::from_micros(chance)
}

/// What lies at the bottom of an error, such as `Connection refused`.
fn innermost(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::super::{Refusal, Settings};
    use super::*;

    fn unreachable() -> OpenError {
        let settings = Settings::new("postgres://segue@localhost/segue").unwrap();
        OpenError::new(&settings, Refusal::Unreachable)
    }

    #[test]
    fn while_it_is_down_one_caller_at_a_time_is_let_through() {
        let outage = Outage::default();
        let patience = Duration::from_secs(60);
        outage.admit(patience).unwrap();
        outage.failed(&unreachable());
        assert!(outage.admit(patience).is_err(), "the pause has begun");
        std::thread::sleep(FIRST_PAUSE);
        assert!(outage.admit(patience).is_ok(), "the pause is over");
        assert!(outage.admit(patience).is_err(), "someone is trying already");
        outage.is_over();
        assert!(outage.admit(patience).is_ok());
    }

    #[test]
    fn pauses_grow_to_a_limit_and_vary() {
        assert!(pause(1) <= FIRST_PAUSE);
        assert!(pause(40) <= LONGEST_PAUSE && pause(40) >= LONGEST_PAUSE / 2);
        assert!((0..20).map(|_| pause(40)).any(|other| other != pause(40)));
    }
}
