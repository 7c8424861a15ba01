//! What happens to customers whose scenario changes, situation by situation.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use segue_core::fields::Source;
use segue_core::ids::{Channel, ScenarioId, Version};
use segue_core::plan::policy::{
    AnchorKey, AnchorMigrationPolicy, MigrationScenario, Policies, ScopeFilter,
};
use segue_core::session::Status;
use segue_core::session::turn::{Input, Refused};
use uuid::Uuid;
use world::{PLAIN, World, applied, at, field, step, told};

const ORDER: &str = "
    welcome -> checkout if ready
    checkout -> payment if ready
    payment [checkpoint] -> confirm if ready
    confirm -> done if ready
    done [end]";

const ORDER_WITH_AGE_CHECK: &str = "
    welcome -> age_check if ready
    age_check [asks age] -> rejection if age < 18; checkout if age >= 18
    checkout -> payment if ready
    payment [checkpoint] -> confirm if ready
    confirm -> done if ready
    done [end]
    rejection [end]";

fn policy() -> AnchorMigrationPolicy {
    AnchorMigrationPolicy::default()
}

// ---- the quickstart's three examples

#[test]
fn a_step_added_downstream_is_grafted_silently() {
    let mut world =
        World::new("welcome -> checkout if ready\ncheckout -> confirm if ready\nconfirm")
            .walk("checkout")
            .deploy(
                "welcome -> checkout if ready\ncheckout -> payment if ready\n\
             payment -> confirm if ready\nconfirm",
            );
    let taken = world.returns();
    assert_eq!(told(&taken), "clean_graft -> checkout");
    assert_eq!(taken.answer.reconciliation.user_message, None);
    assert_eq!(world.stands_at(), ("checkout", 2));
}

#[test]
fn a_field_that_is_in_the_profile_is_not_asked() {
    let v1 = "welcome -> checkout if ready\ncheckout";
    let v2 = "welcome -> age_check if ready\nage_check [asks age] -> checkout if ready\ncheckout";
    let mut world = World::new(v1).walk("checkout").deploy(v2).knowing("age", 30);
    assert_eq!(told(&world.returns()), "gap_fill -> checkout");
    assert_eq!(world.session.variables[&field("age")].source, Source::Profile);
    assert_eq!(applied(&world).fields_filled[0].source, Source::Profile);
}

#[test]
fn a_customer_under_age_is_redirected_and_told() {
    let mut world =
        World::new(ORDER).walk("checkout").deploy(ORDER_WITH_AGE_CHECK).knowing("age", 17);
    let taken = world.returns();
    assert_eq!(told(&taken), "re_route -> rejection");
    assert_eq!(
        taken.answer.reconciliation.user_message.as_deref(),
        Some("I have new instructions. Let me redirect our conversation.")
    );
    assert_eq!(world.session.status, Status::Finished);
}

#[test]
fn a_paid_customer_whom_a_new_rule_would_reject_is_blocked_and_still_blocked_next_time() {
    let mut world = World::new(ORDER)
        .walk("checkout payment confirm")
        .deploy(ORDER_WITH_AGE_CHECK)
        .knowing("age", 17);
    let first = world.returns();
    assert_eq!(told(&first), "blocked");
    let warning = first.answer.reconciliation.checkpoint_warning.unwrap();
    assert!(warning.contains("payment") && warning.contains("rejection"), "{warning}");
    assert_eq!(world.stands_at(), ("confirm", 1));
    assert_eq!(applied(&world).checkpoint_block.as_ref().unwrap().checkpoint_name, "payment");

    assert_eq!(world.pending(), None, "the same plan does not try again");
    assert_eq!(told(&world.returns()), "continue");
    world.turn(Input { step_id: Some(step("done")), ..Input::default() });
    assert_eq!(world.session.status, Status::Finished, "it goes on on its own version");
}

#[test]
fn a_blocked_session_gets_another_chance_with_the_next_version() {
    let mut world = World::new(ORDER)
        .walk("checkout payment confirm")
        .deploy(ORDER_WITH_AGE_CHECK)
        .knowing("age", 17);
    world.returns();
    let mut world = world.deploy(ORDER);
    assert_eq!(told(&world.returns()), "composite_v1_to_v3 -> confirm");
}

#[test]
fn a_paid_customer_of_age_goes_on_behind_the_new_check() {
    let mut world = World::new(ORDER)
        .walk("checkout payment confirm")
        .deploy(ORDER_WITH_AGE_CHECK)
        .knowing("age", 30);
    assert_eq!(told(&world.returns()), "gap_fill -> confirm");
}

