//! What one append has written to the source, as a target takes it.

use jiff::Timestamp;
use segue_core::digest::Digest;
use segue_core::ids::{Position, StreamVersion};
use segue_store::events::{Appended, Event, StreamAppend, StreamState, Taken, limits};

/// An append group that the source has taken.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) recorded_at: Timestamp,
    pub(super) streams: Vec<StreamAppend>,
    pub(super) appended: Appended,
}

impl Group {
    pub(super) fn position(&self) -> Position {
        self.appended.first_position
    }

    pub(super) fn bytes(&self) -> usize {
        let size = |stream: &StreamAppend| {
            let events =
                stream.events.iter().map(|event| event.payload.len() + event.metadata.len());
            events.sum::<usize>() + stream.snapshot.as_ref().map_or(0, |taken| taken.state.len())
        };
        self.streams.iter().map(size).sum()
    }

    /// The events, as they stand in the source.
    pub(super) fn events(&self) -> Vec<Event> {
        let first = self.appended.first_position;
        let recorded_at = to_microsecond(self.recorded_at);
        let mut position = first;
        let mut events = Vec::with_capacity(self.appended.event_ids.len());
        for (stream, last) in self.streams.iter().zip(&self.appended.versions) {
            let before = last.0 - stream.events.len() as u64;
            for (nth, event) in (1..).zip(&stream.events) {
                events.push(Event {
                    position,
                    append_first_position: first,
                    stream_id: stream.stream_id.clone(),
                    stream_type: stream.stream_type.clone(),
                    version: StreamVersion(before + nth),
                    event_id: event.event_id,
                    event_type: event.event_type.clone(),
                    payload_hash: Digest::of_payload(&event.payload),
                    payload: Some(event.payload.clone()),
                    metadata: event.metadata.clone(),
                    recorded_at,
                });
                position = position.next();
            }
        }
        events
    }
}

/// The groups that follow a position without a gap, as many as one import takes.
pub(super) fn continuing(groups: &[Group], position: Position) -> Vec<&Group> {
    let mut run = Vec::new();
    let (mut last, mut events, mut bytes) = (position, 0, 0);
    for group in groups {
        if group.appended.last_position <= last {
            continue;
        }
        events += group.appended.event_ids.len();
        bytes += group.bytes();
        let fits = events <= limits::EVENTS_PER_IMPORT && bytes <= limits::IMPORT_BYTES;
        if group.appended.first_position != last.next() || !fits {
            break;
        }
        last = group.appended.last_position;
        run.push(group);
    }
    run
}

/// The state that came with an append, as a store keeps it.
pub(super) fn came_with(stream: &StreamAppend, version: StreamVersion) -> Option<StreamState> {
    let snapshot = stream.snapshot.as_ref()?;
    let mut facets = snapshot.facets.clone();
    facets.started_at = facets.started_at.map(to_microsecond);
    let taken = Taken { version, state: snapshot.state.clone(), facets };
    Some(StreamState {
        stream_id: stream.stream_id.clone(),
        stream_type: stream.stream_type.clone(),
        version,
        snapshot: Some(taken),
    })
}

fn to_microsecond(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).expect("it came from a timestamp")
}
