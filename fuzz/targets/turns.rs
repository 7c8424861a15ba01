//! A customer's way through random versions: turns of every kind, in between new versions that are deployed.
//! Whatever happens, the session is the fold of its events (`World::try_turn` compares), stands at a step of
//! its version, and deciding the same turn again decides the same.
#![no_main]

#[path = "../drafts.rs"]
mod drafts;
#[allow(unused, reason = "it serves the tests of the core too")]
#[path = "../../crates/segue-core/tests/world/mod.rs"]
mod world;

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use drafts::{Draft, FIELDS, version};
use libfuzzer_sys::{Corpus, fuzz_target};
use segue_core::fields::ValueType;
use segue_core::plan::policy::{AnchorMigrationPolicy, MigrationScenario, Policies, anchor_key};
use segue_core::scenario::graph::Graph;
use segue_core::session::turn::{Input, Outcome};
use segue_core::session::{Message, Role};
use serde_json::{Value, json};
use world::{World, field};

/// How many things happen at most.
const LONGEST: usize = 24;

#[derive(Debug, Arbitrary)]
struct Story {
    first: Vec<Draft>,
    then: Vec<Happening>,
}

#[derive(Debug, Arbitrary)]
enum Happening {
    Returns,
    Says(String),
    Gives(u8, Given),
    Confirms(u8, bool),
    Chooses(u8),
    Acts(u8),
    Becomes(u8, Given),
    Deploy(Vec<Draft>, Option<Forced>),
    Withdraw(u8),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Given {
    Small(i8),
    Large(i64),
    Word(u8),
    Yes(bool),
    Nothing,
    Nested,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Forced {
    CleanGraft,
    GapFill,
    ReRoute,
    Stay,
}

fuzz_target!(|story: Story| -> Corpus {
    let first = version(1, &story.first);
    if Graph::new(first.clone()).is_err() {
        return Corpus::Reject;
    }
    let mut world = World::of(first)
        .defining("a", ValueType::Integer)
        .defining("b", ValueType::Email)
        .defining("c", ValueType::Boolean)
        .defining("d", ValueType::Date);
    for happening in story.then.into_iter().take(LONGEST) {
        world = happen(world, happening);
        check(&world);
    }
    Corpus::Keep
});

fn happen(mut world: World, happening: Happening) -> World {
    let step = |world: &World, nth: u8| {
        let graph = &world.versions.0[&world.session.version];
        let steps = &graph.scenario().steps;
        steps[usize::from(nth) % steps.len()].id.clone()
    };
    let input = match happening {
        Happening::Returns => Input::default(),
        Happening::Says(text) => {
            Input { message: Some(Message { role: Role::User, text }), ..Input::default() }
        }
        Happening::Gives(name, value) => Input {
            fields: BTreeMap::from([(field(name_of(name)), given(value))]),
            ..Input::default()
        },
        Happening::Confirms(name, word) => Input {
            confirmations: BTreeMap::from([(field(name_of(name)), word)]),
            ..Input::default()
        },
        Happening::Chooses(nth) => Input { step_id: Some(step(&world, nth)), ..Input::default() },
        Happening::Acts(nth) => Input { actions_done: vec![step(&world, nth)], ..Input::default() },
        Happening::Becomes(name, value) => return world.knowing(name_of(name), given(value)),
        Happening::Deploy(drafts, forced) => {
            let next = version(world.current.next().0, &drafts);
            return match Graph::new(next.clone()) {
                Ok(_) => {
                    let policies = policies(&world, forced);
                    world.deploy_version(next, policies)
                }
                Err(_) => world,
            };
        }
        Happening::Withdraw(nth) => {
            let count = world.plans.len().max(1);
            let now = world::at(world.today);
            if let Some(plan) = world.plans.get_mut(usize::from(nth) % count) {
                plan.withdrawn_at.get_or_insert(now);
            }
            return world;
        }
    };
    let decided = |world: &World| match world.decide(&input) {
        Ok(Outcome::Taken(taken)) => Ok(taken),
        Ok(Outcome::Need(need)) => panic!("nothing outside answers {need:?}"),
        Err(refused) => Err(refused),
    };
    assert_eq!(decided(&world), decided(&world), "a decision is a function of what it is about");
    // What is refused changes nothing.
    let before = world.session.clone();
    if world.try_turn(input).is_err() {
        assert_eq!(world.session, before);
    }
    world
}

/// What holds whatever happened.
fn check(world: &World) {
    let session = &world.session;
    let graph = &world.versions.0[&session.version];
    let here = graph.index(&session.step_id).expect("a session stands at a step of its version");
    assert_eq!(graph.hash(here), session.step_content_hash);
    assert!(session.version <= world.current);
    let text = serde_json::to_vec(session).expect("plain data");
    let again = serde_json::from_slice(&text).expect("what was written can be read");
    assert_eq!(*session, again, "a snapshot is the session");
}

fn policies(world: &World, forced: Option<Forced>) -> Policies {
    let Some(forced) = forced else { return Policies::new() };
    let (scenario, update_downstream) = match forced {
        Forced::CleanGraft => (Some(MigrationScenario::CleanGraft), true),
        Forced::GapFill => (Some(MigrationScenario::GapFill), true),
        Forced::ReRoute => (Some(MigrationScenario::ReRoute), true),
        Forced::Stay => (None, false),
    };
    let policy = AnchorMigrationPolicy {
        force_scenario: scenario,
        update_downstream,
        ..AnchorMigrationPolicy::default()
    };
    let graph = &world.versions.0[&world.current];
    graph.indices().map(|ix| (anchor_key(graph.hash(ix), 1), policy.clone())).collect()
}

fn name_of(nth: u8) -> &'static str {
    FIELDS[usize::from(nth) % FIELDS.len()]
}

fn given(value: Given) -> Value {
    match value {
        Given::Small(number) => json!(number),
        Given::Large(number) => json!(number),
        Given::Word(nth) => {
            json!(["x", "y", "", "a@b.example", "2026-02-30", "yes"][usize::from(nth) % 6])
        }
        Given::Yes(word) => json!(word),
        Given::Nothing => Value::Null,
        Given::Nested => json!({ "a": [1, null, { "b": "x" }] }),
    }
}
