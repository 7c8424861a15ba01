//! Finding and counting streams by their snapshots.

use segue_core::ids::{Channel, CustomerId, PlanId, ScenarioId, StepId, Version};
use segue_core::scenario::hash::ContentHash;
use uuid::Uuid;

use super::{World, at, event, to, with_snapshot};
use crate::events::{
    Choice, Count, CountBy, CountQuery, Counting, Cursor, Expected, Facets, Filter, Settled,
    Snapshot, SnapshotPage, SnapshotQuery, StreamAppend,
};

fn scenario(n: u128) -> ScenarioId {
    ScenarioId(Uuid::from_u128(0x5000 + n))
}

fn plan(n: u128) -> PlanId {
    PlanId(Uuid::from_u128(0x7000 + n))
}

fn step(name: &str) -> StepId {
    StepId::new(name).unwrap()
}

fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

/// A live session of scenario 1 in version 1 at `welcome` on `web`, begun `started` seconds in.
fn session(started: i64) -> Facets {
    Facets {
        scenario_id: Some(scenario(1)),
        scenario_version: Some(Version(1)),
        step_id: Some(step("welcome")),
        channel: Some(channel("web")),
        customer_id: None,
        live: true,
        started_at: Some(at(started)),
        settled: None,
        checkpoints: Vec::new(),
    }
}

fn put(n: u128, facets: Facets) -> StreamAppend {
    let state = n.to_string().into_bytes();
    let mut append = to(&format!("s{n:05}"), Expected::Any, [event(n)]);
    append.stream_type = "session".into();
    with_snapshot(append, Snapshot { state, facets })
}

fn list(world: &World, filter: Filter) -> SnapshotQuery {
    SnapshotQuery {
        tenant: world.tenant,
        access: world.epoch.into(),
        stream_type: "session".into(),
        filter,
        any_of: Vec::new(),
        none_of: Vec::new(),
        after: None,
        limit: 100,
        counting: Counting::Exactly,
    }
}

fn names(page: &SnapshotPage) -> Vec<&str> {
    page.streams.iter().map(|state| state.stream_id.as_str()).collect()
}

async fn all_pages(world: &World, mut query: SnapshotQuery) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let page = world.store.list(query.clone()).await.unwrap();
        found.extend(names(&page).into_iter().map(str::to_owned));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return found,
        }
    }
}

/// Newest first; equal times by stream id; without a time last; each once, whatever the page.
pub async fn a_list_is_newest_first_and_pages_without_gaps(world: World) {
    for (n, started) in [(1, 10), (2, 30), (3, 20), (4, 20)] {
        world.append(vec![put(n, session(started))]).await.unwrap();
    }
    world.append(vec![put(5, Facets::default())]).await.unwrap();
    let expected = ["s00002", "s00004", "s00003", "s00001", "s00005"];
    for limit in 1..=6 {
        let query = SnapshotQuery { limit, ..list(&world, Filter::default()) };
        let first = world.store.list(query.clone()).await.unwrap();
        assert_eq!((first.total, first.streams.len()), (5, limit.min(5)));
        assert_eq!(all_pages(&world, query).await, expected);
    }
    let page = world.store.list(list(&world, Filter::default())).await.unwrap();
    let taken = page.streams[0].snapshot.as_ref().unwrap();
    assert_eq!((taken.state.as_slice(), &taken.facets), (b"2".as_slice(), &session(30)));
}

/// A list that is not to be counted to its end says that there is more, and pages to its end all the same.
pub async fn a_list_is_counted_as_far_as_it_is_asked(world: World) {
    for n in 0..5 {
        world.append(vec![put(n, session(n as i64))]).await.unwrap();
    }
    let of_scenario = Filter { scenario_id: Some(scenario(1)), ..Filter::default() };
    let nobody = Filter { scenario_id: Some(scenario(2)), ..Filter::default() };
    for (counting, total) in [
        (Counting::UpTo(0), 1),
        (Counting::UpTo(3), 4),
        (Counting::UpTo(4), 5),
        (Counting::UpTo(5), 5),
        (Counting::UpTo(u64::MAX), 5),
        (Counting::Exactly, 5),
    ] {
        for filter in [Filter::default(), of_scenario.clone()] {
            let query = SnapshotQuery { limit: 2, counting, ..list(&world, filter) };
            let first = world.store.list(query.clone()).await.unwrap();
            assert_eq!((first.total, first.streams.len()), (total, 2), "{counting:?}");
            let second = SnapshotQuery { after: first.next, ..query.clone() };
            assert_eq!(world.store.list(second).await.unwrap().total, total, "{counting:?}");
            let newest_first = ["s00004", "s00003", "s00002", "s00001", "s00000"];
            assert_eq!(all_pages(&world, query).await, newest_first, "{counting:?}");
        }
        let query = SnapshotQuery { counting, ..list(&world, nobody.clone()) };
        let page = world.store.list(query).await.unwrap();
        assert_eq!((page.total, page.streams.len(), page.next), (0, 0, None));
    }
}

