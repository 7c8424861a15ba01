//! The running hash over a tenant log: canonical bytes and chain.
//!
//! Equal digests at equal positions mean equal logs. The digest moves once for each *append group*, the
//! events that were appended together:
//!
//! ```text
//! D'    = SHA-256( D ‖ first position ‖ count ‖ H )
//! H     = SHA-256( event ‖ event ‖ … )
//! event = event id (16 bytes) ‖ text(stream id) ‖ text(stream type) ‖ stream version ‖ text(event type)
//!         ‖ SHA-256(payload) ‖ text(metadata) ‖ recorded at (microseconds since 1970, signed)
//! text  = length in bytes (4 bytes) ‖ bytes
//! ```
//!
//! Numbers are big-endian, 8 bytes unless noted; the empty log has 32 zero bytes. An event enters through
//! the hash of its payload, so that a payload can be erased later and the chain still verifies. Positions
//! and groups are the log's own, so the digest does not depend on how a log is paged or copied.

pub mod inspection;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids::{EventId, Position, StreamId, StreamVersion};

/// A SHA-256 value, written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of a log without events.
    pub const EMPTY: Self = Self([0; 32]);

    /// Hashes a payload as it enters the canonical bytes of its event.
    #[must_use]
    pub fn of_payload(payload: &[u8]) -> Self {
        Self(Sha256::digest(payload).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = NotHex;
    fn try_from(text: String) -> Result<Self, NotHex> {
        text.parse()
    }
}

/// The text is not 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hex digits")]
pub struct NotHex;

impl FromStr for Digest {
    type Err = NotHex;
    fn from_str(text: &str) -> Result<Self, NotHex> {
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotHex);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(0..) {
            *byte = u8::from_str_radix(&text[2 * pair..2 * pair + 2], 16).map_err(|_| NotHex)?;
        }
        Ok(Self(bytes))
    }
}

/// What the digest sees of an event.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The event.
    pub event_id: EventId,
    /// Its stream.
    pub stream_id: &'a StreamId,
    /// What its stream is.
    pub stream_type: &'a str,
    /// Its place in the stream.
    pub version: StreamVersion,
    /// What happened.
    pub event_type: &'a str,
    /// The hash of its payload.
    pub payload_hash: Digest,
    /// Bytes beside the payload, as received.
    pub metadata: &'a [u8],
    /// When it was recorded; what is below a microsecond does not enter.
    pub recorded_at: Timestamp,
}

/// An append group on its way into the chain.
#[derive(Debug, Clone)]
pub struct Group {
    first: Position,
    count: u64,
    batch: Sha256,
}

impl Group {
    /// Begins the group whose first event stands at `first`.
    #[must_use]
    pub fn at(first: Position) -> Self {
        Self { first, count: 0, batch: Sha256::new() }
    }

    /// Adds the next event.
    pub fn push(&mut self, entry: &Entry<'_>) {
        self.count += 1;
        self.batch.update(entry.event_id.0.as_bytes());
        self.text(entry.stream_id.as_str().as_bytes());
        self.text(entry.stream_type.as_bytes());
        self.batch.update(entry.version.0.to_be_bytes());
        self.text(entry.event_type.as_bytes());
        self.batch.update(entry.payload_hash.0);
        self.text(entry.metadata);
        self.batch.update(entry.recorded_at.as_microsecond().to_be_bytes());
    }

    /// The position of its last event so far.
    #[must_use]
    pub fn last(&self) -> Position {
        Position(self.first.0 + self.count - 1)
    }

    /// Moves the digest from before the group to after it.
    #[must_use]
    pub fn close(self, before: Digest) -> Digest {
        let mut chain = Sha256::new();
        chain.update(before.0);
        chain.update(self.first.0.to_be_bytes());
        chain.update(self.count.to_be_bytes());
        chain.update(self.batch.finalize());
        Digest(chain.finalize().into())
    }

    fn text(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("the stores' limits are far below 4 GiB");
        self.batch.update(length.to_be_bytes());
        self.batch.update(bytes);
    }
}

/// A digest at the end of an append group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// The last position it covers.
    pub position: Position,
    /// The digest there.
    pub digest: Digest,
}

impl Mark {
    /// The mark of a log without events.
    pub const START: Self = Self { position: Position(0), digest: Digest::EMPTY };
}

/// Says where a log does not hold together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A position is missing or comes twice.
    #[error("position {expected} should come next, found {found}")]
    Gap {
        /// What should have come.
        expected: Position,
        /// What came.
        found: Position,
    },
    /// An event names an append group that cannot be its own.
    #[error("the event at position {position} claims to be appended with position {first}")]
    Group {
        /// Where.
        position: Position,
        /// What it claims.
        first: Position,
    },
    /// A payload does not have the hash that was stored with it.
    #[error("the payload at position {position} does not have the hash stored with it")]
    Payload {
        /// Where.
        position: Position,
    },
}

/// Recomputes the chain while a log is read, page after page, in constant memory.
#[derive(Debug, Clone)]
pub struct Verifier {
    closed: Mark,
    open: Option<Group>,
}

impl Verifier {
    /// Begins after `mark`, which must be the end of an append group.
    #[must_use]
    pub fn after(mark: Mark) -> Self {
        Self { closed: mark, open: None }
    }

    /// The position after which the next event is expected.
    #[must_use]
    pub fn position(&self) -> Position {
        self.open.as_ref().map_or(self.closed.position, Group::last)
    }

    /// Takes the event at `position`, appended together with `first` (the position of its group's
    /// first event); `payload` is `None` where it was erased. When this event begins a new group, the
    /// digest at the end of the one before it is returned.
    ///
    /// # Errors
    /// When the event does not continue the log, or its payload differs from its hash.
    pub fn push(
        &mut self,
        position: Position,
        first: Position,
        entry: &Entry<'_>,
        payload: Option<&[u8]>,
    ) -> Result<Option<Mark>, Violation> {
        let expected = self.position().next();
        if position != expected {
            return Err(Violation::Gap { expected, found: position });
        }
        if payload.is_some_and(|payload| Digest::of_payload(payload) != entry.payload_hash) {
            return Err(Violation::Payload { position });
        }
        let continues = self.open.as_ref().is_some_and(|group| group.first == first);
        if !continues && first != position {
            return Err(Violation::Group { position, first });
        }
        let before = (!continues && self.open.is_some()).then(|| self.close());
        self.open.get_or_insert_with(|| Group::at(first)).push(entry);
        Ok(before)
    }

    /// Ends the group that is open, when the end of the log or of a group is known to be reached.
    pub fn close(&mut self) -> Mark {
        if let Some(group) = self.open.take() {
            let position = group.last();
            self.closed = Mark { position, digest: group.close(self.closed.digest) };
        }
        self.closed
    }
}
