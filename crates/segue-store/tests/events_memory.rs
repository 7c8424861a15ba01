//! The event store in memory keeps every promise.
use segue_store::conformance::events::Fixture;
use segue_store::events::MemoryEventStore;

segue_store::conformance::events::suite!(|| Fixture::of(MemoryEventStore::new()));
