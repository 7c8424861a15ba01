//! Every error as an answer, once: status, stable code, message, details.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use segue_core::scenario::validate::Problem;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::code::Code;
use crate::error::{Error, Kind};
use crate::telemetry;
use crate::tenants::MigrationError;

/// Seconds after which a refused request may succeed.
const RETRY_AFTER_SECONDS: u64 = 1;

/// The body of every answer that is not a success.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// Stable, snake_case; explained in `docs/errors/<code>.md`.
    #[schema(value_type = String, example = "scenario_not_found")]
    pub code: Code,
    /// What happened, to what, and what to do.
    #[schema(example = "there is no scenario 6f1c3b1e-0d5a-4c55-9a3e-0f4f6b8f1a10")]
    pub message: String,
    /// What a program may want to know; its shape depends on the code.
    pub details: Value,
}

/// An answer that is not a success.
#[derive(Debug)]
pub struct Refusal {
    /// What is answered.
    pub body: ErrorBody,
    /// What lies behind it, for the log, if that says more than the answer.
    behind: Option<String>,
}

/// What is to be logged of an answer with a status of 500 and more.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The code that was answered.
    pub code: Code,
    /// What happened, with its causes.
    pub message: String,
}

impl Refusal {
    /// Refuses with details.
    pub fn new(code: Code, message: impl Into<String>, details: Value) -> Self {
        Self { body: ErrorBody { code, message: message.into(), details }, behind: None }
    }

    /// What is to be logged of it, if anything is.
    pub fn failure(&self) -> Option<Failure> {
        let code = self.body.code;
        let message = || self.behind.clone().unwrap_or_else(|| self.body.message.clone());
        code.status().is_server_error().then(|| Failure { code, message: message() })
    }

    /// Refuses a part of the path, the query or a header.
    pub fn parameter(name: &str, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidParameter, message, json!({ "parameter": name }))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        telemetry::request_refused(self.body.code);
        let (status, failure) = (self.body.code.status(), self.failure());
        let mut response = (status, axum::Json(self.body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"segue\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(failure) = failure {
            response.extensions_mut().insert(failure);
        }
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (code, details) = code_and_details(&error);
        let behind = code.status().is_server_error().then(|| with_sources(&error));
        Self { behind, ..Self::new(code, error.to_string(), details) }
    }
}

/// The one mapping from what can go wrong to what is answered.
fn code_and_details(error: &Error) -> (Code, Value) {
    match error {
        Error::NotFound { kind, id } => (not_found(*kind), json!({ "id": id })),
        Error::Exists { kind, id } => {
            (Code::AlreadyExists, json!({ "kind": kind.to_string(), "id": id }))
        }
        Error::Invalid { what, problems } => (invalid(what), problems_of(problems)),
        Error::VersionNotGreater { current, given } => {
            (Code::VersionNotGreater, json!({ "current_version": current, "given_version": given }))
        }
        Error::PlanExists { plan_id, from, to } => (
            Code::PlanExists,
            json!({ "plan_id": plan_id, "from_version": from, "to_version": to }),
        ),
        Error::PlanStatus { action, status, allowed } => (
            Code::InvalidStateTransition,
            json!({
                "current_state": status,
                "attempted_action": action,
                "allowed_states": allowed,
            }),
        ),
        Error::FourEyes { plan_id } => (Code::FourEyes, json!({ "plan_id": plan_id })),
        Error::PlanChanged { plan_id } => (Code::PlanChanged, json!({ "plan_id": plan_id })),
        Error::SessionOver { session, status } => {
            (Code::SessionOver, json!({ "session_id": session, "status": status }))
        }
        Error::UnknownStore { store, known } => {
            (Code::StoreNotFound, json!({ "store_id": store, "known_store_ids": known }))
        }
        Error::TenantPlaced { tenant, store } => {
            (Code::TenantAlreadyPlaced, json!({ "tenant_id": tenant, "store_id": store }))
        }
        Error::SessionErased { session } => (Code::SessionErased, json!({ "session_id": session })),
        Error::StepNotAllowed { from, to, allowed } => (
            Code::StepNotAllowed,
            json!({ "from_step_id": from, "to_step_id": to, "allowed_step_ids": allowed }),
        ),
        Error::IdempotencyKeyReused { key } => {
            (Code::IdempotencyKeyReused, json!({ "idempotency_key": key }))
        }
        Error::TooMany { kind, limit } => {
            (Code::LimitReached, json!({ "kind": kind.to_string(), "limit": limit }))
        }
        Error::TooManyForecasts { limit } => (Code::TooManyForecasts, json!({ "limit": limit })),
        Error::VersionConflict { stream, expected, current } => (
            Code::VersionConflict,
            json!({
                "stream_id": stream.as_str(),
                "expected": expected.to_string(),
                "current_version": current,
            }),
        ),
        Error::DuplicateEvent { event_id } => {
            (Code::DuplicateEvent, json!({ "event_id": event_id }))
        }
        Error::ReservedStream { stream } => {
            (Code::ReservedStream, json!({ "stream_id": stream.as_str() }))
        }
        Error::PositionAhead { position, last } => {
            (Code::PositionAhead, json!({ "position": position, "last_position": last }))
        }
        Error::WritePaused(paused) => {
            (Code::WritePaused, json!({ "timeout_seconds": paused.timeout_seconds }))
        }
        Error::Migration(error) => migration(error),
        Error::BadCursor => (Code::InvalidCursor, json!({ "parameter": "cursor" })),
        Error::Contended { session } => (Code::Contended, json!({ "session_id": session })),
        Error::Unavailable { what, reason: _, source: _ } => {
            (Code::StoreUnavailable, json!({ "part": what }))
        }
        Error::Corrupt { what, reason: _, source: _ } => {
            (Code::StoreCorrupt, json!({ "part": what }))
        }
    }
}

