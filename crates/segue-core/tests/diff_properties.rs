//! Properties of the diff on random versions, acyclic and cyclic, with duplicates and without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use segue_core::diff::Diff;
use segue_core::diff::document::TransformationMap;
use segue_core::diff::map::Map;
use segue_core::plan::policy::MigrationScenario;
use segue_core::scenario::Scenario;
use segue_core::scenario::graph::Graph;
use serde_json::json;

/// A step of a drawn version: which of a few contents it has, and where it leads.
#[derive(Debug, Clone)]
struct Drawn {
    content: u8,
    collects: bool,
    targets: Vec<(prop::sample::Index, u8)>,
}

fn drawn_step(contents: u8) -> impl Strategy<Value = Drawn> {
    let targets = prop::collection::vec((any::<prop::sample::Index>(), 0..3u8), 0..4);
    (0..contents, prop::bool::weighted(0.2), targets)
        .prop_map(|(content, collects, targets)| Drawn { content, collects, targets })
}

/// Versions of up to 14 steps; `contents` says how many different ones there are, so that few of them
/// mean many duplicates.
fn drawn(contents: u8) -> impl Strategy<Value = Vec<Drawn>> {
    prop::collection::vec(drawn_step(contents), 1..14)
}

fn version(number: u64, steps: &[Drawn], name: impl Fn(usize) -> String) -> Scenario {
    let steps: Vec<_> = steps
        .iter()
        .enumerate()
        .map(|(nth, step)| {
            let transitions: Vec<_> = step
                .targets
                .iter()
                .map(|(target, condition)| {
                    json!({"to_step_id": name(target.index(steps.len())),
                           "condition_text": format!("c{condition} > 0")})
                })
                .collect();
            let collects: &[&str] = if step.collects { &["age"] } else { &[] };
            json!({"id": name(nth), "name": format!("content {}", step.content),
                   "collects_profile_fields": collects, "transitions": transitions})
        })
        .collect();
    serde_json::from_value(json!({
        "id": "00000000-0000-4000-8000-00000000000a", "name": "Drawn", "version": number,
        "entry_step_id": name(0), "steps": steps,
    }))
    .unwrap()
}

fn plain(nth: usize) -> String {
    format!("s{nth}")
}

fn graph(scenario: Scenario) -> Arc<Graph> {
    Arc::new(Graph::new(scenario).unwrap())
}

fn diff(v1: &[Drawn], v2: &[Drawn]) -> Diff {
    Diff::between(graph(version(1, v1, plain)), graph(version(2, v2, plain)), &[])
}

