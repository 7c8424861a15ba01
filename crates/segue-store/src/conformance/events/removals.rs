//! Taking a copy back, leaving a store, and purging what was left.

use segue_core::digest::{Digest, Mark};
use segue_core::ids::{Epoch, Position, StoreId, TenantId, Term};

use super::imports::whole;
use super::{World, at, event, stream, tenant, to, with_snapshot};
use crate::events::{
    Access, Error, EventStore, Expected, Facets, Head, HeadSwap, Import, LogRead, Mode, Purge,
    Rewind, Snapshot, TallyRead, TenantMoved, limits,
};

const TERM: Term = Term(3);

/// Groups that cross a kept digest, in three streams; the second tenant gets a copy of them.
async fn copied(world: &World) -> Head {
    let mut number = 0;
    for name in ["early", "late", "both"].into_iter().cycle().take(12) {
        let name = if number < 4_500 && name == "late" { "both" } else { name };
        let name = if number >= 4_500 && name == "early" { "both" } else { name };
        let events: Vec<_> = (0..500).map(|n| event(number + n)).collect();
        number += 500;
        let state = format!("{name} at {number}").into_bytes();
        let snapshot = Snapshot { state, facets: Facets { live: true, ..Facets::default() } };
        world.append(vec![with_snapshot(to(name, Expected::Any, events), snapshot)]).await.unwrap();
    }
    copy_on(world, Mark::START).await
}

/// Copies the rest of the world's log to the second tenant.
async fn copy_on(world: &World, after: Mark) -> Head {
    let store = world.store.as_ref();
    store.begin_copy(tenant(2), world.epoch, TERM).await.unwrap();
    let page = whole(store, world.tenant, tenant(2), after).await;
    let head = store.import(Import { term: TERM, ..page }).await.unwrap();
    assert_eq!(head.mark(), world.head().await.mark());
    head
}

async fn kept(world: &World) -> Mark {
    let kept = world.store.digests(tenant(2), Access::Copy, Position(0), 9).await.unwrap();
    *kept.first().expect("more than a block")
}

/// Everything that is kept of a copy.
async fn contents(store: &dyn EventStore, tenant: TenantId) -> String {
    let access = Access::Copy;
    let (after, limit, max_bytes) = (Position(0), 10_000, usize::MAX);
    let log = store.read_log(LogRead { tenant, access, after, limit, max_bytes }).await.unwrap();
    let tallies = TallyRead { tenant, access, after: None, limit: 10 };
    let tallies = store.tallies(tallies).await.unwrap();
    let streams = ["early", "late", "both"].map(stream);
    let states = store.load_many(tenant, access, &streams).await.unwrap();
    let digests = store.digests(tenant, access, Position(0), 10).await.unwrap();
    format!("{:?} {tallies:?} {states:?} {digests:?}", log.events)
}

/// The rest comes again, and the copy is what it was.
pub async fn a_copy_is_rewound_to_a_digest_and_copied_again(world: World) {
    let whole = copied(&world).await;
    let before = contents(world.store.as_ref(), tenant(2)).await;
    let to = kept(&world).await;
    let rewind = Rewind { tenant: tenant(2), term: TERM, to };
    let rewound = world.store.rewind(rewind).await.unwrap();
    assert_eq!(rewound, Head { position: to.position, digest: to.digest, ..whole });
    assert_eq!(world.store.rewind(rewind).await.unwrap(), rewound, "the answer was lost");
    let names = ["early", "late", "both"].map(stream);
    let states = world.store.load_many(tenant(2), Access::Copy, &names).await.unwrap();
    let [early, late, both] = states.as_slice() else { panic!("{states:?}") };
    assert!(early.as_ref().unwrap().snapshot.is_some(), "nothing of it was taken back");
    assert!(late.is_none(), "all of it was taken back");
    assert!(both.as_ref().unwrap().snapshot.is_none(), "its snapshot was ahead");
    let read = TallyRead { tenant: tenant(2), access: Access::Copy, after: None, limit: 10 };
    let tallies = world.store.tallies(read).await.unwrap();
    assert!(tallies.iter().all(crate::events::Tally::is_sound), "{tallies:?}");
    copy_on(&world, to).await;
    assert_eq!(contents(world.store.as_ref(), tenant(2)).await, before);
}

