//! The audit's rows.

use async_trait::async_trait;
use rusqlite::{Row, Transaction, params};
use segue_core::ids::TenantId;

use super::super::audit::{Action, Audit, By, Entry, Filter, Subject};
use super::super::{Cursor, Listing, Page, Result};
use super::Control;
use super::column::{Id, Json, Micros, Word};
use super::list::{List, Order};

/// Writes what someone did to something, in the transaction that does it.
pub(super) fn write(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    by: &By,
    action: Action,
    (subject, subject_id): (Subject, String),
) -> Result<()> {
    let By { actor, at, details } = by.clone();
    insert(transaction, tenant, &Entry { at, actor, action, subject, subject_id, details })
}

fn insert(transaction: &Transaction<'_>, tenant: TenantId, entry: &Entry) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO audit (tenant_id, at, actor, action, subject, subject_id, details) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            Id(tenant.0),
            Micros(entry.at),
            entry.actor,
            entry.action.as_str(),
            entry.subject.as_str(),
            entry.subject_id,
            Json(&entry.details),
        ])?;
    Ok(())
}

const COLUMNS: &str = "entry, at, actor, action, subject, subject_id, details";

fn row(row: &Row<'_>) -> rusqlite::Result<(i64, Entry)> {
    let entry = Entry {
        at: row.get::<_, Micros>("at")?.0,
        actor: row.get("actor")?,
        action: row.get::<_, Word<Action>>("action")?.0,
        subject: row.get::<_, Word<Subject>>("subject")?.0,
        subject_id: row.get("subject_id")?,
        details: row.get::<_, Json<_>>("details")?.0,
    };
    Ok((row.get("entry")?, entry))
}

#[async_trait]
impl Audit for Control {
    async fn record(&self, tenant: TenantId, entry: &Entry) -> Result<()> {
        let entry = entry.clone();
        self.connections.write(move |transaction| insert(transaction, tenant, &entry)).await
    }

    async fn list_audit(
        &self,
        tenant: TenantId,
        filter: &Filter,
        page: Page,
    ) -> Result<Listing<Entry>> {
        let list = List::new(COLUMNS, "audit", Order::Highest("entry"))
            .only("tenant_id", tenant.0)
            .only_if("action", filter.action.map(|action| action.as_str().to_owned()))
            .only_among("subject", filter.subjects.iter().map(ToString::to_string))
            .only_if("subject_id", filter.subject_id.clone())
            .only_if("actor", filter.actor.clone())
            .from("at", filter.from.map(|at| at.as_microsecond()))
            .below("at", filter.until.map(|at| at.as_microsecond()));
        let key = |line: &(i64, Entry)| Cursor { rank: line.0, id: uuid::Uuid::nil() };
        let Listing { items, total, next } =
            self.connections.read(move |snapshot| list.page(snapshot, page, row, key)).await?;
        Ok(Listing { items: items.into_iter().map(|(_, entry)| entry).collect(), total, next })
    }
}
