//! The HTTP API: one file per resource, one function per endpoint.
//!
//! A request passes one layer ([`observe`]), is parsed once ([`extract`]), and is answered by the
//! library; every error becomes an answer in one place ([`error`]). Wire types live beside their
//! endpoints. The description ([`docs`]) is generated from the same functions.

pub mod code;
mod docs;
pub mod error;
pub mod extract;
mod health;
mod observe;
mod page;
mod serve;

use std::time::Duration;

use axum::Router;
use axum::http::{Method, Uri};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use docs::text as openapi_text;
pub use serve::{asked_to_stop, serve};

use code::Code;
use error::Refusal;

/// Where the API lives.
pub const BASE: &str = "/api/v1";

/// What every endpoint can reach. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// Renders the metrics.
    pub prometheus: PrometheusHandle,
    /// The largest request body.
    pub max_body_bytes: usize,
    /// When a request is given up.
    pub request_timeout: Duration,
}

fn endpoints() -> OpenApiRouter<App> {
    let api = OpenApiRouter::new();
    OpenApiRouter::with_openapi(docs::whole())
        .nest(BASE, api)
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}

/// The description of the API.
#[must_use]
pub fn openapi() -> OpenApi {
    endpoints().into_openapi()
}

/// Everything that is served.
#[must_use]
pub fn router(app: App) -> Router {
    let (router, api) = endpoints().split_for_parts();
    router
        .merge(docs::routes(&api))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(axum::middleware::from_fn_with_state(app.clone(), observe::observe))
        .with_state(app)
}

async fn no_such_route(uri: Uri) -> Refusal {
    let message = format!("there is no path {}: the API is described at /docs", uri.path());
    Refusal::new(Code::RouteNotFound, message, json!({ "path": uri.path() }))
}

async fn no_such_method(method: Method, uri: Uri) -> Refusal {
    let message = format!("{} does not take {method}: the API is described at /docs", uri.path());
    Refusal::new(
        Code::MethodNotAllowed,
        message,
        json!({ "path": uri.path(), "method": method.as_str() }),
    )
}
