//! The migrations' rows, and the decisions that change them together with the routes.
//!
//! A commit of a move is waited for by all of the tenant's writers, so a decision takes few round trips:
//! what it reads travels together, and so does what it writes.

use async_trait::async_trait;
use deadpool_postgres::{GenericClient, Transaction};
use futures_util::future::try_join3;
use segue_core::ids::{MigrationId, StoreId, TenantId};
use segue_core::tenancy::migration::{Decision, Entry, FailureStats, MigrationState, Progress};
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::audit::{Action, Subject};
use super::super::migrations::{Change, Decided, Filter, Migration, Migrations, change};
use super::super::routing::Route;
use super::super::{By, Conflict, Cursor, Error, Listing, Noun, Page, Result};
use super::column::{Json, Micros, Number, Word};
use super::list::{List, Order};
use super::statement::{decide, execute, row as one, rows};
use super::{Control, audit, routing, subscriptions};

const COLUMNS: &str = "tenant_id, migration_id, source_store_id, target_store_id, state, is_active, \
    reverses, created_by, created_at, started_at, completed_at, coordinator, beats, progress, config, \
    journal";

fn row(row: &Row) -> Result<Migration> {
    let time =
        |column| Ok::<_, Error>(row.try_get::<_, Option<Micros>>(column)?.map(|Micros(at)| at));
    Ok(Migration {
        tenant_id: TenantId(row.try_get("tenant_id")?),
        id: MigrationId(row.try_get("migration_id")?),
        source: row.try_get::<_, Word<StoreId>>("source_store_id")?.0,
        target: row.try_get::<_, Word<StoreId>>("target_store_id")?.0,
        state: row.try_get::<_, Word<MigrationState>>("state")?.0,
        is_active: row.try_get("is_active")?,
        reverses: row.try_get::<_, Option<Uuid>>("reverses")?.map(MigrationId),
        created_by: row.try_get::<_, Json<_>>("created_by")?.0,
        created_at: row.try_get::<_, Micros>("created_at")?.0,
        started_at: time("started_at")?,
        completed_at: time("completed_at")?,
        coordinator: row.try_get("coordinator")?,
        beats: row.try_get::<_, Number>("beats")?.0,
        progress: row.try_get::<_, Json<_>>("progress")?.0,
        config: row.try_get::<_, Json<_>>("config")?.0,
        journal: row.try_get::<_, Json<_>>("journal")?.0,
    })
}

/// The migration of this id, or the one that is active.
async fn find(
    on: &impl GenericClient,
    tenant: TenantId,
    id: Option<MigrationId>,
) -> Result<Option<Migration>> {
    let found = match id {
        Some(id) => {
            let statement = format!(
                "SELECT {COLUMNS} FROM tenant_migrations \
                 WHERE tenant_id = $1 AND migration_id = $2"
            );
            one(on, &statement, &[&tenant.0, &id.0]).await?
        }
        None => {
            let statement = format!(
                "SELECT {COLUMNS} FROM tenant_migrations WHERE tenant_id = $1 AND is_active"
            );
            one(on, &statement, &[&tenant.0]).await?
        }
    };
    found.as_ref().map(row).transpose()
}

async fn put(transaction: &Transaction<'_>, migration: &Migration) -> Result<()> {
    let statement = format!(
        "INSERT INTO tenant_migrations ({COLUMNS}) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
         ON CONFLICT (tenant_id, migration_id) DO UPDATE SET state = excluded.state, \
            is_active = excluded.is_active, started_at = excluded.started_at, \
            completed_at = excluded.completed_at, coordinator = excluded.coordinator, \
            journal = excluded.journal"
    );
    execute(
        transaction,
        &statement,
        &[
            &migration.tenant_id.0,
            &migration.id.0,
            &migration.source.as_str(),
            &migration.target.as_str(),
            &migration.state.as_str(),
            &migration.is_active,
            &migration.reverses.map(|id| id.0),
            &Json(&migration.created_by),
            &Micros(migration.created_at),
            &migration.started_at.map(Micros),
            &migration.completed_at.map(Micros),
            &migration.coordinator,
            &Number(migration.beats),
            &Json(migration.progress),
            &Json(&migration.config),
            &Json(&migration.journal),
        ],
    )
    .await?;
    Ok(())
}

