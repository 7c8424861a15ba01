//! What durable appends, loads, counts and reads cost on SQLite, beside a bare loop of commits.
//!
//! `cargo bench -p segue-store --bench append [-- --sessions N]` prints a table; N is 1,000,000 unless
//! given. Everything is measured in one run on one file system, so the figures can be compared.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use segue_core::digest::{Mark, Verifier};
use segue_core::ids::{
    Channel, Epoch, EventId, Position, ScenarioId, StepId, StreamId, TenantId, Version,
};
use segue_store::events::sqlite::SqliteEventStore;
use segue_store::events::{
    Append, Choice, CountBy, CountQuery, Counting, EventStore, Expected, Facets, Filter, LogRead,
    NewEvent, Snapshot, SnapshotQuery, StreamAppend,
};
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const SCENARIO: ScenarioId = ScenarioId(Uuid::from_u128(2));
const EPOCH: Epoch = Epoch(1);
const FOR: Duration = Duration::from_secs(4);
const PAYLOAD: usize = 300;
const SNAPSHOT: usize = 1_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let sessions = arguments.iter().position(|argument| argument == "--sessions");
    let sessions = sessions.map_or(1_000_000, |at| arguments[at + 1].parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    println!("{:<44} {:>12} {:>9} {:>9}", "", "per second", "p50 ms", "p99 ms");
    bare(&folder.path().join("bare.db")).print("bare INSERT and COMMIT, 1 connection");
    runtime.block_on(measure(&folder.path().join("events.db"), sessions));
}

async fn measure(path: &Path, sessions: u64) {
    let store = Arc::new(SqliteEventStore::open(path).unwrap());
    store.open_tenant(TENANT, EPOCH).await.unwrap();
    for clients in [1, 64] {
        appends(&store, clients, 1_000).await.print(&format!("appends, {clients} clients"));
    }
    for clients in [1, 64] {
        loads(&store, clients, 64).await.print(&format!("loads, {clients} clients"));
    }
    let begun = Instant::now();
    seed(&store, sessions).await;
    line(&format!("seeding {sessions} sessions"), sessions as f64 / begun.elapsed().as_secs_f64());
    appends(&store, 64, sessions).await.print("appends, 64 clients, among all of them");
    loads(&store, 64, sessions).await.print("loads, 64 clients, among all of them");
    turns(&store, 64, sessions).await.print("load + append, 64 clients, among all of them");
    counts(&store).await;
    log(&store).await;
    println!("{:<44} {:>12} MiB", "resident memory", resident_mib());
}

/// Latencies of one kind of operation.
struct Measured {
    took: Duration,
    each: Vec<Duration>,
}

impl Measured {
    fn print(mut self, what: &str) {
        self.each.sort_unstable();
        let at =
            |share: f64| self.each[(self.each.len() as f64 * share) as usize].as_secs_f64() * 1e3;
        let rate = self.each.len() as f64 / self.took.as_secs_f64();
        println!("{what:<44} {rate:>12.0} {:>9.3} {:>9.3}", at(0.5), at(0.99));
    }
}

fn line(what: &str, per_second: f64) {
    println!("{what:<44} {per_second:>12.0}");
}

/// The row of an event, inserted and committed one at a time.
fn bare(path: &Path) -> Measured {
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.pragma_update(None, "journal_mode", "WAL").unwrap();
    conn.pragma_update(None, "synchronous", "FULL").unwrap();
    conn.execute_batch("CREATE TABLE events (position INTEGER PRIMARY KEY, payload BLOB)").unwrap();
    let begun = Instant::now();
    let mut each = Vec::new();
    while begun.elapsed() < FOR {
        let one = Instant::now();
        conn.prepare_cached("INSERT INTO events (payload) VALUES (?1)")
            .unwrap()
            .execute([[7_u8; PAYLOAD].as_slice()])
            .unwrap();
        each.push(one.elapsed());
    }
    Measured { took: begun.elapsed(), each }
}

/// Runs clients side by side for a while; `operate` gets the client and a running number.
async fn drive<F>(
    clients: u64,
    operate: impl Fn(u64, u64) -> F + Clone + Send + 'static,
) -> Measured
where
    F: Future<Output = ()> + Send,
{
    let begun = Instant::now();
    let numbers = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let (operate, numbers) = (operate.clone(), Arc::clone(&numbers));
            tokio::spawn(async move {
                let mut each = Vec::new();
                while begun.elapsed() < FOR {
                    let one = Instant::now();
                    operate(client, numbers.fetch_add(1, Ordering::Relaxed)).await;
                    each.push(one.elapsed());
                }
                each
            })
        })
        .collect();
    let mut each = Vec::new();
    for task in tasks {
        each.extend(task.await.unwrap());
    }
    Measured { took: begun.elapsed(), each }
}

async fn appends(store: &Arc<SqliteEventStore>, clients: u64, among: u64) -> Measured {
    let store = Arc::clone(store);
    let append = move |_, n| {
        let store = Arc::clone(&store);
        async move {
            store.append(group(vec![session(scattered(n, among), n)])).await.unwrap();
        }
    };
    drive(clients, append).await
}

async fn loads(store: &Arc<SqliteEventStore>, clients: u64, among: u64) -> Measured {
    let store = Arc::clone(store);
    let load = move |_, n| {
        let store = Arc::clone(&store);
        async move {
            let stream = stream(scattered(n, among));
            store.load(TENANT, EPOCH.into(), &stream).await.unwrap().unwrap();
        }
    };
    drive(clients, load).await
}

