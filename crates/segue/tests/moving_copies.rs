//! Copies: what a comparison finds in one that is hurt, what a repair leaves alone, and how fast they go.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod moves;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use moves::faulty::Faulty;
use moves::{World, config, new_event, olga, store_id, to};
use rusqlite::Connection;
use segue::tenants::{BulkCopier, ConsistencyVerifier, Migration, VerificationReport};
use segue_core::digest::Mark;
use segue_core::ids::{Epoch, MigrationId, TenantId, Term};
use segue_core::tenancy::migration::VerificationLevel::{Count, Full};
use segue_core::tenancy::migration::{MigrationConfig, MigrationState, VerificationLevel};
use segue_store::control::sqlite::Control;
use segue_store::events::sqlite::SqliteEventStore;
use segue_store::events::{Append, EventStore, Expected, MemoryEventStore};
use segue_store::faulty::{Fault, FaultyEventStore, Operation};
use tokio::time::Instant;
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(7));
const EPOCH: Epoch = Epoch(1);

/// A log and its copy, each in a file.
struct Pair {
    folder: tempfile::TempDir,
    source: Arc<dyn EventStore>,
    target: Arc<dyn EventStore>,
}

impl Pair {
    /// With 30 streams of 10 events each.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| -> Arc<dyn EventStore> {
            Arc::new(SqliteEventStore::open(folder.path().join(name)).unwrap())
        };
        let (source, target) = (open("source"), open("target"));
        source.open_tenant(TENANT, EPOCH).await.unwrap();
        let pair = Self { folder, source, target };
        for nth in 0..30 {
            pair.append(&format!("s{nth:02}"), 10).await;
        }
        pair.copy().await;
        pair
    }

    async fn append(&self, stream: &str, events: usize) {
        let events = (0..events).map(|_| new_event()).collect();
        let (recorded_at, streams) =
            (Timestamp::UNIX_EPOCH, vec![to(stream, Expected::Any, events, Some("state"))]);
        let append = Append { tenant: TENANT, epoch: EPOCH, recorded_at, streams };
        self.source.append(append).await.unwrap();
    }

    async fn copy(&self) {
        let (source, target) = (Arc::clone(&self.source), Arc::clone(&self.target));
        let mut copier = BulkCopier::new(source, target, TENANT, 100);
        let id = MigrationId(Uuid::nil());
        copier.copy_tenant_events(EPOCH, id, Term(1), |_, _| ()).await.unwrap();
    }

    /// Changes what a store holds by a foreign hand.
    fn hurt(&self, store: &str, sql: &str) {
        let file: PathBuf = self.folder.path().join(store);
        let changed = Connection::open(file).unwrap().execute(sql, []).unwrap();
        assert!(changed > 0, "{sql}");
    }

    async fn compared(&self, level: VerificationLevel, percent: f64) -> VerificationReport {
        let source = (store_id("source"), Arc::clone(&self.source));
        let target = (store_id("target"), Arc::clone(&self.target));
        let verifier = ConsistencyVerifier::new(TENANT, source, target);
        verifier.verify_tenant_consistency(level, percent, Mark::START, |_| ()).await.unwrap()
    }

    /// What differs.
    async fn violations(&self, level: VerificationLevel) -> Vec<String> {
        let report = self.compared(level, 100.0).await;
        report.violations.iter().map(ToString::to_string).collect()
    }
}

#[tokio::test]
async fn every_level_notices_a_stream_that_is_missing_in_the_copy() {
    let pair = Pair::new().await;
    pair.hurt("target", "DELETE FROM streams WHERE stream_id = 's07'");
    for level in [Count, VerificationLevel::Hash, Full] {
        let found = pair.violations(level).await;
        assert_eq!(found, ["stream s07 is missing in the copy, which has its events"], "{level:?}");
    }
}

#[tokio::test]
async fn a_stream_that_is_on_its_way_is_not_missing() {
    let pair = Pair::new().await;
    pair.append("new", 3).await;
    pair.append("s07", 3).await;
    assert_eq!(pair.violations(Full).await, [""; 0]);
}

#[tokio::test]
async fn a_stream_that_is_missing_in_both_stores_is_noticed_by_the_sum() {
    let pair = Pair::new().await;
    for store in ["source", "target"] {
        pair.hurt(store, "DELETE FROM streams WHERE stream_id = 's07'");
    }
    let found = pair.violations(Count).await;
    assert!(found[0].contains("hold 290 events, its log 300"), "{found:?}");
}

#[tokio::test]
async fn the_smallest_sample_of_the_shortest_log_is_something() {
    let pair = Pair::new().await;
    pair.hurt("target", "UPDATE events SET payload = x'7b7d' WHERE position = 3");
    let report = pair.compared(Full, 0.01).await;
    assert!(report.violations.iter().any(|found| found.kind == "event"), "{report:?}");
}

