//! What an operator's alerts stand on: gauges that follow what happens, without anybody asking for it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod relocation;
mod support;

use std::time::{Duration, Instant};

use relocation::{append, ask, operator, server_with, started, until_state};
use serde_json::{Value, json};
use support::Server;

/// A look around ten times a second.
const OFTEN: &str =
    "[telemetry]\nrefresh_seconds = 0.1\n[tenant_migration]\nsync_check_interval = 0.02\n";

/// Waits until a series has a value.
#[track_caller]
fn until_is(server: &Server, series: &str, wanted: f64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.metric(series) != Some(wanted) {
        assert!(Instant::now() < deadline, "{series} is {:?}", server.metric(series));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn active(state: &str) -> String {
    format!("tenant_migrations_active{{state=\"{state}\"}}")
}

#[test]
fn moves_are_counted_by_their_state_for_as_long_as_they_are_not_over() {
    let server = server_with(OFTEN);
    let (counted, uncounted) = (server.tenant(), server.tenant());
    append(&counted, "history", 5);
    append(&uncounted, "history", 5);
    let without = started(&uncounted, &json!({ "enable_metrics": false }));
    until_state(&server, &without, "dual_write");
    let id = started(&counted, &json!({}));
    until_state(&server, &id, "dual_write");
    until_is(&server, &active("dual_write"), 1.0);
    ask(&server, &id, "pause", &Value::Null).is(200);
    until_is(&server, &active("paused"), 1.0);
    until_is(&server, &active("dual_write"), 0.0);
    ask(&server, &id, "abort", &Value::Null).is(200);
    until_is(&server, &active("paused"), 0.0);
}

#[test]
fn a_copy_that_is_verified_is_counted_by_level_and_result() {
    let server = server_with(OFTEN);
    let tenant = server.tenant();
    append(&tenant, "history", 5);
    let id = started(&tenant, &json!({}));
    until_state(&server, &id, "dual_write");
    ask(&server, &id, "verify", &json!({ "level": "FULL" })).is(200);
    let verified = "tenant_migration_verifications_total{level=\"FULL\",result=\"consistent\"}";
    until_is(&server, verified, 1.0);
}

#[test]
fn writes_that_wait_for_a_pause_are_seen_and_counted_when_they_time_out() {
    let server = server_with(&format!("{OFTEN}write_pause_timeout = 5.0\n"));
    let tenant = server.tenant();
    append(&tenant, "history", 1);
    operator(&server, "POST", &format!("/tenants/{}/pause-writes", tenant.id), &Value::Null)
        .is(200);
    let event = json!([{ "event_type": "Counted", "payload": {} }]);
    let body = json!({ "stream_type": "counter", "expected_version": "any", "events": event });
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| tenant.post("/streams/history/events", &body));
        until_is(&server, "writes_waiting", 1.0);
        waiting.join().unwrap().refused(503, "write_paused");
    });
    until_is(&server, "writes_waiting", 0.0);
    until_is(&server, "writes_paused_timeouts_total", 1.0);
    until_is(&server, "http_refusals_total{code=\"write_paused\"}", 1.0);
}

#[test]
fn a_control_plane_that_is_away_is_told_of_beside_a_store_that_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = "[control]\nurl = \"postgres://nobody@127.0.0.1:1/none\"\n";
    std::fs::write(dir.path().join("segue.toml"), format!("{OFTEN}{nobody}")).unwrap();
    let server = Server::start_in(dir, &["--config", "segue.toml"]);
    until_is(&server, "segue_control_plane_up", 0.0);
    until_is(&server, "segue_store_up{store=\"shared\"}", 1.0);
    assert!(server.metric("process_resident_memory_bytes").unwrap() > 1e6);
    assert!(server.metric("process_start_time_seconds").unwrap() > 1.7e9);
}
