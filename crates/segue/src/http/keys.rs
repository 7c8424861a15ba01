//! `/keys`: who may use this installation.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderName};
use jiff::Timestamp;
use segue_core::ids::{KeyId, TenantId};
use segue_store::control::Error as ControlError;
use segue_store::control::audit::{Filter, PLATFORM, Subject};
use segue_store::control::keys::{self, Role, Roles};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit::{self, AuditList};
use super::code::Code;
use super::error::{ErrorBody, Refusal};
use super::extract::{Json, OptionalJson, Path, Query};
use super::scenarios::Paging;
use super::{App, BASE};
use crate::auth::Caller;
use crate::auth::keyring::{Invalid, NewKey, Rotation};
use crate::auth::secret::Secret;
use crate::error::{Error, Kind};

/// How long a rotated key goes on at most.
pub const LONGEST_OVERLAP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A key that is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKeyBody {
    /// Whose or what it is for, such as `olga` or `checkout-app`: the audit tells of it. Give each person and
    /// each program one of its own.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// `app`: the sessions and events of one tenant. `operator`: plans, policies, the console. `platform`:
    /// stores, moves, keys.
    #[schema(value_type = Vec<String>, example = json!(["operator"]))]
    pub roles: Vec<Role>,
    /// The only tenant that it is for; needed for `app`, left out for all tenants.
    #[serde(default)]
    pub tenant_id: Option<TenantId>,
    /// When it ends by itself.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Requests per second; as configured if left out.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub requests_per_second: Option<NonZeroU32>,
}

/// How a key is rotated.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RotateBody {
    /// Seconds that the old key goes on, 0 to 2,592,000 (30 days).
    #[schema(maximum = 2_592_000)]
    pub overlap_seconds: u32,
}

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyView {
    /// Its id.
    pub key_id: KeyId,
    /// What the key begins with, to tell it from others.
    #[schema(example = "segue_0a1b2c3d4e5f")]
    pub prefix: String,
    /// Whose or what it is for.
    pub name: String,
    /// What its bearer may do.
    #[schema(value_type = Vec<String>)]
    pub roles: Roles,
    /// The only tenant that it is for; null for all tenants.
    pub tenant_id: Option<TenantId>,
    /// Requests per second; null for as configured.
    pub requests_per_second: Option<u64>,
    /// Whether it opens anything now.
    pub is_valid: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it ends by itself: as it was made, or earlier because it was rotated.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
    /// When it was used last, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub used_at: Option<Timestamp>,
}

/// A key that was made just now.
#[derive(Debug, Serialize, ToSchema)]
pub struct MadeKey {
    /// The key itself. It is shown this once and kept nowhere.
    #[schema(example = "segue_0a1b2c3d4e5f_…")]
    pub key: String,
    /// What is known of it.
    #[serde(flatten)]
    pub view: KeyView,
}

/// A page of keys.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyList {
    /// The newest first, the revoked and expired ones included.
    pub keys: Vec<KeyView>,
    /// How many there are in all.
    pub total: u64,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

impl KeyView {
    /// A key as it is now.
    #[must_use]
    pub fn of(key: keys::Key, now: Timestamp) -> Self {
        Self {
            is_valid: key.is_valid(now),
            expires_at: key.ends_at(),
            key_id: key.id,
            prefix: format!("segue_{}", key.prefix),
            name: key.name,
            roles: key.roles,
            tenant_id: key.tenant,
            requests_per_second: key.requests_per_second,
            created_at: key.created_at,
            created_by: key.created_by,
            revoked_at: key.revoked_at,
            used_at: key.used_at,
        }
    }
}

impl MadeKey {
    /// A key that was made, with its secret.
    #[must_use]
    pub fn of((key, secret): (keys::Key, Secret), now: Timestamp) -> Self {
        Self { key: secret.reveal().to_owned(), view: KeyView::of(key, now) }
    }
}

impl NewKeyBody {
    /// What is to be made.
    fn checked(self, now: Timestamp) -> Result<NewKey, Refusal> {
        let new = NewKey {
            name: self.name,
            roles: Roles(self.roles.into_iter().collect()),
            tenant: self.tenant_id,
            expires_at: self.expires_at,
            requests_per_second: self.requests_per_second,
        };
        new.check(now).map_err(refused)?;
        Ok(new)
    }
}

fn refused(invalid: Invalid) -> Refusal {
    let path = invalid.path();
    let message = format!("{path}: {invalid}");
    Refusal::new(Code::InvalidRequest, message, json!({ "path": path }))
}

/// Makes an API key
///
/// The answer is the only time that the key is shown: it is kept as a hash.
#[utoipa::path(post, path = "/keys", tag = "keys", request_body = NewKeyBody,
    responses((status = 201, body = MadeKey),
        (status = 400, description = "`invalid_request`", body = ErrorBody),
        (status = 409, description = "`limit_reached`", body = ErrorBody)))]
pub async fn create_key(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<NewKeyBody>,
) -> Result<(StatusCode, [(HeaderName, String); 1], axum::Json<MadeKey>), Refusal> {
    let new = body.checked(app.clock.now())?;
    let (id, by) = (KeyId(app.clock.new_id()), caller.by(None, app.clock.now()));
    let made = app.access.keyring.create(id, new, &by).await.map_err(Error::from)?;
    Ok(shown(&app, made))
}

