//! What is left to do of a move: one step, from what is decided and what is seen.

use std::fmt;

use super::{Afterwards, Decision, Moving, Route, Stage, Why};
use crate::digest::Mark;
use crate::ids::{Epoch, Position, Term};
use crate::tenancy::Phase;
use crate::tenancy::head::{Head, HeadSwap, Mode};

/// What whoever carries the move on has seen. Heads may be old: an effect that they no longer fit is
/// refused by the store, and one looks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sight {
    /// The head in the store that owns the tenant; nothing when that holds no log.
    pub owner: Option<Head>,
    /// The head in the other store.
    pub peer: Option<Head>,
    /// How far the peer's log was read back, and the digest of what was read.
    pub read_back: Mark,
    /// Whether both stores were looked at and will do.
    pub preflight_passed: bool,
    /// Whether nothing is left of a log that was purged in the peer.
    pub is_purged: bool,
}

/// What is asked of a move, and how strict to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// How many events the target may be behind when a cutover begins.
    pub lag_threshold: u64,
    /// Whether everything that is stored in the target must have been read back before the commit.
    pub needs_read_back: bool,
    /// Whether somebody wants to cut over now.
    pub cut_over: bool,
    /// Whether the writes have waited for as long as they may.
    pub is_over_budget: bool,
    /// Whether the old source shall follow the new owner, for a way back.
    pub keeps_way_back: bool,
    /// Whether the old source may be purged now.
    pub purge_is_due: bool,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// To decide something.
    Decide(Decision),
    /// To do something in a store.
    Perform(Effect),
    /// Nothing, until something changes.
    Wait(Waiting),
    /// Nothing more: there is no move.
    Over,
    /// Nothing: what is seen contradicts what is decided, and somebody has to look.
    Stop(Contradiction),
}

/// One of the two stores of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that owns the tenant.
    Owner,
    /// The other one.
    Peer,
}

impl Side {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Owner => Self::Peer,
            Self::Peer => Self::Owner,
        }
    }
}

/// Something to do in a store. Each may be done any number of times, and comes to nothing when the store
/// has seen something later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// To look at both stores, and whether they will do.
    Preflight,
    /// To claim a copy at this term, of a log that is owned at this epoch.
    Claim {
        /// Where.
        side: Side,
        /// The owner's epoch.
        epoch: Epoch,
        /// The term.
        term: Term,
    },
    /// To copy events that the peer lacks.
    Copy,
    /// To copy all that one side lacks, and to prepare it with the last of it.
    Drain {
        /// Where.
        into: Side,
        /// Where the log ends, and with which digest.
        to: Mark,
        /// The epoch at which it is prepared.
        epoch: Epoch,
        /// The term of the claim.
        term: Term,
    },
    /// To read back what the peer has stored.
    ReadBack,
    /// To change the owner's head: a fence, or its end.
    SwapOwner(HeadSwap),
    /// To mark the old source as left.
    Retire(HeadSwap),
    /// To purge the peer.
    Purge {
        /// The owner's epoch.
        epoch: Epoch,
        /// The term.
        term: Term,
    },
}

impl Effect {
    /// Its name, for logs and measurements.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Claim { .. } => "claim",
            Self::Copy => "copy",
            Self::Drain { .. } => "drain",
            Self::ReadBack => "read_back",
            Self::SwapOwner(swap) if swap.mode == Mode::Fenced => "fence",
            Self::SwapOwner(_) => "reopen",
            Self::Retire(_) => "retire",
            Self::Purge { .. } => "purge",
        }
    }
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// Events, or somebody who wants to cut over.
    Events,
    /// An operator who has paused the tenant's writes: only a tenant that is written is cut over.
    WritesPaused,
    /// An operator who resumes or aborts the move.
    Operator,
    /// The end of the retention.
    Retention,
}