/// Lists that match many thousands page as well as short ones.
pub async fn a_list_of_thousands_pages_without_gaps(world: World) {
    const GROUP: u128 = 1_000;
    const GROUPS: u128 = 11;
    for group in 0..GROUPS {
        let numbers = group * GROUP..(group + 1) * GROUP;
        let sessions = numbers.map(|n| put(n, session((n % 97) as i64))).collect();
        world.append(sessions).await.unwrap();
    }
    let filter = Filter { scenario_id: Some(scenario(1)), ..Filter::default() };
    let query = SnapshotQuery { limit: 700, ..list(&world, filter) };
    let found = all_pages(&world, query).await;
    let mut expected: Vec<_> =
        (0..GROUP * GROUPS).map(|n| ((n % 97) as i64, format!("s{n:05}"))).collect();
    expected.sort();
    let expected = expected.into_iter().rev().map(|(_, name)| name);
    assert!(found.into_iter().eq(expected), "each once, newest first");
}

/// One difference from the usual session at a time, and the filter that finds it.
pub async fn each_filter_narrows_as_it_says(world: World) {
    let usual = session(0);
    let customer = CustomerId::new("anna").unwrap();
    let sessions = [
        usual.clone(),
        Facets { scenario_id: Some(scenario(2)), ..usual.clone() },
        Facets { scenario_version: Some(Version(2)), ..usual.clone() },
        Facets { step_id: Some(step("payment")), ..usual.clone() },
        Facets { channel: Some(channel("whatsapp")), ..usual.clone() },
        Facets { customer_id: Some(customer.clone()), ..usual.clone() },
        Facets { live: false, ..usual.clone() },
        Facets { started_at: Some(at(60)), ..usual.clone() },
        Facets { settled: Some(plan(1)), ..usual.clone() },
        Facets { step_id: None, channel: None, started_at: None, ..usual.clone() },
    ];
    for (n, facets) in (0..).zip(&sessions) {
        world.append(vec![put(n, facets.clone())]).await.unwrap();
    }
    let any = Filter::default;
    let filters = [
        any(),
        Filter { scenario_id: Some(scenario(2)), ..any() },
        Filter { versions: Choice::Only(vec![Version(2), Version(3)]), ..any() },
        Filter { versions: Choice::Except(vec![Version(1)]), ..any() },
        Filter { steps: Choice::Only(vec![step("payment")]), ..any() },
        Filter { steps: Choice::Except(vec![step("welcome")]), ..any() },
        Filter { steps: Choice::Only(vec![]), ..any() },
        Filter { steps: Choice::Except(vec![]), ..any() },
        Filter { channels: Choice::Only(vec![channel("whatsapp")]), ..any() },
        Filter { channels: Choice::Except(vec![channel("web"), channel("x")]), ..any() },
        Filter { customer_id: Some(customer), ..any() },
        Filter { live: Some(false), ..any() },
        Filter { live: Some(true), ..any() },
        Filter { started_from: Some(at(1)), ..any() },
        Filter { started_from: Some(at(60)), ..any() },
        Filter { started_until: Some(at(59)), ..any() },
        Filter { settled: Some(Settled::By(plan(1))), ..any() },
        Filter { settled: Some(Settled::NotBy(vec![plan(1)])), ..any() },
        Filter { settled: Some(Settled::NotBy(vec![plan(2)])), ..any() },
        Filter { settled: Some(Settled::NotBy(vec![plan(2), plan(1)])), ..any() },
        Filter {
            scenario_id: Some(scenario(1)),
            versions: Choice::Only(vec![Version(1)]),
            steps: Choice::Only(vec![step("welcome"), step("payment")]),
            channels: Choice::Except(vec![channel("whatsapp")]),
            live: Some(true),
            started_until: Some(at(59)),
            settled: Some(Settled::NotBy(vec![plan(1)])),
            ..any()
        },
    ];
    for filter in filters {
        let admitted = sessions.iter().filter(|facets| filter.admits(facets)).count();
        let page = world.store.list(list(&world, filter.clone())).await.unwrap();
        assert_eq!(page.total, admitted as u64, "the total of {filter:?}");
        assert_eq!(page.streams.len(), admitted, "the page of {filter:?}");
        let facets = page.streams.iter().map(|state| &state.snapshot.as_ref().unwrap().facets);
        assert!(facets.clone().all(|facets| filter.admits(facets)), "{filter:?}");
        let n: u64 =
            count(&world, filter.clone(), CountBy::Channel).await.iter().map(|c| c.n).sum();
        assert_eq!(n, admitted as u64, "the count of {filter:?}");
    }
}

