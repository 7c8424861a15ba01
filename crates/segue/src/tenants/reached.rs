//! How far something has come, and waiting for it.
//!
//! Those who wait are woken in the order in which they came, so that what follows is the same each time
//! under a scheduler that is; a `watch` channel wakes in any order.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use segue_core::ids::Position;
use tokio::sync::Notify;

/// A position that only grows.
#[derive(Debug, Default)]
pub(super) struct Reached {
    at: Mutex<Position>,
    news: Notify,
}

impl Reached {
    /// How far it is.
    pub(super) fn at(&self) -> Position {
        *self.lock()
    }

    /// Notes that it has come so far at least; whether that was news.
    pub(super) fn raise(&self, to: Position) -> bool {
        let is_news = {
            let mut at = self.lock();
            let is_news = to > *at;
            *at = to.max(*at);
            is_news
        };
        if is_news {
            self.wake();
        }
        is_news
    }

    /// Lets those who wait look again, though it has come no further.
    pub(super) fn wake(&self) {
        self.news.notify_waiters();
    }

    /// Waits until it is far enough.
    pub(super) async fn wait_until(&self, is_enough: impl Fn(Position) -> bool) {
        loop {
            let mut news = pin!(self.news.notified());
            news.as_mut().enable();
            if is_enough(self.at()) {
                return;
            }
            news.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Position> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
