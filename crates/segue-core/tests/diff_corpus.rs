//! Every case of the diff corpus. `SEGUE_CORPORA` names another directory with files of the same format.
//!
//! Each case holds the answer of the original system (the peer) and says where it is wrong and why. What
//! is not disputed must be equal. Where a disputed rule shows, our answer must be that of the rules of the
//! design, which this file states once more in the plainest way ([`Naive`]); [`REASONS`] says why they
//! differ, and a golden file pins our answers for the cases in this repository.
//!
//! Two of the disputed rules reach further than the pointers of a case: plain reachability also changes
//! the *lists* of an anchor whose migration scenario happens to come out equal. There the test shows both:
//! the peer's list follows from plain reachability, ours from the paths that a customer can have taken.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use segue_core::diff::document::{AnchorTransformation, TransformationMap};
use segue_core::diff::map::Map;
use segue_core::diff::{Anchor, Diff};
use segue_core::fields::Definitions;
use segue_core::ids::{PlanId, TenantId};
use segue_core::plan::lifecycle::Signed;
use segue_core::plan::summary::{Judge, MigrationSummary, SessionCounts};
use segue_core::plan::{self};
use segue_core::scenario::graph::{Graph, Ix};
use segue_core::scenario::hash::{checksum, content_hash};
use segue_core::scenario::{Scenario, Step};
use serde::Deserialize;
use serde_json::Value;

/// Why our answer differs, by code.
const REASONS: [(&str, &str); 12] = [
    (
        "FORK_ON_EXISTING",
        "a step that exists in both versions and gained a branch is a new fork too",
    ),
    ("CYCLE_UPSTREAM", "what only follows an anchor on a cycle is not before it"),
    ("UNREACHABLE_UPSTREAM", "nobody can have visited a step that the entry does not reach"),
    ("FAKE_FORK", "parallel transitions and loops are not different ways on"),
    ("REQUIRED_ACTION", "a required action that was inserted must be performed: gap fill"),
    ("DUP_CONTENT", "each of several steps that mean the same has its own anchor"),
    ("DUP_NOT_NEW", "a further copy of a step is new"),
    ("DUP_NOT_DELETED", "a copy that is gone is deleted"),
    (
        "NEAREST_ARBITRARY",
        "among equally near anchors the way forward wins, then the order as written",
    ),
    ("DUP_STEP_ID", "refused: duplicate_step_id"),
    ("DANGLING", "refused: dangling_transition"),
    ("BAD_ENTRY", "refused: missing_entry"),
];

#[derive(Deserialize)]
struct Case {
    id: String,
    v1: Scenario,
    v2: Scenario,
    expected: Expected,
    #[serde(default)]
    disputed_codes: Vec<String>,
    #[serde(default)]
    disputed_at: Vec<Disputed>,
}

#[derive(Deserialize)]
struct Disputed {
    code: String,
    path: String,
}

#[derive(Deserialize)]
struct Expected {
    content_hashes_v1: Vec<String>,
    content_hashes_v2: Vec<String>,
    checksum_v1: String,
    checksum_v2: String,
    anchors: Vec<ExpectedAnchor>,
    inserted_nodes: BTreeMap<String, Value>,
    new_forks: BTreeMap<String, Value>,
    deleted_nodes: Vec<Value>,
    new_node_ids: Vec<String>,
    summary: Value,
}

#[derive(Deserialize)]
struct ExpectedAnchor {
    hash: String,
    name: String,
    v1_id: String,
    v2_id: String,
    migration_scenario: String,
    upstream: Lists,
    downstream: Lists,
}

#[derive(Deserialize, Debug, Clone, PartialEq, Eq, Default)]
struct Lists {
    inserted: BTreeSet<String>,
    removed: BTreeSet<String>,
    new_forks: BTreeSet<String>,
}

