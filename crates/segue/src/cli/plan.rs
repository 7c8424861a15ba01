//! `segue plan`: from one version of a scenario to the next.
//!
//! `diff` and `explain` work on files and need no server.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::{Subcommand, ValueEnum};
use segue_core::diff::Diff;
use segue_core::ids::{PlanId, ScenarioId, StepId};
use segue_core::plan::summary::SessionCounts;
use segue_core::scenario::Scenario;
use segue_core::scenario::graph::Graph;
use serde_json::{Value, json};

use super::client::Client;
use super::compare::{Compare, Drawing};
use super::explain::Explain;
use super::failure::Failure;
use super::forecast::Forecast;
use super::input::{self, File, part};
use super::screen::{Screen, items, plain, when};
use super::{Paging, Remote};

/// `segue plan …`
#[derive(Debug, Subcommand)]
pub enum Plan {
    /// Compare a new version with the current one, and say what will happen to whom
    Generate(Generate),
    /// Compare two versions, without a server
    Diff(Compare),
    /// Say what would happen to one session, and why, without a server
    Explain(Explain),
    /// List plans
    List(List),
    /// Show a plan with its summary, one of its anchors, or a picture of its two versions
    Show(Show),
    /// Set policies for anchors, while the plan is pending
    Policies {
        /// The plan
        plan: PlanId,
        /// The policies by anchor key as JSON, or - for standard input
        file: File,
        #[command(flatten)]
        remote: Remote,
    },
    /// Say what would become of every live session if the plan were deployed now; of a deployed plan, compare the
    /// last forecast with what became of them
    Forecast(Forecast),
    /// Agree
    Approve(Sign),
    /// Refuse
    Reject {
        #[command(flatten)]
        sign: Sign,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Make the new version current; sessions migrate at their next message
    Deploy {
        /// The plan
        plan: PlanId,
        #[command(flatten)]
        remote: Remote,
    },
    /// Take a deployed plan back for everyone who has not migrated yet
    Withdraw {
        /// The plan
        plan: PlanId,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show how far a deployed plan has got
    Status {
        /// The plan
        plan: PlanId,
        #[command(flatten)]
        remote: Remote,
    },
    /// List the migrations that a plan has applied, newest first
    Applications {
        /// The plan
        plan: PlanId,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        remote: Remote,
    },
}

/// `segue plan generate`
#[derive(Debug, clap::Args)]
pub struct Generate {
    /// The scenario
    scenario: ScenarioId,
    /// The new version as JSON, or - for standard input
    file: File,
    /// Who makes the plan
    #[arg(long)]
    created_by: Option<String>,
    /// Leave this version instead of the current one, to pick up sessions left behind
    #[arg(long)]
    from_version: Option<u64>,
    #[command(flatten)]
    remote: Remote,
}

/// `segue plan list`
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only of this scenario
    #[arg(long)]
    scenario: Option<ScenarioId>,
    /// Only with this status
    #[arg(long)]
    status: Option<Status>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    remote: Remote,
}

/// Where a plan stands.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Status {
    Pending,
    Approved,
    Rejected,
    Deployed,
    Withdrawn,
    Superseded,
}

/// `segue plan show`
#[derive(Debug, clap::Args)]
pub struct Show {
    /// The plan
    plan: PlanId,
    /// Expand this anchor
    #[arg(long, value_name = "KEY", conflicts_with_all = ["svg", "dot"])]
    anchor: Option<String>,
    #[command(flatten)]
    drawing: Drawing,
    #[command(flatten)]
    remote: Remote,
}

/// Who decides about which plan.
#[derive(Debug, clap::Args)]
pub struct Sign {
    /// The plan
    plan: PlanId,
    /// Who decides
    #[arg(long)]
    by: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl Plan {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Generate(generate) => generate.run(),
            Self::Diff(compare) => compare.run(),
            Self::Explain(explain) => explain.run(),
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Policies { plan, file, remote } => policies(plan, &file, &remote),
            Self::Forecast(forecast) => forecast.run(),
            Self::Approve(sign) => sign.approve(),
            Self::Reject { sign, reason } => sign.reject(reason),
            Self::Deploy { plan, remote } => deploy(plan, &remote),
            Self::Withdraw { plan, remote } => act(plan, "withdraw", &Value::Null, &remote),
            Self::Status { plan, remote } => status(plan, &remote),
            Self::Applications { plan, paging, remote } => applications(plan, &paging, &remote),
        }
    }
}

