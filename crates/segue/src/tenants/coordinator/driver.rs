//! Carrying one migration on: ask the core for the next step, make it, ask again.
//!
//! Everything here may stop at any point and be begun again by another process, which starts from the route
//! and the two heads. What a driver knows beside these (how far the target was read back, what was measured)
//! saves work and decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use segue_core::breaker::Breaker;
use segue_core::digest::Mark;
use segue_core::ids::{MigrationId, Position, TenantId};
use segue_core::tenancy::head::Mode;
use segue_core::tenancy::migration::pace::Pace;
use segue_core::tenancy::migration::{
    Decision, Effect, Entry, Progress, Rules, Sight, Stage, Step, Waiting, next,
};
use segue_core::tenancy::{Phase, Route};
use segue_store::control::By;
use segue_store::control::audit::Action;
use segue_store::control::migrations::{self as row, Decided};
use segue_store::events::{self, EventStore, Head, Reason};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::at::{At, Measured};
use super::attempt::Attempt;
use super::beat::beat;
use super::spans::Spans;
use super::trouble::Trouble;
use super::{Shared, When};
use crate::error::Error;
use crate::tenants::copier::BulkCopier;
use crate::tenants::guard::has_its_fences;
use crate::tenants::read_back::ReadBack;

/// How long a driver waits for news while writes wait for the target, or for what its mirror brings.
pub(super) const CLOSE: Duration = Duration::from_millis(10);

/// How long a look at a head may take while writes wait.
const GLANCE: Duration = Duration::from_secs(1);

