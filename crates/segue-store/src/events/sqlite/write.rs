//! What one write does inside the transaction of its group commit.

use std::borrow::Cow;
use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, named_params, params};
use segue_core::digest::Mark;
use segue_core::ids::{EventId, Position, StreamId, StreamVersion, TenantId};

use super::read;
use super::rows::{self, EVENT, fail, integer};
use crate::events::accept::{Accepted, Checked, Placed};
use crate::events::head::{HeadChange, still_purged};
use crate::events::redact::Redaction;
use crate::events::{
    Append, Appended, Error, Event, Facets, Head, Redact, Redacted, Result, Snapshot, TenantMoved,
};

/// The heads of this transaction as they will be; written once at its end, however many appends a
/// tenant has in it.
pub(super) type Heads = HashMap<TenantId, Head>;

/// Decides an append and writes all of it but the head.
pub(super) fn append(conn: &Connection, heads: &mut Heads, checked: &Checked) -> Result<Appended> {
    let append = checked.append();
    let head = current_head(conn, heads, append.tenant)?;
    head.admits_write(append.epoch)?;
    let found = known_events(conn, append)?;
    let beyond = |position| group_at(conn, append.tenant, position);
    if let Some(appended) = checked.repeats(&found, beyond)? {
        return Ok(appended);
    }
    let rows = append
        .streams
        .iter()
        .map(|stream| StreamRow::find(conn, append.tenant, &stream.stream_id))
        .collect::<Result<Vec<_>>>()?;
    let current: Vec<_> = rows
        .iter()
        .map(|row| row.as_ref().map(|row| (Cow::Borrowed(row.kind.as_str()), row.version)))
        .collect();
    let accepted = checked.accept(&head, &current)?;
    write(conn, append, &accepted, &rows).map_err(fail)?;
    heads.insert(append.tenant, accepted.head);
    Ok(accepted.appended)
}

/// Decides a redaction and writes all of it but the head.
pub(super) fn redact(
    conn: &Connection,
    heads: &mut Heads,
    redaction: &Redaction,
) -> Result<Redacted> {
    let Redact { tenant, epoch, stream_id, event_id, .. } = redaction.redact();
    let head = current_head(conn, heads, *tenant)?;
    head.admits_write(*epoch)?;
    let found = read::event(conn, *tenant, *event_id)?;
    let beyond = |position| group_at(conn, *tenant, position);
    if let Some(redacted) = redaction.repeats(found, beyond)? {
        return Ok(redacted);
    }
    let row = StreamRow::find(conn, *tenant, stream_id)?;
    let checked = redaction.append(row.as_ref().map(|row| (row.kind.as_str(), row.version)))?;
    let current = row.as_ref().map(|row| (Cow::Borrowed(row.kind.as_str()), row.version));
    let accepted = checked.accept(&head, &[current])?;
    erase(conn, *tenant, stream_id).map_err(fail)?;
    write(conn, checked.append(), &accepted, &[row]).map_err(fail)?;
    heads.insert(*tenant, accepted.head);
    Ok(accepted.appended.into())
}

/// Removes the payloads of a stream's events and its snapshot. What is removed is overwritten with zeros:
/// [`super::schema`] turns `secure_delete` on.
pub(super) fn erase(
    conn: &Connection,
    tenant: TenantId,
    stream: &StreamId,
) -> rusqlite::Result<()> {
    let key = params![tenant.0.as_bytes(), stream.as_str()];
    conn.prepare_cached(
        "UPDATE events SET payload = NULL
         WHERE tenant_id = ?1 AND stream_id = ?2 AND payload IS NOT NULL",
    )?
    .execute(key)?;
    erase_snapshot(conn, tenant, stream)
}

/// Removes a stream's snapshot and everything it is found by.
pub(super) fn erase_snapshot(
    conn: &Connection,
    tenant: TenantId,
    stream: &StreamId,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE streams SET snapshot_version = NULL, scenario_id = NULL, scenario_version = NULL,
            step_id = NULL, channel = NULL, customer_id = NULL, live = 0, started_at = NULL,
            settled = NULL, checkpoints = NULL, snapshot = NULL
         WHERE tenant_id = ?1 AND stream_id = ?2",
    )?
    .execute(params![tenant.0.as_bytes(), stream.as_str()])
    .map(drop)
}

/// Decides a change of a head.
pub(super) fn head(
    conn: &Connection,
    heads: &mut Heads,
    tenant: TenantId,
    change: &HeadChange,
) -> Result<Head> {
    let current = maybe_head(conn, heads, tenant)?;
    let after = change.decide(tenant, current)?;
    if change.begins_anew(current) && holds_anything(conn, tenant).map_err(fail)? {
        return Err(still_purged(tenant));
    }
    if let HeadChange::Retire(_, moved) = change {
        keep_moved(conn, tenant, moved).map_err(fail)?;
    }
    heads.insert(tenant, after);
    Ok(after)
}

