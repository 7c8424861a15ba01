//! What happened in a session, event by event, in words.

use maud::{Markup, html};
use segue_core::ids::{FieldName, StepId, TenantId};
use segue_core::session::Role;
use segue_core::session::event::{
    Event as Happened, FieldsFilled, FieldsFound, Migration, MigrationApplied, MigrationSettled,
    MigrationWaits, SessionFinished, SessionStarted, StepEntered, TurnTaken,
};
use segue_store::events::Event;

use super::{source, value};
use crate::console::parts::{Icon, Tone};
use crate::console::{paths, words};

/// How an event is marked, and what it says.
pub(super) fn told(tenant: TenantId, event: &Event) -> (Tone, Icon, Markup) {
    let Some(payload) = &event.payload else {
        let what = words::spaced(&event.event_type);
        return (
            Tone::Idle,
            Icon::Dash,
            html! { p { (what) ". " span.quiet { "Its content was erased." } } },
        );
    };
    match Happened::from_payload(&event.event_type, payload) {
        Ok(happened) => of(tenant, &happened),
        // What is not of the session itself, such as that its stream was redacted.
        Err(_) => (Tone::Idle, Icon::Dash, html! { p { code { (event.event_type) } } }),
    }
}

fn of(tenant: TenantId, happened: &Happened) -> (Tone, Icon, Markup) {
    match happened {
        Happened::SessionStarted(started) => (Tone::Lead, Icon::Arrow, begun(started)),
        Happened::TurnTaken(turn) => (Tone::Idle, Icon::Talk, taken(turn)),
        Happened::FieldsFilled(filled) => (Tone::Idle, Icon::Check, learned(filled)),
        Happened::FieldsFound(found) => (Tone::Info, Icon::Exclamation, guessed(found)),
        Happened::MigrationWaits(waits) => (Tone::Info, Icon::Circle, waiting(waits)),
        Happened::MigrationApplied(applied) => (Tone::Good, Icon::Check, migrated(tenant, applied)),
        Happened::MigrationSettled(settled) => {
            (Tone::Warn, Icon::Exclamation, stayed(tenant, settled))
        }
        Happened::StepEntered(entered) => (Tone::Idle, Icon::Arrow, came(entered)),
        Happened::SessionFinished(finished) => (Tone::Good, Icon::Check, over(finished)),
    }
}

fn begun(started: &SessionStarted) -> Markup {
    html! {
        p {
            span.strong { "Began at “" (started.entry.step_name) "” in version " (started.version) " on " (started.channel) }
            @if let Some(customer) = &started.customer_id { ", customer " (customer) }
        }
    }
}

fn taken(turn: &TurnTaken) -> Markup {
    let input = &turn.input;
    html! {
        p { span.strong { "Turn " (turn.turn_number) } }
        @if let Some(message) = &input.message {
            p.said {
                span.unseen { @match message.role { Role::User => "The customer: ", Role::Assistant => "The agent: " } }
                (message.text)
            }
        }
        @for (field, given) in &input.fields { p { code { (field) } " is " (value(given)) } }
        @for (field, is_right) in &input.confirmations {
            p { code { (field) } @if *is_right { " was confirmed" } @else { " was refused" } }
        }
        @if !input.actions_done.is_empty() { p { "Reported done: " (steps(&input.actions_done)) } }
        @if let Some(step) = &input.step_id { p { "The agent chose " code { (step) } } }
        @if let Some(prompt) = &turn.answer.reconciliation.user_message { p.said { span.quiet { "To be said: " } (prompt) } }
        @else if let Some(prompt) = &turn.answer.step.prompt { p.said { span.quiet { "To be asked: " } (prompt) } }
    }
}

fn learned(filled: &FieldsFilled) -> Markup {
    html! {
        @for (field, known) in &filled.fields {
            p { code { (field) } " is " (value(&known.value)) ": " (source(known.source)) }
        }
    }
}

fn guessed(found: &FieldsFound) -> Markup {
    html! {
        @for (field, extracted) in &found.unconfirmed {
            p { code { (field) } " may be " (value(&extracted.value)) ", from “" (extracted.source_quote) "”; the customer's word is waited for" }
        }
    }
}

fn waiting(waits: &MigrationWaits) -> Markup {
    html! {
        p { span.strong { "The migration waits" } }
        @if !waits.collect_fields.is_empty() {
            p { "The customer is asked for " (fields(waits.collect_fields.iter())) }
        }
        @if !waits.execute_action_ids.is_empty() {
            p { "To be run first: " (steps(&waits.execute_action_ids)) }
        }
    }
}

fn migrated(tenant: TenantId, applied: &MigrationApplied) -> Markup {
    let migration = &applied.migration;
    html! {
        p {
            span.strong { "Migrated from version " (migration.from_version) " to " (migration.to_version) }
            @match &applied.place {
                Some(place) => { ", and goes on at “" (place.step_name) "”" },
                None => ", and was let go",
            }
        }
        (why(tenant, migration))
    }
}

fn stayed(tenant: TenantId, settled: &MigrationSettled) -> Markup {
    html! {
        p { span.strong { "Stayed on version " (settled.migration.from_version) } }
        (why(tenant, &settled.migration))
    }
}

