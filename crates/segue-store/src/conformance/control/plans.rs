//! Plans.

use segue_core::ids::{PlanId, ScenarioId, Version};
use segue_core::plan::lifecycle::{Kind, Status};
use serde_json::json;
use uuid::Uuid;

use super::Database;
use super::world::{World, approval, at, change, deployed_status, olga, policies, signed, version};
use crate::control::audit::Action;
use crate::control::plans::{Change, Filter, Plan, Revision};
use crate::control::{Conflict, Error, Noun, Page};

/// The header, the summary and the map say what was kept.
pub async fn a_plan_reads_back_with_its_documents(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let new = world.new_plan(1, 2);
    let plan = world.control.create_plan(world.tenant, &new, &olga(3)).await.unwrap();
    let expected = Plan {
        plan_id: new.plan_id,
        scenario_id: world.scenario,
        from_version: Version(1),
        to_version: Version(2),
        revision: Revision(1),
        status: Status::Pending,
        policies: policies(2),
        overview: json!({"anchors": 3}),
        created_at: at(3),
        created_by: "olga".to_owned(),
    };
    assert_eq!(plan, expected);
    assert_eq!(world.plan(&plan).await, expected);
    let summary = world.control.plan_summary(world.tenant, plan.plan_id).await.unwrap();
    assert_eq!(summary.get(), new.summary.get());
    let map = world.control.plan_map(world.tenant, plan.plan_id).await.unwrap();
    assert_eq!(map.get(), new.map.get());

    let again = world.control.create_plan(world.tenant, &new, &olga(4)).await;
    assert!(matches!(again, Err(Error::Exists(Noun::Plan))));
}

/// A pending and an approved plan both hold the place; a rejected one frees it.
pub async fn a_second_open_plan_for_the_same_versions_is_refused_until_the_first_is_closed(
    database: &dyn Database,
) {
    let world = World::with_scenario(database).await;
    let first = world.create(1, 2, 1).await;
    let second = world.new_plan(1, 2);
    let refused = world.control.create_plan(world.tenant, &second, &olga(2)).await;
    assert!(matches!(refused, Err(Error::Exists(Noun::OpenPlan))));
    world.create(1, 3, 3).await;

    let first = world.approve(&first, 4).await;
    let refused = world.control.create_plan(world.tenant, &second, &olga(5)).await;
    assert!(matches!(refused, Err(Error::Exists(Noun::OpenPlan))));

    let other = world.create(1, 4, 6).await;
    world.reject(&other, 7).await;
    let again = world.new_plan(1, 4);
    assert!(world.control.create_plan(world.tenant, &again, &olga(8)).await.is_ok());
    assert_eq!(world.plan(&first).await.status.kind(), Kind::Approved);
}

/// The database decides, not the reading before it.
pub async fn of_racing_plans_for_the_same_versions_one_is_kept(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let other = database.open().await;
    let race = (0..8).map(|racer| {
        let control = if racer % 2 == 0 { world.control.clone() } else { other.clone() };
        let (tenant, plan) = (world.tenant, world.new_plan(1, 2));
        tokio::spawn(async move { control.create_plan(tenant, &plan, &olga(1)).await })
    });
    let mut won = 0;
    for racer in race.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            Ok(_) => won += 1,
            Err(error) => assert!(matches!(error, Error::Exists(Noun::OpenPlan)), "{error}"),
        }
    }
    assert_eq!(won, 1);
    let plans = world.control.list_plans(world.tenant, Filter::default(), Page::first(9)).await;
    assert_eq!(plans.unwrap().total, 1);
}

/// New sessions begin on the version before until the plan is deployed.
pub async fn a_plan_registers_its_version_without_making_it_current(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let generation = world.generation().await;
    world.create(1, 2, 1).await;
    let stored = world.control.version(world.tenant, world.scenario, Version(2)).await.unwrap();
    assert_eq!(stored.document, version(world.scenario, 2).document);
    assert_eq!(world.current().await, 1);
    assert_eq!(world.generation().await, generation, "turns need not look again");

    // A plan between versions that are there brings none.
    let mut backwards = world.new_plan(2, 1);
    backwards.new_version = None;
    assert!(world.control.create_plan(world.tenant, &backwards, &olga(2)).await.is_ok());
}

/// A version is immutable once registered, and neither the plan nor a line of audit is left behind.
pub async fn a_plan_that_brings_another_document_for_a_version_is_refused_whole(
    database: &dyn Database,
) {
    let world = World::with_scenario(database).await;
    let first = world.create(1, 2, 1).await;
    world.reject(&first, 2).await;

    let mut edited = world.new_plan(1, 2);
    let mut new_version = version(world.scenario, 2);
    let mut document = (*new_version.document).clone();
    document.name = "Edited".to_owned();
    new_version.document = document.into();
    edited.new_version = Some(new_version);
    let refused = world.control.create_plan(world.tenant, &edited, &olga(3)).await;
    assert!(matches!(refused, Err(Error::Exists(Noun::Version))));
    let missing = world.control.plan(world.tenant, edited.plan_id).await;
    assert!(matches!(missing, Err(Error::NotFound(Noun::Plan))));
    let stored = world.control.version(world.tenant, world.scenario, Version(2)).await.unwrap();
    assert_eq!(stored.document, version(world.scenario, 2).document);
}

