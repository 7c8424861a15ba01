//! Turns: load, decide, append, answer.
//!
//! The decision is the core's, on what was loaded; the append names the version that was loaded. If
//! another turn came first the append is refused, and everything is loaded and decided again. Inside this
//! process turns of one session queue at a turnstile, so that they do not waste each other's work; the
//! turnstile is for speed, never for safety.
//!
//! What a decision needs from a language model is asked between two rounds, and told to the next one
//! ([`consultation`](super::consultation)).
//!
//! A turn with an idempotency key appends its first event under an id made from session and key. The key
//! again finds that event, and is answered with what was answered then.

mod trace;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use segue_core::digest::Digest;
use segue_core::fields::Definitions;
use segue_core::ids::{
    Epoch, EventId, FieldName, PlanId, SessionId, StreamId, StreamVersion, TenantId,
};
use segue_core::plan::policy::MigrationScenario;
use segue_core::reconcile::{Archive, Extractor, Judge, Situation};
use segue_core::scenario::validate::Problem;
use segue_core::session::event::{Answer, Event, Idempotency, Migration};
use segue_core::session::turn::{Input, Outcome, Refused, Taken, Turn, take};
use segue_core::session::{Session, Status};
use segue_store::control::fields::Defined;
use segue_store::events::{self, Direction, Expected, StreamAppend, StreamRead};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use tracing::Instrument;
use tracing::field::Empty;
use uuid::Uuid;

use super::consultation::{Consultation, Question};
use super::profiles::{self, LoadedProfile};
use super::{
    SessionView, Sessions, append_to, asked, folded, line_of_plan, not_found, session_stream,
};
use crate::error::{Error, Result};
use crate::scenarios::archive::View;
use crate::scenarios::{Shared, stream};
use crate::telemetry::{self, traces::traced};
use crate::tenants::failure::Failure;

/// How often a turn is decided again because another came first. Inside one process the turnstile
/// keeps races out; between processes each round lets at least one turn through.
const ROUNDS: usize = 32;

/// The longest message that is taken, in bytes: twenty of them stay in a session's state.
const MESSAGE_BYTES: usize = 16 * 1024;

/// How many fields, confirmations or actions one request may bring.
const ENTRIES: usize = 256;

/// The largest value of one field, as JSON, in bytes.
const VALUE_BYTES: usize = 16 * 1024;

/// What a turn answers.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct TurnAnswer {
    /// What became of a pending migration, where the session went, and what is to be asked.
    #[serde(flatten)]
    pub answer: Answer,
    /// The session after the turn.
    pub session: SessionView,
}

/// How long a turn waits at a turnstile at most. One that is held for longer is held by a turn that waits
/// for something else, such as the end of a pause or a store that does not answer, and who comes after it,
/// perhaps of another tenant, is not to wait for that too.
const PATIENCE: Duration = Duration::from_millis(250);

/// Where turns of one session queue up inside this process. Sessions share turnstiles, for there are more
/// of them.
#[derive(Debug)]
pub struct Turnstiles {
    locks: Box<[Mutex<()>]>,
    hasher: RandomState,
}

impl Default for Turnstiles {
    fn default() -> Self {
        let locks = (0..4_096).map(|_| Mutex::new(())).collect();
        Self { locks, hasher: RandomState::new() }
    }
}

impl Turnstiles {
    /// Waits for its turn, or goes on without one.
    async fn pass(&self, tenant: TenantId, session: SessionId) -> Option<MutexGuard<'_, ()>> {
        let hash = self.hasher.hash_one((tenant, session));
        let lock = self.locks[hash as usize % self.locks.len()].lock();
        tokio::time::timeout(PATIENCE, lock).await.ok()
    }
}

/// A turn as it is asked for.
#[derive(Clone, Copy)]
struct Request<'a> {
    tenant: TenantId,
    id: SessionId,
    input: &'a Input,
    idempotency: Option<&'a Idempotency>,
}

/// What came of one round of a turn.
enum Round {
    /// It is stored.
    Taken(Box<TurnAnswer>),
    /// Another turn came first.
    Conflict,
    /// The language model is to be asked first. Without one there is nobody to ask, and the core does not.
    Asks(Question),
}

