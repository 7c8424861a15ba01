//! The plans' rows: headers beside, documents apart.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use segue_core::ids::{PlanId, ScenarioId, TenantId, Version};
use segue_core::plan::lifecycle::Status;
use serde_json::value::RawValue;

use super::super::audit::{Action, Subject};
use super::super::plans::{Change, Filter, NewPlan, Plan, Plans, Revision};
use super::super::{By, Cursor, Error, Listing, Noun, Page, Result};
use super::column::{Id, Json, Micros, Number};
use super::list::{List, Order};
use super::{Control, audit, scenarios};

const COLUMNS: &str = "plan_id, scenario_id, from_version, to_version, revision, created_at, \
                       created_by, lifecycle, overview, policies";

fn row(row: &Row<'_>) -> rusqlite::Result<Plan> {
    Ok(Plan {
        plan_id: PlanId(row.get::<_, Id>("plan_id")?.0),
        scenario_id: ScenarioId(row.get::<_, Id>("scenario_id")?.0),
        from_version: Version(row.get::<_, Number>("from_version")?.0),
        to_version: Version(row.get::<_, Number>("to_version")?.0),
        revision: Revision(row.get::<_, Number>("revision")?.0),
        policies: row.get::<_, Json<_>>("policies")?.0,
        status: row.get::<_, Json<_>>("lifecycle")?.0,
        overview: row.get::<_, Json<_>>("overview")?.0,
        created_at: row.get::<_, Micros>("created_at")?.0,
        created_by: row.get("created_by")?,
    })
}

/// The plan's header as it is.
pub(super) fn find(connection: &Connection, tenant: TenantId, plan: PlanId) -> Result<Plan> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM plans WHERE tenant_id = ?1 AND plan_id = ?2"
        ))?
        .query_row([Id(tenant.0), Id(plan.0)], row)
        .optional()?
        .ok_or(Error::NotFound(Noun::Plan))
}

/// Compare-and-swap of a plan's header.
pub(super) fn swap(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    change: &Change,
    by: &By,
) -> Result<Plan> {
    let swapped = transaction
        .prepare_cached(
            "UPDATE plans SET revision = revision + 1, status = ?4, lifecycle = ?5, \
             policies = coalesce(?6, policies), \
             closed_at = CASE WHEN ?4 IN ('pending', 'approved') THEN NULL \
                              WHEN ?4 = status THEN closed_at ELSE ?7 END \
             WHERE tenant_id = ?1 AND plan_id = ?2 AND revision = ?3",
        )?
        .execute(params![
            Id(tenant.0),
            Id(change.plan_id.0),
            Number(change.expected.0),
            change.status.kind().as_str(),
            Json(&change.status),
            change.policies.as_ref().map(Json),
            Micros(by.at),
        ])?;
    let plan = find(transaction, tenant, change.plan_id)?;
    if swapped == 0 { Err(plan.changed()) } else { Ok(plan) }
}

