//! The changes around all anchors at once, in the form in which a plan keeps them.
//!
//! Each step is written once; an anchor's changes are sets of numbers. A plan of 1,000 steps stays below
//! two megabytes, and is expanded to what the API shows when somebody asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::diff::bits::{self, IndexSet};
use crate::diff::changes::{self, Change, Modified, Side, asks};
use crate::diff::closure::Closure;
use crate::diff::columns::Columns;
use crate::diff::document::{
    AnchorTransformation, ChangeCounts, ChangeSet, ChangeType, DeletedNode, InsertedNode,
    ModifiedTransition, NewFork, Suggestion, TransformationMap,
};
use crate::diff::order::Order;
use crate::diff::{Diff, Origin, suggest};
use crate::ids::StepId;
use crate::plan::policy::{AnchorKey, MigrationScenario};
use crate::scenario::graph::{Graph, Ix};
use crate::scenario::hash::ContentHash;

/// The changes around every anchor of two versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// The steps of V1; their places are the numbers that sets refer to.
    v1: Vec<StepId>,
    /// The steps of V2; likewise.
    v2: Vec<StepId>,
    anchors: Vec<MappedAnchor>,
    /// By step of V2: what is shown of it, for those that are inserted somewhere.
    inserted: BTreeMap<u32, InsertedNode>,
    /// By step of V2: its branches, for those that are a new fork somewhere.
    forks: BTreeMap<u32, NewFork>,
    /// Changed transitions, by the numbers that sets of them refer to.
    modified: BTreeMap<u32, Vec<ModifiedTransition>>,
    deleted_nodes: Vec<DeletedNode>,
    new_node_ids: Vec<StepId>,
    suggestions: Vec<Suggestion>,
}

/// One anchor and the numbers of what changed around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedAnchor {
    /// What policies call it.
    pub key: AnchorKey,
    /// What its steps mean.
    pub hash: ContentHash,
    /// The name of its step in V1.
    pub name: String,
    /// Its step in V1.
    pub v1: StepId,
    /// Its step in V2.
    pub v2: StepId,
    /// How the two were found to mean the same.
    pub origin: Origin,
    /// What a customer who stands here may meet, at most.
    pub migration_scenario: MigrationScenario,
    #[serde(default, skip_serializing_if = "ChangedSets::is_empty")]
    upstream: ChangedSets,
    #[serde(default, skip_serializing_if = "ChangedSets::is_empty")]
    downstream: ChangedSets,
}

impl MappedAnchor {
    /// How much changed before it.
    #[must_use]
    pub fn upstream_counts(&self) -> ChangeCounts {
        self.upstream.counts()
    }

