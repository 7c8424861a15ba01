//! The API keys' rows.

use async_trait::async_trait;
use deadpool_postgres::{GenericClient, Transaction};
use jiff::Timestamp;
use segue_core::ids::{KeyId, TenantId};
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::audit::{Action, PLATFORM, Subject};
use super::super::keys::{KEYS, Key, Keys, Verifier};
use super::super::{By, Cursor, Error, Listing, Noun, Page, Result};
use super::column::{Micros, Number, Word};
use super::list::{List, Order};
use super::statement::{decide, execute, row as one};
use super::{Control, audit};

const COLUMNS: &str = "key_id, prefix, name, roles, tenant_id, verifier, requests_per_second, \
                       created_at, created_by, expires_at, superseded_at, revoked_at, used_at";

fn row(row: &Row) -> Result<Key> {
    let time = |column| Ok::<_, Error>(row.try_get::<_, Option<Micros>>(column)?.map(|at| at.0));
    Ok(Key {
        id: KeyId(row.try_get("key_id")?),
        prefix: row.try_get("prefix")?,
        name: row.try_get("name")?,
        roles: row.try_get::<_, Word<_>>("roles")?.0,
        tenant: row.try_get::<_, Option<Uuid>>("tenant_id")?.map(TenantId),
        verifier: Verifier(row.try_get("verifier")?),
        requests_per_second: row
            .try_get::<_, Option<Number>>("requests_per_second")?
            .map(|Number(requests)| requests),
        created_at: row.try_get::<_, Micros>("created_at")?.0,
        created_by: row.try_get("created_by")?,
        expires_at: time("expires_at")?,
        superseded_at: time("superseded_at")?,
        revoked_at: time("revoked_at")?,
        used_at: time("used_at")?,
    })
}

pub(super) async fn find(on: &impl GenericClient, id: KeyId) -> Result<Key> {
    let statement = format!("SELECT {COLUMNS} FROM api_keys WHERE key_id = $1");
    match one(on, &statement, &[&id.0]).await? {
        Some(found) => row(&found),
        None => Err(Error::NotFound(Noun::Key)),
    }
}

async fn insert(transaction: &Transaction<'_>, key: &Key) -> Result<()> {
    let count: i64 = match one(transaction, "SELECT count(*) FROM api_keys", &[]).await? {
        Some(found) => found.try_get(0)?,
        None => 0,
    };
    if count.unsigned_abs() >= KEYS as u64 {
        return Err(Error::TooMany { noun: Noun::Key, limit: KEYS });
    }
    let statement = format!(
        "INSERT INTO api_keys ({COLUMNS}) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING"
    );
    let inserted = execute(
        transaction,
        &statement,
        &[
            &key.id.0,
            &key.prefix,
            &key.name,
            &key.roles.to_string(),
            &key.tenant.map(|tenant| tenant.0),
            &key.verifier.0,
            &key.requests_per_second.map(Number),
            &Micros(key.created_at),
            &key.created_by,
            &key.expires_at.map(Micros),
            &key.superseded_at.map(Micros),
            &key.revoked_at.map(Micros),
            &key.used_at.map(Micros),
        ],
    )
    .await?;
    if inserted == 0 { Err(Error::Exists(Noun::Key)) } else { Ok(()) }
}

/// Writes the line of the audit.
pub(super) async fn told(
    transaction: &Transaction<'_>,
    key: KeyId,
    action: Action,
    by: &By,
) -> Result<()> {
    audit::write(transaction, PLATFORM, by, action, (Subject::Key, key.to_string())).await
}

#[async_trait]
impl Keys for Control {
    async fn create_key(&self, key: &Key, by: &By) -> Result<()> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, PLATFORM).await?;
        insert(&transaction, key).await?;
        told(&transaction, key.id, Action::KeyCreated, by).await?;
        Ok(transaction.commit().await?)
    }

    async fn rotate_key(&self, old: KeyId, ends_at: Timestamp, new: &Key, by: &By) -> Result<()> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, PLATFORM).await?;
        let found = find(&transaction, old).await?;
        insert(&transaction, new).await?;
        found.goes_on(by.at)?;
        let end = "UPDATE api_keys \
                   SET superseded_at = least(coalesce(superseded_at, $2), $2) WHERE key_id = $1";
        execute(&transaction, end, &[&old.0, &Micros(ends_at)]).await?;
        let by = by.with("new_key_id", new.id.to_string());
        told(&transaction, old, Action::KeyRotated, &by).await?;
        Ok(transaction.commit().await?)
    }

    async fn revoke_key(&self, id: KeyId, by: &By) -> Result<Key> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, PLATFORM).await?;
        let found = find(&transaction, id).await?;
        if found.revoked_at.is_some() {
            return Ok(found);
        }
        let revoke = "UPDATE api_keys SET revoked_at = $2 WHERE key_id = $1";
        execute(&transaction, revoke, &[&id.0, &Micros(by.at)]).await?;
        execute(&transaction, "DELETE FROM console_logins WHERE key_id = $1", &[&id.0]).await?;
        told(&transaction, id, Action::KeyRevoked, by).await?;
        let revoked = find(&transaction, id).await?;
        transaction.commit().await?;
        Ok(revoked)
    }

    async fn key(&self, id: KeyId) -> Result<Key> {
        find(&self.client().await?, id).await
    }

    async fn key_by_prefix(&self, prefix: &str) -> Result<Key> {
        let statement = format!("SELECT {COLUMNS} FROM api_keys WHERE prefix = $1");
        match one(&self.client().await?, &statement, &[&prefix]).await? {
            Some(found) => row(&found),
            None => Err(Error::NotFound(Noun::Key)),
        }
    }

    async fn list_keys(&self, page: Page) -> Result<Listing<Key>> {
        let order = Order::Descending { rank: "created_at", id: "key_id" };
        let list = List::new(COLUMNS, "api_keys", order);
        let key = |key: &Key| Cursor { rank: key.created_at.as_microsecond(), id: key.id.0 };
        list.fetch(&self.client().await?, page, row, key).await
    }

    async fn key_used(&self, id: KeyId, at: Timestamp) -> Result<()> {
        let used = "UPDATE api_keys SET used_at = greatest(coalesce(used_at, $2), $2) \
                    WHERE key_id = $1";
        execute(&self.client().await?, used, &[&id.0, &Micros(at)]).await?;
        Ok(())
    }
}
