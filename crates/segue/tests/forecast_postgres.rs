//! Two servers on one PostgreSQL: one computes a forecast, the other shows it, and compares.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod orders;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use segue::clock::SystemClock;
use segue::scenarios::{ForecastState, ForecastView, Scenarios, StartSession};
use segue::tenants::TenantStoreRouter;
use segue_core::config::Migration;
use segue_core::ids::{PlanId, ScenarioId, SessionId, TenantId};
use segue_core::plan::forecast::Kind;
use segue_store::control::postgres::Control;
use segue_store::events::postgres::PostgresEventStore;
use segue_store::postgres::Settings;
use segue_testing::postgres::TestDatabase;
use serde_json::{Value, json};
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const SCENARIO: ScenarioId = ScenarioId(orders::ID);

fn server(database: &TestDatabase) -> Scenarios {
    let settings = || Settings::new(database.url()).unwrap().with_pool_size(8).unwrap();
    let control = Arc::new(Control::open(settings()).unwrap());
    let store = Arc::new(PostgresEventStore::open(settings()).unwrap());
    let router = TenantStoreRouter::new(control.clone(), "shared".parse().unwrap(), store);
    Scenarios::new(control, Arc::new(router), Arc::new(SystemClock), Migration::default())
}

fn document<T: serde::de::DeserializeOwned>(version: u64) -> T {
    serde_json::from_value(orders::document(version)).unwrap()
}

async fn turn(segue: &Scenarios, session: SessionId, input: Value) {
    let input = serde_json::from_value(input).unwrap();
    segue.sessions.take_turn(TENANT, session, input, None).await.unwrap();
}

async fn over(segue: &Scenarios, plan: PlanId) -> ForecastView {
    loop {
        let view = segue.forecaster.forecast(TENANT, plan).await.unwrap();
        if view.state != ForecastState::Running {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_foresees_another_compares() {
    let database = TestDatabase::fresh().await;
    let (one, other) = (server(&database), server(&database));
    one.catalog.register(TENANT, document(1), "ops").await.unwrap();
    let mut sessions = Vec::new();
    for nth in 0..130_u64 {
        let age = [json!({}), json!({"age": 30}), json!({"age": 9})][nth as usize % 3].clone();
        let start = StartSession {
            scenario_id: SCENARIO,
            channel: "web".parse().unwrap(),
            customer_id: Some(format!("customer-{nth}").parse().unwrap()),
            variables: serde_json::from_value(age).unwrap(),
            id: None,
        };
        let session = one.sessions.start(TENANT, start).await.unwrap().session.id;
        turn(&one, session, json!({"fields": {"product": "shoes"}})).await;
        sessions.push(session);
    }
    let plan = one.planner.generate_plan(TENANT, SCENARIO, document(2), None, None).await;
    let plan = plan.unwrap().id;
    let begun = one.forecaster.begin(TENANT, plan).await.unwrap();
    let view = over(&other, plan).await;
    assert_eq!((view.state, view.forecast_id), (ForecastState::Done, begun.forecast_id));
    let expected = [(Kind::Asked, 44), (Kind::GapFill, 43), (Kind::Redirected, 43)];
    let foreseen = view.result.unwrap().summary.sessions_by_kind;
    assert_eq!(foreseen, BTreeMap::from(expected));

    other.planner.approve_plan(TENANT, plan, None).await.unwrap();
    one.deployer.deploy(TENANT, plan, None).await.unwrap();
    for session in sessions {
        turn(&one, session, json!({})).await;
    }
    let actual = over(&other, plan).await.actual.unwrap();
    assert_eq!(actual.summary.sessions_by_kind, foreseen);
    assert_eq!((actual.as_forecast, actual.differing, actual.not_foreseen), (130, 0, 0));
    assert_eq!((actual.pending, actual.waiting), (44, 44));
}
