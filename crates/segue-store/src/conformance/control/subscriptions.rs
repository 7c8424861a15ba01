//! How far named consumers have come.

use segue_core::ids::{Position, SubscriptionName};

use super::Database;
use super::world::{World, at, olga};
use crate::control::audit::{Action, Filter, Subject};
use crate::control::subscriptions::{Put, SUBSCRIPTIONS_PER_TENANT, Subscription};
use crate::control::{Error, Noun, Page};

fn named(name: &str) -> SubscriptionName {
    SubscriptionName::new(name).unwrap()
}

impl World {
    async fn put(&self, name: &str, after: u64, second: i64) -> Put {
        let after = Position(after);
        self.control
            .put_subscription(self.tenant, &named(name), after, &olga(second))
            .await
            .unwrap()
    }

    async fn acknowledged(&self, name: &str, position: u64, second: i64) -> Subscription {
        let position = Position(position);
        self.control.acknowledge(self.tenant, &named(name), position, at(second)).await.unwrap()
    }

    async fn told_of_subscriptions(&self) -> Vec<(Action, String)> {
        let filter = Filter { subjects: vec![Subject::Subscription], ..Filter::default() };
        let lines = self.control.list_audit(self.tenant, &filter, Page::first(99)).await.unwrap();
        lines.items.into_iter().map(|line| (line.action, line.subject_id)).collect()
    }
}

/// Every start of a consumer may put its subscription.
pub async fn a_subscription_begins_where_it_was_told_and_stays_when_put_again(
    database: &dyn Database,
) {
    let world = World::empty(database).await;
    let expected = Subscription {
        name: named("billing – naïve"),
        position: Position(7),
        created_at: at(1),
        acknowledged_at: None,
    };
    assert_eq!(world.put("billing – naïve", 7, 1).await, Put::Created(expected.clone()));
    assert_eq!(world.put("billing – naïve", 0, 2).await, Put::Found(expected.clone()));
    let other = database.open().await;
    assert_eq!(other.subscription(world.tenant, &expected.name).await.unwrap(), expected);
    let told = [(Action::SubscriptionCreated, expected.name.to_string())];
    assert_eq!(world.told_of_subscriptions().await, told);
}

/// The others find it, at its one position.
pub async fn of_racing_puts_one_creates(database: &dyn Database) {
    let world = World::empty(database).await;
    let race = (0..8).map(|racer| {
        let (control, tenant) = (world.control.clone(), world.tenant);
        tokio::spawn(async move {
            let (name, after) = (named("billing"), Position(racer));
            control.put_subscription(tenant, &name, after, &olga(1)).await.unwrap()
        })
    });
    let mut created = 0;
    let mut positions = Vec::new();
    for racer in race.collect::<Vec<_>>() {
        let put = racer.await.unwrap();
        created += u32::from(matches!(put, Put::Created(_)));
        positions.push(put.subscription().position);
    }
    positions.dedup();
    assert_eq!((created, positions.len()), (1, 1), "{positions:?}");
}

/// One that comes late, or twice, changes nothing.
pub async fn an_acknowledgement_goes_forwards_only(database: &dyn Database) {
    let world = World::empty(database).await;
    world.put("billing", 3, 0).await;
    let ahead = world.acknowledged("billing", 5, 1).await;
    assert_eq!((ahead.position, ahead.acknowledged_at), (Position(5), Some(at(1))));
    assert_eq!(world.acknowledged("billing", 5, 2).await, ahead);
    assert_eq!(world.acknowledged("billing", 4, 3).await, ahead);
    let stored = world.control.subscription(world.tenant, &ahead.name).await.unwrap();
    assert_eq!(stored, ahead);
    let missing =
        world.control.acknowledge(world.tenant, &named("nobody"), Position(1), at(4)).await;
    assert!(matches!(missing, Err(Error::NotFound(Noun::Subscription))), "{missing:?}");
}