    /// How much changed after it.
    #[must_use]
    pub fn downstream_counts(&self) -> ChangeCounts {
        self.downstream.counts()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ChangedSets {
    #[serde(default, skip_serializing_if = "IndexSet::is_empty")]
    inserted: IndexSet,
    #[serde(default, skip_serializing_if = "IndexSet::is_empty")]
    removed: IndexSet,
    #[serde(default, skip_serializing_if = "IndexSet::is_empty")]
    forks: IndexSet,
    #[serde(default, skip_serializing_if = "IndexSet::is_empty")]
    modified: IndexSet,
}

impl ChangedSets {
    fn is_empty(&self) -> bool {
        self.counts().total() == 0
    }

    fn counts(&self) -> ChangeCounts {
        ChangeCounts {
            inserted_nodes: self.inserted.len(),
            removed_nodes: self.removed.len(),
            new_forks: self.forks.len(),
            steps_with_modified_transitions: self.modified.len(),
        }
    }
}

impl Map {
    /// Computes the changes around every anchor.
    #[must_use]
    pub fn of(diff: &Diff) -> Self {
        let (order_v1, order_v2) = (Order::of(&diff.v1), Order::of(&diff.v2));
        let columns = Columns::of(diff, &order_v1, &order_v2);
        let mut all = All::new(diff, &columns);
        let upstream = all.sets(&order_v1, &order_v2, Side::Upstream);
        let downstream = all.sets(&order_v1, &order_v2, Side::Downstream);
        let scenarios = all.scenarios;
        let ids = |graph: &Graph, steps: &[Ix]| -> Vec<StepId> {
            steps.iter().map(|ix| graph.step(*ix).id.clone()).collect()
        };
        let anchors = (diff.anchors.iter().zip(scenarios))
            .zip(upstream.into_iter().zip(downstream))
            .map(|((anchor, migration_scenario), (upstream, downstream))| MappedAnchor {
                key: anchor.key.clone(),
                hash: anchor.hash,
                name: anchor.name.clone(),
                v1: diff.v1.step(anchor.v1).id.clone(),
                v2: diff.v2.step(anchor.v2).id.clone(),
                origin: anchor.origin,
                migration_scenario,
                upstream,
                downstream,
            })
            .collect();
        let number = |column: usize| u32::try_from(column).expect("at most 10,000 columns");
        let inserted = bits::ones(&all.ever_inserted)
            .map(|at| (number(at), InsertedNode::of(diff.v2.step(columns.steps_v2[at]))))
            .collect();
        let forks = bits::ones(&all.ever_forks)
            .map(|at| (number(at), NewFork::of(&diff.v2, columns.steps_v2[at])))
            .collect();
        let modified = all
            .modified
            .iter()
            .map(|(at, changes)| {
                (number(*at), changes.iter().map(|change| modification(diff, change)).collect())
            })
            .collect();
        Self {
            v1: ids(&diff.v1, &columns.steps_v1),
            v2: ids(&diff.v2, &columns.steps_v2),
            anchors,
            inserted,
            forks,
            modified,
            deleted_nodes: deleted_nodes(diff),
            new_node_ids: ids(&diff.v2, &diff.new),
            suggestions: suggest::suggestions(diff),
        }
    }

    /// Every anchor, in the order of V1's steps.
    #[must_use]
    pub fn anchors(&self) -> &[MappedAnchor] {
        &self.anchors
    }

    /// Steps of V1 that nothing in V2 means, in V1's order.
    #[must_use]
    pub fn deleted_nodes(&self) -> &[DeletedNode] {
        &self.deleted_nodes
    }

    /// Steps of V2 that nothing in V1 means, in V2's order.
    #[must_use]
    pub fn new_node_ids(&self) -> &[StepId] {
        &self.new_node_ids
    }

    /// Deleted and new steps that are probably one step, edited; the likeliest first.
    #[must_use]
    pub fn suggestions(&self) -> &[Suggestion] {
        &self.suggestions
    }

    /// Whether V1 has such a step.
    #[must_use]
    pub fn has_step_v1(&self, id: &StepId) -> bool {
        self.v1.contains(id)
    }

    /// Whether V2 has such a step.
    #[must_use]
    pub fn has_step_v2(&self, id: &StepId) -> bool {
        self.v2.contains(id)
    }

    /// The steps of V2 that are inserted somewhere and for which `is_wanted` holds, ready to be looked for
    /// upstream of anchors.
    pub fn inserted_where(&self, is_wanted: impl Fn(&InsertedNode) -> bool) -> Inserted<'_> {
        let wanted = self.inserted.iter().filter(|(_, node)| is_wanted(node));
        let (numbers, nodes) = wanted.map(|(number, node)| (*number, node)).unzip();
        Inserted { numbers, nodes }
    }

    /// The anchor that a policy names, with everything around it.
    #[must_use]
    pub fn anchor(&self, key: &AnchorKey) -> Option<AnchorTransformation> {
        let anchor = self.anchors.iter().find(|anchor| anchor.key == *key)?;
        Some(self.expand(anchor, Lists::Full))
    }

    /// The whole map as the API shows it; the lists inside the anchors are left out when together they
    /// would have more than `limit` entries.
    #[must_use]
    pub fn document(&self, limit: usize) -> TransformationMap {
        let entries: usize = self
            .anchors
            .iter()
            .map(|anchor| anchor.upstream.counts().total() + anchor.downstream.counts().total())
            .sum();
        let lists = if entries > limit { Lists::CountsOnly } else { Lists::Full };
        TransformationMap {
            anchors: self.anchors.iter().map(|anchor| self.expand(anchor, lists)).collect(),
            deleted_nodes: self.deleted_nodes.clone(),
            new_node_ids: self.new_node_ids.clone(),
            suggestions: self.suggestions.clone(),
            truncated: lists == Lists::CountsOnly,
        }
    }

    fn expand(&self, anchor: &MappedAnchor, lists: Lists) -> AnchorTransformation {
        AnchorTransformation {
            anchor_key: anchor.key.clone(),
            anchor_content_hash: anchor.hash,
            anchor_name: anchor.name.clone(),
            anchor_node_id_v1: anchor.v1.clone(),
            anchor_node_id_v2: anchor.v2.clone(),
            origin: anchor.origin,
            migration_scenario: anchor.migration_scenario,
            upstream_changes: self.expand_sets(&anchor.upstream, lists),
            downstream_changes: self.expand_sets(&anchor.downstream, lists),
        }
    }

    fn expand_sets(&self, sets: &ChangedSets, lists: Lists) -> ChangeSet {
        let counts = sets.counts();
        match lists {
            Lists::CountsOnly => ChangeSet { counts, ..ChangeSet::default() },
            Lists::Full => ChangeSet {
                inserted_nodes: numbered(&self.inserted, &sets.inserted).cloned().collect(),
                removed_node_ids: sets
                    .removed
                    .iter()
                    .filter_map(|at| self.v1.get(at as usize).cloned())
                    .collect(),
                new_forks: numbered(&self.forks, &sets.forks).cloned().collect(),
                modified_transitions: numbered(&self.modified, &sets.modified)
                    .flatten()
                    .cloned()
                    .collect(),
                counts,
            },
        }
    }
}

/// Some of the inserted steps of a map.
#[derive(Debug, Clone)]
pub struct Inserted<'a> {
    /// Ascending.
    numbers: Vec<u32>,
    /// By place in `numbers`.
    nodes: Vec<&'a InsertedNode>,
}