/// Writes a route that was decided about.
async fn put_route(transaction: &Transaction<'_>, tenant: TenantId, route: &Route) -> Result<()> {
    execute(
        transaction,
        "UPDATE tenants SET store_id = $2, epoch = $3, minted = $4, term = $5, moving = $6 \
         WHERE tenant_id = $1",
        &[
            &tenant.0,
            &route.store_id.as_str(),
            &Number(route.epoch.0),
            &Number(route.minted.0),
            &Number(route.term.0),
            &route.moving.as_ref().map(Json),
        ],
    )
    .await?;
    Ok(())
}

/// What a decision is made upon.
async fn look(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    decided: &Decided,
    by: &By,
) -> Result<Change> {
    let subscriptions = async {
        match &decided.decision {
            Decision::Commit { .. } => subscriptions::all(transaction, tenant).await,
            _ => Ok(Vec::new()),
        }
    };
    let (found, present, subscriptions) = try_join3(
        routing::find(transaction, tenant),
        find(transaction, tenant, None),
        subscriptions,
    )
    .await?;
    let route = found.ok_or(Error::NotFound(Noun::Tenant))?.route;
    if route.term != decided.expected {
        return Err(Error::Conflict(Conflict::Route(route.term)));
    }
    let before = present.as_ref().map(|present| present.id);
    let changed = change(tenant, &route, present, decided, &subscriptions, by)?;
    let id = changed.migration.id;
    if before != Some(id) && find(transaction, tenant, Some(id)).await?.is_some() {
        return Err(Error::Exists(Noun::Migration));
    }
    Ok(changed)
}