#[test]
fn with_the_gate_switched_off_a_move_past_a_checkpoint_is_only_warned_of() {
    let mut world = World::new(ORDER)
        .walk("checkout payment confirm")
        .deploy(ORDER_WITH_AGE_CHECK)
        .knowing("age", 17);
    world.config.checkpoints.block_teleport_past_checkpoint = false;
    let taken = world.returns();
    assert_eq!(told(&taken), "re_route -> rejection");
    assert!(taken.answer.reconciliation.checkpoint_warning.is_some());
}

// ---- actions and messages that were missed

#[test]
fn a_missed_required_action_is_run_and_reported_before_the_session_moves() {
    let v2 = "welcome -> screening if ready\nscreening [required] -> checkout if ready\ncheckout";
    let mut world = World::new(PLAIN).walk("checkout").deploy(v2);
    assert_eq!(told(&world.returns()), "execute screening");
    assert_eq!(world.session.actions_due, [step("screening")]);
    assert_eq!(told(&world.returns()), "execute screening", "until it is reported");
    let taken = world.turn(Input { actions_done: vec![step("screening")], ..Input::default() });
    assert_eq!(told(&taken), "gap_fill -> checkout");
    assert_eq!(world.session.actions_due, []);
}

#[test]
fn an_inserted_step_with_only_messages_costs_nothing() {
    let v2 = "welcome -> offer if ready\noffer -> checkout if ready\ncheckout";
    let mut world = World::new(PLAIN).walk("checkout").deploy(v2);
    assert_eq!(told(&world.returns()), "clean_graft -> checkout");
}

// ---- the session's own past

const TWO_WAYS: &str = "
    welcome -> express if hurry; normal if not hurry
    express -> checkout if ready
    normal -> checkout if ready
    checkout";
const TWO_WAYS_ASKING_ON_ONE: &str = "
    welcome -> express if hurry; details if not hurry
    details [asks address] -> normal if ready
    express -> checkout if ready
    normal -> checkout if ready
    checkout";

#[test]
fn a_step_inserted_on_a_branch_that_the_customer_never_took_costs_them_nothing() {
    let mut world = World::new(TWO_WAYS).walk("express checkout").deploy(TWO_WAYS_ASKING_ON_ONE);
    assert_eq!(told(&world.returns()), "clean_graft -> checkout");
}

#[test]
fn a_step_inserted_on_the_branch_that_the_customer_took_is_made_up_for() {
    let mut world = World::new(TWO_WAYS).walk("normal checkout").deploy(TWO_WAYS_ASKING_ON_ONE);
    assert_eq!(told(&world.returns()), "collect address");
}

#[test]
fn a_new_branch_on_an_unchanged_step_is_evaluated() {
    let v2 = "
        welcome -> checkout if ready; vip if spent > 1000 @5
        checkout
        vip";
    let mut world = World::new(PLAIN).walk("checkout").deploy(v2).knowing("spent", 5000);
    assert_eq!(told(&world.returns()), "re_route -> vip");

    let mut world =
        World::new(PLAIN).walk("checkout").deploy(v2).knowing("spent", 10).knowing("ready", true);
    assert_eq!(told(&world.returns()), "clean_graft -> checkout");
}

#[test]
fn data_that_only_a_new_fork_needs_is_asked_for() {
    let v2 = "
        welcome -> vip if spent > 1000; checkout if spent <= 1000
        checkout
        vip";
    let mut world = World::new(PLAIN).walk("checkout").deploy(v2);
    assert_eq!(told(&world.returns()), "collect spent");
    assert_eq!(told(&world.gives("spent", 2000)), "re_route -> vip");
}

#[test]
fn a_fork_that_needs_a_judge_is_judged_and_without_one_nobody_is_moved() {
    let v2 = "
        welcome -> care if the customer sounds angry @1; checkout if otherwise
        checkout
        care";
    let mut world = World::new(PLAIN).walk("checkout").deploy(v2);
    assert!(told(&world.returns()).ends_with("-> checkout"));

    let mut world = World::new(PLAIN).walk("checkout").deploy(v2);
    world.judgements = Some([("the customer sounds angry".to_owned(), Some(true))].into());
    assert_eq!(told(&world.returns()), "re_route -> care");
}

#[test]
fn a_cycle_is_replayed_by_its_last_exits_and_ends() {
    let v1 = "
        menu -> item if more; checkout if ready
        item -> menu if more
        checkout";
    let v2 = "
        menu -> item if more; details if ready
        item -> menu if more
        details [asks address] -> checkout if ready
        checkout";
    let mut world = World::new(v1).walk("item menu item menu checkout").deploy(v2);
    assert_eq!(told(&world.returns()), "collect address");
    assert_eq!(told(&world.gives("address", "12 Hill Road")), "gap_fill -> checkout");
}

