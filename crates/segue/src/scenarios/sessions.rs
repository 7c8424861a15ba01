//! Sessions: started, read and listed here; their turns are taken in [`turns`].

pub(super) mod asked;
mod consultation;
pub(super) mod profiles;
mod turns;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use segue_core::fields::{Known, Source};
use segue_core::ids::{
    Channel, CustomerId, Epoch, EventId, FieldName, ScenarioId, SessionId, StepId, StreamId,
    StreamVersion, TenantId, Version,
};
use segue_core::plan::deployed::Deployed;
use segue_core::reconcile::chain::pending;
use segue_core::reconcile::{Archive, PendingMigration};
use segue_core::session::Session;
use segue_core::session::event::{Event, Place, SessionStarted};
use segue_store::events::{
    self, Choice, Counting, Cursor, Direction, Expected, Facets, Filter, NewEvent, Snapshot,
    SnapshotQuery, StreamAppend, StreamPage, StreamRead, StreamState,
};
use serde::Serialize;
use serde_json::Value;

use super::archive::View;
use super::scope;
use super::{PLAN, SESSION, Shared, stream};
use crate::error::{Error, Kind, Result};
use crate::tenants::failure::Failure;

pub use turns::TurnAnswer;
pub(super) use turns::{Decided, Turnstiles, outcome_stream};

/// How far the sessions that somebody looks through are counted.
pub const BROWSED: u64 = 10_000;

/// The stream of a customer's profile.
pub(super) fn customer_stream(customer: &CustomerId) -> StreamId {
    stream(format!("customer-{customer}"))
}

/// Sessions and customers' profiles.
#[derive(Debug, Clone)]
pub struct Sessions(pub(super) Arc<Shared>);

/// A session to be.
#[derive(Debug, Clone)]
pub struct StartSession {
    /// Which scenario it walks; it begins at the entry of the current version.
    pub scenario_id: ScenarioId,
    /// Where the conversation takes place.
    pub channel: Channel,
    /// Whose profile it reads and writes.
    pub customer_id: Option<CustomerId>,
    /// What is known from the start.
    pub variables: BTreeMap<FieldName, Value>,
    /// Its id; a fresh one if none is given.
    pub id: Option<SessionId>,
}

/// A session as callers see it.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SessionView {
    /// The folded state.
    #[serde(flatten)]
    pub session: Session,
    /// The deployed plan that applies at the next turn, if one does.
    pub pending_migration: Option<PendingMigration>,
}

/// Which sessions are wanted; nothing means all.
#[derive(Debug, Clone, Default)]
pub struct SessionFilter {
    /// Of this scenario.
    pub scenario_id: Option<ScenarioId>,
    /// On this version.
    pub version: Option<Version>,
    /// At this step.
    pub step_id: Option<StepId>,
    /// On this channel.
    pub channel: Option<Channel>,
    /// Of this customer.
    pub customer_id: Option<CustomerId>,
    /// With a pending migration, or without one.
    pub pending: Option<bool>,
}

/// A page of sessions, the newest first.
#[derive(Debug, Clone)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<SessionView>,
    /// How many match in all, as far as that was counted.
    pub total: u64,
    /// Where the next page begins; `None` when this was the last.
    pub next_cursor: Option<String>,
}

