//! A PostgreSQL that is down, hangs, refuses writes, is full or has no connection left, as the clients of
//! two servers meet it: every answer comes in bounded time and says when to try again, the servers recover
//! by themselves, and nothing that was acknowledged is lost or doubled.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cluster::api::Api;
use cluster::writers::{self, Load};
use cluster::{Cluster, NODES};
use segue_store::dice::Dice;
use segue_testing::history::History;
use segue_testing::postgres::Server;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const WRITERS: usize = 16;
const RECOVERS_WITHIN: Duration = Duration::from_secs(30);

/// A cluster, and what a tenant sees of it.
struct World {
    runtime: Runtime,
    cluster: Cluster,
    api: Api,
}

impl World {
    fn start(postgres: Server, more: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let cluster = Cluster::start(&runtime, postgres, more);
        let api = Api::new(&cluster.addresses);
        Self { runtime, cluster, api }
    }

    /// Appends until it succeeds, and says how long that took.
    fn goes_on(&self) -> Duration {
        let start = Instant::now();
        for node in 0..NODES {
            loop {
                let answer = self.runtime.block_on(self.api.try_append(node, "probe")).unwrap();
                if answer.status == 201 {
                    break;
                }
                assert!(answer.is_try_again(), "{answer:?}");
                assert!(start.elapsed() < RECOVERS_WITHIN, "it does not recover: {answer:?}");
                std::thread::sleep(Duration::from_millis(50));
            }
            wait_for("readiness", || self.probe(node, "/readyz") == 200);
        }
        start.elapsed()
    }

    /// One append, which must be told to try again, within `bound`.
    fn is_turned_away(&self, node: usize, bound: Duration) {
        let answer = self.runtime.block_on(self.api.try_append(node, "probe")).unwrap();
        assert!(answer.is_try_again(), "{answer:?}");
        assert!(answer.took < bound, "{answer:?}");
    }

    fn probe(&self, node: usize, path: &str) -> u16 {
        self.runtime.block_on(self.api.probe(node, path))
    }

    fn sql(&self, statement: &str) {
        let database = &self.cluster.database;
        self.runtime.block_on(async {
            database.client().await.batch_execute(statement).await.unwrap();
        });
    }

    /// Runs writers while `fault` happens, then checks everything that they were told.
    fn under_load(&mut self, fault: impl FnOnce(&mut Cluster, &Load)) -> (History, Arc<Load>) {
        let load = Arc::new(Load::default());
        let writers: Vec<_> = (0..WRITERS)
            .map(|nth| {
                let writer = writers::write(nth, self.api.clone(), load.clone(), Dice(nth as u64));
                self.runtime.spawn(writer)
            })
            .collect();
        wait_for("the load to begin", || load.acknowledged() > 50);
        fault(&mut self.cluster, &load);
        let before = load.acknowledged();
        wait_for("appends to go on", || load.acknowledged() > before + 50);
        load.stop();
        let mut history = History::default();
        for writer in writers {
            let sent = self.runtime.block_on(writer).unwrap();
            sent.into_iter().for_each(|sent| history.push(sent));
        }
        let log = self.runtime.block_on(self.api.log());
        let wrong = history.check(&log, &self.runtime.block_on(self.api.streams(&log)));
        let wrong: Vec<_> = wrong.iter().map(ToString::to_string).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        (history, load)
    }
}

