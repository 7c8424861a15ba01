//! Live streams of events, and long polls: everything that stays open.
//!
//! A stream reads a page when its connection has room for it, and hands it on; nothing is read ahead, so
//! a slow reader costs one page, however far behind it is. Streams have seats: so many for a tenant, so
//! many for the server. They end when the server is asked to stop, so that nobody waits for them, and
//! their clients resume elsewhere with the last position.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures_util::{Stream, StreamExt, stream};
use segue_core::ids::{Position, TenantId};
use segue_store::events::LogPage;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;

use super::code::Code;
use super::error::Refusal;
use super::events::{LoggedEvent, PageLimit};
use crate::error::Result;
use crate::telemetry;
use crate::tenants::{Follow, PageSize};

/// What one step of a live stream reads.
pub const TAIL_PAGE: PageSize = PageSize { events: 100, bytes: 256 * 1024 };

/// How often a stream without events says that it lives.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);

/// What a stream begins with: how soon a client that lost it may come again, in milliseconds.
pub(super) const OPENING: &[u8] = b"retry: 1000\n\n";

/// A comment, which clients pass over.
pub(super) const SIGN_OF_LIFE: &[u8] = b":\n\n";

/// How much of the time that a request may take a long poll waits at most.
const SHARE_OF_TIMEOUT: f64 = 0.8;

/// How long a long poll may wait, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct Wait(Duration);

impl TryFrom<u64> for Wait {
    type Error = &'static str;

    fn try_from(millis: u64) -> Result<Self, Self::Error> {
        if millis <= 60_000 {
            Ok(Self(Duration::from_millis(millis)))
        } else {
            Err("wait_ms is 60000 at most")
        }
    }
}

/// How the client wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A page, now or after a wait.
    Page {
        /// How much.
        limit: PageLimit,
        /// How long to wait for the first event.
        wait: Duration,
    },
    /// A live tail.
    Tail {
        /// The last position that the client has seen on a stream that it lost.
        last_seen: Option<Position>,
    },
}

/// Reads how the client wants to read from what it accepts.
pub fn wanted(
    headers: &HeaderMap,
    limit: Option<PageLimit>,
    wait: Option<Wait>,
) -> Result<Wanted, Refusal> {
    if !takes_events(headers) {
        let wait = wait.map_or(Duration::ZERO, |Wait(wait)| wait);
        return Ok(Wanted::Page { limit: limit.unwrap_or_default(), wait });
    }
    for (name, given) in [("limit", limit.is_some()), ("wait_ms", wait.is_some())] {
        if given {
            let message =
                format!("{name} is not for a live tail, which has no pages: leave it out");
            return Err(Refusal::parameter(name, message));
        }
    }
    let Some(last) = headers.get("last-event-id").filter(|last| !last.is_empty()) else {
        return Ok(Wanted::Tail { last_seen: None });
    };
    let position = last.to_str().ok().and_then(|text| text.parse().ok()).map(Position);
    let last_seen = position.ok_or_else(|| {
        Refusal::parameter("Last-Event-ID", "the header Last-Event-ID must be a position")
    })?;
    Ok(Wanted::Tail { last_seen: Some(last_seen) })
}

/// What the operator allows of streams.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Streams of one tenant.
    pub per_tenant: NonZeroUsize,
    /// Streams of all tenants.
    pub in_all: NonZeroUsize,
    /// When any request is given up.
    pub request_timeout: Duration,
}

/// Everything that stays open, and the end of it.
#[derive(Debug)]
pub struct Live {
    limits: Limits,
    taken: Mutex<Taken>,
    stopping: watch::Sender<bool>,
}

/// The seats that are taken.
#[derive(Debug, Default)]
struct Taken {
    in_all: usize,
    by_tenant: HashMap<TenantId, usize>,
}

