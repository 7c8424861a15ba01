//! `segue plan forecast`: what would become of every session, and what did.

use std::time::{Duration, Instant};

use segue_core::ids::PlanId;
use serde_json::Value;

use super::Remote;
use super::bar::{Bar, count};
use super::client::Client;
use super::failure::Failure;
use super::interrupt::say_goodbye;
use super::screen::{Screen, items, plain, when};

/// How often the server is asked how far it has come.
const ASK_EVERY: Duration = Duration::from_millis(300);

/// After how long without an answer from the server that is given up.
const SILENCE: Duration = Duration::from_secs(60);

/// `segue plan forecast`
#[derive(Debug, clap::Args)]
pub struct Forecast {
    /// The plan
    plan: PlanId,
    /// Show the latest forecast instead of asking for a new one
    #[arg(long)]
    show: bool,
    /// Give up the forecast that is being computed
    #[arg(long, conflicts_with = "show")]
    cancel: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Forecast {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.remote.open();
        let path = format!("/migration-plans/{}/forecast", self.plan);
        if self.cancel {
            let view = client.delete(&path)?;
            if !screen.prints_json(&view) {
                let state = plain(&view["state"]);
                screen.line(match &*state {
                    "failed" => format!("there is no forecast: {}", plain(&view["failure"])),
                    "done" => "it was over already".to_owned(),
                    _ => format!("another one is {state}"),
                });
            }
            return Ok(());
        }
        let plan = client.get(&format!("/migration-plans/{}", self.plan), &[])?;
        let is_open =
            ["pending", "approved"].contains(&plan["status"].as_str().unwrap_or_default());
        let view = if is_open && !self.show {
            client.post(&path, &Value::Null)?
        } else {
            client.get(&path, &[])?
        };
        let view = finished(&client, &path, view)?;
        if !screen.prints_json(&view) {
            shown(&screen, &view);
        }
        match view["state"].as_str() {
            Some("failed" | "interrupted") => {
                let why = plain(&view["failure"]);
                let why =
                    if why.is_empty() { "its server is heard of no more".to_owned() } else { why };
                Err(Failure::Other(format!("there is no forecast: {why}")))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Waits, with a bar, until a forecast is no longer being computed.
fn finished(client: &Client, path: &str, mut view: Value) -> Result<Value, Failure> {
    if view["state"] == "running" {
        let plan = plain(&view["plan_id"]);
        say_goodbye(format!("The server goes on with it: segue plan forecast {plan} --show"));
    }
    let bar = Bar::of("sessions");
    let mut heard = Instant::now();
    while view["state"] == "running" {
        let number = |field: &str| view[field].as_u64().unwrap_or(0);
        bar.show(number("sessions_done"), number("sessions_total"));
        std::thread::sleep(ASK_EVERY);
        match client.get(path, &[]) {
            Ok(next) => (view, heard) = (next, Instant::now()),
            Err(failure) if failure.may_pass() && heard.elapsed() < SILENCE => {}
            Err(failure) => {
                bar.clear();
                return Err(failure);
            }
        }
    }
    bar.clear();
    Ok(view)
}

fn shown(screen: &Screen, view: &Value) {
    screen.facts(&[
        ("plan", plain(&view["plan_id"])),
        ("forecast", screen.word(&plain(&view["state"]))),
        ("as of", when(&view["started_at"])),
        ("sessions", count(view["sessions_done"].as_u64().unwrap_or(0))),
        ("changed since", plain(&view["stale"])),
    ]);
    let (result, actual) = (&view["result"], &view["actual"]);
    if result.is_null() {
        return;
    }
    screen.line("");
    kinds(screen, result, actual);
    listed(screen, result);
    screen.line("\nFor example:");
    let row = |sample: &Value| {
        vec![
            screen.word(&plain(&sample["kind"])),
            plain(&sample["session_id"]),
            plain(&sample["step_id"]),
            plain(&sample["reason"]),
        ]
    };
    let header = ["BECOMES", "SESSION", "AT", "WHY"];
    screen.table(&header, items(result, "samples").iter().map(row).collect());
    if !actual.is_null() {
        compared(screen, actual);
    }
}

/// How many sessions there are of each kind, foreseen and real.
fn kinds(screen: &Screen, result: &Value, actual: &Value) {
    let of = |summary: &Value, kind: &str| summary["sessions_by_kind"][kind].as_u64().unwrap_or(0);
    let row = |kind: segue_core::plan::forecast::Kind| {
        let (foreseen, real) = (of(result, kind.as_str()), of(actual, kind.as_str()));
        if foreseen == 0 && real == 0 {
            return None;
        }
        let mut row = vec![screen.word(kind.as_str()), count(foreseen)];
        row.extend((!actual.is_null()).then(|| count(real)));
        Some(row)
    };
    let rows = segue_core::plan::forecast::Kind::ALL.into_iter().filter_map(row).collect();
    let header: &[&str] =
        if actual.is_null() { &["", "SESSIONS"] } else { &["", "FORECAST", "ACTUAL"] };
    screen.table(header, rows);
}

/// Which fields, from where to where, by what.
fn listed(screen: &Screen, result: &Value) {
    let each = |title: &str, list: &str, text: &dyn Fn(&Value) -> String| {
        let entries = items(result, list);
        if !entries.is_empty() {
            screen.line(format!("\n{title}"));
        }
        for entry in entries {
            let sessions = count(entry["sessions"].as_u64().unwrap_or(0));
            screen.line(format!("{sessions:>10}  {}", text(entry)));
        }
    };
    let name = |entry: &Value| plain(&entry["name"]);
    let way = |entry: &Value| format!("{} → {}", plain(&entry["from"]), plain(&entry["to"]));
    let filled =
        |entry: &Value| format!("{} from {}", plain(&entry["field"]), plain(&entry["source"]));
    each("Customers are asked for:", "asked_fields", &name);
    each("Customers are asked to confirm:", "confirmed_fields", &name);
    each("Actions are run first:", "due_actions", &name);
    each("Known, so that nobody is asked:", "filled", &filled);
    each("Redirected:", "redirected", &way);
    each("Relocated, because their step is gone:", "relocated", &way);
    each("Blocked by a checkpoint:", "blocking_checkpoints", &name);
}

/// How the forecast has turned out.
fn compared(screen: &Screen, actual: &Value) {
    screen.line("");
    let number = |field: &str| count(actual[field].as_u64().unwrap_or(0));
    screen.facts(&[
        ("decided", number("decided")),
        ("as foreseen", number("as_forecast")),
        ("otherwise", number("differing")),
        ("… though unchanged", number("differing_unchanged")),
        ("began later", number("not_foreseen")),
        ("waiting", number("waiting")),
        ("still to come", number("pending")),
    ]);
    let differences = items(actual, "differences");
    if differences.is_empty() {
        return;
    }
    screen.line("");
    let row = |one: &Value| {
        vec![
            plain(&one["session_id"]),
            plain(&one["forecast"]["kind"]),
            plain(&one["actual"]["kind"]),
            plain(&one["because"]),
        ]
    };
    let header = ["SESSION", "FORECAST", "ACTUAL", "BECAUSE"];
    screen.table(&header, differences.iter().map(row).collect());
}
