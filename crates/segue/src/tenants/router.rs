//! The one door to every tenant's log: callers name a tenant, never a store.
//!
//! A route (store and epoch) is a decision of the control plane. The router remembers it, and may be wrong:
//! a store accepts an operation only at its own epoch, answers [`events::Error::Fenced`] otherwise, and
//! the router then reads the route again. So a stale memory costs a round trip, never a misplaced write.
//!
//! A new tenant gets its home with its first write: first an open head in the default store, then the row
//! in the control plane. Dying in between leaves an empty head that the next attempt finds and uses. The
//! other way round, a route without a head, can therefore only mean that the store lost the tenant, and is
//! reported as such; an append never creates a head.
//!
//! While a tenant's writes are paused they wait here; see [`pause`](super::pause).

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use segue_core::ids::{Epoch, EventId, MigrationId, StoreId, StreamId, StreamVersion, TenantId};
use segue_core::tenancy::migration::{FailureStats, Stage};
use segue_store::control::routing::Route;
use segue_store::control::{By, Changed, ControlPlane};
use segue_store::events::{
    self, Access, Append, Appended, Count, CountQuery, Direction, Event, EventStore, Head, LogPage,
    LogRead, Redact, Redacted, SnapshotPage, SnapshotQuery, StreamAppend, StreamPage, StreamRead,
    StreamState,
};
use tokio::sync::OnceCell;
use tokio::time::Instant;
use uuid::Uuid;

use super::failure::Failure;
use super::guard::has_its_fences;
use super::mirror::Mirrors;
use super::routes::Routes;
use super::tails::Tails;
use super::waiting::Waiting;

use crate::error::{Error, Result};

/// How often an operation follows a changed route before it gives up. A cutover changes a route once;
/// more than a few changes within one operation mean that something is wrong.
const ROUTE_CHANGES: usize = 4;

/// Every event store of the configuration, behind the routes of the control plane.
#[derive(Debug)]
pub struct TenantStoreRouter {
    control: Arc<dyn ControlPlane>,
    stores: BTreeMap<StoreId, Registered>,
    default_store: StoreId,
    routes: Routes,
    pub(super) write_pause_timeout: Duration,
    pub(super) waiting: Waiting,
    pub(super) tails: Tails,
    pub(super) mirrors: Mirrors,
    /// Who this process is, for what it tells of itself.
    process: OnceLock<Uuid>,
}

/// A store, and what this process has done about its incarnation.
#[derive(Debug)]
struct Registered {
    store: Arc<dyn EventStore>,
    /// It was told as which it is known.
    introduced: OnceCell<()>,
    /// It is known.
    noted: OnceCell<()>,
}

impl Registered {
    fn new(store: Arc<dyn EventStore>) -> Self {
        Self { store, introduced: OnceCell::new(), noted: OnceCell::new() }
    }
}

/// Where a tenant lives.
#[derive(Debug, Clone)]
pub struct Home {
    /// The decision of the control plane.
    pub route: Route,
    /// The store that it names.
    pub store: Arc<dyn EventStore>,
}

impl TenantStoreRouter {
    /// A router whose new tenants live in `store`, known as `store_id`.
    #[must_use]
    pub fn new(
        control: Arc<dyn ControlPlane>,
        store_id: StoreId,
        store: Arc<dyn EventStore>,
    ) -> Self {
        let stores = BTreeMap::from([(store_id.clone(), Registered::new(store))]);
        Self {
            control,
            stores,
            default_store: store_id,
            routes: Routes::default(),
            write_pause_timeout: Duration::from_secs(5),
            waiting: Waiting::default(),
            tails: Tails::default(),
            mirrors: Mirrors::default(),
            process: OnceLock::new(),
        }
    }

    /// Sets how long a write waits for the end of a pause before it fails; 5 seconds otherwise.
    pub fn set_write_pause_timeout(&mut self, timeout: Duration) {
        self.write_pause_timeout = timeout;
    }

    /// Adds a store that tenants may live in, or replaces the one of the same id.
    pub fn register_store(&mut self, store_id: StoreId, store: Arc<dyn EventStore>) {
        self.stores.insert(store_id, Registered::new(store));
    }

    /// Every store by its id.
    pub fn stores(&self) -> impl Iterator<Item = (&StoreId, &Arc<dyn EventStore>)> {
        self.stores.iter().map(|(id, registered)| (id, &registered.store))
    }

