//! Where the plans want a session, and what changed on the way there for everyone at its step.
//!
//! This is the static part of a migration: the same for all sessions that stand at one step of one
//! version. Usually it comes from the diff of the session's own version and the target. If the session's
//! version is no longer archived, the maps that the plans stored are composed hop by hop; they know
//! the anchors and what was inserted before them, but not the way that the session went.

use std::sync::Arc;

use crate::diff::changes::Changes;
use crate::diff::{Diff, Origin};
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
    /// Steps that were inserted before it.
    pub inserted: Vec<Ix>,
    /// The new ways to decide before it, in the order in which they are tried.
    pub forks: Vec<Fork>,
    /// The session's own version and the target, compared; nothing if its version is gone.
    pub diff: Option<Arc<Diff>>,
}

/// A new fork, and the branches in the order in which they are tried.
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
        let Changes { inserted, forks, .. } = diff.upstream(anchor);
        let bound = diff.migration_scenario(anchor);
        let target = diff.v2().clone();
        let forks = forks
            .into_iter()
            .map(|step| Fork { step, edges: target.edges(step).to_vec() })
            .collect();
        Some(Self {
            place: anchor.v2,
            ground: match own.map(|anchor| anchor.origin) {
                Some(Origin::Content) => Ground::Same,
                Some(Origin::Mapping) => Ground::Mapped,
                None => Ground::Nearest,
            },
            anchor: anchor.key.clone(),
            bound,
            inserted,
            forks,
            target,
            diff: Some(diff.clone()),
        })
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
        for plan in chain.plans() {
            let map = archive.map(plan.plan_id)?;
            let renamed = |id: &StepId| {
                map.iter().find(|anchor| anchor.v1 == *id).map_or(id, |anchor| &anchor.v2).clone()
            };
            inserted = inserted.iter().map(renamed).collect();
            forks = forks.iter().map(renamed).collect();
            let anchor = map
                .iter()
                .find(|anchor| anchor.content_hash == hash && anchor.v1 == place)
                .or_else(|| map.iter().find(|anchor| anchor.content_hash == hash))?;
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
            ground: Ground::Same,
            anchor: first?.key,
            bound,
            inserted,
            forks,
            target,
            diff: None,
        })
    }
}
