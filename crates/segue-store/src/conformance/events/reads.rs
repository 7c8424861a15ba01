//! Reading events and the present state of streams.

use segue_core::ids::{Position, StreamVersion};

use super::{World, event, stream, tenant, to, with_snapshot};
use crate::events::{
    Direction, Error, Expected, Facets, LogRead, Snapshot, StreamPage, StreamRead, Tally,
    TallyRead, limits,
};

async fn read(world: &World, from: u64, limit: usize, direction: Direction) -> StreamPage {
    let (tenant, epoch, from) = (world.tenant, world.epoch, StreamVersion(from));
    let read =
        StreamRead { tenant, access: epoch.into(), stream: stream("a"), from, limit, direction };
    world.store.read_stream(read).await.unwrap()
}

fn versions(page: &StreamPage) -> Vec<u64> {
    page.events.iter().map(|event| event.version.0).collect()
}

fn snapshot(text: &str) -> Snapshot {
    Snapshot { state: text.as_bytes().to_vec(), facets: Facets::default() }
}

/// Pages follow each other without gap or overlap, both ways.
pub async fn a_stream_is_read_forwards_and_backwards(world: World) {
    for n in 0..5 {
        let group =
            vec![to("b", Expected::Any, [event(100 + n)]), to("a", Expected::Any, [event(n)])];
        world.append(group).await.unwrap();
    }
    let page = read(&world, 1, 2, Direction::Forwards).await;
    assert_eq!((versions(&page), page.next), (vec![1, 2], Some(StreamVersion(3))));
    assert_eq!((page.version, page.stream_type.as_deref()), (StreamVersion(5), Some("thing")));
    let page = read(&world, 4, 2, Direction::Forwards).await;
    assert_eq!((versions(&page), page.next), (vec![4, 5], None));
    let page = read(&world, 0, 10, Direction::Forwards).await;
    assert_eq!(versions(&page), [1, 2, 3, 4, 5]);
    let page = read(&world, 6, 10, Direction::Forwards).await;
    assert_eq!((versions(&page), page.next), (vec![], None));
    let page = read(&world, u64::MAX, 2, Direction::Backwards).await;
    assert_eq!((versions(&page), page.next), (vec![5, 4], Some(StreamVersion(3))));
    let page = read(&world, 3, 5, Direction::Backwards).await;
    assert_eq!((versions(&page), page.next), (vec![3, 2, 1], None));
}

/// Reading what is not there is no error.
pub async fn a_stream_that_does_not_exist_is_an_empty_page(world: World) {
    let page = read(&world, 1, 10, Direction::Forwards).await;
    assert_eq!((page.version, page.stream_type, page.events.len()), (StreamVersion(0), None, 0));
    let state = world.store.load(world.tenant, world.epoch.into(), &stream("a")).await.unwrap();
    assert_eq!(state, None);
}

/// Pages of the log, also such as end inside a group, make the same log.
pub async fn the_log_is_read_in_pages_of_any_size(world: World) {
    world.append(vec![to("a", Expected::Any, (0..7).map(event))]).await.unwrap();
    world.append(vec![to("b", Expected::Any, (7..10).map(event))]).await.unwrap();
    let whole = world.log(1_000).await;
    assert_eq!(whole.len(), 10);
    for limit in [0, 1, 2, 3, 7] {
        assert_eq!(world.log(limit).await, whole);
    }
    let (tenant, epoch, after) = (world.tenant, world.epoch, Position(10));
    let read = LogRead { tenant, access: epoch.into(), after, limit: 5, max_bytes: 1_000 };
    let page = world.store.read_log(read).await.unwrap();
    assert_eq!((page.events.len(), page.head), (0, world.head().await));
}

