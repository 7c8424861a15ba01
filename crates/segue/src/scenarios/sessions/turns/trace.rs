//! What the spans of a turn say of it.

use segue_core::session::event::Event;
use segue_core::session::turn::{Taken, Turn};
use tracing::Span;

use super::{Decided, TurnAnswer};
use crate::error::{Error, Result};

/// The rounds of a turn, told by its span when they are over: a turn that is given up, too, says how many it took.
pub(super) struct Rounds {
    span: Span,
    count: u64,
}

impl Rounds {
    /// None so far.
    pub(super) fn of(span: &Span) -> Self {
        Self { span: span.clone(), count: 0 }
    }

    /// One more.
    pub(super) fn next(&mut self) {
        self.count += 1;
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        self.span.record("rounds", self.count);
    }
}

/// Decides a turn in a span. A function, because what a closure would capture may not be held over an `await`.
pub(super) fn within<T>(span: &Span, turn: &Turn<'_>, take: impl FnOnce(&Turn<'_>) -> T) -> T {
    span.in_scope(|| take(turn))
}

/// Notes in a span what was decided about a migration, and ends it.
pub(super) fn note_decision(span: Span, taken: &Taken) {
    if span.is_disabled() {
        return;
    }
    let mut outcome = "none";
    for (decided, _) in taken.events.iter().filter_map(Decided::by) {
        if let Decided::Applied(_) = decided {
            span.record("migration.scenario", decided.as_str());
        }
        outcome = match decided {
            Decided::Applied(_) => "applied",
            Decided::Relocated | Decided::Blocked | Decided::Stayed => decided.as_str(),
        };
    }
    if taken.events.iter().any(|event| matches!(event, Event::MigrationWaits(_))) {
        outcome = "waits";
    }
    span.record("migration.outcome", outcome);
}

/// A word for what came of a turn.
pub(super) fn outcome_of(taken: &Result<TurnAnswer>) -> &'static str {
    match taken {
        Ok(_) => "taken",
        Err(Error::Unavailable { .. } | Error::WritePaused(_)) => "unavailable",
        Err(Error::Contended { .. }) => "contended",
        Err(Error::Corrupt { .. }) => "corrupt",
        Err(_) => "refused",
    }
}
