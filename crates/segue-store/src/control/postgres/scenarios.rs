//! The scenarios' and versions' rows.

use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::{GenericClient, Transaction};
use segue_core::ids::{ScenarioId, TenantId, Version};
use segue_core::scenario::Scenario;
use tokio_postgres::Row;

use super::super::audit::{Action, Subject};
use super::super::scenarios::{
    NewVersion, Registered, Scenarios, StoredVersion, VersionCleanup, VersionEntry,
};
use super::super::{By, Conflict, Cursor, Error, Generation, Listing, Noun, Page, Result};
use super::column::{Hex, Json, Micros, Number};
use super::list::{List, Order};
use super::statement::{decide, execute, row as one, rows};
use super::{Control, audit};

const COLUMNS: &str = "s.scenario_id, v.name, v.description, s.current_version, s.generation, \
                       s.created_at, s.updated_at";

const ROWS: &str = "scenarios s JOIN versions v ON v.tenant_id = s.tenant_id \
                    AND v.scenario_id = s.scenario_id AND v.version = s.current_version";

fn row(row: &Row) -> Result<Registered> {
    Ok(Registered {
        scenario_id: ScenarioId(row.try_get("scenario_id")?),
        name: row.try_get::<_, Json<_>>("name")?.0,
        description: row.try_get::<_, Option<Json<_>>>("description")?.map(|Json(text)| text),
        current_version: Version(row.try_get::<_, Number>("current_version")?.0),
        generation: Generation(row.try_get::<_, Number>("generation")?.0),
        created_at: row.try_get::<_, Micros>("created_at")?.0,
        updated_at: row.try_get::<_, Micros>("updated_at")?.0,
    })
}

fn version_row(row: &Row) -> Result<VersionEntry> {
    let steps: Number = row.try_get("steps")?;
    Ok(VersionEntry {
        version: Version(row.try_get::<_, Number>("version")?.0),
        name: row.try_get::<_, Json<_>>("name")?.0,
        checksum: row.try_get::<_, Hex>("checksum")?.0,
        steps: u32::try_from(steps.0)
            .map_err(|error| Error::Corrupt { what: "version", source: Box::new(error) })?,
        registered_at: row.try_get::<_, Micros>("registered_at")?.0,
        replaced_at: row.try_get::<_, Option<Micros>>("replaced_at")?.map(|Micros(at)| at),
    })
}

/// The scenario as it is.
pub(super) async fn find(
    on: &impl GenericClient,
    tenant: TenantId,
    scenario: ScenarioId,
) -> Result<Registered> {
    let statement =
        format!("SELECT {COLUMNS} FROM {ROWS} WHERE s.tenant_id = $1 AND s.scenario_id = $2");
    match one(on, &statement, &[&tenant.0, &scenario.0]).await? {
        Some(found) => row(&found),
        None => Err(Error::NotFound(Noun::Scenario)),
    }
}

/// Whether the version's document is archived.
pub(super) async fn is_archived(
    on: &impl GenericClient,
    tenant: TenantId,
    scenario: ScenarioId,
    version: Version,
) -> Result<bool> {
    let statement = "SELECT 1 FROM versions WHERE tenant_id = $1 AND scenario_id = $2 \
                     AND version = $3 AND removed_at IS NULL";
    let version = Number::from(version);
    Ok(one(on, statement, &[&tenant.0, &scenario.0, &version]).await?.is_some())
}

/// Keeps a version that is not current. The same document again changes nothing.
pub(super) async fn keep_version(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    new: &NewVersion,
    by: &By,
) -> Result<()> {
    let document: &Scenario = &new.document;
    let number = Number::from(document.version);
    let kept = one(
        transaction,
        "SELECT document FROM versions \
         WHERE tenant_id = $1 AND scenario_id = $2 AND version = $3",
        &[&tenant.0, &document.id.0, &number],
    )
    .await?;
    if let Some(kept) = kept {
        return match kept.try_get::<_, Option<Json<Scenario>>>(0)? {
            Some(Json(kept)) if kept == *document => Ok(()),
            Some(_) | None => Err(Error::Exists(Noun::Version)),
        };
    }
    let steps = u32::try_from(document.steps.len())
        .map_err(|_| Error::Refused("a version has at most 4,294,967,295 steps"))?;
    execute(
        transaction,
        "INSERT INTO versions (tenant_id, scenario_id, version, name, description, checksum, \
         steps, registered_at, document) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &[
            &tenant.0,
            &document.id.0,
            &number,
            &Json(&document.name),
            &document.description.as_ref().map(Json),
            &Hex(new.checksum),
            &Number(steps.into()),
            &Micros(by.at),
            &Json(document),
        ],
    )
    .await?;
    Ok(())
}