/// The head as this transaction leaves it, if there is one.
pub(super) fn maybe_head(
    conn: &Connection,
    heads: &Heads,
    tenant: TenantId,
) -> Result<Option<Head>> {
    match current_head(conn, heads, tenant) {
        Ok(head) => Ok(Some(head)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn holds_anything(conn: &Connection, tenant: TenantId) -> rusqlite::Result<bool> {
    conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM events WHERE tenant_id = ?1)
            OR EXISTS (SELECT 1 FROM streams WHERE tenant_id = ?1)",
        params![tenant.0.as_bytes()],
        |row| row.get(0),
    )
}

fn keep_moved(conn: &Connection, tenant: TenantId, moved: &TenantMoved) -> rusqlite::Result<()> {
    let TenantMoved { target, epoch, at, moved_at } = moved;
    conn.execute(
        "INSERT INTO tenant_moved (tenant_id, target_store_id, epoch, position, digest, moved_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (tenant_id) DO UPDATE SET target_store_id = excluded.target_store_id,
            epoch = excluded.epoch, position = excluded.position, digest = excluded.digest,
            moved_at = excluded.moved_at",
        params![
            tenant.0.as_bytes(),
            target.as_str(),
            integer(epoch.0),
            integer(at.position.0),
            at.digest.0,
            moved_at.as_microsecond(),
        ],
    )
    .map(drop)
}

/// Writes the heads back.
pub(super) fn heads(conn: &Connection, heads: &Heads) -> Result<()> {
    let mut put = conn
        .prepare_cached(
            "INSERT INTO tenant_head (tenant_id, position, digest, epoch, mode, coord_term)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (tenant_id) DO UPDATE SET position = excluded.position,
                digest = excluded.digest, epoch = excluded.epoch, mode = excluded.mode,
                coord_term = excluded.coord_term",
        )
        .map_err(fail)?;
    for (tenant, head) in heads {
        put.execute(params![
            tenant.0.as_bytes(),
            integer(head.position.0),
            head.digest.0,
            integer(head.epoch.0),
            head.mode.as_str(),
            integer(head.term.0),
        ])
        .map_err(fail)?;
    }
    Ok(())
}

pub(super) fn current_head(conn: &Connection, heads: &Heads, tenant: TenantId) -> Result<Head> {
    heads.get(&tenant).map_or_else(|| rows::head(conn, tenant), |head| Ok(*head))
}

/// The stored event for each event id of an append. Almost always there is none, so the index alone is
/// asked first.
fn known_events(conn: &Connection, append: &Append) -> Result<Vec<Option<Event>>> {
    let tenant = append.tenant.0.as_bytes();
    let position = |id: EventId| {
        conn.prepare_cached("SELECT position FROM events WHERE tenant_id = ?1 AND event_id = ?2")?
            .query_row(params![tenant, id.0.as_bytes()], |row| row.get::<_, i64>(0))
            .optional()
    };
    let event = |position: i64| {
        let sql = format!("SELECT {EVENT} FROM events WHERE tenant_id = ?1 AND position = ?2");
        conn.prepare_cached(&sql)?.query_row(params![tenant, position], rows::event)
    };
    let ids = append.events().map(|event| event.event_id);
    ids.map(|id| position(id)?.map(event).transpose())
        .collect::<rusqlite::Result<_>>()
        .map_err(fail)
}

/// The append group of the event at a position, if there is one.
fn group_at(conn: &Connection, tenant: TenantId, position: Position) -> Result<Option<Position>> {
    conn.query_row(
        "SELECT append_first_position FROM events WHERE tenant_id = ?1 AND position = ?2",
        params![tenant.0.as_bytes(), integer(position.0)],
        |row| rows::number(row, 0),
    )
    .optional()
    .map(|first| first.map(Position))
    .map_err(fail)
}

/// A stream that exists.
pub(super) struct StreamRow {
    pub(super) id: i64,
    pub(super) kind: String,
    pub(super) version: StreamVersion,
}

impl StreamRow {
    pub(super) fn find(
        conn: &Connection,
        tenant: TenantId,
        stream: &StreamId,
    ) -> Result<Option<Self>> {
        find_stream(conn, tenant, stream).map_err(fail)
    }
}

/// A stream's row, if it has one.
pub(super) fn find_stream(
    conn: &Connection,
    tenant: TenantId,
    stream: &StreamId,
) -> rusqlite::Result<Option<StreamRow>> {
    conn.prepare_cached(
        "SELECT id, stream_type, version FROM streams WHERE tenant_id = ?1 AND stream_id = ?2",
    )?
    .query_row(params![tenant.0.as_bytes(), stream.as_str()], |row| {
        let version = StreamVersion(rows::number(row, 2)?);
        Ok(StreamRow { id: row.get(0)?, kind: row.get(1)?, version })
    })
    .optional()
}

fn write(
    conn: &Connection,
    append: &Append,
    accepted: &Accepted<'_>,
    rows: &[Option<StreamRow>],
) -> rusqlite::Result<()> {
    for placed in &accepted.placed {
        write_event(conn, append.tenant, accepted, placed)?;
    }
    for ((stream, row), version) in append.streams.iter().zip(rows).zip(&accepted.appended.versions)
    {
        let id = match row {
            Some(row) => row.id,
            None => create_stream(conn, append.tenant, &stream.stream_id, &stream.stream_type)?,
        };
        match &stream.snapshot {
            Some(Snapshot { state, facets }) => {
                write_snapshot(conn, id, (*version, *version), facets, state)?;
            }
            None => write_version(conn, id, *version)?,
        }
    }
    accepted.keep.iter().try_for_each(|mark| keep_digest(conn, append.tenant, mark))
}

pub(super) fn keep_digest(
    conn: &Connection,
    tenant: TenantId,
    mark: &Mark,
) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT INTO digests (tenant_id, position, digest) VALUES (?1, ?2, ?3)")?
        .execute(params![tenant.0.as_bytes(), integer(mark.position.0), mark.digest.0])
        .map(drop)
}

