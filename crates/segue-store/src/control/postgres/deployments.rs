//! The deployments' rows, and the two transactions that change what applies.

use std::collections::BTreeSet;

use async_trait::async_trait;
use deadpool_postgres::{GenericClient, Transaction};
use futures_util::future::try_join_all;
use jiff::Timestamp;
use segue_core::ids::{PlanId, ScenarioId, TenantId, Version};
use segue_core::plan::deployed::Deployed;
use tokio_postgres::Row;

use super::super::audit::{Action, Subject};
use super::super::deployments::{Deployment, Deployments, History, Withdrawal, current_version};
use super::super::plans::Plan;
use super::super::{By, Conflict, Error, Generation, Noun, Result};
use super::column::{Hex, Json, Micros, Number};
use super::statement::{decide, execute, rows};
use super::{Control, audit, forecasts, plans, scenarios};

fn row(row: &Row) -> Result<Deployed> {
    Ok(Deployed {
        plan_id: PlanId(row.try_get("plan_id")?),
        scenario_id: ScenarioId(row.try_get("scenario_id")?),
        from_version: Version(row.try_get::<_, Number>("from_version")?.0),
        to_version: Version(row.try_get::<_, Number>("to_version")?.0),
        from_checksum: row.try_get::<_, Hex>("from_checksum")?.0,
        to_checksum: row.try_get::<_, Hex>("to_checksum")?.0,
        policies: row.try_get::<_, Json<_>>("policies")?.0,
        deployed_at: row.try_get::<_, Micros>("deployed_at")?.0,
        marks_sessions: row.try_get("marks_sessions")?,
        withdrawn_at: row.try_get::<_, Option<Micros>>("withdrawn_at")?.map(|Micros(at)| at),
    })
}

/// All that is deployed of a scenario. One statement, and so one snapshot: the generation and the records
/// belong together.
async fn history(
    on: &impl GenericClient,
    tenant: TenantId,
    scenario: ScenarioId,
) -> Result<History> {
    let statement = "\
        SELECT s.generation, s.first_version, s.current_version, s.scenario_id, d.plan_id, \
               d.from_version, d.to_version, d.from_checksum, d.to_checksum, d.policies, \
               d.deployed_at, d.marks_sessions, d.withdrawn_at \
        FROM scenarios s LEFT JOIN deployments d \
            ON d.tenant_id = s.tenant_id AND d.scenario_id = s.scenario_id \
        WHERE s.tenant_id = $1 AND s.scenario_id = $2 ORDER BY d.ordinal";
    let found = rows(on, statement, &[&tenant.0, &scenario.0]).await?;
    let first = found.first().ok_or(Error::NotFound(Noun::Scenario))?;
    let has_record = first.try_get::<_, Option<uuid::Uuid>>("plan_id")?.is_some();
    let records = if has_record { &found[..] } else { &[] };
    Ok(History {
        generation: Generation(first.try_get::<_, Number>("generation")?.0),
        first_version: Version(first.try_get::<_, Number>("first_version")?.0),
        current_version: Version(first.try_get::<_, Number>("current_version")?.0),
        deployed: records.iter().map(row).collect::<Result<_>>()?,
    })
}

/// Sends what does not depend on each other in one go: checks, then writes, then the renewed scenario,
/// then what is told.
async fn deploy(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    deployment: &Deployment,
    by: &By,
) -> Result<Plan> {
    let Deployment { plan: change, superseded, record } = deployment;
    deployment.check(&plans::find(transaction, tenant, change.plan_id).await?)?;
    let swapped =
        superseded.iter().map(|older| supersede(transaction, tenant, deployment, older, by));
    let (plan, _) =
        tokio::try_join!(plans::swap(transaction, tenant, change, by), try_join_all(swapped))?;
    let (forgotten, is_archived) = tokio::try_join!(
        older_open_plans(transaction, tenant, &plan),
        scenarios::is_archived(transaction, tenant, plan.scenario_id, plan.to_version),
    )?;
    if !forgotten.is_empty() {
        return Err(Error::Conflict(Conflict::OpenPlans(forgotten)));
    }
    if !is_archived {
        return Err(Error::NotFound(Noun::Version));
    }
    keep(transaction, tenant, record).await?;
    renew_current(transaction, tenant, plan.scenario_id, by).await?;
    let replaced = by.with("superseded_by", plan.plan_id.to_string());
    for older in superseded {
        let subject = (Subject::Plan, older.plan_id.to_string());
        audit::write(transaction, tenant, &replaced, Action::PlanSuperseded, subject).await?;
    }
    let subject = (Subject::Plan, plan.plan_id.to_string());
    audit::write(transaction, tenant, &deployment.told(by), Action::PlanDeployed, subject).await?;
    Ok(plan)
}

async fn supersede(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    deployment: &Deployment,
    older: &super::super::plans::Change,
    by: &By,
) -> Result<()> {
    deployment.check_superseded(&plans::find(transaction, tenant, older.plan_id).await?)?;
    plans::swap(transaction, tenant, older, by).await?;
    Ok(())
}

