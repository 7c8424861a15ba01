//! What must not happen to a customer, however a scenario is changed under them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::collections::BTreeMap;

use segue_core::fields::ValueType;
use segue_core::plan::policy::{AnchorKey, AnchorMigrationPolicy, MigrationScenario, Policies};
use segue_core::session::turn::Input;
use world::{World, field, step, told};

fn done(id: &str) -> Input {
    Input { actions_done: vec![step(id)], ..Input::default() }
}

fn forcing(scenario: MigrationScenario) -> AnchorMigrationPolicy {
    AnchorMigrationPolicy { force_scenario: Some(scenario), ..AnchorMigrationPolicy::default() }
}

fn mapping(from: &str, to: &str) -> Policies {
    let accepted = AnchorMigrationPolicy {
        map_to_step_id: Some(step(to)),
        ..AnchorMigrationPolicy::default()
    };
    Policies::from([(AnchorKey::for_mapping(&step(from)), accepted)])
}

// ---- actions

#[test]
fn a_required_action_is_run_though_another_one_was_done_under_its_id() {
    let mut world =
        World::new("a -> act if ready\nact [as Greet, required] -> b if ready\nb -> c if ready\nc");
    world.turn(Input { step_id: Some(step("act")), ..Input::default() });
    world.turn(done("act"));
    let mut world = world
        .walk("b")
        .deploy("a -> act if ready\nact [as Charge, required] -> b if ready\nb -> c if ready\nc");
    assert_eq!(told(&world.returns()), "execute act");
    assert_eq!(told(&world.turn(done("act"))), "gap_fill -> b");
}

#[test]
fn a_step_of_the_new_version_is_not_walked_past_because_its_id_was_done_before() {
    let mut world =
        World::new("a -> act if ready\nact [as Greet, required] -> b if ready\nb -> c if ready\nc");
    world.turn(Input { step_id: Some(step("act")), ..Input::default() });
    world.turn(done("act"));
    let mut world = world
        .walk("b")
        .deploy("a -> b if ready\nb -> act\nact [as Charge, required] -> c\nc [end]");
    world.returns();
    assert_eq!(world.stands_at(), ("act", 2));
}

#[test]
fn a_missed_action_that_was_run_is_not_run_again_when_a_later_version_calls_its_step_otherwise() {
    let world = World::new("a -> b if ready\nb -> c if ready\nc").walk("b");
    let mut world =
        world.deploy("a -> pay if ready\npay [as Pay, required] -> b if ready\nb -> c if ready\nc");
    assert_eq!(told(&world.returns()), "execute pay");
    assert_eq!(told(&world.turn(done("pay"))), "gap_fill -> b");
    let mut world = world
        .deploy("a -> pay2 if ready\npay2 [as Pay, required] -> b if ready\nb -> c if ready\nc");
    assert_eq!(world.returns().answer.reconciliation.execute_action_ids, []);
    assert_eq!(world.stands_at(), ("b", 3));
}

#[test]
fn whoever_paid_at_a_missed_checkpoint_has_passed_it() {
    let mut world = World::new("a -> b if ready\nb -> c if ready\nc")
        .walk("b")
        .deploy("a -> pay if ready\npay [required, checkpoint] -> b if ready\nb -> c if ready\nc");
    assert_eq!(told(&world.returns()), "execute pay");
    assert_eq!(told(&world.turn(done("pay"))), "gap_fill -> b");
    let mut world = world.knowing("banned", true).deploy(
        "a -> sorry if banned == true @1; pay if ready\nsorry [end]\n\
         pay [required, checkpoint] -> b if ready\nb -> c if ready\nc",
    );
    assert_eq!(told(&world.returns()), "blocked");
}

#[test]
fn a_required_action_before_a_fork_is_run_also_where_the_walk_cannot_decide() {
    let world = World::new("a -> b if ready\nb -> c if ready\nc").walk("b").knowing("age", 17);
    let mut world = world.deploy(
        "a -> odd if the customer seems happy; kyc if otherwise\nodd -> kyc\n\
         kyc [required] -> sorry if age < 18; b if otherwise\nsorry [end]\nb -> c if ready\nc",
    );
    assert_eq!(told(&world.returns()), "execute kyc");
    assert_eq!(told(&world.turn(done("kyc"))), "re_route -> sorry");
}

