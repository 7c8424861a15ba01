//! A store that is gone for good, with a copy in it that nobody can purge: how its migration ends, and that
//! what comes back with the store is in nobody's way.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod moves;

use std::sync::Arc;
use std::time::Duration;

use moves::faulty::Faulty;
use moves::{World, config, new_event, olga, store_id, to};
use segue::Error;
use segue::tenants::coordinator::When;
use segue::tenants::{Migration, MigrationError};
use segue_core::ids::{Epoch, MigrationId};
use segue_core::tenancy::migration::{MigrationConfig, MigrationState};
use segue_store::control::Page;
use segue_store::control::audit::{Action, Filter};
use segue_store::events::{self, Append, EventStore, Expected, MemoryEventStore, Mode};

/// Whether a write of somebody who has slept since `epoch` is refused.
async fn refuses_late_writes(store: &dyn EventStore, world: &World, epoch: u64) {
    let late = Append {
        tenant: world.tenant,
        epoch: Epoch(epoch),
        recorded_at: jiff::Timestamp::UNIX_EPOCH,
        streams: vec![to("history", Expected::Any, vec![new_event()], None)],
    };
    let answer = store.append(late).await;
    assert!(matches!(answer, Err(events::Error::Fenced { .. })), "{answer:?}");
}

/// The stores whose copies were given up, as the audit has it.
async fn given_up(world: &World) -> Vec<String> {
    let filter = Filter { action: Some(Action::CopyAbandoned), ..Filter::default() };
    let lines = world.control.list_audit(world.tenant, &filter, Page::first(10)).await.unwrap();
    assert!(lines.items.iter().all(|line| line.actor == "olga"));
    let store = |line: &segue_store::control::audit::Entry| line.details["store_id"].clone();
    lines.items.iter().map(|line| store(line).as_str().unwrap().to_owned()).collect()
}

fn is_over(migration: &Migration, state: MigrationState) {
    assert_eq!((migration.state, migration.is_active), (state, false), "{migration:?}");
}

async fn abort(world: &World, id: MigrationId) -> segue::Result<Migration> {
    world.moves.abort_and_abandon(id, "the machine burned", &olga()).await
}

#[tokio::test(start_paused = true)]
async fn an_old_source_that_is_gone_keeps_no_migration_active() {
    let faulty = Faulty::attended().await;
    let world = &faulty.world;
    world.append("history", 10).await;
    let migration = world.moved("dedicated").await;
    world.append("history", 5).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    faulty.shared.crash();
    world.moves.finish(migration.id, true, &olga()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(world.moves.get_migration(migration.id).await.unwrap().is_active);

    let ended = world.moves.finish_and_abandon(migration.id, &olga()).await.unwrap();
    is_over(&ended, MigrationState::Migrated);
    assert_eq!(given_up(world).await, ["shared"]);
    world.append("history", 5).await;

    faulty.shared.restart();
    refuses_late_writes(&*faulty.shared, world, 1).await;
    world.moved("shared").await;
    assert_eq!((world.home().await.0, world.log().await.len()), (store_id("shared"), 20));
}

#[tokio::test(start_paused = true)]
async fn an_old_source_that_was_never_told_that_it_is_left_takes_no_writes_when_it_is_back() {
    let (faulty, stop, first) = Faulty::stopping("retire", When::Before).await;
    let world = &faulty.world;
    let migration = first.moved("dedicated").await;
    stop.reached().await;
    faulty.shared.crash();
    first.moves.stop();
    let ended = world.moves.finish_and_abandon(migration.id, &olga()).await.unwrap();
    is_over(&ended, MigrationState::Migrated);

    faulty.shared.restart();
    assert_eq!(faulty.shared.head(world.tenant).await.unwrap().mode, Mode::Fenced);
    refuses_late_writes(&*faulty.shared, world, 1).await;
    world.moves.attend();
    world.append("history", 5).await;
    world.moved("shared").await;
    assert_eq!(world.log().await.len(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_gone_keeps_no_aborted_migration_active() {
    let faulty = Faulty::attended().await;
    let world = &faulty.world;
    world.append("history", 10).await;
    let migration = world.start("dedicated").await;
    world.reaches(migration.id, MigrationState::DualWrite).await;
    faulty.dedicated.crash();
    let aborted = world.moves.abort_migration(migration.id, "it burned", &olga()).await.unwrap();
    assert!(aborted.is_active);
    is_over(&abort(world, migration.id).await.unwrap(), MigrationState::RolledBack);
    assert_eq!(given_up(world).await, ["dedicated"]);
    world.append("history", 5).await;

    faulty.dedicated.restart();
    refuses_late_writes(&*faulty.dedicated, world, 1).await;
    world.moved("dedicated").await;
    assert_eq!(world.log().await.len(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_gone_while_writes_wait_is_given_up_when_they_go_on() {
    let (faulty, stop, first) = Faulty::stopping("commit", When::Before).await;
    let world = &faulty.world;
    let patient = MigrationConfig { cutover_timeout_seconds: 60.0, ..config() };
    let migration = first.asks_to_move("dedicated", patient).await;
    stop.reached().await;
    first.moves.stop();
    assert_eq!(faulty.dedicated.head(world.tenant).await.unwrap().mode, Mode::Prepared);
    faulty.dedicated.crash();
    world.moves.attend();
    is_over(&abort(world, migration.id).await.unwrap(), MigrationState::RolledBack);
    world.append("history", 5).await;

    // It is prepared still, for an epoch that nobody is ever told of.
    faulty.dedicated.restart();
    refuses_late_writes(&*faulty.dedicated, world, 1).await;
    world.moved("dedicated").await;
    assert_eq!(world.log().await.len(), 15);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_given_up_while_its_store_answers() {
    let faulty = Faulty::attended().await;
    let world = &faulty.world;
    world.append("history", 10).await;
    let obstructed = |refused: segue::Result<Migration>| match refused {
        Err(Error::Migration(MigrationError::Obstructed { details, .. })) => {
            assert!(details.contains("answers"), "{details}");
        }
        other => panic!("{other:?}"),
    };
    let migration = world.start("dedicated").await;
    world.reaches(migration.id, MigrationState::DualWrite).await;
    obstructed(abort(world, migration.id).await);
    world.cut_over(migration.id).await;
    obstructed(world.moves.finish_and_abandon(migration.id, &olga()).await);
    // Nothing was decided: there is a way back yet.
    let back = world.moves.reverse(migration.id, &olga()).await.unwrap();
    world.cut_over(back.id).await;
    assert_eq!(given_up(world).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_the_owner_may_need_is_not_given_up() {
    let faulty = Faulty::attended().await;
    let world = &faulty.world;
    world.append("history", 10).await;
    let migration = world.moved("dedicated").await;
    world.moves.stop();
    faulty.shared.crash();
    // The new owner's database is an empty one.
    let empty = Arc::new(MemoryEventStore::new());
    let lost = World::of(world.tenant, world.control.clone(), world.shared.clone(), empty, None);
    lost.moves.finish_and_abandon(migration.id, &olga()).await.unwrap_err();
    assert_eq!(given_up(world).await, [""; 0]);
    world.moves.finish_and_abandon(migration.id, &olga()).await.unwrap();
}
