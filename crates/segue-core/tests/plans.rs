//! What an operator sees of a plan, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use segue_core::fields::Definitions;
use segue_core::ids::{PlanId, StepId, TenantId};
use segue_core::plan::lifecycle::{Action, Approval, Signed};
use segue_core::plan::policy::{Policies, mappings};
use segue_core::plan::summary::{Judge, SessionCounts, Severity};
use segue_core::plan::{Error, Plan, Request, check, generate};
use segue_core::scenario::Scenario;
use segue_core::scenario::graph::Graph;
use segue_core::scenario::validate::{self, Problem};
use serde_json::{Value, json};

fn scenario(version: u64, steps: &Value) -> Scenario {
    serde_json::from_value(json!({
        "id": "00000000-0000-4000-8000-00000000000a", "name": "Order flow", "version": version,
        "entry_step_id": "welcome", "steps": steps,
    }))
    .unwrap()
}

fn graph(version: u64, steps: &Value) -> Arc<Graph> {
    Arc::new(Graph::new(scenario(version, steps)).unwrap())
}

fn signed() -> Signed {
    Signed { by: Some("operator@example.com".to_owned()), at: Timestamp::UNIX_EPOCH }
}

fn try_plan(v1: &Arc<Graph>, v2: &Arc<Graph>, sessions: &SessionCounts) -> Result<Plan, Error> {
    generate(Request {
        id: PlanId(uuid::Uuid::nil()),
        tenant_id: TenantId(uuid::Uuid::nil()),
        v1: Arc::clone(v1),
        v2: Arc::clone(v2),
        sessions,
        definitions: &Definitions::new(),
        judge: Judge::None,
        created: signed(),
        retention_days: 30,
    })
}

fn plan(v1: &Value, v2: &Value, sessions: &SessionCounts) -> Plan {
    try_plan(&graph(1, v1), &graph(2, v2), sessions).unwrap()
}

fn sessions(at: &[(&str, u64)]) -> SessionCounts {
    let by_step = at.iter().map(|(id, count)| (StepId::new(*id).unwrap(), *count)).collect();
    SessionCounts { by_step, ..SessionCounts::default() }
}

fn order_v1() -> Value {
    json!([
        {"id": "welcome", "name": "Welcome", "transitions": [{"to_step_id": "checkout"}]},
        {"id": "checkout", "name": "Checkout"}])
}

fn with_age_check() -> Value {
    json!([
        {"id": "welcome", "name": "Welcome", "transitions": [{"to_step_id": "age_check"}]},
        {"id": "age_check", "name": "Age Verification", "collects_profile_fields": ["age"],
         "transitions": [{"to_step_id": "checkout"}]},
        {"id": "checkout", "name": "Checkout"}])
}

fn messages(plan: &Plan) -> Vec<&str> {
    plan.summary.warnings.iter().map(|warning| warning.message.as_str()).collect()
}

#[test]
fn the_quickstart_reads_as_the_quickstart_says() {
    let plan =
        plan(&order_v1(), &with_age_check(), &sessions(&[("welcome", 97), ("checkout", 45)]));
    let document = serde_json::to_value(plan.document(10_000)).unwrap();
    assert_eq!(document["status"], "pending");
    let checkout = &document["transformation_map"]["anchors"][1];
    assert_eq!(checkout["anchor_name"], "Checkout");
    assert_eq!(checkout["migration_scenario"], "gap_fill");
    assert_eq!(checkout["upstream_changes"]["inserted_nodes"][0]["node_name"], "Age Verification");
    assert_eq!(
        checkout["upstream_changes"]["inserted_nodes"][0]["collects_fields"],
        json!(["age"])
    );
    assert_eq!(document["summary"]["estimated_sessions_affected"], 142);
    let warning = &document["summary"]["warnings"][0];
    assert_eq!(warning["severity"], "info");
    assert_eq!(warning["anchor_name"], "Checkout");
    assert_eq!(warning["message"], "Customers may be asked for 'age' if not in profile");
    assert_eq!(warning["affected_sessions_estimate"], 45);
    assert_eq!(document["anchor_policies"].as_object().unwrap().len(), 2);
}

#[test]
fn a_map_that_is_too_long_says_so_and_keeps_the_counts() {
    let plan = plan(&order_v1(), &with_age_check(), &SessionCounts::default());
    let map = plan.document(0).transformation_map;
    assert!(map.truncated);
    let upstream = &map.anchors[1].upstream_changes;
    assert!(upstream.inserted_nodes.is_empty());
    assert_eq!(upstream.counts.inserted_nodes, 1);
    let whole = plan.map.anchor(&map.anchors[1].anchor_key).unwrap();
    assert_eq!(whole.upstream_changes.inserted_nodes.len(), 1);
}

