//! The API keys' rows.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use segue_core::ids::{KeyId, TenantId};

use super::super::audit::{Action, PLATFORM, Subject};
use super::super::keys::{KEYS, Key, Keys, Verifier};
use super::super::{By, Cursor, Error, Listing, Noun, Page, Result};
use super::column::{Id, Micros, Number, Word};
use super::list::{List, Order};
use super::{Control, audit};

const COLUMNS: &str = "key_id, prefix, name, roles, tenant_id, verifier, requests_per_second, \
                       created_at, created_by, expires_at, superseded_at, revoked_at, used_at";

fn row(row: &Row<'_>) -> rusqlite::Result<Key> {
    let time =
        |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<Micros>>(column)?.map(|at| at.0));
    Ok(Key {
        id: KeyId(row.get::<_, Id>("key_id")?.0),
        prefix: row.get("prefix")?,
        name: row.get("name")?,
        roles: row.get::<_, Word<_>>("roles")?.0,
        tenant: row.get::<_, Option<Id>>("tenant_id")?.map(|tenant| TenantId(tenant.0)),
        verifier: Verifier(row.get("verifier")?),
        requests_per_second: row
            .get::<_, Option<Number>>("requests_per_second")?
            .map(|Number(requests)| requests),
        created_at: row.get::<_, Micros>("created_at")?.0,
        created_by: row.get("created_by")?,
        expires_at: time("expires_at")?,
        superseded_at: time("superseded_at")?,
        revoked_at: time("revoked_at")?,
        used_at: time("used_at")?,
    })
}

pub(super) fn find(connection: &Connection, id: KeyId) -> Result<Key> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM api_keys WHERE key_id = ?1"))?
        .query_row([Id(id.0)], row)
        .optional()?
        .ok_or(Error::NotFound(Noun::Key))
}

fn find_by_prefix(connection: &Connection, prefix: &str) -> rusqlite::Result<Option<Key>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM api_keys WHERE prefix = ?1"))?
        .query_row([prefix], row)
        .optional()
}

fn insert(transaction: &Transaction<'_>, key: &Key) -> Result<()> {
    let count: i64 = transaction
        .prepare_cached("SELECT count(*) FROM api_keys")?
        .query_row([], |row| row.get(0))?;
    if count.unsigned_abs() >= KEYS as u64 {
        return Err(Error::TooMany { noun: Noun::Key, limit: KEYS });
    }
    let inserted = transaction
        .prepare_cached(&format!(
            "INSERT INTO api_keys ({COLUMNS}) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT DO NOTHING"
        ))?
        .execute(params![
            Id(key.id.0),
            key.prefix,
            key.name,
            key.roles.to_string(),
            key.tenant.map(|tenant| Id(tenant.0)),
            key.verifier.0,
            key.requests_per_second.map(Number),
            Micros(key.created_at),
            key.created_by,
            key.expires_at.map(Micros),
            key.superseded_at.map(Micros),
            key.revoked_at.map(Micros),
            key.used_at.map(Micros),
        ])?;
    if inserted == 0 { Err(Error::Exists(Noun::Key)) } else { Ok(()) }
}

/// Writes the line of the audit.
pub(super) fn told(
    transaction: &Transaction<'_>,
    key: KeyId,
    action: Action,
    by: &By,
) -> Result<()> {
    audit::write(transaction, PLATFORM, by, action, (Subject::Key, key.to_string()))
}

#[async_trait]
impl Keys for Control {
    async fn create_key(&self, key: &Key, by: &By) -> Result<()> {
        let (key, by) = (key.clone(), by.clone());
        self.connections
            .write(move |transaction| {
                insert(transaction, &key)?;
                told(transaction, key.id, Action::KeyCreated, &by)
            })
            .await
    }

    async fn rotate_key(&self, old: KeyId, ends_at: Timestamp, new: &Key, by: &By) -> Result<()> {
        let (new, by) = (new.clone(), by.clone());
        self.connections
            .write(move |transaction| {
                let found = find(transaction, old)?;
                insert(transaction, &new)?;
                found.goes_on(by.at)?;
                transaction
                    .prepare_cached(
                        "UPDATE api_keys SET superseded_at = min(coalesce(superseded_at, ?2), ?2) \
                         WHERE key_id = ?1",
                    )?
                    .execute(params![Id(old.0), Micros(ends_at)])?;
                told(
                    transaction,
                    old,
                    Action::KeyRotated,
                    &by.with("new_key_id", new.id.to_string()),
                )
            })
            .await
    }

    async fn revoke_key(&self, id: KeyId, by: &By) -> Result<Key> {
        let by = by.clone();
        self.connections
            .write(move |transaction| {
                let found = find(transaction, id)?;
                if found.revoked_at.is_some() {
                    return Ok(found);
                }
                transaction
                    .prepare_cached("UPDATE api_keys SET revoked_at = ?2 WHERE key_id = ?1")?
                    .execute(params![Id(id.0), Micros(by.at)])?;
                transaction
                    .prepare_cached("DELETE FROM console_logins WHERE key_id = ?1")?
                    .execute([Id(id.0)])?;
                told(transaction, id, Action::KeyRevoked, &by)?;
                find(transaction, id)
            })
            .await
    }

    async fn key(&self, id: KeyId) -> Result<Key> {
        self.connections.read(move |snapshot| find(snapshot, id)).await
    }

    async fn key_by_prefix(&self, prefix: &str) -> Result<Key> {
        let prefix = prefix.to_owned();
        let found = self.connections.read_quickly(move |on| find_by_prefix(on, &prefix)).await?;
        found.ok_or(Error::NotFound(Noun::Key))
    }

    async fn list_keys(&self, page: Page) -> Result<Listing<Key>> {
        let order = Order::Descending { rank: "created_at", id: "key_id" };
        let list = List::new(COLUMNS, "api_keys", order);
        let key = |key: &Key| Cursor { rank: key.created_at.as_microsecond(), id: key.id.0 };
        self.connections.read(move |snapshot| list.page(snapshot, page, row, key)).await
    }

    async fn key_used(&self, id: KeyId, at: Timestamp) -> Result<()> {
        self.connections
            .write(move |transaction| {
                transaction
                    .prepare_cached(
                        "UPDATE api_keys SET used_at = max(coalesce(used_at, ?2), ?2) \
                         WHERE key_id = ?1",
                    )?
                    .execute(params![Id(id.0), Micros(at)])?;
                Ok(())
            })
            .await
    }
}
