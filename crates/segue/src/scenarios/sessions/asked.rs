//! Who was told to do something first: the first word that a plan's migration has for a session whose customer is
//! asked, or whose caller has to run an action.
//!
//! What a plan decides for good is in the streams of its outcomes. A session that waits is not decided yet, and
//! may wait for ever; so that operators see how many were asked, and for what, each plan has one more stream, with
//! one event for each session that it has ever told to wait.

use segue_core::ids::{EventId, PlanId, SessionId, StepId, StreamId, StreamVersion, Version};
use segue_core::plan::forecast::Outcome;
use segue_core::session::Session;
use segue_core::session::event::Event;
use segue_core::session::turn::Taken;
use segue_store::events::StreamAppend;
use serde::{Deserialize, Serialize};

use super::line_of_plan;
use crate::scenarios::stream;

/// One line of the stream.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::scenarios) struct Asked {
    /// The session.
    pub(in crate::scenarios) session_id: SessionId,
    /// The version of its stream before the turn.
    pub(in crate::scenarios) session_version: StreamVersion,
    /// The version of the scenario that it walks.
    pub(in crate::scenarios) from_version: Version,
    /// Where it stands.
    pub(in crate::scenarios) step_id: StepId,
    /// What has to be done first: names only, never values.
    #[serde(flatten)]
    pub(in crate::scenarios) outcome: Outcome,
    /// Why, in words for people.
    pub(in crate::scenarios) reason: String,
}

/// The stream that counts the sessions which a plan has told to wait.
pub(in crate::scenarios) fn asked_stream(plan: PlanId) -> StreamId {
    stream(format!("plan-{plan}-asked"))
}

/// What a turn adds to the streams of those plans that tell the session to wait for the first time.
pub(super) fn appends(
    before: &Session,
    taken: &Taken,
    fresh: impl Fn() -> EventId,
) -> Vec<StreamAppend> {
    let waits = taken.events.iter().filter_map(|event| match event {
        Event::MigrationWaits(waits) => Some(waits),
        Event::SessionStarted(_)
        | Event::TurnTaken(_)
        | Event::FieldsFilled(_)
        | Event::FieldsFound(_)
        | Event::MigrationApplied(_)
        | Event::MigrationSettled(_)
        | Event::StepEntered(_)
        | Event::SessionFinished(_) => None,
    });
    let told = &taken.answer.reconciliation;
    let new = waits.flat_map(|waits| &waits.plan_ids);
    let new = new.filter(|plan| !before.waiting_for.contains(plan));
    new.map(|plan| {
        let asked = Asked {
            session_id: before.id,
            session_version: before.stream_version,
            from_version: before.version,
            step_id: before.step_id.clone(),
            outcome: Outcome::of_waiting(told),
            reason: told.reason.clone().unwrap_or_default(),
        };
        line_of_plan(asked_stream(*plan), "MigrationAsked", &asked, fresh())
    })
    .collect()
}