/// In whatever order they arrive.
pub async fn racing_acknowledgements_leave_the_highest(database: &dyn Database) {
    let world = World::empty(database).await;
    world.put("billing", 0, 0).await;
    let race = (1..=16_u64).map(|racer| {
        let (control, tenant) = (world.control.clone(), world.tenant);
        tokio::spawn(async move {
            let position = Position(racer * 5 % 17);
            let after = control.acknowledge(tenant, &named("billing"), position, at(1)).await;
            assert!(after.unwrap().position >= position);
        })
    });
    for racer in race.collect::<Vec<_>>() {
        racer.await.unwrap();
    }
    let left = world.control.subscription(world.tenant, &named("billing")).await.unwrap();
    assert_eq!(left.position, Position(16));
}

/// It is the operator's act, unlike an acknowledgement.
pub async fn a_reset_goes_back_and_leaves_a_line(database: &dyn Database) {
    let world = World::empty(database).await;
    world.put("billing", 0, 0).await;
    world.acknowledged("billing", 9, 1).await;
    let name = named("billing");
    let reset =
        world.control.reset_subscription(world.tenant, &name, Position(4), &olga(2)).await.unwrap();
    assert_eq!(reset.position, Position(4));
    assert_eq!(world.control.subscription(world.tenant, &name).await.unwrap(), reset);
    let again = world.control.reset_subscription(world.tenant, &name, Position(4), &olga(3)).await;
    assert_eq!(again.unwrap(), reset);

    let told = world.told_of_subscriptions().await;
    let actions: Vec<_> = told.into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, [Action::SubscriptionReset, Action::SubscriptionCreated]);
    let missing = world
        .control
        .reset_subscription(world.tenant, &named("nobody"), Position(0), &olga(4))
        .await;
    assert!(matches!(missing, Err(Error::NotFound(Noun::Subscription))), "{missing:?}");
}

/// A new one of that name begins anew.
pub async fn a_deleted_subscription_is_gone_and_its_name_is_free(database: &dyn Database) {
    let world = World::empty(database).await;
    world.put("billing", 0, 0).await;
    let last = world.acknowledged("billing", 9, 1).await;
    let name = named("billing");
    let deleted = world.control.delete_subscription(world.tenant, &name, &olga(2)).await.unwrap();
    assert_eq!(deleted, last);
    for outcome in [
        world.control.subscription(world.tenant, &name).await,
        world.control.delete_subscription(world.tenant, &name, &olga(3)).await,
    ] {
        assert!(matches!(outcome, Err(Error::NotFound(Noun::Subscription))), "{outcome:?}");
    }
    assert!(matches!(world.put("billing", 2, 4).await, Put::Created(_)));
    let told = world.told_of_subscriptions().await;
    let expected = [
        (Action::SubscriptionCreated, "billing".to_owned()),
        (Action::SubscriptionDeleted, "billing".to_owned()),
        (Action::SubscriptionCreated, "billing".to_owned()),
    ];
    assert_eq!(told, expected);
}

/// The order is the same in every database, whatever its language settings.
pub async fn subscriptions_list_by_the_bytes_of_their_names(database: &dyn Database) {
    let world = World::empty(database).await;
    for name in ["billing", "älter", "Zebra", "a-b", "a b", "Ahorn"] {
        world.put(name, 0, 0).await;
    }
    let listed = world.control.subscriptions(world.tenant).await.unwrap();
    let names: Vec<_> = listed.iter().map(|subscription| subscription.name.as_str()).collect();
    assert_eq!(names, ["Ahorn", "Zebra", "a b", "a-b", "billing", "älter"]);
}

/// The limit is told, and one that is deleted makes room.
pub async fn a_tenant_has_so_many_subscriptions_and_no_more(database: &dyn Database) {
    let world = World::empty(database).await;
    for nth in 0..SUBSCRIPTIONS_PER_TENANT {
        world.put(&format!("consumer-{nth}"), 0, 0).await;
    }
    let (late, by) = (named("late"), olga(1));
    let full = world.control.put_subscription(world.tenant, &late, Position(0), &by).await;
    let limit = SUBSCRIPTIONS_PER_TENANT;
    assert!(
        matches!(full, Err(Error::TooMany { noun: Noun::Subscription, limit: told }) if told == limit),
        "{full:?}"
    );
    assert!(matches!(world.put("consumer-1", 0, 1).await, Put::Found(_)), "those that are stay");
    world.control.delete_subscription(world.tenant, &named("consumer-1"), &by).await.unwrap();
    assert!(matches!(world.put("late", 0, 1).await, Put::Created(_)));
}
