//! Where a tenant's log lives and whether it is written, decided.
//!
//! A decision is one row of the control plane, its [`Register`]; what a store does about it is an effect
//! and follows. [`pause`] decides when writes wait, and what is left to do in the store.

pub mod pause;

use std::fmt;

use jiff::Timestamp;

use crate::ids::{Epoch, Term};

/// What is decided of a tenant, its store aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register {
    /// The only epoch at which the store accepts the tenant's writes.
    pub epoch: Epoch,
    /// Whether its writes go on.
    pub phase: Phase,
    /// How often this was decided anew.
    pub term: Term,
}

/// Whether a tenant's writes go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The tenant lives in its store, and nothing moves.
    Settled,
    /// Its writes wait; its reads go on.
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
