//! `/migration-plans` up to the deploy: generate, review, set policies, approve, reject.

use axum::extract::State;
use jiff::Timestamp;
use segue_core::ids::{PlanId, ScenarioId, Version};
use segue_core::plan::lifecycle::Kind;
use segue_store::control::plans::{Filter, Plan};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ErrorBody, Refusal};
use super::extract::{OptionalJson, Path, Query, Tenant};
use super::page::Limit;

/// Which plans are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub struct PlanQuery {
    /// Only of this scenario.
    #[param(value_type = Option<uuid::Uuid>)]
    pub scenario_id: Option<ScenarioId>,
    /// Only with this status.
    #[serde(alias = "plan_status")]
    pub status: Option<Kind>,
    /// Items at most: 1 to 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 50)]
    pub limit: Limit,
    /// Where to go on: the `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A plan in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanItem {
    /// The plan.
    pub id: PlanId,
    /// The scenario that changes.
    pub scenario_id: ScenarioId,
    /// Sessions on this version are migrated …
    pub from_version: Version,
    /// … to this one.
    pub to_version: Version,
    /// Where it stands.
    pub status: Kind,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// The counts of its summary.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub overview: Value,
}

impl From<Plan> for PlanItem {
    fn from(plan: Plan) -> Self {
        Self {
            id: plan.plan_id,
            scenario_id: plan.scenario_id,
            from_version: plan.from_version,
            to_version: plan.to_version,
            status: plan.status.kind(),
            created_at: plan.created_at,
            created_by: plan.created_by,
            overview: plan.overview,
        }
    }
}

/// A page of plans.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanList {
    /// The newest first.
    pub plans: Vec<PlanItem>,
    /// How many there are in all.
    pub total: u64,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// Who approves.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApproveBody {
    /// An operator.
    pub approved_by: Option<String>,
}

/// Who rejects, and why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RejectBody {
    /// An operator.
    pub rejected_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// Lists plans
#[utoipa::path(get, path = "/migration-plans", tag = "migration plans",
    params(("X-Tenant-ID" = uuid::Uuid, Header), PlanQuery),
    responses((status = 200, body = PlanList), (status = 400, body = ErrorBody)))]
pub async fn list_migration_plans(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Query(query): Query<PlanQuery>,
) -> Result<axum::Json<PlanList>, Refusal> {
    let filter = Filter { scenario_id: query.scenario_id, status: query.status };
    let planner = &app.opened.scenarios.planner;
    let listed = planner.plans(tenant, filter, query.limit.0, query.cursor.as_deref()).await?;
    Ok(axum::Json(PlanList {
        plans: listed.items.into_iter().map(PlanItem::from).collect(),
        total: listed.total,
        next_cursor: listed.next.map(|cursor| cursor.to_string()),
    }))
}

/// Approves a plan for deployment
#[utoipa::path(post, path = "/migration-plans/{plan_id}/approve", tag = "migration plans",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("plan_id" = uuid::Uuid, Path)),
    request_body = Option<ApproveBody>,
    responses((status = 200, body = PlanItem), (status = 404, body = ErrorBody),
        (status = 409, description = "`invalid_state_transition`, `plan_changed`", body = ErrorBody)))]
pub async fn approve_migration_plan(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(id): Path<PlanId>,
    OptionalJson(body): OptionalJson<ApproveBody>,
) -> Result<axum::Json<PlanItem>, Refusal> {
    let plan = app.opened.scenarios.planner.approve_plan(tenant, id, body.approved_by).await?;
    Ok(axum::Json(plan.into()))
}

/// Rejects a plan
#[utoipa::path(post, path = "/migration-plans/{plan_id}/reject", tag = "migration plans",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("plan_id" = uuid::Uuid, Path)),
    request_body = Option<RejectBody>,
    responses((status = 200, body = PlanItem), (status = 404, body = ErrorBody),
        (status = 409, description = "`invalid_state_transition`, `plan_changed`", body = ErrorBody)))]
pub async fn reject_migration_plan(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(id): Path<PlanId>,
    OptionalJson(body): OptionalJson<RejectBody>,
) -> Result<axum::Json<PlanItem>, Refusal> {
    let planner = &app.opened.scenarios.planner;
    let plan = planner.reject_plan(tenant, id, body.rejected_by, body.reason).await?;
    Ok(axum::Json(plan.into()))
}
