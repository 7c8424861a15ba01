//! What a verification finds when a store's file was changed by a foreign hand, column by column.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use rusqlite::Connection;
use segue::tenants::Verification;
use segue::tenants::verify::{Progress, Report};
use segue_core::digest::Mark;
use segue_core::ids::{Epoch, EventId, Position, StreamId, TenantId};
use segue_store::events::postgres::PostgresEventStore;
use segue_store::events::sqlite::SqliteEventStore;
use segue_store::events::{Append, EventStore, Expected, NewEvent, Redact, Snapshot, StreamAppend};
use segue_store::postgres::Settings;
use segue_testing::postgres::TestDatabase;
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(7));
const EPOCH: Epoch = Epoch(1);
/// Groups of this many events, three streams each.
const GROUP: u64 = 96;
const GROUPS: u64 = 130;
/// The position that is damaged: in the second of three blocks, in the middle of its group.
const HURT: u64 = 5_000;

fn new_event(n: u64) -> NewEvent {
    NewEvent {
        event_id: EventId(Uuid::from_u128(0xE0_0000 + u128::from(n))),
        event_type: "Happened".into(),
        payload: format!("what happened: {n}").into_bytes(),
        metadata: b"{}".to_vec(),
    }
}

fn stream(name: &str) -> StreamId {
    StreamId::new(name).unwrap()
}

async fn append(store: &dyn EventStore, group: u64, streams: Vec<StreamAppend>) {
    let recorded_at = Timestamp::from_second(1_800_000_000 + group as i64).unwrap();
    store.append(Append { tenant: TENANT, epoch: EPOCH, recorded_at, streams }).await.unwrap();
}

/// Some 12,500 events in 30 streams, and one that is redacted.
async fn fill(store: &dyn EventStore) {
    store.open_tenant(TENANT, EPOCH).await.unwrap();
    for group in 0..GROUPS {
        let part = |which: u64| StreamAppend {
            stream_id: stream(&format!("s{:02}", (group + which * 10) % 30)),
            stream_type: "thing".into(),
            expected: Expected::Any,
            events: (0..GROUP / 3)
                .map(|n| new_event(group * GROUP + which * GROUP / 3 + n))
                .collect(),
            snapshot: Some(Snapshot { state: b"{}".to_vec(), ..Snapshot::default() }),
        };
        append(store, group, (0..3).map(part).collect()).await;
    }
    for n in 0..3 {
        let single = StreamAppend {
            stream_id: stream("gone"),
            stream_type: "thing".into(),
            expected: Expected::Any,
            events: vec![new_event(900_000 + n)],
            snapshot: None,
        };
        append(store, GROUPS + n, vec![single]).await;
    }
    let redact = Redact {
        tenant: TENANT,
        epoch: EPOCH,
        recorded_at: Timestamp::from_second(1_900_000_000).unwrap(),
        stream_id: stream("gone"),
        expected: Expected::Any,
        event_id: new_event(900_009).event_id,
        redacted_by: "olga".into(),
        reason: None,
        snapshot: None,
    };
    store.redact(redact).await.unwrap();
}

/// The same in a file, made once and copied for each test.
fn template() -> &'static PathBuf {
    static TEMPLATE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, file) = TEMPLATE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("events.db");
        let making = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let make = {
            let file = file.clone();
            async move {
                let store = SqliteEventStore::open(&file).unwrap();
                fill(&store).await;
            }
        };
        // A runtime cannot be entered from within the test's own.
        std::thread::spawn(move || making.block_on(make)).join().unwrap();
        (folder, file)
    });
    file
}

/// A copy of the log on which some SQL was run.
struct Hurt {
    _folder: tempfile::TempDir,
    verification: Verification,
}

fn hurt_by(sql: &str) -> Hurt {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.db");
    std::fs::copy(template(), &file).unwrap();
    let changed = Connection::open(&file).unwrap().execute(sql, []).unwrap();
    assert!(changed > 0 || sql.starts_with("DELETE FROM nothing"), "{sql}");
    let verification = Verification {
        store_id: "shared".parse().unwrap(),
        store: Arc::new(SqliteEventStore::open(&file).unwrap()),
        tenant: TENANT,
        access: EPOCH.into(),
        from: Mark::START,
    };
    Hurt { _folder: folder, verification }
}

async fn report(sql: &str) -> Report {
    hurt_by(sql).verification.run(|_| ()).await.unwrap()
}

fn last() -> u64 {
    GROUP * GROUPS + 4
}

