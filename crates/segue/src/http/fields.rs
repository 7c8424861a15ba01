//! `/fields`: how data is typed, asked for and found.

use axum::extract::State;
use segue_core::fields::{Definition, ValueType};
use segue_core::ids::FieldName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::error::{ErrorBody, Refusal};
use super::extract::{Json, Path, Query, Tenant};
use super::scenarios::Paging;
use crate::auth::Caller;
use crate::error::Error;

/// A field definition; its name is in the path.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldBody {
    /// Its type.
    pub value_type: ValueType,
    /// What operators and customers call it.
    pub display_name: Option<String>,
    /// A regular expression that the whole value must match.
    pub pattern: Option<String>,
    /// The allowed values of an enum.
    #[serde(default)]
    pub values: Vec<String>,
    /// A hint for an extractor.
    pub extraction_hint: Option<String>,
    /// What to ask the customer.
    pub collection_prompt: Option<String>,
    /// Days after which a profile value no longer counts.
    pub expires_after_days: Option<u32>,
}

/// A page of field definitions.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldList {
    /// By name.
    pub fields: Vec<Definition>,
    /// How many there are in all.
    pub total: u64,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// Defines a field, or defines it anew
#[utoipa::path(put, path = "/fields/{name}", tag = "fields",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("name" = String, Path)), request_body = FieldBody,
    responses((status = 200, body = Definition),
        (status = 400, description = "`invalid_field_definition`", body = ErrorBody)))]
pub async fn put_field(
    State(app): State<App>,
    caller: Caller,
    Tenant(tenant): Tenant,
    Path(name): Path<FieldName>,
    Json(body): Json<FieldBody>,
) -> Result<axum::Json<Definition>, Refusal> {
    let definition = Definition {
        name,
        value_type: body.value_type,
        display_name: body.display_name,
        pattern: body.pattern,
        values: body.values,
        extraction_hint: body.extraction_hint,
        collection_prompt: body.collection_prompt,
        expires_after_days: body.expires_after_days,
    };
    let by = caller.actor(None);
    app.opened.scenarios.catalog.put_field(tenant, &definition, &by).await?;
    Ok(axum::Json(definition))
}

/// Lists field definitions
#[utoipa::path(get, path = "/fields", tag = "fields", params(("X-Tenant-ID" = uuid::Uuid, Header), Paging),
    responses((status = 200, body = FieldList), (status = 400, body = ErrorBody)))]
pub async fn list_fields(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Query(paging): Query<Paging>,
) -> Result<axum::Json<FieldList>, Refusal> {
    let all = app.opened.scenarios.catalog.fields(tenant).await?;
    let total = all.len() as u64;
    // A tenant's fields are few and read as one; the cursor is the last name of the page before.
    let after = paging.cursor.map(|cursor| cursor.parse::<FieldName>()).transpose();
    let after = after.map_err(|_| Error::BadCursor)?;
    let mut rest =
        all.into_values().filter(|field| after.as_ref().is_none_or(|after| field.name > *after));
    let fields: Vec<Definition> = rest.by_ref().take(paging.limit.0 as usize).collect();
    let more = rest.next().is_some();
    let next_cursor = fields.last().filter(|_| more).map(|field| field.name.to_string());
    Ok(axum::Json(FieldList { fields, total, next_cursor }))
}
