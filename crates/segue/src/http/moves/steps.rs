//! What operators decide about a tenant's migration after its start.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use segue_core::ids::MigrationId;
use serde::Deserialize;
use utoipa::ToSchema;

use super::created;
use crate::auth::Caller;
use crate::http::App;
use crate::http::error::{ErrorBody, Refusal};
use crate::http::extract::{OptionalJson, Path};
use crate::http::signed;
use crate::tenants::Migration;
use crate::tenants::coordinator::Outcome;

/// How long a request waits for what it has decided to be carried out.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much of the time that a request may take it waits at most.
const SHARE_OF_TIMEOUT: f64 = 0.8;

/// Why a migration is aborted, as long as nobody says so.
pub(crate) const MANUALLY: &str = "Manual abort";

/// Who decides.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MigrationStep {
    /// Who; `operator` if left out.
    #[serde(deserialize_with = "signed::name")]
    pub by: Option<String>,
}

/// Who aborts a migration, and why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AbortMigration {
    /// Why; stays on record.
    #[serde(deserialize_with = "signed::reason")]
    pub reason: Option<String>,
    /// Do not wait for the target to be purged: it is gone for good. Refused while it answers.
    pub abandon: bool,
    /// Who; `operator` if left out.
    #[serde(deserialize_with = "signed::name")]
    pub by: Option<String>,
}

/// Who cuts a migration over, and how.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CutMigrationOver {
    /// Pass over the verification of the whole history; never over the equality of both ends.
    pub force: bool,
    /// Who; `operator` if left out.
    #[serde(deserialize_with = "signed::name")]
    pub by: Option<String>,
}

/// Who finishes a migration, and when the old source is purged.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FinishMigration {
    /// Purge the old source now, not only after its retention.
    pub now: bool,
    /// Do not purge the old source at all: it is gone for good. Refused while it answers.
    pub abandon: bool,
    /// Who; `operator` if left out.
    #[serde(deserialize_with = "signed::name")]
    pub by: Option<String>,
}

/// Pauses a migration
///
/// The copying stops; the tenant's reads and writes go on, and nobody notices. While it copies or follows.
#[utoipa::path(post, path = "/tenant-migrations/{migration_id}/pause", tag = "tenant migrations",
    params(("migration_id" = uuid::Uuid, Path)), request_body = Option<MigrationStep>,
    responses((status = 200, body = Migration),
        (status = 404, description = "`migration_not_found`", body = ErrorBody),
        (status = 409, description = "`invalid_state_transition`", body = ErrorBody)))]
pub async fn pause_tenant_migration(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<MigrationId>,
    OptionalJson(body): OptionalJson<MigrationStep>,
) -> Result<axum::Json<Migration>, Refusal> {
    Ok(axum::Json(
        app.opened.moves.pause_migration(id, &caller.by(body.by, app.clock.now())).await?,
    ))
}

/// Resumes a migration that is paused or has failed
///
/// It goes on where it was; what was copied stays.
#[utoipa::path(post, path = "/tenant-migrations/{migration_id}/resume", tag = "tenant migrations",
    params(("migration_id" = uuid::Uuid, Path)), request_body = Option<MigrationStep>,
    responses((status = 200, body = Migration),
        (status = 404, description = "`migration_not_found`", body = ErrorBody),
        (status = 409, description = "`invalid_state_transition`", body = ErrorBody)))]
pub async fn resume_tenant_migration(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<MigrationId>,
    OptionalJson(body): OptionalJson<MigrationStep>,
) -> Result<axum::Json<Migration>, Refusal> {
    Ok(axum::Json(
        app.opened.moves.resume_migration(id, &caller.by(body.by, app.clock.now())).await?,
    ))
}

/// Aborts a migration
///
/// The tenant stays where it is and what the target holds is purged; a tombstone stays there. Any time before
/// the move is decided. The answer comes when the target is clean, or earlier with `is_active` while it is
/// still being cleaned. With `abandon` the target is not cleaned: for one that is gone for good, and whose
/// store does not answer. Also later, while it is still being cleaned.
#[utoipa::path(post, path = "/tenant-migrations/{migration_id}/abort", tag = "tenant migrations",
    params(("migration_id" = uuid::Uuid, Path)), request_body = Option<AbortMigration>,
    responses((status = 200, body = Migration),
        (status = 404, description = "`migration_not_found`", body = ErrorBody),
        (status = 409, description = "`invalid_state_transition`; `migration_obstructed`: what would \
            be given up is not gone", body = ErrorBody)))]