    /// Appends events to one stream. The tenant's first write gives it its home in the default store.
    ///
    /// # Errors
    /// As [`TenantStoreRouter::append`].
    pub async fn append_events(
        self: &Arc<Self>,
        tenant: TenantId,
        recorded_at: Timestamp,
        stream: StreamAppend,
    ) -> Result<Appended, Failure> {
        self.append(tenant, recorded_at, vec![stream]).await
    }

    /// Appends a group of events to several streams, all or nothing. While the tenant's writes are paused
    /// it waits. While the tenant moves, another store is written too; that it fails, nobody notices here.
    ///
    /// # Errors
    /// [`Failure::Store`] as [`EventStore::append`], fences aside: those are followed.
    /// [`Error::WritePaused`] when a pause does not end in time.
    pub async fn append(
        self: &Arc<Self>,
        tenant: TenantId,
        recorded_at: Timestamp,
        streams: Vec<StreamAppend>,
    ) -> Result<Appended, Failure> {
        if self.route(tenant).await?.is_none() {
            self.place(tenant, recorded_at).await?;
        }
        let appended = self
            .write(tenant, |store, epoch| {
                let append = Append { tenant, epoch, recorded_at, streams: streams.clone() };
                async move { store.append(append).await }
            })
            .await?;
        let (appended, route) = appended.expect("a placed tenant keeps a route");
        self.tails.appended(tenant, appended.last_position);
        self.mirror(tenant, &route, (recorded_at, streams), &appended).await;
        Ok(appended)
    }

    /// Hands an append on to the store that follows the tenant's own, if one does.
    async fn mirror(
        self: &Arc<Self>,
        tenant: TenantId,
        route: &Route,
        append: (Timestamp, Vec<StreamAppend>),
        appended: &Appended,
    ) {
        let Some(mirror) = self.mirrors.offer(self, tenant, route, append, appended) else {
            return;
        };
        // The way back is nobody's to wait for.
        let is_before_the_move =
            route.moving.as_ref().is_some_and(|moving| moving.stage == Stage::DualWrite);
        if is_before_the_move {
            mirror.reached(appended.last_position).await;
        }
    }

    /// The head of a tenant's log; nothing for a tenant that lives nowhere yet.
    ///
    /// # Errors
    /// [`Failure::Store`] as [`EventStore::head`].
    pub async fn head(&self, tenant: TenantId) -> Result<Option<Head>, Failure> {
        self.read(tenant, |store, access| async move {
            let head = store.head(tenant).await?;
            head.admits_read(access)?;
            // What it says of an owner may be old news.
            has_its_fences(&*store)?;
            Ok(head)
        })
        .await
    }

    /// Erases what a stream has said; `redact`'s epoch is replaced by the route's.
    ///
    /// # Errors
    /// [`Failure::Store`] as [`EventStore::redact`], fences aside.
    pub async fn redact(&self, redact: Redact) -> Result<Redacted, Failure> {
        let redacted = self
            .write(redact.tenant, |store, epoch| {
                let redact = Redact { epoch, ..redact.clone() };
                async move { store.redact(redact).await }
            })
            .await?;
        let Some((redacted, _)) = redacted else {
            return Err(Failure::Store(events::Error::StreamNotFound { stream: redact.stream_id }));
        };
        self.tails.appended(redact.tenant, redacted.position);
        Ok(redacted)
    }

    /// The present state of streams, all of one moment, in the order asked for.
    ///
    /// # Errors
    /// [`Failure::Store`] as [`EventStore::load_many`], fences aside.
    pub async fn load<const N: usize>(
        &self,
        tenant: TenantId,
        streams: [StreamId; N],
    ) -> Result<[Option<StreamState>; N], Failure> {
        let mut states = self.load_many(tenant, &streams).await?.into_iter();
        Ok(std::array::from_fn(|_| states.next().flatten()))
    }

    /// As [`TenantStoreRouter::load`], for as many streams as one call loads.
    ///
    /// # Errors
    /// [`Failure::Store`] as [`EventStore::load_many`], fences aside.
    pub async fn load_many(
        &self,
        tenant: TenantId,
        streams: &[StreamId],
    ) -> Result<Vec<Option<StreamState>>, Failure> {
        let loaded =
            self.read(tenant, |store, access| async move {
                store.load_many(tenant, access, streams).await
            })
            .await?;
        Ok(loaded.unwrap_or_else(|| streams.iter().map(|_| None).collect()))
    }

