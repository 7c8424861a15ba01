//! `/customers`: what is known of a customer across sessions.

use std::collections::BTreeMap;

use axum::extract::State;
use segue_core::fields::Profile;
use segue_core::ids::{CustomerId, FieldName};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::App;
use super::error::{ErrorBody, Refusal};
use super::extract::{Json, Path, Tenant};
use crate::auth::Caller;

/// Fields to set; those that are not named stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfilePatch {
    /// Values by field.
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub fields: BTreeMap<FieldName, Value>,
    /// Who sets them.
    pub updated_by: Option<String>,
}

/// Shows a customer's profile; empty for a customer nobody has spoken to
#[utoipa::path(get, path = "/customers/{customer_id}/profile", tag = "customers",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("customer_id" = String, Path)),
    responses((status = 200, body = Profile)))]
pub async fn get_profile(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(id): Path<CustomerId>,
) -> Result<axum::Json<Profile>, Refusal> {
    Ok(axum::Json(app.opened.scenarios.sessions.profile(tenant, &id).await?))
}

/// Sets fields of a customer's profile
#[utoipa::path(patch, path = "/customers/{customer_id}/profile", tag = "customers",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("customer_id" = String, Path)),
    request_body = ProfilePatch,
    responses((status = 200, body = Profile),
        (status = 400, description = "`invalid_field_value`", body = ErrorBody)))]
pub async fn patch_profile(
    State(app): State<App>,
    caller: Caller,
    Tenant(tenant): Tenant,
    Path(id): Path<CustomerId>,
    Json(patch): Json<ProfilePatch>,
) -> Result<axum::Json<Profile>, Refusal> {
    let by = caller.actor(patch.updated_by);
    let sessions = &app.opened.scenarios.sessions;
    Ok(axum::Json(sessions.patch_profile(tenant, &id, patch.fields, &by).await?))
}
