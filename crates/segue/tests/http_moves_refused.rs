//! What is refused about tenants' moves, and how: bad input, wrong states, stores that will not do, damage.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod relocation;
mod support;

use std::path::Path;

use relocation::{
    append, append_each, ask, cut_over, home, log, operator, read, server, server_with, slow,
    start, started, until, until_state,
};
use serde_json::{Value, json};
use support::{Server, Tenant};
use uuid::Uuid;

fn to(store: &str) -> Value {
    json!({ "target_store_id": store })
}

#[test]
fn a_move_that_makes_no_sense_is_refused_by_name_and_nothing_begins() {
    let server = server();
    let tenant = server.tenant();
    append(&tenant, "history", 3);
    let details = start(&tenant, &to("attic")).refused(404, "store_not_found");
    assert_eq!(details["known_store_ids"], json!(["dedicated", "shared"]));
    let details = start(&tenant, &to("shared")).refused(409, "same_store");
    assert_eq!((&details["store_id"], &details["recoverable"]), (&json!("shared"), &json!(false)));
    start(&server.tenant(), &to("dedicated")).refused(404, "tenant_not_found");
    start(&tenant, &json!({})).refused(400, "invalid_body");
    start(&tenant, &json!({ "target_store_id": "dedicated", "force": 1 }))
        .refused(400, "unknown_field");

    let with = |config: Value| {
        start(&tenant, &json!({ "target_store_id": "dedicated", "config": config }))
    };
    let details = with(json!({ "batch_sise": 5 })).refused(400, "unknown_field");
    assert_eq!(details["path"], "/config/batch_sise");
    let details = with(json!({ "batch_size": "five" })).refused(400, "invalid_body");
    assert_eq!(details["path"], "/config/batch_size");
    with(json!("fast")).refused(400, "invalid_body");
    let wrong = with(json!({ "verification_level": "MD5" }));
    assert!(wrong.text.contains("COUNT") && wrong.text.contains("FULL"), "{}", wrong.text);
    wrong.refused(400, "invalid_body");
    for (setting, value, allowed) in [
        ("batch_size", json!(0), "1 to 10,000"),
        ("sample_percentage", json!(101.0), "up to 100"),
        ("cutover_timeout_seconds", json!(3_600), "0.05 to 60"),
        ("max_bulk_copy_rate", json!(0.1), "1 or more"),
    ] {
        let details = with(json!({ setting: value })).refused(400, "invalid_request");
        let problem = &details["problems"][0];
        assert_eq!(problem["path"], format!("/config/{setting}"));
        let message = problem["message"].as_str().unwrap();
        assert!(message.contains(setting) && message.contains(allowed), "{message}");
    }
    let long = json!({ "target_store_id": "dedicated", "started_by": "x".repeat(300) });
    assert_eq!(start(&tenant, &long).refused(400, "invalid_body")["path"], "/started_by");
    let none = operator(&server, "GET", "/tenant-migrations", &Value::Null).is(200);
    assert_eq!(none["total"], 0);
    assert_eq!(home(&tenant)["state"], "normal");
}