    /// The versions of streams, 0 for one that does not exist.
    ///
    /// # Errors
    /// [`Failure::Store`] as [`EventStore::stream_versions`], fences aside.
    pub async fn stream_versions(
        &self,
        tenant: TenantId,
        streams: &[StreamId],
    ) -> Result<Vec<StreamVersion>, Failure> {
        let versions = self
            .read(tenant, |store, access| async move {
                store.stream_versions(tenant, access, streams).await
            })
            .await?;
        Ok(versions.unwrap_or_else(|| vec![StreamVersion(0); streams.len()]))
    }

    /// A page of a stream; `read`'s epoch is replaced by the route's. An unknown tenant's are empty.
    ///
    /// # Errors
    /// [`Failure::Store`] as [`EventStore::read_stream`], fences aside.
    pub async fn read_stream(&self, read: StreamRead) -> Result<StreamPage, Failure> {
        let page = self
            .read(read.tenant, |store, access| {
                let read = StreamRead { access, ..read.clone() };
                async move { store.read_stream(read).await }
            })
            .await?;
        Ok(page.unwrap_or(StreamPage {
            version: StreamVersion(0),
            stream_type: None,
            events: Vec::new(),
            next: None,
        }))
    }

    /// A page of a stream, oldest first, from a version on.
    ///
    /// # Errors
    /// As [`TenantStoreRouter::read_stream`].
    pub async fn get_events(
        &self,
        tenant: TenantId,
        stream: &StreamId,
        from_version: StreamVersion,
        limit: usize,
    ) -> Result<StreamPage, Failure> {
        let (stream, direction) = (stream.clone(), Direction::Forwards);
        let epoch = Epoch::default();
        let read = StreamRead {
            tenant,
            access: epoch.into(),
            stream,
            from: from_version,
            limit,
            direction,
        };
        self.read_stream(read).await
    }

    /// A page of the tenant log; `read`'s epoch is replaced by the route's. An unknown tenant's is empty.
    ///
    /// # Errors
    /// [`Failure::Store`] as [`EventStore::read_log`], fences aside.
    pub async fn read_log(&self, read: LogRead) -> Result<LogPage, Failure> {
        let page = self
            .read(read.tenant, |store, access| {
                let read = LogRead { access, ..read.clone() };
                async move { store.read_log(read).await }
            })
            .await?;
        let empty = || LogPage { events: Vec::new(), head: Head::opened(Epoch(1)) };
        Ok(page.unwrap_or_else(empty))
    }

    /// One event by its id.
    ///
    /// # Errors
    /// [`Failure::Store`] as [`EventStore::event`], fences aside.
    pub async fn event(&self, tenant: TenantId, id: EventId) -> Result<Option<Event>, Failure> {
        let event = self
            .read(tenant, |store, access| async move { store.event(tenant, access, id).await })
            .await?;
        Ok(event.flatten())
    }

    /// A page of streams by their snapshots; `query`'s epoch is replaced by the route's.
    ///
    /// # Errors
    /// [`Failure::Store`] as [`EventStore::list`], fences aside.
    pub async fn list(&self, query: SnapshotQuery) -> Result<SnapshotPage, Failure> {
        let page = self
            .read(query.tenant, |store, access| {
                let query = SnapshotQuery { access, ..query.clone() };
                async move { store.list(query).await }
            })
            .await?;
        Ok(page.unwrap_or(SnapshotPage { streams: Vec::new(), total: 0, next: None }))
    }

    /// Counts streams by their snapshots; `query`'s epoch is replaced by the route's.
    ///
    /// # Errors
    /// [`Failure::Store`] as [`EventStore::count`], fences aside.
    pub async fn count(&self, query: CountQuery) -> Result<Vec<Count>, Failure> {
        let counts = self
            .read(query.tenant, |store, access| {
                let query = CountQuery { access, ..query.clone() };
                async move { store.count(query).await }
            })
            .await?;
        Ok(counts.unwrap_or_default())
    }

