//! Every kind of store to every other, and back: the same code, the same log, the same answers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod moves;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use moves::{World, Writers, olga};
use segue::tenants::coordinator::verification::Asked;
use segue_core::ids::{Epoch, EventId, StreamId};
use segue_core::tenancy::migration::VerificationLevel;
use segue_store::control::sqlite::Control;
use segue_store::events::postgres::PostgresEventStore;
use segue_store::events::sqlite::SqliteEventStore;
use segue_store::events::{EventStore, Expected, MemoryEventStore, Mode, Redact};
use segue_store::postgres::Settings;
use segue_testing::postgres::TestDatabase;
use uuid::Uuid;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Memory,
    Sqlite,
    Postgres,
}

/// An empty store, and what has to live as long.
async fn store(kind: Kind) -> (Arc<dyn EventStore>, Box<dyn Any>) {
    match kind {
        Kind::Memory => (Arc::new(MemoryEventStore::new()), Box::new(())),
        Kind::Sqlite => {
            let folder = tempfile::tempdir().unwrap();
            let opened = SqliteEventStore::open(folder.path().join("events.db")).unwrap();
            (Arc::new(opened), Box::new(folder))
        }
        Kind::Postgres => {
            let database = TestDatabase::fresh().await;
            (postgres(&database).await, Box::new(database))
        }
    }
}

async fn postgres(database: &TestDatabase) -> Arc<dyn EventStore> {
    let settings = Settings::new(database.url()).unwrap().with_pool_size(8).unwrap();
    let opened = PostgresEventStore::open(settings).unwrap();
    opened.ready().await.unwrap();
    Arc::new(opened)
}

async fn moves_there_and_back(from: Kind, to: Kind) {
    let (shared, _kept) = store(from).await;
    let (dedicated, _kept_too) = store(to).await;
    let control = Arc::new(Control::in_memory().unwrap());
    let world = World::over(control, shared, dedicated).await;
    for nth in 0..6 {
        world.append(&format!("history-{}", nth % 3), 900).await;
    }
    redact(&world, "history-1").await;
    // Slow enough that a slow machine copies faster than they write.
    let routers = std::slice::from_ref(&world.router);
    let writers = Writers::resting(routers, world.tenant, 3, Duration::from_millis(50));
    let there = world.moved("dedicated").await;
    let report = verified(&world, there.id).await;
    assert!(report.events_compared > 5_400, "{report:?}");
    redact(&world, "history-2").await;
    let back = world.moves.reverse(there.id, &olga()).await.unwrap();
    let back = world.cut_over(back.id).await;
    assert_eq!(world.home().await.0.as_str(), "shared");
    writers.end().await;
    verified(&world, back.id).await;

    // Without a way back any more, the copy goes and its head stays.
    let finished = world.moves.finish(back.id, true, &olga()).await.unwrap();
    let is_over = |migration: &segue::tenants::Migration| !migration.is_active;
    world.moves.wait_until(finished.id, moves::PATIENCE, is_over).await.unwrap();
    let left = world.dedicated.head(world.tenant).await.unwrap();
    assert_eq!((left.mode, left.epoch >= Epoch(3)), (Mode::Tombstone, true));
    // And it may come again, from nothing.
    world.append("history-0", 10).await;
    let again = world.moved("dedicated").await;
    verified(&world, again.id).await;
    let (home, head) = world.home().await;
    assert_eq!((home.as_str(), head.position.0), ("dedicated", world.log().await.len() as u64));
}

async fn redact(world: &World, stream: &str) {
    let redact = Redact {
        tenant: world.tenant,
        epoch: Epoch::default(),
        recorded_at: olga().at,
        stream_id: StreamId::new(stream).unwrap(),
        expected: Expected::Any,
        event_id: EventId(Uuid::new_v4()),
        redacted_by: "olga".into(),
        reason: None,
        snapshot: None,
    };
    world.router.redact(redact).await.unwrap();
}

async fn verified(
    world: &World,
    id: segue_core::ids::MigrationId,
) -> segue::tenants::VerificationReport {
    let level = Some(VerificationLevel::Full);
    let asked = Asked { level, sample_percentage: Some(100.0), ..Asked::default() };
    let mut last = None;
    // The way back follows closely; while it is behind, the copy ends earlier and is compared up to there.
    for _ in 0..3 {
        let report = world.moves.verify(id, asked, &olga(), |_| ()).await.unwrap();
        assert!(report.is_consistent, "{:#?}", report.violations);
        last = Some(report);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    last.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_in_postgresql_is_read_by_its_indexes_before_autovacuum_has_seen_it() {
    let database = TestDatabase::fresh().await;
    let (control, shared) = (Control::in_memory().unwrap(), MemoryEventStore::new());
    let dedicated = postgres(&database).await;
    let world = World::over(Arc::new(control), Arc::new(shared), dedicated).await;
    world.append("history", 900).await;
    world.moved("dedicated").await;
    let expected =
        "SELECT reltuples::bigint FROM pg_class WHERE relname = 'events' AND relkind = 'r'";
    let client = database.client().await;
    for _ in 0..1_200 {
        let expected: i64 = client.query_one(expected, &[]).await.unwrap().get(0);
        if expected >= 900 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the planner does not know of the copied events after a minute");
}

macro_rules! pairs {
    ($($name:ident: $from:ident => $to:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            moves_there_and_back(Kind::$from, Kind::$to).await;
        }
    )*};
}

pairs! {
    from_memory_to_memory: Memory => Memory;
    from_memory_to_sqlite: Memory => Sqlite;
    from_memory_to_postgres: Memory => Postgres;
    from_sqlite_to_memory: Sqlite => Memory;
    from_sqlite_to_sqlite: Sqlite => Sqlite;
    from_sqlite_to_postgres: Sqlite => Postgres;
    from_postgres_to_memory: Postgres => Memory;
    from_postgres_to_sqlite: Postgres => Sqlite;
    from_postgres_to_postgres: Postgres => Postgres;
}
