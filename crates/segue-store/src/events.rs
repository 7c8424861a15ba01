//! The event store: where tenant logs live.
//!
//! A tenant log is a sequence of events at positions 1, 2, 3, … without gaps. Inside it each event belongs
//! to a stream, where it has a version 1, 2, 3, … without gaps. The log's [`Head`] carries the last
//! position, the digest up to it, and the epoch at which the store accepts the tenant's writes.
//!
//! What every adapter promises, and [`crate::conformance`] proves:
//!
//! 1. An append group is atomic over all its streams and takes consecutive positions.
//! 2. It is accepted only at the head's epoch, while the head is open, checked in the same transaction.
//!    A head that is `prepared` opens at the first append that presents its epoch. A missing head is
//!    never created by an append, so a late writer cannot bring a purged log back.
//! 3. The same event ids again answer with the first result and change nothing, so that an unknown
//!    outcome is always safe to retry. The same ids with other content are refused.
//! 4. What was acknowledged is durable, as [`EventStore::durability`] describes it.
//! 5. A read checks the head in its own snapshot, on the ground that the reader has ([`Access`]): nobody
//!    reads a stale store after a move.
//! 6. Payload, metadata and snapshots are bytes, kept as they came; times have microseconds.
//! 7. A payload is erased by a redaction only, which is an event of the log itself; everything that the
//!    digest is over stays.
//!
//! Times come from the caller and are kept as given (cut to the microsecond). They do not order the log;
//! positions do.

mod accept;
mod append;
mod error;
mod event;
mod facets;
mod head;
mod import;
pub mod limits;
#[cfg(feature = "memory")]
mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
mod purge;
mod query;
mod redact;
mod rewind;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use std::fmt;

use async_trait::async_trait;
use segue_core::digest::Mark;
use segue_core::ids::{Epoch, EventId, Position, StreamId, StreamVersion, TenantId, Term};

pub use append::{Append, Appended, Expected, NewEvent, StreamAppend};
pub use error::{Cause, Error, Reason, Result};
pub use event::{
    Direction, Event, LogPage, LogRead, StreamPage, StreamRead, StreamState, Taken, Tally,
    TallyRead,
};
pub use facets::{Facets, Snapshot};
pub use head::{Access, Head, HeadSwap, Mode, TenantMoved};
pub use import::Import;
#[cfg(feature = "memory")]
pub use memory::MemoryEventStore;
pub use purge::{Purge, Purged};
pub use query::{
    Choice, Count, CountBy, CountQuery, Counting, Cursor, Filter, Settled, SnapshotPage,
    SnapshotQuery,
};
pub use redact::{Redact, Redacted, STREAM_REDACTED, StreamRedacted};
pub use rewind::Rewind;

/// A place where tenant logs live.
#[async_trait]
pub trait EventStore: Send + Sync + fmt::Debug {
    /// The kind of store, as the configuration names it: `memory`, `sqlite`, `postgres`.
    fn kind(&self) -> &'static str;

    /// Says what an acknowledged append survives.
    fn durability(&self) -> Durability;

    /// Answers when the store can be read and written right now.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`], with what is wrong.
    async fn health(&self) -> Result<()>;

    /// The head of a tenant log.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the store has never held the tenant.
    async fn head(&self, tenant: TenantId) -> Result<Head>;

    /// Opens an empty log for a tenant, by decision of the control plane. Again at the same epoch it
    /// changes nothing, whatever has been appended since.
    ///
    /// # Errors
    /// [`Error::Fenced`] when the head stands at another epoch, or is no longer open.
    async fn open_tenant(&self, tenant: TenantId, epoch: Epoch) -> Result<Head>;

    /// Changes the head's mode, epoch or coordinator term by compare-and-swap, and answers with the head
    /// after it. Again, when the head already is as wanted, it changes nothing.
    ///
    /// # Errors
    /// [`Error::HeadDiffers`] when the head is not as expected; [`Error::NotFound`].
    async fn swap_head(&self, tenant: TenantId, swap: HeadSwap) -> Result<Head>;

