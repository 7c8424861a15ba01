//! Finds a place for a session that no plan can bring further: its own version is gone or was changed
//! under it, or a version on its way is missing.
//!
//! The step that means what the session's step means; else the nearest visited step that still exists,
//! walking the history backwards; else the session leaves the scenario with a friendly word. It is never
//! silently sent back to the start: only a session of which no past is known begins there.

use crate::reconcile::checkpoint;
use crate::scenario::graph::{Graph, Ix};
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
    if let Some(same) = find(graph, |ix| {
        graph.hash(ix) == session.step_content_hash && graph.step(ix).id == session.step_id
    })
    .or_else(|| find(graph, |ix| graph.hash(ix) == session.step_content_hash))
    {
        return Place::Same(same);
    }
    let mut blocked = None;
    for visit in session.step_history.iter().rev() {
        let Some(ix) = find(graph, |ix| graph.hash(ix) == visit.step_content_hash) else {
            continue;
        };
        match checkpoint::forbids(session, None, graph, ix) {
            None => return Place::Visited(ix),
            Some(block) => blocked = blocked.or(Some(block)),
        }
    }
    if session.step_history.is_empty() {
        return Place::Entry(graph.entry());
    }
    Place::Nowhere(blocked)
}

fn find(graph: &Graph, is_it: impl Fn(Ix) -> bool) -> Option<Ix> {
    graph.indices().find(|ix| is_it(*ix))
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
