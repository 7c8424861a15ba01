//! Writes that wait for the end of a pause or a cutover, in this process.
//!
//! Each looks at the tenant's route again when it is told that there is news, and otherwise at moments that
//! are spread out, so that those who came together do not all come back at once.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use segue_core::ids::{TenantId, Term};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::Instant;

/// How many writes of one tenant wait in one process; more are refused at once.
const WAITING: usize = 4_096;

/// For how many tenants the waiting is remembered after it is over, until a resume asks for it.
const REMEMBERED: usize = 1_024;

/// What a pause cost, as this process saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PauseMetrics {
    /// From the decision to pause to the decision to go on.
    pub duration: Duration,
    /// How many writes of this process waited.
    pub blocked_writers: u64,
    /// How long the longest of them waited.
    pub longest_wait: Duration,
}

/// Who waits in this process, and who has waited.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_tenant: Mutex<BTreeMap<TenantId, Waited>>,
}

/// The waiting of one pause.
#[derive(Debug)]
struct Waited {
    term: Term,
    writers: u64,
    longest: Duration,
    /// Those who wait now, by their number, in the order in which they came.
    now: BTreeMap<u64, Instant>,
    /// Told when the tenant's route may have changed.
    news: Arc<Notify>,
}

impl Waiting {
    /// Counts one who waits for the end of the pause of this term; nothing if too many do already.
    pub(super) fn enter(&self, tenant: TenantId, term: Term) -> Option<Place<'_>> {
        let mut by_tenant = self.lock();
        if by_tenant.len() >= REMEMBERED {
            by_tenant.retain(|_, waited| !waited.now.is_empty());
        }
        let waited = by_tenant.entry(tenant).or_insert_with(|| Waited::under(term));
        if waited.term < term {
            // Those who still wait do so under the new pause too.
            let (now, news) = (std::mem::take(&mut waited.now), Arc::clone(&waited.news));
            *waited = Waited { writers: now.len() as u64, now, news, ..Waited::under(term) };
        }
        if waited.now.len() >= WAITING {
            return None;
        }
        let number = waited.now.last_key_value().map_or(waited.writers, |(last, _)| last + 1);
        waited.writers += 1;
        waited.now.insert(number, Instant::now());
        let news = Arc::clone(&waited.news);
        Some(Place { waiting: self, tenant, number, news })
    }

    /// Lets those who wait look at the tenant's route now. Answers whether anybody does.
    pub(super) fn wake(&self, tenant: TenantId) -> bool {
        match self.lock().get(&tenant).filter(|waited| !waited.now.is_empty()) {
            Some(waited) => {
                waited.news.notify_waiters();
                true
            }
            None => false,
        }
    }

    /// How many writes of a tenant wait now.
    pub(super) fn count(&self, tenant: TenantId) -> u64 {
        self.lock().get(&tenant).map_or(0, |waited| waited.now.len() as u64)
    }

    /// Lets everybody look.
    pub(super) fn wake_all(&self) {
        self.lock().values().for_each(|waited| waited.news.notify_waiters());
    }

    /// What the pause of this term cost.
    pub(super) fn told(&self, tenant: TenantId, term: Term, duration: Duration) -> PauseMetrics {
        let mut by_tenant = self.lock();
        let nobody = PauseMetrics { duration, blocked_writers: 0, longest_wait: Duration::ZERO };
        let Some(waited) = by_tenant.get(&tenant).filter(|waited| waited.term == term) else {
            return nobody;
        };
        let present = waited.now.values().next().map_or(Duration::ZERO, Instant::elapsed);
        let told = PauseMetrics {
            duration,
            blocked_writers: waited.writers,
            longest_wait: waited.longest.max(present),
        };
        if waited.now.is_empty() {
            by_tenant.remove(&tenant);
        }
        told
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TenantId, Waited>> {
        self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waited {
    fn under(term: Term) -> Self {
        let (now, news) = (BTreeMap::new(), Arc::default());
        Self { term, writers: 0, longest: Duration::ZERO, now, news }
    }
}

/// One who waits, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    waiting: &'a Waiting,
    tenant: TenantId,
    number: u64,
    news: Arc<Notify>,
}

impl Place<'_> {
    /// How long to wait before the next look: those who came together look at different moments.
    pub(super) fn step(&self) -> Duration {
        Duration::from_millis(10 + self.number % 8 * 7)
    }

    /// What is told from now on.
    pub(super) fn news(&self) -> News {
        let mut told = Box::pin(Arc::clone(&self.news).notified_owned());
        told.as_mut().enable();
        News(told)
    }
}

/// News that may have come since it was made.
#[derive(Debug)]
pub(super) struct News(Pin<Box<OwnedNotified>>);

impl News {
    /// Waits for it, or for a time.
    pub(super) async fn or_until(self, deadline: Instant) {
        // Whichever comes first: being late for the news is what must not happen.
        let _ = tokio::time::timeout_at(deadline, self.0).await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(waited) = self.waiting.lock().get_mut(&self.tenant)
            && let Some(since) = waited.now.remove(&self.number)
        {
            waited.longest = waited.longest.max(since.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const TENANT: TenantId = TenantId(Uuid::nil());

    #[test]
    fn those_who_wait_and_those_who_left_are_told_of_once_each() {
        let waiting = Waiting::default();
        let gone = waiting.enter(TENANT, Term(1)).unwrap();
        let present = waiting.enter(TENANT, Term(1)).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        drop(gone);
        let told = waiting.told(TENANT, Term(1), Duration::from_secs(1));
        assert_eq!((told.blocked_writers, told.duration), (2, Duration::from_secs(1)));
        assert!(told.longest_wait >= Duration::from_millis(5));
        drop(present);
        let nothing = waiting.told(TENANT, Term(3), Duration::ZERO);
        assert_eq!((nothing.blocked_writers, nothing.longest_wait), (0, Duration::ZERO));
    }

    #[test]
    fn a_new_pause_counts_anew_and_takes_those_along_who_still_wait() {
        let waiting = Waiting::default();
        drop(waiting.enter(TENANT, Term(1)).unwrap());
        let _present = waiting.enter(TENANT, Term(1)).unwrap();
        let _new = waiting.enter(TENANT, Term(3)).unwrap();
        assert_eq!(waiting.told(TENANT, Term(3), Duration::ZERO).blocked_writers, 2);
    }

    #[test]
    fn more_than_a_limit_do_not_wait() {
        let waiting = Waiting::default();
        let mut places: Vec<_> =
            (0..WAITING).map(|_| waiting.enter(TENANT, Term(1)).unwrap()).collect();
        assert!(waiting.enter(TENANT, Term(1)).is_none());
        assert!(
            waiting.enter(TenantId(Uuid::max()), Term(1)).is_some(),
            "others are not concerned"
        );
        places.pop();
        assert!(waiting.enter(TENANT, Term(1)).is_some());
    }
}
