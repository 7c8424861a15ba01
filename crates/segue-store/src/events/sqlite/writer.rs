//! The one thread that writes, and its group commit.
//!
//! Writes wait in a bounded queue. The thread takes what waits, decides and writes each in one
//! transaction, commits once, and only then answers: the flush to disk is shared. It never waits for
//! company; while one flush runs, the next group gathers by itself.
//!
//! Everything about a write is decided before anything of it is written, so a refused one leaves no
//! trace and fails alone. When writing itself fails the whole transaction goes back; where the cause may
//! be one write's own (no room for it, a damaged page), each is then tried alone.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use segue_core::ids::TenantId;
use tokio::sync::{mpsc, oneshot};

use super::import;
use super::removal;
use super::rows;
use super::schema::{self, OpenError};
use super::write;
use crate::events::accept::Checked;
use crate::events::head::HeadChange;
use crate::events::import::Continuation;
use crate::events::redact::Redaction;
use crate::events::{
    Appended, Error, Head, Purge, Purged, Reason, Redacted, Result, Rewind, limits,
};

/// How many writes may wait for the writer.
const QUEUE: usize = 1_024;

/// How long a write waits for a place in the queue.
const QUEUE_WAIT: Duration = Duration::from_secs(5);

/// The most writes of one transaction.
const BATCH: usize = 256;

/// The most events of one transaction; one write may be larger.
const BATCH_EVENTS: usize = 4_096;

/// Past this many bytes, the write-ahead log is emptied even if the writer has to wait for readers.
const WAL_BYTES: u64 = 64 * 1024 * 1024;

/// How long the writer waits for readers to leave the write-ahead log, once in each such time ten-fold.
const WAL_WAIT: Duration = Duration::from_millis(100);

/// How long the writer sleeps between two looks for writes while the write-ahead log is to be emptied.
const WAL_POLL: Duration = Duration::from_millis(10);

/// A write and whoever waits for it.
#[derive(Debug)]
pub(super) enum Write {
    Append(Box<Checked>, oneshot::Sender<Result<Appended>>),
    Redact(Box<Redaction>, oneshot::Sender<Result<Redacted>>),
    Head(TenantId, HeadChange, oneshot::Sender<Result<Head>>),
    Import(Box<Continuation>, oneshot::Sender<Result<Head>>),
    Rewind(Rewind, oneshot::Sender<Result<Head>>),
    Purge(Purge, oneshot::Sender<Result<Purged>>),
}

/// What came of a write, kept until the commit.
enum Outcome {
    Append(Appended),
    Redacted(Redacted),
    Head(Head),
    Purged(Purged),
}

impl Write {
    fn events(&self) -> usize {
        match self {
            Self::Append(checked, _) => checked.append().events().count(),
            Self::Redact(..) => 1,
            Self::Head(..) => 0,
            Self::Import(continuation, _) => continuation.events().len(),
            // As much work as so many events, at most.
            Self::Rewind(..) => limits::EVENTS_PER_REWIND,
            Self::Purge(..) => limits::EVENTS_PER_PURGE,
        }
    }