    /// Begins to fill the store with a log of another one, or goes on with it: makes an empty head in
    /// mode `copying`, or claims for this term and epoch one that belongs to no owner. What a copy or a
    /// moved log holds already stays.
    ///
    /// # Errors
    /// [`Error::HeadDiffers`] when the head belongs to an owner, or was claimed at a later term;
    /// [`Error::Invalid`] when a purge of the log has not come to its end.
    async fn begin_copy(&self, tenant: TenantId, epoch: Epoch, term: Term) -> Result<Head>;

    /// Extends a log that is being copied, all or nothing, and answers with the head after it. Again, when
    /// the log already ends where the import ends, it changes nothing.
    ///
    /// # Errors
    /// [`Error::HeadDiffers`] when the head is not in mode `copying`, at this term, where the import
    /// begins; [`Error::Damaged`] when the events do not continue the log, by the position of the first
    /// that does not; [`Error::NotFound`] without a head; [`Error::TooLarge`] over one of the [`limits`];
    /// [`Error::Invalid`] for states that do not belong to the events; [`Error::Unavailable`] when the
    /// outcome may be unknown: import the same again.
    async fn import(&self, import: Import) -> Result<Head>;

    /// Takes a copy back to an earlier end. Again, it changes nothing.
    ///
    /// # Errors
    /// [`Error::HeadDiffers`] when the head is not in mode `copying` at this term; [`Error::Invalid`] when
    /// the log keeps no such digest; [`Error::TooLarge`] for more than [`limits::EVENTS_PER_REWIND`]
    /// events: rewind to a later digest first; [`Error::NotFound`] without a head.
    async fn rewind(&self, rewind: Rewind) -> Result<Head>;

    /// Swaps the head as [`EventStore::swap_head`], and keeps where the tenant went.
    ///
    /// # Errors
    /// As [`EventStore::swap_head`].
    async fn retire(&self, tenant: TenantId, swap: HeadSwap, moved: TenantMoved) -> Result<Head>;

    /// Where the tenant went when it last left this store; nothing if it never did.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the store has never held the tenant.
    async fn moved(&self, tenant: TenantId) -> Result<Option<TenantMoved>>;

    /// Makes a tombstone of a head that belongs to no owner, or where there is none, and removes at most
    /// [`limits::EVENTS_PER_PURGE`] events with it; to be repeated until nothing is left.
    ///
    /// # Errors
    /// [`Error::HeadDiffers`] when the head belongs to an owner, or was changed at a later term.
    async fn purge(&self, purge: Purge) -> Result<Purged>;

    /// Brings what the store goes by when it plans its queries up to date, if much has changed since that was
    /// done last: until then they may be planned as if it were empty. No read or write waits for it. A store
    /// that plans without statistics does nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`]. Nothing depends on it but speed.
    async fn analyze(&self) -> Result<()>;

    /// Which database this is, and which branch of its history. It changes when a backup is restored or a
    /// standby takes over, and then a fence may have been lost with what was not copied. Constant where a
    /// store has no such thing.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn incarnation(&self) -> Result<String>;

    /// Whether the database is another than the one that was admitted, so that fences may be lost. While it
    /// is, only heads are read and changed here, and logs as copies.
    fn quarantine(&self) -> Option<Quarantine> {
        None
    }

    /// Says as which incarnation the database is known: all of its fences are in place. A store that is told
    /// of none admits the first that it sees.
    fn admit(&self, _incarnation: &str) {}

    /// Appends a group of events, all or nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a stream is not at its expected version; [`Error::Fenced`] at another
    /// epoch or mode; [`Error::NotFound`] without a head; [`Error::DuplicateEvent`] when an event id is
    /// taken by other content; [`Error::TooLarge`] and [`Error::Invalid`] for what no store would take;
    /// [`Error::Unavailable`] when the outcome may be unknown: retry with the same event ids.
    async fn append(&self, append: Append) -> Result<Appended>;

