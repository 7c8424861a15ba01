//! A migration, printed for people.

use serde_json::Value;

use super::watch::number;
use crate::cli::bar::count;
use crate::cli::screen::{Screen, items, plain, when};

/// Prints it, or its JSON.
pub fn shown(screen: &Screen, migration: &Value) {
    if screen.prints_json(migration) {
        return;
    }
    let ended = if migration["state"] == "migrated" { "moved" } else { "ended" };
    screen.facts(&[
        ("migration", screen.bold(&plain(&migration["id"]))),
        ("tenant", plain(&migration["tenant_id"])),
        ("from", plain(&migration["source_store_id"])),
        ("to", plain(&migration["target_store_id"])),
        ("state", state(screen, migration)),
        ("copied", copied(migration)),
        ("read back", count(number(&migration["events_read_back"]))),
        ("cutover", cutover(migration)),
        ("verified", verified(&migration["verification"])),
        ("reverses", plain(&migration["reverses"])),
        ("asked for", by(&migration["created_by"], &migration["created_at"])),
        (ended, when(&migration["completed_at"])),
        ("carried on by", plain(&migration["coordinator"])),
        ("aborted", plain(&migration["abort_reason"])),
        ("in the way", obstacle(&migration["error"])),
    ]);
}

fn state(screen: &Screen, migration: &Value) -> String {
    let state = plain(&migration["state"]);
    let word = screen.word(&state);
    match (state.as_str(), migration["is_active"] == true) {
        ("migrated", true) => format!("{word}; there is a way back until it is finished"),
        ("rolled_back", true) => format!("{word}; the target is being cleaned"),
        _ => word,
    }
}

fn copied(migration: &Value) -> String {
    let of = |name: &str| count(number(&migration[name]));
    let (done, all) = (of("events_copied"), of("total_events"));
    let share = migration["progress_percentage"].as_f64().unwrap_or(0.0);
    let mut text = format!("{done} of {all} events ({share:.0} %)");
    if number(&migration["sync_lag"]) > 0 {
        text.push_str(&format!(", {} behind", of("sync_lag")));
    }
    if migration["state"] == "bulk_copy" {
        let rate = migration["events_per_second"].as_f64().unwrap_or(0.0);
        text.push_str(&format!(", {}/s", count(rate as u64)));
        if let Some(eta) = migration["eta_seconds"].as_f64() {
            text.push_str(&format!(", {:.0} s left", eta.ceil()));
        }
    }
    text
}

fn cutover(migration: &Value) -> String {
    let cutover = &migration["cutover"];
    let tried = number(&cutover["attempts"]);
    let mut parts = Vec::new();
    if cutover["requested"] == true {
        parts.push("asked for".to_owned());
    }
    if let Some(last) = items(cutover, "history").last() {
        let pause = last["pause_ms"].as_f64().map(|pause| format!("{pause:.1} ms"));
        let pause = pause.unwrap_or_else(|| "a moment".to_owned());
        parts.push(match plain(&last["gave_up"]).as_str() {
            "" => format!("writes waited for {pause}"),
            why => format!("given up after {pause}: {why}"),
        });
        parts.push(format!("attempt {tried}"));
    }
    parts.join(", ")
}

fn verified(verification: &Value) -> String {
    if verification.is_null() {
        return String::new();
    }
    let outcome = match verification["is_consistent"] == true {
        true => "consistent".to_owned(),
        false => format!("it differs: {}", plain(&verification["violations"])),
    };
    let (level, position) = (plain(&verification["level"]), plain(&verification["position"]));
    format!("{level} up to position {position}: {outcome}, {}", when(&verification["at"]))
}

fn by(who: &Value, at: &Value) -> String {
    format!("by {}, {}", plain(who), when(at))
}

fn obstacle(error: &Value) -> String {
    let mut text = plain(&error["message"]);
    if let Some(action) = error["suggested_action"].as_str() {
        text.push_str(&format!("\n{action}"));
    }
    text
}
