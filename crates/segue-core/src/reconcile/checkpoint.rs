//! The checkpoint gate: what is irreversible is never undone by a move.
//!
//! Whoever has passed a checkpoint may be moved only to the checkpoint itself or to a step that can be
//! reached from it in the target version. A step before it would make the customer pay twice; a step
//! beside it would reject somebody who has paid; and of a checkpoint that the target version no longer
//! has nobody can show where it stood.
//!
//! The gate is asked for every move to a place other than the session's own anchor, whatever strategy
//! wants it.

use std::sync::Arc;

use fixedbitset::FixedBitSet;

use crate::diff::Diff;
use crate::scenario::graph::{Graph, Ix};
use crate::session::event::CheckpointBlock;
use crate::session::{Session, Visit};

/// Says which passed checkpoint forbids a move, the latest first; nothing if the move is allowed.
///
/// `diff` leads from the session's version to the target's; without it checkpoints are recognised by what
/// they mean alone.
#[must_use]
pub fn forbids(
    session: &Session,
    diff: Option<&Arc<Diff>>,
    target: &Graph,
    to: Ix,
) -> Option<CheckpointBlock> {
    for visit in session.step_history.iter().rev() {
        let places = places(visit, diff, target);
        // An operator may have mapped a step to one that says that it is irreversible.
        let is_checkpoint =
            visit.is_checkpoint || places.iter().any(|ix| target.step(*ix).is_checkpoint);
        if is_checkpoint && !is_behind(&places, target, to) {
            let step = target.step(to);
            return Some(CheckpointBlock {
                checkpoint_name: visit.step_name.clone(),
                checkpoint_description: visit.checkpoint_description.clone(),
                passed_at: visit.entered_at,
                target_step_id: step.id.clone(),
                target_name: step.name.clone(),
            });
        }
    }
    None
}

/// The warning that goes with a forbidden move.
#[must_use]
pub fn warning(block: &CheckpointBlock, target: &Graph) -> String {
    let checkpoint = block.checkpoint_description.as_ref().unwrap_or(&block.checkpoint_name);
    format!(
        "Cannot migrate past checkpoint: {checkpoint}. The customer has passed \"{}\", and \"{}\" \
         cannot be reached from there in version {}.",
        block.checkpoint_name,
        block.target_name,
        target.scenario().version,
    )
}

/// Where a passed checkpoint stands in the target version. Several steps that mean the same cannot be
/// told apart without the version that was walked: then it may be any of them.
fn places(visit: &Visit, diff: Option<&Arc<Diff>>, target: &Graph) -> Vec<Ix> {
    let walked = diff.and_then(|diff| {
        let ix = diff.v1().index(&visit.step_id)?;
        (diff.v1().hash(ix) == visit.step_content_hash).then(|| diff.counterpart(ix))
    });
    match walked {
        Some(counterpart) => counterpart.into_iter().collect(),
        None => target.indices().filter(|ix| target.hash(*ix) == visit.step_content_hash).collect(),
    }
}

/// Whether a step is one of these places or can be reached from it, for every place that there may be.
fn is_behind(checkpoints: &[Ix], target: &Graph, to: Ix) -> bool {
    !checkpoints.is_empty()
        && checkpoints.iter().all(|checkpoint| reachable(target, *checkpoint).contains(to.at()))
}

fn reachable(graph: &Graph, from: Ix) -> FixedBitSet {
    graph.reachable_from(from)
}
