//! What holds of every reconciliation, whatever the versions, the changes and the customer's past.
//!
//! `PROPTEST_CASES=20000 cargo test --test reconcile_properties` looks harder.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use segue_core::ids::{FieldName, StepId, Version};
use segue_core::plan::deployed::Deployed;
use segue_core::plan::forecast::{Marks, Outcome, Unaffected};
use segue_core::plan::policy::{
    AnchorKey, AnchorMigrationPolicy, MigrationScenario, Policies, anchor_key,
};
use segue_core::reconcile::{Action, Reconciliation};
use segue_core::scenario::Scenario;
use segue_core::scenario::graph::Graph;
use segue_core::session::event::Event;
use segue_core::session::turn::{Foreseen, Input, Taken, foresee};
use segue_core::session::{Session, Status, turn};
use serde_json::{Value, json};
use world::random::{Change, changed, changes, renamed, version};
use world::{World, field};

/// A customer: where they go, and what is known of them.
#[derive(Debug, Clone)]
struct Customer {
    walk: Vec<Index>,
    knows: BTreeMap<&'static str, Value>,
}

fn customer() -> impl Strategy<Value = Customer> {
    let a = proptest::option::of((0..10i64).prop_map(Value::from));
    let b = proptest::option::of(prop_oneof![Just(json!("x")), Just(json!("y")), Just(json!(7))]);
    let c = proptest::option::of(any::<bool>().prop_map(Value::from));
    let d = proptest::option::of((0..6i64).prop_map(Value::from));
    (vec(any::<Index>(), 0..8), a, b, c, d).prop_map(|(walk, a, b, c, d)| Customer {
        walk,
        knows: [("a", a), ("b", b), ("c", c), ("d", d)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect(),
    })
}

/// The customer begins, walks by the agent's choices, and only then becomes known.
fn arrive(scenario: &Scenario, customer: &Customer) -> World {
    let mut world = World::of(scenario.clone());
    walk(&mut world, &customer.walk);
    for (name, value) in &customer.knows {
        world = world.knowing(name, value.clone());
    }
    world
}

fn walk(world: &mut World, choices: &[Index]) {
    for choice in choices {
        let graph = world.versions.0[&world.session.version].clone();
        let here = graph.index(&world.session.step_id).unwrap();
        let ways = graph.edges(here);
        if ways.is_empty() || world.session.status != Status::Active {
            return;
        }
        let to = graph.step(ways[choice.index(ways.len())].to).id.clone();
        world.turn(Input { step_id: Some(to), ..Input::default() });
    }
}

fn decide(world: &World) -> Taken {
    match world.decide(&Input::default()).unwrap() {
        turn::Outcome::Taken(taken) => *taken,
        turn::Outcome::Need(need) => panic!("nothing outside answers {need:?}"),
    }
}

/// A policy that forces this scenario everywhere.
fn force(scenario: &Scenario, force: Option<MigrationScenario>) -> Policies {
    let Some(force) = force else { return Policies::new() };
    let graph = Graph::new(scenario.clone()).unwrap();
    let policy = AnchorMigrationPolicy { force_scenario: Some(force), ..Default::default() };
    graph.indices().map(|ix| (anchor_key(graph.hash(ix), 1), policy.clone())).collect()
}

fn forced() -> impl Strategy<Value = Option<MigrationScenario>> {
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(MigrationScenario::CleanGraft)),
        1 => Just(Some(MigrationScenario::GapFill)),
        2 => Just(Some(MigrationScenario::ReRoute)),
    ]
}

/// The answer with what people read left out, and steps by name.
fn gist(result: &Reconciliation, scenario: &Scenario) -> Value {
    let name = |id: &StepId| {
        scenario.steps.iter().find(|step| step.id == *id).map(|step| step.name.clone())
    };
    let collect: BTreeSet<&str> = result.collect_fields.iter().map(FieldName::as_str).collect();
    json!({
        "action": result.action,
        "target": result.target_step_id.as_ref().map(name),
        "collect": collect,
        "execute": result.execute_action_ids.iter().map(name).collect::<BTreeSet<_>>(),
        "blocked": result.blocked_by_checkpoint,
        "scenario": result.migration_scenario,
    })
}