#[track_caller]
fn wait_for(what: &str, mut come: impl FnMut() -> bool) {
    let deadline = Instant::now() + RECOVERS_WITHIN;
    while !come() {
        assert!(Instant::now() < deadline, "still waiting for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_database_that_goes_away_under_load_is_answered_for_with_503_and_nothing_is_lost() {
    let mut world = World::start(Server::start(), "");
    let api = world.api.clone();
    let runtime = Runtime::new().unwrap();
    let (history, load) = world.under_load(|cluster, load| {
        cluster.postgres.stop_immediate();
        // A server tries again by itself for some seconds before it tells its client to.
        wait_for("every client to be told", || {
            load.turned_away.load(Ordering::SeqCst) >= WRITERS as u64
        });
        for node in 0..NODES {
            assert_eq!(runtime.block_on(api.probe(node, "/healthz")), 200, "the process is well");
            assert_eq!(runtime.block_on(api.probe(node, "/readyz")), 503, "it is not ready");
        }
        cluster.postgres.start_again();
    });
    assert_eq!(load.cut_off.load(Ordering::SeqCst), 0, "no client lost its connection");
    assert!(history.acknowledged() > 100);
    world.goes_on();
}

#[test]
fn a_server_whose_database_is_down_starts_and_serves_when_it_comes_back() {
    let mut world = World::start(Server::start(), "");
    world.goes_on();
    world.cluster.postgres.stop_fast();
    (0..NODES).for_each(|node| world.cluster.kill_node(node));
    (0..NODES).for_each(|node| world.cluster.start_node(node));
    for node in 0..NODES {
        assert_eq!(world.probe(node, "/healthz"), 200);
        assert_eq!(world.probe(node, "/readyz"), 503);
        world.is_turned_away(node, Duration::from_secs(15));
    }
    world.cluster.postgres.start_again();
    world.goes_on();
}

#[test]
fn a_lock_held_on_one_tenants_head_is_answered_in_bounded_time_and_stops_nobody_else() {
    let world = World::start(Server::start(), "lock_timeout_ms = 1000\n");
    world.goes_on();
    let holder = world.runtime.block_on(world.cluster.database.client());
    let lock = format!(
        "BEGIN; SELECT * FROM segue_events.tenant_head WHERE tenant_id = '{}' FOR UPDATE",
        world.api.tenant
    );
    world.runtime.block_on(holder.batch_execute(&lock)).unwrap();

    world.is_turned_away(0, Duration::from_secs(10));
    let other = Api::new(&world.cluster.addresses);
    for node in 0..NODES {
        let answer = world.runtime.block_on(other.try_append(node, "free")).unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
        assert!(answer.took < Duration::from_secs(20), "{answer:?}");
    }
    let page = world.runtime.block_on(world.api.get("/events"));
    assert_eq!(page["events"].as_array().unwrap().len(), NODES, "reading goes on");

    world.runtime.block_on(holder.batch_execute("ROLLBACK")).unwrap();
    world.goes_on();
}

#[test]
fn a_database_that_hangs_is_answered_for_in_bounded_time_and_nothing_is_doubled() {
    let more = "statement_timeout_ms = 1000\nlock_timeout_ms = 500\nconnect_timeout_ms = 1000\n";
    let mut world = World::start(Server::start(), more);
    let (history, load) = world.under_load(|cluster, load| {
        cluster.postgres.freeze();
        std::thread::sleep(Duration::from_secs(12));
        assert!(load.turned_away.load(Ordering::SeqCst) > 0, "somebody was told by now");
        cluster.postgres.thaw();
    });
    assert_eq!(load.cut_off.load(Ordering::SeqCst), 0, "every request was answered");
    assert!(history.acknowledged() > 100);
    world.goes_on();
}

#[test]
fn a_database_that_refuses_writes_is_read_and_taken_up_again_when_it_accepts_them() {
    let world = World::start(Server::start(), "");
    world.goes_on();
    let name = world.cluster.database.url().rsplit('/').next().unwrap().to_owned();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    world.sql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    world.sql(cut);
    for node in 0..NODES {
        world.is_turned_away(node, Duration::from_secs(15));
        assert_eq!(world.probe(node, "/readyz"), 503, "it takes no writes");
        let page = world.runtime.block_on(world.api.get("/events?limit=1"));
        assert_eq!(page["events"].as_array().unwrap().len(), 1, "reading goes on");
    }
    world.sql(&format!("SET transaction_read_only = off; ALTER DATABASE {name} RESET ALL"));
    world.goes_on();
}

/// Takes every connection that a server gives out, for as long as it lives.
struct Hog {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl Hog {
    fn on(url: &str) -> Self {
        let (url, over) = (url.to_owned(), Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let runtime = Runtime::new().unwrap();
            let mut taken = Vec::new();
            while !seen.load(Ordering::SeqCst) {
                match runtime.block_on(tokio_postgres::connect(&url, tokio_postgres::NoTls)) {
                    Ok((client, connection)) => {
                        runtime.spawn(connection);
                        taken.push(client);
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
            taken.len()
        });
        Self { over, thread: Some(thread) }
    }

    /// Gives all of them back, and says how many they were.
    fn end(mut self) -> usize {
        self.over.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap()
    }
}

#[test]
fn a_database_without_a_connection_to_give_is_waited_for() {
    let postgres = Server::setup().with("max_connections", "24").start();
    let mut world = World::start(postgres, "pool_size = 4\n");
    let url = world.cluster.database.url().to_owned();
    let (history, _) = world.under_load(|cluster, load| {
        let hog = Hog::on(&url);
        std::thread::sleep(Duration::from_secs(2));
        // What this server holds now goes to the other one, and then it finds none at all.
        cluster.kill_node(1);
        std::thread::sleep(Duration::from_secs(1));
        cluster.start_node(1);
        let before = load.turned_away.load(Ordering::SeqCst);
        wait_for("somebody to be told", || load.turned_away.load(Ordering::SeqCst) > before + 5);
        let before = load.acknowledged();
        wait_for("the other node to go on", || load.acknowledged() > before + 50);
        assert!(hog.end() > 5);
    });
    assert!(history.acknowledged() > 100);
    world.goes_on();
}

/// A small file system in memory, gone when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// Nothing where file systems cannot be mounted.
    fn mount(mib: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mib}m,mode=1777");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "segue-small-disk"])
            .arg(folder.path())
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills it to the last block, by a file that can be removed again.
    fn fill(&self) -> std::path::PathBuf {
        let ballast = self.path().join("ballast");
        let _ = Command::new("dd")
            .args(["if=/dev/zero", "bs=64k"])
            .arg(format!("of={}", ballast.display()))
            .output();
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: PostgreSQL may be removing its last files.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_is_answered_for_with_503_and_room_heals_it() {
    let Some(disk) = SmallDisk::mount(300) else {
        eprintln!("SKIPPED: a full disk needs a small file system, and none can be mounted here");
        return;
    };
    let postgres = Server::setup().within(disk.path()).with("max_wal_size", "64MB").start();
    let mut world = World::start(postgres, "");
    let (history, load) = world.under_load(|cluster, load| {
        let ballast = disk.fill();
        wait_for("somebody to be told", || load.turned_away.load(Ordering::SeqCst) > 20);
        std::thread::sleep(Duration::from_secs(2));
        std::fs::remove_file(ballast).unwrap();
        // Without room for its log PostgreSQL stops, and somebody has to start it.
        std::thread::sleep(Duration::from_secs(2));
        if !cluster.postgres.is_running() {
            cluster.postgres.start_again();
        }
    });
    assert!(load.turned_away.load(Ordering::SeqCst) > 20);
    assert!(history.acknowledged() > 100);
    world.goes_on();
}
