//! Forecasts as they are shown.

use jiff::Timestamp;
use segue_core::ids::PlanId;
use segue_core::plan::forecast::{Differing, Sample, Summary};
use segue_store::control::forecasts::{Forecast, State};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::basis::Stale;
use super::compute::Kept;

/// Where a forecast stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForecastState {
    /// It is being computed.
    Running,
    /// Its result is there.
    Done,
    /// It was given up; `failure` says why.
    Failed,
    /// Whoever computed it is heard of no more. Ask for it again.
    Interrupted,
}

impl ForecastState {
    /// Where one stands whose process must have been heard of since some time.
    pub(super) fn of(forecast: &Forecast, alive_since: Timestamp) -> Self {
        match forecast.state {
            State::Running if forecast.is_alive(alive_since) => Self::Running,
            State::Running => Self::Interrupted,
            State::Done => Self::Done,
            State::Failed { .. } => Self::Failed,
        }
    }
}

/// A plan's forecast.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ForecastView {
    /// The plan.
    pub plan_id: PlanId,
    /// The forecast; another one each time that it is asked for.
    pub forecast_id: Uuid,
    /// Where it stands.
    pub state: ForecastState,
    /// Why it was given up.
    pub failure: Option<String>,
    /// What has changed since it was begun, so that it may no longer be true; empty while nothing has.
    pub stale: Vec<Stale>,
    /// When it was begun; it foresees a deploy at this moment.
    pub started_at: Timestamp,
    /// When whoever computes it was heard of last; the end, if it has ended.
    pub heard_at: Timestamp,
    /// How many sessions are foreseen.
    pub sessions_done: u64,
    /// Of how many. Sessions that end while it is computed are not among the done.
    pub sessions_total: u64,
    /// What becomes of them, once it is done.
    pub result: Option<ForecastResult>,
    /// What became of them, once the plan is deployed.
    pub actual: Option<ForecastActual>,
}

impl ForecastView {
    pub(super) fn new(
        forecast: Forecast,
        state: ForecastState,
        stale: Vec<Stale>,
        result: Option<ForecastResult>,
        actual: Option<ForecastActual>,
    ) -> Self {
        let failure = match forecast.state {
            State::Failed { reason } => Some(reason),
            State::Running | State::Done => None,
        };
        Self {
            plan_id: forecast.plan_id,
            forecast_id: forecast.forecast_id,
            state,
            failure,
            stale,
            started_at: forecast.started_at,
            heard_at: forecast.heard_at,
            sessions_done: forecast.sessions_done,
            sessions_total: forecast.sessions_total,
            result,
            actual,
        }
    }
}

/// What becomes of every live session of the scenario.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ForecastResult {
    /// In numbers.
    #[serde(flatten)]
    pub summary: Summary,
    /// Some sessions of each kind, with the reason in words.
    pub samples: Vec<Sample>,
}

impl From<Kept> for ForecastResult {
    fn from(kept: Kept) -> Self {
        Self { summary: Summary::of(&kept.groups), samples: kept.samples }
    }
}

/// What became of sessions since the deploy, and how that compares with the forecast.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ForecastActual {
    /// In numbers; each session counts by what the plan first decided for it.
    #[serde(flatten)]
    pub summary: Summary,
    /// How many sessions the plan has decided something for.
    pub decided: u64,
    /// How many are still to come, among them those that wait.
    pub pending: u64,
    /// How many were asked, or wait for an action, and were not decided for good yet.
    pub waiting: u64,
    /// How many went as foreseen.
    pub as_forecast: u64,
    /// How many went otherwise.
    pub differing: u64,
    /// How many of these had not taken a turn between the forecast and the decision.
    pub differing_unchanged: u64,
    /// How many were not foreseen, because they began later.
    pub not_foreseen: u64,
    /// Whether every decision is in these numbers; if not, they are being read: ask again.
    pub complete: bool,
    /// Some of those that went otherwise, with what can be told of why.
    pub differences: Vec<Differing>,
}
