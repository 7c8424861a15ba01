//! The scenarios' and versions' rows.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use segue_core::ids::{ScenarioId, TenantId, Version};
use segue_core::scenario::Scenario;

use super::super::audit::{Action, Subject};
use super::super::scenarios::{
    NewVersion, Registered, Scenarios, StoredVersion, VersionCleanup, VersionEntry,
};
use super::super::{By, Conflict, Cursor, Error, Generation, Listing, Noun, Page, Result};
use super::column::{Hex, Id, Json, Micros, Number};
use super::list::{List, Order};
use super::{Control, audit};

const COLUMNS: &str = "s.scenario_id, v.name, v.description, s.current_version, s.generation, \
                       s.created_at, s.updated_at";

const ROWS: &str = "scenarios s JOIN versions v ON v.tenant_id = s.tenant_id \
                    AND v.scenario_id = s.scenario_id AND v.version = s.current_version";

fn row(row: &Row<'_>) -> rusqlite::Result<Registered> {
    Ok(Registered {
        scenario_id: ScenarioId(row.get::<_, Id>("scenario_id")?.0),
        name: row.get("name")?,
        description: row.get("description")?,
        current_version: Version(row.get::<_, Number>("current_version")?.0),
        generation: Generation(row.get::<_, Number>("generation")?.0),
        created_at: row.get::<_, Micros>("created_at")?.0,
        updated_at: row.get::<_, Micros>("updated_at")?.0,
    })
}

fn version_row(row: &Row<'_>) -> rusqlite::Result<VersionEntry> {
    Ok(VersionEntry {
        version: Version(row.get::<_, Number>("version")?.0),
        name: row.get("name")?,
        checksum: row.get::<_, Hex>("checksum")?.0,
        steps: row.get("steps")?,
        registered_at: row.get::<_, Micros>("registered_at")?.0,
        replaced_at: row.get::<_, Option<Micros>>("replaced_at")?.map(|Micros(at)| at),
    })
}

/// The scenario as it is.
pub(super) fn find(
    connection: &Connection,
    tenant: TenantId,
    scenario: ScenarioId,
) -> Result<Registered> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM {ROWS} WHERE s.tenant_id = ?1 AND s.scenario_id = ?2"
        ))?
        .query_row([Id(tenant.0), Id(scenario.0)], row)
        .optional()?
        .ok_or(Error::NotFound(Noun::Scenario))
}

/// The version that the scenario began with.
pub(super) fn first_version(
    connection: &Connection,
    tenant: TenantId,
    scenario: ScenarioId,
) -> rusqlite::Result<Version> {
    connection
        .prepare_cached(
            "SELECT first_version FROM scenarios WHERE tenant_id = ?1 AND scenario_id = ?2",
        )?
        .query_row([Id(tenant.0), Id(scenario.0)], |row| Ok(Version(row.get::<_, Number>(0)?.0)))
}

/// Whether the version's document is archived.
pub(super) fn is_archived(
    connection: &Connection,
    tenant: TenantId,
    scenario: ScenarioId,
    version: Version,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM versions WHERE tenant_id = ?1 AND scenario_id = ?2 \
             AND version = ?3 AND removed_at IS NULL)",
        )?
        .query_row(params![Id(tenant.0), Id(scenario.0), Number(version.0)], |row| row.get(0))
}

/// Keeps a version that is not current. The same document again changes nothing.
pub(super) fn keep_version(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    new: &NewVersion,
    by: &By,
) -> Result<()> {
    let document = new.document.as_ref();
    let key = params![Id(tenant.0), Id(document.id.0), Number(document.version.0)];
    let kept: Option<Option<Json<Scenario>>> = transaction
        .prepare_cached(
            "SELECT document FROM versions \
             WHERE tenant_id = ?1 AND scenario_id = ?2 AND version = ?3",
        )?
        .query_row(key, |row| row.get(0))
        .optional()?;
    match kept {
        None => {}
        Some(Some(Json(kept))) if kept == *document => return Ok(()),
        Some(_) => return Err(Error::Exists(Noun::Version)),
    }
    let steps = u32::try_from(document.steps.len())
        .map_err(|_| Error::Refused("a version has at most 4,294,967,295 steps"))?;
    transaction
        .prepare_cached(
            "INSERT INTO versions (tenant_id, scenario_id, version, name, description, checksum, \
             steps, registered_at, document) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            Id(tenant.0),
            Id(document.id.0),
            Number(document.version.0),
            document.name,
            document.description,
            Hex(new.checksum),
            steps,
            Micros(by.at),
            Json(document),
        ])?;
    Ok(())
}

