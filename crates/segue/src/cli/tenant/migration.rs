//! `segue tenant migration`: one migration; looking at it, and deciding about it.

use std::ops::ControlFlow;

use clap::Subcommand;
use segue_core::ids::MigrationId;
use serde_json::{Value, json};

use super::check::{Repair, Verify};
use super::cutover::{cut_over, is_decided, moved};
use super::record::{Audit, Failures, Subscriptions};
use super::shown::shown;
use super::watch::{View, follow};
use crate::cli::client::Client;
use crate::cli::confirm::{Answer, ask};
use crate::cli::failure::Failure;
use crate::cli::operator::Operator;
use crate::cli::screen::{Screen, plain, when};

/// `segue tenant migration …`
#[derive(Debug, Subcommand)]
pub enum Migration {
    /// Show how far it is
    Show(One),
    /// Follow it until it is decided
    Watch(One),
    /// Stop the copying; the tenant's reads and writes go on
    Pause(Step),
    /// Go on where it was paused, or where it failed
    Resume(Step),
    /// Give it up: the tenant stays, and the copy is purged
    Abort {
        /// Why; stays on record
        #[arg(long)]
        reason: Option<String>,
        /// Do not wait for the copy to be purged: the target is gone for good
        #[arg(long)]
        abandon: bool,
        #[command(flatten)]
        step: Step,
    },
    /// Move the tenant, as soon as the target follows closely: its writes wait for a moment
    Cutover {
        /// Pass over the verification of the whole history, never over the equality of both ends
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        step: Step,
    },
    /// Go back to where the tenant came from, by a migration of its own
    Reverse(Step),
    /// Give the way back up: the copy in the old source is purged
    Finish {
        /// Purge it now, not only after its retention
        #[arg(long)]
        now: bool,
        /// Do not purge it at all: the old source is gone for good
        #[arg(long, conflicts_with = "now")]
        abandon: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        step: Step,
    },
    /// Compare the copy with what it was copied from
    Verify(Verify),
    /// Take the copy back to before what is wrong with it, and copy anew from there
    Repair(Repair),
    /// Show what it means for the tenant's subscriptions
    Subscriptions(Subscriptions),
    /// Count the writes to the target that failed
    Failures(Failures),
    /// List what was decided, and by whom
    Audit(Audit),
}

/// Which migration.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The migration
    pub migration: MigrationId,
    #[command(flatten)]
    pub operator: Operator,
}

impl One {
    /// Where the API has it, or something of it.
    pub fn path(&self, of_it: &str) -> String {
        format!("/tenant-migrations/{}{of_it}", self.migration)
    }
}

/// Which migration, and who decides.
#[derive(Debug, clap::Args)]
pub struct Step {
    #[command(flatten)]
    pub one: One,
    /// Who; stays on record
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,
}

impl Step {
    /// Decides, and shows the migration.
    fn take(&self, step: &str, mut body: Value) -> Result<(), Failure> {
        let (client, screen) = self.one.operator.open();
        body["by"] = json!(self.by);
        shown(&screen, &client.post(&self.one.path(step), &body)?);
        Ok(())
    }
}

impl Migration {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Show(one) => {
                let (client, screen) = one.operator.open();
                shown(&screen, &client.get(&one.path(""), &[])?);
                Ok(())
            }
            Self::Watch(one) => watch(&one),
            Self::Pause(step) => step.take("/pause", json!({})),
            Self::Resume(step) => step.take("/resume", json!({})),
            Self::Abort { reason, abandon, step } => {
                step.take("/abort", json!({ "reason": reason, "abandon": abandon }))
            }
            Self::Cutover { force, step } => {
                let (client, screen) = step.one.operator.open();
                let migration = once_it_follows(&client, &screen, &step.one)?;
                moved(&screen, &cut_over(&client, &screen, &migration, force, step.by.as_deref())?);
                Ok(())
            }
            Self::Reverse(step) => reverse(&step),
            Self::Finish { now, abandon, yes, step } => finish(now, abandon, yes, &step),
            Self::Verify(verify) => verify.run(),
            Self::Repair(repair) => repair.run(),
            Self::Subscriptions(subscriptions) => subscriptions.run(),
            Self::Failures(failures) => failures.run(),
            Self::Audit(audit) => audit.run(),
        }
    }
}

/// The migration, when it does not copy any more.
fn once_it_follows(client: &Client, screen: &Screen, one: &One) -> Result<Value, Failure> {
    let is_copying =
        |migration: &Value| matches!(migration["state"].as_str(), Some("pending" | "bulk_copy"));
    let migration = client.get(&one.path(""), &[])?;
    if !is_copying(&migration) {
        return Ok(migration);
    }
    let mut view = View::on(screen);
    let last = follow(client, &one.migration.to_string(), |migration| {
        view.see(migration);
        if is_copying(migration) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    view.clear();
    last
}

fn watch(one: &One) -> Result<(), Failure> {
    let (client, screen) = one.operator.open();
    let mut view = View::on(&screen);
    let last = follow(&client, &one.migration.to_string(), |migration| {
        if !screen.prints_json_line(migration) {
            view.see(migration);
        }
        if is_decided(migration) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    view.clear();
    last.map(drop)
}

fn reverse(step: &Step) -> Result<(), Failure> {
    let (client, screen) = step.one.operator.open();
    let back = client.post(&step.one.path("/reverse"), &json!({ "by": step.by }))?;
    shown(&screen, &back);
    if !screen.is_json() {
        let id = plain(&back["id"]);
        screen.line(screen.dim(&format!(
            "this is the migration back; `segue tenant migration cutover {id}` moves the tenant"
        )));
    }
    Ok(())
}

fn finish(now: bool, abandon: bool, yes: bool, step: &Step) -> Result<(), Failure> {
    let (client, screen) = step.one.operator.open();
    let migration = client.get(&step.one.path(""), &[])?;
    let source = plain(&migration["source_store_id"]);
    let question = format!("This will give up the way back to {source}, for ever.");
    match if yes { Answer::Yes } else { ask(&question) } {
        Answer::Yes => {}
        Answer::No => {
            return Err(Failure::Other("it was not confirmed; nothing was changed".to_owned()));
        }
        Answer::Nobody => {
            let text = "this cannot be taken back: add --yes; nothing was changed";
            return Err(Failure::Other(text.to_owned()));
        }
    }
    let body = json!({ "now": now, "abandon": abandon, "by": step.by });
    let finished = client.post(&step.one.path("/finish"), &body)?;
    if screen.prints_json(&finished) {
        return Ok(());
    }
    if abandon {
        screen.line(format!(
            "there is no way back any more; what {source} may still hold is not purged, and it has no \
             tombstone"
        ));
    } else {
        let retention = super::watch::number(&migration["config"]["source_retention_seconds"]);
        let when = match now {
            true => "now".to_owned(),
            false => format!("{retention} s after {}", when(&migration["completed_at"])),
        };
        screen
            .line(format!("there is no way back any more; the copy in {source} is purged {when}"));
    }
    Ok(())
}
