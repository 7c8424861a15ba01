//! `kill -9` in the middle of group commits: what was acknowledged is there, once, and whole.
//!
//! The child is this test binary itself, told by an environment variable to write until it is killed. It
//! prints a line for each acknowledged append.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use segue_core::ids::{Epoch, EventId};
use segue_store::conformance::events::{Fixture, at, stream, tenant, to};
use segue_store::events::sqlite::SqliteEventStore;
use segue_store::events::{Append, EventStore, Expected, NewEvent};
use uuid::Uuid;

const FILE: &str = "SEGUE_TEST_CRASH_FILE";
const EPOCH: Epoch = Epoch(7);
const ROUNDS: u64 = 6;

#[test]
fn every_acknowledged_append_survives_kill_9_exactly_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.db");
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        acknowledged.extend(write_until_killed(&file, Duration::from_millis(150 + 70 * round)));
        check(&file, &acknowledged);
    }
    assert!(acknowledged.len() > 100, "the children got to write: {}", acknowledged.len());
}

/// Lets a child write for a while and kills it; answers with what it was acknowledged.
fn write_until_killed(file: &Path, after: Duration) -> Vec<Uuid> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child_writes_until_it_is_killed", "--nocapture"])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The clock starts with the first acknowledgement, or a slow start would leave nothing to check.
    let acknowledgement = |line: String| line.strip_prefix("acknowledged ").map(str::to_owned);
    let mut found: Vec<String> =
        lines.by_ref().find_map(|l| acknowledgement(l.unwrap())).into_iter().collect();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    });
    found.extend(lines.filter_map(|line| acknowledgement(line.unwrap())));
    killer.join().unwrap();
    found.iter().map(|id| id.parse().unwrap()).collect()
}

/// Opens what the killed child left, and reads all of it.
fn check(file: &Path, acknowledged: &[Uuid]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = SqliteEventStore::open(file).unwrap();
        let world = Fixture::of(store).open().await;
        let log = world.verify().await;
        let mut times: HashMap<Uuid, u32> = HashMap::new();
        let mut groups: HashMap<u64, u32> = HashMap::new();
        for event in &log {
            *times.entry(event.event_id.0).or_default() += 1;
            *groups.entry(event.append_first_position.0).or_default() += 1;
        }
        for id in acknowledged {
            assert_eq!(times.get(id), Some(&1), "the acknowledged append that begins with {id}");
        }
        assert!(times.values().all(|times| *times == 1));
        assert!(groups.values().all(|events| *events == 2), "no half of a group is there");
        let counter =
            world.store.stream_versions(world.tenant, EPOCH.into(), &[stream("all")]).await;
        assert_eq!(counter.unwrap()[0].0, log.len() as u64 / 2);
    });
}

#[test]
fn the_child_writes_until_it_is_killed() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Arc::new(SqliteEventStore::open(Path::new(&file)).unwrap());
        store.open_tenant(tenant(1), EPOCH).await.unwrap();
        let writers: Vec<_> =
            (0..32).map(|writer| tokio::spawn(write_forever(Arc::clone(&store), writer))).collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

async fn write_forever(store: Arc<SqliteEventStore>, writer: u32) {
    loop {
        let first = Uuid::new_v4();
        let streams = vec![
            to(&format!("own-{writer}"), Expected::Any, [new(first)]),
            to("all", Expected::Any, [new(Uuid::new_v4())]),
        ];
        let append = Append { tenant: tenant(1), epoch: EPOCH, recorded_at: at(0), streams };
        store.append(append).await.unwrap();
        println!("acknowledged {first}");
    }
}

fn new(id: Uuid) -> NewEvent {
    NewEvent {
        event_id: EventId(id),
        event_type: "Written".into(),
        payload: vec![1; 200],
        metadata: Vec::new(),
    }
}
