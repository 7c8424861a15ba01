//! `/subscriptions`: named consumers of the tenant log, and how far each has come.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use segue_core::ids::{Position, SubscriptionName};
use serde::de::{Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ErrorBody, Refusal};
use super::events::{LogEvents, LoggedEvent, PageLimit};
use super::extract::{Json, OptionalJson, Path, Query, Tenant};
use super::live::{self, Wanted};
use super::scenarios::Paging;
use crate::auth::Caller;
use crate::error::Error;
use crate::events::{From, Put, View, WhenFound};

/// Where a subscription begins.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SubscriptionBody {
    /// `"beginning"`, `"now"` or a position to begin after; the beginning if nothing is said.
    #[schema(value_type = Option<Value>, example = "beginning")]
    pub from: Start,
    /// Sets a subscription that exists to `from`, backwards too; otherwise it stays where it is.
    pub reset: bool,
}

/// Where a subscription begins, as written.
#[derive(Debug, Clone, Copy)]
pub struct Start(From);

impl Default for Start {
    fn default() -> Self {
        Self(From::Beginning)
    }
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = From;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"beginning\", \"now\" or a position")
            }

            fn visit_u64<E: serde::de::Error>(self, position: u64) -> Result<From, E> {
                Ok(From::After(Position(position)))
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<From, E> {
                match word {
                    "beginning" => Ok(From::Beginning),
                    "now" => Ok(From::Now),
                    other => Err(E::invalid_value(Unexpected::Str(other), &self)),
                }
            }
        }

        deserializer.deserialize_any(Reader).map(Self).map_err(D::Error::custom)
    }
}

/// A page of subscriptions.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubscriptionList {
    /// By name.
    pub subscriptions: Vec<View>,
    /// How many there are in all.
    pub total: u64,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// Which events are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryQuery {
    /// Events at most: 1 to 1,000. Not of a live stream.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<PageLimit>,
    /// Milliseconds to wait for an event if there is none yet, up to 60,000; the answer may come earlier
    /// and empty. Not of a live stream.
    #[param(value_type = Option<u32>, maximum = 60000, default = 0)]
    pub wait_ms: Option<live::Wait>,
}

/// What a subscription has not acknowledged yet.
#[derive(Debug, Serialize, ToSchema)]
pub struct Delivery {
    /// The subscription.
    pub name: SubscriptionName,
    /// The position that it has acknowledged; the events follow it.
    pub position: Position,
    /// The events, in order of position.
    pub events: Vec<LoggedEvent>,
    /// The position to acknowledge when all of them are dealt with.
    pub next_after: Position,
    /// The last position of the log.
    pub head_position: Position,
    /// How many events are not acknowledged yet.
    pub lag: u64,
}

/// What was dealt with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// The position of the last event that was dealt with, and all before it.
    pub position: Position,
}

/// Creates a subscription, or finds it
///
/// Doing so again changes nothing, so a consumer may do it at every start.
#[utoipa::path(put, path = "/subscriptions/{name}", tag = "events",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("name" = String, Path)),
    request_body = Option<SubscriptionBody>,
    responses((status = 201, body = View), (status = 200, description = "It exists", body = View),
        (status = 409, description = "`position_ahead`, `limit_reached`", body = ErrorBody)))]
pub async fn put_subscription(
    State(app): State<App>,
    caller: Caller,
    Tenant(tenant): Tenant,
    Path(name): Path<SubscriptionName>,
    OptionalJson(body): OptionalJson<SubscriptionBody>,
) -> Result<(StatusCode, axum::Json<View>), Refusal> {
    let when_found = if body.reset { WhenFound::Reset } else { WhenFound::Keep };
    let (subscriptions, by) = (&app.opened.subscriptions, caller.actor(None));
    match subscriptions.put(tenant, &name, body.from.0, when_found, &by).await? {
        Put::Created(view) => Ok((StatusCode::CREATED, axum::Json(view))),
        Put::Found(view) => Ok((StatusCode::OK, axum::Json(view))),
    }
}

/// Lists subscriptions, with how far behind each is
#[utoipa::path(get, path = "/subscriptions", tag = "events",
    params(("X-Tenant-ID" = uuid::Uuid, Header), Paging),
    responses((status = 200, body = SubscriptionList), (status = 400, body = ErrorBody)))]
