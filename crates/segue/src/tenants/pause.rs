//! Pausing a tenant's writes, performed: `segue_core::tenancy::pause` decides, the control plane keeps the
//! decision, the store's head is fenced or opened by it.
//!
//! Writers that meet a fence read the route again. While it says paused they wait here, each at most for
//! the time that the configuration gives ([`WritePausedError`] then), and look again at moments that are
//! spread out, so that they do not all come back at once. However many wait, one process reads the
//! route of a tenant at most once in [`LOOK`]. Reads go on.
//!
//! Anybody who finds a decision without its effect completes it: a pauser or resumer that repeats, and a
//! writer that meets the fence.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use segue_core::ids::{TenantId, Term};
use segue_core::tenancy::pause::{Effect, Gate, Seen, Wish, decide, effect};
use segue_store::control::routing::{Phase, PhaseChange, Route};
use segue_store::control::{self, By};
use segue_store::events::{self, Head, HeadSwap, Mode};
use tokio::time::Instant;

use super::router::{Failure, TenantStoreRouter, fenced_by_nobody, lost};
use crate::error::{Error, Kind, Result};
use crate::telemetry;

/// How old a route may be that a waiting writer goes by.
const LOOK: Duration = Duration::from_millis(25);

/// How many writes of one tenant wait in one process; more are refused at once.
const WAITING: usize = 4_096;

/// For how many tenants the waiting is remembered after it is over, until a resume asks for it.
const REMEMBERED: usize = 1_024;

/// How often a decision or an effect is tried again because another process came first. Each time one of
/// them has got on.
const ROUNDS: usize = 32;

/// A write met a pause that did not end in time. Nothing of it was stored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "writes of tenant {tenant_id} are paused, and went on being so for {timeout_seconds} seconds: try again"
)]
pub struct WritePausedError {
    /// Whose writes wait.
    pub tenant_id: TenantId,
    /// How long this one waited at most, in seconds.
    pub timeout_seconds: f64,
}

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

impl TenantStoreRouter {
    /// Makes a tenant's writes wait, in every process, and returns when its store takes none any more.
    /// Answers whether this call decided so; they may be paused already. Safe to repeat, as after an
    /// unknown outcome.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a tenant without a home; [`Error::Unavailable`].
    pub async fn pause_writes(&self, tenant: TenantId, by: &By) -> Result<bool> {
        let before = self.turn(tenant, Wish::Pause, by).await?;
        if before.is_some() {
            tracing::info!(%tenant, by = by.actor, "writes are paused");
        }
        Ok(before.is_some())
    }

    /// Lets a tenant's writes go on, in every process, and returns when its store takes them again.
    /// Answers with what the pause cost, or with nothing if there was none. Safe to repeat.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a tenant without a home; [`Error::Unavailable`].
    pub async fn resume_writes(&self, tenant: TenantId, by: &By) -> Result<Option<PauseMetrics>> {
        let Some(before) = self.turn(tenant, Wish::Resume, by).await? else { return Ok(None) };
        let duration = match before.phase {
            Phase::Paused { since } => by.at.duration_since(since).try_into().unwrap_or_default(),
            Phase::Settled => Duration::ZERO,
        };
        let metrics = self.waiting.told(tenant, before.term, duration);
        tracing::info!(%tenant, by = by.actor, ?metrics, "writes go on");
        Ok(Some(metrics))
    }

