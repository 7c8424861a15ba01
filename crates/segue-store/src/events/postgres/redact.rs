//! Erasing what a stream has said, in one transaction behind the lock of the head.
//!
//! An erased payload is gone for every reader at the commit. Its bytes stay in the table as a dead row until
//! the server's next vacuum, and in the server's write-ahead log and backups as long as those are kept.

use std::sync::LazyLock;

use segue_core::ids::TenantId;

use super::commit::{Found, write_and_commit};
use super::draft::Draft;
use super::link::{Failure, Work};
use crate::events::accept::Checked;
use crate::events::redact::Redaction;
use crate::events::{Error, Redacted, Result};
use crate::postgres::Client;

pub(super) const ERASE_PAYLOADS: &str = "UPDATE events SET payload = NULL \
    WHERE tenant_id = $1 AND stream_id = ANY ($2) AND payload IS NOT NULL";

/// What a stream has without a snapshot.
pub(super) const NO_SNAPSHOT: &str = "snapshot_version = NULL, listed_at = NULL, started_at = NULL, \
    scenario_version = NULL, scenario_id = NULL, settled = NULL, live = false, step_id = NULL, \
    channel = NULL, customer_id = NULL, checkpoints = NULL, checkpoints_long = NULL, snapshot = NULL";

pub(super) static ERASE_SNAPSHOTS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE streams SET {NO_SNAPSHOT} \
         WHERE tenant_id = $1 AND stream_id = ANY ($2) AND snapshot_version IS NOT NULL"
    )
});

/// What is to be done for a redaction.
enum Decided {
    /// Nothing: it is there, or is refused.
    Nothing(Result<Redacted>),
    /// This append, after the erasure.
    Append(Checked),
}

impl Redaction {
    fn decide_on(&self, found: &Found) -> Decided {
        let redact = self.redact();
        let decide = || {
            let head = found.head.ok_or(Error::NotFound { tenant: redact.tenant })?;
            head.admits_write(redact.epoch)?;
            let known = found.event(redact.event_id);
            if let Some(redacted) = self.repeats(known, |position| Ok(found.group_at(position)))? {
                return Ok(Decided::Nothing(Ok(redacted)));
            }
            let current = found.stream(&redact.stream_id);
            let current = current.as_ref().map(|(kind, version)| (kind.as_ref(), *version));
            self.append(current).map(Decided::Append)
        };
        decide().unwrap_or_else(|refused| Decided::Nothing(Err(refused)))
    }
}

impl Work for Redaction {
    type Answer = Result<Redacted>;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.redact().tenant)
    }

    async fn run(&self, client: &Client) -> Result<Result<Redacted>, Failure> {
        let redact = self.redact();
        let stream = redact.stream_id.as_str();
        let ids = std::iter::once(redact.event_id);
        let found = Found::behind_lock(client, redact.tenant, std::iter::once(stream), ids).await?;
        let checked = match self.decide_on(&found) {
            Decided::Append(checked) => checked,
            Decided::Nothing(answer) => {
                client.batch_execute("ROLLBACK").await?;
                return Ok(answer);
            }
        };
        let head = found.head.expect("it was decided on");
        let mut draft = Draft::after(redact.tenant, head);
        let appended = match draft.add(&checked, &[found.stream(&redact.stream_id)]) {
            Ok(appended) => appended,
            Err(refused) => {
                client.batch_execute("ROLLBACK").await?;
                return Ok(Err(refused));
            }
        };
        erase_payloads(client, redact.tenant, &[stream]).await?;
        erase_snapshots(client, redact.tenant, &[stream]).await?;
        write_and_commit(client, &draft).await?;
        Ok(Ok(appended.into()))
    }
}

/// Erases the payloads of every stored event of some streams.
pub(super) async fn erase_payloads(
    client: &Client,
    tenant: TenantId,
    streams: &[&str],
) -> Result<(), Failure> {
    if !streams.is_empty() {
        let statement = client.prepare_cached(ERASE_PAYLOADS).await?;
        client.execute(&statement, &[&tenant.0, &streams]).await?;
    }
    Ok(())
}

/// Erases the snapshots of some streams, and everything that they are found by.
pub(super) async fn erase_snapshots(
    client: &Client,
    tenant: TenantId,
    streams: &[&str],
) -> Result<(), Failure> {
    if !streams.is_empty() {
        let statement = client.prepare_cached(&ERASE_SNAPSHOTS).await?;
        client.execute(&statement, &[&tenant.0, &streams]).await?;
    }
    Ok(())
}
