//! The migrations' rows, and the decisions that change them together with the routes.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use segue_core::ids::{MigrationId, StoreId, TenantId};
use segue_core::tenancy::migration::{Decision, Entry, FailureStats, MigrationState, Progress};
use uuid::Uuid;

use super::super::audit::{Action, Subject};
use super::super::migrations::{Change, Decided, Filter, Migration, Migrations, change};
use super::super::routing::Route;
use super::super::{By, Conflict, Cursor, Error, Listing, Noun, Page, Result};
use super::column::{Id, Json, Micros, Number, Word};
use super::list::{List, Order};
use super::{Control, audit, routing, subscriptions};

const COLUMNS: &str = "tenant_id, migration_id, source_store_id, target_store_id, state, is_active, \
    reverses, created_by, created_at, started_at, completed_at, coordinator, beats, progress, config, \
    journal";

fn row(row: &Row<'_>) -> rusqlite::Result<Migration> {
    let id = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<Id>>(column)?.map(|Id(id)| id));
    let time = |column| {
        Ok::<_, rusqlite::Error>(row.get::<_, Option<Micros>>(column)?.map(|Micros(at)| at))
    };
    Ok(Migration {
        tenant_id: TenantId(row.get::<_, Id>("tenant_id")?.0),
        id: MigrationId(row.get::<_, Id>("migration_id")?.0),
        source: row.get::<_, Word<StoreId>>("source_store_id")?.0,
        target: row.get::<_, Word<StoreId>>("target_store_id")?.0,
        state: row.get::<_, Word<MigrationState>>("state")?.0,
        is_active: row.get("is_active")?,
        reverses: id("reverses")?.map(MigrationId),
        created_by: row.get("created_by")?,
        created_at: row.get::<_, Micros>("created_at")?.0,
        started_at: time("started_at")?,
        completed_at: time("completed_at")?,
        coordinator: id("coordinator")?,
        beats: row.get::<_, Number>("beats")?.0,
        progress: row.get::<_, Json<_>>("progress")?.0,
        config: row.get::<_, Json<_>>("config")?.0,
        journal: row.get::<_, Json<_>>("journal")?.0,
    })
}

fn find(connection: &Connection, tenant: TenantId, id: MigrationId) -> Result<Option<Migration>> {
    let statement = format!(
        "SELECT {COLUMNS} FROM tenant_migrations WHERE tenant_id = ?1 AND migration_id = ?2"
    );
    let mut find = connection.prepare_cached(&statement)?;
    Ok(find.query_row([Id(tenant.0), Id(id.0)], row).optional()?)
}

fn put(transaction: &Transaction<'_>, migration: &Migration) -> Result<()> {
    transaction
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO tenant_migrations ({COLUMNS}) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)"
        ))?
        .execute(params![
            Id(migration.tenant_id.0),
            Id(migration.id.0),
            migration.source.as_str(),
            migration.target.as_str(),
            migration.state.as_str(),
            migration.is_active,
            migration.reverses.map(|id| Id(id.0)),
            migration.created_by,
            Micros(migration.created_at),
            migration.started_at.map(Micros),
            migration.completed_at.map(Micros),
            migration.coordinator.map(Id),
            Number(migration.beats),
            Json(migration.progress),
            Json(&migration.config),
            Json(&migration.journal),
        ])?;
    Ok(())
}

/// Writes a route that was decided about.
fn put_route(transaction: &Transaction<'_>, tenant: TenantId, route: &Route) -> Result<()> {
    transaction
        .prepare_cached(
            "UPDATE tenants SET store_id = ?2, epoch = ?3, minted = ?4, term = ?5, moving = ?6 \
             WHERE tenant_id = ?1",
        )?
        .execute(params![
            Id(tenant.0),
            route.store_id.as_str(),
            Number(route.epoch.0),
            Number(route.minted.0),
            Number(route.term.0),
            route.moving.as_ref().map(Json),
        ])?;
    Ok(())
}

fn decide(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    decided: &Decided,
    by: &By,
) -> Result<(Route, Migration)> {
    let found = routing::find(transaction, tenant)?.ok_or(Error::NotFound(Noun::Tenant))?.route;
    if found.term != decided.expected {
        return Err(Error::Conflict(Conflict::Route(found.term)));
    }
    let present = match &found.moving {
        Some(moving) => find(transaction, tenant, moving.migration)?,
        None => None,
    };
    let subscriptions = match &decided.decision {
        Decision::Commit { .. } => subscriptions::all(transaction, tenant)?,
        _ => Vec::new(),
    };
    let changed = change(tenant, &found, present.clone(), decided, &subscriptions, by)?;
    let Change { route, migration, ended, action, by } = changed;
    let is_new = present.is_none_or(|present| present.id != migration.id);
    if is_new && find(transaction, tenant, migration.id)?.is_some() {
        return Err(Error::Exists(Noun::Migration));
    }
    if let Some(ended) = &ended {
        put(transaction, ended)?;
    }
    put(transaction, &migration)?;
    put_route(transaction, tenant, &route)?;
    let subject = (Subject::Migration, migration.id.to_string());
    audit::write(transaction, tenant, &by, action, subject)?;
    Ok((route, migration))
}

#[async_trait]
impl Migrations for Control {
    async fn decide_migration(
        &self,
        tenant: TenantId,
        decided: Decided,
        by: &By,
    ) -> Result<(Route, Migration)> {
        let by = by.clone();
        self.connections.write(move |transaction| decide(transaction, tenant, &decided, &by)).await
    }