impl<'a> Inserted<'a> {
    /// All of them.
    #[must_use]
    pub fn nodes(&self) -> &[&'a InsertedNode] {
        &self.nodes
    }

    /// The places in [`Self::nodes`] of those that are inserted upstream of an anchor.
    pub fn upstream<'b>(&'b self, anchor: &'b MappedAnchor) -> impl Iterator<Item = usize> + 'b {
        anchor.upstream.inserted.among(&self.numbers)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lists {
    Full,
    CountsOnly,
}

fn numbered<'a, T>(
    items: &'a BTreeMap<u32, T>,
    numbers: &'a IndexSet,
) -> impl Iterator<Item = &'a T> {
    numbers.iter().filter_map(|number| items.get(&number))
}

fn deleted_nodes(diff: &Diff) -> Vec<DeletedNode> {
    let node = |deleted: &crate::diff::Deleted| {
        let step = diff.v1.step(deleted.v1);
        let nearest = deleted.nearest.map(|nth| &diff.anchors[nth]);
        DeletedNode {
            node_id_v1: step.id.clone(),
            node_name: step.name.clone(),
            nearest_anchor_hash: nearest.map(|anchor| anchor.hash),
            nearest_anchor_id_v2: nearest.map(|anchor| diff.v2.step(anchor.v2).id.clone()),
            nearest_anchor_key: nearest.map(|anchor| anchor.key.clone()),
        }
    };
    diff.deleted.iter().map(node).collect()
}

fn modification(diff: &Diff, modified: &Modified) -> ModifiedTransition {
    let (old, new) = match modified.change {
        Change::Added { v2 } => (None, Some(v2)),
        Change::Removed { v1 } => (Some(v1), None),
        Change::Modified { v1, v2 } => (Some(v1), Some(v2)),
    };
    let old = old.map(|nth| &diff.v1.step(modified.v1).transitions[nth]);
    let new = new.map(|nth| &diff.v2.step(modified.v2).transitions[nth]);
    let text = |transition: &crate::scenario::Transition| {
        transition.condition_text.clone().unwrap_or_default()
    };
    ModifiedTransition {
        change_type: match modified.change {
            Change::Added { .. } => ChangeType::Added,
            Change::Removed { .. } => ChangeType::Removed,
            Change::Modified { .. } => ChangeType::Modified,
        },
        from_step_id: diff.v2.step(modified.v2).id.clone(),
        to_step_id: new.or(old).expect("a change has a side").to_step_id.clone(),
        old_condition_text: old.map(text),
        new_condition_text: new.map(text),
        old_priority: old.map(|transition| transition.priority),
        new_priority: new.map(|transition| transition.priority),
    }
}

/// What is the same for all anchors.
struct All<'a> {
    diff: &'a Diff,
    columns: &'a Columns,
    /// Columns of V2 of steps with more than one way on.
    branching: Vec<u64>,
    /// Columns of V2 of steps that gained one.
    gained: Vec<u64>,
    /// Columns of V2 of steps that collect data or require an action.
    asking: Vec<u64>,
    /// Columns of singles whose transitions changed.
    modified_singles: Vec<u64>,
    /// Steps whose transitions changed and that share their meaning: number, V1 column, V2 column.
    modified_others: Vec<(usize, usize, usize)>,
    /// By number.
    modified: BTreeMap<usize, Vec<Modified>>,
    ever_inserted: Vec<u64>,
    ever_forks: Vec<u64>,
    scenarios: Vec<MigrationScenario>,
    /// Memory for closures.
    rows: [Vec<u64>; 2],
}

