//! Where the plans want a session, and what changed on the way there for everyone at its step.
//!
//! This is the static part of a migration: the same for all sessions that stand at one step of one
//! version. Usually it comes from the diff of the session's own version and the target. If the session's
//! version is no longer archived, the maps that the plans stored are composed hop by hop; they know
//! the anchors and what was inserted before them, but not the way that the session went.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::diff::{Anchor, Diff, Origin};
use crate::ids::StepId;
use crate::plan::policy::{AnchorKey, MigrationScenario};
use crate::reconcile::Archive;
use crate::reconcile::chain::Chain;
use crate::scenario::graph::{Edge, Graph, Ix};
use crate::scenario::hash::ContentHash;
use crate::session::Session;

/// What a stored plan still says of one anchor when the version that it leads from is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedAnchor {
    /// What policies call it.
    pub key: AnchorKey,
    /// What its step means.
    pub content_hash: ContentHash,
    /// The step in the version that is left.
    pub v1: StepId,
    /// The step in the version that the plan leads to.
    pub v2: StepId,
    /// What a session at the anchor may meet, at most.
    pub migration_scenario: MigrationScenario,
    /// Steps of the second version that were inserted before it, in the order of asking.
    pub inserted: Vec<StepId>,
    /// Steps of the second version before it that have become forks.
    pub forks: Vec<StepId>,
}

/// Why a session is to go on at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// It means the same as the step where the session stands.
    Same,
    /// It is one of several steps that mean the same, and is called otherwise: it was taken for the
    /// session's own by where it stands.
    Alike,
    /// An operator said that it means the same.
    Mapped,
    /// Nothing means the same; it is the closest step of which something does.
    Nearest,
}

/// Where a session is to go on.
pub struct Landing {
    /// The version that the plans lead to.
    pub target: Arc<Graph>,
    /// The step of it where the session is to go on.
    pub place: Ix,
    /// Why there.
    pub ground: Ground,
    /// What policies call the anchor.
    pub anchor: AnchorKey,
    /// What the session may meet, at most.
    pub bound: MigrationScenario,
    source: Source,
}

/// What is known of the way to a landing.
enum Source {
    /// The session's own version and the target, compared.
    Diff(Arc<Diff>),
    /// What the stored maps say; the session's version is gone.
    Maps(Upstream),
}

/// What is new before a landing, for everyone at the session's step.
#[derive(Clone)]
pub struct Upstream {
    /// Steps that were inserted.
    pub inserted: Vec<Ix>,
    /// The new forks, in the order in which they are met.
    pub forks: Vec<Fork>,
}

/// A new fork, and the branches in the order in which they are tried.
#[derive(Clone)]
pub struct Fork {
    /// The step.
    pub step: Ix,
    /// Its branches.
    pub edges: Vec<Edge>,
}

impl Landing {
    /// Lands a session whose own version is at hand.
    ///
    /// Nothing if the two versions have no step in common, so that there is no place to land.
    #[must_use]
    pub fn by_diff(session: &Session, diff: Arc<Diff>) -> Option<Self> {
        let here = diff.v1().index(&session.step_id)?;
        let own = diff.anchor_at_v1(here);
        let anchor = own.or_else(|| diff.nearest_anchor(here))?;
        Some(Self {
            place: anchor.v2,
            ground: match own.map(|anchor| anchor.origin) {
                Some(Origin::Content) if is_alike(&diff, anchor) => Ground::Alike,
                Some(Origin::Content) => Ground::Same,
                Some(Origin::Mapping) => Ground::Mapped,
                None => Ground::Nearest,
            },
            anchor: anchor.key.clone(),
            bound: diff.migration_scenario(anchor),
            target: diff.v2().clone(),
            source: Source::Diff(diff),
        })
    }

    /// The session's own version and the target, compared; nothing if its version is gone.
    #[must_use]
    pub fn diff(&self) -> Option<&Arc<Diff>> {
        match &self.source {
            Source::Diff(diff) => Some(diff),
            Source::Maps(_) => None,
        }
    }

    /// Whether the caller has reported the action of a step of the target done: for this migration, or
    /// at the step of the session's own version that means the same.
    #[must_use]
    pub fn is_done(&self, session: &Session, step: Ix) -> bool {
        let id = &self.target.step(step).id;
        let before = match self.diff() {
            None => Some(id),
            Some(diff) => match diff.counterpart_back(step) {
                Some(own) => Some(&diff.v1().step(own).id),
                // A step of the own version that has this id is another one.
                None => Some(id).filter(|id| diff.v1().index(id).is_none()),
            },
        };
        session.actions_ahead.contains(id)
            || before.is_some_and(|before| session.actions_done.contains(before))
    }

