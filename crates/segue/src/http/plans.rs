//! `/migration-plans` up to the deploy: generate, review, set policies, approve, reject.

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use jiff::Timestamp;
use segue_core::diff::document::AnchorTransformation;
use segue_core::ids::{PlanId, ScenarioId, TenantId, Version};
use segue_core::plan::Plan;
use segue_core::plan::document::MigrationPlan;
use segue_core::plan::lifecycle::Kind;
use segue_core::plan::policy::{AnchorKey, Policies};
use segue_core::plan::summary::MigrationSummary;
use segue_core::scenario::validate::Problem;
use segue_store::control::plans::Filter;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::{ErrorBody, Refusal};
use super::extract::{Json, OptionalJson, Path, Query, Tenant};
use super::page::Limit;
use super::scenarios::NewScenario;
use super::signed;
use super::{App, BASE};
use crate::error::{Error, Kind as Noun};
use crate::scenarios::Overview;

/// Entries in the lists around all anchors of a plan, beyond which a plan is shown with their counts only
/// and each anchor's own page has its lists: about two megabytes.
const LISTED_ENTRIES: usize = 10_000;

/// A new version, to be compared with the one that sessions are on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GeneratePlan {
    /// The new version; its `version` is the next one if it is left out.
    pub new_scenario: NewScenario,
    /// Who makes the plan.
    #[serde(default, deserialize_with = "signed::name")]
    pub created_by: Option<String>,
    /// Leave this version instead of the current one, to pick up sessions left behind.
    pub from_version: Option<Version>,
}

/// Policies by anchor; anchors that are not named keep theirs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoliciesBody {
    /// By anchor key.
    #[schema(value_type = std::collections::HashMap<String, segue_core::plan::policy::AnchorMigrationPolicy>)]
    pub policies: Policies,
    /// Who sets them.
    #[serde(default, deserialize_with = "signed::name")]
    pub updated_by: Option<String>,
}

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
    /// Anchors in all.
    pub total_anchors: usize,
    /// Anchors where sessions go on silently.
    pub anchors_with_clean_graft: usize,
    /// Anchors where something may have to be asked or done.
    pub anchors_with_gap_fill: usize,
    /// Anchors where customers may be redirected.
    pub anchors_with_re_route: usize,
    /// Steps that are gone.
    pub nodes_deleted: usize,
    /// Sessions on the old version when the plan was made.
    pub estimated_sessions_affected: u64,
    /// How many warnings there are.
    pub warnings: usize,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: Option<String>,
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
    #[serde(default, deserialize_with = "signed::name")]
    pub approved_by: Option<String>,
}

/// Who rejects, and why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RejectBody {
    /// An operator.
    #[serde(default, deserialize_with = "signed::name")]
    pub rejected_by: Option<String>,
    /// Why.
    #[serde(default, deserialize_with = "signed::reason")]
    pub reason: Option<String>,
}

/// Generates a plan from the current version to a new one
///
/// Compares the two versions, counts whom the change concerns, and registers the new version, which
/// becomes current when the plan is deployed.
#[utoipa::path(post, path = "/scenarios/{scenario_id}/migration-plan", tag = "migration plans",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("scenario_id" = uuid::Uuid, Path)),
    request_body = GeneratePlan,
    responses((status = 201, body = MigrationPlan),
        (status = 400, description = "`invalid_scenario`: every problem at once", body = ErrorBody),
        (status = 404, description = "`scenario_not_found`, `version_not_found`", body = ErrorBody),
        (status = 409, description = "`version_not_greater`, `plan_exists`", body = ErrorBody)))]
pub async fn generate_migration_plan(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(scenario_id): Path<ScenarioId>,
    Json(body): Json<GeneratePlan>,
) -> Result<(StatusCode, [(HeaderName, String); 1], axum::Json<MigrationPlan>), Refusal> {
    if let Some(other) = body.new_scenario.id.filter(|id| *id != scenario_id) {
        return Err(other_scenario(scenario_id, other).into());
    }
    let latest = latest_version(&app, tenant, scenario_id).await?;
    let scenario = body.new_scenario.into_scenario(scenario_id, latest.next())?;
    let planner = &app.opened.scenarios.planner;
    let plan = planner
        .generate_plan(tenant, scenario_id, scenario, body.created_by, body.from_version)
        .await?;
    let place = [(header::LOCATION, format!("{BASE}/migration-plans/{}", plan.id))];
    Ok((StatusCode::CREATED, place, shown(&plan)))
}

fn other_scenario(path: ScenarioId, body: ScenarioId) -> Error {
    let problem = Problem {
        code: "other_scenario".to_owned(),
        path: "/new_scenario/id".to_owned(),
        message: format!("{body} is not the scenario of the path, {path}: leave the id out"),
    };
    Error::Invalid { what: "request", problems: vec![problem] }
}

/// The highest version of a scenario.
pub(crate) async fn latest_version(
    app: &App,
    tenant: TenantId,
    scenario: ScenarioId,
) -> Result<Version, Error> {
    let highest = app.opened.scenarios.catalog.versions(tenant, scenario, 1, None).await?;
    Ok(highest.items.first().map_or(Version(0), |entry| entry.version))
}

