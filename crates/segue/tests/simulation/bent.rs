//! A store that breaks one rule of the protocol, to show that the simulation would notice.

use std::sync::Arc;

use async_trait::async_trait;
use segue_core::digest::Mark;
use segue_core::ids::{Epoch, EventId, Position, StreamId, StreamVersion, TenantId, Term};
use segue_store::events::{
    Access, Append, Appended, Count, CountQuery, Durability, Error, Event, EventStore, Head,
    HeadSwap, Import, LogPage, LogRead, Mode, Purge, Purged, Quarantine, Redact, Redacted, Result,
    Rewind, SnapshotPage, SnapshotQuery, StreamPage, StreamRead, StreamState, Tally, TallyRead,
    TenantMoved,
};

/// Which rule is broken. Rules that several others stand in for are left to the model: that a store takes
/// writes of its own epoch only is one, since a late copy of a write is known by its events' identities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bend {
    /// None.
    Straight,
    /// A fence is said to be there and is not: the source goes on taking writes during the cutover.
    FenceDropped,
    /// A store answers whoever asks, whether or not it owns the tenant.
    ReadsUnchecked,
    /// A page brings its events and not the states of their streams.
    StatesDropped,
}

/// A store that breaks it.
#[derive(Debug)]
pub struct Bent {
    inner: Arc<dyn EventStore>,
    bend: Bend,
}

impl Bent {
    pub fn new(inner: Arc<dyn EventStore>, bend: Bend) -> Self {
        Self { inner, bend }
    }

    fn access(&self, access: Access) -> Access {
        if self.bend == Bend::ReadsUnchecked { Access::Copy } else { access }
    }

    /// A head as the next to come would see it, had the fence been put there.
    async fn pretended(&self, tenant: TenantId, swap: &HeadSwap) -> Result<Head> {
        let head = self.inner.head(tenant).await?;
        let swapped = head.swapped(swap);
        swapped.map_err(|_| Error::HeadDiffers { head: Box::new(head) })
    }
}

#[async_trait]
impl EventStore for Bent {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    async fn health(&self) -> Result<()> {
        self.inner.health().await
    }

    async fn head(&self, tenant: TenantId) -> Result<Head> {
        self.inner.head(tenant).await
    }

    async fn open_tenant(&self, tenant: TenantId, epoch: Epoch) -> Result<Head> {
        self.inner.open_tenant(tenant, epoch).await
    }

    async fn swap_head(&self, tenant: TenantId, swap: HeadSwap) -> Result<Head> {
        match self.bend {
            Bend::FenceDropped if swap.mode == Mode::Fenced => self.pretended(tenant, &swap).await,
            _ => self.inner.swap_head(tenant, swap).await,
        }
    }

    async fn begin_copy(&self, tenant: TenantId, epoch: Epoch, term: Term) -> Result<Head> {
        self.inner.begin_copy(tenant, epoch, term).await
    }

    async fn import(&self, mut import: Import) -> Result<Head> {
        if self.bend == Bend::StatesDropped && !import.events.is_empty() {
            import.streams.clear();
        }
        self.inner.import(import).await
    }

    async fn rewind(&self, rewind: Rewind) -> Result<Head> {
        self.inner.rewind(rewind).await
    }

    async fn retire(&self, tenant: TenantId, swap: HeadSwap, moved: TenantMoved) -> Result<Head> {
        self.inner.retire(tenant, swap, moved).await
    }

    async fn moved(&self, tenant: TenantId) -> Result<Option<TenantMoved>> {
        self.inner.moved(tenant).await
    }

    async fn purge(&self, purge: Purge) -> Result<Purged> {
        self.inner.purge(purge).await
    }

    async fn analyze(&self) -> Result<()> {
        self.inner.analyze().await
    }

    async fn incarnation(&self) -> Result<String> {
        self.inner.incarnation().await
    }

    fn quarantine(&self) -> Option<Quarantine> {
        self.inner.quarantine()
    }

    fn admit(&self, incarnation: &str) {
        self.inner.admit(incarnation);
    }

    async fn append(&self, append: Append) -> Result<Appended> {
        self.inner.append(append).await
    }

    async fn redact(&self, redact: Redact) -> Result<Redacted> {
        self.inner.redact(redact).await
    }

    async fn load_many(
        &self,
        tenant: TenantId,
        access: Access,
        streams: &[StreamId],
    ) -> Result<Vec<Option<StreamState>>> {
        self.inner.load_many(tenant, self.access(access), streams).await
    }

    async fn stream_versions(
        &self,
        tenant: TenantId,
        access: Access,
        streams: &[StreamId],
    ) -> Result<Vec<StreamVersion>> {
        self.inner.stream_versions(tenant, self.access(access), streams).await
    }

    async fn read_stream(&self, read: StreamRead) -> Result<StreamPage> {
        let access = self.access(read.access);
        self.inner.read_stream(StreamRead { access, ..read }).await
    }

    async fn read_log(&self, read: LogRead) -> Result<LogPage> {
        let access = self.access(read.access);
        self.inner.read_log(LogRead { access, ..read }).await
    }

    async fn event(&self, tenant: TenantId, access: Access, id: EventId) -> Result<Option<Event>> {
        self.inner.event(tenant, self.access(access), id).await
    }

    async fn digests(
        &self,
        tenant: TenantId,
        access: Access,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Mark>> {
        self.inner.digests(tenant, access, after, limit).await
    }

    async fn tallies(&self, read: TallyRead) -> Result<Vec<Tally>> {
        self.inner.tallies(read).await
    }

    async fn list(&self, query: SnapshotQuery) -> Result<SnapshotPage> {
        self.inner.list(query).await
    }

    async fn count(&self, query: CountQuery) -> Result<Vec<Count>> {
        self.inner.count(query).await
    }
}
