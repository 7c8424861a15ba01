//! What the PostgreSQL store does when the server, the network or another session misbehaves: what was
//! acknowledged is there, once; what was not is there at most once; and memory never lies afterwards.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashMap;
use std::error::Error as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use segue_core::ids::EventId;
use segue_store::conformance::events::{Fixture, World, at_version, event, stream, to};
use segue_store::events::postgres::PostgresEventStore;
use segue_store::events::{Append, Error, Expected, NewEvent, Reason, Survives};
use segue_store::postgres::Settings;
use segue_testing::postgres::{Server, TestDatabase};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

fn store(url: &str) -> PostgresEventStore {
    PostgresEventStore::open(Settings::new(url).unwrap()).unwrap()
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A session that holds the head of every tenant until it is told to let go.
async fn holder(url: &str) -> Client {
    let client = connect(&format!("{url}?application_name=culprit")).await;
    let lock = "BEGIN; SELECT 1 FROM segue_events.tenant_head FOR UPDATE";
    client.batch_execute(lock).await.unwrap();
    client
}

/// Two events in two streams, one of which counts the groups.
fn group(world: &World, own: u32) -> (Uuid, Append) {
    let new = |id| NewEvent {
        event_id: EventId(id),
        event_type: "Written".into(),
        payload: vec![1; 200],
        metadata: Vec::new(),
    };
    let first = Uuid::new_v4();
    let streams = vec![
        to(&format!("own-{own}"), Expected::Any, [new(first)]),
        to("all", Expected::Any, [new(Uuid::new_v4())]),
    ];
    (first, world.group(streams))
}

/// What a writer was told.
#[derive(Default)]
struct Told {
    acknowledged: Vec<Uuid>,
    given_up: Vec<Uuid>,
}

/// What writers do together.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    acknowledged: AtomicU64,
}

impl Load {
    /// Waits until so many more appends are acknowledged.
    async fn writes(&self, more: u64) {
        let enough = self.acknowledged.load(Ordering::Relaxed) + more;
        let writing = async {
            while self.acknowledged.load(Ordering::Relaxed) < enough {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), writing).await.expect("writers get to write");
    }
}