/// Makes a version current in place of another, and begins a new generation.
pub(super) fn make_current(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    before: &Registered,
    version: Version,
    by: &By,
) -> Result<()> {
    let scenario = before.scenario_id;
    if !is_archived(transaction, tenant, scenario, version)? {
        return Err(Error::NotFound(Noun::Version));
    }
    if version != before.current_version {
        let mut replace = transaction.prepare_cached(
            "UPDATE versions SET replaced_at = ?4 \
             WHERE tenant_id = ?1 AND scenario_id = ?2 AND version = ?3",
        )?;
        let (tenant, scenario) = (Id(tenant.0), Id(scenario.0));
        let replaced = before.current_version;
        replace.execute(params![tenant, scenario, Number::from(replaced), Micros(by.at)])?;
        replace.execute(params![tenant, scenario, Number::from(version), None::<Micros>])?;
    }
    transaction
        .prepare_cached(
            "UPDATE scenarios SET current_version = ?3, generation = generation + 1, \
             updated_at = CASE WHEN current_version = ?3 THEN updated_at ELSE ?4 END \
             WHERE tenant_id = ?1 AND scenario_id = ?2",
        )?
        .execute(params![Id(tenant.0), Id(scenario.0), Number::from(version), Micros(by.at)])?;
    Ok(())
}

/// Begins a new generation: what turns know of the scenario must be read again.
pub(super) fn renew(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    scenario: ScenarioId,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE scenarios SET generation = generation + 1 \
             WHERE tenant_id = ?1 AND scenario_id = ?2",
        )?
        .execute([Id(tenant.0), Id(scenario.0)])?;
    Ok(())
}