#[test]
fn a_customer_who_loops_back_to_the_entry_before_the_step_is_still_told_apart() {
    let v2 = "
        welcome -> age_check if ready
        age_check [asks age] -> sorry if age < 18; checkout if age >= 18
        checkout
        sorry -> welcome if retry";
    let mut world = World::new(PLAIN).walk("checkout").deploy(v2).knowing("age", 12);
    assert_eq!(told(&world.returns()), "re_route -> sorry");
}

#[test]
fn duplicate_steps_are_told_apart_by_where_they_stand() {
    let v1 = "
        welcome -> ask1 if left; ask2 if right
        ask1 [as Ask] -> left if ready
        ask2 [as Ask] -> right if ready
        left
        right";
    let v2 = "
        welcome -> a if left; b if right
        b [as Ask] -> right if ready
        a [as Ask] -> left if ready
        right
        left";
    let mut world = World::new(v1).walk("ask2").deploy(v2);
    assert_eq!(told(&world.returns()), "clean_graft -> b");
}

#[test]
fn ids_may_all_change() {
    let mut world = World::new(PLAIN)
        .walk("checkout")
        .deploy("s1 [as welcome] -> s2 if ready\ns2 [as checkout]");
    assert_eq!(told(&world.returns()), "clean_graft -> s2");
    assert_eq!(world.visit("s1").left_to, Some(step("s2")), "the past is said in the new ids");
}

// ---- deleted and edited steps

#[test]
fn a_session_at_a_deleted_step_goes_on_at_the_nearest_one() {
    let mut world = World::new("welcome -> survey if ready\nsurvey -> checkout if ready\ncheckout")
        .walk("survey")
        .deploy("welcome -> checkout if ready\ncheckout");
    assert_eq!(told(&world.returns()), "deleted_step -> checkout");
}

#[test]
fn a_session_at_a_deleted_step_behind_a_checkpoint_is_not_brought_before_it() {
    let mut world = World::new(
        "cart -> payment if ready\npayment [checkpoint] -> survey if ready\nsurvey -> cart if again",
    )
    .walk("payment survey")
    .deploy("cart -> payment if ready\npayment [checkpoint]");
    let taken = world.returns();
    assert_eq!(told(&taken), "blocked");
    assert_eq!(world.stands_at(), ("survey", 1));
}

#[test]
fn an_accepted_suggestion_counts_as_the_same_step() {
    let world = World::new("welcome -> chekout if ready\nchekout").walk("chekout");
    let mapped = AnchorMigrationPolicy { map_to_step_id: Some(step("checkout")), ..policy() };
    let policies = Policies::from([(AnchorKey::for_mapping(&step("chekout")), mapped)]);
    let mut world =
        world.deploy_with("welcome -> checkout if ready\ncheckout\nhelp -> welcome", policies);
    assert_eq!(told(&world.returns()), "clean_graft -> checkout");
}

// ---- policies

#[test]
fn a_session_out_of_scope_stays_on_its_version_undisturbed() {
    let world = World::new(PLAIN).walk("welcome");
    let scope_filter = ScopeFilter {
        exclude_channels: vec![Channel::new("whatsapp").unwrap()],
        ..ScopeFilter::default()
    };
    let policies = world.policy(1, "welcome", AnchorMigrationPolicy { scope_filter, ..policy() });
    let mut world = world.deploy_with("welcome -> vip if ready\nvip", policies);
    assert_eq!(world.pending(), None);
    assert_eq!(told(&world.returns()), "continue");
    world.turn(Input { step_id: Some(step("checkout")), ..Input::default() });
    assert_eq!(world.stands_at(), ("checkout", 1), "it goes on by the rules that it knows");
}

#[test]
fn the_age_of_a_session_counts_at_the_deploy_however_late_the_customer_returns() {
    let mut world = World::new(PLAIN).walk("checkout");
    world.today = 9;
    let scope_filter = ScopeFilter { max_session_age_days: Some(10), ..ScopeFilter::default() };
    let policies = world.policy(1, "checkout", AnchorMigrationPolicy { scope_filter, ..policy() });
    let mut world =
        world.deploy_with("welcome -> checkout if ready\ncheckout -> more\nmore", policies);
    world.today = 300;
    assert!(world.pending().is_some());
    assert_eq!(told(&world.returns()), "clean_graft -> checkout");
}