pub async fn list_subscriptions(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Query(paging): Query<Paging>,
) -> Result<axum::Json<SubscriptionList>, Refusal> {
    let all = app.opened.subscriptions.list(tenant).await?;
    let total = all.len() as u64;
    // They are few and read as one; the cursor is the last name of the page before.
    let after = paging.cursor.map(|cursor| cursor.parse::<SubscriptionName>()).transpose();
    let after = after.map_err(|_| Error::BadCursor)?;
    let mut rest =
        all.into_iter().filter(|view| after.as_ref().is_none_or(|after| view.name > *after));
    let subscriptions: Vec<View> = rest.by_ref().take(paging.limit.0 as usize).collect();
    let more = rest.next().is_some();
    let next_cursor = subscriptions.last().filter(|_| more).map(|view| view.name.to_string());
    Ok(axum::Json(SubscriptionList { subscriptions, total, next_cursor }))
}

/// Shows a subscription, with how far behind it is
#[utoipa::path(get, path = "/subscriptions/{name}", tag = "events",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("name" = String, Path)),
    responses((status = 200, body = View),
        (status = 404, description = "`subscription_not_found`", body = ErrorBody)))]
pub async fn get_subscription(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(name): Path<SubscriptionName>,
) -> Result<axum::Json<View>, Refusal> {
    Ok(axum::Json(app.opened.subscriptions.get(tenant, &name).await?))
}

/// Reads what a subscription has not acknowledged yet, or follows it live
///
/// Reading acknowledges nothing: the same events come again until `POST …/ack`. With
/// `Accept: text/event-stream` the answer is a live stream as of `GET /events`.
#[utoipa::path(get, path = "/subscriptions/{name}/events", tag = "events",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("name" = String, Path), DeliveryQuery,
        ("Last-Event-ID" = Option<u64>, Header, description = "The last position seen; of a live stream")),
    responses((status = 200, content((Delivery = "application/json"), (String = "text/event-stream"))),
        (status = 404, description = "`subscription_not_found`", body = ErrorBody),
        (status = 429, description = "`too_many_streams`", body = ErrorBody),
        (status = 503, description = "`streams_exhausted`, `store_unavailable`", body = ErrorBody)))]
pub async fn read_subscription(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(name): Path<SubscriptionName>,
    Query(query): Query<DeliveryQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let view = app.opened.subscriptions.get(tenant, &name).await?;
    let position = view.position;
    match live::wanted(&headers, query.limit, query.wait_ms)? {
        Wanted::Tail { last_seen } => {
            let seat = app.live.seat(tenant)?;
            let after = last_seen.unwrap_or(position);
            let follow = app.opened.events.follow(tenant, after, live::TAIL_PAGE);
            Ok(app.live.tail(follow, seat))
        }
        Wanted::Page { limit, wait } => {
            let page = super::events::page(&app, tenant, position, limit, wait).await?;
            let LogEvents { events, next_after, head_position } = page;
            let lag = head_position.0.saturating_sub(position.0);
            let delivery = Delivery { name, position, events, next_after, head_position, lag };
            Ok(axum::Json(delivery).into_response())
        }
    }
}

/// Acknowledges events
///
/// One that comes late, or twice, changes nothing: a subscription goes back only by `reset`.
#[utoipa::path(post, path = "/subscriptions/{name}/ack", tag = "events",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("name" = String, Path)),
    request_body = Acknowledgement,
    responses((status = 200, body = View),
        (status = 404, description = "`subscription_not_found`", body = ErrorBody),
        (status = 409, description = "`position_ahead`", body = ErrorBody)))]
pub async fn acknowledge(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(name): Path<SubscriptionName>,
    Json(body): Json<Acknowledgement>,
) -> Result<axum::Json<View>, Refusal> {
    Ok(axum::Json(app.opened.subscriptions.acknowledge(tenant, &name, body.position).await?))
}

/// Deletes a subscription
#[utoipa::path(delete, path = "/subscriptions/{name}", tag = "events",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("name" = String, Path)),
    responses((status = 200, description = "What it was", body = View),
        (status = 404, description = "`subscription_not_found`", body = ErrorBody)))]
pub async fn delete_subscription(
    State(app): State<App>,
    caller: Caller,
    Tenant(tenant): Tenant,
    Path(name): Path<SubscriptionName>,
) -> Result<axum::Json<View>, Refusal> {
    Ok(axum::Json(app.opened.subscriptions.delete(tenant, &name, &caller.actor(None)).await?))
}