/// Whether a move breaks the gate, judged by the documents alone: everybody who has passed a checkpoint
/// stands on it or behind it, unless they stay at a step that means the same. Where an operator said that
/// a checkpoint goes on as another step, either may count.
fn breaks_gate(before: &Session, after: &Session, world: &World) -> Option<String> {
    if after.version == before.version || after.step_content_hash == before.step_content_hash {
        return None;
    }
    let graph = &world.versions.0[&after.version];
    let scenario = graph.scenario();
    let goes_on = |id: &StepId| {
        let policy = world.plans[0].policies.get(&AnchorKey::for_mapping(id))?;
        let to = policy.map_to_step_id.as_ref()?;
        scenario.steps.iter().map(|step| &step.id).find(|id| *id == to)
    };
    for passed in before.step_history.iter().filter(|visit| visit.is_checkpoint) {
        let mut behind: BTreeSet<&StepId> = graph
            .indices()
            .filter(|ix| graph.hash(*ix) == passed.step_content_hash)
            .map(|ix| &graph.step(ix).id)
            .chain(goes_on(&passed.step_id))
            .collect();
        loop {
            let more: BTreeSet<&StepId> = scenario
                .steps
                .iter()
                .filter(|step| behind.contains(&step.id))
                .flat_map(|step| step.transitions.iter().map(|way| &way.to_step_id))
                .chain(behind.iter().copied())
                .collect();
            if more.len() == behind.len() {
                break;
            }
            behind = more;
        }
        if !behind.contains(&after.step_id) {
            return Some(format!("{} was passed, and now: {}", passed.step_id, after.step_id));
        }
    }
    None
}

/// The session after the reconciliation alone, before it moves on by itself.
fn reconciled(world: &World) -> Session {
    let current = world.versions.0[&world.current].clone();
    let situation = world.situation(&world.session, &current);
    let decision = segue_core::reconcile::reconcile(&situation).unwrap();
    let mut after = world.session.clone();
    for event in &decision.events {
        after.apply(event, situation.now);
    }
    after
}

/// A session with a past, changes, policies, and perhaps a version that was lost.
#[derive(Debug, Clone)]
struct Situation {
    v1: Scenario,
    one: Vec<Change>,
    two: Vec<Change>,
    customer: Customer,
    forced: Option<MigrationScenario>,
    /// Suggestions that the operator accepted: a deleted step goes on as another one.
    accepted: Vec<(Index, Index)>,
    is_lost: bool,
}

fn situation() -> impl Strategy<Value = Situation> {
    let accepted = vec(any::<(Index, Index)>(), 0..3);
    let is_lost = proptest::bool::weighted(0.2);
    (version(), changes(), changes(), customer(), forced(), accepted, is_lost).prop_map(
        |(v1, one, two, customer, forced, accepted, is_lost)| Situation {
            v1,
            one,
            two,
            customer,
            forced,
            accepted,
            is_lost,
        },
    )
}

impl Situation {
    fn world(&self) -> World {
        let mut world = arrive(&self.v1, &self.customer);
        let v2 = changed(&self.v1, &self.one);
        let v3 = changed(&v2, &self.two);
        let mut policies = force(&self.v1, self.forced);
        policies.extend(self.accepted.iter().map(|(from, to)| {
            let policy = AnchorMigrationPolicy {
                map_to_step_id: Some(to.get(&v2.steps).id.clone()),
                ..Default::default()
            };
            (AnchorKey::for_mapping(&from.get(&self.v1.steps).id), policy)
        }));
        world = world.deploy_version(v2, policies);
        if self.two.len() > 2 {
            world = world.deploy_version(v3, Policies::new());
        }
        if self.is_lost { world.lose(1) } else { world }
    }
}