fn migration(error: &MigrationError) -> (Code, Value) {
    use MigrationError as M;
    let (code, mut details) = match error {
        M::NotFound { .. } => (Code::MigrationNotFound, json!({})),
        M::AlreadyExists { tenant_id, state, .. } => {
            (Code::MigrationAlreadyExists, json!({ "tenant_id": tenant_id, "state": state }))
        }
        M::InvalidStateTransition {
            current_state, attempted_state, allowed_transitions, ..
        } => (
            Code::InvalidStateTransition,
            json!({
                "current_state": current_state,
                "attempted_state": attempted_state,
                "allowed_transitions": allowed_transitions,
            }),
        ),
        M::CutoverTimeout { timeout_seconds, blocked_writers, .. } => (
            Code::CutoverTimeout,
            json!({ "timeout_seconds": timeout_seconds, "blocked_writers": blocked_writers }),
        ),
        M::Consistency { details, .. } => (Code::ConsistencyError, json!({ "details": details })),
        M::SameStore { tenant_id, store } => {
            (Code::SameStore, json!({ "tenant_id": tenant_id, "store_id": store }))
        }
        M::TargetOccupied { tenant_id, store, .. } => {
            (Code::TargetOccupied, json!({ "tenant_id": tenant_id, "store_id": store }))
        }
        M::UnsafeDurability { store, settings } => {
            (Code::UnsafeDurability, json!({ "store_id": store, "settings": settings }))
        }
        M::Obstructed { .. } => (Code::MigrationObstructed, json!({})),
    };
    details["migration_id"] = json!(error.migration_id());
    details["recoverable"] = json!(error.recoverable());
    details["suggested_action"] = json!(error.suggested_action());
    (code, details)
}

fn not_found(kind: Kind) -> Code {
    match kind {
        Kind::Scenario => Code::ScenarioNotFound,
        Kind::Version => Code::VersionNotFound,
        Kind::Plan => Code::PlanNotFound,
        Kind::Anchor => Code::AnchorNotFound,
        Kind::Session => Code::SessionNotFound,
        Kind::Field => Code::FieldNotFound,
        Kind::Tenant => Code::TenantNotFound,
        Kind::Stream => Code::StreamNotFound,
        Kind::Subscription => Code::SubscriptionNotFound,
        Kind::Key => Code::KeyNotFound,
        Kind::Forecast => Code::ForecastNotFound,
    }
}

fn invalid(what: &str) -> Code {
    match what {
        "scenario" => Code::InvalidScenario,
        "policies" => Code::InvalidPolicies,
        "field" => Code::InvalidFieldDefinition,
        "values" => Code::InvalidFieldValue,
        "turn" => Code::InvalidTurn,
        "append" => Code::InvalidAppend,
        _ => Code::InvalidRequest,
    }
}

fn problems_of(problems: &[Problem]) -> Value {
    json!({ "problems": problems })
}

fn with_sources(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_tenant_has_is_simply_not_there() {
        let refusal = Refusal::from(Error::NotFound { kind: Kind::Plan, id: "7".into() });
        assert_eq!(refusal.body.code, Code::PlanNotFound);
        assert_eq!(refusal.body.message, "there is no plan 7");
        assert_eq!(refusal.into_response().status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_refusal_that_will_pass_says_when_to_come_back() {
        let full = Error::Unavailable {
            what: "the event store",
            reason: "disk full".into(),
            source: None,
        };
        let response = Refusal::from(full).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "1");
    }
}
