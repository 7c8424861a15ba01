//! `[telemetry]`: what Segue tells about itself besides its log.

use serde::{Deserialize, Serialize};

/// `[telemetry]`. What is absent is left to the standard `OTEL_*` variables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// Seconds between two looks at moves, stores and the process, for the gauges of `/metrics`.
    pub refresh_seconds: f64,
    /// The OTLP collector that traces are sent to by HTTP, such as `http://127.0.0.1:4318`. Without it, and
    /// without `OTEL_EXPORTER_OTLP_ENDPOINT`, nothing is traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
    /// The environment variable that holds headers for the collector, as `name=value,name=value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_headers_env: Option<String>,
    /// Seconds that the collector may take for one request.
    pub otlp_timeout_seconds: f64,
    /// The share of traces that begin here and are kept, from 0 to 1. A caller's decision is followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_ratio: Option<f64>,
    /// The name of this service in traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            refresh_seconds: 10.0,
            otlp_endpoint: None,
            otlp_headers_env: None,
            otlp_timeout_seconds: 5.0,
            sample_ratio: None,
            service_name: None,
        }
    }
}