impl Case {
    fn is_disputed(&self, path: &str) -> bool {
        self.disputed_at.iter().any(|disputed| {
            disputed.path == "/"
                || path == disputed.path
                || path.starts_with(&format!("{}/", disputed.path))
        })
    }
}

fn directory() -> PathBuf {
    std::env::var_os("SEGUE_CORPORA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpora"),
        PathBuf::from,
    )
}

fn cases() -> Vec<Case> {
    let path = directory().join("diff_corpus.jsonl.gz");
    let packed = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lines = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut lines).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn compiled(case: &Case) -> Result<Diff, BTreeSet<String>> {
    let graphs = [&case.v1, &case.v2].map(|version| Graph::new(version.clone()));
    let [v1, v2] = &graphs;
    if let (Ok(v1), Ok(v2)) = (v1, v2) {
        return Ok(Diff::between(Arc::new(v1.clone()), Arc::new(v2.clone()), &[]));
    }
    let problems = graphs.into_iter().filter_map(Result::err).flatten();
    Err(problems.map(|problem| problem.code).collect())
}

#[test]
fn hashes_and_checksums_are_those_of_the_original_system() {
    for case in cases() {
        let hashes = |version: &Scenario| -> Vec<String> {
            version.steps.iter().map(|step| content_hash(step).to_string()).collect()
        };
        assert_eq!(hashes(&case.v1), case.expected.content_hashes_v1, "{}", case.id);
        assert_eq!(hashes(&case.v2), case.expected.content_hashes_v2, "{}", case.id);
        assert_eq!(checksum(&case.v1).to_string(), case.expected.checksum_v1, "{}", case.id);
        assert_eq!(checksum(&case.v2).to_string(), case.expected.checksum_v2, "{}", case.id);
    }
}

#[test]
fn a_version_is_refused_exactly_where_the_corpus_says_that_it_is_broken() {
    let refusals = [
        ("DUP_STEP_ID", "duplicate_step_id"),
        ("DANGLING", "dangling_transition"),
        ("BAD_ENTRY", "missing_entry"),
    ];
    for case in cases() {
        let wanted: BTreeSet<String> = refusals
            .iter()
            .filter(|(code, _)| case.disputed_codes.iter().any(|disputed| disputed == code))
            .map(|(_, problem)| (*problem).to_owned())
            .collect();
        let found = compiled(&case).err().unwrap_or_default();
        assert_eq!(found, wanted, "{}", case.id);
    }
}

#[test]
fn everything_that_is_not_disputed_is_equal() {
    for case in cases() {
        let Ok(diff) = compiled(&case) else { continue };
        let document = Map::of(&diff).document(usize::MAX);
        compare_anchors(&case, &diff, &document);
        compare_nodes(&case, &document);
        compare_summary(&case, &diff, &document);
    }
}

#[test]
fn every_answer_follows_from_the_rules_of_the_design() {
    for case in cases() {
        let Ok(diff) = compiled(&case) else { continue };
        let naive = Naive { diff: &diff };
        let document = Map::of(&diff).document(usize::MAX);
        for (anchor, shown) in diff.anchors().iter().zip(&document.anchors) {
            let at = format!("{} {} {}", case.id, anchor.key, anchor.name);
            let upstream = naive.lists(naive.upstream(anchor));
            assert_eq!(upstream, lists(&shown.upstream_changes), "{at} upstream");
            assert_eq!(
                naive.lists(naive.downstream(anchor)),
                lists(&shown.downstream_changes),
                "{at}"
            );
            assert_eq!(naive.scenario(&upstream), word(shown.migration_scenario), "{at}");
        }
    }
}

