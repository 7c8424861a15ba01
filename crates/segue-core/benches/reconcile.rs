//! Reconciliation at 50 and 500 steps: what a customer's message waits for.
//!
//! The diff is at hand, as in the server, which caches it per pair of versions.
#![allow(missing_docs, reason = "criterion's macros write undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use segue_core::config;
use segue_core::diff::{Diff, Mapping};
use segue_core::fields::{Definitions, Known, Profile, Source};
use segue_core::ids::{Channel, CustomerId, FieldName, PlanId, SessionId, StepId, Version};
use segue_core::plan::deployed::Deployed;
use segue_core::plan::policy::Policies;
use segue_core::reconcile::{Action, Archive, Extractor, Judge, Situation, reconcile};
use segue_core::scenario::graph::Graph;
use segue_core::session::Session;
use segue_core::session::event::{Event, Place, SessionStarted, StepEntered};
use serde_json::{Value, json};
use uuid::Uuid;

struct Versions {
    v1: Arc<Graph>,
    v2: Arc<Graph>,
    diff: Arc<Diff>,
}

impl Archive for Versions {
    fn graph(&self, version: Version) -> Option<Arc<Graph>> {
        Some(if version == Version(1) { self.v1.clone() } else { self.v2.clone() })
    }

    fn diff(&self, _: Version, _: Version, _: &[Mapping]) -> Option<Arc<Diff>> {
        Some(self.diff.clone())
    }
}

/// A long order flow with side branches and a loop: every fourth step may skip one ahead, every tenth may
/// go back five.
fn version(number: u64, count: usize, is_changed: bool) -> Arc<Graph> {
    let id = |nth: usize| Uuid::from_u128(0x5e90e << 64 | nth as u128).to_string();
    let mut steps = Vec::new();
    for nth in 0..count {
        let mut ways = Vec::new();
        if nth + 1 < count {
            ways.push(json!({"to_step_id": id(nth + 1), "condition_text": "amount < 1000"}));
        }
        if nth % 4 == 0 && nth + 2 < count {
            ways.push(json!({"to_step_id": id(nth + 2), "condition_text": "amount >= 1000"}));
        }
        if nth % 10 == 9 {
            ways.push(json!({"to_step_id": id(nth - 5), "condition_text": "again", "priority": 1}));
        }
        steps.push(json!({
            "id": id(nth),
            "name": format!("Step {nth}"),
            "is_checkpoint": nth == count / 3,
            "transitions": ways,
        }));
    }
    if is_changed {
        // An age check near the start, a question in the middle: both lie before nearly everyone.
        let (check, question, sorry) = (count, count + 1, count + 2);
        steps[2]["transitions"][0]["to_step_id"] = json!(id(check));
        steps[count / 2]["transitions"][0]["to_step_id"] = json!(id(question));
        steps.push(
            json!({"id": id(check), "name": "Age check", "collects_profile_fields": ["age"],
            "transitions": [
                {"to_step_id": id(sorry), "condition_text": "age < 18"},
                {"to_step_id": id(3), "condition_text": "age >= 18"},
            ]}),
        );
        steps.push(json!({"id": id(question), "name": "Size", "collects_profile_fields": ["size"],
            "transitions": [{"to_step_id": id(count / 2 + 1)}]}));
        steps.push(json!({"id": id(sorry), "name": "Sorry"}));
    }
    let document = json!({
        "id": Uuid::from_u128(1), "name": "Order", "version": number,
        "entry_step_id": id(0), "steps": steps,
    });
    Arc::new(Graph::new(serde_json::from_value(document).unwrap()).unwrap())
}

/// A session that walked straight from the entry to near the end.
fn session(graph: &Graph, length: usize) -> Session {
    let at: Timestamp = "2026-11-01T12:00:00Z".parse().unwrap();
    let started = SessionStarted {
        session_id: SessionId(Uuid::from_u128(7)),
        scenario_id: graph.scenario().id,
        version: Version(1),
        scenario_checksum: graph.checksum(),
        channel: Channel::new("whatsapp").unwrap(),
        customer_id: Some(CustomerId::new("ann").unwrap()),
        variables: BTreeMap::new(),
        entry: Place::of(graph, graph.entry()),
    };
    let mut session = Session::start(&started, at);
    for step in &graph.scenario().steps[1..length] {
        let id: &StepId = &step.id;
        let place = Place::of(graph, graph.index(id).unwrap());
        session.apply(
            &Event::StepEntered(StepEntered { place, transition_reason: "transition".to_owned() }),
            at,
        );
    }
    session
}

fn reconciliation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reconcile");
    for count in [50, 500] {
        let (v1, v2) = (version(1, count, false), version(2, count, true));
        let same = version(2, count, false);
        let session = session(&v1, count - 2);
        let plan = Deployed {
            plan_id: PlanId(Uuid::from_u128(12)),
            scenario_id: session.scenario_id,
            from_version: Version(1),
            to_version: Version(2),
            from_checksum: v1.checksum(),
            to_checksum: v2.checksum(),
            policies: Policies::new(),
            deployed_at: session.created_at,
            marks_sessions: true,
            withdrawn_at: None,
        };
        let known = |value: Value| Known {
            value,
            source: Source::Operator,
            confidence: 1.0,
            updated_at: session.created_at,
        };
        let profile = Profile {
            fields: BTreeMap::from([
                (FieldName::new("age").unwrap(), known(json!(30))),
                (FieldName::new("size").unwrap(), known(json!(42))),
            ]),
        };
        let (definitions, config) = (Definitions::new(), config::Migration::default());
        for (name, target, plans) in [
            ("no plan", &same, &[][..]),
            ("clean graft", &same, std::slice::from_ref(&plan)),
            ("gap fill behind a new fork", &v2, std::slice::from_ref(&plan)),
        ] {
            let versions = Versions {
                v1: v1.clone(),
                v2: target.clone(),
                diff: Arc::new(Diff::between(v1.clone(), target.clone(), &[])),
            };
            let situation = Situation {
                session: &session,
                profile: &profile,
                plans,
                archive: &versions,
                current: target,
                definitions: &definitions,
                config: &config,
                extractor: Extractor::Embedded,
                judge: Judge::Nobody,
                now: session.created_at,
            };
            let decision = reconcile(&situation).unwrap();
            let expected = if plans.is_empty() { Action::Continue } else { Action::Teleport };
            assert_eq!(decision.result.action, expected, "{:?}", decision.result);
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| reconcile(black_box(&situation)).unwrap());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, reconciliation);
criterion_main!(benches);