    async fn note_migration(
        &self,
        tenant: TenantId,
        id: MigrationId,
        entries: Vec<Entry>,
        action: Option<Action>,
        by: &By,
    ) -> Result<Migration> {
        let by = by.clone();
        self.connections
            .write(move |transaction| {
                let found = find(transaction, tenant, id)?;
                let mut migration = found.ok_or(Error::NotFound(Noun::Migration))?;
                for entry in entries {
                    migration.journal.enter(entry);
                }
                put(transaction, &migration)?;
                if let Some(action) = action {
                    let subject = (Subject::Migration, id.to_string());
                    audit::write(transaction, tenant, &by, action, subject)?;
                }
                Ok(migration)
            })
            .await
    }

    async fn beat(
        &self,
        tenant: TenantId,
        id: MigrationId,
        coordinator: Uuid,
        progress: Progress,
    ) -> Result<bool> {
        let beat = move |transaction: &Transaction<'_>| {
            let beaten = transaction
                .prepare_cached(
                    "UPDATE tenant_migrations SET beats = beats + 1, progress = ?4 \
                     WHERE tenant_id = ?1 AND migration_id = ?2 AND coordinator = ?3",
                )?
                .execute(params![Id(tenant.0), Id(id.0), Id(coordinator), Json(progress)])?;
            Ok(beaten == 1)
        };
        self.connections.write(beat).await
    }

    async fn migration(&self, id: MigrationId) -> Result<Migration> {
        let find = move |snapshot: &Transaction<'_>| {
            let statement =
                format!("SELECT {COLUMNS} FROM tenant_migrations WHERE migration_id = ?1");
            Ok(snapshot.prepare_cached(&statement)?.query_row([Id(id.0)], row).optional()?)
        };
        self.connections.read(find).await?.ok_or(Error::NotFound(Noun::Migration))
    }

    async fn list_migrations(&self, filter: &Filter, page: Page) -> Result<Listing<Migration>> {
        let order = Order::Descending { rank: "created_at", id: "migration_id" };
        let list = List::new(COLUMNS, "tenant_migrations", order)
            .only_if("tenant_id", filter.tenant.map(|tenant| tenant.0))
            .only_if("state", filter.state.map(|state| state.as_str().to_owned()));
        let list = if filter.only_active { list.that("is_active = 1") } else { list };
        let key = |migration: &Migration| Cursor {
            rank: migration.created_at.as_microsecond(),
            id: migration.id.0,
        };
        self.connections.read(move |snapshot| list.page(snapshot, page, row, key)).await
    }

    async fn report_failures(
        &self,
        tenant: TenantId,
        id: MigrationId,
        process: Uuid,
        stats: FailureStats,
    ) -> Result<()> {
        let report = move |transaction: &Transaction<'_>| {
            transaction.execute(
                "INSERT OR REPLACE INTO mirror_failures (tenant_id, migration_id, process, stats) \
                 VALUES (?1, ?2, ?3, ?4)",
                params![Id(tenant.0), Id(id.0), Id(process), Json(stats)],
            )?;
            Ok(())
        };
        self.connections.write(report).await
    }

    async fn failures(&self, tenant: TenantId, id: MigrationId) -> Result<FailureStats> {
        let sum = move |snapshot: &Transaction<'_>| {
            let mut stats = snapshot.prepare_cached(
                "SELECT stats FROM mirror_failures WHERE tenant_id = ?1 AND migration_id = ?2",
            )?;
            let stats =
                stats.query_map([Id(tenant.0), Id(id.0)], |row| row.get::<_, Json<_>>(0))?;
            let stats = stats.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(stats.into_iter().fold(FailureStats::default(), |sum, Json(one)| sum.and(one)))
        };
        self.connections.read(sum).await
    }

    async fn incarnation(&self, store: &StoreId) -> Result<Option<String>> {
        let store = store.clone();
        self.connections.read(move |snapshot| Ok(known_as(snapshot, &store)?)).await
    }

    async fn set_incarnation(
        &self,
        store: &StoreId,
        before: Option<&str>,
        now: &str,
    ) -> Result<bool> {
        let (store, now) = (store.clone(), now.to_owned());
        let before = before.map(str::to_owned);
        self.connections
            .write(move |transaction| {
                if known_as(transaction, &store)? != before {
                    return Ok(false);
                }
                transaction.execute(
                    "INSERT OR REPLACE INTO incarnations (store_id, incarnation) VALUES (?1, ?2)",
                    params![store.as_str(), now],
                )?;
                Ok(true)
            })
            .await
    }

    async fn tenants_decided_on(
        &self,
        store: &StoreId,
        after: Option<TenantId>,
        limit: u32,
    ) -> Result<Vec<TenantId>> {
        let store = store.clone();
        let list = move |snapshot: &Transaction<'_>| {
            let mut tenants = snapshot.prepare_cached(
                "SELECT tenant_id FROM tenant_migrations \
                 WHERE source_store_id = ?1 AND (?2 IS NULL OR tenant_id > ?2) \
                 UNION SELECT tenant_id FROM tenant_migrations \
                 WHERE target_store_id = ?1 AND (?2 IS NULL OR tenant_id > ?2) \
                 UNION SELECT tenant_id FROM tenants \
                 WHERE store_id = ?1 AND term > 0 AND (?2 IS NULL OR tenant_id > ?2) \
                 ORDER BY tenant_id LIMIT ?3",
            )?;
            let key = params![store.as_str(), after.map(|tenant| Id(tenant.0)), limit];
            let tenants = tenants.query_map(key, |row| Ok(TenantId(row.get::<_, Id>(0)?.0)))?;
            Ok(tenants.collect::<rusqlite::Result<Vec<_>>>()?)
        };
        self.connections.read(list).await
    }
}

fn known_as(connection: &Connection, store: &StoreId) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT incarnation FROM incarnations WHERE store_id = ?1")?
        .query_row([store.as_str()], |row| row.get(0))
        .optional()
}
