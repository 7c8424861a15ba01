//! The subscriptions' rows.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use segue_core::ids::{Position, SubscriptionName, TenantId};

use super::super::audit::{Action, Subject};
use super::super::subscriptions::{Put, SUBSCRIPTIONS_PER_TENANT, Subscription, Subscriptions};
use super::super::{By, Error, Noun, Result};
use super::column::{Id, Micros, Number, Word};
use super::{Control, audit};

const COLUMNS: &str = "name, position, created_at, acknowledged_at";

fn row(row: &Row<'_>) -> rusqlite::Result<Subscription> {
    Ok(Subscription {
        name: row.get::<_, Word<SubscriptionName>>("name")?.0,
        position: Position(row.get::<_, Number>("position")?.0),
        created_at: row.get::<_, Micros>("created_at")?.0,
        acknowledged_at: row.get::<_, Option<Micros>>("acknowledged_at")?.map(|Micros(at)| at),
    })
}

fn find(
    connection: &Connection,
    tenant: TenantId,
    name: &SubscriptionName,
) -> Result<Subscription> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM subscriptions WHERE tenant_id = ?1 AND name = ?2"
        ))?
        .query_row(params![Id(tenant.0), name.as_str()], row)
        .optional()?
        .ok_or(Error::NotFound(Noun::Subscription))
}

fn insert(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    name: &SubscriptionName,
    after: Position,
    by: &By,
) -> Result<Subscription> {
    let count: i64 = transaction
        .prepare_cached("SELECT count(*) FROM subscriptions WHERE tenant_id = ?1")?
        .query_row([Id(tenant.0)], |row| row.get(0))?;
    let limit = SUBSCRIPTIONS_PER_TENANT;
    if count.unsigned_abs() >= limit as u64 {
        return Err(Error::TooMany { noun: Noun::Subscription, limit });
    }
    transaction
        .prepare_cached(
            "INSERT INTO subscriptions (tenant_id, name, position, created_at) \
             VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![Id(tenant.0), name.as_str(), Number(after.0), Micros(by.at)])?;
    told(transaction, tenant, name, Action::SubscriptionCreated, &by.with("position", after.0))?;
    find(transaction, tenant, name)
}

/// Writes the line of the audit.
fn told(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    name: &SubscriptionName,
    action: Action,
    by: &By,
) -> Result<()> {
    audit::write(transaction, tenant, by, action, (Subject::Subscription, name.to_string()))
}

/// All of a tenant's, by name.
pub(super) fn all(
    connection: &Connection,
    tenant: TenantId,
) -> rusqlite::Result<Vec<Subscription>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM subscriptions WHERE tenant_id = ?1 ORDER BY name"
        ))?
        .query_map([Id(tenant.0)], row)?
        .collect()
}

#[async_trait]
impl Subscriptions for Control {
    async fn put_subscription(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        after: Position,
        by: &By,
    ) -> Result<Put> {
        let (name, by) = (name.clone(), by.clone());
        self.connections
            .write(move |transaction| match find(transaction, tenant, &name) {
                Ok(found) => Ok(Put::Found(found)),
                Err(Error::NotFound(_)) => {
                    insert(transaction, tenant, &name, after, &by).map(Put::Created)
                }
                Err(error) => Err(error),
            })
            .await
    }

    async fn subscription(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
    ) -> Result<Subscription> {
        let name = name.clone();
        self.connections.read(move |snapshot| find(snapshot, tenant, &name)).await
    }

    async fn subscriptions(&self, tenant: TenantId) -> Result<Vec<Subscription>> {
        self.connections.read(move |snapshot| Ok(all(snapshot, tenant)?)).await
    }

    async fn acknowledge(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        position: Position,
        at: Timestamp,
    ) -> Result<Subscription> {
        let name = name.clone();
        self.connections
            .write(move |transaction| {
                transaction
                    .prepare_cached(
                        "UPDATE subscriptions SET position = ?3, acknowledged_at = ?4 \
                         WHERE tenant_id = ?1 AND name = ?2 AND position < ?3",
                    )?
                    .execute(params![
                        Id(tenant.0),
                        name.as_str(),
                        Number(position.0),
                        Micros(at)
                    ])?;
                find(transaction, tenant, &name)
            })
            .await
    }

    async fn reset_subscription(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        position: Position,
        by: &By,
    ) -> Result<Subscription> {
        let (name, by) = (name.clone(), by.clone());
        self.connections
            .write(move |transaction| {
                let before = find(transaction, tenant, &name)?;
                if before.position == position {
                    return Ok(before);
                }
                transaction
                    .prepare_cached(
                        "UPDATE subscriptions SET position = ?3 WHERE tenant_id = ?1 AND name = ?2",
                    )?
                    .execute(params![Id(tenant.0), name.as_str(), Number(position.0)])?;
                let by = by.with("from_position", before.position.0).with("position", position.0);
                told(transaction, tenant, &name, Action::SubscriptionReset, &by)?;
                Ok(Subscription { position, ..before })
            })
            .await
    }

    async fn delete_subscription(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        by: &By,
    ) -> Result<Subscription> {
        let (name, by) = (name.clone(), by.clone());
        self.connections
            .write(move |transaction| {
                let found = find(transaction, tenant, &name)?;
                transaction
                    .prepare_cached("DELETE FROM subscriptions WHERE tenant_id = ?1 AND name = ?2")?
                    .execute(params![Id(tenant.0), name.as_str()])?;
                let by = by.with("position", found.position.0);
                told(transaction, tenant, &name, Action::SubscriptionDeleted, &by)?;
                Ok(found)
            })
            .await
    }
}
