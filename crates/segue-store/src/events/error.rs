//! What can go wrong in a store, by kind.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use segue_core::ids::{Epoch, EventId, Position, StreamId, StreamVersion, TenantId};

use super::append::Expected;
use super::head::{Head, Mode};

/// The result of a store operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A stream is not at its expected version. Load it and decide again.
    #[error("stream {stream} is at version {current}, {expected} was expected")]
    Conflict {
        /// The stream.
        stream: StreamId,
        /// What the caller expected.
        expected: Expected,
        /// Where the stream is.
        current: StreamVersion,
    },
    /// The store does not serve this tenant at the caller's epoch. Read the route again.
    #[error("the tenant's log is {mode} here, at epoch {epoch}")]
    Fenced {
        /// The head's mode.
        mode: Mode,
        /// The head's epoch.
        epoch: Epoch,
    },
    /// The head is not as a swap expected it.
    #[error(
        "the tenant's head differs: position {}, epoch {}, {}, term {}",
        head.position, head.epoch, head.mode, head.term
    )]
    HeadDiffers {
        /// The head as it is.
        head: Box<Head>,
    },
    /// The store holds nothing of this tenant.
    #[error("tenant {tenant} has no log in this store")]
    NotFound {
        /// The tenant.
        tenant: TenantId,
    },
    /// The tenant has no such stream.
    #[error("there is no stream {stream}")]
    StreamNotFound {
        /// The stream.
        stream: StreamId,
    },
    /// An event id is taken by an event with other content, or by one of another group.
    #[error("event {event_id} exists with other content")]
    DuplicateEvent {
        /// The event id.
        event_id: EventId,
    },
    /// Events that were to be imported do not continue the log.
    #[error("the log that was read is damaged at position {position}: {what}")]
    Damaged {
        /// The first event that does not.
        position: Position,
        /// What is wrong with it.
        what: String,
    },
    /// Something is over its limit.
    #[error("{what} of {actual} is over the limit of {limit}")]
    TooLarge {
        /// What, with its unit.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// What was asked.
        actual: usize,
    },
    /// The request contradicts itself or the store.
    #[error("{0}")]
    Invalid(String),
    /// The store cannot answer now; the outcome of a write may be unknown. Retry with the same ids.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// What stands in the way.
        reason: Reason,
        /// What the database said.
        #[source]
        source: Option<Cause>,
    },
    /// What is stored does not make sense.
    #[error("the store is damaged: {what}")]
    Corrupt {
        /// What was found, and where.
        what: String,
        /// What the database said.
        #[source]
        source: Option<Cause>,
    },
}

impl Error {
    /// Whether the same call may succeed later without any change by the caller.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Conflict { .. }
            | Self::Fenced { .. }
            | Self::HeadDiffers { .. }
            | Self::NotFound { .. }
            | Self::StreamNotFound { .. }
            | Self::DuplicateEvent { .. }
            | Self::Damaged { .. }
            | Self::TooLarge { .. }
            | Self::Invalid(_)
            | Self::Corrupt { .. } => false,
        }
    }
}

/// An error underneath, shared by all appends of a failed group commit.
pub type Cause = Arc<dyn StdError + Send + Sync>;

/// What stands in the way of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No room on the disk. Reads go on, and writes once there is room.
    DiskFull,
    /// Another process holds the database, or too many requests wait.
    Busy,
    /// The database may not be written.
    ReadOnly,
    /// Reading or writing failed.
    Io,
    /// The database cannot be reached, or the connection to it was lost.
    Lost,
    /// The database did not answer in time.
    Slow,
    /// The database is another than it was: restored, or a standby that took over. Until the fences are back
    /// that it may have lost, nothing is written or read there as anybody's present log.
    Restored,
    /// The store was closed, or its thread ended.
    Closed,
    /// A fault was injected by a test.
    Injected,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DiskFull => "the disk is full",
            Self::Busy => "it is busy",
            Self::ReadOnly => "it is read-only",
            Self::Io => "input or output failed",
            Self::Lost => "its database cannot be reached",
            Self::Slow => "its database did not answer in time",
            Self::Restored => {
                "its database was restored or replaced, and its fences are being put back"
            }
            Self::Closed => "it was closed",
            Self::Injected => "a fault was injected",
        })
    }
}
