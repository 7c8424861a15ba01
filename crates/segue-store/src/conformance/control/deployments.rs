//! Deployments, withdrawals, and what is left of old plans.

use segue_core::ids::Version;
use segue_core::plan::lifecycle::Kind;

use super::Database;
use super::world::{
    World, at, change, deployed_status, deployment, olga, policies, record, withdrawal,
};
use crate::control::audit::{self, Action};
use crate::control::deployments::History;
use crate::control::plans::{Filter, Revision};
use crate::control::scenarios::VersionCleanup;
use crate::control::{Conflict, Error, Noun, Page};

/// The plan, the current version, the record, the generation and the audit; one read shows them all.
pub async fn a_deploy_changes_all_that_it_must_together(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let before = world.generation().await;
    let plan = world.create(1, 2, 1).await;
    let plan = world.approve(&plan, 2).await;
    let deployed = world.deploy(&plan, &[], 3).await.unwrap();
    assert_eq!((deployed.status.kind(), deployed.revision), (Kind::Deployed, Revision(3)));
    assert_eq!(world.plan(&plan).await, deployed);

    let history = world.control.deployed(world.tenant, world.scenario).await.unwrap();
    let generation = world.generation().await;
    assert_ne!(generation, before);
    let (first_version, current_version) = (Version(1), Version(2));
    let deployed = vec![record(&plan, 3)];
    let expected = History { generation, first_version, current_version, deployed };
    assert_eq!(history, expected);
    assert_eq!(history.deployed[0].policies, policies(2));

    let scenario = world.control.scenario(world.tenant, world.scenario).await.unwrap();
    assert_eq!((scenario.current_version, scenario.updated_at), (Version(2), at(3)));
    assert_eq!(scenario.description.as_deref(), Some("With an age check"));
    let page = Page::first(9);
    let versions = world.control.list_versions(world.tenant, world.scenario, page).await.unwrap();
    let replaced: Vec<_> = versions.items.iter().map(|entry| entry.replaced_at).collect();
    assert_eq!(replaced, [None, Some(at(3))]);
}

/// Open plans that were made before the deployed one are closed with it, and a plan that was deployed
/// may be; one that was made later stays open.
pub async fn a_deploy_supersedes_the_plans_before_it(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let first = world.deployed(1, 2, 1).await;
    let older = world.create(2, 3, 10).await;
    let plan = world.create(2, 4, 11).await;
    let newer = world.create(2, 5, 12).await;
    world.deploy(&plan, &[&older, &first], 20).await.unwrap();
    assert_eq!(world.plan(&older).await.status.kind(), Kind::Superseded);
    assert_eq!(world.plan(&first).await.status.kind(), Kind::Superseded);
    assert_eq!(world.plan(&newer).await.status.kind(), Kind::Pending);
    let history = world.control.deployed(world.tenant, world.scenario).await.unwrap();
    assert_eq!(history.deployed, [record(&first, 2), record(&plan, 20)]);
}

/// A plan that came between the reading and the deploying is not left open behind it.
pub async fn a_deploy_that_forgets_an_older_open_plan_changes_nothing(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let older = world.create(1, 2, 1).await;
    let plan = world.create(1, 3, 2).await;
    let generation = world.generation().await;
    let refused = world.deploy(&plan, &[], 3).await;
    let Err(Error::Conflict(conflict)) = refused else { panic!("deployed: {refused:?}") };
    assert_eq!(conflict, Conflict::OpenPlans(vec![older.plan_id]));
    assert_eq!(world.plan(&plan).await, plan);
    assert_eq!((world.current().await, world.generation().await), (1, generation));
    let history = world.control.deployed(world.tenant, world.scenario).await.unwrap();
    assert!(history.deployed.is_empty());

    let approved = world.approve(&older, 4).await;
    let stale = world.deploy(&plan, &[&older], 5).await;
    assert!(matches!(stale, Err(Error::Conflict(Conflict::Plan { plan_id, .. }))
        if plan_id == older.plan_id));
    assert_eq!(world.plan(&plan).await, plan, "the plan itself is rolled back too");
    assert!(world.deploy(&plan, &[&approved], 6).await.is_ok());
}