/// What is seen contradicts what is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Contradiction {
    /// The owner's store holds no log of the tenant.
    OwnerLost,
    /// The owner's head is in another mode, or at another epoch, than any decision can have left it in.
    OwnerElsewhere(Head),
    /// The other store holds the tenant as its own.
    PeerOwned(Head),
    /// The other store's log is no copy of the owner's.
    Diverged {
        /// Where the owner's log ends.
        owner: Mark,
        /// Where the other one ends.
        peer: Mark,
    },
    /// What the other store holds is not what was written to it.
    CopyDamaged {
        /// Where its log ends.
        at: Position,
    },
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnerLost => f.write_str(
                "the store that owns the tenant holds no log of it: was its file or database replaced?",
            ),
            Self::OwnerElsewhere(head) => write!(
                f,
                "the store that owns the tenant has it {} at epoch {}, which was never decided: was it \
                 restored from a backup?",
                head.mode, head.epoch
            ),
            Self::PeerOwned(head) => write!(
                f,
                "the other store holds a log of the tenant as its own, {} at epoch {}: it is not \
                 overwritten",
                head.mode, head.epoch
            ),
            Self::Diverged { owner, peer } => write!(
                f,
                "the log in the other store, which ends at position {}, is no copy of the owner's, which \
                 ends at position {}",
                peer.position, owner.position
            ),
            Self::CopyDamaged { at } => write!(
                f,
                "what was read back from the other store, up to position {at}, is not what was written \
                 there"
            ),
        }
    }
}

/// The next step of a move. The same answer for the same arguments: nothing is remembered.
///
/// ```
/// use segue_core::tenancy::Route;
/// use segue_core::tenancy::migration::{Sight, Rules, Step, next};
/// use segue_core::digest::Mark;
///
/// let settled = Route::first("shared".parse()?);
/// let sight = Sight {
///     owner: None, peer: None, read_back: Mark::START, preflight_passed: false, is_purged: false,
/// };
/// let rules = Rules {
///     lag_threshold: 100, needs_read_back: true, cut_over: false, is_over_budget: false,
///     keeps_way_back: true, purge_is_due: false,
/// };
/// assert_eq!(next(&settled, &sight, &rules), Step::Over);
/// # Ok::<(), segue_core::ids::Invalid>(())
/// ```
#[must_use]
pub fn next(route: &Route, sight: &Sight, rules: &Rules) -> Step {
    let Some(moving) = &route.moving else { return Step::Over };
    let view = View { route, moving, sight, rules };
    let step = match moving.stage {
        Stage::Pending if sight.preflight_passed => Ok(Step::Decide(Decision::BeginCopy)),
        Stage::Pending => Ok(Step::Perform(Effect::Preflight)),
        Stage::BulkCopy => view.bulk_copy(),
        Stage::DualWrite => view.dual_write(),
        Stage::Paused { .. } | Stage::Failed { .. } => Ok(Step::Wait(Waiting::Operator)),
        Stage::CutoverPaused { next, decided, .. } => view.cutover(next, decided),
        Stage::Reopening { then: Afterwards::DualWrite | Afterwards::RollBack, .. } => {
            view.reopening()
        }
        Stage::RollingBack => view.rolling_back(),
        Stage::Migrated { at } => view.migrated(at),
        Stage::Finishing { at, .. } => view.finishing(at),
    };
    step.unwrap_or_else(Step::Stop)
}

/// Everything that a step depends on.
struct View<'a> {
    route: &'a Route,
    moving: &'a Moving,
    sight: &'a Sight,
    rules: &'a Rules,
}

/// Two logs, one of which should continue the other.
enum Compared {
    /// The copy lacks so many events.
    Behind(u64),
    /// They are the same.
    Same,
    /// They are not one log.
    Differ,
}

fn compare(owner: &Head, copy: &Head) -> Compared {
    match owner.position.0.checked_sub(copy.position.0) {
        Some(0) if owner.digest == copy.digest => Compared::Same,
        Some(0) | None => Compared::Differ,
        Some(lag) => Compared::Behind(lag),
    }
}