/// What an anchor's lists hold, without their order.
fn contents(
    document: &TransformationMap,
) -> BTreeMap<String, (MigrationScenario, [BTreeSet<String>; 8])> {
    document
        .anchors
        .iter()
        .map(|anchor| {
            let sides = [&anchor.upstream_changes, &anchor.downstream_changes].map(|changes| {
                [
                    changes.inserted_nodes.iter().map(|node| node.node_id.to_string()).collect(),
                    changes.removed_node_ids.iter().map(ToString::to_string).collect(),
                    changes.new_forks.iter().map(|fork| fork.fork_node_id.to_string()).collect(),
                    changes
                        .modified_transitions
                        .iter()
                        .map(|modified| serde_json::to_string(modified).unwrap())
                        .collect::<BTreeSet<String>>(),
                ]
            });
            let [[a, b, c, d], [e, f, g, h]] = sides;
            let at = anchor.anchor_node_id_v1.to_string();
            (at, (anchor.migration_scenario, [a, b, c, d, e, f, g, h]))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_map_of_all_anchors_says_what_a_walk_around_each_anchor_says(
        v1 in drawn(9), v2 in drawn(9),
    ) {
        let diff = diff(&v1, &v2);
        let document = Map::of(&diff).document(usize::MAX);
        for (anchor, shown) in diff.anchors().iter().zip(&document.anchors) {
            prop_assert_eq!(diff.migration_scenario(anchor), shown.migration_scenario);
            for (walked, shown) in [
                (diff.upstream(anchor), &shown.upstream_changes),
                (diff.downstream(anchor), &shown.downstream_changes),
            ] {
                let ids = |graph: &Graph, steps: &[_]| -> BTreeSet<String> {
                    steps.iter().map(|ix| graph.step(*ix).id.to_string()).collect()
                };
                let inserted: BTreeSet<String> =
                    shown.inserted_nodes.iter().map(|node| node.node_id.to_string()).collect();
                let removed: BTreeSet<String> =
                    shown.removed_node_ids.iter().map(ToString::to_string).collect();
                let forks: BTreeSet<String> =
                    shown.new_forks.iter().map(|fork| fork.fork_node_id.to_string()).collect();
                prop_assert_eq!(ids(diff.v2(), &walked.inserted), inserted);
                prop_assert_eq!(ids(diff.v1(), &walked.removed), removed);
                prop_assert_eq!(ids(diff.v2(), &walked.forks), forks);
                prop_assert_eq!(walked.modified.len(), shown.modified_transitions.len());
            }
        }
    }

    #[test]
    fn an_unchanged_graph_is_all_clean_graft(v1 in drawn(5)) {
        let document = Map::of(&diff(&v1, &v1)).document(usize::MAX);
        prop_assert_eq!(document.anchors.len(), v1.len());
        prop_assert!(document.deleted_nodes.is_empty() && document.new_node_ids.is_empty());
        for anchor in document.anchors {
            prop_assert_eq!(anchor.anchor_node_id_v1, anchor.anchor_node_id_v2);
            prop_assert_eq!(anchor.migration_scenario, MigrationScenario::CleanGraft);
            prop_assert_eq!(anchor.upstream_changes.counts.total(), 0);
            prop_assert_eq!(anchor.downstream_changes.counts.total(), 0);
        }
    }

    #[test]
    fn every_duplicate_has_its_own_anchor_or_is_deleted_or_new(v1 in drawn(3), v2 in drawn(3)) {
        let diff = diff(&v1, &v2);
        let keys: BTreeSet<_> = diff.anchors().iter().map(|anchor| &anchor.key).collect();
        prop_assert_eq!(keys.len(), diff.anchors().len());
        prop_assert_eq!(diff.anchors().len() + diff.deleted().len(), v1.len());
        prop_assert_eq!(diff.anchors().len() + diff.new_steps().len(), v2.len());
        for content in 0..3 {
            let count = |steps: &[Drawn], collects| {
                steps.iter().filter(|step| step.content == content && step.collects == collects).count()
            };
            let anchors = diff
                .anchors()
                .iter()
                .filter(|anchor| v1[anchor.v1.at()].content == content)
                .count();
            let wanted: usize =
                [true, false].map(|c| count(&v1, c).min(count(&v2, c))).into_iter().sum();
            prop_assert_eq!(anchors, wanted);
        }
    }

    #[test]
    fn other_ids_and_another_order_of_steps_change_nothing(
        v1 in drawn(40), v2 in drawn(40), seed in any::<u64>(),
    ) {
        // Without duplicates ids say nothing; with them they decide which copy is which.
        let distinct = |steps: &[Drawn]| {
            let kinds: BTreeSet<_> = steps.iter().map(|step| (step.content, step.collects)).collect();
            kinds.len() == steps.len()
        };
        prop_assume!(distinct(&v1) && distinct(&v2));
        let before = Map::of(&diff(&v1, &v2)).document(usize::MAX);
        let renamed = |nth: usize| format!("t{}", (nth as u64).wrapping_mul(0x9e37).wrapping_add(seed));
        let mut other = version(2, &v2, renamed);
        let turn = usize::try_from(seed % other.steps.len() as u64).unwrap();
        other.steps.rotate_left(turn);
        let after = Diff::between(graph(version(1, &v1, plain)), graph(other), &[]);
        let after = Map::of(&after).document(usize::MAX);
        let back: BTreeMap<String, String> = (0..v2.len()).map(|nth| (renamed(nth), plain(nth))).collect();
        let mut renamed_back = serde_json::to_string(&after).unwrap();
        for (new, old) in &back {
            renamed_back = renamed_back.replace(&format!("\"{new}\""), &format!("\"{old}\""));
        }
        let after: TransformationMap = serde_json::from_str(&renamed_back).unwrap();
        prop_assert_eq!(contents(&before), contents(&after));
    }

    #[test]
    fn a_stored_map_says_the_same_when_it_is_read_again(v1 in drawn(9), v2 in drawn(9)) {
        let map = Map::of(&diff(&v1, &v2));
        let stored = serde_json::to_string(&map).unwrap();
        prop_assert_eq!(serde_json::from_str::<Map>(&stored).unwrap(), map);
    }
}
