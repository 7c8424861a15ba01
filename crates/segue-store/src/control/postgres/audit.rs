//! The audit's rows.

use async_trait::async_trait;
use deadpool_postgres::{GenericClient, Transaction};
use segue_core::ids::TenantId;
use tokio_postgres::Row;

use super::super::audit::{Action, Audit, By, Entry, Filter, Subject};
use super::super::{Cursor, Listing, Page, Result};
use super::Control;
use super::changes;
use super::column::{Json, Micros, Number, Word};
use super::list::{List, Order};
use super::statement::execute;

/// Writes what someone did to something, in the transaction that does it, and tells the other servers
/// when that is committed.
pub(super) async fn write(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    by: &By,
    action: Action,
    (subject, subject_id): (Subject, String),
) -> Result<()> {
    let By { actor, at, details } = by.clone();
    let entry = Entry { at, actor, action, subject, subject_id, details };
    tokio::try_join!(
        insert(transaction, tenant, &entry),
        changes::announce(transaction, tenant, subject),
    )?;
    Ok(())
}

async fn insert(on: &impl GenericClient, tenant: TenantId, entry: &Entry) -> Result<()> {
    let statement = "\
        WITH head AS ( \
            INSERT INTO decisions (tenant_id, entries, decided_at) VALUES ($1, 1, now()) \
            ON CONFLICT (tenant_id) DO UPDATE \
            SET entries = decisions.entries + 1, decided_at = excluded.decided_at \
            RETURNING entries) \
        INSERT INTO audit (tenant_id, entry, at, actor, action, subject, subject_id, details) \
        SELECT $1, entries, $2::bigint, $3::text, $4::text, $5::text, $6::text, $7::text FROM head";
    execute(
        on,
        statement,
        &[
            &tenant.0,
            &Micros(entry.at),
            &Json(&entry.actor),
            &entry.action.as_str(),
            &entry.subject.as_str(),
            &entry.subject_id,
            &Json(&entry.details),
        ],
    )
    .await?;
    Ok(())
}

const COLUMNS: &str = "entry, at, actor, action, subject, subject_id, details";

fn row(row: &Row) -> Result<(Number, Entry)> {
    let entry = Entry {
        at: row.try_get::<_, Micros>("at")?.0,
        actor: row.try_get::<_, Json<_>>("actor")?.0,
        action: row.try_get::<_, Word<Action>>("action")?.0,
        subject: row.try_get::<_, Word<Subject>>("subject")?.0,
        subject_id: row.try_get("subject_id")?,
        details: row.try_get::<_, Json<_>>("details")?.0,
    };
    Ok((row.try_get("entry")?, entry))
}

#[async_trait]
impl Audit for Control {
    async fn record(&self, tenant: TenantId, entry: &Entry) -> Result<()> {
        insert(&self.client().await?, tenant, entry).await
    }

    async fn list_audit(
        &self,
        tenant: TenantId,
        filter: &Filter,
        page: Page,
    ) -> Result<Listing<Entry>> {
        let actor =
            filter.actor.as_ref().map(|actor| serde_json::Value::from(&**actor).to_string());
        let list = List::new(COLUMNS, "audit", Order::Highest("entry"))
            .only("tenant_id", tenant.0)
            .only_if("action", filter.action.map(|action| action.as_str().to_owned()))
            .only_among("subject", filter.subjects.iter().map(ToString::to_string))
            .only_if("subject_id", filter.subject_id.clone())
            .only_if("actor", actor)
            .from("at", filter.from.map(|at| at.as_microsecond()))
            .below("at", filter.until.map(|at| at.as_microsecond()));
        let key = |(Number(entry), _): &(Number, Entry)| Cursor {
            rank: entry.cast_signed(),
            id: uuid::Uuid::nil(),
        };
        let Listing { items, total, next } =
            list.fetch(&self.client().await?, page, row, key).await?;
        Ok(Listing { items: items.into_iter().map(|(_, entry)| entry).collect(), total, next })
    }
}
