//! Everything at once, from two processes.

use std::collections::BTreeSet;
use std::time::Duration;

use segue_core::fields::Definition;
use segue_core::ids::{FieldName, Position, SubscriptionName, Term};
use serde_json::json;
use tokio::time::timeout;

use super::Database;
use super::world::{World, at, new_store, olga};
use crate::control::audit::{Action, Filter};
use crate::control::plans::{self, Plan};
use crate::control::routing::{Phase, PhaseChange};
use crate::control::subscriptions::Put;
use crate::control::{Error, Page};
use crate::dice::Dice;

const RACERS: u64 = 8;
const ROUNDS: u64 = 6;

/// Whatever comes of it, it could have come one after the other: what was refused left no trace, every
/// decision that was answered has its line, and the generation moved once for each that turns must know.
pub async fn racing_decisions_leave_what_some_order_of_them_would(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let other = database.open().await;
    world.control.place(world.tenant, &new_store(), &olga(0)).await.unwrap();
    let before = world.generation().await;
    let racers = (0..RACERS).map(|n| {
        let control = if n % 2 == 0 { world.control.clone() } else { other.clone() };
        let racer = World { control, ..world };
        tokio::spawn(async move { race(&racer, Dice(n)).await })
    });
    let mut decided = Vec::new();
    for racer in racers.collect::<Vec<_>>() {
        decided.extend(racer.await.unwrap());
    }

    let of = |action| decided.iter().filter(|decided| **decided == action).count() as u64;
    let page = Page::first(10_000);
    let lines = world.control.list_audit(world.tenant, &Filter::default(), page).await.unwrap();
    let told = |action| lines.items.iter().filter(|line| line.action == action).count() as u64;
    for action in ACTIONS {
        assert_eq!(told(action), of(action), "lines of {action}");
    }
    let known = of(Action::PlanDeployed) + of(Action::PlanWithdrawn);
    assert_eq!(world.generation().await.0, before.0 + known);
    let route = world.control.route(world.tenant).await.unwrap().unwrap();
    assert_eq!(route.term, Term(of(Action::WritesPaused) + of(Action::WritesResumed)));
    let fields = world.control.fields(world.tenant).await.unwrap();
    assert_eq!(fields.generation.0, of(Action::FieldDefined));
    let history = world.control.deployed(world.tenant, world.scenario).await.unwrap();
    let plans: BTreeSet<_> = history.deployed.iter().map(|record| record.plan_id).collect();
    assert_eq!(plans.len() as u64, of(Action::PlanDeployed), "each plan is deployed once");
    let subscription = world.control.subscription(world.tenant, &consumer()).await.unwrap();
    assert_eq!(subscription.position, Position(RACERS * ROUNDS), "the highest acknowledgement");
}

const ACTIONS: [Action; 7] = [
    Action::PlanCreated,
    Action::PlanDeployed,
    Action::PlanWithdrawn,
    Action::WritesPaused,
    Action::WritesResumed,
    Action::FieldDefined,
    Action::SubscriptionCreated,
];

fn field(name: &str) -> Definition {
    let name = FieldName::new(name).unwrap();
    serde_json::from_value(json!({"name": name, "value_type": "integer"})).unwrap()
}

fn consumer() -> SubscriptionName {
    SubscriptionName::new("consumer").unwrap()
}

/// What one racer has decided.
async fn race(world: &World, mut dice: Dice) -> Vec<Action> {
    let mut decided = Vec::new();
    let mut note = |action, result: Result<(), Error>| match result {
        Ok(()) => decided.push(action),
        Err(Error::Conflict(_) | Error::Exists(_) | Error::Refused(_) | Error::NotFound(_)) => {}
        Err(error) => panic!("{action}: {error}"),
    };
    let racer = dice.0;
    for round in 0..ROUNDS {
        let to = 2 + dice.below(4);
        let plan = world.new_plan(1, to);
        let created = world.control.create_plan(world.tenant, &plan, &olga(1)).await;
        note(Action::PlanCreated, created.map(drop));
        for plan in newest_plans(world).await {
            note(Action::PlanDeployed, world.deploy(&plan, &[], 2).await.map(drop));
            let plan = world.plan(&plan).await;
            if dice.below(2) == 0 && plan.status.deployed().is_some() {
                note(Action::PlanWithdrawn, world.withdraw(&plan, 3).await.map(drop));
            }
        }
        let (action, changed) = turn_phase(world).await;
        note(action, changed);
        let field = field(&format!("field-{racer}-{round}"));
        let defined = world.control.put_field(world.tenant, &field, &olga(4)).await;
        note(Action::FieldDefined, defined.map(drop));
        let (name, by) = (consumer(), olga(5));
        let put = world.control.put_subscription(world.tenant, &name, Position(0), &by).await;
        if let Put::Created(_) = put.unwrap() {
            note(Action::SubscriptionCreated, Ok(()));
        }
        let position = Position(round * RACERS + racer + 1);
        let come = world.control.acknowledge(world.tenant, &consumer(), position, at(6)).await;
        assert!(come.unwrap().position >= position, "never behind what was acknowledged");
    }
    decided
}

async fn newest_plans(world: &World) -> Vec<Plan> {
    let filter = plans::Filter::default();
    world.control.list_plans(world.tenant, filter, Page::first(3)).await.unwrap().items
}

/// Decides the other phase than the one that stands.
async fn turn_phase(world: &World) -> (Action, Result<(), Error>) {
    let route = world.control.route(world.tenant).await.unwrap().unwrap();
    let phase = match route.phase {
        Phase::Settled => Phase::Paused { since: at(3) },
        Phase::Paused { .. } => Phase::Settled,
    };
    let change = PhaseChange { expected: route.term, phase };
    let changed = world.control.change_phase(world.tenant, change, &olga(3)).await;
    (change.action(), changed.map(drop))
}

/// Whenever its caller stops waiting, a decision is made whole or not at all, and holds up nobody.
pub async fn a_decision_whose_caller_went_away_is_whole_or_not_made(database: &dyn Database) {
    const DECISIONS: u64 = 40;
    let world = World::empty(database).await;
    let other = database.open().await;
    for n in 0..DECISIONS {
        let (field, by) = (field(&format!("field-{n}")), olga(1));
        let patience = Duration::from_micros(n * n * 5);
        // Given up at any stage, or answered.
        let _ = timeout(patience, world.control.put_field(world.tenant, &field, &by)).await;
        let again = timeout(Duration::from_secs(2), other.put_field(world.tenant, &field, &by));
        let generation = again.await.expect("nobody is held up").unwrap();
        assert_eq!(generation.0, n + 1, "the first, if it came, changed the same once");
    }
    let page = Page::first(1);
    let lines = world.control.list_audit(world.tenant, &Filter::default(), page).await.unwrap();
    assert_eq!(lines.total, DECISIONS);
}
