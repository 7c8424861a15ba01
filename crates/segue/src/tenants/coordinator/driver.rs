//! Carrying one migration on: ask the core for the next step, make it, ask again.
//!
//! Everything here may stop at any point and be begun again by another process, which starts from the route
//! and the two heads. What a driver knows beside these (how far the target was read back, what was measured)
//! saves work and decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use segue_core::digest::Mark;
use segue_core::ids::{MigrationId, Position, TenantId};
use segue_core::tenancy::migration::breaker::Breaker;
use segue_core::tenancy::migration::journal::{Cutover, Obstacle};
use segue_core::tenancy::migration::pace::Pace;
use segue_core::tenancy::migration::{
    Copying, Decision, Entry, Progress, Rules, Sight, Stage, Step, Waiting, Why, next,
};
use segue_core::tenancy::{Phase, Route};
use segue_store::control::audit::Action;
use segue_store::control::migrations::{self as row, Decided};
use segue_store::control::{self, By, Conflict};
use segue_store::events::{self, EventStore, Head};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::Instrument;

use super::{Shared, When};
use crate::error::Error;
use crate::telemetry;
use crate::tenants::copier::BulkCopier;
use crate::tenants::read_back::ReadBack;

/// How long a driver waits for both heads to stay the same when somebody wants to cut over.
pub(super) const CLOSE: Duration = Duration::from_millis(10);

/// The pauses after something that does not answer.
const RETRY: Duration = Duration::from_millis(100);

/// How often in a row the stores may refuse what the core says before it is waited.
const REFUSALS: u32 = 8;

/// How long after an automatic cutover was given up the next is tried.
const AUTO_RETRY: Duration = Duration::from_secs(5);

/// Carries one migration on.
pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) tenant: TenantId,
    pub(super) id: MigrationId,
    news: Arc<Notify>,
}

/// What a driver works with while it is the coordinator.
pub(super) struct At {
    pub(super) route: Route,
    pub(super) migration: row::Migration,
    pub(super) sight: Sight,
    pub(super) owner: Arc<dyn EventStore>,
    pub(super) peer: Arc<dyn EventStore>,
    pub(super) copier: BulkCopier,
    pub(super) read_back: ReadBack,
    pub(super) pace: Pace,
    pub(super) measured: Measured,
    pub(super) attempt: Option<Attempt>,
    /// Where the peer stood when the mirror was last left to bring what it lacks.
    pub(super) left_to_mirror: Option<Position>,
    breaker: Breaker,
    begun: Instant,
    refusals: u32,
    retry_auto_at: Option<Instant>,
    pub(super) telling: watch::Sender<Progress>,
}

/// What was measured on the way.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Measured {
    /// How long the last decision took.
    pub(super) decision: Duration,
    /// How long the last page of a few events took.
    pub(super) page: Duration,
    /// How long a look at both heads took.
    pub(super) look: Duration,
    /// Events per second of late.
    pub(super) rate: f64,
    /// When a slice of the copy ended, and where the source was.
    pub(super) last_slice: Option<(Instant, Position)>,
}

/// A cutover that this driver tries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    /// Its number.
    pub(super) number: u32,
    /// When it was decided.
    pub(super) began_at: jiff::Timestamp,
    /// When the fence was sent; until then nobody waits for long.
    pub(super) fenced: Option<Instant>,
    /// Since when this driver sees writes wait.
    pub(super) since: Instant,
    /// How many events the target lacked then.
    pub(super) drained: u64,
}

/// Why a step was not made.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Another process carries it on, or it is over.
    Deposed,
    /// A store or the control plane has seen something later: look again.
    Outdated,
    /// A part does not answer now.
    Unavailable(Error),
    /// It does not pass by itself.
    Stuck(Obstacle),
}

