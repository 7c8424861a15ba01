//! The event store in PostgreSQL keeps every promise.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use segue_store::conformance::events::Fixture;
use segue_store::events::postgres::PostgresEventStore;
use segue_store::postgres::Settings;
use segue_testing::postgres::TestDatabase;

fn fresh() -> Fixture {
    let database = TestDatabase::fresh_blocking();
    let settings = Settings::new(database.url()).unwrap();
    Fixture::keeping(PostgresEventStore::open(settings).unwrap(), database)
}

segue_store::conformance::events::suite!(fresh);
