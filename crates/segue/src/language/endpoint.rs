//! Who answers: a trait that tests put a model of their own behind, and the client that speaks HTTP.
//!
//! The client follows no redirect and reads no proxy from its surroundings, so that customers' words go to
//! the address that the operator wrote and nowhere else; an answer is read up to [`MAX_ANSWER_BYTES`].

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Bytes;
use axum::http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};

use super::key::Key;
use super::retry::{Fault, RetryAfter};

/// The longest answer that is read.
pub const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// How long it may take to connect to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a connection that nobody uses is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// An endpoint for chat completions.
#[async_trait]
pub trait Endpoint: Debug + Send + Sync + 'static {
    /// Sends one request, as JSON, and returns what a successful answer holds. How long it may take is the
    /// caller's business.
    ///
    /// # Errors
    /// Why there is none.
    async fn complete(&self, request: Bytes) -> Result<Bytes, Fault>;
}

/// An endpoint that is reached by HTTP.
#[derive(Debug)]
pub struct Http {
    url: Uri,
    key: Option<Key>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Http {
    /// A client with connections of its own, as many as requests are made at once.
    #[must_use]
    pub fn new(url: Uri, key: Option<Key>, connections: usize) -> Self {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(connections)
            .build(connector);
        Self { url, key, client }
    }
}

#[async_trait]
impl Endpoint for Http {
    async fn complete(&self, request: Bytes) -> Result<Bytes, Fault> {
        let mut sent = Request::post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("segue/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(request))
            .expect("a URL that was parsed and fixed headers make a request");
        if let Some(key) = &self.key {
            sent.headers_mut().insert(header::AUTHORIZATION, key.header());
        }
        let answer = self.client.request(sent).await;
        let answer = answer.map_err(|error| Fault::Unreachable(deepest(&error)))?;
        if answer.status() != StatusCode::OK {
            // What else it says may repeat what was sent, so it is not read.
            let after = answer.headers().get(header::RETRY_AFTER);
            return Err(Fault::Status {
                status: answer.status().as_u16(),
                retry_after: after.and_then(|after| RetryAfter::read(after.to_str().ok()?)),
            });
        }
        match Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Fault::TooLong),
            Err(error) => Err(Fault::Unreachable(deepest(error.as_ref()))),
        }
    }
}

/// What lies at the bottom of an error, such as "connection refused".
fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
