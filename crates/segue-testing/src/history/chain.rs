//! Recomputes the digests of a log.

use segue_core::digest::{Entry, Mark, Verifier};
use segue_core::ids::Position;

use super::Wrong;

/// An event with all that the digest sees of it.
#[derive(Debug, Clone, Copy)]
pub struct Linked<'a> {
    /// Its place in the log.
    pub position: Position,
    /// The position of the first event that was appended with it.
    pub first: Position,
    /// What the digest sees.
    pub entry: Entry<'a>,
    /// Its payload; `None` where it was erased.
    pub payload: Option<&'a [u8]>,
}

/// Recomputes the chain over a whole log and compares it with the kept digests and the head's.
#[must_use]
pub fn check_chain<'a>(
    log: impl IntoIterator<Item = Linked<'a>>,
    kept: &[Mark],
    head: Mark,
) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let mut verifier = Verifier::after(Mark::START);
    let mut compare = |recomputed: Mark| {
        let at_end = (recomputed.position == head.position).then_some(head);
        let others = kept.iter().filter(|mark| mark.position == recomputed.position);
        for mark in others.chain(&at_end).filter(|mark| mark.digest != recomputed.digest) {
            wrong.push(Wrong::Digest {
                position: recomputed.position.0,
                recomputed: recomputed.digest,
                kept: mark.digest,
            });
        }
    };
    for event in log {
        match verifier.push(event.position, event.first, &event.entry, event.payload) {
            Ok(closed) => closed.into_iter().for_each(&mut compare),
            // What comes after a break cannot be judged.
            Err(violation) => return vec![violation.into()],
        }
    }
    let end = verifier.close();
    compare(end);
    if end.position != head.position {
        wrong.push(Wrong::Head { log: end.position.0, head: head.position.0 });
    }
    wrong
}