/// `any_of` widens within the filter, `none_of` takes away.
pub async fn filters_combine_by_any_and_none(world: World) {
    let at_step = |name: &str| Facets { step_id: Some(step(name)), ..session(0) };
    for (n, facets) in (0..).zip([at_step("a"), at_step("b"), at_step("c"), Facets::default()]) {
        world.append(vec![put(n, facets)]).await.unwrap();
    }
    let only = |name: &str| Filter { steps: Choice::Only(vec![step(name)]), ..Filter::default() };
    let any_of = vec![only("a"), only("b")];
    let query = SnapshotQuery { any_of: any_of.clone(), ..list(&world, Filter::default()) };
    assert_eq!(names(&world.store.list(query).await.unwrap()), ["s00001", "s00000"]);
    let query = SnapshotQuery { none_of: any_of.clone(), ..list(&world, Filter::default()) };
    assert_eq!(names(&world.store.list(query).await.unwrap()), ["s00002", "s00003"]);
    let query = SnapshotQuery { any_of, none_of: vec![only("a")], ..list(&world, only("b")) };
    assert_eq!(names(&world.store.list(query).await.unwrap()), ["s00001"]);

    let many = (0..2_000).map(|n| only(&format!("step {n}"))).chain([only("a")]).collect();
    let query = SnapshotQuery { any_of: many, ..list(&world, Filter::default()) };
    assert_eq!(names(&world.store.list(query).await.unwrap()), ["s00000"], "any number of them");
}

/// Streams without a snapshot, of another type or of another tenant are not listed or counted.
pub async fn a_list_shows_only_streams_with_snapshots_of_the_type(world: World) {
    world.append(vec![put(1, session(0))]).await.unwrap();
    let mut bare = to("bare", Expected::Any, [event(2)]);
    bare.stream_type = "session".into();
    world.append(vec![bare]).await.unwrap();
    let profile = with_snapshot(to("profile", Expected::Any, [event(3)]), Snapshot::default());
    world.append(vec![profile]).await.unwrap();
    let page = world.store.list(list(&world, Filter::default())).await.unwrap();
    assert_eq!((names(&page), page.total), (vec!["s00001"], 1));
    let of_things =
        SnapshotQuery { stream_type: "thing".into(), ..list(&world, Filter::default()) };
    assert_eq!(names(&world.store.list(of_things).await.unwrap()), ["profile"]);
    assert_eq!(count(&world, Filter::default(), CountBy::Version).await.len(), 1);
}

/// A cursor goes through text, as it does in a URL.
pub async fn a_cursor_survives_being_written_down(world: World) {
    for n in 0..3 {
        world.append(vec![put(n, session(0))]).await.unwrap();
    }
    let query = SnapshotQuery { limit: 2, ..list(&world, Filter::default()) };
    let page = world.store.list(query.clone()).await.unwrap();
    let next = page.next.unwrap();
    let cursor: Cursor = next.to_string().parse().unwrap();
    assert_eq!(cursor, next);
    let page = world.store.list(SnapshotQuery { after: Some(cursor), ..query }).await.unwrap();
    assert_eq!((names(&page), page.total, &page.next), (vec!["s00000"], 3, &None));
    assert!("nonsense".parse::<Cursor>().is_err());
}