/// What a turn made of a plan, as the plan's streams tell it.
fn became(taken: &Taken, plan: &Deployed) -> Outcome {
    let told = taken.events.iter().find_map(|event| match event {
        Event::MigrationApplied(applied) => {
            Some((&applied.migration.plan_ids, Outcome::of_migration(&applied.migration)))
        }
        Event::MigrationSettled(settled) => {
            Some((&settled.migration.plan_ids, Outcome::of_migration(&settled.migration)))
        }
        Event::MigrationWaits(waits) => {
            Some((&waits.plan_ids, Outcome::of_waiting(&taken.answer.reconciliation)))
        }
        _ => None,
    });
    match told {
        Some((plans, outcome)) if plans.contains(&plan.plan_id) => outcome,
        Some(_) => Outcome::OtherPlans,
        None if plan.from_version == Version(1) => {
            Outcome::Unaffected { because: Unaffected::OutOfScope }
        }
        None => Outcome::Unaffected { because: Unaffected::OtherVersion },
    }
}

proptest! {
    #[test]
    fn an_unchanged_graph_migrates_everyone_by_clean_graft(v1 in version(), customer in customer()) {
        let world = arrive(&v1, &customer);
        let here = world.session.step_id.clone();
        let mut v2 = v1.clone();
        v2.version = Version(2);
        let world = world.deploy_version(v2, Policies::new());
        let result = decide(&world).answer.reconciliation;
        prop_assert_eq!(result.action, Action::Teleport);
        prop_assert_eq!(result.teleport_reason.as_deref(), Some("clean_graft"));
        prop_assert_eq!(result.target_step_id, Some(here));
    }

    #[test]
    fn renamed_ids_and_reordered_steps_change_nothing(
        v1 in version(), changes in changes(), customer in customer(), forced in forced(),
    ) {
        let v2 = changed(&v1, &changes);
        let other = renamed(&v2);
        let policies = || force(&v1, forced);
        let plain = arrive(&v1, &customer).deploy_version(v2.clone(), policies());
        let moved = arrive(&v1, &customer).deploy_version(other.clone(), policies());
        prop_assert_eq!(
            gist(&decide(&plain).answer.reconciliation, &v2),
            gist(&decide(&moved).answer.reconciliation, &other)
        );
    }

    #[test]
    fn several_hops_decide_what_the_direct_diff_decides(
        v1 in version(), one in changes(), two in changes(), customer in customer(),
    ) {
        let v2 = changed(&v1, &one);
        let v3 = changed(&v2, &two);
        let hops = arrive(&v1, &customer)
            .deploy_version(v2, Policies::new())
            .deploy_version(v3.clone(), Policies::new());
        let direct = arrive(&v1, &customer).deploy_version(v3.clone(), Policies::new());
        prop_assert_eq!(
            gist(&decide(&hops).answer.reconciliation, &v3),
            gist(&decide(&direct).answer.reconciliation, &v3)
        );
    }

    #[test]
    fn no_strategy_ever_moves_a_session_past_the_checkpoint_gate(situation in situation()) {
        let world = situation.world();
        let after = reconciled(&world);
        prop_assert_eq!(breaks_gate(&world.session, &after, &world), None);
    }

    #[test]
    fn a_decision_is_the_same_again_and_once_applied_is_not_taken_twice(situation in situation()) {
        let mut world = situation.world();
        prop_assert_eq!(decide(&world), decide(&world));
        let taken = world.turn(Input::default());
        if world.session.status == Status::Active {
            let again = decide(&world).answer.reconciliation;
            match taken.answer.reconciliation.action {
                Action::Teleport | Action::Continue => {
                    prop_assert_eq!(again.action, Action::Continue);
                    prop_assert!(world.pending().is_none());
                }
                Action::Collect | Action::ExecuteAction => {
                    prop_assert_eq!(again, taken.answer.reconciliation);
                }
                Action::ExitScenario => prop_assert!(false, "an exited session takes no turn"),
            }
        }
    }

    #[test]
    fn what_is_foreseen_is_what_the_next_turn_decides(situation in situation()) {
        let world = situation.world();
        let current = world.versions.0[&world.current].clone();
        let foreseen = match foresee(&world.situation(&world.session, &current)).unwrap() {
            Foreseen::Decided(decision) => *decision,
            Foreseen::Need(need) => panic!("nothing outside answers {need:?}"),
        };
        let taken = decide(&world);
        prop_assert_eq!(&foreseen.result, &taken.answer.reconciliation);
        for plan in &world.plans {
            let outcome = Outcome::of_decision(&foreseen, &world.session, plan, Marks::Sessions);
            prop_assert_eq!(outcome, became(&taken, plan));
        }
    }

    #[test]
    fn a_customer_who_answers_what_is_asked_is_migrated_or_blocked(situation in situation()) {
        let mut world = situation.world();
        for _ in 0..20 {
            if world.session.status != Status::Active {
                return Ok(());
            }
            let result = world.turn(Input::default()).answer.reconciliation;
            match result.action {
                Action::Collect => {
                    let fields =
                        result.collect_fields.iter().map(|name| (name.clone(), json!(1))).collect();
                    world.turn(Input { fields, ..Input::default() });
                }
                Action::ExecuteAction => {
                    let actions_done = result.execute_action_ids;
                    world.turn(Input { actions_done, ..Input::default() });
                }
                Action::Continue | Action::Teleport | Action::ExitScenario => {
                    prop_assert!(world.pending().is_none());
                    return Ok(());
                }
            }
        }
        prop_assert!(false, "it is asked for ever");
    }

    #[test]
    fn marks_derived_after_the_deploy_equal_marks_computed_at_it(situation in situation()) {
        let mut world = situation.world();
        let at_deploy = world.pending();
        world.today += 400;
        world.profile.fields.insert(field("a"), world::known(json!(9)));
        prop_assert_eq!(&world.pending(), &at_deploy);
        let marked = at_deploy.is_some();
        let result = decide(&world).answer.reconciliation;
        prop_assert!(marked || matches!(result.action, Action::Continue | Action::Teleport | Action::ExitScenario));
    }

    #[test]
    fn last_exits_lead_from_the_entry_to_the_present_step(
        v1 in version(), one in changes(), two in changes(),
        customer in customer(), after in vec(any::<Index>(), 0..5),
    ) {
        let mut world = arrive(&v1, &customer);
        prop_assert!(is_simple_path(&world.session, &world.versions.0[&Version(1)]));
        let v2 = changed(&v1, &one);
        world = world.deploy_version(v2.clone(), Policies::new());
        world.turn(Input::default());
        if world.session.version == Version(2) {
            walk(&mut world, &after);
            prop_assert!(is_simple_path(&world.session, &world.versions.0[&Version(2)]));
        }
        let v3 = changed(&v2, &two);
        world = world.deploy_version(v3.clone(), Policies::new());
        if world.session.status == Status::Active {
            world.turn(Input::default());
            prop_assert!(world.session.step_history.len() <= v1.steps.len() + v2.steps.len() + v3.steps.len());
        }
    }
}

