//! Moving tenants from the command line, as people and scripts do it; and the guide, as it stands.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod relocation;
mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use relocation::{
    TWO_STORES, append, append_each, home, read, server, slow, started, until, until_state,
};
use serde_json::{Value, json};
use support::{Server, Tenant, ended, printed, segue};

/// Runs a command that is expected to end with this code; what it printed.
#[track_caller]
fn run(tenant: &Tenant<'_>, arguments: &[&str], code: i32) -> (String, String) {
    let output = tenant.cli(arguments);
    let (stdout, stderr) = printed(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stdout}{stderr}");
    (stdout, stderr)
}

#[track_caller]
fn text(tenant: &Tenant<'_>, arguments: &[&str]) -> String {
    run(tenant, arguments, 0).0
}

#[track_caller]
fn json_of(tenant: &Tenant<'_>, arguments: &[&str]) -> Value {
    serde_json::from_str(&text(tenant, &[arguments, &["--json"]].concat())).unwrap()
}

fn id_of(migration: &Value) -> String {
    migration["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_move_without_a_terminal_stops_before_the_cutover_and_says_how_to_go_on() {
    let server = server();
    let tenant = server.tenant();
    append(&tenant, "history", 300);
    let name = tenant.id.to_string();
    let plan = text(&tenant, &["tenant", "move", &name, "--to", "dedicated", "--dry-run"]);
    assert!(plan.contains("nothing is changed") && plan.contains("copy 300 events"), "{plan}");

    let asked = ["tenant", "move", &name, "--to", "dedicated", "--by", "olga"];
    let (stdout, stderr) = run(&tenant, &asked, 9);
    assert!(stdout.contains("dual_write"), "{stdout}");
    assert!(!stdout.contains('\u{1b}') && !stderr.contains('\u{1b}'), "nobody can see colours");
    let id = id_of(&json_of(&tenant, &["tenant", "migrations"])["migrations"][0]);
    assert!(stderr.contains(&format!("segue tenant migration cutover {id}")), "{stderr}");
    assert_eq!(home(&tenant)["store_id"], "shared", "nothing has moved");
    let (_, stderr) = run(&tenant, &asked, 6);
    assert!(stderr.contains("migration_already_exists"), "{stderr}");
    assert!(stderr.contains("what to do: wait for that migration"), "{stderr}");

    let words = text(&tenant, &["tenant", "explain", &name]);
    for phrase in
        ["dual_write", "lives in store `shared`", "follows it closely", "next: it goes on"]
    {
        assert!(words.contains(phrase), "{phrase} is missing in\n{words}");
    }
    let moved = text(&tenant, &["tenant", "migration", "cutover", &id]);
    assert!(moved.contains("lives in dedicated; its writes waited for"), "{moved}");
    assert!(moved.contains(&format!("segue tenant migration reverse {id}")), "{moved}");
    assert!(text(&tenant, &["tenant", "explain", &name]).contains("brought it here from store"));
}

#[test]
fn a_move_is_made_without_a_question_where_that_is_ordered() {
    let server = server();
    for order in ["--yes", "--auto"] {
        let tenant = server.tenant();
        append(&tenant, "history", 50);
        let name = tenant.id.to_string();
        let settings = ["--config", "batch_size=20", "--config", "verification_level=FULL"];
        let asked = ["tenant", "move", &name, "--to", "dedicated", order];
        let moved = text(&tenant, &[&asked[..], &settings].concat());
        assert!(moved.contains("the tenant lives in dedicated"), "{moved}");
        assert_eq!(home(&tenant)["store_id"], "dedicated");
        let shown = json_of(&tenant, &["tenant", "migrations", "--tenant", &name]);
        let config = &shown["migrations"][0]["config"];
        assert_eq!(
            (&config["batch_size"], &config["auto_cutover"]),
            (&json!(20), &json!(order == "--auto"))
        );
    }
}

#[test]
fn json_is_all_that_is_printed_where_it_is_wanted() {
    let server = server();
    let tenant = server.tenant();
    append(&tenant, "history", 20);
    let name = tenant.id.to_string();
    let to = ["tenant", "move", &name, "--to", "dedicated"];
    let dry = json_of(&tenant, &[&to[..], &["--dry-run"]].concat());
    assert_eq!(dry["events_to_copy"], 20);
    let moved = json_of(&tenant, &[&to[..], &["--yes"]].concat());
    assert_eq!(moved["state"], "migrated");
    let id = id_of(&moved);
    let of = |what: &str| json_of(&tenant, &["tenant", "migration", what, &id]);
    assert_eq!(of("show")["id"], moved["id"]);
    assert_eq!(of("verify")["is_consistent"], true);
    assert_eq!(of("audit")["entries"][0]["action"], "migration_verified");
    assert_eq!(of("failures")["total_failures"], 0);
    assert_eq!(of("subscriptions")["is_migrated"], true);
    assert_eq!(json_of(&tenant, &["tenant", "explain", &name])["migration_id"], id);
    let watched = text(&tenant, &["tenant", "migration", "watch", &id, "--json"]);
    assert_eq!(watched.lines().count(), 1);
    assert_eq!(serde_json::from_str::<Value>(&watched).unwrap()["state"], "migrated");
    let back = of("reverse");
    assert_eq!(back["reverses"], id);
}

#[test]
fn a_migration_is_looked_at_decided_about_and_finished() {
    let server = server();
    let tenant = server.tenant();
    append_each(&tenant, "history", 60);
    tenant.put("/subscriptions/billing", &json!({})).is(201);
    let id = started(&tenant, &slow());
    let of = |what: &str, more: &[&str]| {
        text(&tenant, &[&["tenant", "migration", what, &id], more].concat())
    };
    until_state(&server, &id, "bulk_copy");
    assert!(of("pause", &["--by", "omar"]).contains("paused"));
    assert!(of("show", &[]).contains("of 60 events"));
    assert!(of("resume", &[]).contains("bulk_copy"));
    assert!(of("cutover", &["--by", "omar"]).contains("dual_write"), "it waits for the copy");
    assert!(of("show", &[]).contains("there is a way back"));
    assert!(of("subscriptions", &[]).contains("billing"));
    let audit = of("audit", &[]);
    let paused = audit.lines().find(|line| line.contains("migration paused")).unwrap();
    assert!(paused.contains("omar"), "{audit}");
    assert!(of("failures", &[]).contains("failed writes  0"));
    assert!(of("verify", &["--level", "full", "--sample", "50"]).contains("FULL, 50"));

    let (_, stderr) = run(&tenant, &["tenant", "migration", "finish", &id, "--now"], 1);
    assert!(stderr.contains("--yes") && stderr.contains("nothing was changed"), "{stderr}");
    assert!(of("finish", &["--now", "--yes"]).contains("no way back any more"));
    until(&server, &id, "it is over", |migration| migration["is_active"] == false);
    let list = text(&tenant, &["tenant", "migrations", "--state", "migrated"]);
    assert!(list.contains(&id) && list.contains("over") && list.contains("1 of 1"), "{list}");
    assert!(text(&tenant, &["tenant", "migrations", "--active"]).contains("0 of 0"));
}

#[test]
fn the_exit_code_tells_what_went_wrong_with_a_move() {
    let server = server();
    let tenant = server.tenant();
    append_each(&tenant, "history", 30);
    let name = tenant.id.to_string();
    let nobody = uuid::Uuid::new_v4().to_string();
    let to = ["tenant", "move", &name, "--to"];
    run(&tenant, &[&to[..], &["attic"]].concat(), 4);
    run(&tenant, &[&to[..], &["shared"]].concat(), 6);
    let (_, stderr) =
        run(&tenant, &[&to[..], &["dedicated", "--config", "batch_size=0"]].concat(), 5);
    assert!(stderr.contains("/config/batch_size") && stderr.contains("1 to 10,000"), "{stderr}");
    run(&tenant, &[&to[..], &["dedicated", "--config", "speed=9"]].concat(), 5);
    run(&tenant, &["tenant", "migration", "show", &nobody], 4);
    run(&tenant, &["tenant", "migration", "watch", &nobody], 4);
    run(&tenant, &["tenant", "migration", "sing", &nobody], 2);

    let id = started(&tenant, &json!({ "verification_level": "FULL" }));
    until(&server, &id, "it was read back", |migration| migration["events_read_back"] == 30);
    let (_, stderr) = run(&tenant, &["tenant", "migration", "reverse", &id], 6);
    assert!(stderr.contains("invalid_state_transition"), "{stderr}");
    let database = rusqlite::Connection::open(server.dir.path().join("dedicated.db")).unwrap();
    database.busy_timeout(Duration::from_secs(10)).unwrap();
    database.execute("UPDATE events SET payload = x'00' WHERE position = 7", []).unwrap();
    drop(database);
    let (stdout, stderr) = run(&tenant, &["tenant", "migration", "verify", &id], 8);
    assert!(stdout.contains("critical") && stderr.contains("position 7"), "{stdout}{stderr}");
    let (_, stderr) = run(&tenant, &["tenant", "migration", "cutover", &id], 9);
    assert!(
        stderr.contains("consistency_error") && stderr.contains("writes go on in shared"),
        "{stderr}"
    );
    let repaired = text(&tenant, &["tenant", "migration", "repair", &id]);
    assert!(repaired.contains("the copy was taken back from position 30 to"), "{repaired}");
    until(&server, &id, "it is copied anew", |migration| migration["events_read_back"] == 30);
    text(&tenant, &["tenant", "migration", "cutover", &id]);
}

/// Runs a command at a terminal of its own, types an answer to its question, and gives back what it showed.
fn at_a_terminal(tenant: &Tenant<'_>, arguments: &[&str], answer: &str) -> (i32, String) {
    let command = [&[env!("CARGO_BIN_EXE_segue")], arguments].concat().join(" ");
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env("SEGUE_URL", &tenant.server.url)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = Vec::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    while !String::from_utf8_lossy(&shown).contains("Type yes") {
        if stdout.read_until(b':', &mut shown).unwrap() == 0 {
            break;
        }
    }
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{answer}\n").as_bytes()).unwrap();
    std::io::Read::read_to_end(&mut stdout, &mut shown).unwrap();
    let code = ended(child, Duration::from_secs(20)).code().unwrap();
    (code, String::from_utf8_lossy(&shown).into_owned())
}

#[test]
fn at_a_terminal_the_move_shows_a_bar_and_asks_before_the_cutover() {
    let server = server();
    let tenant = server.tenant();
    append(&tenant, "history", 2_000);
    let name = tenant.id.to_string();
    let asked = ["tenant", "move", &name, "--to", "dedicated"];
    let (code, shown) = at_a_terminal(&tenant, &asked, "no");
    assert_eq!(code, 9, "{shown}");
    assert!(shown.contains("2,000 of 2,000 events"), "{shown}");
    assert!(shown.contains("Cut over now?") && shown.contains("it was not confirmed"), "{shown}");
    assert_eq!(home(&tenant)["store_id"], "shared");

    let id = id_of(&json_of(&tenant, &["tenant", "migrations"])["migrations"][0]);
    text(&tenant, &["tenant", "migration", "abort", &id]);
    let (code, shown) = at_a_terminal(&tenant, &asked, "yes");
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("the tenant lives in dedicated"), "{shown}");
    assert_eq!(home(&tenant)["store_id"], "dedicated");
}

