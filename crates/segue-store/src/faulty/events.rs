//! An event store with faults.

use std::sync::Arc;

use async_trait::async_trait;
use segue_core::digest::Mark;
use segue_core::ids::{Epoch, EventId, Position, StreamId, StreamVersion, TenantId, Term};

use super::faults::Faults;
use super::{Fault, Weather};
use crate::events::{
    Access, Append, Appended, Count, CountQuery, Durability, Error, Event, EventStore, Head,
    HeadSwap, Import, LogPage, LogRead, Purge, Purged, Quarantine, Reason, Redact, Redacted,
    Result, Rewind, SnapshotPage, SnapshotQuery, StreamPage, StreamRead, StreamState, Tally,
    TallyRead, TenantMoved,
};

/// The calls that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// [`EventStore::health`].
    Health,
    /// [`EventStore::head`].
    Head,
    /// [`EventStore::open_tenant`].
    OpenTenant,
    /// [`EventStore::swap_head`].
    SwapHead,
    /// [`EventStore::begin_copy`].
    BeginCopy,
    /// [`EventStore::import`].
    Import,
    /// [`EventStore::rewind`].
    Rewind,
    /// [`EventStore::retire`].
    Retire,
    /// [`EventStore::moved`].
    Moved,
    /// [`EventStore::purge`].
    Purge,
    /// [`EventStore::analyze`].
    Analyze,
    /// [`EventStore::incarnation`].
    Incarnation,
    /// [`EventStore::append`].
    Append,
    /// [`EventStore::redact`].
    Redact,
    /// [`EventStore::load_many`] and [`EventStore::load`].
    Load,
    /// [`EventStore::stream_versions`].
    StreamVersions,
    /// [`EventStore::read_stream`].
    ReadStream,
    /// [`EventStore::read_log`].
    ReadLog,
    /// [`EventStore::event`].
    Event,
    /// [`EventStore::digests`].
    Digests,
    /// [`EventStore::tallies`].
    Tallies,
    /// [`EventStore::list`].
    List,
    /// [`EventStore::count`].
    Count,
}

/// An event store with faults.
#[derive(Debug)]
pub struct FaultyEventStore {
    inner: Arc<dyn EventStore>,
    faults: Faults<Operation>,
}

impl FaultyEventStore {
    /// Wraps a store; without further ado nothing fails.
    #[must_use]
    pub fn around(inner: Arc<dyn EventStore>) -> Self {
        Self { inner, faults: Faults::default() }
    }

    /// Makes the `nth` call of an operation, counted from the wrapper's making, from 1, meet a fault.
    pub fn inject(&self, operation: Operation, nth: u64, fault: Fault) {
        self.faults.inject(operation, nth, fault);
    }

    /// Makes the next call of an operation meet a fault.
    pub fn inject_next(&self, operation: Operation, fault: Fault) {
        self.faults.inject_next(operation, fault);
    }

    /// Lets faults come by themselves from now on.
    pub fn set_weather(&self, weather: Option<Weather>) {
        self.faults.set_weather(weather);
    }

    /// How often an operation was called.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> u64 {
        self.faults.calls(operation)
    }

    /// Makes every call fail from now on.
    pub fn crash(&self) {
        self.faults.crash();
    }

    /// Whether it has crashed.
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        self.faults.is_crashed()
    }

    /// Lets calls through again after a crash.
    pub fn restart(&self) {
        self.faults.restart();
    }

    /// Ends everything that is wrong with it, and forgets what was to go wrong.
    pub fn mend(&self) {
        self.faults.mend();
    }

    /// Makes every call wait from now on, before it does anything: its caller is frozen, or its way is
    /// blocked.
    pub fn hold(&self) {
        self.faults.hold();
    }

    /// Lets those calls go on that were held.
    pub fn release(&self) {
        self.faults.release();
    }

    async fn call<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let failed = || Error::Unavailable { reason: Reason::Injected, source: None };
        self.faults.meet(operation, work, failed).await
    }
}

#[async_trait]
impl EventStore for FaultyEventStore {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    fn quarantine(&self) -> Option<Quarantine> {
        self.inner.quarantine()
    }

