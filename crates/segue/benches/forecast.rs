//! How fast a plan is forecast, and what turns notice of it: 200,000 sessions in SQLite, half of them of customers
//! with a profile, in an order flow whose next version asks for the age first.
//!
//! `cargo bench -p segue --bench forecast` (`SEGUE_BENCH_SESSIONS` for another number)
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on fails")]

mod load;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use load::Latencies;
use segue::clock::SystemClock;
use segue::scenarios::{ForecastState, ForecastView, Scenarios, StartSession};
use segue::tenants::TenantStoreRouter;
use segue_core::config::Migration;
use segue_core::ids::{Epoch, PlanId, ScenarioId, SessionId, TenantId};
use segue_core::scenario::Scenario;
use segue_core::session::turn::Input;
use segue_store::control::sqlite::Control;
use segue_store::events::sqlite::SqliteEventStore;
use segue_store::events::{Counting, Filter, SnapshotQuery};
use serde_json::json;
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const SCENARIO: ScenarioId = ScenarioId(Uuid::from_u128(2));
const WRITERS: usize = 128;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // `cargo test` runs benches to see that they build.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let sessions = std::env::var("SEGUE_BENCH_SESSIONS").map_or(200_000, |n| n.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run(folder.path(), sessions));
}

/// An order flow of ten steps; the second version has an age check after the welcome.
fn order_flow(version: u64) -> Scenario {
    let names = ["welcome", "checkout", "delivery", "gift", "payment", "review", "confirm", "end"];
    let mut steps: Vec<_> = names
        .windows(2)
        .map(|pair| {
            json!({"id": pair[0], "name": pair[0], "collects_profile_fields": [format!("f_{}", pair[0])],
                   "transitions": [{"to_step_id": pair[1]}]})
        })
        .collect();
    steps.push(json!({"id": "end", "name": "end", "is_terminal": true}));
    if version > 1 {
        steps[0]["transitions"] = json!([{"to_step_id": "age"}]);
        steps.push(json!({"id": "age", "name": "age", "collects_profile_fields": ["age"],
            "transitions": [{"to_step_id": "rejection", "condition_text": "age < 18"},
                            {"to_step_id": "checkout", "condition_text": "age >= 18"}]}));
        steps.push(json!({"id": "rejection", "name": "rejection", "is_terminal": true}));
    }
    serde_json::from_value(json!({"id": SCENARIO, "name": "Order Flow", "version": version,
        "entry_step_id": "welcome", "steps": steps}))
    .unwrap()
}

struct World {
    segue: Scenarios,
    router: Arc<TenantStoreRouter>,
}

async fn run(folder: &Path, sessions: usize) {
    let control = Arc::new(Control::open(&folder.join("control.db")).unwrap());
    let store = Arc::new(SqliteEventStore::open(folder.join("events.db")).unwrap());
    let router = TenantStoreRouter::new(control.clone(), "shared".parse().unwrap(), store);
    let router = Arc::new(router);
    let clock = Arc::new(SystemClock);
    let segue = Scenarios::new(control, router.clone(), clock, Migration::default());
    let world = Arc::new(World { segue, router });
    world.segue.catalog.register(TENANT, order_flow(1), "bench").await.unwrap();

    let begun = Instant::now();
    let talking = fill(&world, sessions).await;
    println!("{sessions} sessions with two turns each in {:.0} s", begun.elapsed().as_secs_f64());

    let read = rate(sessions, read_all(&world).await);
    let planner = &world.segue.planner;
    let plan = planner.generate_plan(TENANT, SCENARIO, order_flow(2), None, None).await.unwrap();
    let (view, took) = forecast(&world, plan.id).await;
    let alone = rate(sessions, took);
    assert_eq!(view.sessions_done, sessions as u64);
    println!("read only               {read:>10.0} sessions/s");
    println!(
        "forecast                {alone:>10.0} sessions/s, {:.2} of reading (target 20,000)",
        alone / read
    );
    for (kind, n) in view.result.unwrap().summary.sessions_by_kind {
        println!("    {kind:<14} {n:>10}");
    }

    let quiet = turns(&world, &talking, Arc::new(AtomicBool::new(true)), Some(2)).await;
    let is_on = Arc::new(AtomicBool::new(true));
    let talk = tokio::spawn({
        let (world, talking, is_on) = (world.clone(), talking.clone(), is_on.clone());
        async move { turns(&world, &talking, is_on, None).await }
    });
    let (_, took) = forecast(&world, plan.id).await;
    is_on.store(false, Ordering::SeqCst);
    let busy = talk.await.unwrap();
    println!("forecast beside turns   {:>10.0} sessions/s", rate(sessions, took));
    println!("one client's turns before: {quiet}");
    println!("one client's turns during: {busy}");
}

