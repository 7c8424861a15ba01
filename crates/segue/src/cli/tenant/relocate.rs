//! `segue tenant move`: moves a tenant from the first look at both stores to the last.
//!
//! The server carries the migration on; this only asks for it, shows it, asks before the cutover, and may
//! leave at any time.

use std::ops::ControlFlow;

use segue_core::ids::{StoreId, TenantId};
use serde_json::{Value, json};

use super::cutover::{cut_over, has_moved, is_decided, moved};
use super::watch::{View, follow, number};
use crate::cli::bar::count;
use crate::cli::client::Client;
use crate::cli::confirm::{Answer, ask};
use crate::cli::failure::Failure;
use crate::cli::input::{Setting, object};
use crate::cli::interrupt;
use crate::cli::operator::Operator;
use crate::cli::screen::{Screen, items, plain};

/// `segue tenant move`
#[derive(Debug, clap::Args)]
pub struct Move {
    /// The tenant
    tenant: TenantId,
    /// The store that it shall live in
    #[arg(long, value_name = "STORE")]
    to: StoreId,
    /// Let the server cut over by itself as soon as the target is close enough; do not ask
    #[arg(long)]
    auto: bool,
    /// Do not ask before the cutover
    #[arg(long)]
    yes: bool,
    /// Only say what would happen and how long it would take
    #[arg(long)]
    dry_run: bool,
    /// How the move is made, such as verification_level=FULL; the server's settings otherwise
    #[arg(long = "config", value_name = "KEY=VALUE")]
    settings: Vec<Setting>,
    /// Who moves it; stays on record
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    #[command(flatten)]
    operator: Operator,
}

impl Move {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.operator.open();
        let mut config = object(&self.settings);
        if self.auto {
            config["auto_cutover"] = true.into();
        }
        let body = json!({
            "target_store_id": self.to,
            "config": config,
            "dry_run": self.dry_run,
            "started_by": self.by,
        });
        let begun = client.post(&format!("/tenants/{}/migrations", self.tenant), &body)?;
        if self.dry_run {
            would_happen(&screen, &begun);
            return Ok(());
        }
        let id = plain(&begun["id"]);
        let is_automatic = begun["config"]["auto_cutover"] == true;
        interrupt::say_goodbye(goodbye(&id, is_automatic));
        if !screen.is_json() {
            let (from, to) = (plain(&begun["source_store_id"]), plain(&begun["target_store_id"]));
            screen.line(format!("migration {}: from {from} to {to}", screen.bold(&id)));
        }
        let last = wait(&client, &screen, &id)?;
        let last = if is_decided(&last) { last } else { self.decide(&client, &screen, &last)? };
        if !has_moved(&last) {
            screen.prints_json(&last);
            return Err(came_to_nothing(&last));
        }
        moved(&screen, &last);
        Ok(())
    }

    /// Asks whether to cut over, and does.
    fn decide(&self, client: &Client, screen: &Screen, close: &Value) -> Result<Value, Failure> {
        let id = plain(&close["id"]);
        let target = plain(&close["target_store_id"]);
        let question = format!(
            "{target} is {} events behind. Cut over now? Writes of the tenant will wait for a moment.",
            count(number(&close["sync_lag"]))
        );
        let answer = if self.yes { Answer::Yes } else { ask(&question) };
        let why = match answer {
            Answer::Yes => return cut_over(client, screen, close, false, self.by.as_deref()),
            Answer::No => "it was not confirmed",
            Answer::Nobody => "the cutover wants a word, and nobody is at a terminal",
        };
        screen.prints_json(close);
        Err(Failure::NotMoved {
            reason: format!("{why}: the tenant has not moved; {target} goes on following"),
            then: format!(
                "go on with `segue tenant migration cutover {id}`, or give it up with `segue tenant \
                 migration abort {id}`; --yes or --auto of `segue tenant move` do not ask"
            ),
        })
    }
}