/// A record of another plan, or a status that does not say what is done.
pub async fn a_deploy_that_contradicts_itself_changes_nothing(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let plan = world.create(1, 2, 1).await;
    let other = world.create(1, 3, 2).await;
    let mut mistaken = deployment(&plan, &[], 3);
    mistaken.record = record(&other, 3);
    let refused = world.control.deploy(world.tenant, &mistaken, &olga(3)).await;
    assert!(matches!(refused, Err(Error::Refused(_))));
    let mut mistaken = deployment(&plan, &[], 3);
    mistaken.plan.status = plan.status.clone();
    let refused = world.control.deploy(world.tenant, &mistaken, &olga(3)).await;
    assert!(matches!(refused, Err(Error::Refused(_))));
    assert_eq!((world.plan(&plan).await, world.current().await), (plan, 1));
}

/// After an unknown outcome the caller tries again and is told what is; nothing happens twice.
pub async fn a_repeated_deploy_finds_the_plan_deployed(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let plan = world.create(1, 2, 1).await;
    let deployed = world.deploy(&plan, &[], 2).await.unwrap();
    let generation = world.generation().await;
    for read in [&plan, &deployed] {
        let again = world.deploy(read, &[], 3).await;
        let Err(Error::Conflict(Conflict::Plan { status, revision, .. })) = again else {
            panic!("deployed twice: {again:?}")
        };
        assert_eq!((status, revision), (Kind::Deployed, deployed.revision));
    }
    let history = world.control.deployed(world.tenant, world.scenario).await.unwrap();
    assert_eq!((history.deployed.len(), history.generation), (1, generation));

    let withdrawn = world.withdraw(&deployed, 4).await.unwrap();
    let again = world.withdraw(&deployed, 5).await;
    assert!(matches!(again, Err(Error::Conflict(Conflict::Plan { status: Kind::Withdrawn, .. }))));
    assert_eq!(world.plan(&plan).await, withdrawn);
}

/// Several processes deploy the same plan at once.
pub async fn of_racing_deploys_one_wins(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let plan = world.create(1, 2, 1).await;
    let other = database.open().await;
    let race = (0..8).map(|racer| {
        let control = if racer % 2 == 0 { world.control.clone() } else { other.clone() };
        let (tenant, deployment) = (world.tenant, deployment(&plan, &[], 2 + racer));
        tokio::spawn(async move { control.deploy(tenant, &deployment, &olga(2 + racer)).await })
    });
    let mut winners = Vec::new();
    for racer in race.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            Ok(plan) => winners.push(plan),
            Err(error) => assert!(matches!(error, Error::Conflict(_)), "{error}"),
        }
    }
    assert_eq!(winners, [world.plan(&plan).await]);
    let history = world.control.deployed(world.tenant, world.scenario).await.unwrap();
    assert_eq!(history.deployed.len(), 1);
}

/// Counting a million sessions takes its time; no turn has to look again for it.
pub async fn counts_are_filled_in_after_the_deploy(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let plan = world.deployed(1, 2, 1).await;
    let generation = world.generation().await;
    let counted = change(&plan, deployed_status(2, 142));
    let action = Action::PlanCounted;
    let counted =
        world.control.update_plan(world.tenant, &counted, action, &olga(3)).await.unwrap();
    assert_eq!(counted.status.deployed().unwrap().sessions_marked, 142);
    assert_eq!(world.plan(&plan).await, counted);
    assert_eq!(world.generation().await, generation);
}

/// New sessions begin on the version before, and the record says since when the plan applies no longer.
pub async fn a_withdrawal_restores_the_version_before(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let first = world.deployed(1, 2, 1).await;
    let second = world.deployed(2, 3, 10).await;
    let generation = world.generation().await;

    let withdrawn = world.withdraw(&second, 20).await.unwrap();
    assert_eq!(withdrawn.status.kind(), Kind::Withdrawn);
    assert_eq!(world.current().await, 2);
    assert_ne!(world.generation().await, generation);
    let history = world.control.deployed(world.tenant, world.scenario).await.unwrap();
    let withdrawn_at: Vec<_> = history.deployed.iter().map(|plan| plan.withdrawn_at).collect();
    assert_eq!(withdrawn_at, [None, Some(at(20))]);
    let page = Page::first(9);
    let versions = world.control.list_versions(world.tenant, world.scenario, page).await.unwrap();
    let replaced: Vec<_> = versions.items.iter().map(|entry| entry.replaced_at).collect();
    assert_eq!(replaced, [Some(at(20)), None, Some(at(2))]);

    world.withdraw(&first, 21).await.unwrap();
    assert_eq!(world.current().await, 1);
    // And forward again, by a plan of its own.
    world.deployed(1, 4, 30).await;
    assert_eq!(world.current().await, 4);
}

