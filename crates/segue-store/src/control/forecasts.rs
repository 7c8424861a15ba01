//! Forecasts: what a plan would do to every live session, as one process has computed it for all to read.
//!
//! A plan has one forecast, the latest. Whoever begins one replaces the one before, unless that is still being
//! computed by a process that was heard of lately. Everything that is written after that names the forecast and
//! is refused once another one has begun or it has ended, so a process that slept through its own replacement
//! changes nothing.
//!
//! Nothing is decided here: no session and no plan depends on what a forecast says.

use async_trait::async_trait;
use jiff::Timestamp;
use segue_core::ids::{PlanId, SessionId, TenantId};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Error, Result};

/// The most bytes of a page of records.
pub const PAGE_BYTES: usize = 1024 * 1024;

/// The most bytes of a result.
pub const RESULT_BYTES: usize = 4 * 1024 * 1024;

/// A forecast that is to begin.
#[derive(Debug, Clone, PartialEq)]
pub struct NewForecast {
    /// The plan.
    pub plan_id: PlanId,
    /// The forecast, new with every attempt.
    pub forecast_id: Uuid,
    /// The process that computes it.
    pub process: Uuid,
    /// When it begins.
    pub started_at: Timestamp,
    /// What it is computed from, as JSON; small.
    pub basis: Value,
}

impl NewForecast {
    /// The forecast as it is when it has begun.
    pub(super) fn begun(&self) -> Forecast {
        Forecast {
            plan_id: self.plan_id,
            forecast_id: self.forecast_id,
            process: self.process,
            state: State::Running,
            started_at: self.started_at,
            heard_at: self.started_at,
            sessions_done: 0,
            sessions_total: 0,
            basis: self.basis.clone(),
        }
    }
}

/// Where a forecast stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is being computed, or its process died over it: see [`Forecast::heard_at`].
    Running,
    /// It is there.
    Done,
    /// It was given up.
    Failed {
        /// Why.
        reason: String,
    },
}

impl State {
    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed { .. } => "failed",
        }
    }

    /// Why it was given up.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Self::Failed { reason } => Some(reason),
            Self::Running | Self::Done => None,
        }
    }

    /// The state that a stored word and reason tell of; nothing if there is none of that name.
    pub(super) fn of(word: &str, reason: Option<String>) -> Option<Self> {
        match word {
            "running" => Some(Self::Running),
            "done" => Some(Self::Done),
            "failed" => Some(Self::Failed { reason: reason.unwrap_or_default() }),
            _ => None,
        }
    }
}

/// A plan's forecast, without its result.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// The plan.
    pub plan_id: PlanId,
    /// The forecast.
    pub forecast_id: Uuid,
    /// The process that computes it, or did.
    pub process: Uuid,
    /// Where it stands.
    pub state: State,
    /// When it began.
    pub started_at: Timestamp,
    /// When its process told of it last.
    pub heard_at: Timestamp,
    /// How many sessions are foreseen.
    pub sessions_done: u64,
    /// Of how many.
    pub sessions_total: u64,
    /// What it is computed from.
    pub basis: Value,
}

impl Forecast {
    /// Whether it is being computed by a process that was heard of at or after this time.
    #[must_use]
    pub fn is_alive(&self, since: Timestamp) -> bool {
        self.state == State::Running && self.heard_at >= since
    }
}

/// The answer to the beginning of a forecast.
#[derive(Debug, Clone, PartialEq)]
pub enum Begun {
    /// It begins.
    Started(Forecast),
    /// Another one is being computed.
    Running(Forecast),
}

/// How far a forecast has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many sessions are foreseen.
    pub done: u64,
    /// Of how many.
    pub total: u64,
    /// When.
    pub at: Timestamp,
}

/// Where in the ids of sessions a page lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The page's number.
    pub page: u64,
    /// The least id in it.
    pub first: SessionId,
    /// The greatest.
    pub last: SessionId,
}

/// A page of what was foreseen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Where it lies.
    pub range: Range,
    /// The records, as [`segue_core::plan::forecast::write`] writes them.
    pub records: Vec<u8>,
}

/// How a forecast ends.
#[derive(Debug, Clone)]
pub enum End {
    /// With this result, as JSON.
    Done(Box<RawValue>),
    /// Without one.
    Failed(String),
}

impl End {
    /// The state and the result, as they are kept; refuses a result that is too large.
    pub(super) fn kept(self) -> Result<(State, Option<Box<RawValue>>)> {
        match self {
            Self::Done(result) if result.get().len() > RESULT_BYTES => {
                Err(Error::Refused("the result of a forecast has 4 MiB at most"))
            }
            Self::Done(result) => Ok((State::Done, Some(result))),
            Self::Failed(reason) => Ok((State::Failed { reason }, None)),
        }
    }
}

impl Page {
    /// Refuses a page that is too large.
    pub(super) fn check(&self) -> Result<()> {
        if self.records.len() > PAGE_BYTES {
            return Err(Error::Refused("a page of a forecast has 1 MiB at most"));
        }
        Ok(())
    }
}

/// Keeps forecasts.
#[async_trait]
pub trait Forecasts: Send + Sync {
    /// Begins a forecast in place of the one before, unless that is running and was heard of at or after
    /// `alive_since`.
    ///
    /// # Errors
    /// [`super::Error::NotFound`] if there is no such plan.
    async fn begin_forecast(
        &self,
        tenant: TenantId,
        new: &NewForecast,
        alive_since: Timestamp,
    ) -> Result<Begun>;

    /// Tells how far a running forecast has come, and keeps a page of it if there is one. `false` if the
    /// forecast is no longer the plan's, or has ended: then nothing is kept.
    ///
    /// # Errors
    /// [`super::Error::Refused`] over [`PAGE_BYTES`].
    async fn note_forecast(
        &self,
        tenant: TenantId,
        plan: PlanId,
        forecast: Uuid,
        progress: Progress,
        page: Option<Page>,
    ) -> Result<bool>;

    /// Ends a running forecast. `false` if the forecast is no longer the plan's, or has ended: then nothing
    /// is kept.
    ///
    /// # Errors
    /// [`super::Error::Refused`] over [`RESULT_BYTES`].
    async fn end_forecast(
        &self,
        tenant: TenantId,
        plan: PlanId,
        forecast: Uuid,
        end: End,
        at: Timestamp,
    ) -> Result<bool>;

    /// Reads a plan's forecast.
    ///
    /// # Errors
    /// [`super::Error::NotFound`] if there is none.
    async fn forecast(&self, tenant: TenantId, plan: PlanId) -> Result<Forecast>;

    /// Reads the result of a forecast; nothing while there is none, or if the forecast is no longer the
    /// plan's.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn forecast_result(
        &self,
        tenant: TenantId,
        plan: PlanId,
        forecast: Uuid,
    ) -> Result<Option<Box<RawValue>>>;

    /// Where the pages of a plan's forecast lie, in their order.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn forecast_ranges(&self, tenant: TenantId, plan: PlanId) -> Result<Vec<Range>>;

    /// Reads a page of a plan's forecast.
    ///
    /// # Errors
    /// [`super::Error::NotFound`].
    async fn forecast_page(&self, tenant: TenantId, plan: PlanId, page: u64) -> Result<Page>;
}
