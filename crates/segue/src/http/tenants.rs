//! `/tenants`: where each tenant lives. For operators; a tenant is named by the path alone.

use std::time::Duration;

use axum::extract::State;
use segue_core::ids::{StoreId, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ErrorBody, Refusal};
use super::extract::{Json, OptionalJson, Path, Query};
use super::page::Limit;
use super::signed;
use crate::auth::Caller;
use crate::tenants::{PauseMetrics, TenantView};

/// Which tenants are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub struct TenantQuery {
    /// Only those that live in this store.
    #[param(value_type = Option<String>)]
    pub store_id: Option<StoreId>,
    /// Items at most: 1 to 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 50)]
    pub limit: Limit,
    /// Where to go on: the `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A page of tenants.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantList {
    /// By id.
    pub tenants: Vec<TenantView>,
    /// How many there are in all.
    pub total: u64,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// Where a new tenant shall live.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// Which store.
    pub store_id: StoreId,
    /// Who places it; `operator` if left out.
    #[serde(default, deserialize_with = "signed::name")]
    pub placed_by: Option<String>,
}

/// Who pauses a tenant's writes, or lets them go on.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PauseBody {
    /// Who; `operator` if left out.
    #[serde(deserialize_with = "signed::name")]
    pub by: Option<String>,
}

/// A tenant whose writes go on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Resumed {
    /// The tenant.
    #[serde(flatten)]
    pub tenant: TenantView,
    /// What the pause cost; null if there was none.
    pub pause: Option<PauseCost>,
}

/// What a pause cost, as the server saw it that ended it.
#[derive(Debug, Serialize, ToSchema)]
pub struct PauseCost {
    /// From the decision to pause to the decision to go on, in milliseconds.
    pub duration_ms: u64,
    /// How many writes of this server waited.
    pub blocked_writers: u64,
    /// How long the longest of them waited, in milliseconds.
    pub longest_wait_ms: u64,
}

impl From<PauseMetrics> for PauseCost {
    fn from(metrics: PauseMetrics) -> Self {
        let PauseMetrics { duration, blocked_writers, longest_wait } = metrics;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            duration_ms: millis(duration),
            blocked_writers,
            longest_wait_ms: millis(longest_wait),
        }
    }
}

/// Lists tenants
#[utoipa::path(get, path = "/tenants", tag = "tenants", params(TenantQuery),
    responses((status = 200, body = TenantList), (status = 400, body = ErrorBody)))]
pub async fn list_tenants(
    State(app): State<App>,
    Query(query): Query<TenantQuery>,
) -> Result<axum::Json<TenantList>, Refusal> {
    let (store, cursor) = (query.store_id.as_ref(), query.cursor.as_deref());
    let page = app.opened.router.tenant_views(store, query.limit.0, cursor).await?;
    Ok(axum::Json(TenantList {
        tenants: page.tenants,
        total: page.total,
        next_cursor: page.next_cursor,
    }))
}

/// Shows where a tenant lives
#[utoipa::path(get, path = "/tenants/{tenant_id}", tag = "tenants",
    params(("tenant_id" = uuid::Uuid, Path)),
    responses((status = 200, body = TenantView),
        (status = 404, description = "`tenant_not_found`", body = ErrorBody)))]
pub async fn get_tenant(
    State(app): State<App>,
    Path(tenant): Path<TenantId>,
) -> Result<axum::Json<TenantView>, Refusal> {
    Ok(axum::Json(app.opened.router.tenant_view(tenant).await?))
}

/// Places a new tenant in a store
///
/// Without this a tenant's first write places it in the default store. Repeating it is safe.
#[utoipa::path(put, path = "/tenants/{tenant_id}", tag = "tenants",
    params(("tenant_id" = uuid::Uuid, Path)), request_body = NewTenant,
    responses((status = 200, body = TenantView),
        (status = 404, description = "`store_not_found`", body = ErrorBody),
        (status = 409, description = "`tenant_already_placed`", body = ErrorBody)))]
pub async fn place_tenant(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<TenantId>,
    Json(new): Json<NewTenant>,
) -> Result<axum::Json<TenantView>, Refusal> {
    let by = caller.by(new.placed_by, app.clock.now());
    Ok(axum::Json(app.opened.router.place_in(tenant, &new.store_id, &by).await?))
}

/// Pauses a tenant's writes
///
/// On every server: writes and turns wait, each for as long as `write_pause_timeout` says, and then fail
/// with `write_paused`. Reads go on. The answer comes when the store takes no writes any more. A pause
/// lasts until it is ended. Repeating it is safe.
#[utoipa::path(post, path = "/tenants/{tenant_id}/pause-writes", tag = "tenants",
    params(("tenant_id" = uuid::Uuid, Path)), request_body = Option<PauseBody>,
    responses((status = 200, body = TenantView),
        (status = 404, description = "`tenant_not_found`", body = ErrorBody)))]
pub async fn pause_writes(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<TenantId>,
    OptionalJson(body): OptionalJson<PauseBody>,
) -> Result<axum::Json<TenantView>, Refusal> {
    let router = &app.opened.router;
    router.pause_writes(tenant, &caller.by(body.by, app.clock.now())).await?;
    Ok(axum::Json(router.tenant_view(tenant).await?))
}

/// Lets a tenant's writes go on
///
/// The answer comes when the store takes writes again. Repeating it is safe.
#[utoipa::path(post, path = "/tenants/{tenant_id}/resume-writes", tag = "tenants",
    params(("tenant_id" = uuid::Uuid, Path)), request_body = Option<PauseBody>,
    responses((status = 200, body = Resumed),
        (status = 404, description = "`tenant_not_found`", body = ErrorBody)))]
pub async fn resume_writes(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<TenantId>,
    OptionalJson(body): OptionalJson<PauseBody>,
) -> Result<axum::Json<Resumed>, Refusal> {
    let router = &app.opened.router;
    let pause = router
        .resume_writes(tenant, &caller.by(body.by, app.clock.now()))
        .await?
        .map(PauseCost::from);
    Ok(axum::Json(Resumed { tenant: router.tenant_view(tenant).await?, pause }))
}
