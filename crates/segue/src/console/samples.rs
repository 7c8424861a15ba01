//! What sample pages of a tenant's scenarios show, for tests: one scenario in two versions, the plan between them, a
//! session. Whatever somebody else may have written holds a `<script>`.

use std::sync::Arc;

use segue_core::diff::Diff;
use segue_core::digest::Digest;
use segue_core::fields::{Definitions, Known, Source};
use segue_core::ids::{EventId, FieldName, Position, SessionId, StepId, StreamVersion, Version};
use segue_core::plan::forecast::{Differing, Group, Outcome, Sample, Summary, Why};
use segue_core::plan::lifecycle::Signed;
use segue_core::plan::policy::MigrationScenario;
use segue_core::plan::summary::{Judge, SessionCounts};
use segue_core::plan::{Plan, Request};
use segue_core::reconcile::{Action, PendingMigration};
use segue_core::scenario::Scenario;
use segue_core::scenario::graph::Graph;
use segue_core::session::Session;
use segue_core::session::event::{Event as Happened, Migration, Place, SessionStarted};
use segue_store::events::Event;
use serde_json::json;

use super::check::tenant;
use crate::scenarios::{
    ForecastActual, ForecastResult, ForecastState, ForecastView, SessionView, Stale,
};

/// A version of a scenario that holds what it should not, in every name.
pub fn order_flow(version: u64) -> Scenario {
    let age = json!({"id": "age", "name": "Age <script>", "collects_profile_fields": ["age"], "transitions": [
        {"to_step_id": "checkout", "condition_text": "age >= 18"},
        {"to_step_id": "sorry", "condition_text": "age < 18"}]});
    let sorry = json!({"id": "sorry", "name": "Sorry", "is_terminal": true});
    let first = if version == 1 { "checkout" } else { "age" };
    let paid = if version == 1 { "Paid <script>" } else { "Paid in full" };
    let mut steps = vec![
        json!({"id": "welcome", "name": "Welcome", "transitions": [{"to_step_id": first}]}),
        json!({"id": "checkout", "name": "Check <script>", "collects_profile_fields": ["address"],
               "transitions": [{"to_step_id": "paid"}]}),
        json!({"id": "paid", "name": paid, "is_checkpoint": true, "is_terminal": true}),
    ];
    if version > 1 {
        steps.extend([age, sorry]);
    }
    let scenario = json!({
        "id": "0d8f2c61-6a57-4c0e-8d2e-3a1f5b7c9e10", "name": "Order <script>", "version": version,
        "entry_step_id": "welcome", "steps": steps,
    });
    serde_json::from_value(scenario).unwrap()
}

/// The two versions of it, compared.
pub fn diff() -> Diff {
    let graph = |version| Arc::new(Graph::new(order_flow(version)).unwrap());
    Diff::between(graph(1), graph(2), &[])
}

/// A plan between them that waits for its review.
pub fn plan() -> Plan {
    let step = |id: &str| id.parse::<StepId>().unwrap();
    let by_step = [(step("welcome"), 12), (step("checkout"), 1_234), (step("paid"), 5)];
    let sessions = SessionCounts { by_step: by_step.into(), ..SessionCounts::default() };
    let diff = diff();
    segue_core::plan::generate(Request {
        id: "0d8f2c61-6a57-4c0e-8d2e-3a1f5b7c9e11".parse().unwrap(),
        tenant_id: tenant(),
        v1: diff.v1().clone(),
        v2: diff.v2().clone(),
        sessions: &sessions,
        definitions: &Definitions::default(),
        judge: Judge::None,
        created: Signed {
            by: Some("Olga <script>".to_owned()),
            at: "2026-11-27T09:45:12Z".parse().unwrap(),
        },
        retention_days: 90,
    })
    .unwrap()
}

