//! The quickstart: its commands as they stand in docs/quickstart.md, and its three examples.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::process::Command;

use serde_json::{Value, json};
use support::{Server, Tenant, order_flow};

/// The commands of the page, in order, as one script.
fn script() -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/quickstart.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut script = String::from("set -euo pipefail\n");
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```bash" => inside = true,
            "```" => inside = false,
            line if inside => script += &format!("{line}\n"),
            _ => {}
        }
    }
    script
}

#[test]
fn every_command_of_the_page_does_what_the_page_says() {
    let server = Server::start();
    let tenant = server.tenant();
    let output = Command::new("bash")
        .arg("-c")
        .arg(script())
        .env("SEGUE_URL", &server.url)
        .env("SEGUE_TENANT", tenant.id.to_string())
        .output()
        .unwrap();
    let (stdout, stderr) = support::printed(&output);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(!stdout.contains("\"code\":"), "something was refused: {stdout}");

    let plan = &tenant.get("/migration-plans").is(200)["plans"][0];
    assert_eq!(plan["status"], "deployed");
    assert_eq!(plan["estimated_sessions_affected"], 3);
    let path = format!("/migration-plans/{}/deployment-status", plan["id"].as_str().unwrap());
    let status = tenant.get(&path).is(200);
    assert_eq!(status["sessions_marked"], 3);
    assert_eq!(status["migrations_applied"], 3);
    assert_eq!(status["migrations_pending"], 0);
    let at = |customer: &str| {
        let found = tenant.get(&format!("/sessions?customer_id={customer}")).is(200);
        (found["sessions"][0]["version"].clone(), found["sessions"][0]["step_id"].clone())
    };
    assert_eq!(at("anna"), (json!(2), json!("checkout")));
    assert_eq!(at("bert"), (json!(2), json!("checkout")));
    assert_eq!(at("emil"), (json!(2), json!("rejection")));
}

/// Generates, approves and deploys a plan; the anchors' migration scenarios by name.
fn deployed(tenant: &Tenant<'_>, scenario: &str, second: &Value) -> Value {
    let body = json!({"new_scenario": second, "created_by": "operator@example.com"});
    let plan = tenant.post(&format!("/scenarios/{scenario}/migration-plan"), &body).is(201);
    let path = format!("/migration-plans/{}", plan["id"].as_str().unwrap());
    tenant
        .post(&format!("{path}/approve"), &json!({"approved_by": "operator@example.com"}))
        .is(200);
    tenant.act(&format!("{path}/deploy")).is(200);
    let anchors = plan["transformation_map"]["anchors"].as_array().unwrap().iter();
    let named = anchors.map(|anchor| {
        let name = anchor["anchor_name"].as_str().unwrap().to_owned();
        (name, anchor["migration_scenario"].clone())
    });
    Value::Object(named.collect())
}

fn at_checkout(tenant: &Tenant<'_>) -> (String, String) {
    let scenario = tenant.registered(&order_flow());
    let session = tenant.started(&scenario, "whatsapp");
    assert_eq!(tenant.turn(&session, &json!({}))["session"]["step_id"], "checkout");
    (scenario, session)
}

fn with_steps(steps: Value) -> Value {
    let mut second = order_flow();
    second["version"] = 2.into();
    second["steps"] = steps;
    second
}

#[test]
fn a_step_added_after_the_checkout_reaches_its_customer_silently() {
    let server = Server::start();
    let tenant = server.tenant();
    let (scenario, session) = at_checkout(&tenant);
    let second = with_steps(json!([
        {"id": "welcome", "name": "Welcome", "is_entry": true, "transitions": [{"to_step_id": "checkout"}]},
        {"id": "checkout", "name": "Checkout", "collects_profile_fields": ["address"],
         "transitions": [{"to_step_id": "payment"}]},
        {"id": "payment", "name": "Payment", "collects_profile_fields": ["card"],
         "transitions": [{"to_step_id": "confirm"}]},
        {"id": "confirm", "name": "Confirm", "is_terminal": true}
    ]));
    assert_eq!(deployed(&tenant, &scenario, &second)["Checkout"], "clean_graft");
    let marked = tenant.get(&format!("/sessions/{session}")).is(200);
    assert_eq!(marked["pending_migration"]["target_version"], 2);

    let answer = tenant.turn(&session, &json!({"fields": {"address": "5 Harbour Street"}}));
    assert_eq!(answer["reconciliation"]["migration_scenario"], "clean_graft");
    assert_eq!(answer["reconciliation"]["user_message"], Value::Null, "nothing is said");
    assert_eq!(answer["session"]["step_id"], "payment", "and payment is next");
    assert_eq!(answer["session"]["version"], 2);
}

fn with_age_check(ways: Value) -> Value {
    with_steps(json!([
        {"id": "welcome", "name": "Welcome", "is_entry": true, "transitions": [{"to_step_id": "age_check"}]},
        {"id": "age_check", "name": "Age Verification", "collects_profile_fields": ["age"], "transitions": ways},
        {"id": "checkout", "name": "Checkout", "collects_profile_fields": ["address"],
         "transitions": [{"to_step_id": "confirm"}]},
        {"id": "confirm", "name": "Confirm", "is_terminal": true},
        {"id": "rejection", "name": "Rejection", "is_terminal": true}
    ]))
}

#[test]
fn a_step_added_before_the_checkout_asks_only_for_what_is_missing() {
    let server = Server::start();
    let tenant = server.tenant();
    let prompt = "Before we continue, what is your age?";
    let age = json!({"value_type": "integer", "collection_prompt": prompt});
    tenant.put("/fields/age", &age).is(200);
    let (scenario, session) = at_checkout(&tenant);
    let second = with_age_check(json!([{"to_step_id": "checkout"}]));
    assert_eq!(deployed(&tenant, &scenario, &second)["Checkout"], "gap_fill");

    let asked = tenant.turn(&session, &json!({"message": {"text": "I am back"}}));
    assert_eq!(asked["reconciliation"]["action"], "collect");
    assert_eq!(asked["reconciliation"]["collect_fields"], json!(["age"]));
    assert_eq!(asked["session"]["version"], 1, "until she answers she stays where she is");
    let answered = tenant.turn(&session, &json!({"fields": {"age": 41}}));
    assert_eq!(answered["reconciliation"]["action"], "teleport");
    assert_eq!(answered["session"]["version"], 2);
    assert_eq!(answered["session"]["step_id"], "checkout");
}

#[test]
fn a_new_fork_before_the_checkout_redirects_whom_its_condition_names() {
    let server = Server::start();
    let tenant = server.tenant();
    let (scenario, session) = at_checkout(&tenant);
    let second = with_age_check(json!([
        {"to_step_id": "rejection", "condition_text": "age < 18", "priority": 10},
        {"to_step_id": "checkout", "condition_text": "age >= 18"}
    ]));
    assert_eq!(deployed(&tenant, &scenario, &second)["Checkout"], "re_route");
    let answer = tenant.turn(&session, &json!({"fields": {"age": 17}}));
    assert_eq!(answer["reconciliation"]["migration_scenario"], "re_route");
    assert_eq!(answer["reconciliation"]["target_step_id"], "rejection");
    assert_eq!(answer["session"]["step_id"], "rejection");
    assert!(answer["reconciliation"]["user_message"].is_string(), "and is told");
}
