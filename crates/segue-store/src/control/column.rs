//! How values lie in the columns of a database. Each adapter says how these become its own types; what
//! cannot be read back is damage.

use jiff::Timestamp;
use segue_core::ids::Version;
use segue_core::scenario::hash::Checksum;

/// A time, in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Micros(pub Timestamp);

/// A number that counts something; databases have signed ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number(pub u64);

/// A document, as JSON text.
#[derive(Debug)]
pub(super) struct Json<T>(pub T);

/// One of a few words, or a short text with rules of its own.
#[derive(Debug)]
pub(super) struct Word<T>(pub T);

/// A checksum, as its hex characters.
#[derive(Debug)]
pub(super) struct Hex(pub Checksum);

impl From<Version> for Number {
    fn from(version: Version) -> Self {
        Self(version.0)
    }
}
