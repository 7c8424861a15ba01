//! A log of a few events, and a digest that tells them apart.

use segue_core::digest::{Digest, Mark};
use segue_core::ids::Position;

/// An event; 0 is none.
pub type Id = u8;

/// Set on an event that is no longer what was appended.
const DAMAGED: Id = 0x80;

/// What a store has on its disk, which its head may disagree with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Log {
    events: [Id; 8],
}

impl Log {
    pub fn events(&self) -> &[Id] {
        &self.events[..self.len()]
    }

    pub fn len(&self) -> usize {
        self.events.iter().position(|id| *id == 0).unwrap_or(self.events.len())
    }

    pub fn push(&mut self, id: Id) {
        self.events[self.len()] = id;
    }

    /// Whether an event is here; a store looks for its id, whatever became of the rest.
    pub fn has(&self, id: Id) -> bool {
        self.events().iter().any(|here| here & !DAMAGED == id)
    }

    pub fn damage_last(&mut self) {
        if let Some(last) = self.len().checked_sub(1) {
            self.events[last] |= DAMAGED;
        }
    }

    /// The log as it was appended.
    pub fn undamaged(mut self) -> Self {
        self.events.iter_mut().for_each(|id| *id &= !DAMAGED);
        self
    }

    /// Whether one log is the beginning of the other.
    pub fn is_comparable(&self, other: &Self) -> bool {
        self.events().iter().zip(other.events()).all(|(one, other)| one == other)
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x?}", self.events())
    }
}

/// The mark after some more events. The digest lists the events, so it differs when they do.
pub fn extended(mark: Mark, events: &[Id]) -> Mark {
    let Mark { position: Position(mut position), digest: Digest(mut digest) } = mark;
    for id in events {
        digest[usize::try_from(position).unwrap()] = *id;
        position += 1;
    }
    Mark { position: Position(position), digest: Digest(digest) }
}
