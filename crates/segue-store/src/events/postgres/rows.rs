//! Rows as PostgreSQL keeps them, and the errors it gives.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use segue_core::digest::{Digest, Mark};
use segue_core::ids::{
    Epoch, EventId, PlanId, Position, ScenarioId, StoreId, StreamId, StreamVersion, Term, Version,
};
use segue_core::scenario::hash::ContentHash;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};
use uuid::Uuid;

use crate::events::{
    Error, Event, Facets, Head, Mode, Reason, Result, StreamState, Taken, Tally, TenantMoved,
};
use crate::postgres::{Fault, OpenError, Refusal, fault};

/// The columns of a head, in the order that [`head`] reads them.
pub(super) const HEAD: &str = "head.position, head.digest, head.epoch, head.mode, head.coord_term";

/// How many columns [`HEAD`] has.
pub(super) const HEAD_COLUMNS: usize = 5;

/// The columns of an event, in the order that [`event`] reads them.
pub(super) const EVENT: &str = "position, append_first_position, stream_id, stream_type, version, \
    event_id, event_type, payload, payload_hash, metadata, recorded_at";

/// How many columns [`EVENT`] has.
pub(super) const EVENT_COLUMNS: usize = 11;

/// The columns of a stream's state, in the order that [`state`] reads them.
pub(super) const STATE: &str = "stream_id, stream_type, version, snapshot_version, scenario_id, \
    scenario_version, step_id, channel, customer_id, live, started_at, settled, snapshot, \
    checkpoints, checkpoints_long";

/// How many columns [`STATE`] has.
pub(super) const STATE_COLUMNS: usize = 15;

/// These columns as those of one table of a statement.
pub(super) fn of(table: &str, columns: &str) -> String {
    let columns: Vec<_> = columns.split(", ").map(|column| format!("{table}.{column}")).collect();
    columns.join(", ")
}

pub(super) fn head(row: &Row) -> Result<Head> {
    Ok(Head {
        position: Position(number(row, 0)?),
        digest: digest(row, 1)?,
        epoch: Epoch(number(row, 2)?),
        mode: parsed::<Mode>(row, 3)?,
        term: Term(number(row, 4)?),
    })
}

/// Reads an event from the columns that begin at `at`.
pub(super) fn event(row: &Row, at: usize) -> Result<Event> {
    Ok(Event {
        position: Position(number(row, at)?),
        append_first_position: Position(number(row, at + 1)?),
        stream_id: parsed::<StreamId>(row, at + 2)?,
        stream_type: Cow::Owned(get(row, at + 3)?),
        version: StreamVersion(number(row, at + 4)?),
        event_id: EventId(get(row, at + 5)?),
        event_type: Cow::Owned(get(row, at + 6)?),
        payload: get(row, at + 7)?,
        payload_hash: digest(row, at + 8)?,
        metadata: get(row, at + 9)?,
        recorded_at: time(row, at + 10, get(row, at + 10)?)?,
    })
}

/// Reads the state of a stream from the columns that begin at `at`.
pub(super) fn state(row: &Row, at: usize) -> Result<StreamState> {
    let snapshot = match maybe_number(row, at + 3)? {
        None => None,
        Some(version) => Some(Taken {
            version: StreamVersion(version),
            facets: Facets {
                scenario_id: get::<Option<Uuid>>(row, at + 4)?.map(ScenarioId),
                scenario_version: maybe_number(row, at + 5)?.map(Version),
                step_id: maybe_parsed(row, at + 6)?,
                channel: maybe_parsed(row, at + 7)?,
                customer_id: maybe_parsed(row, at + 8)?,
                live: get(row, at + 9)?,
                started_at: get::<Option<i64>>(row, at + 10)?
                    .map(|micros| time(row, at + 10, micros))
                    .transpose()?,
                settled: get::<Option<Uuid>>(row, at + 11)?.map(PlanId),
                checkpoints: match is_null(row, at + 14)? {
                    true => checkpoints(row, at + 13)?,
                    false => checkpoints(row, at + 14)?,
                },
            },
            state: get(row, at + 12)?,
        }),
    };
    Ok(StreamState {
        stream_id: parsed::<StreamId>(row, at)?,
        stream_type: Cow::Owned(get(row, at + 1)?),
        version: StreamVersion(number(row, at + 2)?),
        snapshot,
    })
}

/// Reads a stream with its type and version from the columns that begin at `at`.
pub(super) fn present(row: &Row, at: usize) -> Result<(StreamId, (String, StreamVersion))> {
    Ok((parsed::<StreamId>(row, at)?, (get(row, at + 1)?, StreamVersion(number(row, at + 2)?))))
}

pub(super) fn tally(row: &Row, at: usize) -> Result<Tally> {
    Ok(Tally {
        stream_id: parsed::<StreamId>(row, at)?,
        stream_type: Cow::Owned(get(row, at + 1)?),
        version: StreamVersion(number(row, at + 2)?),
        snapshot_version: maybe_number(row, at + 3)?.map(StreamVersion),
        last: StreamVersion(number(row, at + 4)?),
        events: number(row, at + 5)?,
    })
}