#[test]
fn a_migration_that_never_was_is_not_found_whatever_is_asked() {
    let server = server();
    let nobody = Uuid::new_v4().to_string();
    for what in ["", "/status", "/failure-stats", "/subscriptions", "/verification", "/audit"] {
        let path = format!("/tenant-migrations/{nobody}{what}");
        let details =
            operator(&server, "GET", &path, &Value::Null).refused(404, "migration_not_found");
        assert_eq!(
            (&details["migration_id"], &details["recoverable"]),
            (&json!(nobody), &json!(false))
        );
    }
    for what in ["pause", "resume", "abort", "cutover", "reverse", "finish", "verify", "repair"] {
        ask(&server, &nobody, what, &Value::Null).refused(404, "migration_not_found");
    }
    operator(&server, "GET", "/tenant-migrations/seven", &Value::Null)
        .refused(400, "invalid_parameter");
    for query in ["state=moving", "limit=0", "cursor=x", "owner=me"] {
        let path = format!("/tenant-migrations?{query}");
        let answer = operator(&server, "GET", &path, &Value::Null);
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
    }
    let tenant = server.tenant();
    append(&tenant, "history", 1);
    let id = started(&tenant, &json!({}));
    for (what, body, code) in [
        ("pause", json!({ "reason": "none" }), "unknown_field"),
        ("cutover", json!({ "force": "yes" }), "invalid_body"),
        ("abort", json!({ "reason": "x".repeat(5_000) }), "invalid_body"),
        ("verify", json!({ "level": "DEEP" }), "invalid_body"),
        ("verify", json!({ "sample_percentage": 0 }), "invalid_request"),
    ] {
        ask(&server, &id, what, &body).refused(400, code);
    }
}

#[test]
fn a_tenant_has_one_migration_at_a_time() {
    let server = server_with(
        "[stores.third]\nkind = \"sqlite\"\npath = \"third.db\"\n\
         [tenant_migration]\nsync_check_interval = 0.02\n",
    );
    let tenant = server.tenant();
    append(&tenant, "history", 3);
    let id = started(&tenant, &json!({}));
    for dry_run in [false, true] {
        let body = json!({ "target_store_id": "third", "dry_run": dry_run });
        let details = start(&tenant, &body).refused(409, "migration_already_exists");
        assert_eq!(
            (&details["migration_id"], &details["tenant_id"]),
            (&json!(id), &json!(tenant.id))
        );
        assert!(details["suggested_action"].is_string());
    }
    cut_over(&server, &id);
    let details = start(&tenant, &to("third")).refused(409, "migration_already_exists");
    assert_eq!(details["state"], "migrated", "its way back is kept until it is finished");
    ask(&server, &id, "finish", &json!({ "now": true })).is(200);
    until(&server, &id, "it is over", |migration| migration["is_active"] == false);
    let third = json!({ "target_store_id": "third", "by": "omar" });
    assert_eq!(start(&tenant, &third).is(201)["created_by"], "omar");
}

/// Asks everything that does not fit the migration's state.
#[track_caller]
fn all_refused(server: &Server, id: &str, state: &str, steps: &[&str], allowed: &Value) {
    for step in steps {
        let details = ask(server, id, step, &Value::Null).refused(409, "invalid_state_transition");
        assert_eq!(details["current_state"], state, "{step}");
        assert_eq!(&details["allowed_transitions"], allowed, "{step}");
        assert!(details["attempted_state"].is_string(), "{step}: {details}");
        assert_eq!(details["migration_id"], id, "{step}");
    }
}

#[test]
fn what_does_not_fit_a_state_is_refused_with_where_one_may_go_from_there() {
    let server = server();
    let tenant = server.tenant();
    append_each(&tenant, "history", 60);
    let id = started(&tenant, &slow());
    let refused = |id: &str, state: &str, steps: &[&str]| {
        let migration = read(&server, id, "");
        assert_eq!(migration["state"], state);
        let allowed = match state {
            "bulk_copy" => json!(["dual_write", "paused", "failed", "rolled_back"]),
            "dual_write" => json!(["cutover_paused", "paused", "failed", "rolled_back"]),
            "paused" => json!(["bulk_copy", "dual_write", "rolled_back"]),
            _ => json!([]),
        };
        all_refused(&server, id, state, steps, &allowed);
    };
    until_state(&server, &id, "bulk_copy");
    refused(&id, "bulk_copy", &["resume", "cutover", "reverse", "finish"]);
    ask(&server, &id, "pause", &Value::Null).is(200);
    refused(&id, "paused", &["pause", "cutover", "reverse", "finish"]);
    ask(&server, &id, "abort", &Value::Null).is(200);
    until(&server, &id, "it is over", |migration| migration["is_active"] == false);
    let everything =
        ["pause", "resume", "abort", "cutover", "reverse", "finish", "verify", "repair"];
    refused(&id, "rolled_back", &everything);

    let id = started(&tenant, &json!({}));
    until_state(&server, &id, "dual_write");
    refused(&id, "dual_write", &["resume", "reverse", "finish"]);
    cut_over(&server, &id);
    refused(&id, "migrated", &["pause", "resume", "abort", "cutover", "repair"]);
    ask(&server, &id, "finish", &Value::Null).is(200);
    refused(
        &id,
        "migrated",
        &["pause", "resume", "abort", "cutover", "reverse", "repair", "verify"],
    );
    ask(&server, &id, "finish", &json!({ "now": true })).is(200);
    until(&server, &id, "it is over", |migration| migration["is_active"] == false);
    refused(&id, "migrated", &everything);
}

