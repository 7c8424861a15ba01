//! How fast a log is verified, and in how much memory: 300,000 events of 300 bytes, in SQLite and in a
//! PostgreSQL of its own, or the one that `SEGUE_TEST_POSTGRES` names.
//!
//! `cargo bench -p segue --bench verify`
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on fails")]

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use segue::tenants::Verification;
use segue_core::digest::Mark;
use segue_core::ids::{Epoch, EventId, Position, StreamId, TenantId};
use segue_store::events::postgres::PostgresEventStore;
use segue_store::events::sqlite::SqliteEventStore;
use segue_store::events::{Append, EventStore, Expected, LogRead, NewEvent, StreamAppend};
use segue_store::postgres::Settings;
use segue_testing::postgres::TestDatabase;
use uuid::Uuid;

const EVENTS: u64 = 300_000;
const GROUP: u64 = 500;
const STREAMS: u64 = 5_000;
const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const EPOCH: Epoch = Epoch(1);

fn main() {
    // `cargo test` runs benches to see that they build.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteEventStore::open(folder.path().join("events.db")).unwrap();
        measure("sqlite", Arc::new(store)).await;
        let database = TestDatabase::fresh().await;
        let store = PostgresEventStore::open(Settings::new(database.url()).unwrap()).unwrap();
        measure("postgres", Arc::new(store)).await;
    });
}

async fn measure(kind: &str, store: Arc<dyn EventStore>) {
    fill(store.as_ref()).await;
    let before = resident_kib();
    let begun = Instant::now();
    let mut after = Position(0);
    while after.0 < EVENTS {
        let (tenant, epoch) = (TENANT, EPOCH);
        let read =
            LogRead { tenant, access: epoch.into(), after, limit: 8_192, max_bytes: 4 << 20 };
        after = store.read_log(read).await.unwrap().events.last().unwrap().position;
    }
    let read = EVENTS as f64 / begun.elapsed().as_secs_f64();

    let store_id = kind.parse().unwrap();
    let verification =
        Verification { store_id, store, tenant: TENANT, access: EPOCH.into(), from: Mark::START };
    let report = verification.run(|_| ()).await.unwrap();
    assert!(report.is_sound, "{report:?}");
    println!(
        "{kind}: {EVENTS} events of 300 bytes: read {read:.0} /s, verified {:.0} /s; \
         memory grew by {} KiB",
        EVENTS as f64 / report.seconds,
        resident_kib().saturating_sub(before),
    );
}

async fn fill(store: &dyn EventStore) {
    store.open_tenant(TENANT, EPOCH).await.unwrap();
    let recorded_at = Timestamp::from_second(1_800_000_000).unwrap();
    for group in 0..EVENTS / GROUP {
        let event = |n: u64| NewEvent {
            event_id: EventId(Uuid::from_u128(u128::from(group * GROUP + n) + 1)),
            event_type: "Happened".into(),
            payload: vec![b'x'; 300],
            metadata: b"{}".to_vec(),
        };
        let part = |which: u64| StreamAppend {
            stream_id: StreamId::new(format!("stream-{}", (group * 10 + which) % STREAMS)).unwrap(),
            stream_type: "thing".into(),
            expected: Expected::Any,
            events: (which * GROUP / 10..(which + 1) * GROUP / 10).map(event).collect(),
            snapshot: None,
        };
        let streams = (0..10).map(part).collect();
        store.append(Append { tenant: TENANT, epoch: EPOCH, recorded_at, streams }).await.unwrap();
    }
}

/// The memory of this process, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
