//! Rows as SQLite keeps them, and the errors it gives.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row};
use segue_core::digest::{Digest, Mark};
use segue_core::ids::{
    Epoch, EventId, Position, StoreId, StreamId, StreamVersion, TenantId, Term, Version,
};
use segue_core::scenario::hash::ContentHash;
use uuid::Uuid;

use crate::events::{
    Error, Event, Facets, Head, Mode, Reason, Result, StreamState, Taken, Tally, TenantMoved,
};

/// The columns of an event, in the order that [`event`] reads them.
pub(super) const EVENT: &str = "position, append_first_position, stream_id, stream_type, version, \
    event_id, event_type, payload, payload_hash, metadata, recorded_at";

/// The columns of a stream's state, in the order that [`state`] reads them.
pub(super) const STATE: &str = "stream_id, stream_type, version, snapshot_version, scenario_id, \
    scenario_version, step_id, channel, customer_id, live, started_at, settled, checkpoints, snapshot";

pub(super) fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        position: Position(number(row, 0)?),
        append_first_position: Position(number(row, 1)?),
        stream_id: row.get::<_, Parsed<StreamId>>(2)?.0,
        stream_type: Cow::Owned(row.get(3)?),
        version: StreamVersion(number(row, 4)?),
        event_id: EventId(uuid(row, 5)?),
        event_type: Cow::Owned(row.get(6)?),
        payload: row.get(7)?,
        payload_hash: Digest(row.get(8)?),
        metadata: row.get(9)?,
        recorded_at: row.get::<_, Micros>(10)?.0,
    })
}

/// The version of an event, and nothing else of it.
pub(super) fn version(row: &Row<'_>) -> rusqlite::Result<StreamVersion> {
    number(row, 4).map(StreamVersion)
}

pub(super) fn state(row: &Row<'_>) -> rusqlite::Result<StreamState> {
    let snapshot = match maybe_number(row, 3)? {
        None => None,
        Some(version) => Some(Taken {
            version: StreamVersion(version),
            facets: Facets {
                scenario_id: maybe_uuid(row, 4)?.map(segue_core::ids::ScenarioId),
                scenario_version: maybe_number(row, 5)?.map(Version),
                step_id: parsed(row, 6)?,
                channel: parsed(row, 7)?,
                customer_id: parsed(row, 8)?,
                live: row.get(9)?,
                started_at: row.get::<_, Option<Micros>>(10)?.map(|time| time.0),
                settled: maybe_uuid(row, 11)?.map(segue_core::ids::PlanId),
                checkpoints: checkpoints(row, 12)?,
            },
            state: row.get(13)?,
        }),
    };
    Ok(StreamState {
        stream_id: row.get::<_, Parsed<StreamId>>(0)?.0,
        stream_type: Cow::Owned(row.get(1)?),
        version: StreamVersion(number(row, 2)?),
        snapshot,
    })
}

pub(super) fn tally(row: &Row<'_>) -> rusqlite::Result<Tally> {
    Ok(Tally {
        stream_id: row.get::<_, Parsed<StreamId>>(0)?.0,
        stream_type: Cow::Owned(row.get(1)?),
        version: StreamVersion(number(row, 2)?),
        snapshot_version: maybe_number(row, 3)?.map(StreamVersion),
        last: StreamVersion(number(row, 4)?),
        events: number(row, 5)?,
    })
}

pub(super) fn moved(row: &Row<'_>) -> rusqlite::Result<TenantMoved> {
    Ok(TenantMoved {
        target: row.get::<_, Parsed<StoreId>>(0)?.0,
        epoch: Epoch(number(row, 1)?),
        moved_at: row.get::<_, Micros>(2)?.0,
        at: Mark { position: Position(number(row, 3)?), digest: Digest(row.get(4)?) },
    })
}

/// Checkpoints as they are kept, and as a count groups them: hashes with a space between.
pub(super) fn checkpoints_text(checkpoints: &[ContentHash]) -> Option<String> {
    let hashes: Vec<_> = checkpoints.iter().map(ContentHash::to_string).collect();
    (!hashes.is_empty()).then(|| hashes.join(" "))
}

/// Reads what [`checkpoints_text`] wrote.
pub(super) fn checkpoints(row: &Row<'_>, at: usize) -> rusqlite::Result<Vec<ContentHash>> {
    let text: Option<String> = row.get(at)?;
    let hash = |hash: &str| {
        ContentHash::try_from(hash.to_owned())
            .map_err(|error| FromSqlError::Other(Box::new(error)).into())
    };
    text.iter().flat_map(|text| text.split(' ')).map(hash).collect()
}

/// Reads a tenant's head.
pub(super) fn head(conn: &Connection, tenant: TenantId) -> Result<Head> {
    let mut find = conn
        .prepare_cached(
            "SELECT position, digest, epoch, mode, coord_term FROM tenant_head WHERE tenant_id = ?1",
        )
        .map_err(fail)?;
    let head = find.query_row([tenant.0.as_bytes()], |row| {
        Ok(Head {
            position: Position(number(row, 0)?),
            digest: Digest(row.get(1)?),
            epoch: Epoch(number(row, 2)?),
            mode: row.get::<_, Parsed<Mode>>(3)?.0,
            term: Term(number(row, 4)?),
        })
    });
    head.optional().map_err(fail)?.ok_or(Error::NotFound { tenant })
}

pub(super) fn mark(row: &Row<'_>) -> rusqlite::Result<Mark> {
    Ok(Mark { position: Position(number(row, 0)?), digest: Digest(row.get(1)?) })
}

pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    unsigned(column, row.get(column)?)
}

pub(super) fn maybe_number(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    row.get::<_, Option<i64>>(column)?.map(|number| unsigned(column, number)).transpose()
}

fn unsigned(column: usize, number: i64) -> rusqlite::Result<u64> {
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// A number as SQLite compares it; what is beyond its range is beyond every stored number.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    row.get(column).map(Uuid::from_bytes)
}

fn maybe_uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Uuid>> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(Uuid::from_bytes))
}

pub(super) fn parsed<T: std::str::FromStr<Err: Send + Sync + std::error::Error + 'static>>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<T>> {
    Ok(row.get::<_, Option<Parsed<T>>>(column)?.map(|parsed| parsed.0))
}

/// A text that is one of our names.
struct Parsed<T>(T);

impl<T: std::str::FromStr<Err: Send + Sync + std::error::Error + 'static>> FromSql for Parsed<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(FromSqlError::other)
    }
}

/// A time in microseconds since 1970.
struct Micros(Timestamp);

impl FromSql for Micros {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Timestamp::from_microsecond(value.as_i64()?).map(Self).map_err(FromSqlError::other)
    }
}

/// Names the kind of an SQLite error.
pub(super) fn fail(source: rusqlite::Error) -> Error {
    use ErrorCode as C;
    let reason = match source.sqlite_error_code() {
        Some(C::DiskFull) => Reason::DiskFull,
        Some(C::DatabaseBusy | C::DatabaseLocked | C::FileLockingProtocolFailed) => Reason::Busy,
        Some(C::ReadOnly | C::PermissionDenied) => Reason::ReadOnly,
        Some(C::SystemIoFailure | C::CannotOpen | C::OutOfMemory) => Reason::Io,
        Some(C::OperationInterrupted | C::OperationAborted) => Reason::Closed,
        // Damage, and whatever only damage or a foreign hand in the file can cause.
        _ => {
            let what = source.to_string();
            return Error::Corrupt { what, source: Some(Arc::new(source)) };
        }
    };
    Error::Unavailable { reason, source: Some(Arc::new(source)) }
}
