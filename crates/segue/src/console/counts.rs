//! Counts of sessions that pages show. Counting a million takes longer than a page may, so what was counted
//! last is shown while it is counted again, with when that was.
//!
//! A count is kept for twenty times as long as it took: one of a millisecond is as good as fresh, one of a second
//! is not taken again with every look. Nobody counts the same thing twice at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use segue_core::ids::{PlanId, ScenarioId, TenantId};

use crate::error::{Error, Kind, Result};
use crate::http::App;
use crate::scenarios::{DeploymentStatus, ForecastView, SessionFilter, SessionPage, Standings};

/// How long a page waits for a count.
const PATIENCE: Duration = Duration::from_millis(60);
/// How many times as long as it took a count is kept, …
const KEPT_FACTOR: u32 = 20;
/// … and for how long at most.
const KEPT_MOST: Duration = Duration::from_secs(10);
/// How many counts of a kind are remembered.
const REMEMBERED: usize = 1_000;
/// How many lists of sessions that took long are.
const LISTS: usize = 50;

/// A count, and how old it is.
#[derive(Debug, Clone)]
pub struct Counted<V> {
    /// What was counted.
    pub value: Arc<V>,
    /// When that began.
    at: Instant,
    /// When it was done.
    done: Instant,
    kept: Duration,
}

impl<V> Counted<V> {
    fn is_fresh(&self) -> bool {
        self.at.elapsed() < self.kept
    }

    /// How many seconds ago it was counted.
    #[must_use]
    pub fn age_seconds(&self) -> u64 {
        self.at.elapsed().as_secs()
    }
}

/// What the console has counted.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    standings: Kept<(TenantId, ScenarioId), Standings>,
    deployments: Kept<(TenantId, PlanId), DeploymentStatus>,
    forecasts: Kept<(TenantId, PlanId), Option<Arc<ForecastView>>>,
    lists: Kept<String, SessionPage>,
}

impl Counts {
    /// Who stands where in a scenario; nothing while that is counted for the first time.
    ///
    /// # Errors
    /// What stood in the way of counting.
    pub async fn standings(
        &self,
        app: &App,
        tenant: TenantId,
        scenario: ScenarioId,
    ) -> Result<Option<Counted<Standings>>> {
        let catalog = app.opened.scenarios.catalog.clone();
        let count = async move { catalog.standings(tenant, scenario).await };
        self.standings.get((tenant, scenario), count).await
    }

    /// What came of a plan; nothing while that is counted for the first time.
    ///
    /// # Errors
    /// What stood in the way of counting.
    pub async fn deployment(
        &self,
        app: &App,
        tenant: TenantId,
        plan: PlanId,
    ) -> Result<Option<Counted<DeploymentStatus>>> {
        let deployer = app.opened.scenarios.deployer.clone();
        let count = async move { deployer.get_deployment_status(tenant, plan).await };
        self.deployments.get((tenant, plan), count).await
    }