/// The scenario's plans that are open and were made before this one.
async fn older_open_plans(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    plan: &Plan,
) -> Result<Vec<PlanId>> {
    let found = rows(
        transaction,
        "SELECT plan_id FROM plans WHERE tenant_id = $1 AND scenario_id = $2 \
         AND status IN ('pending', 'approved') AND (created_at, plan_id) < ($3, $4)",
        &[&tenant.0, &plan.scenario_id.0, &Micros(plan.created_at), &plan.plan_id.0],
    )
    .await?;
    found.iter().map(|row| Ok(PlanId(row.try_get(0)?))).collect()
}

async fn keep(transaction: &Transaction<'_>, tenant: TenantId, record: &Deployed) -> Result<()> {
    execute(
        transaction,
        "INSERT INTO deployments (tenant_id, scenario_id, ordinal, plan_id, from_version, \
         to_version, from_checksum, to_checksum, policies, deployed_at, marks_sessions, \
         withdrawn_at) \
         SELECT $1::uuid, $2::uuid, coalesce(max(ordinal), 0) + 1, $3::uuid, $4::bigint, \
             $5::bigint, $6::text, $7::text, $8::text, $9::bigint, $10::boolean, $11::bigint \
         FROM deployments WHERE tenant_id = $1::uuid AND scenario_id = $2::uuid",
        &[
            &tenant.0,
            &record.scenario_id.0,
            &record.plan_id.0,
            &Number::from(record.from_version),
            &Number::from(record.to_version),
            &Hex(record.from_checksum),
            &Hex(record.to_checksum),
            &Json(&record.policies),
            &Micros(record.deployed_at),
            &record.marks_sessions,
            &record.withdrawn_at.map(Micros),
        ],
    )
    .await?;
    Ok(())
}

async fn withdraw(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    withdrawal: &Withdrawal,
    by: &By,
) -> Result<Plan> {
    let change = &withdrawal.plan;
    withdrawal.check(&plans::find(transaction, tenant, change.plan_id).await?)?;
    let plan = plans::swap(transaction, tenant, change, by).await?;
    execute(
        transaction,
        "UPDATE deployments SET withdrawn_at = $3 WHERE tenant_id = $1 AND plan_id = $2",
        &[&tenant.0, &plan.plan_id.0, &Micros(withdrawal.withdrawn_at)],
    )
    .await?;
    let current = renew_current(transaction, tenant, plan.scenario_id, by).await?;
    let by = by.with("current_version", current.0);
    let subject = (Subject::Plan, plan.plan_id.to_string());
    audit::write(transaction, tenant, &by, Action::PlanWithdrawn, subject).await?;
    Ok(plan)
}

/// Makes current what is, now that the records have changed.
async fn renew_current(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    scenario: ScenarioId,
    by: &By,
) -> Result<Version> {
    let (before, history) = tokio::try_join!(
        scenarios::find(transaction, tenant, scenario),
        history(transaction, tenant, scenario),
    )?;
    let current = current_version(history.first_version, &history.deployed);
    scenarios::make_current(transaction, tenant, &before, current, by).await?;
    Ok(current)
}

async fn cleanup(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    older_than: Timestamp,
    by: &By,
) -> Result<Vec<PlanId>> {
    let deleted = rows(
        transaction,
        "DELETE FROM plans WHERE tenant_id = $1 AND closed_at < $2 RETURNING plan_id, scenario_id",
        &[&tenant.0, &Micros(older_than)],
    )
    .await?;
    let mut plans = BTreeSet::new();
    let mut scenarios_of = BTreeSet::new();
    for row in &deleted {
        plans.insert(PlanId(row.try_get(0)?));
        scenarios_of.insert(ScenarioId(row.try_get(1)?));
    }
    if plans.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<uuid::Uuid> = plans.iter().map(|plan| plan.0).collect();
    execute(
        transaction,
        "DELETE FROM plan_documents WHERE tenant_id = $1 AND plan_id = ANY ($2)",
        &[&tenant.0, &ids],
    )
    .await?;
    forecasts::remove(transaction, tenant, &ids).await?;
    scenarios::renew(transaction, tenant, scenarios_of).await?;
    let by = by.with("plan_ids", plans.iter().map(PlanId::to_string).collect::<Vec<_>>());
    let subject = (Subject::Tenant, tenant.to_string());
    audit::write(transaction, tenant, &by, Action::PlansCleanedUp, subject).await?;
    Ok(plans.into_iter().collect())
}

#[async_trait]
impl Deployments for Control {
    async fn deploy(&self, tenant: TenantId, deployment: &Deployment, by: &By) -> Result<Plan> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, tenant).await?;
        let plan = deploy(&transaction, tenant, deployment, by).await?;
        transaction.commit().await?;
        Ok(plan)
    }

    async fn withdraw(&self, tenant: TenantId, withdrawal: &Withdrawal, by: &By) -> Result<Plan> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, tenant).await?;
        let plan = withdraw(&transaction, tenant, withdrawal, by).await?;
        transaction.commit().await?;
        Ok(plan)
    }

    async fn deployed(&self, tenant: TenantId, scenario: ScenarioId) -> Result<History> {
        history(&self.client().await?, tenant, scenario).await
    }

    async fn cleanup_old_plans(
        &self,
        tenant: TenantId,
        older_than: Timestamp,
        by: &By,
    ) -> Result<Vec<PlanId>> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, tenant).await?;
        let plans = cleanup(&transaction, tenant, older_than, by).await?;
        transaction.commit().await?;
        Ok(plans)
    }
}
