//! The event store in one SQLite file.
//!
//! One thread writes, with group commit ([`writer`]); other threads read beside it from snapshots
//! ([`readers`]): a few that answer loads, and one of their own for lists, counts and long pages, so
//! that a count over a million sessions holds up neither turns nor appends. Every commit is flushed to
//! disk before it is acknowledged (WAL, `synchronous = FULL`).
//!
//! What is erased or replaced is overwritten with zeros (`secure_delete`), and after a redaction the
//! write-ahead log, which has older pages, is emptied as soon as its readers allow.
//!
//! Nothing is kept in memory between transactions, so several processes may open the same file: SQLite's
//! locks order their writes. They then wait for each other, and give up as busy after some seconds.

mod find;
mod import;
mod read;
mod readers;
mod removal;
mod rows;
mod schema;
mod write;
mod writer;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use rusqlite::Connection;
use segue_core::digest::Mark;
use segue_core::ids::{Epoch, EventId, Position, StreamId, StreamVersion, TenantId, Term};
use tokio::sync::oneshot;

use super::accept::Checked;
use super::append::at_most;
use super::head::HeadChange;
use super::import::Continuation;
use super::redact::Redaction;
use super::{
    Access, Append, Appended, Count, CountQuery, Durability, Event, EventStore, Head, HeadSwap,
    Import, LogPage, LogRead, Purge, Purged, Redact, Redacted, Result, Rewind, SnapshotPage,
    SnapshotQuery, StreamPage, StreamRead, StreamState, Survives, Tally, TallyRead, TenantMoved,
    limits,
};
use readers::Readers;
pub use schema::OpenError;
use writer::{Write, Writer};

/// Threads that answer loads: one for each core of a small machine. Loads are short; more threads would
/// only take turns.
const LOADERS: usize = 2;

/// Threads that answer lists, counts and pages.
const SCANNERS: usize = 2;

/// What can be chosen about a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// The largest that the database may become, in bytes; then appends are refused as on a full disk.
    /// `None` leaves it to the disk. The write-ahead log beside it comes on top.
    pub max_bytes: Option<u64>,
}

/// An event store in a file.
#[derive(Debug)]
pub struct SqliteEventStore {
    path: PathBuf,
    // Readers end first, so that the writer is the last to leave and empties the write-ahead log.
    loaders: Readers,
    scanners: Readers,
    writer: Writer,
}

impl SqliteEventStore {
    /// Opens the file, and makes it and its folder where they do not exist.
    ///
    /// # Errors
    /// [`OpenError`] when the file is not an event store of ours, is damaged, of a later schema, or may
    /// not be written. A file that is refused is left as it was.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, Settings::default())
    }

    /// Opens the file with settings of its own.
    ///
    /// # Errors
    /// As [`SqliteEventStore::open`].
    pub fn open_with(path: impl AsRef<Path>, settings: Settings) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let conn = schema::open(path, settings.max_bytes)?;
        Ok(Self {
            path: path.to_owned(),
            loaders: Readers::start(path, "segue-loader", LOADERS)?,
            scanners: Readers::start(path, "segue-scanner", SCANNERS)?,
            writer: Writer::start(conn, path)?,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn change_head(&self, tenant: TenantId, change: HeadChange) -> Result<Head> {
        let (answer, answered) = oneshot::channel();
        self.writer.write(Write::Head(tenant, change, answer), answered).await
    }

    /// Reads where loads are answered.
    async fn load<T: Send + 'static>(
        &self,
        tenant: TenantId,
        access: Access,
        read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let admitted = move |conn: &Connection| {
            read::admitted(conn, tenant, access)?;
            read(conn)
        };
        self.loaders.run(admitted).await
    }

    /// Reads where long answers are made.
    async fn scan<T: Send + 'static>(
        &self,
        tenant: TenantId,
        access: Access,
        read: impl FnOnce(&Connection, Head) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let admitted = move |conn: &Connection| {
            let head = read::admitted(conn, tenant, access)?;
            read(conn, head)
        };
        self.scanners.run(admitted).await
    }
}

#[async_trait]
impl EventStore for SqliteEventStore {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn durability(&self) -> Durability {
        let settings = "journal_mode = WAL, synchronous = FULL, secure_delete = ON".into();
        Durability { survives: Survives::PowerLoss, settings }
    }

    async fn health(&self) -> Result<()> {
        let readable = |conn: &Connection| {
            conn.query_row("SELECT count(*) FROM (SELECT 1 FROM tenant_head LIMIT 1)", [], |_| {
                Ok(())
            })
            .map_err(rows::fail)
        };
        self.loaders.run(readable).await
    }

    async fn head(&self, tenant: TenantId) -> Result<Head> {
        self.loaders.run(move |conn| rows::head(conn, tenant)).await
    }

