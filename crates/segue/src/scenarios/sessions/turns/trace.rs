//! What the spans of a turn say of it.

use segue_core::session::event::Event;
use segue_core::session::turn::{Taken, Turn};
use tracing::Span;

use super::{Decided, TurnAnswer};
use crate::error::{Error, Result};

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
