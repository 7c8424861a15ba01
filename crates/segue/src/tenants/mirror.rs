//! The dual write: appends of this process, handed on to a store that follows the tenant's own.
//!
//! The writer has its source's answer before anything here begins, and never hears of what goes wrong. What was
//! appended waits in a bounded queue for a moment, so that many appends become one import; then it extends
//! the target, if that is exactly caught up. Where it is not (another process wrote meanwhile, an import
//! failed, the queue was full) it is dropped, and the copier that carries the migration on brings it: it
//! reads the source, so nothing depends on the queue.
//!
//! While nothing but its distance keeps the target from taking over, writes do wait, each for a short time,
//! where it is further behind than a cutover allows: however fast they come, it gets close enough. Where the
//! migration's settings want that, each waits until the target has it, and for longer.
//!
//! A target that fails is left alone for a while, and longer each time ([`Breaker`]). What failed is
//! counted.

mod group;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use group::{Group, came_with, continuing};
use jiff::Timestamp;
use segue_core::breaker::Breaker;
use segue_core::ids::{MigrationId, Position, StoreId, StreamId, TenantId, Term};
use segue_core::tenancy::Route;
use segue_core::tenancy::migration::{FailureStats, MigrationState};
use segue_store::events::{
    self, Access, Appended, EventStore, Head, Import, Mode, StreamAppend, StreamState, limits,
};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::reached::Reached;
use super::router::TenantStoreRouter;
use crate::telemetry::{self, BreakerOf};

/// How long appends gather before they are imported together.
const GATHER: Duration = Duration::from_millis(5);

/// How many append groups wait; when one more comes, all are dropped and left to the copier.
const QUEUE: usize = 4_096;

/// How many bytes wait.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// How long the task of a mirror lives without anything to do.
const IDLE: Duration = Duration::from_secs(10);

/// How long a write waits for the target at most where the migration's settings want it to wait.
const SYNCHRONOUS: Duration = Duration::from_millis(500);

/// The same while the target only is to come close: as long as a cutover may well take.
const CATCHING_UP: Duration = Duration::from_millis(20);

/// How often a write that waits for the target looks whether the copier has brought what lies before it.
const CLOSE: Duration = Duration::from_millis(2);

/// How often the migration's wishes are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// How many different streams are counted among those whose events a target missed.
const COUNTED: usize = 100_000;

/// Every mirror of this process.
#[derive(Debug, Default)]
pub(super) struct Mirrors {
    by_tenant: Mutex<HashMap<TenantId, Arc<DualWriteInterceptor>>>,
}

impl Mirrors {
    /// Hands an append on, if the route says that another store follows the one that took it. Answers with
    /// the mirror, for whoever wants to wait for it.
    pub(super) fn offer(
        &self,
        router: &Arc<TenantStoreRouter>,
        tenant: TenantId,
        route: &Route,
        (recorded_at, streams): (Timestamp, Vec<StreamAppend>),
        appended: &Appended,
    ) -> Option<Arc<DualWriteInterceptor>> {
        let moving = route.moving.as_ref().filter(|moving| moving.stage.mirrors())?;
        // What was there before went to the target before, or with the copier.
        if appended.duplicate {
            return None;
        }
        let mirror = {
            let mut by_tenant = lock(&self.by_tenant);
            let mirror = by_tenant
                .entry(tenant)
                .or_insert_with(|| DualWriteInterceptor::of(tenant, moving.migration));
            if mirror.migration != moving.migration {
                mirror.wait_no_more();
                *mirror = DualWriteInterceptor::of(tenant, moving.migration);
            }
            Arc::clone(mirror)
        };
        mirror.offer(Group { recorded_at, streams, appended: appended.clone() });
        mirror.serve(router);
        Some(mirror)
    }

    /// The mirror of a migration, if appends were handed to it here.
    pub(super) fn of(
        &self,
        tenant: TenantId,
        id: MigrationId,
    ) -> Option<Arc<DualWriteInterceptor>> {
        lock(&self.by_tenant).get(&tenant).filter(|mirror| mirror.migration == id).cloned()
    }

