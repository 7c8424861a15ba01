//! Two versions of a scenario, compared by what their steps mean.
//!
//! 1. **Pairs** (`pair`). A step of V1 and a step of V2 with equal content hashes mean the same and
//!    form an anchor, whatever their ids and wherever they stand.
//! 2. **Suggestions** (`suggest`). What was edited or renamed has no equal on the other side; a step
//!    with the same id, or in the same place, is probably it. Nothing follows from a suggestion until an
//!    operator accepts it as a [`Mapping`]; from then on the two count as meaning the same.
//! 3. **Changes** ([`changes`]). For one anchor: what was inserted, removed, forked or rewired before it
//!    and after it. *Before* an anchor are the steps on some path from the entry to it that does not pass
//!    it: what a customer who stands there can have visited. From what lies before follows the anchor's
//!    migration scenario.
//!
//! [`Diff`] answers for one anchor in the time of a walk over the graph. [`map`] answers for all anchors
//! at once, in nearly linear time on sparse graphs, in the form in which a plan is stored.

mod bits;
pub mod changes;
mod closure;
mod columns;
pub mod document;
pub mod map;
mod nearest;
mod order;
mod pair;
pub mod picture;
mod suggest;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

pub use crate::diff::bits::IndexSet;
use crate::diff::changes::{Changes, Side};
use crate::ids::StepId;
use crate::plan::policy::{AnchorKey, MigrationScenario, anchor_key};
use crate::scenario::graph::{Graph, Ix};
use crate::scenario::hash::ContentHash;

/// An accepted suggestion: sessions at this step of V1 go on at this step of V2.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mapping {
    /// A step of V1 that has no equal in V2.
    pub from: StepId,
    /// Where it goes on in V2.
    pub to: StepId,
}

/// How the two steps of an anchor were found to mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Their content hashes are equal.
    Content,
    /// The operator said so.
    Mapping,
}

/// A step of V1 and a step of V2 that mean the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// What policies call it.
    pub key: AnchorKey,
    /// What the step of V1 means; that of V2 means the same unless an operator mapped them.
    pub hash: ContentHash,
    /// The name of the step of V1.
    pub name: String,
    /// The step of V1.
    pub v1: Ix,
    /// The step of V2.
    pub v2: Ix,
    /// How they were found.
    pub origin: Origin,
}

/// A step of V1 that nothing in V2 means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    /// The step of V1.
    pub v1: Ix,
    /// The closest anchor in V1 by undirected distance, as a place in [`Diff::anchors`]: where sessions
    /// that stand at the step go on.
    pub nearest: Option<usize>,
}

/// Two versions, compared.
///
/// ```
/// use std::sync::Arc;
/// use segue_core::{diff::Diff, plan::policy::MigrationScenario, scenario::graph::Graph};
/// let version = |json: &str| Arc::new(Graph::new(serde_json::from_str(json).unwrap()).unwrap());
/// let v1 = version(r#"{"id": "00000000-0000-4000-8000-00000000000a", "name": "Order", "version": 1,
///   "entry_step_id": "welcome", "steps": [
///     {"id": "welcome", "name": "Welcome", "transitions": [{"to_step_id": "checkout"}]},
///     {"id": "checkout", "name": "Checkout"}]}"#);
/// let v2 = version(r#"{"id": "00000000-0000-4000-8000-00000000000a", "name": "Order", "version": 2,
///   "entry_step_id": "welcome", "steps": [
///     {"id": "welcome", "name": "Welcome", "transitions": [{"to_step_id": "age"}]},
///     {"id": "age", "name": "Age check", "collects_profile_fields": ["age"],
///      "transitions": [{"to_step_id": "checkout"}]},
///     {"id": "checkout", "name": "Checkout"}]}"#);
/// let diff = Diff::between(v1, v2, &[]);
/// let checkout = &diff.anchors()[1];
/// assert_eq!(checkout.name, "Checkout");
/// assert_eq!(diff.migration_scenario(checkout), MigrationScenario::GapFill);
/// ```
#[derive(Debug, Clone)]
pub struct Diff {
    v1: Arc<Graph>,
    v2: Arc<Graph>,
    /// In the order of V1's steps.
    anchors: Vec<Anchor>,
    by_key: HashMap<AnchorKey, usize>,
    /// By step of V1: its anchor.
    at_v1: Vec<Option<usize>>,
    /// By step of V2: its anchor.
    at_v2: Vec<Option<usize>>,
    /// By step of V1 and V2: equal for steps that mean the same, duplicates included.
    meaning_v1: Vec<u32>,
    meaning_v2: Vec<u32>,
    /// How many distinct meanings there are.
    meanings: usize,
    ambiguous: Vec<ContentHash>,
    deleted: Vec<Deleted>,
    new: Vec<Ix>,
    /// By anchor: its migration scenario, once somebody has asked. Every session at the anchor asks.
    scenarios: Vec<OnceLock<MigrationScenario>>,
}

