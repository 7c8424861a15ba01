//! A writer: it appends its events one after the other, the next when the one before was acknowledged.

use segue_core::ids::Epoch;

use super::log::Id;
use super::scene::Scene;
use super::state::State;
use super::store::{Answer, Request};
use super::world::Place;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Writer {
    /// Where it believes the tenant to live; nothing when it has to ask.
    pub route: Option<(Place, Epoch)>,
    pub acknowledged: u8,
}

/// What a writer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    ReadRoute,
    Append {
        is_answered: bool,
    },
    /// Appends, where it arrives later; the writer does not wait for it.
    Send,
}

/// The nth event of a writer.
pub fn id(writer: usize, nth: u8) -> Id {
    1 + 16 * Id::try_from(writer).unwrap() + nth
}

impl Scene {
    pub fn pending(&self, state: &State, writer: usize) -> Option<Id> {
        let nth = state.writers[writer].acknowledged;
        (nth < self.events[writer]).then(|| id(writer, nth))
    }

    pub fn writer_acts(&self, state: &State, writer: usize) -> Vec<Act> {
        if self.pending(state, writer).is_none() {
            return Vec::new();
        }
        match state.writers[writer].route {
            // It waits.
            None if state.world.register.holds_writes() => Vec::new(),
            None => vec![Act::ReadRoute],
            Some(_) => {
                let mut acts =
                    vec![Act::Append { is_answered: true }, Act::Append { is_answered: false }];
                acts.extend((state.late_appends() < self.late_appends).then_some(Act::Send));
                acts
            }
        }
    }

    pub fn writer_acted(&self, state: &mut State, writer: usize, act: Act) -> Option<()> {
        let append =
            |(place, epoch): (Place, Epoch), id: Id| (place, Request::Append { id, epoch });
        match act {
            Act::ReadRoute => {
                let route = (state.world.owner(), state.world.register.epoch);
                state.writers[writer].route = Some(route);
            }
            Act::Append { is_answered } => {
                let id = self.pending(state, writer)?;
                let (place, request) = append(state.writers[writer].route?, id);
                let answer = self.append(state, place, &request, is_answered);
                if answer == Answer::Refused || !is_answered {
                    state.writers[writer].route = None;
                }
            }
            Act::Send => {
                let id = self.pending(state, writer)?;
                let (place, request) = append(state.writers[writer].route.take()?, id);
                state.send(place, request);
            }
        }
        Some(())
    }

    /// Appends, and tells the writer if it still waits for that.
    pub fn append(
        &self,
        state: &mut State,
        place: Place,
        request: &Request,
        is_answered: bool,
    ) -> Answer {
        let answer = state.world.deliver(place, request, self.protocol);
        if let (Request::Append { id, .. }, Answer::Done, true) = (request, answer, is_answered) {
            let waits = (0..2).find(|writer| self.pending(state, *writer) == Some(*id));
            if let Some(writer) = waits {
                state.writers[writer].acknowledged += 1;
                state.acknowledged[place as usize] = true;
            }
        }
        answer
    }
}
