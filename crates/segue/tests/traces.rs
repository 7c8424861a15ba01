//! What a collector gets to see of a turn and of a move, through the real binary; and that one that hangs, or
//! is not there, is nobody's trouble.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "traces/collector.rs"]
mod collector;
mod relocation;
mod support;

use std::time::{Duration, Instant};

use collector::Collector;
use relocation::{TWO_STORES, append, cut_over, started};
use serde_json::{Value, json};
use support::{Server, Tenant};

const TURNS: &str = "POST /api/v1/sessions/{session_id}/turns";

/// A server that traces, and sends what it has at once.
fn traced(endpoint: &str, more: &str) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let telemetry = format!("[telemetry]\notlp_endpoint = \"{endpoint}\"\n{more}");
    std::fs::write(dir.path().join("segue.toml"), format!("{TWO_STORES}{telemetry}")).unwrap();
    let mut command = support::segue(dir.path());
    command.args(["serve", "--listen", "127.0.0.1:0", "--config", "segue.toml"]);
    command.env("OTEL_BSP_SCHEDULE_DELAY", "100").env("OTLP_TEST_HEADERS", "x-key=s3cr3t");
    Server::spawn(command, dir)
}

/// Deploys a second version, whose checkout is called otherwise.
fn deploy(tenant: &Tenant<'_>, scenario: &str) {
    let mut second = support::order_flow();
    second["version"] = json!(2);
    second["steps"][2]["name"] = json!("Confirmation");
    let asked = json!({ "new_scenario": second, "created_by": "olga" });
    let plan = tenant.post(&format!("/scenarios/{scenario}/migration-plan"), &asked).is(201);
    let plan = plan["id"].as_str().unwrap();
    let approved = json!({ "approved_by": "olga" });
    tenant.post(&format!("/migration-plans/{plan}/approve"), &approved).is(200);
    let deployed = json!({ "deployed_by": "olga" });
    tenant.post(&format!("/migration-plans/{plan}/deploy"), &deployed).is(200);
}

#[test]
fn a_turn_is_traced_from_its_caller_down_to_the_append() {
    let collector = Collector::start();
    let server = traced(
        &collector.url,
        "otlp_headers_env = \"OTLP_TEST_HEADERS\"\nservice_name = \"checkout\"\n",
    );
    let tenant = server.tenant();
    let scenario = tenant.registered(&support::order_flow());
    let body = json!({ "scenario_id": scenario, "channel": "whatsapp", "customer_id": "anna" });
    let session = tenant.post("/sessions", &body).is(201)["id"].as_str().unwrap().to_owned();
    tenant.turn(&session, &json!({ "message": { "text": "hello" } }));
    deploy(&tenant, &scenario);
    let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("Content-Type", "application/json"), ("traceparent", caller)];
    let turn = format!("/sessions/{session}/turns");
    let said = br#"{"message": {"text": "I live in Rue de Rivoli"}}"#;
    tenant.send("POST", &turn, &headers, said).is(200);

    let trace = "0af7651916cd43dd8448eb211c80319c";
    let spans = collector.until(|seen| seen.of_trace(trace).one(TURNS).is_some());
    let spans = spans.of_trace(trace);
    let request = spans.one(TURNS).unwrap();
    assert_eq!(request.parent, "b7ad6b7169203331", "the caller's span");
    assert_eq!((request.kind, request.text("http.response.status_code")), (2, "200".to_owned()));
    assert_eq!(request.text("http.route"), "/api/v1/sessions/{session_id}/turns");
    let taken = spans.one("turn").unwrap();
    assert_eq!((&taken.parent, taken.text("outcome")), (&request.id, "taken".to_owned()));
    assert_eq!(taken.number("rounds"), 1);
    for part in ["load", "standing", "profile", "reconcile", "append"] {
        assert_eq!(spans.one(part).unwrap().parent, taken.id, "{part}");
    }
    let reconciled = spans.one("reconcile").unwrap();
    assert_eq!(reconciled.text("migration.outcome"), "applied");
    assert_eq!(reconciled.text("migration.scenario"), "clean_graft");

    let all = collector.seen();
    assert_eq!(all.service, "checkout");
    assert!(all.requests.iter().any(|head| head.contains("x-key: s3cr3t")), "{:?}", all.requests);
    let told = format!("{:?}", all.spans);
    for secret in [session.as_str(), "anna", "Rivoli", "s3cr3t", &tenant.id.to_string()] {
        assert!(!told.contains(secret), "{secret} is in {told}");
    }
    assert!(!server.log().contains("s3cr3t"));
}

