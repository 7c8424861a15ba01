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
//!    is wrong;
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

pub mod answer;
pub mod assets;
#[cfg(test)]
pub mod check;
pub mod checks;
#[cfg(test)]
mod contrast;
pub mod decided;
pub mod done;
pub mod frame;
pub mod home;
pub mod lengths;
pub mod moves;
pub mod parts;
pub mod paths;
pub mod platform;
pub mod sent;
pub mod stores;
pub mod tenant;
pub mod tenants;
pub mod told;
pub mod viewer;
pub mod words;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use answer::Trouble;

use crate::http::App;

/// What a page may load, and from where: from here, and nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Everything under `/console`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/console", get(home::show))
        .route("/console/", get(|| async { Redirect::permanent(paths::HOME) }))
        .route("/console/open", get(home::open))
        .route("/console/assets/{name}", get(assets::serve))
        .merge(platform::routes())
        .route("/console/{*path}", get(no_such_page).post(no_such_page))
        .layer(map_response(secured))
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