    /// A plan's forecast, if it has one, held against what was decided; nothing while that is done for the first
    /// time.
    ///
    /// # Errors
    /// What stood in the way of it.
    pub async fn forecast(
        &self,
        app: &App,
        tenant: TenantId,
        plan: PlanId,
    ) -> Result<Option<Counted<Option<Arc<ForecastView>>>>> {
        let forecaster = app.opened.scenarios.forecaster.clone();
        let compare = async move {
            match forecaster.forecast(tenant, plan).await {
                Ok(forecast) => Ok(Some(Arc::new(forecast))),
                Err(Error::NotFound { kind: Kind::Forecast, .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.forecasts.get((tenant, plan), compare).await
    }

    /// A page of a list of sessions, known by its address; nothing while it is looked for. What is shown was found
    /// now, or some seconds ago if that took long.
    ///
    /// # Errors
    /// The cursor is from no list, or what stood in the way of looking.
    pub async fn sessions(
        &self,
        app: &App,
        tenant: TenantId,
        address: String,
        (filter, limit, after): (SessionFilter, usize, Option<String>),
    ) -> Result<Option<Arc<SessionPage>>> {
        let sessions = app.opened.scenarios.sessions.clone();
        let list = async move { sessions.browse(tenant, filter, limit, after.as_deref()).await };
        let found = self.lists.get(address.clone(), list).await;
        self.lists.forget_quick(&address);
        Ok(found?.filter(|found| found.done.elapsed() < KEPT_MOST).map(|found| found.value))
    }
}

/// The counts of one kind, by what they are of.
#[derive(Debug)]
struct Kept<K, V>(Arc<Mutex<HashMap<K, Arc<Slot<V>>>>>);

impl<K, V> Clone for Kept<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

#[derive(Debug)]
struct Slot<V> {
    known: Mutex<Option<Counted<V>>>,
    /// What stood in the way, where nobody waited long enough to be told.
    failed: Mutex<Option<Error>>,
    /// Held by whoever counts.
    counting: Arc<tokio::sync::Mutex<()>>,
}

impl<V> Slot<V> {
    fn known(&self) -> Option<Counted<V>> {
        let known = self.known.lock().expect("no panic while it is held");
        known.as_ref().map(|counted| Counted { value: counted.value.clone(), ..*counted })
    }

    /// What is known, or what stood in the way since somebody was told last.
    fn outcome(&self) -> Result<Option<Counted<V>>> {
        match self.failed.lock().expect("no panic while it is held").take() {
            Some(error) => Err(error),
            None => Ok(self.known()),
        }
    }

    fn is_counted(&self) -> bool {
        self.counting.try_lock().is_err()
    }
}

impl<K: Eq + Hash, V: Send + Sync + 'static> Kept<K, V> {
    async fn get(
        &self,
        key: K,
        count: impl Future<Output = Result<V>> + Send + 'static,
    ) -> Result<Option<Counted<V>>> {
        let slot = self.slot(key);
        if let Some(fresh) = slot.known().filter(Counted::is_fresh) {
            return Ok(Some(fresh));
        }
        let Ok(turn) = slot.counting.clone().try_lock_owned() else {
            // Somebody counts already.
            let _ = tokio::time::timeout(PATIENCE, slot.counting.lock()).await;
            return slot.outcome();
        };
        slot.outcome()?;
        let counting = slot.clone();
        let task = tokio::spawn(async move {
            let at = Instant::now();
            match count.await {
                Ok(value) => {
                    let (value, done) = (Arc::new(value), Instant::now());
                    let kept = ((done - at) * KEPT_FACTOR).min(KEPT_MOST);
                    let mut known = counting.known.lock().expect("no panic while it is held");
                    *known = Some(Counted { value, at, done, kept });
                }
                Err(error) => {
                    *counting.failed.lock().expect("no panic while it is held") = Some(error);
                }
            }
            drop(turn);
        });
        if let Ok(counted) = tokio::time::timeout(PATIENCE, task).await {
            counted.expect("counting does not panic");
        }
        slot.outcome()
    }

    /// Forgets what took no longer than somebody waits, and if there is much, whatever is not being counted.
    fn forget_quick(&self, key: &K) {
        let mut slots = self.0.lock().expect("no panic while it is held");
        let took_long =
            |slot: &Slot<V>| slot.known().is_some_and(|known| known.kept > PATIENCE * KEPT_FACTOR);
        if slots.get(key).is_some_and(|slot| !slot.is_counted() && !took_long(slot)) {
            slots.remove(key);
        }
        if slots.len() > LISTS {
            slots.retain(|_, slot| slot.is_counted());
        }
    }

    fn slot(&self, key: K) -> Arc<Slot<V>> {
        let mut slots = self.0.lock().expect("no panic while it is held");
        if slots.len() >= REMEMBERED && !slots.contains_key(&key) {
            slots.clear();
        }
        let new = || {
            Arc::new(Slot {
                known: Mutex::new(None),
                failed: Mutex::new(None),
                counting: Arc::default(),
            })
        };
        slots.entry(key).or_insert_with(new).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_looks_while_it_is_counted_sees_what_was_known_and_counts_nothing_twice() {
        let kept: Kept<u8, u64> = Kept::default();
        let times = Arc::new(AtomicU64::new(0));
        let slow = || {
            let times = times.clone();
            async move {
                let nth = times.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(nth)
            }
        };
        assert!(
            kept.get(1, slow()).await.unwrap().is_none(),
            "the first look does not wait for it"
        );
        assert!(kept.get(1, slow()).await.unwrap().is_none());
        assert_eq!(times.load(Ordering::SeqCst), 1, "nobody counts what is being counted");
        tokio::time::sleep(Duration::from_secs(2)).await;
        let seen = kept.get(1, slow()).await.unwrap().unwrap();
        assert_eq!(*seen.value, 0, "what was counted is there, whether or not it is counted again");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_found_at_once_is_looked_for_again_and_what_took_long_is_kept() {
        let kept: Kept<u8, u64> = Kept::default();
        let after = |millis, value| async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Ok(value)
        };
        let look = async |millis, value| {
            let found = kept.get(1, after(millis, value)).await.unwrap();
            kept.forget_quick(&1);
            found.map(|found| *found.value)
        };
        assert_eq!(look(0, 1).await, Some(1));
        assert_eq!(look(0, 2).await, Some(2), "nothing is shown of before");
        assert_eq!(look(200, 3).await, None, "nobody waits for it");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(look(200, 4).await, Some(3), "what is there by then is shown");
    }

    #[tokio::test]
    async fn what_stands_in_the_way_of_counting_is_said() {
        let kept: Kept<u8, u64> = Kept::default();
        let failing = async { Err(crate::Error::BadCursor) };
        assert!(kept.get(1, failing).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_stood_in_the_way_after_nobody_waited_any_more_is_said_to_who_looks_next() {
        let kept: Kept<u8, u64> = Kept::default();
        let failing = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Err(crate::Error::BadCursor)
        };
        assert!(kept.get(1, failing).await.unwrap().is_none());
        kept.forget_quick(&1);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(kept.get(1, async { Ok(1) }).await.is_err());
        assert_eq!(*kept.get(1, async { Ok(2) }).await.unwrap().unwrap().value, 2);
    }
}