fn rate(n: usize, took: Duration) -> f64 {
    n as f64 / took.as_secs_f64()
}

/// Starts sessions that stand at the delivery; answers with some of them.
async fn fill(world: &Arc<World>, sessions: usize) -> Vec<SessionId> {
    let writers = (0..WRITERS).map(|writer| {
        let world = world.clone();
        tokio::spawn(async move {
            let mut last = None;
            for nth in (writer..sessions).step_by(WRITERS) {
                let customer = (nth % 2 == 0).then(|| format!("customer-{nth}").parse().unwrap());
                let start = StartSession {
                    scenario_id: SCENARIO,
                    channel: ["web", "whatsapp"][nth % 2].parse().unwrap(),
                    customer_id: customer,
                    variables: BTreeMap::new(),
                    id: None,
                };
                let sessions = &world.segue.sessions;
                let id = sessions.start(TENANT, start).await.unwrap().session.id;
                let age = 10 + nth / 2 % 40;
                let first = json!({"message": {"text": "I would like to order the blue shoes"},
                                   "fields": {"f_welcome": "shoes"}});
                let mut second = json!({"message": {"text": "Elm Street 12, please"},
                                        "fields": {"f_checkout": "Elm Street 12"}});
                if nth % 4 == 0 {
                    second["fields"]["age"] = json!(age);
                }
                for input in [first, second] {
                    let input: Input = serde_json::from_value(input).unwrap();
                    sessions.take_turn(TENANT, id, input, None).await.unwrap();
                }
                last = Some(id);
            }
            last
        })
    });
    let mut some = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        some.extend(writer.await.unwrap());
    }
    some
}

/// Reads every session as a forecast does, and does nothing with it.
async fn read_all(world: &World) -> Duration {
    let begun = Instant::now();
    let mut query = SnapshotQuery {
        tenant: TENANT,
        access: Epoch::default().into(),
        stream_type: "session".to_owned(),
        filter: Filter { scenario_id: Some(SCENARIO), live: Some(true), ..Filter::default() },
        any_of: Vec::new(),
        none_of: Vec::new(),
        after: None,
        limit: 1_000,
        counting: Counting::Exactly,
    };
    loop {
        let page = world.router.list(query.clone()).await.unwrap();
        match page.next {
            Some(next) => query.after = Some(next),
            None => return begun.elapsed(),
        }
    }
}

async fn forecast(world: &World, plan: PlanId) -> (ForecastView, Duration) {
    let begun = Instant::now();
    let forecaster = &world.segue.forecaster;
    forecaster.begin(TENANT, plan).await.unwrap();
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let view = forecaster.forecast(TENANT, plan).await.unwrap();
        match view.state {
            ForecastState::Running => {}
            ForecastState::Done => return (view, begun.elapsed()),
            ForecastState::Failed | ForecastState::Interrupted => panic!("{:?}", view.failure),
        }
    }
}

/// Takes one turn after the other while the flag stands, or for so many seconds.
async fn turns(
    world: &World,
    sessions: &[SessionId],
    is_on: Arc<AtomicBool>,
    seconds: Option<u64>,
) -> String {
    let (begun, mut took) = (Instant::now(), Latencies::default());
    for nth in 0_usize.. {
        let is_over = seconds.is_some_and(|seconds| begun.elapsed().as_secs() >= seconds);
        if is_over || !is_on.load(Ordering::SeqCst) {
            break;
        }
        let input: Input = serde_json::from_value(json!({"message": {"text": "Hello?"}})).unwrap();
        let session = sessions[nth % sessions.len()];
        let start = Instant::now();
        world.segue.sessions.take_turn(TENANT, session, input, None).await.unwrap();
        took.since(start);
    }
    let [p50, p99, longest] = [0.5, 0.99, 1.0].map(|share| took.quantile_ms(share));
    format!("{} turns, p50 {p50:.2} ms, p99 {p99:.2} ms, longest {longest:.2} ms", took.len())
}