impl View<'_> {
    fn bulk_copy(&self) -> Result<Step, Contradiction> {
        let (owner, peer) = match self.copy()? {
            Ok(heads) => heads,
            Err(claim) => return Ok(claim),
        };
        Ok(match compare(&owner, &peer) {
            Compared::Differ => Step::Stop(diverged(&owner, &peer)),
            Compared::Behind(lag) if lag > self.rules.lag_threshold => Step::Perform(Effect::Copy),
            Compared::Behind(_) | Compared::Same => Step::Decide(Decision::BeginDualWrite),
        })
    }

    fn dual_write(&self) -> Result<Step, Contradiction> {
        let (owner, peer) = match self.copy()? {
            Ok(heads) => heads,
            Err(claim) => return Ok(claim),
        };
        let lag = match compare(&owner, &peer) {
            Compared::Differ => return Err(diverged(&owner, &peer)),
            Compared::Behind(lag) => lag,
            Compared::Same => 0,
        };
        let read = self.sight.read_back;
        if self.rules.needs_read_back && read.position == peer.position && read != peer.mark() {
            return Err(Contradiction::CopyDamaged { at: peer.position });
        }
        let unread = self.unread(&peer);
        let close = lag <= self.rules.lag_threshold && unread <= self.rules.lag_threshold;
        if self.rules.cut_over && close {
            return Ok(match self.route.phase {
                Phase::Settled => Step::Decide(Decision::CutOver),
                Phase::Paused { .. } => Step::Wait(Waiting::WritesPaused),
            });
        }
        // Whichever is further behind, so that neither waits for the other without end.
        Ok(if unread > lag {
            Step::Perform(Effect::ReadBack)
        } else if lag > 0 {
            Step::Perform(Effect::Copy)
        } else {
            Step::Wait(Waiting::Events)
        })
    }

    /// Fence, drain, prepare, read back, commit. Everything before the commit may be given up.
    fn cutover(&self, next: Epoch, decided: Term) -> Result<Step, Contradiction> {
        let step = self.owner().map(|owner| self.towards_commit(&owner, next, decided));
        match step {
            // What is proved is not thrown away: to commit takes as long as to give up.
            Ok(Step::Decide(Decision::Commit { .. })) => step,
            // Whatever is or is not seen: to give up needs no store to answer.
            _ if self.rules.is_over_budget => Ok(give_up(Why::Timeout)),
            step => step,
        }
    }

    fn towards_commit(&self, owner: &Head, next: Epoch, decided: Term) -> Step {
        // A fence from before the decision may be somebody else's, and about to be taken away.
        if owner.mode != Mode::Fenced || owner.term < decided {
            return Step::Perform(Effect::SwapOwner(self.fence(owner)));
        }
        let Some(peer) = self.sight.peer else { return give_up(Why::TargetLost) };
        let end = owner.mark();
        match peer.mode {
            Mode::Prepared if peer.epoch == next && peer.mark() != end => {
                give_up(Why::Inconsistent)
            }
            Mode::Prepared if peer.epoch == next => self.prove(end),
            Mode::Copying if peer.term == self.moving.claim => match compare(owner, &peer) {
                Compared::Differ => give_up(Why::Inconsistent),
                Compared::Behind(_) | Compared::Same => {
                    let (into, term) = (Side::Peer, self.moving.claim);
                    Step::Perform(Effect::Drain { into, to: end, epoch: next, term })
                }
            },
            Mode::Copying | Mode::Prepared | Mode::Moved | Mode::Tombstone => {
                match self.claim(Side::Peer, Some(peer)) {
                    Some(claim) => claim,
                    None => give_up(Why::TargetLost),
                }
            }
            Mode::Open | Mode::Fenced => give_up(Why::TargetLost),
        }
    }

    /// Both logs end at the same mark; what is stored must be what was hashed.
    fn prove(&self, end: Mark) -> Step {
        let read = self.sight.read_back;
        if !self.rules.needs_read_back || read == end {
            Step::Decide(Decision::Commit { at: end })
        } else if read.position < end.position {
            Step::Perform(Effect::ReadBack)
        } else {
            give_up(Why::Inconsistent)
        }
    }

    /// The target matters no more: nobody will ever be told the epoch at which it may be prepared.
    fn reopening(&self) -> Result<Step, Contradiction> {
        let owner = self.sight.owner.ok_or(Contradiction::OwnerLost)?;
        match owner.mode {
            Mode::Open | Mode::Prepared if owner.epoch == self.route.epoch => {
                Ok(Step::Decide(Decision::Reopened))
            }
            Mode::Open | Mode::Prepared | Mode::Fenced if owner.epoch < self.route.epoch => {
                let reopen = self.swap(&owner, self.route.epoch, Mode::Open);
                Ok(Step::Perform(Effect::SwapOwner(reopen)))
            }
            Mode::Open
            | Mode::Prepared
            | Mode::Fenced
            | Mode::Moved
            | Mode::Copying
            | Mode::Tombstone => Err(Contradiction::OwnerElsewhere(owner)),
        }
    }

    /// The target is the owner: the old source is left, then follows it.
    fn migrated(&self, at: Mark) -> Result<Step, Contradiction> {
        if let Some(restore) = self.restore(at)? {
            return Ok(restore);
        }
        let Some(peer) = self.sight.peer else { return Ok(Step::Wait(Waiting::Events)) };
        match peer.mode {
            Mode::Open | Mode::Fenced | Mode::Prepared => self.retire(&peer, at),
            Mode::Moved | Mode::Copying | Mode::Tombstone if !self.rules.keeps_way_back => {
                Ok(Step::Wait(Waiting::Events))
            }
            Mode::Moved | Mode::Copying => self.follow(),
            Mode::Tombstone => Ok(Step::Wait(Waiting::Events)),
        }
    }

    fn follow(&self) -> Result<Step, Contradiction> {
        let (owner, peer) = match self.copy()? {
            Ok(heads) => heads,
            Err(claim) => return Ok(claim),
        };
        match compare(&owner, &peer) {
            Compared::Behind(_) => Ok(Step::Perform(Effect::Copy)),
            Compared::Same => Ok(Step::Wait(Waiting::Events)),
            Compared::Differ => Err(diverged(&owner, &peer)),
        }
    }

    fn finishing(&self, at: Mark) -> Result<Step, Contradiction> {
        if let Some(restore) = self.restore(at)? {
            return Ok(restore);
        }
        match self.sight.peer {
            Some(peer) if matches!(peer.mode, Mode::Open | Mode::Fenced | Mode::Prepared) => {
                self.retire(&peer, at)
            }
            _ if !self.rules.purge_is_due => Ok(Step::Wait(Waiting::Retention)),
            _ => Ok(self.purge(Decision::Finished)),
        }
    }

    /// What is left to do until the new owner takes writes; nothing when it does. It was prepared before
    /// the commit, so there is something to do only where its store has lost that since. The old source may
    /// have followed it beyond the commit, and then has what was acknowledged since: that is filled in too.
    fn restore(&self, at: Mark) -> Result<Option<Step>, Contradiction> {
        let lost = match self.sight.owner {
            Some(head) if self.is_owners(&head) => return Ok(None),
            Some(head) if matches!(head.mode, Mode::Open | Mode::Fenced) => {
                return Err(Contradiction::OwnerElsewhere(head));
            }
            lost => lost,
        };
        let end = match self.sight.peer.filter(|peer| peer.mode != Mode::Tombstone) {
            Some(peer) if peer.position > at.position => peer.mark(),
            Some(peer) if peer.mark() == at => at,
            peer => {
                let peer = peer.map_or(Mark::START, |peer| peer.mark());
                return Err(Contradiction::Diverged { owner: at, peer });
            }
        };
        let claimed =
            lost.filter(|head| head.mode == Mode::Copying && head.term == self.moving.claim);
        let (into, epoch, term) = (Side::Owner, self.route.epoch, self.moving.claim);
        Ok(Some(match claimed {
            Some(_) => Step::Perform(Effect::Drain { into, to: end, epoch, term }),
            None => self.claim(Side::Owner, lost).unwrap_or_else(|| {
                Step::Stop(lost.map_or(Contradiction::OwnerLost, Contradiction::OwnerElsewhere))
            }),
        }))
    }

    fn rolling_back(&self) -> Result<Step, Contradiction> {
        let owner = self.owner()?;
        match self.sight.peer {
            Some(peer) if self.was_owner(&peer) => self.leave(&owner, &peer),
            _ => Ok(self.purge(Decision::RolledBack)),
        }
    }

    /// Whether the tenant has left this store, and nobody came to mark it so before it was to go back. An
    /// open one is not taken for that: it may be a log that nobody has heard of.
    fn was_owner(&self, peer: &Head) -> bool {
        peer.mode == Mode::Fenced && peer.epoch < self.route.epoch
    }

    /// Marks an old source as left; what it holds is a copy from then on, and is told from one by its
    /// digest.
    fn leave(&self, owner: &Head, peer: &Head) -> Result<Step, Contradiction> {
        match compare(owner, peer) {
            Compared::Differ => Err(diverged(owner, peer)),
            Compared::Behind(_) | Compared::Same => {
                Ok(Step::Perform(Effect::Retire(self.moved(peer))))
            }
        }
    }

    fn retire(&self, peer: &Head, at: Mark) -> Result<Step, Contradiction> {
        if peer.epoch >= self.route.epoch {
            return Err(Contradiction::PeerOwned(*peer));
        }
        if peer.mark() != at {
            let owner = self.sight.owner.map_or(at, |owner| owner.mark());
            return Err(Contradiction::Diverged { owner, peer: peer.mark() });
        }
        // Its fence may be lost, and somebody may write there who has heard of nothing.
        Ok(Step::Perform(Effect::Retire(HeadSwap { expect_mark: Some(at), ..self.moved(peer) })))
    }

    fn purge(&self, decision: Decision) -> Step {
        if self.sight.is_purged {
            return Step::Decide(decision);
        }
        Step::Perform(Effect::Purge { epoch: self.route.epoch, term: self.route.term })
    }

    /// The heads of the owner and of a copy that is claimed; or the step on the way there.
    fn copy(&self) -> Result<Result<(Head, Head), Step>, Contradiction> {
        let owner = self.owner()?;
        match self.sight.peer {
            Some(peer) if peer.mode == Mode::Copying && peer.term == self.moving.claim => {
                Ok(Ok((owner, peer)))
            }
            Some(peer) if self.was_owner(&peer) => self.leave(&owner, &peer).map(Err),
            other => match (self.claim(Side::Peer, other), other) {
                (Some(claim), _) => Ok(Err(claim)),
                (None, Some(peer)) => Err(Contradiction::PeerOwned(peer)),
                (None, None) => unreachable!("where there is nothing, a copy can be claimed"),
            },
        }
    }

    /// The owner's head, which must be one that a decision has left.
    fn owner(&self) -> Result<Head, Contradiction> {
        let owner = self.sight.owner.ok_or(Contradiction::OwnerLost)?;
        if self.is_owners(&owner) { Ok(owner) } else { Err(Contradiction::OwnerElsewhere(owner)) }
    }

    fn is_owners(&self, head: &Head) -> bool {
        let owns = match head.mode {
            Mode::Open | Mode::Prepared | Mode::Fenced => true,
            Mode::Moved | Mode::Copying | Mode::Tombstone => false,
        };
        owns && head.epoch == self.route.epoch
    }

    /// The step that claims a head, if it may be.
    fn claim(&self, side: Side, head: Option<Head>) -> Option<Step> {
        let (epoch, term) = (self.route.epoch, self.moving.claim);
        Head::claimed(head, epoch, term).ok()?;
        Some(Step::Perform(Effect::Claim { side, epoch, term }))
    }

    /// How much of the peer's log was not read back.
    fn unread(&self, peer: &Head) -> u64 {
        match self.rules.needs_read_back {
            true => peer.position.0.saturating_sub(self.sight.read_back.position.0),
            false => 0,
        }
    }

    fn fence(&self, owner: &Head) -> HeadSwap {
        self.swap(owner, owner.epoch, Mode::Fenced)
    }

    /// At the term of the claim, which comes next: that of the route may be later, for a pause was decided
    /// meanwhile, and then the copy could never be claimed.
    fn moved(&self, peer: &Head) -> HeadSwap {
        HeadSwap { term: self.moving.claim, ..self.swap(peer, peer.epoch, Mode::Moved) }
    }

    fn swap(&self, head: &Head, epoch: Epoch, mode: Mode) -> HeadSwap {
        HeadSwap {
            expect_epoch: head.epoch,
            expect_mode: head.mode,
            expect_mark: None,
            term: self.route.term,
            epoch,
            mode,
        }
    }
}

fn give_up(why: Why) -> Step {
    Step::Decide(Decision::GiveUp { why })
}

fn diverged(owner: &Head, peer: &Head) -> Contradiction {
    Contradiction::Diverged { owner: owner.mark(), peer: peer.mark() }
}
