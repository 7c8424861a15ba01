//! The appends of each tenant, one commit after the other; of different tenants, side by side.
//!
//! An append waits in its tenant's lane. A lane that has something to do has a task, which takes all that
//! waits (up to a limit), commits it as one, answers, and goes on until nothing waits; then the lane is
//! gone. It never waits for company: while one commit runs, the next group gathers by itself. A lane takes
//! a connection for one commit at a time, and the pool gives them out in turn, so no tenant starves
//! another.
//!
//! The task and not the caller does the work: a caller who goes away interrupts nothing.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use segue_core::ids::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use super::commit::{Careful, Decided, Guess, Look, NoGuess, Written};
use super::link::{Failure, Link, RETRY};
use super::memory::{Known, Memory};
use crate::events::accept::Checked;
use crate::events::{Append, Appended, Error, Reason, Result};

/// How many appends of one tenant may wait.
const QUEUE: usize = 1_024;

/// The most that may wait in all, in KiB of payloads, metadata and snapshots; an append counts as 1 KiB
/// at least.
const WAITING_KIB: usize = 256 * 1024;

/// The most appends of one commit.
const BATCH: usize = 256;

/// The most events of one commit; one append may have more.
const BATCH_EVENTS: usize = 4_096;

/// The most that one commit writes, in KiB; one append may be larger.
const BATCH_KIB: usize = 16 * 1024;

/// How long a commit is tried again at least, however long its appends have waited for it.
const LAST_TRIES: Duration = Duration::from_secs(1);

/// An append and whoever waits for it.
#[derive(Debug)]
struct Waiting {
    checked: Checked,
    answer: oneshot::Sender<Result<Appended>>,
    kib: usize,
    since: Instant,
    _room: OwnedSemaphorePermit,
}

/// Every lane with something to do.
#[derive(Debug)]
pub(super) struct Lanes {
    link: Arc<Link>,
    waiting: Mutex<HashMap<TenantId, VecDeque<Waiting>>>,
    room: Arc<Semaphore>,
    memory: Memory,
}

impl Lanes {
    pub(super) fn new(link: Arc<Link>) -> Self {
        let room = Arc::new(Semaphore::new(WAITING_KIB));
        Self { link, waiting: Mutex::default(), room, memory: Memory::new() }
    }