#[test]
fn stores_that_may_forget_are_refused_unless_that_is_ordered() {
    let server = server_with("[stores.memory]\nkind = \"memory\"\n");
    let tenant = server.tenant();
    append(&tenant, "history", 3);
    let details = start(&tenant, &to("memory")).refused(409, "unsafe_durability");
    assert_eq!(details["store_id"], "memory");
    assert!(details["suggested_action"].as_str().unwrap().contains("allow_unsafe_durability"));
    let dry = json!({ "target_store_id": "memory", "dry_run": true });
    start(&tenant, &dry).refused(409, "unsafe_durability");
    assert_eq!(home(&tenant)["migration_id"], Value::Null);
    let ordered =
        json!({ "target_store_id": "memory", "config": { "allow_unsafe_durability": true } });
    let id = start(&tenant, &ordered).is(201)["id"].as_str().unwrap().to_owned();
    cut_over(&server, &id);
    let audit = read(&server, &id, "/audit");
    let started = audit["entries"].as_array().unwrap().last().unwrap();
    assert_eq!(started["details"]["config"]["allow_unsafe_durability"], true, "it is on record");
}

#[test]
fn a_target_that_holds_another_log_of_the_tenant_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = "[control]\nurl = \"sqlite:elsewhere.db\"\n\
                     [stores.shared]\nkind = \"sqlite\"\npath = \"dedicated.db\"\n";
    std::fs::write(dir.path().join("elsewhere.toml"), elsewhere).unwrap();
    std::fs::write(dir.path().join("segue.toml"), relocation::TWO_STORES).unwrap();
    let other = Server::start_in(dir, &["--config", "elsewhere.toml"]);
    let id = {
        let tenant = other.tenant();
        append(&tenant, "other", 7);
        tenant.id
    };
    let server = Server::start_in(other.kill(), &["--config", "segue.toml"]);
    let tenant = Tenant { server: &server, id };
    append(&tenant, "history", 3);
    let refused = start(&tenant, &to("dedicated"));
    assert!(refused.text.contains("it is open at epoch 1"), "{}", refused.text);
    let details = refused.refused(409, "target_occupied");
    assert_eq!(details["store_id"], "dedicated");
    let other = Server::start_in(server.kill(), &["--config", "elsewhere.toml"]);
    assert_eq!(log(&Tenant { server: &other, id }).len(), 7);
}

/// Overwrites the payload of one event behind the server's back.
fn damage(file: &Path, position: i64) {
    let database = rusqlite::Connection::open(file).unwrap();
    database.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let change = "UPDATE events SET payload = x'00' WHERE position = ?1";
    assert_eq!(database.execute(change, [position]), Ok(1));
}

