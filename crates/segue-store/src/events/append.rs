//! What is appended, and what comes of it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use jiff::Timestamp;
use segue_core::ids::{Epoch, EventId, Position, StreamId, StreamVersion, TenantId};

use super::error::{Error, Result};
use super::facets::Snapshot;
use super::limits;
use super::redact::STREAM_REDACTED;

/// An append group: events of one or several streams that enter the log together or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// Whose log.
    pub tenant: TenantId,
    /// The epoch that the control plane gave for this store.
    pub epoch: Epoch,
    /// The time to keep with the events, from the caller's clock.
    pub recorded_at: Timestamp,
    /// The streams, each at most once, in the order of their positions.
    pub streams: Vec<StreamAppend>,
}

/// What an append group adds to one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamAppend {
    /// The stream.
    pub stream_id: StreamId,
    /// What it is; fixed by its first event.
    pub stream_type: Cow<'static, str>,
    /// Where it must be.
    pub expected: Expected,
    /// The events, at least one.
    pub events: Vec<NewEvent>,
    /// The folded state after these events; `None` leaves an older one in place.
    pub snapshot: Option<Snapshot>,
}

/// An event to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its id; appending it again has no effect.
    pub event_id: EventId,
    /// What happened.
    pub event_type: Cow<'static, str>,
    /// What there is to say about it; any bytes.
    pub payload: Vec<u8>,
    /// What belongs beside it, such as who and from where; any bytes.
    pub metadata: Vec<u8>,
}

/// Where a stream must be for an append to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expected {
    /// At this version.
    Version(StreamVersion),
    /// It must not exist.
    NoStream,
    /// Anywhere.
    Any,
}

impl Expected {
    /// Whether a stream at `current` is where it must be; 0 is a stream that does not exist.
    #[must_use]
    pub fn admits(self, current: StreamVersion) -> bool {
        match self {
            Self::Version(version) => version == current,
            Self::NoStream => current == StreamVersion(0),
            Self::Any => true,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "version {version}"),
            Self::NoStream => f.write_str("no stream"),
            Self::Any => f.write_str("any version"),
        }
    }
}

/// Where the events of an append group are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The position of the first event.
    pub first_position: Position,
    /// The position of the last event.
    pub last_position: Position,
    /// The version of each stream after the group's last event in it, in the order of the append.
    pub versions: Vec<StreamVersion>,
    /// The events, in order of position.
    pub event_ids: Vec<EventId>,
    /// Whether the group was there before, and nothing was changed now.
    pub duplicate: bool,
}

impl Append {
    /// All events, in order of position.
    pub fn events(&self) -> impl Iterator<Item = &NewEvent> {
        self.streams.iter().flat_map(|stream| &stream.events)
    }

    /// Checks what any store would refuse, before one is asked.
    ///
    /// # Errors
    /// [`Error::TooLarge`] over one of the [`limits`]; [`Error::Invalid`] for a group without events, a
    /// stream without events, a stream or event that comes twice, or a type with a control character.
    pub fn check(&self) -> Result<()> {
        let count = self.events().count();
        at_most("an append group in events", limits::EVENTS_PER_APPEND, count)?;
        if self.streams.is_empty() {
            return Err(Error::Invalid("an append group needs at least one stream".into()));
        }
        let mut streams = HashSet::with_capacity(self.streams.len());
        let mut ids = HashSet::with_capacity(count);
        let mut total = 0;
        for stream in &self.streams {
            let id = &stream.stream_id;
            if !streams.insert(id) {
                return Err(Error::Invalid(format!("stream {id} comes twice in one append group")));
            }
            total += stream.check(&mut ids)?;
        }
        at_most("an append group in bytes", limits::APPEND_BYTES, total)
    }
}

impl StreamAppend {
    fn check(&self, ids: &mut HashSet<EventId>) -> Result<usize> {
        at_most("a stream type in bytes", limits::STREAM_TYPE_BYTES, self.stream_type.len())?;
        if self.events.is_empty() || self.stream_type.is_empty() {
            let id = &self.stream_id;
            return Err(Error::Invalid(format!("stream {id} needs a type and at least one event")));
        }
        one_line("the stream type", &self.stream_type)?;
        let mut total = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.state.len());
        at_most("a snapshot in bytes", limits::SNAPSHOT_BYTES, total)?;
        for event in &self.events {
            let NewEvent { event_id, event_type, payload, metadata } = event;
            at_most("an event type in bytes", limits::EVENT_TYPE_BYTES, event_type.len())?;
            let size = payload.len() + metadata.len();
            at_most("an event in bytes", limits::EVENT_BYTES, size)?;
            if event_type == STREAM_REDACTED {
                return Err(Error::Invalid(format!(
                    "event {event_id}: {STREAM_REDACTED} events come from a redaction, which erases \
                     what was before"
                )));
            }
            if event_type.is_empty() {
                return Err(Error::Invalid(format!("event {event_id} needs a type")));
            }
            one_line("the event type", event_type)?;
            if !ids.insert(*event_id) {
                return Err(Error::Invalid(format!(
                    "event {event_id} comes twice in one append group"
                )));
            }
            total += size;
        }
        Ok(total)
    }
}

/// Refuses what not every database can keep in a column of text, and nobody can read.
fn one_line(what: &str, text: &str) -> Result<()> {
    match text.contains(char::is_control) {
        true => Err(Error::Invalid(format!("{what} {text:?} holds a control character"))),
        false => Ok(()),
    }
}

/// Refuses what is over a limit.
pub(crate) fn at_most(what: &'static str, limit: usize, actual: usize) -> Result<()> {
    if actual <= limit { Ok(()) } else { Err(Error::TooLarge { what, limit, actual }) }
}
