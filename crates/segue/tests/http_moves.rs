//! Tenants move over HTTP, while they are written, through the real binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod relocation;
mod support;

use std::time::Duration;

use relocation::{
    Status, Writers, append, append_each, ask, check, cut_over, home, log, operator, read, server,
    server_with, slow, start, started, until, until_state,
};
use serde_json::{Value, json};
use support::{Server, Tenant};

#[test]
fn a_tenant_moves_there_and_back_and_for_good_while_it_is_written() {
    let server = server();
    let tenant = server.tenant();
    append(&tenant, "history", 2_500);
    tenant.put("/subscriptions/billing", &json!({ "from": 1_000 })).is(201);
    let old = log(&tenant);
    let writers = Writers::begin(&tenant, 3);

    let dry = json!({ "target_store_id": "dedicated", "dry_run": true });
    let would = start(&tenant, &dry).is(200);
    assert!(would["events_to_copy"].as_u64().unwrap() >= 2_500, "{would}");
    assert_eq!((&would["events_in_target"], &would["subscriptions"]), (&json!(0), &json!(1)));
    assert_eq!(home(&tenant)["migration_id"], Value::Null, "nothing has begun");

    let id = started(&tenant, &json!({ "batch_size": 200 }));
    let migrated = cut_over(&server, &id);
    assert_eq!(migrated["created_by"], "olga");
    assert_eq!(migrated["config"]["batch_size"], 200);
    assert_eq!(migrated["config"]["sync_check_interval"], 0.02, "the server's own setting");
    assert_eq!(migrated["cutover"]["attempts"], 1);
    assert!(migrated["cutover"]["pause_ms"].as_f64().unwrap() < 5_000.0);
    let (now, home_at) = (home(&tenant), |tenant: &Tenant<'_>| home(tenant)["store_id"].clone());
    assert_eq!((&now["store_id"], &now["epoch"]), (&json!("dedicated"), &json!(2)));
    assert_eq!((&now["state"], &now["migration_id"]), (&json!("migrated"), &json!(id)));

    let along = read(&server, &id, "/subscriptions");
    assert_eq!(along["is_migrated"], true);
    let billing = &along["subscriptions"][0];
    assert_eq!(billing["subscription_name"], "billing");
    assert_eq!((&billing["current_position"], &billing["is_exact"]), (&json!(1_000), &json!(true)));
    assert_eq!(billing["planned_target_position"], 1_000);
    let next = tenant.get("/subscriptions/billing/events?limit=1").is(200);
    assert_eq!(next["events"][0]["position"], 1_001, "its consumer reads on");

    let full = ask(&server, &id, "verify", &json!({ "level": "FULL" })).is(200);
    assert_eq!((&full["is_consistent"], &full["level"]), (&json!(true), &json!("FULL")));
    assert_eq!(read(&server, &id, "/verification")["verification"]["level"], "FULL");

    let back = ask(&server, &id, "reverse", &json!({ "by": "omar" })).is(201);
    assert_eq!((&back["reverses"], &back["target_store_id"]), (&json!(id), &json!("shared")));
    let back = back["id"].as_str().unwrap().to_owned();
    cut_over(&server, &back);
    assert_eq!(home_at(&tenant), "shared");
    ask(&server, &back, "finish", &json!({ "now": true })).is(200);
    let over = until(&server, &back, "it is over", |migration| migration["is_active"] == false);
    assert_eq!(over["state"], "migrated");
    assert_eq!(home(&tenant)["state"], "normal");

    let mut history = writers.end();
    assert!(history.acknowledged() > 20, "the writers got to write");
    check(&mut history, &old, &log(&tenant));
    let sound = operator(&server, "POST", &format!("/tenants/{}/verify", tenant.id), &Value::Null);
    assert_eq!(sound.is(200)["is_sound"], true);
    let nothing = tenant.server.send("GET", "/metrics", &[], b"").text;
    assert!(nothing.contains("tenant_migrations_completed_total 2"), "{nothing}");
}

#[test]
fn a_paused_migration_stands_still_and_goes_on_when_it_is_resumed() {
    let server = server();
    let tenant = server.tenant();
    append_each(&tenant, "history", 60);
    let id = started(&tenant, &slow());
    until_state(&server, &id, "bulk_copy");
    let paused = ask(&server, &id, "pause", &json!({ "by": "omar" })).is(200);
    assert_eq!(paused["state"], "paused");
    // What is in flight arrives.
    let copied = || read(&server, &id, "")["events_copied"].clone();
    let mut before = copied();
    let copied = (0..100).find_map(|_| {
        std::thread::sleep(Duration::from_millis(500));
        let is_still = std::mem::replace(&mut before, copied()) == before;
        is_still.then(|| before.clone())
    });
    let copied = copied.unwrap();
    assert!(copied.as_u64() < Some(60), "{copied}");
    append(&tenant, "history", 10);
    std::thread::sleep(Duration::from_millis(500));
    let after = read(&server, &id, "");
    assert_eq!((&after["events_copied"], &after["total_events"]), (&copied, &json!(70)));
    let words = home(&tenant)["explanation"].as_str().unwrap().to_owned();
    assert!(words.contains("was paused in bulk_copy"), "{words}");
    assert!(words.contains("migration paused, by omar"), "{words}");

    ask(&server, &id, "resume", &Value::Null).is(200);
    until(&server, &id, "it copies", |migration| migration["events_copied"] != copied);
    let aborted = ask(&server, &id, "abort", &json!({ "reason": "enough", "by": "omar" })).is(200);
    assert_eq!((&aborted["state"], &aborted["is_active"]), (&json!("rolled_back"), &json!(false)));
    assert_eq!(aborted["abort_reason"], "enough");
    assert_eq!(home(&tenant)["state"], "normal");
    append(&tenant, "history", 1);
    // What is left in the target is in nobody's way.
    cut_over(&server, &started(&tenant, &json!({})));
    assert_eq!(home(&tenant)["store_id"], "dedicated");
}

#[test]
fn everything_that_is_decided_is_on_record_with_who_decided_it() {
    let server = server();
    let tenant = server.tenant();
    append(&tenant, "history", 10);
    let id = started(&tenant, &json!({}));
    cut_over(&server, &id);
    ask(&server, &id, "finish", &json!({ "by": "omar" })).is(200);
    let audit = read(&server, &id, "/audit");
    let lines: Vec<(&str, &str)> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["action"].as_str().unwrap(), line["actor"].as_str().unwrap()))
        .collect();
    let process = lines.iter().find(|(action, _)| *action == "tenant_migrated").unwrap().1;
    assert!(process.starts_with("segue "), "{process}");
    assert_eq!(
        lines,
        [
            ("migration_finished", "omar"),
            ("tenant_migrated", process),
            ("cutover_begun", process),
            ("cutover_requested", "olga"),
            ("dual_write_begun", process),
            ("bulk_copy_begun", process),
            ("migration_started", "olga"),
        ]
    );
    let page = read(&server, &id, "/audit?limit=2");
    let next = page["next_cursor"].as_str().unwrap();
    let second = read(&server, &id, &format!("/audit?limit=2&cursor={next}"));
    assert_eq!((&page["total"], &second["entries"][0]), (&json!(7), &audit["entries"][2]));
    let failures = read(&server, &id, "/failure-stats");
    assert_eq!((&failures["total_failures"], &failures["migration_id"]), (&json!(0), &json!(id)));
}

