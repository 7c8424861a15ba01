//! A session's visits, found in the version that it walks.

use crate::diff::Diff;
use crate::scenario::graph::{Graph, Ix};
use crate::session::event::{Gone, Renamed};
use crate::session::{Session, Visit};

/// The visits that are steps of the session's own version: same id, same meaning.
pub struct Past<'a> {
    /// In order of visiting.
    visits: Vec<(&'a Visit, Ix)>,
    /// By step: the visit to it.
    at: Vec<Option<&'a Visit>>,
}

impl<'a> Past<'a> {
    /// Finds a session's visits in the version that it walks.
    #[must_use]
    pub fn of(session: &'a Session, own: &Graph) -> Self {
        let mut at = vec![None; own.len()];
        let mut visits = Vec::with_capacity(session.step_history.len());
        for visit in &session.step_history {
            if let Some(ix) = own.index(&visit.step_id)
                && own.hash(ix) == visit.step_content_hash
            {
                at[ix.at()] = Some(visit);
                visits.push((visit, ix));
            }
        }
        Self { visits, at }
    }

    /// The visit to a step, if there was one.
    #[must_use]
    pub fn visit(&self, step: Ix) -> Option<&'a Visit> {
        self.at[step.at()]
    }

    /// What becomes of the visits in another version.
    #[must_use]
    pub fn retold(&self, diff: &Diff) -> (Vec<Renamed>, Vec<Gone>) {
        let (v1, v2) = (diff.v1(), diff.v2());
        let (mut renamed, mut gone) = (Vec::new(), Vec::new());
        for (visit, ix) in &self.visits {
            let (from, from_hash) = (&visit.step_id, v1.hash(*ix));
            match diff.counterpart(*ix) {
                Some(to) if v2.step(to).id == *from && v2.hash(to) == from_hash => {}
                Some(to) => renamed.push(Renamed {
                    from: from.clone(),
                    from_hash,
                    to: v2.step(to).id.clone(),
                    to_hash: v2.hash(to),
                    to_checkpoint: v2.step(to).is_checkpoint,
                }),
                None => gone.push(Gone { step_id: from.clone(), content_hash: from_hash }),
            }
        }
        (renamed, gone)
    }
}
