//! `/migration-plans/{id}/forecast`: what a plan would do to every live session, and what it did.

use axum::extract::State;
use axum::http::StatusCode;
use segue_core::ids::PlanId;

use super::App;
use super::error::{ErrorBody, Refusal};
use super::extract::{Path, Tenant};
use crate::auth::Caller;
use crate::scenarios::ForecastView;

/// Forecasts a plan
///
/// Every live session of the scenario is decided as its next turn would decide it if the plan were deployed now and
/// the turn brought nothing; nothing is written to sessions. It is done in the background: `GET` shows how far it has
/// come. If a forecast of the plan is being computed, it is that one which is answered; a finished one is replaced.
#[utoipa::path(post, path = "/migration-plans/{plan_id}/forecast", tag = "migration plans",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("plan_id" = uuid::Uuid, Path)),
    responses((status = 202, body = ForecastView), (status = 404, body = ErrorBody),
        (status = 409, description = "`invalid_state_transition`: the plan is neither pending nor approved",
            body = ErrorBody),
        (status = 429, description = "`too_many_forecasts`", body = ErrorBody)))]
pub async fn forecast_migration_plan(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(id): Path<PlanId>,
) -> Result<(StatusCode, axum::Json<ForecastView>), Refusal> {
    let view = app.opened.scenarios.forecaster.begin(tenant, id).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(view)))
}

/// Cancels the forecast of a plan
///
/// If it is being computed, or was interrupted, it is shown as `failed` from now on, with who wanted so; whoever computes
/// it gives it up soon. One that is over stays as it is. Repeating it is safe.
#[utoipa::path(delete, path = "/migration-plans/{plan_id}/forecast", tag = "migration plans",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("plan_id" = uuid::Uuid, Path)),
    responses((status = 200, body = ForecastView),
        (status = 404, description = "`plan_not_found`, `forecast_not_found`", body = ErrorBody)))]
pub async fn cancel_forecast(
    State(app): State<App>,
    caller: Caller,
    Tenant(tenant): Tenant,
    Path(id): Path<PlanId>,
) -> Result<axum::Json<ForecastView>, Refusal> {
    let by = caller.actor(None);
    let forecaster = &app.opened.scenarios.forecaster;
    forecaster.cancel(tenant, id, &by).await?;
    Ok(axum::Json(forecaster.forecast(tenant, id).await?))
}

/// Shows the latest forecast of a plan
///
/// Once it is done, with its result; once the plan is deployed, also with what was really decided since.
#[utoipa::path(get, path = "/migration-plans/{plan_id}/forecast", tag = "migration plans",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("plan_id" = uuid::Uuid, Path)),
    responses((status = 200, body = ForecastView),
        (status = 404, description = "`plan_not_found`, `forecast_not_found`", body = ErrorBody)))]
pub async fn get_forecast(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(id): Path<PlanId>,
) -> Result<axum::Json<ForecastView>, Refusal> {
    Ok(axum::Json(app.opened.scenarios.forecaster.forecast(tenant, id).await?))
}