#[tokio::test]
async fn an_event_that_is_read_back_and_compared_counts_once() {
    let report = Pair::new().await.compared(Full, 100.0).await;
    assert_eq!((report.is_consistent, report.events_compared), (true, 300));
}

#[tokio::test(start_paused = true)]
async fn the_level_that_is_told_of_a_cutover_is_what_was_compared() {
    let world = World::in_memory().await;
    world.append("history", 10).await;
    let migrated = world.moved("dedicated").await;
    assert_eq!(migrated.config.verification_level, VerificationLevel::Hash);
    assert_eq!(migrated.verification.unwrap().level, Count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_copy_is_taken_back_nobody_copies_on_and_afterwards_somebody_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dedicated");
    let store = Arc::new(SqliteEventStore::open(&file).unwrap());
    let dedicated = Arc::new(FaultyEventStore::around(store));
    let control = Arc::new(Control::in_memory().unwrap());
    let shared = Arc::new(MemoryEventStore::new());
    let world = World::over(control, shared, dedicated.clone()).await;
    for nth in 0..3_000 {
        world.append(&format!("s{}", nth % 7), 1).await;
    }
    let slow = MigrationConfig { max_bulk_copy_rate: Some(200.0), ..config() };
    let migration = world.start_with("dedicated", slow).await;
    let has_begun = |migration: &Migration| migration.events_copied >= 20;
    world.moves.wait_until(migration.id, moves::PATIENCE, has_begun).await.unwrap();
    let hurt = "UPDATE events SET payload = x'7b7d' WHERE position = 3";
    Connection::open(&file).unwrap().execute(hurt, []).unwrap();
    dedicated.inject_next(Operation::Rewind, Fault::Delay(Duration::from_secs(5)));
    let (moves, id, rewinds) =
        (world.moves.clone(), migration.id, dedicated.calls(Operation::Rewind));
    let repair = tokio::spawn(async move { moves.repair(id, &olga()).await });
    while dedicated.calls(Operation::Rewind) == rewinds {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = dedicated.calls(Operation::Import);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(dedicated.calls(Operation::Import), before, "somebody copies on");
    let repaired = repair.await.unwrap().unwrap();
    assert_eq!((repaired.to_position.0, repaired.violations.is_empty()), (0, false));
    let after = dedicated.calls(Operation::Import);
    while dedicated.calls(Operation::Import) == after {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_does_not_wait_for_a_repair() {
    let faulty = Faulty::attended().await;
    let world = &faulty.world;
    world.append("history", 10).await;
    let migration = world.start("dedicated").await;
    world.reaches(migration.id, MigrationState::DualWrite).await;
    faulty.dedicated.inject_next(Operation::Tallies, Fault::Delay(Duration::from_secs(3_600)));
    let (moves, id) = (world.moves.clone(), migration.id);
    let repair = tokio::spawn(async move { moves.repair(id, &olga()).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let aborted = world.moves.abort_migration(id, "enough", &olga()).await.unwrap();
    assert_eq!((aborted.state, aborted.is_active), (MigrationState::RolledBack, false));
    repair.await.unwrap().unwrap_err();
}

/// How long the target takes until it is less than some batches behind.
async fn caught_up_after(world: &World, id: MigrationId) -> Duration {
    let begun = Instant::now();
    while world.moves.get_sync_lag(id).await.unwrap() > 4_000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn what_a_target_missed_in_a_pause_is_brought_within_the_rate_that_is_allowed() {
    let faulty = Faulty::attended().await;
    let world = &faulty.world;
    let slow = MigrationConfig { max_bulk_copy_rate: Some(1_000.0), ..config() };
    let migration = world.start_with("dedicated", slow).await;
    world.reaches(migration.id, MigrationState::DualWrite).await;
    world.moves.pause_migration(migration.id, &olga()).await.unwrap();
    world.append("written", 20_000).await;
    world.moves.resume_migration(migration.id, &olga()).await.unwrap();
    let took = caught_up_after(world, migration.id).await;
    assert!(took > Duration::from_secs(14), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_an_old_source_missed_while_it_was_away_is_brought_within_the_rate_that_is_allowed() {
    let faulty = Faulty::attended().await;
    let world = &faulty.world;
    let slow = MigrationConfig { max_bulk_copy_rate: Some(1_000.0), ..config() };
    let migration = world.start_with("dedicated", slow).await;
    world.cut_over(migration.id).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    faulty.shared.crash();
    world.append("written", 20_000).await;
    // The mirror has tried in vain.
    tokio::time::sleep(Duration::from_secs(1)).await;
    faulty.shared.restart();
    let took = caught_up_after(world, migration.id).await;
    assert!(took > Duration::from_secs(14), "{took:?}");
}