fn register(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    first: &NewVersion,
    by: &By,
) -> Result<Registered> {
    let (scenario, version) = (first.document.id, first.document.version);
    let registered = transaction
        .prepare_cached(
            "INSERT INTO scenarios (tenant_id, scenario_id, first_version, current_version, \
             generation, created_at, updated_at) VALUES (?1, ?2, ?3, ?3, 1, ?4, ?4) \
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![Id(tenant.0), Id(scenario.0), Number::from(version), Micros(by.at)])?;
    if registered == 0 {
        return Err(Error::Exists(Noun::Scenario));
    }
    keep_version(transaction, tenant, first, by)?;
    let subject = (Subject::Scenario, scenario.to_string());
    let by = by.with("version", version.0);
    audit::write(transaction, tenant, &by, Action::ScenarioRegistered, subject)?;
    find(transaction, tenant, scenario)
}

/// The versions that may go, lowest first.
fn removable(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    scenario: &Registered,
    cleanup: &VersionCleanup,
) -> Result<Vec<Version>> {
    let mut past_retention = transaction.prepare_cached(
        "SELECT version FROM versions v \
         WHERE tenant_id = ?1 AND scenario_id = ?2 AND version <> ?3 AND removed_at IS NULL \
         AND coalesce(replaced_at, registered_at) < ?4 \
         AND NOT EXISTS (SELECT 1 FROM plans p \
             WHERE p.tenant_id = ?1 AND p.scenario_id = ?2 \
             AND p.status IN ('pending', 'approved') \
             AND v.version IN (p.from_version, p.to_version)) \
         ORDER BY version",
    )?;
    let versions = past_retention
        .query_map(
            params![
                Id(tenant.0),
                Id(scenario.scenario_id.0),
                Number::from(scenario.current_version),
                Micros(cleanup.replaced_before),
            ],
            |row| Ok(Version(row.get::<_, Number>(0)?.0)),
        )?
        .filter(|version| !version.as_ref().is_ok_and(|v| cleanup.needed.contains(v)))
        .collect::<rusqlite::Result<_>>()?;
    Ok(versions)
}

fn delete_versions(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    scenario: ScenarioId,
    cleanup: &VersionCleanup,
    by: &By,
) -> Result<Vec<Version>> {
    let registered = find(transaction, tenant, scenario)?;
    if registered.generation != cleanup.expected {
        return Err(Error::Conflict(Conflict::Scenario(registered.generation)));
    }
    let versions = removable(transaction, tenant, &registered, cleanup)?;
    if versions.is_empty() {
        return Ok(versions);
    }
    let mut remove = transaction.prepare_cached(
        "UPDATE versions SET document = NULL, removed_at = ?4 \
         WHERE tenant_id = ?1 AND scenario_id = ?2 AND version = ?3",
    )?;
    for version in &versions {
        remove.execute(params![
            Id(tenant.0),
            Id(scenario.0),
            Number::from(*version),
            Micros(by.at)
        ])?;
    }
    renew(transaction, tenant, scenario)?;
    let by = by.with("versions", versions.iter().map(|version| version.0).collect::<Vec<_>>());
    let subject = (Subject::Scenario, scenario.to_string());
    audit::write(transaction, tenant, &by, Action::VersionsDeleted, subject)?;
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
        let (first, by) = (first.clone(), by.clone());
        self.connections.write(move |transaction| register(transaction, tenant, &first, &by)).await
    }

    async fn scenario(&self, tenant: TenantId, scenario: ScenarioId) -> Result<Registered> {
        self.connections.read(move |snapshot| find(snapshot, tenant, scenario)).await
    }

    async fn list_scenarios(&self, tenant: TenantId, page: Page) -> Result<Listing<Registered>> {
        let newest = Order::Descending { rank: "s.created_at", id: "s.scenario_id" };
        let list = List::new(COLUMNS, ROWS, newest).only("s.tenant_id", tenant.0);
        let key = |scenario: &Registered| Cursor {
            rank: scenario.created_at.as_microsecond(),
            id: scenario.scenario_id.0,
        };
        self.connections.read(move |snapshot| list.page(snapshot, page, row, key)).await
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
        self.connections
            .read(move |snapshot| {
                find(snapshot, tenant, scenario)?;
                list.page(snapshot, page, version_row, key)
            })
            .await
    }

    async fn version(
        &self,
        tenant: TenantId,
        scenario: ScenarioId,
        version: Version,
    ) -> Result<StoredVersion> {
        self.connections
            .read(move |snapshot| {
                snapshot
                    .prepare_cached(
                        "SELECT checksum, registered_at, document FROM versions \
                         WHERE tenant_id = ?1 AND scenario_id = ?2 AND version = ?3 \
                         AND removed_at IS NULL",
                    )?
                    .query_row(
                        params![Id(tenant.0), Id(scenario.0), Number::from(version)],
                        |row| {
                            Ok(StoredVersion {
                                document: Arc::new(row.get::<_, Json<_>>("document")?.0),
                                checksum: row.get::<_, Hex>("checksum")?.0,
                                registered_at: row.get::<_, Micros>("registered_at")?.0,
                            })
                        },
                    )
                    .optional()?
                    .ok_or(Error::NotFound(Noun::Version))
            })
            .await
    }

    async fn delete_versions(
        &self,
        tenant: TenantId,
        scenario: ScenarioId,
        cleanup: &VersionCleanup,
        by: &By,
    ) -> Result<Vec<Version>> {
        let (cleanup, by) = (cleanup.clone(), by.clone());
        self.connections
            .write(move |transaction| delete_versions(transaction, tenant, scenario, &cleanup, &by))
            .await
    }
}
