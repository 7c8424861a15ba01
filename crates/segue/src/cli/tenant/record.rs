//! `segue tenant migration subscriptions`, `failures` and `audit`: what is on record about a migration.

use serde_json::Value;

use super::migration::One;
use super::watch::number;
use crate::cli::Paging;
use crate::cli::failure::Failure;
use crate::cli::screen::{Screen, items, plain, when};

/// `segue tenant migration subscriptions`
#[derive(Debug, clap::Args)]
pub struct Subscriptions {
    #[command(flatten)]
    one: One,
}

/// `segue tenant migration failures`
#[derive(Debug, clap::Args)]
pub struct Failures {
    #[command(flatten)]
    one: One,
}

/// `segue tenant migration audit`
#[derive(Debug, clap::Args)]
pub struct Audit {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    paging: Paging,
}

impl Subscriptions {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.one.operator.open();
        let answer = client.get(&self.one.path("/subscriptions"), &[])?;
        if screen.prints_json(&answer) {
            return Ok(());
        }
        let row = |subscription: &Value| {
            vec![
                plain(&subscription["subscription_name"]),
                plain(&subscription["current_position"]),
                plain(&subscription["planned_target_position"]),
                if subscription["is_exact"] == true { "exact" } else { "some again" }.to_owned(),
                plain(&subscription["lag"]),
            ]
        };
        let subscriptions = items(&answer, "subscriptions");
        let goes_on = if answer["is_migrated"] == true { "WENT ON AT" } else { "WILL GO ON AT" };
        let header = ["SUBSCRIPTION", "POSITION", goes_on, "", "LAG"];
        screen.table(&header, subscriptions.iter().map(row).collect());
        Ok(())
    }
}

impl Failures {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.one.operator.open();
        let answer = client.get(&self.one.path("/failure-stats"), &[])?;
        if screen.prints_json(&answer) {
            return Ok(());
        }
        screen.facts(&[
            ("failed writes", plain(&answer["total_failures"])),
            ("their events", plain(&answer["total_events_failed"])),
            ("of streams", plain(&answer["unique_aggregates_affected"])),
            ("first", when(&answer["first_failure_at"])),
            ("last", when(&answer["last_failure_at"])),
        ]);
        if number(&answer["total_failures"]) > 0 {
            screen.line(screen.dim("the copier brings what they left out"));
        }
        Ok(())
    }
}

impl Audit {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.one.operator.open();
        let answer = client.get(&self.one.path("/audit"), &self.paging.query())?;
        decided(&screen, &answer);
        Ok(())
    }
}

/// Lists what was decided, and by whom.
pub(super) fn decided(screen: &Screen, answer: &Value) {
    if screen.prints_json(answer) {
        return;
    }
    let row = |entry: &Value| {
        vec![
            when(&entry["at"]),
            plain(&entry["action"]).replace('_', " "),
            plain(&entry["actor"]),
            plain(&entry["details"]["term"]),
            plain(&entry["details"]["epoch"]),
        ]
    };
    let entries = items(answer, "entries");
    let header = ["WHEN", "WHAT", "WHO", "TERM", "EPOCH"];
    screen.table(&header, entries.iter().map(row).collect());
    screen.end_of_list(entries.len(), answer);
}
