//! Moving a tenant's log to another store while it is read and written: the protocol, without I/O.
//!
//! ```text
//!                 decisions (the route, by compare-and-swap)        effects (the stores' heads)
//!
//!   start         → pending                                         nothing; both stores are looked at
//!   begin copy    → bulk_copy                                       target: claimed, then filled page by page
//!   begin dual    → dual_write                                      target: follows the source closely
//!   cut over      → cutover_paused, mints epoch `next`              source: fenced, which tells where it ends
//!                                                                   target: drained to there, prepared at `next`
//!   commit        → migrated: the target owns the tenant at `next`  source: moved, then follows the target
//!   ───────────────────────────── point of no return ─────────────────────────────
//!   give up       → reopening, mints another epoch                  source: open again, at that epoch
//!   reopened      → dual_write, or rolling back                     target: purged when the move is aborted
//!   finish        → finishing                                       old source: purged; a tombstone stays
//! ```
//!
//! What holds at every moment, whoever dies, sleeps or comes late:
//!
//! 1. **Decide, then do.** Effects follow the decision that they carry out, carry its term, and may be
//!    repeated or completed by anyone: [`next()`] tells what is left to do from the route and the heads alone.
//!    Nobody acts on an unknown outcome: read the route, look at the heads, ask [`next()`] again.
//! 2. **One owner.** A store takes writes at its own epoch only, and the epoch of a new owner is known to
//!    nobody before the commit; so presenting it proves the commit, and nothing has to be activated.
//! 3. **The commit needs proof.** The source is fenced at or after the decision to cut over; the target ends
//!    where the source ends, with the same digest, and can no longer be extended by a copier; what is stored
//!    there was read back and hashed.
//! 4. **An epoch is burned by giving up.** The source reopens at a new one, so that a fence or a prepared
//!    target of the attempt before means nothing any more.
//! 5. **A fence never opens by the clock.** Time only makes someone *decide* to give up.
//! 6. **Heads outlive their logs.** A purge leaves a tombstone, so that nobody who slept revives a log.
//!
//! Roles are the *owner* and its *peer*: the peer is the target before the commit and the old source after
//! it. Going back is a migration like any other, whose target happens to hold a copy already.
//!
//! `tests/migration_model.rs` searches this very code together with [`super::head`] for states in which an
//! acknowledged write is lost or a tenant is stuck, and finds one whenever a rule is taken away.

mod config;
mod decision;
mod failures;
pub mod journal;
mod next;
pub mod pace;
pub mod positions;
mod progress;
mod state;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Route;
use crate::digest::Mark;
use crate::ids::{Epoch, MigrationId, StoreId, Term};

pub use config::{InvalidSetting, MigrationConfig, VerificationLevel};
pub use decision::{Decision, Refused, Why, record};
pub use failures::FailureStats;
pub use journal::{Entry, Journal};
pub use next::{Contradiction, Effect, Rules, Side, Sight, Step, Waiting, next};
pub use positions::{Mapped, PositionMapper};
pub use progress::{Pause, Progress, eta};
pub use state::{MigrationState, TenantMigrationState};

/// A move, as far as it is decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Moving {
    /// Which one.
    pub migration: MigrationId,
    /// The store beside the owner: the target before the commit, the old source after it.
    pub peer: StoreId,
    /// How far it has come.
    pub stage: Stage,
    /// The term at which the peer's copy is claimed. Whoever presents it may extend the copy.
    pub claim: Term,
    /// How many cutovers were begun.
    pub attempts: u32,
}

/// How far a move has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// Wanted; nothing is changed in any store yet.
    Pending,
    /// The target is filled.
    BulkCopy,
    /// The target has nearly everything and follows the source.
    DualWrite,
    /// An operator has stopped the copying; writers do not notice.
    Paused {
        /// Where it goes on.
        from: Copying,
    },
    /// Something stands in the way that does not pass by itself; writers do not notice.
    Failed {
        /// Where it goes on when it is resumed.
        from: Copying,
    },
    /// The owner's writes wait, and the move is about to be decided.
    CutoverPaused {
        /// The epoch at which the target is prepared.
        next: Epoch,
        /// The term of this decision: a fence of an earlier one may be taken away yet.
        decided: Term,
        /// When.
        since: Timestamp,
    },
    /// The cutover was given up; the owner is to take writes again, at the route's epoch.
    Reopening {
        /// What then.
        then: Afterwards,
        /// When the writes began to wait.
        since: Timestamp,
    },
    /// The move was aborted; what the target has is to be purged.
    RollingBack,
    /// The target is the owner. The old source keeps a copy, for a way back.
    Migrated {
        /// Where the old source ends, and the owner began.
        at: Mark,
    },
    /// There is no way back any more; the old source's copy is to be purged.
    Finishing {
        /// As in [`Stage::Migrated`].
        at: Mark,
        /// Not before.
        purge_at: Timestamp,
    },
}

/// A stage in which the target is filled, as the one to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Copying {
    /// [`Stage::Pending`].
    Pending,
    /// [`Stage::BulkCopy`].
    BulkCopy,
    /// [`Stage::DualWrite`].
    DualWrite,
}

/// What comes after a cutover that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Afterwards {
    /// The target goes on following, and another cutover may be tried.
    DualWrite,
    /// The move is aborted.
    RollBack,
}

impl Stage {
    /// Whether the owner's writes wait.
    #[must_use]
    pub fn holds_writes(&self) -> bool {
        match self {
            Self::CutoverPaused { .. } | Self::Reopening { .. } => true,
            Self::Pending
            | Self::BulkCopy
            | Self::DualWrite
            | Self::Paused { .. }
            | Self::Failed { .. }
            | Self::RollingBack
            | Self::Migrated { .. }
            | Self::Finishing { .. } => false,
        }
    }

    /// Whether appends are handed to the mirror: the peer follows the owner closely.
    #[must_use]
    pub fn mirrors(&self) -> bool {
        match self {
            Self::DualWrite | Self::Migrated { .. } => true,
            Self::Pending
            | Self::BulkCopy
            | Self::Paused { .. }
            | Self::Failed { .. }
            | Self::CutoverPaused { .. }
            | Self::Reopening { .. }
            | Self::RollingBack
            | Self::Finishing { .. } => false,
        }
    }
}

impl From<Copying> for Stage {
    fn from(copying: Copying) -> Self {
        match copying {
            Copying::Pending => Self::Pending,
            Copying::BulkCopy => Self::BulkCopy,
            Copying::DualWrite => Self::DualWrite,
        }
    }
}
