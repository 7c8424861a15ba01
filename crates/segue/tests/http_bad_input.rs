//! Everything that a client can get wrong is a clear 4xx with a stable code, and stores nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use serde_json::{Value, json};
use support::{Server, Tenant, order_flow};
use uuid::Uuid;

fn count(tenant: &Tenant<'_>, path: &str) -> u64 {
    tenant.get(path).is(200)["total"].as_u64().unwrap()
}

fn codes(details: &Value) -> Vec<String> {
    let problems = details["problems"].as_array().unwrap().iter();
    problems.map(|problem| problem["code"].as_str().unwrap().to_owned()).collect()
}

fn second_version() -> Value {
    let mut scenario = order_flow();
    scenario["version"] = 2.into();
    scenario["steps"][0]["transitions"] = json!([{"to_step_id": "age_check"}]);
    let age_check = json!({"id": "age_check", "name": "Age Verification",
        "collects_profile_fields": ["age"], "transitions": [{"to_step_id": "checkout"}]});
    scenario["steps"].as_array_mut().unwrap().push(age_check);
    scenario
}

#[test]
fn a_missing_or_malformed_tenant_is_refused() {
    let server = Server::start();
    server.send("GET", "/api/v1/scenarios", &[], b"").refused(400, "missing_tenant");
    let wrong = [("X-Tenant-ID", "me")];
    server.send("GET", "/api/v1/scenarios", &wrong, b"").refused(400, "invalid_tenant");
}

#[test]
fn text_that_is_not_json_and_types_that_do_not_fit_are_placed() {
    let server = Server::start();
    let tenant = server.tenant();
    let details =
        tenant.text("POST", "/scenarios", "{\n \"name\": ").refused(400, "malformed_json");
    assert_eq!(details["line"], 2);

    let mut misspelt = order_flow();
    misspelt["steps"][1]["is_chekpoint"] = true.into();
    let details = tenant.post("/scenarios", &misspelt).refused(400, "unknown_field");
    assert_eq!(details["path"], "/steps/1/is_chekpoint");

    let mut mistyped = order_flow();
    mistyped["steps"][0]["name"] = 7.into();
    let details = tenant.post("/scenarios", &mistyped).refused(400, "invalid_body");
    assert_eq!(details["path"], "/steps/0/name");

    let text = [("Content-Type", "text/plain")];
    tenant.send("POST", "/scenarios", &text, b"{}").refused(415, "unsupported_media_type");
    assert_eq!(count(&tenant, "/scenarios"), 0, "nothing is stored half-way");
}

#[test]
fn every_problem_of_a_scenario_is_named_at_once() {
    let server = Server::start();
    let tenant = server.tenant();
    let mut scenario = order_flow();
    scenario["entry_step_id"] = "nowhere".into();
    scenario["steps"][0]["transitions"][0]["to_step_id"] = "void".into();
    scenario["steps"][2]["id"] = "checkout".into();
    let details = tenant.post("/scenarios", &scenario).refused(400, "invalid_scenario");
    assert!(codes(&details).len() >= 3, "{details}");

    let mut entryless = order_flow();
    entryless.as_object_mut().unwrap().remove("entry_step_id");
    entryless["steps"][0].as_object_mut().unwrap().remove("is_entry");
    let details = tenant.post("/scenarios", &entryless).refused(400, "invalid_scenario");
    assert_eq!(codes(&details), ["missing_entry"]);

    let empty = json!({"name": "Empty", "entry_step_id": "a", "steps": []});
    tenant.post("/scenarios", &empty).refused(400, "invalid_scenario");
    assert_eq!(count(&tenant, "/scenarios"), 0, "nothing is stored half-way");
}

#[test]
fn a_scenario_whose_entry_is_marked_need_not_name_it() {
    let server = Server::start();
    let mut scenario = order_flow();
    scenario.as_object_mut().unwrap().remove("entry_step_id");
    assert_eq!(server.tenant().post("/scenarios", &scenario).is(201)["entry_step_id"], "welcome");
}

