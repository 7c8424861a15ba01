//! What a customer is asked when a new version needs to know more, and what comes of their answers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::collections::BTreeMap;

use segue_core::fields::{Source, ValueType};
use segue_core::session::turn::Input;
use world::{PLAIN, World, applied, field, told};

const ASKING: &str = "
    welcome -> details if ready
    details [asks email age] -> checkout if ready
    checkout";

#[test]
fn missing_fields_are_collected_over_several_turns_while_the_migration_waits() {
    let mut world =
        World::new(PLAIN).walk("checkout").defining("email", ValueType::Email).deploy(ASKING);
    let taken = world.returns();
    assert_eq!(told(&taken), "collect age email");
    assert_eq!(taken.answer.step.prompt.as_deref(), Some("What is your email?"));
    assert_eq!(
        taken.answer.reconciliation.user_message.as_deref(),
        Some("Before we continue, I need to collect some information: email, age")
    );
    assert_eq!(world.stands_at(), ("checkout", 1));
    assert!(world.pending().is_some());

    let taken = world.gives("email", "ann@example.org");
    assert_eq!(told(&taken), "collect age");
    assert_eq!(
        taken.answer.reconciliation.user_message.as_deref(),
        Some("Before we continue, I need to collect some information: age")
    );
    assert_eq!(told(&world.gives("age", 33)), "gap_fill -> checkout");
    assert_eq!(world.profile.fields[&field("age")].value, 33);
    let migration = applied(&world);
    assert_eq!(migration.fields_asked.len(), 2);
    assert!(migration.fields_filled.iter().all(|filled| filled.source == Source::Given));
}

/// A customer at the checkout, after a step that asks for their email was put before it.
fn lacking_an_email() -> World {
    World::new(PLAIN)
        .walk("checkout")
        .defining("email", ValueType::Email)
        .deploy("welcome -> details if ready\ndetails [asks email] -> checkout if ready\ncheckout")
}

#[test]
fn one_missing_field_is_asked_for_in_the_words_of_its_prompt() {
    let mut world = lacking_an_email();
    let taken = world.returns();
    assert_eq!(told(&taken), "collect email");
    let said = taken.answer.reconciliation.user_message;
    assert_eq!(said.as_deref(), Some("What is your email?"));
}

#[test]
fn what_the_customer_writes_is_found_in_the_message() {
    let mut world = lacking_an_email();
    world.returns();
    let taken = world.says("my email is ann@example.org");
    assert_eq!(told(&taken), "gap_fill -> checkout");
    assert_eq!(world.session.variables[&field("email")].source, Source::Extraction);
    assert_eq!(taken.profile_writes[&field("email")].value, "ann@example.org");
}

#[test]
fn a_value_that_is_not_sure_waits_for_the_customers_word() {
    let mut world = unsure();
    let taken = world.says("I guess ann@example.org or so");
    assert_eq!(told(&taken), "confirm email");
    assert!(taken.profile_writes.is_empty(), "nothing unconfirmed is written to the profile");
    assert_eq!(taken.answer.reconciliation.confirm[0].value, "ann@example.org");

    let confirmations = BTreeMap::from([(field("email"), true)]);
    let taken = world.turn(Input { confirmations, ..Input::default() });
    assert_eq!(told(&taken), "gap_fill -> checkout");
    assert_eq!(taken.profile_writes[&field("email")].source, Source::Confirmed);
}

#[test]
fn a_refused_value_is_asked_for_and_not_offered_again() {
    let mut world = unsure();
    world.says("I guess ann@example.org or so");
    let confirmations = BTreeMap::from([(field("email"), false)]);
    let taken = world.turn(Input { confirmations, ..Input::default() });
    assert_eq!(told(&taken), "collect email");
    assert!(taken.profile_writes.is_empty());
    assert_eq!(told(&world.returns()), "collect email");
    assert_eq!(told(&world.gives("email", "bea@example.org")), "gap_fill -> checkout");
}

/// A world in which nothing that is found is sure.
fn unsure() -> World {
    let mut world = lacking_an_email();
    world.config.gap_fill.extraction_confidence_threshold = 0.1;
    world.config.gap_fill.confirmation_threshold = 1.1;
    world
}

#[test]
fn an_expired_profile_value_is_asked_for_again() {
    let mut world =
        World::new(PLAIN).walk("checkout").defining("age", ValueType::Integer).knowing("age", 30);
    world.definitions.get_mut(&field("age")).unwrap().expires_after_days = Some(30);
    let mut world = world
        .deploy("welcome -> details if ready\ndetails [asks age] -> checkout if ready\ncheckout");
    world.today = 90;
    assert_eq!(told(&world.returns()), "collect age");
}
