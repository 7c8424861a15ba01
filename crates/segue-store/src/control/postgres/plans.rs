//! The plans' rows: headers beside, documents apart.

use async_trait::async_trait;
use deadpool_postgres::{GenericClient, Transaction};
use segue_core::ids::{PlanId, ScenarioId, TenantId, Version};
use segue_core::plan::lifecycle::Status;
use serde_json::value::RawValue;
use tokio_postgres::Row;

use super::super::audit::{Action, Subject};
use super::super::plans::{Change, Filter, NewPlan, Plan, Plans, Revision};
use super::super::{By, Cursor, Error, Listing, Noun, Page, Result};
use super::column::{Json, Micros, Number};
use super::list::{List, Order};
use super::statement::{decide, execute, row as one};
use super::{Control, audit, scenarios};

pub(super) const COLUMNS: &str = "plan_id, scenario_id, from_version, to_version, revision, \
                                  created_at, created_by, lifecycle, overview, policies";

pub(super) fn row(row: &Row) -> Result<Plan> {
    Ok(Plan {
        plan_id: PlanId(row.try_get("plan_id")?),
        scenario_id: ScenarioId(row.try_get("scenario_id")?),
        from_version: Version(row.try_get::<_, Number>("from_version")?.0),
        to_version: Version(row.try_get::<_, Number>("to_version")?.0),
        revision: Revision(row.try_get::<_, Number>("revision")?.0),
        policies: row.try_get::<_, Json<_>>("policies")?.0,
        status: row.try_get::<_, Json<_>>("lifecycle")?.0,
        overview: row.try_get::<_, Json<_>>("overview")?.0,
        created_at: row.try_get::<_, Micros>("created_at")?.0,
        created_by: row.try_get::<_, Json<_>>("created_by")?.0,
    })
}

/// The plan's header as it is.
pub(super) async fn find(on: &impl GenericClient, tenant: TenantId, plan: PlanId) -> Result<Plan> {
    let statement = format!("SELECT {COLUMNS} FROM plans WHERE tenant_id = $1 AND plan_id = $2");
    match one(on, &statement, &[&tenant.0, &plan.0]).await? {
        Some(found) => row(&found),
        None => Err(Error::NotFound(Noun::Plan)),
    }
}

/// Compare-and-swap of a plan's header.
pub(super) async fn swap(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    change: &Change,
    by: &By,
) -> Result<Plan> {
    let statement = format!(
        "UPDATE plans SET revision = revision + 1, status = $4, lifecycle = $5, \
         policies = coalesce($6, policies), \
         closed_at = CASE WHEN $4 IN ('pending', 'approved') THEN NULL \
                          WHEN $4 = status THEN closed_at ELSE $7 END \
         WHERE tenant_id = $1 AND plan_id = $2 AND revision = $3 RETURNING {COLUMNS}"
    );
    let swapped = one(
        transaction,
        &statement,
        &[
            &tenant.0,
            &change.plan_id.0,
            &Number(change.expected.0),
            &change.status.kind().as_str(),
            &Json(&change.status),
            &change.policies.as_ref().map(Json),
            &Micros(by.at),
        ],
    )
    .await?;
    match swapped {
        Some(swapped) => row(&swapped),
        None => Err(find(transaction, tenant, change.plan_id).await?.changed()),
    }
}

async fn create(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    plan: &NewPlan,
    by: &By,
) -> Result<Plan> {
    refuse_present(transaction, tenant, plan).await?;
    scenarios::find(transaction, tenant, plan.scenario_id).await?;
    if let Some(version) = &plan.new_version {
        scenarios::keep_version(transaction, tenant, version, by).await?;
    }
    for version in [plan.from_version, plan.to_version] {
        if !scenarios::is_archived(transaction, tenant, plan.scenario_id, version).await? {
            return Err(Error::NotFound(Noun::Version));
        }
    }
    let insert = format!(
        "INSERT INTO plans (tenant_id, status, {COLUMNS}) \
         VALUES ($1, 'pending', $2, $3, $4, $5, 1, $6, $7, $8, $9, $10) RETURNING {COLUMNS}"
    );
    let created = one(
        transaction,
        &insert,
        &[
            &tenant.0,
            &plan.plan_id.0,
            &plan.scenario_id.0,
            &Number::from(plan.from_version),
            &Number::from(plan.to_version),
            &Micros(by.at),
            &Json(&by.actor),
            &Json(Status::Pending),
            &Json(&plan.overview),
            &Json(&plan.policies),
        ],
    )
    .await?;
    execute(
        transaction,
        "INSERT INTO plan_documents (tenant_id, plan_id, summary, map) VALUES ($1, $2, $3, $4)",
        &[&tenant.0, &plan.plan_id.0, &plan.summary.get(), &plan.map.get()],
    )
    .await?;
    let subject = (Subject::Plan, plan.plan_id.to_string());
    audit::write(transaction, tenant, &plan.told(by), Action::PlanCreated, subject).await?;
    row(&created.ok_or(Error::NotFound(Noun::Plan))?)
}

async fn refuse_present(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    plan: &NewPlan,
) -> Result<()> {
    match find(transaction, tenant, plan.plan_id).await {
        Ok(_) => return Err(Error::Exists(Noun::Plan)),
        Err(Error::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    let open = one(
        transaction,
        "SELECT 1 FROM plans WHERE tenant_id = $1 AND scenario_id = $2 \
         AND from_version = $3 AND to_version = $4 AND status IN ('pending', 'approved')",
        &[
            &tenant.0,
            &plan.scenario_id.0,
            &Number::from(plan.from_version),
            &Number::from(plan.to_version),
        ],
    )
    .await?;
    if open.is_some() { Err(Error::Exists(Noun::OpenPlan)) } else { Ok(()) }
}

impl Control {
    async fn document(
        &self,
        tenant: TenantId,
        plan: PlanId,
        column: &'static str,
    ) -> Result<Box<RawValue>> {
        let statement =
            format!("SELECT {column} FROM plan_documents WHERE tenant_id = $1 AND plan_id = $2");
        let found = one(&self.client().await?, &statement, &[&tenant.0, &plan.0]).await?;
        let text: String = found.ok_or(Error::NotFound(Noun::Plan))?.try_get(0)?;
        RawValue::from_string(text)
            .map_err(|error| Error::Corrupt { what: "plan", source: Box::new(error) })
    }
}

#[async_trait]
impl Plans for Control {
    async fn create_plan(&self, tenant: TenantId, plan: &NewPlan, by: &By) -> Result<Plan> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, tenant).await?;
        let created = create(&transaction, tenant, plan, by).await?;
        transaction.commit().await?;
        Ok(created)
    }

    async fn plan(&self, tenant: TenantId, plan: PlanId) -> Result<Plan> {
        find(&self.client().await?, tenant, plan).await
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
        list.fetch(&self.client().await?, page, row, key).await
    }

    async fn update_plan(
        &self,
        tenant: TenantId,
        change: &Change,
        action: Action,
        by: &By,
    ) -> Result<Plan> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, tenant).await?;
        change.check(&find(&transaction, tenant, change.plan_id).await?)?;
        let plan = swap(&transaction, tenant, change, by).await?;
        let subject = (Subject::Plan, change.plan_id.to_string());
        audit::write(&transaction, tenant, by, action, subject).await?;
        transaction.commit().await?;
        Ok(plan)
    }
}
