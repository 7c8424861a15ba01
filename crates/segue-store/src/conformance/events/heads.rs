//! The head: who may write and read, and what the digest says.

use std::sync::Arc;

use segue_core::digest::{Digest, Mark};
use segue_core::ids::{Epoch, Position, Term};

use super::{World, at_version, event, stream, tenant, to};
use crate::events::{
    Access, Append, Error, EventStore, Expected, Head, HeadSwap, MemoryEventStore, Mode,
    StreamAppend, limits,
};

/// A swap of the world's head from the mode it has to another.
async fn swap(world: &World, mode: Mode) -> Head {
    let head = world.head().await;
    let swap = HeadSwap {
        expect_epoch: head.epoch,
        expect_mode: head.mode,
        expect_mark: None,
        term: head.term,
        epoch: head.epoch,
        mode,
    };
    world.store.swap_head(world.tenant, swap).await.unwrap()
}

/// A tenant that was not opened here is not found, and stays so.
pub async fn an_append_never_creates_a_head(world: World) {
    let stranger = tenant(9);
    let mut group = world.group(vec![to("a", Expected::Any, [event(1)])]);
    group.tenant = stranger;
    let refused = world.store.append(group).await.unwrap_err();
    assert!(matches!(refused, Error::NotFound { tenant } if tenant == stranger));
    let head = world.store.head(stranger).await.unwrap_err();
    assert!(matches!(head, Error::NotFound { .. }));
    let load = world.store.load(stranger, world.epoch.into(), &stream("a")).await.unwrap_err();
    assert!(matches!(load, Error::NotFound { .. }));
}

/// Opening is idempotent, also after appends.
pub async fn opening_again_at_the_same_epoch_changes_nothing(world: World) {
    assert_eq!(world.head().await, Head::opened(world.epoch));
    world.append(vec![to("a", Expected::Any, [event(1)])]).await.unwrap();
    let before = world.head().await;
    let again = world.store.open_tenant(world.tenant, world.epoch).await.unwrap();
    assert_eq!((again, world.head().await), (before, before));
}

/// Opening does not reopen a log that is fenced, nor one of another epoch.
pub async fn opening_at_another_epoch_is_refused(world: World) {
    let refused = world.store.open_tenant(world.tenant, world.epoch.next()).await.unwrap_err();
    assert!(matches!(refused, Error::Fenced { mode: Mode::Open, .. }));
    swap(&world, Mode::Fenced).await;
    let refused = world.store.open_tenant(world.tenant, world.epoch).await.unwrap_err();
    assert!(matches!(refused, Error::Fenced { mode: Mode::Fenced, .. }));
}

/// Epochs before and after the head's are fenced, and the answer names the head's.
pub async fn a_write_at_another_epoch_is_fenced(world: World) {
    for epoch in [Epoch(world.epoch.0 - 1), world.epoch.next()] {
        let mut group = world.group(vec![to("a", Expected::Any, [event(1)])]);
        group.epoch = epoch;
        let refused = world.store.append(group).await.unwrap_err();
        let own = world.epoch;
        assert!(matches!(refused, Error::Fenced { mode: Mode::Open, epoch } if epoch == own));
        let refused = world.store.load(world.tenant, epoch.into(), &stream("a")).await.unwrap_err();
        assert!(matches!(refused, Error::Fenced { .. }));
    }
    assert_eq!(world.head().await.position, Position(0));
}

/// Open and prepared take writes and are read. Fenced is read by those who look at the route once more; a
/// copy by those who move logs.
pub async fn each_mode_admits_what_it_should(world: World) {
    let modes = [
        (Mode::Fenced, [false, true, true], false),
        (Mode::Moved, [false, false, true], false),
        (Mode::Copying, [false, false, true], false),
        (Mode::Tombstone, [false, false, false], false),
        (Mode::Prepared, [true, true, true], true),
        (Mode::Open, [true, true, true], true),
    ];
    let grounds = [Access::Current(world.epoch), Access::Validated(world.epoch), Access::Copy];
    for (n, (mode, reads, writes)) in modes.into_iter().enumerate() {
        swap(&world, mode).await;
        for (access, reads) in grounds.into_iter().zip(reads) {
            let load = world.store.load(world.tenant, access, &stream("a")).await;
            assert_eq!(load.is_ok(), reads, "reading while {mode}: {access:?}");
            let versions = [stream("a")];
            let load = world.store.stream_versions(world.tenant, access, &versions).await;
            assert_eq!(load.is_ok(), reads, "reading a version while {mode}: {access:?}");
        }
        let append = world.append(vec![to("a", Expected::Any, [event(n as u128)])]).await;
        match append {
            Ok(_) => assert!(writes, "writing while {mode}"),
            Err(Error::Fenced { mode: named, .. }) => assert_eq!((named, writes), (mode, false)),
            Err(other) => panic!("fenced, not {other}"),
        }
    }
}