    fn answer(self, outcome: Result<Outcome>) {
        // A caller who has gone learns the outcome by retrying with the same ids.
        match (self, outcome) {
            (Self::Append(_, to), Ok(Outcome::Append(appended))) => drop(to.send(Ok(appended))),
            (Self::Redact(_, to), Ok(Outcome::Redacted(redacted))) => drop(to.send(Ok(redacted))),
            (
                Self::Head(_, _, to) | Self::Import(_, to) | Self::Rewind(_, to),
                Ok(Outcome::Head(head)),
            ) => drop(to.send(Ok(head))),
            (Self::Purge(_, to), Ok(Outcome::Purged(purged))) => drop(to.send(Ok(purged))),
            (Self::Append(_, to), Err(error)) => drop(to.send(Err(error))),
            (Self::Redact(_, to), Err(error)) => drop(to.send(Err(error))),
            (Self::Head(_, _, to) | Self::Import(_, to) | Self::Rewind(_, to), Err(error)) => {
                drop(to.send(Err(error)));
            }
            (Self::Purge(_, to), Err(error)) => drop(to.send(Err(error))),
            (
                Self::Append(..),
                Ok(Outcome::Redacted(_) | Outcome::Head(_) | Outcome::Purged(_)),
            )
            | (Self::Redact(..), Ok(Outcome::Append(_) | Outcome::Head(_) | Outcome::Purged(_)))
            | (
                Self::Head(..) | Self::Import(..) | Self::Rewind(..),
                Ok(Outcome::Append(_) | Outcome::Redacted(_) | Outcome::Purged(_)),
            )
            | (Self::Purge(..), Ok(Outcome::Append(_) | Outcome::Redacted(_) | Outcome::Head(_))) =>
            {
                unreachable!("a write has an outcome of its own kind")
            }
        }
    }
}

/// The writing thread, seen from outside.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Write>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(conn: Connection, path: &Path) -> Result<Self, OpenError> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let serving = Serving {
            conn,
            wal: schema::wal_path(path),
            wal_retry_at: Instant::now(),
            wal_holds_erased: false,
        };
        let thread = thread::Builder::new()
            .name("segue-writer".into())
            .spawn(move || serving.serve(waiting))
            .map_err(|source| OpenError::Thread { path: path.to_owned(), source })?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Hands a write over and waits for its commit.
    pub(super) async fn write<T>(
        &self,
        write: Write,
        answered: oneshot::Receiver<Result<T>>,
    ) -> Result<T> {
        let unavailable = |reason| Error::Unavailable { reason, source: None };
        let queue = self.queue.as_ref().ok_or_else(|| unavailable(Reason::Closed))?;
        queue.send_timeout(write, QUEUE_WAIT).await.map_err(|refused| match refused {
            mpsc::error::SendTimeoutError::Timeout(_) => unavailable(Reason::Busy),
            mpsc::error::SendTimeoutError::Closed(_) => unavailable(Reason::Closed),
        })?;
        answered.await.unwrap_or_else(|_| Err(unavailable(Reason::Closed)))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // What has been accepted is finished; a writer that panicked has failed its callers.
            let _ = thread.join();
        }
    }
}

struct Serving {
    conn: Connection,
    wal: PathBuf,
    wal_retry_at: Instant,
    /// Whether payloads that were erased may still be read in the write-ahead log.
    wal_holds_erased: bool,
}

impl Serving {
    fn serve(mut self, mut waiting: mpsc::Receiver<Write>) {
        while let Some(first) = self.next(&mut waiting) {
            let mut events = first.events();
            let mut writes = vec![first];
            while writes.len() < BATCH
                && events < BATCH_EVENTS
                && let Ok(write) = waiting.try_recv()
            {
                events += write.events();
                writes.push(write);
            }
            let outcomes = self.commit_or_retry(&writes);
            for (write, outcome) in writes.into_iter().zip(outcomes) {
                self.wal_holds_erased |=
                    matches!(&outcome, Ok(Outcome::Redacted(_) | Outcome::Purged(_)));
                write.answer(outcome);
            }
            self.bound_wal();
        }
    }

    /// The next write. While the write-ahead log still holds what was erased, the thread does not sleep
    /// for longer than it takes to try again.
    fn next(&mut self, waiting: &mut mpsc::Receiver<Write>) -> Option<Write> {
        while self.wal_holds_erased {
            match waiting.try_recv() {
                Ok(write) => return Some(write),
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
                Err(mpsc::error::TryRecvError::Empty) => thread::sleep(WAL_POLL),
            }
            self.bound_wal();
        }
        waiting.blocking_recv()
    }