impl Diff {
    /// Compares two versions. Mappings that name unknown steps, or steps that have an equal already, have
    /// no effect: a plan refuses them before they come here.
    #[must_use]
    pub fn between(v1: Arc<Graph>, v2: Arc<Graph>, mappings: &[Mapping]) -> Self {
        let pairs = pair::pair(&v1, &v2);
        let mut at_v1 = vec![None; v1.len()];
        let mut at_v2 = vec![None; v2.len()];
        let mut found = pairs.found;
        let mut origins: HashMap<Ix, Origin> = HashMap::new();
        add_mappings(&v1, &v2, mappings, &mut found, &mut origins);
        found.sort_unstable();
        let mut seen: HashMap<ContentHash, usize> = HashMap::new();
        let mut anchors = Vec::with_capacity(found.len());
        let mut by_key = HashMap::with_capacity(found.len());
        for (from, to) in found {
            let (hash, step) = (v1.hash(from), v1.step(from));
            let origin = origins.get(&from).copied().unwrap_or(Origin::Content);
            let key = match origin {
                Origin::Content => {
                    let nth = seen.entry(hash).and_modify(|nth| *nth += 1).or_insert(1);
                    anchor_key(hash, *nth)
                }
                Origin::Mapping => AnchorKey::for_mapping(&step.id),
            };
            at_v1[from.at()] = Some(anchors.len());
            if at_v2[to.at()].is_none() || origin == Origin::Content {
                at_v2[to.at()] = Some(anchors.len());
            }
            by_key.insert(key.clone(), anchors.len());
            anchors.push(Anchor { key, hash, name: step.name.clone(), v1: from, v2: to, origin });
        }
        let meanings = pair::meanings(&v1, &v2, &anchors);
        let nearest = nearest::anchors(&v1, &at_v1);
        let deleted = v1
            .indices()
            .filter(|ix| at_v1[ix.at()].is_none())
            .map(|ix| Deleted { v1: ix, nearest: nearest[ix.at()] })
            .collect();
        let new = v2.indices().filter(|ix| at_v2[ix.at()].is_none()).collect();
        let scenarios = vec![OnceLock::new(); anchors.len()];
        Self {
            v1,
            v2,
            anchors,
            by_key,
            at_v1,
            at_v2,
            meaning_v1: meanings.v1,
            meaning_v2: meanings.v2,
            meanings: meanings.count,
            ambiguous: pairs.ambiguous,
            deleted,
            new,
            scenarios,
        }
    }

    /// The version that sessions leave.
    #[must_use]
    pub fn v1(&self) -> &Arc<Graph> {
        &self.v1
    }

    /// The version that sessions come to.
    #[must_use]
    pub fn v2(&self) -> &Arc<Graph> {
        &self.v2
    }

    /// Every anchor, in the order of V1's steps.
    #[must_use]
    pub fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    /// The anchor that a policy names.
    #[must_use]
    pub fn anchor(&self, key: &AnchorKey) -> Option<&Anchor> {
        self.by_key.get(key).map(|nth| &self.anchors[*nth])
    }

