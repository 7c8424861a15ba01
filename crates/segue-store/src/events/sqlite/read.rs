//! Events and streams, read in a snapshot that a reader holds.

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension, Statement, ToSql, params};
use segue_core::digest::Mark;
use segue_core::ids::{EventId, Position, StreamId, StreamVersion, TenantId};

use super::rows::{self, EVENT, STATE, fail, integer};
use crate::events::{
    Access, Direction, Event, Head, LogPage, LogRead, Result, StreamPage, StreamRead, StreamState,
    Tally, TallyRead, TenantMoved, limits,
};

/// Checks in this snapshot that the tenant may be read here, and gives its head.
pub(super) fn admitted(conn: &Connection, tenant: TenantId, access: Access) -> Result<Head> {
    let head = rows::head(conn, tenant)?;
    head.admits_read(access)?;
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
    Ok(StreamPage { version, stream_type, events, next })
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

pub(super) fn tallies(conn: &Connection, read: &TallyRead) -> Result<Vec<Tally>> {
    let limit = read.limit.clamp(1, limits::STREAMS_PER_LOAD);
    let after = read.after.as_ref().map_or("", StreamId::as_str);
    let tallies = || {
        let mut statement = conn.prepare_cached(
            "SELECT stream_id, stream_type, version, snapshot_version,
                (SELECT ifnull(max(version), 0) FROM events
                 WHERE tenant_id = ?1 AND stream_id = page.stream_id),
                (SELECT count(*) FROM events WHERE tenant_id = ?1 AND stream_id = page.stream_id)
             FROM (SELECT stream_id, stream_type, version, snapshot_version FROM streams
                WHERE tenant_id = ?1 AND stream_id > ?2 ORDER BY stream_id LIMIT ?3) page
             ORDER BY stream_id",
        )?;
        let key = params![read.tenant.0.as_bytes(), after, integer(limit as u64)];
        statement.query_map(key, rows::tally)?.collect::<rusqlite::Result<Vec<_>>>()
    };
    tallies().map_err(fail)
}

/// Takes events up to the limits of a page, and tells the version of the one after them, if there is one.
/// That one is not read as a whole: a row that cannot be read spoils only pages that it is part of.
fn page(
    statement: &mut Statement<'_>,
    key: &[&dyn ToSql],
    limit: usize,
    max_bytes: usize,
) -> Result<(Vec<Event>, Option<StreamVersion>)> {
    let limit = limit.clamp(1, limits::EVENTS_PER_PAGE);
    let max_bytes = max_bytes.min(limits::BYTES_PER_PAGE);
    let mut take = || {
        let mut taken = Vec::new();
        let mut bytes = 0;
        let mut rows = statement.query(key)?;
        while let Some(row) = rows.next()? {
            if taken.len() == limit {
                return Ok((taken, Some(rows::version(row)?)));
            }
            let event = rows::event(row)?;
            bytes += event.size();
            if !taken.is_empty() && bytes > max_bytes {
                return Ok((taken, Some(event.version)));
            }
            taken.push(event);
        }
        Ok((taken, None))
    };
    take().map_err(fail)
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

/// Where a tenant went when it last left.
pub(super) fn moved(conn: &Connection, tenant: TenantId) -> Result<Option<TenantMoved>> {
    rows::head(conn, tenant)?;
    conn.query_row(
        "SELECT target_store_id, epoch, moved_at, position, digest FROM tenant_moved
         WHERE tenant_id = ?1",
        params![tenant.0.as_bytes()],
        rows::moved,
    )
    .optional()
    .map_err(fail)
}
