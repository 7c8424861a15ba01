//! What goes wrong while a tenant moves, one thing at a time, and what its writers and operators notice.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod moves;

use std::time::Duration;

use moves::faulty::Faulty;
use moves::{World, config, olga, store_id, to};
use segue::clock::{Clock, SystemClock};
use segue::tenants::coordinator::When;
use segue_core::ids::TenantId;
use segue_core::tenancy::migration::{MigrationConfig, MigrationState};
use segue_store::events::{Expected, Mode};
use segue_store::faulty::{Call, Fault, Operation};
use tokio::time::Instant;

/// Makes one write, and tells how long it took.
async fn write(world: &World) -> Duration {
    let begun = Instant::now();
    let append = to("written", Expected::Any, vec![moves::new_event()], None);
    let appended = world.router.append_events(world.tenant, SystemClock.now(), append).await;
    appended.unwrap_or_else(|error| panic!("after {:?}: {error:?}", begun.elapsed()));
    begun.elapsed()
}

fn within(budget: f64) -> MigrationConfig {
    MigrationConfig { cutover_timeout_seconds: budget, ..config() }
}

#[tokio::test(start_paused = true)]
async fn a_cutover_whose_coordinator_died_is_given_up_within_its_budget_by_the_next() {
    let (faulty, stop, first) = Faulty::stopping("fence", When::After).await;
    let world = &faulty.world;
    first.asks_to_move("dedicated", within(1.0)).await;
    stop.reached().await;
    first.moves.stop();
    faulty.dedicated.crash();
    world.moves.attend();
    let waited = write(world).await;
    assert!(waited < Duration::from_secs(3), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cutover_whose_decision_was_not_answered_is_given_up_within_its_budget() {
    let (faulty, stop, first) = Faulty::stopping("cut_over", When::Before).await;
    let world = &faulty.world;
    first.asks_to_move("dedicated", within(1.0)).await;
    stop.reached().await;
    faulty.control.inject_next(Call::DecideMigration, Fault::After);
    faulty.dedicated.crash();
    stop.go_on();
    // Until then the source takes writes; it is not fenced yet.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let waited = write(world).await;
    assert!(waited < Duration::from_secs(3), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_answer_while_writes_wait_is_given_up_within_the_budget() {
    let (faulty, stop, first) = Faulty::stopping("drain", When::Before).await;
    let world = &faulty.world;
    first.asks_to_move("dedicated", within(1.0)).await;
    stop.reached().await;
    faulty.dedicated.inject_next(Operation::Import, Fault::Delay(Duration::from_secs(60)));
    stop.go_on();
    let waited = write(world).await;
    assert!(waited < Duration::from_secs(3), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dual_write_that_hangs_does_not_hold_up_a_cutover() {
    let (faulty, stop, first) = Faulty::stopping("cut_over", When::Before).await;
    let migration = first.start_with("dedicated", within(1.0)).await;
    first.reaches(migration.id, MigrationState::DualWrite).await;
    first.moves.initiate_cutover(migration.id, false, &olga(), Duration::ZERO).await.unwrap();
    stop.reached().await;
    faulty.dedicated.inject_next(Operation::Import, Fault::Delay(Duration::from_secs(60)));
    write(&first).await;
    // The mirror has taken it to the target, and hangs there.
    tokio::time::sleep(Duration::from_millis(100)).await;
    stop.go_on();
    let migrated = first.reaches(migration.id, MigrationState::Migrated).await;
    assert_eq!(migrated.cutover.history.len(), 1, "{:?}", migrated.cutover.history);
    let pause = migrated.cutover.pause_ms.unwrap();
    assert!(pause < 100.0, "{pause} ms");
    assert_eq!(first.log().await.len(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_analyzed_for_long_keeps_nobody_waiting() {
    let faulty = Faulty::attended().await;
    let world = &faulty.world;
    faulty.dedicated.inject_next(Operation::Analyze, Fault::Delay(Duration::from_secs(60)));
    world.append("history", 10).await;
    let begun = Instant::now();
    world.moved("dedicated").await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_move_is_reversed_before_its_old_source_was_told_that_it_is_left() {
    let (faulty, stop, first) = Faulty::stopping("retire", When::Before).await;
    let world = &faulty.world;
    let migration = first.moved("dedicated").await;
    stop.reached().await;
    first.moves.stop();
    let back = world.moves.reverse(migration.id, &olga()).await.unwrap();
    world.moves.attend();
    world.cut_over(back.id).await;
}

#[tokio::test(start_paused = true)]
async fn after_an_automatic_cutover_writers_wait_for_nobody() {
    let faulty = Faulty::attended().await;
    let world = &faulty.world;
    world.append("history", 10).await;
    let auto = MigrationConfig { auto_cutover: true, keep_way_back: false, ..config() };
    let migration = world.start_with("dedicated", auto).await;
    world.reaches(migration.id, MigrationState::Migrated).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    write(world).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..5 {
        let waited = write(world).await;
        assert!(waited < Duration::from_millis(50), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wish_to_cut_over_to_a_store_that_is_away_does_not_slow_writers_down() {
    let faulty = Faulty::attended().await;
    let world = &faulty.world;
    world.append("history", 10).await;
    let migration = world.start("dedicated").await;
    world.reaches(migration.id, MigrationState::DualWrite).await;
    faulty.dedicated.crash();
    world.moves.initiate_cutover(migration.id, false, &olga(), Duration::ZERO).await.unwrap();
    let begun = Instant::now();
    let mut slow = Duration::ZERO;
    for _ in 0..100 {
        slow = slow.max(write(world).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("slowest {slow:?}, all {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_the_way_of_a_cutover_can_be_read_until_it_is_gone() {
    let faulty = Faulty::attended().await;
    let world = &faulty.world;
    world.append("history", 10).await;
    let migration = world.start("dedicated").await;
    world.reaches(migration.id, MigrationState::DualWrite).await;
    world.router.pause_writes(world.tenant, &olga()).await.unwrap();
    world.moves.initiate_cutover(migration.id, false, &olga(), Duration::ZERO).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = faulty.control.calls(Call::NoteMigration);
    for _ in 0..20 {
        let read = world.moves.get_migration(migration.id).await.unwrap();
        assert!(read.error_message.is_some_and(|message| message.contains("are paused")));
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    assert_eq!(faulty.control.calls(Call::NoteMigration), before, "and it is noted once");
    world.router.resume_writes(world.tenant, &olga()).await.unwrap();
    let migrated = world.reaches(migration.id, MigrationState::Migrated).await;
    assert_eq!(migrated.error_message, None);
}

#[tokio::test(start_paused = true)]
async fn one_slow_decision_does_not_keep_a_tenant_from_moving_for_ever() {
    let (faulty, stop, first) = Faulty::stopping("begin_dual_write", When::Before).await;
    let migration = first.start_with("dedicated", within(1.0)).await;
    stop.reached().await;
    faulty.control.inject_next(Call::DecideMigration, Fault::Delay(Duration::from_secs(5)));
    stop.go_on();
    first.cut_over(migration.id).await;
}

/// The same stores with another tenant, who lives nowhere yet.
fn stranger(of: &World) -> World {
    let tenant = TenantId(uuid::Uuid::new_v4());
    let (control, shared) = (of.control.clone(), of.shared.clone());
    World::of(tenant, control, shared, of.dedicated.clone(), None)
}

#[tokio::test(start_paused = true)]
async fn a_placing_that_died_halfway_keeps_no_tenant_from_moving_there() {
    let faulty = Faulty::new().await;
    let world = stranger(&faulty.world);
    faulty.control.inject_next(Call::Place, Fault::Before);
    let append = to("written", Expected::Any, vec![moves::new_event()], None);
    world.router.append_events(world.tenant, SystemClock.now(), append).await.unwrap_err();
    assert_eq!(world.shared.head(world.tenant).await.unwrap().mode, Mode::Open);

    world.router.place_in(world.tenant, &store_id("dedicated"), &olga()).await.unwrap();
    world.append("history", 10).await;
    world.moves.attend();
    world.moves.dry_run(world.tenant, &store_id("shared"), &config()).await.unwrap();
    assert_eq!(world.shared.head(world.tenant).await.unwrap().mode, Mode::Open);
    world.moved("shared").await;
    assert_eq!((world.home().await.0, world.log().await.len()), (store_id("shared"), 10));
}

#[tokio::test(start_paused = true)]
async fn a_placing_that_lost_a_race_leaves_no_open_log_behind() {
    let faulty = Faulty::new().await;
    let (slow, fast) = (stranger(&faulty.world), &faulty.world);
    faulty.control.inject_next(Call::Place, Fault::Delay(Duration::from_secs(1)));
    let (_, placed) = tokio::join!(slow.append("written", 1), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        fast.router.place_in(slow.tenant, &store_id("dedicated"), &olga()).await
    });
    assert_eq!(placed.unwrap().store_id, store_id("dedicated"));
    assert_eq!(slow.log().await.len(), 1);
    assert_eq!(slow.shared.head(slow.tenant).await.unwrap().mode, Mode::Copying);

    // Who is placed elsewhere loses too.
    let slow = stranger(&faulty.world);
    faulty.control.inject_next(Call::Place, Fault::Delay(Duration::from_secs(1)));
    let dedicated = store_id("dedicated");
    let by = olga();
    let (placed, _) = tokio::join!(slow.router.place_in(slow.tenant, &dedicated, &by), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        fast.another(None).router.place_in(slow.tenant, &store_id("shared"), &olga()).await.unwrap()
    });
    placed.unwrap_err();
    assert_eq!(slow.dedicated.head(slow.tenant).await.unwrap().mode, Mode::Copying);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_says_that_it_is_alive_as_often_as_its_lease_asks_and_no_more() {
    let faulty = Faulty::attended().await;
    let world = &faulty.world;
    world.append("history", 10).await;
    let migration = world.start("dedicated").await;
    world.reaches(migration.id, MigrationState::DualWrite).await;
    let before = faulty.control.calls(Call::Beat);
    // Four times in each lease of 0.4 s.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let beats = faulty.control.calls(Call::Beat) - before;
    assert!((30..=45).contains(&beats), "{beats} beats");
}