impl Live {
    /// Nothing open yet.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        let (taken, stopping) = (Mutex::default(), watch::Sender::new(false));
        Arc::new(Self { limits, taken, stopping })
    }

    /// Ends every stream and every wait, those to come too.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Takes a seat for a stream.
    ///
    /// # Errors
    /// When all are taken: the tenant's, or the server's.
    pub fn seat(self: &Arc<Self>, tenant: TenantId) -> Result<Seat, Refusal> {
        let mut taken = self.taken();
        if taken.in_all >= self.limits.in_all.get() {
            let limit = self.limits.in_all;
            return Err(Refusal::new(
                Code::StreamsExhausted,
                format!("this server has {limit} live streams open already: try again later"),
                json!({ "limit": limit }),
            ));
        }
        let of_tenant = taken.by_tenant.entry(tenant).or_default();
        if *of_tenant >= self.limits.per_tenant.get() {
            let limit = self.limits.per_tenant;
            return Err(Refusal::new(
                Code::TooManyStreams,
                format!("this tenant has {limit} live streams open already: close one"),
                json!({ "limit": limit }),
            ));
        }
        *of_tenant += 1;
        taken.in_all += 1;
        telemetry::stream_opened();
        Ok(Seat { live: Arc::clone(self), tenant })
    }

    /// Waits for the next page; nothing if there is none in time, or the server is about to stop.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn wait(&self, follow: &mut Follow, wait: Duration) -> Result<Option<LogPage>> {
        let wait = wait.min(self.limits.request_timeout.mul_f64(SHARE_OF_TIMEOUT));
        tokio::select! {
            page = follow.next_page() => Ok(Some(page?)),
            () = tokio::time::sleep(wait) => Ok(None),
            () = self.stopped() => Ok(None),
        }
    }

    /// Answers with a stream that goes on until the client leaves or the server stops.
    pub fn tail(self: &Arc<Self>, follow: Follow, seat: Seat) -> Response {
        let tail = Tail { live: Arc::clone(self), follow, _seat: seat, next: Next::Opening };
        let chunks = stream::unfold(tail, |mut tail| async move {
            let chunk = tail.chunk().await?;
            Some((chunk, tail))
        });
        event_stream(chunks)
    }

    /// Waits until the server is asked to stop.
    pub async fn stopped(&self) {
        // Its sender is in this value, so it is open.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks an answer that goes on with server-sent events.
#[derive(Debug, Clone, Copy)]
pub struct EventStream;

/// Answers with server-sent events as they come.
pub fn event_stream(chunks: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let mut response = Response::new(Body::from_stream(chunks.map(Ok::<_, Infallible>)));
    response.extensions_mut().insert(EventStream);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies of the nginx kind would hold events back otherwise.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Whether the client accepts server-sent events.
pub fn takes_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.to_ascii_lowercase().contains("text/event-stream"))
}

/// The right to keep a stream open, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    live: Arc<Live>,
    tenant: TenantId,
}

impl Drop for Seat {
    fn drop(&mut self) {
        telemetry::stream_closed();
        let mut taken = self.live.taken();
        taken.in_all -= 1;
        if let Entry::Occupied(mut of_tenant) = taken.by_tenant.entry(self.tenant) {
            *of_tenant.get_mut() -= 1;
            if *of_tenant.get() == 0 {
                of_tenant.remove();
            }
        }
    }
}

/// A live stream.
struct Tail {
    live: Arc<Live>,
    follow: Follow,
    _seat: Seat,
    next: Next,
}

/// What a stream has to say next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Opening,
    Events,
    End,
}

impl Tail {
    /// What is sent next; nothing at the end.
    async fn chunk(&mut self) -> Option<Bytes> {
        match self.next {
            Next::Opening => {
                self.next = Next::Events;
                Some(Bytes::from_static(OPENING))
            }
            Next::Events => tokio::select! {
                biased;
                () = self.live.stopped() => None,
                page = self.follow.next_page() => Some(match page {
                    Ok(page) => encoded(page),
                    Err(failure) => {
                        self.next = Next::End;
                        problem(crate::Error::from(failure))
                    }
                }),
                () = tokio::time::sleep(HEARTBEAT) => Some(Bytes::from_static(SIGN_OF_LIFE)),
            },
            Next::End => None,
        }
    }
}

/// A page as server-sent events.
fn encoded(page: LogPage) -> Bytes {
    let mut chunk = Vec::new();
    for event in page.events {
        chunk.extend_from_slice(format!("id: {}\ndata: ", event.position).as_bytes());
        let begin = chunk.len();
        serde_json::to_writer(&mut chunk, &LoggedEvent::from(event)).expect("plain data");
        // A line break can only stand between two tokens of what an application sent.
        for byte in &mut chunk[begin..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        chunk.extend_from_slice(b"\n\n");
    }
    chunk.into()
}

/// Says why a stream ends. Its answer has begun long ago, so it is logged here.
pub(super) fn problem(error: impl Into<Refusal>) -> Bytes {
    let refusal = error.into();
    if let Some(failure) = refusal.failure() {
        tracing::error!(code = failure.code.as_str(), error = failure.message, "a stream failed");
    }
    named("problem", &refusal.body)
}

/// An event with a name.
pub(super) fn named(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).expect("plain data serialises");
    format!("event: {name}\ndata: {data}\n\n").into()
}
