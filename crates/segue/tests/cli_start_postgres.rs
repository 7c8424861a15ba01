//! A server on PostgreSQL starts while its database is away, and does not start on one that it cannot use.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use segue_testing::postgres::{Server as Postgres, TestDatabase};
use serde_json::json;
use support::{Server, printed, segue};
use tempfile::TempDir;

/// A directory with a configuration that keeps everything in this database.
fn configured(url: &str, more: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "[control]\nurl = \"{url}\"\n{more}\n[stores.shared]\nkind = \"postgres\"\nurl = \"{url}\"\n{more}\n"
    );
    std::fs::write(dir.path().join("my.toml"), text).unwrap();
    dir
}

fn started(dir: TempDir) -> Server {
    let mut command = segue(dir.path());
    command.args(["serve", "--config", "my.toml", "--listen", "127.0.0.1:0"]);
    command.env("SEGUE_LOG", "info");
    Server::spawn(command, dir)
}

fn refused(dir: &Path, code: i32) -> String {
    let arguments = ["serve", "--config", "my.toml", "--listen", "127.0.0.1:0"];
    let output = segue(dir).args(arguments).output().unwrap();
    let (stdout, stderr) = printed(&output);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stdout, "", "nothing pretends to be ready");
    stderr
}

fn becomes_ready(server: &Server, within: Duration) {
    let deadline = Instant::now() + within;
    loop {
        let answer = server.send("GET", "/readyz", &[], b"");
        if answer.status == 200 {
            return;
        }
        assert!(Instant::now() < deadline, "{}\n{}", answer.text, server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits for a line that is written after requests are served again.
fn is_logged(server: &Server, line: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !server.log().contains(line) {
        assert!(Instant::now() < deadline, "{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_server_starts_while_its_database_is_away_and_serves_when_it_comes() {
    let mut postgres = Postgres::start();
    postgres.stop_immediate();
    let server = started(configured(&postgres.url(), ""));
    assert_eq!(server.send("GET", "/healthz", &[], b"").status, 200);
    let answer = server.send("GET", "/readyz", &[], b"");
    assert_eq!(answer.headers["retry-after"], "1");
    let message = answer.json()["message"].to_string();
    answer.refused(503, "store_unavailable");
    assert!(
        message.contains("the control plane") && message.contains("cannot be reached"),
        "{message}"
    );
    let tenant = server.tenant();
    let begun = Instant::now();
    for _ in 0..20 {
        let answer = tenant.post("/scenarios", &support::order_flow());
        assert_eq!(answer.headers["retry-after"], "1");
        answer.refused(503, "store_unavailable");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "nobody waits for what is known to fail");
    assert!(server.log().contains("starts without it"), "{}", server.log());

    postgres.start_again();
    becomes_ready(&server, Duration::from_secs(10));
    let scenario = tenant.registered(&support::order_flow());
    let session = tenant.started(&scenario, "web");
    tenant.turn(&session, &json!({}));
    is_logged(&server, "it is there, and in order");
    assert!(!server.log().contains("panic"), "{}", server.log());
}

#[test]
fn a_server_outlives_its_database_and_loses_nothing() {
    let mut postgres = Postgres::start();
    let server = started(configured(&postgres.url(), ""));
    becomes_ready(&server, Duration::from_secs(10));
    let tenant = server.tenant();
    let scenario = tenant.registered(&support::order_flow());
    let session = tenant.started(&scenario, "web");
    postgres.stop_immediate();
    tenant
        .post(&format!("/sessions/{session}/turns"), &json!({}))
        .refused(503, "store_unavailable");
    postgres.start_again();
    becomes_ready(&server, Duration::from_secs(10));
    let found = tenant.get(&format!("/sessions/{session}")).is(200);
    assert_eq!(found["step_id"], "welcome", "a turn that was refused was not taken");
    tenant.turn(&session, &json!({}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_a_newer_segue_stops_the_start() {
    let database = TestDatabase::fresh().await;
    let dir = configured(database.url(), "");
    let server = started(dir);
    becomes_ready(&server, Duration::from_secs(10));
    let dir = server.kill();
    let newer = "UPDATE segue_control.segue_control_history SET version = 99 \
                 WHERE version = (SELECT max(version) FROM segue_control.segue_control_history)";
    database.client().await.batch_execute(newer).await.unwrap();
    let message = refused(dir.path(), 12);
    assert!(message.contains("the control plane") && message.contains("version 99"), "{message}");
    assert!(
        message.contains("Start the version of Segue that wrote it, or a later one"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_another_program_stops_the_start_and_is_left_alone() {
    let database = TestDatabase::fresh().await;
    let client = database.client().await;
    client.batch_execute("CREATE TABLE bookmarks (url text)").await.unwrap();
    let dir = configured(database.url(), "");
    let text = std::fs::read_to_string(dir.path().join("my.toml")).unwrap();
    let public = text.replacen("\n\n[stores", "\nschema = \"public\"\n[stores", 1);
    std::fs::write(dir.path().join("my.toml"), public).unwrap();
    let message = refused(dir.path(), 12);
    assert!(message.contains("tables of another program"), "{message}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(client.query_one(tables, &[]).await.unwrap().get::<_, i64>(0), 1);
}

#[test]
fn a_wrong_password_stops_the_start_and_is_not_shown() {
    let postgres = Postgres::start();
    sql(&postgres.url(), "CREATE ROLE clerk LOGIN SUPERUSER PASSWORD 'right'");
    let rules = postgres.data_folder().join("pg_hba.conf");
    let text = "host all clerk 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n";
    std::fs::write(rules, text).unwrap();
    sql(&postgres.url(), "SELECT pg_reload_conf()");
    std::thread::sleep(Duration::from_secs(1));

    let url = |password: &str| postgres.url().replace("postgres@", &format!("clerk{password}@"));
    for password in [":s3cr3t", ""] {
        let message = refused(configured(&url(password), "").path(), 12);
        assert!(message.contains("user clerk is not let in"), "{message}");
        assert!(!message.contains("s3cr3t"), "{message}");
    }

    let dir = configured(&url(""), "password_env = \"CLERKS_PASSWORD\"");
    assert!(refused(dir.path(), 10).contains("CLERKS_PASSWORD is not set"));
    let mut command = segue(dir.path());
    command.args(["serve", "--config", "my.toml", "--listen", "127.0.0.1:0"]);
    command.env("CLERKS_PASSWORD", "right");
    becomes_ready(&Server::spawn(command, dir), Duration::from_secs(10));
}

#[test]
fn a_url_that_cannot_be_used_is_named_with_its_line() {
    let dir = configured("postgres://segue:s3cr3t@127.0.0.1:5432", "");
    let message = refused(dir.path(), 10);
    assert!(
        message.contains("my.toml, line 2: control.url: the URL names no database"),
        "{message}"
    );
    assert!(!message.contains("s3cr3t"), "{message}");
}

#[test]
fn a_missing_database_stops_the_start() {
    let postgres = Postgres::start();
    let message = refused(configured(&postgres.database_url("nowhere"), "").path(), 12);
    assert!(message.contains("there is no such database"), "{message}");
}

/// Runs a statement as the superuser.
fn sql(url: &str, statement: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(statement).await.unwrap();
    });
}
