//! Changes of a head that append nothing: opening a tenant, and swaps.

use futures_util::future::join;
use segue_core::ids::{Epoch, TenantId};

use super::columns::Parameter;
use super::link::{Failure, Work};
use super::rows::{self, integer};
use super::statements::{CHANGE_HEAD, CREATE_HEAD, LOCK_HEAD};
use crate::events::{Error, Head, HeadSwap, Reason, Result};
use crate::postgres::Client;

/// A change of a head, decided behind its lock.
pub(super) struct ChangeHead {
    pub(super) tenant: TenantId,
    pub(super) change: HeadChange,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum HeadChange {
    Open(Epoch),
    Swap(HeadSwap),
    /// Claims the head for a copy at this epoch and term.
    Copy(Epoch, u64),
}

impl ChangeHead {
    fn decide(&self, current: Option<Head>) -> Result<Head> {
        match (self.change, current) {
            (HeadChange::Open(epoch), None) => Ok(Head::opened(epoch)),
            (HeadChange::Open(epoch), Some(head)) => head.admits_open(epoch).map(|()| head),
            (HeadChange::Swap(swap), Some(head)) => head.swapped(&swap),
            (HeadChange::Copy(epoch, coord_term), current) => {
                Head::claimed_for_copy(current, epoch, coord_term)
            }
            (HeadChange::Swap(_), None) => Err(Error::NotFound { tenant: self.tenant }),
        }
    }
}

impl Work for ChangeHead {
    type Answer = Result<Head>;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    async fn run(&self, client: &Client) -> Result<Result<Head>, Failure> {
        let current = lock(client, self.tenant).await?;
        let decided = self.decide(current);
        match (current, &decided) {
            (Some(current), Ok(head)) if current == *head => {}
            (Some(_), Ok(head)) => change(client, self.tenant, head).await?,
            (None, Ok(head)) => create(client, self.tenant, head).await?,
            (_, Err(_)) => {}
        }
        client.batch_execute("COMMIT").await?;
        Ok(decided)
    }
}

/// Begins a transaction and locks the head of a tenant in it, where there is one.
pub(super) async fn lock(client: &Client, tenant: TenantId) -> Result<Option<Head>, Failure> {
    let lock = client.prepare_cached(LOCK_HEAD).await?;
    let (begun, row) = join(
        client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED"),
        client.query_opt(&lock, &[&tenant.0]),
    )
    .await;
    begun?;
    Ok(row?.as_ref().map(rows::head).transpose()?)
}

/// Makes a head where there was none to lock.
pub(super) async fn create(client: &Client, tenant: TenantId, head: &Head) -> Result<(), Failure> {
    match put(client, CREATE_HEAD, tenant, head).await? {
        1 => Ok(()),
        // Another one came first: it may have been written to since, and is to be looked at.
        _ => Err(Failure::Again(Error::Unavailable { reason: Reason::Busy, source: None })),
    }
}

/// Changes a head that is locked.
pub(super) async fn change(client: &Client, tenant: TenantId, head: &Head) -> Result<(), Failure> {
    put(client, CHANGE_HEAD, tenant, head).await.map(drop)
}

async fn put(
    client: &Client,
    statement: &str,
    tenant: TenantId,
    head: &Head,
) -> Result<u64, Failure> {
    let put = client.prepare_cached(statement).await?;
    let (position, epoch) = (integer(head.position.0), integer(head.epoch.0));
    let digest = head.digest.0.as_slice();
    let (mode, coord_term) = (head.mode.as_str(), integer(head.coord_term));
    let parameters: [Parameter<'_>; 6] =
        [&tenant.0, &position, &digest, &epoch, &mode, &coord_term];
    Ok(client.execute(&put, &parameters).await?)
}
