//! Lists by pages: keyset cursors, so that a list stays stable while it grows.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How many items at most; at least one.
    pub limit: u32,
    /// Where the page before this one ended; nothing for the first page.
    pub after: Option<Cursor>,
}

impl Page {
    /// The first page.
    #[must_use]
    pub fn first(limit: u32) -> Self {
        Self { limit, after: None }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// How many items the whole list has now.
    pub total: u64,
    /// Where the next page begins; nothing if this was the last.
    pub next: Option<Cursor>,
}

/// The key of a page's last item. Callers see it as opaque text.
///
/// ```
/// use segue_store::control::Cursor;
///
/// let cursor = Cursor { rank: 7, id: uuid::Uuid::nil() };
/// assert_eq!(cursor.to_string().parse(), Ok(cursor));
/// assert!("page two".parse::<Cursor>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The number that the list is ordered by: a time in microseconds, a version, a row number.
    pub rank: i64,
    /// The id that decides between equal numbers.
    pub id: Uuid,
}

/// Says that a text is not a cursor that a list gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a cursor that a list answered with")]
pub struct NotCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{}", self.rank, self.id.simple())
    }
}

impl FromStr for Cursor {
    type Err = NotCursor;
    fn from_str(text: &str) -> Result<Self, NotCursor> {
        if text.len() != 48 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotCursor);
        }
        let (rank, id) = text.split_at(16);
        Ok(Self {
            rank: u64::from_str_radix(rank, 16).map_err(|_| NotCursor)?.cast_signed(),
            id: Uuid::try_parse(id).map_err(|_| NotCursor)?,
        })
    }
}