impl Sessions {
    /// Takes a turn: reconciles the session with what is deployed, then goes on by its own rules.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::SessionOver`]; [`Error::StepNotAllowed`]; [`Error::Invalid`] for
    /// values that their fields do not accept; [`Error::IdempotencyKeyReused`]; [`Error::Contended`].
    pub async fn take_turn(
        &self,
        tenant: TenantId,
        id: SessionId,
        input: Input,
        key: Option<String>,
    ) -> Result<TurnAnswer> {
        let span = traced!("turn", rounds = Empty, outcome = Empty);
        let taking = self.take_in_turn(tenant, id, input, key, trace::Rounds::of(&span));
        let taken = taking.instrument(span.clone()).await;
        span.record("outcome", trace::outcome_of(&taken));
        taken
    }

    async fn take_in_turn(
        &self,
        tenant: TenantId,
        id: SessionId,
        input: Input,
        key: Option<String>,
        mut rounds: trace::Rounds,
    ) -> Result<TurnAnswer> {
        within_limits(&input)?;
        let idempotency = key.map(|key| Idempotency { key, request_hash: request_hash(&input) });
        let mut consultation =
            self.0.language.clone().map(|language| Consultation::new(language, tenant));
        let mut pass = self.0.turnstiles.pass(tenant, id).await;
        let mut conflicts = 0;
        while conflicts < ROUNDS {
            rounds.next();
            if let Some(idempotency) = &idempotency
                && let Some(answer) = self.first_answer(tenant, id, idempotency).await?
            {
                return Ok(answer);
            }
            let request = Request { tenant, id, input: &input, idempotency: idempotency.as_ref() };
            match self.decide_and_append(request, consultation.as_mut()).await? {
                Round::Taken(answer) => return Ok(*answer),
                Round::Conflict => {
                    telemetry::turn_conflicted();
                    conflicts += 1;
                }
                Round::Asks(question) => {
                    // Whoever waits at the turnstile is not to wait for a model too.
                    drop(pass);
                    if let Some(consultation) = &mut consultation {
                        consultation.ask(question).await;
                    }
                    pass = self.0.turnstiles.pass(tenant, id).await;
                }
            }
        }
        Err(Error::Contended { session: id })
    }

    /// One round: on what is stored now, and what the language model has said so far.
    async fn decide_and_append(
        &self,
        request: Request<'_>,
        mut consultation: Option<&mut Consultation>,
    ) -> Result<Round> {
        let Request { tenant, id, input, idempotency } = request;
        let shared = &self.0;
        let loading = shared.router.load(tenant, [session_stream(id)]);
        let [state] = loading.instrument(traced!("load")).await?;
        let session = folded(state)?.ok_or_else(|| not_found(id))?;
        let (view, fields) =
            self.standing(tenant, &session).instrument(traced!("standing")).await?;
        let input = Input {
            fields: accepted(&fields.definitions, input.fields.clone(), "/fields")?,
            ..input.clone()
        };
        let profile = match &session.customer_id {
            Some(customer) => {
                let loading = profiles::load(&shared.router, tenant, customer);
                loading.instrument(traced!("profile")).await?
            }
            None => LoadedProfile::default(),
        };
        let current = view.graph(view.current_version).ok_or_else(|| Error::Corrupt {
            what: "the control plane",
            reason: format!("the current version of scenario {} is gone", session.scenario_id),
            source: None,
        })?;

        if let Some(consultation) = &mut consultation {
            consultation.turn_to(&session, &input);
        }
        let consultation = consultation.as_deref();
        let now = shared.now();
        let begun = Instant::now();
        let situation = Situation {
            session: &session,
            profile: &profile.profile,
            plans: &view.deployed,
            archive: view.as_ref(),
            current: &current,
            definitions: &fields.definitions,
            config: &shared.config,
            extractor: consultation.map_or(Extractor::Embedded, Consultation::extractor),
            judge: consultation.map_or(Judge::Nobody, Consultation::judge),
            now,
        };
        let deciding = traced!("reconcile", migration.scenario = Empty, migration.outcome = Empty);
        let mut taken =
            match trace::within(&deciding, &Turn { situation, input: &input, idempotency }, take) {
                Ok(Outcome::Taken(taken)) => *taken,
                Ok(Outcome::Need(need)) => {
                    return Ok(Round::Asks(Question::new(need, &session, &input, fields)));
                }
                Err(refused) => return Err(refusal(id, refused)),
            };
        let took = begun.elapsed();
        trace::note_decision(deciding, &taken);
        note_duration(&mut taken, took.as_secs_f64() * 1_000.0);

        let appends = self.appends(&session, &taken, idempotency, profile);
        let appending = shared.router.append(tenant, now, appends);
        match appending.instrument(traced!("append")).await {
            Ok(_) => {}
            Err(Failure::Store(
                events::Error::Conflict { .. } | events::Error::DuplicateEvent { .. },
            )) => return Ok(Round::Conflict),
            Err(failure) => return Err(failure.into()),
        }
        self.report(tenant, &taken, took);
        let session = self.viewed_in(&view, taken.session);
        Ok(Round::Taken(Box::new(TurnAnswer { answer: taken.answer, session })))
    }