impl Generate {
    fn run(self) -> Result<(), Failure> {
        let scenario: Value = input::document(&self.file)?;
        let (client, screen) = self.remote.open();
        let mut body = json!({ "new_scenario": scenario });
        if let Some(by) = self.created_by {
            body["created_by"] = by.into();
        }
        if let Some(version) = self.from_version {
            body["from_version"] = version.into();
        }
        let plan = client.post(&format!("/scenarios/{}/migration-plan", self.scenario), &body)?;
        if !screen.prints_json(&plan) {
            overview(&screen, &plan);
        }
        Ok(())
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.remote.open();
        let mut query = self.paging.query();
        query.extend(self.scenario.map(|id| ("scenario_id", id.to_string())));
        let word =
            self.status.and_then(|status| Some(status.to_possible_value()?.get_name().to_owned()));
        query.extend(word.map(|word| ("status", word)));
        let answer = client.get("/migration-plans", &query)?;
        if screen.prints_json(&answer) {
            return Ok(());
        }
        let plans = items(&answer, "plans");
        let row = |plan: &Value| {
            vec![
                plain(&plan["id"]),
                plain(&plan["scenario_id"]),
                format!("{} → {}", plain(&plan["from_version"]), plain(&plan["to_version"])),
                screen.word(&plain(&plan["status"])),
                when(&plan["created_at"]),
                plain(&plan["created_by"]),
            ]
        };
        let header = ["ID", "SCENARIO", "VERSIONS", "STATUS", "CREATED", "BY"];
        screen.table(&header, plans.iter().map(row).collect());
        screen.end_of_list(plans.len(), &answer);
        Ok(())
    }
}

impl Show {
    fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.remote.open();
        let path = match &self.anchor {
            Some(key) => format!("/migration-plans/{}/anchors/{}", self.plan, part(key)),
            None => format!("/migration-plans/{}", self.plan),
        };
        let answer = client.get(&path, &[])?;
        if self.drawing.is_wanted() {
            return draw(&client, &screen, &answer, &self.drawing);
        }
        if screen.prints_json(&answer) {
            return Ok(());
        }
        match self.anchor {
            Some(_) => screen.line(serde_json::to_string_pretty(&answer).unwrap_or_default()),
            None => overview(&screen, &answer),
        }
        Ok(())
    }
}

/// Draws the two versions of a plan, with the sessions that stand on the old one now.
fn draw(client: &Client, screen: &Screen, plan: &Value, drawing: &Drawing) -> Result<(), Failure> {
    let scenario = plain(&plan["scenario_id"]);
    let version = |number: &Value| -> Result<(Arc<Graph>, BTreeMap<StepId, u64>), Failure> {
        let path = format!("/scenarios/{scenario}/versions/{}", plain(number));
        let view = client.get(&path, &[])?;
        let unreadable = |error: serde_json::Error| Failure::Other(format!("{path}: {error}"));
        let document: Scenario = serde_json::from_value(json!({
            "id": view["id"], "name": view["name"], "version": view["version"],
            "entry_step_id": view["entry_step_id"], "steps": view["steps"],
        }))
        .map_err(unreadable)?;
        let sessions =
            serde_json::from_value(view["sessions_by_step"].clone()).map_err(unreadable)?;
        let graph = Graph::new(document).map_err(|_| {
            Failure::Other(format!("{path}: this version of the command does not understand it"))
        })?;
        Ok((Arc::new(graph), sessions))
    };
    let (v1, by_step) = version(&plan["from_version"])?;
    let (v2, _) = version(&plan["to_version"])?;
    let sessions = SessionCounts { by_step, ..SessionCounts::default() };
    let picture = drawing.of(&Diff::between(v1, v2, &[]), &sessions).unwrap_or_default();
    screen.line(picture.trim_end());
    Ok(())
}

/// Prints a plan and its summary.
pub fn overview(screen: &Screen, plan: &Value) {
    let summary = &plan["summary"];
    screen.facts(&[
        ("plan", screen.bold(&plain(&plan["id"]))),
        ("scenario", plain(&plan["scenario_id"])),
        ("versions", format!("{} → {}", plain(&plan["from_version"]), plain(&plan["to_version"]))),
        ("status", screen.word(&plain(&plan["status"]))),
        ("created", when(&plan["created_at"])),
        ("by", plain(&plan["created_by"])),
        ("sessions", plain(&summary["estimated_sessions_affected"])),
        ("deleted steps", plain(&summary["nodes_deleted"])),
    ]);
    screen.line("");
    let by_anchor = &summary["sessions_by_anchor"];
    let row = |anchor: &Value| {
        let key = plain(&anchor["anchor_key"]);
        let key = if key.is_empty() { plain(&anchor["anchor_content_hash"]) } else { key };
        vec![
            plain(&anchor["anchor_name"]),
            screen.word(&plain(&anchor["migration_scenario"])),
            plain(&by_anchor[&key]),
            key,
        ]
    };
    let anchors = items(&plan["transformation_map"], "anchors");
    screen.table(&["ANCHOR", "MIGRATION", "SESSIONS", "KEY"], anchors.iter().map(row).collect());
    let fields = items(summary, "fields_to_collect");
    if !fields.is_empty() {
        screen.line("\nCustomers may be asked for:");
    }
    for field in fields {
        let name = plain(&field["display_name"]);
        let name = if name.is_empty() { plain(&field["field_name"]) } else { name };
        screen.line(format!("  {}  {}", screen.bold(&name), plain(&field["reason"])));
    }
    let warnings = items(summary, "warnings");
    if !warnings.is_empty() {
        screen.line("\nWarnings:");
    }
    for warning in warnings {
        let anchor = plain(&warning["anchor_name"]);
        let anchor = if anchor.is_empty() { anchor } else { format!("{anchor}: ") };
        let severity = screen.word(&plain(&warning["severity"]));
        screen.line(format!("  {severity}  {anchor}{}", plain(&warning["message"])));
    }
}

