//! Where a session goes by its own scenario's rules, and what its stream keeps.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use segue_core::fields::ValueType;
use segue_core::session::event::Event;
use segue_core::session::turn::{Input, Refused};
use segue_core::session::{Session, Status};
use world::{World, field, step};

const ORDER: &str = "
    welcome -> checkout if ready
    checkout -> payment if ready
    payment [checkpoint] -> confirm if ready
    confirm -> done if ready
    done [end]";

#[test]
fn a_session_moves_on_by_itself_while_it_knows_where_to_and_stops_at_the_end() {
    let mut world = World::new(
        "welcome -> size\nsize [asks size] -> small if size < 40; large if otherwise\n\
         small -> done\nlarge -> done\ndone [end]",
    )
    .defining("size", ValueType::Integer);
    let taken = world.returns();
    assert_eq!(taken.answer.step.entered_steps, [step("size")]);
    assert_eq!(taken.answer.step.collect_fields, [field("size")]);
    assert_eq!(taken.answer.step.prompt.as_deref(), Some("What is your size?"));
    let taken = world.gives("size", 44);
    assert_eq!(taken.answer.step.entered_steps, [step("large"), step("done")]);
    assert_eq!(world.session.status, Status::Finished);
    let refused = world.try_turn(Input::default()).unwrap_err();
    assert_eq!(refused, Refused::NotActive { status: Status::Finished });
}

#[test]
fn a_session_does_not_guess_between_two_branches_that_both_hold() {
    let mut world = World::new("a -> b if x > 1; c if x > 2\nb\nc");
    world.gives("x", 5);
    assert_eq!(world.stands_at().0, "a");
    let mut world = World::new("a -> b if x > 1; c if x > 2 @1\nb\nc");
    world.gives("x", 5);
    assert_eq!(world.stands_at().0, "c", "the higher priority decides");
}

#[test]
fn a_session_waits_where_a_higher_branch_cannot_be_said_yet() {
    let mut world = World::new("a -> b if x > 1 @1; c\nb\nc");
    let taken = world.returns();
    assert_eq!(world.stands_at().0, "a");
    assert_eq!(taken.answer.step.collect_fields, [field("x")]);
}

#[test]
fn a_session_does_not_walk_past_an_action_that_is_not_reported_done() {
    let mut world = World::new("a -> pay\npay [action, checkpoint] -> done\ndone [end]");
    world.returns();
    assert_eq!(world.stands_at().0, "pay");
    world.returns();
    assert_eq!(world.stands_at().0, "pay");
    world.turn(Input { actions_done: vec![step("pay")], ..Input::default() });
    assert_eq!(world.session.status, Status::Finished);
}

#[test]
fn an_action_is_done_anew_on_every_round() {
    let mut world =
        World::new("ship [action] -> ask\nask [asks ok] -> ship if not ok; done if ok\ndone [end]");
    let done = || Input { actions_done: vec![step("ship")], ..Input::default() };
    world.turn(done());
    world.gives("ok", false);
    assert_eq!(world.stands_at().0, "ship", "it waits for the second parcel");
    let taken = world.turn(done());
    assert_eq!(taken.answer.step.entered_steps[0], step("ask"));
}

#[test]
fn a_cycle_of_empty_conditions_goes_round_at_most_once_in_a_turn() {
    let mut world = World::new("a -> b\nb -> c\nc -> a");
    let taken = world.returns();
    assert_eq!(taken.answer.step.entered_steps, [step("b"), step("c")]);
}

#[test]
fn a_step_that_the_graph_does_not_allow_is_refused_with_those_that_are() {
    let mut world = World::new(ORDER);
    let input = Input { step_id: Some(step("confirm")), ..Input::default() };
    let Err(Refused::StepNotAllowed { allowed, from, .. }) = world.try_turn(input) else {
        panic!("the step is not allowed")
    };
    assert_eq!((from, allowed), (step("welcome"), vec![step("welcome"), step("checkout")]));
    assert_eq!(world.session.turn_count, 0, "nothing happened");
}

#[test]
fn only_the_last_messages_are_kept() {
    let mut world = World::new(ORDER);
    for nth in 0..30 {
        world.says(&format!("message {nth}"));
    }
    assert_eq!(world.session.messages.len(), 20);
    assert_eq!(world.session.messages[0].text, "message 10");
}

#[test]
fn every_event_is_read_back_as_it_was_written() {
    let mut world = World::new(ORDER).walk("checkout").deploy(
        "welcome -> age_check if ready
         age_check [asks age] -> rejection if age < 18; checkout if age >= 18
         checkout -> done if ready
         done [end]
         rejection [end]",
    );
    world.returns();
    world.gives("age", 17);
    assert!(world.events.len() > 6);
    for (event, _) in &world.events {
        let read = Event::from_payload(event.event_type(), &event.to_payload()).unwrap();
        assert_eq!(&read, event);
    }
    assert!(Event::from_payload("TurnTaken", b"{}").is_err());
    assert!(Event::from_payload("Nonsense", b"{}").is_err());
    let snapshot = serde_json::to_string(&world.session).unwrap();
    assert_eq!(serde_json::from_str::<Session>(&snapshot).unwrap(), world.session);
}
