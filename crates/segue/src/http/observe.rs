//! One layer around every endpoint: it gives up requests that take too long, answers for those that
//! panic, and counts and times them all. One layer, because turns pass through here.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use serde_json::json;

use super::App;
use super::code::Code;
use super::error::Refusal;
use crate::telemetry;

/// Runs the endpoint under observation.
pub async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();

    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let response = match tokio::time::timeout(app.request_timeout, answer).await {
        Ok(Ok(response)) => response,
        // The panic hook has logged what happened and where.
        Ok(Err(_panic)) => Refusal::new(
            Code::Internal,
            "this request met a defect of Segue: please report it with the log of the server",
            json!({}),
        )
        .into_response(),
        Err(_elapsed) => Refusal::new(
            Code::TimedOut,
            "the request took too long and was given up; it may or may not have taken effect: \
             read the state, or repeat a turn with the same Idempotency-Key",
            json!({ "timeout_ms": app.request_timeout.as_millis() }),
        )
        .into_response(),
    };

    let route = route.map_or_else(|| "unmatched".to_owned(), |route| route.as_str().to_owned());
    telemetry::request_answered(method, route, status_label(response.status()), started.elapsed());
    response
}

/// A label without allocation, and without a series for every word a client makes up.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn status_label(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200 => "200",
        201 => "201",
        303 => "303",
        307 => "307",
        400 => "400",
        404 => "404",
        405 => "405",
        409 => "409",
        413 => "413",
        415 => "415",
        422 => "422",
        500 => "500",
        503 => "503",
        code if code < 300 => "2xx",
        code if code < 400 => "3xx",
        code if code < 500 => "4xx",
        _ => "5xx",
    }
}
