//! A server that speaks OpenAI's chat completions, and does what a test tells it to: slow, failing,
//! malformed and hostile answers among them.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// What it does with a request.
#[derive(Debug, Clone)]
pub enum Does {
    /// Answers with this content.
    Says(String),
    /// Answers with this body, as it is.
    Sends(String),
    /// Answers with a status, and with a wish to be left alone for so many seconds.
    Fails(u16, Option<u64>),
    /// Answers after a while.
    Later(Duration, Box<Does>),
    /// Answers when it is told to do something else.
    Held,
    /// Begins an answer that never ends, a little at a time.
    Trickles,
    /// Begins an answer that never ends, as fast as it is read.
    Floods,
    /// Sends the request on to another address.
    Redirects(String),
}

/// A value with the words that it is said to be from.
pub fn found(entries: &[(&str, &str, &str)]) -> Does {
    let entries: Vec<Value> = entries
        .iter()
        .map(|(field, value, quote)| json!({ "field": field, "value": value, "quote": quote }))
        .collect();
    Does::Says(json!({ "found": entries }).to_string())
}

/// What is made of the first condition.
pub fn judged(answer: &str, quote: &str) -> Does {
    let entry = json!({ "condition": 1, "answer": answer, "quote": quote });
    Does::Says(json!({ "judgements": [entry] }).to_string())
}

#[derive(Debug)]
struct Shared {
    does: Mutex<Does>,
    requests: Mutex<Vec<(HeaderMap, Value)>>,
}

/// The server; gone when dropped.
pub struct Model {
    pub url: String,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

impl Model {
    pub fn start(does: Does) -> Self {
        let shared = Arc::new(Shared { does: Mutex::new(does), requests: Mutex::new(Vec::new()) });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/chat/completions", post(complete))
            .with_state(Arc::clone(&shared));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, shared, _runtime: runtime }
    }

    /// From now on it does something else.
    pub fn now(&self, does: Does) {
        *self.shared.does.lock().unwrap() = does;
    }

    /// The requests so far, headers and bodies.
    pub fn requests(&self) -> Vec<(HeaderMap, Value)> {
        self.shared.requests.lock().unwrap().clone()
    }

    pub fn asked(&self) -> usize {
        self.shared.requests.lock().unwrap().len()
    }

    /// The data of the last request.
    pub fn data(&self) -> Value {
        let requests = self.requests();
        let content = requests.last().unwrap().1["messages"][1]["content"].clone();
        serde_json::from_str(content.as_str().unwrap()).unwrap()
    }
}

async fn complete(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let request = serde_json::from_slice(&body).unwrap();
    shared.requests.lock().unwrap().push((headers, request));
    let now = || shared.does.lock().unwrap().clone();
    let mut does = now();
    loop {
        let (time, next) = match does {
            Does::Held => (Duration::from_millis(10), None),
            Does::Later(time, then) => (time, Some(*then)),
            does => return answer(does),
        };
        tokio::time::sleep(time).await;
        does = next.unwrap_or_else(now);
    }
}

fn answer(does: Does) -> Response {
    match does {
        Does::Says(content) => {
            let message = json!({ "role": "assistant", "content": content, "refusal": null });
            let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
            let usage =
                json!({ "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120 });
            let body = json!({ "id": "c1", "object": "chat.completion", "model": "test",
                               "choices": [choice], "usage": usage });
            ([("content-type", "application/json")], body.to_string()).into_response()
        }
        Does::Sends(body) => ([("content-type", "application/json")], body).into_response(),
        Does::Fails(status, retry_after) => {
            let mut response = Response::builder().status(status);
            if let Some(seconds) = retry_after {
                response = response.header("retry-after", seconds);
            }
            response.body(Body::from("{\"error\": {\"message\": \"no\"}}")).unwrap()
        }
        Does::Held | Does::Later(..) => unreachable!("it has been waited for"),
        Does::Trickles => {
            let drops = stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), ()))
            });
            Body::from_stream(drops).into_response()
        }
        Does::Floods => {
            let waves =
                stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 65_536])));
            Body::from_stream(waves).into_response()
        }
        Does::Redirects(url) => {
            Response::builder().status(307).header("location", url).body(Body::empty()).unwrap()
        }
    }
}