#[test]
fn a_move_is_traced_with_its_effects_and_its_cutover() {
    let collector = Collector::start();
    let mut server = traced(
        &collector.url,
        "[tenant_migration]\nsync_check_interval = 0.02\nbatch_size = 50\nverification_level = \"FULL\"\n",
    );
    let (tenant_id, migration) = {
        let tenant = server.tenant();
        append(&tenant, "history", 2_000);
        // So slow that it takes several turns.
        let slowly = json!({ "max_bulk_copy_rate": 5_000 });
        let migration = started(&tenant, &slowly);
        cut_over(&server, &migration);
        (tenant.id, migration)
    };
    // What is still open is sent when the server stops.
    assert!(server.terminate().success());
    let spans = collector.seen();
    let carried = spans.one("tenant_migration").unwrap();
    assert_eq!(carried.text("migration_id"), migration);
    assert_eq!(carried.text("tenant"), tenant_id.to_string());
    assert_eq!(carried.parent, "");
    let below = |name: &str, parent: &str| {
        let mut named = spans.all(name);
        named.retain(|span| span.parent == parent);
        assert!(!named.is_empty(), "no {name} below {parent}: {:#?}", spans.spans);
        named
    };
    for effect in ["preflight", "claim", "begin_copy", "begin_dual_write", "cut_over"] {
        assert_eq!(below(effect, &carried.id)[0].text("outcome"), "done", "{effect}");
    }
    let copies = below("copy", &carried.id);
    let copied: u64 = copies.iter().map(|copy| copy.number("events")).sum();
    assert_eq!(copied, 2_000);
    assert!(copies.iter().any(|copy| copy.number("times") > 1), "{copies:#?}");
    assert!(copies.len() < 20, "forty pages and more are told in a few spans: {}", copies.len());
    let verified = below("verification", &carried.id);
    assert_eq!(
        (verified[0].text("level"), verified[0].text("is_consistent")),
        ("FULL".to_owned(), "true".to_owned())
    );
    let cutover = &below("cutover", &carried.id)[0];
    assert_eq!(cutover.text("outcome"), "committed");
    assert!(cutover.text("pause_ms").parse::<f64>().unwrap() > 0.0);
    for step in ["fence", "drain", "commit"] {
        let step = &below(step, &cutover.id)[0];
        assert!(step.began >= cutover.began && step.ended <= cutover.ended, "{step:?} {cutover:?}");
        assert_eq!(step.text("outcome"), "done");
    }
    assert_eq!(below("fence", &cutover.id)[0].text("phase"), "cutover_paused");
}

#[test]
fn a_move_that_is_not_to_be_traced_is_not() {
    let collector = Collector::start();
    let mut server = traced(
        &collector.url,
        "[tenant_migration]\nsync_check_interval = 0.02\nenable_tracing = false\n",
    );
    {
        let tenant = server.tenant();
        append(&tenant, "history", 10);
        cut_over(&server, &started(&tenant, &json!({})));
    }
    assert!(server.terminate().success());
    let seen = collector.seen();
    assert!(seen.one("POST /api/v1/tenants/{tenant_id}/migrations").is_some());
    for name in ["tenant_migration", "copy", "cutover", "commit", "verification"] {
        assert!(seen.one(name).is_none(), "{name}");
    }
}

#[test]
fn no_traces_are_kept_where_the_ratio_is_0_unless_the_caller_keeps_its_own() {
    let collector = Collector::start();
    let server = traced(&collector.url, "sample_ratio = 0.0\n");
    server.send("GET", "/healthz", &[], b"").is(200);
    let caller = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
    server.send("GET", "/readyz", &caller, b"").is(200);
    let seen = collector.until(|seen| seen.one("GET /readyz").is_some());
    assert!(seen.one("GET /healthz").is_none());
}

