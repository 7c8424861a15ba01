//! Changes of a head that append nothing: opening a tenant, swaps, and what a tenant leaves behind.

use futures_util::future::join;
use segue_core::ids::TenantId;

use super::columns::Parameter;
use super::link::{Failure, Work};
use super::rows::{self, integer};
use super::statements::{CHANGE_HEAD, CREATE_HEAD, LOCK_HEAD, SWAP_HEAD};
use crate::events::head::{HeadChange, still_purged};
use crate::events::{Error, Head, HeadSwap, Reason, Result, TenantMoved};
use crate::postgres::Client;

/// A change of a head, decided behind its lock.
pub(super) struct ChangeHead {
    pub(super) tenant: TenantId,
    pub(super) change: HeadChange,
}

impl Work for ChangeHead {
    type Answer = Result<Head>;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    /// Opening a new tenant is not: it may have a home that this database has lost.
    fn is_harmless(&self) -> bool {
        match self.change {
            HeadChange::Open(_) => false,
            HeadChange::Swap(_) | HeadChange::Retire(..) | HeadChange::Copy(..) => true,
        }
    }

    async fn run(&self, client: &Client) -> Result<Result<Head>, Failure> {
        if let HeadChange::Swap(swap) = &self.change
            && let Some(head) = swap_at_once(client, self.tenant, swap).await?
        {
            return Ok(Ok(head));
        }
        let current = lock(client, self.tenant).await?;
        let decided = self.decide(client, current).await?;
        match (current, &decided) {
            (Some(current), Ok(head)) if current == *head => {}
            (Some(_), Ok(head)) => change(client, self.tenant, head).await?,
            (None, Ok(head)) => create(client, self.tenant, head).await?,
            (_, Err(_)) => {}
        }
        if let (HeadChange::Retire(_, moved), Ok(_)) = (&self.change, &decided) {
            keep_moved(client, self.tenant, moved).await?;
        }
        client.batch_execute("COMMIT").await?;
        Ok(decided)
    }
}

impl ChangeHead {
    async fn decide(
        &self,
        client: &Client,
        current: Option<Head>,
    ) -> Result<Result<Head>, Failure> {
        let decided = self.change.decide(self.tenant, current);
        if decided.is_ok()
            && self.change.begins_anew(current)
            && holds_anything(client, self.tenant).await?
        {
            return Ok(Err(still_purged(self.tenant)));
        }
        Ok(decided)
    }
}

/// Swaps a head that is as expected, in one statement that commits by itself: a fence is not held up by a
/// second round trip. Nothing when the head is not, or was swapped before.
async fn swap_at_once(
    client: &Client,
    tenant: TenantId,
    swap: &HeadSwap,
) -> Result<Option<Head>, Failure> {
    if swap.epoch < swap.expect_epoch {
        return Ok(None);
    }
    let statement = client.prepare_cached(SWAP_HEAD).await?;
    let (expect_epoch, epoch) = (integer(swap.expect_epoch.0), integer(swap.epoch.0));
    let (expect_mode, mode) = (swap.expect_mode.as_str(), swap.mode.as_str());
    let term = integer(swap.term.0);
    let position = swap.expect_mark.map(|mark| integer(mark.position.0));
    let digest = swap.expect_mark.as_ref().map(|mark| mark.digest.0.as_slice());
    let parameters: [Parameter<'_>; 8] =
        [&tenant.0, &expect_epoch, &expect_mode, &term, &epoch, &mode, &position, &digest];
    let row = client.query_opt(&statement, &parameters).await?;
    Ok(row.as_ref().map(rows::head).transpose()?)
}

/// Whether the store holds events or streams of a tenant.
async fn holds_anything(client: &Client, tenant: TenantId) -> Result<bool, Failure> {
    let sql = "SELECT EXISTS (SELECT FROM events WHERE tenant_id = $1) \
        OR EXISTS (SELECT FROM streams WHERE tenant_id = $1)";
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query_one(&statement, &[&tenant.0]).await?.try_get(0)?)
}

async fn keep_moved(client: &Client, tenant: TenantId, moved: &TenantMoved) -> Result<(), Failure> {
    let TenantMoved { target, epoch, at, moved_at } = moved;
    let statement = client
        .prepare_cached(
            "INSERT INTO tenant_moved \
                (tenant_id, target_store_id, epoch, position, digest, moved_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id) DO UPDATE SET \
                target_store_id = excluded.target_store_id, epoch = excluded.epoch, \
                position = excluded.position, digest = excluded.digest, \
                moved_at = excluded.moved_at",
        )
        .await?;
    let (epoch, position) = (integer(epoch.0), integer(at.position.0));
    let (digest, moved_at) = (at.digest.0.as_slice(), moved_at.as_microsecond());
    let parameters: [Parameter<'_>; 6] =
        [&tenant.0, &target.as_str(), &epoch, &position, &digest, &moved_at];
    client.execute(&statement, &parameters).await?;
    Ok(())
}

/// Asks where a tenant went when it last left.
pub(super) struct Moved(pub(super) TenantId);

impl Work for Moved {
    type Answer = Result<Option<TenantMoved>>;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.0)
    }

    fn is_harmless(&self) -> bool {
        true
    }

    async fn run(&self, client: &Client) -> Result<Self::Answer, Failure> {
        let statement = client
            .prepare_cached(
                "SELECT moved.target_store_id, moved.epoch, moved.moved_at, moved.position, \
                    moved.digest \
                 FROM tenant_head head LEFT JOIN tenant_moved moved USING (tenant_id) \
                 WHERE tenant_id = $1",
            )
            .await?;
        let Some(row) = client.query_opt(&statement, &[&self.0.0]).await? else {
            return Ok(Err(Error::NotFound { tenant: self.0 }));
        };
        Ok(Ok(if rows::is_null(&row, 0)? { None } else { Some(rows::moved(&row)?) }))
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

/// Changes a head that is locked and commits the transaction, in one flight: where the change fails, the
/// commit behind it rolls back.
pub(super) async fn change_and_commit(
    client: &Client,
    tenant: TenantId,
    head: &Head,
) -> Result<(), Failure> {
    // Before anything is sent: the commit must not overtake the change.
    client.prepare_cached(CHANGE_HEAD).await?;
    let (changed, committed) =
        join(put(client, CHANGE_HEAD, tenant, head), client.batch_execute("COMMIT")).await;
    changed?;
    Ok(committed?)
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
    let (mode, term) = (head.mode.as_str(), integer(head.term.0));
    let parameters: [Parameter<'_>; 6] = [&tenant.0, &position, &digest, &epoch, &mode, &term];
    Ok(client.execute(&put, &parameters).await?)
}
