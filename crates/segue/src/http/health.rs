//! `/healthz`, `/readyz`, `/metrics`: what supervisors and scrapers ask.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::error::{ErrorBody, Refusal};

/// The server's state.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`.
    #[schema(example = "ok")]
    pub status: &'static str,
    /// The version of the program.
    pub version: &'static str,
}

const OK: Health = Health { status: "ok", version: env!("CARGO_PKG_VERSION") };

/// Says that the process is alive
#[utoipa::path(get, path = "/healthz", tag = "server",
    responses((status = 200, body = Health)))]
pub async fn healthz() -> axum::Json<Health> {
    axum::Json(OK)
}

/// Says whether every store can be read and written
#[utoipa::path(get, path = "/readyz", tag = "server",
    responses((status = 200, body = Health), (status = 503, body = ErrorBody)))]
pub async fn readyz(State(app): State<App>) -> Result<axum::Json<Health>, Refusal> {
    app.opened.ready().await?;
    Ok(axum::Json(OK))
}

/// Renders the metrics for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "server",
    responses((status = 200, content_type = "text/plain", body = String)))]
pub async fn metrics(State(app): State<App>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.prometheus.render())
}
