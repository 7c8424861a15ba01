//! The operator's console at `/console`: pages for people, rendered here, in the same binary.
//!
//! # How it is built
//!
//! A page is one file under `console/`, and reads from top to bottom:
//!
//! 1. a `View`: everything that the page shows, as plain data, read from the library by
//!    `View::read(…)`, or by the handler if that is a line or two;
//! 2. `View::page(&self, &Viewer) -> Markup`, which puts it into the [`frame::Frame`] with the pieces of
//!    [`parts`];
//! 3. the handlers: `GET` shows, `POST` does one thing by the library and answers `303` to a page whose
//!    `?done=` says what was done ([`done::Done`]), or shows the page again with what was typed and what
//!    is wrong; a new API key is the exception ([`keys`]);
//! 4. tests: `View::sample()` renders, and [`check`] reads it as a visitor would: landmarks, headings,
//!    labels, nothing inline, nothing unescaped, every link leads somewhere. A sample holds a `<script>`
//!    wherever somebody else chooses the text.
//!
//! Links are made in [`paths`] and nowhere else; routes are in [`routes`].
//!
//! # What always holds
//!
//! - No page asks another host for anything, and none has inline scripts or styles: [`secured`] forbids
//!   both, whatever a page does.
//! - Without JavaScript everything works but the parts that refresh themselves: those are elements with
//!   `hx-get` and `hx-trigger="every …"` (htmx, embedded), whose address answers the fragment alone.
//! - Whatever text comes from outside is escaped by `maud`; `PreEscaped` is for pictures that we draw.
//! - A colour never says anything alone: a [`parts::Tone`] comes with an icon or a word.
//! - Who acts is a [`viewer::Viewer`], from one extractor.

pub mod address;
pub mod answer;
pub mod assets;
pub mod audit;
#[cfg(test)]
pub mod check;
pub mod checks;
#[cfg(test)]
mod contrast;
pub mod counts;
pub mod decided;
pub mod deployment;
pub mod done;
#[cfg(test)]
mod flows;
pub mod frame;
pub mod home;
pub mod key;
pub mod keys;
pub mod lengths;
mod login;
pub mod moves;
pub mod parts;
pub mod paths;
pub mod plan;
pub mod plans;
pub mod platform;
#[cfg(test)]
mod samples;
pub mod scenario;
pub mod scenarios;
pub mod sent;
pub mod session;
pub mod sessions;
pub mod stores;
pub mod tenant;
pub mod tenants;
pub mod told;
pub mod viewer;
pub mod words;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};

use answer::Trouble;
use counts::Counts;

use crate::http::App;

/// What a page may load, and from where: from here, and nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Everything under `/console`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/console", get(home::show))
        .route("/console/", get(|| async { Redirect::permanent(paths::HOME) }))
        .route("/console/login", get(login::show).post(login::enter))
        .route("/console/logout", get(|| async { Redirect::to(paths::HOME) }).post(login::leave))
        .route("/console/open", get(home::open))
        .route("/console/assets/{name}", get(assets::serve))
        .merge(platform::routes())
        .merge(of_scenarios())
        .merge(of_plans())
        .route("/console/tenants/{tenant}/sessions", get(sessions::show))
        .route("/console/tenants/{tenant}/sessions/{session}", get(session::show))
        .route("/console/tenants/{tenant}/audit", get(audit::show))
        .route("/console/{*path}", get(no_such_page).post(no_such_page))
        .layer(Extension(Counts::default()))
        .layer(map_response(secured))
}

/// A tenant's scenarios.
fn of_scenarios() -> Router<App> {
    Router::new()
        .route("/console/tenants/{tenant}/scenarios", get(scenarios::show))
        .route(
            "/console/tenants/{tenant}/scenarios/new",
            get(scenario::document::register_form).post(scenario::document::register),
        )
        .route("/console/tenants/{tenant}/scenarios/{scenario}", get(scenario::show))
        .route(
            "/console/tenants/{tenant}/scenarios/{scenario}/new-version",
            get(scenario::document::plan_form).post(scenario::document::plan),
        )
}

/// A tenant's plans.
fn of_plans() -> Router<App> {
    use plan::{anchor, decision, forecast};
    Router::new()
        .route("/console/tenants/{tenant}/plans", get(plans::show))
        .route("/console/tenants/{tenant}/plans/{plan}", get(plan::show))
        .route(
            "/console/tenants/{tenant}/plans/{plan}/anchors/{key}",
            get(anchor::show).post(anchor::save),
        )
        .route(
            "/console/tenants/{tenant}/plans/{plan}/forecast",
            get(forecast::live).post(forecast::begin),
        )
        .route("/console/tenants/{tenant}/plans/{plan}/forecast/cancel", post(forecast::cancel))
        .route("/console/tenants/{tenant}/plans/{plan}/approve", post(decision::approve))
        .route("/console/tenants/{tenant}/plans/{plan}/reject", post(decision::reject))
        .route("/console/tenants/{tenant}/plans/{plan}/deploy", post(decision::deploy))
        .route("/console/tenants/{tenant}/plans/{plan}/withdraw", post(decision::withdraw))
        .route("/console/tenants/{tenant}/plans/{plan}/deployment", get(deployment::show))
        .route("/console/tenants/{tenant}/plans/{plan}/deployment/live", get(deployment::live))
        .route("/console/tenants/{tenant}/plans/{plan}/deployment/forecast", get(forecast::against))
}

async fn no_such_page(State(_): State<App>, uri: Uri) -> Trouble {
    Trouble::no_such_page(uri.path())
}

/// Says what browsers must not do with an answer of the console.
pub async fn secured(response: Response) -> Response {
    let mut response = response.into_response();
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What a page shows belongs to whoever was signed in; assets say otherwise themselves.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