impl From<control::Error> for Trouble {
    fn from(error: control::Error) -> Self {
        match error {
            control::Error::Conflict(Conflict::Route(_)) | control::Error::Transition(_) => {
                Self::Outdated
            }
            control::Error::NotFound(_) => Self::Deposed,
            other => Self::Unavailable(other.into()),
        }
    }
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
                tracing::debug!(migration = %self.id, %error, "a migration cannot be taken over yet");
                return;
            }
            Err(Trouble::Deposed | Trouble::Outdated | Trouble::Stuck(_)) => return,
        };
        let deposed = Arc::new(AtomicBool::new(false));
        let beating = tokio::spawn(beat(
            Arc::clone(&self.shared),
            (self.tenant, self.id),
            at.telling.subscribe(),
            Arc::clone(&deposed),
            Arc::clone(&self.news),
        ));
        let _beating = AbortOnDrop(beating);
        while !deposed.load(Ordering::Relaxed) {
            match self.round(&mut at).await {
                Ok(true) => {}
                Ok(false) | Err(Trouble::Deposed) => break,
                Err(trouble) => {
                    if self.meet(&mut at, trouble).await.is_err() {
                        break;
                    }
                }
            }
        }
        self.shared.router.mirrors.forget(self.tenant, self.id);
    }

    /// One step, in a span of its own where the migration is traced. Answers whether there may be another.
    async fn round(&self, at: &mut At) -> Result<bool, Trouble> {
        let span = match at.migration.config.enable_tracing {
            true => tracing::debug_span!(
                "tenant_migration", tenant = %self.tenant, migration = %self.id, state = %at.migration.state
            ),
            false => tracing::Span::none(),
        };
        self.step(at).instrument(span).await
    }

    async fn step(&self, at: &mut At) -> Result<bool, Trouble> {
        let rules = self.rules(at).await?;
        let step = next(&at.route, &at.sight, &rules);
        match step {
            Step::Decide(Decision::Commit { at: end })
                if !self.compare_the_rest(at, end.position).await? =>
            {
                self.decide(at, Decision::GiveUp { why: Why::Inconsistent }).await?;
            }
            Step::Decide(decision) => self.decide(at, decision).await?,
            Step::Perform(effect) => {
                self.shared.observer.step(self.tenant, effect.name(), When::Before).await;
                let performed = self.perform(at, effect).await;
                self.shared.observer.step(self.tenant, effect.name(), When::After).await;
                performed?;
                at.breaker.succeeded();
                self.clear(at).await?;
            }
            Step::Wait(waiting) => {
                self.clear(at).await?;
                return self.wait(at, waiting).await;
            }
            Step::Over => return Ok(false),
            Step::Stop(contradiction) => {
                return Err(Trouble::Stuck(Obstacle {
                    message: contradiction.to_string(),
                    recoverable: true,
                    suggested_action: Some(
                        "look at both stores; then resume the migration, or abort it".to_owned(),
                    ),
                    at: self.shared.clock.now(),
                }));
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
            tracing::info!(tenant = %self.tenant, migration = %self.id, "carrying a migration on");
            taken
        };
        shared.router.remember(self.tenant, Some(&route));
        let mut at = self.at(route, migration)?;
        self.look(&mut at).await?;
        Ok(at)
    }

    /// What there is to work with, from what is decided and was told.
    fn at(&self, route: Route, migration: row::Migration) -> Result<At, Trouble> {
        let peer = route.moving.as_ref().ok_or(Trouble::Deposed)?.peer.clone();
        let store = |id| self.shared.router.store(id).map_err(Trouble::Unavailable);
        let (owner, peer) = (store(&route.store_id)?, store(&peer)?);
        let batch = usize::try_from(migration.config.batch_size).unwrap_or(1_000);
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
            pace: Pace::new(migration.config.max_bulk_copy_rate),
            measured: Measured::default(),
            attempt: None,
            left_to_mirror: None,
            breaker: Breaker::default(),
            begun: Instant::now(),
            refusals: 0,
            retry_auto_at: None,
            telling: watch::Sender::new(migration.progress),
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
        let roles = |route: &Route| {
            (route.store_id.clone(), route.moving.as_ref().map(|moving| moving.peer.clone()))
        };
        if roles(&at.route) == roles(&route) || route.moving.is_none() {
            (at.route, at.migration) = (route, migration);
            return Ok(());
        }
        // The owner became the peer: nothing was read back of that one.
        let (sight, attempt, telling) = (at.sight, at.attempt, at.telling.clone());
        *at = self.at(route, migration)?;
        (at.attempt, at.telling) = (attempt, telling);
        (at.sight.owner, at.sight.peer) = (sight.peer, sight.owner);
        (at.sight.read_back, at.read_back) =
            (Mark::START, ReadBack::after(at.peer.clone(), self.tenant, Mark::START));
        Ok(())
    }

    /// Looks at both heads.
    pub(super) async fn look(&self, at: &mut At) -> Result<(), Trouble> {
        let begun = Instant::now();
        let (owner, peer) = tokio::join!(at.owner.head(self.tenant), at.peer.head(self.tenant));
        at.measured.look = begun.elapsed();
        let there = |head: events::Result<Head>, of: &segue_core::ids::StoreId| match head {
            Ok(head) => Ok(Some(head)),
            Err(events::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(Trouble::Unavailable(Error::of_store(of, error))),
        };
        let peer_id = at.route.moving.as_ref().map(|moving| moving.peer.clone());
        let peer_id = peer_id.unwrap_or_else(|| at.route.store_id.clone());
        at.sight.owner = there(owner, &at.route.store_id)?;
        at.sight.peer = there(peer, &peer_id)?;
        self.saw(at);
        Ok(())
    }

    /// Takes note of heads that were seen.
    pub(super) fn saw(&self, at: &mut At) {
        let copied = at.sight.peer.map_or(Position(0), |head| head.position);
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
                events_per_second: at.measured.rate,
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
        let budget = config.pause_budget();
        let is_over_budget = at
            .attempt
            .is_some_and(|attempt| attempt.fenced.unwrap_or(attempt.since).elapsed() > budget);
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
        let force = wish.as_ref().is_some_and(|wish| wish.force);
        if !force && !self.verified(at).await? {
            return Ok(false);
        }
        let lag = at.telling.borrow().lag();
        let predicted = at.measured.pause().predict(lag, at.measured.rate.max(5_000.0));
        let budget = at.migration.config.pause_budget();
        if predicted <= budget {
            return Ok(true);
        }
        let message = format!(
            "the cutover would keep writes waiting for about {:.1} s, and may take {:.1} s",
            predicted.as_secs_f64(),
            budget.as_secs_f64()
        );
        let suggested = "wait until the stores answer faster, or raise cutover_timeout_seconds";
        self.obstruct(at, message, suggested).await?;
        Ok(false)
    }

    /// Waits for what the core waits for.
    async fn wait(&self, at: &mut At, waiting: Waiting) -> Result<bool, Trouble> {
        let interval = at.migration.config.check_interval();
        let wants = at.migration.journal.wish.is_some() || at.migration.config.auto_cutover;
        let patience = match waiting {
            Waiting::Events if wants => CLOSE,
            Waiting::Events | Waiting::WritesPaused => interval,
            Waiting::Retention => interval.max(Duration::from_secs(1)),
            Waiting::Operator => return Ok(false),
        };
        if waiting == Waiting::WritesPaused {
            self.note_pause(at).await?;
        }
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
        self.obstruct(at, message, "let the tenant's writes go on").await
    }

    /// Decides something, and works on with what came of it.
    pub(super) async fn decide(&self, at: &mut At, decision: Decision) -> Result<(), Trouble> {
        let name = decision.name();
        let shared = &self.shared;
        shared.observer.step(self.tenant, name, When::Before).await;
        let mut decided = Decided::new(at.route.term, decision.clone());
        decided.entries = self.entries(at, &decision);
        let begun = Instant::now();
        let made = shared.control.decide_migration(self.tenant, decided, &self.by()).await;
        at.measured.decision = begun.elapsed();
        shared.observer.step(self.tenant, name, When::After).await;
        let (route, migration) = made?;
        tracing::info!(tenant = %self.tenant, migration = %self.id, decision = name, "decided");
        self.settle(at, route, migration)?;
        self.after(at, &decision).await
    }

    /// What to keep with a decision.
    fn entries(&self, at: &At, decision: &Decision) -> Vec<Entry> {
        let cutover = |gave_up| at.attempt.map(|attempt| Entry::CutOver(attempt.told(gave_up)));
        match decision {
            Decision::Commit { .. } => cutover(None).into_iter().collect(),
            Decision::GiveUp { why } => {
                cutover(Some(*why)).into_iter().chain([Entry::WishDropped]).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What follows from a decision for this driver.
    async fn after(&self, at: &mut At, decision: &Decision) -> Result<(), Trouble> {
        match decision {
            Decision::CutOver => {
                at.attempt = Some(Attempt {
                    number: at.route.moving.as_ref().map_or(0, |moving| moving.attempts),
                    began_at: self.shared.clock.now(),
                    fenced: None,
                    since: Instant::now(),
                    drained: 0,
                });
            }
            Decision::Commit { .. } => {
                if let Some(attempt) = at.attempt.take() {
                    self.committed(at, attempt).await;
                }
            }
            Decision::GiveUp { why } => {
                at.attempt = None;
                at.retry_auto_at = Some(Instant::now() + AUTO_RETRY);
                if at.migration.config.enable_metrics {
                    telemetry::cutover_given_up(*why);
                }
                tracing::warn!(tenant = %self.tenant, migration = %self.id, %why, "a cutover was given up");
            }
            _ => {}
        }
        Ok(())
    }

    /// Tells how long the pause was, now that it is over. Nothing depends on it.
    async fn committed(&self, at: &mut At, attempt: Attempt) {
        let cutover = attempt.told(None);
        let waited = self.shared.router.waiting.count(self.tenant);
        let pause_ms = cutover.pause_ms.unwrap_or_default();
        if at.migration.config.enable_metrics {
            telemetry::tenant_migrated(pause_ms);
        }
        tracing::info!(
            tenant = %self.tenant, migration = %self.id, pause_ms, drained = cutover.events_drained,
            waited, "a tenant has moved"
        );
        let entries = vec![Entry::CutOver(cutover)];
        let by = self.by();
        let noted = self.shared.control.note_migration(self.tenant, self.id, entries, None, &by);
        if let Ok(migration) = noted.await {
            at.migration = migration;
        }
    }

    /// Deals with a step that was not made.
    async fn meet(&self, at: &mut At, trouble: Trouble) -> Result<(), Trouble> {
        let met = match trouble {
            Trouble::Deposed => return Err(Trouble::Deposed),
            Trouble::Outdated => {
                at.refusals += 1;
                if at.refusals > REFUSALS {
                    tokio::time::sleep(RETRY).await;
                }
                self.look_again(at).await
            }
            Trouble::Unavailable(error) => self.wait_for(at, error).await,
            Trouble::Stuck(obstacle) => self.give_in(at, obstacle).await,
        };
        match met {
            // The control plane or a store is away: what was known still holds.
            Err(Trouble::Unavailable(error)) => {
                tracing::debug!(migration = %self.id, %error, "waiting for a part that is away");
                tokio::time::sleep(RETRY).await;
                Ok(())
            }
            Err(Trouble::Outdated | Trouble::Stuck(_)) | Ok(()) => Ok(()),
            Err(Trouble::Deposed) => Err(Trouble::Deposed),
        }
    }

    async fn look_again(&self, at: &mut At) -> Result<(), Trouble> {
        at.copier.forget();
        self.reread(at).await?;
        self.look(at).await
    }

    /// Something does not answer: left alone for a while, longer each time; while writes wait, not for long.
    async fn wait_for(&self, at: &mut At, error: Error) -> Result<(), Trouble> {
        at.breaker.failed(at.begun.elapsed());
        let wait = at.breaker.admits(at.begun.elapsed()).err().unwrap_or(RETRY).max(RETRY / 4);
        let wait = if at.route.is_cut_over() { wait.min(RETRY / 2) } else { wait };
        tracing::debug!(migration = %self.id, %error, ?wait, "a step failed; trying again");
        if at.breaker.is_open() && !at.route.is_cut_over() {
            let suggested = "look at the health of both stores; the migration goes on by itself";
            self.obstruct(at, error.to_string(), suggested).await?;
        }
        let _ = tokio::time::timeout(wait, self.news.notified()).await;
        self.look_again(at).await
    }

    /// Something does not pass by itself: the migration fails where it can, and waits where it cannot.
    async fn give_in(&self, at: &mut At, obstacle: Obstacle) -> Result<(), Trouble> {
        // What contradicts a route that is old may be what was decided since, such as a repair.
        let known = at.route.term;
        self.reread(at).await?;
        if at.route.term != known {
            at.copier.forget();
            return self.look(at).await;
        }
        tracing::error!(
            tenant = %self.tenant, migration = %self.id, error = obstacle.message,
            "a migration cannot go on by itself"
        );
        let stage = at.route.moving.as_ref().map(|moving| moving.stage.clone());
        match stage {
            Some(Stage::Pending | Stage::BulkCopy | Stage::DualWrite) => {
                if at.migration.config.enable_metrics {
                    telemetry::migration_failed();
                }
                let mut decided = Decided::new(at.route.term, Decision::Fail);
                decided.entries = vec![Entry::Obstructed(obstacle), Entry::WishDropped];
                let by = self.by();
                let made = self.shared.control.decide_migration(self.tenant, decided, &by).await?;
                self.settle(at, made.0, made.1)
            }
            Some(Stage::CutoverPaused { .. }) => {
                self.obstruct(at, obstacle.message, "verify and repair the target").await?;
                self.decide(at, Decision::GiveUp { why: Why::Inconsistent }).await
            }
            _ => {
                let suggested = obstacle.suggested_action.unwrap_or_default();
                self.obstruct(at, obstacle.message, &suggested).await?;
                let patience = at.migration.config.check_interval();
                let _ = tokio::time::timeout(patience, self.news.notified()).await;
                self.look_again(at).await
            }
        }
    }

    /// Keeps what stands in the way, if that is news.
    pub(super) async fn obstruct(
        &self,
        at: &mut At,
        message: String,
        suggested: &str,
    ) -> Result<(), Trouble> {
        if at.migration.journal.error.as_ref().is_some_and(|known| known.message == message) {
            return Ok(());
        }
        let obstacle = Obstacle {
            message,
            recoverable: true,
            suggested_action: Some(suggested.to_owned()).filter(|text| !text.is_empty()),
            at: self.shared.clock.now(),
        };
        self.note(at, vec![Entry::Obstructed(obstacle)], None).await
    }

    /// Nothing stands in the way any more.
    async fn clear(&self, at: &mut At) -> Result<(), Trouble> {
        let waits_for_operator = matches!(
            at.route.moving.as_ref().map(|moving| &moving.stage),
            Some(Stage::Failed { from: Copying::Pending | Copying::BulkCopy | Copying::DualWrite })
        );
        if at.migration.journal.error.is_none() || waits_for_operator || at.route.is_cut_over() {
            return Ok(());
        }
        self.note(at, vec![Entry::Clear], None).await
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

impl Attempt {
    /// What is kept of it.
    fn told(&self, gave_up: Option<Why>) -> Cutover {
        Cutover {
            attempt: self.number,
            began_at: self.began_at,
            gave_up,
            pause_ms: self.fenced.map(|fenced| fenced.elapsed().as_secs_f64() * 1e3),
            events_drained: self.drained,
        }
    }
}

/// Says that this process is alive, until it is told that another one carries the migration on.
async fn beat(
    shared: Arc<Shared>,
    (tenant, id): (TenantId, MigrationId),
    progress: watch::Receiver<Progress>,
    deposed: Arc<AtomicBool>,
    news: Arc<Notify>,
) {
    let every = shared.settings.lease / 4;
    loop {
        let now = *progress.borrow();
        match shared.control.beat(tenant, id, shared.process, now).await {
            Ok(true) => {}
            Ok(false) => {
                deposed.store(true, Ordering::Relaxed);
                news.notify_one();
                return;
            }
            Err(error) => {
                tracing::debug!(migration = %id, %error, "a coordinator could not say it is alive")
            }
        }
        tokio::time::sleep(every).await;
    }
}

/// A task that ends with whoever holds this.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
