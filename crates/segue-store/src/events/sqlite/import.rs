//! What an import does inside the transaction of its group commit.

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension, named_params, params};
use segue_core::ids::{EventId, StreamId, StreamVersion, TenantId};

use super::rows::{fail, integer, number};
use super::write::{
    Heads, INSERT_EVENT, create_stream, current_head, erase, erase_snapshot, find_stream,
    keep_digest, write_snapshot, write_version,
};
use crate::events::import::{Admitted, Continuation, Extended};
use crate::events::{Event, Head, Result, Taken};

/// Decides an import and writes all of it but the head.
pub(super) fn import(
    conn: &Connection,
    heads: &mut Heads,
    continuation: &Continuation,
) -> Result<Head> {
    let tenant = continuation.tenant();
    let current = current_head(conn, heads, tenant)?;
    let head = match continuation.admit(&current)? {
        Admitted::Before => return Ok(current),
        Admitted::Now(head) => head,
    };
    let stored = continuation.streams().iter().map(|stream| last_of(conn, tenant, &stream.id));
    let stored = stored.collect::<Result<Vec<_>>>()?;
    continuation.check_stored(&stored, taken(conn, continuation)?)?;
    write(conn, continuation).map_err(fail)?;
    heads.insert(tenant, head);
    Ok(head)
}

/// The type and version of the last event that is stored of a stream.
fn last_of(
    conn: &Connection,
    tenant: TenantId,
    stream: &StreamId,
) -> Result<Option<(Cow<'static, str>, StreamVersion)>> {
    let find = || {
        conn.prepare_cached(
            "SELECT stream_type, version FROM events WHERE tenant_id = ?1 AND stream_id = ?2
             ORDER BY version DESC LIMIT 1",
        )?
        .query_row(params![tenant.0.as_bytes(), stream.as_str()], |row| {
            Ok((Cow::Owned(row.get(0)?), StreamVersion(number(row, 1)?)))
        })
        .optional()
    };
    find().map_err(fail)
}

/// An event id of the import that is stored already.
fn taken(conn: &Connection, continuation: &Continuation) -> Result<Option<EventId>> {
    let tenant = continuation.tenant();
    let find = || {
        let mut find =
            conn.prepare_cached("SELECT 1 FROM events WHERE tenant_id = ?1 AND event_id = ?2")?;
        for event in continuation.events() {
            if find.exists(params![tenant.0.as_bytes(), event.event_id.0.as_bytes()])? {
                return Ok(Some(event.event_id));
            }
        }
        Ok(None)
    };
    find().map_err(fail)
}

fn write(conn: &Connection, continuation: &Continuation) -> rusqlite::Result<()> {
    let tenant = continuation.tenant();
    // Before the events of the page: what came after the redaction stays.
    for stream in continuation.streams().iter().filter(|stream| stream.is_redacted) {
        erase(conn, tenant, &stream.id)?;
    }
    for event in continuation.events() {
        write_event(conn, tenant, event)?;
    }
    for (Extended { id, kind, version, .. }, state) in continuation.ended() {
        let row = match find_stream(conn, tenant, id)? {
            Some(row) => row.id,
            None => create_stream(conn, tenant, id, kind)?,
        };
        match &state.snapshot {
            Some(Taken { version: taken_at, state, facets }) => {
                write_snapshot(conn, row, (*version, *taken_at), facets, state)?;
            }
            None => {
                erase_snapshot(conn, tenant, id)?;
                write_version(conn, row, *version)?;
            }
        }
    }
    continuation.digests().iter().try_for_each(|mark| keep_digest(conn, tenant, mark))
}

fn write_event(conn: &Connection, tenant: TenantId, event: &Event) -> rusqlite::Result<()> {
    conn.prepare_cached(INSERT_EVENT)?
        .execute(named_params! {
            ":tenant": tenant.0.as_bytes(),
            ":position": integer(event.position.0),
            ":first": integer(event.append_first_position.0),
            ":stream": event.stream_id.as_str(),
            ":stream_type": event.stream_type,
            ":version": integer(event.version.0),
            ":id": event.event_id.0.as_bytes(),
            ":type": event.event_type,
            ":payload": event.payload,
            ":payload_hash": event.payload_hash.0,
            ":metadata": event.metadata,
            ":recorded_at": event.recorded_at.as_microsecond(),
        })
        .map(drop)
}