/// Follows it until somebody has to decide, or it is decided.
fn wait(client: &Client, screen: &Screen, id: &str) -> Result<Value, Failure> {
    let mut view = View::on(screen);
    let last = follow(client, id, |migration| {
        view.see(migration);
        let is_automatic = migration["config"]["auto_cutover"] == true;
        let wants_a_word = !is_automatic && is_close(migration);
        if is_decided(migration) || wants_a_word {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    view.clear();
    last
}

/// Whether the target follows the source so closely that a cutover is short.
fn is_close(migration: &Value) -> bool {
    let config = &migration["config"];
    let threshold = number(&config["sync_lag_threshold"]);
    let unread =
        number(&migration["total_events"]).saturating_sub(number(&migration["events_read_back"]));
    let is_read = config["verification_level"] == "COUNT" || unread <= threshold;
    migration["state"] == "dual_write" && number(&migration["sync_lag"]) <= threshold && is_read
}

fn came_to_nothing(migration: &Value) -> Failure {
    let id = plain(&migration["id"]);
    let source = plain(&migration["source_store_id"]);
    let why = match plain(&migration["error_message"]) {
        error if error.is_empty() => plain(&migration["abort_reason"]),
        error => error,
    };
    let state = plain(&migration["state"]).replace('_', " ");
    Failure::NotMoved {
        reason: format!("migration {id} is {state} ({why}); the tenant lives in {source}"),
        then: match migration["state"] == "failed" {
            true => format!(
                "mend what is in the way, then `segue tenant migration resume {id}`; or give it up with \
                 `segue tenant migration abort {id}`"
            ),
            false => "start it again when you like".to_owned(),
        },
    }
}

fn goodbye(id: &str, is_automatic: bool) -> String {
    let then = if is_automatic {
        "it cuts over by itself"
    } else {
        "it waits for a cutover when the target follows closely"
    };
    format!(
        "migration {id} goes on at the server; {then}\n\
         `segue tenant migration watch {id}` follows it, `… cutover {id}` moves the tenant, `… abort {id}` \
         gives it up"
    )
}

/// Prints a dry run.
fn would_happen(screen: &Screen, run: &Value) {
    if screen.prints_json(run) {
        return;
    }
    let seconds = run["estimated_copy_seconds"].as_f64();
    let rate = run["estimated_events_per_second"].as_f64().unwrap_or(0.0);
    let copy = seconds.map_or_else(
        || "nobody can tell yet".to_owned(),
        |seconds| format!("about {seconds:.1} s at {} events/s", count(rate as u64)),
    );
    let pause = run["estimated_pause_ms"].as_f64().unwrap_or(0.0);
    let budget = run["pause_budget_ms"].as_f64().unwrap_or(0.0);
    screen.line("nothing is changed; this would happen:");
    for (nth, step) in items(run, "steps").iter().enumerate() {
        screen.line(format!("  {}. {}", nth + 1, plain(step)));
    }
    screen.facts(&[
        ("events", count(number(&run["total_events"]))),
        ("to copy", count(number(&run["events_to_copy"]))),
        ("the copy", copy),
        ("the pause", format!("about {pause:.0} ms; given up after {budget:.0} ms")),
        ("source", plain(&run["durability"]["source"])),
        ("target", plain(&run["durability"]["target"])),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn following(lag: u64, read_back: u64, level: &str) -> Value {
        json!({
            "state": "dual_write", "sync_lag": lag, "total_events": 1_000,
            "events_read_back": read_back,
            "config": { "sync_lag_threshold": 100, "verification_level": level },
        })
    }

    #[test]
    fn nobody_is_asked_before_the_target_is_close_and_read_back() {
        assert!(is_close(&following(100, 900, "HASH")));
        assert!(!is_close(&following(101, 1_000, "HASH")), "it is too far behind");
        assert!(!is_close(&following(0, 800, "HASH")), "it was not read back yet");
        assert!(is_close(&following(0, 0, "COUNT")), "nothing is read back then");
        let mut copying = following(0, 1_000, "HASH");
        copying["state"] = "bulk_copy".into();
        assert!(!is_close(&copying));
    }
}
