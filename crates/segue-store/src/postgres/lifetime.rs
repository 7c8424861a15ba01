//! How long a connection of a pool is kept.
//!
//! One that nobody has needed for a minute is closed. The pools of several stores and servers share what
//! the database has to give, and one that grew in a burst must not starve the others for ever.
//!
//! One that was made while the server took no writes may go on refusing them when the server takes them
//! again: a default of the database or of the role (`default_transaction_read_only`) is read at login. So
//! such a connection is used for a second, for reading goes on meanwhile, and then made anew.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{Metrics, Pool};

/// How long a connection may be unused.
pub(super) const IDLE: Duration = Duration::from_secs(60);

/// How often unused connections are looked for.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(15);

/// How long a connection is used that was made while the server took no writes.
const READ_ONLY: Duration = Duration::from_secs(1);

/// What is known of the connections of one pool.
#[derive(Debug, Default)]
pub(super) struct Lifetime {
    /// When the last one was made that took no writes.
    read_only: Mutex<Option<Instant>>,
}

impl Lifetime {
    /// Notes that a connection that was just made takes no writes.
    pub(super) fn made_read_only(&self) {
        *self.read_only.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection is to be made anew before it is used again.
    pub(super) fn is_over(&self, connection: &Metrics) -> bool {
        let last = *self.read_only.lock().unwrap_or_else(PoisonError::into_inner);
        // Those made before that one are suspect too, since nobody knows when it began.
        last.is_some_and(|last| connection.created <= last) && connection.age() > READ_ONLY
    }
}

/// Closes what nobody has needed for so long.
pub(super) fn close_unused(pool: &Pool, since: Duration) {
    pool.retain(|_, connection| connection.last_used() < since);
}
