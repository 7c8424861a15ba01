//! What the SQLite store does with files: refuse what is not its own, share, fill up, come back.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use segue_core::ids::{Position, StreamVersion};
use segue_store::conformance::events::{Fixture, event, redact, stream, tenant, to, with_snapshot};
use segue_store::events::sqlite::{OpenError, Settings, SqliteEventStore};
use segue_store::events::{Error, EventStore, Expected, Reason, Snapshot};
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.db");
    (folder, file)
}

#[tokio::test]
async fn a_store_that_is_closed_and_opened_again_has_everything() {
    let (_folder, file) = folder();
    let world = Fixture::of(SqliteEventStore::open(&file).unwrap()).open().await;
    world.append(vec![to("a", Expected::NoStream, [event(1)])]).await.unwrap();
    let head = world.head().await;
    drop(world);
    assert!(!file.with_extension("db-wal").exists(), "closing leaves one file");
    let world = Fixture::of(SqliteEventStore::open(&file).unwrap()).open().await;
    assert_eq!(world.head().await, head);
    assert!(world.append(vec![to("a", Expected::NoStream, [event(1)])]).await.unwrap().duplicate);
}

#[test]
fn the_folder_of_a_new_file_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("not/yet/there.db");
    SqliteEventStore::open(&file).unwrap();
    assert!(file.exists());
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_untouched() {
    let (_folder, file) = folder();
    let text = "Dear diary, this is certainly not a database.\n".repeat(100);
    fs::write(&file, &text).unwrap();
    let refused = SqliteEventStore::open(&file).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }));
    assert!(refused.to_string().contains("events.db"), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn a_database_of_another_application_is_refused_and_left_untouched() {
    for setup in ["CREATE TABLE recipes (title TEXT)", "PRAGMA application_id = 42"] {
        let (_folder, file) = folder();
        Connection::open(&file).unwrap().execute_batch(setup).unwrap();
        let before = fs::read(&file).unwrap();
        let refused = SqliteEventStore::open(&file).unwrap_err();
        assert!(matches!(refused, OpenError::Foreign { .. }), "{refused}");
        assert_eq!(fs::read(&file).unwrap(), before);
    }
}

#[test]
fn a_file_of_a_later_schema_is_refused() {
    let (_folder, file) = folder();
    drop(SqliteEventStore::open(&file).unwrap());
    Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refused = SqliteEventStore::open(&file).unwrap_err();
    assert!(matches!(refused, OpenError::Newer { found: 99, .. }));
    assert!(refused.to_string().contains("version 99"), "{refused}");
}

#[tokio::test]
async fn a_damaged_page_is_reported_as_corrupt_and_not_as_missing() {
    let (_folder, file) = folder();
    let world = Fixture::of(SqliteEventStore::open(&file).unwrap()).open().await;
    for n in 0..200 {
        let mut large = event(n);
        large.payload = vec![b'x'; 3_000];
        world.append(vec![to(&format!("s{n}"), Expected::Any, [large])]).await.unwrap();
    }
    drop(world);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[4096 * 3..middle].fill(0x5A);
    fs::write(&file, &bytes).unwrap();
    let store = match SqliteEventStore::open(&file) {
        Err(refused) => {
            assert!(matches!(refused, OpenError::Damaged { .. } | OpenError::Migration { .. }));
            return;
        }
        Ok(store) => store,
    };
    let mut kinds = Vec::new();
    for n in 0..200 {
        let name = stream(&format!("s{n}"));
        match store.load(tenant(1), segue_core::ids::Epoch(7).into(), &name).await {
            Ok(state) => assert!(state.is_some(), "stream s{n} is not silently gone"),
            Err(error) => kinds.push(error),
        }
    }
    assert!(!kinds.is_empty());
    assert!(kinds.iter().all(|error| matches!(error, Error::Corrupt { .. })), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_on_one_file_keep_one_gapless_log() {
    let (_folder, file) = folder();
    let world = Fixture::of(SqliteEventStore::open(&file).unwrap()).open().await;
    let second = SqliteEventStore::open(&file).unwrap();
    let world = Arc::new(world);
    let second = Arc::new(second);
    let appenders: Vec<_> = (0..8_u32)
        .map(|appender| {
            let (world, second) = (Arc::clone(&world), Arc::clone(&second));
            tokio::spawn(async move {
                for n in 0..20_u32 {
                    let id = u128::from(appender * 1_000 + n);
                    let group = world.group(vec![to("a", Expected::Any, [event(id)])]);
                    let appended = match appender % 2 {
                        0 => world.store.append(group).await,
                        _ => second.append(group).await,
                    };
                    appended.unwrap();
                }
            })
        })
        .collect();
    for appender in appenders {
        appender.await.unwrap();
    }
    assert_eq!(world.verify().await.len(), 160);
    let head = second.head(world.tenant).await.unwrap();
    assert_eq!(head, world.head().await, "each sees what the other wrote");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_refuses_appends_whole_and_goes_on_when_there_is_room() {
    let (_folder, file) = folder();
    let tight = Settings { max_bytes: Some(400 * 1024) };
    let world = Fixture::of(SqliteEventStore::open_with(&file, tight).unwrap()).open().await;
    let world = Arc::new(world);
    let group = |n: u128| {
        let mut large = event(2 * n);
        large.payload = vec![b'x'; 2_000];
        vec![
            to(&format!("s{n}"), Expected::NoStream, [large]),
            to("all", Expected::Any, [event(2 * n + 1)]),
        ]
    };
    let appends: Vec<_> = (0..400)
        .map(|n| {
            let (world, group) = (Arc::clone(&world), group(n));
            tokio::spawn(async move { world.append(group).await })
        })
        .collect();
    let mut accepted = Vec::new();
    let mut refused = Vec::new();
    for (n, append) in (0..).zip(appends) {
        match append.await.unwrap() {
            Ok(_) => accepted.push(n),
            Err(Error::Unavailable { reason: Reason::DiskFull, .. }) => refused.push(n),
            Err(other) => panic!("a full disk, not {other}"),
        }
    }
    assert!(!accepted.is_empty() && !refused.is_empty());
    assert_eq!(
        world.verify().await.len(),
        2 * accepted.len(),
        "reads go on; nothing is half there"
    );
    drop(Arc::into_inner(world).unwrap());

    let world = Fixture::of(SqliteEventStore::open(&file).unwrap()).open().await;
    for n in refused.into_iter().take(20) {
        assert!(!world.append(group(n)).await.unwrap().duplicate);
    }
    assert_eq!(world.verify().await.len(), 2 * (accepted.len() + 20));
    let all =
        world.store.load(world.tenant, world.epoch.into(), &stream("all")).await.unwrap().unwrap();
    assert_eq!(all.version, StreamVersion(accepted.len() as u64 + 20));
    assert_eq!(world.head().await.position, Position(2 * all.version.0));
}

#[tokio::test]
async fn a_file_of_the_first_schema_learns_to_erase_and_keeps_its_log() {
    let (_folder, file) = folder();
    let world = Fixture::of(SqliteEventStore::open(&file).unwrap()).open().await;
    world.append(vec![to("a", Expected::NoStream, [event(1), event(2)])]).await.unwrap();
    let log = world.verify().await;
    drop(world);
    // What version 1 left behind, definition by definition.
    let conn = Connection::open(&file).unwrap();
    conn.execute_batch(
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(sql, 'payload               BLOB,',
            'payload               BLOB    NOT NULL,') WHERE name = 'events';
         PRAGMA writable_schema = RESET;
         DROP TABLE tenant_moved;
         DELETE FROM refinery_schema_history WHERE version > 1;
         PRAGMA user_version = 1;",
    )
    .unwrap();
    conn.execute("UPDATE events SET payload = NULL", []).expect_err("not in version 1");
    drop(conn);

    let opening: Vec<_> = (0..4)
        .map(|_| {
            let file = file.clone();
            std::thread::spawn(move || SqliteEventStore::open(&file).unwrap())
        })
        .collect();
    let mut worlds = Vec::new();
    for opened in opening {
        let world = Fixture::of(opened.join().unwrap()).open().await;
        assert_eq!(world.verify().await, log);
        worlds.push(world);
    }
    for world in &worlds {
        world.store.redact(redact(world, "a", 3)).await.unwrap();
        assert!(world.verify().await[..2].iter().all(|event| event.payload.is_none()));
    }
    drop(worlds);
    let sound: String = Connection::open(&file)
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
}

/// How many of the store's files, the write-ahead log among them, hold these bytes.
fn files_with(folder: &TempDir, bytes: &[u8]) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let holds =
        |file: &PathBuf| fs::read(file).unwrap().windows(bytes.len()).any(|window| window == bytes);
    files.filter(holds).collect()
}

#[tokio::test]
async fn what_was_erased_is_nowhere_in_the_files() {
    const SECRET: &[u8] = b"1 Elm Street, third bell";
    let (folder, file) = folder();
    let world = Fixture::of(SqliteEventStore::open(&file).unwrap()).open().await;
    // States that grow move from page to page, and leave their old places behind.
    for n in 0..40 {
        let mut secret = event(n);
        secret.payload = [SECRET.repeat(1 + n as usize * 9).as_slice(), b"."].concat();
        let state = SECRET.repeat(1 + n as usize * 23);
        let snapshot = Snapshot { state, ..Snapshot::default() };
        let append = with_snapshot(to("a", Expected::Any, [secret]), snapshot);
        world.append(vec![append]).await.unwrap();
        world.append(vec![to("b", Expected::Any, [event(1_000 + n)])]).await.unwrap();
    }
    assert!(!files_with(&folder, SECRET).is_empty());
    world.store.redact(redact(&world, "a", 9_999)).await.unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !files_with(&folder, SECRET).is_empty() {
        assert!(std::time::Instant::now() < deadline, "{:?}", files_with(&folder, SECRET));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    world.verify().await;
}