#[test]
fn limits_answer_with_an_error() {
    let server = Server::start();
    let tenant = server.tenant();
    let padding = "x".repeat(9 * 1024 * 1024);
    let details =
        tenant.text("POST", "/scenarios", &format!("\"{padding}\"")).refused(413, "body_too_large");
    assert_eq!(details["limit_bytes"], 8 * 1024 * 1024);

    let steps: Vec<Value> =
        (0..10_001).map(|nth| json!({"id": format!("s{nth}"), "name": "Step"})).collect();
    let large = json!({"name": "Large", "entry_step_id": "s0", "steps": steps});
    tenant.post("/scenarios", &large).refused(400, "invalid_scenario");

    for condition in ["a".repeat(5_000), "(".repeat(500), format!("{}1", "1+".repeat(1_900))] {
        let mut scenario = order_flow();
        scenario["steps"][0]["transitions"][0]["condition_text"] = condition.as_str().into();
        let answer = tenant.post("/scenarios", &scenario);
        assert!(matches!(answer.status, 201 | 400), "{}", answer.text);
        if condition.len() > 4_096 {
            answer.refused(400, "invalid_scenario");
        }
    }
    assert_eq!(server.send("GET", "/healthz", &[], b"").status, 200, "it is still alive");

    tenant.get("/scenarios?limit=101").refused(400, "invalid_parameter");
    tenant.get("/scenarios?limit=0").refused(400, "invalid_parameter");
    let details = tenant.get("/scenarios?colour=red").refused(400, "invalid_parameter");
    assert!(details["parameter"].is_string());
    tenant.get("/scenarios?cursor=page-two").refused(400, "invalid_cursor");
}

#[test]
fn ids_that_are_no_ids_and_things_that_are_not_there_are_told_apart() {
    let server = Server::start();
    let tenant = server.tenant();
    tenant.get("/scenarios/seven").refused(400, "invalid_parameter");
    let nobody = Uuid::new_v4();
    tenant.get(&format!("/scenarios/{nobody}")).refused(404, "scenario_not_found");
    tenant.get(&format!("/scenarios/{nobody}/versions")).refused(404, "scenario_not_found");
    tenant.get(&format!("/migration-plans/{nobody}")).refused(404, "plan_not_found");
    tenant.get(&format!("/migration-plans/{nobody}/summary")).refused(404, "plan_not_found");
    tenant.get(&format!("/migration-plans/{nobody}/applications")).refused(404, "plan_not_found");
    tenant.act(&format!("/migration-plans/{nobody}/deploy")).refused(404, "plan_not_found");
    tenant.get(&format!("/sessions/{nobody}")).refused(404, "session_not_found");
    tenant.get(&format!("/sessions/{nobody}/events")).refused(404, "session_not_found");
    tenant.act(&format!("/sessions/{nobody}/turns")).refused(404, "session_not_found");
    let start = json!({"scenario_id": nobody, "channel": "web"});
    tenant.post("/sessions", &start).refused(404, "scenario_not_found");
    let scenario = tenant.registered(&order_flow());
    tenant.get(&format!("/scenarios/{scenario}/versions/7")).refused(404, "version_not_found");
}

#[test]
fn what_another_tenant_has_does_not_exist() {
    let server = Server::start();
    let (ours, theirs) = (server.tenant(), server.tenant());
    let scenario = theirs.registered(&order_flow());
    let session = theirs.started(&scenario, "web");
    let body = json!({"new_scenario": second_version()});
    let generate = format!("/scenarios/{scenario}/migration-plan");
    let plan = theirs.post(&generate, &body).is(201)["id"].as_str().unwrap().to_owned();

    ours.get(&format!("/scenarios/{scenario}")).refused(404, "scenario_not_found");
    ours.post(&generate, &body).refused(404, "scenario_not_found");
    ours.post("/sessions", &json!({"scenario_id": scenario, "channel": "web"}))
        .refused(404, "scenario_not_found");
    ours.get(&format!("/sessions/{session}")).refused(404, "session_not_found");
    ours.act(&format!("/sessions/{session}/turns")).refused(404, "session_not_found");
    ours.get(&format!("/migration-plans/{plan}")).refused(404, "plan_not_found");
    for action in ["approve", "reject", "deploy", "withdraw"] {
        ours.act(&format!("/migration-plans/{plan}/{action}")).refused(404, "plan_not_found");
    }
    for list in ["/scenarios", "/sessions", "/migration-plans", "/fields"] {
        assert_eq!(count(&ours, list), 0, "{list}");
    }
    assert_eq!(theirs.get(&format!("/migration-plans/{plan}")).is(200)["status"], "pending");
}

