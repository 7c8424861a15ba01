//! A store that came back as an earlier one than it was: from a backup, or as a standby that lagged.
//!
//! With what was not copied it has lost fences. What it says of a tenant's head is then old news: it may
//! look open for a tenant that has moved away, or whose cutover is being decided. The route is not lost, and
//! says how the head must be shut. Until it is, nothing may be written or read there as an owner's.

use super::Route;
use super::head::{Head, HeadSwap, Mode};
use crate::ids::StoreId;

/// The change that shuts a tenant's head in a store that came back, if it must be shut and is not.
///
/// ```
/// use segue_core::ids::{Epoch, StoreId};
/// use segue_core::tenancy::head::{Head, Mode};
/// use segue_core::tenancy::{Route, restored::fence};
///
/// let (left, owner) = (StoreId::new("shared")?, StoreId::new("dedicated")?);
/// let head = Head::opened(Epoch(1));
/// let swap = fence(&Route::first(owner.clone()), &left, &head).expect("the tenant lives elsewhere");
/// assert_eq!(head.swapped(&swap).map(|head| head.mode), Ok(Mode::Moved));
/// assert_eq!(fence(&Route::first(owner.clone()), &owner, &head), None);
/// # Ok::<(), segue_core::ids::Invalid>(())
/// ```
#[must_use]
pub fn fence(route: &Route, store: &StoreId, head: &Head) -> Option<HeadSwap> {
    let mode = match (route.store_id == *store, head.mode) {
        // A copy or what is left of one takes no writes, whatever its age.
        (_, Mode::Copying | Mode::Moved | Mode::Tombstone) => return None,
        (false, Mode::Open | Mode::Prepared | Mode::Fenced) => Mode::Moved,
        (true, Mode::Open | Mode::Prepared) if route.holds_writes() => Mode::Fenced,
        (true, Mode::Open | Mode::Prepared | Mode::Fenced) => return None,
    };
    Some(HeadSwap {
        expect_epoch: head.epoch,
        expect_mode: head.mode,
        expect_mark: None,
        term: route.term.max(head.term),
        epoch: head.epoch,
        mode,
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::ids::{Epoch, Term};
    use crate::tenancy::Phase;

    fn shared() -> StoreId {
        StoreId::new("shared").expect("an id")
    }

    fn route() -> Route {
        Route { epoch: Epoch(3), term: Term(7), ..Route::first(shared()) }
    }

    fn head(mode: Mode) -> Head {
        Head { mode, term: Term(2), ..Head::opened(Epoch(3)) }
    }

    fn shut(route: &Route, store: &StoreId, before: Mode) -> Option<Head> {
        let head = head(before);
        fence(route, store, &head).map(|swap| head.swapped(&swap).expect("it fits"))
    }

    #[test]
    fn whoever_is_not_the_owner_gives_no_answers_and_takes_no_writes() {
        let elsewhere = StoreId::new("dedicated").expect("an id");
        for before in [Mode::Open, Mode::Prepared, Mode::Fenced] {
            let head = shut(&route(), &elsewhere, before).expect("it was not shut");
            assert_eq!((head.mode, head.epoch, head.term), (Mode::Moved, Epoch(3), Term(7)));
        }
        for before in [Mode::Moved, Mode::Copying, Mode::Tombstone] {
            assert_eq!(shut(&route(), &elsewhere, before), None);
        }
    }

    #[test]
    fn an_owner_whose_writes_wait_takes_none() {
        let paused = Route { phase: Phase::Paused { since: Timestamp::UNIX_EPOCH }, ..route() };
        let head = shut(&paused, &shared(), Mode::Open).expect("it was not shut");
        assert_eq!((head.mode, head.term), (Mode::Fenced, Term(7)));
        assert_eq!(shut(&paused, &shared(), Mode::Fenced), None);
        assert_eq!(shut(&route(), &shared(), Mode::Open), None);
    }

    #[test]
    fn a_term_never_goes_back() {
        let route = Route { term: Term(1), ..route() };
        let elsewhere = StoreId::new("dedicated").expect("an id");
        assert_eq!(shut(&route, &elsewhere, Mode::Open).map(|head| head.term), Some(Term(2)));
    }
}
