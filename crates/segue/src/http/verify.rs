//! `/tenants/{id}/verify`: is what was written still what is there? For operators.
//!
//! It takes as long as the log is long, so it tells how far it is, as server-sent events. It ends when its
//! client leaves or the server stops, and only so many run at once.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use segue_core::digest::Mark;
use segue_core::ids::TenantId;
use segue_store::events::Access;
use serde::Deserialize;
use tokio::sync::{Semaphore, SemaphorePermit};
use utoipa::ToSchema;

use super::App;
use super::error::{ErrorBody, Refusal};
use super::extract::{OptionalJson, Path};
use super::followed::followed;
use super::live::takes_events;
use crate::error::{Error, Kind, Result};
use crate::tenants::Verification;
use crate::tenants::verify::Report;

/// How many verifications run at once in this process: each keeps a core busy.
static RUNNING: Semaphore = Semaphore::const_new(2);

/// The right to verify a log, until it is dropped.
///
/// # Errors
/// When as many are verified as may be.
pub(crate) fn turn() -> Result<SemaphorePermit<'static>> {
    RUNNING.try_acquire().map_err(|_| Error::Unavailable {
        what: "the verification",
        reason: "as many logs as this server verifies at once are being verified".to_owned(),
        source: None,
    })
}

/// Where to begin.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    /// The `sound_up_to` of an earlier report; the beginning if left out.
    #[schema(value_type = Option<Object>)]
    pub from: Option<Mark>,
}

/// Reads a tenant's log back and hashes it again
///
/// Answers with the report at the end. With `Accept: text/event-stream` it tells how far it is: events
/// `progress`, and at the end one event `report`, or `problem` when the store could not be read.
#[utoipa::path(post, path = "/tenants/{tenant_id}/verify", tag = "tenants",
    params(("tenant_id" = uuid::Uuid, Path)), request_body = VerifyRequest,
    responses((status = 200, body = Report),
        (status = 404, description = "`tenant_not_found`", body = ErrorBody),
        (status = 503, description = "`store_unavailable`", body = ErrorBody)))]
pub async fn verify_tenant(
    State(app): State<App>,
    Path(tenant): Path<TenantId>,
    headers: HeaderMap,
    OptionalJson(request): OptionalJson<VerifyRequest>,
) -> Result<Response, Refusal> {
    let permit = turn()?;
    let home = app.opened.router.home(tenant).await?;
    let home = home.ok_or(Error::NotFound { kind: Kind::Tenant, id: tenant.to_string() })?;
    let verification = Verification {
        store_id: home.route.store_id,
        store: home.store,
        tenant,
        // Also while a move is under way: what was appended does not change.
        access: Access::Copy,
        from: request.from.unwrap_or(Mark::START),
    };
    if takes_events(&headers) {
        return Ok(followed(&app.live, |teller| async move {
            let _permit = permit;
            verification.run(|progress| teller.tell(&progress)).await
        }));
    }
    Ok(axum::Json(verification.run(|_| ()).await?).into_response())
}
