//! The event API over HTTP: what applications append, read and follow.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use serde_json::{Value, json};
use support::{Answer, Server, Tenant, order_flow};
use uuid::Uuid;

fn item(nth: u64) -> Value {
    json!({"event_type": "ItemAdded", "payload": {"item": nth}})
}

fn append(tenant: &Tenant<'_>, stream: &str, expected: impl Into<Value>, events: &Value) -> Answer {
    let body =
        json!({"stream_type": "cart", "expected_version": expected.into(), "events": events});
    tenant.post(&format!("/streams/{stream}/events"), &body)
}

fn field<'a>(answer: &'a Value, list: &str, name: &str) -> Vec<&'a Value> {
    answer[list].as_array().unwrap().iter().map(|item| &item[name]).collect()
}

#[test]
fn what_is_appended_is_read_in_its_stream_and_in_the_log() {
    let server = Server::start();
    let tenant = server.tenant();
    let first = append(&tenant, "cart-1", "no_stream", &json!([item(1), item(2)])).is(201);
    assert_eq!(first["stream_id"], "cart-1");
    assert_eq!((&first["version"], &first["first_position"]), (&json!(2), &json!(1)));
    append(&tenant, "cart-2", 0, &json!([item(3)])).is(201);
    let third = append(&tenant, "cart-1", 2, &json!([item(4)])).is(201);
    assert_eq!((&third["version"], &third["last_position"]), (&json!(3), &json!(4)));

    let stream = tenant.get("/streams/cart-1/events?limit=2").is(200);
    assert_eq!((&stream["stream_type"], &stream["version"]), (&json!("cart"), &json!(3)));
    assert_eq!(field(&stream, "events", "version"), [1, 2]);
    assert_eq!(
        field(&stream, "events", "event_id"),
        first["event_ids"].as_array().unwrap().iter().collect::<Vec<_>>()
    );
    assert_eq!(stream["next_from_version"], 3);
    let rest = tenant.get("/streams/cart-1/events?from_version=3").is(200);
    assert_eq!(field(&rest, "events", "payload"), [&json!({"item": 4})]);
    assert_eq!(rest["next_from_version"], Value::Null);

    let log = tenant.get("/events?limit=3").is(200);
    assert_eq!(field(&log, "events", "position"), [1, 2, 3]);
    assert_eq!(field(&log, "events", "stream_id"), ["cart-1", "cart-1", "cart-2"]);
    assert_eq!((&log["next_after"], &log["head_position"]), (&json!(3), &json!(4)));
    let end = tenant.get("/events?after=4").is(200);
    assert_eq!(end["events"], json!([]));
    assert_eq!((&end["next_after"], &end["head_position"]), (&json!(4), &json!(4)));

    let nobody = server.tenant();
    nobody.get("/streams/cart-1/events").refused(404, "stream_not_found");
    assert_eq!(nobody.get("/events").is(200)["events"], json!([]));
}

#[test]
fn payload_and_metadata_come_back_byte_for_byte() {
    let server = Server::start();
    let tenant = server.tenant();
    let payload = r#"{"b": 1.00, "a": 12345678901234567890123, "b": "\u00fc",
  "e": 1E400, "n": [ ]}"#;
    let metadata = r#"{ "by" : "ann" }"#;
    let body = format!(
        r#"{{"stream_type": "cart", "expected_version": "any", "events": [
            {{"event_type": "Odd", "payload": {payload}, "metadata": {metadata}}},
            {{"event_type": "Plain", "payload": null}}]}}"#
    );
    tenant.text("POST", "/streams/cart-1/events", &body).is(201);
    for path in ["/streams/cart-1/events", "/events"] {
        let text = tenant.get(path).text;
        assert!(text.contains(&format!("\"payload\":{payload},")), "{text}");
        assert!(text.contains(&format!("\"metadata\":{metadata},")), "{text}");
        assert!(text.contains("\"payload\":null,\"redacted\":false,\"metadata\":null"), "{text}");
    }
}

#[test]
fn an_append_at_another_version_is_told_the_current_one() {
    let server = Server::start();
    let tenant = server.tenant();
    append(&tenant, "cart-1", "any", &json!([item(1), item(2)])).is(201);
    for expected in [json!("no_stream"), json!(1), json!(3)] {
        let details = append(&tenant, "cart-1", expected, &json!([item(3)]));
        let details = details.refused(409, "version_conflict");
        assert_eq!(details["current_version"], 2);
        assert_eq!(details["stream_id"], "cart-1");
    }
    let details = append(&tenant, "cart-2", 5, &json!([item(3)])).refused(409, "version_conflict");
    assert_eq!(details["current_version"], 0);
    assert_eq!(tenant.get("/events").is(200)["head_position"], 2, "nothing was appended");
}

