//! The audit, the walls between tenants, and what outlives the process.

use segue_core::fields::{Definition, ValueType};
use segue_core::ids::{CustomerId, FieldName, Position, SubscriptionName, TenantId, Version};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Database;
use super::world::{World, approval, at, deployment, new_store, olga, version, withdrawal};
use crate::control::audit::{Action, Entry, Filter, Subject};
use crate::control::plans;
use crate::control::scenarios::VersionCleanup;
use crate::control::{By, Error, Page};

fn age() -> Definition {
    serde_json::from_value(json!({"name": "age", "value_type": "integer"})).unwrap()
}

async fn lines(world: &World, filter: Filter) -> Vec<Entry> {
    world.control.list_audit(world.tenant, &filter, Page::first(100)).await.unwrap().items
}

/// One line for each thing that changed, the last first.
pub async fn every_decision_leaves_its_line_with_who_and_when(database: &dyn Database) {
    let world = World::empty(database).await;
    world.control.place(world.tenant, &new_store(), &olga(0)).await.unwrap();
    world.register(world.scenario, 1).await;
    assert_eq!(age().value_type, ValueType::Integer);
    world.control.put_field(world.tenant, &age(), &olga(2)).await.unwrap();
    let first = world.create(1, 2, 3).await;
    let first = world.approve(&first, 4).await;
    let second = world.create(1, 3, 5).await;
    let because = By { details: json!({"reason": "spring"}), ..olga(6) };
    let deployment = deployment(&second, &[&first], 6);
    let second = world.control.deploy(world.tenant, &deployment, &because).await.unwrap();
    world.withdraw(&second, 7).await.unwrap();
    world.control.cleanup_old_plans(world.tenant, at(8), &olga(8)).await.unwrap();
    let cleanup = VersionCleanup {
        replaced_before: at(9),
        needed: [Version(2)].into(),
        expected: world.generation().await,
    };
    world.control.delete_versions(world.tenant, world.scenario, &cleanup, &olga(9)).await.unwrap();

    let lines = lines(&world, Filter::default()).await;
    let told: Vec<_> = lines.iter().map(|line| (line.action, line.subject, line.at)).collect();
    let expected = [
        (Action::VersionsDeleted, Subject::Scenario, at(9)),
        (Action::PlansCleanedUp, Subject::Tenant, at(8)),
        (Action::PlanWithdrawn, Subject::Plan, at(7)),
        (Action::PlanDeployed, Subject::Plan, at(6)),
        (Action::PlanSuperseded, Subject::Plan, at(6)),
        (Action::PlanCreated, Subject::Plan, at(5)),
        (Action::PlanApproved, Subject::Plan, at(4)),
        (Action::PlanCreated, Subject::Plan, at(3)),
        (Action::FieldDefined, Subject::Field, at(2)),
        (Action::ScenarioRegistered, Subject::Scenario, at(1)),
        (Action::TenantPlaced, Subject::Tenant, at(0)),
    ];
    assert_eq!(told, expected);
    assert!(lines.iter().all(|line| line.actor == "olga"));
    let deployed = &lines[3];
    assert_eq!(deployed.subject_id, second.plan_id.to_string());
    assert_eq!(deployed.details["reason"], "spring");
    assert_eq!(deployed.details["to_version"], 3);
    assert_eq!(lines[0].details, json!({"versions": [3]}));
    assert_eq!(lines[4].subject_id, first.plan_id.to_string());
    assert_eq!(lines[4].details["superseded_by"], second.plan_id.to_string());
}

/// What did not happen is not told.
pub async fn a_refused_decision_leaves_no_line(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let older = world.create(1, 2, 1).await;
    let plan = world.create(1, 3, 2).await;
    let before = lines(&world, Filter::default()).await;

    let again = version(world.scenario, 1);
    world.control.register_scenario(world.tenant, &again, &olga(3)).await.unwrap_err();
    let twin = world.new_plan(1, 2);
    world.control.create_plan(world.tenant, &twin, &olga(4)).await.unwrap_err();
    world.deploy(&plan, &[], 5).await.unwrap_err();
    let mut stale = approval(&older, 6);
    stale.expected.0 += 1;
    let action = Action::PlanApproved;
    world.control.update_plan(world.tenant, &stale, action, &olga(6)).await.unwrap_err();
    world.withdraw(&plan, 7).await.unwrap_err();
    assert_eq!(lines(&world, Filter::default()).await, before);
}

/// Each filter, and pages that stay stable while lines are added.
pub async fn the_audit_filters_and_pages(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let customer = CustomerId::new("customer-7").unwrap();
    let mut expected = Vec::new();
    for second in 0..5 {
        let entry = Entry {
            at: at(second),
            actor: if second == 3 { "otto".to_owned() } else { "olga".to_owned() },
            action: Action::ProfileChanged,
            subject: Subject::Customer,
            subject_id: customer.to_string(),
            details: Value::Null,
        };
        world.control.record(world.tenant, &entry).await.unwrap();
        expected.insert(0, entry);
    }
    let of_customer = Filter {
        subjects: vec![Subject::Customer],
        subject_id: Some(customer.to_string()),
        ..Filter::default()
    };
    assert_eq!(lines(&world, of_customer).await, expected);
    let by_otto = Filter { actor: Some("otto".to_owned()), ..Filter::default() };
    assert_eq!(lines(&world, by_otto).await, expected[1..2]);
    let registered = Filter { action: Some(Action::ScenarioRegistered), ..Filter::default() };
    assert_eq!(lines(&world, registered).await.len(), 1);
    let between = Filter {
        subjects: vec![Subject::Customer],
        from: Some(at(1)),
        until: Some(at(3)),
        ..Filter::default()
    };
    assert_eq!(lines(&world, between).await, expected[2..4], "from 1 on, and before 3");

    let all = Filter::default();
    let first = world.control.list_audit(world.tenant, &all, Page::first(2)).await.unwrap();
    assert_eq!((&first.items[..], first.total), (&expected[..2], 6));
    world.control.put_field(world.tenant, &age(), &olga(9)).await.unwrap();
    let page = Page { limit: 3, after: first.next };
    let second = world.control.list_audit(world.tenant, &all, page).await.unwrap();
    assert_eq!(second.items, expected[2..]);
}