/// Carries one migration on.
pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) tenant: TenantId,
    pub(super) id: MigrationId,
    pub(super) news: Arc<Notify>,
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        tenant: TenantId,
        id: MigrationId,
        news: Arc<Notify>,
    ) -> Self {
        Self { shared, tenant, id, news }
    }

    /// Carries the migration on until it is over, waits for an operator, or is another process's.
    pub(super) async fn run(self) {
        let mut at = match self.take_over().await {
            Ok(at) => at,
            Err(Trouble::Unavailable(error)) => {
                tracing::debug!(migration_id = %self.id, %error, "a migration cannot be taken over yet");
                return;
            }
            Err(Trouble::Deposed | Trouble::Outdated | Trouble::Stuck(_)) => return,
        };
        let deposed = Arc::new(AtomicBool::new(false));
        let beating = tokio::spawn(beat(
            Arc::clone(&self.shared),
            (self.tenant, self.id),
            at.telling.subscribe(),
            at.lease.subscribe(),
            Arc::clone(&deposed),
            Arc::clone(&self.news),
        ));
        let _beating = AbortOnDropHandle::new(beating);
        while !deposed.load(Ordering::Relaxed) {
            // While writes wait, a store that hangs is left hanging when they have waited for long enough.
            let end = at.gives_up_at().filter(|end| *end > Instant::now());
            let going_on = self.go_on(&mut at);
            let goes_on = match end {
                Some(end) => tokio::time::timeout_at(end, going_on).await.unwrap_or(true),
                None => going_on.await,
            };
            if !goes_on {
                break;
            }
        }
        if !at.migration.is_active {
            self.shared.router.mirrors.forget(self.tenant, self.id);
        }
    }

    /// One step, and what it comes to if it fails. Answers whether there may be another.
    async fn go_on(&self, at: &mut At) -> bool {
        match self.step(at).await {
            Ok(goes_on) => goes_on,
            Err(trouble) => self.meet(at, trouble).await.is_ok(),
        }
    }

    /// One step. Answers whether there may be another.
    async fn step(&self, at: &mut At) -> Result<bool, Trouble> {
        let is_in_time = at.gives_up_at().is_none_or(|end| end > Instant::now());
        if !at.has_looked && is_in_time {
            self.look(at).await?;
        }
        let rules = self.rules(at).await?;
        let mut step = next(&at.route, &at.sight, &rules);
        if matches!(step, Step::Stop(_) | Step::Perform(Effect::Purge { .. })) {
            // Views of different moments may contradict each other, and what is purged is gone.
            self.reread(at).await?;
            self.look(at).await?;
            step = next(&at.route, &at.sight, &rules);
        }
        if let Step::Decide(Decision::Commit { at: end }) = step
            && let Some(why) = self.speaks_against(at, end.position, rules.is_over_budget).await?
        {
            step = Step::Decide(Decision::GiveUp { why });
        }
        match step {
            Step::Decide(decision) => self.decide(at, decision).await?,
            Step::Perform(effect) => {
                self.shared.observer.step(self.tenant, effect.name(), When::Before).await;
                let span = at.spans.effect(effect.name(), at.migration.state, at.route.term.0);
                let before = at.reached(&effect);
                let performed = self.perform(at, effect).instrument(span).await;
                let events = at.reached(&effect).saturating_sub(before);
                at.spans.performed(&performed, events);
                self.shared.observer.step(self.tenant, effect.name(), When::After).await;
                performed?;
                at.breaker.succeeded();
                self.clear(at).await?;
            }
            Step::Wait(waiting) => {
                if waiting == Waiting::WritesPaused {
                    self.note_pause(at).await?;
                }
                self.clear(at).await?;
                return self.wait(at, waiting).await;
            }
            Step::Over => return Ok(false),
            Step::Stop(contradiction) => {
                return Err(self.stuck(
                    contradiction.to_string(),
                    "look at both stores; then resume the migration, or abort it",
                ));
            }
        }
        at.refusals = 0;
        Ok(true)
    }

    /// Becomes the coordinator.
    async fn take_over(&self) -> Result<At, Trouble> {
        let shared = &self.shared;
        let migration = shared.control.migration(self.id).await?;
        let route = shared.control.route(self.tenant).await?.ok_or(Trouble::Deposed)?;
        if route.moving.as_ref().is_none_or(|moving| moving.migration != self.id) {
            return Err(Trouble::Deposed);
        }
        let is_mine = migration.coordinator == Some(shared.process);
        let (route, migration) = if is_mine {
            (route, migration)
        } else {
            let mut decided = Decided::new(route.term, Decision::TakeOver);
            decided.coordinator = Some(shared.process);
            let taken = shared.control.decide_migration(self.tenant, decided, &self.by()).await?;
            tracing::info!(tenant = %self.tenant, migration_id = %self.id, "carrying a migration on");
            taken
        };
        shared.router.remember(self.tenant, Some(&route));
        let mut at = self.at(route, migration)?;
        at.spans = Spans::begin(&at.migration);
        if let Some(attempt) = at.attempt {
            at.spans.cutover_begun(attempt.number);
        }
        Ok(at)
    }

    /// What there is to work with, from what is decided and was told.
    fn at(&self, route: Route, migration: row::Migration) -> Result<At, Trouble> {
        let peer = route.moving.as_ref().ok_or(Trouble::Deposed)?.peer.clone();
        let store = |id| self.shared.router.store(id).map_err(Trouble::Unavailable);
        let (owner, peer) = (store(&route.store_id)?, store(&peer)?);
        let pace = Pace::new(migration.config.max_bulk_copy_rate);
        let batch = u64::from(migration.config.batch_size).min(pace.most_at_once());
        let batch = usize::try_from(batch).unwrap_or(1_000);
        let read = migration.progress.read_back;
        Ok(At {
            copier: BulkCopier::new(owner.clone(), peer.clone(), self.tenant, batch),
            read_back: ReadBack::after(peer.clone(), self.tenant, read),
            sight: Sight {
                owner: None,
                peer: None,
                read_back: read,
                preflight_passed: false,
                is_purged: false,
            },
            has_looked: false,
            pace,
            measured: Measured::default(),
            attempt: Attempt::found(
                &route,
                migration.config.pause_budget(),
                self.shared.clock.now(),
            ),
            left_to_mirror: None,
            breaker: Breaker::default(),
            analyzing: None,
            begun: Instant::now(),
            refusals: 0,
            retry_auto_at: None,
            standing: None,
            telling: watch::Sender::new(migration.progress),
            spans: Spans::untraced(),
            lease: watch::Sender::new(self.shared.settings.lease_in(&route)),
            route,
            migration,
            owner,
            peer,
        })
    }

    /// Reads again what is decided; begins anew where the stores have changed roles.
    pub(super) async fn reread(&self, at: &mut At) -> Result<(), Trouble> {
        let shared = &self.shared;
        let (route, migration) =
            tokio::join!(shared.control.route(self.tenant), shared.control.migration(self.id));
        let (route, migration) = (route?.ok_or(Trouble::Deposed)?, migration?);
        if migration.coordinator != Some(shared.process) || !migration.is_active {
            return Err(Trouble::Deposed);
        }
        self.settle(at, route, migration)
    }

    /// Works on with a route and a migration as they are now.
    pub(super) fn settle(
        &self,
        at: &mut At,
        route: Route,
        migration: row::Migration,
    ) -> Result<(), Trouble> {
        self.shared.router.remember(self.tenant, Some(&route));
        let lease = self.shared.settings.lease_in(&route);
        // Who says that this process is alive is woken only by another lease.
        at.lease.send_if_modified(|known| std::mem::replace(known, lease) != lease);
        let roles = |route: &Route| {
            (route.store_id.clone(), route.moving.as_ref().map(|moving| moving.peer.clone()))
        };
        if roles(&at.route) == roles(&route) || route.moving.is_none() {
            let begun = Attempt::of(&route);
            let known = at.attempt.map(|attempt| attempt.number);
            if begun.is_some_and(|begun| Some(begun.number) != known) {
                at.attempt = begun;
            }
            (at.route, at.migration) = (route, migration);
            return Ok(());
        }
        // The owner became the peer: nothing was read back of that one.
        let (sight, attempt, has_looked) = (at.sight, at.attempt, at.has_looked);
        let (telling, lease) = (at.telling.clone(), at.lease.clone());
        let analyzing = at.analyzing.take();
        let mut anew = self.at(route, migration)?;
        std::mem::swap(&mut anew.spans, &mut at.spans);
        *at = anew;
        at.analyzing = analyzing;
        (at.attempt, at.telling, at.lease, at.has_looked) = (attempt, telling, lease, has_looked);
        (at.sight.owner, at.sight.peer) = (sight.peer, sight.owner);
        (at.sight.read_back, at.read_back) =
            (Mark::START, ReadBack::after(at.peer.clone(), self.tenant, Mark::START));
        Ok(())
    }

    /// Looks at both heads, the owner's later: what a copy has, its owner had before.
    pub(super) async fn look(&self, at: &mut At) -> Result<(), Trouble> {
        let begun = Instant::now();
        let peer = self.glance(at, &at.peer).await;
        let owner = self.glance(at, &at.owner).await;
        at.measured.look = begun.elapsed();
        self.seen(at, owner, peer)
    }

    /// A store's head, unless the store may have forgotten what it was told. While writes wait it is not
    /// waited for long.
    async fn glance(&self, at: &At, store: &Arc<dyn EventStore>) -> events::Result<Head> {
        let head = store.head(self.tenant);
        let head = if at.route.is_cut_over() {
            let slow = |_| events::Error::Unavailable { reason: Reason::Slow, source: None };
            tokio::time::timeout(GLANCE, head).await.map_err(slow)?
        } else {
            head.await
        };
        has_its_fences(&**store)?;
        head
    }

    /// Takes note of what two stores said of their heads.
    fn seen(
        &self,
        at: &mut At,
        owner: events::Result<Head>,
        peer: events::Result<Head>,
    ) -> Result<(), Trouble> {
        let there = |head: events::Result<Head>, of: &segue_core::ids::StoreId| match head {
            Ok(head) => Ok(Some(head)),
            Err(events::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(Trouble::Unavailable(Error::of_store(of, error))),
        };
        let peer_id = at.route.moving.as_ref().map(|moving| moving.peer.clone());
        let peer_id = peer_id.unwrap_or_else(|| at.route.store_id.clone());
        at.sight.owner = there(owner, &at.route.store_id)?;
        match there(peer, &peer_id) {
            Ok(peer) => at.sight.peer = peer,
            // The owner alone matters then.
            Err(_) if at.is_reopening() => {}
            Err(trouble) => return Err(trouble),
        }
        at.has_looked = true;
        self.saw(at);
        Ok(())
    }

    /// Takes note of heads that were seen.
    pub(super) fn saw(&self, at: &mut At) {
        // A tombstone keeps its position, and holds nothing.
        let held = at.sight.peer.filter(|head| head.mode != Mode::Tombstone);
        let copied = held.map_or(Position(0), |head| head.position);
        // What was read back and is not there any more proves nothing.
        if at.sight.read_back.position > copied {
            at.read_back.begin_anew();
            at.sight.read_back = Mark::START;
        }
        let stage = at.route.moving.as_ref().map(|moving| &moving.stage);
        let progress = match stage {
            // The way back is not what is told of.
            Some(Stage::Migrated { at: end } | Stage::Finishing { at: end, .. }) => Progress {
                copied: end.position,
                total: end.position,
                read_back: at.telling.borrow().read_back,
                events_per_second: 0.0,
            },
            _ => Progress {
                copied,
                total: at.sight.owner.map_or(Position(0), |head| head.position),
                read_back: at.sight.read_back,
                events_per_second: at.measured.told_rate(Instant::now()),
            },
        };
        at.telling.send_replace(progress);
    }

    /// What is asked of the move now.
    async fn rules(&self, at: &mut At) -> Result<Rules, Trouble> {
        let config = &at.migration.config;
        let force = at.migration.journal.wish.as_ref().is_some_and(|wish| wish.force);
        let now = self.shared.clock.now();
        let purge_is_due = match &at.route.moving {
            Some(moving) => match moving.stage {
                Stage::Finishing { purge_at, .. } => purge_at <= now,
                _ => false,
            },
            None => false,
        };
        let is_over_budget = at.gives_up_at().is_some_and(|end| end <= Instant::now());
        let rules = Rules {
            lag_threshold: config.sync_lag_threshold,
            needs_read_back: config.needs_read_back() && !force,
            cut_over: false,
            is_over_budget,
            keeps_way_back: config.keep_way_back,
            purge_is_due,
        };
        let is_following =
            matches!(at.route.moving.as_ref().map(|moving| &moving.stage), Some(Stage::DualWrite));
        let cut_over = is_following && self.wants_cutover(at).await?;
        Ok(Rules { cut_over, ..rules })
    }

    /// Whether somebody wants to cut over, and nothing speaks against it.
    async fn wants_cutover(&self, at: &mut At) -> Result<bool, Trouble> {
        let auto = at.migration.config.auto_cutover
            && at.retry_auto_at.is_none_or(|at| at <= Instant::now());
        let wish = at.migration.journal.wish.clone();
        if wish.is_none() && !auto {
            return Ok(false);
        }
        if !wish.is_some_and(|wish| wish.force) && !self.verified(at).await? {
            return Ok(false);
        }
        at.standing = None;
        let budget = at.migration.config.pause_budget();
        let mut predicted = at.predicted_pause();
        if predicted > budget {
            // What was slow once need not be so for ever.
            self.measure_anew(at).await?;
            predicted = at.predicted_pause();
        }
        if predicted <= budget {
            return Ok(true);
        }
        let message = format!(
            "the cutover would keep writes waiting for about {:.1} s, and may take {:.1} s",
            predicted.as_secs_f64(),
            budget.as_secs_f64()
        );
        let suggested = "wait until the stores answer faster, or raise cutover_timeout_seconds";
        self.stand_in_the_way(at, message, suggested).await?;
        Ok(false)
    }

    /// Measures what a cutover is made of, as far as that can be done without one.
    async fn measure_anew(&self, at: &mut At) -> Result<(), Trouble> {
        let begun = Instant::now();
        self.shared.control.check().await?;
        (at.measured.decision, at.measured.page) = (begun.elapsed(), Duration::ZERO);
        self.look(at).await
    }

    /// Waits for what the core waits for.
    async fn wait(&self, at: &mut At, waiting: Waiting) -> Result<bool, Trouble> {
        let interval = at.migration.config.check_interval();
        let is_allowed =
            at.standing.is_none() && at.retry_auto_at.is_none_or(|retry| retry <= Instant::now());
        let wants =
            at.is_waited_for() && (is_allowed || at.migration.config.synchronous_dual_write);
        let patience = match waiting {
            Waiting::Events if wants => CLOSE,
            Waiting::Events | Waiting::WritesPaused => interval,
            Waiting::Retention => interval.max(Duration::from_secs(1)),
            Waiting::Operator => return Ok(false),
        };
        let _ = tokio::time::timeout(patience, self.news.notified()).await;
        self.reread(at).await?;
        self.look(at).await?;
        Ok(true)
    }

    async fn note_pause(&self, at: &mut At) -> Result<(), Trouble> {
        let Phase::Paused { since } = at.route.phase else { return Ok(()) };
        let message = format!(
            "the tenant's writes are paused since {since}: a tenant that is not written is not cut over"
        );
        self.stand_in_the_way(at, message, "let the tenant's writes go on").await
    }

    pub(super) async fn note(
        &self,
        at: &mut At,
        entries: Vec<Entry>,
        action: Option<Action>,
    ) -> Result<(), Trouble> {
        let by = self.by();
        let noted = self.shared.control.note_migration(self.tenant, self.id, entries, action, &by);
        at.migration = noted.await?;
        Ok(())
    }

    /// This process, for the audit.
    pub(super) fn by(&self) -> By {
        By::new(format!("segue {}", self.shared.process), self.shared.clock.now())
    }
}