fn policies(plan: PlanId, file: &File, remote: &Remote) -> Result<(), Failure> {
    let document: Value = input::document(file)?;
    let (client, screen) = remote.open();
    // The file may hold the whole request or only what is in it.
    let body = match document.get("policies") {
        Some(_) => document,
        None => json!({ "policies": document }),
    };
    let answer = client.put(&format!("/migration-plans/{plan}/policies"), &body)?;
    if !screen.prints_json(&answer) {
        let count = answer["anchor_policies"].as_object().map_or(0, serde_json::Map::len);
        screen.line(format!("plan {plan} has {count} policies"));
    }
    Ok(())
}

impl Sign {
    fn approve(self) -> Result<(), Failure> {
        let body = self.by.map_or(json!({}), |by| json!({ "approved_by": by }));
        act(self.plan, "approve", &body, &self.remote)
    }

    fn reject(self, reason: Option<String>) -> Result<(), Failure> {
        let mut body = self.by.map_or(json!({}), |by| json!({ "rejected_by": by }));
        if let Some(reason) = reason {
            body["reason"] = reason.into();
        }
        act(self.plan, "reject", &body, &self.remote)
    }
}

fn act(plan: PlanId, action: &str, body: &Value, remote: &Remote) -> Result<(), Failure> {
    let (client, screen) = remote.open();
    let answer = client.post(&format!("/migration-plans/{plan}/{action}"), body)?;
    if !screen.prints_json(&answer) {
        screen.line(format!("plan {plan} is {}", screen.word(&plain(&answer["status"]))));
    }
    Ok(())
}

fn deploy(plan: PlanId, remote: &Remote) -> Result<(), Failure> {
    let (client, screen) = remote.open();
    let answer = client.post(&format!("/migration-plans/{plan}/deploy"), &Value::Null)?;
    if screen.prints_json(&answer) {
        return Ok(());
    }
    let marked = plain(&answer["sessions_marked"]);
    let at = when(&answer["deployed_at"]);
    screen.line(format!(
        "plan {plan} deployed at {at}: {} sessions migrate at their next message",
        screen.bold(&marked)
    ));
    for (anchor, sessions) in answer["sessions_by_anchor"].as_object().into_iter().flatten() {
        screen.line(format!("{sessions:>8}  {anchor}"));
    }
    Ok(())
}

fn status(plan: PlanId, remote: &Remote) -> Result<(), Failure> {
    let (client, screen) = remote.open();
    let answer = client.get(&format!("/migration-plans/{plan}/deployment-status"), &[])?;
    if !screen.prints_json(&answer) {
        screen.facts(&[
            ("plan", plain(&answer["plan_id"])),
            ("status", screen.word(&plain(&answer["status"]))),
            ("marked", plain(&answer["sessions_marked"])),
            ("applied", plain(&answer["migrations_applied"])),
            ("pending", plain(&answer["migrations_pending"])),
            ("by scenario", plain(&answer["migrations_by_scenario"])),
            ("blocked", plain(&answer["checkpoint_blocks"])),
            ("deployed", when(&answer["deployed_at"])),
            ("last", when(&answer["last_migration_at"])),
        ]);
    }
    Ok(())
}

fn applications(plan: PlanId, paging: &Paging, remote: &Remote) -> Result<(), Failure> {
    let (client, screen) = remote.open();
    let answer = client.get(&format!("/migration-plans/{plan}/applications"), &paging.query())?;
    if screen.prints_json(&answer) {
        return Ok(());
    }
    let applications = items(&answer, "applications");
    let row = |application: &Value| {
        vec![
            when(&application["applied_at"]),
            plain(&application["session_id"]),
            screen.word(&plain(&application["migration_scenario"])),
            screen.word(&plain(&application["action"])),
            format!(
                "{} → {}",
                plain(&application["step_before"]),
                plain(&application["step_after"])
            ),
            plain(&application["reason"]),
        ]
    };
    let header = ["AT", "SESSION", "MIGRATION", "ACTION", "STEPS", "WHY"];
    screen.table(&header, applications.iter().map(row).collect());
    screen.end_of_list(applications.len(), &answer);
    Ok(())
}
