//! `segue scenario`: graphs of steps and their versions.

use clap::Subcommand;
use segue_core::ids::ScenarioId;
use serde_json::Value;

use super::failure::Failure;
use super::input::{self, File};
use super::screen::{Screen, items, plain, when};
use super::{Paging, Remote};

/// `segue scenario …`
#[derive(Debug, Subcommand)]
pub enum Scenario {
    /// Register a scenario with its first version
    Register {
        /// The scenario as JSON, or - for standard input
        file: File,
        #[command(flatten)]
        remote: Remote,
    },
    /// List the tenant's scenarios
    List {
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show a scenario: its current version, or another one
    Show {
        /// The scenario
        scenario: ScenarioId,
        /// A version other than the current one
        #[arg(long)]
        version: Option<u64>,
        #[command(flatten)]
        remote: Remote,
    },
    /// List the archived versions of a scenario
    Versions {
        /// The scenario
        scenario: ScenarioId,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        remote: Remote,
    },
}

impl Scenario {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Register { file, remote } => register(&file, &remote),
            Self::List { paging, remote } => list(&paging, &remote),
            Self::Show { scenario, version, remote } => show(scenario, version, &remote),
            Self::Versions { scenario, paging, remote } => versions(scenario, &paging, &remote),
        }
    }
}

fn register(file: &File, remote: &Remote) -> Result<(), Failure> {
    let document: Value = input::document(file)?;
    let (client, screen) = remote.open();
    let scenario = client.post("/scenarios", &document)?;
    if !screen.prints_json(&scenario) {
        screen.line(format!(
            "scenario {} ({}) registered, version {}",
            screen.bold(&plain(&scenario["id"])),
            plain(&scenario["name"]),
            plain(&scenario["version"]),
        ));
    }
    Ok(())
}

fn list(paging: &Paging, remote: &Remote) -> Result<(), Failure> {
    let (client, screen) = remote.open();
    let answer = client.get("/scenarios", &paging.query())?;
    if screen.prints_json(&answer) {
        return Ok(());
    }
    let scenarios = items(&answer, "scenarios");
    let row = |scenario: &Value| {
        vec![
            plain(&scenario["id"]),
            plain(&scenario["name"]),
            plain(&scenario["current_version"]),
            by_version(&scenario["sessions_by_version"]),
        ]
    };
    screen.table(&["ID", "NAME", "VERSION", "SESSIONS"], scenarios.iter().map(row).collect());
    screen.end_of_list(scenarios.len(), &answer);
    Ok(())
}

fn show(scenario: ScenarioId, version: Option<u64>, remote: &Remote) -> Result<(), Failure> {
    let (client, screen) = remote.open();
    let path = match version {
        Some(version) => format!("/scenarios/{scenario}/versions/{version}"),
        None => format!("/scenarios/{scenario}"),
    };
    let answer = client.get(&path, &[])?;
    if screen.prints_json(&answer) {
        return Ok(());
    }
    screen.facts(&[
        ("scenario", plain(&answer["id"])),
        ("name", screen.bold(&plain(&answer["name"]))),
        ("description", plain(&answer["description"])),
        ("version", plain(&answer["version"])),
        ("checksum", plain(&answer["checksum"])),
        ("sessions", by_version(&answer["sessions_by_version"])),
    ]);
    screen.line("");
    steps(&screen, &answer);
    Ok(())
}

/// One line for each step, and one for each way out of it.
fn steps(screen: &Screen, scenario: &Value) {
    for step in items(scenario, "steps") {
        let mut marks = Vec::new();
        if step["id"] == scenario["entry_step_id"] {
            marks.push("entry".to_owned());
        }
        let flags = [
            ("is_checkpoint", "checkpoint"),
            ("is_terminal", "end"),
            ("is_required_action", "required action"),
        ];
        marks.extend(
            flags
                .iter()
                .filter(|(flag, _)| step[*flag] == true)
                .map(|(_, mark)| (*mark).to_owned()),
        );
        let fields = plain(&step["collects_profile_fields"]);
        if !fields.is_empty() {
            marks.push(format!("asks {fields}"));
        }
        let marks =
            if marks.is_empty() { String::new() } else { format!("  [{}]", marks.join("; ")) };
        let name = plain(&step["name"]);
        screen.line(format!("{}  {name}{}", screen.bold(&plain(&step["id"])), screen.word(&marks)));
        for transition in items(step, "transitions") {
            let condition = plain(&transition["condition_text"]);
            let condition =
                if condition.is_empty() { condition } else { format!("  if {condition}") };
            screen
                .line(screen.dim(&format!("  → {}{condition}", plain(&transition["to_step_id"]))));
        }
    }
}

fn versions(scenario: ScenarioId, paging: &Paging, remote: &Remote) -> Result<(), Failure> {
    let (client, screen) = remote.open();
    let answer = client.get(&format!("/scenarios/{scenario}/versions"), &paging.query())?;
    if screen.prints_json(&answer) {
        return Ok(());
    }
    let versions = items(&answer, "versions");
    let row = |version: &Value| {
        let current = if version["is_current"] == true { "current" } else { "" };
        vec![
            plain(&version["version"]),
            current.to_owned(),
            plain(&version["sessions"]),
            plain(&version["checksum"]),
            when(&version["created_at"]),
        ]
    };
    let header = ["VERSION", "", "SESSIONS", "CHECKSUM", "REGISTERED"];
    screen.table(&header, versions.iter().map(row).collect());
    screen.end_of_list(versions.len(), &answer);
    Ok(())
}

/// `140 on 1, 2 on 2`.
fn by_version(counts: &Value) -> String {
    let Some(counts) = counts.as_object() else { return String::new() };
    if counts.is_empty() {
        return "none".to_owned();
    }
    let texts = counts.iter().map(|(version, sessions)| format!("{sessions} on {version}"));
    texts.collect::<Vec<_>>().join(", ")
}