/// Every reading and every change by another tenant's id answers as if it were nobody's.
pub async fn another_tenants_things_are_not_found(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    world.control.put_field(world.tenant, &age(), &olga(0)).await.unwrap();
    let subscription = SubscriptionName::new("billing").unwrap();
    let after = Position(7);
    world.control.put_subscription(world.tenant, &subscription, after, &olga(0)).await.unwrap();
    let plan = world.create(1, 2, 1).await;
    let deployed = world.deployed(1, 3, 0).await;
    let mallory = World {
        control: world.control.clone(),
        tenant: TenantId(Uuid::new_v4()),
        scenario: world.scenario,
    };
    let (control, tenant, scenario) = (&mallory.control, mallory.tenant, world.scenario);
    let name = FieldName::new("age").unwrap();
    let page = Page::first(9);
    let cleanup = VersionCleanup {
        replaced_before: at(99),
        needed: [].into(),
        expected: world.generation().await,
    };
    let by = &olga(9);
    let action = Action::PlanApproved;
    let outcomes = [
        control.scenario(tenant, scenario).await.err(),
        control.list_versions(tenant, scenario, page).await.err(),
        control.version(tenant, scenario, Version(1)).await.err(),
        control.delete_versions(tenant, scenario, &cleanup, by).await.err(),
        control.plan(tenant, plan.plan_id).await.err(),
        control.plan_summary(tenant, plan.plan_id).await.err(),
        control.plan_map(tenant, plan.plan_id).await.err(),
        control.create_plan(tenant, &mallory.new_plan(1, 2), by).await.err(),
        control.update_plan(tenant, &approval(&plan, 9), action, by).await.err(),
        control.deploy(tenant, &deployment(&plan, &[], 9), by).await.err(),
        control.withdraw(tenant, &withdrawal(&deployed, 9), by).await.err(),
        control.deployed(tenant, scenario).await.err(),
        control.field(tenant, &name).await.err(),
        control.tenant(tenant).await.err(),
        control.subscription(tenant, &subscription).await.err(),
        control.acknowledge(tenant, &subscription, Position(9), at(9)).await.err(),
        control.reset_subscription(tenant, &subscription, Position(0), by).await.err(),
        control.delete_subscription(tenant, &subscription, by).await.err(),
    ];
    for (nth, outcome) in outcomes.into_iter().enumerate() {
        assert!(matches!(outcome, Some(Error::NotFound(_))), "call {nth}: {outcome:?}");
    }
    let filter = plans::Filter { scenario_id: Some(scenario), status: None };
    assert_eq!(control.list_plans(tenant, filter, page).await.unwrap().total, 0);
    assert_eq!(control.list_scenarios(tenant, page).await.unwrap().total, 0);
    assert!(control.fields(tenant).await.unwrap().definitions.is_empty());
    assert!(control.subscriptions(tenant).await.unwrap().is_empty());
    assert!(control.cleanup_old_plans(tenant, at(99), by).await.unwrap().is_empty());
    assert!(lines(&mallory, Filter::default()).await.is_empty());
    assert!(control.standing(tenant, scenario).await.unwrap().scenario.is_none());

    // The same ids are free in the other tenant, and each keeps its own.
    mallory.register(scenario, 1).await;
    assert_eq!((world.current().await, mallory.current().await), (3, 1));
    assert_eq!(world.plan(&plan).await, plan);
    control.put_subscription(tenant, &subscription, Position(0), by).await.unwrap();
    let kept = world.control.subscription(world.tenant, &subscription).await.unwrap();
    assert_eq!(kept.position, after);
}

/// Opened anew, the database answers what it answered.
pub async fn what_was_answered_is_there_after_a_restart(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    world.control.place(world.tenant, &new_store(), &olga(0)).await.unwrap();
    world.control.put_field(world.tenant, &age(), &olga(0)).await.unwrap();
    let plan = world.deployed(1, 2, 1).await;
    let standing = world.control.standing(world.tenant, world.scenario).await.unwrap();
    let history = world.control.deployed(world.tenant, world.scenario).await.unwrap();
    let told = lines(&world, Filter::default()).await;
    let World { control, tenant, scenario } = world;
    drop(control);

    let world = World { control: database.open().await, tenant, scenario };
    assert_eq!(world.control.standing(tenant, scenario).await.unwrap(), standing);
    assert_eq!(world.control.deployed(tenant, scenario).await.unwrap(), history);
    assert_eq!(world.plan(&plan).await, plan);
    let stored = world.control.version(tenant, scenario, Version(2)).await.unwrap();
    assert_eq!(stored.document, version(scenario, 2).document);
    assert_eq!(world.control.fields(tenant).await.unwrap().definitions.len(), 1);
    assert_eq!(lines(&world, Filter::default()).await, told);
    world.control.check().await.unwrap();
}
