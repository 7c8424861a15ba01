//! Erasing: what goes, what stays, and that the log verifies as before.

use std::sync::Arc;

use segue_core::ids::{CustomerId, Position, ScenarioId, StreamVersion, Term, Version};
use uuid::Uuid;

use super::{World, at, at_version, event, redact, stream, tenant, to, with_snapshot};
use crate::events::{
    CountBy, CountQuery, Counting, Direction, Error, Event, Expected, Facets, Filter, HeadSwap,
    LogRead, Mode, Redact, Redacted, STREAM_REDACTED, Snapshot, SnapshotQuery, StreamRead,
    StreamRedacted, limits,
};

/// The facets of a live session of a customer.
fn facets() -> Facets {
    Facets {
        scenario_id: Some(ScenarioId(Uuid::from_u128(0x5000))),
        scenario_version: Some(Version(1)),
        customer_id: Some(CustomerId::new("anna").unwrap()),
        live: true,
        started_at: Some(at(1)),
        ..Facets::default()
    }
}

fn sessions(world: &World, filter: Filter) -> SnapshotQuery {
    SnapshotQuery {
        tenant: world.tenant,
        access: world.epoch.into(),
        stream_type: "thing".into(),
        filter,
        any_of: Vec::new(),
        none_of: Vec::new(),
        after: None,
        limit: 10,
        counting: Counting::Exactly,
    }
}

async fn counted(world: &World) -> u64 {
    let (tenant, epoch, filter) = (world.tenant, world.epoch, Filter::default());
    let by = CountBy::Version;
    let query =
        CountQuery { tenant, access: epoch.into(), stream_type: "thing".into(), filter, by };
    world.store.count(query).await.unwrap().iter().map(|count| count.n).sum()
}

/// Which events of a log have their payload.
fn kept(log: &[Event]) -> Vec<bool> {
    log.iter().map(|event| event.payload.is_some()).collect()
}

/// Payloads go; positions, versions, types, times, metadata, hashes and the digests stay.
pub async fn a_redaction_takes_the_payloads_and_leaves_the_chain(world: World) {
    world.append(vec![to("a", Expected::NoStream, [event(1), event(2)])]).await.unwrap();
    world.append(vec![to("a", at_version(2), [event(3)])]).await.unwrap();
    let before = world.verify().await;
    let redacted = world.store.redact(redact(&world, "a", 4)).await.unwrap();
    let expected = Redacted { position: Position(4), version: StreamVersion(4), duplicate: false };
    assert_eq!(redacted, expected);
    assert_eq!(redacted.events_redacted(), 3);

    let log = world.verify().await;
    assert_eq!(kept(&log), [false, false, false, true]);
    for (before, after) in before.into_iter().zip(&log) {
        assert_eq!(Event { payload: None, ..before }, *after, "all else stays");
    }
    let last = log.last().unwrap();
    assert_eq!((last.event_type.as_ref(), last.recorded_at), (STREAM_REDACTED, at(2)));
    assert_eq!((last.append_first_position, last.metadata.len()), (Position(4), 0));
    let said: StreamRedacted = serde_json::from_slice(last.payload.as_ref().unwrap()).unwrap();
    let expected = StreamRedacted {
        redacted_by: "olga".into(),
        reason: Some("the customer asked for it".into()),
        through_version: StreamVersion(3),
    };
    assert_eq!(said, expected);
}

/// Neither a load nor a list nor a count finds the state that was erased.
pub async fn a_redaction_takes_the_snapshot_and_what_it_is_found_by(world: World) {
    let snapshot = Snapshot { state: b"anna, 17".to_vec(), facets: facets() };
    let append = with_snapshot(to("a", Expected::NoStream, [event(1)]), snapshot);
    world.append(vec![append]).await.unwrap();
    assert_eq!(counted(&world).await, 1);
    world.store.redact(redact(&world, "a", 2)).await.unwrap();
    let state =
        world.store.load(world.tenant, world.epoch.into(), &stream("a")).await.unwrap().unwrap();
    assert_eq!((state.version, state.stream_type.as_ref()), (StreamVersion(2), "thing"));
    assert_eq!(state.snapshot, None);
    let anna = Filter { customer_id: facets().customer_id, ..Filter::default() };
    for filter in [Filter::default(), anna] {
        assert_eq!(world.store.list(sessions(&world, filter)).await.unwrap().total, 0);
    }
    assert_eq!(counted(&world).await, 0);
}

