//! What was decided since the deploy, read from the plan's streams and held against the forecast.
//!
//! The streams only grow, so what was read of them is remembered and each look reads on from there, a bounded
//! number of decisions at a time. Forgotten, it is read again from the beginning.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quick_cache::sync::Cache;
use segue_core::ids::{Epoch, PlanId, SessionId, StreamId, StreamVersion, TenantId};
use segue_core::plan::forecast::{
    Actual, Comparison, Foreseen, Outcome, Record, Summary, Why, find,
};
use segue_core::session::event::{Event, Migration};
use segue_core::session::turn::Input;
use segue_store::control::forecasts::Forecast;
use segue_store::control::plans::Plan;
use segue_store::events::{self, Direction, StreamRead};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::super::Shared;
use super::super::planner::plan_error;
use super::super::scope;
use super::super::sessions::asked::{Asked, asked_stream};
use super::super::sessions::{Decided, outcome_stream, session_stream};
use super::compute::Kept;
use super::view::ForecastActual;
use crate::error::{Error, Result};

/// Decisions that one look reads at most.
const PER_LOOK: usize = 20_000;

/// Decisions that are read at once.
const PER_READ: usize = 1_000;

/// How many comparisons are remembered.
const REMEMBERED: usize = 16;

type Key = (TenantId, Uuid);

/// What is remembered of comparisons, by forecast.
#[derive(Debug)]
pub(super) struct Readings(Cache<Key, Arc<Mutex<Reading>>>);

impl Default for Readings {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

/// How far a plan's streams were read, and what was found.
#[derive(Debug, Default)]
struct Reading {
    read: BTreeMap<StreamId, StreamVersion>,
    comparison: Comparison,
    /// Decisions about sessions that had been told to wait before.
    settled_waiting: u64,
    /// Examples whose turn was looked at.
    looked_at: BTreeSet<SessionId>,
}

/// A line of an outcome's stream.
#[derive(Deserialize)]
struct Line {
    session_id: SessionId,
    /// Missing in what releases before this one wrote.
    session_version: Option<StreamVersion>,
    #[serde(default)]
    has_waited: bool,
    #[serde(flatten)]
    migration: Migration,
}

/// What became of a plan's sessions so far.
pub(super) async fn actual(
    shared: &Shared,
    tenant: TenantId,
    (header, forecast): (&Plan, &Forecast),
    kept: &Kept,
) -> Result<ForecastActual> {
    let plan = forecast.plan_id;
    let readings = &shared.forecasting.readings.0;
    let key = (tenant, forecast.forecast_id);
    let reading = readings.get(&key).unwrap_or_else(|| {
        let new = Arc::<Mutex<Reading>>::default();
        readings.insert(key, new.clone());
        new
    });
    let mut reading = reading.lock().await;
    let streams = streams(plan);
    let lengths = shared.router.stream_versions(tenant, &streams).await?;
    let mut look = Look::default();
    for (stream, length) in streams.iter().zip(&lengths) {
        look.read_on(shared, (tenant, plan), (stream, *length), &reading).await?;
    }
    let foreseen = foreseen(shared, tenant, plan, &look.decided).await?;
    reading.take_in(look, &foreseen, kept);
    reading.look_at_turns(shared, tenant).await?;
    let waited = lengths.last().map_or(0, |length| length.0);
    let complete =
        streams.iter().zip(&lengths).all(|(stream, length)| reading.read_to(stream) >= *length);
    let comparison = &reading.comparison;
    let summary = Summary::of(comparison.groups());
    Ok(ForecastActual {
        decided: summary.sessions_by_kind.values().sum(),
        summary,
        pending: pending(shared, tenant, header).await?,
        waiting: waited.saturating_sub(reading.settled_waiting),
        as_forecast: comparison.as_forecast(),
        differing: comparison.differing(),
        differing_unchanged: comparison.differing_unchanged(),
        not_foreseen: comparison.not_foreseen(),
        complete,
        differences: comparison.examples().to_vec(),
    })
}

/// The streams of what a plan has decided; the one of those that were told to wait is the last.
fn streams(plan: PlanId) -> Vec<StreamId> {
    let decided = Decided::ALL.map(|decided| outcome_stream(plan, decided));
    decided.into_iter().chain([asked_stream(plan)]).collect()
}

async fn pending(shared: &Shared, tenant: TenantId, plan: &Plan) -> Result<u64> {
    let history = shared.control.deployed(tenant, plan.scenario_id).await;
    let history = history.map_err(|error| plan_error(error, plan.plan_id))?;
    match history.deployed.iter().find(|record| record.plan_id == plan.plan_id) {
        Some(record) => Ok(scope::pending_by_anchor(shared, tenant, record).await?.values().sum()),
        None => Ok(0),
    }
}

/// What one look finds; it counts once all of it is there.
#[derive(Default)]
struct Look {
    read: BTreeMap<StreamId, StreamVersion>,
    lines: usize,
    decided: Vec<Actual>,
    settled_waiting: u64,
}

impl Look {
    /// Reads a stream on from where it was read to.
    async fn read_on(
        &mut self,
        shared: &Shared,
        (tenant, plan): (TenantId, PlanId),
        (stream, length): (&StreamId, StreamVersion),
        before: &Reading,
    ) -> Result<()> {
        let is_asked = *stream == asked_stream(plan);
        let mut read_to = before.read_to(stream);
        while self.lines < PER_LOOK && read_to < length {
            let read = StreamRead {
                tenant,
                access: Epoch::default().into(),
                stream: stream.clone(),
                from: read_to.next(),
                limit: PER_READ.min(PER_LOOK - self.lines),
                direction: Direction::Forwards,
            };
            let events = shared.router.read_stream(read).await?.events;
            let Some(last) = events.last() else { break };
            read_to = last.version;
            self.lines += events.len();
            for event in &events {
                let line = if is_asked { asked(event)? } else { first(event)? };
                match line {
                    Some(actual) => self.decided.push(actual),
                    None => self.settled_waiting += 1,
                }
            }
        }
        self.read.insert(stream.clone(), read_to);
        Ok(())
    }
}

impl Reading {
    fn read_to(&self, stream: &StreamId) -> StreamVersion {
        self.read.get(stream).copied().unwrap_or_default()
    }

