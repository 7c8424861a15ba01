//! Forecasts through the library: what is foreseen of each session is what becomes of it, nothing is written on
//! the way, and what has changed since is told.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod shop;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;
use segue::Error;
use segue::scenarios::{ForecastState, ForecastView, Stale, TurnAnswer};
use segue_core::config::Migration;
use segue_core::ids::SessionId;
use segue_core::plan::forecast::{Kind, Outcome, Unaffected, Why};
use segue_core::reconcile::Action;
use segue_core::session::Status;
use segue_store::control::Forecasts;
use segue_store::control::forecasts::NewForecast;
use segue_store::dice::Dice;
use serde_json::json;
use shop::{TENANT, World};
use uuid::Uuid;

/// One session for each thing that can become of one, by its kind.
async fn one_of_each(world: &World) -> BTreeMap<Kind, SessionId> {
    BTreeMap::from([
        (Kind::CleanGraft, world.at("welcome", "web", None).await),
        (Kind::GapFill, world.at("checkout", "web", Some(30)).await),
        (Kind::Asked, world.at("checkout", "web", None).await),
        (Kind::ActionDue, world.at("payment", "web", Some(30)).await),
        (Kind::Redirected, world.at("checkout", "web", Some(15)).await),
        (Kind::Blocked, world.at("confirm", "web", Some(15)).await),
        (Kind::Relocated, world.at("survey", "web", Some(30)).await),
        (Kind::Kept, world.at("lounge", "web", None).await),
        (Kind::Unaffected, world.at("checkout", "sms", None).await),
    ])
}

/// What a turn did, by what the customer and the caller notice of it.
fn noticed(answer: &TurnAnswer) -> Kind {
    let told = &answer.answer.reconciliation;
    match (told.action, told.teleport_reason.as_deref()) {
        (Action::Collect, _) => Kind::Asked,
        (Action::ExecuteAction, _) => Kind::ActionDue,
        (Action::ExitScenario, _) => Kind::Exits,
        (Action::Teleport, Some("clean_graft")) => Kind::CleanGraft,
        (Action::Teleport, Some("gap_fill")) => Kind::GapFill,
        (Action::Teleport, Some("re_route")) => Kind::Redirected,
        (Action::Teleport, _) => Kind::Relocated,
        (Action::Continue, _) if told.blocked_by_checkpoint => Kind::Blocked,
        (Action::Continue, Some("update_downstream_false")) => Kind::Kept,
        (Action::Continue, _) => Kind::Unaffected,
    }
}

fn counts(view: &ForecastView) -> BTreeMap<Kind, u64> {
    view.result.as_ref().unwrap().summary.sessions_by_kind.clone()
}