    /// What is decided about the session's scenario, and the tenant's fields, at one moment.
    async fn standing(
        &self,
        tenant: TenantId,
        session: &Session,
    ) -> Result<(Arc<View>, Arc<Defined>)> {
        let Shared { control, archive, .. } = &*self.0;
        let standing = control.standing(tenant, session.scenario_id).await?;
        let version = Some(session.version);
        let view = archive.view(tenant, session.scenario_id, version, &standing).await?;
        Ok((view, archive.fields(tenant, &standing).await?))
    }

    /// Everything that a turn writes, as one append group.
    fn appends(
        &self,
        before: &Session,
        taken: &Taken,
        idempotency: Option<&Idempotency>,
        profile: LoadedProfile,
    ) -> Vec<StreamAppend> {
        let fresh = || EventId(self.0.clock.new_id());
        let expected = Expected::Version(before.stream_version);
        let session = append_to(&taken.session, expected, &taken.events, |nth| match idempotency {
            Some(idempotency) if nth == 0 => turn_event_id(before.id, idempotency),
            _ => fresh(),
        });
        let mut appends = vec![session];
        if let Some(customer) =
            before.customer_id.as_ref().filter(|_| !taken.profile_writes.is_empty())
        {
            let writes = &taken.profile_writes;
            appends.push(profiles::append(customer, profile, writes, None, fresh()));
        }
        appends.extend(asked::appends(before, taken, fresh));
        for (decided, migration) in taken.events.iter().filter_map(Decided::by) {
            for plan in &migration.plan_ids {
                let record = Recorded {
                    session_id: before.id,
                    session_version: before.stream_version,
                    has_waited: before.waiting_for.contains(plan),
                    migration,
                };
                let stream = outcome_stream(*plan, decided);
                appends.push(line_of_plan(stream, "MigrationDecided", &record, fresh()));
            }
        }
        appends
    }

    /// What was answered when this key came first, if it did.
    async fn first_answer(
        &self,
        tenant: TenantId,
        id: SessionId,
        idempotency: &Idempotency,
    ) -> Result<Option<TurnAnswer>> {
        let event_id = turn_event_id(id, idempotency);
        let Some(event) = self.0.router.event(tenant, event_id).await? else { return Ok(None) };
        let payload = event.payload.as_ref().ok_or(Error::SessionErased { session: id })?;
        let payload = Event::from_payload(&event.event_type, payload);
        let Ok(Event::TurnTaken(turn)) = payload else {
            return Err(Error::Corrupt {
                what: "the event store",
                reason: format!("event {event_id} should be a turn, it is a {}", event.event_type),
                source: None,
            });
        };
        if turn.idempotency.as_ref() != Some(idempotency) {
            return Err(Error::IdempotencyKeyReused { key: idempotency.key.clone() });
        }
        let session = self.as_of(tenant, id, event.append_first_position.0, event.version).await?;
        let session = self.viewed_at(tenant, session, event.recorded_at).await?;
        Ok(Some(TurnAnswer { answer: turn.answer, session }))
    }

    /// The session as the append group of a turn left it, folded from its events.
    async fn as_of(
        &self,
        tenant: TenantId,
        id: SessionId,
        group: u64,
        turn: StreamVersion,
    ) -> Result<Session> {
        let mut session: Option<Session> = None;
        let mut from = StreamVersion(1);
        loop {
            let page = self.0.router.read_stream(StreamRead {
                tenant,
                access: Epoch::default().into(),
                stream: session_stream(id),
                from,
                limit: 1_000,
                direction: Direction::Forwards,
            });
            let page = page.await?;
            for stored in page.events {
                if stored.version > turn && stored.append_first_position.0 != group {
                    return session.ok_or_else(|| not_found(id));
                }
                let payload =
                    stored.payload.as_ref().ok_or(Error::SessionErased { session: id })?;
                let event = Event::from_payload(&stored.event_type, payload);
                let event = event.map_err(|error| Error::Corrupt {
                    what: "the event store",
                    reason: format!("event {} of session {id}", stored.event_id),
                    source: Some(Box::new(error)),
                })?;
                match (&mut session, &event) {
                    (Some(session), event) => session.apply(event, stored.recorded_at),
                    (none, Event::SessionStarted(started)) => {
                        *none = Some(Session::start(started, stored.recorded_at));
                    }
                    (None, _) => {}
                }
            }
            match page.next {
                Some(next) => from = next,
                None => return session.ok_or_else(|| not_found(id)),
            }
        }
    }

