//! A store that came back as an earlier one than it was: from a backup, or as a standby that lagged.
//!
//! What it says of a tenant's head is then old news. A head may look open for a tenant that has moved away,
//! or whose cutover is being decided; or look fenced by an attempt that was given up, whose late effects may
//! open it. The route is not lost. So every head is set to what the route says, at the route's term, before
//! anything is written or read there as an owner's.

use super::head::{Head, HeadSwap, Mode};
use super::migration::Stage;
use super::{Phase, Route};
use crate::ids::{Epoch, StoreId, Term};

/// The change that makes a tenant's head in a store that came back what it must be; nothing where it can do
/// no harm. Also a head that looks right is set, for a late effect of an older term must find a later one.
///
/// ```
/// use segue_core::ids::{Epoch, StoreId};
/// use segue_core::tenancy::head::{Head, Mode};
/// use segue_core::tenancy::{Route, restored::mend};
///
/// let left = StoreId::new("shared")?;
/// let mut route = Route::first(StoreId::new("dedicated")?);
/// route.epoch = Epoch(2);
/// let head = Head::opened(Epoch(1));
/// let swap = mend(&route, &left, &head).expect("the tenant lives elsewhere");
/// assert_eq!(head.swapped(&swap).map(|head| head.mode), Ok(Mode::Moved));
/// # Ok::<(), segue_core::ids::Invalid>(())
/// ```
#[must_use]
pub fn mend(route: &Route, store: &StoreId, head: &Head) -> Option<HeadSwap> {
    match head.mode {
        // Neither is read or written as an owner's, whatever its age. Where an owner's is expected, whoever
        // carries the move on fills and prepares it again.
        Mode::Copying | Mode::Moved | Mode::Tombstone => return None,
        Mode::Open | Mode::Fenced | Mode::Prepared => {}
    }
    let is_past = head.epoch < route.epoch;
    let (term, epoch, mode) = if route.store_id != *store {
        // One above the route's epoch is prepared, for an epoch that nobody was told of.
        is_past.then_some(left(route, head))?
    } else if is_past && has_come_from_the_peer(route) {
        left(route, head)
    } else {
        (route.term, route.epoch, owners(route, head.mode))
    };
    Some(HeadSwap {
        expect_epoch: head.epoch,
        expect_mode: head.mode,
        expect_mark: None,
        term: term.max(head.term),
        epoch,
        mode,
    })
}

/// Not fenced but left, and at the claim's term, so that it can be claimed as a copy.
fn left(route: &Route, head: &Head) -> (Term, Epoch, Mode) {
    let term = route.moving.as_ref().map_or(route.term, |moving| moving.claim);
    (term, head.epoch, Mode::Moved)
}

/// Whether the peer has all that this owner had at the commit.
fn has_come_from_the_peer(route: &Route) -> bool {
    let stage = route.moving.as_ref().map(|moving| &moving.stage);
    matches!(stage, Some(Stage::Migrated { .. } | Stage::Finishing { .. }))
}

fn owners(route: &Route, mode: Mode) -> Mode {
    let stage = route.moving.as_ref().map(|moving| &moving.stage);
    match (stage, route.phase) {
        (Some(Stage::CutoverPaused { .. }), _) | (_, Phase::Paused { .. }) => Mode::Fenced,
        (_, Phase::Settled) if mode == Mode::Prepared => Mode::Prepared,
        (_, Phase::Settled) => Mode::Open,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::digest::Mark;
    use crate::ids::MigrationId;
    use crate::tenancy::migration::Moving;

    fn id(id: &str) -> StoreId {
        StoreId::new(id).expect("an id")
    }

    /// A tenant that lives in `shared`, at an epoch that was not its first.
    fn route() -> Route {
        Route { epoch: Epoch(3), term: Term(7), ..Route::first(id("shared")) }
    }

    fn moving(stage: Stage) -> Route {
        let migration = MigrationId(uuid::Uuid::nil());
        let (peer, claim, attempts) = (id("dedicated"), Term(5), 0);
        Route { moving: Some(Moving { migration, peer, stage, claim, attempts }), ..route() }
    }

    fn head(mode: Mode, epoch: u64) -> Head {
        Head { mode, term: Term(2), ..Head::opened(Epoch(epoch)) }
    }

    /// Epoch, mode and term afterwards, if it is changed.
    fn mended(route: &Route, store: &str, head: Head) -> Option<(u64, Mode, u64)> {
        let swap = mend(route, &id(store), &head)?;
        let head = head.swapped(&swap).expect("it fits");
        Some((head.epoch.0, head.mode, head.term.0))
    }

    #[test]
    fn whoever_is_not_the_owner_gives_no_answers_and_takes_no_writes() {
        for mode in [Mode::Open, Mode::Prepared, Mode::Fenced] {
            let after = mended(&route(), "dedicated", head(mode, 2));
            assert_eq!(after, Some((2, Mode::Moved, 7)));
        }
        for mode in [Mode::Moved, Mode::Copying, Mode::Tombstone] {
            assert_eq!(mended(&route(), "dedicated", head(mode, 2)), None);
        }
        // It may be claimed for the way back.
        let migrated = moving(Stage::Migrated { at: Mark::START });
        let after = mended(&migrated, "dedicated", head(Mode::Fenced, 2));
        assert_eq!(after, Some((2, Mode::Moved, 5)));
    }

    #[test]
    fn a_target_that_is_about_to_be_decided_on_is_left_alone() {
        assert_eq!(mended(&route(), "dedicated", head(Mode::Prepared, 4)), None);
    }

    #[test]
    fn an_owner_is_set_to_its_route_also_if_it_looks_right() {
        assert_eq!(mended(&route(), "shared", head(Mode::Open, 3)), Some((3, Mode::Open, 7)));
        assert_eq!(mended(&route(), "shared", head(Mode::Fenced, 2)), Some((3, Mode::Open, 7)));
        let prepared = head(Mode::Prepared, 3);
        assert_eq!(mended(&route(), "shared", prepared), Some((3, Mode::Prepared, 7)));
    }

    #[test]
    fn an_owner_whose_writes_wait_takes_none() {
        let paused = Route { phase: Phase::Paused { since: Timestamp::UNIX_EPOCH }, ..route() };
        let cutover = moving(Stage::CutoverPaused {
            next: Epoch(4),
            decided: Term(7),
            since: Timestamp::UNIX_EPOCH,
        });
        for route in [paused, cutover] {
            for mode in [Mode::Open, Mode::Fenced] {
                let after = mended(&route, "shared", head(mode, 3));
                assert_eq!(after, Some((3, Mode::Fenced, 7)));
            }
        }
    }

    #[test]
    fn a_new_owner_that_has_lost_the_copy_is_filled_again_from_the_old_one() {
        let migrated = moving(Stage::Migrated { at: Mark::START });
        let before = head(Mode::Fenced, 1);
        assert_eq!(mended(&migrated, "shared", before), Some((1, Mode::Moved, 5)));
    }

    #[test]
    fn a_term_never_goes_back() {
        let route = Route { term: Term(1), ..route() };
        assert_eq!(mended(&route, "shared", head(Mode::Open, 3)), Some((3, Mode::Open, 2)));
    }
}