impl Sessions {
    /// Starts a session at the entry of the scenario's current version. The same session again, by the
    /// id that the caller gave it, is answered as it is now: whoever did not hear the answer may repeat.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the scenario; [`Error::Exists`] if the id is taken by a session that was
    /// started otherwise; [`Error::Invalid`] for a variable that its field's definition does not accept.
    pub async fn start(&self, tenant: TenantId, start: StartSession) -> Result<SessionView> {
        let shared = &self.0;
        let now = shared.now();
        let standing = shared.control.standing(tenant, start.scenario_id).await?;
        let view = shared.archive.view(tenant, start.scenario_id, None, &standing).await?;
        let graph = view.graph(view.current_version).ok_or_else(|| Error::Corrupt {
            what: "the control plane",
            reason: format!("the current version of scenario {} is gone", start.scenario_id),
            source: None,
        })?;
        let definitions = shared.archive.fields(tenant, &standing).await?;
        let variables = turns::accepted(&definitions.definitions, start.variables, "/variables")?;
        let given =
            |value| Known { value, source: Source::Given, confidence: 1.0, updated_at: now };
        let id = start.id.unwrap_or_else(|| SessionId(shared.clock.new_id()));
        let started = SessionStarted {
            session_id: id,
            scenario_id: start.scenario_id,
            version: view.current_version,
            scenario_checksum: graph.checksum(),
            channel: start.channel,
            customer_id: start.customer_id,
            variables: variables.into_iter().map(|(name, value)| (name, given(value))).collect(),
            entry: Place::of(&graph, graph.entry()),
        };
        let session = Session::start(&started, now);
        let events = [Event::from(started.clone())];
        let append =
            append_to(&session, Expected::NoStream, &events, |_| EventId(shared.clock.new_id()));
        match shared.router.append(tenant, now, vec![append]).await {
            Ok(_) => Ok(SessionView { session, pending_migration: None }),
            Err(Failure::Store(events::Error::Conflict { .. })) => {
                if self.began_so(tenant, &started).await? {
                    self.get(tenant, id).await
                } else {
                    Err(Error::Exists { kind: Kind::Session, id: id.to_string() })
                }
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Whether the session of this id began with what the caller asks for now, whenever that was.
    async fn began_so(&self, tenant: TenantId, wanted: &SessionStarted) -> Result<bool> {
        let page = self.events(tenant, wanted.session_id, StreamVersion(1), 1).await?;
        let first = page.events.first().and_then(|event| Some((event, event.payload.as_ref()?)));
        let began = first.map(|(event, payload)| Event::from_payload(&event.event_type, payload));
        let Some(Ok(Event::SessionStarted(began))) = began else { return Ok(false) };
        let values = |of: &SessionStarted| -> Vec<_> {
            of.variables.iter().map(|(name, known)| (name.clone(), known.value.clone())).collect()
        };
        Ok(began.scenario_id == wanted.scenario_id
            && began.channel == wanted.channel
            && began.customer_id == wanted.customer_id
            && values(&began) == values(wanted))
    }

    /// Reads a session, with the migration that is pending for it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, tenant: TenantId, id: SessionId) -> Result<SessionView> {
        let [state] = self.0.router.load(tenant, [session_stream(id)]).await?;
        let session = folded(state)?.ok_or_else(|| not_found(id))?;
        self.viewed(tenant, session).await
    }

    /// Lists sessions, the newest first.
    ///
    /// # Errors
    /// [`Error::BadCursor`].
    pub async fn list(
        &self,
        tenant: TenantId,
        filter: SessionFilter,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<SessionPage> {
        self.listed(tenant, filter, (limit, cursor), Counting::Exactly).await
    }

    /// As [`Sessions::list`], for somebody who waits: where more than [`BROWSED`] match, the total is one more
    /// than that, so that it takes no longer among a million.
    ///
    /// # Errors
    /// [`Error::BadCursor`].
    pub async fn browse(
        &self,
        tenant: TenantId,
        filter: SessionFilter,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<SessionPage> {
        self.listed(tenant, filter, (limit, cursor), Counting::UpTo(BROWSED)).await
    }

    async fn listed(
        &self,
        tenant: TenantId,
        filter: SessionFilter,
        (limit, cursor): (usize, Option<&str>),
        counting: Counting,
    ) -> Result<SessionPage> {
        let after = cursor.map(str::parse::<Cursor>).transpose().map_err(|_| Error::BadCursor)?;
        let mut query = SnapshotQuery {
            tenant,
            access: Epoch::default().into(),
            stream_type: SESSION.to_owned(),
            filter: Filter {
                scenario_id: filter.scenario_id,
                versions: one_or_any(filter.version),
                steps: one_or_any(filter.step_id),
                channels: one_or_any(filter.channel),
                customer_id: filter.customer_id,
                ..Filter::default()
            },
            any_of: Vec::new(),
            none_of: Vec::new(),
            after,
            limit,
            counting,
        };
        if let Some(pending) = filter.pending {
            let marked = scope::marked(&self.0, tenant, filter.scenario_id).await?;
            match (pending, marked.is_empty()) {
                (true, true) => {
                    return Ok(SessionPage { sessions: Vec::new(), total: 0, next_cursor: None });
                }
                (true, false) => query.any_of = marked,
                (false, _) => query.none_of = marked,
            }
        }
        let page = self.0.router.list(query).await?;
        let mut sessions = Vec::with_capacity(page.streams.len());
        for state in page.streams {
            let Some(session) = folded(Some(state))? else { continue };
            let view = self.viewed(tenant, session).await?;
            // What is pending may have changed since the filters were made, and has the last word.
            if filter.pending.is_none_or(|wanted| view.pending_migration.is_some() == wanted) {
                sessions.push(view);
            }
        }
        let next_cursor = page.next.map(|cursor| cursor.to_string());
        Ok(SessionPage { sessions, total: page.total, next_cursor })
    }

    /// A page of what happened in a session, oldest first.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn events(
        &self,
        tenant: TenantId,
        id: SessionId,
        from: StreamVersion,
        limit: usize,
    ) -> Result<StreamPage> {
        let read = StreamRead {
            tenant,
            access: Epoch::default().into(),
            stream: session_stream(id),
            from,
            limit,
            direction: Direction::Forwards,
        };
        let page = self.0.router.read_stream(read).await?;
        if page.stream_type.is_none() { Err(not_found(id)) } else { Ok(page) }
    }

    /// A session with its mark.
    async fn viewed(&self, tenant: TenantId, session: Session) -> Result<SessionView> {
        let archive = &self.0.archive;
        let view = archive.fresh_view(tenant, session.scenario_id, Some(session.version)).await?;
        Ok(self.viewed_in(&view, session))
    }

    /// A session with the mark that it had at a moment in the past.
    async fn viewed_at(
        &self,
        tenant: TenantId,
        session: Session,
        then: Timestamp,
    ) -> Result<SessionView> {
        let archive = &self.0.archive;
        let view = archive.fresh_view(tenant, session.scenario_id, Some(session.version)).await?;
        let deployed = view.deployed.iter().filter(|plan| plan.deployed_at <= then);
        let deployed: Vec<Deployed> = deployed
            .map(|plan| Deployed {
                withdrawn_at: plan.withdrawn_at.filter(|withdrawn_at| *withdrawn_at <= then),
                ..plan.clone()
            })
            .collect();
        let marked = || pending(&session, &deployed, view.as_ref());
        let pending_migration = self.0.config.enabled.then(marked).flatten();
        Ok(SessionView { session, pending_migration })
    }

    /// A session with its mark, by a view that is at hand.
    fn viewed_in(&self, view: &View, session: Session) -> SessionView {
        let enabled = self.0.config.enabled;
        let pending_migration = enabled.then(|| pending(&session, &view.deployed, view)).flatten();
        SessionView { session, pending_migration }
    }
}

fn one_or_any<T>(value: Option<T>) -> Choice<T> {
    value.map_or(Choice::Any, |value| Choice::Only(vec![value]))
}

pub(super) fn session_stream(id: SessionId) -> StreamId {
    stream(format!("session-{id}"))
}

fn not_found(id: SessionId) -> Error {
    Error::NotFound { kind: Kind::Session, id: id.to_string() }
}

/// The session that a stream's snapshot holds. Every append to a session's stream brings its snapshot, so
/// there is never an event after it.
pub(super) fn folded(state: Option<StreamState>) -> Result<Option<Session>> {
    let Some(state) = state else { return Ok(None) };
    let corrupt = |reason: String| Error::Corrupt {
        what: "the event store",
        reason: format!("stream {}: {reason}", state.stream_id),
        source: None,
    };
    let taken = state
        .snapshot
        .as_ref()
        .filter(|taken| taken.version == state.version)
        .ok_or_else(|| corrupt("its snapshot does not belong to its last event".to_owned()))?;
    serde_json::from_slice(&taken.state)
        .map(Some)
        .map_err(|error| corrupt(format!("its snapshot is not a session: {error}")))
}

/// What a session's stream keeps when it is redacted.
pub(super) fn erased(state: &StreamState, at: Timestamp) -> Option<Snapshot> {
    let taken = state.snapshot.as_ref().filter(|_| state.stream_type == SESSION)?;
    // A state that cannot be read is no reason to keep what a customer wants erased.
    let session: Session = serde_json::from_slice(&taken.state).ok()?;
    Some(snapshot(&session.erased(at)))
}

/// One more line of a stream of a plan.
fn line_of_plan(
    stream_id: StreamId,
    event_type: &'static str,
    line: &impl Serialize,
    event_id: EventId,
) -> StreamAppend {
    StreamAppend {
        stream_id,
        stream_type: PLAN.into(),
        expected: Expected::Any,
        events: vec![NewEvent {
            event_id,
            event_type: event_type.into(),
            payload: serde_json::to_vec(line).expect("plain data serialises"),
            metadata: Vec::new(),
        }],
        snapshot: None,
    }
}

/// What a session's events add to its stream, snapshot included.
fn append_to(
    session: &Session,
    expected: Expected,
    events: &[Event],
    mut id: impl FnMut(usize) -> EventId,
) -> StreamAppend {
    let events = events.iter().enumerate().map(|(nth, event)| NewEvent {
        event_id: id(nth),
        event_type: event.event_type().into(),
        payload: event.to_payload(),
        metadata: Vec::new(),
    });
    StreamAppend {
        stream_id: session_stream(session.id),
        stream_type: SESSION.into(),
        expected,
        events: events.collect(),
        snapshot: Some(snapshot(session)),
    }
}

fn snapshot(session: &Session) -> Snapshot {
    Snapshot {
        state: serde_json::to_vec(session).expect("plain data with text keys serialises"),
        facets: facets(session),
    }
}

fn facets(session: &Session) -> Facets {
    let passed = session.step_history.iter().filter(|visit| visit.is_checkpoint);
    let mut checkpoints: Vec<_> = passed.map(|visit| visit.step_content_hash).collect();
    checkpoints.sort_unstable();
    checkpoints.dedup();
    Facets {
        scenario_id: Some(session.scenario_id),
        scenario_version: Some(session.version),
        step_id: Some(session.step_id.clone()),
        channel: Some(session.channel.clone()),
        customer_id: session.customer_id.clone(),
        live: session.status == segue_core::session::Status::Active,
        started_at: Some(session.created_at),
        checkpoints,
        settled: session.settled.last().copied(),
    }
}
