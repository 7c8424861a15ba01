//! Every order in which coordinators, writers, operators and late messages can meet while a tenant moves.
//!
//! The decisions are the real ones: `tenancy::migration::{next, record}`, `tenancy::head` and
//! `tenancy::pause` run here as they run in production. Around them is a small world: one register, two
//! stores, writers with a few events, coordinators that have seen everything at some time, requests that
//! arrive late, again or never, and faults. Each scene is searched to its end, breadth first, so a path to
//! a state that is wrong is the shortest one, and is printed.
//!
//! A scene has what its title names, and little else; together they stay within a minute. With
//! `SEGUE_MODEL_DEPTH=1` there is one more of everything in each, which takes much longer.
//!
//! For each rule of the protocol there is a scene in which leaving it out must be found, or the search would
//! prove nothing. Rules are left out here, in [`protocol`], never in what is tested.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "migration_model/coordinator.rs"]
mod coordinator;
#[path = "migration_model/fault.rs"]
mod fault;
#[path = "migration_model/log.rs"]
mod log;
#[path = "migration_model/path.rs"]
mod path;
#[path = "migration_model/pauser.rs"]
mod pauser;
#[path = "migration_model/property.rs"]
mod property;
#[path = "migration_model/protocol.rs"]
mod protocol;
#[path = "migration_model/recovery.rs"]
mod recovery;
#[path = "migration_model/scene.rs"]
mod scene;
#[path = "migration_model/state.rs"]
mod state;
#[path = "migration_model/store.rs"]
mod store;
#[path = "migration_model/world.rs"]
mod world;
#[path = "migration_model/writer.rs"]
mod writer;

use std::collections::BTreeSet;
use std::time::Instant;

use property::{
    ABORTED, BACK, BOTH_WRITTEN, COMMITTED, DAMAGED, FREE, GIVEN_UP, KEPT, PURGED, REPLACED, TORN,
};
use protocol::{Protocol, Rule};
use scene::{Left, Order, Scene};
use segue_core::tenancy::migration::{Rules, Stage};
use segue_core::tenancy::pause::Wish;
use stateright::{Checker, HasDiscoveries, Model};
use world::World;

/// Searches a scene to its end, which must show what it is for and nothing wrong.
fn search(scene: Scene) {
    let depth = std::env::var("SEGUE_MODEL_DEPTH").map_or(0, |depth| depth.parse().unwrap());
    let scene = scene.deeper(depth);
    let begun = Instant::now();
    let checker = scene.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "{} states, {} of them different, {} steps deep, {:.1?}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth() - 1,
        begun.elapsed()
    );
    let model = checker.model();
    let mut found = checker.discoveries();
    found.retain(|name, path| {
        let is_wrong = model.property(name).expectation.discovery_is_failure();
        if is_wrong {
            println!("not so: {name}\n{}", path::told(path.clone()));
            println!("{:?}", model.is_free(&path.last_state().world));
        }
        assert!(!is_wrong, "not so: {name}; see the path above");
        true
    });
    for name in model.finds {
        assert!(
            found.contains_key(name),
            "a search that does not find this proves nothing: {name}"
        );
    }
}

/// Searches a scene without a rule until the property is found not to hold.
fn caught(rule: Rule, scene: Scene, property: &'static str) {
    let scene = Scene { protocol: Protocol::without(rule), ..scene };
    let enough = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker = scene.checker().finish_when(enough).spawn_bfs().join();
    let path = checker.discovery(property);
    let path = path.unwrap_or_else(|| panic!("without {rule:?} it still holds: {property}"));
    println!("without {rule:?} not so: {property}\n{}", path::told(path));
}

fn is_bulk_copy(stage: &Stage) -> bool {
    *stage == Stage::BulkCopy
}

fn is_dual_write(stage: &Stage) -> bool {
    *stage == Stage::DualWrite
}

fn is_migrated(stage: &Stage) -> bool {
    matches!(stage, Stage::Migrated { .. })
}

const TIMED: Left =
    Left { time_outs: 1, take_overs: 0, crashes: 0, failovers: 0, damages: 0, glances: 0 };

/// From the wish to the reverse lane.
fn whole_move() -> Scene {
    let finds = &[COMMITTED, GIVEN_UP, BOTH_WRITTEN];
    Scene { events: [1, 1], late_effects: 1, left: TIMED, finds, ..Scene::new() }
}

/// Two coordinators who take the move from each other.
fn two_coordinators() -> Scene {
    let left = Left { take_overs: 1, ..TIMED };
    let finds = &[COMMITTED, GIVEN_UP];
    Scene { orders: &[], coordinators: 2, left, finds, ..Scene::new() }.during(is_dual_write)
}

