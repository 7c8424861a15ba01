//! `/migration-plans/{id}` from the deploy on: deploy, withdraw, watch.

use axum::extract::State;
use segue_core::ids::PlanId;
use segue_core::plan::document::MigrationPlan;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::error::{ErrorBody, Refusal};
use super::extract::{OptionalJson, Path, Query, Tenant};
use super::plans::shown;
use super::scenarios::Paging;
use super::signed;
use crate::auth::Caller;
use crate::error::Error;
use crate::scenarios::{Application, DeploymentResult, DeploymentStatus};

/// Who deploys.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeployBody {
    /// An operator.
    #[serde(default, deserialize_with = "signed::name")]
    pub deployed_by: Option<String>,
}

/// The latest migrations of a plan.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApplicationList {
    /// The newest first.
    pub applications: Vec<Application>,
    /// How many there are in all.
    pub total: u64,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// Deploys a plan
///
/// Its version becomes current; each session that it concerns migrates at its next turn.
#[utoipa::path(post, path = "/migration-plans/{plan_id}/deploy", tag = "migration plans",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("plan_id" = uuid::Uuid, Path)),
    request_body = Option<DeployBody>,
    responses((status = 200, body = DeploymentResult), (status = 404, body = ErrorBody),
        (status = 409, description = "`invalid_state_transition`, `plan_changed`", body = ErrorBody)))]
pub async fn deploy_migration_plan(
    State(app): State<App>,
    caller: Caller,
    Tenant(tenant): Tenant,
    Path(id): Path<PlanId>,
    OptionalJson(body): OptionalJson<DeployBody>,
) -> Result<axum::Json<DeploymentResult>, Refusal> {
    let by = caller.signature(body.deployed_by);
    Ok(axum::Json(app.opened.scenarios.deployer.deploy(tenant, id, by).await?))
}

/// Who takes back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WithdrawBody {
    /// An operator.
    #[serde(default, deserialize_with = "signed::name")]
    pub withdrawn_by: Option<String>,
}

/// Takes a deployed plan back
///
/// It stops applying to sessions that have not migrated yet, and the version before it is current again.
#[utoipa::path(post, path = "/migration-plans/{plan_id}/withdraw", tag = "migration plans",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("plan_id" = uuid::Uuid, Path)),
    request_body = Option<WithdrawBody>,
    responses((status = 200, body = MigrationPlan), (status = 404, body = ErrorBody),
        (status = 409, description = "`invalid_state_transition`, `plan_changed`", body = ErrorBody)))]
pub async fn withdraw_migration_plan(
    State(app): State<App>,
    caller: Caller,
    Tenant(tenant): Tenant,
    Path(id): Path<PlanId>,
    OptionalJson(body): OptionalJson<WithdrawBody>,
) -> Result<axum::Json<MigrationPlan>, Refusal> {
    let by = caller.signature(body.withdrawn_by);
    app.opened.scenarios.deployer.withdraw(tenant, id, by).await?;
    Ok(shown(&app.opened.scenarios.planner.plan(tenant, id).await?))
}

/// Shows what came of a plan so far
#[utoipa::path(get, path = "/migration-plans/{plan_id}/deployment-status", tag = "migration plans",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("plan_id" = uuid::Uuid, Path)),
    responses((status = 200, body = DeploymentStatus), (status = 404, body = ErrorBody)))]
pub async fn get_deployment_status(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(id): Path<PlanId>,
) -> Result<axum::Json<DeploymentStatus>, Refusal> {
    Ok(axum::Json(app.opened.scenarios.deployer.get_deployment_status(tenant, id).await?))
}

/// Lists the decisions that a plan led to, the newest first
#[utoipa::path(get, path = "/migration-plans/{plan_id}/applications", tag = "migration plans",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("plan_id" = uuid::Uuid, Path), Paging),
    responses((status = 200, body = ApplicationList), (status = 404, body = ErrorBody)))]
pub async fn list_applications(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(id): Path<PlanId>,
    Query(paging): Query<Paging>,
) -> Result<axum::Json<ApplicationList>, Refusal> {
    let deployer = &app.opened.scenarios.deployer;
    let status = deployer.get_deployment_status(tenant, id).await?;
    let total = status.migrations_applied + status.checkpoint_blocks + status.kept_on_version;
    // A page is read with everything newer than it: an operator looks at the latest, not at the first.
    let skip = paging.cursor.map_or(Ok(0), |cursor| cursor.parse::<usize>());
    let skip = skip.map_err(|_| Error::BadCursor)?;
    let end = skip.saturating_add(paging.limit.0 as usize);
    let mut applications = deployer.applications(tenant, id, end).await?;
    let next_cursor =
        (applications.len() as u64 >= end as u64 && total > end as u64).then(|| end.to_string());
    let applications = applications.drain(skip.min(applications.len())..).collect();
    Ok(axum::Json(ApplicationList { applications, total, next_cursor }))
}
