//! Forecasts over HTTP and on the command line: asked for, and looked at by whatever server runs then.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod orders;
mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Server, Tenant, printed};

/// Sessions at the checkout of version 1; of every third customer the age is known, and every ninth is a minor.
fn sessions(tenant: &Tenant<'_>, count: usize) -> Vec<String> {
    tenant.registered(&orders::document(1));
    (0..count)
        .map(|nth| {
            let customer = format!("customer-{nth}");
            let start =
                json!({"scenario_id": orders::ID, "channel": "web", "customer_id": customer});
            let session = tenant.post("/sessions", &start).is(201)["id"].clone();
            let session = session.as_str().unwrap().to_owned();
            tenant.turn(&session, &json!({"fields": {"product": "shoes"}}));
            if nth % 3 == 0 {
                let age = if nth % 9 == 0 { 12 } else { 40 };
                let path = format!("/customers/{customer}/profile");
                tenant.patch(&path, &json!({"fields": {"age": age}})).is(200);
            }
            session
        })
        .collect()
}

fn plan(tenant: &Tenant<'_>, version: u64) -> String {
    let path = format!("/scenarios/{}/migration-plan", orders::ID);
    let new = json!({"new_scenario": orders::document(version), "from_version": 1});
    tenant.post(&path, &new).is(201)["id"].as_str().unwrap().to_owned()
}

/// The forecast once it is over.
fn over(tenant: &Tenant<'_>, plan: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let view = tenant.get(&format!("/migration-plans/{plan}/forecast")).is(200);
        if view["state"] != "running" {
            return view;
        }
        assert!(Instant::now() < deadline, "{view:#}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_plan_is_forecast_deployed_and_compared() {
    let server = Server::start();
    let tenant = server.tenant();
    let sessions = sessions(&tenant, 9);
    let plan = plan(&tenant, 2);
    let path = format!("/migration-plans/{plan}/forecast");
    let details = tenant.get(&path).refused(404, "forecast_not_found");
    assert_eq!(details["id"], json!(plan));
    server.tenant().get(&path).refused(404, "plan_not_found");
    server.tenant().act(&path).refused(404, "plan_not_found");

    let events = tenant.get("/events?limit=1000").is(200);
    let begun = tenant.act(&path).is(202);
    assert_eq!((&begun["plan_id"], &begun["state"]), (&json!(plan), &json!("running")));
    let view = over(&tenant, &plan);
    assert_eq!(tenant.get("/events?limit=1000").is(200), events, "nothing is written");
    assert_eq!(view["forecast_id"], begun["forecast_id"]);
    let expected = json!({"gap_fill": 2, "asked": 6, "redirected": 1});
    assert_eq!(view["result"]["sessions_by_kind"], expected);
    assert_eq!(view["result"]["silent"], 2);
    assert_eq!(view["result"]["asked_fields"], json!([{"name": "age", "sessions": 6}]));
    let way = json!([{"from": "checkout", "to": "rejection", "sessions": 1}]);
    assert_eq!(view["result"]["redirected"], way);
    let filled = json!([{"field": "age", "source": "profile", "sessions": 2}]);
    assert_eq!(view["result"]["filled"], filled);
    let samples = view["result"]["samples"].as_array().unwrap();
    let minor = samples.iter().find(|sample| sample["kind"] == "redirected").unwrap();
    assert_eq!(minor["session_id"], json!(sessions[0]));
    assert_eq!(minor["step_id"], "checkout");
    assert!(minor["reason"].as_str().unwrap().contains("Rejection"));
    assert_eq!(view["actual"], Value::Null);

    let cancel = |of: &Tenant<'_>| of.send("DELETE", &path, &[], b"");
    assert_eq!(cancel(&tenant).is(200), view, "it is over");
    cancel(&server.tenant()).refused(404, "plan_not_found");

    tenant.act(&format!("/migration-plans/{plan}/approve")).is(200);
    tenant.act(&format!("/migration-plans/{plan}/deploy")).is(200);
    let details = tenant.act(&path).refused(409, "invalid_state_transition");
    assert_eq!(details["allowed_states"], json!(["pending", "approved"]));
    for session in &sessions[..5] {
        tenant.turn(session, &json!({}));
    }
    let actual = over(&tenant, &plan)["actual"].clone();
    let expected = json!({"gap_fill": 1, "asked": 3, "redirected": 1});
    assert_eq!(actual["sessions_by_kind"], expected);
    assert_eq!((&actual["decided"], &actual["as_forecast"]), (&json!(5), &json!(5)));
    assert_eq!((&actual["pending"], &actual["waiting"]), (&json!(7), &json!(3)));
    assert_eq!((&actual["differing"], &actual["complete"]), (&json!(0), &json!(true)));
}

#[test]
fn a_forecast_is_there_after_the_server_was_killed() {
    let server = Server::start();
    let tenant = server.tenant();
    sessions(&tenant, 5);
    let plan = plan(&tenant, 2);
    tenant.act(&format!("/migration-plans/{plan}/forecast")).is(202);
    let view = over(&tenant, &plan);
    assert_eq!(view["state"], "done");
    let id = tenant.id;
    let server = Server::start_in(server.kill(), &[]);
    let tenant = Tenant { server: &server, id };
    assert_eq!(over(&tenant, &plan), view);
}

#[test]
fn a_plan_is_forecast_from_the_command_line() {
    let server = Server::start();
    let tenant = server.tenant();
    let sessions = sessions(&tenant, 9);
    let plan = plan(&tenant, 2);
    let none = tenant.cli(&["plan", "forecast", &plan, "--show"]);
    assert!(!none.status.success());
    assert!(printed(&none).1.contains("no forecast of plan"), "{none:?}");

    let output = tenant.cli(&["plan", "forecast", &plan]);
    let (text, errors) = printed(&output);
    assert!(output.status.success(), "{errors}");
    let cancelled = tenant.cli(&["plan", "forecast", &plan, "--cancel"]);
    assert_eq!(printed(&cancelled).0, "it was over already\n");
    for line in ["Customers are asked for:", "6  age", "checkout → rejection", "For example:"] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    tenant.act(&format!("/migration-plans/{plan}/approve")).is(200);
    tenant.act(&format!("/migration-plans/{plan}/deploy")).is(200);
    tenant.turn(&sessions[0], &json!({}));
    tenant.turn(&sessions[1], &json!({"fields": {"age": 33}}));
    let output = tenant.cli(&["plan", "forecast", &plan]);
    let (text, errors) = printed(&output);
    assert!(output.status.success(), "{errors}");
    for line in ["ACTUAL", "as foreseen", "still to come", "brought"] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    let output = tenant.cli(&["plan", "forecast", &plan, "--json"]);
    let view: Value = serde_json::from_str(&printed(&output).0).unwrap();
    assert_eq!(view["actual"]["differences"][0]["session_id"], json!(sessions[1]));
}