    /// Counts and logs what a turn did, once it is stored.
    fn report(&self, tenant: TenantId, taken: &Taken, took: std::time::Duration) {
        telemetry::turn_taken();
        telemetry::language_model_claimed(taken.claims);
        let logging = &self.0.config.logging;
        let session = taken.session.id;
        for (decided, migration) in taken.events.iter().filter_map(Decided::by) {
            for filled in &migration.fields_filled {
                telemetry::gap_filled(filled.source);
            }
            let Migration { reason, plan_ids, .. } = migration;
            match decided {
                Decided::Applied(scenario) => {
                    telemetry::migration_applied(scenario, took);
                    let logged = match scenario {
                        MigrationScenario::CleanGraft => logging.log_clean_grafts,
                        MigrationScenario::GapFill => logging.log_gap_fills,
                        MigrationScenario::ReRoute => logging.log_re_routes,
                    };
                    if logged {
                        tracing::info!(%tenant, %session, ?plan_ids, ?scenario, %reason, "migration applied");
                    }
                }
                Decided::Relocated => {
                    tracing::info!(%tenant, %session, ?plan_ids, %reason, "session relocated")
                }
                Decided::Blocked => {
                    telemetry::checkpoint_blocked();
                    if logging.log_checkpoint_blocks {
                        tracing::warn!(%tenant, %session, ?plan_ids, %reason, "migration blocked by a checkpoint");
                    }
                }
                Decided::Stayed => {
                    tracing::info!(%tenant, %session, ?plan_ids, %reason, "session stays on its version")
                }
            }
        }
    }
}

/// What was decided for a session, as the streams of its plans count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::scenarios) enum Decided {
    /// The session moved, by a migration scenario.
    Applied(MigrationScenario),
    /// The session moved without one: its step, or its version, was gone.
    Relocated,
    /// A checkpoint forbade the move.
    Blocked,
    /// The plan says that the session keeps its version.
    Stayed,
}

impl Decided {
    /// Every kind of decision.
    pub(in crate::scenarios) const ALL: [Self; 6] = [
        Self::Applied(MigrationScenario::CleanGraft),
        Self::Applied(MigrationScenario::GapFill),
        Self::Applied(MigrationScenario::ReRoute),
        Self::Relocated,
        Self::Blocked,
        Self::Stayed,
    ];

    /// The kinds of decision that move a session.
    pub(in crate::scenarios) const MOVED: [Self; 4] = [
        Self::Applied(MigrationScenario::CleanGraft),
        Self::Applied(MigrationScenario::GapFill),
        Self::Applied(MigrationScenario::ReRoute),
        Self::Relocated,
    ];

    /// What an event decided, if it decided a migration.
    fn by(event: &Event) -> Option<(Self, &Migration)> {
        match event {
            Event::MigrationApplied(applied) => {
                let scenario = applied.migration.migration_scenario;
                Some((scenario.map_or(Self::Relocated, Self::Applied), &applied.migration))
            }
            Event::MigrationSettled(settled) => {
                let blocked = settled.migration.checkpoint_block.is_some();
                Some((if blocked { Self::Blocked } else { Self::Stayed }, &settled.migration))
            }
            Event::SessionStarted(_)
            | Event::TurnTaken(_)
            | Event::FieldsFilled(_)
            | Event::FieldsFound(_)
            | Event::MigrationWaits(_)
            | Event::StepEntered(_)
            | Event::SessionFinished(_) => None,
        }
    }

