//! The trace of a move: what its coordinator has decided and done.
//!
//! One span for as long as a process carries the migration on. Below it is one for each decision and effect;
//! a cutover is a span of its own, from the decision to cut over to the commit or to giving up, with all that
//! belongs to it below. What is done over and over, such as a copy page by page, is one span with a count,
//! until something else is done, and for [`LONGEST`] at most, so that a trace can be looked at while it grows.

use std::time::Duration;

use segue_core::tenancy::migration::journal::Cutover;
use segue_core::tenancy::migration::{MigrationState, VerificationLevel};
use segue_store::control::migrations as row;
use tokio::time::Instant;
use tracing::Span;
use tracing::field::Empty;

use super::trouble::Trouble;
use crate::telemetry::traces::traced;

/// How long a span may gather the same effect.
const LONGEST: Duration = Duration::from_secs(10);

/// The spans of a migration that is carried on; none where it is not traced.
#[derive(Debug)]
pub(super) struct Spans {
    carrying_on: Span,
    cutover: Option<Span>,
    repeated: Option<Repeated>,
}

/// An effect that may be had again. What it came to is recorded when it is over: an attribute that is recorded
/// twice is sent twice.
#[derive(Debug)]
struct Repeated {
    name: &'static str,
    span: Span,
    since: Instant,
    times: u64,
    events: u64,
    /// How it went the last time.
    outcome: Option<&'static str>,
}

impl Drop for Repeated {
    fn drop(&mut self) {
        // One that was never performed to its end says nothing.
        let Some(outcome) = self.outcome else { return };
        self.span.record("times", self.times);
        self.span.record("events", self.events);
        self.span.record("outcome", outcome);
    }
}

impl Spans {
    /// The spans of what is not traced.
    pub(super) fn untraced() -> Self {
        Self { carrying_on: Span::none(), cutover: None, repeated: None }
    }

    /// Begins the trace of one process.
    pub(super) fn begin(migration: &row::Migration) -> Self {
        let carrying_on = match migration.config.enable_tracing {
            true => traced!(
                parent: None,
                "tenant_migration",
                tenant = %migration.tenant_id,
                migration_id = %migration.id,
                source = %migration.source,
                target = %migration.target,
            ),
            false => return Self::untraced(),
        };
        Self { carrying_on, ..Self::untraced() }
    }

    fn parent(&self) -> &Span {
        self.cutover.as_ref().unwrap_or(&self.carrying_on)
    }

    /// The span of a decision that is about to be made.
    pub(super) fn decision(&mut self, name: &'static str, migration: &row::Migration) -> Span {
        self.repeated = None;
        if self.carrying_on.is_disabled() {
            return Span::none();
        }
        traced!(
            parent: self.parent(),
            "decision",
            otel.name = name,
            phase = migration.state.as_str(),
            term = Empty,
            outcome = Empty,
        )
    }

    /// The span of an effect that is about to be performed.
    pub(super) fn effect(&mut self, name: &'static str, phase: MigrationState, term: u64) -> Span {
        if self.carrying_on.is_disabled() {
            return Span::none();
        }
        if let Some(repeated) = &self.repeated
            && repeated.name == name
            && repeated.since.elapsed() < LONGEST
        {
            return repeated.span.clone();
        }
        let span = traced!(
            parent: self.parent(),
            "effect",
            otel.name = name,
            phase = phase.as_str(),
            term,
            times = Empty,
            events = Empty,
            outcome = Empty,
        );
        let repeated = Repeated {
            name,
            span: span.clone(),
            since: Instant::now(),
            times: 0,
            events: 0,
            outcome: None,
        };
        self.repeated = Some(repeated);
        span
    }

    /// Notes how the effect went whose span was asked for last, and how many events it was about.
    pub(super) fn performed(&mut self, performed: &Result<(), Trouble>, events: u64) {
        let Some(repeated) = &mut self.repeated else { return };
        repeated.times += 1;
        repeated.events += events;
        repeated.outcome = Some(outcome_of(performed));
        if performed.is_err() {
            self.repeated = None;
        }
    }

    /// Writes wait from now on.
    pub(super) fn cutover_begun(&mut self, attempt: u32) {
        self.repeated = None;
        if self.carrying_on.is_disabled() {
            return;
        }
        let span = traced!(
            parent: &self.carrying_on,
            "cutover",
            attempt,
            pause_ms = Empty,
            drained = Empty,
            outcome = Empty,
        );
        self.cutover = Some(span);
    }

    /// Writes go on.
    pub(super) fn cutover_over(&mut self, cutover: &Cutover) {
        self.repeated = None;
        let Some(span) = self.cutover.take() else { return };
        span.record("pause_ms", cutover.pause_ms.unwrap_or_default());
        span.record("drained", cutover.events_drained);
        span.record("outcome", cutover.gave_up.map_or("committed", |why| why.as_str()));
    }

    /// The span of a comparison.
    pub(super) fn verification(&mut self, level: VerificationLevel) -> Span {
        self.repeated = None;
        if self.carrying_on.is_disabled() {
            return Span::none();
        }
        traced!(
            parent: self.parent(),
            "verification",
            level = level.as_str(),
            is_consistent = Empty,
            position = Empty,
        )
    }
}

/// A word for how a step went.
pub(super) fn outcome_of<T>(step: &Result<T, Trouble>) -> &'static str {
    match step {
        Ok(_) => "done",
        Err(Trouble::Deposed) => "deposed",
        Err(Trouble::Outdated) => "outdated",
        Err(Trouble::Unavailable(_)) => "unavailable",
        Err(Trouble::Stuck(_)) => "stuck",
    }
}
