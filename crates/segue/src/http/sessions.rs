//! `/sessions`: one customer's way through a scenario.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use jiff::Timestamp;
use segue_core::ids::{
    Channel, CustomerId, EventId, FieldName, Position, ScenarioId, SessionId, StepId,
    StreamVersion, Version,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::error::{ErrorBody, Refusal};
use super::extract::{Json, Path, Query, Tenant};
use super::page::Limit;
use super::scenarios::Paging;
use super::{App, BASE};
use crate::error::Error;
use crate::scenarios::{SessionFilter, SessionView, StartSession};

/// A session to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    /// Which scenario it walks; it begins at the entry of the current version.
    pub scenario_id: ScenarioId,
    /// Where the conversation takes place, such as `whatsapp`.
    pub channel: Channel,
    /// Whose profile it reads and writes.
    pub customer_id: Option<CustomerId>,
    /// What is known from the start.
    #[serde(default)]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub variables: BTreeMap<FieldName, Value>,
    /// Its id; a fresh one if none is given.
    pub id: Option<SessionId>,
}

/// Which sessions are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub struct SessionQuery {
    /// Only of this scenario.
    #[param(value_type = Option<uuid::Uuid>)]
    pub scenario_id: Option<ScenarioId>,
    /// Only on this version.
    #[param(value_type = Option<u64>)]
    pub version: Option<Version>,
    /// Only at this step.
    #[param(value_type = Option<String>)]
    pub step_id: Option<StepId>,
    /// Only on this channel.
    #[param(value_type = Option<String>)]
    pub channel: Option<Channel>,
    /// Only of this customer.
    #[param(value_type = Option<String>)]
    pub customer_id: Option<CustomerId>,
    /// Only those with a pending migration, or only those without one.
    pub pending: Option<bool>,
    /// Items at most: 1 to 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 50)]
    pub limit: Limit,
    /// Where to go on: the `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A page of sessions.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionList {
    /// The newest first.
    pub sessions: Vec<SessionView>,
    /// How many match in all.
    pub total: u64,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// Something that happened in a session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionEvent {
    /// Its id.
    pub event_id: EventId,
    /// What happened, such as `MigrationApplied`.
    pub event_type: String,
    /// Its place in the session, from 1 on.
    pub version: StreamVersion,
    /// Its place in the tenant log.
    pub position: Position,
    /// The bytes as stored; null since they were erased.
    #[schema(value_type = Option<Object>)]
    pub payload: Option<Box<RawValue>>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Timestamp,
}

/// A page of what happened.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionEvents {
    /// The oldest first.
    pub events: Vec<SessionEvent>,
    /// How many there are in all.
    pub total: u64,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// Starts a session
#[utoipa::path(post, path = "/sessions", tag = "sessions", params(("X-Tenant-ID" = uuid::Uuid, Header)),
    request_body = NewSession,
    responses((status = 201, body = SessionView),
        (status = 400, description = "`invalid_field_value`", body = ErrorBody),
        (status = 404, description = "`scenario_not_found`", body = ErrorBody),
        (status = 409, description = "`already_exists`", body = ErrorBody)))]
pub async fn start_session(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Json(new): Json<NewSession>,
) -> Result<(StatusCode, [(HeaderName, String); 1], axum::Json<SessionView>), Refusal> {
    let start = StartSession {
        scenario_id: new.scenario_id,
        channel: new.channel,
        customer_id: new.customer_id,
        variables: new.variables,
        id: new.id,
    };
    let session = app.opened.scenarios.sessions.start(tenant, start).await?;
    let place = [(header::LOCATION, format!("{BASE}/sessions/{}", session.session.id))];
    Ok((StatusCode::CREATED, place, axum::Json(session)))
}

/// Lists sessions
#[utoipa::path(get, path = "/sessions", tag = "sessions",
    params(("X-Tenant-ID" = uuid::Uuid, Header), SessionQuery),
    responses((status = 200, body = SessionList), (status = 400, body = ErrorBody)))]
pub async fn list_sessions(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Query(query): Query<SessionQuery>,
) -> Result<axum::Json<SessionList>, Refusal> {
    let filter = SessionFilter {
        scenario_id: query.scenario_id,
        version: query.version,
        step_id: query.step_id,
        channel: query.channel,
        customer_id: query.customer_id,
        pending: query.pending,
    };
    let (limit, cursor) = (query.limit.0 as usize, query.cursor.as_deref());
    let page = app.opened.scenarios.sessions.list(tenant, filter, limit, cursor).await?;
    Ok(axum::Json(SessionList {
        sessions: page.sessions,
        total: page.total,
        next_cursor: page.next_cursor,
    }))
}

/// Shows a session, with the migration that is pending for it
#[utoipa::path(get, path = "/sessions/{session_id}", tag = "sessions",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("session_id" = uuid::Uuid, Path)),
    responses((status = 200, body = SessionView), (status = 404, body = ErrorBody)))]
pub async fn get_session(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(id): Path<SessionId>,
) -> Result<axum::Json<SessionView>, Refusal> {
    Ok(axum::Json(app.opened.scenarios.sessions.get(tenant, id).await?))
}

/// Bytes that should be JSON.
fn json(payload: Vec<u8>) -> Result<Box<RawValue>, String> {
    let text = String::from_utf8(payload).map_err(|error| error.to_string())?;
    RawValue::from_string(text).map_err(|error| error.to_string())
}

/// Lists what happened in a session
#[utoipa::path(get, path = "/sessions/{session_id}/events", tag = "sessions",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("session_id" = uuid::Uuid, Path), Paging),
    responses((status = 200, body = SessionEvents), (status = 404, body = ErrorBody)))]
pub async fn list_session_events(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(id): Path<SessionId>,
    Query(paging): Query<Paging>,
) -> Result<axum::Json<SessionEvents>, Refusal> {
    let from = paging.cursor.map_or(Ok(1), |cursor| cursor.parse::<u64>());
    let from = StreamVersion(from.map_err(|_| Error::BadCursor)?);
    let limit = paging.limit.0 as usize;
    let page = app.opened.scenarios.sessions.events(tenant, id, from, limit).await?;
    let mut events = Vec::with_capacity(page.events.len());
    for event in page.events {
        let payload = event.payload.map(json).transpose().map_err(|reason| Error::Corrupt {
            what: "the event store",
            reason: format!("event {} should be JSON: {reason}", event.event_id),
            source: None,
        })?;
        events.push(SessionEvent {
            event_id: event.event_id,
            event_type: event.event_type.into_owned(),
            version: event.version,
            position: event.position,
            payload,
            recorded_at: event.recorded_at,
        });
    }
    let next_cursor = page.next.map(|next| next.to_string());
    Ok(axum::Json(SessionEvents { events, total: page.version.0, next_cursor }))
}
