//! A hundred tenants move at once, and the move of one of them fails: that is this tenant's business alone.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod moves;

use std::sync::Arc;
use std::time::Duration;

use moves::{PATIENCE, World, Writers, check, config, olga, store_id};
use segue::tenants::Migration;
use segue_core::ids::{MigrationId, TenantId};
use segue_core::tenancy::migration::{MigrationConfig, MigrationState};
use segue_store::control::sqlite::Control;
use segue_store::events::MemoryEventStore;
use segue_store::events::sqlite::SqliteEventStore;
use segue_store::faulty::{Fault, FaultyEventStore, Operation};
use segue_testing::history::{History, Outcome};
use uuid::Uuid;

const NEIGHBOURS: usize = 99;
/// What each tenant has before it moves: so many appends, each of them a page for the copier.
const PAGES: usize = 3;
const PAGE: u32 = 20;
/// How long a writer rests between two appends; there is one for each tenant.
const REST: Duration = Duration::from_millis(50);

async fn has_a_history(world: &World) {
    for _ in 0..PAGES {
        world.append("history", PAGE as usize).await;
    }
}

/// Page by page, and without an operator.
fn by_itself() -> MigrationConfig {
    MigrationConfig {
        auto_cutover: true,
        // A hundred tenants move at once, on two threads: they may wait for each other, but not for a store.
        cutover_timeout_seconds: 12.0,
        batch_size: PAGE,
        sync_lag_threshold: u64::from(PAGE) / 2,
        ..config()
    }
}

/// Tenants that are written and move to `dedicated`, each by itself.
struct Neighbours {
    moving: Vec<(World, Writers, MigrationId)>,
}

impl Neighbours {
    async fn set_off(beside: &World) -> Self {
        let mut moving = Vec::new();
        for _ in 0..NEIGHBOURS {
            let world = beside.neighbour().await;
            has_a_history(&world).await;
            let writers = writers(&world);
            let id = world.start_with("dedicated", by_itself()).await.id;
            moving.push((world, writers, id));
        }
        Self { moving }
    }

    /// Checks that all arrive, that no writer was refused or kept waiting, and that nothing is lost.
    async fn arrive(self) {
        for (world, _, id) in &self.moving {
            world.reaches(*id, MigrationState::Migrated).await;
        }
        let mut slowest = Duration::ZERO;
        for (world, writers, _) in self.moving {
            let mut history = writers.end().await;
            slowest = slowest.max(slowest_of(&history));
            let (home, log) = (world.home().await.0, world.log().await);
            assert_eq!(home.as_str(), "dedicated");
            let logged = moves::logged(&log);
            history.let_be(logged.iter().filter(|logged| logged.stream == "history"));
            check(&history, &log);
            assert!(history.acknowledged() > 0, "the writer got to write");
        }
        println!("the slowest write took {slowest:?}");
        assert!(slowest < by_itself().pause_budget(), "{slowest:?}");
    }
}

fn writers(world: &World) -> Writers {
    Writers::resting(std::slice::from_ref(&world.router), world.tenant, 1, REST)
}

fn slowest_of(history: &History) -> Duration {
    let took = history.sent().iter().filter_map(|sent| match sent.outcome {
        Outcome::Acknowledged { at, .. } => Some(at - sent.began),
        Outcome::Refused | Outcome::Unknown => None,
    });
    took.max().unwrap_or_default()
}

/// Everything in memory, with one more store that fails on command.
async fn with_a_broken_store() -> (World, Arc<FaultyEventStore>) {
    let store = || Arc::new(MemoryEventStore::new());
    let broken = Arc::new(FaultyEventStore::around(store()));
    let control = Arc::new(Control::in_memory().unwrap());
    let (tenant, stores) = (TenantId(Uuid::new_v4()), (store() as _, store() as _));
    let more = [("broken", broken.clone() as _)];
    let world = World::with_more_stores(tenant, control, stores, more, None);
    world.router.place_in(tenant, &store_id("shared"), &olga()).await.unwrap();
    has_a_history(&world).await;
    world.moves.attend();
    (world, broken)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_dies_while_it_is_filled_is_the_trouble_of_its_own_tenant() {
    let (world, broken) = with_a_broken_store().await;
    let unlucky = writers(&world);
    broken.inject(Operation::Import, 2, Fault::CrashBefore);
    let id = world.start_with("broken", by_itself()).await.id;
    Neighbours::set_off(&world).await.arrive().await;

    let in_trouble = |migration: &Migration| migration.error_message.is_some();
    let migration = world.moves.wait_until(id, PATIENCE, in_trouble).await.unwrap();
    assert_eq!(migration.state, MigrationState::BulkCopy, "it waits for its target");
    let message = migration.error_message.unwrap();
    assert!(message.contains("broken"), "it says which store is away: {message}");
    let words = world.router.tenant_view(world.tenant).await.unwrap().explanation;
    assert!(words.contains("in the way") && words.contains("broken"), "{words}");

    // When its store is back, it goes on where it was.
    broken.restart();
    world.reaches(id, MigrationState::Migrated).await;
    assert_eq!(world.home().await.0.as_str(), "broken");
    assert!(slowest_of(&unlucky.end().await) < by_itself().pause_budget());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_hangs_is_the_trouble_of_its_own_tenants() {
    let (world, broken) = with_a_broken_store().await;
    let mut unlucky = Vec::new();
    // As many as may copy at the same time, each of them in the middle of its first page.
    for nth in 1..=moves::settings().copies_at_once as u64 {
        broken.inject(Operation::Import, nth, Fault::Delay(Duration::from_secs(3_600)));
        let world = world.neighbour().await;
        has_a_history(&world).await;
        let writers = writers(&world);
        let id = world.start_with("broken", by_itself()).await.id;
        unlucky.push((world, writers, id));
    }
    Neighbours::set_off(&world).await.arrive().await;
    assert_eq!(broken.calls(Operation::Import), unlucky.len() as u64, "they hang");
    for (world, writers, id) in unlucky {
        let standing = world.moves.get_migration(id).await.unwrap();
        assert_eq!(standing.state, MigrationState::BulkCopy, "it waits for its target");
        assert!(slowest_of(&writers.end().await) < by_itself().pause_budget());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_whose_history_is_damaged_fails_alone_and_is_told_where() {
    let folder = tempfile::tempdir().unwrap();
    let store =
        |name: &str| Arc::new(SqliteEventStore::open(folder.path().join(name)).unwrap()) as _;
    let control = Arc::new(Control::in_memory().unwrap());
    let world = World::over(control, store("shared.db"), store("dedicated.db")).await;
    has_a_history(&world).await;
    let database = rusqlite::Connection::open(folder.path().join("shared.db")).unwrap();
    // Only this tenant has written until now.
    let damage = "UPDATE events SET payload = x'00' WHERE position = 47";
    assert_eq!(database.execute(damage, []), Ok(1));
    let unlucky = writers(&world);
    let id = world.start_with("dedicated", by_itself()).await.id;
    Neighbours::set_off(&world).await.arrive().await;

    let failed = world.reaches(id, MigrationState::Failed).await;
    assert!(failed.error_message.unwrap().contains("position 47"), "it says which event");
    let words = world.router.tenant_view(world.tenant).await.unwrap().explanation;
    assert!(words.contains("position 47"), "{words}");
    assert_eq!(world.home().await.0.as_str(), "shared", "it lives where it was");
    assert!(unlucky.end().await.acknowledged() > 0, "and is written there");
}
