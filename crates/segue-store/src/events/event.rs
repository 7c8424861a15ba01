//! What is read: events, pages of them, and the present state of streams.

use std::borrow::Cow;

use jiff::Timestamp;
use segue_core::digest::{Digest, Entry};
use segue_core::ids::{EventId, Position, StreamId, StreamVersion, TenantId};

use super::facets::Facets;
use super::head::{Access, Head};

/// An event as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the tenant log.
    pub position: Position,
    /// The place of the first event that was appended together with it.
    pub append_first_position: Position,
    /// Its stream.
    pub stream_id: StreamId,
    /// What its stream is.
    pub stream_type: Cow<'static, str>,
    /// Its place in the stream.
    pub version: StreamVersion,
    /// Its id.
    pub event_id: EventId,
    /// What happened.
    pub event_type: Cow<'static, str>,
    /// The bytes as received; `None` since they were erased.
    pub payload: Option<Vec<u8>>,
    /// The hash of the payload as received.
    pub payload_hash: Digest,
    /// The bytes as received.
    pub metadata: Vec<u8>,
    /// The caller's time, in microseconds.
    pub recorded_at: Timestamp,
}

impl Event {
    /// What the digest sees of it.
    #[must_use]
    pub fn entry(&self) -> Entry<'_> {
        Entry {
            event_id: self.event_id,
            stream_id: &self.stream_id,
            stream_type: &self.stream_type,
            version: self.version,
            event_type: &self.event_type,
            payload_hash: self.payload_hash,
            metadata: &self.metadata,
            recorded_at: self.recorded_at,
        }
    }

    /// The bytes that count against a page.
    #[must_use]
    pub fn size(&self) -> usize {
        self.payload.as_ref().map_or(0, Vec::len) + self.metadata.len()
    }
}

/// The present state of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamState {
    /// The stream.
    pub stream_id: StreamId,
    /// What it is.
    pub stream_type: Cow<'static, str>,
    /// The version of its last event.
    pub version: StreamVersion,
    /// The last snapshot taken, if any.
    pub snapshot: Option<Taken>,
}

/// A snapshot and where it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The version of the last event folded into it; events after it are to be added.
    pub version: StreamVersion,
    /// The folded state, as received.
    pub state: Vec<u8>,
    /// What it can be found by.
    pub facets: Facets,
}

/// Which way a stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Oldest first, from the version upwards.
    Forwards,
    /// Newest first, from the version downwards.
    Backwards,
}

/// A request for a page of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRead {
    /// Whose log.
    pub tenant: TenantId,
    /// On what ground; see [`Access`].
    pub access: Access,
    /// Which stream.
    pub stream: StreamId,
    /// The first version of the page; backwards, `StreamVersion(u64::MAX)` begins at the newest.
    pub from: StreamVersion,
    /// The most events; bounded by [`super::limits::EVENTS_PER_PAGE`] and
    /// [`super::limits::BYTES_PER_PAGE`].
    pub limit: usize,
    /// Which way.
    pub direction: Direction,
}

/// A page of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPage {
    /// The version of the stream's last event, in the same snapshot; 0 when it does not exist.
    pub version: StreamVersion,
    /// What the stream is; `None` when it does not exist.
    pub stream_type: Option<Cow<'static, str>>,
    /// The events.
    pub events: Vec<Event>,
    /// Where the next page begins; `None` when this was the last.
    pub next: Option<StreamVersion>,
}

/// A request for a page of what the store keeps about its streams beside their events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TallyRead {
    /// Whose log.
    pub tenant: TenantId,
    /// On what ground; see [`Access`].
    pub access: Access,
    /// The stream before the page, by id; `None` begins at the first.
    pub after: Option<StreamId>,
    /// The most streams; bounded by [`super::limits::STREAMS_PER_LOAD`].
    pub limit: usize,
}

/// What the store keeps about a stream, and what its events say, in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// The stream.
    pub stream_id: StreamId,
    /// What it is.
    pub stream_type: Cow<'static, str>,
    /// Its version, as kept.
    pub version: StreamVersion,
    /// The version of its snapshot, if it has one.
    pub snapshot_version: Option<StreamVersion>,
    /// The highest version of its events; 0 without any.
    pub last: StreamVersion,
    /// How many events it has.
    pub events: u64,
}

impl Tally {
    /// Whether what is kept agrees with the events.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.version == self.last
            && self.events == self.last.0
            && self.snapshot_version.is_none_or(|version| version <= self.version)
    }
}

/// A request for a page of a tenant log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRead {
    /// Whose log.
    pub tenant: TenantId,
    /// On what ground; see [`Access`].
    pub access: Access,
    /// The position before the page; 0 begins at the first event.
    pub after: Position,
    /// The most events; bounded by [`super::limits::EVENTS_PER_PAGE`].
    pub limit: usize,
    /// The most payload and metadata, in bytes; bounded by [`super::limits::BYTES_PER_PAGE`]. A page
    /// that is not at the end holds at least one event.
    pub max_bytes: usize,
}

/// A page of a tenant log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// The events, in order of position. A page may end inside an append group; the rest of the group
    /// is already there to be read.
    pub events: Vec<Event>,
    /// The head in the same snapshot.
    pub head: Head,
}
