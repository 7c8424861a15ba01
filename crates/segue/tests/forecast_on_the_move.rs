//! A tenant moves to another store in the middle of a forecast: every session is foreseen, once.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod moves;
mod orders;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use moves::faulty::Faulty;
use segue::clock::SystemClock;
use segue::scenarios::{ForecastState, Scenarios, StartSession};
use segue_core::config::Migration;
use segue_core::ids::ScenarioId;
use segue_core::plan::forecast::Kind;
use segue_store::faulty::{Fault, Operation};
use serde_json::json;

const SESSIONS: u64 = 230;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forecast_goes_on_where_the_tenant_has_moved_to() {
    let faulty = Faulty::attended().await;
    let world = &faulty.world;
    let (tenant, scenario_id) = (world.tenant, ScenarioId(orders::ID));
    let clock = Arc::new(SystemClock);
    let settings = Migration::default();
    let segue = Scenarios::new(world.control.clone(), world.router.clone(), clock, settings);
    let document = |version| serde_json::from_value(orders::document(version)).unwrap();
    segue.catalog.register(tenant, document(1), "ops").await.unwrap();
    for nth in 0..SESSIONS {
        let start = StartSession {
            scenario_id,
            channel: "web".parse().unwrap(),
            customer_id: None,
            variables: BTreeMap::from([(
                "age".parse().unwrap(),
                json!(if nth < 30 { 9 } else { 40 }),
            )]),
            id: None,
        };
        let session = segue.sessions.start(tenant, start).await.unwrap().session.id;
        let input = serde_json::from_value(json!({"fields": {"product": "shoes"}})).unwrap();
        segue.sessions.take_turn(tenant, session, input, None).await.unwrap();
    }
    let plan = segue.planner.generate_plan(tenant, scenario_id, document(2), None, None).await;
    let plan = plan.unwrap().id;

    // The first page comes from the store where the tenant lives; that one lists no more, for longer than a
    // forecast waits. It comes to an end in the other store or not at all.
    let lists = faulty.shared.calls(Operation::List);
    for nth in 2..50 {
        faulty.shared.inject(Operation::List, lists + nth, Fault::Before);
    }
    segue.forecaster.begin(tenant, plan).await.unwrap();
    while faulty.shared.calls(Operation::List) < lists + 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.moved("dedicated").await;
    let view = loop {
        let view = segue.forecaster.forecast(tenant, plan).await.unwrap();
        if view.state != ForecastState::Running {
            break view;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(view.state, ForecastState::Done, "{view:?}");
    assert!(faulty.dedicated.calls(Operation::List) > 0);
    assert_eq!((view.sessions_done, view.sessions_total), (SESSIONS, SESSIONS));
    let counts = view.result.unwrap().summary.sessions_by_kind;
    assert_eq!(counts, BTreeMap::from([(Kind::GapFill, 200), (Kind::Redirected, 30)]));
}
