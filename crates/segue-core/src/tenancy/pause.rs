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
//!
//! A cutover has a fence of its own ([`super::migration`]). While one is being decided nothing is decided
//! about pauses, and their effects are left alone: an older one is refused by its term.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::{Phase, Route};
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
    /// Nothing: a cutover is being decided, and whoever carries it on sees to the store.
    LeftToCutover,
    /// The store contradicts every decision that can have been made: an operator has to look.
    Contradicted,
}

/// A cutover is being decided; nothing else is, until it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cutover is being decided")]
pub struct CutoverUnderWay;

/// The phase to decide on; `None` when it is decided already.
///
/// ```
/// use jiff::Timestamp;
/// use segue_core::tenancy::{Phase, Route, pause::{Wish, decide}};
///
/// let route = Route::first("shared".parse()?);
/// let since = Timestamp::UNIX_EPOCH;
/// assert_eq!(decide(Wish::Pause, &route, since), Ok(Some(Phase::Paused { since })));
/// assert_eq!(decide(Wish::Resume, &route, since), Ok(None));
/// # Ok::<(), segue_core::ids::Invalid>(())
/// ```
///
/// # Errors
/// [`CutoverUnderWay`]: ask again when it is over.
pub fn decide(wish: Wish, route: &Route, at: Timestamp) -> Result<Option<Phase>, CutoverUnderWay> {
    let phase = match (wish, route.phase) {
        (Wish::Pause, Phase::Settled) => Phase::Paused { since: at },
        (Wish::Resume, Phase::Paused { .. }) => Phase::Settled,
        (Wish::Pause, Phase::Paused { .. }) | (Wish::Resume, Phase::Settled) => return Ok(None),
    };
    if route.is_cut_over() { Err(CutoverUnderWay) } else { Ok(Some(phase)) }
}

/// What is left to do in the store that the route names.
#[must_use]
pub fn effect(route: &Route, seen: &Seen) -> Effect {
    if route.is_cut_over() {
        return Effect::LeftToCutover;
    }
    let wanted = match route.phase {
        Phase::Settled => Gate::Open,
        Phase::Paused { .. } => Gate::Shut,
    };
    match (seen.epoch.cmp(&route.epoch), seen.term.cmp(&route.term)) {
        (Ordering::Greater, _) | (Ordering::Equal, Ordering::Greater) => Effect::Overtaken,
        (Ordering::Less, _) => Effect::Contradicted,
        (Ordering::Equal, Ordering::Less) => Effect::Set { gate: wanted, term: route.term },
        (Ordering::Equal, Ordering::Equal) if seen.gate == wanted => Effect::Done,
        (Ordering::Equal, Ordering::Equal) => Effect::Contradicted,
    }
}