/// Appends until it is told to stop. Every other append that fails is repeated until it is answered; the
/// others are given up.
async fn write(world: Arc<World>, own: u32, load: Arc<Load>) -> Told {
    let mut told = Told::default();
    let mut failures = 0;
    while !load.stop.load(Ordering::Relaxed) {
        let (id, append) = group(&world, own);
        loop {
            match world.store.append(append.clone()).await {
                Ok(_) => {
                    told.acknowledged.push(id);
                    load.acknowledged.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Err(Error::Unavailable { .. }) => failures += 1,
                Err(other) => panic!("unavailable, not {other}"),
            }
            if failures % 2 == 0 {
                told.given_up.push(id);
                break;
            }
        }
    }
    told
}

/// Reads the whole log and compares it with what writers were told.
async fn check(world: &World, told: &[Told]) {
    let log = world.verify().await;
    let mut times: HashMap<Uuid, u32> = HashMap::new();
    let mut groups: HashMap<u64, u32> = HashMap::new();
    let mut versions: HashMap<String, u64> = HashMap::new();
    for event in &log {
        *times.entry(event.event_id.0).or_default() += 1;
        *groups.entry(event.append_first_position.0).or_default() += 1;
        let version = versions.entry(event.stream_id.to_string()).or_default();
        *version += 1;
        assert_eq!(event.version.0, *version, "versions of {} have no gap", event.stream_id);
    }
    for id in told.iter().flat_map(|told| &told.acknowledged) {
        assert_eq!(times.get(id), Some(&1), "the acknowledged append that begins with {id}");
    }
    for id in told.iter().flat_map(|told| &told.given_up) {
        assert!(times.get(id).is_none_or(|times| *times == 1), "given up: {id}");
    }
    assert!(groups.values().all(|events| *events == 2), "no half of a group is there");
    let counted = [stream("all")];
    let counted =
        world.store.stream_versions(world.tenant, world.epoch.into(), &counted).await.unwrap();
    assert_eq!(counted[0].0, log.len() as u64 / 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_under_appends_loses_and_doubles_nothing() {
    let mut server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let world = Arc::new(Fixture::of(store(&server.url())).open().await);
    let load = Arc::new(Load::default());
    let writers: Vec<_> = (0..16)
        .map(|own| tokio::spawn(write(Arc::clone(&world), own, Arc::clone(&load))))
        .collect();
    for round in 0..3 {
        sleep(Duration::from_millis(400 + 150 * round)).await;
        load.writes(40).await;
        server = tokio::task::spawn_blocking(move || {
            server.stop_immediate();
            server.start_again();
            server
        })
        .await
        .unwrap();
    }
    sleep(Duration::from_millis(300)).await;
    load.stop.store(true, Ordering::Relaxed);
    let mut told = Vec::new();
    for writer in writers {
        told.push(writer.await.unwrap());
    }
    let acknowledged: usize = told.iter().map(|told| told.acknowledged.len()).sum();
    assert!(acknowledged > 100, "the writers got to write: {acknowledged}");
    check(&world, &told).await;
    assert_eq!(world.store.durability().survives, Survives::PowerLoss);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_killed_in_the_middle_are_not_noticed_by_callers() {
    let database = TestDatabase::fresh().await;
    let world = Arc::new(Fixture::of(store(database.url())).open().await);
    let stop = Arc::new(AtomicBool::new(false));
    let killer = {
        let (client, stop) = (connect(database.url()).await, Arc::clone(&stop));
        tokio::spawn(async move {
            let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE application_name = 'segue' AND datname = current_database()";
            while !stop.load(Ordering::Relaxed) {
                client.query(kill, &[]).await.unwrap();
                sleep(Duration::from_millis(60)).await;
            }
        })
    };
    let acknowledged = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..8)
        .map(|own| {
            let (world, acknowledged) = (Arc::clone(&world), Arc::clone(&acknowledged));
            tokio::spawn(async move {
                let mut told = Told::default();
                for _ in 0..25 {
                    let (id, append) = group(&world, own);
                    world.store.append(append).await.unwrap();
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    told.acknowledged.push(id);
                }
                told
            })
        })
        .collect();
    let mut told = Vec::new();
    for writer in writers {
        told.push(writer.await.unwrap());
    }
    stop.store(true, Ordering::Relaxed);
    killer.await.unwrap();
    assert_eq!(acknowledged.load(Ordering::Relaxed), 200);
    check(&world, &told).await;
}

/// Passes bytes on between the store and the server. Cut, it closes the side of the store and leaves the
/// server believing that its client is still there.
struct Wire {
    port: u16,
    cut: watch::Sender<u64>,
}

impl Wire {
    async fn to(server: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = watch::Sender::new(0);
        let cuts = cut.subscribe();
        tokio::spawn(async move {
            while let Ok((store, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(pass(store, server, cuts.clone()));
            }
        });
        Self { port, cut }
    }

    fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

async fn pass(mut store: TcpStream, mut server: TcpStream, mut cuts: watch::Receiver<u64>) {
    cuts.mark_unchanged();
    let both = tokio::io::copy_bidirectional(&mut store, &mut server);
    tokio::select! {
        _ = both => return,
        _ = cuts.changed() => {}
    }
    drop(store);
    // The server's side stays open, and what it says is thrown away.
    let mut said = [0; 1024];
    while server.read(&mut said).await.is_ok_and(|n| n > 0) {}
    let _ = server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_outlives_its_connection_is_harmless() {
    let database = TestDatabase::fresh().await;
    let url = database.url().to_owned();
    let (place, name) = url.rsplit_once('/').unwrap();
    let (login, server) = place.rsplit_once('@').unwrap();
    let wire = Wire::to(server.to_owned()).await;
    let through = format!("{login}@127.0.0.1:{}/{name}?sslmode=disable", wire.port);
    let world = Arc::new(Fixture::of(store(&through)).open().await);
    for round in 0..5 {
        // Warm: the next append is guessed.
        world.append(vec![to("warm", Expected::Any, [event(1_000 + round)])]).await.unwrap();
        world.append(vec![to("warm", Expected::Any, [event(2_000 + round)])]).await.unwrap();
        // What is cut off is in turn a transaction that waits for the head, and a guess that has it.
        let holder = match round % 2 {
            0 => holder(&url).await,
            _ => {
                let holder = connect(&url).await;
                let lock = "BEGIN; LOCK TABLE segue_events.streams IN SHARE MODE";
                holder.batch_execute(lock).await.unwrap();
                holder
            }
        };
        let append = {
            let world = Arc::clone(&world);
            let streams = vec![to("a", at_version(round as u64), [event(round)])];
            tokio::spawn(async move { world.append(streams).await })
        };
        sleep(Duration::from_millis(150)).await;
        wire.cut();
        sleep(Duration::from_millis(150)).await;
        holder.batch_execute("ROLLBACK").await.unwrap();
        let appended = append.await.unwrap().unwrap();
        assert_eq!(appended.versions[0].0, round as u64 + 1);
    }
    let log = world.verify().await;
    assert_eq!(log.len(), 15, "each append is there once");
}

#[tokio::test]
async fn a_lock_that_another_session_keeps_is_reported_with_its_holder() {
    let database = TestDatabase::fresh().await;
    let settings = Settings::new(database.url()).unwrap();
    let settings = settings.with_lock_timeout(Duration::from_millis(200)).unwrap();
    let world = Fixture::of(PostgresEventStore::open(settings).unwrap()).open().await;
    for n in 0..2 {
        world.append(vec![to("a", at_version(n), [event(n.into())])]).await.unwrap();
    }
    let holder = holder(database.url()).await;
    let refused = world.append(vec![to("a", at_version(2), [event(2)])]).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable { reason: Reason::Busy, .. }), "{refused}");
    let blocker = refused.source().unwrap().to_string();
    assert!(blocker.contains("culprit"), "{blocker}");
    let swap = world.store.open_tenant(world.tenant, world.epoch).await.unwrap_err();
    assert!(swap.source().unwrap().to_string().contains("culprit"));
    let log = world.log(10).await;
    assert_eq!(log.len(), 2, "readers wait for nobody");
    holder.batch_execute("ROLLBACK").await.unwrap();
    world.append(vec![to("a", at_version(2), [event(2)])]).await.unwrap();
    assert_eq!(world.verify().await.len(), 3);
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_given_up_and_writes_nothing() {
    let database = TestDatabase::fresh().await;
    let settings = Settings::new(database.url()).unwrap();
    let settings = settings.with_statement_timeout(Duration::from_millis(300)).unwrap();
    let world = Fixture::of(PostgresEventStore::open(settings).unwrap()).open().await;
    let group = |n| vec![to("a", Expected::Any, [event(n)])];
    world.append(group(1)).await.unwrap();
    let holder = holder(database.url()).await;
    let refused = world.append(group(2)).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable { reason: Reason::Slow, .. }), "{refused}");
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert!(!world.append(group(2)).await.unwrap().duplicate);
    assert_eq!(world.verify().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_server_answers_reads_and_says_why_it_refuses_appends() {
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let world = Fixture::of(store(&server.url())).open().await;
    let group = |n| vec![to("a", Expected::Any, [event(n)])];
    for n in 0..2 {
        world.append(group(n)).await.unwrap();
    }
    let client = connect(&server.url()).await;
    let set = |value: &'static str| {
        let (client, server) = (&client, &server);
        async move {
            let set = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
            client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
            client.batch_execute(&set).await.unwrap();
            client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
            // Whoever comes from now on finds it so, and soon those that are there too.
            while shown(&connect(&server.url()).await).await != value {
                sleep(Duration::from_millis(20)).await;
            }
            sleep(Duration::from_millis(500)).await;
        }
    };
    set("on").await;
    let refused = world.append(group(2)).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable { reason: Reason::ReadOnly, .. }), "{refused}");
    let unhealthy = world.store.health().await.unwrap_err();
    assert!(matches!(unhealthy, Error::Unavailable { reason: Reason::ReadOnly, .. }));
    assert_eq!(world.log(10).await.len(), 2);
    set("off").await;
    assert!(!world.append(group(2)).await.unwrap().duplicate);
    world.store.health().await.unwrap();
    assert_eq!(world.verify().await.len(), 3);
}

/// Whether transactions of a connection are read-only.
async fn shown(client: &Client) -> String {
    client.query_one("SHOW default_transaction_read_only", &[]).await.unwrap().get(0)
}

/// A small file system in memory, where this user may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mode = "size=4m,mode=0777";
        let mount = ["-t", "tmpfs", "-o", mode, "tmpfs"];
        let mounted = Command::new("mount").args(mount).arg(folder.path()).output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_appends_whole_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("not run: this user may not mount a small disk");
        return;
    };
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let client = connect(&server.url()).await;
    let place = disk.0.path().join("space");
    std::fs::create_dir(&place).unwrap();
    let owner =
        ["--reference".as_ref(), server.data_folder().into_os_string().leak(), place.as_os_str()];
    assert!(Command::new("chown").args(owner).status().unwrap().success());
    let parent = disk.0.path();
    assert!(Command::new("chmod").arg("755").arg(parent).status().unwrap().success());
    let space = format!("CREATE TABLESPACE small LOCATION '{}'", place.display());
    client.batch_execute(&space).await.unwrap();
    client.batch_execute("CREATE DATABASE tight").await.unwrap();
    client.batch_execute("ALTER DATABASE tight SET default_tablespace = small").await.unwrap();
    let world = Arc::new(Fixture::of(store(&server.database_url("tight"))).open().await);
    let large = |n: u128| {
        let mut large = event(n);
        large.payload =
            (0..6_000_u32).map(|byte| (byte.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        vec![to("a", Expected::Any, [large])]
    };
    let mut accepted = 0;
    let refused = loop {
        match world.append(large(accepted)).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::Unavailable { reason: Reason::DiskFull, .. }), "{refused}");
    assert_eq!(world.verify().await.len() as u128, accepted, "reads go on; nothing is half there");
    let bigger = ["-o", "remount,size=40m"];
    assert!(Command::new("mount").args(bigger).arg(disk.0.path()).status().unwrap().success());
    for n in 0..5 {
        assert!(!world.append(large(accepted + n)).await.unwrap().duplicate);
    }
    assert_eq!(world.verify().await.len() as u128, accepted + 5);
}
