//! How long the control plane takes for what every turn asks, and for a deploy.
//!
//! `cargo bench -p segue-store --bench standing`
//!
//! A control plane of 1,000 tenants in a file in the temporary folder. Reads are timed one by one, alone,
//! from several tasks at once, and beside a writer that never rests. Plans carry a map of two megabytes.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use segue_core::ids::{PlanId, ScenarioId, StepId, StoreId, TenantId, Version};
use segue_core::plan::deployed::Deployed;
use segue_core::plan::lifecycle::{self, Signed, Status};
use segue_core::scenario::Scenario;
use segue_core::scenario::hash::{Checksum, checksum};
use segue_store::control::deployments::Deployment;
use segue_store::control::plans::{Change, NewPlan, Plan};
use segue_store::control::scenarios::NewVersion;
use segue_store::control::sqlite::Control;
use segue_store::control::{By, Deployments, Plans, Routing, Scenarios, Standings};
use serde_json::json;
use serde_json::value::to_raw_value;
use uuid::Uuid;

const TENANTS: u128 = 1_000;
const READS: usize = 200_000;

fn tenant(nth: usize) -> TenantId {
    TenantId(Uuid::from_u128(nth as u128 % TENANTS))
}

/// Every tenant's scenario.
fn scenario() -> ScenarioId {
    ScenarioId(Uuid::from_u128(7))
}

fn by() -> By {
    By::new("bench", Timestamp::UNIX_EPOCH)
}

fn version(number: u64) -> NewVersion {
    let document = Scenario {
        id: scenario(),
        name: "Order".to_owned(),
        description: None,
        version: Version(number),
        entry_step_id: StepId::new("welcome").unwrap(),
        steps: Vec::new(),
    };
    NewVersion { checksum: checksum(&document), document: Arc::new(document) }
}

fn new_plan(to: u64) -> NewPlan {
    NewPlan {
        plan_id: PlanId(Uuid::new_v4()),
        scenario_id: scenario(),
        from_version: Version(to - 1),
        to_version: Version(to),
        new_version: Some(version(to)),
        policies: Default::default(),
        overview: json!({}),
        summary: to_raw_value(&json!({})).unwrap(),
        map: to_raw_value(&vec!["0123456789abcdef"; 2_000_000 / 19]).unwrap(),
    }
}

fn deployment(plan: &Plan) -> Deployment {
    let deployed = lifecycle::Deployment {
        signed: Signed { by: None, at: Timestamp::UNIX_EPOCH },
        sessions_marked: 0,
        sessions_by_anchor: Default::default(),
    };
    let status = Status::Deployed { approved: None, deployed };
    let record = Deployed {
        plan_id: plan.plan_id,
        scenario_id: plan.scenario_id,
        from_version: plan.from_version,
        to_version: plan.to_version,
        from_checksum: Checksum(0),
        to_checksum: Checksum(0),
        policies: Default::default(),
        deployed_at: Timestamp::UNIX_EPOCH,
        marks_sessions: true,
        withdrawn_at: None,
    };
    let change = Change { plan_id: plan.plan_id, expected: plan.revision, status, policies: None };
    Deployment { plan: change, superseded: Vec::new(), record }
}

/// Prints the middle and the slow end of what was measured.
fn report(what: &str, mut samples: Vec<Duration>) {
    samples.sort();
    let at = |share: f64| samples[((samples.len() - 1) as f64 * share) as usize];
    println!(
        "{what:<44} p50 {:>9.1?}   p99 {:>9.1?}   p99.9 {:>9.1?}",
        at(0.5),
        at(0.99),
        at(0.999)
    );
}

async fn reads(control: &Control, count: usize) -> Vec<Duration> {
    let mut samples = Vec::with_capacity(count);
    for nth in 0..count {
        let begun = Instant::now();
        let standing = control.standing(tenant(nth), scenario()).await.unwrap();
        samples.push(begun.elapsed());
        assert!(standing.route.is_some() && standing.scenario.is_some());
    }
    samples
}

async fn reads_by_tasks(control: &Control, tasks: usize) -> (Vec<Duration>, Duration) {
    let begun = Instant::now();
    let running: Vec<_> = (0..tasks)
        .map(|_| {
            let control = control.clone();
            tokio::spawn(async move { reads(&control, READS / tasks).await })
        })
        .collect();
    let mut samples = Vec::new();
    for task in running {
        samples.extend(task.await.unwrap());
    }
    (samples, begun.elapsed())
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let control = Control::open(&folder.path().join("control.db")).unwrap();
    let store = StoreId::new("shared").unwrap();
    for nth in 0..TENANTS as usize {
        control.place(tenant(nth), &store, &by()).await.unwrap();
        control.register_scenario(tenant(nth), &version(1), &by()).await.unwrap();
    }

    reads(&control, 10_000).await;
    report("standing, one task", reads(&control, READS).await);
    for tasks in [4, 64] {
        let (samples, took) = reads_by_tasks(&control, tasks).await;
        report(&format!("standing, {tasks} tasks"), samples);
        println!("{:<44} {:>9.0}/s", "", READS as f64 / took.as_secs_f64());
    }
    let mut off_thread = Vec::new();
    for nth in 0..READS / 20 {
        let begun = Instant::now();
        control.scenario(tenant(nth), scenario()).await.unwrap();
        off_thread.push(begun.elapsed());
    }
    report("for comparison: a read off the thread", off_thread);

    let resting = Arc::new(AtomicBool::new(false));
    let writer = {
        let (control, resting) = (control.clone(), resting.clone());
        tokio::spawn(async move {
            let (mut creating, mut deploying) = (Vec::new(), Vec::new());
            for to in 2.. {
                let plan = new_plan(to);
                let begun = Instant::now();
                let plan = control.create_plan(tenant(1), &plan, &by()).await.unwrap();
                creating.push(begun.elapsed());
                let begun = Instant::now();
                control.deploy(tenant(1), &deployment(&plan), &by()).await.unwrap();
                deploying.push(begun.elapsed());
                if resting.load(Ordering::Relaxed) && to > 100 {
                    break;
                }
            }
            (creating, deploying)
        })
    };
    report("standing, beside a writer", reads(&control, READS).await);
    resting.store(true, Ordering::Relaxed);
    let (creating, deploying) = writer.await.unwrap();
    report("create a plan with a map of 2 MB", creating);
    report("deploy a plan", deploying);
}