    /// Writes where the tenant lives, following its route when it changes, and waiting while its writes do;
    /// answers with the route too. `None` for a tenant that lives nowhere yet.
    async fn write<T, Op, Running>(
        &self,
        tenant: TenantId,
        op: Op,
    ) -> Result<Option<(T, Route)>, Failure>
    where
        Op: Fn(Arc<dyn EventStore>, Epoch) -> Running,
        Running: Future<Output = events::Result<T>>,
    {
        let mut deadline = None;
        let mut changes = 0;
        while changes < ROUTE_CHANGES {
            let Some(route) = self.route(tenant).await? else { return Ok(None) };
            if route.holds_writes() {
                let end = || Instant::now() + self.write_pause_timeout;
                let deadline = *deadline.get_or_insert_with(end);
                self.wait_for_release(tenant, &route, deadline).await?;
                changes = 0;
                continue;
            }
            match op(self.store(&route.store_id)?, route.epoch).await {
                Ok(answer) => return Ok(Some((answer, route))),
                Err(events::Error::Fenced { .. }) => {
                    if let Some(same) = self.refresh(tenant).await?.filter(|now| *now == route) {
                        // Its resumer may have died before it opened the store.
                        self.settle(tenant, &same).await?;
                    }
                    changes += 1;
                }
                Err(events::Error::NotFound { .. }) => return Err(Failure::lost(tenant, &route)),
                Err(error) => return Err(Failure::Store(error)),
            }
        }
        Err(Failure::keeps_changing(tenant))
    }

    /// Reads where the tenant lives; `None` for a tenant that lives nowhere yet.
    ///
    /// A store whose log is fenced cannot tell whether another one owns the tenant by now. What it answers
    /// counts only if the route, read after the answer, is still the one read before it.
    async fn read<T, Op, Running>(&self, tenant: TenantId, op: Op) -> Result<Option<T>, Failure>
    where
        Op: Fn(Arc<dyn EventStore>, Access) -> Running,
        Running: Future<Output = events::Result<T>>,
    {
        for _ in 0..ROUTE_CHANGES {
            let Some(known) = self.route(tenant).await? else { return Ok(None) };
            // A store that is fenced would only refuse it.
            if !known.holds_writes() {
                match op(self.store(&known.store_id)?, Access::Current(known.epoch)).await {
                    Ok(answer) => return Ok(Some(answer)),
                    Err(events::Error::Fenced { .. }) => {}
                    Err(events::Error::NotFound { .. }) => {
                        return Err(Failure::lost(tenant, &known));
                    }
                    Err(error) => return Err(Failure::Store(error)),
                }
            }
            let Some(before) = self.refresh(tenant).await? else { return Ok(None) };
            match op(self.store(&before.store_id)?, Access::Validated(before.epoch)).await {
                Ok(answer) => {
                    let after = self.refresh(tenant).await?;
                    let same = |after: Route| {
                        (after.store_id, after.epoch) == (before.store_id, before.epoch)
                    };
                    if after.is_some_and(same) {
                        return Ok(Some(answer));
                    }
                }
                Err(events::Error::Fenced { .. }) => {}
                Err(events::Error::NotFound { .. }) => return Err(Failure::lost(tenant, &before)),
                Err(error) => return Err(Failure::Store(error)),
            }
        }
        Err(Failure::keeps_changing(tenant))
    }

    /// The route as it is remembered, or read.
    pub(super) async fn route(&self, tenant: TenantId) -> Result<Option<Route>> {
        match self.routes.get(tenant) {
            Some(route) => Ok(Some(route)),
            None => self.refresh(tenant).await,
        }
    }

    /// The route as it was so short a time ago, or read. Of those who ask at the same time one reads it.
    pub(super) async fn route_since(
        &self,
        tenant: TenantId,
        age: Duration,
    ) -> Result<Option<Route>> {
        match self.routes.get_since(tenant, age) {
            Some(route) => Ok(Some(route)),
            None => self.refresh(tenant).await,
        }
    }

    /// Reads the route.
    pub(super) async fn refresh(&self, tenant: TenantId) -> Result<Option<Route>> {
        let route = self.control.route(tenant).await?;
        if let Some(route) = &route {
            self.introduce(&route.store_id).await?;
        }
        self.remember(tenant, route.as_ref());
        Ok(route)
    }

    /// Looks again at routes that may have changed before they are used, so that they are read before a
    /// store has to refuse one. Nothing depends on being told so.
    pub fn forget(&self, changed: Changed) {
        if !self.routes.doubt(changed) {
            return;
        }
        match changed {
            Changed::Noun(tenant, _) | Changed::Tenant(tenant) => {
                self.waiting.wake(tenant);
            }
            Changed::Anything => self.waiting.wake_all(),
        }
    }