    async fn open_tenant(&self, tenant: TenantId, epoch: Epoch) -> Result<Head> {
        self.change_head(tenant, HeadChange::Open(epoch)).await
    }

    async fn swap_head(&self, tenant: TenantId, swap: HeadSwap) -> Result<Head> {
        self.change_head(tenant, HeadChange::Swap(swap)).await
    }

    async fn begin_copy(&self, tenant: TenantId, epoch: Epoch, term: Term) -> Result<Head> {
        self.change_head(tenant, HeadChange::Copy(epoch, term)).await
    }

    async fn import(&self, import: Import) -> Result<Head> {
        let continuation = Box::new(Continuation::new(import)?);
        let (answer, answered) = oneshot::channel();
        self.writer.write(Write::Import(continuation, answer), answered).await
    }

    async fn rewind(&self, rewind: Rewind) -> Result<Head> {
        let (answer, answered) = oneshot::channel();
        self.writer.write(Write::Rewind(rewind, answer), answered).await
    }

    async fn retire(&self, tenant: TenantId, swap: HeadSwap, moved: TenantMoved) -> Result<Head> {
        self.change_head(tenant, HeadChange::Retire(swap, moved)).await
    }

    async fn moved(&self, tenant: TenantId) -> Result<Option<TenantMoved>> {
        self.loaders.run(move |conn| read::moved(conn, tenant)).await
    }

    async fn purge(&self, purge: Purge) -> Result<Purged> {
        let (answer, answered) = oneshot::channel();
        self.writer.write(Write::Purge(purge, answer), answered).await
    }

    /// The file itself: who replaces it while it is open replaces it for nobody who has it open.
    /// It plans without statistics.
    async fn analyze(&self) -> Result<()> {
        Ok(())
    }

    async fn incarnation(&self) -> Result<String> {
        Ok("sqlite".to_owned())
    }

    async fn append(&self, append: Append) -> Result<Appended> {
        let checked = Box::new(Checked::new(append)?);
        let (answer, answered) = oneshot::channel();
        self.writer.write(Write::Append(checked, answer), answered).await
    }

    async fn redact(&self, redact: Redact) -> Result<Redacted> {
        let redaction = Box::new(Redaction::new(redact)?);
        let (answer, answered) = oneshot::channel();
        self.writer.write(Write::Redact(redaction, answer), answered).await
    }

    async fn load_many(
        &self,
        tenant: TenantId,
        access: Access,
        streams: &[StreamId],
    ) -> Result<Vec<Option<StreamState>>> {
        at_most("a load in streams", limits::STREAMS_PER_LOAD, streams.len())?;
        let streams = streams.to_vec();
        self.load(tenant, access, move |conn| read::states(conn, tenant, &streams)).await
    }

    async fn stream_versions(
        &self,
        tenant: TenantId,
        access: Access,
        streams: &[StreamId],
    ) -> Result<Vec<StreamVersion>> {
        at_most("a load in streams", limits::STREAMS_PER_LOAD, streams.len())?;
        let streams = streams.to_vec();
        self.load(tenant, access, move |conn| read::versions(conn, tenant, &streams)).await
    }

    async fn read_stream(&self, read: StreamRead) -> Result<StreamPage> {
        let (tenant, access) = (read.tenant, read.access);
        self.scan(tenant, access, move |conn, _| read::stream_page(conn, &read)).await
    }

    async fn read_log(&self, read: LogRead) -> Result<LogPage> {
        let (tenant, access) = (read.tenant, read.access);
        self.scan(tenant, access, move |conn, head| read::log_page(conn, head, &read)).await
    }

    async fn event(&self, tenant: TenantId, access: Access, id: EventId) -> Result<Option<Event>> {
        self.load(tenant, access, move |conn| read::event(conn, tenant, id)).await
    }

    async fn digests(
        &self,
        tenant: TenantId,
        access: Access,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Mark>> {
        self.scan(tenant, access, move |conn, _| read::digests(conn, tenant, after, limit)).await
    }

    async fn tallies(&self, read: TallyRead) -> Result<Vec<Tally>> {
        let (tenant, access) = (read.tenant, read.access);
        self.scan(tenant, access, move |conn, _| read::tallies(conn, &read)).await
    }

    async fn list(&self, query: SnapshotQuery) -> Result<SnapshotPage> {
        let (tenant, access) = (query.tenant, query.access);
        self.scan(tenant, access, move |conn, _| find::list(conn, &query)).await
    }

    async fn count(&self, query: CountQuery) -> Result<Vec<Count>> {
        let (tenant, access) = (query.tenant, query.access);
        self.scan(tenant, access, move |conn, _| find::count(conn, &query)).await
    }
}