impl<'a> All<'a> {
    fn new(diff: &'a Diff, columns: &'a Columns) -> Self {
        let words = bits::words(diff.v2.len());
        let mut all = Self {
            diff,
            columns,
            branching: vec![0; words],
            gained: vec![0; words],
            asking: vec![0; words],
            modified_singles: vec![0; words],
            modified_others: Vec::new(),
            modified: BTreeMap::new(),
            ever_inserted: vec![0; words],
            ever_forks: vec![0; words],
            scenarios: Vec::with_capacity(diff.anchors.len()),
            rows: [Vec::new(), Vec::new()],
        };
        for (column, ix) in columns.steps_v2.iter().enumerate() {
            if changes::branches(&diff.v2, *ix) > 1 {
                bits::set(&mut all.branching, column);
                if changes::gained_branch(diff, *ix) {
                    bits::set(&mut all.gained, column);
                }
            }
            if asks(diff.v2.step(*ix)) {
                bits::set(&mut all.asking, column);
            }
        }
        for anchor in &diff.anchors {
            let changes = changes::modified(diff, anchor);
            if changes.is_empty() {
                continue;
            }
            let (v1, v2) = (columns.v1[anchor.v1.at()], columns.v2[anchor.v2.at()]);
            let number = if v2 < columns.singles {
                bits::set(&mut all.modified_singles, v2);
                v2
            } else {
                let number = columns.singles + all.modified_others.len();
                all.modified_others.push((number, v1, v2));
                number
            };
            all.modified.insert(number, changes);
        }
        all
    }

    /// By anchor: what changed on one side. The upstream side also gives the migration scenarios.
    fn sets(&mut self, order_v1: &Order, order_v2: &Order, side: Side) -> Vec<ChangedSets> {
        let [rows_v1, rows_v2] = std::mem::take(&mut self.rows);
        let closure_v1 = Closure::new(&self.diff.v1, order_v1, &self.columns.v1, side, rows_v1);
        let closure_v2 = Closure::new(&self.diff.v2, order_v2, &self.columns.v2, side, rows_v2);
        let (words_v1, words_v2) =
            (bits::words(self.diff.v1.len()), bits::words(self.diff.v2.len()));
        let mut row_v1 = vec![0; words_v1];
        let mut row_v2 = vec![0; words_v2];
        let mut removed = vec![0; words_v1];
        let mut inserted = vec![0; words_v2];
        let mut forks = vec![0; words_v2];
        let numbers = self.columns.singles + self.modified_others.len();
        let mut modified = vec![0; bits::words(numbers)];
        let mut sets = Vec::with_capacity(self.diff.anchors.len());
        for anchor in &self.diff.anchors {
            closure_v1.beside(anchor.v1, &mut row_v1);
            closure_v2.beside(anchor.v2, &mut row_v2);
            self.columns.only_in_v2(&row_v2, &row_v1, &mut inserted);
            self.columns.only_in_v1(&row_v1, &row_v2, &mut removed);
            for nth in 0..words_v2 {
                forks[nth] = self.branching[nth] & (inserted[nth] | row_v2[nth] & self.gained[nth]);
                self.ever_inserted[nth] |= inserted[nth];
                self.ever_forks[nth] |= forks[nth];
            }
            self.modified_beside(&row_v1, &row_v2, &mut modified);
            if side == Side::Upstream {
                self.scenarios.push(if forks.iter().any(|word| *word != 0) {
                    MigrationScenario::ReRoute
                } else if bits::meet(&inserted, &self.asking) {
                    MigrationScenario::GapFill
                } else {
                    MigrationScenario::CleanGraft
                });
            }
            sets.push(ChangedSets {
                inserted: IndexSet::of(&inserted),
                removed: IndexSet::of(&removed),
                forks: IndexSet::of(&forks),
                modified: IndexSet::of(&modified),
            });
        }
        self.rows = [closure_v1.into_rows(), closure_v2.into_rows()];
        sets
    }

    fn modified_beside(&self, row_v1: &[u64], row_v2: &[u64], modified: &mut [u64]) {
        for (nth, word) in modified.iter_mut().enumerate() {
            let singles = self.modified_singles.get(nth).copied().unwrap_or(0);
            let beside =
                row_v1.get(nth).copied().unwrap_or(0) | row_v2.get(nth).copied().unwrap_or(0);
            *word = singles & beside;
        }
        for (number, v1, v2) in &self.modified_others {
            if bits::has(row_v1, *v1) || bits::has(row_v2, *v2) {
                bits::set(modified, *number);
            }
        }
    }
}
