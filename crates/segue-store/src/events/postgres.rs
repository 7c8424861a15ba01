//! The event store in one schema of a PostgreSQL database.
//!
//! Appends gather in a lane for each tenant ([`lanes`]) and are committed together, in one round trip where
//! the state of the log can be guessed from memory ([`commit`], [`memory`]). Every read is one statement, and
//! looks at the head in its own snapshot. Nothing that the process remembers is trusted without a look:
//! several servers may share the database, and any of them may die at any instant.
//!
//! Everything that needs a connection goes through [`link`]: it waits for one of the pool, limits the time,
//! and tries again where the outcome is unknown or the hindrance passes.

mod carriers;
mod columns;
mod commit;
mod draft;
mod find;
mod heads;
mod import;
mod lanes;
mod link;
mod memory;
mod read;
mod redact;
mod removal;
mod rows;
mod statements;

use std::sync::Arc;

use async_trait::async_trait;
use segue_core::digest::Mark;
use segue_core::ids::{Epoch, EventId, Position, StreamId, StreamVersion, TenantId, Term};

use super::accept::Checked;
use super::append::at_most;
use super::head::HeadChange;
use super::import::Continuation;
use super::redact::Redaction;
use super::{
    Access, Append, Appended, Count, CountQuery, Durability, Event, EventStore, Head, HeadSwap,
    Import, LogPage, LogRead, Mode, Purge, Purged, Quarantine, Redact, Redacted, Result, Rewind,
    SnapshotPage, SnapshotQuery, StreamPage, StreamRead, StreamState, Survives, Tally, TallyRead,
    TenantMoved, limits,
};
use crate::postgres::{Changed, Database, Kind, OpenError, Settings};
use heads::{ChangeHead, Moved};
use import::{Copies, Importing};
use lanes::Lanes;
use link::{Analyze, Health, Incarnation, Link};
use read::{Digests, EventById, HeadOf, States, Versions};

mod embedded {
    refinery::embed_migrations!("src/events/postgres/migrations");
}

/// An event store in PostgreSQL.
#[derive(Debug)]
pub struct PostgresEventStore {
    database: Database,
    link: Arc<Link>,
    lanes: Arc<Lanes>,
    copies: Copies,
}

impl PostgresEventStore {
    /// Names the database. Nothing connects before something is asked of the store, or before
    /// [`PostgresEventStore::ready`].
    ///
    /// # Errors
    /// [`OpenError`] when the settings name a file of certificates that cannot be used.
    pub fn open(settings: Settings) -> Result<Self, OpenError> {
        let runner = embedded::migrations::runner();
        let database = Database::open(settings, Kind::Events, runner.get_migrations())?;
        let link = Arc::new(Link::new(database.clone()));
        let lanes = Arc::new(Lanes::new(Arc::clone(&link)));
        Ok(Self { database, link, lanes, copies: Copies::default() })
    }

    /// Connects, refuses what is not an event store of ours, and brings the schema up to date. Done once;
    /// every call of the store does it where it has not been done.
    ///
    /// # Errors
    /// What is wrong with the database; [`crate::postgres::Refusal::passes`] says whether waiting may help.
    pub async fn ready(&self) -> Result<(), OpenError> {
        self.database.ready().await
    }

    async fn change_head(&self, tenant: TenantId, change: HeadChange) -> Result<Head> {
        self.link.ask(&ChangeHead { tenant, change }).await?
    }
}

#[async_trait]
impl EventStore for PostgresEventStore {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn durability(&self) -> Durability {
        self.link.durability().unwrap_or_else(|| Durability {
            survives: Survives::Nothing,
            settings: "not known: the database has not been reached yet".into(),
        })
    }

    fn quarantine(&self) -> Option<Quarantine> {
        self.link.changed().map(|Changed { was, is }| Quarantine { was, is })
    }

    fn admit(&self, incarnation: &str) {
        self.link.admit(incarnation);
    }

    async fn health(&self) -> Result<()> {
        self.link.ask(&Health(&self.link)).await
    }

    async fn head(&self, tenant: TenantId) -> Result<Head> {
        self.link.ask(&HeadOf(tenant)).await?
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
        let import = Continuation::new(import)?;
        let head = self.link.ask(&Importing { import: &import, copies: &self.copies }).await??;
        if head.mode == Mode::Prepared {
            self.lanes.learn(import.tenant(), head);
        }
        Ok(head)
    }

    async fn rewind(&self, rewind: Rewind) -> Result<Head> {
        self.link.ask(&rewind).await?
    }

    async fn retire(&self, tenant: TenantId, swap: HeadSwap, moved: TenantMoved) -> Result<Head> {
        self.change_head(tenant, HeadChange::Retire(swap, moved)).await
    }

    async fn moved(&self, tenant: TenantId) -> Result<Option<TenantMoved>> {
        self.link.ask(&Moved(tenant)).await?
    }

    async fn purge(&self, purge: Purge) -> Result<Purged> {
        self.link.ask(&purge).await?
    }

    async fn analyze(&self) -> Result<()> {
        self.link.ask(&Analyze).await
    }

    /// The system identifier and the timeline.
    async fn incarnation(&self) -> Result<String> {
        self.link.ask(&Incarnation).await
    }

    async fn append(&self, append: Append) -> Result<Appended> {
        self.lanes.append(Checked::new(append)?).await
    }

    async fn redact(&self, redact: Redact) -> Result<Redacted> {
        self.link.ask(&Redaction::new(redact)?).await?
    }

    async fn load_many(
        &self,
        tenant: TenantId,
        access: Access,
        streams: &[StreamId],
    ) -> Result<Vec<Option<StreamState>>> {
        at_most("a load in streams", limits::STREAMS_PER_LOAD, streams.len())?;
        self.link.ask(&States { tenant, access, streams }).await
    }

    async fn stream_versions(
        &self,
        tenant: TenantId,
        access: Access,
        streams: &[StreamId],
    ) -> Result<Vec<StreamVersion>> {
        at_most("a load in streams", limits::STREAMS_PER_LOAD, streams.len())?;
        self.link.ask(&Versions { tenant, access, streams }).await
    }

    async fn read_stream(&self, read: StreamRead) -> Result<StreamPage> {
        self.link.ask(&read).await
    }

    async fn read_log(&self, read: LogRead) -> Result<LogPage> {
        self.link.ask(&read).await
    }

    async fn event(&self, tenant: TenantId, access: Access, id: EventId) -> Result<Option<Event>> {
        self.link.ask(&EventById { tenant, access, id }).await
    }

    async fn digests(
        &self,
        tenant: TenantId,
        access: Access,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Mark>> {
        self.link.ask(&Digests { tenant, access, after, limit }).await
    }

    async fn tallies(&self, read: TallyRead) -> Result<Vec<Tally>> {
        self.link.ask(&read).await
    }

    async fn list(&self, query: SnapshotQuery) -> Result<SnapshotPage> {
        self.link.ask(&query).await
    }

    async fn count(&self, query: CountQuery) -> Result<Vec<Count>> {
        self.link.ask(&query).await
    }
}