/// A snapshot that comes with the redaction takes the place of the erased one.
pub async fn a_redaction_may_leave_a_state_without_what_was_erased(world: World) {
    let snapshot = Snapshot { state: b"anna, 17".to_vec(), facets: facets() };
    let append = with_snapshot(to("a", Expected::NoStream, [event(1)]), snapshot);
    world.append(vec![append]).await.unwrap();
    let nobody = Facets { customer_id: None, live: false, ..facets() };
    let snapshot = Snapshot { state: b"erased".to_vec(), facets: nobody.clone() };
    let redact = Redact { snapshot: Some(snapshot), ..redact(&world, "a", 2) };
    world.store.redact(redact.clone()).await.unwrap();
    let state =
        world.store.load(world.tenant, world.epoch.into(), &stream("a")).await.unwrap().unwrap();
    let taken = state.snapshot.unwrap();
    assert_eq!((taken.version, taken.state.as_slice()), (state.version, b"erased".as_slice()));
    assert_eq!(taken.facets, nobody);
    assert_eq!(counted(&world).await, 1, "still counted, as nobody's");
    let anna = Filter { customer_id: facets().customer_id, ..Filter::default() };
    assert_eq!(world.store.list(sessions(&world, anna)).await.unwrap().total, 0);
}

/// The same redaction again changes nothing, also after the stream has gone on.
pub async fn a_repeated_redaction_answers_with_the_first_result(world: World) {
    world.append(vec![to("a", Expected::NoStream, [event(1)])]).await.unwrap();
    let request = Redact { expected: at_version(1), ..redact(&world, "a", 2) };
    let first = world.store.redact(request.clone()).await.unwrap();
    let append = with_snapshot(to("a", at_version(2), [event(3)]), Snapshot::default());
    world.append(vec![append]).await.unwrap();
    let before = world.head().await;
    let again = Redact { recorded_at: at(99), ..request };
    let repeated = world.store.redact(again.clone()).await.unwrap();
    assert_eq!(repeated, Redacted { duplicate: true, ..first.clone() });
    assert_eq!(world.head().await, before);
    assert_eq!(kept(&world.verify().await), [false, true, true]);
    let state =
        world.store.load(world.tenant, world.epoch.into(), &stream("a")).await.unwrap().unwrap();
    assert!(state.snapshot.is_some(), "what came later is not erased by a repeat");

    world.store.redact(redact(&world, "a", 4)).await.unwrap();
    let repeated = world.store.redact(again).await.unwrap();
    assert_eq!(repeated, Redacted { duplicate: true, ..first }, "its own payload is gone since");
}

/// The id of another event, or of a redaction by somebody else, is refused.
pub async fn an_id_that_is_taken_redacts_nothing(world: World) {
    world.append(vec![to("a", Expected::NoStream, [event(1)])]).await.unwrap();
    world.append(vec![to("b", Expected::NoStream, [event(2)])]).await.unwrap();
    world.store.redact(redact(&world, "b", 3)).await.unwrap();
    let before = world.head().await;
    let by_otto = Redact { redacted_by: "otto".into(), ..redact(&world, "b", 3) };
    for taken in [redact(&world, "a", 1), redact(&world, "a", 3), by_otto] {
        let refused = world.store.redact(taken).await.unwrap_err();
        assert!(matches!(refused, Error::DuplicateEvent { .. }), "{refused}");
    }
    assert_eq!(world.head().await, before);
    assert_eq!(kept(&world.verify().await), [true, false, true]);
}

/// A redacted stream takes appends and snapshots as before; the next redaction erases these too, and
/// what the one before said.
pub async fn a_redacted_stream_goes_on(world: World) {
    world.append(vec![to("a", Expected::NoStream, [event(1)])]).await.unwrap();
    world.store.redact(redact(&world, "a", 2)).await.unwrap();
    let snapshot = Snapshot { state: b"new".to_vec(), facets: facets() };
    let append = with_snapshot(to("a", at_version(2), [event(3), event(4)]), snapshot);
    assert_eq!(world.append(vec![append]).await.unwrap().versions, [StreamVersion(4)]);
    assert_eq!(kept(&world.verify().await), [false, true, true, true]);
    let state =
        world.store.load(world.tenant, world.epoch.into(), &stream("a")).await.unwrap().unwrap();
    assert_eq!(state.snapshot.unwrap().version, StreamVersion(4));

    let redacted = world.store.redact(redact(&world, "a", 5)).await.unwrap();
    assert_eq!((redacted.version, redacted.events_redacted()), (StreamVersion(5), 4));
    assert_eq!(kept(&world.verify().await), [false, false, false, false, true]);
}