/// Makes a version current in place of another, and begins a new generation.
pub(super) async fn make_current(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    before: &Registered,
    version: Version,
    by: &By,
) -> Result<()> {
    let scenario = before.scenario_id.0;
    if !is_archived(transaction, tenant, before.scenario_id, version).await? {
        return Err(Error::NotFound(Noun::Version));
    }
    let (version, replaced, at) =
        (Number::from(version), Number::from(before.current_version), Micros(by.at));
    if version.0 != replaced.0 {
        execute(
            transaction,
            "UPDATE versions SET replaced_at = CASE WHEN version = $3 THEN NULL ELSE $5::bigint END \
             WHERE tenant_id = $1 AND scenario_id = $2 AND version IN ($3, $4)",
            &[&tenant.0, &scenario, &version, &replaced, &at],
        )
        .await?;
    }
    execute(
        transaction,
        "UPDATE scenarios SET current_version = $3, generation = generation + 1, \
         updated_at = CASE WHEN current_version = $3 THEN updated_at ELSE $4 END \
         WHERE tenant_id = $1 AND scenario_id = $2",
        &[&tenant.0, &scenario, &version, &at],
    )
    .await?;
    Ok(())
}

/// Begins a new generation of scenarios: what turns know of them must be read again.
pub(super) async fn renew(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    scenarios: impl IntoIterator<Item = ScenarioId>,
) -> Result<()> {
    let scenarios: Vec<uuid::Uuid> = scenarios.into_iter().map(|scenario| scenario.0).collect();
    execute(
        transaction,
        "UPDATE scenarios SET generation = generation + 1 \
         WHERE tenant_id = $1 AND scenario_id = ANY ($2)",
        &[&tenant.0, &scenarios],
    )
    .await?;
    Ok(())
}

async fn register(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    first: &NewVersion,
    by: &By,
) -> Result<Registered> {
    let (scenario, version) = (first.document.id, first.document.version);
    let registered = execute(
        transaction,
        "INSERT INTO scenarios (tenant_id, scenario_id, first_version, current_version, \
         generation, created_at, updated_at) VALUES ($1, $2, $3, $3, 1, $4, $4) \
         ON CONFLICT DO NOTHING",
        &[&tenant.0, &scenario.0, &Number::from(version), &Micros(by.at)],
    )
    .await?;
    if registered == 0 {
        return Err(Error::Exists(Noun::Scenario));
    }
    keep_version(transaction, tenant, first, by).await?;
    let subject = (Subject::Scenario, scenario.to_string());
    let by = by.with("version", version.0);
    audit::write(transaction, tenant, &by, Action::ScenarioRegistered, subject).await?;
    find(transaction, tenant, scenario).await
}

/// The versions that may go, lowest first.
async fn removable(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    scenario: &Registered,
    cleanup: &VersionCleanup,
) -> Result<Vec<Version>> {
    let past_retention = rows(
        transaction,
        "SELECT version FROM versions v \
         WHERE tenant_id = $1 AND scenario_id = $2 AND version <> $3 AND removed_at IS NULL \
         AND coalesce(replaced_at, registered_at) < $4 \
         AND NOT EXISTS (SELECT 1 FROM plans p \
             WHERE p.tenant_id = $1 AND p.scenario_id = $2 \
             AND p.status IN ('pending', 'approved') \
             AND v.version IN (p.from_version, p.to_version)) \
         ORDER BY version",
        &[
            &tenant.0,
            &scenario.scenario_id.0,
            &Number::from(scenario.current_version),
            &Micros(cleanup.replaced_before),
        ],
    )
    .await?;
    let mut removable = Vec::new();
    for found in past_retention {
        let version = Version(found.try_get::<_, Number>(0)?.0);
        if !cleanup.needed.contains(&version) {
            removable.push(version);
        }
    }
    Ok(removable)
}

