//! Copying a log into a store: what arrives, what is refused, and that nothing is taken twice.

use segue_core::digest::{Digest, Mark};
use segue_core::ids::{Epoch, Position, StreamVersion, TenantId, Term, Version};

use super::{World, at_version, event, redact, stream, tenant, to, with_snapshot};
use crate::events::{
    Access, CountBy, CountQuery, Counting, Error, Event, EventStore, Expected, Facets, Filter,
    Head, HeadSwap, Import, LogRead, Mode, Snapshot, SnapshotQuery, StreamAppend, StreamState,
    limits,
};

/// The term at which these tests copy.
const TERM: Term = Term(3);

/// Reads the whole log of a tenant, and the present states of its streams, as one import after `after`.
pub async fn whole(source: &dyn EventStore, from: TenantId, into: TenantId, after: Mark) -> Import {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let position = events.last().map_or(after.position, |event| event.position);
        let (limit, max_bytes) = (1_000, usize::MAX);
        let read =
            LogRead { tenant: from, access: Access::Copy, after: position, limit, max_bytes };
        let page = source.read_log(read).await.unwrap();
        if page.events.is_empty() {
            break;
        }
        events.extend(page.events);
    }
    let streams = states(source, from, &events).await;
    Import { tenant: into, term: TERM, after, events, streams, prepare: None }
}

