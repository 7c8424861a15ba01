//! The deployments' rows, and the two transactions that change what applies.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, Row, Transaction, params};
use segue_core::ids::{PlanId, ScenarioId, TenantId, Version};
use segue_core::plan::deployed::Deployed;

use super::super::audit::{Action, Subject};
use super::super::deployments::{Deployment, Deployments, History, Withdrawal, current_version};
use super::super::plans::Plan;
use super::super::{By, Conflict, Error, Noun, Result};
use super::column::{Hex, Id, Json, Micros, Number};
use super::{Control, audit, forecasts, plans, scenarios};

fn row(row: &Row<'_>) -> rusqlite::Result<Deployed> {
    Ok(Deployed {
        plan_id: PlanId(row.get::<_, Id>("plan_id")?.0),
        scenario_id: ScenarioId(row.get::<_, Id>("scenario_id")?.0),
        from_version: Version(row.get::<_, Number>("from_version")?.0),
        to_version: Version(row.get::<_, Number>("to_version")?.0),
        from_checksum: row.get::<_, Hex>("from_checksum")?.0,
        to_checksum: row.get::<_, Hex>("to_checksum")?.0,
        policies: row.get::<_, Json<_>>("policies")?.0,
        deployed_at: row.get::<_, Micros>("deployed_at")?.0,
        marks_sessions: row.get("marks_sessions")?,
        withdrawn_at: row.get::<_, Option<Micros>>("withdrawn_at")?.map(|Micros(at)| at),
    })
}

fn records(
    connection: &Connection,
    tenant: TenantId,
    scenario: ScenarioId,
) -> rusqlite::Result<Vec<Deployed>> {
    connection
        .prepare_cached(
            "SELECT plan_id, scenario_id, from_version, to_version, from_checksum, to_checksum, \
             policies, deployed_at, marks_sessions, withdrawn_at FROM deployments \
             WHERE tenant_id = ?1 AND scenario_id = ?2 ORDER BY ordinal",
        )?
        .query_map([Id(tenant.0), Id(scenario.0)], row)?
        .collect()
}

fn deploy(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    deployment: &Deployment,
    by: &By,
) -> Result<Plan> {
    let Deployment { plan: change, superseded, record } = deployment;
    let before = plans::find(transaction, tenant, change.plan_id)?;
    deployment.check(&before)?;
    let plan = plans::swap(transaction, tenant, change, by)?;
    for older in superseded {
        let found = plans::find(transaction, tenant, older.plan_id)?;
        deployment.check_superseded(&found)?;
        plans::swap(transaction, tenant, older, by)?;
        let by = by.with("superseded_by", plan.plan_id.to_string());
        let subject = (Subject::Plan, older.plan_id.to_string());
        audit::write(transaction, tenant, &by, Action::PlanSuperseded, subject)?;
    }
    let forgotten = older_open_plans(transaction, tenant, &plan)?;
    if !forgotten.is_empty() {
        return Err(Error::Conflict(Conflict::OpenPlans(forgotten)));
    }
    if !scenarios::is_archived(transaction, tenant, plan.scenario_id, plan.to_version)? {
        return Err(Error::NotFound(Noun::Version));
    }
    keep(transaction, tenant, record)?;
    renew_current(transaction, tenant, plan.scenario_id, by)?;
    let subject = (Subject::Plan, plan.plan_id.to_string());
    audit::write(transaction, tenant, &deployment.told(by), Action::PlanDeployed, subject)?;
    Ok(plan)
}

/// The scenario's plans that are open and were made before this one.
fn older_open_plans(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    plan: &Plan,
) -> rusqlite::Result<Vec<PlanId>> {
    transaction
        .prepare_cached(
            "SELECT plan_id FROM plans WHERE tenant_id = ?1 AND scenario_id = ?2 \
             AND status IN ('pending', 'approved') AND (created_at, plan_id) < (?3, ?4)",
        )?
        .query_map(
            params![
                Id(tenant.0),
                Id(plan.scenario_id.0),
                Micros(plan.created_at),
                Id(plan.plan_id.0)
            ],
            |row| Ok(PlanId(row.get::<_, Id>(0)?.0)),
        )?
        .collect()
}

fn keep(transaction: &Transaction<'_>, tenant: TenantId, record: &Deployed) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO deployments (tenant_id, scenario_id, ordinal, plan_id, from_version, \
             to_version, from_checksum, to_checksum, policies, deployed_at, marks_sessions, \
             withdrawn_at) \
             SELECT ?1, ?2, coalesce(max(ordinal), 0) + 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 \
             FROM deployments WHERE tenant_id = ?1 AND scenario_id = ?2",
        )?
        .execute(params![
            Id(tenant.0),
            Id(record.scenario_id.0),
            Id(record.plan_id.0),
            Number::from(record.from_version),
            Number::from(record.to_version),
            Hex(record.from_checksum),
            Hex(record.to_checksum),
            Json(&record.policies),
            Micros(record.deployed_at),
            record.marks_sessions,
            record.withdrawn_at.map(Micros),
        ])?;
    Ok(())
}

