//! `/stores`: where tenants can live. For operators; no tenant is named.

use axum::extract::State;

use super::App;
use super::error::{ErrorBody, Refusal};
use crate::tenants::StoreView;

/// Lists the event stores
///
/// Each with its health, asked now and for two seconds at most, how many tenants live in it, and what an
/// acknowledged append survives there.
#[utoipa::path(get, path = "/stores", tag = "tenants",
    responses((status = 200, body = Vec<StoreView>),
        (status = 503, description = "`store_unavailable`", body = ErrorBody)))]
pub async fn list_stores(State(app): State<App>) -> Result<axum::Json<Vec<StoreView>>, Refusal> {
    Ok(axum::Json(app.opened.router.store_views().await?))
}