/// Whether the visits to steps of this version lead from its entry, if that was visited, to where the
/// session stands, each step once.
fn is_simple_path(session: &Session, graph: &Graph) -> bool {
    let exits: BTreeMap<&StepId, Option<&StepId>> = session
        .step_history
        .iter()
        .filter(|visit| {
            let ix = graph.index(&visit.step_id);
            ix.is_some_and(|ix| graph.hash(ix) == visit.step_content_hash)
        })
        .map(|visit| (&visit.step_id, visit.left_to.as_ref()))
        .collect();
    let mut at = &graph.scenario().entry_step_id;
    if !exits.contains_key(at) {
        return true;
    }
    let mut seen = BTreeSet::new();
    while seen.insert(at) {
        match exits.get(at) {
            Some(Some(next)) => at = next,
            Some(None) => return *at == session.step_id,
            None => return false,
        }
    }
    false
}

/// The mutant of the gate: with it switched off the property above must find a session that is moved
/// past a checkpoint, or it would prove nothing.
#[test]
fn without_the_gate_the_property_of_the_gate_fails() {
    let mut runner = TestRunner::new(Config::with_cases(3_000));
    let found = runner.run(&situation(), |situation| {
        let mut world = situation.world();
        world.config.checkpoints.block_teleport_past_checkpoint = false;
        let after = reconciled(&world);
        prop_assert_eq!(breaks_gate(&world.session, &after, &world), None);
        Ok(())
    });
    assert!(found.is_err(), "no session was moved past a checkpoint though nothing forbade it");
}
