//! Removing events: those after an earlier end of a copy, and all of a log that was purged.

use segue_core::ids::TenantId;

use super::heads;
use super::link::{Failure, Work};
use super::redact::NO_SNAPSHOT;
use super::rows::{self, integer};
use crate::events::append::at_most;
use crate::events::{Error, Head, Purge, Purged, Result, Rewind, limits};
use crate::postgres::Client;

/// How many events lie after a position, and whether the digest there is kept.
const BEYOND: &str = "SELECT (SELECT count(*) FROM events WHERE tenant_id = $1 AND position > $2), \
    EXISTS (SELECT FROM digests WHERE tenant_id = $1 AND position = $2 AND digest = $3)";

/// Sets the versions to where the remaining events end, before the others are gone.
const SHORTEN_STREAMS: &str = "UPDATE streams SET version = coalesce((SELECT max(kept.version) \
        FROM events kept WHERE kept.tenant_id = $1 AND kept.stream_id = streams.stream_id \
            AND kept.position <= $2), 0) \
    WHERE tenant_id = $1 AND stream_id IN \
        (SELECT DISTINCT stream_id FROM events WHERE tenant_id = $1 AND position > $2)";

const REMOVE_LAST: &str = "DELETE FROM events WHERE tenant_id = $1 AND position >= coalesce(( \
    SELECT position FROM events WHERE tenant_id = $1 ORDER BY position DESC LIMIT 1 OFFSET $2), 0)";

const REMOVE_STREAMS: &str = "DELETE FROM streams WHERE tenant_id = $1 AND stream_id IN \
    (SELECT stream_id FROM streams WHERE tenant_id = $1 ORDER BY stream_id LIMIT $2)";

impl Work for Rewind {
    type Answer = Result<Head>;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn is_harmless(&self) -> bool {
        true
    }

    async fn run(&self, client: &Client) -> Result<Result<Head>, Failure> {
        let current = heads::lock(client, self.tenant).await?;
        let (is_kept, beyond) = look(client, self).await?;
        let decide = || {
            let current = current.ok_or(Error::NotFound { tenant: self.tenant })?;
            let Some(head) = self.decide(current, is_kept, beyond)? else { return Ok(current) };
            let beyond = usize::try_from(beyond).unwrap_or(usize::MAX);
            at_most("a rewind in events", limits::EVENTS_PER_REWIND, beyond)?;
            Ok(head)
        };
        let decided = decide();
        if let Ok(head) = &decided {
            take_back(client, self).await?;
            heads::change(client, self.tenant, head).await?;
        }
        client.batch_execute("COMMIT").await?;
        Ok(decided)
    }
}

async fn look(client: &Client, rewind: &Rewind) -> Result<(bool, u64), Failure> {
    let statement = client.prepare_cached(BEYOND).await?;
    let (position, digest) = (integer(rewind.to.position.0), rewind.to.digest.0.as_slice());
    let row = client.query_one(&statement, &[&rewind.tenant.0, &position, &digest]).await?;
    Ok((row.try_get(1)?, rows::number(&row, 0)?))
}

async fn take_back(client: &Client, rewind: &Rewind) -> Result<(), Failure> {
    let position = integer(rewind.to.position.0);
    for sql in [
        SHORTEN_STREAMS,
        "DELETE FROM events WHERE tenant_id = $1 AND position > $2",
        "DELETE FROM digests WHERE tenant_id = $1 AND position > $2",
    ] {
        let statement = client.prepare_cached(sql).await?;
        client.execute(&statement, &[&rewind.tenant.0, &position]).await?;
    }
    let newer = format!(
        "UPDATE streams SET {NO_SNAPSHOT} WHERE tenant_id = $1 AND snapshot_version > version"
    );
    for sql in ["DELETE FROM streams WHERE tenant_id = $1 AND version = 0", &newer] {
        let statement = client.prepare_cached(sql).await?;
        client.execute(&statement, &[&rewind.tenant.0]).await?;
    }
    Ok(())
}

impl Work for Purge {
    type Answer = Result<Purged>;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn is_harmless(&self) -> bool {
        true
    }

    async fn run(&self, client: &Client) -> Result<Result<Purged>, Failure> {
        let current = heads::lock(client, self.tenant).await?;
        let head = match Head::purged(current, self.epoch, self.term) {
            Ok(head) => head,
            Err(differs) => {
                client.batch_execute("ROLLBACK").await?;
                return Ok(Err(differs.into()));
            }
        };
        match current {
            Some(current) if current == head => {}
            Some(_) => heads::change(client, self.tenant, &head).await?,
            None => heads::create(client, self.tenant, &head).await?,
        }
        let most = limits::EVENTS_PER_PURGE as u64;
        let removed = remove(client, REMOVE_LAST, self.tenant, most - 1).await?;
        let is_complete =
            removed < most && remove(client, REMOVE_STREAMS, self.tenant, most).await? < most;
        if is_complete {
            let digests = "DELETE FROM digests WHERE tenant_id = $1";
            let statement = client.prepare_cached(digests).await?;
            client.execute(&statement, &[&self.tenant.0]).await?;
        }
        client.batch_execute("COMMIT").await?;
        Ok(Ok(Purged { head, removed, is_complete }))
    }
}

async fn remove(client: &Client, sql: &str, tenant: TenantId, number: u64) -> Result<u64, Failure> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.execute(&statement, &[&tenant.0, &integer(number)]).await?)
}