#[test]
fn a_repeated_append_gets_the_first_answer_and_other_content_is_refused() {
    let server = Server::start();
    let tenant = server.tenant();
    let id = Uuid::new_v4();
    let event = |payload: u64| {
        let payload = json!({"item": payload});
        json!([{"event_id": id, "event_type": "ItemAdded", "payload": payload}])
    };
    let first = append(&tenant, "cart-1", 0, &event(1)).is(201);
    assert_eq!(append(&tenant, "cart-1", 0, &event(1)).is(200), first);
    let details = append(&tenant, "cart-1", 1, &event(2)).refused(409, "duplicate_event");
    assert_eq!(details["event_id"], json!(id));
    append(&tenant, "cart-2", 0, &event(1)).refused(409, "duplicate_event");

    let keyed = |expected: u64, payload: u64| {
        let body = json!({"stream_type": "cart", "expected_version": expected,
            "events": [item(payload), item(payload)]});
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "order 7")];
        let body = body.to_string();
        tenant.send("POST", "/streams/cart-1/events", &headers, body.as_bytes())
    };
    let first = keyed(1, 5).is(201);
    assert_eq!(keyed(1, 5).is(200), first);
    let details = keyed(3, 6).refused(422, "idempotency_key_reused");
    assert_eq!(details["idempotency_key"], "order 7");
    assert_eq!(tenant.get("/events").is(200)["head_position"], 3);
}

#[test]
fn what_cannot_be_appended_is_named_by_its_place() {
    let server = Server::start();
    let tenant = server.tenant();
    let problem = |events: &Value| {
        let details = append(&tenant, "cart-1", "any", events).refused(400, "invalid_append");
        let problem = &details["problems"][0];
        (problem["path"].as_str().unwrap().to_owned(), problem["code"].clone())
    };
    let large = json!({"event_type": "Large", "payload": "x".repeat(1024 * 1024)});
    assert_eq!(
        problem(&json!([item(1), large])),
        ("/events/1/payload".into(), json!("over_limit"))
    );
    let many = (0..1_001).map(item).collect::<Vec<_>>();
    assert_eq!(problem(&many.into()), ("/events".into(), json!("over_limit")));
    assert_eq!(problem(&json!([])), ("/events".into(), json!("empty")));
    let nameless = json!([{"event_type": "", "payload": 1}]);
    assert_eq!(problem(&nameless), ("/events/0/event_type".into(), json!("empty")));

    let path = "/streams/cart-1/events";
    let missing = json!({"stream_type": "cart", "events": [item(1)]});
    tenant.post(path, &missing).refused(400, "invalid_body");
    let odd = json!({"stream_type": "cart", "expected_version": "latest", "events": [item(1)]});
    let refused = tenant.post(path, &odd);
    assert!(refused.text.contains("no_stream"), "{}", refused.text);
    assert_eq!(refused.refused(400, "invalid_body")["path"], "/expected_version");
    let misspelt = json!({"stream_type": "cart", "expected_version": 0,
        "events": [{"event_type": "A", "payload": 1, "meta": 2}]});
    let details = tenant.post(path, &misspelt).refused(400, "unknown_field");
    assert_eq!(details["path"], "/events/0/meta");
    let cut = r#"{"stream_type": "cart", "expected_version": 0, "events": [{"payload": {"a": }}]}"#;
    tenant.text("POST", path, cut).refused(400, "malformed_json");
    let wide = format!("/streams/{}/events", "x".repeat(201));
    tenant.post(&wide, &missing).refused(400, "invalid_parameter");
    for query in ["limit=0", "limit=1001", "from_version=-1", "after=1"] {
        tenant.get(&format!("{path}?{query}")).refused(400, "invalid_parameter");
    }
    for query in ["limit=0", "after=x", "wait_ms=60001", "cursor=1"] {
        tenant.get(&format!("/events?{query}")).refused(400, "invalid_parameter");
    }
    assert_eq!(tenant.get("/events").is(200)["head_position"], 0, "nothing is stored half-way");
}

#[test]
fn an_append_as_large_as_a_store_takes_fits_and_one_beyond_does_not() {
    let server = Server::start();
    let tenant = server.tenant();
    let event = json!({"event_type": "Large", "payload": "x".repeat(1024 * 1024 - 2)});
    let most = vec![event.clone(); 16];
    append(&tenant, "cart-1", "any", &most.into()).is(201);
    let page = tenant.get("/events?limit=1000").is(200);
    let count = page["events"].as_array().unwrap().len();
    assert!((1..=4).contains(&count), "{count} MiB in one page");
    let more = vec![event; 18];
    append(&tenant, "cart-1", "any", &more.into()).refused(413, "body_too_large");
}

#[test]
fn segues_own_streams_are_read_and_not_written() {
    let server = Server::start();
    let tenant = server.tenant();
    let scenario = tenant.registered(&order_flow());
    let session = tenant.started(&scenario, "web");
    let stream = format!("session-{session}");
    let page = tenant.get(&format!("/streams/{stream}/events")).is(200);
    assert_eq!(page["events"][0]["event_type"], "SessionStarted");
    let refused = append(&tenant, &stream, "any", &json!([item(1)]));
    assert_eq!(refused.refused(403, "reserved_stream")["stream_id"], stream.as_str());
    append(&tenant, "customer-anna", "any", &json!([item(1)])).refused(403, "reserved_stream");
    append(&tenant, "customers", "any", &json!([item(1)])).is(201);
    tenant.turn(&session, &json!({}));
}

#[test]
fn a_stream_keeps_its_type() {
    let server = Server::start();
    let tenant = server.tenant();
    append(&tenant, "cart-1", "any", &json!([item(1)])).is(201);
    let body = json!({"stream_type": "order", "expected_version": 1, "events": [item(2)]});
    let details = tenant.post("/streams/cart-1/events", &body).refused(400, "invalid_append");
    assert_eq!(details["problems"][0]["path"], "/stream_type");
}