#[test]
fn ctrl_c_leaves_the_migration_running_and_says_so() {
    let server = server();
    let tenant = server.tenant();
    append_each(&tenant, "history", 60);
    let settings = ["batch_size=1", "max_bulk_copy_rate=20", "sync_lag_threshold=0"];
    let mut command = segue(server.dir.path());
    command.env("SEGUE_URL", &server.url).args(["tenant", "move", &tenant.id.to_string()]);
    command.args(["--to", "dedicated", "--yes"]);
    for setting in settings {
        command.args(["--config", setting]);
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let id = first.strip_prefix("migration ").unwrap().split(':').next().unwrap().to_owned();
    // It follows the copy by now.
    assert!(lines.by_ref().any(|line| line.unwrap().contains("bulk_copy")));
    let interrupted =
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let output = child.wait_with_output().unwrap();
    let (_, stderr) = printed(&output);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains(&format!("migration {id} goes on at the server")), "{stderr}");
    assert!(stderr.contains(&format!("segue tenant migration watch {id}")), "{stderr}");
    until_state(&server, &id, "dual_write");
    assert_eq!(read(&server, &id, "")["cutover"]["attempts"], 0, "nobody has said yes");
}

#[test]
fn a_watch_outlives_a_restart_of_the_server() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let dir = tempfile::tempdir().unwrap();
    let settings = "[tenant_migration]\nsync_check_interval = 0.02\n\
                    coordinator_lease_seconds = 0.4\ncutover_lease_seconds = 0.2\n";
    std::fs::write(dir.path().join("segue.toml"), format!("{TWO_STORES}{settings}")).unwrap();
    let serve = ["serve", "--config", "segue.toml", "--listen", &address];
    let mut command = segue(dir.path());
    let mut server = Server::spawn(
        {
            command.args(serve);
            command
        },
        dir,
    );
    let (tenant, id) = {
        let tenant = server.tenant();
        append_each(&tenant, "history", 60);
        (
            tenant.id,
            started(
                &tenant,
                &json!({ "batch_size": 1, "max_bulk_copy_rate": 20.0,
            "sync_lag_threshold": 0, "auto_cutover": true }),
            ),
        )
    };
    until_state(&server, &id, "bulk_copy");
    let mut watch = segue(server.dir.path());
    watch.env("SEGUE_URL", &server.url).args(["tenant", "migration", "watch", &id]);
    let watching = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(server.terminate().success());
    let dir = server.kill();
    let mut command = segue(dir.path());
    let server = Server::spawn(
        {
            command.args(serve);
            command
        },
        dir,
    );
    let output = watching.wait_with_output().unwrap();
    let (stdout, stderr) = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("migrated"), "{stdout}");
    assert_eq!(home(&Tenant { server: &server, id: tenant })["store_id"], "dedicated");
}

