//! Traces: the spans of a turn and of a move, sent to a collector by OTLP over HTTP.
//!
//! Spans are `tracing` spans of the target [`TARGET`] at `debug`, made where the work is. While no collector
//! is named nobody wants them, and making one costs a load of an atomic. With one, a thread of its own sends
//! them in batches; what it cannot send in time, or has no room for, is dropped. No request waits for it.
//!
//! No span carries what could be a customer's: no session, no customer, no field. A move's carry the tenant.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::HeaderMap;
use opentelemetry::KeyValue;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::{Metadata, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;

use super::collector::Collector;
use crate::config::Telemetry;

/// The target of every span that belongs to a trace.
pub const TARGET: &str = "segue::trace";

/// A span that belongs to a trace, where somebody wants it.
macro_rules! traced {
    ($($span:tt)+) => {
        tracing::debug_span!(target: $crate::telemetry::traces::TARGET, $($span)+)
    };
}
pub(crate) use traced;

/// Where a collector takes traces, below its address.
const PATH: &str = "/v1/traces";

/// How long the last batch may take when the process ends.
const LAST_BATCH: Duration = Duration::from_secs(5);

/// The variables that name a collector where the configuration does not.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

/// Sends spans until it is dropped, and then what is left of them.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Traces to the collector that is named; nothing if none is.
    ///
    /// # Errors
    /// When a setting or a variable makes no sense.
    pub(super) fn open(settings: &Telemetry) -> Result<Option<Self>, String> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let is_named = settings.otlp_endpoint.is_some()
            || ENDPOINTS.into_iter().any(|name| variable(name).is_some());
        let is_disabled = variable("OTEL_SDK_DISABLED").is_some_and(|text| text == "true");
        if !is_named || is_disabled {
            return Ok(None);
        }
        let timeout = Duration::from_secs_f64(settings.otlp_timeout_seconds);
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(timeout))
            .with_timeout(timeout)
            .with_headers(headers(settings, variable)?);
        if let Some(endpoint) = &settings.otlp_endpoint {
            exporter = exporter.with_endpoint(traces_at(endpoint));
        }
        let exporter = exporter.build().map_err(|error| format!("traces: {error}"))?;
        let mut provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource(settings, variable));
        if let Some(ratio) = settings.sample_ratio {
            let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
            provider = provider.with_sampler(sampler);
        }
        Ok(Some(Self(provider.build())))
    }

    /// What takes the spans.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: tracing::Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("segue"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_filter(spans_only())
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST_BATCH) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

fn spans_only() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    let is_ours: fn(&Metadata<'_>) -> bool = |of| of.is_span() && of.target() == TARGET;
    filter_fn(is_ours).with_max_level_hint(LevelFilter::DEBUG)
}

fn traces_at(endpoint: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    if endpoint.ends_with(PATH) { endpoint.to_owned() } else { format!("{endpoint}{PATH}") }
}

/// The headers that the configured variable holds.
fn headers(
    settings: &Telemetry,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<HashMap<String, String>, String> {
    let Some(name) = &settings.otlp_headers_env else { return Ok(HashMap::new()) };
    let text = variable(name).unwrap_or_default();
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(|pair| {
        let (header, value) = pair.split_once('=')?;
        Some((header.trim().to_owned(), value.trim().to_owned()))
    });
    // What it holds is a secret.
    let wrong = || format!("the environment variable {name} must be name=value,name=value");
    pairs.collect::<Option<_>>().ok_or_else(wrong)
}

fn resource(settings: &Telemetry, variable: impl Fn(&str) -> Option<String>) -> Resource {
    let resource = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    let attributes = variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let is_named = variable("OTEL_SERVICE_NAME").is_some() || attributes.contains("service.name=");
    match &settings.service_name {
        Some(name) => resource.with_service_name(name.clone()),
        None if is_named => resource,
        None => resource.with_service_name("segue"),
    }
    .build()
}

/// The span of a request. What a `traceparent` says of its caller is its parent.
pub fn of_request(method: &'static str, route: &str, headers: &HeaderMap) -> Span {
    let span = traced!(
        "http",
        otel.name = tracing::field::Empty,
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = tracing::field::Empty,
    );
    if !span.is_disabled() {
        span.record("otel.name", format!("{method} {route}"));
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        if parent.span().span_context().is_valid() {
            // Only a span that was entered before refuses a parent.
            let _ = span.set_parent(parent);
        }
    }
    span
}

/// Notes how a request was answered.
pub fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_named_with_or_without_the_path_of_traces() {
        for endpoint in ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces"] {
            assert_eq!(traces_at(endpoint), "http://c:4318/v1/traces");
        }
    }

    #[test]
    fn headers_come_from_the_variable_and_a_wrong_one_is_refused_without_its_secret() {
        let settings = Telemetry { otlp_headers_env: Some("H".to_owned()), ..Telemetry::default() };
        let read = |text: &'static str| headers(&settings, move |_| Some(text.to_owned()));
        let both = read("authorization=Bearer s3cr3t==, x-scope = a").unwrap();
        assert_eq!(both["authorization"], "Bearer s3cr3t==");
        assert_eq!(both["x-scope"], "a");
        let refused = read("s3cr3t").unwrap_err();
        assert!(refused.contains('H') && !refused.contains("s3cr3t"), "{refused}");
    }

    #[test]
    fn nothing_is_traced_unless_a_collector_is_named() {
        assert!(Traces::open(&Telemetry::default()).unwrap().is_none());
    }
}