#[test]
fn an_action_that_was_run_is_not_run_again_while_the_migration_waits_for_more() {
    let mut world = World::new("a -> b if ready\nb -> c if ready\nc").walk("b").deploy(
        "a -> pay if ready\npay [required] -> n if ready\nn [asks size] -> b if ready\n\
         b -> c if ready\nc",
    );
    assert_eq!(told(&world.returns()), "collect size");
    assert_eq!(told(&world.gives("size", 4)), "execute pay");
    let mut world = world.deploy(
        "a -> pay if ready\npay [required] -> n if ready\nn [asks size] -> m if ready\n\
         m [asks colour] -> b if ready\nb -> c if ready\nc",
    );
    assert_eq!(told(&world.turn(done("pay"))), "collect colour");
    assert_eq!(told(&world.gives("colour", "red")), "composite_v1_to_v3 -> b");
    assert_eq!(world.session.actions_done, [step("pay")]);
}

#[test]
fn an_action_is_not_run_again_because_its_step_is_where_a_deleted_one_is_brought_to() {
    let mut world =
        World::new("a -> act if ready\nact [action] -> b if ready\nb -> act if again").walk("act");
    world.turn(done("act"));
    let mut world = world.walk("b").deploy("a -> act if ready\nact [action] -> c if ready\nc");
    assert_eq!(told(&world.returns()), "deleted_step -> act");
    assert_eq!(world.session.actions_done, [step("act")]);
}

// ---- checkpoints

const PAID: &str = "
    a -> w1 if ready
    w1 [as Wait] -> pay if ready
    pay [checkpoint] -> w2 if ready
    w2 [as Wait] -> z if ready
    z";

#[test]
fn a_lost_version_does_not_bring_a_paid_customer_to_a_duplicate_before_the_payment() {
    let mut world = World::new(PAID).walk("w1 pay w2").lose(1).deploy(
        "a -> x if ready\nx [as Wait] -> pay if ready\npay [checkpoint] -> y if ready\n\
         y [as Wait] -> z if ready\nz",
    );
    world.plans.clear();
    assert_eq!(told(&world.returns()), "fallback_hash_match -> y");
}

#[test]
fn a_lost_version_leaves_a_paid_customer_at_the_payment_if_only_the_duplicate_before_it_is_left() {
    let mut world = World::new(PAID)
        .walk("w1 pay w2")
        .lose(1)
        .deploy("a -> x if ready\nx [as Wait] -> pay if ready\npay [checkpoint] -> z if ready\nz");
    world.plans.clear();
    assert_eq!(told(&world.returns()), "fallback_visited_anchor -> pay");
}

#[test]
fn duplicates_that_only_their_position_pairs_do_not_bring_a_paid_customer_back() {
    let mut world = World::new(
        "a -> w1 if ready\nw2 [as Wait] -> z if ready\npay [checkpoint] -> w2 if ready\n\
         w1 [as Wait] -> pay if ready\nz",
    )
    .walk("w1 pay w2")
    .deploy(
        "a -> n if ready\nn -> x if ready\nx [as Wait] -> m if ready\nm -> pay if ready\n\
         pay [checkpoint] -> z if ready\nz",
    );
    let taken = world.returns();
    assert_ne!(world.stands_at(), ("x", 2), "{}", told(&taken));
}

#[test]
fn no_forced_scenario_moves_a_paid_customer_before_the_payment() {
    use MigrationScenario::{CleanGraft, GapFill, ReRoute};
    for scenario in [CleanGraft, GapFill, ReRoute] {
        let world =
            World::new("a -> pay if ready\npay [checkpoint] -> b if ready\nb -> c if ready\nc")
                .walk("pay b");
        // The step after the payment now stands before it, and the session's own one is gone.
        let policies = world.policy(1, "b", forcing(scenario));
        let mut world =
            world.deploy_with("a -> c if ready\nc -> pay if ready\npay [checkpoint]", policies);
        world.returns();
        assert_ne!(world.session.step_id, step("a"));
        assert_ne!(world.session.step_id, step("c"));
    }
}

#[test]
fn a_payment_that_becomes_a_checkpoint_by_an_accepted_mapping_counts_as_passed() {
    let world =
        World::new("a -> pay if ready\npay -> b if ready\nb -> c if ready\nc").walk("pay b");
    let mut world = world.deploy_with(
        "a -> pay if ready\npay [checkpoint] -> b if ready\nb -> c if ready\nc",
        mapping("pay", "pay"),
    );
    world.returns();
    assert_eq!(world.stands_at(), ("b", 2));
    let mut world = world.knowing("banned", true).deploy(
        "a -> sorry if banned == true @1; pay if ready\nsorry [end]\n\
         pay [checkpoint] -> b if ready\nb -> c if ready\nc",
    );
    assert_eq!(told(&world.returns()), "blocked");
}