/// Our answers at every disputed place of this repository's corpus.
#[test]
fn disputed_answers_are_pinned_with_the_reason() {
    if std::env::var_os("SEGUE_CORPORA").is_some() {
        return;
    }
    let mut pinned = String::new();
    for (code, reason) in REASONS {
        writeln!(pinned, "{code}: {reason}").unwrap();
        for case in cases() {
            let places = case.disputed_at.iter().filter(|disputed| disputed.code == code);
            let places: Vec<&Disputed> = places.collect();
            if places.is_empty() {
                continue;
            }
            match compiled(&case) {
                Err(problems) => {
                    let problems: Vec<String> = problems.into_iter().collect();
                    writeln!(pinned, "  {} {}", case.id, problems.join(", ")).unwrap();
                }
                Ok(diff) => {
                    let document = Map::of(&diff).document(usize::MAX);
                    for place in places {
                        let answer = our_answer(&case, &document, &place.path);
                        writeln!(pinned, "  {} {} {answer}", case.id, place.path).unwrap();
                    }
                }
            }
        }
    }
    insta::assert_snapshot!(pinned);
}

fn our_answer(case: &Case, document: &TransformationMap, path: &str) -> String {
    let ids = |ids: Vec<String>| format!("{} nodes: {}", ids.len(), ids.join(" "));
    if let Some(rest) = path.strip_prefix("/anchors/") {
        let (nth, field) = rest.split_once('/').unwrap_or((rest, ""));
        let expected = &case.expected.anchors[nth.parse::<usize>().unwrap()];
        let same_hash = |anchor: &&AnchorTransformation| {
            anchor.anchor_content_hash.to_string() == expected.hash
                && (field.is_empty() || anchor.anchor_node_id_v1.as_str() == expected.v1_id)
        };
        let ours: Vec<String> = document
            .anchors
            .iter()
            .filter(same_hash)
            .map(|anchor| {
                let scenario = word(anchor.migration_scenario);
                if field.is_empty() {
                    format!(
                        "{} -> {} {scenario}",
                        anchor.anchor_node_id_v1, anchor.anchor_node_id_v2
                    )
                } else {
                    format!("{scenario} (the peer: {})", expected.migration_scenario)
                }
            })
            .collect();
        return ours.join("; ");
    }
    match path {
        "/new_node_ids" => ids(document.new_node_ids.iter().map(ToString::to_string).collect()),
        "/deleted_nodes" => {
            ids(document.deleted_nodes.iter().map(|node| node.node_id_v1.to_string()).collect())
        }
        other => panic!("{}: nothing is pinned at {other}", case.id),
    }
}

fn word(scenario: impl serde::Serialize) -> String {
    serde_json::to_value(scenario).unwrap().as_str().unwrap().to_owned()
}

fn lists(changes: &segue_core::diff::document::ChangeSet) -> Lists {
    Lists {
        inserted: changes.inserted_nodes.iter().map(|node| node.node_id.to_string()).collect(),
        removed: changes.removed_node_ids.iter().map(ToString::to_string).collect(),
        new_forks: changes.new_forks.iter().map(|fork| fork.fork_node_id.to_string()).collect(),
    }
}

