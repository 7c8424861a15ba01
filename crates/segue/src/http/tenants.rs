//! `/tenants`: where each tenant lives. For operators; a tenant is named by the path alone.

use axum::extract::State;
use segue_core::ids::{StoreId, TenantId};
use segue_store::control::By;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ErrorBody, Refusal};
use super::extract::{Json, Path, Query};
use super::page::Limit;
use crate::tenants::TenantView;

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
    pub placed_by: Option<String>,
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
    Path(tenant): Path<TenantId>,
    Json(new): Json<NewTenant>,
) -> Result<axum::Json<TenantView>, Refusal> {
    let by = By::new(new.placed_by.as_deref().unwrap_or("operator"), app.clock.now());
    Ok(axum::Json(app.opened.router.place_in(tenant, &new.store_id, &by).await?))
}