/// A forecast of the plan, and what was decided since.
pub fn forecast() -> ForecastView {
    let plan = plan();
    let step = |id: &str| id.parse::<StepId>().unwrap();
    let session = |nth| SessionId(uuid::Uuid::from_u128(nth));
    let age: FieldName = "age".parse().unwrap();
    let asked = Outcome::Asked { fields: [age.clone()].into(), confirm: [].into() };
    let filled = Outcome::GapFill { to: step("checkout"), filled: [(age, Source::Profile)].into() };
    let blocked = Outcome::Blocked {
        from: step("paid"),
        to: step("age"),
        checkpoint: "Paid <script>".to_owned(),
    };
    let group = |outcome: &Outcome, sessions| Group { outcome: outcome.clone(), sessions };
    let foreseen = [group(&asked, 246), group(&filled, 1_000), group(&blocked, 5)];
    let really = [group(&asked, 70), group(&filled, 20)];
    let sample = |nth, outcome: &Outcome| Sample {
        session_id: session(nth),
        step_id: step("checkout"),
        version: plan.from_version,
        channel: "web <script>".parse().unwrap(),
        outcome: outcome.clone(),
        reason: "Version 2 needs <script>.".to_owned(),
    };
    let differing = Differing {
        session_id: session(9),
        forecast: Some(asked.clone()),
        actual: filled.clone(),
        because: Why::Changed,
        version: None,
    };
    ForecastView {
        plan_id: plan.id,
        forecast_id: uuid::Uuid::nil(),
        state: ForecastState::Done,
        failure: Some("no <script> today".to_owned()),
        stale: vec![Stale::Policies],
        started_at: plan.created.at,
        heard_at: plan.created.at,
        sessions_done: 1_251,
        sessions_total: 1_251,
        result: Some(ForecastResult {
            summary: Summary::of(&foreseen),
            samples: vec![sample(1, &asked), sample(2, &filled), sample(3, &blocked)],
        }),
        actual: Some(ForecastActual {
            summary: Summary::of(&really),
            decided: 90,
            pending: 1_161,
            waiting: 70,
            as_forecast: 88,
            differing: 1,
            differing_unchanged: 0,
            not_foreseen: 1,
            complete: true,
            differences: vec![differing],
        }),
    }
}

/// A migration as it was decided for a session.
pub fn migration() -> Migration {
    Migration {
        plan_ids: vec![plan().id],
        from_version: Version(1),
        to_version: Version(2),
        migration_scenario: Some(MigrationScenario::GapFill),
        anchor: None,
        step_before: "checkout".parse().unwrap(),
        step_after: "age".parse().unwrap(),
        action: Action::Teleport,
        teleport_reason: Some("gap_fill".to_owned()),
        fields_filled: Vec::new(),
        fields_asked: ["age".parse().unwrap()].into(),
        checkpoint_block: None,
        reason: "Needs <script>.".to_owned(),
        duration_ms: Some(0.4),
    }
}

/// A session at the entry, for which the plan is pending.
pub fn session() -> SessionView {
    let plan = plan();
    let diff = diff();
    let at = plan.created.at;
    let known = Known {
        value: "Elm <script> Street".into(),
        source: Source::Given,
        confidence: 1.0,
        updated_at: at,
    };
    let started = SessionStarted {
        session_id: "0d8f2c61-6a57-4c0e-8d2e-3a1f5b7c9e12".parse().unwrap(),
        scenario_id: plan.scenario_id,
        version: plan.from_version,
        scenario_checksum: plan.scenario_checksum_v1,
        channel: "web <script>".parse().unwrap(),
        customer_id: Some("anna/7 <script>".parse().unwrap()),
        variables: [("address".parse().unwrap(), known)].into(),
        entry: Place { is_checkpoint: true, ..Place::of(diff.v1(), diff.v1().entry()) },
    };
    let pending = PendingMigration {
        target_version: plan.to_version,
        anchor_content_hash: plan.map.anchors()[0].key.clone(),
        migration_plan_id: plan.id,
        marked_at: at,
        plan_ids: vec![plan.id],
    };
    SessionView { session: Session::start(&started, at), pending_migration: Some(pending) }
}

/// What a store keeps of something that happened in the session.
pub fn stored(nth: u64, happened: &Happened) -> Event {
    Event {
        position: Position(nth + 1),
        append_first_position: Position(nth + 1),
        stream_id: "session-0d8f2c61".parse().unwrap(),
        stream_type: "session".into(),
        version: StreamVersion(nth + 1),
        event_id: EventId(uuid::Uuid::from_u128(u128::from(nth))),
        event_type: happened.event_type().into(),
        payload: Some(happened.to_payload()),
        payload_hash: Digest::default(),
        metadata: Vec::new(),
        recorded_at: plan().created.at,
    }
}
