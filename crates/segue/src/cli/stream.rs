//! `segue stream`: append events to a stream, and read it.

use std::str::FromStr;

use clap::Subcommand;
use segue_core::ids::StreamId;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::Remote;
use super::erasure::Redact;
use super::events::tell;
use super::failure::Failure;
use super::input::{File, document, part};
use super::screen::{items, plain};

/// `segue stream …`
#[derive(Debug, Subcommand)]
pub enum Stream {
    /// Append events, all or none
    Append(Append),
    /// Read a stream, oldest event first
    Read(Read),
    /// Erase what a stream has said; its events stay, without their payloads
    Redact(Redact),
}

/// `segue stream append`
#[derive(Debug, clap::Args)]
pub struct Append {
    /// The stream
    stream: StreamId,
    /// What it is, such as cart; fixed by its first event
    #[arg(long = "type", value_name = "TYPE")]
    stream_type: String,
    /// Where it must be: a version, no_stream or any
    #[arg(long, default_value = "any", value_parser = expected)]
    expect: Value,
    /// An event: its type, and its payload as JSON or text
    #[arg(long = "event", value_name = "TYPE=PAYLOAD")]
    events: Vec<OneEvent>,
    /// A JSON array of events with event_type, payload, and event_id and metadata if you like; - for
    /// standard input
    #[arg(long, value_name = "FILE")]
    file: Option<File>,
    /// A repetition with the same key is not appended twice
    #[arg(long)]
    idempotency_key: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// `segue stream read`
#[derive(Debug, clap::Args)]
pub struct Read {
    /// The stream
    stream: StreamId,
    /// The first version to read
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Events to read, 1 to 1000
    #[arg(long, default_value_t = 100)]
    limit: u32,
    #[command(flatten)]
    remote: Remote,
}

/// An event on the command line.
#[derive(Debug, Clone, Serialize)]
struct OneEvent {
    event_type: String,
    payload: Box<RawValue>,
}

impl FromStr for OneEvent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (event_type, payload) =
            text.split_once('=').ok_or_else(|| format!("`{text}` is not TYPE=PAYLOAD"))?;
        let payload = RawValue::from_string(payload.to_owned())
            .or_else(|_| to_raw_value(payload))
            .map_err(|error| error.to_string())?;
        Ok(Self { event_type: event_type.to_owned(), payload })
    }
}

/// What is sent. Payloads go as they are written, byte for byte.
#[derive(Debug, Serialize)]
struct Body {
    stream_type: String,
    expected_version: Value,
    events: Vec<Box<RawValue>>,
}

fn expected(text: &str) -> Result<Value, String> {
    match (text, text.parse::<u64>()) {
        ("any" | "no_stream", _) => Ok(text.into()),
        (_, Ok(version)) => Ok(version.into()),
        (_, Err(_)) => Err("write a version, no_stream or any".to_owned()),
    }
}

impl Stream {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Append(append) => append.run(),
            Self::Read(read) => read.run(),
            Self::Redact(redact) => redact.run(),
        }
    }
}

impl Append {
    fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.remote.open();
        let mut events = match &self.file {
            Some(file) => document::<Vec<Box<RawValue>>>(file)?,
            None => Vec::new(),
        };
        for event in &self.events {
            events.push(to_raw_value(event).map_err(|error| Failure::Other(error.to_string()))?);
        }
        let (stream_type, expected_version) = (self.stream_type, self.expect);
        let body = Body { stream_type, expected_version, events };
        let path = format!("/streams/{}/events", part(self.stream.as_str()));
        let answer = client.post_any(&path, &body, self.idempotency_key.as_deref())?;
        if !screen.prints_json(&answer) {
            screen.line(format!(
                "stream {} is at version {}, the log at position {}",
                screen.bold(&plain(&answer["stream_id"])),
                plain(&answer["version"]),
                plain(&answer["last_position"]),
            ));
        }
        Ok(())
    }
}

impl Read {
    fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.remote.open();
        let query = [("from_version", self.from.to_string()), ("limit", self.limit.to_string())];
        let path = format!("/streams/{}/events", part(self.stream.as_str()));
        let answer = client.get(&path, &query)?;
        if screen.prints_json(&answer) {
            return Ok(());
        }
        tell(&screen, items(&answer, "events"));
        let end = match &answer["next_from_version"] {
            Value::Null => format!("that is all, up to version {}", plain(&answer["version"])),
            next => format!("go on with --from {}", plain(next)),
        };
        screen.line(screen.dim(&end));
        Ok(())
    }
}
