//! `/sessions/{id}/turns`: one customer message and what it causes. The hot path.

use axum::extract::{FromRequestParts, State};
use axum::http::HeaderName;
use axum::http::request::Parts;
use segue_core::ids::SessionId;
use segue_core::session::turn::Input;

use super::App;
use super::error::{ErrorBody, Refusal};
use super::extract::{OptionalJson, Path, Tenant};
use crate::scenarios::TurnAnswer;

/// The longest key, in bytes.
const KEY_BYTES: usize = 200;

/// The header with the key of a retry.
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The `Idempotency-Key` of a request, if it has one.
#[derive(Debug)]
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let Some(value) = parts.headers.get(&IDEMPOTENCY_KEY) else { return Ok(Self(None)) };
        match value.to_str() {
            Ok(key) if (1..=KEY_BYTES).contains(&key.len()) => Ok(Self(Some(key.to_owned()))),
            Ok(_) | Err(_) => Err(Refusal::parameter(
                "Idempotency-Key",
                format!(
                    "the header Idempotency-Key must be 1 to {KEY_BYTES} visible ASCII characters"
                ),
            )),
        }
    }
}

/// Takes a turn
///
/// A pending migration of the session is reconciled first; then the session goes on by its own rules. A
/// repeated request with the same `Idempotency-Key` gets the first answer.
#[utoipa::path(post, path = "/sessions/{session_id}/turns", tag = "sessions",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("session_id" = uuid::Uuid, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Any text that names this turn")),
    request_body = Input,
    responses((status = 200, body = TurnAnswer),
        (status = 400, description = "`invalid_turn`, `invalid_field_value`", body = ErrorBody),
        (status = 404, description = "`session_not_found`", body = ErrorBody),
        (status = 409, description = "`session_over`, `step_not_allowed`", body = ErrorBody),
        (status = 422, description = "`idempotency_key_reused`", body = ErrorBody),
        (status = 503, description = "`contended`, `write_paused`, `store_unavailable`", body = ErrorBody)))]
pub async fn take_turn(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(id): Path<SessionId>,
    IdempotencyKey(key): IdempotencyKey,
    OptionalJson(input): OptionalJson<Input>,
) -> Result<axum::Json<TurnAnswer>, Refusal> {
    Ok(axum::Json(app.opened.scenarios.sessions.take_turn(tenant, id, input, key).await?))
}
