//! An event store that fails on command: before the work, after it, slowly, or for good.
//!
//! What it wraps is a real store. A fault *after* leaves the work done and loses the answer, which is the
//! case that retries by event id exist for. A *crash* makes every later call fail until
//! [`FaultyEventStore::restart`], as if the process that owns the store had died at that point.
//!
//! ```
//! # use std::sync::Arc;
//! # use segue_core::ids::{Epoch, TenantId};
//! # use segue_store::events::{EventStore, MemoryEventStore};
//! use segue_store::faulty::{Fault, FaultyEventStore, Operation};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let store = FaultyEventStore::around(Arc::new(MemoryEventStore::new()));
//! store.inject(Operation::OpenTenant, 1, Fault::After);
//! let tenant = TenantId(uuid::Uuid::nil());
//! assert!(store.open_tenant(tenant, Epoch(1)).await.is_err(), "the answer is lost");
//! assert!(store.head(tenant).await.is_ok(), "the work was done");
//! # }
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use segue_core::digest::Mark;
use segue_core::ids::{Epoch, EventId, Position, StreamId, StreamVersion, TenantId, Term};

use crate::dice::Dice;
use crate::events::{
    Access, Append, Appended, Count, CountQuery, Durability, Error, Event, EventStore, Head,
    HeadSwap, Import, LogPage, LogRead, Purge, Purged, Quarantine, Reason, Redact, Redacted,
    Result, Rewind, SnapshotPage, SnapshotQuery, StreamPage, StreamRead, StreamState, Tally,
    TallyRead, TenantMoved,
};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails, and nothing was done.
    Before,
    /// The call fails, and everything was done.
    After,
    /// The call takes this much longer.
    Delay(Duration),
    /// As [`Fault::Before`], and every later call fails too.
    CrashBefore,
    /// As [`Fault::After`], and every later call fails too.
    CrashAfter,
}

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

/// How often faults come by themselves, out of a thousand calls each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    /// Decides everything: the same seed and the same calls meet the same faults.
    pub seed: u64,
    /// Calls that fail before the work.
    pub before_per_mille: u64,
    /// Calls that fail after the work.
    pub after_per_mille: u64,
    /// Calls that are slow.
    pub delay_per_mille: u64,
    /// The longest delay.
    pub longest_delay: Duration,
}

/// A store with faults.
#[derive(Debug)]
pub struct FaultyEventStore {
    inner: Arc<dyn EventStore>,
    faults: Mutex<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    calls: HashMap<Operation, u64>,
    injected: HashMap<(Operation, u64), Fault>,
    weather: Option<(Weather, Dice)>,
    crashed: bool,
}

impl Faults {
    /// The fault that this call meets.
    fn next(&mut self, operation: Operation) -> Option<Fault> {
        let calls = self.calls.entry(operation).or_default();
        *calls += 1;
        let injected = self.injected.remove(&(operation, *calls));
        if self.crashed {
            return Some(Fault::Before);
        }
        let fault = injected
            .or_else(|| self.weather.as_mut().and_then(|(weather, dice)| weather.roll(dice)));
        self.crashed = matches!(fault, Some(Fault::CrashBefore | Fault::CrashAfter));
        fault
    }
}

impl Weather {
    fn roll(&self, dice: &mut Dice) -> Option<Fault> {
        // Both are thrown each time, so that one call's fate does not shift the next one's.
        let (roll, length) = (dice.below(1_000), dice.below(1_000));
        let slow_from = self.before_per_mille + self.after_per_mille;
        if roll < self.before_per_mille {
            Some(Fault::Before)
        } else if roll < slow_from {
            Some(Fault::After)
        } else if roll < slow_from + self.delay_per_mille {
            Some(Fault::Delay(self.longest_delay.mul_f64(length as f64 / 1_000.0)))
        } else {
            None
        }
    }
}

impl FaultyEventStore {
    /// Wraps a store; without further ado nothing fails.
    #[must_use]
    pub fn around(inner: Arc<dyn EventStore>) -> Self {
        Self { inner, faults: Mutex::default() }
    }

    /// Makes the `nth` call of an operation, counted from the store's making, from 1, meet a fault.
    pub fn inject(&self, operation: Operation, nth: u64, fault: Fault) {
        self.faults().injected.insert((operation, nth), fault);
    }

    /// Makes the next call of an operation meet a fault.
    pub fn inject_next(&self, operation: Operation, fault: Fault) {
        let nth = self.calls(operation) + 1;
        self.inject(operation, nth, fault);
    }

    /// Lets faults come by themselves from now on.
    pub fn set_weather(&self, weather: Option<Weather>) {
        self.faults().weather = weather.map(|weather| (weather, Dice(weather.seed)));
    }

    /// How often an operation was called.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> u64 {
        self.faults().calls.get(&operation).copied().unwrap_or(0)
    }

    /// Whether it has crashed.
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        self.faults().crashed
    }

    /// Lets calls through again after a crash.
    pub fn restart(&self) {
        self.faults().crashed = false;
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let fault = self.faults().next(operation);
        let failed = Err(Error::Unavailable { reason: Reason::Injected, source: None });
        match fault {
            None => work.await,
            Some(Fault::Before | Fault::CrashBefore) => failed,
            Some(Fault::After | Fault::CrashAfter) => work.await.and(failed),
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                work.await
            }
        }
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
