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

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, RwLock};

use jiff::Timestamp;
use segue_core::ids::{Epoch, EventId, StoreId, StreamId, StreamVersion, TenantId};
use segue_store::control::routing::Route;
use segue_store::control::{By, ControlPlane};
use segue_store::events::{
    self, Append, Appended, Count, CountQuery, Event, EventStore, Mode, SnapshotPage,
    SnapshotQuery, StreamAppend, StreamPage, StreamRead, StreamState,
};

use crate::error::{Error, Result};

/// How often an operation follows a changed route before it gives up. A cutover changes a route once;
/// more than a few changes within one operation mean that something is wrong.
const ROUTE_CHANGES: usize = 4;

/// How many tenants' routes are remembered; beyond it all are forgotten and read again.
const ROUTES: usize = 100_000;

/// Every event store of the configuration, behind the routes of the control plane.
#[derive(Debug)]
pub struct TenantStoreRouter {
    control: Arc<dyn ControlPlane>,
    stores: HashMap<StoreId, Arc<dyn EventStore>>,
    default_store: StoreId,
    routes: RwLock<HashMap<TenantId, Route>>,
}

impl TenantStoreRouter {
    /// A router whose new tenants live in `store`, known as `store_id`.
    #[must_use]
    pub fn new(
        control: Arc<dyn ControlPlane>,
        store_id: StoreId,
        store: Arc<dyn EventStore>,
    ) -> Self {
        let stores = HashMap::from([(store_id.clone(), store)]);
        Self { control, stores, default_store: store_id, routes: RwLock::default() }
    }

    /// Adds a store that tenants may live in, or replaces the one of the same id.
    pub fn register_store(&mut self, store_id: StoreId, store: Arc<dyn EventStore>) {
        self.stores.insert(store_id, store);
    }

    /// Every store by its id.
    pub fn stores(&self) -> impl Iterator<Item = (&StoreId, &Arc<dyn EventStore>)> {
        self.stores.iter()
    }

