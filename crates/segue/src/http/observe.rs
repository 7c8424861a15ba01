//! One layer around every endpoint: it names requests, lets them in ([`super::access`]), gives up those that
//! take too long, answers for those that panic, traces, counts and times them all, and logs those that
//! failed, once. One layer, because turns pass through here.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use serde_json::json;
use tracing::Instrument;

use super::code::Code;
use super::error::{Failure, Refusal};
use super::{App, access, request_id};
use crate::console::{self, answer::Trouble};
use crate::telemetry::{self, traces};

/// The route of a request that has none.
const UNMATCHED: &str = "unmatched";

/// Runs the endpoint under observation.
pub async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = label(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let id = request_id::of(request.headers(), &*app.clock);

    // Of the highest level, so that whatever is logged at all has the id.
    let named = tracing::error_span!("request", request_id = request_id::text(&id));
    let traced = named.in_scope(|| traces::of_request(method, route, request.headers()));
    let mut response =
        answer(&app, request, next).instrument(traced.clone()).instrument(named.clone()).await;
    traces::answered(&traced, response.status().as_u16());
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        let status = response.status().as_u16();
        let code = failure.code.as_str();
        let error = failure.message;
        named.in_scope(|| tracing::error!(method, route, status, code, error, "request failed"));
    }
    response.headers_mut().insert(request_id::HEADER, id);
    access::protect(&app.access, matched.as_ref().map(MatchedPath::as_str), response.headers_mut());
    let status = status_label(response.status());
    telemetry::request_answered(method, route.to_owned(), status, started.elapsed());
    response
}

async fn answer(app: &App, mut request: Request, next: Next) -> Response {
    let reader = Reader::of(&request);
    let answer = async {
        match access::admit(&app.access, &mut request).await {
            Ok(None) => next.run(request).await,
            Ok(Some(pass)) => match pass.run(next.run(request)).await {
                Ok(answer) => answer,
                Err(error) => reader.told(error.into()).await,
            },
            Err(answer) => reader.shown(answer).await,
        }
    };
    let answer = AssertUnwindSafe(answer).catch_unwind();
    match tokio::time::timeout(app.request_timeout, answer).await {
        Ok(Ok(response)) => response,
        // The panic hook has logged what happened and where.
        Ok(Err(_panic)) => {
            let message =
                "this request met a defect of Segue: please report it with the log of the server";
            reader.told(Refusal::new(Code::Internal, message, json!({}))).await
        }
        Err(_elapsed) => {
            let message = "the request took too long and was given up; it may or may not have taken effect: \
                 read the state, or repeat a turn or an append with the same Idempotency-Key";
            let details = json!({ "timeout_ms": app.request_timeout.as_millis() });
            reader.told(Refusal::new(Code::TimedOut, message, details)).await
        }
    }
}

/// Who reads an answer that no endpoint gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// A program, by its code.
    Program,
    /// Somebody who looks at the console, and reads pages.
    Person,
}

impl Reader {
    fn of(request: &Request) -> Self {
        if access::wants_console(request) { Self::Person } else { Self::Program }
    }

    async fn told(self, refusal: Refusal) -> Response {
        match self {
            Self::Program => refusal.into_response(),
            Self::Person => self.shown(Trouble::from(refusal).into_response()).await,
        }
    }

    /// An answer, which a page may be shown as.
    async fn shown(self, answer: Response) -> Response {
        match self {
            Self::Program => answer,
            Self::Person => console::secured(answer).await,
        }
    }
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
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        409 => "409",
        413 => "413",
        415 => "415",
        422 => "422",
        429 => "429",
        500 => "500",
        503 => "503",
        code if code < 300 => "2xx",
        code if code < 400 => "3xx",
        code if code < 500 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::auth::Access;
    use crate::clock::SystemClock;
    use crate::config::{Config, Database, Store};
    use crate::http::live::Live;
    use crate::stores::Opened;

    async fn response(path: &str) -> Response {
        let mut config = Config::default();
        config.control.url = Database::Memory;
        config.stores.by_id.values_mut().for_each(|store| *store = Store::Memory);
        let clock = Arc::new(SystemClock);
        let opened = Opened::open(&config, clock.clone()).await.unwrap();
        let app = App {
            access: Access::new(&config, opened.control.clone(), clock.clone()),
            opened: Arc::new(opened),
            clock,
            prometheus: telemetry::init_metrics().unwrap(),
            max_body_bytes: 1024,
            request_timeout: Duration::from_millis(20),
            stalled_reader_timeout: Duration::from_secs(1),
            live: Live::new(config.server.live_limits()),
            checks: Arc::default(),
        };
        let router: Router = Router::new()
            .route("/panic", get(|| async { panic!("a defect") as () }))
            .route("/sleep", get(std::future::pending::<()>))
            .route("/console/panic", get(|| async { panic!("a defect") as () }))
            .route("/console/sleep", get(std::future::pending::<()>))
            .layer(axum::middleware::from_fn_with_state(app, observe));
        let request = Request::get(path).body(Body::empty()).unwrap();
        router.oneshot(request).await.unwrap()
    }

    async fn answer(path: &str) -> (StatusCode, Value) {
        let response = response(path).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_defect_is_answered_in_our_shape() {
        let (status, body) = answer("/panic").await;
        assert_eq!((status.as_u16(), &body["code"]), (500, &"internal".into()));
    }

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_given_up() {
        let (status, body) = answer("/sleep").await;
        assert_eq!((status.as_u16(), &body["code"]), (503, &"timed_out".into()));
        assert_eq!(body["details"]["timeout_ms"], 20);
    }

    #[tokio::test]
    async fn whoever_looks_at_the_console_reads_a_page_of_either() {
        for (path, status, says) in [
            ("/console/panic", 500, "This request met a defect of Segue"),
            ("/console/sleep", 503, "The request took too long"),
        ] {
            let response = response(path).await;
            assert_eq!(response.status().as_u16(), status);
            let policy = response.headers()["content-security-policy"].to_str().unwrap();
            assert!(policy.contains("style-src 'self'"), "the page has its colours: {policy}");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let page = std::str::from_utf8(&body).unwrap();
            assert!(page.starts_with("<!DOCTYPE html>") && page.contains(says), "{page}");
        }
    }
}
