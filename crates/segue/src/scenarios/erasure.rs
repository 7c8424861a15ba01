//! Forgetting: a stream, or everything about a customer.
//!
//! A redaction is one transaction in the event store. The audit lies in the control plane, which is another
//! database, so the order is what makes it safe:
//!
//! ```text
//! 1. audit    control plane   who, why, which stream
//! 2. redact   event store     the event that says so, and the payloads gone, at once
//! ```
//!
//! Whoever dies between the two leaves a line about something that did not happen, never the other way
//! round; the repeat writes another line and does it. Whether it happened, the stream's last event tells.
//! Repeating is always safe: a stream that ends in a redaction has nothing left, and is answered with it.
//!
//! A customer is erased session by session, the profile last: a session that still lives could write the
//! profile again. Erased sessions are no longer found by their customer, so a repeat finds what is left.

use std::sync::Arc;

use segue_core::ids::{CustomerId, Epoch, EventId, Position, StreamId, StreamVersion, TenantId};
use segue_core::scenario::validate::Problem;
use segue_store::control::audit::{Action, Entry, Subject};
use segue_store::events::{
    self, Counting, Direction, Event, Expected, Filter, Redact, STREAM_REDACTED, SnapshotPage,
    SnapshotQuery, StreamRead, StreamState, limits,
};
use serde::Serialize;
use serde_json::json;

use super::sessions::{customer_stream, erased};
use super::{PLAN, SESSION, Shared};
use crate::error::{Error, Kind, Result};
use crate::tenants::failure::Failure;

/// How often a redaction is tried again because the stream went on meanwhile.
const ROUNDS: usize = 32;

/// How many sessions of a customer one call erases; a repeat erases the next ones.
const SESSIONS_PER_CALL: usize = 100;

/// Erases.
#[derive(Debug, Clone)]
pub struct Erasure(pub(super) Arc<Shared>);

/// Who asks for an erasure, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Who.
    pub by: String,
    /// Why; it stays on record, so it should not repeat what is erased.
    pub reason: Option<String>,
}

/// A stream whose payloads are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RedactedStream {
    /// The stream.
    pub stream_id: StreamId,
    /// Its version with the event that tells of the redaction.
    pub version: StreamVersion,
    /// Where that event stands in the tenant log.
    pub position: Position,
    /// How many events have lost their payload: all before it.
    pub events_redacted: u64,
}

/// What a call erased of a customer, and what is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ErasedCustomer {
    /// The customer.
    pub customer_id: CustomerId,
    /// How many streams this call redacted, the profile's among them.
    pub streams_redacted: u64,
    /// How many events have lost their payload by it.
    pub events_redacted: u64,
    /// How many sessions of the customer are left; call again until it is 0.
    pub sessions_left: u64,
}

