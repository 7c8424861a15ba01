//! What a database is, found out before anything is written to it, and what its schema lacks.
//!
//! One look answers most starts. Only when something is missing is the advisory lock of the schema taken
//! and the look repeated, for another server may have added it in the meantime.

use refinery::{Migration, Runner};
use tokio_postgres::Client;

use super::refusal::{OpenError, Refusal};
use super::{Kind, Settings};

/// The oldest server that serves, as `server_version_num` counts.
const OLDEST_SERVER: i32 = 130_000;

/// How long a server waits for another one that brings the schema up to date, and how long one migration
/// may take.
const MIGRATION_TIMEOUT: &str = "10min";

/// Checks the database, and adds what its schema lacks.
pub(super) async fn bring_up_to_date(
    client: &mut Client,
    settings: &Settings,
    kind: Kind,
    migrations: &[Migration],
) -> Result<(), OpenError> {
    let known = migrations.iter().map(Migration::version).max().unwrap_or(0);
    let schema = Schema { settings, kind, known };
    schema.check_server(client).await?;
    if schema.version(client).await? == known {
        return Ok(());
    }
    schema.lock(client).await?;
    // The lock ends with the session at the latest, and this session ends with this function's caller.
    if schema.version(client).await? < known {
        schema.migrate(client, migrations).await?;
    }
    Ok(())
}

struct Schema<'a> {
    settings: &'a Settings,
    kind: Kind,
    known: i32,
}

impl Schema<'_> {
    fn name(&self) -> &str {
        self.settings.schema(self.kind)
    }

    fn refuse<T>(&self, reason: Refusal) -> Result<T, OpenError> {
        Err(OpenError::new(self.settings, reason))
    }

    fn explain(&self, error: tokio_postgres::Error) -> OpenError {
        OpenError::explain(self.settings, error)
    }

    async fn check_server(&self, client: &Client) -> Result<(), OpenError> {
        let row = client
            .query_one(
                "SELECT current_setting('server_version_num')::int, current_setting('server_version'), \
                 current_setting('server_encoding'), \
                 current_setting('transaction_read_only') = 'on', current_setting('fsync') = 'off'",
                &[],
            )
            .await
            .map_err(|error| self.explain(error))?;
        if row.get::<_, i32>(0) < OLDEST_SERVER {
            let needed = OLDEST_SERVER.unsigned_abs() / 10_000;
            return self.refuse(Refusal::OldServer { found: row.get(1), needed });
        }
        let encoding: String = row.get(2);
        if encoding != "UTF8" {
            return self.refuse(Refusal::Encoding(encoding));
        }
        if row.get(3) {
            return self.refuse(Refusal::ReadOnly);
        }
        if row.get(4) {
            let database = self.settings.to_string();
            tracing::warn!(
                database,
                "fsync is off there: what is acknowledged is lost with the power"
            );
        }
        Ok(())
    }

    /// The schema's version; 0 for one that is new or missing.
    async fn version(&self, client: &Client) -> Result<i32, OpenError> {
        let tables: Vec<String> = client
            .query(
                "SELECT c.relname::text FROM pg_catalog.pg_class c \
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')",
                &[&self.name()],
            )
            .await
            .map_err(|error| self.explain(error))?
            .iter()
            .map(|row| row.get(0))
            .collect();
        let has = |kind: Kind| tables.iter().any(|table| table == kind.history());
        if !has(self.kind) {
            return match Kind::ALL.into_iter().find(|other| has(*other)) {
                Some(other) => self.foreign(other.to_string()),
                None if tables.is_empty() => Ok(0),
                None => self.foreign("tables of another program".to_owned()),
            };
        }
        // A rival that is just making the schema may not have committed its first migration.
        let highest = format!("SELECT coalesce(max(version), 0) FROM {}", self.kind.history());
        let row = client.query_one(&highest, &[]).await.map_err(|error| self.explain(error))?;
        match row.get(0) {
            found if found > self.known => {
                self.refuse(Refusal::NewerSchema { found, known: self.known })
            }
            found => Ok(found),
        }
    }

    fn foreign<T>(&self, found: String) -> Result<T, OpenError> {
        self.refuse(Refusal::Foreign { found, wanted: self.kind })
    }

    async fn lock(&self, client: &Client) -> Result<(), OpenError> {
        // A schema's name is plain letters, digits and underscores: `Settings` sees to that.
        let lock = format!(
            "SET statement_timeout = '{MIGRATION_TIMEOUT}'; SET lock_timeout = '{MIGRATION_TIMEOUT}'; \
             SELECT pg_advisory_lock(hashtextextended('segue schema {}', 0))",
            self.name()
        );
        client.batch_execute(&lock).await.map_err(|error| self.explain(error))
    }

    async fn migrate(
        &self,
        client: &mut Client,
        migrations: &[Migration],
    ) -> Result<(), OpenError> {
        // Not IF NOT EXISTS at once: that needs the right to create schemas even where there is one.
        let there = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1)";
        let row =
            client.query_one(there, &[&self.name()]).await.map_err(|error| self.explain(error))?;
        if !row.get::<_, bool>(0) {
            let create = format!("CREATE SCHEMA IF NOT EXISTS \"{}\"", self.name());
            client.batch_execute(&create).await.map_err(|error| self.explain(error))?;
        }
        let mut runner = Runner::new(migrations).set_grouped(true);
        runner.set_migration_table_name(self.kind.history());
        match runner.run_async(client).await {
            Ok(_) => {
                tracing::info!(
                    database = %self.settings, schema = self.name(), version = self.known,
                    "the schema is up to date"
                );
                Ok(())
            }
            Err(error) => Err(self.migration_failed(error)),
        }
    }

    fn migration_failed(&self, error: refinery::Error) -> OpenError {
        use std::error::Error;
        let cause = error.kind().source().and_then(|e| e.downcast_ref::<tokio_postgres::Error>());
        let reason =
            cause.map_or(Refusal::Other, |cause| super::refusal::refusal(self.settings, cause));
        let reason = if reason == Refusal::Other { Refusal::Migration(self.known) } else { reason };
        OpenError {
            source: Some(std::sync::Arc::new(error)),
            ..OpenError::new(self.settings, reason)
        }
    }
}
