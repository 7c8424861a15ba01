//! Lets a request in, or says why not: what [`crate::auth`] decides, in HTTP.
//!
//! Called by [`super::observe`] before the endpoint. Whoever is let in stands beside the request as its
//! [`Caller`]; a key of one tenant is also the request's `X-Tenant-ID`.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Redirect, Response};
use segue_store::control::audit::PLATFORM;
use segue_store::control::keys::Key;
use serde_json::json;

use super::code::Code;
use super::error::Refusal;
use super::extract::TENANT_HEADER;
use super::pass::Pass;
use crate::auth::origin::{self, Proof};
use crate::auth::rules::{self, Door, Rule};
use crate::auth::secret::Secret;
use crate::auth::{Access, Caller, Credential, Denied, Error, Mode};
use crate::console::answer::Trouble;
use crate::console::paths::{self, HOME as CONSOLE, LOGIN};

/// Lets a request in, or answers it. With a pass it was let in for as long as that is good.
///
/// # Errors
/// The answer to a request that is not let in.
pub async fn admit(access: &Arc<Access>, request: &mut Request) -> Result<Option<Pass>, Response> {
    match decide(access, request).await {
        // Nobody is kept out for want of a credential.
        Ok(_) if access.mode == Mode::Open => Ok(None),
        Ok(pass) => Ok(pass),
        Err(Error::Denied(Denied::NoKey)) if wants_console(request) => Err(to_login(request)),
        // People read pages.
        Err(error) if wants_console(request) => {
            Err(Trouble::from(Refusal::from(error)).into_response())
        }
        Err(error) => Err(Refusal::from(error).into_response()),
    }
}

/// Lets a request in with what it shows, if it shows anything.
async fn decide(access: &Arc<Access>, request: &mut Request) -> Result<Option<Pass>, Error> {
    let public = access.public_url.as_ref();
    if access.mode == Mode::Open && access.on_loopback {
        origin::check_host(request.headers(), public)?;
    }
    let is_console = is_console(request.uri().path());
    let token = is_console.then(|| access.transport().token(request.headers())).flatten();
    let proof = if token.is_some() { Proof::Always } else { Proof::IfBrowser };
    origin::check(request.method(), request.headers(), public, proof)?;

    if names_no_tenant(request) {
        return Err(Denied::NotATenant.into());
    }
    let rule = rule(request);
    let is_open = rule == Some(Rule::Door(Door::Public)) && request.uri().path() != LOGIN;
    let credential = if is_open {
        // Everybody is let in there, so nothing is looked up. Who comes to the login may be logged in.
        None
    } else {
        let shown = bearer(request)?.map(|shown| Credential::Key(shown.to_owned()));
        shown.or_else(|| token.map(|token| Credential::Session(token.to_owned())))
    };
    let pass = credential.map(|shown| Pass::new(access, shown, request.method()));
    let key = match &pass {
        Some(pass) => pass.recognise().await?,
        None => None,
    };
    let Some(key) = key else {
        return match (access.mode, rule) {
            (Mode::Open, _) | (Mode::ApiKeys, Some(Rule::Door(Door::Public)) | None) => {
                request.extensions_mut().insert(Caller::Anybody);
                Ok(None)
            }
            (Mode::ApiKeys, Some(Rule::Door(_) | Rule::NoSuchMethod | Rule::Unnamed)) => {
                Err(Denied::NoKey.into())
            }
        };
    };
    access.pace(&key)?;
    check_door(&key, rule)?;
    check_tenant(&key, request)?;
    request.extensions_mut().insert(Caller::bearer(&key));
    Ok(pass)
}

/// What stands before the request; nothing if it leads nowhere.
fn rule(request: &Request) -> Option<Rule> {
    let route = request.extensions().get::<MatchedPath>()?;
    Some(rules::of(request.method(), route.as_str()))
}

fn check_door(key: &Key, rule: Option<Rule>) -> Result<(), Denied> {
    let needs = match rule {
        // It is answered that there is no such thing.
        None | Some(Rule::NoSuchMethod | Rule::Door(Door::Public)) => return Ok(()),
        Some(Rule::Door(Door::Tenant(needs))) => needs,
        Some(Rule::Door(Door::Everyone(needs))) => {
            if key.tenant.is_some() {
                return Err(Denied::OneTenantOnly { name: key.name.clone() });
            }
            needs
        }
        Some(Rule::Unnamed) => &[],
    };
    if key.roles.any_of(needs) {
        return Ok(());
    }
    Err(Denied::Role { name: key.name.clone(), has: key.roles.clone(), needs })
}

/// A key of one tenant speaks for that tenant, and for no other.
fn check_tenant(key: &Key, request: &mut Request) -> Result<(), Denied> {
    let Some(own) = key.tenant else { return Ok(()) };
    let is_own = |text: &str| text.parse() == Ok(own);
    let named = request.headers().get(&TENANT_HEADER);
    if named.is_some_and(|named| !named.to_str().is_ok_and(is_own))
        || tenant_part(request).is_some_and(|part| !is_own(part))
    {
        return Err(Denied::OtherTenant { name: key.name.clone(), tenant: own });
    }
    let own = HeaderValue::from_str(&own.to_string()).expect("a UUID is plain text");
    request.headers_mut().insert(&TENANT_HEADER, own);
    Ok(())
}