/// Another term, a digest that is not kept, a log that is no copy.
pub async fn a_rewind_needs_its_term_its_digest_and_a_copy(world: World) {
    copied(&world).await;
    let good = Rewind { tenant: tenant(2), term: TERM, to: kept(&world).await };
    let made_up = Mark { digest: Digest([1; 32]), ..good.to };
    let beyond = Mark { position: Position(1_000_000), ..good.to };
    for to in [made_up, beyond] {
        let refused = world.store.rewind(Rewind { to, ..good }).await.unwrap_err();
        assert!(matches!(refused, Error::Invalid(_)), "{refused}");
    }
    for other in [
        Rewind { term: TERM.next(), ..good },
        Rewind { term: Term(TERM.0 - 1), ..good },
        Rewind { tenant: world.tenant, ..good },
    ] {
        let refused = world.store.rewind(other).await.unwrap_err();
        assert!(matches!(refused, Error::HeadDiffers { .. }), "{refused}");
    }
    let stranger = world.store.rewind(Rewind { tenant: tenant(9), ..good }).await.unwrap_err();
    assert!(matches!(stranger, Error::NotFound { .. }));
    let start = Rewind { to: Mark::START, ..good };
    assert_eq!(world.store.rewind(start).await.unwrap().position, Position(0));
}

fn swap_to_moved(head: &Head) -> HeadSwap {
    HeadSwap {
        expect_epoch: head.epoch,
        expect_mode: Mode::Fenced,
        expect_mark: Some(head.mark()),
        term: Term(2),
        epoch: head.epoch,
        mode: Mode::Moved,
    }
}

async fn fenced(world: &World) -> Head {
    let head = world.head().await;
    let fence = HeadSwap {
        expect_mode: Mode::Open,
        expect_mark: None,
        mode: Mode::Fenced,
        ..swap_to_moved(&head)
    };
    world.store.swap_head(world.tenant, fence).await.unwrap()
}

/// Whoever reads a store that a tenant left finds out where it is now.
pub async fn a_tenant_that_left_says_where_it_went(world: World) {
    let missing = world.store.moved(tenant(9)).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }));
    assert_eq!(world.store.moved(world.tenant).await.unwrap(), None);
    let open = world.head().await;
    let moved = |target: &str| TenantMoved {
        target: StoreId::new(target).unwrap(),
        epoch: world.epoch.next(),
        at: open.mark(),
        moved_at: at(7),
    };
    let early = world.store.retire(world.tenant, swap_to_moved(&open), moved("early")).await;
    assert!(matches!(early.unwrap_err(), Error::HeadDiffers { .. }), "it is not fenced");
    assert_eq!(world.store.moved(world.tenant).await.unwrap(), None);
    let fenced = fenced(&world).await;
    for _ in 0..2 {
        let swap = swap_to_moved(&fenced);
        let retired = world.store.retire(world.tenant, swap, moved("dedicated")).await.unwrap();
        assert_eq!(retired, Head { mode: Mode::Moved, ..fenced });
    }
    assert_eq!(world.store.moved(world.tenant).await.unwrap(), Some(moved("dedicated")));
}

/// The way back: a copier takes a moved log up where it ended, at a later epoch only.
pub async fn a_moved_log_is_claimed_for_the_way_back(world: World) {
    world.append(vec![to("a", Expected::Any, [event(1)])]).await.unwrap();
    let fenced = fenced(&world).await;
    let begin = |epoch, term| world.store.begin_copy(world.tenant, epoch, term);
    let refused = begin(world.epoch.next(), TERM).await.unwrap_err();
    assert!(matches!(refused, Error::HeadDiffers { .. }), "a fenced log is an owner's");
    world.store.swap_head(world.tenant, swap_to_moved(&fenced)).await.unwrap();
    let refused = begin(world.epoch, TERM).await.unwrap_err();
    assert!(matches!(refused, Error::HeadDiffers { .. }), "nobody owns it at a later epoch yet");
    let claimed = begin(world.epoch.next(), TERM).await.unwrap();
    assert_eq!((claimed.mode, claimed.mark()), (Mode::Copying, fenced.mark()));
}

