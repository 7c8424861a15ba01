//! How far each followed log goes, as this process knows.
//!
//! A tail exists while somebody follows its tenant. Appends of this process tell it at once. For those of
//! other processes the head is polled, by one of the waiting followers on behalf of all: quickly while
//! something comes, slowly while nothing does. Nothing is kept but a position, so a follower that takes
//! its time costs nothing, and a tenant that nobody follows leaves no trace.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use segue_core::ids::{Position, TenantId};
use tokio::sync;
use tokio::time::Instant;

use super::failure::Failure;
use super::reached::Reached;
use super::router::TenantStoreRouter;

/// The pause between two polls while other processes append.
pub(super) const QUICK: Duration = Duration::from_millis(50);

/// The pause between two polls after a long time without anything new.
const SLOW: Duration = Duration::from_millis(500);

type ByTenant = Arc<Mutex<HashMap<TenantId, Weak<Tail>>>>;

/// The tails that somebody follows.
#[derive(Debug, Default)]
pub(super) struct Tails {
    by_tenant: ByTenant,
}

impl Tails {
    /// The tenant's tail; it lives as long as someone holds it.
    pub(super) fn of(&self, tenant: TenantId) -> Arc<Tail> {
        let mut by_tenant = lock(&self.by_tenant);
        let mut place = by_tenant.entry(tenant);
        if let Entry::Occupied(found) = &mut place
            && let Some(tail) = found.get().upgrade()
        {
            return tail;
        }
        let tail = Arc::new(Tail {
            tenant,
            known: Reached::default(),
            polling: sync::Mutex::new(Pace { every: QUICK, next: Instant::now() }),
            tails: Arc::clone(&self.by_tenant),
        });
        place.insert_entry(Arc::downgrade(&tail));
        tail
    }

    /// Tells whoever follows the tenant that its log goes up to here.
    pub(super) fn appended(&self, tenant: TenantId, last: Position) {
        let tail = lock(&self.by_tenant).get(&tenant).and_then(Weak::upgrade);
        if let Some(tail) = tail {
            tail.saw(last);
        }
    }
}

fn lock(by_tenant: &ByTenant) -> MutexGuard<'_, HashMap<TenantId, Weak<Tail>>> {
    by_tenant.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end of a followed log.
#[derive(Debug)]
pub(super) struct Tail {
    tenant: TenantId,
    known: Reached,
    /// Whoever holds it polls; it outlives the one who was polling and went away.
    polling: sync::Mutex<Pace>,
    tails: ByTenant,
}

/// When the head is polled next, and how long after that again.
#[derive(Debug)]
struct Pace {
    every: Duration,
    next: Instant,
}

impl Tail {
    /// Notes that the log goes up to here; whether that was news.
    pub(super) fn saw(&self, last: Position) -> bool {
        self.known.raise(last)
    }

    /// Waits until the log goes beyond a position.
    pub(super) async fn beyond(
        &self,
        router: &TenantStoreRouter,
        position: Position,
    ) -> Result<(), Failure> {
        loop {
            tokio::select! {
                biased;
                () = self.known.wait_until(|last| last > position) => return Ok(()),
                polled = self.poll(router) => polled?,
            }
        }
    }

    /// Looks at the head when it is time to, if nobody else is about to.
    async fn poll(&self, router: &TenantStoreRouter) -> Result<(), Failure> {
        let mut pace = self.polling.lock().await;
        tokio::time::sleep_until(pace.next).await;
        pace.next = Instant::now() + pace.every;
        let head = router.head(self.tenant).await?;
        let news = head.is_some_and(|head| self.saw(head.position));
        pace.every = if news { QUICK } else { (pace.every * 3 / 2).min(SLOW) };
        pace.next = Instant::now() + pace.every;
        Ok(())
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let mut by_tenant = lock(&self.tails);
        // A new tail may have taken this one's place already.
        if by_tenant.get(&self.tenant).is_some_and(|tail| tail.strong_count() == 0) {
            by_tenant.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const TENANT: TenantId = TenantId(Uuid::nil());

    #[test]
    fn a_tenant_that_nobody_follows_any_more_leaves_no_trace() {
        let tails = Tails::default();
        let (first, second) = (tails.of(TENANT), tails.of(TENANT));
        tails.of(TenantId(Uuid::max()));
        assert!(Arc::ptr_eq(&first, &second), "one tail however many follow");
        assert_eq!(lock(&tails.by_tenant).len(), 1);
        drop(first);
        tails.appended(TENANT, Position(7));
        assert_eq!(second.known.at(), Position(7));
        drop(second);
        assert!(lock(&tails.by_tenant).is_empty());
        tails.appended(TENANT, Position(8));
    }

    #[test]
    fn what_comes_late_does_not_take_a_tail_back() {
        let tails = Tails::default();
        let tail = tails.of(TENANT);
        assert!(tail.saw(Position(7)));
        assert!(!tail.saw(Position(5)));
        assert_eq!(tail.known.at(), Position(7));
    }
}
