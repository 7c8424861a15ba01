//! Forecasts: what a plan would do to every live session if it were deployed now, and afterwards what it did.
//!
//! ```text
//! POST -> a row in the control plane says that the forecast runs, by which process      (at most one a plan)
//!      -> a task of this process reads the sessions page by page, decides each          (compute)
//!      -> pages of records, and how far it has come, are kept as it goes                (note: also a sign of life)
//!      -> the counts and the examples are kept                                          (end)
//! GET  -> what is kept, by any process; and once the plan is deployed, what was decided (actual)
//! DELETE -> it is over, says any process; the one that computes it learns so when it notes something
//! ```
//!
//! Sessions are only read. Each is decided by the very function that its next turn calls, on the plans that are
//! deployed and this one; a model of natural language is never asked. A process that dies leaves a row that says
//! "running" and is heard of no more: it is shown as interrupted, and the next POST begins anew.

mod actual;
mod basis;
mod compute;
mod view;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use segue_core::ids::{PlanId, TenantId};
use segue_core::plan::lifecycle::Kind as Status;
use segue_store::control::forecasts::{Begun, End, Forecast, NewForecast, State};
use segue_store::control::plans::Plan;
use segue_store::control::{Error as ControlError, Noun};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Shared;
use super::planner::{self, plan_error};
use crate::error::{Error, Kind, Result};
use actual::Readings;
use basis::Basis;
use compute::{Computation, Stopped};

pub use basis::Stale;
pub use view::{ForecastActual, ForecastResult, ForecastState, ForecastView};

/// How many forecasts a process computes at once.
const AT_ONCE: usize = 2;

/// For how long a process may be silent before its forecast counts as interrupted.
const SILENCE: SignedDuration = SignedDuration::from_secs(30);

/// Forecasts plans, and holds what was decided against the forecast.
#[derive(Debug, Clone)]
pub struct MigrationForecaster(pub(super) Arc<Shared>);

/// The forecasts that this process computes, and what it remembers of those that it compares. Nothing of it
/// is the only copy.
#[derive(Debug)]
pub(super) struct Forecasting {
    slots: Arc<Semaphore>,
    stopping: CancellationToken,
    process: OnceLock<Uuid>,
    readings: Readings,
}

impl Default for Forecasting {
    fn default() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            stopping: CancellationToken::new(),
            process: OnceLock::new(),
            readings: Readings::default(),
        }
    }
}

impl MigrationForecaster {
    /// Begins a forecast of a plan in the background, in place of an earlier one. If one is being computed it
    /// is that one which is answered.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::PlanStatus`] unless the plan is pending or approved;
    /// [`Error::TooManyForecasts`].
    pub async fn begin(&self, tenant: TenantId, plan_id: PlanId) -> Result<ForecastView> {
        let shared = &self.0;
        let plan = planner::header(shared, tenant, plan_id).await?;
        if !plan.status.is_open() {
            return Err(Error::PlanStatus {
                action: "forecast",
                status: plan.status.kind().as_str(),
                allowed: vec![Status::Pending.as_str(), Status::Approved.as_str()],
            });
        }
        match shared.control.forecast(tenant, plan_id).await {
            Ok(running) if running.is_alive(alive_since(shared)) => {
                return self.viewed(tenant, &plan, running).await;
            }
            Ok(_) | Err(ControlError::NotFound(Noun::Forecast)) => {}
            Err(error) => return Err(error.into()),
        }
        let forecasting = &shared.forecasting;
        let slot = forecasting.slots.clone().try_acquire_owned();
        let slot = slot.map_err(|_| Error::TooManyForecasts { limit: AT_ONCE })?;
        let now = shared.now();
        let basis = Basis::of(shared, tenant, &plan).await?;
        let new = NewForecast {
            plan_id,
            forecast_id: shared.clock.new_id(),
            process: *forecasting.process.get_or_init(|| shared.clock.new_id()),
            started_at: now,
            basis: serde_json::to_value(&basis).expect("plain data serialises"),
        };
        let begun = shared.control.begin_forecast(tenant, &new, alive_since(shared)).await;
        let forecast = match begun.map_err(|error| plan_error(error, plan_id))? {
            Begun::Running(other) => return self.viewed(tenant, &plan, other).await,
            Begun::Started(forecast) => forecast,
        };
        let view = self.viewed(tenant, &plan, forecast.clone()).await?;
        tokio::spawn(run(shared.clone(), tenant, plan, forecast, slot));
        Ok(view)
    }