#[test]
fn with_update_downstream_off_the_session_keeps_following_its_version_and_is_not_asked_again() {
    let world = World::new(ORDER).walk("checkout");
    let policies =
        world.policy(1, "checkout", AnchorMigrationPolicy { update_downstream: false, ..policy() });
    let mut world = world.deploy_with(ORDER_WITH_AGE_CHECK, policies);
    assert_eq!(told(&world.returns()), "continue: update_downstream_false");
    assert_eq!(world.pending(), None);
    assert_eq!(told(&world.returns()), "continue");
    assert_eq!(world.stands_at(), ("checkout", 1));
}

#[test]
fn each_forced_scenario_overrides_the_computed_one() {
    let force = |scenario: Option<MigrationScenario>, age: Option<i64>| {
        let world = World::new(ORDER).walk("checkout");
        let policies = world.policy(
            1,
            "checkout",
            AnchorMigrationPolicy { force_scenario: scenario, ..policy() },
        );
        let mut world = world.deploy_with(ORDER_WITH_AGE_CHECK, policies);
        if let Some(age) = age {
            world = world.knowing("age", age);
        }
        told(&world.returns())
    };
    assert_eq!(force(Some(MigrationScenario::CleanGraft), None), "clean_graft -> checkout");
    assert_eq!(force(Some(MigrationScenario::GapFill), None), "collect age");
    assert_eq!(force(Some(MigrationScenario::GapFill), Some(17)), "gap_fill -> checkout");
    assert_eq!(force(Some(MigrationScenario::ReRoute), Some(17)), "re_route -> rejection");
    assert_eq!(force(None, Some(17)), "re_route -> rejection");
}

#[test]
fn with_re_routing_disabled_customers_stay_at_their_step() {
    let mut world =
        World::new(ORDER).walk("checkout").deploy(ORDER_WITH_AGE_CHECK).knowing("age", 17);
    world.config.re_routing.enabled = false;
    assert_eq!(told(&world.returns()), "gap_fill -> checkout");
}

#[test]
fn with_migration_disabled_everyone_stays_on_their_version() {
    let mut world = World::new(ORDER).walk("checkout").deploy(ORDER_WITH_AGE_CHECK);
    world.config.enabled = false;
    assert_eq!(told(&world.returns()), "continue");
}

#[test]
fn a_withdrawn_plan_leaves_sessions_alone_that_have_not_migrated() {
    let mut world = World::new(ORDER).walk("checkout").deploy(ORDER_WITH_AGE_CHECK);
    world.plans[0].withdrawn_at = Some(at(2));
    assert_eq!(world.pending(), None);
    assert_eq!(told(&world.returns()), "continue");
}

// ---- several versions

#[test]
fn a_session_migrates_a_second_and_a_third_time() {
    let mut world = World::new(PLAIN).walk("checkout");
    for (nth, (name, value)) in [("age", 30), ("size", 42), ("floor", 3)].into_iter().enumerate() {
        let checks: Vec<String> = ["age", "size", "floor"][..=nth]
            .iter()
            .rev()
            .map(|name| format!("check_{name} [asks {name}]"))
            .collect();
        let mut text = String::from("welcome -> ");
        for check in &checks {
            let id = check.split(' ').next().unwrap();
            text += &format!("{id} if ready\n{check} -> ");
        }
        text += "checkout if ready\ncheckout";
        world = world.deploy(&text);
        assert_eq!(told(&world.returns()), format!("collect {name}"));
        assert_eq!(told(&world.gives(name, value)), "gap_fill -> checkout");
    }
    assert_eq!(world.stands_at(), ("checkout", 4));
}

#[test]
fn a_session_dormant_over_four_versions_is_asked_only_for_what_the_last_one_wants() {
    let asks = |name: &str| {
        format!(
            "welcome -> d_{name} if ready\nd_{name} [asks {name}] -> checkout if ready\ncheckout"
        )
    };
    let mut world = World::new(PLAIN)
        .walk("checkout")
        .deploy(&asks("shoe_size"))
        .deploy(&asks("star_sign"))
        .deploy(&asks("pet"))
        .deploy(&asks("age"));
    let mark = world.pending().unwrap();
    assert_eq!((mark.target_version, mark.plan_ids.len()), (Version(5), 4));
    assert_eq!(told(&world.returns()), "collect age");
    assert_eq!(told(&world.gives("age", 40)), "composite_v1_to_v5 -> checkout");
    assert_eq!(applied(&world).plan_ids.len(), 4);
}

#[test]
fn what_an_intermediate_version_introduced_and_the_last_one_keeps_is_asked() {
    let v2 = "welcome -> d if ready\nd [asks age] -> checkout if ready\ncheckout";
    let v3 = "welcome -> d if ready\nd [asks age] -> checkout if ready\ncheckout -> more\nmore";
    let mut world = World::new(PLAIN).walk("checkout").deploy(v2).deploy(v3);
    assert_eq!(told(&world.returns()), "collect age");
}