/// Takes turns against a collector that is of no use, and returns the server.
fn unhurt(endpoint: &str) -> Server {
    let server = traced(endpoint, "otlp_timeout_seconds = 60.0\n");
    {
        let tenant = server.tenant();
        let scenario = tenant.registered(&support::order_flow());
        let sessions: Vec<String> =
            (0..40).map(|_| tenant.started(&scenario, "whatsapp")).collect();
        let slowest = sessions.iter().map(|session| {
            let begun = Instant::now();
            tenant.turn(session, &json!({ "message": { "text": "hello" } }));
            begun.elapsed()
        });
        let slowest = slowest.max().unwrap();
        assert!(slowest < Duration::from_secs(20), "a turn took {slowest:?}");
    }
    server
}

#[test]
fn a_collector_that_hangs_slows_nothing_and_keeps_no_server_from_stopping() {
    let hanging = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = unhurt(&format!("http://{}", hanging.local_addr().unwrap()));
    let begun = Instant::now();
    assert!(server.terminate().success());
    assert!(begun.elapsed() < Duration::from_secs(15), "it took {:?}", begun.elapsed());
}

#[test]
fn a_collector_that_is_away_is_told_of_once_in_the_log_and_counted() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let server = unhurt(&format!("http://{address}"));
    let deadline = Instant::now() + Duration::from_secs(20);
    let failed = || server.metric("segue_trace_exports_failed_total").unwrap();
    while failed() < 3.0 {
        assert!(Instant::now() < deadline, "{}", server.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(server.log().matches("traces cannot be sent").count(), 1, "{}", server.log());
}

#[test]
fn a_collector_that_cannot_be_one_stops_the_start_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[telemetry]\n\notlp_endpoint = \"127.0.0.1:4318\"\n";
    std::fs::write(dir.path().join("segue.toml"), config).unwrap();
    let serve =
        support::segue(dir.path()).args(["serve", "--config", "segue.toml"]).output().unwrap();
    let (_, stderr) = support::printed(&serve);
    assert_eq!(serve.status.code(), Some(10), "{stderr}");
    assert!(stderr.contains("line 3") && stderr.contains("telemetry.otlp_endpoint"), "{stderr}");
}

#[test]
fn a_request_keeps_the_id_that_it_came_with_in_the_answer_and_in_the_log() {
    let server = Server::start();
    let given = server.send("GET", "/healthz", &[("X-Request-ID", "order-77")], b"");
    assert_eq!(given.headers["x-request-id"], "order-77");
    let made = |headers: &[(&str, &str)]| {
        let answer = server.send("GET", "/nowhere", headers, b"");
        answer.headers["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(made(&[]).len(), 36);
    assert_eq!(
        made(&[("X-Request-ID", "two words")]).len(),
        36,
        "what cannot stand in a log is not kept"
    );

    // A store that is gone: one line, with the id, the route and the cause.
    let dir = tempfile::tempdir().unwrap();
    let nobody = "[control]\nurl = \"postgres://nobody@127.0.0.1:1/none\"\n";
    std::fs::write(dir.path().join("segue.toml"), nobody).unwrap();
    let server = Server::start_in(dir, &["--config", "segue.toml"]);
    let answer = server.send("GET", "/readyz", &[("X-Request-ID", "probe-1")], b"");
    assert_eq!(
        (answer.status, &answer.headers["x-request-id"]),
        (503, &"probe-1".parse().unwrap())
    );
    let log = server.log();
    let lines: Vec<Value> = log
        .lines()
        .filter(|line| line.contains("request failed"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert_eq!(lines[0]["spans"][0]["request_id"], "probe-1", "{log}");
    assert_eq!((&lines[0]["route"], &lines[0]["status"]), (&json!("/readyz"), &json!(503)));
    assert_eq!(
        (&lines[0]["code"], &lines[0]["method"]),
        (&json!("store_unavailable"), &json!("GET"))
    );
}