async fn count(world: &World, filter: Filter, by: CountBy) -> Vec<Count> {
    let (tenant, epoch) = (world.tenant, world.epoch);
    let query =
        CountQuery { tenant, access: epoch.into(), stream_type: "session".into(), filter, by };
    world.store.count(query).await.unwrap()
}

/// By version, by step, by channel; in this order.
pub async fn counts_are_grouped_as_fine_as_asked(world: World) {
    let mut n = 0;
    for (version, at_step, on, times) in
        [(1, "b", "web", 2), (1, "a", "web", 1), (1, "a", "sms", 3), (2, "a", "web", 1)]
    {
        for _ in 0..times {
            let facets = Facets {
                scenario_version: Some(Version(version)),
                step_id: Some(step(at_step)),
                channel: Some(channel(on)),
                ..session(0)
            };
            world.append(vec![put(n, facets)]).await.unwrap();
            n += 1;
        }
    }
    let filter = Filter { scenario_id: Some(scenario(1)), live: Some(true), ..Filter::default() };
    let group = |version, at_step: Option<&str>, on: Option<&str>, n| Count {
        scenario_version: Some(Version(version)),
        step_id: at_step.map(step),
        channel: on.map(channel),
        checkpoints: Vec::new(),
        n,
    };
    let by_version = count(&world, filter.clone(), CountBy::Version).await;
    assert_eq!(by_version, [group(1, None, None, 6), group(2, None, None, 1)]);
    let by_step = count(&world, filter.clone(), CountBy::Step).await;
    let expected =
        [group(1, Some("a"), None, 4), group(1, Some("b"), None, 2), group(2, Some("a"), None, 1)];
    assert_eq!(by_step, expected);
    let by_channel = count(&world, filter, CountBy::Channel).await;
    let expected = [
        group(1, Some("a"), Some("sms"), 3),
        group(1, Some("a"), Some("web"), 1),
        group(1, Some("b"), Some("web"), 2),
        group(2, Some("a"), Some("web"), 1),
    ];
    assert_eq!(by_channel, expected);
}

/// A count by checkpoints tells who has passed which.
pub async fn counts_split_by_checkpoints_passed(world: World) {
    let paid = ContentHash(7);
    let shipped = ContentHash(0xf00d);
    for (n, checkpoints) in
        [vec![], vec![paid], vec![paid, shipped], vec![paid]].into_iter().enumerate()
    {
        let facets = Facets { checkpoints, ..session(0) };
        world.append(vec![put(n as u128 + 1, facets)]).await.unwrap();
    }
    let counts = count(&world, Filter::default(), CountBy::Checkpoints).await;
    let groups: Vec<_> = counts.into_iter().map(|count| (count.checkpoints, count.n)).collect();
    assert_eq!(groups, [(vec![], 1), (vec![paid], 2), (vec![paid, shipped], 1)]);
}

/// A session that moves on is counted where it is, not where it was.
pub async fn counts_follow_the_snapshots(world: World) {
    world.append(vec![put(1, session(0))]).await.unwrap();
    let moved = Facets { step_id: Some(step("payment")), ..session(0) };
    let finished = Facets { live: false, ..moved.clone() };
    let live = Filter { live: Some(true), ..Filter::default() };
    for (n, facets, expected) in [(2, moved, Some("payment")), (3, finished, None)] {
        let again = StreamAppend { events: vec![event(n)], ..put(1, facets) };
        world.append(vec![again]).await.unwrap();
        let counts = count(&world, live.clone(), CountBy::Step).await;
        let found: Vec<_> = counts.iter().map(|count| count.step_id.clone().unwrap()).collect();
        assert_eq!(found, expected.map(step).into_iter().collect::<Vec<_>>());
    }
}

/// A cursor comes from outside; one that nobody gave out finds a place in the list all the same.
pub async fn a_cursor_that_was_made_up_does_no_harm(world: World) {
    world.append(vec![put(1, session(0))]).await.unwrap();
    for (started_at, found) in [(i64::MAX, 1), (i64::MIN, 0)] {
        let cursor: Cursor = format!("{started_at}.{}.s", u64::MAX).parse().unwrap();
        let query = SnapshotQuery { after: Some(cursor), ..list(&world, Filter::default()) };
        let page = world.store.list(query).await.unwrap();
        assert_eq!((page.streams.len(), page.next), (found, None));
    }
}
