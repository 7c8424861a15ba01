//! The servers that every other test relies on.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use segue_testing::postgres::{Server, TestDatabase};

async fn ask(database: &TestDatabase, question: &str) -> String {
    database.client().await.query_one(question, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_survives_an_immediate_stop_and_the_url_stays() {
    let mut server = Server::start();
    let database = TestDatabase::on(&server).await;
    let client = database.client().await;
    client.batch_execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)").await.unwrap();

    server.stop_immediate();
    assert!(client.batch_execute("SELECT 1").await.is_err(), "the connection is broken");
    server.start_again();
    assert_eq!(ask(&database, "SELECT n::text FROM kept").await, "7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_answers_nothing_until_it_is_thawed() {
    let server = Server::setup().volatile().start();
    let database = TestDatabase::on(&server).await;
    let client = database.client().await;
    server.freeze();
    let mut question = Box::pin(client.query_one("SELECT 1", &[]));
    let patience = Duration::from_millis(300);
    assert!(tokio::time::timeout(patience, &mut question).await.is_err());
    server.thaw();
    question.await.unwrap();
    assert!(server.is_running());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_durable_unless_told_otherwise_and_takes_settings() {
    let server = Server::setup().with("max_connections", "13").start();
    let database = TestDatabase::on(&server).await;
    assert_eq!(ask(&database, "SHOW fsync").await, "on");
    assert_eq!(ask(&database, "SHOW synchronous_commit").await, "on");
    assert_eq!(ask(&database, "SHOW max_connections").await, "13");
    assert_eq!(ask(&database, "SHOW server_encoding").await, "UTF8");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_are_fresh_created_at_once_and_dropped_at_the_end() {
    let several = [TestDatabase::fresh(), TestDatabase::fresh(), TestDatabase::fresh()];
    let [one, two, three] = several.map(tokio::spawn);
    let (one, two, three) = (one.await.unwrap(), two.await.unwrap(), three.await.unwrap());
    one.client().await.batch_execute("CREATE TABLE mine (n int)").await.unwrap();
    for other in [&two, &three] {
        assert_eq!(ask(other, "SELECT coalesce(to_regclass('mine')::text, 'none')").await, "none");
    }
    let name = one.url().rsplit('/').next().unwrap().to_owned();
    drop(one);
    let left = format!("SELECT count(*)::text FROM pg_database WHERE datname = '{name}'");
    assert_eq!(ask(&two, &left).await, "0");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_named_with_what_to_do() {
    let error = TestDatabase::at("postgres://nobody@127.0.0.1:1/x").await.unwrap_err().to_string();
    assert!(error.contains("postgres://nobody@127.0.0.1:1/x"), "{error}");
    assert!(error.contains("CREATEDB"), "{error}");
}

#[test]
fn a_dropped_server_is_stopped_and_leaves_nothing() {
    let server = Server::start();
    let folder = server.data_folder().parent().unwrap().to_owned();
    let postmaster = postmaster_in(&folder);
    drop(server);
    assert_ends(postmaster);
    assert_vanishes(&folder);
}

const CHILD: &str = "SEGUE_TEST_HOLDS_A_SERVER";

#[test]
fn the_child_holds_a_server_until_it_is_killed() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let server = Server::start();
    println!("\nfolder {}", server.data_folder().parent().unwrap().display());
    std::thread::sleep(Duration::from_secs(120));
    drop(server);
}

#[test]
fn a_server_does_not_outlive_a_killed_test() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child_holds_a_server_until_it_is_killed", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let folder =
        lines.map(Result::unwrap).find_map(|line| Some(line.strip_prefix("folder ")?.to_owned()));
    let folder = PathBuf::from(folder.unwrap());
    let postmaster = postmaster_in(&folder);
    assert!(runs(postmaster));

    child.kill().unwrap();
    child.wait().unwrap();
    assert_ends(postmaster);
    assert_vanishes(&folder);
}

#[test]
fn a_command_is_given_a_server_and_its_exit_code_comes_back() {
    let with_postgres = |script: &str| {
        Command::new(env!("CARGO_BIN_EXE_with-postgres"))
            .args(["sh", "-c", script])
            .output()
            .unwrap()
    };
    let output = with_postgres("echo $SEGUE_TEST_POSTGRES; exit 7");
    assert_eq!(output.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("postgres://postgres@127.0.0.1:"));
}

#[test]
fn a_given_server_that_is_not_there_is_told_before_anything_runs() {
    let output = Command::new(env!("CARGO_BIN_EXE_with-postgres"))
        .args(["--pg", "postgres://127.0.0.1:1/x", "echo", "started"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no database can be created"));
}

fn postmaster_in(folder: &Path) -> u32 {
    let file = std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    file.lines().next().unwrap().parse().unwrap()
}

/// Its pid file goes a moment before the process does.
#[track_caller]
fn assert_ends(process: u32) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while runs(process) {
        assert!(Instant::now() < deadline, "the server is still running");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Removing files is left to the background.
#[track_caller]
fn assert_vanishes(folder: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while folder.exists() {
        assert!(Instant::now() < deadline, "{} is still there", folder.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn runs(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}
