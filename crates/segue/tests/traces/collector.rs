//! A collector that remembers every span that it is sent.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1;
use prost::Message;

/// A span as a test reads it.
#[derive(Debug, Clone)]
pub struct Span {
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty for one that has none.
    pub parent: String,
    pub kind: i32,
    pub began: u64,
    pub ended: u64,
    attributes: Vec<(String, String)>,
}

impl Span {
    /// An attribute as text; empty if it has none of this name.
    pub fn text(&self, name: &str) -> String {
        let found = self.attributes.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    pub fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap()
    }
}

/// Everything that was sent.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub spans: Vec<Span>,
    /// The heads of the requests.
    pub requests: Vec<String>,
    /// The name of the service that sent it.
    pub service: String,
}

impl Seen {
    pub fn of_trace(&self, trace: &str) -> Self {
        let mut of_trace = self.clone();
        of_trace.spans.retain(|span| span.trace == trace);
        of_trace
    }

    pub fn all(&self, name: &str) -> Vec<Span> {
        self.spans.iter().filter(|span| span.name == name).cloned().collect()
    }

    pub fn one(&self, name: &str) -> Option<Span> {
        self.spans.iter().find(|span| span.name == name).cloned()
    }
}

pub struct Collector {
    pub url: String,
    seen: Arc<Mutex<Seen>>,
}

impl Collector {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let taking = Arc::clone(&seen);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let taking = Arc::clone(&taking);
                std::thread::spawn(move || serve(connection.unwrap(), &taking));
            }
        });
        Self { url, seen }
    }

    #[track_caller]
    pub fn seen(&self) -> Seen {
        let seen = self.seen.lock().unwrap().clone();
        for span in &seen.spans {
            let names: BTreeSet<_> = span.attributes.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), span.attributes.len(), "an attribute twice: {span:?}");
        }
        seen
    }

    /// Waits until what was sent is as wanted.
    #[track_caller]
    pub fn until(&self, holds: impl Fn(&Seen) -> bool) -> Seen {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let seen = self.seen();
            if holds(&seen) {
                return seen;
            }
            assert!(Instant::now() < deadline, "not in time: {seen:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Answers the requests of one connection.
fn serve(connection: TcpStream, seen: &Mutex<Seen>) {
    let mut reader = BufReader::new(connection);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        assert!(head.starts_with("POST /v1/traces "), "{head}");
        remember(&mut seen.lock().unwrap(), head, &body);
        let answer =
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
        reader.get_mut().write_all(answer).unwrap();
    }
}

fn remember(seen: &mut Seen, head: String, body: &[u8]) {
    seen.requests.push(head);
    for resource in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
        let about = attributes(resource.resource.unwrap().attributes);
        let name = about.into_iter().find(|(name, _)| name == "service.name");
        seen.service = name.unwrap().1;
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        seen.spans.extend(spans.map(span));
    }
}

fn span(sent: v1::Span) -> Span {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Span {
        name: sent.name,
        trace: hex(&sent.trace_id),
        id: hex(&sent.span_id),
        parent: hex(&sent.parent_span_id),
        kind: sent.kind,
        began: sent.start_time_unix_nano,
        ended: sent.end_time_unix_nano,
        attributes: attributes(sent.attributes),
    }
}

fn attributes(sent: Vec<KeyValue>) -> Vec<(String, String)> {
    sent.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(is_so)) => is_so.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}
