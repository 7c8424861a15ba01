//! One PostgreSQL store under many callers, and one database under several servers.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use segue_core::ids::{Epoch, EventId, StreamVersion};
use segue_store::conformance::events::heads::fence_among_writers;
use segue_store::conformance::events::{
    Fixture, World, at_version, event, redact, stream, tenant, to,
};
use segue_store::events::postgres::PostgresEventStore;
use segue_store::events::{
    Append, CountBy, CountQuery, Error, Event, EventStore, Expected, Filter, NewEvent, Reason,
    STREAM_REDACTED,
};
use segue_store::postgres::Settings;
use segue_testing::postgres::TestDatabase;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// How long a slow machine may take for what takes seconds.
const AT_MOST: Duration = Duration::from_secs(60);

fn store(database: &TestDatabase) -> PostgresEventStore {
    PostgresEventStore::open(Settings::new(database.url()).unwrap()).unwrap()
}

async fn open(database: &TestDatabase) -> Arc<World> {
    Arc::new(Fixture::of(store(database)).open().await)
}

/// A session that holds the head of one tenant.
async fn holder(database: &TestDatabase, world: &World) -> Client {
    let (client, connection) = tokio_postgres::connect(database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN").await.unwrap();
    let lock = "SELECT 1 FROM segue_events.tenant_head WHERE tenant_id = $1 FOR UPDATE";
    client.query(lock, &[&world.tenant.0]).await.unwrap();
    client
}

fn new(id: Uuid) -> NewEvent {
    let (event_type, payload) = ("Written".into(), vec![1; 100]);
    NewEvent { event_id: EventId(id), event_type, payload, metadata: Vec::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_write_one_tenant_and_neither_starves() {
    let database = TestDatabase::fresh().await;
    let world = open(&database).await;
    let second: Arc<dyn EventStore> = Arc::new(store(&database));
    let (begun, total) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = (0..8)
        .map(|n| {
            let store = if n % 2 == 0 { Arc::clone(&world.store) } else { Arc::clone(&second) };
            let group = |id| vec![to("all", Expected::Any, [new(id)])];
            let (world, total) = (Arc::clone(&world), Arc::clone(&total));
            tokio::spawn(async move {
                let mut written = 0_usize;
                // On a slow machine they write for longer, so that the shares say something.
                while begun.elapsed() < Duration::from_secs(2)
                    || (total.load(Ordering::Relaxed) < 400 && begun.elapsed() < AT_MOST)
                {
                    let append = world.group(group(Uuid::new_v4()));
                    assert!(!store.append(append).await.unwrap().duplicate);
                    written += 1;
                    total.fetch_add(1, Ordering::Relaxed);
                }
                written
            })
        })
        .collect();
    let mut written = [0, 0];
    for (n, writer) in writers.into_iter().enumerate() {
        written[n % 2] += writer.await.unwrap();
    }
    let total = written[0] + written[1];
    assert_eq!(world.verify().await.len(), total);
    assert!(written.iter().all(|written| *written * 5 >= total), "{written:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_in_a_group_commit_fails_only_its_own_append() {
    let database = TestDatabase::fresh().await;
    let world = open(&database).await;
    world.append(vec![to("a", Expected::NoStream, [event(0)])]).await.unwrap();
    let holder = holder(&database, &world).await;
    let appends: Vec<_> = (1..=30_u32)
        .map(|n| {
            let world = Arc::clone(&world);
            // A third is right about its stream, a third wrong, and a third repeats the first append.
            let streams = match n % 3 {
                0 => vec![to(&format!("s{n}"), Expected::NoStream, [event(n.into())])],
                1 => vec![to("a", at_version(9), [event(n.into())])],
                _ => vec![to("a", Expected::NoStream, [event(0)])],
            };
            tokio::spawn(async move { (n, world.append(streams).await) })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    for append in appends {
        let (n, answer) = append.await.unwrap();
        match n % 3 {
            0 => assert!(!answer.unwrap().duplicate),
            1 => {
                let current = StreamVersion(1);
                assert!(matches!(answer, Err(Error::Conflict { current: c, .. }) if c == current));
            }
            _ => assert!(answer.unwrap().duplicate),
        }
    }
    assert_eq!(world.verify().await.len(), 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_append_many_times_at_once_is_there_once() {
    let database = TestDatabase::fresh().await;
    let world = open(&database).await;
    let appends: Vec<_> = (0..20)
        .map(|_| {
            let world = Arc::clone(&world);
            let streams = vec![to("a", Expected::NoStream, [event(1), event(2)])];
            tokio::spawn(async move { world.append(streams).await.unwrap() })
        })
        .collect();
    let mut firsts = 0;
    for append in appends {
        let appended = append.await.unwrap();
        assert_eq!((appended.first_position.0, appended.last_position.0), (1, 2));
        firsts += u32::from(!appended.duplicate);
    }
    assert_eq!((firsts, world.verify().await.len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_is_stuck_fills_its_own_queue_and_holds_up_nobody_else() {
    let database = TestDatabase::fresh().await;
    let world = open(&database).await;
    let other = tenant(2);
    world.store.open_tenant(other, world.epoch).await.unwrap();
    let holder = holder(&database, &world).await;
    let group = |id| vec![to("all", Expected::Any, [new(id)])];
    let stuck: Vec<_> = (0..1_400)
        .map(|_| {
            let (world, streams) = (Arc::clone(&world), group(Uuid::new_v4()));
            tokio::spawn(async move { world.append(streams).await })
        })
        .collect();
    while !stuck.iter().any(tokio::task::JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..20 {
        let append = Append { tenant: other, ..world.group(group(Uuid::new_v4())) };
        let answered = tokio::time::timeout(Duration::from_secs(4), world.store.append(append));
        answered.await.expect("another tenant waits for nobody").unwrap();
    }
    holder.batch_execute("ROLLBACK").await.unwrap();
    let (mut written, mut refused) = (0, 0);
    for append in stuck {
        match append.await.unwrap() {
            Ok(_) => written += 1,
            Err(Error::Unavailable { reason: Reason::Busy, .. }) => refused += 1,
            Err(other) => panic!("busy, not {other}"),
        }
    }
    assert!(written >= 1_024 && refused > 0, "{written} written, {refused} refused");
    assert_eq!(world.verify().await.len(), written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_goes_away_interrupts_nothing() {
    let database = TestDatabase::fresh().await;
    let world = open(&database).await;
    world.append(vec![to("a", Expected::NoStream, [event(0)])]).await.unwrap();
    let holder = holder(&database, &world).await;
    let group = || vec![to("a", at_version(1), [event(1)]), to("b", Expected::Any, [event(2)])];
    let gone = tokio::time::timeout(Duration::from_secs(1), world.append(group())).await;
    assert!(gone.is_err(), "it waits for the lock");
    holder.batch_execute("ROLLBACK").await.unwrap();
    let again = world.append(group()).await.unwrap();
    assert!(again.duplicate, "the append had begun, and was finished");
    let log = world.verify().await;
    assert_eq!(log.len(), 3);
    let versions = [stream("a"), stream("b")];
    let versions = world.store.stream_versions(world.tenant, world.epoch.into(), &versions).await;
    assert_eq!(versions.unwrap(), [StreamVersion(2), StreamVersion(1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_of_one_connection_serves_many_tenants_and_readers() {
    let database = TestDatabase::fresh().await;
    let settings = Settings::new(database.url()).unwrap().with_pool_size(1).unwrap();
    let world = Fixture::of(PostgresEventStore::open(settings).unwrap()).open().await;
    let world = Arc::new(world);
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let own = tenant(100 + n);
                world.store.open_tenant(own, world.epoch).await.unwrap();
                for _ in 0..5 {
                    let streams = vec![to("a", Expected::Any, [new(Uuid::new_v4())])];
                    let append = Append { tenant: own, ..world.group(streams) };
                    world.store.append(append).await.unwrap();
                }
                let state = world.store.load(own, world.epoch.into(), &stream("a")).await.unwrap();
                assert_eq!(state.unwrap().version, StreamVersion(5));
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_read_that_is_refused_costs_no_connection() {
    let database = TestDatabase::fresh().await;
    let named = format!("{}?application_name=reader", database.url());
    let settings = Settings::new(&named).unwrap().with_pool_size(1).unwrap();
    let world = Fixture::of(PostgresEventStore::open(settings).unwrap()).open().await;
    let onlooker = database.client().await;
    let connections = async || {
        let statement = "SELECT pid FROM pg_stat_activity WHERE application_name = 'reader'";
        let rows = onlooker.query(statement, &[]).await.unwrap();
        rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>()
    };
    let before = connections().await;
    assert_eq!(before.len(), 1);
    let store = &world.store;
    let (stale, streams) = (Epoch(world.epoch.0 + 1).into(), [stream("a")]);
    for _ in 0..3 {
        let read = store.load(world.tenant, stale, &streams[0]).await;
        assert!(matches!(read, Err(Error::Fenced { .. })), "{read:?}");
        let read = store.stream_versions(tenant(99), stale, &streams).await;
        assert!(matches!(read, Err(Error::NotFound { .. })), "{read:?}");
        let count = CountQuery {
            tenant: world.tenant,
            access: stale,
            stream_type: "thing".into(),
            filter: Filter::default(),
            by: CountBy::Version,
        };
        let read = store.count(count).await;
        assert!(matches!(read, Err(Error::Fenced { .. })), "{read:?}");
    }
    assert_eq!(connections().await, before);
}

#[tokio::test]
async fn a_gap_in_a_damaged_log_does_not_hide_what_stands_behind_it() {
    let database = TestDatabase::fresh().await;
    let world = open(&database).await;
    world.append(vec![to("a", Expected::NoStream, (0..100).map(event))]).await.unwrap();
    let damage = "DELETE FROM segue_events.events WHERE position BETWEEN 5 AND 90";
    database.client().await.batch_execute(damage).await.unwrap();
    let found: Vec<_> = world.log(7).await.iter().map(|event| event.position.0).collect();
    assert_eq!(found, (1..5).chain(91..=100).collect::<Vec<_>>());
}

/// Sends the same append to both servers at once, and answers with the position of its first event.
async fn to_both(servers: &[Arc<dyn EventStore>; 2], append: Append) -> u64 {
    let (one, other) = (servers[0].append(append.clone()), servers[1].append(append));
    let (one, other) = tokio::join!(one, other);
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_ne!(one.duplicate, other.duplicate, "one of them was first");
    assert_eq!((one.first_position, one.versions), (other.first_position, other.versions));
    one.first_position.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_servers_are_sent_at_once_is_there_once_while_streams_are_redacted() {
    let database = TestDatabase::fresh().await;
    let world = open(&database).await;
    let servers = [Arc::clone(&world.store), Arc::new(store(&database)) as Arc<dyn EventStore>];
    let clients = (0..8_u128).map(|client| {
        let (world, servers) = (Arc::clone(&world), servers.clone());
        tokio::spawn(async move {
            let own = format!("own-{client}");
            let mut positions = Vec::new();
            for round in 0..12 {
                let n = 1_000 * client + 10 * round;
                let group = vec![
                    to("shared", Expected::Any, [event(n), event(n + 1)]),
                    to(&own, at_version(round as u64), [event(n + 2)]),
                ];
                positions.push(to_both(&servers, world.group(group)).await);
                if round % 4 == client % 4 {
                    let redact = redact(&world, "shared", n + 3);
                    let asked = (servers[0].redact(redact.clone()), servers[1].redact(redact));
                    let (one, other) = tokio::join!(asked.0, asked.1);
                    let (one, other) = (one.unwrap(), other.unwrap());
                    assert_ne!(one.duplicate, other.duplicate);
                    assert_eq!((one.position, one.version), (other.position, other.version));
                }
            }
            positions
        })
    });
    let mut firsts = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        firsts.extend(client.await.unwrap());
    }
    let log = world.verify().await;
    assert_eq!(log.len(), 8 * (12 * 3 + 3), "three events a round, and three redactions a client");
    firsts.sort_unstable();
    firsts.dedup();
    assert_eq!(firsts.len(), 8 * 12, "no two groups share a position");
    let shared = || log.iter().filter(|event| event.stream_id == stream("shared"));
    let is_redaction = |event: &&Event| event.event_type == STREAM_REDACTED;
    let last = shared().rfind(is_redaction).unwrap().position;
    assert!(shared().all(|event| event.payload.is_none() == (event.position < last)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_by_one_server_ends_the_log_for_the_writers_of_another() {
    let database = TestDatabase::fresh().await;
    let world = open(&database).await;
    let stores = [Arc::clone(&world.store), Arc::new(store(&database)) as Arc<dyn EventStore>];
    fence_among_writers(&world, &stores).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_that_are_written_together_do_not_meet() {
    let database = TestDatabase::fresh().await;
    let world = open(&database).await;
    let tenants: Vec<_> = (0..48).map(|n| tenant(1_000 + n)).collect();
    for tenant in &tenants {
        world.store.open_tenant(*tenant, world.epoch).await.unwrap();
    }
    let writers: Vec<_> = (0..)
        .zip(tenants.clone())
        .map(|(n, tenant): (u64, _)| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let own = |streams| Append { tenant, ..world.group(streams) };
                for round in 0..20 {
                    let right = vec![to("a", at_version(round), [event(round.into())])];
                    assert!(!world.store.append(own(right.clone())).await.unwrap().duplicate);
                    match n % 4 {
                        // The same ids in other tenants are other events; one's own is a repeat.
                        0 => assert!(world.store.append(own(right)).await.unwrap().duplicate),
                        1 => {
                            let wrong = vec![to("a", at_version(900), [event(9_999)])];
                            let refused = world.store.append(own(wrong)).await.unwrap_err();
                            assert!(matches!(refused, Error::Conflict { .. }), "{refused}");
                        }
                        2 => {
                            let stale = Append { epoch: Epoch(99), ..own(right) };
                            let refused = world.store.append(stale).await.unwrap_err();
                            assert!(matches!(refused, Error::Fenced { .. }), "{refused}");
                        }
                        _ => {}
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for tenant in tenants {
        let own = Fixture::of(store(&database)).open().await.as_tenant(tenant);
        assert_eq!(own.verify().await.len(), 20);
    }
}