#[test]
fn a_composite_migration_does_not_forget_a_checkpoint_of_the_way() {
    let world = World::new("a -> pay if ready\npay [checkpoint] -> b if ready\nb -> c if ready\nc")
        .walk("pay b")
        .knowing("age", 17);
    let mut world = world
        .deploy("a -> n if ready\nn -> pay if ready\npay [checkpoint] -> b if ready\nb -> c if ready\nc")
        .deploy("a -> sorry if age < 18; n if otherwise\nsorry [end]\nn -> b if ready\nb -> c if ready\nc");
    assert_eq!(told(&world.returns()), "blocked");
    assert_eq!(world.stands_at(), ("b", 1));
}

#[test]
fn an_accepted_mapping_does_not_bring_a_paid_customer_before_the_payment() {
    let world = World::new("a -> pay if ready\npay [checkpoint] -> b if ready\nb -> c if ready\nc")
        .walk("pay b");
    let mut world = world.deploy_with(
        "a -> n if ready\nn -> pay if ready\npay [checkpoint] -> c if ready\nc",
        mapping("b", "n"),
    );
    assert_eq!(told(&world.returns()), "blocked");
    assert_eq!(world.stands_at(), ("b", 1));
}

#[test]
fn a_deleted_step_that_had_a_twin_does_not_bring_a_paid_customer_to_the_twin() {
    let mut world = World::new(PAID)
        .walk("w1 pay w2")
        .deploy("a -> w1 if ready\nw1 [as Wait] -> z if ready\nz");
    assert_eq!(told(&world.returns()), "blocked");
    assert_eq!(world.stands_at(), ("w2", 1));
}

#[test]
fn a_new_twin_before_the_payment_is_not_taken_for_the_step_behind_it() {
    let mut world = World::new(PAID).walk("w1 pay w2").deploy(
        "a -> w1 if ready\nw1 [as Wait] -> x if ready\nx [as Wait] -> pay if ready\n\
         pay [checkpoint] -> z if ready\nz",
    );
    assert_eq!(told(&world.returns()), "blocked");
    assert_eq!(world.stands_at(), ("w2", 1));
}

#[test]
fn a_checkpoint_that_was_edited_still_forbids_until_an_operator_maps_it() {
    let v2 = "a -> sorry if banned == true @1; pay if ready\nsorry [end]\n\
              pay [as Payment, checkpoint] -> b if ready\nb -> c if ready\nc";
    for policies in [Policies::new(), mapping("pay", "pay")] {
        let mut world =
            World::new("a -> pay if ready\npay [checkpoint] -> b if ready\nb -> c if ready\nc")
                .walk("pay b")
                .knowing("banned", true)
                .deploy_with(v2, policies);
        assert_eq!(told(&world.returns()), "blocked");
    }
}

#[test]
fn a_checkpoint_that_was_passed_two_versions_ago_and_is_gone_still_forbids() {
    let mut world =
        World::new("a -> pay if ready\npay [checkpoint] -> b if ready\nb -> c if ready\nc")
            .walk("pay b")
            .deploy("a -> b if ready\nb -> c if ready\nc");
    assert_eq!(told(&world.returns()), "clean_graft -> b");
    let mut world = world
        .knowing("banned", true)
        .deploy("a -> sorry if banned == true @1; b if ready\nsorry [end]\nb -> c if ready\nc");
    assert_eq!(told(&world.returns()), "blocked");
    assert_eq!(world.stands_at(), ("b", 2));
}

#[test]
fn a_checkpoint_inserted_on_the_way_that_nobody_ran_is_not_passed() {
    let mut world = World::new("a -> b if ready\nb -> c if ready\nc")
        .walk("b")
        .deploy("a -> sign if ready\nsign [checkpoint] -> b if ready\nb -> c if ready\nc");
    assert_eq!(told(&world.returns()), "clean_graft -> b");
    let mut world = world.knowing("banned", true).deploy(
        "a -> sorry if banned == true @1; sign if ready\nsorry [end]\n\
         sign [checkpoint] -> b if ready\nb -> c if ready\nc",
    );
    assert_eq!(told(&world.returns()), "re_route -> sorry");
}

