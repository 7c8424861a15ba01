//! What operators ask over HTTP and on the command line: erasure, verification, stores and tenants.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::{Duration, Instant};

use segue_testing::postgres::TestDatabase;
use serde_json::{Value, json};
use support::{Answer, Server, Tenant, order_flow, printed};
use uuid::Uuid;

/// A request of an operator, who names no tenant.
fn operator(server: &Server, method: &str, path: &str, body: &Value) -> Answer {
    let headers = [("Content-Type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.send(method, &format!("/api/v1{path}"), &headers, body.as_bytes())
}

/// A tenant with two sessions of `anna/7`, whose id needs encoding in a path.
fn talked(tenant: &Tenant<'_>) -> Vec<String> {
    let scenario = tenant.registered(&order_flow());
    let start = json!({"scenario_id": scenario, "channel": "web", "customer_id": "anna/7"});
    let sessions: Vec<String> = (0..2)
        .map(|_| tenant.post("/sessions", &start).is(201)["id"].as_str().unwrap().to_owned())
        .collect();
    for session in &sessions {
        tenant.turn(session, &json!({"message": {"text": "I live in Elm Street"}}));
    }
    sessions
}

#[test]
fn a_stream_is_redacted_and_says_so_ever_after() {
    let server = Server::start();
    let tenant = server.tenant();
    let sessions = talked(&tenant);
    let path = format!("/streams/session-{}/redact", sessions[0]);
    let redacted =
        tenant.post(&path, &json!({"redacted_by": "olga", "reason": "a letter"})).is(200);
    let version = redacted["version"].as_u64().unwrap();
    assert_eq!(redacted["events_redacted"], version - 1);
    assert_eq!(tenant.act(&path).is(200), redacted, "a repeat is answered the same");

    let session = tenant.get(&format!("/sessions/{}", sessions[0])).is(200);
    assert_eq!((&session["status"], &session["customer_id"]), (&json!("erased"), &Value::Null));
    assert_eq!(session["messages"], json!([]));
    let turn = format!("/sessions/{}/turns", sessions[0]);
    tenant.post(&turn, &json!({})).refused(410, "session_erased");
    for path in [
        format!("/sessions/{}/events", sessions[0]),
        format!("/streams/session-{}/events", sessions[0]),
        "/events".to_owned(),
    ] {
        tenant.get(&path).is(200);
    }
    let events = tenant.get(&format!("/sessions/{}/events", sessions[0])).is(200);
    let events = events["events"].as_array().unwrap();
    assert!(events[..events.len() - 1].iter().all(|event| event["payload"].is_null()));
    let last = &events[events.len() - 1];
    assert_eq!(
        (&last["event_type"], &last["payload"]["reason"]),
        (&json!("StreamRedacted"), &json!("a letter"))
    );
    assert_eq!(tenant.get("/sessions").is(200)["total"], 2, "it is listed all the same");

    tenant.act("/streams/session-nobody/redact").refused(404, "stream_not_found");
    let bad = tenant.post(&path, &json!({"by": "olga"}));
    bad.refused(400, "unknown_field");
    let wordy = json!({"reason": "x".repeat(5_000)});
    let other = format!("/streams/session-{}/redact", sessions[1]);
    let details = tenant.post(&other, &wordy).refused(400, "invalid_request");
    assert_eq!(details["problems"][0]["path"], "/reason");
}

#[test]
fn a_customer_is_erased_from_the_command_line_once_it_is_confirmed() {
    let server = Server::start();
    let tenant = server.tenant();
    talked(&tenant);
    let unconfirmed = tenant.cli(&["customer", "erase", "anna/7"]);
    assert_eq!(unconfirmed.status.code(), Some(1), "{unconfirmed:?}");
    assert!(printed(&unconfirmed).1.contains("--yes"));
    assert_eq!(tenant.get("/sessions?customer_id=anna%2F7").is(200)["total"], 2);

    let arguments = ["customer", "erase", "anna/7", "--yes", "--by", "olga", "--json"];
    let erased = tenant.cli(&arguments);
    let (stdout, stderr) = printed(&erased);
    assert!(erased.status.success(), "{stderr}");
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(answer["streams_redacted"], 2);
    assert_eq!(tenant.get("/sessions?customer_id=anna%2F7").is(200)["total"], 0);
    assert!(!tenant.get("/sessions").is(200).to_string().contains("Elm"));

    let verified = tenant.cli(&["verify"]);
    let (stdout, stderr) = printed(&verified);
    assert!(verified.status.success(), "{stderr}");
    assert!(stdout.contains("sound up to"), "{stdout}");
}

#[test]
fn a_damaged_log_ends_the_verification_with_its_position_and_a_code_of_its_own() {
    let mut server = Server::start();
    let id = {
        let tenant = server.tenant();
        talked(&tenant);
        tenant.id
    };
    assert!(server.terminate().success());
    let file = server.dir.path().join("segue-data/shared.db");
    let database = rusqlite::Connection::open(file).unwrap();
    assert_eq!(database.execute("UPDATE events SET payload = x'00' WHERE position = 3", []), Ok(1));
    drop(database);
    let dir = server.kill();
    let server = Server::start_in(dir, &[]);
    let tenant = Tenant { server: &server, id };
    let damaged = tenant.cli(&["verify", &id.to_string(), "--json"]);
    let (stdout, stderr) = printed(&damaged);
    assert_eq!(damaged.status.code(), Some(8), "{stderr}");
    assert!(stderr.contains("first at position 3"), "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&report["is_sound"], &report["first_damaged_position"]),
        (&json!(false), &json!(3))
    );
    assert_eq!(report["damages"][0]["damage"], "payload");

    let over_http =
        operator(&server, "POST", &format!("/tenants/{id}/verify"), &Value::Null).is(200);
    assert_eq!(over_http["damages"], report["damages"]);
    let live = server.send(
        "POST",
        &format!("/api/v1/tenants/{id}/verify"),
        &[("Accept", "text/event-stream")],
        b"",
    );
    assert!(live.text.contains("event: progress\ndata: {\"position\""), "{}", live.text);
    assert!(live.text.contains("event: report\ndata: {"), "{}", live.text);
}

#[test]
fn a_name_or_a_reason_without_an_end_is_refused_with_its_limit() {
    let server = Server::start();
    let long = |length| "x".repeat(length);
    let place = |name: String| {
        let body = json!({ "store_id": "shared", "placed_by": name });
        operator(&server, "PUT", &format!("/tenants/{}", Uuid::new_v4()), &body)
    };
    place(long(256)).is(200);
    assert_eq!(place(long(257)).refused(400, "invalid_body")["path"], "/placed_by");
    let tenant = server.tenant();
    let plan = format!("/migration-plans/{}", Uuid::new_v4());
    for (step, field, limit) in [
        ("approve", "approved_by", 256),
        ("reject", "rejected_by", 256),
        ("reject", "reason", 4096),
        ("deploy", "deployed_by", 256),
        ("withdraw", "withdrawn_by", 256),
    ] {
        let path = format!("{plan}/{step}");
        tenant.post(&path, &json!({field: long(limit)})).refused(404, "plan_not_found");
        let details =
            tenant.post(&path, &json!({field: long(limit + 1)})).refused(400, "invalid_body");
        assert_eq!(details["path"], format!("/{field}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_that_is_followed_ends_with_the_server() {
    let database = TestDatabase::fresh().await;
    let dir = tempfile::tempdir().unwrap();
    let url = database.url();
    let config = format!("[stores.shared]\nkind = \"postgres\"\nurl = \"{url}\"\n");
    std::fs::write(dir.path().join("segue.toml"), config).unwrap();
    let mut server = Server::start_in(dir, &["--config", "segue.toml"]);
    let tenant = server.tenant();
    tenant.registered(&order_flow());
    let append = json!({"stream_type": "t", "expected_version": "any",
        "events": [{"event_type": "Happened", "payload": 1}]});
    tenant.post("/streams/a/events", &append).is(201);
    // A verification that cannot go on stands for one of a long log.
    let holder = database.client().await;
    holder.batch_execute("BEGIN; LOCK TABLE segue_events.events").await.unwrap();
    let verify = format!("{}/api/v1/tenants/{}/verify", server.url, tenant.id);
    let following = std::thread::spawn(move || {
        let accept = ("Accept", "text/event-stream");
        let mut answer = ureq::post(verify).header(accept.0, accept.1).send_empty().unwrap();
        answer.body_mut().read_to_string()
    });
    let waiting = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database \
                   WHERE NOT granted AND datname = current_database()";
    let looker = database.client().await;
    while looker.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0
        && !following.is_finished()
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!following.is_finished());

    let begun = Instant::now();
    assert!(server.terminate().success());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    following.join().unwrap().unwrap();
}

#[test]
fn stores_and_tenants_are_shown_without_naming_a_tenant() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[stores]\ndefault = \"shared\"\n\
        [stores.shared]\nkind = \"sqlite\"\npath = \"./segue-data/shared.db\"\n\
        [stores.dedicated]\nkind = \"sqlite\"\npath = \"./segue-data/dedicated.db\"\n";
    std::fs::write(dir.path().join("segue.toml"), config).unwrap();
    let server = Server::start_in(dir, &["--config", "segue.toml"]);
    let tenant = server.tenant();
    talked(&tenant);

    let stores = operator(&server, "GET", "/stores", &Value::Null).is(200);
    let told: Vec<_> = stores
        .as_array()
        .unwrap()
        .iter()
        .map(|store| (store["store_id"].as_str().unwrap(), store["tenants"].as_u64().unwrap()))
        .collect();
    assert_eq!(told, [("dedicated", 0), ("shared", 1)]);
    assert_eq!((&stores[0]["healthy"], &stores[0]["kind"]), (&json!(true), &json!("sqlite")));
    assert_eq!(stores[1]["durability"]["survives"], "power_loss");

    let path = format!("/tenants/{}", tenant.id);
    let shown = operator(&server, "GET", &path, &Value::Null).is(200);
    assert_eq!(
        (&shown["store_id"], &shown["epoch"], &shown["state"]),
        (&json!("shared"), &json!(1), &json!("normal"))
    );
    assert!(shown["position"].as_u64().unwrap() > 0);
    assert_eq!(shown["digest"].as_str().unwrap().len(), 64);
    assert_eq!(shown["migration_id"], Value::Null);

    let new = Uuid::new_v4();
    let place = |store: &str| {
        let body = json!({ "store_id": store });
        operator(&server, "PUT", &format!("/tenants/{new}"), &body)
    };
    let details = place("nowhere").refused(404, "store_not_found");
    assert_eq!(details["known_store_ids"], json!(["dedicated", "shared"]));
    operator(&server, "GET", &format!("/tenants/{new}"), &Value::Null)
        .refused(404, "tenant_not_found");
    assert_eq!(place("dedicated").is(200)["store_id"], "dedicated");
    assert_eq!(place("dedicated").is(200)["position"], 0, "a repeat is safe");
    let details = place("shared").refused(409, "tenant_already_placed");
    assert_eq!(details["store_id"], "dedicated");
    let placed = Tenant { server: &server, id: new };
    talked(&placed);
    let listed = operator(&server, "GET", "/tenants?store_id=dedicated", &Value::Null).is(200);
    assert_eq!((&listed["total"], &listed["tenants"][0]["tenant_id"]), (&json!(1), &json!(new)));

    for (arguments, expected) in [
        (vec!["store", "list"], "shared (default)"),
        (vec!["tenant", "list"], "dedicated"),
        (vec!["tenant", "show", &new.to_string()], "reads and writes go on"),
    ] {
        let output = tenant.cli(&arguments);
        let (stdout, stderr) = printed(&output);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        assert!(stdout.contains(expected), "{stdout}");
    }
    let taken = tenant.cli(&["tenant", "place", &new.to_string(), "shared"]);
    assert_eq!(taken.status.code(), Some(6), "{taken:?}");
}

#[test]
fn an_operator_pauses_a_tenants_writes_and_lets_them_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[tenant_migration]\nwrite_pause_timeout = 0.2\n";
    std::fs::write(dir.path().join("segue.toml"), config).unwrap();
    let server = Server::start_in(dir, &["--config", "segue.toml"]);
    let tenant = server.tenant();
    talked(&tenant);
    let at = |act: &str| format!("/tenants/{}/{act}-writes", tenant.id);

    let paused = operator(&server, "POST", &at("pause"), &json!({ "by": "ann" })).is(200);
    assert_eq!(paused["state"], "paused");
    let event = json!({ "event_type": "Noted", "payload": {} });
    let body = json!({ "stream_type": "note", "expected_version": "any", "events": [event] });
    tenant.post("/streams/note-1/events", &body).refused(503, "write_paused");
    let again = operator(&server, "POST", &at("pause"), &Value::Null).is(200);
    assert_eq!(again["state"], "paused", "a repeat is safe");

    let (stdout, _) = printed(&tenant.cli(&["tenant", "resume", &tenant.id.to_string()]));
    assert!(stdout.contains("reads and writes go on"), "{stdout}");
    assert!(stdout.contains("writes that waited  1"), "{stdout}");
    tenant.post("/streams/note-1/events", &body).is(201);
    let resumed = operator(&server, "POST", &at("resume"), &Value::Null).is(200);
    assert_eq!((&resumed["state"], &resumed["pause"]), (&json!("normal"), &Value::Null));

    let audit = format!("/tenants/{}/audit", tenant.id);
    let decided = operator(&server, "GET", &audit, &Value::Null).is(200);
    let line = |nth: usize| (&decided["entries"][nth]["action"], &decided["entries"][nth]["actor"]);
    assert_eq!(line(0), (&json!("writes_resumed"), &json!("operator")));
    assert_eq!(line(1), (&json!("writes_paused"), &json!("ann")));
    assert_eq!(line(2), (&json!("tenant_placed"), &json!("segue")));
    let page = operator(&server, "GET", &format!("{audit}?limit=2"), &Value::Null).is(200);
    let next = page["next_cursor"].as_str().unwrap();
    let rest = operator(&server, "GET", &format!("{audit}?cursor={next}"), &Value::Null).is(200);
    assert_eq!((&rest["total"], &rest["entries"][0]), (&json!(3), &decided["entries"][2]));
    let (stdout, _) = printed(&tenant.cli(&["tenant", "audit", &tenant.id.to_string()]));
    assert!(stdout.contains("writes paused") && stdout.contains("ann"), "{stdout}");
    let nobody = format!("/tenants/{}/audit", Uuid::new_v4());
    operator(&server, "GET", &nobody, &Value::Null).refused(404, "tenant_not_found");

    let nobody = format!("/tenants/{}/pause-writes", Uuid::new_v4());
    operator(&server, "POST", &nobody, &Value::Null).refused(404, "tenant_not_found");
}