/// The present states of the streams of some events.
async fn states(source: &dyn EventStore, tenant: TenantId, events: &[Event]) -> Vec<StreamState> {
    let mut ids: Vec<_> = events.iter().map(|event| event.stream_id.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    let states = source.load_many(tenant, Access::Copy, &ids).await.unwrap();
    states.into_iter().flatten().collect()
}

/// Copies a log, one append group an import, and lets the copy be read and written at the same epoch.
pub async fn copy(
    source: &dyn EventStore,
    (from, epoch): (TenantId, Epoch),
    target: &dyn EventStore,
    into: TenantId,
) -> Head {
    let mut head = target.begin_copy(into, epoch, TERM).await.unwrap();
    let whole = whole(source, from, into, head.mark()).await;
    let groups =
        whole.events.chunk_by(|one, next| one.append_first_position == next.append_first_position);
    for group in groups {
        let streams = states(source, from, group).await;
        let (after, events) = (head.mark(), group.to_vec());
        let page = Import { tenant: into, term: TERM, after, events, streams, prepare: None };
        head = target.import(page).await.unwrap();
    }
    open_copy(target, into, head).await
}

async fn open_copy(target: &dyn EventStore, tenant: TenantId, head: Head) -> Head {
    let swap = HeadSwap {
        expect_epoch: head.epoch,
        expect_mode: Mode::Copying,
        expect_mark: Some(head.mark()),
        term: head.term,
        epoch: head.epoch,
        mode: Mode::Prepared,
    };
    target.swap_head(tenant, swap).await.unwrap()
}

fn session(step: u64) -> Snapshot {
    let facets = Facets {
        scenario_version: Some(Version(step)),
        live: true,
        started_at: Some(super::at(5)),
        ..Facets::default()
    };
    Snapshot { state: format!("at {step}").into_bytes(), facets }
}

/// Two streams, three groups, a snapshot in each stream.
async fn history(world: &World) {
    let groups: [Vec<StreamAppend>; 3] = [
        vec![
            with_snapshot(to("a", Expected::NoStream, [event(1), event(2)]), session(1)),
            to("b", Expected::NoStream, [event(3)]),
        ],
        vec![with_snapshot(to("b", at_version(1), [event(4)]), session(2))],
        vec![to("a", at_version(2), [event(5)]), to("b", at_version(2), [event(6)])],
    ];
    for group in groups {
        world.append(group).await.unwrap();
    }
}

/// The world's log, ready to be imported under another tenant of the same store.
async fn page(world: &World) -> Import {
    history(world).await;
    whole(world.store.as_ref(), world.tenant, tenant(2), Mark::START).await
}

/// The page that ends a copy lets it be written, once, and only at its epoch.
pub async fn the_last_page_prepares_the_copy(world: World) {
    let page = page(&world).await;
    begin(&world).await;
    let next = world.epoch.next();
    let last = Import { prepare: Some(next), ..page.clone() };
    let prepared = world.store.import(last.clone()).await.unwrap();
    assert_eq!((prepared.mode, prepared.epoch), (Mode::Prepared, next));
    assert_eq!(prepared.mark(), world.head().await.mark());
    assert_eq!(world.store.import(last.clone()).await.unwrap(), prepared, "the answer was lost");
    let refused = world.store.import(page).await.unwrap_err();
    assert!(matches!(refused, Error::HeadDiffers { .. }), "the copier's right is over: {refused}");
    let mut group = world.group(vec![to("a", Expected::Any, [event(9)])]);
    (group.tenant, group.epoch) = (tenant(2), next);
    world.store.append(group).await.unwrap();
    let refused = world.store.import(last).await.unwrap_err();
    assert!(matches!(refused, Error::HeadDiffers { .. }), "it has been written since: {refused}");
}

/// A copy that has everything is prepared by a page without events.
pub async fn a_whole_copy_is_prepared_without_events(world: World) {
    let page = page(&world).await;
    begin(&world).await;
    let whole = world.store.import(page.clone()).await.unwrap();
    let empty = Import { after: whole.mark(), events: Vec::new(), streams: Vec::new(), ..page };
    let prepared = Import { prepare: Some(world.epoch.next()), ..empty };
    let prepared = world.store.import(prepared).await.unwrap();
    assert_eq!((prepared.mode, prepared.mark()), (Mode::Prepared, whole.mark()));
}

/// States that did not fit beside their events follow without any.
pub async fn states_may_follow_their_events(world: World) {
    let page = page(&world).await;
    begin(&world).await;
    let (store, epoch) = (world.store.as_ref(), world.epoch);
    let bare = Import { streams: Vec::new(), ..page.clone() };
    let head = store.import(bare).await.unwrap();
    let states = Import { after: head.mark(), events: Vec::new(), ..page };
    for _ in 0..2 {
        assert_eq!(store.import(states.clone()).await.unwrap(), head);
    }
    let mut ahead = states.clone();
    ahead.streams[0].version = ahead.streams[0].version.next();
    assert!(matches!(store.import(ahead).await, Err(Error::Invalid(_))), "it ends elsewhere");
    open_copy(store, tenant(2), head).await;
    assert_eq!(answers(store, tenant(2), epoch).await, answers(store, world.tenant, epoch).await);
}

async fn begin(world: &World) -> Head {
    world.store.begin_copy(tenant(2), world.epoch, TERM).await.unwrap()
}

/// Everything that can be asked of a tenant.
async fn answers(store: &dyn EventStore, tenant: TenantId, epoch: Epoch) -> String {
    let streams = [stream("a"), stream("b")];
    let states = store.load_many(tenant, epoch.into(), &streams).await.unwrap();
    let read = LogRead {
        tenant,
        access: epoch.into(),
        after: Position(0),
        limit: 99,
        max_bytes: usize::MAX,
    };
    let log = store.read_log(read).await.unwrap().events;
    let stream_type = "thing".to_owned();
    let (filter, by) = (Filter::default(), CountBy::Version);
    let list = SnapshotQuery {
        tenant,
        access: epoch.into(),
        stream_type: stream_type.clone(),
        filter: filter.clone(),
        any_of: Vec::new(),
        none_of: Vec::new(),
        after: None,
        limit: 10,
        counting: Counting::Exactly,
    };
    let list = store.list(list).await.unwrap();
    let counts = store
        .count(CountQuery { tenant, access: epoch.into(), stream_type, filter, by })
        .await
        .unwrap();
    format!("{states:?} {log:?} {list:?} {counts:?}")
}

/// A copy has the same log, digest, states, lists and counts, and goes on as the source would.
pub async fn a_copy_answers_as_its_source_does(world: World) {
    history(&world).await;
    let (store, epoch) = (world.store.as_ref(), world.epoch);
    let copied = copy(store, (world.tenant, epoch), store, tenant(2)).await;
    assert_eq!(copied.mark(), world.head().await.mark());
    assert_eq!(answers(store, tenant(2), epoch).await, answers(store, world.tenant, epoch).await);
    for of in [world.tenant, tenant(2)] {
        let mut group = world.group(vec![to("a", at_version(3), [event(7)])]);
        group.tenant = of;
        store.append(group).await.unwrap();
    }
    let head = store.head(tenant(2)).await.unwrap();
    assert_eq!(head.mark(), world.head().await.mark());
    let mut again = world.group(vec![to("a", at_version(3), [event(7)])]);
    again.tenant = tenant(2);
    assert!(store.append(again).await.unwrap().duplicate);
}

/// Kept digests arrive at the positions where the source has them, whatever the pages.
pub async fn a_copy_keeps_the_digests_of_its_source(world: World) {
    for group in 0..10 {
        let events = (group * 900..(group + 1) * 900).map(event);
        world.append(vec![to("a", Expected::Any, events)]).await.unwrap();
    }
    let whole = whole(world.store.as_ref(), world.tenant, tenant(2), Mark::START).await;
    let mut head = begin(&world).await;
    for events in [&whole.events[..4_500], &whole.events[4_500..]] {
        let page = Import { after: head.mark(), events: events.to_vec(), ..whole.clone() };
        head = world.store.import(page).await.unwrap();
    }
    open_copy(world.store.as_ref(), tenant(2), head).await;
    let kept = |tenant| world.store.digests(tenant, world.epoch.into(), Position(0), 10);
    let digests = kept(tenant(2)).await.unwrap();
    assert_eq!((digests.len(), digests), (2, kept(world.tenant).await.unwrap()));
}

/// A page whose answer was lost can be sent again.
pub async fn an_import_can_be_repeated(world: World) {
    let page = page(&world).await;
    begin(&world).await;
    let first = world.store.import(page.clone()).await.unwrap();
    let again = world.store.import(page).await.unwrap();
    assert_eq!((first, first.mark()), (again, world.head().await.mark()));
}

/// A copy is begun where there is nothing, or where one was begun; an older coordinator is refused.
pub async fn a_copy_is_begun_once_and_claimed_by_later_terms(world: World) {
    let epoch = world.epoch;
    let begin = |tenant, term| world.store.begin_copy(tenant, epoch, term);
    let refused = begin(world.tenant, TERM).await.unwrap_err();
    assert!(matches!(refused, Error::HeadDiffers { head } if head.mode == Mode::Open));
    let head = begin(tenant(2), TERM).await.unwrap();
    let expected = Head { mode: Mode::Copying, term: TERM, ..Head::opened(epoch) };
    assert_eq!((head, begin(tenant(2), TERM).await.unwrap()), (expected, expected));
    let page = page(&world).await;
    let copied = world.store.import(page).await.unwrap();
    let claimed = begin(tenant(2), TERM.next()).await.unwrap();
    assert_eq!(claimed, Head { term: TERM.next(), ..copied }, "what was copied stays");
    assert!(matches!(begin(tenant(2), TERM).await, Err(Error::HeadDiffers { .. })));
}

/// Another mode, term, position or digest: the copier is told what the head is.
pub async fn an_import_needs_the_head_that_it_continues(world: World) {
    let page = page(&world).await;
    let missing = world.store.import(page.clone()).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { tenant: of } if of == tenant(2)));
    let head = begin(&world).await;
    let wrong_digest = Mark { digest: Digest([1; 32]), ..Mark::START };
    let open = Import { tenant: world.tenant, after: world.head().await.mark(), ..page.clone() };
    let later = Import { events: Vec::new(), streams: Vec::new(), ..open };
    for other in [
        Import { term: Term(TERM.0 - 1), ..page.clone() },
        Import { term: TERM.next(), ..page.clone() },
        Import { after: wrong_digest, ..page.clone() },
        later,
    ] {
        let refused = world.store.import(other).await.unwrap_err();
        assert!(matches!(refused, Error::HeadDiffers { .. }), "{refused}");
    }
    assert_eq!(world.store.head(tenant(2)).await.unwrap(), head);
    let copied = world.store.import(page.clone()).await.unwrap();
    open_copy(world.store.as_ref(), tenant(2), copied).await;
    let refused = world.store.import(page).await.unwrap_err();
    assert!(matches!(refused, Error::HeadDiffers { .. }), "the copy is over: {refused}");
}