fn withdraw(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    withdrawal: &Withdrawal,
    by: &By,
) -> Result<Plan> {
    let change = &withdrawal.plan;
    let before = plans::find(transaction, tenant, change.plan_id)?;
    withdrawal.check(&before)?;
    let plan = plans::swap(transaction, tenant, change, by)?;
    transaction
        .prepare_cached(
            "UPDATE deployments SET withdrawn_at = ?3 WHERE tenant_id = ?1 AND plan_id = ?2",
        )?
        .execute(params![Id(tenant.0), Id(plan.plan_id.0), Micros(withdrawal.withdrawn_at)])?;
    let current = renew_current(transaction, tenant, plan.scenario_id, by)?;
    let by = by.with("current_version", current.0);
    let subject = (Subject::Plan, plan.plan_id.to_string());
    audit::write(transaction, tenant, &by, Action::PlanWithdrawn, subject)?;
    Ok(plan)
}

/// Makes current what is, now that the records have changed.
fn renew_current(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    scenario: ScenarioId,
    by: &By,
) -> Result<Version> {
    let before = scenarios::find(transaction, tenant, scenario)?;
    let first = scenarios::first_version(transaction, tenant, scenario)?;
    let current = current_version(first, &records(transaction, tenant, scenario)?);
    scenarios::make_current(transaction, tenant, &before, current, by)?;
    Ok(current)
}

fn cleanup(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    older_than: Timestamp,
    by: &By,
) -> Result<Vec<PlanId>> {
    let old = transaction
        .prepare_cached(
            "SELECT plan_id, scenario_id FROM plans \
             WHERE tenant_id = ?1 AND closed_at < ?2 ORDER BY plan_id",
        )?
        .query_map(params![Id(tenant.0), Micros(older_than)], |row| {
            Ok((PlanId(row.get::<_, Id>(0)?.0), ScenarioId(row.get::<_, Id>(1)?.0)))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for table in ["plan_documents", "plans"] {
        let mut delete = transaction.prepare_cached(&format!(
            "DELETE FROM {table} WHERE tenant_id = ?1 AND plan_id = ?2"
        ))?;
        for (plan, _) in &old {
            delete.execute([Id(tenant.0), Id(plan.0)])?;
        }
    }
    for (plan, _) in &old {
        forecasts::remove(transaction, tenant, *plan)?;
    }
    let scenarios_of: BTreeSet<ScenarioId> = old.iter().map(|(_, scenario)| *scenario).collect();
    for scenario in scenarios_of {
        scenarios::renew(transaction, tenant, scenario)?;
    }
    let plans: Vec<PlanId> = old.into_iter().map(|(plan, _)| plan).collect();
    if !plans.is_empty() {
        let by = by.with("plan_ids", plans.iter().map(PlanId::to_string).collect::<Vec<_>>());
        let subject = (Subject::Tenant, tenant.to_string());
        audit::write(transaction, tenant, &by, Action::PlansCleanedUp, subject)?;
    }
    Ok(plans)
}

#[async_trait]
impl Deployments for Control {
    async fn deploy(&self, tenant: TenantId, deployment: &Deployment, by: &By) -> Result<Plan> {
        let (deployment, by) = (deployment.clone(), by.clone());
        self.connections
            .write(move |transaction| deploy(transaction, tenant, &deployment, &by))
            .await
    }

    async fn withdraw(&self, tenant: TenantId, withdrawal: &Withdrawal, by: &By) -> Result<Plan> {
        let (withdrawal, by) = (withdrawal.clone(), by.clone());
        self.connections
            .write(move |transaction| withdraw(transaction, tenant, &withdrawal, &by))
            .await
    }

    async fn deployed(&self, tenant: TenantId, scenario: ScenarioId) -> Result<History> {
        self.connections
            .read(move |snapshot| {
                let registered = scenarios::find(snapshot, tenant, scenario)?;
                Ok(History {
                    generation: registered.generation,
                    first_version: scenarios::first_version(snapshot, tenant, scenario)?,
                    current_version: registered.current_version,
                    deployed: records(snapshot, tenant, scenario)?,
                })
            })
            .await
    }

    async fn cleanup_old_plans(
        &self,
        tenant: TenantId,
        older_than: Timestamp,
        by: &By,
    ) -> Result<Vec<PlanId>> {
        let by = by.clone();
        self.connections
            .write(move |transaction| cleanup(transaction, tenant, older_than, &by))
            .await
    }
}
