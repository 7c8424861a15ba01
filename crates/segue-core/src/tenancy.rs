//! Where a tenant's log lives, whether it is written, and how it moves: decided.
//!
//! A decision is one row of the control plane, the tenant's [`Route`], changed by compare-and-swap on its
//! term. What a store does about it is an effect and follows. [`pause`] decides when writes wait;
//! [`migration`] moves the log to another store while it is read and written; [`head`] is what each store
//! keeps, and what it admits; [`restored`] puts back what a store has lost of that.

pub mod head;
pub mod migration;
pub mod pause;
pub mod restored;

use std::fmt;

use jiff::Timestamp;

use crate::ids::{Epoch, StoreId, Term};
use migration::Moving;

/// Where a tenant's log is written and read: the row that every decision about it changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// The store that owns the tenant.
    pub store_id: StoreId,
    /// The only epoch at which that store accepts the tenant's writes.
    pub epoch: Epoch,
    /// The highest epoch that was ever given out; none is given out twice.
    pub minted: Epoch,
    /// Whether an operator has paused the tenant's writes.
    pub phase: Phase,
    /// Where it is going, or where it came from; nothing while it lives in its store and nothing moves.
    pub moving: Option<Moving>,
    /// How often this was decided anew; 0 for a tenant that was placed and left alone.
    pub term: Term,
}

impl Route {
    /// The route of a new tenant.
    #[must_use]
    pub fn first(store_id: StoreId) -> Self {
        let epoch = Epoch(1);
        let (phase, moving, term) = (Phase::Settled, None, Term(0));
        Self { store_id, epoch, minted: epoch, phase, moving, term }
    }

    /// Whether the tenant's writes wait: an operator has paused them, or a cutover is being decided.
    #[must_use]
    pub fn holds_writes(&self) -> bool {
        let paused = match self.phase {
            Phase::Settled => false,
            Phase::Paused { .. } => true,
        };
        paused || self.is_cut_over()
    }

    /// Whether a cutover is being decided, or taken back.
    #[must_use]
    pub fn is_cut_over(&self) -> bool {
        self.moving.as_ref().is_some_and(|moving| moving.stage.holds_writes())
    }
}

/// Whether a tenant's writes go on, as an operator wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// They do.
    Settled,
    /// They wait; its reads go on.
    Paused {
        /// When that was decided.
        since: Timestamp,
    },
}

impl Phase {
    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Paused { .. } => "paused",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
