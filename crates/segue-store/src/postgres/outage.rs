//! What is known of a database that does not answer, so that nobody waits for what is known to fail.
//!
//! While it is down every caller is answered at once with why. After a pause, which doubles with every
//! failure and varies so that servers do not come back in step, one caller is let through to try.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Backoff, OpenError};

/// The pauses between tries; short enough that a database that is back is used within seconds.
pub(crate) const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(2) };

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
        let again_at = now + BACKOFF.pause(failures);
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
        std::thread::sleep(BACKOFF.first);
        assert!(outage.admit(patience).is_ok(), "the pause is over");
        assert!(outage.admit(patience).is_err(), "someone is trying already");
        outage.is_over();
        assert!(outage.admit(patience).is_ok());
    }
}
