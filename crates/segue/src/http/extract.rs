//! What every endpoint reads from a request, parsed once: the tenant, ids, queries and JSON bodies.
//!
//! Each extractor refuses in Segue's own shape and says what was wrong where.

use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, header};
use http_body_util::BodyExt;
use segue_core::ids::TenantId;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_json::json;

use super::App;
use super::code::Code;
use super::error::Refusal;

/// The header that names the tenant.
pub static TENANT_HEADER: HeaderName = HeaderName::from_static("x-tenant-id");

/// Bytes of a body that is too large which are still read, so that the client gets to see the answer.
const DRAINED_BYTES: usize = 64 * 1024 * 1024;

/// The tenant of the request.
#[derive(Debug, Clone, Copy)]
pub struct Tenant(pub TenantId);

impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let Some(value) = parts.headers.get(&TENANT_HEADER) else {
            return Err(Refusal::new(
                Code::MissingTenant,
                "the header X-Tenant-ID is missing: send the tenant's UUID",
                json!({ "header": "X-Tenant-ID" }),
            ));
        };
        value.to_str().ok().and_then(|text| text.parse().ok()).map(Self).ok_or_else(|| {
            Refusal::new(
                Code::InvalidTenant,
                "the header X-Tenant-ID is not a UUID such as 6f1c3b1e-0d5a-4c55-9a3e-0f4f6b8f1a10",
                json!({ "header": "X-Tenant-ID" }),
            )
        })
    }
}

/// The parts of the path, such as an id.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(wrong)) => {
                Err(Refusal::parameter("path", format!("the path is wrong: {}", wrong.body_text())))
            }
            Err(other) => Err(Refusal::parameter("path", other.body_text())),
        }
    }
}

/// The query, checked against the parameters that the endpoint has.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(QueryRejection::FailedToDeserializeQueryString(wrong)) => {
                let text = wrong.body_text();
                let reason =
                    text.rsplit_once("query string: ").map_or(&*text, |(_, reason)| reason);
                let name = reason.split_once(": ").map_or("query", |(name, _)| name);
                Err(Refusal::parameter(name, format!("the query is wrong: {reason}")))
            }
            Err(other) => Err(Refusal::parameter("query", other.body_text())),
        }
    }
}

/// A JSON body.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        require_json(&request)?;
        let bytes = read(request.into_body(), app.max_body_bytes).await?;
        parse(&bytes).map(Self)
    }
}

/// A JSON body of an endpoint that takes larger ones than others, in bytes.
#[derive(Debug)]
pub struct JsonUpTo<T, const BYTES: usize>(pub T);

impl<T: DeserializeOwned, const BYTES: usize> FromRequest<App> for JsonUpTo<T, BYTES> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        require_json(&request)?;
        let bytes = read(request.into_body(), app.max_body_bytes.max(BYTES)).await?;
        parse(&bytes).map(Self)
    }
}

/// A JSON body that may be left out; then the default.
#[derive(Debug)]
pub struct OptionalJson<T>(pub T);

impl<T: DeserializeOwned + Default> FromRequest<App> for OptionalJson<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        let described = require_json(&request);
        let bytes = read(request.into_body(), app.max_body_bytes).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        described?;
        parse(&bytes).map(Self)
    }
}

fn require_json(request: &Request) -> Result<(), Refusal> {
    let sent = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = sent.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json")
        || essence.to_ascii_lowercase().ends_with("+json")
    {
        return Ok(());
    }
    Err(Refusal::new(
        Code::UnsupportedMediaType,
        format!(
            "the body is sent as {}: send JSON with the header Content-Type: application/json",
            if essence.is_empty() { "nothing in particular" } else { essence }
        ),
        json!({ "content_type": sent }),
    ))
}