/// What is current is the highest version that still applies.
pub async fn a_withdrawal_under_a_later_plan_leaves_that_one_current(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let first = world.deployed(1, 2, 1).await;
    let second = world.deployed(2, 3, 10).await;
    let generation = world.generation().await;
    world.withdraw(&first, 20).await.unwrap();
    assert_eq!(world.current().await, 3);
    assert_ne!(world.generation().await, generation, "turns must see that it no longer applies");
    world.withdraw(&second, 21).await.unwrap();
    assert_eq!(world.current().await, 1, "version 2 came by a plan that is withdrawn as well");
}

/// A plan from an old version may lead to one that is not the newest; new sessions do not go back.
pub async fn picking_up_sessions_left_behind_leaves_the_highest_version_current(
    database: &dyn Database,
) {
    let world = World::with_scenario(database).await;
    let third = world.deployed(1, 3, 1).await;
    let generation = world.generation().await;
    world.deployed(1, 2, 10).await;
    assert_eq!(world.current().await, 3);
    assert_ne!(world.generation().await, generation, "turns must see the new plan");
    world.withdraw(&third, 20).await.unwrap();
    assert_eq!(world.current().await, 2);
}

/// A plan that never applied cannot cease to.
pub async fn only_a_deployed_plan_is_withdrawn(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let plan = world.create(1, 2, 1).await;
    let refused = world.withdraw(&plan, 2).await;
    assert!(matches!(refused, Err(Error::Conflict(Conflict::Plan { status: Kind::Pending, .. }))));
    let mut mistaken = withdrawal(&plan, 3);
    mistaken.plan.status = plan.status.clone();
    let refused = world.control.withdraw(world.tenant, &mistaken, &olga(3)).await;
    assert!(matches!(refused, Err(Error::Refused(_))));
}

/// A dormant customer may return after the retention: the record is all that their migration needs.
pub async fn a_cleanup_keeps_open_plans_and_the_records_of_the_deployed(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let deployed = world.deployed(1, 2, 1).await;
    let rejected = world.create(2, 3, 3).await;
    world.reject(&rejected, 4).await;
    let young = world.create(2, 4, 5).await;
    let young = world.reject(&young, 50).await;
    let open = world.create(2, 5, 6).await;
    let before = world.control.deployed(world.tenant, world.scenario).await.unwrap();

    let removed = world.control.cleanup_old_plans(world.tenant, at(40), &olga(60)).await.unwrap();
    let mut expected = vec![deployed.plan_id, rejected.plan_id];
    expected.sort();
    assert_eq!(removed, expected);
    let plans = world.control.list_plans(world.tenant, Filter::default(), Page::first(9)).await;
    assert_eq!(plans.unwrap().items, [open.clone(), young]);
    let gone = world.control.plan_map(world.tenant, deployed.plan_id).await;
    assert!(matches!(gone, Err(Error::NotFound(Noun::Plan))));
    let after = world.control.deployed(world.tenant, world.scenario).await.unwrap();
    assert_eq!(after.deployed, before.deployed);
    assert_eq!(world.current().await, 2);

    let nothing = world.control.cleanup_old_plans(world.tenant, at(40), &olga(61)).await;
    assert!(nothing.unwrap().is_empty());
    let filter = audit::Filter { action: Some(Action::PlansCleanedUp), ..Default::default() };
    let lines = world.control.list_audit(world.tenant, &filter, Page::first(9)).await.unwrap();
    assert_eq!(lines.total, 1, "what does nothing leaves no line");
}

/// A cache of what is deployed and archived is true exactly as long as the generation stands.
pub async fn whatever_a_turn_must_know_changes_the_generation(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let mut seen = vec![world.generation().await];
    let plan = world.deployed(1, 2, 1).await;
    seen.push(world.generation().await);
    let plan = world.withdraw(&plan, 3).await.unwrap();
    seen.push(world.generation().await);
    world.control.cleanup_old_plans(world.tenant, at(4), &olga(5)).await.unwrap();
    seen.push(world.generation().await);
    let cleanup = VersionCleanup {
        replaced_before: at(9),
        needed: [].into(),
        expected: world.generation().await,
    };
    let deleted =
        world.control.delete_versions(world.tenant, world.scenario, &cleanup, &olga(9)).await;
    assert_eq!(deleted.unwrap(), [plan.to_version]);
    seen.push(world.generation().await);
    let mut distinct = seen.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 5, "{seen:?}");
}
