//! What no store takes more of.

/// The largest payload and metadata of one event together, in bytes.
pub const EVENT_BYTES: usize = 1024 * 1024;

/// The most events of one append group.
pub const EVENTS_PER_APPEND: usize = 1_000;

/// The largest append group, snapshots included, in bytes.
pub const APPEND_BYTES: usize = 16 * 1024 * 1024;

/// The largest state of one snapshot, in bytes.
pub const SNAPSHOT_BYTES: usize = 4 * 1024 * 1024;

/// The longest stream type, in bytes.
pub const STREAM_TYPE_BYTES: usize = 64;

/// The longest event type, in bytes.
pub const EVENT_TYPE_BYTES: usize = 128;

/// The longest name of whoever does something, in bytes.
pub const ACTOR_BYTES: usize = 256;

/// The longest reason for it, in bytes.
pub const REASON_BYTES: usize = 4 * 1024;

/// The most events of one import.
pub const EVENTS_PER_IMPORT: usize = 20_000;

/// The largest import, snapshots included, in bytes.
pub const IMPORT_BYTES: usize = 64 * 1024 * 1024;

/// The most events that one call of a purge removes.
pub const EVENTS_PER_PURGE: usize = 4_096;

/// The most events that one rewind removes.
pub const EVENTS_PER_REWIND: usize = 20_000;

/// The most streams that one call loads.
pub const STREAMS_PER_LOAD: usize = 1_000;

/// The most events of a page; a larger limit asks for this many.
pub const EVENTS_PER_PAGE: usize = 10_000;

/// The most payload and metadata of a page, in bytes; a page holds at least one event whatever its size.
pub const BYTES_PER_PAGE: usize = 16 * 1024 * 1024;

/// The most snapshots of a page; a larger limit asks for this many.
pub const SNAPSHOTS_PER_PAGE: usize = 1_000;

/// A digest is kept for each so many positions.
pub const DIGEST_EVERY: u64 = 4_096;
