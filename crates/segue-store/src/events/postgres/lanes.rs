//! The appends of each tenant, one commit after the other.
//!
//! An append waits in its tenant's lane. A lane that has something to do has a task, which takes all that
//! waits (up to a limit), commits it as one, answers, and goes on until nothing waits; then the lane is
//! gone. It never waits for company: while one commit runs, the next group gathers by itself. What can be
//! guessed is carried together with the guesses of other tenants ([`carriers`](super::carriers)); for what
//! needs care a lane takes a connection for one commit at a time, and the pool gives them out in turn, so
//! no tenant starves another.
//!
//! The task and not the caller does the work: a caller who goes away interrupts nothing.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use segue_core::ids::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use super::carriers::{Carriers, Load, Outcome};
use super::commit::{Careful, Decided, Look, NoGuess};
use super::link::{Link, RETRY};
use super::memory::{Known, Memory};
use crate::events::accept::Checked;
use crate::events::{Append, Appended, Error, Head, Reason, Result};

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
pub(super) struct Waiting {
    checked: Checked,
    answer: oneshot::Sender<Result<Appended>>,
    kib: usize,
    since: Instant,
    _room: OwnedSemaphorePermit,
}

impl Waiting {
    pub(super) fn checked(&self) -> &Checked {
        &self.checked
    }

    pub(super) fn kib(&self) -> usize {
        self.kib
    }
}

/// Every lane with something to do.
#[derive(Debug)]
pub(super) struct Lanes {
    link: Arc<Link>,
    carriers: Arc<Carriers>,
    waiting: Mutex<HashMap<TenantId, VecDeque<Waiting>>>,
    room: Arc<Semaphore>,
    memory: Memory,
}

impl Lanes {
    pub(super) fn new(link: Arc<Link>) -> Self {
        let room = Arc::new(Semaphore::new(WAITING_KIB));
        let carriers = Arc::new(Carriers::new(Arc::clone(&link)));
        Self { link, carriers, waiting: Mutex::default(), room, memory: Memory::new() }
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

    /// Remembers the head of a log that is about to be written here, so that its first writer need not look.
    pub(super) fn learn(&self, tenant: TenantId, head: Head) {
        let mut known = Known::default();
        known.learn(head, Vec::new());
        self.memory.keep(tenant, known);
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
            let Some(batch) = self.guess(batch).await else { continue };
            let appends: Vec<_> = batch.iter().map(Waiting::checked).collect();
            let until = (batch[0].since + RETRY).max(Instant::now() + LAST_TRIES);
            let answers = self.commit(&appends, until).await;
            answer(batch, answers);
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

    /// One round trip, or two where too little is known. Gives the appends back that have to be decided
    /// with care.
    async fn guess(&mut self, batch: Vec<Waiting>) -> Option<Vec<Waiting>> {
        if self.known.makes_detour() {
            return Some(batch);
        }
        let (batch, outcome) = self.carry(batch).await?;
        let (batch, outcome) = match outcome {
            Outcome::NoGuess(NoGuess::NotKnown) => {
                if !self.look(&batch).await {
                    return Some(batch);
                }
                self.carry(batch).await?
            }
            outcome => (batch, outcome),
        };
        match outcome {
            Outcome::Written(appended) => {
                answer(batch, appended.into_iter().map(Ok));
                None
            }
            Outcome::NoGuess(NoGuess::NotKnown | NoGuess::Refused)
            | Outcome::Wrong
            | Outcome::Unknown => Some(batch),
        }
    }

    async fn carry(&mut self, batch: Vec<Waiting>) -> Option<(Vec<Waiting>, Outcome)> {
        let load = Load { tenant: self.tenant, known: std::mem::take(&mut self.known), batch };
        let (load, outcome) = self.lanes.carriers.carry(load).await?;
        self.known = load.known;
        Some((load.batch, outcome))
    }

    /// Learns what the appends have to be decided on, if the tenant has a log here.
    async fn look(&mut self, batch: &[Waiting]) -> bool {
        let appends: Vec<_> = batch.iter().map(Waiting::checked).collect();
        let look = Look { tenant: self.tenant, appends: &appends };
        match self.lanes.link.once(&look).await {
            Ok(Some((head, streams))) => {
                self.known.learn(head, streams);
                true
            }
            Ok(None) | Err(_) => false,
        }
    }

    /// With care: behind the lock of the head.
    async fn commit(&mut self, appends: &[&Checked], until: Instant) -> Vec<Result<Appended>> {
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
            Err(error) => appends.iter().map(|_| Err(error.clone())).collect(),
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
            Ok(Decided { draft: Some(draft), answers }) => {
                self.known.begin(draft);
                if answers.iter().flatten().any(|appended| appended.duplicate) {
                    self.known.expect_repeats();
                }
            }
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

fn answer(batch: Vec<Waiting>, answers: impl IntoIterator<Item = Result<Appended>>) {
    for (append, answer) in batch.into_iter().zip(answers) {
        // A caller who has gone learns the outcome by repeating the append.
        let _ = append.answer.send(answer);
    }
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
