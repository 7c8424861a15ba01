//! A server that cannot start says what, where and what to do, with an exit code that tells it apart.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::net::TcpListener;
use std::path::Path;

use support::{Server, printed, segue};

fn refused(dir: &Path, arguments: &[&str], code: i32) -> String {
    let output = segue(dir).arg("serve").args(arguments).output().unwrap();
    let (stdout, stderr) = printed(&output);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stdout, "", "nothing pretends to be ready");
    stderr
}

#[test]
fn a_typo_in_the_configuration_is_named_with_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("my.toml"), "[server]\nlisten = \"127.0.0.1:0\"\nlisen = 1\n")
        .unwrap();
    let message = refused(dir.path(), &["--config", "my.toml"], 10);
    assert!(message.contains("my.toml, line 3: unknown key `server.lisen`"), "{message}");
    assert!(message.contains("allowed here: listen"), "{message}");
}

#[test]
fn a_bad_value_in_the_environment_is_named_with_its_variable() {
    let dir = tempfile::tempdir().unwrap();
    let variable = "SEGUE__SCENARIO_MIGRATION__GAP_FILL__CONFIRMATION_THRESHOLD";
    let output = segue(dir.path()).arg("serve").env(variable, "7").output().unwrap();
    let (_, message) = printed(&output);
    assert_eq!(output.status.code(), Some(10));
    assert!(message.contains(variable) && message.contains("allowed are 0 to 1"), "{message}");
}

#[test]
fn a_port_in_use_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let message = refused(dir.path(), &["--listen", &address], 11);
    assert!(message.contains(&address) && message.contains("in use"), "{message}");
}

#[test]
fn an_address_that_others_can_reach_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let message = refused(dir.path(), &["--listen", "0.0.0.0:0"], 10);
    assert!(message.contains("no API key is needed"), "{message}");
}

#[test]
fn a_setting_in_the_environment_is_obeyed() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = segue(dir.path());
    command.arg("serve").env("SEGUE__SERVER__LISTEN", "127.0.0.1:0");
    let server = Server::spawn(command, dir);
    assert_eq!(server.send("GET", "/healthz", &[], b"").status, 200);
}

fn with_a_file_instead_of(name: &str, bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("segue-data")).unwrap();
    let file = dir.path().join("segue-data").join(name);
    std::fs::write(&file, bytes).unwrap();
    let message = refused(dir.path(), &["--listen", "127.0.0.1:0"], 12);
    assert!(message.contains(name), "{message}");
    assert_eq!(std::fs::read(&file).unwrap(), bytes, "a file that is refused is left as it was");
    message
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    for name in ["shared.db", "control.db"] {
        with_a_file_instead_of(name, "Dear diary, ".repeat(1_000).as_bytes());
    }
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("foreign.db");
    let foreign = rusqlite::Connection::open(&file).unwrap();
    foreign.execute_batch("CREATE TABLE bookmarks (url TEXT); PRAGMA user_version = 3;").unwrap();
    drop(foreign);
    let bytes = std::fs::read(&file).unwrap();
    for name in ["shared.db", "control.db"] {
        with_a_file_instead_of(name, &bytes);
    }
}

#[test]
fn a_damaged_database_is_refused() {
    let server = Server::start();
    let tenant = server.tenant();
    tenant.registered(&support::order_flow());
    let dir = server.kill();
    let file = dir.path().join("segue-data/control.db");
    let database = rusqlite::Connection::open(&file).unwrap();
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(database);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[512..].fill(0xAB);
    std::fs::write(&file, bytes).unwrap();
    let message = refused(dir.path(), &["--listen", "127.0.0.1:0"], 12);
    assert!(message.contains("control.db"), "{message}");
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill_and_a_restart() {
    let server = Server::start();
    let tenant = server.tenant();
    let id = tenant.id;
    let scenario = tenant.registered(&support::order_flow());
    let session = tenant.started(&scenario, "web");
    tenant.turn(&session, &serde_json::json!({}));
    let again = Server::start_in(server.kill(), &[]);
    let tenant = support::Tenant { server: &again, id };
    let found = tenant.get(&format!("/sessions/{session}")).is(200);
    assert_eq!(found["step_id"], "checkout");
}