async fn turns(store: &Arc<SqliteEventStore>, clients: u64, among: u64) -> Measured {
    let store = Arc::clone(store);
    let turn = move |_, n| {
        let store = Arc::clone(&store);
        async move {
            let at = scattered(n, among);
            store.load(TENANT, EPOCH.into(), &stream(at)).await.unwrap().unwrap();
            store.append(group(vec![session(at, n)])).await.unwrap();
        }
    };
    drive(clients, turn).await
}

async fn seed(store: &SqliteEventStore, sessions: u64) {
    let numbers: Vec<u64> = (0..sessions).collect();
    for numbers in numbers.chunks(1_000) {
        let streams = numbers.iter().map(|n| session(*n, *n)).collect();
        store.append(group(streams)).await.unwrap();
    }
}

async fn counts(store: &Arc<SqliteEventStore>) {
    let filter = Filter {
        scenario_id: Some(SCENARIO),
        versions: Choice::Only(vec![Version(1)]),
        live: Some(true),
        started_until: Some(Timestamp::MAX),
        channels: Choice::Except(vec![Channel::new("sms").unwrap()]),
        ..Filter::default()
    };
    let stream_type = "session".to_owned();
    let count = |filter: Filter, by| {
        let stream_type = stream_type.clone();
        store.count(CountQuery { tenant: TENANT, access: EPOCH.into(), stream_type, filter, by })
    };
    let stop = Arc::new(AtomicBool::new(false));
    let beside = {
        let (store, stop) = (Arc::clone(store), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                let one = Instant::now();
                store.append(group(vec![session(n, n)])).await.unwrap();
                slowest = slowest.max(one.elapsed());
                n += 1;
            }
            (n, slowest)
        })
    };
    for (what, by) in [("by step", CountBy::Step), ("by channel", CountBy::Channel)] {
        let begun = Instant::now();
        let counts = count(filter.clone(), by).await.unwrap();
        let n: u64 = counts.iter().map(|count| count.n).sum();
        let what = format!("counting {n} live sessions {what}");
        println!("{what:<44} {:>12.3} s", begun.elapsed().as_secs_f64());
    }
    stop.store(true, Ordering::Relaxed);
    let (n, slowest) = beside.await.unwrap();
    let what = format!("slowest of {n} appends meanwhile");
    println!("{what:<44} {:>12.3} s", slowest.as_secs_f64());
    for (what, filter) in [("all", Filter::default()), ("of the scenario", filter)] {
        let begun = Instant::now();
        let query = SnapshotQuery {
            tenant: TENANT,
            access: EPOCH.into(),
            stream_type: stream_type.clone(),
            filter,
            any_of: Vec::new(),
            none_of: Vec::new(),
            after: None,
            limit: 50,
            counting: Counting::Exactly,
        };
        let page = store.list(query.clone()).await.unwrap();
        let first = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        store.list(SnapshotQuery { after: page.next, ..query }).await.unwrap();
        let second = begun.elapsed().as_secs_f64();
        let what = format!("listing {} {what}, two pages", page.total);
        println!("{what:<44} {first:>12.3} s {second:>8.3} s");
    }
}

async fn log(store: &SqliteEventStore) {
    let begun = Instant::now();
    let mut verifier = Verifier::after(Mark::START);
    let mut reading = Duration::ZERO;
    let mut n = 0_u64;
    while n < 500_000 {
        let one = Instant::now();
        let after = Position(n);
        let read = LogRead {
            tenant: TENANT,
            access: EPOCH.into(),
            after,
            limit: 1_000,
            max_bytes: 1 << 20,
        };
        let page = store.read_log(read).await.unwrap();
        reading += one.elapsed();
        if page.events.is_empty() {
            break;
        }
        for event in &page.events {
            let first = event.append_first_position;
            verifier.push(event.position, first, &event.entry(), event.payload.as_deref()).unwrap();
        }
        n = verifier.position().0;
    }
    line("reading the log, events", n as f64 / reading.as_secs_f64());
    line("reading and verifying the log, events", n as f64 / begun.elapsed().as_secs_f64());
}

fn group(streams: Vec<StreamAppend>) -> Append {
    Append { tenant: TENANT, epoch: EPOCH, recorded_at: Timestamp::now(), streams }
}

fn session(n: u64, turn: u64) -> StreamAppend {
    let step = StepId::new(format!("step-{}", turn % 20)).unwrap();
    let channel = ["whatsapp", "web", "sms"][(n % 3) as usize];
    StreamAppend {
        stream_id: stream(n),
        stream_type: "session".into(),
        expected: Expected::Any,
        events: vec![NewEvent {
            event_id: EventId(Uuid::now_v7()),
            event_type: "TurnTaken".into(),
            payload: vec![b'x'; PAYLOAD],
            metadata: b"{}".to_vec(),
        }],
        snapshot: Some(Snapshot {
            state: vec![b'y'; SNAPSHOT],
            facets: Facets {
                scenario_id: Some(SCENARIO),
                scenario_version: Some(Version(1)),
                step_id: Some(step),
                channel: Some(Channel::new(channel).unwrap()),
                customer_id: None,
                live: true,
                started_at: Some(Timestamp::from_second(1_700_000_000 + n as i64).unwrap()),
                settled: None,
                checkpoints: Vec::new(),
            },
        }),
    }
}

fn stream(n: u64) -> StreamId {
    // As random as the ids of sessions are.
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, &n.to_be_bytes());
    StreamId::new(format!("session-{id}")).unwrap()
}

/// Spreads running numbers over all of them.
fn scattered(n: u64, among: u64) -> u64 {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % among
}

fn resident_mib() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    resident.unwrap_or_default() * 4 / 1024
}
