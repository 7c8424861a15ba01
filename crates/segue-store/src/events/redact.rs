//! Erasing what the events of a stream say, while the log goes on proving that nothing else has changed.
//!
//! A redaction is one transaction. It appends an event of type [`STREAM_REDACTED`] to the stream, like any
//! append: position, version, digest, epoch and the checks of the head are the same. And it removes the
//! payload of every event before it, and the stream's snapshot with everything it can be found by.
//!
//! What stays: positions, versions, ids, types, times, metadata, the name of the stream, and the hash of
//! each payload. The digest is over these, so the chain verifies as before; and an append that is repeated
//! after its payload is gone is still recognised. What must be erasable therefore belongs into payloads and
//! snapshots, never into metadata, stream ids or event types.

use std::borrow::Cow;

use jiff::Timestamp;
use segue_core::ids::{Epoch, EventId, Position, StreamId, StreamVersion, TenantId};
use serde::{Deserialize, Serialize};

use super::accept::Checked;
use super::append::{Append, Appended, Expected, NewEvent, StreamAppend, at_most};
use super::error::{Error, Result};
use super::event::Event;
use super::facets::Snapshot;
use super::limits;

/// The type of the event that ends what a stream said before. No append may use it, so wherever one stands
/// every event before it in its stream is without payload.
pub const STREAM_REDACTED: &str = "StreamRedacted";

/// A request to erase what a stream has said until now.
#[derive(Debug, Clone, PartialEq)]
pub struct Redact {
    /// Whose log.
    pub tenant: TenantId,
    /// The epoch that the control plane gave for this store.
    pub epoch: Epoch,
    /// The time to keep with the event, from the caller's clock.
    pub recorded_at: Timestamp,
    /// The stream.
    pub stream_id: StreamId,
    /// Where it must be.
    pub expected: Expected,
    /// The id of the event that is appended; redacting again under it has no effect.
    pub event_id: EventId,
    /// Who asks for it. Stays in the log until the stream is redacted again.
    pub redacted_by: String,
    /// Why. Stays in the log like `redacted_by`, so it should not repeat what is erased.
    pub reason: Option<String>,
    /// The state of the stream from now on, without what is erased; `None` leaves it without one.
    pub snapshot: Option<Snapshot>,
}

/// Where the redaction stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    /// The position of its event.
    pub position: Position,
    /// The version of the stream with its event.
    pub version: StreamVersion,
    /// Whether the redaction was there before, and nothing was changed now.
    pub duplicate: bool,
}

impl Redacted {
    /// How many events of the stream are without payload since: all that came before.
    #[must_use]
    pub fn events_redacted(&self) -> u64 {
        self.version.0.saturating_sub(1)
    }
}

impl From<Appended> for Redacted {
    fn from(appended: Appended) -> Self {
        let Appended { last_position: position, versions, duplicate, .. } = appended;
        let version = versions.last().copied().expect("a redaction is an append to one stream");
        Self { position, version, duplicate }
    }
}

/// The payload of a [`STREAM_REDACTED`] event, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRedacted {
    /// Who asked for it.
    pub redacted_by: String,
    /// Why.
    pub reason: Option<String>,
    /// The version of the last event that was erased.
    pub through_version: StreamVersion,
}

impl Redact {
    /// Checks what any store would refuse, before one is asked.
    ///
    /// # Errors
    /// [`Error::TooLarge`] over one of the [`limits`]; [`Error::Invalid`] when nobody asks for it.
    pub fn check(&self) -> Result<()> {
        at_most("an actor in bytes", limits::ACTOR_BYTES, self.redacted_by.len())?;
        let reason = self.reason.as_ref().map_or(0, String::len);
        at_most("a reason in bytes", limits::REASON_BYTES, reason)?;
        let state = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.state.len());
        at_most("a snapshot in bytes", limits::SNAPSHOT_BYTES, state)?;
        if self.redacted_by.is_empty() {
            return Err(Error::Invalid("a redaction needs somebody who asks for it".into()));
        }
        Ok(())
    }

    /// The append that it comes to, for a stream of a type that stands at a version.
    fn append_after(&self, kind: Cow<'static, str>, version: StreamVersion) -> Append {
        let payload = StreamRedacted {
            redacted_by: self.redacted_by.clone(),
            reason: self.reason.clone(),
            through_version: version,
        };
        let event = NewEvent {
            event_id: self.event_id,
            event_type: STREAM_REDACTED.into(),
            payload: serde_json::to_vec(&payload).expect("plain data serialises"),
            metadata: Vec::new(),
        };
        Append {
            tenant: self.tenant,
            epoch: self.epoch,
            recorded_at: self.recorded_at,
            streams: vec![StreamAppend {
                stream_id: self.stream_id.clone(),
                stream_type: kind,
                expected: self.expected,
                events: vec![event],
                snapshot: self.snapshot.clone(),
            }],
        }
    }
}

/// A redaction that is within all limits. What every adapter decides in the same way.
#[derive(Debug)]
pub(crate) struct Redaction(Redact);

impl Redaction {
    pub(crate) fn new(redact: Redact) -> Result<Self> {
        redact.check()?;
        Ok(Self(redact))
    }

    pub(crate) fn redact(&self) -> &Redact {
        &self.0
    }

    /// The first answer, if this very redaction stands in the log already. `found` is the stored event of
    /// its id; `beyond` as in [`Checked::repeats`].
    pub(crate) fn repeats(
        &self,
        found: Option<Event>,
        beyond: impl FnOnce(Position) -> Result<Option<Position>>,
    ) -> Result<Option<Redacted>> {
        let Some(found) = found else { return Ok(None) };
        let before = StreamVersion(found.version.0.saturating_sub(1));
        let append = self.0.append_after(found.stream_type.clone(), before);
        let appended = Checked::unlimited(append).repeats(&[Some(found)], beyond)?;
        Ok(appended.map(Redacted::from))
    }

    /// The append to make, for the stream as it stands; its payloads up to there are to be erased, and its
    /// snapshot too where the append brings none.
    pub(crate) fn append(&self, current: Option<(&str, StreamVersion)>) -> Result<Checked> {
        let Some((kind, version)) = current else {
            return Err(Error::StreamNotFound { stream: self.0.stream_id.clone() });
        };
        Ok(Checked::unlimited(self.0.append_after(Cow::Owned(kind.to_owned()), version)))
    }
}