/// A source that is damaged is found out by the number of the event, and nothing of the page is kept.
pub async fn damaged_events_are_refused_by_position(world: World) {
    let page = page(&world).await;
    let head = begin(&world).await;
    type Damage = fn(&mut Vec<Event>);
    let damages: [(&str, u64, Damage); 9] = [
        ("an event is missing", 3, |events| drop(events.remove(1))),
        ("an event comes twice", 2, |events| events.insert(2, events[1].clone())),
        ("a payload has changed", 2, |events| events[1].payload = Some(b"{}".to_vec())),
        ("a version is left out", 4, |events| events[3].version = StreamVersion(3)),
        ("a stream begins in its middle", 1, |events| {
            events[0].version = StreamVersion(2);
            events[1].version = StreamVersion(3);
            events[4].version = StreamVersion(4);
        }),
        ("a stream changes its type", 4, |events| events[3].stream_type = "other".into()),
        ("a group begins before the page", 1, |events| {
            events[0].append_first_position = Position(0);
        }),
        ("a group has lost its beginning", 5, |events| {
            events[4].append_first_position = Position(2);
        }),
        ("an id is used twice", 5, |events| events[4].event_id = events[0].event_id),
    ];
    for (what, number, damage) in damages {
        let mut page = Import { streams: Vec::new(), ..page.clone() };
        damage(&mut page.events);
        let refused = world.store.import(page).await.unwrap_err();
        let Error::Damaged { position, .. } = refused else { panic!("{what}: {refused}") };
        assert_eq!(position, Position(number), "{what}");
        assert_eq!(world.store.head(tenant(2)).await.unwrap(), head, "{what}");
    }
    world.store.import(page).await.unwrap();
}

