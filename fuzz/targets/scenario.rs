//! Any bytes as a scenario: what is refused is refused in words, and what is accepted means the same after a
//! round trip, has a graph and hashes, and can be compared with another version in both directions.
#![no_main]

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use libfuzzer_sys::{Corpus, fuzz_target};
use segue_core::diff::Diff;
use segue_core::fields::Definitions;
use segue_core::ids::{PlanId, TenantId, Version};
use segue_core::plan::lifecycle::Signed;
use segue_core::plan::summary::Judge;
use segue_core::plan::{self, Request};
use segue_core::scenario::Scenario;
use segue_core::scenario::graph::Graph;
use segue_core::scenario::hash::{checksum, content_hash};
use segue_core::scenario::validate::{problems, warnings};
use uuid::Uuid;

/// The version that everything is compared with.
static SEED: LazyLock<Scenario> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../seed-version.json")).expect("the seed is a scenario")
});

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Ok(scenario) = serde_json::from_slice::<Scenario>(bytes) else { return Corpus::Keep };
    let found = problems(&scenario);
    assert!(found.iter().all(|problem| !problem.message.is_empty()));
    let graph = match Graph::new(scenario.clone()) {
        Ok(graph) => {
            assert!(found.is_empty(), "accepted with problems: {found:?}");
            graph
        }
        Err(refused) => {
            assert!(!refused.is_empty());
            return Corpus::Keep;
        }
    };
    let text = serde_json::to_vec(&scenario).expect("a document is plain data");
    let again: Scenario = serde_json::from_slice(&text).expect("what was written can be read");
    assert_eq!(again, scenario);
    assert_eq!(checksum(&again), graph.checksum());
    for ix in graph.indices() {
        assert_eq!(content_hash(graph.step(ix)), graph.hash(ix));
        assert_eq!(graph.index(&graph.step(ix).id), Some(ix));
    }
    assert!(warnings(&graph).iter().all(|warning| !warning.message.is_empty()));
    compare(graph);
    Corpus::Keep
});

fn compare(graph: Graph) {
    let mut next = SEED.clone();
    next.id = graph.scenario().id;
    let graph = Arc::new(graph);
    let same = Diff::between(Arc::clone(&graph), Arc::clone(&graph), &[]);
    assert!(
        same.new_steps().is_empty() && same.deleted().is_empty(),
        "a version differs from itself"
    );

    next.version = Version(graph.scenario().version.0.saturating_add(1));
    let (from, to) = (graph.scenario().version, next.version);
    let seed = Arc::new(Graph::new(next).expect("the seed is valid"));
    let there = Diff::between(Arc::clone(&graph), Arc::clone(&seed), &[]);
    let back = Diff::between(Arc::clone(&seed), Arc::clone(&graph), &[]);
    assert_eq!(there.anchors().len(), back.anchors().len(), "anchors are the same both ways");
    let planned = plan::generate(Request {
        id: PlanId(Uuid::nil()),
        tenant_id: TenantId(Uuid::nil()),
        v1: graph,
        v2: seed,
        sessions: &Default::default(),
        definitions: &Definitions::new(),
        judge: Judge::None,
        created: Signed { by: Some("fuzz".to_owned()), at: Timestamp::UNIX_EPOCH },
        retention_days: 30,
    });
    assert_eq!(planned.is_ok(), from < to, "{:?}", planned.err());
}
