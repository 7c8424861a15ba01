//! What a move means for the consumers of a tenant's log.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod moves;

use moves::{World, olga};
use segue::tenants::SubscriptionMigrator;
use segue::tenants::subscriptions::{Outcome, Which};
use segue_core::ids::{MigrationId, Position, SubscriptionName};
use segue_core::tenancy::migration::PositionMapper;
use segue_store::control::audit::{Action, Filter};
use segue_store::control::{By, Page};
use uuid::Uuid;

fn name(text: &str) -> SubscriptionName {
    text.parse().unwrap()
}

/// A tenant with a hundred events, and consumers at these positions.
async fn world_with(consumers: &[(&str, u64)]) -> World {
    let world = World::in_memory().await;
    world.append("history", 100).await;
    for (consumer, position) in consumers {
        let (name, position) = (name(consumer), Position(*position));
        world.control.put_subscription(world.tenant, &name, position, &olga()).await.unwrap();
    }
    world
}

fn migrator(world: &World, positions: PositionMapper) -> SubscriptionMigrator {
    SubscriptionMigrator::new(world.control.clone(), world.router.clone(), positions)
}

/// A foreign log whose events were numbered 10, 20, 30, … 1000.
fn tens() -> PositionMapper {
    let mut positions = PositionMapper::foreign();
    (1..=100).for_each(|nth| positions.record(nth * 10, Position(nth)).unwrap());
    positions
}

async fn position(world: &World, consumer: &str) -> u64 {
    world.control.subscription(world.tenant, &name(consumer)).await.unwrap().position.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_our_own_stores_every_consumer_goes_on_exactly_where_it_is() {
    let world = world_with(&[("billing", 40), ("search", 100)]).await;
    let migrator = migrator(&world, PositionMapper::identity());
    let migration = world.start("dedicated").await;
    let plan = migrator.plan_migration(migration.id, world.tenant, Which::All).await.unwrap();
    let planned: Vec<_> = plan
        .planned_migrations
        .iter()
        .map(|planned| {
            let to = planned.planned_target_position.0;
            (planned.subscription_name.as_str(), to, planned.is_exact, planned.lag)
        })
        .collect();
    assert_eq!(planned, [("billing", 40, true, 60), ("search", 100, true, 0)]);

    let migrated = world.cut_over(migration.id).await;
    assert_eq!(migrated.subscriptions, Some(plan.planned_migrations), "the commit took them along");
    let summary = migrator
        .migrate_subscriptions(migration.id, world.tenant, Which::All, &olga())
        .await
        .unwrap();
    assert_eq!(summary.successful_count, 2);
    assert!(summary.results.iter().all(|taken| taken.outcome == Outcome::Kept), "{summary:?}");
    assert_eq!((position(&world, "billing").await, position(&world, "search").await), (40, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_of_a_foreign_log_goes_on_at_or_before_its_place_and_never_after_it() {
    let world =
        world_with(&[("behind", 0), ("billing", 400), ("search", 455), ("ahead", 5_000)]).await;
    let (migrator, id) = (migrator(&world, tens()), MigrationId(Uuid::new_v4()));
    let plan = migrator.plan_migration(id, world.tenant, Which::All).await.unwrap();
    let planned: Vec<_> = plan
        .planned_migrations
        .iter()
        .map(|planned| {
            let to = planned.planned_target_position.0;
            (
                planned.subscription_name.as_str(),
                planned.current_position.0,
                to,
                planned.is_exact,
                planned.lag,
            )
        })
        .collect();
    assert_eq!(
        planned,
        [
            ("ahead", 5_000, 100, false, 0),
            ("behind", 0, 0, true, 100),
            ("billing", 400, 40, true, 60),
            ("search", 455, 45, false, 55),
        ]
    );
    assert_eq!(position(&world, "billing").await, 400, "a plan changes nothing");

    let only = [name("billing")];
    let one = Which::Named(&only);
    migrator.migrate_subscriptions(id, world.tenant, one, &olga()).await.unwrap();
    assert_eq!((position(&world, "billing").await, position(&world, "search").await), (40, 455));
    let all = migrator.migrate_subscriptions(id, world.tenant, Which::All, &olga()).await.unwrap();
    let outcomes: Vec<_> =
        all.results.iter().map(|taken| (taken.position.0, taken.outcome)).collect();
    assert_eq!(
        outcomes,
        [
            (100, Outcome::Translated),
            (0, Outcome::Kept),
            (40, Outcome::TranslatedBefore),
            (45, Outcome::Translated),
        ]
    );
    let unknown = [name("nobody")];
    let refused = migrator.plan_migration(id, world.tenant, Which::Named(&unknown)).await;
    assert!(refused.unwrap_err().to_string().contains("nobody"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taking_consumers_along_again_does_not_translate_them_again() {
    let world = world_with(&[("billing", 400)]).await;
    let (migrator, id) = (migrator(&world, tens()), MigrationId(Uuid::new_v4()));
    let take = || async {
        migrator.migrate_subscriptions(id, world.tenant, Which::All, &olga()).await.unwrap()
    };
    take().await;
    // Its consumer reads on, in our numbers, to one that the foreign log has too.
    let at = By::new("billing", olga().at).at;
    let fifty = Position(50);
    world.control.acknowledge(world.tenant, &name("billing"), fifty, at).await.unwrap();
    assert_eq!(take().await.results[0].outcome, Outcome::TranslatedBefore);
    assert_eq!(position(&world, "billing").await, 50);

    let filter = Filter { action: Some(Action::SubscriptionReset), ..Filter::default() };
    let lines = world.control.list_audit(world.tenant, &filter, Page::first(10)).await.unwrap();
    assert_eq!(lines.total, 1);
    let line = &lines.items[0];
    assert_eq!((line.actor.as_str(), &line.details["source_position"]), ("olga", &400.into()));
    assert_eq!(line.details["migration_id"], id.to_string());
}