async fn delete_versions(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    scenario: ScenarioId,
    cleanup: &VersionCleanup,
    by: &By,
) -> Result<Vec<Version>> {
    let registered = find(transaction, tenant, scenario).await?;
    if registered.generation != cleanup.expected {
        return Err(Error::Conflict(Conflict::Scenario(registered.generation)));
    }
    let versions = removable(transaction, tenant, &registered, cleanup).await?;
    if versions.is_empty() {
        return Ok(versions);
    }
    let numbers: Vec<Number> = versions.iter().copied().map(Number::from).collect();
    execute(
        transaction,
        "UPDATE versions SET document = NULL, removed_at = $4 \
         WHERE tenant_id = $1 AND scenario_id = $2 AND version = ANY ($3)",
        &[&tenant.0, &scenario.0, &numbers, &Micros(by.at)],
    )
    .await?;
    renew(transaction, tenant, [scenario]).await?;
    let by = by.with("versions", versions.iter().map(|version| version.0).collect::<Vec<_>>());
    let subject = (Subject::Scenario, scenario.to_string());
    audit::write(transaction, tenant, &by, Action::VersionsDeleted, subject).await?;
    Ok(versions)
}

#[async_trait]
impl Scenarios for Control {
    async fn register_scenario(
        &self,
        tenant: TenantId,
        first: &NewVersion,
        by: &By,
    ) -> Result<Registered> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, tenant).await?;
        let registered = register(&transaction, tenant, first, by).await?;
        transaction.commit().await?;
        Ok(registered)
    }

    async fn scenario(&self, tenant: TenantId, scenario: ScenarioId) -> Result<Registered> {
        find(&self.client().await?, tenant, scenario).await
    }

    async fn list_scenarios(&self, tenant: TenantId, page: Page) -> Result<Listing<Registered>> {
        let newest = Order::Descending { rank: "s.created_at", id: "s.scenario_id" };
        let list = List::new(COLUMNS, ROWS, newest).only("s.tenant_id", tenant.0);
        let key = |scenario: &Registered| Cursor {
            rank: scenario.created_at.as_microsecond(),
            id: scenario.scenario_id.0,
        };
        list.fetch(&self.client().await?, page, row, key).await
    }

    async fn list_versions(
        &self,
        tenant: TenantId,
        scenario: ScenarioId,
        page: Page,
    ) -> Result<Listing<VersionEntry>> {
        let columns = "version, name, checksum, steps, registered_at, replaced_at";
        let list = List::new(columns, "versions", Order::Highest("version"))
            .only("tenant_id", tenant.0)
            .only("scenario_id", scenario.0)
            .that("removed_at IS NULL");
        let key = |entry: &VersionEntry| Cursor {
            rank: entry.version.0.cast_signed(),
            id: uuid::Uuid::nil(),
        };
        let client = self.client().await?;
        find(&client, tenant, scenario).await?;
        list.fetch(&client, page, version_row, key).await
    }

    async fn version(
        &self,
        tenant: TenantId,
        scenario: ScenarioId,
        version: Version,
    ) -> Result<StoredVersion> {
        let statement = "SELECT checksum, registered_at, document FROM versions \
                         WHERE tenant_id = $1 AND scenario_id = $2 AND version = $3 \
                         AND removed_at IS NULL";
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&tenant.0, &scenario.0, &Number::from(version)];
        let found = one(&self.client().await?, statement, &values).await?;
        let found = found.ok_or(Error::NotFound(Noun::Version))?;
        Ok(StoredVersion {
            document: Arc::new(found.try_get::<_, Json<_>>("document")?.0),
            checksum: found.try_get::<_, Hex>("checksum")?.0,
            registered_at: found.try_get::<_, Micros>("registered_at")?.0,
        })
    }

    async fn delete_versions(
        &self,
        tenant: TenantId,
        scenario: ScenarioId,
        cleanup: &VersionCleanup,
        by: &By,
    ) -> Result<Vec<Version>> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, tenant).await?;
        let deleted = delete_versions(&transaction, tenant, scenario, cleanup, by).await?;
        transaction.commit().await?;
        Ok(deleted)
    }
}