    fn commit_or_retry(&self, writes: &[Write]) -> Vec<Result<Outcome>> {
        match self.commit(writes) {
            Ok(outcomes) => outcomes,
            Err(error) if writes.len() > 1 && may_be_one_writes_own(&error) => {
                let alone = writes.chunks(1).map(|write| self.commit(write));
                alone.flat_map(|outcome| outcome.unwrap_or_else(|error| vec![Err(error)])).collect()
            }
            Err(error) => writes.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// One transaction; an error means that nothing of it is there, unless its commit was in doubt.
    fn commit(&self, writes: &[Write]) -> Result<Vec<Result<Outcome>>> {
        self.conn.execute_batch("BEGIN IMMEDIATE").map_err(rows::fail)?;
        let outcomes = apply(&self.conn, writes).and_then(|outcomes| {
            self.conn.execute_batch("COMMIT").map_err(rows::fail)?;
            Ok(outcomes)
        });
        if let Err(error) = &outcomes {
            tracing::error!(error = error as &dyn std::error::Error, "a group commit failed");
            if !self.conn.is_autocommit()
                && let Err(error) = self.conn.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "a failed group commit could not be rolled back");
            }
        }
        outcomes
    }

    /// Readers that overlap without end can keep SQLite from starting its write-ahead log over; then
    /// the writer holds new ones back for a moment. So it does to get rid of what was erased.
    fn bound_wal(&mut self) {
        let size = fs::metadata(&self.wal).map_or(0, |file| file.len());
        let now = Instant::now();
        if size == 0 {
            self.wal_holds_erased = false;
        }
        let is_due = size > WAL_BYTES || self.wal_holds_erased;
        if !is_due || now < self.wal_retry_at {
            return;
        }
        self.wal_retry_at = now + 10 * WAL_WAIT;
        let emptied = self
            .conn
            .busy_timeout(WAL_WAIT)
            .and_then(|()| {
                self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            })
            .map(|busy: i64| busy == 0);
        let restored = self.conn.busy_timeout(schema::BUSY_TIMEOUT);
        match emptied.and_then(|emptied| restored.map(|()| emptied)) {
            Ok(true) => self.wal_holds_erased = false,
            Ok(false) => {
                tracing::debug!(size, "long reads keep the write-ahead log from being emptied")
            }
            Err(error) => tracing::warn!(%error, size, "the write-ahead log could not be emptied"),
        }
    }
}

/// Decides and writes each; only an error that spoils the transaction is returned as one.
fn apply(conn: &Connection, writes: &[Write]) -> Result<Vec<Result<Outcome>>> {
    let mut heads = HashMap::new();
    let mut outcomes = Vec::with_capacity(writes.len());
    for write in writes {
        let outcome = match write {
            Write::Append(checked, _) => {
                write::append(conn, &mut heads, checked).map(Outcome::Append)
            }
            Write::Redact(redaction, _) => {
                write::redact(conn, &mut heads, redaction).map(Outcome::Redacted)
            }
            Write::Head(tenant, change, _) => {
                write::head(conn, &mut heads, *tenant, change).map(Outcome::Head)
            }
            Write::Import(continuation, _) => {
                import::import(conn, &mut heads, continuation).map(Outcome::Head)
            }
            Write::Rewind(rewind, _) => {
                removal::rewind(conn, &mut heads, rewind).map(Outcome::Head)
            }
            Write::Purge(purge, _) => removal::purge(conn, &mut heads, *purge).map(Outcome::Purged),
        };
        match outcome {
            Err(error @ (Error::Unavailable { .. } | Error::Corrupt { .. })) => return Err(error),
            decided => outcomes.push(decided),
        }
    }
    write::heads(conn, &heads)?;
    Ok(outcomes)
}

fn may_be_one_writes_own(error: &Error) -> bool {
    matches!(error, Error::Corrupt { .. } | Error::Unavailable { reason: Reason::DiskFull, .. })
}
