//! `/events`: the tenant log, in pages and as a live tail.

use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use segue_core::ids::{EventId, Position, StreamId, StreamVersion, TenantId};
use segue_store::events::{Event, LogPage, limits};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ErrorBody, Refusal};
use super::extract::{Query, Tenant};
use super::live::{self, Wanted};
use crate::error::Result;
use crate::tenants::PageSize;

/// How much payload and metadata an answer holds at most, in bytes; one event always fits.
const PAGE_BYTES: usize = 4 * limits::EVENT_BYTES;

/// An event as it stands in the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct LoggedEvent {
    /// Its id.
    pub event_id: EventId,
    /// What happened.
    pub event_type: String,
    /// Its stream.
    pub stream_id: StreamId,
    /// What its stream is.
    pub stream_type: String,
    /// Its place in the stream, from 1 on.
    pub version: StreamVersion,
    /// Its place in the tenant log, from 1 on.
    pub position: Position,
    /// The JSON as it was received; null if it was erased, or is no JSON.
    #[schema(value_type = Option<Value>)]
    pub payload: Option<Box<RawValue>>,
    /// The bytes of a payload that is no JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
    /// Whether the payload was erased.
    pub redacted: bool,
    /// The JSON as it was received; null if there is none.
    #[schema(value_type = Option<Value>)]
    pub metadata: Option<Box<RawValue>>,
    /// The bytes of metadata that is no JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata_base64: Option<String>,
    /// When it was appended.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Timestamp,
}

/// Bytes as the API shows them: as JSON where they are JSON, encoded otherwise.
fn shown(bytes: &[u8]) -> (Option<Box<RawValue>>, Option<String>) {
    match serde_json::from_slice(bytes) {
        Ok(json) => (Some(json), None),
        Err(_) => (None, Some(BASE64_STANDARD.encode(bytes))),
    }
}

impl From<Event> for LoggedEvent {
    fn from(event: Event) -> Self {
        let redacted = event.payload.is_none();
        let (payload, payload_base64) = event.payload.as_deref().map_or((None, None), shown);
        let (metadata, metadata_base64) =
            if event.metadata.is_empty() { (None, None) } else { shown(&event.metadata) };
        Self {
            event_id: event.event_id,
            event_type: event.event_type.into_owned(),
            stream_id: event.stream_id,
            stream_type: event.stream_type.into_owned(),
            version: event.version,
            position: event.position,
            payload,
            payload_base64,
            redacted,
            metadata,
            metadata_base64,
            recorded_at: event.recorded_at,
        }
    }
}

/// How many events a page has: 1 to 1,000, by default 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "usize")]
pub struct PageLimit(pub usize);

impl Default for PageLimit {
    fn default() -> Self {
        Self(100)
    }
}

impl TryFrom<usize> for PageLimit {
    type Error = &'static str;

    fn try_from(limit: usize) -> std::result::Result<Self, Self::Error> {
        if (1..=1_000).contains(&limit) { Ok(Self(limit)) } else { Err("limit is 1 to 1000") }
    }
}

/// Which part of the log is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub struct LogQuery {
    /// The position before the page; 0 begins at the first event. A live tail that is resumed takes
    /// `Last-Event-ID` instead.
    #[param(value_type = Option<u64>, default = 0)]
    pub after: Position,
    /// Events at most: 1 to 1,000. Not of a live tail.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<PageLimit>,
    /// Milliseconds to wait for an event if there is none yet, up to 60,000; the answer may come earlier
    /// and empty. Not of a live tail.
    #[param(value_type = Option<u32>, maximum = 60000, default = 0)]
    pub wait_ms: Option<live::Wait>,
}

/// A page of the tenant log.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogEvents {
    /// The events, in order of position.
    pub events: Vec<LoggedEvent>,
    /// Where the next page begins: the position of the last event here.
    pub next_after: Position,
    /// The last position of the log.
    pub head_position: Position,
}

impl LogEvents {
    /// The page after a position.
    pub fn of(page: LogPage, after: Position) -> Self {
        let next_after = page.events.last().map_or(after, |last| last.position);
        let events = page.events.into_iter().map(LoggedEvent::from).collect();
        Self { events, next_after, head_position: page.head.position }
    }
}

/// Reads the tenant log, or follows it live
///
/// With `Accept: text/event-stream` the answer is a live tail that never ends: each event's `id` is its
/// position, its `data` is the event as in a page, and `Last-Event-ID` resumes after it.
#[utoipa::path(get, path = "/events", tag = "events",
    params(("X-Tenant-ID" = uuid::Uuid, Header), LogQuery,
        ("Last-Event-ID" = Option<u64>, Header, description = "The last position seen; of a live tail")),
    responses((status = 200, content((LogEvents = "application/json"), (String = "text/event-stream"))),
        (status = 429, description = "`too_many_streams`", body = ErrorBody),
        (status = 503, description = "`streams_exhausted`, `store_unavailable`", body = ErrorBody)))]
pub async fn read_log(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    match live::wanted(&headers, query.limit, query.wait_ms)? {
        Wanted::Tail { last_seen } => {
            let seat = app.live.seat(tenant)?;
            let after = last_seen.unwrap_or(query.after);
            let follow = app.opened.events.follow(tenant, after, live::TAIL_PAGE);
            Ok(app.live.tail(follow, seat))
        }
        Wanted::Page { limit, wait } => {
            let page = page(&app, tenant, query.after, limit, wait).await?;
            Ok(axum::Json(page).into_response())
        }
    }
}

/// The page after a position, which may have to be waited for.
pub async fn page(
    app: &App,
    tenant: TenantId,
    after: Position,
    limit: PageLimit,
    wait: Duration,
) -> Result<LogEvents, Refusal> {
    let size = PageSize { events: limit.0, bytes: PAGE_BYTES };
    if !wait.is_zero() {
        let _seat = app.live.seat(tenant)?;
        let mut follow = app.opened.events.follow(tenant, after, size);
        if let Some(page) = app.live.wait(&mut follow, wait).await? {
            return Ok(LogEvents::of(page, after));
        }
    }
    let page = app.opened.events.log(tenant, after, size).await?;
    Ok(LogEvents::of(page, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(bytes: &[u8]) -> (Option<String>, Option<String>) {
        let (json, encoded) = shown(bytes);
        (json.map(|json| json.get().to_owned()), encoded)
    }

    #[test]
    fn json_is_shown_as_it_came_and_anything_else_encoded() {
        let json = r#"{"b": 1.00, "a": 1e2,  "b": "\u00fc"}"#;
        assert_eq!(payload(json.as_bytes()), (Some(json.to_owned()), None));
        assert_eq!(payload(b"\xff\x00"), (None, Some("/wA=".to_owned())));
        assert_eq!(payload(b"plain text"), (None, Some("cGxhaW4gdGV4dA==".to_owned())));
        assert_eq!(payload(b""), (None, Some(String::new())));
    }
}
