//! What the console answers with: a page, the way to another page, or what went wrong, as a page.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::done::Done;
use super::frame::{Frame, Place};
use super::parts::{Tone, badge};
use super::{paths, words};
use crate::error::Error;
use crate::http::error::{Failure, Refusal};

/// A page, or a part of one that refreshes itself.
#[derive(Debug)]
pub struct Page(pub Markup);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        Html(self.0.into_string()).into_response()
    }
}

/// What went wrong, as a page. The words are those of the API, so that they can be looked up.
#[derive(Debug)]
pub struct Trouble {
    /// The HTTP status.
    pub status: StatusCode,
    title: &'static str,
    /// What happened, to what, and what to do.
    pub message: String,
    /// The stable code, explained in docs/errors.
    code: Option<&'static str>,
    /// What is to be logged of it.
    failure: Option<Failure>,
}

impl Trouble {
    /// Nothing is at this address.
    #[must_use]
    pub fn no_such_page(path: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            title: "No such page",
            message: format!("There is no page {path}."),
            code: None,
            failure: None,
        }
    }

    /// A request that cannot be understood.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::refused(StatusCode::BAD_REQUEST, message)
    }

    /// A request that is not carried out.
    #[must_use]
    pub fn refused(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            title: "That did not work",
            message: message.into(),
            code: None,
            failure: None,
        }
    }

    /// Whether whoever filled in a form can put it right there.
    #[must_use]
    pub fn is_the_senders(&self) -> bool {
        matches!(
            self.status,
            StatusCode::BAD_REQUEST
                | StatusCode::FORBIDDEN
                | StatusCode::CONFLICT
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNPROCESSABLE_ENTITY
                | StatusCode::TOO_MANY_REQUESTS
        )
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        let status = refusal.body.code.status();
        let failure = refusal.failure();
        let title = match status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::FORBIDDEN => "Not allowed",
            StatusCode::SERVICE_UNAVAILABLE => "Not available just now",
            status if status.is_server_error() => "Something is wrong here",
            _ => "That did not work",
        };
        Self {
            status,
            title,
            message: words::sentence(&refusal.body.message),
            code: Some(refusal.body.code.as_str()),
            failure,
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Refusal::from(error).into()
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let body = html! {
            section.card.trouble {
                header {
                    h1 { (self.title) }
                    (badge(if self.status.is_server_error() { Tone::Bad } else { Tone::Warn }, self.status.as_str()))
                }
                div.inside {
                    p { (self.message) }
                    @if let Some(code) = self.code {
                        p.quiet.small { "Its code is " code { (code) } "; it is explained in " code { "docs/errors/" (code) ".md" } "." }
                    }
                    p { a.button href=(paths::HOME) { "To the overview" } }
                }
            }
        };
        let frame = Frame { place: Place::Elsewhere, title: self.title, trail: &[], viewer: None };
        let mut response = (self.status, Page(frame.around(body))).into_response();
        if let Some(failure) = self.failure {
            response.extensions_mut().insert(failure);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// After a form was carried out: the page to look at, which says what was done.
pub fn done(path: &str, done: Done) -> Redirect {
    Redirect::to(&paths::asking(path, &[("done", done.word())]))
}
