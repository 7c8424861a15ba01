//! Appending: order, groups, versions, repeats, limits.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use segue_core::ids::{
    Channel, CustomerId, EventId, Position, ScenarioId, StepId, StreamId, StreamVersion, Version,
};
use segue_core::scenario::hash::ContentHash;
use uuid::Uuid;

use super::{World, at_version, event, stream, tenant, to, with_snapshot};
use crate::events::{Error, Expected, Facets, LogRead, Snapshot, limits};

/// Positions and versions are 1, 2, 3, … whatever is appended where.
pub async fn positions_and_versions_are_gapless(world: World) {
    for n in 0..5 {
        let first = to("a", at_version(n), [event(2 * u128::from(n))]);
        let second = to("b", Expected::Any, [event(2 * u128::from(n) + 1)]);
        world.append(vec![first]).await.unwrap();
        let appended = world.append(vec![second]).await.unwrap();
        assert_eq!(appended.last_position, Position(2 * n + 2));
        assert_eq!(appended.versions, [StreamVersion(n + 1)]);
    }
    let log = world.verify().await;
    let positions: Vec<_> = log.iter().map(|event| event.position.0).collect();
    assert_eq!(positions, (1..=10).collect::<Vec<_>>());
    let of_a = log.iter().filter(|event| event.stream_id == stream("a"));
    assert_eq!(of_a.map(|event| event.version.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

/// A group over several streams is there as a whole, at consecutive positions, or not at all.
pub async fn a_group_over_several_streams_is_atomic(world: World) {
    let both = vec![
        to("a", Expected::NoStream, [event(1), event(2)]),
        to("b", Expected::NoStream, [event(3)]),
    ];
    let appended = world.append(both).await.unwrap();
    assert_eq!((appended.first_position, appended.last_position), (Position(1), Position(3)));
    assert_eq!(appended.versions, [StreamVersion(2), StreamVersion(1)]);
    assert_eq!(appended.event_ids, [event(1).event_id, event(2).event_id, event(3).event_id]);
    assert!(!appended.duplicate);

    let half_wrong =
        vec![to("a", at_version(2), [event(4)]), to("b", Expected::NoStream, [event(5)])];
    let refused = world.append(half_wrong).await.unwrap_err();
    assert!(matches!(refused, Error::Conflict { stream: of, .. } if of == stream("b")));
    let log = world.verify().await;
    assert_eq!(log.len(), 3, "nothing of the refused group is there");
    assert!(log.iter().all(|event| event.append_first_position == Position(1)));
}

/// A conflict names the stream, what was expected and what is; the head stays.
pub async fn a_conflict_names_the_current_version_and_changes_nothing(world: World) {
    world.append(vec![to("a", Expected::NoStream, [event(1), event(2)])]).await.unwrap();
    let before = world.head().await;
    let refused = world.append(vec![to("a", at_version(1), [event(3)])]).await.unwrap_err();
    let Error::Conflict { stream: of, expected, current } = refused else {
        panic!("a conflict, not {refused}")
    };
    assert_eq!((of, expected, current), (stream("a"), at_version(1), StreamVersion(2)));
    assert_eq!(world.head().await, before);
}

/// An empty stream is at version 0.
pub async fn no_stream_and_version_zero_mean_the_same(world: World) {
    world.append(vec![to("a", at_version(0), [event(1)])]).await.unwrap();
    for expected in [at_version(0), Expected::NoStream] {
        let refused = world.append(vec![to("a", expected, [event(2)])]).await.unwrap_err();
        assert!(matches!(refused, Error::Conflict { current: StreamVersion(1), .. }));
    }
}

/// A stream that takes any version counts its events.
pub async fn any_version_always_appends(world: World) {
    for n in 0..10 {
        world.append(vec![to("counter", Expected::Any, [event(n)])]).await.unwrap();
    }
    let streams = [stream("counter"), stream("other")];
    let versions =
        world.store.stream_versions(world.tenant, world.epoch.into(), &streams).await.unwrap();
    assert_eq!(versions, [StreamVersion(10), StreamVersion(0)]);
}

/// Repeating an append answers as the first time, says so, and changes nothing.
pub async fn the_same_event_ids_again_answer_with_the_first_result(world: World) {
    let group = vec![
        to("a", Expected::NoStream, [event(1), event(2)]),
        to("b", Expected::NoStream, [event(3)]),
    ];
    let first = world.append(group.clone()).await.unwrap();
    let before = world.head().await;
    let mut again = world.group(group);
    again.recorded_at = super::at(99);
    let repeated = world.store.append(again).await.unwrap();
    assert!(repeated.duplicate);
    assert_eq!(crate::events::Appended { duplicate: false, ..repeated }, first);
    assert_eq!(world.head().await, before);
}

/// A repeat is recognised after others have appended to the stream.
pub async fn a_repeat_is_answered_after_the_stream_has_moved_on(world: World) {
    let group = vec![to("a", Expected::NoStream, [event(1)])];
    world.append(group.clone()).await.unwrap();
    world.append(vec![to("a", at_version(1), [event(2)])]).await.unwrap();
    let repeated = world.append(group).await.unwrap();
    assert!(repeated.duplicate);
    assert_eq!((repeated.last_position, repeated.versions), (Position(1), vec![StreamVersion(1)]));
}

/// An event id that is taken by another payload, type, metadata or stream is refused.
pub async fn an_event_id_with_other_content_is_refused(world: World) {
    world.append(vec![to("a", Expected::NoStream, [event(1)])]).await.unwrap();
    let before = world.head().await;
    let mut payload = event(1);
    payload.payload.push(b' ');
    let mut kind = event(1);
    kind.event_type = "Else".into();
    let mut metadata = event(1);
    metadata.metadata.clear();
    for (name, other) in [("a", payload), ("a", kind), ("a", metadata), ("b", event(1))] {
        let refused = world.append(vec![to(name, Expected::Any, [other])]).await.unwrap_err();
        let expected = event(1).event_id;
        assert!(matches!(refused, Error::DuplicateEvent { event_id } if event_id == expected));
    }
    assert_eq!(world.head().await, before);
}

/// A group that is known in part only is a mistake, and changes nothing.
pub async fn a_group_of_known_and_new_events_is_refused(world: World) {
    world.append(vec![to("a", Expected::NoStream, [event(1)])]).await.unwrap();
    for events in [[event(1), event(2)], [event(2), event(1)]] {
        let refused = world.append(vec![to("a", Expected::Any, events)]).await.unwrap_err();
        let known = event(1).event_id;
        assert!(matches!(refused, Error::DuplicateEvent { event_id } if event_id == known));
    }
    assert_eq!(world.verify().await.len(), 1);
}

/// Events that are known from a larger group are not that group.
pub async fn a_part_of_a_known_group_is_refused(world: World) {
    world.append(vec![to("a", Expected::NoStream, [event(1), event(2), event(3)])]).await.unwrap();
    for part in [vec![event(1)], vec![event(1), event(2)], vec![event(2), event(3)]] {
        let refused = world.append(vec![to("a", Expected::Any, part)]).await.unwrap_err();
        assert!(matches!(refused, Error::DuplicateEvent { .. }));
    }
}

/// Event ids are a tenant's own.
pub async fn an_event_id_of_another_tenant_is_free(world: World) {
    let other = tenant(2);
    world.store.open_tenant(other, world.epoch).await.unwrap();
    world.append(vec![to("a", Expected::NoStream, [event(1)])]).await.unwrap();
    let mut group = world.group(vec![to("a", Expected::NoStream, [event(1)])]);
    group.tenant = other;
    let appended = world.store.append(group).await.unwrap();
    assert_eq!((appended.first_position, appended.duplicate), (Position(1), false));
}

/// Payload and metadata come back byte for byte, times to the microsecond.
pub async fn bytes_and_microseconds_are_kept(world: World) {
    let mut odd = event(1);
    odd.payload = (0..=255).collect();
    odd.metadata = vec![0, 255, 0];
    let mut group = world.group(vec![to("a", Expected::NoStream, [odd.clone()])]);
    group.recorded_at = Timestamp::new(1_800_000_000, 123_456_789).unwrap();
    world.store.append(group).await.unwrap();
    let log = world.verify().await;
    assert_eq!((&log[0].payload, &log[0].metadata), (&Some(odd.payload), &odd.metadata));
    assert_eq!(log[0].recorded_at, Timestamp::new(1_800_000_000, 123_456_000).unwrap());
}

/// What a stream is, its first event decides.
pub async fn a_stream_keeps_its_type(world: World) {
    world.append(vec![to("a", Expected::NoStream, [event(1)])]).await.unwrap();
    let mut other = to("a", Expected::Any, [event(2)]);
    other.stream_type = "another".into();
    let refused = world.append(vec![other]).await.unwrap_err();
    assert!(matches!(refused, Error::Invalid(_)));
    assert_eq!(world.head().await.position, Position(1));
}

/// What is too large is refused with the limit and what was found.
pub async fn limits_are_refused_with_their_numbers(world: World) {
    let mut heavy = event(1);
    heavy.payload = vec![0; limits::EVENT_BYTES];
    let many = (0..=limits::EVENTS_PER_APPEND as u128).map(event);
    let state = vec![0; limits::SNAPSHOT_BYTES + 1];
    let large = Snapshot { state, ..Snapshot::default() };
    let mut long_type = to("a", Expected::Any, [event(1)]);
    long_type.stream_type = "x".repeat(limits::STREAM_TYPE_BYTES + 1).into();
    let cases = [
        (to("a", Expected::Any, [heavy]), limits::EVENT_BYTES),
        (to("a", Expected::Any, many), limits::EVENTS_PER_APPEND),
        (with_snapshot(to("a", Expected::Any, [event(1)]), large), limits::SNAPSHOT_BYTES),
        (long_type, limits::STREAM_TYPE_BYTES),
    ];
    for (append, expected) in cases {
        let refused = world.append(vec![append]).await.unwrap_err();
        let Error::TooLarge { limit, actual, .. } = refused else { panic!("too large: {refused}") };
        assert_eq!(limit, expected);
        assert!(actual > limit);
    }
    assert_eq!(world.head().await.position, Position(0));
}

/// A type is a word: not every database keeps every character.
pub async fn a_type_with_a_control_character_is_refused(world: World) {
    let mut odd_event = event(1);
    odd_event.event_type = "Happ\0ened".into();
    let mut odd_stream = to("a", Expected::Any, [event(2)]);
    odd_stream.stream_type = "thi\nng".into();
    for append in [to("a", Expected::Any, [odd_event]), odd_stream] {
        let refused = world.append(vec![append]).await.unwrap_err();
        assert!(matches!(&refused, Error::Invalid(why) if why.contains("control")), "{refused}");
    }
    assert_eq!(world.head().await.position, Position(0));
}

/// However large the number is that a caller makes up, the answer is where the stream is; and whoever
/// appends at the same time is not concerned.
pub async fn a_version_beyond_every_number_is_a_conflict(world: World) {
    world.append(vec![to("a", Expected::NoStream, [event(1)])]).await.unwrap();
    for (n, version) in [2, 1 << 40, u64::MAX / 2, u64::MAX - 1, u64::MAX].into_iter().enumerate() {
        for (name, current) in [("a", 1), ("never", 0)] {
            let wrong = vec![to(name, at_version(version), [event(900)])];
            let right = vec![to("b", Expected::Any, [event(10 + 2 * n as u128 + current)])];
            let (refused, accepted) = tokio::join!(world.append(wrong), world.append(right));
            let at = StreamVersion(current as u64);
            let refused = refused.unwrap_err();
            assert!(
                matches!(refused, Error::Conflict { current, .. } if current == at),
                "{refused}"
            );
            accepted.unwrap();
        }
    }
    assert_eq!(world.verify().await.len(), 11);
}

/// Names and types as long as they may be, in characters of four bytes, and times long ago.
pub async fn the_longest_names_and_oldest_times_are_kept(world: World) {
    let long = |limit| "\u{1F600}".repeat(limit);
    let facets = Facets {
        scenario_id: Some(ScenarioId(Uuid::from_u128(1))),
        scenario_version: Some(Version(1)),
        step_id: Some(StepId::new(long(StepId::LIMIT)).unwrap()),
        channel: Some(Channel::new(long(Channel::LIMIT)).unwrap()),
        customer_id: Some(CustomerId::new(long(CustomerId::LIMIT)).unwrap()),
        live: true,
        started_at: Some(Timestamp::from_microsecond(-62_000_000_000_000_007).unwrap()),
        settled: None,
        checkpoints: (1..200)
            .map(|n: u64| ContentHash(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
            .collect(),
    };
    let mut long_event = event(1);
    long_event.event_type = long(limits::EVENT_TYPE_BYTES / 4).into();
    let id = long(StreamId::LIMIT);
    let snapshot = Snapshot { state: b"state".to_vec(), facets: facets.clone() };
    let mut append = with_snapshot(to(&id, Expected::NoStream, [long_event]), snapshot);
    append.stream_type = long(limits::STREAM_TYPE_BYTES / 4).into();
    let mut group = world.group(vec![append]);
    group.recorded_at = Timestamp::MIN;
    world.store.append(group).await.unwrap();
    let log = world.verify().await;
    let earliest = Timestamp::from_microsecond(Timestamp::MIN.as_microsecond()).unwrap();
    assert_eq!((log[0].stream_id.as_str(), log[0].recorded_at), (id.as_str(), earliest));
    let state =
        world.store.load(world.tenant, world.epoch.into(), &stream(&id)).await.unwrap().unwrap();
    assert_eq!(state.snapshot.unwrap().facets, facets);
}

/// Whenever its caller stops waiting, an append is there or not; repeated it is there once.
pub async fn an_append_whose_caller_went_away_is_finished_by_a_repeat(world: World) {
    for n in 0..40_u64 {
        let group = || vec![to("a", at_version(n), [event(n.into())])];
        let patience = Duration::from_micros(n * n * 5);
        // Given up at any stage, or answered.
        let _ = tokio::time::timeout(patience, world.append(group())).await;
        let repeated = world.append(group()).await.unwrap();
        assert_eq!(repeated.first_position, Position(n + 1));
    }
    assert_eq!(world.verify().await.len(), 40);
}

/// No streams, no events, a stream or an event twice.
pub async fn a_group_that_contradicts_itself_is_refused(world: World) {
    let groups = [
        vec![],
        vec![to("a", Expected::Any, [])],
        vec![to("a", Expected::Any, [event(1)]), to("a", Expected::Any, [event(2)])],
        vec![to("a", Expected::Any, [event(1), event(1)])],
        vec![to("a", Expected::Any, [event(1)]), to("b", Expected::Any, [event(1)])],
    ];
    for group in groups {
        let refused = world.append(group).await.unwrap_err();
        assert!(matches!(refused, Error::Invalid(_)));
    }
}

/// As many events as a group may have, and an event as large as it may be.
pub async fn the_largest_group_is_accepted(world: World) {
    let mut heavy = event(0);
    heavy.payload = vec![7; limits::EVENT_BYTES - heavy.metadata.len()];
    let rest = (1..limits::EVENTS_PER_APPEND as u128).map(event);
    let events = [heavy].into_iter().chain(rest);
    let appended = world.append(vec![to("a", Expected::NoStream, events)]).await.unwrap();
    assert_eq!(appended.last_position, Position(limits::EVENTS_PER_APPEND as u64));
    world.verify().await;
}

/// Appenders that race on streams of their own and a common one leave a log without gaps.
pub async fn concurrent_appenders_leave_no_gap(world: World) {
    const APPENDERS: u128 = 16;
    const EACH: u128 = 20;
    let world = Arc::new(world);
    let appenders: Vec<_> = (0..APPENDERS)
        .map(|appender| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                for n in 0..EACH {
                    let id = |k: u128| event(appender * 1_000 + 2 * n + k);
                    let own = to(&format!("own-{appender}"), at_version(n as u64), [id(0)]);
                    let common = to("common", Expected::Any, [id(1)]);
                    world.append(vec![own, common]).await.unwrap();
                }
            })
        })
        .collect();
    for appender in appenders {
        appender.await.unwrap();
    }
    let log = world.verify().await;
    assert_eq!(log.len() as u128, APPENDERS * EACH * 2);
    let common: Vec<_> = log
        .iter()
        .filter(|event| event.stream_id == stream("common"))
        .map(|event| event.version.0)
        .collect();
    assert_eq!(common, (1..=(APPENDERS * EACH) as u64).collect::<Vec<_>>());
}

/// Of those that expect the same version one wins, and the others learn the version it left.
pub async fn concurrent_conflicts_let_exactly_one_win(world: World) {
    let world = Arc::new(world);
    let racers: Vec<_> = (0..16)
        .map(|racer| {
            let world = Arc::clone(&world);
            let event_id = EventId(Uuid::from_u128(racer));
            let racing = crate::events::NewEvent { event_id, ..event(racer) };
            tokio::spawn(
                async move { world.append(vec![to("a", Expected::NoStream, [racing])]).await },
            )
        })
        .collect();
    let mut won = 0;
    for racer in racers {
        match racer.await.unwrap() {
            Ok(_) => won += 1,
            Err(Error::Conflict { current, .. }) => assert_eq!(current, StreamVersion(1)),
            Err(other) => panic!("a conflict, not {other}"),
        }
    }
    assert_eq!(won, 1);
    let (tenant, epoch) = (world.tenant, world.epoch);
    let read =
        LogRead { tenant, access: epoch.into(), after: Position(0), limit: 10, max_bytes: 1 };
    assert_eq!(world.store.read_log(read).await.unwrap().events.len(), 1);
}