fn compare_anchors(case: &Case, diff: &Diff, document: &TransformationMap) {
    let naive = Naive { diff };
    let first_of_hash: Vec<usize> = {
        let mut seen = BTreeSet::new();
        (0..document.anchors.len())
            .filter(|nth| seen.insert(document.anchors[*nth].anchor_content_hash.to_string()))
            .collect()
    };
    assert_eq!(first_of_hash.len(), case.expected.anchors.len(), "{}", case.id);
    for (nth, expected) in case.expected.anchors.iter().enumerate() {
        let at = format!("/anchors/{nth}");
        let where_ = format!("{} {at}", case.id);
        let place = first_of_hash
            .iter()
            .copied()
            .find(|place| document.anchors[*place].anchor_content_hash.to_string() == expected.hash)
            .unwrap_or_else(|| panic!("{where_} is lost"));
        if case.is_disputed(&at) {
            continue;
        }
        assert_eq!(place, first_of_hash[nth], "{where_} order");
        let (ours, anchor) = (&document.anchors[place], &diff.anchors()[place]);
        assert_eq!(ours.anchor_key.0, expected.hash, "{where_}");
        assert_eq!(ours.anchor_name, expected.name, "{where_}");
        assert_eq!(ours.anchor_node_id_v1.as_str(), expected.v1_id, "{where_}");
        assert_eq!(ours.anchor_node_id_v2.as_str(), expected.v2_id, "{where_}");
        let plain_upstream = naive.lists_of_the_peer(naive.plain_upstream(anchor));
        let plain_downstream = naive.lists_of_the_peer(naive.downstream(anchor));
        assert_eq!(plain_upstream, expected.upstream, "{where_} upstream");
        assert_eq!(plain_downstream, expected.downstream, "{where_} downstream");
        if naive.plain_upstream(anchor) == naive.upstream(anchor) {
            assert_same_but_forks(&lists(&ours.upstream_changes), &expected.upstream, &where_);
        }
        assert_same_but_forks(&lists(&ours.downstream_changes), &expected.downstream, &where_);
        if !case.is_disputed(&format!("{at}/migration_scenario"))
            && word(ours.migration_scenario) != expected.migration_scenario
        {
            // Two disputed rules may hide each other: without either alone the answer stays the same, so
            // neither is marked. Then both are marked elsewhere in the case.
            assert!(
                case.disputed_codes.len() > 1,
                "{where_}: {:?}, the peer: {}",
                ours.migration_scenario,
                expected.migration_scenario
            );
        }
    }
}

fn assert_same_but_forks(ours: &Lists, expected: &Lists, where_: &str) {
    assert_eq!(ours.inserted, expected.inserted, "{where_}");
    assert_eq!(ours.removed, expected.removed, "{where_}");
}

fn compare_nodes(case: &Case, document: &TransformationMap) {
    for anchor in &document.anchors {
        for changes in [&anchor.upstream_changes, &anchor.downstream_changes] {
            for node in &changes.inserted_nodes {
                if let Some(expected) = case.expected.inserted_nodes.get(node.node_id.as_str()) {
                    assert_eq!(serde_json::to_value(node).unwrap(), *expected, "{}", case.id);
                }
            }
            for fork in &changes.new_forks {
                if let Some(expected) = case.expected.new_forks.get(fork.fork_node_id.as_str()) {
                    assert_eq!(serde_json::to_value(fork).unwrap(), *expected, "{}", case.id);
                }
            }
        }
    }
    if !case.is_disputed("/new_node_ids") {
        let ours: Vec<&str> = document.new_node_ids.iter().map(|id| id.as_str()).collect();
        assert_eq!(ours, case.expected.new_node_ids, "{}", case.id);
    }
    if !case.is_disputed("/deleted_nodes") {
        assert_eq!(document.deleted_nodes.len(), case.expected.deleted_nodes.len(), "{}", case.id);
        for (nth, (node, expected)) in
            document.deleted_nodes.iter().zip(&case.expected.deleted_nodes).enumerate()
        {
            let node = serde_json::to_value(node).unwrap();
            for field in ["node_id_v1", "node_name", "nearest_anchor_hash", "nearest_anchor_id_v2"]
            {
                let path = format!("/deleted_nodes/{nth}/{field}");
                if !case.is_disputed(&path) {
                    assert_eq!(node[field], expected[field], "{} {path}", case.id);
                }
            }
        }
    }
}

fn summary_of(diff: &Diff) -> MigrationSummary {
    let (sessions, definitions) = (SessionCounts::default(), Definitions::new());
    let plan = plan::generate(plan::Request {
        id: PlanId(uuid::Uuid::nil()),
        tenant_id: TenantId(uuid::Uuid::nil()),
        v1: Arc::clone(diff.v1()),
        v2: Arc::clone(diff.v2()),
        sessions: &sessions,
        definitions: &definitions,
        judge: Judge::Configured,
        created: Signed { by: None, at: jiff::Timestamp::UNIX_EPOCH },
        retention_days: 30,
    });
    plan.unwrap().summary
}

