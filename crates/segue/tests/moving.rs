//! Tenants move between stores while they are written, and go back.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod moves;

use moves::{World, Writers, check, olga};
use segue_core::ids::Epoch;
use segue_core::tenancy::migration::MigrationState;
use segue_store::events::Mode;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_moves_while_it_is_written_and_nobody_notices() {
    let world = World::in_memory().await;
    let writers = Writers::begin(&world, 4);
    let migration = world.start("dedicated").await;
    assert_eq!(migration.state, MigrationState::Pending);
    let migrated = world.cut_over(migration.id).await;
    assert_eq!(migrated.state, MigrationState::Migrated);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let history = writers.end().await;
    let (home, head) = world.home().await;
    assert_eq!((home.as_str(), head.mode, head.epoch), ("dedicated", Mode::Open, Epoch(2)));
    let log = world.log().await;
    check(&history, &log);
    assert!(history.acknowledged() > 20, "the writers got to write");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_goes_back_and_forth_as_often_as_wanted_and_then_for_good() {
    let world = World::in_memory().await;
    world.append("history", 2_500).await;
    let writers = Writers::begin(&world, 4);
    let mut migration = world.moved("dedicated").await;
    for back in ["shared", "dedicated", "shared"] {
        let reverse = world.moves.reverse(migration.id, &olga()).await.unwrap();
        assert_eq!(reverse.reverses, Some(migration.id));
        migration = world.cut_over(reverse.id).await;
        assert_eq!(world.home().await.0.as_str(), back);
    }
    let history = writers.end().await;
    let finished = world.moves.finish(migration.id, true, &olga()).await.unwrap();
    let is_over = |migration: &segue::tenants::Migration| !migration.is_active;
    let finished = world.moves.wait_until(finished.id, moves::PATIENCE, is_over).await.unwrap();
    assert!(!finished.is_active);
    let left = world.dedicated.head(world.tenant).await.unwrap();
    assert_eq!(left.mode, Mode::Tombstone);
    let log = world.log().await;
    let of_writers: Vec<_> =
        log.iter().filter(|event| event.stream_id.as_str() != "history").collect();
    assert_eq!(log.len(), 2_500 + of_writers.len());
    assert_eq!(log.last().unwrap().position.0, log.len() as u64);
    drop(history);
}
