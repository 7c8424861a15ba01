//! The console sessions' rows.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, params};
use segue_core::ids::KeyId;

use super::super::audit::Action;
use super::super::logins::{LOGINS_PER_KEY, Login, Logins};
use super::super::{By, Error, Noun, Result};
use super::column::{Id, Micros};
use super::{Control, keys};

#[async_trait]
impl Logins for Control {
    async fn open_login(&self, login: &Login, by: &By) -> Result<()> {
        let (login, by) = (login.clone(), by.clone());
        self.connections
            .write(move |transaction| {
                keys::find(transaction, login.key)?;
                transaction
                    .prepare_cached("DELETE FROM console_logins WHERE expires_at <= ?1")?
                    .execute([Micros(login.begun_at)])?;
                transaction
                    .prepare_cached(
                        "INSERT INTO console_logins (token_hash, key_id, begun_at, expires_at) \
                         VALUES (?1, ?2, ?3, ?4)",
                    )?
                    .execute(params![
                        login.token_hash,
                        Id(login.key.0),
                        Micros(login.begun_at),
                        Micros(login.expires_at)
                    ])?;
                transaction
                    .prepare_cached(
                        "DELETE FROM console_logins WHERE key_id = ?1 AND token_hash NOT IN ( \
                             SELECT token_hash FROM console_logins WHERE key_id = ?1 \
                             ORDER BY begun_at DESC, token_hash LIMIT ?2)",
                    )?
                    .execute(params![Id(login.key.0), LOGINS_PER_KEY as i64])?;
                keys::told(transaction, login.key, Action::ConsoleEntered, &by)
            })
            .await
    }

    async fn login(&self, token_hash: &[u8; 32]) -> Result<Login> {
        let token_hash = *token_hash;
        let found = self
            .connections
            .read_quickly(move |connection| {
                connection
                    .prepare_cached(
                        "SELECT key_id, begun_at, expires_at FROM console_logins \
                         WHERE token_hash = ?1",
                    )?
                    .query_row([token_hash], |row| {
                        Ok(Login {
                            token_hash,
                            key: KeyId(row.get::<_, Id>(0)?.0),
                            begun_at: row.get::<_, Micros>(1)?.0,
                            expires_at: row.get::<_, Micros>(2)?.0,
                        })
                    })
                    .optional()
            })
            .await?;
        found.ok_or(Error::NotFound(Noun::Login))
    }

    async fn close_login(&self, token_hash: &[u8; 32], by: &By) -> Result<()> {
        let (token_hash, by) = (*token_hash, by.clone());
        self.connections
            .write(move |transaction| {
                let key = transaction
                    .prepare_cached(
                        "DELETE FROM console_logins WHERE token_hash = ?1 RETURNING key_id",
                    )?
                    .query_row([token_hash], |row| row.get::<_, Id>(0))
                    .optional()?;
                match key {
                    Some(Id(key)) => keys::told(transaction, KeyId(key), Action::ConsoleLeft, &by),
                    None => Ok(()),
                }
            })
            .await
    }
}
