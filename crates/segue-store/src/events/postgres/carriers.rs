//! Guesses of several tenants, carried to the database together.
//!
//! Most of what a small append costs is the statement and not the row. So the guesses of different tenants
//! that wait at the same time go in one statement, which writes for each tenant all of its guess or
//! nothing, and says for which it wrote. Tenants do not meet in it: it passes over a head that somebody
//! has locked, and what is refused for one of them goes the careful way alone, in its own lane.
//!
//! A few carriers take what waits. None waits for company: a guess that comes while a carrier is free is
//! carried at once, and while all are on their way the next load gathers by itself.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use segue_core::ids::TenantId;
use tokio::sync::oneshot;

use super::commit::{Guess, JointGuess, NoGuess, Written};
use super::lanes::Waiting;
use super::link::{Failure, Link};
use super::memory::Known;
use crate::events::Appended;

/// How many statements are on their way at the same time. Two keep the disk and the next load busy; more
/// are for the case that one is held up.
const CARRIERS: usize = 2;

/// The most tenants of one statement.
const TENANTS: usize = 64;

/// The most that tenants bring to a statement that they share, in KiB. Who brings more goes alone, so that
/// nobody waits for it.
const SHARED_KIB: usize = 1024;

/// What a tenant's lane has ready: appends, and what they are decided on.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) tenant: TenantId,
    pub(super) known: Known,
    pub(super) batch: Vec<Waiting>,
}

impl Load {
    fn kib(&self) -> usize {
        self.batch.iter().map(Waiting::kib).sum()
    }
}

/// What came of a load.
#[derive(Debug)]
pub(super) enum Outcome {
    /// All of it is written.
    Written(Vec<Appended>),
    /// There was nothing to guess by.
    NoGuess(NoGuess),
    /// The guess was wrong, or the head was locked; nothing is written.
    Wrong,
    /// It failed, and may be written or not.
    Unknown,
}

/// A load and the lane that waits for it.
#[derive(Debug)]
struct Bid {
    load: Load,
    back: oneshot::Sender<(Load, Outcome)>,
}

/// Those who carry, and what waits for them.
#[derive(Debug)]
pub(super) struct Carriers {
    link: Arc<Link>,
    desk: Mutex<Desk>,
}

#[derive(Debug, Default)]
struct Desk {
    bids: VecDeque<Bid>,
    on_their_way: usize,
}

impl Carriers {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link, desk: Mutex::default() }
    }

    /// Guesses what comes of a load and writes it; gives the load back. Nothing when the carrier has died
    /// with it.
    pub(super) async fn carry(self: &Arc<Self>, load: Load) -> Option<(Load, Outcome)> {
        if load.kib() > SHARED_KIB {
            return commit(&self.link, vec![load]).await.pop();
        }
        let (back, carried) = oneshot::channel();
        match self.leave_or_go(Bid { load, back }) {
            None => carried.await.ok(),
            // The lane carries its load itself, and leaves to another what has come meanwhile.
            Some((load, carrier)) => {
                let carried = commit(&self.link, vec![load]).await.pop();
                drop(carrier);
                carried
            }
        }
    }

    /// Lets a bid wait while all are on their way; else gives its load to one that goes.
    fn leave_or_go(self: &Arc<Self>, bid: Bid) -> Option<(Load, Carrier)> {
        let mut desk = self.desk();
        if desk.on_their_way == CARRIERS {
            desk.bids.push_back(bid);
            return None;
        }
        desk.on_their_way += 1;
        Some((bid.load, Carrier { carriers: Arc::clone(self) }))
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Nothing panics between two changes that belong together.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to be on the way. Given up, it goes to another if something waits, however it came to its end.
struct Carrier {
    carriers: Arc<Carriers>,
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let mut desk = self.carriers.desk();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if !desk.bids.is_empty() => {
                runtime.spawn(Self { carriers: Arc::clone(&self.carriers) }.serve());
            }
            Ok(_) | Err(_) => desk.on_their_way -= 1,
        }
    }
}

impl Carrier {
    async fn serve(self) {
        while let Some(bids) = self.next() {
            let (loads, backs): (Vec<_>, Vec<_>) =
                bids.into_iter().map(|bid| (bid.load, bid.back)).unzip();
            let carried = commit(&self.carriers.link, loads).await;
            for (carried, back) in carried.into_iter().zip(backs) {
                // A lane that is gone has left nobody waiting.
                let _ = back.send(carried);
            }
        }
    }

    /// The next loads to carry together, if any wait.
    fn next(&self) -> Option<Vec<Bid>> {
        let mut desk = self.carriers.desk();
        let most = if self.carriers.link.is_distributed() { 1 } else { TENANTS };
        let mut taken = Vec::new();
        let mut kib = 0;
        while let Some(bid) = desk.bids.front() {
            kib += bid.load.kib();
            if !taken.is_empty() && (taken.len() == most || kib > SHARED_KIB) {
                break;
            }
            taken.extend(desk.bids.pop_front());
        }
        (!taken.is_empty()).then_some(taken)
    }
}

/// Decides loads on what is known, and writes what was decided by one statement.
async fn commit(link: &Link, mut loads: Vec<Load>) -> Vec<(Load, Outcome)> {
    let mut known: Vec<_> = loads.iter_mut().map(|load| std::mem::take(&mut load.known)).collect();
    let appends: Vec<Vec<_>> =
        loads.iter().map(|load| load.batch.iter().map(Waiting::checked).collect()).collect();
    let guesses: Vec<_> = (loads.iter().zip(&known).zip(&appends))
        .map(|((load, known), appends)| Guess::new(load.tenant, known, appends))
        .collect();
    let written = write(link, &guesses.iter().flatten().collect::<Vec<_>>()).await;
    let outcomes: Vec<_> = (loads.iter().zip(&mut known).zip(guesses))
        .map(|((load, known), guess)| outcome(load.tenant, known, guess, &written))
        .collect();
    drop(appends);
    for (load, known) in loads.iter_mut().zip(known) {
        load.known = known;
    }
    loads.into_iter().zip(outcomes).collect()
}

/// Writes guesses; answers for which tenants it did.
async fn write(link: &Link, guesses: &[&Guess<'_>]) -> Result<HashSet<TenantId>, Failure> {
    match guesses {
        [] => Ok(HashSet::new()),
        [guess] => Ok(match link.once(*guess).await? {
            Written::All => HashSet::from([guess.tenant()]),
            Written::Nothing => HashSet::new(),
        }),
        many => link.once(&JointGuess(many)).await,
    }
}

/// What came of one of the guesses.
fn outcome(
    tenant: TenantId,
    known: &mut Known,
    guess: Result<Guess<'_>, NoGuess>,
    written: &Result<HashSet<TenantId>, Failure>,
) -> Outcome {
    let guess = match guess {
        Ok(guess) => guess,
        Err(no_guess) => return Outcome::NoGuess(no_guess),
    };
    match written {
        Ok(written) if written.contains(&tenant) => {
            known.advance(&guess.draft);
            Outcome::Written(guess.answers)
        }
        Ok(_) => {
            known.lose();
            Outcome::Wrong
        }
        Err(Failure::Locked(_) | Failure::Again(_) | Failure::Final(_) | Failure::Refused(_)) => {
            known.forget();
            Outcome::Unknown
        }
    }
}