impl Erasure {
    /// Erases what a stream has said until now. A stream that ends in a redaction is answered with it.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] for a stream that counts what came of a plan, and for a name
    /// or a reason over its limit; [`Error::Unavailable`].
    pub async fn redact(
        &self,
        tenant: TenantId,
        stream: &StreamId,
        asked: &Asked,
    ) -> Result<RedactedStream> {
        asked.check()?;
        let shared = &self.0;
        let mut is_on_record = false;
        for _ in 0..ROUNDS {
            let [state] = shared.router.load(tenant, [stream.clone()]).await?;
            let Some(state) = state else {
                return Err(Error::NotFound { kind: Kind::Stream, id: stream.to_string() });
            };
            if let Some(redacted) = self.last_redaction(tenant, stream).await? {
                return Ok(redacted);
            }
            refuse_counter(&state)?;
            if !is_on_record {
                let subject = (Subject::Stream, stream.to_string());
                self.record(tenant, Action::StreamRedacted, subject, asked).await?;
                is_on_record = true;
            }
            let now = shared.now();
            let redact = Redact {
                tenant,
                epoch: Epoch::default(),
                recorded_at: now,
                stream_id: stream.clone(),
                expected: Expected::Version(state.version),
                event_id: EventId(shared.clock.new_id()),
                redacted_by: asked.by.clone(),
                reason: asked.reason.clone(),
                snapshot: erased(&state, now),
            };
            match shared.router.redact(redact).await {
                Ok(redacted) => {
                    return Ok(RedactedStream {
                        stream_id: stream.clone(),
                        version: redacted.version,
                        position: redacted.position,
                        events_redacted: redacted.events_redacted(),
                    });
                }
                Err(Failure::Store(events::Error::Conflict { .. })) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(Error::Unavailable {
            what: "the event store",
            reason: format!("stream {stream} changes too fast to be redacted"),
            source: None,
        })
    }

    /// Erases sessions of a customer and, when none is left, the profile. Nothing is left to do once the
    /// answer counts no sessions; until then, and after any failure, call it again.
    ///
    /// # Errors
    /// As [`Erasure::redact`]; what was erased before stays erased.
    pub async fn erase_customer(
        &self,
        tenant: TenantId,
        customer: &CustomerId,
        asked: &Asked,
    ) -> Result<ErasedCustomer> {
        asked.check()?;
        let sessions = self.sessions_of(tenant, customer).await?;
        let profile = self.profile_to_erase(tenant, customer).await?;
        let mut done = ErasedCustomer {
            customer_id: customer.clone(),
            streams_redacted: 0,
            events_redacted: 0,
            sessions_left: 0,
        };
        if sessions.streams.is_empty() && profile.is_none() {
            return Ok(done);
        }
        let subject = (Subject::Customer, customer.to_string());
        self.record(tenant, Action::CustomerErased, subject, asked).await?;
        for session in &sessions.streams {
            done.add(self.redact(tenant, &session.stream_id, asked).await?);
        }
        if sessions.next.is_none()
            && let Some(profile) = self.profile_to_erase(tenant, customer).await?
        {
            done.add(self.redact(tenant, &profile, asked).await?);
        }
        done.sessions_left = self.sessions_of(tenant, customer).await?.total;
        Ok(done)
    }

    async fn sessions_of(&self, tenant: TenantId, customer: &CustomerId) -> Result<SnapshotPage> {
        let query = SnapshotQuery {
            tenant,
            access: Epoch::default().into(),
            stream_type: SESSION.to_owned(),
            filter: Filter { customer_id: Some(customer.clone()), ..Filter::default() },
            any_of: Vec::new(),
            none_of: Vec::new(),
            after: None,
            limit: SESSIONS_PER_CALL,
            counting: Counting::Exactly,
        };
        Ok(self.0.router.list(query).await?)
    }

    /// The stream of the customer's profile, if it says anything.
    async fn profile_to_erase(
        &self,
        tenant: TenantId,
        customer: &CustomerId,
    ) -> Result<Option<StreamId>> {
        let stream = customer_stream(customer);
        let last = self.last_event(tenant, &stream).await?;
        Ok(last.filter(|last| last.event_type != STREAM_REDACTED).map(|_| stream))
    }

    /// The redaction that a stream ends in, if it does.
    async fn last_redaction(
        &self,
        tenant: TenantId,
        stream: &StreamId,
    ) -> Result<Option<RedactedStream>> {
        let last = self.last_event(tenant, stream).await?;
        let redaction = last.filter(|last| last.event_type == STREAM_REDACTED);
        Ok(redaction.map(|event| RedactedStream {
            stream_id: event.stream_id,
            version: event.version,
            position: event.position,
            events_redacted: event.version.0.saturating_sub(1),
        }))
    }

    async fn last_event(&self, tenant: TenantId, stream: &StreamId) -> Result<Option<Event>> {
        let read = StreamRead {
            tenant,
            access: Epoch::default().into(),
            stream: stream.clone(),
            from: StreamVersion(u64::MAX),
            limit: 1,
            direction: Direction::Backwards,
        };
        Ok(self.0.router.read_stream(read).await?.events.into_iter().next())
    }

    async fn record(
        &self,
        tenant: TenantId,
        action: Action,
        (subject, subject_id): (Subject, String),
        asked: &Asked,
    ) -> Result<()> {
        let entry = Entry {
            at: self.0.now(),
            actor: asked.by.clone(),
            action,
            subject,
            subject_id,
            details: json!({ "reason": asked.reason }),
        };
        Ok(self.0.control.record(tenant, &entry).await?)
    }
}

impl Asked {
    /// Refuses what the store would refuse, before anything is on record.
    fn check(&self) -> Result<()> {
        let most = |path: &str, thing: &str, limit, actual| {
            let over = || Error::over_limit("redaction", path, thing, limit, actual);
            if actual <= limit { Ok(()) } else { Err(over()) }
        };
        most("/redacted_by", "a name in bytes", limits::ACTOR_BYTES, self.by.len())?;
        let reason = self.reason.as_ref().map_or(0, String::len);
        most("/reason", "a reason in bytes", limits::REASON_BYTES, reason)?;
        if !self.by.trim().is_empty() {
            return Ok(());
        }
        let problem = Problem {
            code: "nobody".to_owned(),
            path: "/redacted_by".to_owned(),
            message: "somebody has to answer for an erasure: name them, or leave the field out"
                .to_owned(),
        };
        Err(Error::Invalid { what: "redaction", problems: vec![problem] })
    }
}

impl ErasedCustomer {
    fn add(&mut self, stream: RedactedStream) {
        self.streams_redacted += 1;
        self.events_redacted += stream.events_redacted;
    }
}

/// The version of such a stream is a count, which one more event would make wrong; it tells of sessions by
/// their ids only.
fn refuse_counter(state: &StreamState) -> Result<()> {
    if state.stream_type != PLAN {
        return Ok(());
    }
    let problem = Problem {
        code: "counter".to_owned(),
        path: "/stream_id".to_owned(),
        message: format!(
            "stream {} counts what came of a plan and says nothing of customers: redact the \
             sessions it names instead",
            state.stream_id
        ),
    };
    Err(Error::Invalid { what: "redaction", problems: vec![problem] })
}