#[tokio::test]
async fn a_sound_log_is_proven_to_its_end_and_tells_how_far_it_is() {
    let sound = hurt_by("UPDATE tenant_head SET coord_term = 0");
    let mut told: Vec<Progress> = Vec::new();
    let report = sound.verification.run(|progress| told.push(progress)).await.unwrap();
    assert!(report.is_sound, "{report:?}");
    assert_eq!(report.sound_up_to.position, Position(last()));
    assert_eq!((report.events_checked, report.streams_checked), (last(), 31));
    assert_eq!((report.first_damaged_position, report.damages.len()), (None, 0));
    assert!(told.len() >= 3, "{told:?}");
    assert!(told.windows(2).all(|two| two[0].position <= two[1].position));
    assert_eq!(told.last().unwrap().streams_checked, 31);

    let from = report.sound_up_to;
    let again = Verification { from, ..sound.verification.clone() };
    let report = again.run(|_| ()).await.unwrap();
    assert!(report.is_sound && report.events_checked == 0, "{report:?}");
}

#[tokio::test]
async fn what_can_be_known_to_the_position_is_named_by_its_position() {
    let at = |set: &str| format!("UPDATE events SET {set} WHERE position = {HURT}");
    let cases = [
        (at("payload = x'00'"), "payload"),
        (at("payload_hash = zeroblob(32)"), "payload"),
        (at("payload = NULL"), "unaccounted"),
        (at("position = 999999"), "missing"),
        (at("tenant_id = zeroblob(16)"), "missing"),
        (format!("DELETE FROM events WHERE position = {HURT}"), "missing"),
        (at("version = version + 100000"), "version"),
        (at("append_first_position = 999999"), "append_group"),
        (at("recorded_at = recorded_at + 1"), "time"),
        (at("stream_type = 'other'"), "stream_type"),
        (at("stream_id = 'nowhere'"), "contents"),
        (at("event_id = x'00'"), "unreadable"),
        (at("payload_hash = x'00'"), "unreadable"),
        (at("stream_id = ''"), "unreadable"),
    ];
    for (sql, damage) in cases {
        let report = report(&sql).await;
        assert!(!report.is_sound, "{sql}");
        assert_eq!(report.first_damaged_position, Some(Position(HURT)), "{sql}: {report:?}");
        let first = &report.damages[0];
        assert_eq!((first.damage.as_str(), first.last_position), (damage, Position(HURT)), "{sql}");
        assert!(report.sound_up_to.position < Position(HURT), "{sql}");
        assert!(report.sound_up_to.position > Position(HURT - 1_100), "the block before is proven");
    }
}

#[tokio::test]
async fn what_only_the_digest_knows_is_named_by_its_block() {
    for set in ["event_type = 'Other'", "metadata = x'00'", "event_id = zeroblob(16)"] {
        let sql = format!("UPDATE events SET {set} WHERE position = {HURT}");
        let report = report(&sql).await;
        let first = &report.damages[0];
        assert_eq!((report.damages_total, first.damage.as_str()), (1, "contents"), "{report:?}");
        assert!(first.first_position <= Position(HURT) && Position(HURT) <= first.last_position);
        assert!(first.last_position.0 - first.first_position.0 < 4_096 + GROUP, "{first:?}");
        assert_eq!(report.first_damaged_position, Some(first.first_position));
        assert_eq!(report.sound_up_to.position.0 + 1, first.first_position.0);
    }
}

#[tokio::test]
async fn a_wrong_group_is_named_with_the_one_that_it_claims() {
    let sql =
        format!("UPDATE events SET append_first_position = {} WHERE position = {HURT}", HURT - 100);
    let report = report(&sql).await;
    let first = &report.damages[0];
    assert_eq!(first.damage, "append_group", "{report:?}");
    assert!((first.first_position..=first.last_position).contains(&Position(HURT)), "{first:?}");
    assert!(first.last_position.0 - first.first_position.0 <= 2 * GROUP);
}

#[tokio::test]
async fn a_damaged_kept_digest_is_told_from_damaged_events() {
    for set in ["digest = zeroblob(32)", "position = position + 1"] {
        let sql = format!(
            "UPDATE digests SET {set} WHERE position = (SELECT min(position) FROM digests)"
        );
        let report = report(&sql).await;
        assert!(!report.is_sound);
        assert_eq!(report.first_damaged_position, None, "every event is sound: {report:?}");
        assert_eq!(report.damages.len(), 1, "{report:?}");
        assert_eq!(report.damages[0].damage, "kept_digest");
        assert!((4_096..4_300).contains(&report.damages[0].first_position.0));
        assert_eq!(report.sound_up_to.position, Position(last()), "proven to the end all the same");
    }
}