#[test]
fn a_payment_that_was_passed_is_not_forgotten_because_a_mapping_makes_its_step_an_ordinary_one() {
    for path in ["pay", "pay b"] {
        let world =
            World::new("a -> pay if ready\npay [checkpoint] -> b if ready\nb -> c if ready\nc")
                .walk(path);
        let mut world = world.deploy_with(
            "a -> pay if ready\npay -> b if ready\nb -> c if ready\nc",
            mapping("pay", "pay"),
        );
        world.returns();
        assert_eq!(world.session.version.0, 2);
        let mut world = world.knowing("banned", true).deploy(
            "a -> sorry if banned == true @1; pay if ready\nsorry [end]\npay -> b if ready\n\
             b -> c if ready\nc",
        );
        assert_eq!(told(&world.returns()), "blocked", "after {path}");
    }
}

#[test]
fn a_payment_that_is_mapped_to_the_same_step_as_a_later_one_is_not_forgotten() {
    let world = World::new(
        "a -> pay if ready\npay [checkpoint] -> note if ready\nnote -> b if ready\nb -> c if ready\nc",
    )
    .walk("pay note b");
    let policies: Policies =
        mapping("pay", "one").into_iter().chain(mapping("note", "one")).collect();
    let mut world =
        world.deploy_with("a -> one if ready\none -> b if ready\nb -> c if ready\nc", policies);
    world.returns();
    assert_eq!(world.stands_at(), ("b", 2));
    let mut world = world.knowing("banned", true).deploy(
        "a -> sorry if banned == true @1; one if ready\nsorry [end]\none -> b if ready\n\
         b -> c if ready\nc",
    );
    assert_eq!(told(&world.returns()), "blocked");
}

// ---- forks

#[test]
fn a_new_fork_whose_branches_both_hold_at_one_priority_moves_nobody() {
    let mut world = World::new("a -> b if ready\nb -> c if ready\nc")
        .walk("b")
        .knowing("age", 17)
        .deploy("a -> sorry if age < 18; b if age < 20\nsorry [end]\nb -> c if ready\nc");
    world.returns();
    assert_eq!(world.stands_at(), ("b", 2));
}

#[test]
fn an_unknown_condition_of_higher_priority_redirects_nobody_by_a_lower_one() {
    let mut world =
        World::new("a -> b if ready\nb -> c if ready\nc").walk("b").knowing("age", 17).deploy(
            "a -> b if the customer is a friend @2; sorry if age < 18 @1\nsorry [end]\n\
             b -> c if ready\nc",
        );
    world.returns();
    assert_eq!(world.stands_at(), ("b", 2));
}

#[test]
fn a_customer_who_is_not_told_is_moved_all_the_same() {
    let mut world = World::new("a -> b if ready\nb -> c if ready\nc")
        .walk("b")
        .knowing("age", 17)
        .deploy("a -> sorry if age < 18; b if otherwise\nsorry [end]\nb -> c if ready\nc");
    world.config.re_routing.notify_user = false;
    let taken = world.returns();
    assert_eq!(told(&taken), "re_route -> sorry");
    assert_eq!(taken.answer.reconciliation.user_message, None);
}

// ---- what customers said

#[test]
fn two_refused_values_are_not_offered_in_turn_for_ever() {
    let mut world = unsure();
    let mut answers = vec![told(&world.says("I guess ann@example.org or bea@example.org"))];
    for _ in 0..5 {
        let confirmations = BTreeMap::from([(field("email"), false)]);
        answers.push(told(&world.turn(Input { confirmations, ..Input::default() })));
    }
    assert_eq!(answers[0], "confirm email");
    assert_eq!(answers.last().unwrap(), "collect email", "{answers:?}");
}

/// A world in which nothing that is found is sure.
fn unsure() -> World {
    let mut world = World::new("a -> b if ready\nb -> c if email != ''\nc")
        .walk("b")
        .defining("email", ValueType::Email)
        .deploy("a -> n if ready\nn [asks email] -> b if ready\nb -> c if email != ''\nc");
    world.config.gap_fill.extraction_confidence_threshold = 0.1;
    world.config.gap_fill.confirmation_threshold = 1.1;
    world
}

#[test]
fn a_copy_of_a_profile_value_expires_with_it() {
    let mut world = World::new("a -> b if ready\nb -> c if ready\nc")
        .walk("b")
        .defining("income", ValueType::Integer)
        .knowing("income", 1000);
    world.definitions.get_mut("income").unwrap().expires_after_days = Some(30);
    let mut world =
        world.deploy("a -> n if ready\nn [asks income] -> b if ready\nb -> c if ready\nc");
    assert_eq!(told(&world.returns()), "gap_fill -> b");
    world.today += 100;
    let mut world = world.deploy(
        "a -> n if ready\nn [asks income] -> m if ready\nm [as Again, asks income] -> b if ready\n\
         b -> c if ready\nc",
    );
    assert_eq!(told(&world.returns()), "collect income");
}