#[test]
fn migrations_are_listed_by_tenant_and_state_the_newest_first() {
    let server = server();
    let (first, second) = (server.tenant(), server.tenant());
    let (one, two) = (move_of(&first), move_of(&second));
    until_state(&server, &one, "dual_write");
    until_state(&server, &two, "dual_write");
    ask(&server, &one, "abort", &Value::Null).is(200);
    let listed = |query: &str| {
        let path = format!("/tenant-migrations{query}");
        let list = operator(&server, "GET", &path, &Value::Null).is(200);
        let ids = list["migrations"].as_array().unwrap().iter();
        (ids.map(|found| found["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>(), list)
    };
    assert_eq!(listed("").0, [two.clone(), one.clone()]);
    assert_eq!(listed(&format!("?tenant_id={}", first.id)).0, std::slice::from_ref(&one));
    assert_eq!(listed("?state=dual_write").0, std::slice::from_ref(&two));
    assert_eq!(listed("?active=true").0, std::slice::from_ref(&two));
    let (page, list) = listed("?limit=1");
    let next = list["next_cursor"].as_str().unwrap();
    assert_eq!((page, &list["total"]), (vec![two], &json!(2)));
    assert_eq!(listed(&format!("?limit=1&cursor={next}")).0, [one]);
}

/// Starts to move a small tenant.
fn move_of(tenant: &Tenant<'_>) -> String {
    append(tenant, "history", 5);
    started(tenant, &json!({}))
}

#[test]
fn the_status_is_told_whenever_it_changes_and_ends_with_the_migration() {
    let server = server();
    let tenant = server.tenant();
    append(&tenant, "history", 300);
    let id = started(&tenant, &json!({ "auto_cutover": true, "source_retention_seconds": 0 }));
    let status = Status::of(&server, &id);
    let followed = std::thread::spawn(move || status.collect::<Vec<_>>());
    until_state(&server, &id, "migrated");
    ask(&server, &id, "finish", &Value::Null).is(200);
    let told = followed.join().unwrap();
    assert!(told.iter().all(|(name, _)| name == "migration"), "{told:#?}");
    let mut states: Vec<&str> =
        told.iter().map(|(_, migration)| migration["state"].as_str().unwrap()).collect();
    states.dedup();
    let order = ["pending", "bulk_copy", "dual_write", "cutover_paused", "migrated"];
    let place = |state: &str| order.iter().position(|known| *known == state).unwrap();
    assert!(states.is_sorted_by_key(|state| place(state)), "{states:?}");
    assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "nothing is said twice");
    let last = &told.last().unwrap().1;
    assert_eq!((&last["state"], &last["is_active"]), (&json!("migrated"), &json!(false)));
    // Of one that is over it tells once, and ends.
    assert_eq!(Status::of(&server, &id).count(), 1);
}

#[test]
fn a_status_that_is_followed_ends_with_the_server_and_counts_as_a_stream() {
    let mut server =
        server_with("[server]\nmax_streams_per_tenant = 1\n[tenant_migration]\nbatch_size = 5\n");
    let tenant = server.tenant();
    append(&tenant, "history", 5);
    let id = started(&tenant, &json!({}));
    let mut status = Status::of(&server, &id);
    assert!(status.next().is_some());
    let path = format!("/tenant-migrations/{id}/status");
    operator(&server, "GET", &path, &Value::Null).refused(429, "too_many_streams");
    let followed = std::thread::spawn(move || status.for_each(drop));
    assert!(server.terminate().success());
    followed.join().unwrap();
}

#[test]
fn a_wish_to_cut_over_stands_while_the_target_is_not_ready_and_is_carried_out_by_itself() {
    let server = server_with(
        "[server]\nrequest_timeout_seconds = 3.0\n[tenant_migration]\nsync_check_interval = 0.02\n",
    );
    let tenant = server.tenant();
    append(&tenant, "history", 50);
    let id = started(&tenant, &json!({}));
    until_state(&server, &id, "dual_write");
    // A tenant whose writes are paused is not cut over.
    let at = |act: &str| format!("/tenants/{}/{act}-writes", tenant.id);
    operator(&server, "POST", &at("pause"), &Value::Null).is(200);
    let standing = ask(&server, &id, "cutover", &json!({ "by": "olga" })).is(202);
    assert_eq!(
        (&standing["state"], &standing["cutover"]["requested"]),
        (&json!("dual_write"), &json!(true))
    );
    let words = home(&tenant)["explanation"].as_str().unwrap().to_owned();
    assert!(words.contains("the cutover that olga asked for"), "{words}");
    assert!(words.contains("in the way") && words.contains("paused"), "{words}");
    operator(&server, "POST", &at("resume"), &Value::Null).is(200);
    until_state(&server, &id, "migrated");
    assert_eq!(home(&tenant)["store_id"], "dedicated");
}

#[test]
fn a_server_that_was_killed_goes_on_with_the_move_when_it_is_back() {
    let settings = "[tenant_migration]\nsync_check_interval = 0.02\n\
                    coordinator_lease_seconds = 0.4\ncutover_lease_seconds = 0.2\n\
                    coordinator_check_interval = 0.1\n";
    let server = server_with(settings);
    let (id, tenant_id, before) = {
        let tenant = server.tenant();
        append(&tenant, "history", 2_000);
        let id = started(&tenant, &json!({ "max_bulk_copy_rate": 1_000.0, "batch_size": 100 }));
        let before = until(&server, &id, "some is copied", |migration| {
            migration["events_copied"].as_u64() > Some(0)
        });
        (id, tenant.id, before)
    };
    let server = Server::start_in(server.kill(), &["--config", "segue.toml"]);
    let tenant = Tenant { server: &server, id: tenant_id };
    let after = until_state(&server, &id, "dual_write");
    assert_ne!(after["coordinator"], before["coordinator"], "another process carries it on");
    cut_over(&server, &id);
    assert_eq!((&home(&tenant)["store_id"], log(&tenant).len()), (&json!("dedicated"), 2_000));
}

#[test]
fn a_server_without_the_target_store_leaves_the_move_to_those_that_have_it() {
    let settings = "[tenant_migration]\nsync_check_interval = 0.02\n\
                    coordinator_lease_seconds = 0.4\ncutover_lease_seconds = 0.2\n\
                    coordinator_check_interval = 0.1\n";
    let both = server_with(settings);
    let without = {
        let toml = format!("[stores.shared]\nkind = \"sqlite\"\npath = \"shared.db\"\n{settings}");
        std::fs::write(both.dir.path().join("without.toml"), toml).unwrap();
        let mut command = support::segue(both.dir.path());
        command.args(["serve", "--listen", "127.0.0.1:0", "--config", "without.toml"]);
        Server::spawn(command, tempfile::tempdir().unwrap())
    };
    let id = {
        let tenant = both.tenant();
        append(&tenant, "history", 500);
        started(&tenant, &json!({}))
    };
    let following = until_state(&both, &id, "dual_write");
    let tenant = operator(
        &without,
        "GET",
        &format!("/tenants/{}", following["tenant_id"].as_str().unwrap()),
        &Value::Null,
    );
    assert_eq!(tenant.is(200)["state"], "dual_write", "every server says how it stands");
    let dir = both.kill();
    std::thread::sleep(Duration::from_millis(1_000));
    assert_eq!(
        read(&without, &id, "")["coordinator"],
        following["coordinator"],
        "it is left alone"
    );
    // What is decided there is carried out by whoever can.
    let asked = ask(&without, &id, "pause", &Value::Null).is(200);
    assert_eq!(asked["state"], "paused");
    ask(&without, &id, "resume", &Value::Null).is(200);
    let both = Server::start_in(dir, &["--config", "segue.toml"]);
    let cut = ask(&without, &id, "cutover", &Value::Null);
    assert!(cut.status == 200 || cut.status == 202, "{}", cut.text);
    until_state(&both, &id, "migrated");
    // The tenant is out of the other server's reach now, and that says so.
    let tenant = following["tenant_id"].as_str().unwrap();
    let headers = [("X-Tenant-ID", tenant)];
    without.send("GET", "/api/v1/events", &headers, b"").refused(503, "store_unavailable");
}

#[test]
fn an_old_source_that_is_gone_for_good_is_given_up_and_one_that_answers_is_not() {
    let both = server();
    let (name, id) = {
        let tenant = both.tenant();
        append(&tenant, "history", 20);
        let id = started(&tenant, &json!({}));
        cut_over(&both, &id);
        (tenant.id, id)
    };
    let abandon = json!({ "abandon": true, "by": "omar" });
    let refused = ask(&both, &id, "finish", &abandon);
    assert!(refused.text.contains("store `shared` answers"), "{}", refused.text);
    refused.refused(409, "migration_obstructed");

    let dir = both.kill();
    let without = "[stores]\ndefault = \"dedicated\"\n\
                   [stores.dedicated]\nkind = \"sqlite\"\npath = \"dedicated.db\"\n";
    std::fs::write(dir.path().join("without.toml"), without).unwrap();
    let server = Server::start_in(dir, &["--config", "without.toml"]);
    let tenant = Tenant { server: &server, id: name };
    let refused = ask(&server, &id, "abort", &abandon);
    refused.refused(409, "invalid_state_transition");
    let arguments = ["tenant", "migration", "finish", &id, "--abandon", "--yes", "--by", "omar"];
    let (stdout, stderr) = support::printed(&tenant.cli(&arguments));
    assert!(stdout.contains("what shared may still hold is not purged"), "{stdout}{stderr}");
    let over = read(&server, &id, "");
    assert_eq!((&over["state"], &over["is_active"]), (&json!("migrated"), &json!(false)));
    let line = read(&server, &id, "/audit")["entries"][0].clone();
    assert_eq!((&line["action"], &line["actor"]), (&json!("copy_abandoned"), &json!("omar")));
    assert_eq!(line["details"]["store_id"], "shared");
    assert_eq!(home(&tenant)["state"], "normal");
    append(&tenant, "history", 1);
}
