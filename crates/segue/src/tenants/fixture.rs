//! A log for unit tests.

use std::borrow::Cow;

use jiff::Timestamp;
use segue_core::ids::{Epoch, EventId, StreamId, TenantId};
use segue_store::events::{Append, EventStore, Expected, NewEvent, Snapshot, StreamAppend};
use uuid::Uuid;

pub(super) const TENANT: TenantId = TenantId(Uuid::nil());

/// The epoch at which the log is owned.
pub(super) const EPOCH: Epoch = Epoch(1);

/// Appends a group of so many events to a stream, with a state of so many bytes.
pub(super) async fn append(
    store: &dyn EventStore,
    stream: &str,
    events: usize,
    state: Option<usize>,
) {
    let event = || NewEvent {
        event_id: EventId(Uuid::new_v4()),
        event_type: Cow::Borrowed("Happened"),
        payload: b"{}".to_vec(),
        metadata: Vec::new(),
    };
    let streams = vec![StreamAppend {
        stream_id: StreamId::new(stream).unwrap(),
        stream_type: Cow::Borrowed("thing"),
        expected: Expected::Any,
        events: (0..events).map(|_| event()).collect(),
        snapshot: state.map(|bytes| Snapshot { state: vec![b'x'; bytes], ..Snapshot::default() }),
    }];
    let recorded_at = Timestamp::UNIX_EPOCH;
    store.append(Append { tenant: TENANT, epoch: EPOCH, recorded_at, streams }).await.unwrap();
}