#[tokio::test]
async fn what_is_foreseen_of_each_session_is_what_becomes_of_it() {
    let world = World::new().await;
    let sessions = one_of_each(&world).await;
    let plan = world.plan().await;
    let before = world.head().await;
    let view = world.forecast(plan).await;
    assert_eq!(world.head().await, before, "nothing is written to the tenant's log");
    assert_eq!(view.state, ForecastState::Done);
    assert_eq!((view.sessions_done, view.sessions_total), (9, 9));
    assert_eq!((view.stale.as_slice(), view.actual), ([].as_slice(), None));
    let result = view.result.unwrap();
    assert_eq!(result.summary.silent, 3);
    assert_eq!(result.summary.asked_fields[0].name, "age");
    assert_eq!(result.summary.blocking_checkpoints[0].name, "Payment");
    assert_eq!(result.summary.due_actions[0].name, "terms");
    let way = &result.summary.redirected[0];
    assert_eq!((way.from.as_str(), way.to.as_str(), way.sessions), ("checkout", "rejection", 1));
    assert_eq!(result.summary.relocated[0].from.as_str(), "survey");
    assert_eq!(result.samples.len(), 9, "of so few each is an example");

    world.approve_and_deploy(plan).await;
    for (kind, session) in &sessions {
        let foreseen = result.samples.iter().find(|sample| sample.session_id == *session).unwrap();
        assert_eq!(foreseen.outcome.kind(), *kind);
        assert_eq!(result.summary.sessions_by_kind[kind], 1);
        let answer = world.turn(*session, json!({})).await;
        assert_eq!(noticed(&answer), *kind, "{foreseen:?}");
        let told = answer.answer.reconciliation;
        match told.reason {
            Some(reason) => assert_eq!(reason, foreseen.reason),
            None => assert_eq!(*kind, Kind::Unaffected),
        }
        match &foreseen.outcome {
            Outcome::CleanGraft { to }
            | Outcome::GapFill { to, .. }
            | Outcome::Redirected { to, .. }
            | Outcome::Relocated { to, .. } => assert_eq!(told.target_step_id.as_ref(), Some(to)),
            Outcome::Asked { fields, .. } => {
                assert_eq!(told.collect_fields.into_iter().collect::<BTreeSet<_>>(), *fields);
            }
            Outcome::ActionDue { steps } => {
                assert_eq!(told.execute_action_ids.into_iter().collect::<BTreeSet<_>>(), *steps);
            }
            _ => assert_eq!(told.target_step_id, None),
        }
    }
    let actual = world.shown(plan).await.actual.unwrap();
    assert_eq!((actual.decided, actual.as_forecast), (8, 8), "one was left out of scope");
    assert_eq!((actual.differing, actual.not_foreseen), (0, 0));
    assert!(actual.complete && actual.differences.is_empty());
    assert_eq!((actual.pending, actual.waiting), (2, 2), "one was asked, one waits for an action");
    let mut foreseen = result.summary.sessions_by_kind;
    foreseen.remove(&Kind::Unaffected);
    assert_eq!(actual.summary.sessions_by_kind, foreseen);
    assert_eq!(actual.summary.asked_fields, result.summary.asked_fields);
    assert_eq!(actual.summary.redirected, result.summary.redirected);

    world.turn(sessions[&Kind::Asked], json!({})).await;
    assert_eq!(world.shown(plan).await.actual.unwrap(), actual, "asked again it counts once");
    world.turn(sessions[&Kind::Asked], json!({"fields": {"age": 44}})).await;
    let answered = world.shown(plan).await.actual.unwrap();
    assert_eq!((answered.decided, answered.as_forecast), (8, 8), "it was asked, as foreseen");
    assert_eq!((answered.pending, answered.waiting), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_random_sessions_become_what_was_foreseen() {
    let world = World::new().await;
    let mut dice = Dice(2026);
    let mut sessions = Vec::new();
    for _ in 0..700 {
        let step = ["welcome", "checkout", "payment", "confirm", "survey", "lounge"];
        let step = step[usize::try_from(dice.below(6)).unwrap()];
        let channel = ["web", "sms"][usize::try_from(dice.below(2)).unwrap()];
        let age = [None, Some(12), Some(30)][usize::try_from(dice.below(3)).unwrap()];
        sessions.push(world.at(step, channel, age).await);
    }
    let plan = world.plan().await;
    let view = world.forecast(plan).await;
    assert_eq!(view.sessions_done, 700);
    assert_eq!(counts(&view).values().sum::<u64>(), 700);
    world.approve_and_deploy(plan).await;
    let mut became = BTreeMap::<Kind, u64>::new();
    for session in sessions {
        *became.entry(noticed(&world.turn(session, json!({})).await)).or_default() += 1;
    }
    assert_eq!(became, counts(&view));
    let actual = world.shown(plan).await.actual.unwrap();
    assert_eq!((actual.differing, actual.not_foreseen), (0, 0), "{:?}", actual.differences);
    assert_eq!(actual.as_forecast, 700 - became[&Kind::Unaffected]);
}

#[tokio::test]
async fn who_came_between_is_told_apart_from_who_went_as_foreseen() {
    let world = World::new().await;
    let silent = world.at("checkout", "web", Some(30)).await;
    let talkative = world.at("checkout", "web", Some(30)).await;
    let helpful = world.at("checkout", "web", None).await;
    let learned = world.at_for("checkout", "web", None, "carl").await;
    let plan = world.plan().await;
    world.forecast(plan).await;
    world.turn(talkative, json!({"fields": {"address": "Elm Street", "age": 9}})).await;
    let late = world.at("checkout", "web", Some(30)).await;
    world.approve_and_deploy(plan).await;
    world.knows("carl", "age", json!(61)).await;
    world.turn(helpful, json!({"fields": {"age": 15}})).await;
    for session in [silent, talkative, late, learned] {
        world.turn(session, json!({})).await;
    }
    let actual = world.shown(plan).await.actual.unwrap();
    assert_eq!((actual.decided, actual.as_forecast), (5, 1));
    assert_eq!((actual.differing, actual.differing_unchanged, actual.not_foreseen), (3, 2, 1));
    let why: BTreeMap<SessionId, Why> =
        actual.differences.iter().map(|one| (one.session_id, one.because)).collect();
    let expected = [
        (talkative, Why::Changed),
        (helpful, Why::Brought),
        (late, Why::NotForeseen),
        (learned, Why::Around),
    ];
    assert_eq!(why, BTreeMap::from(expected));
    assert_eq!(world.shown(plan).await.actual.unwrap(), actual, "looked at again it is the same");
    let elsewhere = world.other_process().shown(plan).await.actual.unwrap();
    assert_eq!(elsewhere, actual, "and so it is in a process that has not looked before");
}

#[tokio::test]
async fn a_forecast_says_what_has_changed_since() {
    let world = World::new().await;
    world.at("checkout", "web", None).await;
    let plan = world.plan().await;
    assert_eq!(world.forecast(plan).await.stale, []);
    world.segue.planner.approve_plan(TENANT, plan, None).await.unwrap();
    assert_eq!(world.shown(plan).await.stale, [], "an approval changes nothing of it");

    let other = World::new().await;
    other.at("checkout", "web", None).await;
    let plan = other.plan().await;
    other.forecast(plan).await;
    other.keep_at_checkout(plan).await;
    assert_eq!(other.shown(plan).await.stale, [Stale::Policies]);
    other.defines_age().await;
    assert_eq!(other.shown(plan).await.stale, [Stale::Policies, Stale::Fields]);
    let again = other.forecast(plan).await;
    assert_eq!(again.stale, []);
    assert_eq!(counts(&again), BTreeMap::from([(Kind::Kept, 1)]));

    let third = other.plan_to(3).await;
    other.approve_and_deploy(third).await;
    assert_eq!(other.shown(plan).await.stale, [Stale::Deployments]);
}

#[tokio::test]
async fn sessions_from_further_back_are_foreseen_along_the_whole_chain() {
    let world = World::new().await;
    let behind = world.at("checkout", "web", Some(30)).await;
    let left_out = world.at("checkout", "sms", None).await;
    let up_to_date = world.at("welcome", "web", None).await;
    let first = world.plan().await;
    world.approve_and_deploy(first).await;
    world.turn(up_to_date, json!({})).await;

    let second = world.plan_between(2, 3).await;
    world
        .with_policy(second, "Checkout", json!({"scope_filter": {"exclude_channels": ["web"]}}))
        .await;
    let view = world.forecast(second).await;
    let expected = [(Kind::CleanGraft, 1), (Kind::OtherPlans, 1), (Kind::Unaffected, 1)];
    assert_eq!(counts(&view), BTreeMap::from(expected), "the first plan alone concerns one");
    world.with_policy(second, "Checkout", json!({})).await;
    let view = world.forecast(second).await;
    let expected = [(Kind::CleanGraft, 1), (Kind::GapFill, 1), (Kind::Unaffected, 1)];
    assert_eq!(counts(&view), BTreeMap::from(expected));
    let result = view.result.unwrap();
    let other_version = BTreeMap::from([(Unaffected::OtherVersion, 1)]);
    assert_eq!(result.summary.unaffected_because, other_version);

    world.approve_and_deploy(second).await;
    for (session, version) in [(behind, 3), (left_out, 1), (up_to_date, 3)] {
        let after = world.turn(session, json!({})).await.session.session;
        assert_eq!(after.version.0, version);
    }
    let actual = world.shown(second).await.actual.unwrap();
    assert_eq!((actual.decided, actual.as_forecast, actual.pending), (2, 2, 0));
}

#[tokio::test]
async fn where_plans_mark_no_sessions_none_is_affected() {
    let mut settings = Migration::default();
    settings.deployment.auto_mark_sessions = false;
    let world = World::configured(settings).await;
    let session = world.at("checkout", "web", None).await;
    let plan = world.plan().await;
    let view = world.forecast(plan).await;
    let summary = view.result.unwrap().summary;
    let not_marked = BTreeMap::from([(Unaffected::NotMarked, 1)]);
    assert_eq!(summary.unaffected_because, not_marked);
    world.approve_and_deploy(plan).await;
    assert_eq!(noticed(&world.turn(session, json!({})).await), Kind::Unaffected);
}

#[tokio::test]
async fn only_an_open_plan_is_forecast() {
    let world = World::new().await;
    let plan = world.plan().await;
    let missing = world.segue.forecaster.forecast(TENANT, plan).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
    let view = world.forecast(plan).await;
    assert_eq!((view.state, view.sessions_done), (ForecastState::Done, 0));
    world.approve_and_deploy(plan).await;
    let refused = world.segue.forecaster.begin(TENANT, plan).await;
    assert!(
        matches!(refused, Err(Error::PlanStatus { action: "forecast", status: "deployed", .. })),
        "{refused:?}"
    );
    assert!(world.shown(plan).await.actual.is_some(), "the one that there is stays");
}

#[tokio::test]
async fn a_finished_forecast_is_read_by_any_process_and_a_dead_ones_is_begun_anew() {
    let world = World::new().await;
    one_of_each(&world).await;
    let plan = world.plan().await;
    let dead = NewForecast {
        plan_id: plan,
        forecast_id: Uuid::from_u128(9),
        process: Uuid::from_u128(8),
        started_at: world.now(),
        basis: json!({
            "revision": 1, "policies": "", "deployments": "", "fields": 0, "settings": "",
        }),
    };
    world.control.begin_forecast(TENANT, &dead, world.now()).await.unwrap();
    assert_eq!(world.shown(plan).await.state, ForecastState::Running);
    let begun = world.segue.forecaster.begin(TENANT, plan).await.unwrap();
    assert_eq!(begun.forecast_id, dead.forecast_id, "it may be alive in another process");

    world.clock.advance(SignedDuration::from_secs(31));
    assert_eq!(world.shown(plan).await.state, ForecastState::Interrupted);
    let done = world.forecast(plan).await;
    assert_ne!(done.forecast_id, dead.forecast_id);
    assert_eq!(done.state, ForecastState::Done);
    assert_eq!(world.other_process().shown(plan).await, done);
}

#[tokio::test]
async fn one_forecast_of_a_plan_and_two_in_all_run_at_a_time_and_end_when_the_server_does() {
    let world = World::new().await;
    world.at("checkout", "web", None).await;
    let plans = [world.plan_to(2).await, world.plan_to(3).await, world.plan_to(4).await];
    world.store.hold();
    let first = world.segue.forecaster.begin(TENANT, plans[0]).await.unwrap();
    let second = world.segue.forecaster.begin(TENANT, plans[1]).await.unwrap();
    assert_eq!((first.state, second.state), (ForecastState::Running, ForecastState::Running));
    let again = world.segue.forecaster.begin(TENANT, plans[0]).await.unwrap();
    assert_eq!(again.forecast_id, first.forecast_id);
    let refused = world.segue.forecaster.begin(TENANT, plans[2]).await;
    assert!(matches!(refused, Err(Error::TooManyForecasts { limit: 2 })), "{refused:?}");

    world.segue.forecaster.stop(Duration::from_secs(20)).await;
    for plan in [plans[0], plans[1]] {
        let view = world.shown(plan).await;
        assert_eq!(view.state, ForecastState::Failed);
        assert!(view.failure.unwrap().contains("stopped"));
    }
    world.store.release();
    let other = world.other_process();
    assert_eq!(other.forecast(plans[0]).await.state, ForecastState::Done);
}

#[tokio::test]
async fn a_forecast_that_is_cancelled_by_any_process_is_given_up_and_may_be_begun_anew() {
    let world = World::new().await;
    for _ in 0..150 {
        world.at("welcome", "web", None).await;
    }
    let plan = world.plan_to(2).await;
    world.store.hold();
    let begun = world.segue.forecaster.begin(TENANT, plan).await.unwrap();
    let other = world.other_process();
    assert!(other.segue.forecaster.cancel(TENANT, plan, "olga").await.unwrap());
    assert!(!world.segue.forecaster.cancel(TENANT, plan, "omar").await.unwrap(), "it is over");
    let cancelled = world.shown(plan).await;
    assert_eq!(cancelled.state, ForecastState::Failed);
    assert_eq!(cancelled.failure.as_deref(), Some("olga cancelled it"));

    // Who computed it changes nothing any more, though it begins anew itself meanwhile.
    let anew = world.segue.forecaster.begin(TENANT, plan).await.unwrap();
    assert_ne!(anew.forecast_id, begun.forecast_id);
    world.store.release();
    let done = world.over(plan).await;
    assert_eq!(done.forecast_id, anew.forecast_id);
    assert_eq!((done.state, done.sessions_done), (ForecastState::Done, 150));
    assert!(!other.segue.forecaster.cancel(TENANT, plan, "olga").await.unwrap());
    assert_eq!(world.shown(plan).await, done);
}

#[tokio::test]
async fn a_deploy_in_between_ends_a_forecast_that_no_longer_holds() {
    let world = World::new().await;
    for _ in 0..150 {
        world.at("welcome", "web", None).await;
    }
    let (plan, other) = (world.plan_to(2).await, world.plan_to(3).await);
    world.fails_to_list(2);
    world.segue.forecaster.begin(TENANT, other).await.unwrap();
    world.until_listed().await;
    world.approve_and_deploy(plan).await;
    let view = world.over(other).await;
    assert_eq!(view.state, ForecastState::Failed);
    assert!(view.failure.unwrap().contains("deployed"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_for_a_moment_is_waited_for() {
    let world = World::new().await;
    one_of_each(&world).await;
    let plan = world.plan().await;
    world.fails_to_list(2);
    assert_eq!(world.forecast(plan).await.sessions_done, 9);
    let lost = world.plan_to(3).await;
    world.fails_to_list(100);
    let view = world.forecast(lost).await;
    assert_eq!(view.state, ForecastState::Failed);
    assert!(view.failure.unwrap().contains("event store"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_end_meanwhile_are_not_counted_and_none_is_counted_twice() {
    let world = World::new().await;
    let mut sessions = Vec::new();
    for _ in 0..300 {
        sessions.push(world.at("confirm", "web", Some(30)).await);
    }
    let plan = world.plan().await;
    world.segue.forecaster.begin(TENANT, plan).await.unwrap();
    let mut ended = 0;
    for session in sessions {
        let answer = world.turn(session, json!({"fields": {"ok": true}})).await;
        ended += u64::from(answer.session.session.status == Status::Finished);
    }
    assert_eq!(ended, 300);
    let view = world.over(plan).await;
    assert!(view.sessions_done <= 300, "{view:?}");
    assert_eq!(counts(&view).values().sum::<u64>(), view.sessions_done);
    let result = view.result.unwrap();
    let distinct: BTreeSet<_> = result.samples.iter().map(|sample| sample.session_id).collect();
    assert_eq!(distinct.len(), result.samples.len());
}
