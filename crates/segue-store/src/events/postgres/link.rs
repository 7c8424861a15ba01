//! The way to the database: every piece of work gets a connection of the pool, a time limit, and another
//! try where that may help.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use segue_core::ids::TenantId;
use tokio::time::{Instant, sleep, timeout};

use super::rows::{fail, unreachable};
use crate::events::{Durability, Error, Reason, Result, Survives};
use crate::postgres::{Backoff, Changed, Client, Database, Fault, INCARNATION, fault};

/// How long work whose outcome is unknown, or that met a passing hindrance, is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(5);

/// The pauses between tries.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(500) };

/// How much longer than a statement may take on the server an answer is waited for.
const GRACE: Duration = Duration::from_secs(5);

/// Something that a connection is needed for. It may be run several times, and leaves no transaction open
/// when it succeeds or is refused.
pub(super) trait Work: Sync {
    /// What comes of it.
    type Answer: Send;

    /// Whose log it is about.
    fn tenant(&self) -> Option<TenantId>;

    /// Whether it may be done while the database is another than it was: it neither writes a log nor
    /// answers as if the log here were somebody's present one.
    fn is_harmless(&self) -> bool {
        false
    }

    /// Does it.
    fn run(&self, client: &Client) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;
}

/// Why work failed, and whether to try again.
#[derive(Debug)]
pub(super) enum Failure {
    /// The outcome is unknown, or another transaction came first: look again.
    Again(Error),
    /// Another session kept a lock for too long; nothing was written.
    Locked(tokio_postgres::Error),
    /// Decided: the same again would fail again.
    Final(Error),
    /// The answer of a read that is complete: there is no such log, or it is not read here. The connection
    /// is as good as before.
    Refused(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        match fault(&error) {
            // A unique index refuses what a guess has missed.
            Fault::ConnectionLost
            | Fault::Shutdown
            | Fault::Serialization
            | Fault::Unique { .. } => Self::Again(fail(error)),
            Fault::LockTimeout => Self::Locked(error),
            Fault::ReadOnly
            | Fault::DiskFull
            | Fault::TooManyConnections
            | Fault::StatementTimeout
            | Fault::Denied
            | Fault::Corrupt
            | Fault::Other => Self::Final(fail(error)),
        }
    }
}

/// A connection in use. Dropped before its work is done it is closed and not given back: a transaction may
/// be open on it, or an answer on its way.
struct Held(Option<Client>);

impl Held {
    fn client(&self) -> &Client {
        self.0.as_ref().expect("it is held until it is given back")
    }

    fn give_back(mut self) {
        self.0 = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Client::take(client));
        }
    }
}

/// The database of an event store.
#[derive(Debug)]
pub(super) struct Link {
    database: Database,
    /// How long work may take in all.
    patience: Duration,
    durability: Mutex<Option<Durability>>,
    is_distributed: AtomicBool,
}

impl Link {
    pub(super) fn new(database: Database) -> Self {
        let patience = database.settings().statement_timeout() + GRACE;
        Self {
            database,
            patience,
            durability: Mutex::default(),
            is_distributed: AtomicBool::new(false),
        }
    }

    /// Does work, again and again until `until` while that may help, and at least once.
    pub(super) async fn perform<W: Work>(&self, work: &W, until: Instant) -> Result<W::Answer> {
        let mut failures = 0;
        loop {
            match self.once(work).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Again(error)) => {
                    failures += 1;
                    let pause = BACKOFF.pause(failures);
                    if Instant::now() + pause > until {
                        return Err(error);
                    }
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        failures,
                        "trying again"
                    );
                    sleep(pause).await;
                }
                Err(Failure::Locked(error)) => return Err(self.locked(work.tenant(), error).await),
                Err(Failure::Final(error) | Failure::Refused(error)) => return Err(error),
            }
        }
    }

    /// Does work with the patience that callers have.
    pub(super) async fn ask<W: Work>(&self, work: &W) -> Result<W::Answer> {
        self.perform(work, Instant::now() + RETRY).await
    }

    /// Does work once.
    pub(super) async fn once<W: Work>(&self, work: &W) -> Result<W::Answer, Failure> {
        let held = Held(Some(self.client().await?));
        // Only now: a connection tells when it is made.
        if self.database.incarnation().changed().is_some() && !work.is_harmless() {
            held.give_back();
            let error = Error::Unavailable { reason: Reason::Restored, source: None };
            return Err(Failure::Again(error));
        }
        let Ok(answer) = timeout(self.patience, work.run(held.client())).await else {
            let error = Error::Unavailable { reason: Reason::Slow, source: None };
            return Err(Failure::Again(error));
        };
        if matches!(answer, Ok(_) | Err(Failure::Refused(_))) {
            held.give_back();
        }
        answer
    }

    async fn client(&self) -> Result<Client, Failure> {
        let client = self.database.client().await.map_err(|error| match error.reason.passes() {
            true => Failure::Again(unreachable(error)),
            false => Failure::Final(unreachable(error)),
        })?;
        if self.durability().is_none() {
            self.look_up_durability(&client).await?;
        }
        Ok(client)
    }

    /// What the database was, and is, while that is not dealt with.
    pub(super) fn changed(&self) -> Option<Changed> {
        self.database.incarnation().changed()
    }

    /// Notes that a change of the database was dealt with.
    pub(super) fn admit(&self, incarnation: &str) {
        self.database.incarnation().admit(incarnation);
    }

    /// What the server last said of its durability.
    pub(super) fn durability(&self) -> Option<Durability> {
        self.durability.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether tenants may lie on different nodes, so that no statement may be about several.
    pub(super) fn is_distributed(&self) -> bool {
        self.is_distributed.load(Ordering::Relaxed)
    }

    async fn look_up_durability(&self, client: &Client) -> Result<(), Failure> {
        let row = client
            .query_one(
                "SELECT current_setting('server_version'), current_setting('fsync'), \
                    current_setting('synchronous_commit'), current_setting('full_page_writes'), \
                    EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')",
                &[],
            )
            .await?;
        let setting = |column| row.try_get::<_, String>(column);
        let (version, fsync) = (setting(0)?, setting(1)?);
        let (commit, pages) = (setting(2)?, setting(3)?);
        self.is_distributed.store(row.try_get(4)?, Ordering::Relaxed);
        let survives = match (fsync.as_str(), commit.as_str(), pages.as_str()) {
            // The others all wait for the local disk, and some for a standby besides.
            ("on", "on" | "local" | "remote_write" | "remote_apply", "on") => Survives::PowerLoss,
            (_, "on" | "local" | "remote_write" | "remote_apply", _) => Survives::ProcessCrash,
            _ => Survives::Nothing,
        };
        let settings = format!(
            "PostgreSQL {version}, fsync = {fsync}, synchronous_commit = {commit}, \
             full_page_writes = {pages}"
        );
        let found = Some(Durability { survives, settings });
        *self.durability.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(())
    }

    /// Says who holds the head of a tenant, if that can still be found out.
    pub(super) async fn locked(
        &self,
        tenant: Option<TenantId>,
        error: tokio_postgres::Error,
    ) -> Error {
        let blocker = match tenant {
            Some(tenant) => self.once(&WhoLocks { tenant }).await.ok().flatten(),
            None => None,
        };
        let source: crate::events::Cause = match blocker {
            Some(blocker) => Arc::new(blocker),
            None => Arc::new(error),
        };
        Error::Unavailable { reason: Reason::Busy, source: Some(source) }
    }
}