    /// Erases what a stream has said: appends an event that says so, and removes the payloads of all
    /// events before it and the snapshot, in one transaction.
    ///
    /// # Errors
    /// [`Error::StreamNotFound`]; otherwise as [`EventStore::append`].
    async fn redact(&self, redact: Redact) -> Result<Redacted>;

    /// The present state of streams in one snapshot of the store, in the order asked for; `None` for a
    /// stream that does not exist.
    ///
    /// # Errors
    /// [`Error::Fenced`] when the tenant cannot be read here at this epoch; [`Error::NotFound`] without
    /// a head; [`Error::TooLarge`] over [`limits::STREAMS_PER_LOAD`].
    async fn load_many(
        &self,
        tenant: TenantId,
        access: Access,
        streams: &[StreamId],
    ) -> Result<Vec<Option<StreamState>>>;

    /// The present state of one stream.
    ///
    /// # Errors
    /// As [`EventStore::load_many`].
    async fn load(
        &self,
        tenant: TenantId,
        access: Access,
        stream: &StreamId,
    ) -> Result<Option<StreamState>> {
        let states = self.load_many(tenant, access, std::slice::from_ref(stream)).await?;
        Ok(states.into_iter().next().flatten())
    }

    /// The versions of streams, 0 for one that does not exist; its cost does not depend on their length,
    /// so a stream can serve as a counter.
    ///
    /// # Errors
    /// As [`EventStore::load_many`].
    async fn stream_versions(
        &self,
        tenant: TenantId,
        access: Access,
        streams: &[StreamId],
    ) -> Result<Vec<StreamVersion>>;

    /// A page of a stream.
    ///
    /// # Errors
    /// As [`EventStore::load_many`]; a stream that does not exist is an empty page.
    async fn read_stream(&self, read: StreamRead) -> Result<StreamPage>;

    /// A page of the tenant log.
    ///
    /// # Errors
    /// As [`EventStore::load_many`].
    async fn read_log(&self, read: LogRead) -> Result<LogPage>;

    /// One event by its id.
    ///
    /// # Errors
    /// As [`EventStore::load_many`].
    async fn event(&self, tenant: TenantId, access: Access, id: EventId) -> Result<Option<Event>>;

    /// Kept digests with a position over `after`, oldest first: one for each [`limits::DIGEST_EVERY`]
    /// positions, at the end of the append group that reaches them.
    ///
    /// # Errors
    /// As [`EventStore::load_many`].
    async fn digests(
        &self,
        tenant: TenantId,
        access: Access,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Mark>>;

    /// A page of the streams by id, each with what is kept about it and what its events say.
    ///
    /// # Errors
    /// As [`EventStore::load_many`].
    async fn tallies(&self, read: TallyRead) -> Result<Vec<Tally>>;

    /// A page of the streams whose snapshots match, newest first.
    ///
    /// # Errors
    /// As [`EventStore::load_many`]; [`Error::Invalid`] for a cursor of another query.
    async fn list(&self, query: SnapshotQuery) -> Result<SnapshotPage>;

    /// How many streams have matching snapshots, grouped. Its memory does not grow with the streams.
    ///
    /// # Errors
    /// As [`EventStore::load_many`].
    async fn count(&self, query: CountQuery) -> Result<Vec<Count>>;
}

/// A database that is another than it is known to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// Its incarnation before.
    pub was: String,
    /// Its incarnation now.
    pub is: String,
}

/// What an acknowledged append survives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durability {
    /// Whether it survives the loss of power, and so whether a fence does.
    pub survives: Survives,
    /// The settings that make it so, for people.
    pub settings: String,
}

/// The worst that acknowledged appends survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Survives {
    /// Nothing: they live in this process.
    Nothing,
    /// The end of the process, but not of the machine.
    ProcessCrash,
    /// The loss of power.
    PowerLoss,
}