/// A page stops before it grows past its bytes, and still makes progress.
pub async fn a_page_of_the_log_is_bounded_in_bytes(world: World) {
    let events = (0..4).map(|n| {
        let mut event = event(n);
        event.payload = vec![0; 100];
        event.metadata = Vec::new();
        event
    });
    world.append(vec![to("a", Expected::Any, events)]).await.unwrap();
    for (max_bytes, expected) in [(0, 1), (99, 1), (100, 1), (250, 2), (400, 4), (usize::MAX, 4)] {
        let (tenant, epoch, after) = (world.tenant, world.epoch, Position(0));
        let read = LogRead { tenant, access: epoch.into(), after, limit: 100, max_bytes };
        let page = world.store.read_log(read).await.unwrap();
        assert_eq!(page.events.len(), expected, "within {max_bytes} bytes");
    }
}

/// A snapshot is that of the version it came with.
pub async fn loading_gives_version_and_snapshot_together(world: World) {
    let append = to("a", Expected::NoStream, [event(1), event(2)]);
    world.append(vec![with_snapshot(append, snapshot("two"))]).await.unwrap();
    let state =
        world.store.load(world.tenant, world.epoch.into(), &stream("a")).await.unwrap().unwrap();
    assert_eq!((state.version, state.stream_type.as_ref()), (StreamVersion(2), "thing"));
    let taken = state.snapshot.unwrap();
    assert_eq!((taken.version, taken.state.as_slice()), (StreamVersion(2), b"two".as_slice()));
}

/// Events without a snapshot leave the last one, which says how far it goes.
pub async fn a_snapshot_stays_until_a_newer_one(world: World) {
    let id = stream("a");
    let load = || world.store.load(world.tenant, world.epoch.into(), &id);
    world.append(vec![to("a", Expected::Any, [event(1)])]).await.unwrap();
    assert_eq!(load().await.unwrap().unwrap().snapshot, None);
    let append = with_snapshot(to("a", Expected::Any, [event(2)]), snapshot("two"));
    world.append(vec![append]).await.unwrap();
    world.append(vec![to("a", Expected::Any, [event(3)])]).await.unwrap();
    let state = load().await.unwrap().unwrap();
    assert_eq!(state.version, StreamVersion(3));
    assert_eq!(state.snapshot.unwrap().version, StreamVersion(2));
    let append = with_snapshot(to("a", Expected::Any, [event(4)]), snapshot(""));
    world.append(vec![append]).await.unwrap();
    let taken = load().await.unwrap().unwrap().snapshot.unwrap();
    assert_eq!((taken.version, taken.state.len()), (StreamVersion(4), 0));
}

/// Streams come back where they were asked for, missing ones too; too many are refused.
pub async fn many_streams_load_in_the_order_asked(world: World) {
    world.append(vec![to("a", Expected::Any, [event(1)])]).await.unwrap();
    world.append(vec![to("b", Expected::Any, [event(2)])]).await.unwrap();
    let asked = [stream("b"), stream("none"), stream("a"), stream("b")];
    let states = world.store.load_many(world.tenant, world.epoch.into(), &asked).await.unwrap();
    let found: Vec<_> =
        states.iter().map(|state| state.as_ref().map(|state| state.stream_id.as_str())).collect();
    assert_eq!(found, [Some("b"), None, Some("a"), Some("b")]);
    let many = vec![stream("a"); limits::STREAMS_PER_LOAD + 1];
    let refused = world.store.load_many(world.tenant, world.epoch.into(), &many).await.unwrap_err();
    assert!(matches!(refused, Error::TooLarge { .. }));
}