/// Presenting the epoch proves the commit of a move, and opens the head.
pub async fn the_first_append_opens_a_prepared_head(world: World) {
    swap(&world, Mode::Prepared).await;
    let mut stale = world.group(vec![to("a", Expected::Any, [event(1)])]);
    stale.epoch = Epoch(world.epoch.0 - 1);
    let refused = world.store.append(stale).await.unwrap_err();
    assert!(matches!(refused, Error::Fenced { mode: Mode::Prepared, .. }));
    world.append(vec![to("a", Expected::Any, [event(1)])]).await.unwrap();
    assert_eq!(world.head().await.mode, Mode::Open);
}

/// A swap is refused at another epoch, mode, position or digest, or by an older coordinator.
pub async fn a_swap_needs_what_it_expects(world: World) {
    world.append(vec![to("a", Expected::Any, [event(1)])]).await.unwrap();
    let head = world.head().await;
    let good = HeadSwap {
        expect_epoch: head.epoch,
        expect_mode: Mode::Open,
        expect_mark: Some(head.mark()),
        term: Term(5),
        epoch: head.epoch,
        mode: Mode::Fenced,
    };
    let wrong_mark = Mark { digest: Digest::EMPTY, ..head.mark() };
    for bad in [
        HeadSwap { expect_epoch: head.epoch.next(), ..good },
        HeadSwap { expect_mode: Mode::Copying, ..good },
        HeadSwap { expect_mark: Some(Mark::START), ..good },
        HeadSwap { expect_mark: Some(wrong_mark), ..good },
    ] {
        let refused = world.store.swap_head(world.tenant, bad).await.unwrap_err();
        assert!(matches!(refused, Error::HeadDiffers { head: found } if *found == head));
    }
    let fenced = world.store.swap_head(world.tenant, good).await.unwrap();
    assert_eq!(fenced, Head { mode: Mode::Fenced, term: Term(5), ..head });
    let older = HeadSwap { expect_mode: Mode::Fenced, term: Term(4), mode: Mode::Open, ..good };
    let refused = world.store.swap_head(world.tenant, older).await.unwrap_err();
    assert!(matches!(refused, Error::HeadDiffers { .. }));
    let stranger = world.store.swap_head(tenant(9), good).await.unwrap_err();
    assert!(matches!(stranger, Error::NotFound { .. }));
}

/// A log that is about to be reopened at a later epoch is still the tenant's; at an earlier one it is not.
pub async fn a_validated_read_may_be_ahead_of_the_head(world: World) {
    let of = stream("a");
    let load = |epoch| world.store.load(world.tenant, Access::Validated(epoch), &of);
    assert!(load(world.epoch.next()).await.is_ok());
    let refused = load(Epoch(world.epoch.0 - 1)).await.unwrap_err();
    assert!(matches!(refused, Error::Fenced { mode: Mode::Open, .. }));
}

/// No epoch is given out twice, so no head goes back to one.
pub async fn an_epoch_never_goes_back(world: World) {
    let head = world.head().await;
    let back = HeadSwap {
        expect_epoch: head.epoch,
        expect_mode: Mode::Open,
        expect_mark: None,
        term: Term(1),
        epoch: Epoch(head.epoch.0 - 1),
        mode: Mode::Open,
    };
    let refused = world.store.swap_head(world.tenant, back).await.unwrap_err();
    assert!(matches!(refused, Error::HeadDiffers { .. }));
    assert_eq!(world.head().await, head);
}

/// Repeating a swap whose answer was lost is answered as the first time.
pub async fn a_swap_can_be_repeated(world: World) {
    let head = world.head().await;
    let fence = HeadSwap {
        expect_epoch: head.epoch,
        expect_mode: Mode::Open,
        expect_mark: None,
        term: Term(1),
        epoch: head.epoch.next(),
        mode: Mode::Fenced,
    };
    let first = world.store.swap_head(world.tenant, fence).await.unwrap();
    let again = world.store.swap_head(world.tenant, fence).await.unwrap();
    assert_eq!(first, again);
}

/// A repeat at a fenced head is sent to the owner, which has the events too.
pub async fn a_fenced_repeat_is_fenced_too(world: World) {
    let group = vec![to("a", Expected::NoStream, [event(1)])];
    world.append(group.clone()).await.unwrap();
    swap(&world, Mode::Fenced).await;
    assert!(matches!(world.append(group).await, Err(Error::Fenced { .. })));
}

