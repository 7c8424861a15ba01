//! What durable appends, reads and imports cost on PostgreSQL, beside bare inserts of the same rows.
//!
//! `cargo bench -p segue-store --bench append_postgres [-- --url URL] [--events N]` prints a table with the
//! ratios that matter. Without a URL it starts a server of its own with durable settings. What is compared
//! runs in turns of a second, so that a disk that has a bad minute has it for both.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use segue_core::digest::{Digest, Mark, Verifier};
use segue_core::ids::{Epoch, EventId, Position, StreamId, StreamVersion, TenantId, Term};
use segue_store::events::postgres::PostgresEventStore;
use segue_store::events::{
    Append, Event, EventStore, Expected, HeadSwap, Import, LogRead, Mode, NewEvent, StreamAppend,
};
use segue_store::postgres::Settings;
use segue_testing::postgres::{Server, TestDatabase};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

const EPOCH: Epoch = Epoch(1);
const PAYLOAD: usize = 300;
/// Streams that the events of one client go to, as sessions that take turns.
const STREAMS: u64 = 100;
const TURN: Duration = Duration::from_secs(1);
const TURNS: usize = 5;
const CLIENTS: u64 = 64;
/// Events of one import.
const PAGE: u64 = 5_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let events = value("--events").map_or(500_000, |events| events.parse().unwrap());
    let server = if value("--url").is_none() { Some(Server::start()) } else { None };
    let url = value("--url").unwrap_or_else(|| server.as_ref().unwrap().url());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let database = TestDatabase::at(&url).await.unwrap();
        measure(database.url(), events).await;
        drop(database);
    });
}

async fn measure(url: &str, events: u64) {
    let store = open(url, CLIENTS as usize);
    println!("{}", store_line(&store).await);
    println!("{:<56} {:>12} {:>9} {:>9}", "", "per second", "p50 ms", "p99 ms");
    let single = one_client(url, &store).await;
    one_tenant(&store, single).await;
    many_tenants(url, &store).await;
    import_and_read(&store, events).await;
}

fn open(url: &str, pool: usize) -> Arc<PostgresEventStore> {
    let settings = Settings::new(url).unwrap().with_pool_size(pool).unwrap();
    Arc::new(PostgresEventStore::open(settings).unwrap())
}

async fn store_line(store: &PostgresEventStore) -> String {
    store.health().await.unwrap();
    store.durability().settings
}

/// One client appends, beside one connection that inserts; answers with the client's rate.
async fn one_client(url: &str, store: &Arc<PostgresEventStore>) -> f64 {
    let bare = Bare::new(url, "bare_one").await;
    let mut inserts = Measured::default();
    let mut appends = Measured::default();
    store.open_tenant(tenant(1), EPOCH).await.unwrap();
    for _ in 0..TURNS {
        inserts.add(drive(1, bare.connections(1).await).await);
        appends.add(drive(1, appenders(store, |_| tenant(1), 1)).await);
    }
    inserts.print("bare INSERT and COMMIT, 1 connection");
    appends.print("appends, 1 client");
    ratio("p50 of an append to a bare insert", appends.at(0.5) / inserts.at(0.5), "at most 1.5");
    appends.rate()
}

async fn one_tenant(store: &Arc<PostgresEventStore>, single: f64) {
    store.open_tenant(tenant(2), EPOCH).await.unwrap();
    let mut appends = Measured::default();
    for _ in 0..TURNS {
        appends.add(drive(CLIENTS, appenders(store, |_| tenant(2), CLIENTS)).await);
    }
    appends.print("appends to one tenant, 64 clients");
    ratio("64 clients to one", appends.rate() / single, "at least 8");
}

async fn many_tenants(url: &str, store: &Arc<PostgresEventStore>) {
    let bare = Bare::new(url, "bare_many").await;
    let few = open(url, 16);
    for n in 0..CLIENTS {
        store.open_tenant(tenant(100 + n), EPOCH).await.unwrap();
    }
    let mut inserts = Measured::default();
    let mut appends = Measured::default();
    let mut by_few = Measured::default();
    for _ in 0..TURNS {
        inserts.add(drive(CLIENTS, bare.connections(CLIENTS).await).await);
        appends.add(drive(CLIENTS, appenders(store, |n| tenant(100 + n), CLIENTS)).await);
        by_few.add(drive(CLIENTS, appenders(&few, |n| tenant(100 + n), CLIENTS)).await);
    }
    inserts.print("bare INSERT and COMMIT, 64 connections");
    appends.print("appends to 64 tenants, 64 clients, 64 connections");
    by_few.print("appends to 64 tenants, 64 clients, 16 connections");
    ratio("64 tenants to 64 bare connections", appends.rate() / inserts.rate(), "at least 1");
    ratio("the same over 16 connections", by_few.rate() / inserts.rate(), "(no target)");
}

