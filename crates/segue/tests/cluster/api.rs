//! A tenant's view of the cluster: requests that go to one node or another, and may be cut off.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::Method;
use segue_store::dice::Dice;
use segue_testing::history::Logged;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Addresses;

/// The longest that a request may go without an answer. A node that is frozen or killed is the exception.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(40);

/// A tenant's client.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    addresses: Addresses,
    pub tenant: Uuid,
}

/// What a node answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<u64>,
    pub body: Value,
    pub took: Duration,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Whether it says `try again`, properly: 503, in our shape, and when.
    #[track_caller]
    pub fn is_try_again(&self) -> bool {
        if self.status != 503 {
            return false;
        }
        assert!(!self.code().is_empty(), "{self:?}");
        assert!(self.retry_after.is_some(), "no Retry-After: {self:?}");
        true
    }
}

impl Api {
    pub fn new(addresses: &Addresses) -> Self {
        // A connection to a node that was killed must not be tried for long.
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(2))
            .timeout(ANSWER_WITHIN)
            .no_proxy()
            .build()
            .unwrap();
        Self { http, addresses: addresses.clone(), tenant: Uuid::new_v4() }
    }

    /// Any node.
    pub fn any_node(&self, dice: &mut Dice) -> usize {
        dice.below(self.addresses.read().unwrap().len() as u64) as usize
    }

    /// Begins a request to a node.
    pub fn request(&self, node: usize, method: Method, path: &str) -> reqwest::RequestBuilder {
        let addresses = self.addresses.read().unwrap();
        let address = addresses[node % addresses.len()].clone();
        self.http
            .request(method, format!("{address}/api/v1{path}"))
            .header("X-Tenant-ID", self.tenant.to_string())
    }

    /// Sends it.
    ///
    /// # Errors
    /// When the connection broke, so that nobody knows what became of it.
    pub async fn answer(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let start = Instant::now();
        let response = request.send().await?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, retry_after, body, took: start.elapsed() })
    }

    pub async fn send(
        &self,
        node: usize,
        method: Method,
        path: &str,
        body: &Value,
    ) -> reqwest::Result<Answer> {
        let request = self.request(node, method, path);
        self.answer(if body.is_null() { request } else { request.json(body) }).await
    }

    /// The status of a probe: `/healthz`, `/readyz`.
    pub async fn probe(&self, node: usize, path: &str) -> u16 {
        let address = self.addresses.read().unwrap()[node].clone();
        self.http.get(format!("{address}{path}")).send().await.unwrap().status().as_u16()
    }

    /// Appends one event to a stream, once.
    ///
    /// # Errors
    /// As [`Api::answer`].
    pub async fn try_append(&self, node: usize, stream: &str) -> reqwest::Result<Answer> {
        let body = append(None, &[(Uuid::new_v4(), json!({}).to_string())]);
        self.send(node, Method::POST, &format!("/streams/{stream}/events"), &body).await
    }

    /// Repeats a request that may be repeated, on either node, until it succeeds.
    pub async fn ok(&self, method: Method, path: &str, body: &Value) -> Value {
        let deadline = Instant::now() + Duration::from_secs(90);
        for node in 0.. {
            match self.send(node, method.clone(), path, body).await {
                Ok(answer) if (200..300).contains(&answer.status) => return answer.body,
                Ok(answer) => assert!(answer.is_try_again(), "{method} {path}: {answer:?}"),
                Err(_) => {}
            }
            assert!(Instant::now() < deadline, "{method} {path} does not succeed");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        unreachable!("nodes are counted for ever")
    }

    pub async fn get(&self, path: &str) -> Value {
        self.ok(Method::GET, path, &Value::Null).await
    }

    /// The whole tenant log, page by page, each from another node.
    pub async fn log(&self) -> Vec<Logged> {
        let mut log: Vec<Logged> = Vec::new();
        loop {
            let after = log.last().map_or(0, |last| last.position);
            let page = self.get(&format!("/events?after={after}&limit=100")).await;
            let events = page["events"].as_array().expect("a page of events");
            if events.is_empty() {
                return log;
            }
            log.extend(events.iter().map(logged));
        }
    }

    /// Every stream that the log mentions, read by itself.
    pub async fn streams(&self, log: &[Logged]) -> BTreeMap<String, Vec<Logged>> {
        let mut streams = BTreeMap::new();
        for logged in log {
            if !streams.contains_key(&logged.stream) {
                streams.insert(logged.stream.clone(), self.stream(&logged.stream).await);
            }
        }
        streams
    }

    /// A whole stream.
    pub async fn stream(&self, stream: &str) -> Vec<Logged> {
        let mut found: Vec<Logged> = Vec::new();
        loop {
            let from = found.last().map_or(0, |last| last.version) + 1;
            let path = format!("/streams/{stream}/events?from_version={from}&limit=100");
            let page = self.get(&path).await;
            let events = page["events"].as_array().expect("a page of events");
            found.extend(events.iter().map(logged).map(|logged| Logged {
                stream: page["stream_id"].as_str().unwrap().to_owned(),
                ..logged
            }));
            if page["next_from_version"].is_null() {
                return found;
            }
        }
    }
}

/// An event as the API writes it.
pub fn logged(event: &Value) -> Logged {
    Logged {
        position: event["position"].as_u64().expect("a position"),
        stream: event["stream_id"].as_str().unwrap_or_default().to_owned(),
        version: event["version"].as_u64().expect("a version"),
        event: event["event_id"].as_str().expect("an event id").parse().expect("a UUID"),
        payload: event["payload"].to_string(),
    }
}

/// The body of an append.
pub fn append(expected_version: Option<u64>, events: &[(Uuid, String)]) -> Value {
    let events: Vec<_> = events
        .iter()
        .map(|(id, payload)| {
            let payload: Value = serde_json::from_str(payload).unwrap();
            json!({"event_id": id, "event_type": "Written", "payload": payload})
        })
        .collect();
    let expected = match expected_version {
        Some(0) => json!("no_stream"),
        Some(version) => json!(version),
        None => json!("any"),
    };
    json!({"stream_type": "test", "expected_version": expected, "events": events})
}