    /// What is new before the landing: by a diff, as somebody meets it who walks from the entry, whatever
    /// the order in which the steps are written; by stored maps, in their order.
    #[must_use]
    pub fn upstream(&self) -> Upstream {
        match &self.source {
            Source::Maps(upstream) => upstream.clone(),
            Source::Diff(diff) => {
                let anchor = diff.anchor(&self.anchor);
                let mut changes = anchor.map(|anchor| diff.upstream(anchor)).unwrap_or_default();
                let ranks = ranks(&self.target);
                changes.inserted.sort_by_key(|step| ranks[step.at()]);
                changes.forks.sort_by_key(|step| ranks[step.at()]);
                let fork = |step| Fork { step, edges: self.target.edges(step).to_vec() };
                Upstream {
                    inserted: changes.inserted,
                    forks: changes.forks.into_iter().map(fork).collect(),
                }
            }
        }
    }

    /// Lands a session whose own version is gone, by the maps of all plans on the way.
    ///
    /// Nothing if a map is missing or has no anchor for the session: a part of the way is not executed
    /// as if it were the whole.
    #[must_use]
    pub fn by_maps(session: &Session, chain: &Chain<'_>, archive: &dyn Archive) -> Option<Self> {
        let target = archive.graph(chain.target())?;
        let mut hash = session.step_content_hash;
        let mut first: Option<MappedAnchor> = None;
        let mut place = session.step_id.clone();
        let (mut inserted, mut forks) = (Vec::<StepId>::new(), Vec::<StepId>::new());
        let mut bound = MigrationScenario::CleanGraft;
        let mut ground = Ground::Same;
        for plan in chain.plans() {
            let map = archive.map(plan.plan_id)?;
            let renamed = |id: &StepId| {
                map.iter().find(|anchor| anchor.v1 == *id).map_or(id, |anchor| &anchor.v2).clone()
            };
            inserted = inserted.iter().map(renamed).collect();
            forks = forks.iter().map(renamed).collect();
            let alike = |anchor: &&MappedAnchor| anchor.content_hash == hash;
            let own = map.iter().filter(alike).find(|anchor| anchor.v1 == place);
            let anchor = own.or_else(|| map.iter().find(alike))?;
            if own.is_none() {
                ground = Ground::Alike;
            } else if anchor.key.mapped_step().is_some() {
                ground = Ground::Mapped;
            }
            for step in &anchor.inserted {
                if !inserted.contains(step) {
                    inserted.push(step.clone());
                }
            }
            forks.extend(anchor.forks.iter().cloned());
            bound = bound.max(anchor.migration_scenario);
            hash = anchor.content_hash;
            place = anchor.v2.clone();
            first.get_or_insert_with(|| anchor.clone());
        }
        // What only an intermediate version wanted is not in the target any more, and not asked.
        let inserted: Vec<Ix> = inserted.iter().filter_map(|id| target.index(id)).collect();
        let forks = forks
            .iter()
            .filter_map(|id| target.index(id))
            .map(|step| {
                let mut edges = target.edges(step).to_vec();
                edges.sort_by_key(|edge| edge.nth);
                Fork { step, edges }
            })
            .collect();
        Some(Self {
            place: target.index(&place)?,
            ground,
            anchor: first?.key,
            bound,
            target,
            source: Source::Maps(Upstream { inserted, forks }),
        })
    }
}

/// Whether an anchor's steps were paired among several of the same meaning, not by their ids.
fn is_alike(diff: &Diff, anchor: &Anchor) -> bool {
    let (v1, v2) = (diff.v1(), diff.v2());
    let is_shared = |graph: &Graph| {
        graph.indices().filter(|ix| graph.hash(*ix) == anchor.hash).nth(1).is_some()
    };
    v1.step(anchor.v1).id != v2.step(anchor.v2).id && (is_shared(v1) || is_shared(v2))
}

/// By step: its place in a search from the entry, nearest first.
fn ranks(graph: &Graph) -> Vec<usize> {
    let mut ranks = vec![usize::MAX; graph.len()];
    let mut waiting = VecDeque::from([graph.entry()]);
    let mut next = 0;
    while let Some(ix) = waiting.pop_front() {
        if ranks[ix.at()] == usize::MAX {
            ranks[ix.at()] = next;
            next += 1;
            waiting.extend(graph.edges(ix).iter().map(|edge| edge.to));
        }
    }
    ranks
}
