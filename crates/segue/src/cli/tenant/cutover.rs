//! Cutting a migration over, and waiting for what comes of it.

use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::watch::{View, follow};
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::interrupt;
use crate::cli::screen::{Screen, items, plain};

/// Asks for the cutover and waits until the tenant has moved; answers with the migration.
pub fn cut_over(
    client: &Client,
    screen: &Screen,
    migration: &Value,
    force: bool,
    by: Option<&str>,
) -> Result<Value, Failure> {
    let id = plain(&migration["id"]);
    let path = format!("/tenant-migrations/{id}/cutover");
    interrupt::say_goodbye(format!(
        "the cutover stays asked for: the server moves the tenant as soon as it can\n\
         `segue tenant migration watch {id}` follows it, `… abort {id}` gives it up"
    ));
    let asked = client.post(&path, &json!({ "force": force, "by": by }));
    let asked = asked.map_err(|failure| nothing_came_of_it(failure, migration))?;
    if has_moved(&asked) {
        return Ok(asked);
    }
    let mut view = View::on(screen);
    let last = follow(client, &id, |migration| {
        view.see(migration);
        let cutover = &migration["cutover"];
        let is_given_up = cutover["requested"] == false && migration["state"] != "cutover_paused";
        if is_decided(migration) || is_given_up {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    view.clear();
    let last = last?;
    if has_moved(&last) { Ok(last) } else { Err(given_up(&last)) }
}

/// Whether nothing more happens by itself.
pub fn is_decided(migration: &Value) -> bool {
    let state = migration["state"].as_str().unwrap_or_default();
    matches!(state, "migrated" | "failed" | "rolled_back") || migration["is_active"] == false
}

/// Whether the tenant lives in the target.
pub fn has_moved(migration: &Value) -> bool {
    migration["state"] == "migrated"
}

/// Says where the tenant lives now, and what it cost.
pub fn moved(screen: &Screen, migration: &Value) {
    if screen.prints_json(migration) {
        return;
    }
    let (id, target) = (plain(&migration["id"]), plain(&migration["target_store_id"]));
    let pause = migration["cutover"]["pause_ms"].as_f64();
    let pause = pause.map_or_else(|| "a moment".to_owned(), |pause| format!("{pause:.1} ms"));
    let subscriptions = items(migration, "subscriptions").len();
    screen.line(format!(
        "the tenant lives in {}; its writes waited for {pause}, and {subscriptions} subscriptions went along",
        screen.bold(&target)
    ));
    let source = plain(&migration["source_store_id"]);
    screen.line(screen.dim(&format!(
        "go back with `segue tenant migration reverse {id}`, or give up the copy in {source} with `segue \
         tenant migration finish {id}`"
    )));
}

/// What a refused cutover means: nothing has moved, and the migration goes on.
fn nothing_came_of_it(failure: Failure, migration: &Value) -> Failure {
    let goes_on = ["cutover_timeout", "consistency_error", "migration_obstructed"];
    match failure {
        Failure::Refused { code, message, details, .. } if goes_on.contains(&code.as_str()) => {
            let action = plain(&details["suggested_action"]);
            Failure::NotMoved {
                reason: format!("{message} ({code})"),
                then: then(migration, &action),
            }
        }
        other => other,
    }
}

fn given_up(migration: &Value) -> Failure {
    let last = items(&migration["cutover"], "history").last().cloned().unwrap_or_default();
    let why = match (plain(&migration["error_message"]), plain(&last["gave_up"])) {
        (error, _) if !error.is_empty() => error,
        (_, why) if !why.is_empty() => format!("the cutover was given up: {why}"),
        _ => format!("the migration is {}", plain(&migration["state"])),
    };
    Failure::NotMoved {
        reason: format!("the tenant has not moved: {why}"),
        then: then(migration, &plain(&migration["error"]["suggested_action"])),
    }
}

fn then(migration: &Value, action: &str) -> String {
    let id = plain(&migration["id"]);
    let source = plain(&migration["source_store_id"]);
    let action = if action.is_empty() { String::new() } else { format!("{action}; ") };
    format!(
        "writes go on in {source}; {action}`segue tenant migration show {id}` says how it stands"
    )
}
