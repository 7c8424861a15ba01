//! Taking a copy back to an earlier end, so that what follows is copied anew.
//!
//! Only a log in mode `copying` is rewound, and only to a digest that it keeps, or to its beginning. Streams
//! are left where their remaining events end; a snapshot that is newer goes, and comes again with the
//! events.

use segue_core::digest::Mark;
use segue_core::ids::{TenantId, Term};

use super::error::{Error, Result};
use super::head::{Head, Mode};

/// A request to rewind a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewind {
    /// Whose log.
    pub tenant: TenantId,
    /// The term at which the copy was claimed; it must be the head's.
    pub term: Term,
    /// The new end.
    pub to: Mark,
}

impl Rewind {
    /// The head after it; nothing when it stands there already and `beyond`, the number of events after
    /// that, is 0. `is_kept` says whether the log keeps this very digest.
    pub(crate) fn decide(&self, head: Head, is_kept: bool, beyond: u64) -> Result<Option<Head>> {
        if head.mode != Mode::Copying || head.term != self.term {
            return Err(Error::HeadDiffers { head: Box::new(head) });
        }
        if head.mark() == self.to && beyond == 0 {
            return Ok(None);
        }
        if self.to.position > head.position || !(is_kept || self.to == Mark::START) {
            return Err(Error::Invalid(format!(
                "a copy is rewound to a digest that it keeps, and none like that is at position {}",
                self.to.position
            )));
        }
        let Mark { position, digest } = self.to;
        Ok(Some(Head { position, digest, ..head }))
    }
}
