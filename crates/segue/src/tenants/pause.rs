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

use std::time::Duration;

use segue_core::ids::TenantId;
use segue_core::tenancy::pause::{CutoverUnderWay, Effect, Gate, Seen, Wish, decide, effect};
use segue_store::control::routing::{Phase, PhaseChange, Route};
use segue_store::control::{self, By};
use segue_store::events::{self, Head, HeadSwap, Mode};
use tokio::time::Instant;

use super::failure::Failure;
use super::router::TenantStoreRouter;
use super::waiting::PauseMetrics;
use crate::error::{Error, Kind, Result};
use crate::telemetry;

/// How old a route may be that a waiting writer goes by.
const LOOK: Duration = Duration::from_millis(25);

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
            let phase = match decide(wish, &before, by.at) {
                Ok(Some(phase)) => phase,
                Ok(None) => {
                    self.settle(tenant, &before).await?;
                    return Ok(None);
                }
                Err(CutoverUnderWay) => {
                    self.wait_for_cutover(tenant, &before).await?;
                    continue;
                }
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
            Err(events::Error::NotFound { .. }) => return Err(Failure::lost(tenant, route)),
            head => head?,
        };
        for _ in 0..ROUNDS {
            if head.term > route.term || head.epoch > route.epoch {
                // It has seen a later decision, and may be no owner's any more: whoever follows the route
                // reads it again.
                return Ok(());
            }
            let contradicted = || Failure::fenced_by_nobody(tenant, route, head.mode, head.epoch);
            let seen = seen(&head).ok_or_else(contradicted)?;
            let (gate, term) = match effect(route, &seen) {
                Effect::Done | Effect::Overtaken | Effect::LeftToCutover => return Ok(()),
                Effect::Contradicted => return Err(contradicted()),
                Effect::Set { gate, term } => (gate, term),
            };
            let swap = HeadSwap {
                expect_epoch: head.epoch,
                expect_mode: head.mode,
                expect_mark: None,
                term,
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
        let _counted = telemetry::write_paused();
        let mut settled = None;
        loop {
            let news = waiting.news();
            let Some(route) = self.route_since(tenant, LOOK).await? else { return Ok(()) };
            if !route.holds_writes() {
                return Ok(());
            }
            // Its pauser may have died before it fenced the store.
            if settled != Some(route.term) {
                self.settle(tenant, &route).await?;
                settled = Some(route.term);
            }
            let now = Instant::now();
            if now >= deadline {
                telemetry::write_timed_out();
                return Err(paused_error().into());
            }
            news.or_until((now + waiting.step()).min(deadline)).await;
        }
    }

    /// Waits until no cutover of the tenant is being decided.
    async fn wait_for_cutover(&self, tenant: TenantId, route: &Route) -> Result<()> {
        let deadline = Instant::now() + self.write_pause_timeout;
        let Some(waiting) = self.waiting.enter(tenant, route.term) else { return Ok(()) };
        while Instant::now() < deadline {
            let news = waiting.news();
            match self.route_since(tenant, LOOK).await? {
                Some(route) if route.is_cut_over() => {}
                Some(_) | None => return Ok(()),
            }
            news.or_until((Instant::now() + waiting.step()).min(deadline)).await;
        }
        Err(contended(tenant))
    }
}

/// What a head says of its gate; nothing in a mode in which it is not the tenant's present log.
fn seen(head: &Head) -> Option<Seen> {
    let gate = match head.mode {
        Mode::Open | Mode::Prepared => Gate::Open,
        Mode::Fenced => Gate::Shut,
        Mode::Moved | Mode::Copying | Mode::Tombstone => return None,
    };
    Some(Seen { epoch: head.epoch, gate, term: head.term })
}

fn contended(tenant: TenantId) -> Error {
    Error::Unavailable {
        what: "the control plane",
        reason: format!("others keep deciding about tenant {tenant}"),
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use segue_core::ids::{Epoch, StoreId, Term};
    use segue_store::control::sqlite::Control;
    use segue_store::events::{EventStore as _, MemoryEventStore};

    use super::*;

    #[tokio::test]
    async fn whoever_waits_with_an_old_route_is_not_told_that_the_tenant_is_lost_when_it_has_moved()
    {
        let shared = StoreId::new("shared").unwrap();
        let store = Arc::new(MemoryEventStore::new());
        let control = Arc::new(Control::in_memory().unwrap());
        let router = TenantStoreRouter::new(control, shared.clone(), store.clone());
        let tenant = TenantId(uuid::Uuid::from_u128(1));
        let by = By::new("olga", Timestamp::UNIX_EPOCH);
        router.place_in(tenant, &shared, &by).await.unwrap();
        let old = router.refresh(tenant).await.unwrap().unwrap();
        for (before, mode, term) in [(Mode::Open, Mode::Fenced, 4), (Mode::Fenced, Mode::Moved, 5)]
        {
            let (expect_epoch, epoch, term) = (Epoch(1), Epoch(1), Term(term));
            let (expect_mode, expect_mark) = (before, None);
            let swap = HeadSwap { expect_epoch, expect_mode, expect_mark, term, epoch, mode };
            store.swap_head(tenant, swap).await.unwrap();
        }
        store.begin_copy(tenant, Epoch(2), Term(5)).await.unwrap();
        router.settle(tenant, &old).await.unwrap();
    }
}