/// Fills a tenant by imports, then reads and verifies its log.
async fn import_and_read(store: &Arc<PostgresEventStore>, events: u64) {
    let into = tenant(3);
    let mut head = store.begin_copy(into, EPOCH, Term(1)).await.unwrap();
    let mut took = Duration::ZERO;
    while head.position.0 < events {
        let page = page(into, head.mark());
        let begun = Instant::now();
        head = store.import(page).await.unwrap();
        took += begun.elapsed();
    }
    line("importing, events", head.position.0 as f64 / took.as_secs_f64());
    let open = HeadSwap {
        expect_epoch: EPOCH,
        expect_mode: Mode::Copying,
        expect_mark: None,
        term: Term(1),
        epoch: EPOCH,
        mode: Mode::Open,
    };
    store.swap_head(into, open).await.unwrap();
    read_log(store, into, 1_000, 1 << 20).await;
    let resident = resident_mib();
    let (reading, verifying) = read_log(store, into, 1_000, 1 << 20).await;
    line("reading the log, events of 300 bytes", reading);
    line("reading and verifying the log, events", verifying);
    println!("{:<56} {resident:>8} to {} MiB", "resident memory meanwhile", resident_mib());
}

async fn read_log(
    store: &PostgresEventStore,
    tenant: TenantId,
    limit: usize,
    max_bytes: usize,
) -> (f64, f64) {
    let begun = Instant::now();
    let mut verifier = Verifier::after(Mark::START);
    let mut reading = Duration::ZERO;
    loop {
        let one = Instant::now();
        let after = verifier.position();
        let read = LogRead { tenant, access: EPOCH.into(), after, limit, max_bytes };
        let page = store.read_log(read).await.unwrap();
        reading += one.elapsed();
        if page.events.is_empty() {
            assert_eq!(verifier.clone().close(), page.head.mark());
            break;
        }
        for event in &page.events {
            let payload = event.payload.as_deref();
            let first = event.append_first_position;
            verifier.push(event.position, first, &event.entry(), payload).unwrap();
        }
    }
    let n = verifier.position().0 as f64;
    (n / reading.as_secs_f64(), n / begun.elapsed().as_secs_f64())
}

/// Latencies of one kind of operation.
#[derive(Default)]
struct Measured {
    took: Duration,
    each: Vec<Duration>,
}

impl Measured {
    fn add(&mut self, other: Self) {
        self.took += other.took;
        self.each.extend(other.each);
        self.each.sort_unstable();
    }

    fn rate(&self) -> f64 {
        self.each.len() as f64 / self.took.as_secs_f64()
    }

    /// In milliseconds.
    fn at(&self, share: f64) -> f64 {
        self.each[(self.each.len() as f64 * share) as usize].as_secs_f64() * 1e3
    }

    fn print(&self, what: &str) {
        println!("{what:<56} {:>12.0} {:>9.3} {:>9.3}", self.rate(), self.at(0.5), self.at(0.99));
    }
}

fn line(what: &str, per_second: f64) {
    println!("{what:<56} {per_second:>12.0}");
}

fn ratio(what: &str, ratio: f64, target: &str) {
    println!("  {what:<54} {ratio:>12.2} {target}");
}

/// Something that is done again and again by one client.
#[async_trait::async_trait]
trait Operate: Send {
    async fn operate(&mut self, n: u64);
}

