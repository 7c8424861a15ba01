//! Turns over HTTP with durable commits, against a loop of single durable commits in the same run.
//!
//! `cargo bench -p segue --bench turns`. The server and the clients share the machine's cores.

mod load;

use std::path::Path;
use std::time::{Duration, Instant};

use load::{Client, Latencies, Server};
use serde_json::{Value, json};

const CLIENTS: usize = 64;
const SESSIONS_PER_CLIENT: usize = 16;
const RUN: Duration = Duration::from_secs(10);

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let before = single_durable_commits_per_second(folder.path());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (rate, mut latencies) = runtime.block_on(turns(folder.path()));
    let after = single_durable_commits_per_second(folder.path());
    let single = f64::midpoint(before, after);

    println!("single durable commits   {single:>10.0} /s   (before {before:.0}, after {after:.0})");
    println!("turns, {CLIENTS} clients        {rate:>10.0} /s   ({} turns)", latencies.len());
    println!("ratio                    {:>10.2}      (target 3)", rate / single);
    println!("latency p50              {:>10.2} ms", latencies.quantile_ms(0.50));
    println!("latency p99              {:>10.2} ms  (target 50)", latencies.quantile_ms(0.99));

    let (open, keyed) = runtime.block_on(with_a_key(folder.path()));
    println!("a turn without a key     p50 {open:>7.3} ms");
    println!(
        "a turn with a key        p50 {keyed:>7.3} ms  (ratio {:.3}, target 1.05)",
        keyed / open
    );

    let (young, old) = runtime.block_on(long_history(folder.path()));
    println!("one session, turns   1 to 500      p50 {young:>7.3} ms");
    println!("one session, turns 9,501 to 10,000 p50 {old:>7.3} ms  (ratio {:.2})", old / young);
}

/// What a plain program gets: one row of 300 bytes, one commit, `synchronous=FULL`, again and again.
fn single_durable_commits_per_second(folder: &Path) -> f64 {
    let database = rusqlite::Connection::open(folder.join("single.db")).expect("a database");
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, payload BLOB);",
        )
        .expect("a table");
    let mut insert =
        database.prepare("INSERT INTO rows (payload) VALUES (?1)").expect("a statement");
    let payload = vec![b'x'; 300];
    let start = Instant::now();
    let mut commits = 0_u32;
    while start.elapsed() < Duration::from_secs(3) {
        insert.execute([&payload]).expect("a commit");
        commits += 1;
    }
    f64::from(commits) / start.elapsed().as_secs_f64()
}

/// A scenario that a session can walk round for ever, so that every turn moves it.
fn carousel() -> Value {
    let step = |id: &str, to: &str| {
        let condition = format!("next == '{to}'");
        json!({"id": id, "name": id,
               "transitions": [{"to_step_id": to, "condition_text": condition}]})
    };
    json!({
        "name": "Carousel", "entry_step_id": "a",
        "steps": [step("a", "b"), step("b", "c"), step("c", "d"), step("d", "a")],
    })
}

/// The body of the turn that moves every session on by one step.
fn turn(nth: usize) -> String {
    let next = ["b", "c", "d", "a"][nth % 4];
    json!({"message": {"text": "Go on, please."}, "fields": {"next": next}}).to_string()
}

async fn start_session(client: &mut Client, scenario: &str) -> String {
    let session = client
        .ok("POST", "/sessions", &json!({"scenario_id": scenario, "channel": "whatsapp"}))
        .await;
    session["id"].as_str().expect("an id").to_owned()
}

async fn register(client: &mut Client) -> String {
    let scenario = client.ok("POST", "/scenarios", &carousel()).await;
    scenario["id"].as_str().expect("an id").to_owned()
}

/// Turns per second at [`CLIENTS`] clients, each with its own sessions, and their latencies.
async fn turns(folder: &Path) -> (f64, Latencies) {
    let server = Server::start(folder);
    let scenario = register(&mut Client::connect(&server.address).await).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = Client::connect(&server.address).await;
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS_PER_CLIENT {
            sessions.push(start_session(&mut client, &scenario).await);
        }
        clients.push((client, sessions));
    }
    let start = Instant::now();
    let running: Vec<_> = clients
        .into_iter()
        .map(|(client, sessions)| tokio::spawn(walk(client, sessions, start + RUN)))
        .collect();
    let mut all = Latencies::default();
    for client in running {
        all.extend(client.await.expect("a client ends"));
    }
    (all.len() as f64 / start.elapsed().as_secs_f64(), all)
}

async fn walk(mut client: Client, sessions: Vec<String>, until: Instant) -> Latencies {
    let mut latencies = Latencies::default();
    for round in 0.. {
        let body = turn(round);
        for session in &sessions {
            let start = Instant::now();
            if start >= until {
                return latencies;
            }
            let status = client.send("POST", &format!("/sessions/{session}/turns"), &body).await;
            assert_eq!(status, 200, "{}", client.body());
            latencies.since(start);
        }
    }
    latencies
}

/// The median turn of a client without and of one with an API key, in turns at one server, in milliseconds. An
/// open server checks the key that it is sent as any other does.
async fn with_a_key(folder: &Path) -> (f64, f64) {
    let server = Server::start(folder);
    let key = app_key(folder);
    let mut clients =
        [Client::connect(&server.address).await, Client::connect(&server.address).await];
    let scenario = register(&mut clients[0]).await;
    clients[1].carry(&key);
    let mut sessions = Vec::new();
    for client in &mut clients {
        sessions.push(start_session(client, &scenario).await);
    }
    let mut latencies = [Latencies::default(), Latencies::default()];
    for nth in 0..10_000 {
        let body = turn(nth);
        for which in [nth % 2, (nth + 1) % 2] {
            let path = format!("/sessions/{}/turns", sessions[which]);
            let start = Instant::now();
            let status = clients[which].send("POST", &path, &body).await;
            assert_eq!(status, 200, "{}", clients[which].body());
            // The first ones hash the key and open files.
            if nth >= 100 {
                latencies[which].since(start);
            }
        }
    }
    let [mut open, mut keyed] = latencies;
    (open.quantile_ms(0.50), keyed.quantile_ms(0.50))
}

/// A key for the tenant, made beside the server.
fn app_key(folder: &Path) -> String {
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_segue"))
        .args(["key", "create", "--local", "--json", "--name", "bench", "--role", "app"])
        .args(["--for-tenant", load::TENANT, "--requests-per-second", "1000000"])
        .current_dir(folder)
        .output()
        .expect("the segue binary runs");
    let made: Value = serde_json::from_slice(&made.stdout).expect("a key as JSON");
    made["key"].as_str().expect("a key").to_owned()
}

/// The median turn of one session when it is young, and after ten thousand turns, in milliseconds.
async fn long_history(folder: &Path) -> (f64, f64) {
    let server = Server::start(folder);
    let mut client = Client::connect(&server.address).await;
    let scenario = register(&mut client).await;
    let session = start_session(&mut client, &scenario).await;
    let (mut young, mut old) = (Latencies::default(), Latencies::default());
    for nth in 0..10_000 {
        let body = turn(nth);
        let start = Instant::now();
        let status = client.send("POST", &format!("/sessions/{session}/turns"), &body).await;
        assert_eq!(status, 200, "{}", client.body());
        match nth {
            0..500 => young.since(start),
            9_500.. => old.since(start),
            _ => {}
        }
    }
    (young.quantile_ms(0.50), old.quantile_ms(0.50))
}