    /// Holds what was found against the forecast.
    fn take_in(&mut self, look: Look, foreseen: &BTreeMap<SessionId, Record>, kept: &Kept) {
        for actual in look.decided {
            let foreseen = foreseen.get(&actual.session_id).and_then(|record| {
                let group = kept.groups.get(usize::from(record.outcome))?;
                Some(Foreseen { version: record.version, outcome: &group.outcome })
            });
            self.comparison.add(actual, foreseen);
        }
        self.settled_waiting += look.settled_waiting;
        self.read.extend(look.read);
    }

    /// Looks whether the turns of sessions that went otherwise, though unchanged, brought something.
    async fn look_at_turns(&mut self, shared: &Shared, tenant: TenantId) -> Result<()> {
        let unexplained = self.comparison.examples().iter();
        let unexplained: Vec<_> = unexplained
            .filter(|example| example.because == Why::Around)
            .filter_map(|example| Some((example.session_id, example.version?)))
            .filter(|(session, _)| !self.looked_at.contains(session))
            .collect();
        for (session, version) in unexplained {
            let read = StreamRead {
                tenant,
                access: Epoch::default().into(),
                stream: session_stream(session),
                from: version.next(),
                limit: 1,
                direction: Direction::Forwards,
            };
            let events = shared.router.read_stream(read).await?.events;
            let turn = events.first().and_then(|event| {
                Event::from_payload(&event.event_type, event.payload.as_ref()?).ok()
            });
            if let Some(Event::TurnTaken(turn)) = turn
                && turn.input != (Input { step_id: turn.input.step_id.clone(), ..Input::default() })
            {
                self.comparison.brought(session);
            }
            self.looked_at.insert(session);
        }
        Ok(())
    }
}

/// A decision, unless its session had been told to wait before: then that was the first.
fn first(event: &events::Event) -> Result<Option<Actual>> {
    let Line { session_id, session_version: version, has_waited, migration } = line(event)?;
    let outcome = Outcome::of_migration(&migration);
    Ok((!has_waited).then_some(Actual { session_id, version, outcome }))
}

/// A session that was told to wait.
fn asked(event: &events::Event) -> Result<Option<Actual>> {
    let asked: Asked = line(event)?;
    let (session_id, version) = (asked.session_id, Some(asked.session_version));
    Ok(Some(Actual { session_id, version, outcome: asked.outcome }))
}

fn line<T: DeserializeOwned>(event: &events::Event) -> Result<T> {
    let payload = event.payload.as_deref().unwrap_or_default();
    serde_json::from_slice(payload).map_err(|error| Error::Corrupt {
        what: "the event store",
        reason: format!("event {} should be a decided migration: {error}", event.event_id),
        source: None,
    })
}

/// What was foreseen of these sessions.
async fn foreseen(
    shared: &Shared,
    tenant: TenantId,
    plan: PlanId,
    decided: &[Actual],
) -> Result<BTreeMap<SessionId, Record>> {
    let mut wanted: BTreeSet<SessionId> = decided.iter().map(|actual| actual.session_id).collect();
    let mut found = BTreeMap::new();
    for range in shared.control.forecast_ranges(tenant, plan).await? {
        let inside: Vec<SessionId> = wanted.range(range.first..=range.last).copied().collect();
        if inside.is_empty() {
            continue;
        }
        let page = shared.control.forecast_page(tenant, plan, range.page).await?;
        for session in inside {
            let record = find(&page.records, session).map_err(|error| Error::Corrupt {
                what: "the control plane",
                reason: format!("the forecast of plan {plan}: {error}"),
                source: Some(Box::new(error)),
            })?;
            if let Some(record) = record {
                found.insert(session, record);
                wanted.remove(&session);
            }
        }
    }
    Ok(found)
}
