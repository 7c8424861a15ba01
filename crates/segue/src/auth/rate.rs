//! How often a key may come: so many requests a second, and so many at once after a rest (GCRA). Each
//! server counts for itself.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use quick_cache::sync::Cache;
use segue_core::ids::KeyId;
use segue_store::control::keys::{KEYS, Key};

/// The limits of all keys.
pub struct Limits {
    per_second: NonZeroU32,
    burst: NonZeroU32,
    by_key: Cache<(KeyId, NonZeroU32), Arc<DefaultDirectRateLimiter>>,
}

/// Why a request has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFast {
    /// How many requests a second the key may make.
    pub per_second: u64,
    /// When the next one is let in.
    pub wait: Duration,
}

impl Limits {
    /// No key has come yet.
    #[must_use]
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        Self { per_second, burst, by_key: Cache::new(KEYS) }
    }

    /// Lets a request of this key in, or says when.
    ///
    /// # Errors
    /// [`TooFast`].
    pub fn pass(&self, key: &Key) -> Result<(), TooFast> {
        let own = key.requests_per_second.and_then(|own| u32::try_from(own).ok());
        let (per_second, burst) = match own.and_then(NonZeroU32::new) {
            // A key with a rate of its own may save up as much as it has in a second.
            Some(own) => (own, own),
            None => (self.per_second, self.burst),
        };
        let limiter = self.by_key.get_or_insert_with(&(key.id, per_second), || {
            let quota = Quota::per_second(per_second).allow_burst(burst);
            Ok::<_, std::convert::Infallible>(Arc::new(RateLimiter::direct(quota)))
        });
        let Ok(limiter) = limiter;
        limiter.check().map_err(|not_until| TooFast {
            per_second: u64::from(per_second.get()),
            wait: not_until.wait_time_from(DefaultClock::default().now()),
        })
    }
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits")
            .field("per_second", &self.per_second)
            .field("burst", &self.burst)
            .finish_non_exhaustive()
    }
}
