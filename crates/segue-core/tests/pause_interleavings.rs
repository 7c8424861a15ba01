//! Every order in which pausers and resumers can take their steps, die between them, and wake up late.
//!
//! The model is the protocol of `tenancy::pause` on one register and one head. Every state that can be
//! reached is visited once. With a rule taken away the same search must find what goes wrong, or it
//! would prove nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashSet;

use jiff::Timestamp;
use segue_core::ids::{Epoch, Term};
use segue_core::tenancy::pause::{Effect, Gate, Seen, Wish, decide, effect};
use segue_core::tenancy::{Phase, Route};

const EPOCH: Epoch = Epoch(1);
const PAUSED: Phase = Phase::Paused { since: Timestamp::UNIX_EPOCH };

/// What is taken away from the protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Nothing.
    All,
    /// The store looks at no term.
    NoTermInTheStore,
    /// A resumer leaves a head alone that is open already.
    OpenHeadsAreNotClaimed,
    /// The decision does not compare the term.
    BlindDecision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    paused: bool,
    term: u64,
    gate: Gate,
    head_term: u64,
    actors: [Actor; 3],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Actor {
    pauses: bool,
    at: Step,
}

/// What an actor does next; between any two steps the others act, and it may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Read,
    Decide { paused: bool, term: u64 },
    Look { paused: bool, term: u64 },
    Swap { paused: bool, term: u64, expect: Gate, gate: Gate },
    Answered { term: u64 },
    Dead,
}

fn route(paused: bool, term: u64) -> Route {
    let phase = if paused { PAUSED } else { Phase::Settled };
    let first = Route::first("shared".parse().unwrap());
    Route { epoch: EPOCH, phase, term: Term(term), ..first }
}

impl State {
    fn start(wishes: [bool; 3]) -> Self {
        let actors = wishes.map(|pauses| Actor { pauses, at: Step::Read });
        Self { paused: false, term: 0, gate: Gate::Open, head_term: 0, actors }
    }

    /// One step of one actor.
    fn step(mut self, nth: usize, rule: Rule) -> Self {
        let actor = self.actors[nth];
        let wish = if actor.pauses { Wish::Pause } else { Wish::Resume };
        self.actors[nth].at = match actor.at {
            Step::Read => {
                match decide(wish, &route(self.paused, 0), Timestamp::UNIX_EPOCH).unwrap() {
                    Some(_) => Step::Decide { paused: self.paused, term: self.term },
                    None => Step::Look { paused: self.paused, term: self.term },
                }
            }
            Step::Decide { term, .. } if self.term == term || rule == Rule::BlindDecision => {
                (self.paused, self.term) = (actor.pauses, term + 1);
                Step::Look { paused: self.paused, term: self.term }
            }
            Step::Decide { .. } => Step::Read,
            Step::Look { paused, term } => self.look(paused, term, rule),
            Step::Swap { paused, term, expect, gate } => {
                if self.swap(expect, gate, term, rule) {
                    Step::Answered { term }
                } else {
                    Step::Look { paused, term }
                }
            }
            over @ (Step::Answered { .. } | Step::Dead) => over,
        };
        self
    }

    fn look(&self, paused: bool, term: u64, rule: Rule) -> Step {
        if rule == Rule::OpenHeadsAreNotClaimed && !paused && self.gate == Gate::Open {
            return Step::Answered { term };
        }
        let seen = Seen { epoch: EPOCH, gate: self.gate, term: Term(self.head_term) };
        match effect(&route(paused, term), &seen) {
            Effect::Done => Step::Answered { term },
            Effect::Set { gate, term: Term(term) } => {
                Step::Swap { paused, term, expect: seen.gate, gate }
            }
            Effect::Overtaken => Step::Read,
            Effect::LeftToCutover => unreachable!("nothing moves"),
            Effect::Contradicted if rule == Rule::All => panic!("a contradiction: {self:?}"),
            Effect::Contradicted => Step::Dead,
        }
    }

    /// The store's compare-and-swap.
    fn swap(&mut self, expect: Gate, gate: Gate, term: u64, rule: Rule) -> bool {
        let in_time = self.head_term <= term || rule == Rule::NoTermInTheStore;
        if (self.gate, self.head_term) == (gate, term) {
            return true;
        }
        if self.gate == expect && in_time {
            (self.gate, self.head_term) = (gate, term);
            return true;
        }
        false
    }

    /// What a user would notice.
    fn check(&self, rule: Rule) -> Result<(), String> {
        let wanted = if self.paused { Gate::Shut } else { Gate::Open };
        for actor in &self.actors {
            // Who was answered at the term that still holds was told the truth.
            if matches!(actor.at, Step::Answered { term } if term == self.term)
                && self.gate != wanted
            {
                return Err(format!("answered, but not so: {self:?}"));
            }
        }
        // Whoever finds it, completes it, alone and in a few steps.
        let mut completed = *self;
        completed.actors =
            [Actor { pauses: self.paused, at: Step::Read }; 3].map(|actor| Actor { ..actor });
        for _ in 0..4 {
            completed = completed.step(0, rule);
        }
        let answered = matches!(completed.actors[0].at, Step::Answered { .. });
        if !answered || completed.gate != wanted {
            return Err(format!("nobody can complete it: {self:?}"));
        }
        Ok(())
    }
}

/// Visits every state; the number of them, or the first that is wrong.
fn search(wishes: [bool; 3], rule: Rule) -> Result<usize, String> {
    let mut found = HashSet::new();
    let mut open = vec![State::start(wishes)];
    while let Some(state) = open.pop() {
        if !found.insert(state) {
            continue;
        }
        state.check(rule)?;
        for nth in 0..state.actors.len() {
            open.push(state.step(nth, rule));
            let mut without = state;
            without.actors[nth].at = Step::Dead;
            open.push(without);
        }
    }
    Ok(found.len())
}

const CASTS: [[bool; 3]; 4] =
    [[true, true, true], [true, true, false], [true, false, false], [true, false, true]];

#[test]
fn pausers_and_resumers_in_any_order_leave_what_was_decided_last() {
    for cast in CASTS {
        let states = search(cast, Rule::All).unwrap();
        assert!(states > 100, "{states} states are no search");
    }
}

fn is_found(rule: Rule) -> bool {
    CASTS.into_iter().any(|cast| search(cast, rule).is_err())
}

#[test]
fn a_store_that_looks_at_no_term_is_shut_by_a_pauser_that_slept() {
    assert!(is_found(Rule::NoTermInTheStore));
}

#[test]
fn a_head_that_is_not_claimed_by_the_resume_is_shut_by_a_pauser_that_slept() {
    assert!(is_found(Rule::OpenHeadsAreNotClaimed));
}

#[test]
fn decisions_that_do_not_compare_overwrite_each_other() {
    assert!(is_found(Rule::BlindDecision));
}