#[test]
fn a_version_that_is_not_greater_and_a_second_open_plan_are_conflicts() {
    let server = Server::start();
    let tenant = server.tenant();
    let scenario = tenant.registered(&order_flow());
    let path = format!("/scenarios/{scenario}/migration-plan");
    let mut old = second_version();
    old["version"] = 1.into();
    let details =
        tenant.post(&path, &json!({"new_scenario": old})).refused(409, "version_not_greater");
    assert_eq!(details["current_version"], 1);

    let body = json!({"new_scenario": second_version()});
    let plan = tenant.post(&path, &body).is(201);
    let details = tenant.post(&path, &body).refused(409, "plan_exists");
    assert_eq!(details["plan_id"], plan["id"]);

    let mut other = second_version();
    other["id"] = json!(Uuid::new_v4());
    tenant.post(&path, &json!({"new_scenario": other})).refused(400, "invalid_request");
    tenant
        .post(&path, &json!({"new_scenario": second_version(), "why": 1}))
        .refused(400, "unknown_field");
}

#[test]
fn policies_that_make_no_sense_are_refused_and_change_nothing() {
    let server = Server::start();
    let tenant = server.tenant();
    let scenario = tenant.registered(&order_flow());
    let body = json!({"new_scenario": second_version()});
    let plan = tenant.post(&format!("/scenarios/{scenario}/migration-plan"), &body).is(201);
    let anchor = plan["transformation_map"]["anchors"][0]["anchor_key"].as_str().unwrap();
    let path = format!("/migration-plans/{}/policies", plan["id"].as_str().unwrap());

    let unknown = json!({"policies": {"0123456789abcdef": {"update_downstream": false}}});
    tenant.put(&path, &unknown).refused(400, "invalid_policies");
    let ages = json!({"scope_filter": {"min_session_age_days": 9, "max_session_age_days": 3}});
    tenant.put(&path, &json!({"policies": {anchor: ages}})).refused(400, "invalid_policies");
    let forced = json!({"policies": {anchor: {"force_scenario": "teleport_anyway"}}});
    tenant.put(&path, &forced).refused(400, "invalid_body");

    let after = tenant.get(&format!("/migration-plans/{}", plan["id"].as_str().unwrap())).is(200);
    assert_eq!(after["anchor_policies"], plan["anchor_policies"]);
    let of_anchor = format!("/migration-plans/{}/anchors", plan["id"].as_str().unwrap());
    assert_eq!(tenant.get(&format!("{of_anchor}/{anchor}")).is(200)["anchor_key"], anchor);
    tenant.get(&format!("{of_anchor}/0123456789abcdef")).refused(404, "anchor_not_found");
}

#[test]
fn a_plan_goes_only_the_ways_that_it_can_go() {
    let server = Server::start();
    let tenant = server.tenant();
    let scenario = tenant.registered(&order_flow());
    let body = json!({"new_scenario": second_version()});
    let plan = tenant.post(&format!("/scenarios/{scenario}/migration-plan"), &body).is(201);
    let path = format!("/migration-plans/{}", plan["id"].as_str().unwrap());

    let details = tenant.act(&format!("{path}/deploy")).refused(409, "invalid_state_transition");
    assert_eq!(details["current_state"], "pending");
    tenant.act(&format!("{path}/withdraw")).refused(409, "invalid_state_transition");
    tenant.act(&format!("{path}/approve")).is(200);
    tenant.act(&format!("{path}/reject")).refused(409, "invalid_state_transition");
    let policies = json!({"policies": {}});
    tenant.put(&format!("{path}/policies"), &policies).refused(409, "invalid_state_transition");
    tenant.act(&format!("{path}/deploy")).is(200);
    tenant.act(&format!("{path}/deploy")).refused(409, "invalid_state_transition");
    assert_eq!(tenant.act(&format!("{path}/withdraw")).is(200)["status"], "withdrawn");
}