/// The hash is kept, so a repeat of what was erased answers as the first time, and other content does not.
pub async fn an_append_is_recognised_after_its_payload_is_gone(world: World) {
    let group = vec![
        to("a", Expected::NoStream, [event(1), event(2)]),
        to("b", Expected::NoStream, [event(3)]),
    ];
    let first = world.append(group.clone()).await.unwrap();
    world.store.redact(redact(&world, "a", 4)).await.unwrap();
    let repeated = world.append(group).await.unwrap();
    assert!(repeated.duplicate);
    assert_eq!(crate::events::Appended { duplicate: false, ..repeated }, first);
    let mut other = event(1);
    other.payload.push(b' ');
    let refused = world.append(vec![to("a", Expected::Any, [other])]).await.unwrap_err();
    assert!(matches!(refused, Error::DuplicateEvent { .. }));
    assert_eq!(kept(&world.verify().await), [false, false, true, true], "nothing comes back");
}

/// A missing stream, another version, another epoch and a fenced head refuse it; nothing is erased.
pub async fn a_redaction_needs_its_stream_version_epoch_and_mode(world: World) {
    world.append(vec![to("a", Expected::NoStream, [event(1), event(2)])]).await.unwrap();
    let before = world.head().await;
    let refused = world.store.redact(redact(&world, "nothing", 3)).await.unwrap_err();
    assert!(matches!(refused, Error::StreamNotFound { stream: of } if of == stream("nothing")));
    let at_one = Redact { expected: at_version(1), ..redact(&world, "a", 3) };
    let refused = world.store.redact(at_one).await.unwrap_err();
    assert!(matches!(refused, Error::Conflict { current: StreamVersion(2), .. }));
    let late = Redact { epoch: world.epoch.next(), ..redact(&world, "a", 3) };
    let refused = world.store.redact(late).await.unwrap_err();
    assert!(matches!(refused, Error::Fenced { mode: Mode::Open, .. }));
    let stranger = Redact { tenant: tenant(9), ..redact(&world, "a", 3) };
    let refused = world.store.redact(stranger).await.unwrap_err();
    assert!(matches!(refused, Error::NotFound { tenant: of } if of == tenant(9)));

    let swap = |from, to| HeadSwap {
        expect_epoch: world.epoch,
        expect_mode: from,
        expect_mark: None,
        term: Term(0),
        epoch: world.epoch,
        mode: to,
    };
    world.store.swap_head(world.tenant, swap(Mode::Open, Mode::Fenced)).await.unwrap();
    let refused = world.store.redact(redact(&world, "a", 3)).await.unwrap_err();
    assert!(matches!(refused, Error::Fenced { mode: Mode::Fenced, .. }));
    world.store.swap_head(world.tenant, swap(Mode::Fenced, Mode::Prepared)).await.unwrap();
    assert_eq!(kept(&world.verify().await), [true, true]);
    assert_eq!(world.head().await.mark(), before.mark());
    world.store.redact(redact(&world, "a", 3)).await.unwrap();
    assert_eq!(world.head().await.mode, Mode::Open, "it opens a prepared head, as any append does");
}

/// Who and why have their limits, and somebody has to ask.
pub async fn a_redaction_has_limits(world: World) {
    world.append(vec![to("a", Expected::NoStream, [event(1)])]).await.unwrap();
    let by = "x".repeat(limits::ACTOR_BYTES + 1);
    let long = Redact { redacted_by: by, ..redact(&world, "a", 2) };
    let why = Some("x".repeat(limits::REASON_BYTES + 1));
    let wordy = Redact { reason: why, ..redact(&world, "a", 2) };
    let state = vec![0; limits::SNAPSHOT_BYTES + 1];
    let snapshot = Some(Snapshot { state, ..Snapshot::default() });
    let large = Redact { snapshot, ..redact(&world, "a", 2) };
    for too_large in [long, wordy, large] {
        let refused = world.store.redact(too_large).await.unwrap_err();
        assert!(matches!(refused, Error::TooLarge { .. }), "{refused}");
    }
    let nobody = Redact { redacted_by: String::new(), ..redact(&world, "a", 2) };
    assert!(matches!(world.store.redact(nobody).await, Err(Error::Invalid(_))));
    assert_eq!(kept(&world.verify().await), [true]);
}

