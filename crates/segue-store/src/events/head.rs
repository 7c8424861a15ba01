//! The head of a tenant log: how far it goes, and who may write it.

use std::fmt;
use std::str::FromStr;

use segue_core::digest::{Digest, Mark};
use segue_core::ids::{Epoch, Position};
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};

/// The row that every append advances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The last position; 0 for an empty log.
    pub position: Position,
    /// The digest at that position.
    pub digest: Digest,
    /// The only epoch at which writes are accepted.
    pub epoch: Epoch,
    /// Whether writes are accepted at all.
    pub mode: Mode,
    /// The term of the coordinator that last claimed the head; 0 when none has.
    pub coord_term: u64,
}

impl Head {
    /// The head of an empty log that accepts writes at `epoch`.
    #[must_use]
    pub fn opened(epoch: Epoch) -> Self {
        let Mark { position, digest } = Mark::START;
        Self { position, digest, epoch, mode: Mode::Open, coord_term: 0 }
    }

    /// Checks that a write at `epoch` is accepted.
    ///
    /// # Errors
    /// [`Error::Fenced`] at another epoch or in a mode that takes no writes.
    pub fn admits_write(&self, epoch: Epoch) -> Result<()> {
        let writable = match self.mode {
            Mode::Open | Mode::Prepared => true,
            Mode::Fenced | Mode::Moved | Mode::Copying | Mode::Tombstone => false,
        };
        if writable && self.epoch == epoch { Ok(()) } else { Err(self.fenced()) }
    }

    /// Checks that a read at `epoch` is answered from here.
    ///
    /// # Errors
    /// [`Error::Fenced`] at another epoch or in a mode whose log is not the tenant's present one.
    pub fn admits_read(&self, epoch: Epoch) -> Result<()> {
        let readable = match self.mode {
            Mode::Open | Mode::Prepared | Mode::Fenced => true,
            Mode::Moved | Mode::Copying | Mode::Tombstone => false,
        };
        if readable && self.epoch == epoch { Ok(()) } else { Err(self.fenced()) }
    }

    /// Checks that opening the tenant at `epoch` has nothing left to do.
    pub(crate) fn admits_open(&self, epoch: Epoch) -> Result<()> {
        if self.epoch == epoch && self.mode == Mode::Open { Ok(()) } else { Err(self.fenced()) }
    }

    /// The head of a log that is copied at `coord_term`, to be known at `epoch`; `current` is the head as
    /// it is, where there is one.
    ///
    /// # Errors
    /// [`Error::HeadDiffers`] when the head is in another mode, or was claimed at a later term.
    pub(crate) fn claimed_for_copy(
        current: Option<Self>,
        epoch: Epoch,
        coord_term: u64,
    ) -> Result<Self> {
        match current {
            None => Ok(Self { mode: Mode::Copying, coord_term, ..Self::opened(epoch) }),
            Some(head) if head.mode == Mode::Copying && head.coord_term <= coord_term => {
                Ok(Self { epoch, coord_term, ..head })
            }
            Some(head) => Err(Error::HeadDiffers { head: Box::new(head) }),
        }
    }

    /// The head after `swap`.
    ///
    /// # Errors
    /// [`Error::HeadDiffers`] when this head is not as the swap expects.
    pub(crate) fn swapped(self, swap: &HeadSwap) -> Result<Self> {
        let mark_as_expected = swap.expect_mark.is_none_or(|mark| mark == self.mark());
        let after =
            Self { mode: swap.mode, epoch: swap.epoch, coord_term: swap.coord_term, ..self };
        if after == self && mark_as_expected {
            return Ok(self);
        }
        let as_expected = self.epoch == swap.expect_epoch
            && self.mode == swap.expect_mode
            && self.coord_term <= swap.coord_term
            && mark_as_expected;
        if as_expected { Ok(after) } else { Err(Error::HeadDiffers { head: Box::new(self) }) }
    }

    /// Position and digest.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { position: self.position, digest: self.digest }
    }

    fn fenced(&self) -> Error {
        Error::Fenced { mode: self.mode, epoch: self.epoch }
    }
}

/// A change of a head, made only if the head is as expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadSwap {
    /// The epoch it must have.
    pub expect_epoch: Epoch,
    /// The mode it must have.
    pub expect_mode: Mode,
    /// The position and digest it must have; `None` accepts any.
    pub expect_mark: Option<Mark>,
    /// The term of the coordinator that asks; refused below the head's own, and kept.
    pub coord_term: u64,
    /// The epoch it gets.
    pub epoch: Epoch,
    /// The mode it gets.
    pub mode: Mode,
}

/// What a store does with a tenant's reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Reads and writes.
    Open,
    /// Reads only: a cutover is being decided.
    Fenced,
    /// Neither: another store owns the tenant, this one keeps the copy for a way back.
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
    fn from_str(text: &str) -> std::result::Result<Self, UnknownMode> {
        let known = Self::ALL.into_iter().find(|mode| mode.as_str() == text);
        known.ok_or_else(|| UnknownMode(text.to_owned()))
    }
}
