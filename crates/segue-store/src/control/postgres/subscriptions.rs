//! The subscriptions' rows.

use async_trait::async_trait;
use deadpool_postgres::{GenericClient, Transaction};
use jiff::Timestamp;
use segue_core::ids::{Position, SubscriptionName, TenantId};
use tokio_postgres::Row;

use super::super::audit::{Action, Subject};
use super::super::subscriptions::{Put, SUBSCRIPTIONS_PER_TENANT, Subscription, Subscriptions};
use super::super::{By, Error, Noun, Result};
use super::column::{Micros, Number, Word};
use super::statement::{decide, execute, row as one, rows};
use super::{Control, audit};

const COLUMNS: &str = "name, position, created_at, acknowledged_at";

fn row(row: &Row) -> Result<Subscription> {
    Ok(Subscription {
        name: row.try_get::<_, Word<SubscriptionName>>("name")?.0,
        position: Position(row.try_get::<_, Number>("position")?.0),
        created_at: row.try_get::<_, Micros>("created_at")?.0,
        acknowledged_at: row.try_get::<_, Option<Micros>>("acknowledged_at")?.map(|Micros(at)| at),
    })
}

async fn find(
    on: &impl GenericClient,
    tenant: TenantId,
    name: &SubscriptionName,
) -> Result<Subscription> {
    let statement =
        format!("SELECT {COLUMNS} FROM subscriptions WHERE tenant_id = $1 AND name = $2");
    match one(on, &statement, &[&tenant.0, &name.as_str()]).await? {
        Some(found) => row(&found),
        None => Err(Error::NotFound(Noun::Subscription)),
    }
}

/// All of a tenant's, by name.
pub(super) async fn all(on: &impl GenericClient, tenant: TenantId) -> Result<Vec<Subscription>> {
    let statement =
        format!("SELECT {COLUMNS} FROM subscriptions WHERE tenant_id = $1 ORDER BY name");
    rows(on, &statement, &[&tenant.0]).await?.iter().map(row).collect()
}

async fn insert(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    name: &SubscriptionName,
    after: Position,
    by: &By,
) -> Result<Subscription> {
    let count = "SELECT count(*) FROM subscriptions WHERE tenant_id = $1";
    let count: i64 = match one(transaction, count, &[&tenant.0]).await? {
        Some(found) => found.try_get(0)?,
        None => 0,
    };
    let limit = SUBSCRIPTIONS_PER_TENANT;
    if count.unsigned_abs() >= limit as u64 {
        return Err(Error::TooMany { noun: Noun::Subscription, limit });
    }
    execute(
        transaction,
        "INSERT INTO subscriptions (tenant_id, name, position, created_at) VALUES ($1, $2, $3, $4)",
        &[&tenant.0, &name.as_str(), &Number(after.0), &Micros(by.at)],
    )
    .await?;
    let by = by.with("position", after.0);
    told(transaction, tenant, name, Action::SubscriptionCreated, &by).await?;
    find(transaction, tenant, name).await
}

/// Writes the line of the audit.
async fn told(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    name: &SubscriptionName,
    action: Action,
    by: &By,
) -> Result<()> {
    let subject = (Subject::Subscription, name.to_string());
    audit::write(transaction, tenant, by, action, subject).await
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
        let mut client = self.client().await?;
        let transaction = decide(&mut client, tenant).await?;
        match find(&transaction, tenant, name).await {
            Ok(found) => Ok(Put::Found(found)),
            Err(Error::NotFound(_)) => {
                let created = insert(&transaction, tenant, name, after, by).await?;
                transaction.commit().await?;
                Ok(Put::Created(created))
            }
            Err(error) => Err(error),
        }
    }

    async fn subscription(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
    ) -> Result<Subscription> {
        find(&self.client().await?, tenant, name).await
    }

    async fn subscriptions(&self, tenant: TenantId) -> Result<Vec<Subscription>> {
        all(&self.client().await?, tenant).await
    }

    async fn acknowledge(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        position: Position,
        at: Timestamp,
    ) -> Result<Subscription> {
        // One statement, and no turn to decide is taken: acknowledgements come with every page.
        let statement = format!(
            "UPDATE subscriptions SET position = $3, acknowledged_at = $4 \
             WHERE tenant_id = $1 AND name = $2 AND position < $3 RETURNING {COLUMNS}"
        );
        let client = self.client().await?;
        let (position, at) = (Number(position.0), Micros(at));
        match one(&client, &statement, &[&tenant.0, &name.as_str(), &position, &at]).await? {
            Some(acknowledged) => row(&acknowledged),
            None => find(&client, tenant, name).await,
        }
    }

    async fn reset_subscription(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        position: Position,
        by: &By,
    ) -> Result<Subscription> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, tenant).await?;
        // Acknowledgements take no turn, so the row itself is locked.
        let statement = format!(
            "SELECT {COLUMNS} FROM subscriptions WHERE tenant_id = $1 AND name = $2 FOR UPDATE"
        );
        let before = match one(&transaction, &statement, &[&tenant.0, &name.as_str()]).await? {
            Some(found) => row(&found)?,
            None => return Err(Error::NotFound(Noun::Subscription)),
        };
        if before.position == position {
            return Ok(before);
        }
        execute(
            &transaction,
            "UPDATE subscriptions SET position = $3 WHERE tenant_id = $1 AND name = $2",
            &[&tenant.0, &name.as_str(), &Number(position.0)],
        )
        .await?;
        let by = by.with("from_position", before.position.0).with("position", position.0);
        told(&transaction, tenant, name, Action::SubscriptionReset, &by).await?;
        transaction.commit().await?;
        Ok(Subscription { position, ..before })
    }

    async fn delete_subscription(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        by: &By,
    ) -> Result<Subscription> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, tenant).await?;
        let statement = format!(
            "DELETE FROM subscriptions WHERE tenant_id = $1 AND name = $2 RETURNING {COLUMNS}"
        );
        let deleted = match one(&transaction, &statement, &[&tenant.0, &name.as_str()]).await? {
            Some(deleted) => row(&deleted)?,
            None => return Err(Error::NotFound(Noun::Subscription)),
        };
        let by = by.with("position", deleted.position.0);
        told(&transaction, tenant, name, Action::SubscriptionDeleted, &by).await?;
        transaction.commit().await?;
        Ok(deleted)
    }
}