/// Two writers whose appends come late and again.
fn two_writers() -> Scene {
    let finds = &[COMMITTED, BOTH_WRITTEN];
    Scene { orders: &[], events: [2, 1], late_appends: 1, finds, ..Scene::new() }
        .during(is_dual_write)
}

/// Coordinators who have seen route and heads at different moments.
fn torn_views() -> Scene {
    let left = Left { glances: 3, ..Left::default() };
    let finds = &[COMMITTED, TORN];
    Scene { orders: &[], coordinators: 2, left, finds, ..Scene::new() }.during(is_dual_write)
}

/// The same, while a move is aborted and another begins.
fn torn_views_of_a_second_move() -> Scene {
    let left = Left { glances: 8, ..TIMED };
    let (orders, finds) = (&[Order::Abort, Order::Start], &[COMMITTED, ABORTED]);
    Scene { orders, left, finds, ..Scene::new() }.during(is_dual_write)
}

/// The same, while the tenant goes back.
fn torn_views_of_a_way_back() -> Scene {
    let left = Left { glances: 8, ..TIMED };
    Scene { orders: &[Order::Reverse], left, finds: &[BACK, GIVEN_UP], ..Scene::new() }
        .during(is_migrated)
}

/// Back, at any moment after the commit.
fn way_back() -> Scene {
    let (orders, finds) = (&[Order::Reverse], &[BACK]);
    Scene { orders, coordinators: 2, late_effects: 1, finds, ..Scene::new() }.during(is_migrated)
}

/// On the way back it is aborted, and then begun again.
fn way_back_given_up() -> Scene {
    let orders = &[Order::Reverse, Order::Abort, Order::Start];
    let finds = &[BACK, PURGED, ABORTED];
    Scene { orders, late_effects: 1, late_appends: 1, finds, ..Scene::new() }.during(is_migrated)
}

/// Aborted at any moment, and then another move.
fn second_move() -> Scene {
    let (orders, finds) = (&[Order::Abort, Order::Start], &[COMMITTED, GIVEN_UP, ABORTED]);
    Scene { orders, coordinators: 2, late_effects: 1, finds, ..Scene::new() }.during(is_dual_write)
}

/// Finished and purged, and then moved to where it was purged.
fn end() -> Scene {
    let (orders, finds) = (&[Order::Finish, Order::Start], &[PURGED, BACK]);
    Scene { orders, late_effects: 1, late_appends: 1, finds, ..Scene::new() }.during(is_dual_write)
}

/// Held, failed, resumed, aborted.
fn interruptions() -> Scene {
    let orders = &[Order::Hold, Order::GoOn, Order::Fail, Order::GoOn, Order::Abort];
    let finds = &[COMMITTED, GIVEN_UP, ABORTED];
    Scene { orders, late_effects: 1, finds, ..Scene::new() }.during(is_bulk_copy)
}

/// An operator pauses the tenant's writes and resumes them, and neither effect need come in time.
fn pauses() -> Scene {
    let (wishes, finds) = (&[Wish::Pause, Wish::Resume], &[COMMITTED, GIVEN_UP]);
    Scene { orders: &[], wishes, late_effects: 1, left: TIMED, finds, ..Scene::new() }
        .during(is_dual_write)
}