#[test]
fn a_word_on_a_value_that_was_not_in_question_leaves_the_profile_alone() {
    let mut world = World::new("a -> b if ready\nb -> c if ready\nc");
    world.gives("age", 20);
    world.today += 10;
    let mut world = world.knowing("age", 21);
    let confirmations = BTreeMap::from([(field("age"), false)]);
    let taken = world.turn(Input { confirmations, ..Input::default() });
    assert_eq!(taken.profile_writes, BTreeMap::new());
    assert_eq!(world.profile.fields[&field("age")].value, 21);
}

#[test]
fn a_value_that_waits_for_the_customers_word_decides_nothing_when_the_plan_is_withdrawn() {
    let mut world = unsure();
    let taken = world.says("I guess ann@example.org or so");
    assert_eq!(told(&taken), "confirm email");
    assert_eq!(taken.profile_writes, BTreeMap::new());
    world.plans.clear();
    world.returns();
    assert_eq!(world.stands_at(), ("b", 1));
}

#[test]
fn without_extraction_the_customer_is_asked_whatever_they_wrote() {
    let mut world = unsure();
    world.config.gap_fill.extraction_enabled = false;
    assert_eq!(told(&world.says("My email is ann@example.org")), "collect email");
    assert!(world.session.unconfirmed.is_empty());
}

#[test]
fn a_plan_that_is_withdrawn_while_it_waits_lets_the_session_go_on() {
    let mut world = unsure();
    assert_eq!(told(&world.returns()), "collect email");
    world.plans[0].withdrawn_at = Some(world::at(2));
    assert_eq!(told(&world.returns()), "continue");
    assert_eq!(world.stands_at(), ("b", 1));
}

// ---- bounds

#[test]
fn a_walk_of_ten_thousand_forks_ends_soon() {
    let forks = |last: &str| {
        let mut text: String = (0..4_900)
            .map(|nth| {
                format!(
                    "s{nth} -> t{nth} if x > {nth}; s{} if otherwise\nt{nth} -> s{}\n",
                    nth + 1,
                    nth + 1
                )
            })
            .collect();
        text.push_str(&format!("s4900 -> {last}\n{last} [asks x]"));
        text
    };
    let mut world = World::new(&forks("end")).knowing("x", 2500);
    let began = std::time::Instant::now();
    let mut world = {
        world.returns();
        world.deploy(&forks("other"))
    };
    world.returns();
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
}

#[test]
fn a_history_does_not_grow_with_the_rounds_of_a_cycle() {
    let mut world = World::new("a -> b if ready\nb -> a if ready");
    for _ in 0..50 {
        world = world.walk("b a");
    }
    assert_eq!(world.session.step_history.len(), 2);
}

// ---- chains

#[test]
fn one_hop_that_keeps_sessions_keeps_them_wherever_it_stands_in_the_chain() {
    let text =
        |nth: usize| format!("a -> n{nth} if ready\nn{nth} -> b if ready\nb -> c if ready\nc");
    let keeping =
        AnchorMigrationPolicy { update_downstream: false, ..AnchorMigrationPolicy::default() };
    for keeps in 0..3 {
        let mut world = World::new("a -> b if ready\nb -> c if ready\nc").walk("b");
        let policies = world.policy(1, "b", keeping.clone());
        for hop in 0..3 {
            let policies = if hop == keeps { policies.clone() } else { Policies::new() };
            world = world.deploy_with(&text(hop), policies);
        }
        assert_eq!(told(&world.returns()), "continue: update_downstream_false");
        assert_eq!(told(&world.returns()), "continue", "it is not offered again");
        assert_eq!(world.stands_at(), ("b", 1));
        world.walk("c");
    }
}

#[test]
fn a_block_lasts_also_when_the_customer_returns_many_times_and_versions_come() {
    let mut world =
        World::new("a -> pay if ready\npay [checkpoint] -> b if ready\nb -> c if ready\nc")
            .walk("pay b")
            .knowing("banned", true);
    for version in 0..5 {
        world = world.deploy(&format!(
            "a -> sorry if banned == true @1; pay if ready\nsorry [end]\n\
             pay [checkpoint] -> b if ready\nb -> n{version} if ready\nn{version} -> c\nc"
        ));
        assert_eq!(told(&world.returns()), "blocked");
        for _ in 0..3 {
            assert_eq!(told(&world.returns()), "continue");
        }
        assert_eq!(world.stands_at(), ("b", 1));
        assert_eq!(world.session.settled.len(), version + 1);
    }
}