/// Whether the request names, as its tenant, what belongs to none. A tenant that is written with percent signs
/// could be it in disguise; nobody writes an id so.
fn names_no_tenant(request: &Request) -> bool {
    let is_none = |text: &str| text.parse() == Ok(PLATFORM);
    let mut named = request.headers().get_all(&TENANT_HEADER).iter();
    named.any(|value| value.to_str().is_ok_and(is_none))
        || tenant_part(request).is_some_and(|part| is_none(part) || part.contains('%'))
}

/// The part of the path where the route has its tenant.
fn tenant_part(request: &Request) -> Option<&str> {
    let route = request.extensions().get::<MatchedPath>()?;
    let nth = route.as_str().split('/').position(|part| part.starts_with("{tenant"))?;
    Some(request.uri().path().split('/').nth(nth).unwrap_or_default())
}

/// The API key of the `Authorization` header. Before the console there may be a proxy that asks for something of
/// its own and passes that on: there it is as if it was not sent.
fn bearer(request: &Request) -> Result<Option<&str>, Denied> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else { return Ok(None) };
    let shown = value.to_str().ok().and_then(|text| text.split_once(' '));
    let shown = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let shown = shown.map(|(_, key)| key.trim());
    if is_console(request.uri().path()) {
        return Ok(shown.filter(|key| Secret::parse(key).is_some()));
    }
    shown.map(Some).ok_or(Denied::NotBearer)
}

fn is_console(path: &str) -> bool {
    path.strip_prefix(CONSOLE).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a person looks at the console, who can log in.
pub(super) fn wants_console(request: &Request) -> bool {
    is_console(request.uri().path()) && !matches!(bearer(request), Ok(Some(_)))
}

/// Sends a browser to the login page, and from there back to where it wanted to go.
fn to_login(request: &Request) -> Response {
    let wanted = request.uri().path_and_query().map_or(CONSOLE, |wanted| wanted.as_str());
    let login = match *request.method() {
        Method::GET if wanted != CONSOLE => paths::asking(LOGIN, &[("next", wanted)]),
        _ => LOGIN.to_owned(),
    };
    // A fragment cannot show a login page: the whole page goes there.
    if request.headers().contains_key("hx-request") {
        let refusal = Refusal::from(Error::Denied(Denied::NoKey));
        return ([("hx-redirect", LOGIN.to_owned())], refusal).into_response();
    }
    Redirect::to(&login).into_response()
}

/// What every answer tells a browser, unless the endpoint has said otherwise.
static PROTECTION: [(HeaderName, HeaderValue); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Swagger UI sets styles where it draws.
const POLICY_OF_DOCS: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
);
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
const BY_TLS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Tells browsers how to treat an answer.
pub fn protect(access: &Access, route: Option<&str>, headers: &mut HeaderMap) {
    headers.reserve(PROTECTION.len() + 2);
    for (name, value) in &PROTECTION {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert_with(|| {
        if route.is_some_and(|route| route.starts_with("/docs")) { POLICY_OF_DOCS } else { POLICY }
    });
    if access.public_url.as_ref().is_some_and(crate::auth::PublicUrl::is_secure) {
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(BY_TLS_ONLY);
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied(denied) => {
                let (code, details) = code_and_details(&denied);
                Self::new(code, denied.to_string(), details)
            }
            Error::Control(error) => crate::error::Error::from(error).into(),
        }
    }
}

fn code_and_details(denied: &Denied) -> (Code, serde_json::Value) {
    match denied {
        Denied::NoKey | Denied::UnknownKey | Denied::NotBearer | Denied::SessionOver => {
            (Code::Unauthenticated, json!({ "header": "Authorization" }))
        }
        Denied::Over { name, how } => {
            (Code::Unauthenticated, json!({ "key_name": name, "ended": format!("{how:?}") }))
        }
        Denied::Role { name, has, needs } => {
            (Code::Forbidden, json!({ "key_name": name, "roles": has, "needs_one_of": needs }))
        }
        Denied::OneTenantOnly { name } => (Code::Forbidden, json!({ "key_name": name })),
        Denied::OtherTenant { name, tenant } => {
            (Code::TenantMismatch, json!({ "key_name": name, "tenant_id": tenant }))
        }
        Denied::TooFast { name, per_second, wait_ms } => (
            Code::RateLimited,
            json!({ "key_name": name, "requests_per_second": per_second, "wait_ms": wait_ms }),
        ),
        Denied::TooManyLogins { name, wait_ms } => {
            (Code::RateLimited, json!({ "key_name": name, "wait_ms": wait_ms }))
        }
        Denied::NotATenant => (Code::TenantMismatch, json!({ "tenant_id": PLATFORM })),
        Denied::TooManyTries => (Code::RateLimited, json!({})),
        Denied::CrossOrigin { from } => (Code::CrossOrigin, json!({ "origin": from })),
        Denied::WrongHost { host } => (Code::CrossOrigin, json!({ "host": host })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_is_what_lies_below_it() {
        assert!(is_console("/console") && is_console("/console/x"));
        assert!(!is_console("/consoles") && !is_console("/api/v1/console"));
    }
}