fn shown(
    app: &App,
    made: (keys::Key, Secret),
) -> (StatusCode, [(HeaderName, String); 1], axum::Json<MadeKey>) {
    let place = [(header::LOCATION, format!("{BASE}/keys/{}", made.0.id))];
    (StatusCode::CREATED, place, axum::Json(MadeKey::of(made, app.clock.now())))
}

/// Lists API keys
#[utoipa::path(get, path = "/keys", tag = "keys", params(Paging),
    responses((status = 200, body = KeyList), (status = 400, body = ErrorBody)))]
pub async fn list_keys(
    State(app): State<App>,
    Query(paging): Query<Paging>,
) -> Result<axum::Json<KeyList>, Refusal> {
    let listed = app.access.keyring.list(paging.page()?).await.map_err(Error::from)?;
    let now = app.clock.now();
    Ok(axum::Json(KeyList {
        keys: listed.items.into_iter().map(|key| KeyView::of(key, now)).collect(),
        total: listed.total,
        next_cursor: listed.next.map(|next| next.to_string()),
    }))
}

/// Shows an API key
#[utoipa::path(get, path = "/keys/{key_id}", tag = "keys", params(("key_id" = uuid::Uuid, Path)),
    responses((status = 200, body = KeyView),
        (status = 404, description = "`key_not_found`", body = ErrorBody)))]
pub async fn get_key(
    State(app): State<App>,
    Path(id): Path<KeyId>,
) -> Result<axum::Json<KeyView>, Refusal> {
    let key = app.access.keyring.key(id).await.map_err(|error| not_found(error, id))?;
    Ok(axum::Json(KeyView::of(key, app.clock.now())))
}

/// Revokes an API key
///
/// It opens nothing any more, and the console sessions that were opened with it are closed. Other servers
/// hear of it within half a second as a rule, and within five if they do not. Repeating it is safe.
#[utoipa::path(delete, path = "/keys/{key_id}", tag = "keys", params(("key_id" = uuid::Uuid, Path)),
    responses((status = 200, body = KeyView),
        (status = 404, description = "`key_not_found`", body = ErrorBody)))]
pub async fn revoke_key(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<KeyId>,
) -> Result<axum::Json<KeyView>, Refusal> {
    let by = caller.by(None, app.clock.now());
    let revoked = app.access.keyring.revoke(id, &by).await;
    let revoked = revoked.map_err(|error| not_found(error, id))?;
    Ok(axum::Json(KeyView::of(revoked, app.clock.now())))
}

/// Rotates an API key
///
/// Makes a new key of the same name, roles and limits, and ends the old one: at once, or after
/// `overlap_seconds`, within which both are valid.
#[utoipa::path(post, path = "/keys/{key_id}/rotate", tag = "keys",
    params(("key_id" = uuid::Uuid, Path)), request_body = Option<RotateBody>,
    responses((status = 201, body = MadeKey),
        (status = 400, description = "`invalid_request`", body = ErrorBody),
        (status = 404, description = "`key_not_found`", body = ErrorBody),
        (status = 409, description = "`limit_reached`; `invalid_state_transition`: it is over", body = ErrorBody)))]
pub async fn rotate_key(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<KeyId>,
    OptionalJson(body): OptionalJson<RotateBody>,
) -> Result<(StatusCode, [(HeaderName, String); 1], axum::Json<MadeKey>), Refusal> {
    let overlap = Duration::from_secs(u64::from(body.overlap_seconds));
    if overlap > LONGEST_OVERLAP {
        let message =
            "/overlap_seconds: a rotated key goes on for at most 2592000 seconds (30 days)";
        let details = json!({ "path": "/overlap_seconds", "limit": LONGEST_OVERLAP.as_secs() });
        return Err(Refusal::new(Code::InvalidRequest, message, details));
    }
    let (new, by) = (KeyId(app.clock.new_id()), caller.by(None, app.clock.now()));
    let rotated = app.access.keyring.rotate(id, overlap, new, &by).await;
    let made = rotated.map_err(|error| match error {
        Rotation::Over(_) => {
            let details = json!({ "key_id": id, "attempted_action": "rotate" });
            Refusal::new(Code::InvalidStateTransition, error.to_string(), details)
        }
        Rotation::Control(error) => not_found(error, id).into(),
    })?;
    Ok(shown(&app, made))
}

/// Lists what was decided about an API key, and who came to the console with it
#[utoipa::path(get, path = "/keys/{key_id}/audit", tag = "keys",
    params(("key_id" = uuid::Uuid, Path), Paging),
    responses((status = 200, body = AuditList), (status = 400, body = ErrorBody),
        (status = 404, description = "`key_not_found`", body = ErrorBody)))]
pub async fn list_key_audit(
    State(app): State<App>,
    Path(id): Path<KeyId>,
    Query(paging): Query<Paging>,
) -> Result<axum::Json<AuditList>, Refusal> {
    app.access.keyring.key(id).await.map_err(|error| not_found(error, id))?;
    audit::list(&app, PLATFORM, &lines_about(id), paging).await
}

/// What was decided about a key, and who came to the console with it.
#[must_use]
pub fn lines_about(id: KeyId) -> Filter {
    Filter { subjects: vec![Subject::Key], subject_id: Some(id.to_string()), ..Filter::default() }
}

/// What the control plane says of a key, in our words.
#[must_use]
pub fn not_found(error: ControlError, id: KeyId) -> Error {
    match error {
        ControlError::NotFound(_) => Error::NotFound { kind: Kind::Key, id: id.to_string() },
        other => other.into(),
    }
}
