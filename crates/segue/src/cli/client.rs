//! Talks to the server: JSON in, JSON out, refusals as [`Failure`].

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::time::Duration;

use segue_core::ids::TenantId;
use serde::Serialize;
use serde_json::Value;
use ureq::http::Method;
use ureq::{Agent, RequestBuilder};

use super::failure::Failure;
use crate::http::BASE;

/// Longer than the server's own patience, so that its answer is seen.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The largest answer that is read: a whole plan.
const ANSWER_BYTES: u64 = 256 * 1024 * 1024;

/// A server, on behalf of a tenant, or of an operator who names none.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    url: String,
    tenant: Option<String>,
    /// The API key, from the environment: a command line can be read by everybody on the machine.
    key: ApiKey,
}

/// An API key that does not show itself.
struct ApiKey(Option<String>);

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "ApiKey(…)" } else { "ApiKey(none)" })
    }
}

/// The environment variable that holds the API key.
pub const KEY_VARIABLE: &str = "SEGUE_API_KEY";

impl Client {
    /// Opens nothing yet.
    pub fn new(url: &str, tenant: TenantId) -> Self {
        Self { tenant: Some(tenant.to_string()), ..Self::of_operator(url) }
    }

    /// The same without a tenant.
    pub fn of_operator(url: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .build();
        let url = url.trim_end_matches('/').to_owned();
        let key = std::env::var(KEY_VARIABLE).ok().filter(|key| !key.trim().is_empty());
        Self { agent: config.new_agent(), url, tenant: None, key: ApiKey(key) }
    }

    /// Reads.
    pub fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Failure> {
        let mut request = self.for_tenant(self.agent.get(self.address(path)));
        for (name, value) in query {
            request = request.query(name, value);
        }
        self.answer(request.call())
    }

    /// Creates or acts; `Value::Null` sends no body.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(Method::POST, path, body, None)
    }

    /// Sets.
    pub fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(Method::PUT, path, body, None)
    }

    /// Changes a part.
    pub fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(Method::PATCH, path, body, None)
    }

    /// On whose behalf.
    pub fn tenant(&self) -> &str {
        self.tenant.as_deref().unwrap_or_default()
    }

    /// Acts, and hands on each server-sent event by its name, however long it takes.
    pub fn follow(
        &self,
        path: &str,
        body: &Value,
        mut take: impl FnMut(&str, Value),
    ) -> Result<(), Failure> {
        let request = self.for_tenant(self.agent.post(self.address(path)));
        let request = request.header("Accept", "text/event-stream");
        let request = request.config().timeout_global(None).build();
        let sent = if body.is_null() { request.send_empty() } else { request.send_json(body) };
        self.events(sent, |name, data| {
            take(name, data);
            ControlFlow::Continue(())
        })
    }

    /// Reads a live stream, and hands on each of its events by its name, until it breaks off or `take` does.
    pub fn listen(
        &self,
        path: &str,
        take: impl FnMut(&str, Value) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let request = self.for_tenant(self.agent.get(self.address(path)));
        let request = request.header("Accept", "text/event-stream");
        self.events(request.config().timeout_global(None).build().call(), take)
    }

    fn events(
        &self,
        outcome: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
        mut take: impl FnMut(&str, Value) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let mut response = outcome.map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return self.answer(Ok(response)).map(drop);
        }
        let mut name = String::new();
        for line in BufReader::new(response.body_mut().as_reader()).lines() {
            let line = line.map_err(|error| Failure::Unreachable {
                url: self.url.clone(),
                reason: format!("the answer broke off: {error}"),
            })?;
            if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data = serde_json::from_str(data).unwrap_or(Value::Null);
                if take(&name, data).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Takes a turn, which a repetition with the same key does not take twice.
    pub fn post_once(&self, path: &str, body: &Value, key: &str) -> Result<Value, Failure> {
        self.send(Method::POST, path, body, Some(key))
    }

    /// Creates or acts with a body of any shape, sent as it serialises.
    pub fn post_any(
        &self,
        path: &str,
        body: &impl Serialize,
        idempotency_key: Option<&str>,
    ) -> Result<Value, Failure> {
        let address = self.address(path);
        let mut request = self.for_tenant(self.agent.post(address));
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        self.answer(request.send_json(body))
    }

    /// Removes.
    pub fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.answer(self.for_tenant(self.agent.delete(self.address(path))).call())
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        idempotency_key: Option<&str>,
    ) -> Result<Value, Failure> {
        let address = self.address(path);
        let request = match method {
            Method::PUT => self.agent.put(address),
            Method::PATCH => self.agent.patch(address),
            _ => self.agent.post(address),
        };
        let mut request = self.for_tenant(request);
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        self.answer(if body.is_null() { request.send_empty() } else { request.send_json(body) })
    }

    fn for_tenant<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        let request = match &self.key.0 {
            Some(key) => request.header("Authorization", format!("Bearer {}", key.trim())),
            None => request,
        };
        match &self.tenant {
            Some(tenant) => request.header("X-Tenant-ID", tenant),
            None => request,
        }
    }

    /// The server ended a live stream before its time.
    pub fn broke_off(&self) -> Failure {
        let reason = "the answer ended before it was complete".to_owned();
        Failure::Unreachable { url: self.url.clone(), reason }
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        Failure::Unreachable { url: self.url.clone(), reason: error.to_string() }
    }

    fn address(&self, path: &str) -> String {
        format!("{}{BASE}{path}", self.url)
    }

    fn answer(
        &self,
        outcome: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, Failure> {
        let unreachable = |error: ureq::Error| self.unreachable(&error);
        let mut response = outcome.map_err(unreachable)?;
        let status = response.status();
        let text = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES)
            .read_to_string()
            .map_err(unreachable)?;
        let body: Value = serde_json::from_str(&text).map_err(|_| Failure::Unreachable {
            url: self.url.clone(),
            reason: format!("status {status}, but no JSON: this is not a Segue server"),
        })?;
        if status.is_success() {
            return Ok(body);
        }
        Err(Failure::Refused {
            status: status.as_u16(),
            code: body["code"].as_str().unwrap_or("unknown").to_owned(),
            message: body["message"].as_str().unwrap_or(&text).to_owned(),
            details: body["details"].clone(),
        })
    }
}