    /// The anchor at a step of V1.
    #[must_use]
    pub fn anchor_at_v1(&self, step: Ix) -> Option<&Anchor> {
        self.at_v1[step.at()].map(|nth| &self.anchors[nth])
    }

    /// The anchor at a step of V2. Where an operator mapped further steps of V1 to it, the one that means
    /// the same by content, or else the first.
    #[must_use]
    pub fn anchor_at_v2(&self, step: Ix) -> Option<&Anchor> {
        self.at_v2[step.at()].map(|nth| &self.anchors[nth])
    }

    /// The step of V2 that means what this step of V1 means.
    #[must_use]
    pub fn counterpart(&self, v1: Ix) -> Option<Ix> {
        self.anchor_at_v1(v1).map(|anchor| anchor.v2)
    }

    /// The step of V1 that means what this step of V2 means.
    #[must_use]
    pub fn counterpart_back(&self, v2: Ix) -> Option<Ix> {
        self.anchor_at_v2(v2).map(|anchor| anchor.v1)
    }

    /// Steps of V1 that nothing in V2 means, in V1's order.
    #[must_use]
    pub fn deleted(&self) -> &[Deleted] {
        &self.deleted
    }

    /// The anchor where sessions at a deleted step of V1 go on.
    #[must_use]
    pub fn nearest_anchor(&self, v1: Ix) -> Option<&Anchor> {
        let nth = self.deleted.binary_search_by_key(&v1, |deleted| deleted.v1).ok()?;
        self.deleted[nth].nearest.map(|nth| &self.anchors[nth])
    }

    /// Steps of V2 that nothing in V1 means, in V2's order.
    #[must_use]
    pub fn new_steps(&self) -> &[Ix] {
        &self.new
    }

    /// Content hashes that several steps share and that only their position could tell apart.
    #[must_use]
    pub fn ambiguous(&self) -> &[ContentHash] {
        &self.ambiguous
    }

    /// Whether the ways out of a step of V2 differ from its counterpart's in V1: by target (compared
    /// through counterparts), condition or priority. The ways out of a new step always do.
    #[must_use]
    pub fn rules_changed(&self, v2: Ix) -> bool {
        changes::rules_changed(self, v2)
    }

    /// Whether a step of V2 leads to another set of steps than its counterpart in V1 without having gained
    /// a way on.
    #[must_use]
    pub fn retargeted(&self, v2: Ix) -> bool {
        changes::retargeted(self, v2)
    }

    /// What a customer who stands at the anchor may meet, at most; a session's own past may make it milder.
    #[must_use]
    pub fn migration_scenario(&self, anchor: &Anchor) -> MigrationScenario {
        let compute = || self.upstream(anchor).migration_scenario(&self.v2);
        match self.at_v1[anchor.v1.at()].and_then(|nth| self.scenarios.get(nth)) {
            Some(known) => *known.get_or_init(compute),
            None => compute(),
        }
    }

    /// What changed before an anchor.
    #[must_use]
    pub fn upstream(&self, anchor: &Anchor) -> Changes {
        changes::of(self, anchor, Side::Upstream)
    }

    /// What changed after an anchor.
    #[must_use]
    pub fn downstream(&self, anchor: &Anchor) -> Changes {
        changes::of(self, anchor, Side::Downstream)
    }
}

fn add_mappings(
    v1: &Graph,
    v2: &Graph,
    mappings: &[Mapping],
    found: &mut Vec<(Ix, Ix)>,
    origins: &mut HashMap<Ix, Origin>,
) {
    let paired: std::collections::HashSet<Ix> = found.iter().map(|(from, _)| *from).collect();
    for mapping in mappings {
        if let (Some(from), Some(to)) = (v1.index(&mapping.from), v2.index(&mapping.to))
            && !paired.contains(&from)
            && !origins.contains_key(&from)
        {
            found.push((from, to));
            origins.insert(from, Origin::Mapping);
        }
    }
}