    /// Appends a group of events. The tenant's first write gives it its home in the default store.
    ///
    /// # Errors
    /// [`Failure::Store`] as [`EventStore::append`], fences aside: those are followed.
    pub async fn append(
        &self,
        tenant: TenantId,
        recorded_at: Timestamp,
        streams: Vec<StreamAppend>,
    ) -> Result<Appended, Failure> {
        if self.route(tenant).await?.is_none() {
            self.place(tenant, recorded_at).await?;
        }
        let appended = self
            .routed(tenant, |store, epoch| {
                let append = Append { tenant, epoch, recorded_at, streams: streams.clone() };
                async move { store.append(append).await }
            })
            .await?;
        Ok(appended.expect("a placed tenant keeps a route"))
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
        let loaded = self
            .routed(tenant, |store, epoch| {
                let streams = streams.clone();
                async move { store.load_many(tenant, epoch, &streams).await }
            })
            .await?;
        let mut states = loaded.unwrap_or_default().into_iter();
        Ok(std::array::from_fn(|_| states.next().flatten()))
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
            .routed(tenant, |store, epoch| async move {
                store.stream_versions(tenant, epoch, streams).await
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
            .routed(read.tenant, |store, epoch| {
                let read = StreamRead { epoch, ..read.clone() };
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

    /// One event by its id.
    ///
    /// # Errors
    /// [`Failure::Store`] as [`EventStore::event`], fences aside.
    pub async fn event(&self, tenant: TenantId, id: EventId) -> Result<Option<Event>, Failure> {
        let event = self
            .routed(tenant, |store, epoch| async move { store.event(tenant, epoch, id).await })
            .await?;
        Ok(event.flatten())
    }

    /// A page of streams by their snapshots; `query`'s epoch is replaced by the route's.
    ///
    /// # Errors
    /// [`Failure::Store`] as [`EventStore::list`], fences aside.
    pub async fn list(&self, query: SnapshotQuery) -> Result<SnapshotPage, Failure> {
        let page = self
            .routed(query.tenant, |store, epoch| {
                let query = SnapshotQuery { epoch, ..query.clone() };
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
            .routed(query.tenant, |store, epoch| {
                let query = CountQuery { epoch, ..query.clone() };
                async move { store.count(query).await }
            })
            .await?;
        Ok(counts.unwrap_or_default())
    }

    /// Performs an operation where the tenant lives, following its route when it changes; `None` for a
    /// tenant that lives nowhere yet.
    async fn routed<T, Op, Running>(&self, tenant: TenantId, op: Op) -> Result<Option<T>, Failure>
    where
        Op: Fn(Arc<dyn EventStore>, Epoch) -> Running,
        Running: Future<Output = events::Result<T>>,
    {
        for _ in 0..ROUTE_CHANGES {
            let Some(route) = self.route(tenant).await? else { return Ok(None) };
            match op(self.store(&route.store_id)?, route.epoch).await {
                Ok(answer) => return Ok(Some(answer)),
                Err(events::Error::Fenced { mode, epoch }) => {
                    if self.refresh(tenant).await?.as_ref() == Some(&route) {
                        return Err(fenced_by_nobody(tenant, &route, mode, epoch));
                    }
                }
                Err(events::Error::NotFound { .. }) => return Err(lost(tenant, &route)),
                Err(error) => return Err(Failure::Store(error)),
            }
        }
        Err(Failure::Other(Error::Unavailable {
            what: "the event store",
            reason: format!("the route of tenant {tenant} keeps changing"),
            source: None,
        }))
    }

    async fn route(&self, tenant: TenantId) -> Result<Option<Route>> {
        let known = self.routes.read().expect("no panic while it is held").get(&tenant).cloned();
        match known {
            Some(route) => Ok(Some(route)),
            None => self.refresh(tenant).await,
        }
    }

    async fn refresh(&self, tenant: TenantId) -> Result<Option<Route>> {
        let route = self.control.route(tenant).await?;
        let mut routes = self.routes.write().expect("no panic while it is held");
        if routes.len() >= ROUTES {
            routes.clear();
        }
        match &route {
            Some(route) => routes.insert(tenant, route.clone()),
            None => routes.remove(&tenant),
        };
        Ok(route)
    }

    async fn place(&self, tenant: TenantId, at: Timestamp) -> Result<(), Failure> {
        self.store(&self.default_store)?.open_tenant(tenant, Epoch(1)).await?;
        let by = By::new("segue", at);
        self.control.place(tenant, &self.default_store, &by).await.map_err(Error::from)?;
        self.refresh(tenant).await?;
        Ok(())
    }

    fn store(&self, id: &StoreId) -> Result<Arc<dyn EventStore>> {
        self.stores.get(id).cloned().ok_or_else(|| Error::Unavailable {
            what: "the event store",
            reason: format!("store `{id}` is not in this server's configuration ([stores.{id}])"),
            source: None,
        })
    }
}

/// The store's fence and the control plane's route contradict each other: an operator has to look.
fn fenced_by_nobody(tenant: TenantId, route: &Route, mode: Mode, epoch: Epoch) -> Failure {
    Failure::Other(Error::Unavailable {
        what: "the event store",
        reason: format!(
            "tenant {tenant} is routed to store `{}` at epoch {}, but is {mode} there at epoch {epoch}",
            route.store_id, route.epoch
        ),
        source: None,
    })
}

fn lost(tenant: TenantId, route: &Route) -> Failure {
    Failure::Other(Error::Corrupt {
        what: "the event store",
        reason: format!(
            "tenant {tenant} is routed to store `{}`, which has no log of it: was its file replaced? \
             Restore it from a backup",
            route.store_id
        ),
        source: None,
    })
}

/// Why an operation on a tenant's log failed: what callers decide upon, and everything else.
#[derive(Debug)]
pub enum Failure {
    /// The store refused it.
    Store(events::Error),
    /// It did not come to the store.
    Other(Error),
}

impl From<events::Error> for Failure {
    fn from(error: events::Error) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error.into(),
            Failure::Other(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    // The router is shown by the tests of the sessions, which do everything through it.
    use segue_store::events::Reason;

    use super::*;

    #[test]
    fn a_reason_of_the_store_is_kept_for_the_operator() {
        let full = events::Error::Unavailable { reason: Reason::DiskFull, source: None };
        let error = Error::from(Failure::from(full));
        assert!(error.to_string().contains("the disk is full"), "{error}");
    }
}
