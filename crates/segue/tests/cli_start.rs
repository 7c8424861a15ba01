//! A server that cannot start says what, where and what to do, with an exit code that tells it apart.

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
    assert!(message.contains("no authentication"), "{message}");
}

#[test]
fn a_setting_in_the_environment_is_obeyed() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = segue(dir.path());
    command.arg("serve").env("SEGUE__SERVER__LISTEN", "127.0.0.1:0");
    let server = Server::spawn(command, dir);
    assert_eq!(server.send("GET", "/healthz", &[], b"").status, 200);
}