#[test]
fn turns_that_cannot_be_taken_change_nothing() {
    let server = Server::start();
    let tenant = server.tenant();
    let age = json!({"value_type": "integer"});
    tenant.put("/fields/age", &age).is(200);
    tenant
        .put("/fields/colour", &json!({"value_type": "enum"}))
        .refused(400, "invalid_field_definition");
    let scenario = tenant.registered(&order_flow());
    let session = tenant.started(&scenario, "web");
    let path = format!("/sessions/{session}/turns");

    let details =
        tenant.post(&path, &json!({"step_id": "confirm"})).refused(409, "step_not_allowed");
    assert_eq!(details["from_step_id"], "welcome");
    assert!(details["allowed_step_ids"].as_array().unwrap().contains(&json!("checkout")));
    let wrong = json!({"fields": {"age": "old"}});
    let details = tenant.post(&path, &wrong).refused(400, "invalid_field_value");
    assert_eq!(details["problems"][0]["path"], "/fields/age");
    tenant.post(&path, &json!({"mesage": {"text": "hi"}})).refused(400, "unknown_field");
    let long = "k".repeat(201);
    let key = [("Content-Type", "application/json"), ("Idempotency-Key", long.as_str())];
    tenant.send("POST", &path, &key, b"{}").refused(400, "invalid_parameter");
    assert_eq!(tenant.get(&format!("/sessions/{session}")).is(200)["turn_count"], 0);

    let done = tenant.turn(&session, &json!({"fields": {"address": "5 Harbour Street"}}));
    assert_eq!(done["session"]["status"], "finished");
    let details = tenant.act(&path).refused(409, "session_over");
    assert_eq!(details["status"], "finished");
}

#[test]
fn a_repeated_turn_gets_the_first_answer_and_another_one_under_its_key_is_refused() {
    let server = Server::start();
    let tenant = server.tenant();
    let scenario = tenant.registered(&order_flow());
    let session = tenant.started(&scenario, "web");
    let path = format!("/sessions/{session}/turns");
    let key = [("Content-Type", "application/json"), ("Idempotency-Key", "turn-1")];
    let hello = br#"{"message": {"text": "Hello"}}"#;
    let first = tenant.send("POST", &path, &key, hello).is(200);
    let again = tenant.send("POST", &path, &key, hello).is(200);
    assert_eq!(first["entered_steps"], again["entered_steps"]);
    tenant.send("POST", &path, &key, b"{}").refused(422, "idempotency_key_reused");
    assert_eq!(tenant.get(&format!("/sessions/{session}")).is(200)["turn_count"], 1);
}

#[test]
fn an_id_that_is_taken_is_a_conflict() {
    let server = Server::start();
    let tenant = server.tenant();
    let mut scenario = order_flow();
    scenario["id"] = json!(Uuid::new_v4());
    let answer = tenant.post("/scenarios", &scenario);
    assert_eq!(
        answer.headers["location"].to_str().unwrap(),
        format!("/api/v1/scenarios/{}", scenario["id"].as_str().unwrap())
    );
    answer.is(201);
    scenario["name"] = "Another Flow".into();
    tenant.post("/scenarios", &scenario).refused(409, "already_exists");
    let stored = tenant.get(&format!("/scenarios/{}", scenario["id"].as_str().unwrap())).is(200);
    assert_eq!(stored["name"], "Order Flow");

    let mut session =
        json!({"id": Uuid::new_v4(), "scenario_id": scenario["id"], "channel": "web"});
    let first = tenant.post("/sessions", &session).is(201);
    assert_eq!(tenant.post("/sessions", &session).is(201), first, "a repetition is the same");
    session["channel"] = "sms".into();
    tenant.post("/sessions", &session).refused(409, "already_exists");
}

#[test]
fn lists_come_in_pages_that_together_are_the_whole() {
    let server = Server::start();
    let tenant = server.tenant();
    let scenario = tenant.registered(&order_flow());
    let mut started: Vec<String> = (0..5).map(|_| tenant.started(&scenario, "web")).collect();
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = tenant.get(&format!("/sessions?limit=2{cursor}")).is(200);
        assert_eq!(page["total"], 5);
        let ids = page["sessions"].as_array().unwrap().iter();
        seen.extend(ids.map(|session| session["id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    started.sort();
    seen.sort();
    assert_eq!(seen, started);
}

#[test]
fn a_version_that_no_database_can_count_to_is_a_bad_request() {
    let server = Server::start();
    let tenant = server.tenant();
    let scenario = tenant.registered(&order_flow());
    let path = format!("/scenarios/{scenario}/versions/{}", u64::MAX);
    tenant.get(&path).refused(400, "invalid_request");
}