/// A scenario and both versions have to be there.
pub async fn a_plan_of_something_missing_is_refused(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let mut plan = world.new_plan(7, 8);
    let refused = world.control.create_plan(world.tenant, &plan, &olga(1)).await;
    assert!(matches!(refused, Err(Error::NotFound(Noun::Version))));
    let unregistered = world.control.version(world.tenant, world.scenario, Version(8)).await;
    assert!(unregistered.is_err(), "nothing of a refused plan stays");

    plan.scenario_id = ScenarioId(Uuid::new_v4());
    plan.new_version = None;
    let refused = world.control.create_plan(world.tenant, &plan, &olga(2)).await;
    assert!(matches!(refused, Err(Error::NotFound(Noun::Scenario))));
    let stranger = Change {
        plan_id: PlanId(Uuid::new_v4()),
        expected: Revision(1),
        status: Status::Pending,
        policies: None,
    };
    let action = Action::PlanPoliciesChanged;
    let refused = world.control.update_plan(world.tenant, &stranger, action, &olga(3)).await;
    assert!(matches!(refused, Err(Error::NotFound(Noun::Plan))));
}

/// The answer names the present revision and status, so that the operator is told what happened.
pub async fn a_change_on_a_stale_revision_is_refused_with_what_is(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let read = world.create(1, 2, 1).await;
    let edited = Change { policies: Some(policies(77)), ..change(&read, Status::Pending) };
    let action = Action::PlanPoliciesChanged;
    let plan = world.control.update_plan(world.tenant, &edited, action, &olga(2)).await.unwrap();
    assert_eq!((plan.revision, &plan.policies), (Revision(2), &policies(77)));
    let approved = world.approve(&plan, 3).await;
    assert_eq!(approved.policies, policies(77), "a change of status leaves the policies");

    let late = world.control.update_plan(world.tenant, &edited, action, &olga(4)).await;
    let Err(Error::Conflict(conflict)) = late else { panic!("a stale change: {late:?}") };
    let expected =
        Conflict::Plan { plan_id: plan.plan_id, revision: Revision(3), status: Kind::Approved };
    assert_eq!(conflict, expected);
    assert_eq!(world.plan(&plan).await, approved);
}

/// Two operators who decide at once: one decision holds.
pub async fn of_racing_changes_one_wins(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let plan = world.create(1, 2, 1).await;
    let other = database.open().await;
    let race = (0..8).map(|racer| {
        let control = if racer % 2 == 0 { world.control.clone() } else { other.clone() };
        let (tenant, change) = (world.tenant, approval(&plan, racer));
        tokio::spawn(async move {
            control.update_plan(tenant, &change, Action::PlanApproved, &olga(racer)).await
        })
    });
    let mut winners = Vec::new();
    for racer in race.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            Ok(plan) => winners.push(plan),
            Err(error) => assert!(matches!(error, Error::Conflict(_)), "{error}"),
        }
    }
    assert_eq!(winners, [world.plan(&plan).await]);
}

/// Deploying changes more than the plan, so it has its own call; what is closed stays closed.
pub async fn an_update_neither_deploys_nor_reopens(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let plan = world.create(1, 2, 1).await;
    let deployed = change(&plan, deployed_status(2, 0));
    let action = Action::PlanApproved;
    let refused = world.control.update_plan(world.tenant, &deployed, action, &olga(2)).await;
    assert!(matches!(refused, Err(Error::Refused(_))));

    let rejected = world.reject(&plan, 3).await;
    let reopened = change(&rejected, Status::Approved { approved: signed(4) });
    let refused = world.control.update_plan(world.tenant, &reopened, action, &olga(4)).await;
    assert!(matches!(refused, Err(Error::Refused(_))));
    assert_eq!(world.plan(&plan).await, rejected);
}

/// Filters narrow the list and its total.
pub async fn plans_list_newest_first_by_scenario_and_status(database: &dyn Database) {
    let mut world = World::with_scenario(database).await;
    let mut plans = Vec::new();
    for to in 2..=4 {
        plans.push(world.create(1, to, 10 + i64::try_from(to).unwrap()).await);
    }
    let approved = world.approve(&plans[1], 20).await;
    let first_scenario = world.scenario;
    world.scenario = ScenarioId(Uuid::new_v4());
    world.register(world.scenario, 30).await;
    let foreign = world.create(1, 2, 31).await;

    let list = async |scenario_id, status, page| {
        let filter = Filter { scenario_id, status };
        world.control.list_plans(world.tenant, filter, page).await.unwrap()
    };
    let all = list(None, None, Page::first(3)).await;
    assert_eq!(all.items, [foreign, plans[2].clone(), approved.clone()]);
    assert_eq!(all.total, 4);
    let rest = list(None, None, Page { limit: 3, after: all.next }).await;
    assert_eq!((rest.items, rest.total, rest.next), (vec![plans[0].clone()], 4, None));

    let of_first = list(Some(first_scenario), None, Page::first(9)).await;
    assert_eq!(of_first.items, [plans[2].clone(), approved.clone(), plans[0].clone()]);
    let open = list(Some(first_scenario), Some(Kind::Pending), Page::first(1)).await;
    assert_eq!((&open.items, open.total), (&vec![plans[2].clone()], 2));
    let approved_only = list(None, Some(Kind::Approved), Page::first(9)).await;
    assert_eq!((approved_only.items, approved_only.total), (vec![approved], 1));
}
