//! Plan generation at 100, 1,000 and 10,000 steps: `cargo bench -p segue-core --bench plan`.
//!
//! The targets: 0.5 ms, 5 ms and 100 ms, and a stored plan of at most 2 MB at 1,000 steps. Each version is
//! a chain with branches and, in the cyclic kinds, ways back; the second version edits, inserts, deletes
//! and forks one step in ten.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]
#![allow(missing_docs, reason = "criterion's macros write undocumented functions")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use segue_core::fields::Definitions;
use segue_core::ids::{PlanId, ScenarioId, StepId, TenantId, Version};
use segue_core::plan::lifecycle::Signed;
use segue_core::plan::summary::{Judge, SessionCounts};
use segue_core::plan::{Plan, Request, generate};
use segue_core::scenario::graph::Graph;
use segue_core::scenario::{Scenario, Step, Transition};

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Acyclic,
    /// Ways back over a few steps.
    Cyclic,
    /// New ways from anywhere to anywhere: nearly all steps end up on one cycle.
    Tangled,
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

fn id(nth: usize) -> StepId {
    StepId::new(format!("step-{nth}")).unwrap()
}

fn to(nth: usize, condition: Option<String>) -> Transition {
    let json = serde_json::json!({"to_step_id": id(nth), "condition_text": condition});
    serde_json::from_value(json).unwrap()
}

fn step(nth: usize, name: String) -> Step {
    serde_json::from_value(serde_json::json!({
        "id": id(nth), "name": name, "description": format!("What happens at step {nth}"),
    }))
    .unwrap()
}

fn versions(count: usize, shape: Shape) -> (Scenario, Scenario) {
    let mut dice = Dice(0x5e9_0e5 + count as u64);
    let mut steps: Vec<Step> = (0..count).map(|nth| step(nth, format!("Step {nth}"))).collect();
    for (nth, step) in steps.iter_mut().enumerate().take(count - 1) {
        step.transitions.push(to(nth + 1, None));
        if dice.below(3) == 0 {
            let target = match shape {
                Shape::Cyclic if dice.below(4) == 0 => nth.saturating_sub(dice.below(30)),
                Shape::Cyclic | Shape::Acyclic | Shape::Tangled => {
                    (nth + 2 + dice.below(20)).min(count - 1)
                }
            };
            step.transitions.push(to(target, Some(format!("field_{} > {nth}", nth % 40))));
        }
        step.is_checkpoint = dice.below(50) == 0;
    }
    let v1 = Scenario {
        id: ScenarioId(uuid::Uuid::from_u128(1)),
        name: "Benchmark".to_owned(),
        description: None,
        version: Version(1),
        entry_step_id: id(0),
        steps,
    };
    let mut v2 = Scenario { version: Version(2), ..v1.clone() };
    for nth in (5..count - 1).step_by(10) {
        match dice.below(4) {
            0 => v2.steps[nth].name.push_str(" (edited)"),
            1 => {
                let added = v2.steps.len();
                let mut new = step(added, format!("New {added}"));
                new.collects_profile_fields.push(format!("field_{}", nth % 40).try_into().unwrap());
                new.transitions =
                    std::mem::replace(&mut v2.steps[nth].transitions, vec![to(added, None)]);
                v2.steps.push(new);
            }
            2 => {
                let target = match shape {
                    Shape::Acyclic => (nth + 2 + dice.below(20)).min(count - 1),
                    Shape::Cyclic => (nth + 10).saturating_sub(dice.below(30)).min(count - 1),
                    Shape::Tangled => dice.below(count),
                };
                v2.steps[nth].transitions.push(to(target, Some(format!("field_{} < 0", nth % 40))));
            }
            _ => v2.steps[nth].description = Some("Replaced".to_owned()),
        }
    }
    (v1, v2)
}

fn plan(v1: &Arc<Graph>, v2: &Arc<Graph>) -> Plan {
    generate(Request {
        id: PlanId(uuid::Uuid::nil()),
        tenant_id: TenantId(uuid::Uuid::nil()),
        v1: Arc::clone(v1),
        v2: Arc::clone(v2),
        sessions: &SessionCounts::default(),
        definitions: &Definitions::new(),
        judge: Judge::Configured,
        created: Signed { by: None, at: jiff::Timestamp::UNIX_EPOCH },
        retention_days: 30,
    })
    .unwrap()
}

fn benches(criterion: &mut Criterion) {
    for (name, shape) in
        [("acyclic", Shape::Acyclic), ("cyclic", Shape::Cyclic), ("tangled", Shape::Tangled)]
    {
        let mut group = criterion.benchmark_group(format!("plan/{name}"));
        for count in [100, 1_000, 10_000] {
            // The second version has a few steps more; it must not pass the limit of 10,000.
            let (v1, v2) = versions(count * 97 / 100, shape);
            // A plan is made from the current version, which is at hand, and the new one, which is not.
            let current = Arc::new(Graph::new(v1).unwrap());
            let compiled = Arc::new(Graph::new(v2.clone()).unwrap());
            let stored = serde_json::to_vec(&plan(&current, &compiled)).unwrap().len();
            eprintln!("stored plan, {name}, {count} steps: {stored} bytes");
            group.bench_with_input(BenchmarkId::new("compile", count), &v2, |bench, v2| {
                bench.iter_batched(
                    || v2.clone(),
                    |v2| black_box(Graph::new(v2).unwrap()),
                    criterion::BatchSize::LargeInput,
                );
            });
            group.bench_function(BenchmarkId::new("generate", count), |bench| {
                bench.iter(|| black_box(plan(&current, &compiled)));
            });
        }
        group.finish();
    }
}

criterion_group!(plans, benches);
criterion_main!(plans);
