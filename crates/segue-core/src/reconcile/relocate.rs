//! Finds a place for a session that no plan can bring further: its own version is gone or was changed
//! under it, or a version on its way is missing.
//!
//! The step that means what the session's step means; else the nearest visited step that still exists,
//! walking the history backwards; else the session leaves the scenario with a friendly word. It is never
//! silently sent back to the start: only a session of which no past is known begins there.

use crate::reconcile::checkpoint;
use crate::scenario::graph::{Graph, Ix};
use crate::scenario::hash::ContentHash;
use crate::session::Session;
use crate::session::event::{CheckpointBlock, Gone, Renamed};

/// Where a session goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At the step that means the same.
    Same(Ix),
    /// At a step that it has visited.
    Visited(Ix),
    /// At the entry, because nothing is known of its past.
    Entry(Ix),
    /// Nowhere; if a checkpoint forbade a place, this one.
    Nowhere(Option<CheckpointBlock>),
}

/// Finds a place on a version by what steps mean, without a diff.
#[must_use]
pub fn place(session: &Session, graph: &Graph) -> Place {
    let here = session.step_content_hash;
    let same = alike(graph, here);
    let own = same.iter().copied().find(|ix| graph.step(*ix).id == session.step_id);
    let visited_alike = session.step_history.iter().filter(|visit| visit.step_content_hash == here);
    let only = same.first().copied().filter(|_| same.len() == 1 && visited_alike.count() <= 1);
    if let Some(same) = own.or(only) {
        return Place::Same(same);
    }
    // Of several steps that mean the same, one that a checkpoint forbids is not the session's own.
    let mut blocked = None;
    let mut allowed = |hash| {
        alike(graph, hash).into_iter().find(|ix| {
            let block = checkpoint::forbids(session, None, graph, *ix);
            let is_allowed = block.is_none();
            blocked = blocked.take().or(block);
            is_allowed
        })
    };
    if let Some(same) = allowed(here) {
        return Place::Same(same);
    }
    for visit in session.step_history.iter().rev() {
        if let Some(ix) = allowed(visit.step_content_hash) {
            return Place::Visited(ix);
        }
    }
    if session.step_history.is_empty() {
        return Place::Entry(graph.entry());
    }
    Place::Nowhere(blocked)
}

fn alike(graph: &Graph, hash: ContentHash) -> Vec<Ix> {
    graph.indices().filter(|ix| graph.hash(*ix) == hash).collect()
}

/// What becomes of the visits: recognised by what they mean where that is unique.
#[must_use]
pub fn past(session: &Session, graph: &Graph) -> (Vec<Renamed>, Vec<Gone>) {
    let (mut renamed, mut gone) = (Vec::new(), Vec::new());
    for visit in &session.step_history {
        let mut alike = graph.indices().filter(|ix| graph.hash(*ix) == visit.step_content_hash);
        match (alike.next(), alike.next()) {
            (Some(ix), None) if graph.step(ix).id == visit.step_id => {}
            (Some(ix), None) => renamed.push(Renamed {
                from: visit.step_id.clone(),
                from_hash: visit.step_content_hash,
                to: graph.step(ix).id.clone(),
                to_hash: graph.hash(ix),
                to_checkpoint: graph.step(ix).is_checkpoint,
            }),
            (Some(_), Some(_)) => {}
            (None, _) => gone.push(Gone {
                step_id: visit.step_id.clone(),
                content_hash: visit.step_content_hash,
            }),
        }
    }
    (renamed, gone)
}
