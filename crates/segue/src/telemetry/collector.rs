//! The way to a collector of traces. It is called from the thread that sends them, so it may block, and does
//! so for a bounded time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

/// The largest answer that is read.
const ANSWER_BYTES: u64 = 64 * 1024;

/// Posts to a collector, and tells once that it is away and once that it is back.
#[derive(Debug)]
pub(super) struct Collector {
    agent: ureq::Agent,
    is_away: AtomicBool,
}

impl Collector {
    /// A way whose every request is given up after a time.
    pub(super) fn new(timeout: Duration) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(timeout))
            .max_redirects(0)
            .build()
            .into();
        Self { agent, is_away: AtomicBool::new(false) }
    }

    fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, &body[..]);
        let (parts, mut body) = self.agent.run(request)?.into_parts();
        let body = body.with_config().limit(ANSWER_BYTES).read_to_vec()?;
        Ok(Response::from_parts(parts, body.into()))
    }

    /// Says what changed. A header that was sent may be in no message.
    fn note(&self, failure: Option<&dyn std::fmt::Display>) {
        let was_away = self.is_away.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(failure) => {
                super::trace_export_failed();
                if !was_away {
                    tracing::warn!(%failure, "traces cannot be sent, and are dropped until they can");
                }
            }
            None if was_away => tracing::info!("traces are sent again"),
            None => {}
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.post(request);
        match &answer {
            Ok(response) if response.status().is_success() => self.note(None),
            Ok(response) => {
                self.note(Some(&format!("the collector answers {}", response.status())))
            }
            Err(error) => self.note(Some(error)),
        }
        Ok(answer?)
    }
}