/// A plan as it is answered. Expanding ten thousand anchors takes milliseconds: other requests of this
/// thread go on elsewhere meanwhile.
pub(super) fn shown(plan: &Plan) -> axum::Json<MigrationPlan> {
    axum::Json(tokio::task::block_in_place(|| plan.document(LISTED_ENTRIES)))
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
    let item = |(plan, overview): (segue_store::control::plans::Plan, Overview)| PlanItem {
        id: plan.plan_id,
        scenario_id: plan.scenario_id,
        from_version: plan.from_version,
        to_version: plan.to_version,
        status: plan.status.kind(),
        total_anchors: overview.total_anchors,
        anchors_with_clean_graft: overview.anchors_with_clean_graft,
        anchors_with_gap_fill: overview.anchors_with_gap_fill,
        anchors_with_re_route: overview.anchors_with_re_route,
        nodes_deleted: overview.nodes_deleted,
        estimated_sessions_affected: overview.estimated_sessions_affected,
        warnings: overview.warnings,
        created_at: plan.created_at,
        created_by: overview.created_by,
    };
    Ok(axum::Json(PlanList {
        plans: listed.items.into_iter().map(item).collect(),
        total: listed.total,
        next_cursor: listed.next.map(|cursor| cursor.to_string()),
    }))
}

/// Shows a plan
///
/// Where the lists around its anchors would be too long together, their counts are shown instead
/// (`truncated`); each anchor's own page has its lists.
#[utoipa::path(get, path = "/migration-plans/{plan_id}", tag = "migration plans",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("plan_id" = uuid::Uuid, Path)),
    responses((status = 200, body = MigrationPlan), (status = 404, body = ErrorBody)))]
pub async fn get_migration_plan(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(id): Path<PlanId>,
) -> Result<axum::Json<MigrationPlan>, Refusal> {
    Ok(shown(&app.opened.scenarios.planner.plan(tenant, id).await?))
}

/// Shows what an operator reads before they decide
#[utoipa::path(get, path = "/migration-plans/{plan_id}/summary", tag = "migration plans",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("plan_id" = uuid::Uuid, Path)),
    responses((status = 200, body = MigrationSummary), (status = 404, body = ErrorBody)))]
pub async fn get_migration_summary(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(id): Path<PlanId>,
) -> Result<axum::Json<MigrationSummary>, Refusal> {
    Ok(axum::Json(app.opened.scenarios.planner.summary(tenant, id).await?))
}

/// Shows one anchor with everything that changed around it
#[utoipa::path(get, path = "/migration-plans/{plan_id}/anchors/{anchor_key}", tag = "migration plans",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("plan_id" = uuid::Uuid, Path),
        ("anchor_key" = String, Path)),
    responses((status = 200, body = AnchorTransformation),
        (status = 404, description = "`plan_not_found`, `anchor_not_found`", body = ErrorBody)))]
pub async fn get_anchor(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path((id, key)): Path<(PlanId, AnchorKey)>,
) -> Result<axum::Json<AnchorTransformation>, Refusal> {
    let plan = app.opened.scenarios.planner.plan(tenant, id).await?;
    let anchor = plan.map.anchor(&key);
    let anchor = anchor.ok_or_else(|| Error::NotFound { kind: Noun::Anchor, id: key.0 })?;
    Ok(axum::Json(anchor))
}

/// Sets policies for anchors, while the plan is pending
#[utoipa::path(put, path = "/migration-plans/{plan_id}/policies", tag = "migration plans",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("plan_id" = uuid::Uuid, Path)),
    request_body = PoliciesBody,
    responses((status = 200, body = MigrationPlan),
        (status = 400, description = "`invalid_policies`: every problem at once", body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, description = "`invalid_state_transition`, `plan_changed`", body = ErrorBody)))]
pub async fn update_anchor_policies(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(id): Path<PlanId>,
    Json(body): Json<PoliciesBody>,
) -> Result<axum::Json<MigrationPlan>, Refusal> {
    let planner = &app.opened.scenarios.planner;
    let by = body.updated_by.as_deref();
    Ok(shown(&planner.update_policies(tenant, id, body.policies, by).await?))
}

/// Approves a plan for deployment
#[utoipa::path(post, path = "/migration-plans/{plan_id}/approve", tag = "migration plans",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("plan_id" = uuid::Uuid, Path)),
    request_body = Option<ApproveBody>,
    responses((status = 200, body = MigrationPlan), (status = 404, body = ErrorBody),
        (status = 409, description = "`invalid_state_transition`, `plan_changed`", body = ErrorBody)))]
pub async fn approve_migration_plan(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(id): Path<PlanId>,
    OptionalJson(body): OptionalJson<ApproveBody>,
) -> Result<axum::Json<MigrationPlan>, Refusal> {
    let planner = &app.opened.scenarios.planner;
    Ok(shown(&planner.approve_plan(tenant, id, body.approved_by).await?))
}

/// Rejects a plan
#[utoipa::path(post, path = "/migration-plans/{plan_id}/reject", tag = "migration plans",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("plan_id" = uuid::Uuid, Path)),
    request_body = Option<RejectBody>,
    responses((status = 200, body = MigrationPlan), (status = 404, body = ErrorBody),
        (status = 409, description = "`invalid_state_transition`, `plan_changed`", body = ErrorBody)))]
pub async fn reject_migration_plan(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(id): Path<PlanId>,
    OptionalJson(body): OptionalJson<RejectBody>,
) -> Result<axum::Json<MigrationPlan>, Refusal> {
    let planner = &app.opened.scenarios.planner;
    Ok(shown(&planner.reject_plan(tenant, id, body.rejected_by, body.reason).await?))
}
