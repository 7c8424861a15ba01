//! `/streams/{id}/redact` and `/customers/{id}/erase`: what customers may ask to be forgotten.

use axum::extract::State;
use segue_core::ids::{CustomerId, StreamId};
use serde::Deserialize;
use utoipa::ToSchema;

use super::App;
use super::error::{ErrorBody, Refusal};
use super::extract::{OptionalJson, Path, Tenant};
use crate::auth::Caller;
use crate::scenarios::{Asked, ErasedCustomer, RedactedStream};

/// Who erases, and why. Both stay on record, so they should not repeat what is erased.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Redaction {
    /// Who; `operator` if left out.
    pub redacted_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

impl Redaction {
    fn asked_by(self, caller: &Caller) -> Asked {
        Asked { by: caller.actor(self.redacted_by), reason: self.reason }
    }
}

/// Erases what a stream has said
///
/// The payloads of all its events and its state go; positions, versions and hashes stay, and an event tells
/// of it. Repeating it is safe.
#[utoipa::path(post, path = "/streams/{stream_id}/redact", tag = "erasure",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("stream_id" = String, Path)),
    request_body = Redaction,
    responses((status = 200, body = RedactedStream),
        (status = 400, description = "`invalid_request`", body = ErrorBody),
        (status = 404, description = "`stream_not_found`", body = ErrorBody),
        (status = 503, description = "`store_unavailable`", body = ErrorBody)))]
pub async fn redact_stream(
    State(app): State<App>,
    caller: Caller,
    Tenant(tenant): Tenant,
    Path(stream): Path<StreamId>,
    OptionalJson(redaction): OptionalJson<Redaction>,
) -> Result<axum::Json<RedactedStream>, Refusal> {
    let erasure = &app.opened.scenarios.erasure;
    Ok(axum::Json(erasure.redact(tenant, &stream, &redaction.asked_by(&caller)).await?))
}

/// Erases a customer
///
/// Redacts up to 100 of the customer's sessions and, when none is left, the profile. Call again while
/// `sessions_left` is not 0. Repeating it is safe.
#[utoipa::path(post, path = "/customers/{customer_id}/erase", tag = "erasure",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("customer_id" = String, Path)),
    request_body = Redaction,
    responses((status = 200, body = ErasedCustomer),
        (status = 400, description = "`invalid_request`", body = ErrorBody),
        (status = 503, description = "`store_unavailable`", body = ErrorBody)))]
pub async fn erase_customer(
    State(app): State<App>,
    caller: Caller,
    Tenant(tenant): Tenant,
    Path(customer): Path<CustomerId>,
    OptionalJson(redaction): OptionalJson<Redaction>,
) -> Result<axum::Json<ErasedCustomer>, Refusal> {
    let erasure = &app.opened.scenarios.erasure;
    Ok(axum::Json(erasure.erase_customer(tenant, &customer, &redaction.asked_by(&caller)).await?))
}