pub(super) fn moved(row: &Row) -> Result<TenantMoved> {
    Ok(TenantMoved {
        target: parsed::<StoreId>(row, 0)?,
        epoch: Epoch(number(row, 1)?),
        moved_at: time(row, 2, get(row, 2)?)?,
        at: mark(row, 3)?,
    })
}

pub(super) fn mark(row: &Row, at: usize) -> Result<Mark> {
    Ok(Mark { position: Position(number(row, at)?), digest: digest(row, at + 1)? })
}

/// Checkpoints as they are kept: hashes with a space between.
pub(super) fn checkpoints_text(checkpoints: &[ContentHash]) -> Option<String> {
    let hashes: Vec<_> = checkpoints.iter().map(ContentHash::to_string).collect();
    (!hashes.is_empty()).then(|| hashes.join(" "))
}

/// Reads what [`checkpoints_text`] wrote.
pub(super) fn checkpoints(row: &Row, column: usize) -> Result<Vec<ContentHash>> {
    let text: Option<&str> = get(row, column)?;
    let hash = |hash: &str| {
        ContentHash::try_from(hash.to_owned()).map_err(|error| strange(row, column, error))
    };
    text.iter().flat_map(|text| text.split(' ')).map(hash).collect()
}

pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T> {
    row.try_get(column).map_err(fail)
}

pub(super) fn is_null(row: &Row, column: usize) -> Result<bool> {
    get::<Option<Present>>(row, column).map(|value| value.is_none())
}

/// Any value at all.
struct Present;

impl FromSql<'_> for Present {
    fn from_sql(_: &Type, _: &[u8]) -> std::result::Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

pub(super) fn number(row: &Row, column: usize) -> Result<u64> {
    unsigned(row, column, get(row, column)?)
}

pub(super) fn maybe_number(row: &Row, column: usize) -> Result<Option<u64>> {
    get::<Option<i64>>(row, column)?.map(|number| unsigned(row, column, number)).transpose()
}

pub(super) fn maybe_parsed<T: FromStr<Err: fmt::Display>>(
    row: &Row,
    column: usize,
) -> Result<Option<T>> {
    let text: Option<&str> = get(row, column)?;
    text.map(|text| text.parse().map_err(|error| strange(row, column, error))).transpose()
}

fn parsed<T: FromStr<Err: fmt::Display>>(row: &Row, column: usize) -> Result<T> {
    get::<&str>(row, column)?.parse().map_err(|error| strange(row, column, error))
}

fn digest(row: &Row, column: usize) -> Result<Digest> {
    let bytes: &[u8] = get(row, column)?;
    bytes.try_into().map(Digest).map_err(|_| strange(row, column, "a digest has 32 bytes"))
}

fn time(row: &Row, column: usize, micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|error| strange(row, column, error))
}

fn unsigned(row: &Row, column: usize, number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|error| strange(row, column, error))
}

/// A number as PostgreSQL compares it; what is beyond its range is beyond every stored number.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A value that none of us has written.
fn strange(row: &Row, column: usize, why: impl fmt::Display) -> Error {
    let name = row.columns().get(column).map_or("?", |column| column.name());
    Error::Corrupt { what: format!("a row has a strange {name}: {why}"), source: None }
}

/// Names the kind of an error of PostgreSQL.
pub(super) fn fail(source: tokio_postgres::Error) -> Error {
    let reason = match fault(&source) {
        Fault::ConnectionLost | Fault::Shutdown => Reason::Lost,
        Fault::ReadOnly | Fault::Denied => Reason::ReadOnly,
        Fault::Serialization | Fault::TooManyConnections | Fault::LockTimeout => Reason::Busy,
        Fault::DiskFull => Reason::DiskFull,
        Fault::StatementTimeout => Reason::Slow,
        Fault::Unique { .. } | Fault::Corrupt | Fault::Other => {
            let what = match source.as_db_error() {
                Some(said) => said.message().to_owned(),
                None => source.to_string(),
            };
            return Error::Corrupt { what, source: Some(Arc::new(source)) };
        }
    };
    Error::Unavailable { reason, source: Some(Arc::new(source)) }
}

/// Names the kind of a database that gives no connection.
pub(super) fn unreachable(source: OpenError) -> Error {
    let reason = match &source.reason {
        Refusal::Busy | Refusal::TooManyConnections => Reason::Busy,
        Refusal::ReadOnly => Reason::ReadOnly,
        Refusal::DiskFull => Reason::DiskFull,
        Refusal::TimedOut => Reason::Slow,
        Refusal::Unreachable
        | Refusal::ShuttingDown
        | Refusal::NotLetIn { .. }
        | Refusal::NoDatabase
        | Refusal::Denied(_)
        | Refusal::Untrusted(_)
        | Refusal::NoTls
        | Refusal::Authority { .. }
        | Refusal::OldServer { .. }
        | Refusal::Encoding(_)
        | Refusal::Foreign { .. }
        | Refusal::NewerSchema { .. }
        | Refusal::Migration(_)
        | Refusal::Other => Reason::Lost,
    };
    Error::Unavailable { reason, source: Some(Arc::new(source)) }
}