/// A cutover that was given up is taken back by its epoch; one that was decided is not.
pub async fn a_prepared_copy_is_revoked_only_when_its_epoch_is_past(world: World) {
    let store = world.store.as_ref();
    let (of, epoch) = (tenant(2), world.epoch);
    store.begin_copy(of, epoch, TERM).await.unwrap();
    let prepare = HeadSwap {
        expect_epoch: epoch,
        expect_mode: Mode::Copying,
        expect_mark: Some(Mark::START),
        term: TERM,
        epoch: epoch.next(),
        mode: Mode::Prepared,
    };
    store.swap_head(of, prepare).await.unwrap();
    let refused = store.begin_copy(of, epoch.next(), TERM.next()).await.unwrap_err();
    assert!(matches!(refused, Error::HeadDiffers { head } if head.mode == Mode::Prepared));
    let revoked = store.begin_copy(of, Epoch(epoch.0 + 2), TERM.next()).await.unwrap();
    assert_eq!(revoked.mode, Mode::Copying);
}

/// A tombstone keeps epoch and term forever; what comes after them begins from nothing.
pub async fn a_purge_leaves_a_tombstone_and_nothing_else(world: World) {
    let whole = copied(&world).await;
    let store = world.store.as_ref();
    let purge = Purge { tenant: tenant(2), epoch: world.epoch, term: TERM.next() };
    let first = store.purge(purge).await.unwrap();
    assert_eq!(first.head, Head { mode: Mode::Tombstone, term: TERM.next(), ..whole });
    assert_eq!((first.removed, first.is_complete), (limits::EVENTS_PER_PURGE as u64, false));
    let early = store.begin_copy(tenant(2), world.epoch, TERM.next()).await.unwrap_err();
    assert!(matches!(early, Error::Invalid(_)), "among the remains: {early}");
    let mut removed = first.removed;
    loop {
        let purged = store.purge(purge).await.unwrap();
        removed += purged.removed;
        if purged.is_complete {
            break;
        }
    }
    assert_eq!(removed, whole.position.0);
    let refused = store.load(tenant(2), Access::Copy, &stream("both")).await.unwrap_err();
    assert!(matches!(refused, Error::Fenced { mode: Mode::Tombstone, .. }));
    let late = store.begin_copy(tenant(2), world.epoch, TERM).await.unwrap_err();
    assert!(matches!(late, Error::HeadDiffers { .. }), "a copier that slept: {late}");
    let again = store.begin_copy(tenant(2), world.epoch, TERM.next()).await.unwrap();
    assert_eq!((again.mode, again.mark()), (Mode::Copying, Mark::START));
    let tallies = TallyRead { tenant: tenant(2), access: Access::Copy, after: None, limit: 9 };
    assert_eq!(store.tallies(tallies).await.unwrap(), Vec::new());
    assert_eq!(world.head().await.mark(), whole.mark(), "others keep what they have");
}

/// Where nothing ever was, a tombstone keeps away what was sent before.
pub async fn a_purge_of_nothing_leaves_a_tombstone_too(world: World) {
    let purge = Purge { tenant: tenant(2), epoch: world.epoch, term: TERM };
    let purged = world.store.purge(purge).await.unwrap();
    assert_eq!((purged.head.mode, purged.removed), (Mode::Tombstone, 0));
    assert!(purged.is_complete);
    let late = world.store.begin_copy(tenant(2), world.epoch, Term(TERM.0 - 1)).await;
    assert!(matches!(late.unwrap_err(), Error::HeadDiffers { .. }));
}

/// What an owner has is never purged, whatever the term.
pub async fn an_owners_log_is_not_purged(world: World) {
    world.append(vec![to("a", Expected::Any, [event(1)])]).await.unwrap();
    let purge = |epoch| Purge { tenant: world.tenant, epoch, term: Term(99) };
    for epoch in [world.epoch, world.epoch.next()] {
        let refused = world.store.purge(purge(epoch)).await.unwrap_err();
        assert!(matches!(refused, Error::HeadDiffers { .. }), "open: {refused}");
    }
    let fenced = fenced(&world).await;
    let refused = world.store.purge(purge(world.epoch.next())).await.unwrap_err();
    assert!(matches!(refused, Error::HeadDiffers { .. }), "fenced: {refused}");
    world.store.swap_head(world.tenant, swap_to_moved(&fenced)).await.unwrap();
    let refused = world.store.purge(purge(world.epoch)).await.unwrap_err();
    assert!(matches!(refused, Error::HeadDiffers { .. }), "not moved since: {refused}");
    assert!(world.store.purge(purge(world.epoch.next())).await.unwrap().is_complete);
}

/// A store answers which database it is, the same each time.
pub async fn an_incarnation_is_answered_the_same_each_time(world: World) {
    let first = world.store.incarnation().await.unwrap();
    assert!(!first.is_empty());
    assert_eq!(world.store.incarnation().await.unwrap(), first);
}