/// The summary follows from the anchors. Where these are all as the peer's, so must the summary be; the
/// sentences are those of the quickstart, and ours says more.
fn compare_summary(case: &Case, diff: &Diff, document: &TransformationMap) {
    let ours = summary_of(diff);
    let expected = &case.expected.summary;
    let naive = Naive { diff };
    let as_the_peer = document.anchors.len() == case.expected.anchors.len()
        && document.anchors.iter().zip(diff.anchors()).zip(&case.expected.anchors).all(
            |((shown, anchor), expected)| {
                word(shown.migration_scenario) == expected.migration_scenario
                    && naive.plain_upstream(anchor) == naive.upstream(anchor)
            },
        );
    if !as_the_peer || !case.disputed_at.is_empty() {
        return;
    }
    let id = &case.id;
    assert_eq!(ours.total_anchors, expected["total_anchors"], "{id}");
    assert_eq!(ours.anchors_with_clean_graft, expected["anchors_with_clean_graft"], "{id}");
    assert_eq!(ours.anchors_with_gap_fill, expected["anchors_with_gap_fill"], "{id}");
    assert_eq!(ours.anchors_with_re_route, expected["anchors_with_re_route"], "{id}");
    assert_eq!(ours.nodes_deleted, expected["nodes_deleted"], "{id}");
    assert_eq!(
        serde_json::to_value(&ours.sessions_by_anchor).unwrap(),
        expected["sessions_by_anchor"],
        "{id}"
    );
    let names = |value: &Value| -> BTreeSet<String> {
        serde_json::from_value::<BTreeSet<String>>(value.clone()).unwrap()
    };
    let fields: BTreeMap<String, (String, BTreeSet<String>, String, bool)> =
        expected["fields_to_collect"]
            .as_array()
            .unwrap()
            .iter()
            .map(|field| {
                (
                    field["field_name"].as_str().unwrap().to_owned(),
                    (
                        field["display_name"].as_str().unwrap().to_owned(),
                        names(&field["affected_anchors"]),
                        field["reason"].as_str().unwrap().to_owned(),
                        field["can_extract_from_conversation"].as_bool().unwrap(),
                    ),
                )
            })
            .collect();
    let our_fields = ours
        .fields_to_collect
        .iter()
        .map(|field| {
            (
                field.field_name.to_string(),
                (
                    field.display_name.clone(),
                    field.affected_anchors.iter().cloned().collect(),
                    field.reason.clone(),
                    field.can_extract_from_conversation,
                ),
            )
        })
        .collect();
    assert_eq!(fields, our_fields, "{id}");
    for field in fields.keys() {
        let message = format!("Customers may be asked for '{field}' if not in profile");
        assert!(ours.warnings.iter().any(|warning| warning.message == message), "{id} {message}");
    }
    for warning in expected["warnings"].as_array().unwrap() {
        let is_there = ours.warnings.iter().any(|ours| {
            serde_json::to_value(ours.severity).unwrap() == warning["severity"]
                && ours.anchor_name.as_deref() == warning["anchor_name"].as_str()
                && ours.message == warning["message"].as_str().unwrap()
        });
        let counts_fields = warning["message"].as_str().unwrap().contains("field(s) may need");
        assert!(is_there || counts_fields || ours.warnings.len() >= 100, "{id} {warning}");
    }
}

/// The rules once more, step by step and without a thought for time.
struct Naive<'a> {
    diff: &'a Diff,
}

/// Steps of V1 and of V2 on one side of an anchor.
type Sides = (BTreeSet<Ix>, BTreeSet<Ix>);

