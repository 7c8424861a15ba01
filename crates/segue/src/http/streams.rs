//! `/streams`: applications append to their streams and read them.

use axum::extract::State;
use axum::http::StatusCode;
use segue_core::ids::{EventId, Position, StreamId, StreamVersion};
use segue_store::events::{Appended, Expected, limits};
use serde::de::{Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ErrorBody, Refusal};
use super::events::{LoggedEvent, PageLimit};
use super::extract::{JsonUpTo, Path, Query, Tenant};
use super::turns::IdempotencyKey;
use crate::events::{AppendEvents, GivenEvent};

/// The largest body of an append, in bytes: as much as a store takes at once, and what lies around it.
const APPEND_BODY_BYTES: usize = limits::APPEND_BYTES + 1024 * 1024;

/// Events to be appended to one stream, all or nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAppend {
    /// What the stream is, such as `cart`; fixed by its first event.
    pub stream_type: String,
    /// Where the stream must be: its version, `"no_stream"` if it must not exist, `"any"`.
    #[schema(value_type = Value, example = 7)]
    pub expected_version: ExpectedVersion,
    /// The events, 1 to 1,000, in order.
    pub events: Vec<NewEvent>,
}

/// An event to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEvent {
    /// Its id; a fresh one, or one made from the `Idempotency-Key`, if none is given.
    pub event_id: Option<EventId>,
    /// What happened, such as `ItemAdded`.
    pub event_type: String,
    /// What there is to say about it: any JSON, kept byte for byte.
    #[schema(value_type = Value)]
    pub payload: Box<RawValue>,
    /// What belongs beside it, such as who and from where: any JSON, kept byte for byte.
    #[schema(value_type = Option<Value>)]
    pub metadata: Option<Box<RawValue>>,
}

/// Where a stream must be.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedVersion(Expected);

impl<'de> Deserialize<'de> for ExpectedVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = Expected;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a version from 0 on, \"no_stream\" or \"any\"")
            }

            fn visit_u64<E: serde::de::Error>(self, version: u64) -> Result<Expected, E> {
                Ok(Expected::Version(StreamVersion(version)))
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Expected, E> {
                match word {
                    "no_stream" => Ok(Expected::NoStream),
                    "any" => Ok(Expected::Any),
                    other => Err(E::invalid_value(Unexpected::Str(other), &self)),
                }
            }
        }

        deserializer.deserialize_any(Reader).map(Self).map_err(D::Error::custom)
    }
}

/// Where appended events are now.
#[derive(Debug, Serialize, ToSchema)]
pub struct AppendedEvents {
    /// The stream.
    pub stream_id: StreamId,
    /// The version of its last event of this append.
    pub version: StreamVersion,
    /// The position of the first event in the tenant log.
    pub first_position: Position,
    /// The position of the last one.
    pub last_position: Position,
    /// The events' ids, in order.
    pub event_ids: Vec<EventId>,
}

/// Which part of a stream is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub struct StreamQuery {
    /// The first version of the page, from 1 on.
    #[param(value_type = Option<u64>, default = 1)]
    pub from_version: StreamVersion,
    /// Events at most: 1 to 1,000.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    pub limit: PageLimit,
}

/// A page of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamEvents {
    /// The stream.
    pub stream_id: StreamId,
    /// What it is.
    pub stream_type: String,
    /// The version of its last event.
    pub version: StreamVersion,
    /// The events, oldest first.
    pub events: Vec<LoggedEvent>,
    /// Where the next page begins; null if this was the last.
    pub next_from_version: Option<StreamVersion>,
}

/// Appends events to a stream
///
/// All of them or none. The same request again, with the same event ids or the same `Idempotency-Key`, gets
/// the first answer with status 200.
#[utoipa::path(post, path = "/streams/{stream_id}/events", tag = "events",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("stream_id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Any text that names this append; \
         makes the ids of events that have none")),
    request_body = NewAppend,
    responses((status = 201, body = AppendedEvents),
        (status = 200, description = "It was appended before", body = AppendedEvents),
        (status = 400, description = "`invalid_append`", body = ErrorBody),
        (status = 403, description = "`reserved_stream`", body = ErrorBody),
        (status = 409, description = "`version_conflict`, `duplicate_event`", body = ErrorBody),
        (status = 413, description = "`body_too_large`", body = ErrorBody),
        (status = 422, description = "`idempotency_key_reused`", body = ErrorBody),
        (status = 503, description = "`write_paused`, `store_unavailable`", body = ErrorBody)))]
pub async fn append_events(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(stream_id): Path<StreamId>,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    JsonUpTo(body): JsonUpTo<NewAppend, APPEND_BODY_BYTES>,
) -> Result<(StatusCode, axum::Json<AppendedEvents>), Refusal> {
    let bytes = |json: Box<RawValue>| String::from(Box::<str>::from(json)).into_bytes();
    let events = body.events.into_iter().map(|event| GivenEvent {
        event_id: event.event_id,
        event_type: event.event_type,
        payload: bytes(event.payload),
        metadata: event.metadata.map(bytes).unwrap_or_default(),
    });
    let append = AppendEvents {
        stream_id: stream_id.clone(),
        stream_type: body.stream_type,
        expected: body.expected_version.0,
        events: events.collect(),
        idempotency_key,
    };
    let appended = app.opened.events.append(tenant, append).await?;
    let Appended { first_position, last_position, versions, event_ids, duplicate } = appended;
    let version = versions.first().copied().unwrap_or_default();
    let status = if duplicate { StatusCode::OK } else { StatusCode::CREATED };
    let answer = AppendedEvents { stream_id, version, first_position, last_position, event_ids };
    Ok((status, axum::Json(answer)))
}

/// Reads a stream
#[utoipa::path(get, path = "/streams/{stream_id}/events", tag = "events",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("stream_id" = String, Path), StreamQuery),
    responses((status = 200, body = StreamEvents),
        (status = 404, description = "`stream_not_found`", body = ErrorBody)))]
pub async fn read_stream(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(stream_id): Path<StreamId>,
    Query(query): Query<StreamQuery>,
) -> Result<axum::Json<StreamEvents>, Refusal> {
    let from = query.from_version.max(StreamVersion(1));
    let page = app.opened.events.stream(tenant, &stream_id, from, query.limit.0).await?;
    Ok(axum::Json(StreamEvents {
        stream_id,
        stream_type: page.stream_type.unwrap_or_default().into_owned(),
        version: page.version,
        events: page.events.into_iter().map(LoggedEvent::from).collect(),
        next_from_version: page.next,
    }))
}
