//! Events and streams, read in a snapshot that a reader holds.

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension, Statement, ToSql, params};
use segue_core::digest::Mark;
use segue_core::ids::{Epoch, EventId, Position, StreamId, StreamVersion, TenantId};

use super::rows::{self, EVENT, STATE, fail, integer};
use crate::events::{
    Direction, Event, Head, LogPage, LogRead, Result, StreamPage, StreamRead, StreamState, limits,
};

/// Checks in this snapshot that the tenant may be read here, and gives its head.
pub(super) fn admitted(conn: &Connection, tenant: TenantId, epoch: Epoch) -> Result<Head> {
    let head = rows::head(conn, tenant)?;
    head.admits_read(epoch)?;
    Ok(head)
}

pub(super) fn states(
    conn: &Connection,
    tenant: TenantId,
    streams: &[StreamId],
) -> Result<Vec<Option<StreamState>>> {
    let sql = format!("SELECT {STATE} FROM streams WHERE tenant_id = ?1 AND stream_id = ?2");
    let mut find = conn.prepare_cached(&sql).map_err(fail)?;
    let mut state = |stream: &StreamId| {
        find.query_row(params![tenant.0.as_bytes(), stream.as_str()], rows::state).optional()
    };
    streams.iter().map(|stream| state(stream).map_err(fail)).collect()
}

pub(super) fn versions(
    conn: &Connection,
    tenant: TenantId,
    streams: &[StreamId],
) -> Result<Vec<StreamVersion>> {
    let version =
        |stream| Ok(header(conn, tenant, stream)?.map_or(StreamVersion(0), |found| found.0));
    streams.iter().map(version).collect()
}

/// The version and type of a stream.
fn header(
    conn: &Connection,
    tenant: TenantId,
    stream: &StreamId,
) -> Result<Option<(StreamVersion, String)>> {
    let sql = "SELECT version, stream_type FROM streams WHERE tenant_id = ?1 AND stream_id = ?2";
    conn.prepare_cached(sql)
        .and_then(|mut find| {
            find.query_row(params![tenant.0.as_bytes(), stream.as_str()], |row| {
                Ok((StreamVersion(rows::number(row, 0)?), row.get(1)?))
            })
            .optional()
        })
        .map_err(fail)
}

pub(super) fn stream_page(conn: &Connection, read: &StreamRead) -> Result<StreamPage> {
    let Some((version, kind)) = header(conn, read.tenant, &read.stream)? else {
        let version = StreamVersion(0);
        return Ok(StreamPage { version, stream_type: None, events: Vec::new(), next: None });
    };
    let (compare, order) = match read.direction {
        Direction::Forwards => (">=", "ASC"),
        Direction::Backwards => ("<=", "DESC"),
    };
    let sql = format!(
        "SELECT {EVENT} FROM events
         WHERE tenant_id = ?1 AND stream_id = ?2 AND version {compare} ?3 ORDER BY version {order}"
    );
    let mut statement = conn.prepare_cached(&sql).map_err(fail)?;
    let key = params![read.tenant.0.as_bytes(), read.stream.as_str(), integer(read.from.0)];
    let (events, next) = page(&mut statement, key, read.limit, usize::MAX)?;
    let stream_type = Some(Cow::Owned(kind));
    Ok(StreamPage { version, stream_type, events, next: next.map(|event| event.version) })
}

pub(super) fn log_page(conn: &Connection, head: Head, read: &LogRead) -> Result<LogPage> {
    let sql = format!(
        "SELECT {EVENT} FROM events WHERE tenant_id = ?1 AND position > ?2 ORDER BY position"
    );
    let mut statement = conn.prepare_cached(&sql).map_err(fail)?;
    let key = params![read.tenant.0.as_bytes(), integer(read.after.0)];
    let (events, _) = page(&mut statement, key, read.limit, read.max_bytes)?;
    Ok(LogPage { events, head })
}

/// Takes events up to the limits of a page, and the one after them.
fn page(
    statement: &mut Statement<'_>,
    key: &[&dyn ToSql],
    limit: usize,
    max_bytes: usize,
) -> Result<(Vec<Event>, Option<Event>)> {
    let limit = limit.clamp(1, limits::EVENTS_PER_PAGE);
    let max_bytes = max_bytes.min(limits::BYTES_PER_PAGE);
    let mut taken = Vec::new();
    let mut bytes = 0;
    for event in statement.query_map(key, rows::event).map_err(fail)? {
        let event = event.map_err(fail)?;
        bytes += event.size();
        if taken.len() == limit || (!taken.is_empty() && bytes > max_bytes) {
            return Ok((taken, Some(event)));
        }
        taken.push(event);
    }
    Ok((taken, None))
}

pub(super) fn event(conn: &Connection, tenant: TenantId, id: EventId) -> Result<Option<Event>> {
    let sql = format!("SELECT {EVENT} FROM events WHERE tenant_id = ?1 AND event_id = ?2");
    conn.prepare_cached(&sql)
        .and_then(|mut find| {
            find.query_row(params![tenant.0.as_bytes(), id.0.as_bytes()], rows::event).optional()
        })
        .map_err(fail)
}

pub(super) fn digests(
    conn: &Connection,
    tenant: TenantId,
    after: Position,
    limit: usize,
) -> Result<Vec<Mark>> {
    let limit = limit.clamp(1, limits::EVENTS_PER_PAGE);
    let marks = || {
        let mut statement = conn.prepare_cached(
            "SELECT position, digest FROM digests
             WHERE tenant_id = ?1 AND position > ?2 ORDER BY position LIMIT ?3",
        )?;
        let key = params![tenant.0.as_bytes(), integer(after.0), integer(limit as u64)];
        statement.query_map(key, rows::mark)?.collect::<rusqlite::Result<Vec<_>>>()
    };
    marks().map_err(fail)
}
