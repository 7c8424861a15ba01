//! Copying the write-ahead log into the database, beside the writer.
//!
//! A thread of its own copies and flushes whenever the log has grown by some megabytes, so that appends
//! do not wait for it. But SQLite starts the log over only when all of it is copied and nobody reads it,
//! and under steady writing there is always a rest. So once the log is large, the writer copies what the
//! thread has left (little, right after a pass of it) and empties the log.
//!
//! "Checkpoint" is SQLite's word here, and has nothing to do with the checkpoints of a scenario.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::schema::{self, OpenError};

/// The thread copies each time about so many pages of 4 KiB were written.
const PAGES: usize = 4_000;

/// Past this many bytes the writer empties the log.
const EMPTY_AT_BYTES: u64 = 128 * 1024 * 1024;

/// How long the writer waits for readers to leave the log.
const EMPTY_WAIT: Duration = Duration::from_millis(50);

/// How long it lets go by after a try that long reads made fail.
const EMPTY_RETRY: Duration = Duration::from_secs(1);

/// The page cache of the thread, in KiB; it copies without one.
const CACHE_KIB: i32 = 64;

/// The copying thread, seen from the writer.
pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    wal: PathBuf,
    /// Passes that the thread has finished.
    passes: Arc<AtomicU64>,
    /// Passes that it had finished when the writer last looked.
    passes_seen: u64,
    pages: usize,
    retry_at: Instant,
}

impl Checkpointer {
    /// Starts the thread.
    pub(super) fn start(path: &Path) -> Result<Self, OpenError> {
        // It reads and writes pages without a transaction of its own, which a reader's connection may.
        let conn = schema::open_reader(path, CACHE_KIB)?;
        let (wake, woken) = mpsc::sync_channel(1);
        let passes = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&passes);
        let thread = thread::Builder::new()
            .name("segue-copier".into())
            .spawn(move || copy_when_woken(&conn, &woken, &counter))
            .map_err(|source| OpenError::Thread { path: path.to_owned(), source })?;
        Ok(Self {
            wake: Some(wake),
            thread: Some(thread),
            wal: schema::wal_path(path),
            passes,
            passes_seen: 0,
            pages: 0,
            retry_at: Instant::now(),
        })
    }

    /// Takes note that about so many pages were written, and does what is due.
    pub(super) fn grown(&mut self, writer: &Connection, pages: usize) {
        self.pages += pages;
        if self.pages >= PAGES
            && let Some(wake) = &self.wake
        {
            self.pages = 0;
            // Full means that it is awake and will look again.
            let _ = wake.try_send(());
        }
        let passes = self.passes.load(Ordering::Acquire);
        if passes != self.passes_seen {
            self.passes_seen = passes;
            self.empty_if_large(writer);
        }
    }

    fn empty_if_large(&mut self, writer: &Connection) {
        let size = fs::metadata(&self.wal).map_or(0, |file| file.len());
        let now = Instant::now();
        if size <= EMPTY_AT_BYTES || now < self.retry_at {
            return;
        }
        let emptied = writer.busy_timeout(EMPTY_WAIT).and_then(|()| checkpoint(writer, "TRUNCATE"));
        let restored = writer.busy_timeout(schema::BUSY_TIMEOUT);
        match emptied.and_then(|emptied| restored.map(|()| emptied)) {
            Ok(true) => {}
            Ok(false) => {
                self.retry_at = now + EMPTY_RETRY;
                tracing::debug!(size, "long reads keep the write-ahead log from being emptied");
            }
            Err(error) => {
                self.retry_at = now + EMPTY_RETRY;
                tracing::warn!(%error, size, "the write-ahead log could not be emptied");
            }
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            // What it leaves is copied when the last connection closes.
            let _ = thread.join();
        }
    }
}

fn copy_when_woken(conn: &Connection, woken: &Receiver<()>, passes: &AtomicU64) {
    while woken.recv().is_ok() {
        if let Err(error) = checkpoint(conn, "PASSIVE") {
            tracing::warn!(%error, "the write-ahead log could not be copied; it will be tried again");
        }
        passes.fetch_add(1, Ordering::Release);
    }
}

/// Copies the log; whether nothing stood in the way.
fn checkpoint(conn: &Connection, mode: &str) -> rusqlite::Result<bool> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    conn.query_row(&sql, [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
}