/// The head's digest is what a reader computes from the log.
pub async fn the_digest_is_that_of_the_log(world: World) {
    assert_eq!(world.head().await.digest, Digest::EMPTY);
    for history in history() {
        world.append(history).await.unwrap();
        world.verify().await;
    }
}

/// The same appends give the same digest in another kind of store.
pub async fn the_digest_does_not_depend_on_the_store(world: World) {
    let memory = MemoryEventStore::new();
    memory.open_tenant(world.tenant, world.epoch).await.unwrap();
    for history in history() {
        memory.append(world.group(history.clone())).await.unwrap();
        world.append(history).await.unwrap();
    }
    assert_eq!(memory.head(world.tenant).await.unwrap(), world.head().await);
}

fn history() -> Vec<Vec<StreamAppend>> {
    vec![
        vec![to("a", Expected::NoStream, [event(1), event(2)])],
        vec![to("b", Expected::NoStream, [event(3)]), to("a", at_version(2), [event(4)])],
        vec![to("a", Expected::Any, [event(5)])],
    ]
}

/// Kept digests stand at the ends of the groups that cross a multiple of [`limits::DIGEST_EVERY`].
pub async fn a_digest_is_kept_every_few_thousand_positions(world: World) {
    const GROUP: u64 = 900;
    let groups = 2 * limits::DIGEST_EVERY / GROUP + 1;
    let mut marks = Vec::new();
    for group in 0..groups {
        let events = (group * GROUP..(group + 1) * GROUP).map(|n| event(n.into()));
        world.append(vec![to("a", Expected::Any, events)]).await.unwrap();
        marks.push(world.head().await.mark());
    }
    let crossing = |mark: &Mark| {
        let every = limits::DIGEST_EVERY;
        mark.position.0 / every > (mark.position.0 - GROUP) / every
    };
    let expected: Vec<_> = marks.into_iter().filter(crossing).collect();
    assert_eq!(expected.len(), 2);
    let kept = |after, limit| world.store.digests(world.tenant, world.epoch.into(), after, limit);
    assert_eq!(kept(Position(0), 10).await.unwrap(), expected);
    assert_eq!(kept(Position(0), 1).await.unwrap(), expected[..1]);
    assert_eq!(kept(expected[0].position, 10).await.unwrap(), expected[1..]);
}

/// What a fence answers is the end of the log, however many write: nothing comes after it at the old epoch,
/// and what was answered before it is there.
pub async fn a_fence_among_writers_answers_with_the_end_of_the_log(world: World) {
    let stores = [Arc::clone(&world.store)];
    fence_among_writers(&world, &stores).await;
}

/// The same for writers by several stores on one database.
pub async fn fence_among_writers(world: &World, stores: &[Arc<dyn EventStore>]) {
    const WRITERS: u64 = 6;
    for round in 0..5_u64 {
        let open = world.head().await;
        let writers = (0..WRITERS).zip(stores.iter().cycle()).map(|(writer, store)| {
            let first = u128::from(round * WRITERS + writer) * 1_000_000;
            let group = Append { epoch: open.epoch, ..world.group(Vec::new()) };
            tokio::spawn(write_until_fenced(Arc::clone(store), group, first))
        });
        let writers: Vec<_> = writers.collect();
        while world.head().await.position.0 < open.position.0 + 20 {
            tokio::task::yield_now().await;
        }
        let fence = HeadSwap {
            expect_epoch: open.epoch,
            expect_mode: Mode::Open,
            expect_mark: None,
            term: Term(round),
            epoch: open.epoch,
            mode: Mode::Fenced,
        };
        let fenced = world.store.swap_head(world.tenant, fence).await.unwrap();
        for writer in writers {
            assert!(writer.await.unwrap() <= fenced.position);
        }
        assert_eq!(world.head().await, fenced, "nothing comes after a fence");
        let (mode, epoch) = (Mode::Open, Epoch(open.epoch.0 + 1));
        let reopen = HeadSwap { expect_mode: Mode::Fenced, mode, epoch, ..fence };
        world.store.swap_head(world.tenant, reopen).await.unwrap();
    }
}

/// Appends one event after the other to a stream of its own, and answers with the position of the last.
async fn write_until_fenced(store: Arc<dyn EventStore>, group: Append, first: u128) -> Position {
    let mut last = Position(0);
    for n in first.. {
        let streams = vec![to(&format!("s{first}"), Expected::Any, [event(n)])];
        match store.append(Append { streams, ..group.clone() }).await {
            Ok(appended) => last = appended.last_position,
            Err(Error::Fenced { .. }) => return last,
            Err(error) => panic!("{error}"),
        }
        tokio::task::yield_now().await;
    }
    last
}