pub(super) const INSERT_EVENT: &str = "INSERT INTO events (tenant_id, position, \
        append_first_position, stream_id, stream_type, version, event_id, event_type, payload, \
        payload_hash, metadata, recorded_at) \
    VALUES (:tenant, :position, :first, :stream, :stream_type, \
        :version, :id, :type, :payload, :payload_hash, :metadata, :recorded_at)";

fn write_event(
    conn: &Connection,
    tenant: TenantId,
    accepted: &Accepted<'_>,
    placed: &Placed<'_>,
) -> rusqlite::Result<()> {
    conn.prepare_cached(INSERT_EVENT)?
        .execute(named_params! {
            ":tenant": tenant.0.as_bytes(),
            ":position": integer(placed.position.0),
            ":first": integer(accepted.first.0),
            ":stream": placed.stream.stream_id.as_str(),
            ":stream_type": placed.stream.stream_type,
            ":version": integer(placed.version.0),
            ":id": placed.event.event_id.0.as_bytes(),
            ":type": placed.event.event_type,
            ":payload": placed.event.payload,
            ":payload_hash": placed.payload_hash.0,
            ":metadata": placed.event.metadata,
            ":recorded_at": accepted.recorded_at.as_microsecond(),
        })
        .map(drop)
}

pub(super) fn create_stream(
    conn: &Connection,
    tenant: TenantId,
    stream: &StreamId,
    kind: &str,
) -> rusqlite::Result<i64> {
    conn.prepare_cached(
        "INSERT INTO streams (tenant_id, stream_id, stream_type, version) VALUES (?1, ?2, ?3, 0)",
    )?
    .insert(params![tenant.0.as_bytes(), stream.as_str(), kind])
}

pub(super) fn write_version(
    conn: &Connection,
    stream: i64,
    version: StreamVersion,
) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE streams SET version = ?2 WHERE id = ?1")?
        .execute(params![stream, integer(version.0)])
        .map(drop)
}

/// Writes the version of a stream, and its snapshot with the version that it was taken at.
pub(super) fn write_snapshot(
    conn: &Connection,
    stream: i64,
    (version, taken_at): (StreamVersion, StreamVersion),
    facets: &Facets,
    state: &[u8],
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE streams SET version = :version, snapshot_version = :taken_at,
            scenario_id = :scenario, scenario_version = :scenario_version, step_id = :step,
            channel = :channel, customer_id = :customer, live = :live, started_at = :started_at,
            settled = :settled, checkpoints = :checkpoints, snapshot = :snapshot
         WHERE id = :id",
    )?
    .execute(named_params! {
        ":id": stream,
        ":version": integer(version.0),
        ":taken_at": integer(taken_at.0),
        ":scenario": facets.scenario_id.as_ref().map(|id| id.0.as_bytes()),
        ":scenario_version": facets.scenario_version.map(|version| integer(version.0)),
        ":step": facets.step_id.as_ref().map(|id| id.as_str()),
        ":channel": facets.channel.as_ref().map(|channel| channel.as_str()),
        ":customer": facets.customer_id.as_ref().map(|id| id.as_str()),
        ":live": facets.live,
        ":started_at": facets.started_at.map(Timestamp::as_microsecond),
        ":settled": facets.settled.as_ref().map(|id| id.0.as_bytes()),
        ":checkpoints": rows::checkpoints_text(&facets.checkpoints),
        ":snapshot": state,
    })
    .map(drop)
}