/// Reads the body up to the limit. A body that comes in one piece, as most do, is not copied.
pub(crate) async fn read(mut body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let mut first = Bytes::new();
    let mut rest: Vec<u8> = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Refusal::new(Code::InvalidBody, format!("the body broke off: {error}"), json!({}))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length > limit {
            drain(body, DRAINED_BYTES).await;
            return Err(Refusal::new(
                Code::BodyTooLarge,
                format!("the body is larger than {limit} bytes: send less at a time"),
                json!({ "limit_bytes": limit }),
            ));
        }
        if first.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.into() })
}

async fn drain(mut body: Body, mut left: usize) {
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        if length > left {
            break;
        }
        left -= length;
    }
}

/// Parses the body; only a wrong one is parsed a second time, to find out where it is wrong.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(value),
        Err(error) => Err(explain::<T>(bytes, &error)),
    }
}

fn explain<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> Refusal {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(&*text, |(reason, _)| reason);
    if matches!(error.classify(), Category::Syntax | Category::Eof | Category::Io) {
        let message = format!("the body is not JSON: {reason} at line {line}, column {column}");
        return Refusal::new(
            Code::MalformedJson,
            message,
            json!({ "line": line, "column": column }),
        );
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let path = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Ok(_) => String::new(),
        Err(located) => pointer(located.path()),
    };
    let place = if path.is_empty() { "the body".to_owned() } else { path.clone() };
    Refusal::new(
        code_of(reason),
        format!("{place}: {reason} (line {line}, column {column})"),
        json!({ "path": path, "line": line, "column": column }),
    )
}

/// Parses a part of a body that was read as JSON already; `place` is the part's JSON pointer.
///
/// # Errors
/// When a field is unknown, is missing, or has the wrong type.
pub fn part<T: DeserializeOwned>(value: serde_json::Value, place: &str) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = format!("{place}{}", pointer(error.path()));
        let reason = error.inner().to_string();
        let message = format!("{path}: {reason}");
        Refusal::new(code_of(&reason), message, json!({ "path": path }))
    })
}

fn code_of(reason: &str) -> Code {
    if reason.starts_with("unknown field") { Code::UnknownField } else { Code::InvalidBody }
}

/// The JSON pointer of a place.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        let part = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { .. } | Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&part);
    }
    pointer
}

#[cfg(test)]
mod tests {
    use segue_core::scenario::Scenario;
    use serde_json::Value;

    use super::*;

    fn refused(text: &str) -> (Code, String, Value) {
        let refusal = parse::<Scenario>(text.as_bytes()).unwrap_err();
        (refusal.body.code, refusal.body.message, refusal.body.details)
    }

    #[test]
    fn text_that_is_not_json_is_placed_by_line_and_column() {
        let (code, message, details) = refused("{\n  \"name\": Order\n}");
        assert_eq!(code, Code::MalformedJson);
        assert!(message.contains("line 2, column"), "{message}");
        assert_eq!(details["line"], 2);
    }

    #[test]
    fn an_unknown_field_is_named_with_its_place() {
        let (code, message, details) =
            refused(r#"{"steps": [{"id": "a", "name": "A", "colour": "red"}]}"#);
        assert_eq!(code, Code::UnknownField);
        assert!(message.contains("unknown field `colour`"), "{message}");
        assert_eq!(details["path"], "/steps/0/colour");
    }

    #[test]
    fn a_wrong_type_is_named_with_its_place() {
        let (code, message, details) = refused(r#"{"steps": [{"id": "a", "name": 7}]}"#);
        assert_eq!(code, Code::InvalidBody);
        assert!(message.contains("invalid type: integer `7`, expected a string"), "{message}");
        assert_eq!(details["path"], "/steps/0/name");
    }

    #[test]
    fn a_missing_field_is_named() {
        let (code, message, _) = refused("{}");
        assert_eq!(code, Code::InvalidBody);
        assert!(message.contains("missing field `id`"), "{message}");
    }

    #[test]
    fn brackets_without_end_are_an_error_and_no_stack_overflow() {
        let (code, ..) = refused(&"[".repeat(1_000_000));
        assert_eq!(code, Code::InvalidBody);
    }
}
