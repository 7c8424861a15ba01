//! A real server with two SQLite stores, a tenant in the first of them, clients that write it, and an
//! operator who moves it.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use segue_testing::history::{History, Logged, Outcome, Sent};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Server, Tenant};

/// How long something that happens by itself may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The stores `shared`, where tenants live, and `dedicated`.
pub const TWO_STORES: &str = "[stores.shared]\nkind = \"sqlite\"\npath = \"shared.db\"\n\
                              [stores.dedicated]\nkind = \"sqlite\"\npath = \"dedicated.db\"\n";

/// A server with two stores, and more settings.
pub fn server_with(more: &str) -> Server {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("segue.toml"), format!("{TWO_STORES}{more}")).unwrap();
    Server::start_in(dir, &["--config", "segue.toml"])
}

/// A server whose moves look around often.
pub fn server() -> Server {
    server_with("[tenant_migration]\nsync_check_interval = 0.02\n")
}

/// A request of an operator, who names no tenant.
pub fn operator(server: &Server, method: &str, path: &str, body: &Value) -> Answer {
    let headers = [("Content-Type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.send(method, &format!("/api/v1{path}"), &headers, body.as_bytes())
}

/// Asks something of a migration.
pub fn ask(server: &Server, id: &str, what: &str, body: &Value) -> Answer {
    operator(server, "POST", &format!("/tenant-migrations/{id}/{what}"), body)
}

/// Reads something of a migration.
pub fn read(server: &Server, id: &str, what: &str) -> Value {
    operator(server, "GET", &format!("/tenant-migrations/{id}{what}"), &Value::Null).is(200)
}

/// Asks for a move to a store.
pub fn start(tenant: &Tenant<'_>, body: &Value) -> Answer {
    operator(tenant.server, "POST", &format!("/tenants/{}/migrations", tenant.id), body)
}

/// Starts a move to `dedicated` with these settings, and answers with its id.
pub fn started(tenant: &Tenant<'_>, config: &Value) -> String {
    let body = json!({ "target_store_id": "dedicated", "config": config, "started_by": "olga" });
    start(tenant, &body).is(201)["id"].as_str().unwrap().to_owned()
}

/// Waits until a migration is as wanted.
#[track_caller]
pub fn until(server: &Server, id: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let migration = read(server, id, "");
        if holds(&migration) {
            return migration;
        }
        assert!(Instant::now() < deadline, "not in time: {what}: {migration:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
pub fn until_state(server: &Server, id: &str, state: &str) -> Value {
    until(server, id, state, |migration| migration["state"] == state)
}

/// Cuts a migration over as soon as it follows.
#[track_caller]
pub fn cut_over(server: &Server, id: &str) -> Value {
    until_state(server, id, "dual_write");
    let deadline = Instant::now() + PATIENCE;
    let answer = ask(server, id, "cutover", &json!({ "by": "olga" }));
    assert!(answer.status == 200 || answer.status == 202, "{}", answer.text);
    let migration = until_state(server, id, "migrated");
    assert!(Instant::now() < deadline);
    migration
}

/// Appends so many events to a stream, 500 at a time.
pub fn append(tenant: &Tenant<'_>, stream: &str, count: usize) {
    for begin in (0..count).step_by(500) {
        let events: Vec<Value> = (begin..count.min(begin + 500))
            .map(|nth| json!({ "event_type": "Counted", "payload": { "nth": nth } }))
            .collect();
        let body = json!({ "stream_type": "counter", "expected_version": "any", "events": events });
        tenant.post(&format!("/streams/{stream}/events"), &body).is(201);
    }
}

/// Appends so many events to a stream, each by itself, so that each can be copied by itself.
pub fn append_each(tenant: &Tenant<'_>, stream: &str, count: usize) {
    (0..count).for_each(|_| append(tenant, stream, 1));
}

/// Settings of a copy that takes some seconds for a few dozen events.
pub fn slow() -> Value {
    json!({ "batch_size": 1, "max_bulk_copy_rate": 20.0, "sync_lag_threshold": 0 })
}

/// Where a tenant lives, as operators see it.
pub fn home(tenant: &Tenant<'_>) -> Value {
    operator(tenant.server, "GET", &format!("/tenants/{}", tenant.id), &Value::Null).is(200)
}

/// The tenant's whole log, as its applications read it.
pub fn log(tenant: &Tenant<'_>) -> Vec<Logged> {
    let (mut log, mut after) = (Vec::new(), 0);
    loop {
        let page = tenant.get(&format!("/events?after={after}&limit=1000")).is(200);
        let events = page["events"].as_array().unwrap();
        if events.is_empty() {
            return log;
        }
        log.extend(events.iter().map(logged));
        after = page["next_after"].as_u64().unwrap();
    }
}

fn logged(event: &Value) -> Logged {
    Logged {
        position: event["position"].as_u64().unwrap(),
        stream: event["stream_id"].as_str().unwrap().to_owned(),
        version: event["version"].as_u64().unwrap(),
        event: event["event_id"].as_str().unwrap().parse().unwrap(),
        payload: event["payload"].to_string(),
    }
}

/// Clients that append until they are told to stop, and remember what they were told.
pub struct Writers {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Sent>>>,
}

impl Writers {
    pub fn begin(tenant: &Tenant<'_>, count: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let threads = (0..count).map(|client| {
            let (url, id, is_over) = (tenant.server.url.clone(), tenant.id, is_over.clone());
            std::thread::spawn(move || write(client, &url, id, &is_over))
        });
        let threads = threads.collect();
        Self { is_over, threads }
    }

    /// Ends them, and gives back everything that they were told.
    pub fn end(self) -> History {
        self.is_over.store(true, Ordering::SeqCst);
        let mut history = History::default();
        for thread in self.threads {
            thread.join().unwrap().into_iter().for_each(|sent| history.push(sent));
        }
        history
    }
}

/// One client. A move is nothing that it notices: every append is acknowledged.
fn write(client: usize, url: &str, tenant: Uuid, is_over: &AtomicBool) -> Vec<Sent> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into();
    let stream = format!("writer-{client}");
    let (mut sent, mut version) = (Vec::new(), 0);
    while !is_over.load(Ordering::SeqCst) {
        let payload = json!({ "client": client, "append": sent.len() });
        let event = Uuid::new_v4();
        let body = json!({
            "stream_type": "writer",
            "expected_version": version,
            "events": [{ "event_id": event, "event_type": "Written", "payload": payload }],
        });
        let began = Instant::now();
        let request = agent.post(format!("{url}/api/v1/streams/{stream}/events"));
        let request = request.header("X-Tenant-ID", tenant.to_string());
        let mut response = request.send_json(&body).unwrap();
        let (status, text) = (response.status(), response.body_mut().read_to_string().unwrap());
        assert_eq!(status, 201, "client {client}: {text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        version += 1;
        assert_eq!(answer["version"], version);
        let first_position = answer["first_position"].as_u64().unwrap();
        let outcome = Outcome::Acknowledged { version, first_position, at: Instant::now() };
        let (stream, events) = (stream.clone(), vec![(event, payload.to_string())]);
        let expected_version = Some(version - 1);
        sent.push(Sent { client, stream, events, expected_version, began, outcome });
        std::thread::sleep(Duration::from_millis(20));
    }
    sent
}

/// Checks that what writers were told is in the log, once, in order, where they were told; other streams are
/// let be.
#[track_caller]
pub fn check(history: &mut History, others: &[Logged], log: &[Logged]) {
    history.let_be(others);
    let mut streams: BTreeMap<String, Vec<Logged>> = BTreeMap::new();
    for event in log {
        streams.entry(event.stream.clone()).or_default().push(event.clone());
    }
    let wrong = history.check(log, &streams);
    let wrong: Vec<_> = wrong.iter().map(ToString::to_string).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A migration's status as a client follows it.
pub struct Status {
    lines: Box<dyn Iterator<Item = std::io::Result<String>> + Send>,
}

impl Status {
    pub fn of(server: &Server, id: &str) -> Self {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        let path = format!("{}/api/v1/tenant-migrations/{id}/status", server.url);
        let response = agent.get(path).call().unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { lines: Box::new(BufReader::new(response.into_body().into_reader()).lines()) }
    }
}

/// Each event's name and data; ends when the server ends the stream.
impl Iterator for Status {
    type Item = (String, Value);

    fn next(&mut self) -> Option<Self::Item> {
        let mut name = String::new();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((name, serde_json::from_str(data).unwrap()));
            }
        }
        None
    }
}