/// Each stream with what is kept about it and what its events say, by id, in pages of any size.
pub async fn streams_are_tallied_against_their_events(world: World) {
    for (name, events) in [("b", 1..2), ("a", 2..5), ("c", 5..7)] {
        world.append(vec![to(name, Expected::Any, events.map(event))]).await.unwrap();
    }
    let append = with_snapshot(to("a", Expected::Any, [event(9)]), snapshot("four"));
    world.append(vec![append]).await.unwrap();
    world.append(vec![to("a", Expected::Any, [event(10)])]).await.unwrap();
    for limit in [1, 2, 3, 9] {
        let mut found: Vec<Tally> = Vec::new();
        loop {
            let (tenant, epoch) = (world.tenant, world.epoch);
            let after = found.last().map(|tally| tally.stream_id.clone());
            let read = TallyRead { tenant, access: epoch.into(), after, limit };
            let page = world.store.tallies(read).await.unwrap();
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        let tally = |name: &str, n, taken: Option<u64>| Tally {
            stream_id: stream(name),
            stream_type: "thing".into(),
            version: StreamVersion(n),
            snapshot_version: taken.map(StreamVersion),
            last: StreamVersion(n),
            events: n,
        };
        assert_eq!(found, [tally("a", 5, Some(4)), tally("b", 1, None), tally("c", 2, None)]);
        assert!(found.iter().all(Tally::is_sound));
    }
}

/// An event is found by its id, with its place.
pub async fn an_event_is_found_by_its_id(world: World) {
    world.append(vec![to("a", Expected::Any, [event(1), event(2)])]).await.unwrap();
    let find = |id| world.store.event(world.tenant, world.epoch.into(), id);
    let found = find(event(2).event_id).await.unwrap().unwrap();
    assert_eq!((found.position, found.payload), (Position(2), Some(event(2).payload)));
    assert_eq!(find(event(3).event_id).await.unwrap(), None);
}

/// Whoever has an append acknowledged reads it, each time.
pub async fn an_append_is_seen_by_every_read_that_follows(world: World) {
    for n in 1..=50 {
        let append = with_snapshot(to("a", Expected::Any, [event(n)]), snapshot("now"));
        world.append(vec![append]).await.unwrap();
        let state = world.store.load(world.tenant, world.epoch.into(), &stream("a")).await.unwrap();
        assert_eq!(u128::from(state.unwrap().version.0), n);
        assert_eq!(u128::from(world.head().await.position.0), n);
    }
}

/// A tenant's streams, events and log are its own.
pub async fn another_tenants_streams_are_invisible(world: World) {
    world.append(vec![to("a", Expected::Any, [event(1)])]).await.unwrap();
    let (other, epoch) = (tenant(2), world.epoch);
    world.store.open_tenant(other, epoch).await.unwrap();
    assert_eq!(world.store.load(other, epoch.into(), &stream("a")).await.unwrap(), None);
    assert_eq!(world.store.event(other, epoch.into(), event(1).event_id).await.unwrap(), None);
    let read = LogRead {
        tenant: other,
        access: epoch.into(),
        after: Position(0),
        limit: 9,
        max_bytes: 999,
    };
    assert!(world.store.read_log(read).await.unwrap().events.is_empty());
}

/// What is asked for beyond every number is beyond the end.
pub async fn reading_beyond_every_number_finds_the_end(world: World) {
    world.append(vec![to("a", Expected::NoStream, [event(1), event(2)])]).await.unwrap();
    let (tenant, epoch, limit) = (world.tenant, world.epoch, usize::MAX);
    for beyond in [3, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
        let after = Position(beyond);
        let read = LogRead { tenant, access: epoch.into(), after, limit, max_bytes: usize::MAX };
        assert_eq!(world.store.read_log(read).await.unwrap().events, []);
        assert_eq!(world.store.digests(tenant, epoch.into(), after, limit).await.unwrap(), []);
        for (direction, found) in [(Direction::Forwards, 0), (Direction::Backwards, 2)] {
            let (stream, from) = (stream("a"), StreamVersion(beyond));
            let read = StreamRead { tenant, access: epoch.into(), stream, from, limit, direction };
            let page = world.store.read_stream(read).await.unwrap();
            assert_eq!(
                (page.events.len(), page.next),
                (found, None),
                "{direction:?} from {beyond}"
            );
        }
    }
}
