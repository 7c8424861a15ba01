//! The head of a tenant log in one store: how far it goes, and who may read and write it.
//!
//! ```text
//!            claim                drain, prepare            first append
//!   (none) ────────▶ copying ───────────────────▶ prepared ─────────────▶ open
//!      ▲               ▲  ▲                          │                     │  ▲
//!      │               │  └──────── claim ───────────┘               fence │  │ reopen, at a new epoch
//!      │         claim │             (a cutover that was given up)         ▼  │
//!      │               └──────────── moved ◀──────────────────────────── fenced
//!  (never)                             retire
//!
//!   copying, moved ── purge ──▶ tombstone ── claim ──▶ copying
//! ```
//!
//! Every change is a compare-and-swap on the whole of what the caller knows, and carries the term of the
//! decision that it follows. The epoch of a head never goes back, its term never does either, and a head
//! that exists is never gone again: a store that has once held a tenant remembers until when.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Mark};
use crate::ids::{Epoch, Position, Term};

/// The row that every append advances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Head {
    /// The last position; 0 for an empty log.
    pub position: Position,
    /// The digest at that position.
    pub digest: Digest,
    /// The only epoch at which writes are accepted.
    pub epoch: Epoch,
    /// Whether writes are accepted at all.
    pub mode: Mode,
    /// The term of the last decision whose effect it took; 0 for none.
    pub term: Term,
}

impl Head {
    /// The head of an empty log that accepts writes at `epoch`.
    #[must_use]
    pub fn opened(epoch: Epoch) -> Self {
        Self::empty(epoch, Mode::Open, Term(0))
    }

    fn empty(epoch: Epoch, mode: Mode, term: Term) -> Self {
        let Mark { position, digest } = Mark::START;
        Self { position, digest, epoch, mode, term }
    }

    /// Position and digest.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { position: self.position, digest: self.digest }
    }

    /// Checks that a write at `epoch` is accepted.
    ///
    /// # Errors
    /// [`Fenced`] at another epoch or in a mode that takes no writes.
    pub fn admits_write(&self, epoch: Epoch) -> Result<(), Fenced> {
        let writable = match self.mode {
            Mode::Open | Mode::Prepared => true,
            Mode::Fenced | Mode::Moved | Mode::Copying | Mode::Tombstone => false,
        };
        if writable && self.epoch == epoch { Ok(()) } else { Err(self.fenced()) }
    }

    /// Checks that a read is answered from here.
    ///
    /// # Errors
    /// [`Fenced`] when the log here is not, or may not be, what the reader asks for.
    pub fn admits_read(&self, access: Access) -> Result<(), Fenced> {
        let admitted = match (access, self.mode) {
            (Access::Current(epoch), Mode::Open | Mode::Prepared) => self.epoch == epoch,
            (Access::Validated(epoch), Mode::Open | Mode::Prepared | Mode::Fenced) => {
                self.epoch <= epoch
            }
            (
                Access::Copy,
                Mode::Open | Mode::Prepared | Mode::Fenced | Mode::Moved | Mode::Copying,
            ) => true,
            (Access::Current(_), Mode::Fenced | Mode::Moved | Mode::Copying | Mode::Tombstone)
            | (Access::Validated(_), Mode::Moved | Mode::Copying | Mode::Tombstone)
            | (Access::Copy, Mode::Tombstone) => false,
        };
        if admitted { Ok(()) } else { Err(self.fenced()) }
    }

    /// Checks that opening the tenant at `epoch` has nothing left to do.
    ///
    /// # Errors
    /// [`Fenced`] when it is not open at that epoch.
    pub fn admits_open(&self, epoch: Epoch) -> Result<(), Fenced> {
        if self.epoch == epoch && self.mode == Mode::Open { Ok(()) } else { Err(self.fenced()) }
    }

    /// The head after `swap`; the same again when the swap was made already.
    ///
    /// # Errors
    /// [`Differs`] when this head is not as the swap expects.
    pub fn swapped(self, swap: &HeadSwap) -> Result<Self, Differs> {
        let mark_as_expected = swap.expect_mark.is_none_or(|mark| mark == self.mark());
        let after = Self { mode: swap.mode, epoch: swap.epoch, term: swap.term, ..self };
        if after == self && mark_as_expected {
            return Ok(self);
        }
        let as_expected = self.epoch == swap.expect_epoch
            && self.mode == swap.expect_mode
            && self.term <= swap.term
            && self.epoch <= swap.epoch
            && mark_as_expected;
        if as_expected { Ok(after) } else { Err(Differs(self)) }
    }

    /// The head of a log that is filled with a copy of one that is at `epoch` elsewhere; `current` is the
    /// head as it is, where there is one. What a copy holds already stays; a tombstone holds nothing.
    ///
    /// # Errors
    /// [`Differs`] when the head was claimed at a later term, or belongs to an owner: an open or fenced
    /// one always does, a moved or prepared one does unless its epoch is past.
    pub fn claimed(current: Option<Self>, epoch: Epoch, term: Term) -> Result<Self, Differs> {
        let Some(head) = current else { return Ok(Self::empty(epoch, Mode::Copying, term)) };
        let is_past = match head.mode {
            Mode::Copying | Mode::Tombstone => head.epoch <= epoch,
            Mode::Moved | Mode::Prepared => head.epoch < epoch,
            Mode::Open | Mode::Fenced => false,
        };
        if !is_past || head.term > term {
            return Err(Differs(head));
        }
        match head.mode {
            Mode::Tombstone => Ok(Self::empty(epoch, Mode::Copying, term)),
            Mode::Copying | Mode::Moved | Mode::Prepared | Mode::Open | Mode::Fenced => {
                Ok(Self { epoch, term, mode: Mode::Copying, ..head })
            }
        }
    }

    /// The change of a head that a placing has opened although the tenant got its home elsewhere, at the
    /// epoch `owner`: an empty copy, which can be claimed. `None` for any other head. To be asked on a route
    /// that was read before the head: a tenant that has come to live here since is at a later epoch.
    ///
    /// ```
    /// use segue_core::ids::Epoch;
    /// use segue_core::tenancy::head::{Head, Mode};
    ///
    /// let left = Head::opened(Epoch(1));
    /// let swap = left.left_by_placing(Epoch(1)).expect("it is empty");
    /// assert_eq!(left.swapped(&swap).map(|head| head.mode), Ok(Mode::Copying));
    /// assert_eq!(Head::opened(Epoch(2)).left_by_placing(Epoch(1)), None);
    /// ```
    #[must_use]
    pub fn left_by_placing(&self, owner: Epoch) -> Option<HeadSwap> {
        let is_left = self.mode == Mode::Open && self.mark() == Mark::START && self.epoch <= owner;
        is_left.then_some(HeadSwap {
            expect_epoch: self.epoch,
            expect_mode: Mode::Open,
            expect_mark: Some(Mark::START),
            term: self.term,
            epoch: self.epoch,
            mode: Mode::Copying,
        })
    }

    /// The head of a log whose events are purged at a term; where there is none, the tombstone says that
    /// nothing of that term or before may come.
    ///
    /// # Errors
    /// [`Differs`] when the head was changed at a later term, or belongs to an owner, as in
    /// [`Head::claimed`].
    pub fn purged(current: Option<Self>, epoch: Epoch, term: Term) -> Result<Self, Differs> {
        let head = match current {
            Some(head) if head.mode == Mode::Tombstone && head.term == term => return Ok(head),
            other => Self::claimed(other, epoch, term)?,
        };
        Ok(Self { mode: Mode::Tombstone, ..head })
    }

    fn fenced(&self) -> Fenced {
        Fenced { mode: self.mode, epoch: self.epoch }
    }
}