#[test]
fn a_damaged_event_of_the_source_stops_the_copy_before_it_and_is_named() {
    let server = server();
    let tenant = server.tenant();
    append_each(&tenant, "history", 40);
    damage(&server.dir.path().join("shared.db"), 25);
    let id = started(&tenant, &json!({ "sync_lag_threshold": 0, "batch_size": 10 }));
    let failed = until_state(&server, &id, "failed");
    let message = failed["error_message"].as_str().unwrap();
    assert!(message.contains("25"), "{message}");
    assert_eq!(failed["events_copied"], 24);
    assert_eq!(failed["error"]["recoverable"], true);
    assert!(failed["error"]["suggested_action"].as_str().unwrap().contains("restore"));
    let allowed = json!(["pending", "bulk_copy", "dual_write", "rolled_back"]);
    all_refused(&server, &id, "failed", &["pause", "cutover", "reverse", "finish"], &allowed);
    let words = home(&tenant)["explanation"].as_str().unwrap().to_owned();
    assert!(words.contains("failed in bulk_copy") && words.contains("in the way since"), "{words}");
    append(&tenant, "history", 1);

    ask(&server, &id, "resume", &Value::Null).is(200);
    until_state(&server, &id, "failed");
    let aborted = ask(&server, &id, "abort", &Value::Null).is(200);
    assert_eq!(
        (&aborted["state"], &aborted["abort_reason"]),
        (&json!("rolled_back"), &json!("Manual abort"))
    );
}

#[test]
fn a_damaged_copy_is_named_and_not_moved_to_until_it_is_repaired() {
    let server = server();
    let tenant = server.tenant();
    append_each(&tenant, "history", 30);
    let id = started(&tenant, &json!({ "verification_level": "FULL" }));
    until(&server, &id, "it was read back", |migration| migration["events_read_back"] == 30);
    damage(&server.dir.path().join("dedicated.db"), 12);
    let report = ask(&server, &id, "verify", &Value::Null).is(200);
    assert_eq!((&report["is_consistent"], &report["level"]), (&json!(false), &json!("FULL")));
    assert!(report["violations"].to_string().contains("position 12"), "{report}");
    let details = ask(&server, &id, "cutover", &Value::Null).refused(409, "consistency_error");
    assert!(details["details"].as_str().unwrap().contains("12"), "{details}");
    assert_eq!(home(&tenant)["store_id"], "shared");
    append(&tenant, "history", 1);

    let repaired = ask(&server, &id, "repair", &json!({ "by": "olga" })).is(200);
    assert!(repaired["to_position"].as_u64().unwrap() < 12, "{repaired}");
    assert!(repaired["from_position"].as_u64().unwrap() >= 30, "{repaired}");
    let sound = || ask(&server, &id, "verify", &Value::Null).is(200)["is_consistent"] == true;
    until(&server, &id, "it is copied anew", |migration| {
        migration["events_copied"] == 31 && sound()
    });
    cut_over(&server, &id);
    assert_eq!((&home(&tenant)["store_id"], log(&tenant).len()), (&json!("dedicated"), 31));
}

#[test]
fn long_work_on_a_copy_can_be_followed_as_it_goes_on() {
    let server = server();
    let tenant = server.tenant();
    append(&tenant, "history", 3_000);
    let id = started(&tenant, &json!({}));
    until_state(&server, &id, "dual_write");
    let path = |what: &str| format!("/api/v1/tenant-migrations/{id}/{what}");
    let headers = [("Accept", "text/event-stream")];
    let verified = server.send("POST", &path("verify"), &headers, b"").text;
    assert!(verified.contains("event: progress\ndata: {\"position\""), "{verified}");
    assert!(verified.contains("event: report\ndata: {"), "{verified}");
    let repaired = server.send("POST", &path("repair"), &headers, b"").text;
    assert!(repaired.contains("\"from_position\":3000,\"to_position\":3000"), "{repaired}");
    cut_over(&server, &id);
    let refused = server.send("POST", &path("repair"), &headers, b"").text;
    assert!(
        refused.contains("event: problem\ndata: {\"code\":\"invalid_state_transition\""),
        "{refused}"
    );
}