pub async fn abort_tenant_migration(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<MigrationId>,
    OptionalJson(body): OptionalJson<AbortMigration>,
) -> Result<axum::Json<Migration>, Refusal> {
    let moves = &app.opened.moves;
    let (reason, by) =
        (body.reason.as_deref().unwrap_or(MANUALLY), caller.by(body.by, app.clock.now()));
    if body.abandon {
        return Ok(axum::Json(moves.abort_and_abandon(id, reason, &by).await?));
    }
    let aborting = moves.abort_migration(id, reason, &by);
    match tokio::time::timeout(patience(&app), aborting).await {
        Ok(aborted) => Ok(axum::Json(aborted?)),
        // It is decided, or the control plane does not answer; reading the migration tells which.
        Err(_elapsed) => Ok(axum::Json(moves.get_migration(id).await?)),
    }
}

/// Cuts a migration over: the tenant moves
///
/// As soon as the target is close enough and its history verified, the tenant's writes wait for a moment and
/// the target owns it. Answers 200 when it has moved. Answers 202 while the wish stands: it is carried out
/// all the same, and `GET …/status` tells of it. An error says why nothing came of it; writes go on in the
/// source.
#[utoipa::path(post, path = "/tenant-migrations/{migration_id}/cutover", tag = "tenant migrations",
    params(("migration_id" = uuid::Uuid, Path)), request_body = Option<CutMigrationOver>,
    responses((status = 200, description = "It has moved", body = Migration),
        (status = 202, description = "It will, when the target is close enough", body = Migration),
        (status = 404, description = "`migration_not_found`", body = ErrorBody),
        (status = 409, description = "`invalid_state_transition`, `consistency_error`, \
            `migration_obstructed`", body = ErrorBody),
        (status = 503, description = "`cutover_timeout`", body = ErrorBody)))]
pub async fn cut_tenant_migration_over(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<MigrationId>,
    OptionalJson(body): OptionalJson<CutMigrationOver>,
) -> Result<Response, Refusal> {
    let by = caller.by(body.by, app.clock.now());
    let outcome = app.opened.moves.initiate_cutover(id, body.force, &by, patience(&app)).await?;
    Ok(match outcome {
        Outcome::Migrated(migration) => axum::Json(*migration).into_response(),
        Outcome::Standing(migration) => {
            (StatusCode::ACCEPTED, axum::Json(*migration)).into_response()
        }
    })
}

/// Goes back: moves the tenant to where it came from
///
/// By a migration of its own, which begins with what the old source holds already and is cut over like any
/// other. While the old source is kept, and as often as wanted.
#[utoipa::path(post, path = "/tenant-migrations/{migration_id}/reverse", tag = "tenant migrations",
    params(("migration_id" = uuid::Uuid, Path)), request_body = Option<MigrationStep>,
    responses((status = 201, description = "The migration back", body = Migration),
        (status = 404, description = "`migration_not_found`", body = ErrorBody),
        (status = 409, description = "`invalid_state_transition`", body = ErrorBody)))]
pub async fn reverse_tenant_migration(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<MigrationId>,
    OptionalJson(body): OptionalJson<MigrationStep>,
) -> Result<impl IntoResponse, Refusal> {
    Ok(created(app.opened.moves.reverse(id, &caller.by(body.by, app.clock.now())).await?))
}

/// Finishes a migration: gives the way back up
///
/// The old source's copy is purged, `now` or when it was kept for `source_retention_seconds`; a tombstone
/// stays there for ever. With `abandon` nothing is purged, and no tombstone stays: for an old source that is
/// gone for good, and whose store does not answer. Also later, while the purge waits for it.
#[utoipa::path(post, path = "/tenant-migrations/{migration_id}/finish", tag = "tenant migrations",
    params(("migration_id" = uuid::Uuid, Path)), request_body = Option<FinishMigration>,
    responses((status = 200, body = Migration),
        (status = 404, description = "`migration_not_found`", body = ErrorBody),
        (status = 409, description = "`invalid_state_transition`; `migration_obstructed`: what would \
            be given up is not gone", body = ErrorBody)))]
pub async fn finish_tenant_migration(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<MigrationId>,
    OptionalJson(body): OptionalJson<FinishMigration>,
) -> Result<axum::Json<Migration>, Refusal> {
    let (moves, by) = (&app.opened.moves, caller.by(body.by, app.clock.now()));
    Ok(axum::Json(match body.abandon {
        true => moves.finish_and_abandon(id, &by).await?,
        false => moves.finish(id, body.now, &by).await?,
    }))
}

/// How long a request waits for what it has decided.
pub(crate) fn patience(app: &App) -> Duration {
    PATIENCE.min(app.request_timeout.mul_f64(SHARE_OF_TIMEOUT))
}