    /// Decides and performs; the route before, if it was this call that decided.
    async fn turn(&self, tenant: TenantId, wish: Wish, by: &By) -> Result<Option<Route>> {
        for _ in 0..ROUNDS {
            let Some(before) = self.refresh(tenant).await? else {
                return Err(Error::NotFound { kind: Kind::Tenant, id: tenant.to_string() });
            };
            let Some(phase) = decide(wish, before.phase, by.at) else {
                self.settle(tenant, &before).await?;
                return Ok(None);
            };
            let change = PhaseChange { expected: before.term, phase };
            match self.control().change_phase(tenant, change, by).await {
                Ok(after) => {
                    self.settle(tenant, &after).await?;
                    self.remember(tenant, Some(&after));
                    return Ok(Some(before));
                }
                Err(control::Error::Conflict(control::Conflict::Route(_))) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended(tenant))
    }

    /// Brings the store's head to what the route says, unless it is there, or beyond.
    pub(super) async fn settle(&self, tenant: TenantId, route: &Route) -> Result<(), Failure> {
        let store = self.store(&route.store_id)?;
        let mut head = match store.head(tenant).await {
            Err(events::Error::NotFound { .. }) => return Err(lost(tenant, route)),
            head => head?,
        };
        for _ in 0..ROUNDS {
            let contradicted = || fenced_by_nobody(tenant, route, head.mode, head.epoch);
            let seen = seen(&head).ok_or_else(contradicted)?;
            let (gate, term) = match effect(&route.register(), &seen) {
                Effect::Done | Effect::Overtaken => return Ok(()),
                Effect::Contradicted => return Err(contradicted()),
                Effect::Set { gate, term } => (gate, term),
            };
            let swap = HeadSwap {
                expect_epoch: head.epoch,
                expect_mode: head.mode,
                expect_mark: None,
                coord_term: term.0,
                epoch: head.epoch,
                mode: match gate {
                    Gate::Open => Mode::Open,
                    Gate::Shut => Mode::Fenced,
                },
            };
            match store.swap_head(tenant, swap).await {
                Ok(_) => return Ok(()),
                Err(events::Error::HeadDiffers { head: now }) => head = *now,
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended(tenant).into())
    }

    /// Waits until a tenant's writes go on.
    pub(super) async fn wait_for_release(
        &self,
        tenant: TenantId,
        paused: &Route,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let paused_error = || {
            let timeout_seconds = self.write_pause_timeout.as_secs_f64();
            Error::WritePaused(WritePausedError { tenant_id: tenant, timeout_seconds })
        };
        let waiting = self.waiting.enter(tenant, paused.term).ok_or_else(paused_error)?;
        telemetry::write_paused();
        let mut settled = None;
        loop {
            let Some(route) = self.look(tenant).await? else { return Ok(()) };
            match route.phase {
                Phase::Settled => return Ok(()),
                // Its pauser may have died before it fenced the store.
                Phase::Paused { .. } if settled != Some(route.term) => {
                    self.settle(tenant, &route).await?;
                    settled = Some(route.term);
                }
                Phase::Paused { .. } => {}
            }
            let now = Instant::now();
            if now >= deadline {
                return Err(paused_error().into());
            }
            tokio::time::sleep_until((now + waiting.step()).min(deadline)).await;
        }
    }

    /// The tenant's route, at most [`LOOK`] old.
    async fn look(&self, tenant: TenantId) -> Result<Option<Route>> {
        match self.known_since(tenant, LOOK) {
            Some(route) => Ok(Some(route)),
            None => self.refresh(tenant).await,
        }
    }
}

/// What a head says of its gate; nothing in a mode in which it is not the tenant's present log.
fn seen(head: &Head) -> Option<Seen> {
    let gate = match head.mode {
        Mode::Open | Mode::Prepared => Gate::Open,
        Mode::Fenced => Gate::Shut,
        Mode::Moved | Mode::Copying | Mode::Tombstone => return None,
    };
    Some(Seen { epoch: head.epoch, gate, term: Term(head.coord_term) })
}

fn contended(tenant: TenantId) -> Error {
    Error::Unavailable {
        what: "the control plane",
        reason: format!("others keep deciding about tenant {tenant}"),
        source: None,
    }
}

/// Who waits in this process, and who has waited.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_tenant: Mutex<HashMap<TenantId, Waited>>,
}

/// The waiting of one pause.
#[derive(Debug)]
struct Waited {
    term: Term,
    writers: u64,
    longest: Duration,
    /// Those who wait now, by their number, in the order in which they came.
    now: BTreeMap<u64, Instant>,
}

impl Waiting {
    /// Counts one who waits for the end of the pause of this term; nothing if too many do already.
    fn enter(&self, tenant: TenantId, term: Term) -> Option<Place<'_>> {
        let mut by_tenant = self.lock();
        if by_tenant.len() >= REMEMBERED {
            by_tenant.retain(|_, waited| !waited.now.is_empty());
        }
        let fresh =
            || Waited { term, writers: 0, longest: Duration::ZERO, now: BTreeMap::default() };
        let waited = by_tenant.entry(tenant).or_insert_with(fresh);
        if waited.term < term {
            // Those who still wait do so under the new pause too.
            let now = std::mem::take(&mut waited.now);
            *waited = Waited { writers: now.len() as u64, now, ..fresh() };
        }
        if waited.now.len() >= WAITING {
            return None;
        }
        let number = waited.now.last_key_value().map_or(waited.writers, |(last, _)| last + 1);
        waited.writers += 1;
        waited.now.insert(number, Instant::now());
        Some(Place { waiting: self, tenant, number })
    }

    /// What the pause of this term cost.
    fn told(&self, tenant: TenantId, term: Term, duration: Duration) -> PauseMetrics {
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

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Waited>> {
        self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits, until it is dropped.
#[derive(Debug)]
struct Place<'a> {
    waiting: &'a Waiting,
    tenant: TenantId,
    number: u64,
}

impl Place<'_> {
    /// How long to wait before the next look: those who came together look at different moments.
    fn step(&self) -> Duration {
        Duration::from_millis(10 + self.number % 8 * 7)
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