    /// The word in the stream's name.
    pub(in crate::scenarios) fn as_str(self) -> &'static str {
        match self {
            Self::Applied(MigrationScenario::CleanGraft) => "clean_graft",
            Self::Applied(MigrationScenario::GapFill) => "gap_fill",
            Self::Applied(MigrationScenario::ReRoute) => "re_route",
            Self::Relocated => "relocated",
            Self::Blocked => "blocked",
            Self::Stayed => "stayed",
        }
    }
}

/// The stream whose version counts what was decided so by a plan.
pub(in crate::scenarios) fn outcome_stream(plan: PlanId, decided: Decided) -> StreamId {
    stream(format!("plan-{plan}-{}", decided.as_str()))
}

/// One line of an outcome's stream.
#[derive(Debug, Serialize)]
struct Recorded<'a> {
    session_id: SessionId,
    /// The version of the session's stream before the turn.
    session_version: StreamVersion,
    /// Whether the plan has told the session's customer or caller to do something first.
    has_waited: bool,
    #[serde(flatten)]
    migration: &'a Migration,
}

/// The id of the first event of a turn that came with a key: the same for the same session and key.
fn turn_event_id(session: SessionId, idempotency: &Idempotency) -> EventId {
    EventId(Uuid::new_v5(&session.0, idempotency.key.as_bytes()))
}

/// A hash over what the caller brought.
fn request_hash(input: &Input) -> String {
    let request = serde_json::to_vec(input).expect("plain data with text keys serialises");
    Digest::of_payload(&request).to_string()
}

/// Writes how long the decision took into its record.
fn note_duration(taken: &mut Taken, milliseconds: f64) {
    for event in &mut taken.events {
        match event {
            Event::MigrationApplied(applied) => applied.migration.duration_ms = Some(milliseconds),
            Event::MigrationSettled(settled) => settled.migration.duration_ms = Some(milliseconds),
            Event::SessionStarted(_)
            | Event::TurnTaken(_)
            | Event::FieldsFilled(_)
            | Event::FieldsFound(_)
            | Event::MigrationWaits(_)
            | Event::StepEntered(_)
            | Event::SessionFinished(_) => {}
        }
    }
}

fn refusal(session: SessionId, refused: Refused) -> Error {
    match refused {
        Refused::NotActive { status: Status::Erased } => Error::SessionErased { session },
        Refused::NotActive { status } => Error::SessionOver { session, status },
        Refused::StepNotAllowed { step_id, from, allowed, .. } => {
            Error::StepNotAllowed { from, to: step_id, allowed }
        }
    }
}

/// Refuses a turn that brings more than any turn should.
fn within_limits(input: &Input) -> Result<()> {
    let most = |path: &str, thing: &str, limit, actual| {
        let over = || Error::over_limit("turn", path, thing, limit, actual);
        if actual <= limit { Ok(()) } else { Err(over()) }
    };
    let message = input.message.as_ref().map_or(0, |message| message.text.len());
    most("/message/text", "a message in bytes", MESSAGE_BYTES, message)?;
    most("/fields", "the number of fields", ENTRIES, input.fields.len())?;
    most("/confirmations", "the number of confirmations", ENTRIES, input.confirmations.len())?;
    most("/actions_done", "the number of actions", ENTRIES, input.actions_done.len())
}

/// Values as their fields' definitions accept them; a field that nobody defined takes anything but null.
pub(super) fn accepted(
    definitions: &Definitions,
    values: BTreeMap<FieldName, Value>,
    at: &str,
) -> Result<BTreeMap<FieldName, Value>> {
    if values.len() > ENTRIES {
        return Err(Error::over_limit("values", at, "the number of fields", ENTRIES, values.len()));
    }
    let mut accepted = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, value) in values {
        let size = value.to_string().len();
        let checked = if size > VALUE_BYTES {
            Err(format!("a value has at most {VALUE_BYTES} bytes, this one has {size}"))
        } else if value.is_null() {
            Err("null is not a value: leave the field out".to_owned())
        } else {
            definitions
                .get(&name)
                .map_or(Ok(value.clone()), |definition| definition.accepts(&value))
        };
        match checked {
            Ok(value) => {
                accepted.insert(name, value);
            }
            Err(reason) => problems.push(Problem {
                code: "value_not_accepted".to_owned(),
                path: format!("{at}/{}", name.as_str().replace('~', "~0").replace('/', "~1")),
                message: format!("field {name}: {reason}"),
            }),
        }
    }
    if problems.is_empty() {
        Ok(accepted)
    } else {
        Err(Error::Invalid { what: "values", problems })
    }
}