/// Answers when the database can be read and written, and looks at its settings again.
pub(super) struct Health<'a>(pub(super) &'a Link);

impl Work for Health<'_> {
    type Answer = ();

    fn tenant(&self) -> Option<TenantId> {
        None
    }

    fn is_harmless(&self) -> bool {
        true
    }

    async fn run(&self, client: &Client) -> Result<(), Failure> {
        self.0.look_up_durability(client).await?;
        let row = client
            .query_one(
                "SELECT current_setting('transaction_read_only') = 'on', \
                    (SELECT count(*) FROM (SELECT 1 FROM tenant_head LIMIT 1) one)",
                &[],
            )
            .await?;
        if row.try_get(0)? {
            return Err(Error::Unavailable { reason: Reason::ReadOnly, source: None }.into());
        }
        Ok(())
    }
}

/// Gathers the statistics that queries are planned by. A table that was filled a moment ago has none before
/// autovacuum comes round, and is then read from end to end where an index would do.
pub(super) struct Analyze;

impl Work for Analyze {
    type Answer = ();

    fn tenant(&self) -> Option<TenantId> {
        None
    }

    fn is_harmless(&self) -> bool {
        true
    }

    async fn run(&self, client: &Client) -> Result<(), Failure> {
        // As autovacuum decides it, but now.
        let is_due = "SELECT c.reltuples < 0 OR s.n_mod_since_analyze > c.reltuples * 0.1 \
            FROM pg_class c JOIN pg_stat_all_tables s ON s.relid = c.oid \
            WHERE c.oid = 'events'::regclass";
        if client.query_one(is_due, &[]).await?.try_get(0)? {
            client.batch_execute("ANALYZE events, streams, digests, tenant_head").await?;
        }
        Ok(())
    }
}

/// A session that holds the head of a tenant.
#[derive(Debug, thiserror::Error)]
#[error(
    "process {process} of PostgreSQL (user {user}, application {application:?}) has held the tenant's \
     head for {seconds} s in a transaction that is {state}; end it, or wait"
)]
struct Blocker {
    process: i32,
    user: String,
    application: String,
    state: String,
    seconds: i64,
}

/// Finds the session that has locked a tenant's head: the row names the transaction.
struct WhoLocks {
    tenant: TenantId,
}

impl Work for WhoLocks {
    type Answer = Option<Blocker>;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn is_harmless(&self) -> bool {
        true
    }

    async fn run(&self, client: &Client) -> Result<Option<Blocker>, Failure> {
        let row = client
            .query_opt(
                "SELECT a.pid, coalesce(a.usename::text, ''), coalesce(a.application_name, ''), \
                    coalesce(a.state, 'hidden'), \
                    coalesce(extract(epoch FROM now() - a.xact_start)::bigint, 0) \
                 FROM tenant_head h \
                 JOIN pg_catalog.pg_locks l ON l.locktype = 'transactionid' AND l.granted \
                    AND l.transactionid = h.xmax \
                 JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
                 WHERE h.tenant_id = $1 LIMIT 1",
                &[&self.tenant.0],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Blocker {
            process: row.try_get(0)?,
            user: row.try_get(1)?,
            application: row.try_get(2)?,
            state: row.try_get(3)?,
            seconds: row.try_get(4)?,
        }))
    }
}

/// Finds out which server this is, and which branch of its history: both change when a backup is restored
/// or a standby takes over.
pub(super) struct Incarnation;

impl Work for Incarnation {
    type Answer = String;

    fn tenant(&self) -> Option<TenantId> {
        None
    }

    fn is_harmless(&self) -> bool {
        true
    }

    async fn run(&self, client: &Client) -> Result<String, Failure> {
        match client.query_opt(INCARNATION, &[]).await? {
            Some(row) => Ok(row.try_get(0)?),
            None => Err(Error::Unavailable { reason: Reason::ReadOnly, source: None }.into()),
        }
    }
}
