//! `/tenant-migrations/{id}/verify` and `/repair`: is the copy what it was copied from, and what to do if not.
//!
//! Both take as long as the log is long, so both can be followed as server-sent events.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use segue_core::digest::Mark;
use segue_core::ids::MigrationId;
use segue_core::tenancy::migration::VerificationLevel;
use segue_core::tenancy::migration::journal::Verified;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::bad_value;
use super::steps::MigrationStep;
use crate::auth::Caller;
use crate::error::Error;
use crate::http::App;
use crate::http::error::{ErrorBody, Refusal};
use crate::http::extract::{OptionalJson, Path};
use crate::http::followed::followed;
use crate::http::live::takes_events;
use crate::http::signed;
use crate::http::verify::turn;
use crate::tenants::VerificationReport;
use crate::tenants::coordinator::repair::Repaired;
use crate::tenants::coordinator::verification::Asked;

/// What is compared.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VerifyMigration {
    /// How thoroughly; the migration's own level if left out.
    pub level: Option<VerificationLevel>,
    /// How many events FULL compares field by field, in percent: over 0, to 100.
    pub sample_percentage: Option<f64>,
    /// The `sound_up_to` of an earlier report; the beginning if left out.
    #[schema(value_type = Option<Object>)]
    pub from: Option<Mark>,
    /// Who; `operator` if left out.
    #[serde(deserialize_with = "signed::name")]
    pub by: Option<String>,
}

/// The last verification of a migration's whole history.
#[derive(Debug, Serialize, ToSchema)]
pub struct LastVerification {
    /// Which migration.
    pub migration_id: MigrationId,
    /// What it found; null if there was none.
    pub verification: Option<Verified>,
}

/// Compares the copy of a migration with what it was copied from
///
/// Reads and writes go on. Answers with the report, and keeps what it found. With
/// `Accept: text/event-stream` it tells how far it is: events `progress`, and at the end one event `report`,
/// or `problem` when a store could not be read.
#[utoipa::path(post, path = "/tenant-migrations/{migration_id}/verify", tag = "tenant migrations",
    params(("migration_id" = uuid::Uuid, Path)), request_body = Option<VerifyMigration>,
    responses((status = 200, body = VerificationReport),
        (status = 400, description = "`invalid_request`", body = ErrorBody),
        (status = 404, description = "`migration_not_found`", body = ErrorBody),
        (status = 409, description = "`invalid_state_transition`: there is no copy", body = ErrorBody),
        (status = 503, description = "`store_unavailable`", body = ErrorBody)))]
pub async fn verify_tenant_migration(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<MigrationId>,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<VerifyMigration>,
) -> Result<Response, Refusal> {
    if body.sample_percentage.is_some_and(|sample| !(sample > 0.0 && sample <= 100.0)) {
        let allowed = "sample_percentage must be a percentage over 0, up to 100";
        return Err(bad_value("/sample_percentage".to_owned(), allowed.to_owned()).into());
    }
    let asked = Asked {
        level: body.level,
        sample_percentage: body.sample_percentage,
        from: body.from.unwrap_or(Mark::START),
    };
    let permit = turn()?;
    let (moves, by) = (app.opened.moves.clone(), caller.by(body.by, app.clock.now()));
    if takes_events(&headers) {
        moves.get_migration(id).await?;
        return Ok(followed(&app.live, move |teller| async move {
            let _permit = permit;
            moves.verify(id, asked, &by, |progress| teller.tell(&progress)).await
        }));
    }
    let report = moves.verify(id, asked, &by, |_| ()).await?;
    Ok(axum::Json(report).into_response())
}

/// Repairs the copy of a migration
///
/// Compares everything, takes the copy back to the last place at which both stores agree, and lets it be
/// copied anew from there. Once begun it goes on, whoever waits for it. With `Accept: text/event-stream` the
/// answer ends with one event `report` or `problem`, and may take as long as it takes.
#[utoipa::path(post, path = "/tenant-migrations/{migration_id}/repair", tag = "tenant migrations",
    params(("migration_id" = uuid::Uuid, Path)), request_body = Option<MigrationStep>,
    responses((status = 200, body = Repaired),
        (status = 404, description = "`migration_not_found`", body = ErrorBody),
        (status = 409, description = "`invalid_state_transition`", body = ErrorBody),
        (status = 503, description = "`store_unavailable`", body = ErrorBody)))]
pub async fn repair_tenant_migration(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<MigrationId>,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<MigrationStep>,
) -> Result<Response, Refusal> {
    let permit = turn()?;
    let (moves, by) = (app.opened.moves.clone(), caller.by(body.by, app.clock.now()));
    moves.get_migration(id).await?;
    let repairing = tokio::spawn(async move {
        let _permit = permit;
        moves.repair(id, &by).await
    });
    let repaired = async move {
        repairing.await.unwrap_or_else(|broken| {
            let (what, reason) = ("the repair", broken.to_string());
            Err(Error::Unavailable { what, reason, source: None })
        })
    };
    if takes_events(&headers) {
        return Ok(followed(&app.live, |_| repaired));
    }
    Ok(axum::Json(repaired.await?).into_response())
}

/// Shows the last verification of a migration
#[utoipa::path(get, path = "/tenant-migrations/{migration_id}/verification", tag = "tenant migrations",
    params(("migration_id" = uuid::Uuid, Path)),
    responses((status = 200, body = LastVerification),
        (status = 404, description = "`migration_not_found`", body = ErrorBody)))]
pub async fn get_tenant_migration_verification(
    State(app): State<App>,
    Path(id): Path<MigrationId>,
) -> Result<axum::Json<LastVerification>, Refusal> {
    let verification = app.opened.moves.get_migration(id).await?.verification;
    Ok(axum::Json(LastVerification { migration_id: id, verification }))
}
