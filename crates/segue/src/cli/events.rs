//! `segue events`: the tenant log, and following it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use super::Remote;
use super::client::Client;
use super::failure::Failure;
use super::screen::{Screen, items, plain, when};

/// How long one request waits for an event when following, in milliseconds.
const WAIT_MS: u64 = 20_000;
/// The first and the longest pause before a lost server is tried again.
const RETRIES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];

/// `segue events`
#[derive(Debug, Args)]
pub struct Events {
    /// The position to begin after; 0 is before the first event
    #[arg(long, default_value_t = 0)]
    after: u64,
    /// Events to list, 1 to 1000; of a page if followed
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Go on with events as they come; a lost server is tried again with the last position
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Events {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.remote.open();
        let mut query = vec![("after", self.after.to_string()), ("limit", self.limit.to_string())];
        if !self.follow {
            let answer = client.get("/events", &query)?;
            if !screen.prints_json(&answer) {
                tell(&screen, items(&answer, "events"));
                end(&screen, &answer);
            }
            return Ok(());
        }
        query.push(("wait_ms", WAIT_MS.to_string()));
        let mut patience = Patience::default();
        loop {
            let page = patience.ask(|| client.get("/events", &query))?;
            tell_each(&screen, items(&page, "events"));
            query[0].1 = plain(&page["next_after"]);
        }
    }
}

/// Reads what a subscription has not acknowledged yet, for ever: prints, then acknowledges.
pub fn consume(
    client: &Client,
    screen: &Screen,
    subscription: &str,
    limit: u32,
) -> Result<(), Failure> {
    let query = [("limit", limit.to_string()), ("wait_ms", WAIT_MS.to_string())];
    let (events, ack) = (format!("{subscription}/events"), format!("{subscription}/ack"));
    let mut patience = Patience::default();
    loop {
        let page = patience.ask(|| client.get(&events, &query))?;
        let printed = items(&page, "events");
        if printed.is_empty() {
            continue;
        }
        tell_each(screen, printed);
        let dealt_with = serde_json::json!({ "position": page["next_after"] });
        patience.ask(|| client.post(&ack, &dealt_with))?;
    }
}

/// Asks again while a server is gone or busy, ever more slowly.
#[derive(Debug)]
struct Patience {
    pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { pause: RETRIES[0] }
    }
}

impl Patience {
    fn ask(&mut self, ask: impl Fn() -> Result<Value, Failure>) -> Result<Value, Failure> {
        loop {
            let begun = Instant::now();
            match ask() {
                Ok(answer) => {
                    // A server that is about to stop answers at once, with nothing.
                    let nothing = answer["events"].as_array().is_some_and(Vec::is_empty);
                    if nothing && begun.elapsed() < RETRIES[0] {
                        sleep(RETRIES[0]);
                    }
                    self.pause = RETRIES[0];
                    return Ok(answer);
                }
                Err(failure) if failure.may_pass() => {
                    eprintln!("{failure}; trying again");
                    sleep(self.pause);
                    self.pause = (self.pause * 2).min(RETRIES[1]);
                }
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// Prints events for people.
pub fn tell(screen: &Screen, events: &[Value]) {
    for event in events {
        let head = format!("{:>6}  {}", plain(&event["position"]), when(&event["recorded_at"]));
        let stream = format!("{}@{}", plain(&event["stream_id"]), plain(&event["version"]));
        let kind = screen.bold(&plain(&event["event_type"]));
        screen.line(format!("{}  {kind}  {}", screen.dim(&head), screen.dim(&stream)));
        let payload = match (&event["redacted"], &event["payload_base64"]) {
            (Value::Bool(true), _) => "(erased)".to_owned(),
            (_, Value::String(encoded)) => format!("(base64) {encoded}"),
            (_, _) => event["payload"].to_string(),
        };
        screen.line(screen.dim(&format!("        {payload}")));
    }
}

/// Prints events as they come: for people, or as one line of JSON each.
fn tell_each(screen: &Screen, events: &[Value]) {
    for event in events {
        if !screen.prints_json_line(event) {
            tell(screen, std::slice::from_ref(event));
        }
    }
}

/// Prints what a page of a log says at its end.
fn end(screen: &Screen, answer: &Value) {
    let (next, head) = (plain(&answer["next_after"]), plain(&answer["head_position"]));
    let text = if next == head {
        format!("that is all, up to position {head}")
    } else {
        format!("up to position {next} of {head}; go on with --after {next}")
    };
    screen.line(screen.dim(&text));
}
