//! Threads that read beside the writer, each with its own connection.
//!
//! A thread that wakes takes all reads that wait, up to a few, and answers them from one snapshot. A
//! read that was asked for after an append was acknowledged sees that append, because the snapshot is
//! taken after the read was asked for.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::rows::fail;
use super::schema::{self, OpenError};
use crate::events::{Error, Reason, Result};

/// How many reads may wait before more are refused.
const QUEUE: usize = 8_192;

/// How many reads share a snapshot; a bound on how old it gets.
const BATCH: usize = 16;

/// The page cache of one reader, in KiB.
const CACHE_KIB: i32 = 4 * 1024;

type Read = Box<dyn FnOnce(Result<&Connection>) + Send>;

/// A pool of reading threads with one queue.
#[derive(Debug)]
pub(super) struct Readers {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Read>,
    closed: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.lock().waiting.len()).finish()
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A queue has no half-made state, so a poisoned lock is harmless.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for reads; an empty answer means that the pool is closed.
    fn take(&self) -> Vec<Read> {
        let mut state = self.lock();
        while state.waiting.is_empty() && !state.closed {
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let count = state.waiting.len().min(BATCH);
        state.waiting.drain(..count).collect()
    }
}

impl Readers {
    /// Starts `threads` readers of the file.
    pub(super) fn start(path: &Path, name: &str, threads: usize) -> Result<Self, OpenError> {
        let mut pool = Self { queue: Arc::default(), threads: Vec::with_capacity(threads) };
        for _ in 0..threads {
            let conn = schema::open_reader(path, CACHE_KIB)?;
            let queue = Arc::clone(&pool.queue);
            let thread = thread::Builder::new().name(name.to_owned());
            let thread = thread
                .spawn(move || serve(&conn, &queue))
                .map_err(|source| OpenError::Thread { path: path.to_owned(), source })?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Runs `read` in a snapshot of the store.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        self.put(Box::new(move |conn| {
            // Nobody waits for a read whose caller has gone.
            if !answer.is_closed() {
                let _ = answer.send(conn.and_then(read));
            }
        }))?;
        answered.await.unwrap_or_else(|_| unavailable(Reason::Closed))
    }

    fn put(&self, read: Read) -> Result<()> {
        let mut state = self.queue.lock();
        if state.closed {
            return unavailable(Reason::Closed);
        }
        if state.waiting.len() >= QUEUE {
            return unavailable(Reason::Busy);
        }
        state.waiting.push_back(read);
        drop(state);
        self.queue.wake.notify_one();
        Ok(())
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.wake.notify_all();
        for thread in self.threads.drain(..) {
            // A reader that panicked has already failed its callers.
            let _ = thread.join();
        }
    }
}

fn serve(conn: &Connection, queue: &Queue) {
    loop {
        let reads = queue.take();
        if reads.is_empty() {
            return;
        }
        match conn.execute_batch("BEGIN").map_err(fail) {
            Ok(()) => reads.into_iter().for_each(|read| read(Ok(conn))),
            Err(error) => reads.into_iter().for_each(|read| read(Err(error.clone()))),
        }
        if !conn.is_autocommit()
            && let Err(error) = conn.execute_batch("COMMIT")
        {
            tracing::warn!(%error, "a reader of the event store could not end its snapshot");
        }
    }
}

fn unavailable<T>(reason: Reason) -> Result<T> {
    Err(Error::Unavailable { reason, source: None })
}
