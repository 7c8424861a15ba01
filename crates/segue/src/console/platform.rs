//! The platform's side of the console: where tenants live, how they move, and who may use it all. The routes of its pages.

use axum::Router;
use axum::routing::get;

use super::{decided, key, keys, moves, stores, tenant, tenants};
use crate::http::App;

/// The routes of tenants, stores, moves and API keys.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/console/tenants", get(tenants::show))
        .route("/console/tenants/{tenant}", get(tenant::show))
        .route("/console/tenants/{tenant}/pause-writes", get(tenant::back).post(tenant::pause))
        .route("/console/tenants/{tenant}/resume-writes", get(tenant::back).post(tenant::resume))
        .route("/console/tenants/{tenant}/verify", get(tenant::back).post(tenant::verify))
        .route("/console/tenants/{tenant}/check", get(tenant::check))
        .route("/console/tenants/{tenant}/move", get(moves::start::show).post(moves::start::start))
        .route("/console/stores", get(stores::show))
        .route("/console/moves", get(moves::show))
        .route("/console/moves/{id}", get(moves::one::show))
        .route("/console/moves/{id}/live", get(moves::live::show))
        .route("/console/moves/{id}/check", get(moves::verification::show))
        .route("/console/moves/{id}/{act}", get(moves::acts::back).post(moves::acts::act))
        .route("/console/decided", get(decided::show))
        .route("/console/keys", get(keys::show))
        .route("/console/keys/new", get(keys::form).post(keys::make))
        .route("/console/keys/{key}", get(key::show))
        .route("/console/keys/{key}/rotate", get(key::back).post(key::rotate))
        .route("/console/keys/{key}/revoke", get(key::back).post(key::revoke))
}