    /// Keeps what was read of a route, unless something newer is known, and lets those who wait for a
    /// change go on.
    pub(super) fn remember(&self, tenant: TenantId, route: Option<&Route>) {
        if self.routes.keep(tenant, route) {
            self.waiting.wake(tenant);
        }
    }

    /// Where a tenant lives, as the control plane says now; nothing if it lives nowhere yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the control plane does not answer, or the store is not configured here.
    pub async fn home(&self, tenant: TenantId) -> Result<Option<Home>> {
        let Some(route) = self.refresh(tenant).await? else { return Ok(None) };
        let store = self.store(&route.store_id)?;
        Ok(Some(Home { route, store }))
    }

    async fn place(&self, tenant: TenantId, at: Timestamp) -> Result<(), Failure> {
        self.store(&self.default_store)?.open_tenant(tenant, Epoch(1)).await?;
        let by = By::new("segue", at);
        let placed = self.control.place(tenant, &self.default_store, &by).await;
        let home = placed.map_err(Error::from)?.route();
        self.release(tenant, &home, &self.default_store).await;
        self.refresh(tenant).await?;
        Ok(())
    }

    /// Makes the empty log that a placing has opened in a store one that a migration may fill, if the route
    /// says that the tenant lives elsewhere. While there is no route nobody may: one who places is about to
    /// decide. Nothing depends on it but later moves to this store, which ask for it again.
    pub(super) async fn release(&self, tenant: TenantId, home: &Route, id: &StoreId) {
        if home.store_id == *id {
            return;
        }
        let released = async {
            let store = self.store(id)?;
            let head = match store.head(tenant).await {
                Err(events::Error::NotFound { .. }) => return Ok(()),
                head => head.map_err(|error| Error::of_store(id, error))?,
            };
            let Some(swap) = head.left_by_placing(home.epoch) else { return Ok(()) };
            match store.swap_head(tenant, swap).await {
                Ok(_) | Err(events::Error::HeadDiffers { .. }) => Ok(()),
                Err(error) => Err(Error::of_store(id, error)),
            }
        };
        if let Err(error) = released.await {
            tracing::debug!(%tenant, store = %id, %error, "an empty log cannot be released yet");
        }
    }

    /// Names this process, for what it tells of itself. The first name stays.
    pub(super) fn set_process(&self, process: Uuid) {
        let _ = self.process.set(process);
    }

    /// Tells how many writes to a target have failed in this process.
    pub(super) async fn tell_failures(
        &self,
        tenant: TenantId,
        id: MigrationId,
        stats: FailureStats,
    ) -> bool {
        let Some(process) = self.process.get() else { return false };
        let told = self.control.report_failures(tenant, id, *process, stats).await;
        if let Err(error) = &told {
            tracing::debug!(%tenant, %error, "failed dual writes could not be told of");
        }
        told.is_ok()
    }

    /// A store, and whether it was told as which incarnation it is known.
    pub(super) fn introductions(
        &self,
        id: &StoreId,
    ) -> Option<(&Arc<dyn EventStore>, &OnceCell<()>)> {
        self.stores.get(id).map(|registered| (&registered.store, &registered.introduced))
    }

    /// Whether it is known as which incarnation a store is.
    pub(super) fn noted(&self, id: &StoreId) -> &OnceCell<()> {
        &self.stores[id].noted
    }

    /// Where new tenants live.
    pub(super) fn default_store(&self) -> &StoreId {
        &self.default_store
    }

    /// The database of decisions.
    pub(super) fn control(&self) -> &Arc<dyn ControlPlane> {
        &self.control
    }

    /// A store that somebody has named.
    ///
    /// # Errors
    /// [`Error::UnknownStore`], with those that there are.
    pub(super) fn store_named(&self, id: &StoreId) -> Result<Arc<dyn EventStore>> {
        self.stores.get(id).map(|registered| registered.store.clone()).ok_or_else(|| {
            let mut known: Vec<_> = self.stores.keys().cloned().collect();
            known.sort();
            Error::UnknownStore { store: id.clone(), known }
        })
    }

    pub(super) fn store(&self, id: &StoreId) -> Result<Arc<dyn EventStore>> {
        self.stores.get(id).map(|registered| registered.store.clone()).ok_or_else(|| {
            Error::Unavailable {
                what: "the event store",
                reason: format!(
                    "store `{id}` is not in this server's configuration ([stores.{id}])"
                ),
                source: None,
            }
        })
    }
}