fn create(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    plan: &NewPlan,
    by: &By,
) -> Result<Plan> {
    refuse_present(transaction, tenant, plan)?;
    scenarios::find(transaction, tenant, plan.scenario_id)?;
    if let Some(version) = &plan.new_version {
        scenarios::keep_version(transaction, tenant, version, by)?;
    }
    for version in [plan.from_version, plan.to_version] {
        if !scenarios::is_archived(transaction, tenant, plan.scenario_id, version)? {
            return Err(Error::NotFound(Noun::Version));
        }
    }
    let (tenant_key, plan_key) = (Id(tenant.0), Id(plan.plan_id.0));
    transaction
        .prepare_cached(&format!(
            "INSERT INTO plans (tenant_id, status, {COLUMNS}) \
             VALUES (?1, 'pending', ?2, ?3, ?4, ?5, 1, ?6, ?7, ?8, ?9, ?10)"
        ))?
        .execute(params![
            tenant_key,
            plan_key,
            Id(plan.scenario_id.0),
            Number::from(plan.from_version),
            Number::from(plan.to_version),
            Micros(by.at),
            by.actor,
            Json(Status::Pending),
            Json(&plan.overview),
            Json(&plan.policies),
        ])?;
    transaction
        .prepare_cached(
            "INSERT INTO plan_documents (tenant_id, plan_id, summary, map) \
             VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![tenant_key, plan_key, plan.summary.get(), plan.map.get()])?;
    let subject = (Subject::Plan, plan.plan_id.to_string());
    audit::write(transaction, tenant, &plan.told(by), Action::PlanCreated, subject)?;
    find(transaction, tenant, plan.plan_id)
}

fn refuse_present(transaction: &Transaction<'_>, tenant: TenantId, plan: &NewPlan) -> Result<()> {
    match find(transaction, tenant, plan.plan_id) {
        Ok(_) => return Err(Error::Exists(Noun::Plan)),
        Err(Error::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    let open: bool = transaction
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM plans WHERE tenant_id = ?1 AND scenario_id = ?2 \
             AND from_version = ?3 AND to_version = ?4 AND status IN ('pending', 'approved'))",
        )?
        .query_row(
            params![
                Id(tenant.0),
                Id(plan.scenario_id.0),
                Number::from(plan.from_version),
                Number::from(plan.to_version),
            ],
            |row| row.get(0),
        )?;
    if open { Err(Error::Exists(Noun::OpenPlan)) } else { Ok(()) }
}

fn update(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    change: &Change,
    action: Action,
    by: &By,
) -> Result<Plan> {
    let before = find(transaction, tenant, change.plan_id)?;
    change.check(&before)?;
    let plan = swap(transaction, tenant, change, by)?;
    let subject = (Subject::Plan, change.plan_id.to_string());
    audit::write(transaction, tenant, by, action, subject)?;
    Ok(plan)
}

impl Control {
    async fn document(
        &self,
        tenant: TenantId,
        plan: PlanId,
        column: &'static str,
    ) -> Result<Box<RawValue>> {
        self.connections
            .read(move |snapshot| {
                let statement = format!(
                    "SELECT {column} FROM plan_documents WHERE tenant_id = ?1 AND plan_id = ?2"
                );
                let text: String = snapshot
                    .prepare_cached(&statement)?
                    .query_row([Id(tenant.0), Id(plan.0)], |row| row.get(0))
                    .optional()?
                    .ok_or(Error::NotFound(Noun::Plan))?;
                RawValue::from_string(text)
                    .map_err(|error| Error::Corrupt { what: "plan", source: Box::new(error) })
            })
            .await
    }
}

#[async_trait]
impl Plans for Control {
    async fn create_plan(&self, tenant: TenantId, plan: &NewPlan, by: &By) -> Result<Plan> {
        let (plan, by) = (plan.clone(), by.clone());
        self.connections.write(move |transaction| create(transaction, tenant, &plan, &by)).await
    }

    async fn plan(&self, tenant: TenantId, plan: PlanId) -> Result<Plan> {
        self.connections.read(move |snapshot| find(snapshot, tenant, plan)).await
    }

    async fn plan_summary(&self, tenant: TenantId, plan: PlanId) -> Result<Box<RawValue>> {
        self.document(tenant, plan, "summary").await
    }

    async fn plan_map(&self, tenant: TenantId, plan: PlanId) -> Result<Box<RawValue>> {
        self.document(tenant, plan, "map").await
    }

    async fn list_plans(
        &self,
        tenant: TenantId,
        filter: Filter,
        page: Page,
    ) -> Result<Listing<Plan>> {
        let newest = Order::Descending { rank: "created_at", id: "plan_id" };
        let list = List::new(COLUMNS, "plans", newest)
            .only("tenant_id", tenant.0)
            .only_if("scenario_id", filter.scenario_id.map(|scenario| scenario.0))
            .only_if("status", filter.status.map(|status| status.as_str().to_owned()));
        let key =
            |plan: &Plan| Cursor { rank: plan.created_at.as_microsecond(), id: plan.plan_id.0 };
        self.connections.read(move |snapshot| list.page(snapshot, page, row, key)).await
    }

    async fn update_plan(
        &self,
        tenant: TenantId,
        change: &Change,
        action: Action,
        by: &By,
    ) -> Result<Plan> {
        let (change, by) = (change.clone(), by.clone());
        self.connections
            .write(move |transaction| update(transaction, tenant, &change, action, &by))
            .await
    }
}