/// The reason of a migration, in words.
fn why(tenant: TenantId, migration: &Migration) -> Markup {
    html! {
        p { (migration.reason) }
        @for filled in &migration.fields_filled {
            p.small { code { (filled.field) } ": " (source(filled.source)) }
        }
        @if let Some(block) = &migration.checkpoint_block {
            p.small {
                "“" (block.checkpoint_name) "” was passed " (words::moment(block.passed_at)) " UTC"
                @if let Some(what) = &block.checkpoint_description { ": " (what) }
                ". It was to go to “" (block.target_name) "”."
            }
        }
        @if !migration.plan_ids.is_empty() {
            p.small {
                @for plan in &migration.plan_ids { a href=(paths::plan(tenant, *plan)) { "Plan " (words::short_id(plan)) } " " }
            }
        }
    }
}

fn came(entered: &StepEntered) -> Markup {
    html! {
        p {
            "Came to “" (entered.place.step_name) "”"
            @if entered.transition_reason == "caller" { ", as the agent chose" }
            @if entered.place.is_checkpoint { ", a checkpoint" }
        }
    }
}

fn over(finished: &SessionFinished) -> Markup {
    html! { p { span.strong { "Finished" } " at " code { (finished.step_id) } } }
}

fn steps(all: &[StepId]) -> Markup {
    html! { @for step in all { code { (step) } " " } }
}

fn fields<'a>(all: impl Iterator<Item = &'a FieldName>) -> Markup {
    html! { @for field in all { code { (field) } " " } }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use segue_core::fields::{Known, Source};
    use segue_core::session::event::{CheckpointBlock, Place};
    use segue_core::session::{Extracted, Message};

    use super::*;
    use crate::console::{check, samples};

    fn place(name: &str) -> Place {
        let diff = samples::diff();
        let of = Place::of(diff.v1(), diff.v1().entry());
        Place { step_name: name.to_owned(), ..of }
    }

    /// One event of each type, and one whose content is gone.
    pub fn events() -> Vec<Event> {
        let plan = samples::plan();
        let at = plan.created.at;
        let known = Known {
            value: "<script>".into(),
            source: Source::Profile,
            confidence: 1.0,
            updated_at: at,
        };
        let age: FieldName = "age".parse().unwrap();
        let found =
            Extracted { value: 17.into(), confidence: 0.5, source_quote: "<script> 17".to_owned() };
        let message = Message { role: Role::User, text: "I am <script> 17".to_owned() };
        let input = segue_core::session::turn::Input {
            message: Some(message),
            fields: BTreeMap::from([(age.clone(), 17.into())]),
            ..Default::default()
        };
        let mut blocked = samples::migration();
        blocked.checkpoint_block = Some(CheckpointBlock {
            checkpoint_name: "Paid <script>".to_owned(),
            checkpoint_description: Some("money <script>".to_owned()),
            passed_at: at,
            target_step_id: "age".parse().unwrap(),
            target_name: "Age".to_owned(),
        });
        let all: Vec<Happened> = vec![
            SessionStarted {
                session_id: samples::session().session.id,
                scenario_id: plan.scenario_id,
                version: plan.from_version,
                scenario_checksum: plan.scenario_checksum_v1,
                channel: "web".parse().unwrap(),
                customer_id: Some("anna <script>".parse().unwrap()),
                variables: BTreeMap::new(),
                entry: place("Welcome <script>"),
            }
            .into(),
            TurnTaken {
                turn_number: 1,
                input,
                messages_kept: 10,
                idempotency: None,
                answer: Default::default(),
            }
            .into(),
            FieldsFilled { fields: BTreeMap::from([(age.clone(), known)]) }.into(),
            FieldsFound { unconfirmed: BTreeMap::from([(age.clone(), found)]) }.into(),
            MigrationWaits {
                plan_ids: vec![plan.id],
                collect_fields: [age].into(),
                execute_action_ids: vec!["paid".parse().unwrap()],
            }
            .into(),
            MigrationApplied {
                migration: samples::migration(),
                place: Some(place("Age <script>")),
                scenario_checksum: plan.scenario_checksum_v2,
                renamed: Vec::new(),
                gone: Vec::new(),
                made_up: Vec::new(),
            }
            .into(),
            MigrationSettled { migration: blocked }.into(),
            StepEntered { place: place("Check <script>"), transition_reason: "caller".to_owned() }
                .into(),
            SessionFinished { step_id: "paid".parse().unwrap() }.into(),
        ];
        let mut events: Vec<Event> =
            all.iter().zip(0..).map(|(one, nth)| samples::stored(nth, one)).collect();
        let gone = Event { payload: None, ..events[0].clone() };
        events.push(gone);
        events
    }

    #[test]
    fn every_type_of_event_has_words() {
        let of_types: std::collections::BTreeSet<String> =
            events().iter().map(|event| event.event_type.to_string()).collect();
        assert_eq!(of_types.len(), Happened::TYPES.len());
        for event in events() {
            let (_, _, body) = told(check::tenant(), &event);
            check::fragment(&body.into_string());
        }
    }
}