#[test]
fn a_chain_is_followed_only_as_far_as_it_admits_the_session() {
    let world = World::new(PLAIN).walk("checkout").deploy(PLAIN);
    let scope_filter = ScopeFilter {
        exclude_channels: vec![Channel::new("whatsapp").unwrap()],
        ..ScopeFilter::default()
    };
    let policies = world.policy(2, "checkout", AnchorMigrationPolicy { scope_filter, ..policy() });
    let mut world = world.deploy_with("welcome -> checkout if ready\ncheckout -> x\nx", policies);
    assert_eq!(told(&world.returns()), "clean_graft -> checkout");
    assert_eq!(world.stands_at(), ("checkout", 2));
}

#[test]
fn in_a_chain_the_last_hops_force_wins() {
    let world = World::new(ORDER).walk("checkout");
    let force = |scenario| AnchorMigrationPolicy { force_scenario: Some(scenario), ..policy() };
    let first = world.policy(1, "checkout", force(MigrationScenario::ReRoute));
    let world = world.deploy_with(ORDER, first);
    let second = world.policy(2, "checkout", force(MigrationScenario::CleanGraft));
    let mut world = world.deploy_with(ORDER_WITH_AGE_CHECK, second);
    assert_eq!(told(&world.returns()), "composite_v1_to_v3 -> checkout");
}

#[test]
fn a_step_that_one_version_dropped_and_a_later_one_brought_back_is_the_customers_own() {
    let mut world = World::new(PLAIN).walk("checkout").deploy("welcome").deploy(PLAIN);
    assert_eq!(told(&world.returns()), "composite_v1_to_v3 -> checkout");
}

// ---- what is gone

#[test]
fn a_session_whose_plan_was_deleted_goes_on_on_its_own_version() {
    let mut world = World::new(ORDER).walk("checkout").deploy(ORDER_WITH_AGE_CHECK);
    world.plans.clear();
    assert_eq!(told(&world.returns()), "continue");
    assert_eq!(world.stands_at(), ("checkout", 1));
}

#[test]
fn a_session_whose_version_is_gone_goes_on_at_the_step_that_means_the_same() {
    let v2 = "hello [as welcome] -> pay [as x]\npay [as checkout]".replace(" [as x]", " if ready");
    let mut world = World::new(PLAIN).walk("checkout").deploy(&v2).lose(1);
    world.plans.clear();
    assert_eq!(told(&world.returns()), "fallback_hash_match -> pay");
    assert_eq!(told(&world.returns()), "continue", "once");
    assert_eq!(world.visit("hello").left_to, Some(step("pay")));
}

#[test]
fn a_session_whose_step_is_gone_too_goes_back_to_the_last_visited_one_not_to_the_start() {
    let v1 = "a -> b if ready\nb -> c if ready\nc";
    let mut world = World::new(v1).walk("b c").deploy("a -> b if ready\nb").lose(1);
    world.plans.clear();
    assert_eq!(told(&world.returns()), "fallback_visited_anchor -> b");
}

#[test]
fn a_relocation_does_not_bring_anyone_before_a_checkpoint_either() {
    let v1 = "a -> pay if ready\npay [checkpoint] -> c if ready\nc";
    let mut world = World::new(v1).walk("pay c").deploy("a -> b if ready\nb").lose(1);
    world.plans.clear();
    let taken = world.returns();
    assert_eq!(told(&taken), "exit");
    assert!(taken.answer.reconciliation.blocked_by_checkpoint);
}

#[test]
fn a_session_for_which_nothing_is_left_leaves_with_a_friendly_word() {
    let mut world = World::new(PLAIN).walk("checkout").deploy("x -> y\ny").lose(1);
    world.plans.clear();
    let taken = world.returns();
    assert_eq!(told(&taken), "exit");
    assert!(taken.answer.reconciliation.user_message.unwrap().contains("start again"));
    assert_eq!(world.session.status, Status::Exited);
    let refused = world.try_turn(Input::default()).unwrap_err();
    assert_eq!(refused, Refused::NotActive { status: Status::Exited });
}

#[test]
fn plans_of_another_scenario_concern_nobody() {
    let mut world = World::new(ORDER).walk("checkout").deploy(ORDER_WITH_AGE_CHECK);
    world.plans[0].scenario_id = ScenarioId(Uuid::from_u128(99));
    assert_eq!(world.pending(), None);
    assert_eq!(told(&world.returns()), "continue");
}