/// A change of a head, made only if the head is as expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HeadSwap {
    /// The epoch it must have.
    pub expect_epoch: Epoch,
    /// The mode it must have.
    pub expect_mode: Mode,
    /// The position and digest it must have; `None` accepts any.
    pub expect_mark: Option<Mark>,
    /// The term of the decision that this follows; refused below the head's own, and kept.
    pub term: Term,
    /// The epoch it gets, which is not below the one it has.
    pub epoch: Epoch,
    /// The mode it gets.
    pub mode: Mode,
}

/// On what ground a log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// As the tenant's present log, at the epoch of its route; the store alone can tell that it is.
    Current(Epoch),
    /// As the tenant's present log, though it be fenced or about to be reopened at this epoch. Another
    /// store may have been made the owner meanwhile, so the answer counts only if the route, read after
    /// it, is still the same.
    Validated(Epoch),
    /// As whatever is there, by those who move and verify logs.
    Copy,
}

impl From<Epoch> for Access {
    fn from(epoch: Epoch) -> Self {
        Self::Current(epoch)
    }
}

/// The store does not serve the tenant at the caller's epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tenant's log is {mode} here, at epoch {epoch}")]
pub struct Fenced {
    /// The head's mode.
    pub mode: Mode,
    /// The head's epoch.
    pub epoch: Epoch,
}

/// The head is not as a change expected it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tenant's head differs: position {}, epoch {}, {}, term {}", .0.position, .0.epoch, .0.mode, .0.term)]
pub struct Differs(pub Head);

/// What a store does with a tenant's reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Reads and writes.
    Open,
    /// Writes wait: a cutover is being decided, or an operator has paused them.
    Fenced,
    /// Neither: another store owns the tenant, this one keeps its log as it was.
    Moved,
    /// Neither: a copier fills this store.
    Copying,
    /// As open, for whoever presents the epoch; the first write makes it so.
    Prepared,
    /// Neither: the log was purged; only its head remains, forever.
    Tombstone,
}

impl Mode {
    const ALL: [Self; 6] =
        [Self::Open, Self::Fenced, Self::Moved, Self::Copying, Self::Prepared, Self::Tombstone];

    /// The word that stores keep.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Fenced => "fenced",
            Self::Moved => "moved",
            Self::Copying => "copying",
            Self::Prepared => "prepared",
            Self::Tombstone => "tombstone",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is none of the modes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a mode of a tenant log")]
pub struct UnknownMode(String);

impl FromStr for Mode {
    type Err = UnknownMode;
    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        let known = Self::ALL.into_iter().find(|mode| mode.as_str() == text);
        known.ok_or_else(|| UnknownMode(text.to_owned()))
    }
}
