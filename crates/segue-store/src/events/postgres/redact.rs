//! Erasing what a stream has said, in one transaction behind the lock of the head.
//!
//! An erased payload is gone for every reader at the commit. Its bytes stay in the table as a dead row until
//! the server's next vacuum, and in the server's write-ahead log and backups as long as those are kept.

use std::sync::LazyLock;

use futures_util::future::{join, try_join};
use segue_core::ids::TenantId;
use tokio_postgres::Statement;

use super::commit::{Found, write_and_commit};
use super::draft::Draft;
use super::link::{Failure, Work};
use crate::events::accept::Checked;
use crate::events::redact::Redaction;
use crate::events::{Error, Redacted, Result};
use crate::postgres::Client;

const ERASE_PAYLOADS: &str = "UPDATE events SET payload = NULL \
    WHERE tenant_id = $1 AND stream_id = ANY ($2) AND payload IS NOT NULL";

/// What a stream has without a snapshot.
pub(super) const NO_SNAPSHOT: &str = "snapshot_version = NULL, listed_at = NULL, started_at = NULL, \
    scenario_version = NULL, scenario_id = NULL, settled = NULL, live = false, step_id = NULL, \
    channel = NULL, customer_id = NULL, checkpoints = NULL, checkpoints_long = NULL, snapshot = NULL";

static ERASE_SNAPSHOTS: LazyLock<String> = LazyLock::new(|| {
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
        let erase = Erase::prepared(client).await?;
        erase.of(client, redact.tenant, &[stream], &[stream]).await?;
        write_and_commit(client, &draft).await?;
        Ok(Ok(appended.into()))
    }
}

/// The statements that erase, prepared.
pub(super) struct Erase {
    payloads: Statement,
    snapshots: Statement,
}

impl Erase {
    pub(super) async fn prepared(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let payloads = client.prepare_cached(ERASE_PAYLOADS);
        let snapshots = client.prepare_cached(&ERASE_SNAPSHOTS);
        let (payloads, snapshots) = try_join(payloads, snapshots).await?;
        Ok(Self { payloads, snapshots })
    }

    /// Erases, in one flight, the payloads of every stored event of some streams, and the snapshots of some with
    /// everything that they are found by.
    pub(super) async fn of(
        &self,
        client: &Client,
        tenant: TenantId,
        payloads_of: &[&str],
        snapshots_of: &[&str],
    ) -> Result<(), Failure> {
        let erase = async |statement, streams: &[&str]| match streams {
            [] => Ok(0),
            _ => client.execute(statement, &[&tenant.0, &streams]).await,
        };
        let (payloads, snapshots) =
            join(erase(&self.payloads, payloads_of), erase(&self.snapshots, snapshots_of)).await;
        payloads.and(snapshots)?;
        Ok(())
    }
}