/// What continues the digest but not what is stored is refused too.
pub async fn events_that_contradict_what_is_stored_are_refused(world: World) {
    let page = page(&world).await;
    begin(&world).await;
    let first = Import { events: page.events[..3].to_vec(), ..page.clone() };
    let head = world.store.import(first).await.unwrap();
    let second = Import { after: head.mark(), events: page.events[3..].to_vec(), ..page };
    type Damage = fn(&mut Vec<Event>);
    let damages: [Damage; 3] = [
        |events| events[0].version = StreamVersion(1),
        |events| {
            events[0].stream_type = "other".into();
            events[2].stream_type = "other".into();
        },
        |events| events[0].event_id = event(1).event_id,
    ];
    for damage in damages {
        let mut page = Import { streams: Vec::new(), ..second.clone() };
        damage(&mut page.events);
        page.events.truncate(1);
        let refused = world.store.import(page).await.unwrap_err();
        let Error::Damaged { position, .. } = refused else { panic!("damaged, not {refused}") };
        assert_eq!(position, Position(4));
        assert_eq!(world.store.head(tenant(2)).await.unwrap(), head);
    }
    world.store.import(second).await.unwrap();
}

/// Erased payloads arrive erased, and the chain is the same.
pub async fn erased_events_are_copied_as_they_are(world: World) {
    history(&world).await;
    world.store.redact(redact(&world, "a", 9)).await.unwrap();
    let (store, epoch) = (world.store.as_ref(), world.epoch);
    let copied = copy(store, (world.tenant, epoch), store, tenant(2)).await;
    assert_eq!(copied.mark(), world.head().await.mark());
    assert_eq!(answers(store, tenant(2), epoch).await, answers(store, world.tenant, epoch).await);
}