impl Naive<'_> {
    fn walk(graph: &Graph, from: Ix, backwards: bool, closed: Option<Ix>) -> BTreeSet<Ix> {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![from];
        while let Some(ix) = waiting.pop() {
            if Some(ix) == closed || !seen.insert(ix) {
                continue;
            }
            if backwards {
                waiting.extend(graph.predecessors(ix));
            } else {
                waiting.extend(graph.edges(ix).iter().map(|edge| edge.to));
            }
        }
        seen
    }

    fn both(&self, anchor: &Anchor, side: impl Fn(&Graph, Ix) -> BTreeSet<Ix>) -> Sides {
        (side(self.diff.v1(), anchor.v1), side(self.diff.v2(), anchor.v2))
    }

    fn upstream(&self, anchor: &Anchor) -> Sides {
        self.both(anchor, |graph, ix| {
            let before = Self::walk(graph, ix, true, None);
            let met_first = Self::walk(graph, graph.entry(), false, Some(ix));
            before.intersection(&met_first).copied().collect()
        })
    }

    fn plain_upstream(&self, anchor: &Anchor) -> Sides {
        self.both(anchor, |graph, ix| {
            let mut before = Self::walk(graph, ix, true, None);
            before.remove(&ix);
            before
        })
    }

    fn downstream(&self, anchor: &Anchor) -> Sides {
        self.both(anchor, |graph, ix| {
            let mut after = Self::walk(graph, ix, false, None);
            after.remove(&ix);
            after
        })
    }

    fn lists_where(&self, (in_v1, in_v2): Sides, is_fork: impl Fn(Ix, bool) -> bool) -> Lists {
        let (v1, v2) = (self.diff.v1(), self.diff.v2());
        let meant_in_v1: BTreeSet<_> = in_v1.iter().map(|ix| v1.hash(*ix)).collect();
        let meant_in_v2: BTreeSet<_> = in_v2.iter().map(|ix| v2.hash(*ix)).collect();
        let is_inserted = |ix: Ix| !meant_in_v1.contains(&v2.hash(ix));
        let name = |graph: &Graph, ix: Ix| graph.step(ix).id.to_string();
        Lists {
            inserted: in_v2.iter().filter(|ix| is_inserted(**ix)).map(|ix| name(v2, *ix)).collect(),
            removed: in_v1
                .iter()
                .filter(|ix| !meant_in_v2.contains(&v1.hash(**ix)))
                .map(|ix| name(v1, *ix))
                .collect(),
            new_forks: in_v2
                .iter()
                .filter(|ix| is_fork(**ix, is_inserted(**ix)))
                .map(|ix| name(v2, *ix))
                .collect(),
        }
    }

    fn lists_of_the_peer(&self, sides: Sides) -> Lists {
        self.lists_where(sides, |ix, is_inserted| {
            is_inserted && self.diff.v2().step(ix).transitions.len() > 1
        })
    }

    fn lists(&self, sides: Sides) -> Lists {
        self.lists_where(sides, |ix, is_inserted| {
            let ways = Self::ways_on(self.diff.v2().step(ix));
            let before =
                self.diff.counterpart_back(ix).map(|v1| Self::ways_on(self.diff.v1().step(v1)));
            ways > 1 && (is_inserted || before.is_some_and(|before| ways > before))
        })
    }

    fn ways_on(step: &Step) -> usize {
        let targets: BTreeSet<_> =
            step.transitions.iter().map(|transition| &transition.to_step_id).collect();
        targets.into_iter().filter(|target| **target != step.id).count()
    }

    fn scenario(&self, upstream: &Lists) -> String {
        let v2 = &self.diff.v2().scenario().steps;
        let asks = |id: &String| {
            v2.iter().any(|step| {
                step.id.as_str() == id
                    && (step.is_required_action || !step.collects_profile_fields.is_empty())
            })
        };
        if !upstream.new_forks.is_empty() {
            "re_route"
        } else if upstream.inserted.iter().any(asks) {
            "gap_fill"
        } else {
            "clean_graft"
        }
        .to_owned()
    }
}
