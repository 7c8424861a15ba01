//! Following a migration: its status as the server tells it, and a bar with rate, time left and lag.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::bar::{Bar, count};
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::screen::{Screen, plain};

/// How soon a stream that broke off is opened again.
const AGAIN: Duration = Duration::from_secs(1);

/// After how long without a word from the server that is given up.
const SILENCE: Duration = Duration::from_secs(60);

/// Follows a migration until `see` has seen enough, or it is over; answers with what was seen last. A server
/// that stops is waited for.
pub fn follow(
    client: &Client,
    id: &str,
    mut see: impl FnMut(&Value) -> ControlFlow<()>,
) -> Result<Value, Failure> {
    let path = format!("/tenant-migrations/{id}/status");
    let (mut last, mut heard) = (Value::Null, Instant::now());
    loop {
        let (mut problem, mut is_enough) = (None, false);
        let listened = client.listen(&path, |event, data| {
            if event != "migration" {
                problem = Some(data);
                return ControlFlow::Break(());
            }
            heard = Instant::now();
            is_enough = see(&data).is_break() || data["is_active"] == false;
            last = data;
            if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if is_enough {
            return Ok(last);
        }
        let failure = match (listened, problem) {
            (Err(failure), _) => failure,
            (Ok(()), Some(problem)) => Failure::of_problem(&problem),
            (Ok(()), None) => client.broke_off(),
        };
        if !failure.may_pass() || heard.elapsed() > SILENCE {
            return Err(failure);
        }
        std::thread::sleep(AGAIN);
    }
}

/// Shows how a migration goes on: each state as a line, and a bar below.
#[derive(Debug)]
pub struct View<'a> {
    screen: &'a Screen,
    bar: Bar,
    state: String,
    attempts: u64,
}

impl<'a> View<'a> {
    /// Nothing shown yet.
    pub fn on(screen: &'a Screen) -> Self {
        Self { screen, bar: Bar::with_text("events"), state: String::new(), attempts: 0 }
    }

    /// Shows it as it is now.
    pub fn see(&mut self, migration: &Value) {
        let state = plain(&migration["state"]);
        let attempts = migration["cutover"]["attempts"].as_u64().unwrap_or(0);
        let is_news = state != self.state || attempts != self.attempts;
        if is_news && !self.screen.is_json() {
            let state = self.screen.word(&format!("{state:14}"));
            let line = format!("{state}  {}", phase(migration));
            self.bar.aside(|| self.screen.line(line));
        }
        (self.state, self.attempts) = (state, attempts);
        let (done, all) = (number(&migration["events_copied"]), number(&migration["total_events"]));
        self.bar.tell(done, all, pace(migration));
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.clear();
    }
}

/// What a state means, in a line.
fn phase(migration: &Value) -> String {
    let (source, target) = (&migration["source_store_id"], &migration["target_store_id"]);
    let (source, target) = (plain(source), plain(target));
    let error = plain(&migration["error_message"]);
    let given_up = migration["cutover"]["history"].as_array().and_then(|tried| tried.last());
    let given_up = given_up.map(|last| plain(&last["gave_up"])).filter(|why| !why.is_empty());
    match migration["state"].as_str().unwrap_or_default() {
        "pending" => "looks at both stores".to_owned(),
        "bulk_copy" => format!("copies from {source} to {target}; reads and writes go on"),
        "dual_write" => match given_up {
            Some(why) => format!("the cutover was given up ({why}); writes go on in {source}"),
            None => format!("{target} follows {source} closely; reads and writes go on"),
        },
        "cutover_paused" => "writes wait for a moment; reads go on".to_owned(),
        "migrated" => format!("the tenant lives in {target}"),
        "paused" => "the copying was stopped; reads and writes go on".to_owned(),
        "failed" => format!("{error}; reads and writes go on in {source}"),
        "rolled_back" => format!("it was aborted; the tenant stays in {source}"),
        _ => String::new(),
    }
}

/// Rate, time left and lag.
fn pace(migration: &Value) -> String {
    let mut parts = Vec::new();
    let rate = migration["events_per_second"].as_f64().unwrap_or(0.0);
    let is_copying = migration["state"] == "bulk_copy";
    if is_copying && rate > 0.0 {
        parts.push(format!("{}/s", count(rate as u64)));
        if let Some(eta) = migration["eta_seconds"].as_f64() {
            parts.push(format!("{:.0} s left", eta.ceil()));
        }
    }
    parts.push(format!("{} behind", count(number(&migration["sync_lag"]))));
    parts.join("  ")
}

/// A count.
pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}