#[test]
fn a_plan_needs_a_later_version_of_the_same_scenario() {
    let (v1, v2) = (graph(1, &order_v1()), graph(2, &order_v1()));
    let none = SessionCounts::default();
    assert!(matches!(try_plan(&v2, &v1, &none), Err(Error::VersionNotGreater { .. })));
    assert!(matches!(try_plan(&v1, &v1, &none), Err(Error::VersionNotGreater { .. })));
    let mut other = scenario(2, &order_v1());
    other.id.0 = uuid::Uuid::max();
    let other = Arc::new(Graph::new(other).unwrap());
    assert!(matches!(try_plan(&v1, &other, &none), Err(Error::OtherScenario { .. })));
}

#[test]
fn sessions_at_a_deleted_step_are_counted_and_said_where_they_go() {
    let v1 = json!([
        {"id": "welcome", "name": "Welcome", "transitions": [{"to_step_id": "survey"}]},
        {"id": "survey", "name": "Survey"}]);
    let v2 = json!([{"id": "welcome", "name": "Welcome"}]);
    let plan = plan(&v1, &v2, &sessions(&[("survey", 3)]));
    assert_eq!(plan.summary.nodes_deleted, 1);
    assert_eq!(
        plan.summary.sessions_by_deleted_node,
        BTreeMap::from([(StepId::new("survey").unwrap(), 3)])
    );
    let wanted = "3 session(s) stand at deleted step 'Survey' and will go on at 'Welcome'";
    assert!(messages(&plan).contains(&wanted));
}

#[test]
fn sessions_that_nothing_of_the_new_version_can_take_are_critical() {
    let v1 = json!([{"id": "welcome", "name": "Welcome"}]);
    let v2 = json!([{"id": "welcome", "name": "Good day"}]);
    let plan = plan(&v1, &v2, &sessions(&[("welcome", 7)]));
    assert_eq!(plan.summary.warnings[0].severity, Severity::Critical);
    let suggestion = &plan.map.suggestions()[0];
    assert_eq!(suggestion.key.0, "suggestion:welcome");
    assert_eq!(suggestion.node_id_v2.as_str(), "welcome");
}

#[test]
fn a_checkpoint_that_would_block_a_redirection_says_how_many_have_passed_it() {
    let v1 = json!([
        {"id": "welcome", "name": "Welcome", "transitions": [{"to_step_id": "payment"}]},
        {"id": "payment", "name": "Payment", "is_checkpoint": true, "transitions": [{"to_step_id": "ship"}]},
        {"id": "ship", "name": "Ship"}]);
    let v2 = json!([
        {"id": "welcome", "name": "Welcome", "transitions": [
            {"to_step_id": "payment", "condition_text": "age >= 18"},
            {"to_step_id": "rejected", "condition_text": "age < 18", "priority": 1}]},
        {"id": "rejected", "name": "Rejection"},
        {"id": "payment", "name": "Payment", "is_checkpoint": true, "transitions": [{"to_step_id": "ship"}]},
        {"id": "ship", "name": "Ship"}]);
    let id = |id: &str| StepId::new(id).unwrap();
    let mut counts = sessions(&[("ship", 5)]);
    counts.passed = BTreeMap::from([(id("payment"), BTreeMap::from([(id("ship"), 5)]))]);
    let plan = plan(&v1, &v2, &counts);
    let warning = plan
        .summary
        .warnings
        .iter()
        .find(|warning| {
            warning.anchor_name.as_deref() == Some("Ship") && warning.message.contains("'Payment'")
        })
        .unwrap();
    assert_eq!(warning.affected_sessions_estimate, 5);
}

#[test]
fn conditions_that_nobody_can_evaluate_are_named() {
    let v2 = json!([
        {"id": "welcome", "name": "Welcome", "transitions": [
            {"to_step_id": "checkout", "condition_text": "the customer sounds angry"}]},
        {"id": "checkout", "name": "Checkout"}]);
    let plan = plan(&order_v1(), &v2, &SessionCounts::default());
    assert!(messages(&plan).iter().any(|message| message.contains("the customer sounds angry")));
}

#[test]
fn a_fork_that_decides_otherwise_says_that_those_past_it_keep_their_way() {
    let fork = |age: u32| {
        json!([
            {"id": "welcome", "name": "Age check", "transitions": [
                {"to_step_id": "b", "condition_text": format!("age < {age}")},
                {"to_step_id": "c", "condition_text": format!("age >= {age}")}]},
            {"id": "b", "name": "Rejection"},
            {"id": "c", "name": "Checkout"}
        ])
    };
    let warning = "The conditions at 'Age check' have changed; customers who are past it already keep \
                   the way that they took";
    let stricter = plan(&fork(18), &fork(21), &SessionCounts::default());
    assert!(messages(&stricter).contains(&warning), "{:?}", messages(&stricter));
    let same = plan(&fork(18), &fork(18), &SessionCounts::default());
    assert!(!messages(&same).contains(&warning));
}

fn policies(value: Value) -> Policies {
    serde_json::from_value(value).unwrap()
}

fn codes(problems: &[Problem]) -> Vec<(&str, &str)> {
    problems.iter().map(|problem| (problem.code.as_str(), problem.path.as_str())).collect()
}

