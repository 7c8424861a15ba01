//! What stays of every session of a forecast: 22 bytes.
//!
//! ```text
//! page   = format (1 byte, 1) then records, in the order of the sessions' ids
//! record = session id (16 bytes) stream version (4, big-endian) number of the outcome (2, big-endian)
//! ```
//!
//! A million sessions are 22 megabytes. A session is found in a page by halving it.

use uuid::Uuid;

use crate::ids::{SessionId, StreamVersion};

const FORMAT: u8 = 1;
const RECORD: usize = 22;

/// What was foreseen of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// The session.
    pub session_id: SessionId,
    /// The version of its stream that this was foreseen on. Beyond four thousand million it is told as that.
    pub version: StreamVersion,
    /// The number of its outcome among the groups of the forecast.
    pub outcome: u16,
}

/// Says that bytes are not a page of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are not a page of what was foreseen")]
pub struct Malformed;

/// Writes a page.
#[must_use]
pub fn write(mut records: Vec<Record>) -> Vec<u8> {
    records.sort_unstable();
    let mut page = Vec::with_capacity(1 + records.len() * RECORD);
    page.push(FORMAT);
    for record in records {
        page.extend_from_slice(record.session_id.0.as_bytes());
        let version = u32::try_from(record.version.0).unwrap_or(u32::MAX);
        page.extend_from_slice(&version.to_be_bytes());
        page.extend_from_slice(&record.outcome.to_be_bytes());
    }
    page
}

/// Reads a page.
///
/// # Errors
/// When it is none.
pub fn read(page: &[u8]) -> Result<Vec<Record>, Malformed> {
    Ok(records(page)?.iter().map(one).collect())
}

/// Finds a session in a page.
///
/// # Errors
/// When it is no page.
pub fn find(page: &[u8], session: SessionId) -> Result<Option<Record>, Malformed> {
    let records = records(page)?;
    let at = records.binary_search_by(|record| record[..16].cmp(session.0.as_bytes()));
    Ok(at.ok().map(|at| one(&records[at])))
}

fn records(page: &[u8]) -> Result<&[[u8; RECORD]], Malformed> {
    match page.split_first() {
        Some((&FORMAT, records)) => match records.as_chunks() {
            (records, []) => Ok(records),
            (_, [_, ..]) => Err(Malformed),
        },
        Some(_) | None => Err(Malformed),
    }
}

fn one(bytes: &[u8; RECORD]) -> Record {
    let [id @ .., v0, v1, v2, v3, o0, o1] = *bytes;
    Record {
        session_id: SessionId(Uuid::from_bytes(id)),
        version: StreamVersion(u32::from_be_bytes([v0, v1, v2, v3]).into()),
        outcome: u16::from_be_bytes([o0, o1]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(nth: u128) -> Record {
        let outcome = u16::try_from(nth % 60_000).unwrap();
        let session_id = SessionId(Uuid::from_u128(nth * 0x9e37_79b9_7f4a_7c15_f39c));
        Record { session_id, version: StreamVersion(nth as u64), outcome }
    }

    #[test]
    fn every_session_is_found_in_a_page_and_no_other() {
        let records: Vec<Record> = (0..1_000).map(record).collect();
        let page = write(records.clone());
        assert_eq!(page.len(), 1 + 22 * 1_000);
        for one in &records {
            assert_eq!(find(&page, one.session_id), Ok(Some(*one)));
        }
        assert_eq!(find(&page, record(1_001).session_id), Ok(None));
        let mut sorted = records;
        sorted.sort_unstable();
        assert_eq!(read(&page).unwrap(), sorted);
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for bytes in [&[][..], &[2], &[1, 7], &[1; 24]] {
            assert_eq!(read(bytes), Err(Malformed));
            assert_eq!(find(bytes, record(1).session_id), Err(Malformed));
        }
        assert_eq!(read(&[1]), Ok(vec![]));
    }
}
