//! Telling the other servers what was decided, and hearing it from them.
//!
//! A decision notifies the channel named like the schema, in its own transaction, so that nobody hears of
//! what is rolled back. Each process listens on one connection of its own. Once a second it looks on the
//! same connection at what was decided of late, which finds what a notification was lost of, and finds
//! out whether the connection is still alive.

use std::collections::HashMap;
use std::time::Duration;

use deadpool_postgres::Transaction;
use futures_util::{StreamExt, stream};
use segue_core::ids::TenantId;
use tokio::sync::broadcast::Sender;
use tokio_postgres::{AsyncMessage, Client, Statement};

use super::super::audit::Subject;
use super::super::changes::Changed;
use super::super::{Error, Result, Unavailable};
use super::statement::execute;
use crate::postgres::{BACKOFF, Database};

/// How often what was decided of late is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const _: () = assert!(LOOK_EVERY.as_millis() <= 1_000, "a decision is heard of within a second");

/// How long the look may take before the connection counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many tenants are told one by one.
const TENANTS: usize = 1_000;

/// What was decided of late: by the database's clock, and far enough back for a transaction that took
/// long, of which `decided_at` is the beginning.
const OF_LATE: &str = "SELECT tenant_id, entries FROM decisions \
                       WHERE decided_at > now() - interval '1 minute' LIMIT 1000";

/// Tells every server that listens, once the transaction is committed.
pub(super) async fn announce(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    subject: Subject,
) -> Result<()> {
    let payload = format!("{tenant} {subject}");
    execute(transaction, "SELECT pg_notify(current_schema(), $1)", &[&payload]).await?;
    Ok(())
}

/// Tells what is decided, for ever; a lost connection is made again.
pub(super) async fn watch(database: Database, schema: String, listeners: Sender<Changed>) {
    let mut failures = 0;
    loop {
        let begun = std::time::Instant::now();
        let Err(error) = listen(&database, &schema, &listeners).await;
        if begun.elapsed() > PATIENCE {
            failures = 0;
        }
        failures += 1;
        tracing::debug!(%error, "no longer listening to what other servers decide; listening again");
        tokio::time::sleep(BACKOFF.pause(failures)).await;
    }
}

/// Listens until the connection is lost.
async fn listen(
    database: &Database,
    schema: &str,
    listeners: &Sender<Changed>,
) -> Result<std::convert::Infallible> {
    database.ready().await?;
    let (client, mut connection) = database.connection().await?;
    let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
    let hear = async {
        while let Some(message) = messages.next().await {
            if let AsyncMessage::Notification(notification) = message? {
                tell(listeners, heard(notification.payload()));
            }
        }
        Err(lost("the connection was closed"))
    };
    let look = async {
        client.batch_execute(&format!("LISTEN \"{schema}\"")).await?;
        // Whatever was told before that was missed.
        tell(listeners, Changed::Anything);
        let of_late = client.prepare(OF_LATE).await?;
        let mut known = HashMap::new();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let looked = tokio::time::timeout(PATIENCE, look(&client, &of_late, &mut known)).await;
            looked
                .map_err(|_| lost("the server does not answer"))??
                .into_iter()
                .for_each(|changed| tell(listeners, changed));
        }
    };
    tokio::select! {
        ended = hear => ended,
        ended = look => ended,
    }
}

/// What was decided since the last look.
async fn look(
    client: &Client,
    of_late: &Statement,
    known: &mut HashMap<TenantId, i64>,
) -> Result<Vec<Changed>> {
    let found = client.query(of_late, &[]).await?;
    let mut decided = HashMap::with_capacity(found.len());
    for row in &found {
        decided.insert(TenantId(row.try_get(0)?), row.try_get::<_, i64>(1)?);
    }
    let changed = if decided.len() >= TENANTS {
        vec![Changed::Anything]
    } else {
        let is_new = |(tenant, entries): &(&TenantId, &i64)| known.get(*tenant) != Some(*entries);
        decided.iter().filter(is_new).map(|(tenant, _)| Changed::Tenant(*tenant)).collect()
    };
    *known = decided;
    Ok(changed)
}

/// What a notification says; a newer server may speak of what is not known here.
fn heard(payload: &str) -> Changed {
    let Some((tenant, subject)) = payload.split_once(' ') else { return Changed::Anything };
    match (tenant.parse(), subject.parse()) {
        (Ok(tenant), Ok(subject)) => Changed::Noun(tenant, subject),
        (Ok(tenant), Err(_)) => Changed::Tenant(tenant),
        (Err(_), _) => Changed::Anything,
    }
}

/// Without a listener the message is nobody's.
fn tell(listeners: &Sender<Changed>, changed: Changed) {
    let _ = listeners.send(changed);
}

fn lost(why: &'static str) -> Error {
    Error::Unavailable(Unavailable::Lost, why.into())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_notification_that_is_not_understood_means_more_and_never_less() {
        let tenant = TenantId(Uuid::from_u128(7));
        assert_eq!(heard(&format!("{tenant} plan")), Changed::Noun(tenant, Subject::Plan));
        assert_eq!(heard(&format!("{tenant} something_new")), Changed::Tenant(tenant));
        assert_eq!(heard("something else"), Changed::Anything);
        assert_eq!(heard(""), Changed::Anything);
    }
}
