//! The console sessions' rows.

use async_trait::async_trait;
use segue_core::ids::KeyId;

use super::super::audit::{Action, PLATFORM};
use super::super::logins::{LOGINS_PER_KEY, Login, Logins};
use super::super::{By, Error, Noun, Result};
use super::column::Micros;
use super::statement::{decide, execute, row as one};
use super::{Control, keys};

#[async_trait]
impl Logins for Control {
    async fn open_login(&self, login: &Login, by: &By) -> Result<()> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, PLATFORM).await?;
        keys::find(&transaction, login.key).await?;
        let expired = "DELETE FROM console_logins WHERE expires_at <= $1";
        execute(&transaction, expired, &[&Micros(login.begun_at)]).await?;
        execute(
            &transaction,
            "INSERT INTO console_logins (token_hash, key_id, begun_at, expires_at) \
             VALUES ($1, $2, $3, $4)",
            &[
                &login.token_hash.as_slice(),
                &login.key.0,
                &Micros(login.begun_at),
                &Micros(login.expires_at),
            ],
        )
        .await?;
        execute(
            &transaction,
            "DELETE FROM console_logins WHERE key_id = $1 AND token_hash NOT IN ( \
                 SELECT token_hash FROM console_logins WHERE key_id = $1 \
                 ORDER BY begun_at DESC, token_hash LIMIT $2)",
            &[&login.key.0, &(LOGINS_PER_KEY as i64)],
        )
        .await?;
        keys::told(&transaction, login.key, Action::ConsoleEntered, by).await?;
        Ok(transaction.commit().await?)
    }

    async fn login(&self, token_hash: &[u8; 32]) -> Result<Login> {
        let statement = "SELECT key_id, begun_at, expires_at FROM console_logins \
                         WHERE token_hash = $1";
        let found = one(&self.client().await?, statement, &[&token_hash.as_slice()]).await?;
        let found = found.ok_or(Error::NotFound(Noun::Login))?;
        Ok(Login {
            token_hash: *token_hash,
            key: KeyId(found.try_get(0)?),
            begun_at: found.try_get::<_, Micros>(1)?.0,
            expires_at: found.try_get::<_, Micros>(2)?.0,
        })
    }

    async fn close_login(&self, token_hash: &[u8; 32], by: &By) -> Result<()> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, PLATFORM).await?;
        let close = "DELETE FROM console_logins WHERE token_hash = $1 RETURNING key_id";
        let Some(closed) = one(&transaction, close, &[&token_hash.as_slice()]).await? else {
            return Ok(());
        };
        keys::told(&transaction, KeyId(closed.try_get(0)?), Action::ConsoleLeft, by).await?;
        Ok(transaction.commit().await?)
    }
}
