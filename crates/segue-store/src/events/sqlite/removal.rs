//! Removing events: those after an earlier end of a copy, and all of a log that was purged.

use rusqlite::{Connection, params};
use segue_core::ids::TenantId;

use super::rows::{fail, integer, number};
use super::write::{Heads, current_head, maybe_head};
use crate::events::append::at_most;
use crate::events::{Head, Purge, Purged, Result, Rewind, limits};

/// Decides a rewind and does all of it but the head.
pub(super) fn rewind(conn: &Connection, heads: &mut Heads, rewind: &Rewind) -> Result<Head> {
    let Rewind { tenant, to, .. } = rewind;
    let current = current_head(conn, heads, *tenant)?;
    let key = params![tenant.0.as_bytes(), integer(to.position.0)];
    let count = "SELECT count(*) FROM events WHERE tenant_id = ?1 AND position > ?2";
    let beyond = conn.query_row(count, key, |row| number(row, 0)).map_err(fail)?;
    let is_kept = conn
        .prepare_cached(
            "SELECT 1 FROM digests WHERE tenant_id = ?1 AND position = ?2 AND digest = ?3",
        )
        .and_then(|mut find| {
            find.exists(params![tenant.0.as_bytes(), integer(to.position.0), to.digest.0])
        })
        .map_err(fail)?;
    let Some(head) = rewind.decide(current, is_kept, beyond)? else { return Ok(current) };
    let beyond = usize::try_from(beyond).unwrap_or(usize::MAX);
    at_most("a rewind in events", limits::EVENTS_PER_REWIND, beyond)?;
    take_back(conn, rewind).map_err(fail)?;
    heads.insert(*tenant, head);
    Ok(head)
}

fn take_back(conn: &Connection, Rewind { tenant, to, .. }: &Rewind) -> rusqlite::Result<()> {
    let key = params![tenant.0.as_bytes(), integer(to.position.0)];
    // The versions where the remaining events end, before the others are gone.
    conn.execute(
        "UPDATE streams SET version = (SELECT ifnull(max(version), 0) FROM events
            WHERE tenant_id = ?1 AND stream_id = streams.stream_id AND position <= ?2)
         WHERE tenant_id = ?1 AND stream_id IN
            (SELECT stream_id FROM events WHERE tenant_id = ?1 AND position > ?2)",
        key,
    )?;
    conn.execute("DELETE FROM events WHERE tenant_id = ?1 AND position > ?2", key)?;
    conn.execute("DELETE FROM digests WHERE tenant_id = ?1 AND position > ?2", key)?;
    let tenant = params![tenant.0.as_bytes()];
    conn.execute("DELETE FROM streams WHERE tenant_id = ?1 AND version = 0", tenant)?;
    conn.execute(
        "UPDATE streams SET snapshot_version = NULL, scenario_id = NULL, scenario_version = NULL,
            step_id = NULL, channel = NULL, customer_id = NULL, live = 0, started_at = NULL,
            settled = NULL, checkpoints = NULL, snapshot = NULL
         WHERE tenant_id = ?1 AND snapshot_version > version",
        tenant,
    )
    .map(drop)
}

/// Makes a tombstone, and removes events from the end, then streams, and everything else with the last.
pub(super) fn purge(conn: &Connection, heads: &mut Heads, purge: Purge) -> Result<Purged> {
    let Purge { tenant, epoch, term } = purge;
    let head = Head::purged(maybe_head(conn, heads, tenant)?, epoch, term)?;
    let removed = remove_events(conn, tenant).map_err(fail)?;
    let is_complete =
        removed < limits::EVENTS_PER_PURGE && remove_streams(conn, tenant).map_err(fail)?;
    heads.insert(tenant, head);
    Ok(Purged { head, removed: removed as u64, is_complete })
}

fn remove_events(conn: &Connection, tenant: TenantId) -> rusqlite::Result<usize> {
    conn.execute(
        "DELETE FROM events WHERE tenant_id = ?1 AND position >= ifnull((SELECT position FROM events
            WHERE tenant_id = ?1 ORDER BY position DESC LIMIT 1 OFFSET ?2), 0)",
        params![tenant.0.as_bytes(), integer(limits::EVENTS_PER_PURGE as u64 - 1)],
    )
}

/// Answers whether all of them are gone, and the digests with them.
fn remove_streams(conn: &Connection, tenant: TenantId) -> rusqlite::Result<bool> {
    let removed = conn.execute(
        "DELETE FROM streams WHERE id IN (SELECT id FROM streams WHERE tenant_id = ?1 LIMIT ?2)",
        params![tenant.0.as_bytes(), integer(limits::EVENTS_PER_PURGE as u64)],
    )?;
    if removed == limits::EVENTS_PER_PURGE {
        return Ok(false);
    }
    conn.execute("DELETE FROM digests WHERE tenant_id = ?1", params![tenant.0.as_bytes()])?;
    Ok(true)
}
