//! The HTTP API: one file per resource, one function per endpoint.
//!
//! A request passes one layer ([`observe`]), which lets it in ([`access`]), is parsed once ([`extract`]), and is answered by the
//! library; every error becomes an answer in one place ([`error`]). Wire types live beside their
//! endpoints. The description ([`docs`]) is generated from the same functions.

pub mod access;
pub mod audit;
pub mod code;
pub mod customers;
pub mod deployments;
mod docs;
pub mod erasure;
pub mod error;
pub mod events;
pub mod extract;
pub mod fields;
mod followed;
pub mod forecasts;
mod health;
pub mod keys;
pub mod live;
pub mod moves;
mod observe;
pub mod page;
pub mod pass;
pub mod plans;
mod request_id;
pub mod scenarios;
mod serve;
pub mod sessions;
mod signed;
mod stalled;
pub mod stores;
pub mod streams;
pub mod subscriptions;
pub mod tenants;
pub mod turns;
pub mod verify;

use std::sync::Arc;
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
use live::Live;

use crate::auth::Access;
use crate::clock::Clock;
use crate::console::checks::Checks;
use crate::stores::Opened;

/// Where the API lives.
pub const BASE: &str = "/api/v1";

/// What every endpoint can reach. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// What requests are about.
    pub opened: Arc<Opened>,
    /// Who may do what.
    pub access: Arc<Access>,
    /// Tells the time and makes ids.
    pub clock: Arc<dyn Clock>,
    /// Renders the metrics.
    pub prometheus: PrometheusHandle,
    /// The largest request body.
    pub max_body_bytes: usize,
    /// When a request is given up.
    pub request_timeout: Duration,
    /// When a client that takes nothing of its answer is given up.
    pub stalled_reader_timeout: Duration,
    /// Live streams and long polls.
    pub live: Arc<Live>,
    /// Verifications and repairs that the console has begun.
    pub checks: Arc<Checks>,
}

fn endpoints() -> OpenApiRouter<App> {
    let api = OpenApiRouter::new()
        .routes(routes!(scenarios::register_scenario, scenarios::list_scenarios))
        .routes(routes!(scenarios::get_scenario))
        .routes(routes!(scenarios::list_versions))
        .routes(routes!(scenarios::get_version))
        .routes(routes!(plans::generate_migration_plan))
        .routes(routes!(plans::list_migration_plans))
        .routes(routes!(plans::get_migration_plan))
        .routes(routes!(plans::get_migration_summary))
        .routes(routes!(plans::get_anchor))
        .routes(routes!(plans::update_anchor_policies))
        .routes(routes!(plans::approve_migration_plan))
        .routes(routes!(plans::reject_migration_plan))
        .routes(routes!(
            forecasts::forecast_migration_plan,
            forecasts::get_forecast,
            forecasts::cancel_forecast
        ))
        .routes(routes!(deployments::deploy_migration_plan))
        .routes(routes!(deployments::withdraw_migration_plan))
        .routes(routes!(deployments::get_deployment_status))
        .routes(routes!(deployments::list_applications))
        .routes(routes!(fields::put_field))
        .routes(routes!(fields::list_fields))
        .routes(routes!(sessions::start_session, sessions::list_sessions))
        .routes(routes!(sessions::get_session))
        .routes(routes!(sessions::list_session_events))
        .routes(routes!(turns::take_turn))
        .routes(routes!(customers::get_profile, customers::patch_profile))
        .routes(routes!(streams::append_events, streams::read_stream))
        .routes(routes!(events::read_log))
        .routes(routes!(subscriptions::list_subscriptions))
        .routes(routes!(
            subscriptions::put_subscription,
            subscriptions::get_subscription,
            subscriptions::delete_subscription
        ))
        .routes(routes!(subscriptions::read_subscription))
        .routes(routes!(subscriptions::acknowledge))
        .routes(routes!(erasure::redact_stream))
        .routes(routes!(erasure::erase_customer))
        .routes(routes!(stores::list_stores))
        .routes(routes!(tenants::list_tenants))
        .routes(routes!(tenants::get_tenant, tenants::place_tenant))
        .routes(routes!(tenants::pause_writes))
        .routes(routes!(tenants::resume_writes))
        .routes(routes!(audit::list_tenant_audit))
        .routes(routes!(verify::verify_tenant));
    OpenApiRouter::with_openapi(docs::whole())
        .nest(BASE, api.merge(of_moves()).merge(of_keys()))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}

/// The endpoints of tenants' moves.
fn of_moves() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(moves::start_tenant_migration))
        .routes(routes!(moves::list_tenant_migrations))
        .routes(routes!(moves::get_tenant_migration))
        .routes(routes!(moves::status::follow_tenant_migration))
        .routes(routes!(moves::steps::pause_tenant_migration))
        .routes(routes!(moves::steps::resume_tenant_migration))
        .routes(routes!(moves::steps::abort_tenant_migration))
        .routes(routes!(moves::steps::cut_tenant_migration_over))
        .routes(routes!(moves::steps::reverse_tenant_migration))
        .routes(routes!(moves::steps::finish_tenant_migration))
        .routes(routes!(moves::verification::verify_tenant_migration))
        .routes(routes!(moves::verification::repair_tenant_migration))
        .routes(routes!(moves::verification::get_tenant_migration_verification))
        .routes(routes!(moves::record::get_tenant_migration_failures))
        .routes(routes!(moves::record::get_tenant_migration_subscriptions))
        .routes(routes!(moves::record::list_tenant_migration_audit))
}

/// The endpoints of API keys.
fn of_keys() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(keys::create_key, keys::list_keys))
        .routes(routes!(keys::get_key, keys::revoke_key))
        .routes(routes!(keys::rotate_key))
        .routes(routes!(keys::list_key_audit))
}

/// The description of the API.
#[must_use]
pub fn openapi() -> OpenApi {
    docs::completed(endpoints().into_openapi())
}

/// Everything that is served.
pub fn router(app: App) -> Router {
    let (router, api) = endpoints().split_for_parts();
    let api = docs::completed(api);
    router
        .merge(docs::routes(&api))
        .merge(crate::console::routes())
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
