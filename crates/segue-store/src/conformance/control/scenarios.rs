//! Scenarios and versions.

use std::collections::BTreeSet;

use segue_core::ids::{ScenarioId, Version};
use uuid::Uuid;

use super::Database;
use super::world::{World, at, olga, version};
use crate::control::scenarios::VersionCleanup;
use crate::control::{Conflict, Error, Generation, Noun, Page};

/// A scenario, its listing and its document say what was registered.
pub async fn a_registered_scenario_reads_back_as_it_was_written(database: &dyn Database) {
    let world = World::empty(database).await;
    let registered = world.register(world.scenario, 5).await;
    let first = version(world.scenario, 1);
    assert_eq!(registered.name, first.document.name);
    assert_eq!(registered.description, first.document.description);
    assert_eq!(registered.current_version, Version(1));
    assert_eq!((registered.created_at, registered.updated_at), (at(5), at(5)));

    assert_eq!(world.control.scenario(world.tenant, world.scenario).await.unwrap(), registered);
    let listed = world.control.list_scenarios(world.tenant, Page::first(10)).await.unwrap();
    assert_eq!((listed.items, listed.total, listed.next), (vec![registered], 1, None));
    let stored = world.control.version(world.tenant, world.scenario, Version(1)).await.unwrap();
    assert_eq!(stored.document, first.document);
    assert_eq!((stored.checksum, stored.registered_at), (first.checksum, at(5)));
}

/// Of those who register the same id at once one succeeds, and the others are told that it exists.
pub async fn a_scenario_id_is_registered_once_even_in_a_race(database: &dyn Database) {
    let world = World::empty(database).await;
    let first = version(world.scenario, 1);
    let race = (0..8).map(|_| {
        let (control, tenant, first) = (world.control.clone(), world.tenant, first.clone());
        tokio::spawn(async move { control.register_scenario(tenant, &first, &olga(0)).await })
    });
    let mut won = 0;
    for racer in race.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            Ok(_) => won += 1,
            Err(error) => assert!(matches!(error, Error::Exists(Noun::Scenario)), "{error}"),
        }
    }
    assert_eq!(won, 1);
}

/// Every scenario that was there when the paging began comes exactly once, in order.
pub async fn scenarios_page_newest_first_and_stay_stable_while_new_ones_come(
    database: &dyn Database,
) {
    let world = World::empty(database).await;
    let mut expected = Vec::new();
    for number in 0..7 {
        // Pairs share their second, so the id has to decide between them.
        expected.push(world.register(ScenarioId(Uuid::new_v4()), number / 2).await);
    }
    expected.sort_by_key(|scenario| (scenario.created_at, scenario.scenario_id));
    expected.reverse();

    let mut seen = Vec::new();
    let mut page = Page::first(3);
    loop {
        let listed = world.control.list_scenarios(world.tenant, page).await.unwrap();
        assert!(listed.total >= 7);
        seen.extend(listed.items);
        world.register(ScenarioId(Uuid::new_v4()), 100).await;
        match listed.next {
            // As a caller does, who sees the cursor as text.
            Some(cursor) => page.after = Some(cursor.to_string().parse().unwrap()),
            None => break,
        }
    }
    assert_eq!(seen, expected);
}

/// A plan's version is listed from its registration on.
pub async fn versions_page_highest_first(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    for number in 2..=4 {
        world.create(1, number, 1).await;
    }
    let list = |page| world.control.list_versions(world.tenant, world.scenario, page);
    let first = list(Page::first(3)).await.unwrap();
    let numbers: Vec<u64> = first.items.iter().map(|entry| entry.version.0).collect();
    assert_eq!((numbers, first.total), (vec![4, 3, 2], 4));
    assert_eq!(first.items[0].steps, 5);
    assert_eq!(first.items[0].checksum, version(world.scenario, 4).checksum);
    assert_eq!(first.items[0].registered_at, at(1));

    let second = list(Page { limit: 3, after: first.next }).await.unwrap();
    let numbers: Vec<u64> = second.items.iter().map(|entry| entry.version.0).collect();
    assert_eq!((numbers, second.next), (vec![1], None));

    let stranger = ScenarioId(Uuid::new_v4());
    let missing = world.control.list_versions(world.tenant, stranger, Page::first(3)).await;
    assert!(matches!(missing, Err(Error::NotFound(Noun::Scenario))));
}

async fn cleanup(world: &World, replaced_before: i64, needed: &[u64]) -> VersionCleanup {
    VersionCleanup {
        replaced_before: at(replaced_before),
        needed: needed.iter().copied().map(Version).collect::<BTreeSet<_>>(),
        expected: world.generation().await,
    }
}

/// Its document and its place in the list are gone, and nobody may register its number anew.
pub async fn a_version_past_its_retention_is_deleted_and_its_number_never_given_out_again(
    database: &dyn Database,
) {
    let world = World::with_scenario(database).await;
    world.deployed(1, 2, 10).await;
    let cleanup = cleanup(&world, 12, &[]).await;
    let deleted =
        world.control.delete_versions(world.tenant, world.scenario, &cleanup, &olga(20)).await;
    assert_eq!(deleted.unwrap(), [Version(1)]);
    assert!(world.generation().await != cleanup.expected);

    let gone = world.control.version(world.tenant, world.scenario, Version(1)).await;
    assert!(matches!(gone, Err(Error::NotFound(Noun::Version))));
    let page = Page::first(9);
    let listed = world.control.list_versions(world.tenant, world.scenario, page).await.unwrap();
    assert_eq!((listed.items.len(), listed.total), (1, 1));
    let again = world.new_plan(2, 1);
    let again = world.control.create_plan(world.tenant, &again, &olga(21)).await;
    assert!(matches!(again, Err(Error::Exists(Noun::Version))));
}

/// Each reason to keep a version is enough.
pub async fn versions_that_are_current_needed_young_or_in_an_open_plan_stay(
    database: &dyn Database,
) {
    let world = World::with_scenario(database).await;
    world.deployed(1, 2, 10).await;
    world.deployed(2, 3, 20).await;
    world.deployed(3, 4, 30).await;
    world.create(4, 5, 31).await;
    let delete = async |replaced_before, needed: &[u64]| {
        let cleanup = cleanup(&world, replaced_before, needed).await;
        let deleted =
            world.control.delete_versions(world.tenant, world.scenario, &cleanup, &olga(99)).await;
        deleted.unwrap().iter().map(|version| version.0).collect::<Vec<_>>()
    };
    assert!(delete(11, &[]).await.is_empty(), "version 1 was replaced at second 11, not before");
    assert_eq!(delete(12, &[2]).await, [1], "2 and 3 were replaced later");
    assert_eq!(delete(99, &[2]).await, [3], "2 is needed, 4 is current, 5 is in an open plan");
    assert_eq!(delete(99, &[]).await, [2]);
    assert!(delete(99, &[]).await.is_empty());
}

/// A deploy between the finding out and the deleting must be taken into account.
pub async fn a_cleanup_decided_on_an_old_generation_changes_nothing(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let cleanup = cleanup(&world, 99, &[]).await;
    world.deployed(1, 2, 10).await;
    let now: Generation = world.generation().await;
    let refused =
        world.control.delete_versions(world.tenant, world.scenario, &cleanup, &olga(20)).await;
    assert!(matches!(refused, Err(Error::Conflict(Conflict::Scenario(found))) if found == now));
    assert!(world.control.version(world.tenant, world.scenario, Version(1)).await.is_ok());
}