    /// Forgets the mirror of a migration that is over.
    pub(super) fn forget(&self, tenant: TenantId, id: MigrationId) {
        let mut by_tenant = lock(&self.by_tenant);
        if let Some(mirror) = by_tenant.get(&tenant).filter(|mirror| mirror.migration == id) {
            mirror.wait_no_more();
            by_tenant.remove(&tenant);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics between two changes that belong together.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands the appends of one tenant on to the target of its migration.
#[derive(Debug)]
pub struct DualWriteInterceptor {
    tenant: TenantId,
    migration: MigrationId,
    inbox: Mutex<Inbox>,
    arrived: Notify,
    /// How long writes wait for the target, in milliseconds.
    patience: AtomicU64,
    /// How many events it may lack without being waited for.
    slack: AtomicU64,
    /// Whether the migration wants to be measured.
    is_counted: AtomicBool,
    /// The last position that this mirror knows the target to have.
    reached: Reached,
    /// The target's head, as this mirror left it; held while it imports.
    head: tokio::sync::Mutex<Option<Head>>,
    failures: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Inbox {
    groups: VecDeque<Group>,
    bytes: usize,
    is_served: bool,
}

#[derive(Debug, Default)]
struct Failures {
    stats: FailureStats,
    streams: HashSet<StreamId>,
    /// How many of them were told to the control plane.
    told: u64,
}

impl DualWriteInterceptor {
    fn of(tenant: TenantId, migration: MigrationId) -> Arc<Self> {
        Arc::new(Self {
            tenant,
            migration,
            inbox: Mutex::default(),
            arrived: Notify::new(),
            patience: AtomicU64::new(0),
            slack: AtomicU64::new(0),
            is_counted: AtomicBool::new(true),
            reached: Reached::default(),
            head: tokio::sync::Mutex::default(),
            failures: Mutex::default(),
        })
    }

    /// What this process has failed to write to the target. Each of these events reaches it all the same.
    #[must_use]
    pub fn get_failure_stats(&self) -> FailureStats {
        lock(&self.failures).stats
    }

    /// How long writes wait for the target.
    fn patience(&self) -> Duration {
        Duration::from_millis(self.patience.load(Ordering::Relaxed))
    }

    fn is_waited_for(&self) -> bool {
        !self.patience().is_zero()
    }

    fn wait(&self, patience: Duration, slack: u64) {
        let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self.slack.store(slack, Ordering::Relaxed);
        self.patience.store(patience, Ordering::Relaxed);
        if patience == 0 {
            self.reached.wake();
        }
    }

    fn wait_no_more(&self) {
        self.wait(Duration::ZERO, 0);
    }

    /// Waits until the target has everything up to a position, or nearly, but not for long, and not for one
    /// that fails.
    pub(super) async fn reached(&self, position: Position) {
        let enough = position.0.saturating_sub(self.slack.load(Ordering::Relaxed));
        let is_enough = |at: Position| at.0 >= enough || !self.is_waited_for();
        if self.is_waited_for() {
            let _ = tokio::time::timeout(self.patience(), self.reached.wait_until(is_enough)).await;
        }
    }

    /// The target's head, as this mirror left it last, when an import that is under way has ended. It may be
    /// wrong where the target has lost something since, so it is told once.
    pub(super) async fn take_head(&self) -> Option<Head> {
        self.head.lock().await.take()
    }

    /// Notes that the target has everything up to a position.
    pub(super) fn saw(&self, position: Position) {
        self.reached.raise(position);
    }

    fn offer(&self, group: Group) {
        {
            let mut inbox = lock(&self.inbox);
            let bytes = group.bytes();
            if inbox.groups.len() >= QUEUE || inbox.bytes + bytes > QUEUE_BYTES {
                inbox.groups.clear();
                inbox.bytes = 0;
            }
            inbox.bytes += bytes;
            inbox.groups.push_back(group);
        }
        self.arrived.notify_one();
    }

    /// Sees to it that somebody serves the queue.
    fn serve(self: &Arc<Self>, router: &Arc<TenantStoreRouter>) {
        let is_served = std::mem::replace(&mut lock(&self.inbox).is_served, true);
        if !is_served {
            let serving = Serving {
                mirror: Arc::clone(self),
                router: Arc::downgrade(router),
                breaker: Breaker::default(),
                begun: Instant::now(),
                looked_at: None,
                is_retired: false,
            };
            tokio::spawn(serving.serve());
        }
    }

    /// Takes everything that waits, in order of position.
    fn take(&self) -> Vec<Group> {
        let mut inbox = lock(&self.inbox);
        inbox.bytes = 0;
        let mut groups: Vec<_> = inbox.groups.drain(..).collect();
        groups.sort_unstable_by_key(Group::position);
        groups
    }

    /// Ends the service if nothing waits. Answers whether it has.
    fn retire(&self) -> bool {
        let mut inbox = lock(&self.inbox);
        inbox.is_served = !inbox.groups.is_empty();
        !inbox.is_served
    }

    fn failed(&self, groups: &[Group]) {
        let Some(at) = groups.iter().map(|group| group.recorded_at).max() else { return };
        if self.is_counted.load(Ordering::Relaxed) {
            telemetry::dual_write_failed();
        }
        let mut failures = lock(&self.failures);
        let Failures { stats, streams, .. } = &mut *failures;
        stats.total_failures += 1;
        stats.first_failure_at.get_or_insert(at);
        stats.last_failure_at = Some(at);
        for group in groups {
            stats.total_events_failed += group.appended.event_ids.len() as u64;
            for stream in group.streams.iter().map(|stream| &stream.stream_id) {
                if streams.len() < COUNTED {
                    streams.insert(stream.clone());
                }
            }
        }
        stats.unique_aggregates_affected = streams.len() as u64;
    }

    /// What is to be told to the control plane, if anything failed since it was told.
    fn untold(&self) -> Option<FailureStats> {
        let failures = lock(&self.failures);
        (failures.told != failures.stats.total_failures).then_some(failures.stats)
    }

    fn told(&self, stats: &FailureStats) {
        lock(&self.failures).told = stats.total_failures;
    }
}

/// The task that serves a mirror.
struct Serving {
    mirror: Arc<DualWriteInterceptor>,
    router: Weak<TenantStoreRouter>,
    breaker: Breaker,
    begun: Instant,
    /// When the migration's wishes were last looked at.
    looked_at: Option<Instant>,
    /// Whether it has ended; another may serve the mirror then.
    is_retired: bool,
}

/// Where the appends go.
struct Target {
    source: Arc<dyn EventStore>,
    store: Arc<dyn EventStore>,
    claim: Term,
}

impl Drop for Serving {
    /// However it ends, the next append begins it again.
    fn drop(&mut self) {
        if !self.is_retired {
            lock(&self.mirror.inbox).is_served = false;
        }
    }
}

impl Serving {
    async fn serve(mut self) {
        loop {
            let arrived = self.mirror.arrived.notified();
            if tokio::time::timeout(IDLE, arrived).await.is_err() {
                self.is_retired = self.mirror.retire();
                if self.is_retired {
                    self.forget_if_over().await;
                    return;
                }
                continue;
            }
            self.look_at_wishes().await;
            // Who waits for the target is not kept waiting for company.
            if !self.mirror.is_waited_for() {
                tokio::time::sleep(GATHER).await;
            }
            let Some(router) = self.router.upgrade() else { return };
            let mut groups = self.mirror.take();
            let until = Instant::now() + self.mirror.patience();
            while !groups.is_empty() && self.serve_once(&router, &mut groups).await {
                // Somebody waits for these, and the copier is about to bring what lies before them.
                if !self.mirror.is_waited_for() || Instant::now() >= until {
                    break;
                }
                tokio::time::sleep(CLOSE).await;
                groups.extend(self.mirror.take());
                groups.sort_unstable_by_key(Group::position);
            }
            if let Some(stats) = self.mirror.untold()
                && router.tell_failures(self.mirror.tenant, self.mirror.migration, stats).await
            {
                self.mirror.told(&stats);
            }
        }
    }

    /// Forgets the mirror of a migration that is not the tenant's any more.
    async fn forget_if_over(&self) {
        let Some(router) = self.router.upgrade() else { return };
        let (tenant, id) = (self.mirror.tenant, self.mirror.migration);
        if let Ok(Some(route)) = router.route(tenant).await
            && route.moving.is_none_or(|moving| moving.migration != id)
        {
            router.mirrors.forget(tenant, id);
        }
    }

    /// Extends the target, and leaves what it does not have yet. Answers whether to try again with that.
    async fn serve_once(
        &mut self,
        router: &Arc<TenantStoreRouter>,
        groups: &mut Vec<Group>,
    ) -> bool {
        let mirror = Arc::clone(&self.mirror);
        // Whoever waits for this has changed the route before.
        let mut head = mirror.head.lock().await;
        let Some(target) = self.target(router).await else {
            // A cutover is being decided, or it is over: nothing comes this way that is worth waiting for.
            self.mirror.wait_no_more();
            return false;
        };
        if self.breaker.admits(self.begun.elapsed()).is_err() {
            // Its events count as missed, like those that broke it.
            self.mirror.failed(groups);
            return false;
        }
        match self.extend(&target, &mut head, groups).await {
            Ok(reached) => {
                self.breaker.succeeded();
                self.mirror.saw(reached);
                groups.retain(|group| group.appended.last_position > reached);
                !groups.is_empty()
            }
            Err(error) => {
                tracing::debug!(tenant = %self.mirror.tenant, %error, "a dual write failed");
                *head = None;
                let was_open = self.breaker.is_open();
                self.breaker.failed(self.begun.elapsed());
                let is_counted = self.mirror.is_counted.load(Ordering::Relaxed);
                if is_counted && self.breaker.is_open() && !was_open {
                    telemetry::breaker_opened(BreakerOf::Mirror);
                }
                self.mirror.failed(groups);
                // Nobody waits for a target that fails.
                self.mirror.wait_no_more();
                false
            }
        }
    }

    /// Whether the migration wants writes to wait for the target: by its settings, or because only its
    /// distance keeps it from taking over.
    async fn look_at_wishes(&mut self) {
        if self.looked_at.is_some_and(|at| at.elapsed() < LOOK) {
            return;
        }
        self.looked_at = Some(Instant::now());
        let Some(router) = self.router.upgrade() else { return };
        if let Ok(found) = router.control().migration(self.mirror.migration).await {
            // Not for a target that fails, and after the move for nobody: the old source only follows.
            let is_possible = found.state == MigrationState::DualWrite && !self.breaker.is_open();
            if !is_possible {
                self.mirror.wait_no_more();
            } else if found.config.synchronous_dual_write {
                self.mirror.wait(SYNCHRONOUS, 0);
            } else if found.journal.is_ready(found.config.auto_cutover) {
                self.mirror.wait(CATCHING_UP, found.config.sync_lag_threshold);
            } else {
                self.mirror.wait_no_more();
            }
            self.mirror.is_counted.store(found.config.enable_metrics, Ordering::Relaxed);
        }
    }

    /// The target, as the route says now; nothing while no store follows the tenant's own.
    async fn target(&mut self, router: &Arc<TenantStoreRouter>) -> Option<Target> {
        let route = router.route(self.mirror.tenant).await.ok().flatten()?;
        let moving = route.moving.as_ref()?;
        let is_mine = moving.migration == self.mirror.migration && moving.stage.mirrors();
        let (source, peer): (&StoreId, &StoreId) = (&route.store_id, &moving.peer);
        let (source, store) = (router.store(source).ok()?, router.store(peer).ok()?);
        is_mine.then_some(Target { source, store, claim: moving.claim })
    }

    /// Extends the target by what continues it; answers how far it goes then.
    async fn extend(
        &self,
        target: &Target,
        left: &mut Option<Head>,
        groups: &[Group],
    ) -> events::Result<Position> {
        let tenant = self.mirror.tenant;
        let known = left.take().filter(|head| head.term == target.claim);
        let head = match known {
            Some(head) => head,
            None => target.store.head(tenant).await?,
        };
        if head.mode != Mode::Copying || head.term != target.claim {
            return Ok(head.position);
        }
        // What lies before these was not brought by this mirror: look at the head anew the next time.
        let run = continuing(groups, head.position);
        if run.is_empty() {
            return Ok(head.position);
        }
        let streams = states(target, tenant, &run).await?;
        let import = Import {
            tenant,
            term: target.claim,
            after: head.mark(),
            events: run.iter().flat_map(|group| group.events()).collect(),
            streams,
            prepare: None,
        };
        match target.store.import(import).await {
            Ok(head) => {
                *left = Some(head);
                Ok(head.position)
            }
            // Another copier came first; its page is as good.
            Err(events::Error::HeadDiffers { head }) => {
                *left = Some(*head).filter(|head| head.mode == Mode::Copying);
                Ok(head.position)
            }
            Err(error) => Err(error),
        }
    }
}

/// The states of the streams that some groups extend, as far as they are of these groups: those that came
/// with an append, and for the others what the source has, if it has not gone on since.
async fn states(
    target: &Target,
    tenant: TenantId,
    run: &[&Group],
) -> events::Result<Vec<StreamState>> {
    let mut ends = BTreeMap::new();
    for group in run {
        for (stream, version) in group.streams.iter().zip(&group.appended.versions) {
            ends.insert(&stream.stream_id, (*version, stream));
        }
    }
    let came = ends.values().filter_map(|(version, stream)| came_with(stream, *version));
    let mut states: Vec<_> = came.collect();
    let asked = ends.iter().filter(|(_, (_, stream))| stream.snapshot.is_none());
    let asked: Vec<StreamId> = asked.map(|(stream, _)| (*stream).clone()).collect();
    for streams in asked.chunks(limits::STREAMS_PER_LOAD) {
        let loaded = target.source.load_many(tenant, Access::Copy, streams).await?;
        let as_left = |state: &StreamState| {
            ends.get(&state.stream_id).is_some_and(|(version, _)| *version == state.version)
        };
        states.extend(loaded.into_iter().flatten().filter(as_left));
    }
    Ok(states)
}
