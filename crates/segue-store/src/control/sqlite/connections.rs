//! The connections to the file: one that writes, some that read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use refinery::Migration;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::Notify;

use super::super::{Error, Result, Unavailable};
use crate::sqlite::{self, Fault, Kind, OpenError, fault};

/// How many connections answer what every turn asks.
const QUICK: usize = 4;

/// How many connections for longer reads are kept open while nobody reads.
const IDLE_LIMIT: usize = 4;

/// The connections to one control plane.
pub(super) struct Connections {
    path: PathBuf,
    writer: Mutex<Connection>,
    /// Each is locked for microseconds only. Empty for a database in memory, which only its one
    /// connection sees.
    quick: Vec<Mutex<Connection>>,
    next_quick: AtomicUsize,
    idle: Mutex<Vec<Connection>>,
    written: Arc<Notify>,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Connections {
    pub(super) fn open(path: &Path, schema: &[Migration]) -> Result<Self, OpenError> {
        let writer = sqlite::open(path, Kind::Control, schema)?;
        sqlite::check_pages(&writer, path, Kind::Control)?;
        let quick = (0..QUICK).map(|_| quick_reader(path)).collect::<Result<_, _>>()?;
        Ok(Self::around(path, writer, quick))
    }

    pub(super) fn in_memory(schema: &[Migration]) -> Result<Self, OpenError> {
        let writer = sqlite::open_in_memory(Kind::Control, schema)?;
        Ok(Self::around(Path::new(":memory:"), writer, Vec::new()))
    }

    fn around(path: &Path, writer: Connection, quick: Vec<Mutex<Connection>>) -> Self {
        Self {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            quick,
            next_quick: AtomicUsize::new(0),
            idle: Mutex::new(Vec::new()),
            written: Arc::default(),
        }
    }

    /// Notified whenever this process has written something.
    pub(super) fn written(&self) -> Arc<Notify> {
        Arc::clone(&self.written)
    }

    /// Runs one immediate transaction and commits it, unless `decide` answers with an error: then
    /// nothing of it remains.
    pub(super) async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        decide: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let connections = Arc::clone(self);
        self.run(move || {
            let mut writer = lock(&connections.writer);
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = decide(&transaction)?;
            transaction.commit()?;
            connections.written.notify_one();
            Ok(answer)
        })
        .await
    }

    /// Reads from one snapshot.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let connections = Arc::clone(self);
        self.run(move || {
            if connections.is_in_memory() {
                return read(&lock(&connections.writer).transaction()?);
            }
            let idle = lock(&connections.idle).pop();
            let mut reader = match idle {
                Some(reader) => reader,
                None => sqlite::open_reader(&connections.path, Kind::Control)
                    .map_err(|error| Error::Unavailable(Unavailable::Io, Box::new(error)))?,
            };
            let answer = read(&reader.transaction()?);
            let mut idle = lock(&connections.idle);
            if idle.len() < IDLE_LIMIT {
                idle.push(reader);
            }
            answer
        })
        .await
    }

    /// Runs one statement of a few microseconds on the caller's own thread.
    ///
    /// It never waits there for another process: where it would have to, which is while that one
    /// recovers the file after a crash, the statement runs off the thread.
    pub(super) async fn read_quickly<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        match self.read_here(&read) {
            Err(error) if fault(&error) == Fault::Busy => {
                self.read(move |snapshot| Ok(read(snapshot)?)).await
            }
            answer => Ok(answer?),
        }
    }

    /// Runs work that may wait for the disk or for another process off the asynchronous threads. In memory
    /// there is neither, and a change of thread would only cost a simulation its repeatability.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if self.is_in_memory() { work() } else { off_thread(work).await }
    }

    fn is_in_memory(&self) -> bool {
        self.quick.is_empty()
    }

    fn read_here<T>(
        &self,
        read: impl Fn(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        if self.is_in_memory() {
            return read(&lock(&self.writer));
        }
        let first = self.next_quick.fetch_add(1, Ordering::Relaxed);
        let free = (0..self.quick.len())
            .find_map(|nth| self.quick[(first + nth) % self.quick.len()].try_lock().ok());
        read(&free.unwrap_or_else(|| lock(&self.quick[first % self.quick.len()])))
    }
}

fn quick_reader(path: &Path) -> Result<Mutex<Connection>, OpenError> {
    let reader = sqlite::open_reader(path, Kind::Control)?;
    reader.busy_timeout(Duration::ZERO).map_err(|source| OpenError {
        path: path.to_owned(),
        reason: sqlite::Refusal::Other,
        source: Some(Box::new(source)),
    })?;
    Ok(Mutex::new(reader))
}

/// A panic while the lock was held has rolled its transaction back, so the connection is as good as new.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(Error::Unavailable(Unavailable::Closing, Box::new(error))),
    }
}