#[async_trait]
impl Migrations for Control {
    async fn decide_migration(
        &self,
        tenant: TenantId,
        decided: Decided,
        by: &By,
    ) -> Result<(Route, Migration)> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, tenant).await?;
        let changed = look(&transaction, tenant, &decided, by).await?;
        let Change { route, migration, ended, action, by } = changed;
        if let Some(ended) = &ended {
            // Before the next one: only one may be active.
            put(&transaction, ended).await?;
        }
        let subject = (Subject::Migration, migration.id.to_string());
        try_join3(
            put(&transaction, &migration),
            put_route(&transaction, tenant, &route),
            audit::write(&transaction, tenant, &by, action, subject),
        )
        .await?;
        transaction.commit().await?;
        Ok((route, migration))
    }

    async fn note_migration(
        &self,
        tenant: TenantId,
        id: MigrationId,
        entries: Vec<Entry>,
        action: Option<Action>,
        by: &By,
    ) -> Result<Migration> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, tenant).await?;
        let found = find(&transaction, tenant, Some(id)).await?;
        let mut migration = found.ok_or(Error::NotFound(Noun::Migration))?;
        for entry in entries {
            migration.journal.enter(entry);
        }
        put(&transaction, &migration).await?;
        if let Some(action) = action {
            let subject = (Subject::Migration, id.to_string());
            audit::write(&transaction, tenant, by, action, subject).await?;
        }
        transaction.commit().await?;
        Ok(migration)
    }

    async fn beat(
        &self,
        tenant: TenantId,
        id: MigrationId,
        coordinator: Uuid,
        progress: Progress,
    ) -> Result<bool> {
        let statement = "UPDATE tenant_migrations SET beats = beats + 1, progress = $4 \
                         WHERE tenant_id = $1 AND migration_id = $2 AND coordinator = $3";
        let client = self.client().await?;
        let values: super::statement::Values<'_> =
            &[&tenant.0, &id.0, &coordinator, &Json(progress)];
        Ok(execute(&client, statement, values).await? == 1)
    }

    async fn migration(&self, id: MigrationId) -> Result<Migration> {
        let statement = format!("SELECT {COLUMNS} FROM tenant_migrations WHERE migration_id = $1");
        match one(&self.client().await?, &statement, &[&id.0]).await? {
            Some(found) => row(&found),
            None => Err(Error::NotFound(Noun::Migration)),
        }
    }

    async fn list_migrations(&self, filter: &Filter, page: Page) -> Result<Listing<Migration>> {
        let order = Order::Descending { rank: "created_at", id: "migration_id" };
        let list = List::new(COLUMNS, "tenant_migrations", order)
            .only_if("tenant_id", filter.tenant.map(|tenant| tenant.0))
            .only_if("state", filter.state.map(|state| state.as_str().to_owned()));
        let list = if filter.only_active { list.that("is_active") } else { list };
        let key = |migration: &Migration| Cursor {
            rank: migration.created_at.as_microsecond(),
            id: migration.id.0,
        };
        list.fetch(&self.client().await?, page, row, key).await
    }

    async fn report_failures(
        &self,
        tenant: TenantId,
        id: MigrationId,
        process: Uuid,
        stats: FailureStats,
    ) -> Result<()> {
        let statement = "INSERT INTO mirror_failures (tenant_id, migration_id, process, stats) \
                         VALUES ($1, $2, $3, $4) \
                         ON CONFLICT (tenant_id, migration_id, process) \
                         DO UPDATE SET stats = excluded.stats";
        let client = self.client().await?;
        execute(&client, statement, &[&tenant.0, &id.0, &process, &Json(stats)]).await?;
        Ok(())
    }

    async fn failures(&self, tenant: TenantId, id: MigrationId) -> Result<FailureStats> {
        let statement =
            "SELECT stats FROM mirror_failures WHERE tenant_id = $1 AND migration_id = $2";
        let found = rows(&self.client().await?, statement, &[&tenant.0, &id.0]).await?;
        found.iter().try_fold(FailureStats::default(), |sum, row| {
            Ok(sum.and(row.try_get::<_, Json<FailureStats>>(0)?.0))
        })
    }

    async fn incarnation(&self, store: &StoreId) -> Result<Option<String>> {
        let statement = "SELECT incarnation FROM incarnations WHERE store_id = $1";
        let found = one(&self.client().await?, statement, &[&store.as_str()]).await?;
        Ok(found.map(|row| row.try_get(0)).transpose()?)
    }

    async fn set_incarnation(
        &self,
        store: &StoreId,
        before: Option<&str>,
        now: &str,
    ) -> Result<bool> {
        let client = self.client().await?;
        let set = match before {
            Some(before) => {
                let statement = "UPDATE incarnations SET incarnation = $2 \
                                 WHERE store_id = $1 AND incarnation = $3";
                execute(&client, statement, &[&store.as_str(), &now, &before]).await?
            }
            None => {
                let statement = "INSERT INTO incarnations (store_id, incarnation) VALUES ($1, $2) \
                                 ON CONFLICT (store_id) DO NOTHING";
                execute(&client, statement, &[&store.as_str(), &now]).await?
            }
        };
        Ok(set == 1)
    }

    async fn tenants_decided_on(
        &self,
        store: &StoreId,
        after: Option<TenantId>,
        limit: u32,
    ) -> Result<Vec<TenantId>> {
        let statement = "SELECT tenant_id FROM tenant_migrations \
                WHERE source_store_id = $1 AND ($2::uuid IS NULL OR tenant_id > $2) \
             UNION SELECT tenant_id FROM tenant_migrations \
                WHERE target_store_id = $1 AND ($2::uuid IS NULL OR tenant_id > $2) \
             UNION SELECT tenant_id FROM tenants \
                WHERE store_id = $1 AND term > 0 AND ($2::uuid IS NULL OR tenant_id > $2) \
             ORDER BY tenant_id LIMIT $3";
        let (after, limit) = (after.map(|tenant| tenant.0), i64::from(limit));
        let client = self.client().await?;
        let found = rows(&client, statement, &[&store.as_str(), &after, &limit]).await?;
        found.iter().map(|row| Ok(TenantId(row.try_get(0)?))).collect()
    }
}