/// A redaction that arrives after the events it erases does so in the copy, with the snapshot.
pub async fn a_redaction_that_is_copied_erases_what_came_before(world: World) {
    let page = page(&world).await;
    begin(&world).await;
    let head = world.store.import(page.clone()).await.unwrap();
    world.store.redact(redact(&world, "a", 9)).await.unwrap();
    world.append(vec![to("a", Expected::Any, [event(10)])]).await.unwrap();
    let (store, epoch) = (world.store.as_ref(), world.epoch);
    let rest = whole(store, world.tenant, tenant(2), head.mark()).await;
    let head = store.import(rest).await.unwrap();
    open_copy(store, tenant(2), head).await;
    assert_eq!(answers(store, tenant(2), epoch).await, answers(store, world.tenant, epoch).await);

    // The same when events and redaction share a page that was read before the erasure.
    let mut late = page;
    let read = whole(store, world.tenant, tenant(3), Mark::START).await;
    late.events.extend(read.events[late.events.len()..].iter().cloned());
    late.streams = read.streams;
    late.tenant = tenant(3);
    store.begin_copy(tenant(3), epoch, TERM).await.unwrap();
    let head = store.import(late).await.unwrap();
    open_copy(store, tenant(3), head).await;
    assert_eq!(answers(store, tenant(3), epoch).await, answers(store, world.tenant, epoch).await);
}

/// However many events a page has, all of it is taken, with what it erases, or nothing.
pub async fn a_page_of_any_size_is_taken_whole_or_not_at_all(world: World) {
    history(&world).await;
    for n in 0..400 {
        world.append(vec![to("long", Expected::Any, [event(1_000 + n)])]).await.unwrap();
    }
    world.store.redact(redact(&world, "a", 9)).await.unwrap();
    let (store, epoch) = (world.store.as_ref(), world.epoch);
    for (n, size) in [(2, 1), (3, 256), (4, 257), (5, 390)] {
        let mut all = whole(store, world.tenant, tenant(n), Mark::START).await;
        let with_first: Vec<_> =
            all.streams.extract_if(.., |state| state.stream_id == stream("b")).collect();
        let begun = store.begin_copy(tenant(n), epoch, TERM).await.unwrap();
        let first = Import { events: all.events[..6].to_vec(), streams: with_first, ..all.clone() };
        let head = store.import(Import { after: begun.mark(), ..first }).await.unwrap();

        let events = all.events[6..6 + size].to_vec();
        let page = Import { after: head.mark(), events, streams: Vec::new(), ..all.clone() };
        let mut repeats = page.clone();
        repeats.events.last_mut().unwrap().event_id = event(1).event_id;
        let refused = store.import(repeats).await.unwrap_err();
        assert!(matches!(refused, Error::Damaged { .. }), "{size} events: {refused}");
        assert_eq!(store.head(tenant(n)).await.unwrap(), head, "{size} events");

        let head = store.import(page).await.unwrap();
        let events = all.events[6 + size..].to_vec();
        let rest = Import { after: head.mark(), events, prepare: Some(epoch.next()), ..all };
        let copied = store.import(rest).await.unwrap();
        assert_eq!(copied.mark(), world.head().await.mark(), "{size} events");
        let (there, here) = (
            answers(store, tenant(n), epoch.next()).await,
            answers(store, world.tenant, epoch).await,
        );
        assert_eq!(there, here, "{size} events");
        // The first who writes there finds it as it was left.
        let mut group = world.group(vec![to("long", at_version(400), [event(2_000 + n)])]);
        (group.tenant, group.epoch) = (tenant(n), epoch.next());
        assert_eq!(store.append(group).await.unwrap().last_position, copied.position.next());
    }
}

/// A page over its limits is refused with the numbers; states that belong to no event too.
pub async fn an_import_has_limits(world: World) {
    let page = page(&world).await;
    begin(&world).await;
    let events = vec![page.events[0].clone(); limits::EVENTS_PER_IMPORT + 1];
    let refused = world.store.import(Import { events, ..page.clone() }).await.unwrap_err();
    let (most, found) = (limits::EVENTS_PER_IMPORT, limits::EVENTS_PER_IMPORT + 1);
    assert!(
        matches!(refused, Error::TooLarge { limit, actual, .. } if (limit, actual) == (most, found))
    );
    let mut stranger = page.clone();
    stranger.streams[0].stream_id = stream("stranger");
    assert!(matches!(world.store.import(stranger).await, Err(Error::Invalid(_))));
    let mut older = page;
    older.streams[0].version = StreamVersion(1);
    assert!(matches!(world.store.import(older).await, Err(Error::Invalid(_))));
}