    fn admit(&self, incarnation: &str) {
        self.inner.admit(incarnation);
    }

    async fn health(&self) -> Result<()> {
        self.call(Operation::Health, self.inner.health()).await
    }

    async fn head(&self, tenant: TenantId) -> Result<Head> {
        self.call(Operation::Head, self.inner.head(tenant)).await
    }

    async fn open_tenant(&self, tenant: TenantId, epoch: Epoch) -> Result<Head> {
        self.call(Operation::OpenTenant, self.inner.open_tenant(tenant, epoch)).await
    }

    async fn swap_head(&self, tenant: TenantId, swap: HeadSwap) -> Result<Head> {
        self.call(Operation::SwapHead, self.inner.swap_head(tenant, swap)).await
    }

    async fn begin_copy(&self, tenant: TenantId, epoch: Epoch, term: Term) -> Result<Head> {
        let work = self.inner.begin_copy(tenant, epoch, term);
        self.call(Operation::BeginCopy, work).await
    }

    async fn import(&self, import: Import) -> Result<Head> {
        self.call(Operation::Import, self.inner.import(import)).await
    }

    async fn rewind(&self, rewind: Rewind) -> Result<Head> {
        self.call(Operation::Rewind, self.inner.rewind(rewind)).await
    }

    async fn retire(&self, tenant: TenantId, swap: HeadSwap, moved: TenantMoved) -> Result<Head> {
        self.call(Operation::Retire, self.inner.retire(tenant, swap, moved)).await
    }

    async fn moved(&self, tenant: TenantId) -> Result<Option<TenantMoved>> {
        self.call(Operation::Moved, self.inner.moved(tenant)).await
    }

    async fn purge(&self, purge: Purge) -> Result<Purged> {
        self.call(Operation::Purge, self.inner.purge(purge)).await
    }

    async fn analyze(&self) -> Result<()> {
        self.call(Operation::Analyze, self.inner.analyze()).await
    }

    async fn incarnation(&self) -> Result<String> {
        self.call(Operation::Incarnation, self.inner.incarnation()).await
    }

    async fn append(&self, append: Append) -> Result<Appended> {
        self.call(Operation::Append, self.inner.append(append)).await
    }

    async fn redact(&self, redact: Redact) -> Result<Redacted> {
        self.call(Operation::Redact, self.inner.redact(redact)).await
    }

    async fn load_many(
        &self,
        tenant: TenantId,
        access: Access,
        streams: &[StreamId],
    ) -> Result<Vec<Option<StreamState>>> {
        self.call(Operation::Load, self.inner.load_many(tenant, access, streams)).await
    }

    async fn stream_versions(
        &self,
        tenant: TenantId,
        access: Access,
        streams: &[StreamId],
    ) -> Result<Vec<StreamVersion>> {
        let work = self.inner.stream_versions(tenant, access, streams);
        self.call(Operation::StreamVersions, work).await
    }

    async fn read_stream(&self, read: StreamRead) -> Result<StreamPage> {
        self.call(Operation::ReadStream, self.inner.read_stream(read)).await
    }

    async fn read_log(&self, read: LogRead) -> Result<LogPage> {
        self.call(Operation::ReadLog, self.inner.read_log(read)).await
    }

    async fn event(&self, tenant: TenantId, access: Access, id: EventId) -> Result<Option<Event>> {
        self.call(Operation::Event, self.inner.event(tenant, access, id)).await
    }

    async fn digests(
        &self,
        tenant: TenantId,
        access: Access,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Mark>> {
        self.call(Operation::Digests, self.inner.digests(tenant, access, after, limit)).await
    }

    async fn tallies(&self, read: TallyRead) -> Result<Vec<Tally>> {
        self.call(Operation::Tallies, self.inner.tallies(read)).await
    }

    async fn list(&self, query: SnapshotQuery) -> Result<SnapshotPage> {
        self.call(Operation::List, self.inner.list(query)).await
    }

    async fn count(&self, query: CountQuery) -> Result<Vec<Count>> {
        self.call(Operation::Count, self.inner.count(query)).await
    }
}
