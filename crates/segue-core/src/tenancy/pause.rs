//! Pausing a tenant's writes: a decision, then its effect.
//!
//! ```text
//! 1. decide    control plane   phase, term  ->  other phase, term + 1     compare-and-swap on the term
//! 2. effect    event store     gate, term   ->  gate of the phase, term   refused below the store's own term
//! ```
//!
//! Whoever dies between the two leaves a decision without its effect; whoever comes next and reads both
//! completes it, and both steps may run any number of times. An effect of an older decision that arrives
//! late is refused by its term: a store that has seen term 5 takes nothing of term 4. So a gate that was
//! opened stays open, however long a forgotten pauser slept, and the other way round.
//!
//! Never the other order: a store that is shut before that is decided would stay shut if its pauser died,
//! for nobody could tell whether it meant to go on. And never by the clock: a pause ends by a decision.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::{Phase, Register};
use crate::ids::{Epoch, Term};

/// What a caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Writes shall wait.
    Pause,
    /// Writes shall go on.
    Resume,
}

/// Whether a store takes a tenant's writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gate {
    /// It does.
    Open,
    /// It does not; it is read all the same.
    Shut,
}

/// What a store's head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The epoch at which it accepts writes.
    pub epoch: Epoch,
    /// Whether it does.
    pub gate: Gate,
    /// The term of the last effect that it took.
    pub term: Term,
}

/// What is left to do in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: the store does what was decided.
    Done,
    /// Set its gate, at this term.
    Set {
        /// How the gate must be.
        gate: Gate,
        /// The term of the decision.
        term: Term,
    },
    /// Nothing, for the store has seen a later decision than this one: read the register again.
    Overtaken,
    /// The store contradicts every decision that can have been made: an operator has to look.
    Contradicted,
}

/// The phase to decide on; `None` when it is decided already.
///
/// ```
/// use jiff::Timestamp;
/// use segue_core::tenancy::{Phase, pause::{Wish, decide}};
///
/// let since = Timestamp::UNIX_EPOCH;
/// assert_eq!(decide(Wish::Pause, Phase::Settled, since), Some(Phase::Paused { since }));
/// assert_eq!(decide(Wish::Resume, Phase::Settled, since), None);
/// ```
#[must_use]
pub fn decide(wish: Wish, phase: Phase, at: Timestamp) -> Option<Phase> {
    match (wish, phase) {
        (Wish::Pause, Phase::Settled) => Some(Phase::Paused { since: at }),
        (Wish::Resume, Phase::Paused { .. }) => Some(Phase::Settled),
        (Wish::Pause, Phase::Paused { .. }) | (Wish::Resume, Phase::Settled) => None,
    }
}

/// What is left to do in the store that the register names.
#[must_use]
pub fn effect(register: &Register, seen: &Seen) -> Effect {
    let wanted = match register.phase {
        Phase::Settled => Gate::Open,
        Phase::Paused { .. } => Gate::Shut,
    };
    match (seen.epoch.cmp(&register.epoch), seen.term.cmp(&register.term)) {
        (Ordering::Greater, _) | (Ordering::Equal, Ordering::Greater) => Effect::Overtaken,
        (Ordering::Less, _) => Effect::Contradicted,
        (Ordering::Equal, Ordering::Less) => Effect::Set { gate: wanted, term: register.term },
        (Ordering::Equal, Ordering::Equal) if seen.gate == wanted => Effect::Done,
        (Ordering::Equal, Ordering::Equal) => Effect::Contradicted,
    }
}