    /// Hands an append over and waits for its commit.
    pub(super) async fn append(self: &Arc<Self>, checked: Checked) -> Result<Appended> {
        let kib = kib(checked.append());
        let permits = u32::try_from(kib).expect("an append group is within its limit");
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits).map_err(|_| busy())?;
        let tenant = checked.append().tenant;
        let (answer, answered) = oneshot::channel();
        self.put(tenant, Waiting { checked, answer, kib, since: Instant::now(), _room: room })?;
        let closed = || Error::Unavailable { reason: Reason::Closed, source: None };
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    fn put(self: &Arc<Self>, tenant: TenantId, append: Waiting) -> Result<()> {
        match self.lock().entry(tenant) {
            Entry::Occupied(lane) if lane.get().len() >= QUEUE => return Err(busy()),
            Entry::Occupied(mut lane) => {
                lane.get_mut().push_back(append);
                return Ok(());
            }
            Entry::Vacant(lane) => {
                lane.insert(VecDeque::from([append]));
            }
        }
        let known = self.memory.take(tenant);
        let lane = Lane { lanes: Arc::clone(self), tenant, known, closed: false };
        tokio::spawn(lane.serve());
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, VecDeque<Waiting>>> {
        // A queue has no half-made state, so a poisoned lock is harmless.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn busy() -> Error {
    Error::Unavailable { reason: Reason::Busy, source: None }
}

/// The task of one tenant's lane.
struct Lane {
    lanes: Arc<Lanes>,
    tenant: TenantId,
    known: Known,
    /// Whether the lane is gone from the others, and perhaps another in its place.
    closed: bool,
}

impl Drop for Lane {
    /// A lane that ends before its work does (a panic, the end of the runtime) leaves nobody waiting, and
    /// no queue without a task.
    fn drop(&mut self) {
        if !self.closed {
            self.lanes.lock().remove(&self.tenant);
        }
    }
}

impl Lane {
    async fn serve(mut self) {
        while let Some(batch) = self.next() {
            let appends: Vec<_> = batch.iter().map(|append| &append.checked).collect();
            let until = (batch[0].since + RETRY).max(Instant::now() + LAST_TRIES);
            let answers = self.commit(&appends, until).await;
            for (append, answer) in batch.into_iter().zip(answers) {
                // A caller who has gone learns the outcome by repeating the append.
                let _ = append.answer.send(answer);
            }
        }
    }

    /// The next appends to commit together; closes the lane when none waits.
    fn next(&mut self) -> Option<Vec<Waiting>> {
        let lanes = Arc::clone(&self.lanes);
        let mut waiting = lanes.lock();
        let queue = waiting.get_mut(&self.tenant)?;
        // Nobody waits for an append whose caller has gone before it began.
        queue.retain(|append| !append.answer.is_closed());
        if queue.is_empty() {
            // First of all, so that the lane after this one finds it.
            lanes.memory.keep(self.tenant, std::mem::take(&mut self.known));
            waiting.remove(&self.tenant);
            self.closed = true;
            return None;
        }
        Some(take(queue))
    }

    async fn commit(&mut self, appends: &[&Checked], until: Instant) -> Vec<Result<Appended>> {
        if let Some(answers) = self.guess(appends).await {
            return answers;
        }
        match self.decide(appends, until).await {
            Ok(answers) => answers,
            Err(error) if appends.len() > 1 && may_be_one_appends_own(&error) => {
                let mut answers = Vec::with_capacity(appends.len());
                for alone in appends.chunks(1) {
                    let answer = self.decide(alone, until).await;
                    answers.extend(answer.unwrap_or_else(|error| vec![Err(error)]));
                }
                answers
            }
            Err(error) => all(appends, &error),
        }
    }

    /// One round trip, or two where too little is known; no answer means that the appends have to be
    /// decided with care.
    async fn guess(&mut self, appends: &[&Checked]) -> Option<Vec<Result<Appended>>> {
        if self.known.makes_detour() {
            return None;
        }
        let link = Arc::clone(&self.lanes.link);
        let guess = match Guess::new(self.tenant, &self.known, appends) {
            Ok(guess) => guess,
            Err(NoGuess::Refused) => return None,
            Err(NoGuess::NotKnown) => {
                let look = Look { tenant: self.tenant, appends };
                let (head, streams) = link.once(&look).await.ok()??;
                self.known.learn(head, streams);
                Guess::new(self.tenant, &self.known, appends).ok()?
            }
        };
        match link.once(&guess).await {
            Ok(Written::All) => {
                self.known.advance(&guess.draft);
                Some(guess.answers.into_iter().map(Ok).collect())
            }
            Ok(Written::Nothing) => {
                self.known.lose();
                None
            }
            Err(Failure::Locked(error)) => {
                self.known.forget();
                Some(all(appends, &link.locked(Some(self.tenant), error).await))
            }
            Err(Failure::Again(_) | Failure::Final(_)) => {
                self.known.forget();
                None
            }
        }
    }

    async fn decide(
        &mut self,
        appends: &[&Checked],
        until: Instant,
    ) -> Result<Vec<Result<Appended>>> {
        let careful = Careful { tenant: self.tenant, appends };
        let decided = self.lanes.link.perform(&careful, until).await;
        match &decided {
            Ok(Decided { draft: Some(draft), .. }) => self.known.begin(draft),
            Ok(Decided { draft: None, .. }) | Err(_) => self.known.forget(),
        }
        decided.map(|decided| decided.answers)
    }
}

/// Takes what can be committed together. An append that has an event id of one before it waits for what
/// comes of that one.
fn take(queue: &mut VecDeque<Waiting>) -> Vec<Waiting> {
    let mut batch = Vec::new();
    let mut ids = HashSet::new();
    let (mut events, mut kib) = (0, 0);
    while let Some(next) = queue.front() {
        let append = next.checked.append();
        events += append.events().count();
        kib += next.kib;
        let is_full = batch.len() == BATCH || events > BATCH_EVENTS || kib > BATCH_KIB;
        let comes_again = append.events().any(|event| ids.contains(&event.event_id));
        if !batch.is_empty() && (is_full || comes_again) {
            break;
        }
        ids.extend(append.events().map(|event| event.event_id));
        batch.extend(queue.pop_front());
    }
    batch
}

fn all(appends: &[&Checked], error: &Error) -> Vec<Result<Appended>> {
    appends.iter().map(|_| Err(error.clone())).collect()
}

fn may_be_one_appends_own(error: &Error) -> bool {
    matches!(error, Error::Corrupt { .. } | Error::Unavailable { reason: Reason::DiskFull, .. })
}

/// What an append brings, in KiB.
fn kib(append: &Append) -> usize {
    let events: usize = append.events().map(|e| e.payload.len() + e.metadata.len()).sum();
    let snapshots = append.streams.iter().filter_map(|stream| stream.snapshot.as_ref());
    let snapshots: usize = snapshots.map(|snapshot| snapshot.state.len()).sum();
    (events + snapshots).div_ceil(1024).max(1)
}
