//! The event store in SQLite keeps every promise.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use segue_store::conformance::events::Fixture;
use segue_store::events::sqlite::SqliteEventStore;

fn fresh() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteEventStore::open(folder.path().join("events.db")).unwrap();
    Fixture::keeping(store, folder)
}

segue_store::conformance::events::suite!(fresh);