/// The type says that what was before is gone, so only a redaction makes such an event.
pub async fn nobody_appends_a_redaction_by_hand(world: World) {
    let mut forged = event(1);
    forged.event_type = STREAM_REDACTED.into();
    let refused = world.append(vec![to("a", Expected::Any, [forged])]).await.unwrap_err();
    assert!(matches!(refused, Error::Invalid(_)), "{refused}");
}

/// Pages of the log and of the stream, and an event by its id.
pub async fn erased_events_are_read_and_paged_like_any(world: World) {
    for n in 1..=5 {
        let mut large = event(n);
        large.payload = vec![b'x'; 100];
        large.metadata = Vec::new();
        world.append(vec![to("a", Expected::Any, [large])]).await.unwrap();
    }
    world.store.redact(redact(&world, "a", 6)).await.unwrap();
    let whole = world.log(1_000).await;
    for limit in [1, 2, 3] {
        assert_eq!(world.log(limit).await, whole);
    }
    let (tenant, epoch, after) = (world.tenant, world.epoch, Position(0));
    let read = LogRead { tenant, access: epoch.into(), after, limit: 10, max_bytes: 50 };
    let page = world.store.read_log(read).await.unwrap();
    assert_eq!(page.events.len(), 5, "what is erased weighs nothing");
    let read = StreamRead {
        tenant,
        access: epoch.into(),
        stream: stream("a"),
        from: StreamVersion(u64::MAX),
        limit: 2,
        direction: Direction::Backwards,
    };
    let page = world.store.read_stream(read).await.unwrap();
    assert_eq!((kept(&page.events), page.next), (vec![true, false], Some(StreamVersion(4))));
    let found = world.store.event(tenant, epoch.into(), event(3).event_id).await.unwrap().unwrap();
    assert_eq!((found.position, found.payload), (Position(3), None));
}

/// Streams beside it, events of the same group, and the stream of that name of another tenant.
pub async fn other_streams_and_tenants_keep_what_they_say(world: World) {
    let (other, epoch) = (tenant(2), world.epoch);
    world.store.open_tenant(other, epoch).await.unwrap();
    let both =
        vec![to("a", Expected::NoStream, [event(1)]), to("b", Expected::NoStream, [event(2)])];
    let mut elsewhere = world.group(both.clone());
    elsewhere.tenant = other;
    world.append(both).await.unwrap();
    world.store.append(elsewhere).await.unwrap();
    world.store.redact(redact(&world, "a", 3)).await.unwrap();
    assert_eq!(kept(&world.verify().await), [false, true, true]);
    let read = LogRead {
        tenant: other,
        access: epoch.into(),
        after: Position(0),
        limit: 9,
        max_bytes: 999,
    };
    assert_eq!(kept(&world.store.read_log(read).await.unwrap().events), [true, true]);
}

/// Whatever the order in which they come, every event before a redaction is erased and none after it.
pub async fn a_redaction_races_appends_and_leaves_nothing_before_it(world: World) {
    world.append(vec![to("a", Expected::NoStream, [event(0)])]).await.unwrap();
    let world = Arc::new(world);
    let racers: Vec<_> = (1..=40)
        .map(|n| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                if n % 10 == 0 {
                    world.store.redact(redact(&world, "a", n)).await.unwrap();
                } else {
                    let append = to("a", Expected::Any, [event(n)]);
                    let append = with_snapshot(append, Snapshot::default());
                    world.append(vec![append]).await.unwrap();
                }
            })
        })
        .collect();
    for racer in racers {
        racer.await.unwrap();
    }
    let log = world.verify().await;
    assert_eq!(log.len(), 41);
    let last = log.iter().rposition(|event| event.event_type == STREAM_REDACTED).unwrap();
    assert!(log[..last].iter().all(|event| event.payload.is_none()));
    assert!(log[last..].iter().all(|event| event.payload.is_some()));
    let state =
        world.store.load(world.tenant, world.epoch.into(), &stream("a")).await.unwrap().unwrap();
    assert_eq!(state.snapshot.is_some(), last < 40, "a snapshot is one of what came after");
}