#[tokio::test]
async fn a_damaged_head_is_noticed() {
    let digest = report("UPDATE tenant_head SET digest = zeroblob(32)").await;
    assert_eq!(digest.damages[0].damage, "contents_or_head", "{digest:?}");
    assert_eq!(digest.damages[0].last_position, Position(last()));
    assert!(digest.sound_up_to.position > Position(12_000), "all blocks but the last are proven");
    let further = report("UPDATE tenant_head SET position = position + 5").await;
    assert_eq!(further.damages[0].damage, "missing", "{further:?}");
    assert_eq!(further.first_damaged_position, Some(Position(last() + 1)));
    let shorter = report("UPDATE tenant_head SET position = position - 2").await;
    let beyond = shorter.damages.iter().find(|damage| damage.damage == "beyond_head").unwrap();
    assert_eq!(beyond.first_position, Position(last() - 1), "{shorter:?}");
}

#[tokio::test]
async fn streams_that_disagree_with_their_events_are_named() {
    for set in ["version = version + 1", "version = version - 1", "snapshot_version = version + 1"]
    {
        let sql = format!("UPDATE streams SET {set} WHERE stream_id = 's03'");
        let report = report(&sql).await;
        assert!(!report.is_sound, "{set}");
        assert_eq!(report.streams_damaged, 1, "{set}: {report:?}");
        assert_eq!(report.streams[0].stream_id, Some(stream("s03")));
        assert_eq!(report.damages_total, 0, "the log itself is sound");
    }
    let missing = report("DELETE FROM streams WHERE stream_id = 's03'").await;
    assert!(!missing.is_sound);
    assert_eq!(missing.streams[0].stream_id, None, "{missing:?}");
}

#[tokio::test]
async fn a_payload_that_came_back_after_its_redaction_is_named() {
    let sql = "UPDATE events SET payload = CAST('what happened: 900001' AS BLOB)
               WHERE stream_id = 'gone' AND version = 2";
    let report = report(sql).await;
    let gone = Position(GROUP * GROUPS + 2);
    assert_eq!(report.first_damaged_position, Some(gone), "{report:?}");
    assert_eq!(report.damages[0].damage, "not_erased");
}

#[tokio::test]
async fn several_damages_are_all_found() {
    let sql = "UPDATE events SET payload = x'00' WHERE position IN (10, 4500, 9000, 12000)";
    let report = report(sql).await;
    let positions: Vec<_> = report.damages.iter().map(|damage| damage.first_position.0).collect();
    assert_eq!(positions, [10, 4_500, 9_000, 12_000]);
    assert_eq!(report.sound_up_to.position, Position(0));
    let blocks = "UPDATE events SET metadata = x'00' WHERE position IN (10, 4500, 9000)";
    let report = self::report(blocks).await;
    assert_eq!(report.damages_total, 3, "{report:?}");
}

#[tokio::test]
async fn a_table_in_postgresql_is_verified_like_a_file() {
    let database = TestDatabase::fresh().await;
    let store = PostgresEventStore::open(Settings::new(database.url()).unwrap()).unwrap();
    fill(&store).await;
    let verification = Verification {
        store_id: "shared".parse().unwrap(),
        store: Arc::new(store),
        tenant: TENANT,
        access: EPOCH.into(),
        from: Mark::START,
    };
    let sound = verification.run(|_| ()).await.unwrap();
    assert!(sound.is_sound && sound.sound_up_to.position == Position(last()), "{sound:?}");

    let (client, connection) =
        tokio_postgres::connect(database.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
        .batch_execute(
            "SET search_path = segue_events;
             UPDATE events SET payload = 'x' WHERE position = 10;
             UPDATE events SET version = version + 100000 WHERE position = 5000;
             DELETE FROM events WHERE position = 9000;
             UPDATE events SET payload = NULL WHERE position = 12400;
             UPDATE streams SET version = version + 1 WHERE stream_id = 'gone'",
        )
        .await
        .unwrap();
    let report = verification.run(|_| ()).await.unwrap();
    let found: Vec<_> = report
        .damages
        .iter()
        .map(|damage| (damage.first_position.0, damage.last_position.0, damage.damage.as_str()))
        .collect();
    let expected = [
        (10, 10, "payload"),
        (5_000, 5_000, "version"),
        (9_000, 9_000, "missing"),
        (12_400, 12_400, "unaccounted"),
    ];
    assert_eq!(found, expected);
    assert!(report.streams.iter().any(|found| found.stream_id == Some(stream("gone"))));
}
