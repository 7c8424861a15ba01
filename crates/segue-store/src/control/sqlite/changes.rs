//! Finds out what was decided, by this process or another that has the file open: the audit tells.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rusqlite::Connection;
use segue_core::ids::TenantId;
use tokio::sync::Notify;
use tokio::sync::broadcast::Sender;

use super::super::audit::Subject;
use super::super::changes::Changed;
use super::column::{Id, Word};
use super::connections::Connections;

/// How often the file is looked at for what other processes decided. This process says so itself.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const _: () = assert!(LOOK_EVERY.as_millis() <= 1_000, "a decision is heard of within a second");

/// How many lines are told one by one.
const LINES: i64 = 1_000;

/// Tells what is decided until the control plane is closed.
pub(super) async fn watch(
    connections: Weak<Connections>,
    written: Arc<Notify>,
    listeners: Sender<Changed>,
) {
    // Nothing before the first listener came concerns it; but it must not miss what comes at once.
    let mut last = match connections.upgrade() {
        Some(connections) => connections.read_quickly(newest).await.unwrap_or(0),
        None => return,
    };
    // Without a listener the message is nobody's.
    let _ = listeners.send(Changed::Anything);
    loop {
        tokio::select! {
            biased;
            () = written.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let Some(connections) = connections.upgrade() else { return };
        match connections.read_quickly(move |connection| since(connection, last)).await {
            Ok(lines) => {
                last = lines.last().map_or(last, |(entry, _)| *entry);
                if i64::try_from(lines.len()).is_ok_and(|lines| lines >= LINES) {
                    let _ = listeners.send(Changed::Anything);
                    continue;
                }
                for (_, changed) in lines {
                    let _ = listeners.send(changed);
                }
            }
            Err(error) => tracing::debug!(%error, "cannot look at what was decided; looking again"),
        }
    }
}

fn newest(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT coalesce(max(entry), 0) FROM audit")?
        .query_row([], |row| row.get(0))
}

fn since(connection: &Connection, last: i64) -> rusqlite::Result<Vec<(i64, Changed)>> {
    connection
        .prepare_cached(
            "SELECT entry, tenant_id, subject FROM audit WHERE entry > ?1 ORDER BY entry LIMIT ?2",
        )?
        .query_map((last, LINES), |row| {
            let tenant = TenantId(row.get::<_, Id>(1)?.0);
            Ok((row.get(0)?, Changed::Noun(tenant, row.get::<_, Word<Subject>>(2)?.0)))
        })?
        .collect()
}