    /// Gives up the forecast of a plan that is being computed, by whichever process, or that one has died over. Says
    /// whether there was any; one that is over stays as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such plan, or no forecast of it.
    pub async fn cancel(&self, tenant: TenantId, plan_id: PlanId, by: &str) -> Result<bool> {
        let shared = &self.0;
        planner::header(shared, tenant, plan_id).await?;
        let running = self.latest(tenant, plan_id).await?.forecast_id;
        let end = End::Failed(format!("{by} cancelled it"));
        Ok(shared.control.end_forecast(tenant, plan_id, running, end, shared.now()).await?)
    }

    /// Shows the latest forecast of a plan; once the plan is deployed, with what was decided since.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such plan, or no forecast of it.
    pub async fn forecast(&self, tenant: TenantId, plan_id: PlanId) -> Result<ForecastView> {
        let plan = planner::header(&self.0, tenant, plan_id).await?;
        let forecast = self.latest(tenant, plan_id).await?;
        self.viewed(tenant, &plan, forecast).await
    }

    async fn latest(&self, tenant: TenantId, plan_id: PlanId) -> Result<Forecast> {
        let found = self.0.control.forecast(tenant, plan_id).await;
        found.map_err(|error| match error {
            ControlError::NotFound(_) => {
                Error::NotFound { kind: Kind::Forecast, id: plan_id.to_string() }
            }
            other => other.into(),
        })
    }

    /// Gives up the forecasts that this process computes, and waits until they have said so, at most for
    /// `patience`. None is begun any more.
    pub async fn stop(&self, patience: Duration) {
        let forecasting = &self.0.forecasting;
        forecasting.stopping.cancel();
        let all = u32::try_from(AT_ONCE).expect("a few");
        let over = tokio::time::timeout(patience, forecasting.slots.acquire_many(all)).await;
        // Dropping the permits would let others begin.
        if let Ok(Ok(permits)) = over {
            permits.forget();
        }
    }

    async fn viewed(
        &self,
        tenant: TenantId,
        plan: &Plan,
        forecast: Forecast,
    ) -> Result<ForecastView> {
        let shared = &self.0;
        let basis = Basis::read(&forecast)?;
        let stale = basis.stale(&Basis::of(shared, tenant, plan).await?);
        let (mut result, mut actual) = (None, None);
        if forecast.state == State::Done
            && let Some(kept) = compute::result(shared, tenant, &forecast).await?
        {
            if plan.status.deployed().is_some() {
                actual = Some(actual::actual(shared, tenant, (plan, &forecast), &kept).await?);
            }
            result = Some(ForecastResult::from(kept));
        }
        let state = ForecastState::of(&forecast, alive_since(shared));
        Ok(ForecastView::new(forecast, state, stale, result, actual))
    }
}

/// Since when a process that computes must have been heard of.
fn alive_since(shared: &Shared) -> Timestamp {
    shared.now().checked_sub(SILENCE).unwrap_or(Timestamp::MIN)
}

/// Computes a forecast and says how it ended.
async fn run(
    shared: Arc<Shared>,
    tenant: TenantId,
    plan: Plan,
    forecast: Forecast,
    slot: OwnedSemaphorePermit,
) {
    let (plan_id, forecast_id) = (forecast.plan_id, forecast.forecast_id);
    let begun = Instant::now();
    let computation = Computation::new(shared.clone(), tenant, plan, forecast);
    let end = match computation.run().await {
        Ok(result) => End::Done(result),
        Err(Stopped::Unwanted) => {
            tracing::info!(%tenant, plan = %plan_id, "a forecast is no longer wanted");
            return;
        }
        Err(Stopped::Because(reason)) => {
            tracing::warn!(%tenant, plan = %plan_id, reason, "a forecast was given up");
            End::Failed(reason)
        }
    };
    let is_done = matches!(end, End::Done(_));
    let ended = shared.control.end_forecast(tenant, plan_id, forecast_id, end, shared.now()).await;
    match ended {
        Ok(true) if is_done => {
            let seconds = begun.elapsed().as_secs_f64();
            tracing::info!(%tenant, plan = %plan_id, seconds, "a plan is forecast");
        }
        Ok(_) => {}
        // It is shown as interrupted before long.
        Err(error) => {
            tracing::warn!(%tenant, plan = %plan_id, %error, "the end of a forecast could not be told");
        }
    }
    drop(slot);
}