/// Runs clients side by side for a turn.
async fn drive<O: Operate + 'static>(clients: u64, operators: Vec<O>) -> Measured {
    assert_eq!(operators.len() as u64, clients);
    let begun = Instant::now();
    let tasks: Vec<_> = operators
        .into_iter()
        .map(|mut operator| {
            tokio::spawn(async move {
                let mut each = Vec::new();
                while begun.elapsed() < TURN {
                    let one = Instant::now();
                    operator.operate(each.len() as u64).await;
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

/// A client of the store.
struct Appender {
    store: Arc<PostgresEventStore>,
    tenant: TenantId,
    client: u64,
    /// Where each of the client's streams stands.
    versions: Vec<u64>,
}

fn appenders(
    store: &Arc<PostgresEventStore>,
    tenant: impl Fn(u64) -> TenantId,
    clients: u64,
) -> Vec<Appender> {
    let run = Uuid::now_v7().as_u128() as u64;
    let client = |n| Appender {
        store: Arc::clone(store),
        tenant: tenant(n),
        client: run.wrapping_add(n),
        versions: vec![0; STREAMS as usize],
    };
    (0..clients).map(client).collect()
}

#[async_trait::async_trait]
impl Operate for Appender {
    async fn operate(&mut self, n: u64) {
        let which = n % STREAMS;
        let stream_id = stream(self.client.wrapping_mul(STREAMS).wrapping_add(which));
        let version = &mut self.versions[which as usize];
        let expected = Expected::Version(StreamVersion(*version));
        *version += 1;
        let events = vec![NewEvent {
            event_id: EventId(Uuid::now_v7()),
            event_type: "TurnTaken".into(),
            payload: vec![b'x'; PAYLOAD],
            metadata: b"{}".to_vec(),
        }];
        let streams = vec![StreamAppend {
            stream_id,
            stream_type: "session".into(),
            expected,
            events,
            snapshot: None,
        }];
        let recorded_at = Timestamp::now();
        let append = Append { tenant: self.tenant, epoch: EPOCH, recorded_at, streams };
        self.store.append(append).await.unwrap();
    }
}

/// A table like that of the events, with the same indexes.
struct Bare {
    url: String,
    table: String,
}

/// A connection that inserts the rows of events, one at a time.
struct Inserter {
    client: Client,
    statement: tokio_postgres::Statement,
    tenant: Uuid,
    version: i64,
}

impl Bare {
    async fn new(url: &str, table: &str) -> Self {
        let bare = Self { url: url.to_owned(), table: table.to_owned() };
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let create = format!("CREATE TABLE {table} (LIKE segue_events.events INCLUDING ALL)");
        client.batch_execute(&create).await.unwrap();
        bare
    }

    async fn connections(&self, n: u64) -> Vec<Inserter> {
        let mut connections = Vec::new();
        for _ in 0..n {
            let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
            tokio::spawn(connection);
            let insert = format!(
                "INSERT INTO {} (tenant_id, event_id, position, append_first_position, version, \
                    recorded_at, stream_id, stream_type, event_type, payload_hash, metadata, payload) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                self.table
            );
            let statement = client.prepare(&insert).await.unwrap();
            connections.push(Inserter { client, statement, tenant: Uuid::now_v7(), version: 0 });
        }
        connections
    }
}

#[async_trait::async_trait]
impl Operate for Inserter {
    async fn operate(&mut self, n: u64) {
        self.version += 1;
        let stream = stream(n % STREAMS);
        let payload = vec![b'x'; PAYLOAD];
        let hash = Digest::of_payload(&payload);
        self.client
            .execute(
                &self.statement,
                &[
                    &self.tenant,
                    &Uuid::now_v7(),
                    &self.version,
                    &self.version,
                    &self.version,
                    &Timestamp::now().as_microsecond(),
                    &stream.as_str(),
                    &"session",
                    &"TurnTaken",
                    &hash.0.as_slice(),
                    &b"{}".as_slice(),
                    &payload,
                ],
            )
            .await
            .unwrap();
    }
}

fn tenant(n: u64) -> TenantId {
    TenantId(Uuid::new_v5(&Uuid::NAMESPACE_DNS, &n.to_be_bytes()))
}

fn stream(n: u64) -> StreamId {
    // As random as the ids of sessions are.
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, &n.to_be_bytes());
    StreamId::new(format!("session-{id}")).unwrap()
}

/// A page of events of 300 bytes after a mark, each in its own group.
fn page(tenant: TenantId, after: Mark) -> Import {
    let first = after.position.0;
    let events = (first..first + PAGE).map(|n| {
        let payload = vec![b'a' + (n % 26) as u8; PAYLOAD];
        Event {
            position: Position(n + 1),
            append_first_position: Position(n + 1),
            stream_id: stream(n % STREAMS),
            stream_type: "session".into(),
            version: StreamVersion(n / STREAMS + 1),
            event_id: EventId(Uuid::now_v7()),
            event_type: "TurnTaken".into(),
            payload_hash: Digest::of_payload(&payload),
            payload: Some(payload),
            metadata: b"{}".to_vec(),
            recorded_at: Timestamp::from_second(1_800_000_000).unwrap(),
        }
    });
    Import {
        tenant,
        term: Term(1),
        after,
        events: events.collect(),
        streams: Vec::new(),
        prepare: None,
    }
}

fn resident_mib() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    resident.unwrap_or_default() * 4 / 1024
}
