//! What can be wrong with a log.

use segue_core::digest::{Digest, Violation};
use uuid::Uuid;

/// What is wrong with a log or with what was delivered of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// An acknowledged event is nowhere.
    #[error(
        "lost: client {client} was told that event {event} is at position {position}; it is nowhere"
    )]
    Lost {
        /// Who was told so.
        client: usize,
        /// The event.
        event: Uuid,
        /// Where it should be.
        position: u64,
    },
    /// An event is there twice.
    #[error("doubled: event {event} is at position {first} and again at position {second}")]
    Doubled {
        /// The event.
        event: Uuid,
        /// Where it came first.
        first: u64,
        /// Where it came again.
        second: u64,
    },
    /// An acknowledged event is at another position.
    #[error(
        "elsewhere: client {client} was told that event {event} is at position {position}; it is at {found}"
    )]
    Elsewhere {
        /// Who was told so.
        client: usize,
        /// The event.
        event: Uuid,
        /// Where it should be.
        position: u64,
        /// Where it is.
        found: u64,
    },
    /// An acknowledged position holds another event.
    #[error(
        "replaced: client {client} was told that position {position} holds event {event}; it holds {found}"
    )]
    Replaced {
        /// Who was told so.
        client: usize,
        /// The position.
        position: u64,
        /// The event that should be there.
        event: Uuid,
        /// The event that is there.
        found: Uuid,
    },
    /// An acknowledged event has another version.
    #[error(
        "another version: client {client} was told that event {event} has version {acknowledged}; it has {found}"
    )]
    OtherVersion {
        /// Who was told so.
        client: usize,
        /// The event.
        event: Uuid,
        /// The version it should have.
        acknowledged: u64,
        /// The version it has.
        found: u64,
    },
    /// An append was acknowledged on a stream that was not at the version it asked for.
    #[error(
        "expectation: client {client} appended to {stream} at version {expected} only, and was acknowledged at {found}"
    )]
    Expectation {
        /// Who asked.
        client: usize,
        /// The stream.
        stream: String,
        /// The version asked for.
        expected: u64,
        /// The version before the append.
        found: u64,
    },
    /// What was refused is there all the same.
    #[error("resurrected: client {client} was refused event {event}; it is at position {position}")]
    Resurrected {
        /// Who was told so.
        client: usize,
        /// The event.
        event: Uuid,
        /// Where it is.
        position: u64,
    },
    /// A part of an append is there, or its events are not together.
    #[error(
        "torn: of the append with events {events:?} by client {client} not all are there together"
    )]
    Torn {
        /// Who sent it.
        client: usize,
        /// Its events.
        events: Vec<Uuid>,
    },
    /// An event is there that nobody sent.
    #[error("invented: nobody sent event {event} at position {position}")]
    Invented {
        /// Where it is.
        position: u64,
        /// The event.
        event: Uuid,
    },
    /// An event has another payload or stream than it was sent with.
    #[error(
        "altered: event {event} at position {position} has not the stream and payload it was sent with"
    )]
    Altered {
        /// Where it is.
        position: u64,
        /// The event.
        event: Uuid,
    },
    /// An append that began after another was acknowledged stands before it.
    #[error(
        "reordered: the append at position {later} began after the one at {earlier} was acknowledged"
    )]
    Reordered {
        /// The position acknowledged before.
        earlier: u64,
        /// The position of what began after that.
        later: u64,
    },
    /// Positions do not count up by one.
    #[error("positions: {expected} should come next, found {found}")]
    Positions {
        /// What should have come.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// A stream's versions do not count up by one.
    #[error(
        "versions: {stream} should go on with version {expected} at position {position}, found {found}"
    )]
    Versions {
        /// The stream.
        stream: String,
        /// What should have come.
        expected: u64,
        /// What came.
        found: u64,
        /// Where in the log.
        position: u64,
    },
    /// A stream read by itself is not what the log holds of it.
    #[error("stream and log: {stream} differs from the log from version {version} on")]
    StreamDiffers {
        /// The stream.
        stream: String,
        /// The first version that differs.
        version: u64,
    },
    /// The chain of digests does not hold together.
    #[error("chain: {0}")]
    Chain(#[from] Violation),
    /// The recomputed digest is not the kept one.
    #[error("digest: up to position {position} the log has {recomputed}, and {kept} was kept")]
    Digest {
        /// Up to where.
        position: u64,
        /// What the events have.
        recomputed: Digest,
        /// What the store says.
        kept: Digest,
    },
    /// The head is not at the end of the log.
    #[error("head: the log ends at position {log}, its head says {head}")]
    Head {
        /// The last event's position.
        log: u64,
        /// The head's position.
        head: u64,
    },
    /// A reader missed something, or saw it in the wrong order.
    #[error("delivery: after resuming {resumed} times position {expected} was due, {found} came")]
    Delivery {
        /// How often the reader had been resumed.
        resumed: usize,
        /// What should have come.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// A reader was given another event than the log holds.
    #[error(
        "delivery: position {position} was delivered as event {delivered}, the log holds {logged:?}"
    )]
    DeliveredOther {
        /// Where.
        position: u64,
        /// What the reader was given.
        delivered: Uuid,
        /// What is in the log.
        logged: Option<Uuid>,
    },
    /// A reader never got to the end.
    #[error("delivery: the reader has seen {seen} of {log} positions")]
    Undelivered {
        /// How far it came.
        seen: u64,
        /// How long the log is.
        log: u64,
    },
}