/// A store forgets what it did last.
fn failover(orders: &'static [Order], finds: &'static [&'static str]) -> Scene {
    let rules = Rules { lag_threshold: 0, ..recovery::ALONE };
    let left = Left { failovers: 1, ..TIMED };
    Scene { start: World::forgetful(), rules, orders, left, finds, ..Scene::new() }
        .during(is_dual_write)
}

/// An event rots in the owner's store, or is stored otherwise than it came; and the tenant goes back.
fn damage() -> Scene {
    let rules = Rules { needs_read_back: true, lag_threshold: 0, ..recovery::ALONE };
    let left = Left { damages: 1, crashes: 1, ..Left::default() };
    let (orders, finds) = (&[Order::Reverse], &[COMMITTED, DAMAGED, GIVEN_UP, BACK]);
    Scene {
        rules,
        orders,
        late_effects: 1,
        events: [2, 0],
        left,
        max_term: 9,
        finds,
        ..Scene::new()
    }
    .during(is_bulk_copy)
}

#[test]
fn a_whole_move_beside_two_writers_loses_nothing() {
    search(whole_move());
}

#[test]
fn coordinators_that_take_a_move_from_each_other_lose_nothing() {
    search(two_coordinators());
}

#[test]
fn appends_that_come_late_and_again_are_in_the_log_once() {
    search(two_writers());
}

#[test]
fn what_was_seen_at_several_moments_does_no_harm() {
    search(torn_views());
}

#[test]
fn what_was_seen_of_the_move_before_does_no_harm() {
    search(torn_views_of_a_second_move());
}

#[test]
fn what_was_seen_before_the_way_back_does_no_harm() {
    search(torn_views_of_a_way_back());
}

#[test]
fn a_tenant_can_go_back_from_the_moment_of_the_commit_on() {
    search(way_back());
}

#[test]
fn a_way_back_can_be_given_up_and_begun_again() {
    search(way_back_given_up());
}

#[test]
fn a_second_move_can_follow_an_abort_at_once() {
    search(second_move());
}

#[test]
fn a_finished_move_leaves_a_store_that_can_be_moved_to() {
    search(end());
}

#[test]
fn a_move_can_be_held_and_fail_and_go_on() {
    search(interruptions());
}

#[test]
fn writes_can_be_paused_and_resumed_while_the_tenant_moves() {
    search(pauses());
}

#[test]
fn a_store_that_forgets_its_fence_takes_nothing_until_it_has_it_again() {
    let finds = &[COMMITTED, GIVEN_UP, PURGED, REPLACED];
    search(Scene { late_effects: 1, ..failover(&[Order::Finish], finds) });
}

#[test]
fn a_store_that_forgets_something_can_be_moved_to_after_an_abort() {
    search(failover(&[Order::Abort, Order::Start], &[COMMITTED, ABORTED, REPLACED]));
}

#[test]
fn a_damaged_copy_never_becomes_the_owner() {
    search(damage());
}

#[test]
fn a_commit_that_compares_no_term_loses_writes() {
    caught(Rule::CommitComparesTheTerm, two_coordinators(), KEPT);
}

#[test]
fn a_commit_without_proof_loses_writes() {
    caught(Rule::CommitNeedsProof, two_coordinators(), KEPT);
}

#[test]
fn a_source_that_reopens_before_that_is_decided_loses_writes() {
    caught(Rule::DecideThenReopen, two_coordinators(), KEPT);
}

#[test]
fn an_epoch_that_is_kept_after_an_abort_leaves_a_target_that_nobody_can_claim() {
    caught(Rule::GivingUpBurnsTheEpoch, second_move(), FREE);
}

#[test]
fn a_fence_that_expires_loses_writes() {
    caught(Rule::FencesDoNotExpire, two_coordinators(), KEPT);
}

#[test]
fn a_source_that_is_opened_on_a_time_out_loses_writes() {
    caught(Rule::TimeOutsOpenNothing, two_coordinators(), KEPT);
}

#[test]
fn a_head_that_goes_with_its_log_is_revived_by_a_late_write() {
    caught(Rule::HeadsOutliveTheirLogs, end(), KEPT);
}

#[test]
fn a_failover_that_loses_the_fence_unnoticed_loses_writes() {
    caught(Rule::IncarnationsAreChecked, failover(&[], &[]), KEPT);
}

#[test]
fn a_guard_that_leaves_a_fence_as_it_is_lets_a_late_effect_open_it() {
    let scene = Scene { late_effects: 1, ..failover(&[], &[]) };
    caught(Rule::EveryHeadIsSet, scene, property::OWNED);
}

#[test]
fn a_store_that_looks_at_no_term_is_opened_by_a_resume_that_comes_late() {
    caught(Rule::StoresCompareTerms, pauses(), KEPT);
}

#[test]
fn a_prepared_log_that_still_takes_pages_is_a_copy_again() {
    let rules = Rules { lag_threshold: 0, ..recovery::ALONE };
    let scene = Scene { rules, ..end() };
    caught(Rule::PreparingRevokesTheCopier, scene, FREE);
}

#[test]
fn logs_that_are_compared_by_position_alone_lose_an_event_that_rotted() {
    caught(Rule::DigestsAreCompared, damage(), KEPT);
}

#[test]
fn a_copy_that_is_not_read_back_loses_an_event_that_was_stored_otherwise() {
    caught(Rule::CopiesAreReadBack, damage(), KEPT);
}

/// A limit, not a promise: nothing is lost, but nobody can write until an operator has looked. While a
/// tenant goes back nobody knows any more where its new owner began, so nobody can prepare it again.
#[test]
fn a_new_owner_that_forgets_being_prepared_once_the_way_back_began_waits_for_somebody() {
    let rules = Rules { lag_threshold: 0, ..recovery::ALONE };
    let left = Left { failovers: 1, ..Left::default() };
    let orders = &[Order::Reverse, Order::Abort];
    let scene = Scene { start: World::forgetful(), rules, orders, left, ..Scene::new() };
    let checker = scene.during(is_migrated).checker().spawn_bfs().join();
    let wrong = checker
        .discoveries()
        .into_keys()
        .filter(|name| checker.model().property(name).expectation.discovery_is_failure());
    assert_eq!(wrong.collect::<Vec<_>>(), [FREE]);
}