#[test]
fn every_problem_of_policies_is_told_at_once() {
    let plan = plan(&order_v1(), &with_age_check(), &SessionCounts::default());
    let key = plan.map.anchors()[0].key.0.clone();
    let bad = policies(json!({
        key.clone(): {"scope_filter": {"min_session_age_days": 30, "max_session_age_days": 3,
                                       "include_current_nodes": ["nowhere"]}},
        "0000000000000000": {},
        "suggestion:checkout": {"map_to_step_id": "checkout"},
    }));
    let Err(check::Error::Invalid(problems)) = plan.clone().with_policies(bad) else { panic!() };
    let filter = format!("/{key}/scope_filter");
    let mut wanted = [
        ("contradictory_filter", format!("{filter}/min_session_age_days")),
        ("unknown_anchor", "/0000000000000000".to_owned()),
        ("unknown_anchor", "/suggestion:checkout".to_owned()),
        ("unknown_step", format!("{filter}/include_current_nodes/0")),
    ];
    wanted.sort();
    let mut found = codes(&problems);
    found.sort_unstable();
    let wanted: Vec<(&str, &str)> =
        wanted.iter().map(|(code, path)| (*code, path.as_str())).collect();
    assert_eq!(found, wanted);
    assert!(
        serde_json::from_value::<Policies>(json!({key: {"force_scenario": "teleport"}})).is_err()
    );
}

#[test]
fn policies_change_only_while_the_plan_is_pending() {
    let plan = plan(&order_v1(), &with_age_check(), &SessionCounts::default());
    let key = plan.map.anchors()[0].key.clone();
    let change = policies(json!({key.0.clone(): {"update_downstream": false}}));
    let changed = plan.with_policies(change.clone()).unwrap();
    assert_eq!(changed.revision, 2);
    assert!(!changed.all_policies()[&key].update_downstream);
    assert_eq!(changed.all_policies()[&key].anchor_name.as_deref(), Some("Welcome"));
    let approved = changed.after(Action::Approve(signed()), Approval::Required).unwrap();
    assert!(matches!(approved.with_policies(change), Err(check::Error::Refused(_))));
}

#[test]
fn an_accepted_suggestion_becomes_a_mapping() {
    let v1 = json!([{"id": "welcome", "name": "Welcome"}]);
    let v2 = json!([{"id": "welcome", "name": "Good day"}]);
    let plan = plan(&v1, &v2, &SessionCounts::default());
    let accepted = policies(json!({"suggestion:welcome": {"map_to_step_id": "welcome"}}));
    let plan = plan.with_policies(accepted).unwrap();
    assert_eq!(mappings(&plan.policies).len(), 1);
    let missing = policies(json!({"suggestion:welcome": {}}));
    assert!(plan.with_policies(missing).is_err());
}

#[test]
fn every_problem_of_a_version_is_told_at_once() {
    let broken = scenario(
        1,
        &json!([
            {"id": "a", "name": "", "transitions": [
                {"to_step_id": "gone"}, {"to_step_id": "b", "condition_text": "x".repeat(4097)}]},
            {"id": "b", "name": "B", "checkpoint_description": "money was taken"},
            {"id": "b", "name": "B again"}]),
    );
    let problems = Graph::new(broken).unwrap_err();
    assert_eq!(
        codes(&problems),
        [
            ("duplicate_step_id", "/steps/2/id"),
            ("missing_entry", "/entry_step_id"),
            ("empty_name", "/steps/0/name"),
            ("dangling_transition", "/steps/0/transitions/0/to_step_id"),
            ("condition_too_long", "/steps/0/transitions/1/condition_text"),
            ("contradicting_flags", "/steps/1/is_checkpoint"),
        ]
    );
    assert_eq!(codes(&Graph::new(scenario(1, &json!([]))).unwrap_err()), [("no_steps", "/steps")]);
}

#[test]
fn what_an_operator_probably_did_not_mean_is_a_warning() {
    let odd = graph(
        1,
        &json!([
            {"id": "welcome", "name": "Welcome", "transitions": [{"to_step_id": "loop"}]},
            {"id": "loop", "name": "Loop", "transitions": [{"to_step_id": "loop"}]},
            {"id": "island", "name": "Island", "is_terminal": true, "is_entry": true,
             "transitions": [{"to_step_id": "welcome"}]}]),
    );
    assert_eq!(
        codes(&validate::warnings(&odd)),
        [
            ("no_way_out", "/steps/0"),
            ("no_way_out", "/steps/1"),
            ("unreachable_step", "/steps/2"),
            ("terminal_with_transitions", "/steps/2/transitions"),
            ("entry_flag_elsewhere", "/steps/2/is_entry"),
        ]
    );
}

#[test]
fn a_stored_plan_says_the_same_when_it_is_read_again() {
    let plan = plan(&order_v1(), &with_age_check(), &sessions(&[("checkout", 2)]));
    let stored = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&stored).unwrap(), plan);
}
