//! Recomputes the digests of a tenant log from what lies in the database, past every server.

use segue_core::digest::{Entry, Mark};
use segue_core::ids::{Position, TenantId};
use segue_store::events::postgres::PostgresEventStore;
use segue_store::events::{Access, Event, EventStore, LogRead};
use segue_store::postgres::Settings;
use segue_testing::history::{Linked, Wrong, check_chain};
use uuid::Uuid;

/// Reads the whole log with its kept digests and its head, and names what does not hold together.
pub async fn check(url: &str, tenant: Uuid) -> Vec<Wrong> {
    let store = PostgresEventStore::open(Settings::new(url).unwrap()).unwrap();
    let tenant = TenantId(tenant);
    let mut log: Vec<Event> = Vec::new();
    let head = loop {
        let after = log.last().map_or(Position(0), |last| last.position);
        let read =
            LogRead { tenant, access: Access::Copy, after, limit: 1_000, max_bytes: 1 << 20 };
        let page = store.read_log(read).await.unwrap();
        if page.events.is_empty() {
            break page.head;
        }
        log.extend(page.events);
    };
    let mut kept: Vec<Mark> = Vec::new();
    loop {
        let after = kept.last().map_or(Position(0), |last| last.position);
        let more = store.digests(tenant, Access::Copy, after, 1_000).await.unwrap();
        if more.is_empty() {
            break;
        }
        kept.extend(more);
    }
    let head = Mark { position: head.position, digest: head.digest };
    check_chain(log.iter().map(linked), &kept, head)
}

fn linked(event: &Event) -> Linked<'_> {
    let entry = Entry {
        event_id: event.event_id,
        stream_id: &event.stream_id,
        stream_type: &event.stream_type,
        version: event.version,
        event_type: &event.event_type,
        payload_hash: event.payload_hash,
        metadata: &event.metadata,
        recorded_at: event.recorded_at,
    };
    let (position, first) = (event.position, event.append_first_position);
    Linked { position, first, entry, payload: event.payload.as_deref() }
}