/// The parts of docs/tenant-migration.md in fences of this kind, in order.
fn guide(kind: &str) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tenant-migration.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut parts = String::new();
    let mut inside = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some("") => inside = false,
            Some(of) => inside = of == kind,
            None if inside => parts += &format!("{line}\n"),
            None => {}
        }
    }
    parts
}

#[test]
fn every_command_of_the_guide_does_what_the_page_says() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("segue.toml"), guide("toml")).unwrap();
    let server = Server::start_in(dir, &["--config", "segue.toml"]);
    let tenant = server.tenant();
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_segue")).parent().unwrap().to_owned();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let script = format!(
        "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{}",
        guide("bash")
    );
    let output = Command::new("bash")
        .arg("-c")
        .arg(script)
        .current_dir(server.dir.path())
        .env("PATH", path)
        .env("SEGUE_URL", &server.url)
        .env("SEGUE_TENANT", tenant.id.to_string())
        .output()
        .unwrap();
    let (stdout, stderr) = printed(&output);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    for line in [
        "dedicated         sqlite",
        "nothing is changed; this would happen:",
        "the tenant lives in dedicated; its writes waited for",
        "tenant migrated",
        "FULL, 100",
        "the tenant lives in shared",
        "no way back any more",
        "event: migration",
        "paused",
        "[\"HASH\",true,",
        "[\"migrated\",",
        "sound up to",
    ] {
        assert!(stdout.contains(line), "{line} is missing in\n{stdout}\n{stderr}");
    }
    assert!(!stdout.contains("\"code\":"), "something was refused: {stdout}");
    assert_eq!(home(&tenant)["store_id"], "dedicated");
}
