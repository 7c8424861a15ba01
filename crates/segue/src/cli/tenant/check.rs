//! `segue tenant migration verify` and `repair`: is the copy what it was copied from, and what if not.

use segue_core::tenancy::migration::VerificationLevel;
use serde_json::{Value, json};

use super::migration::Step;
use super::watch::number;
use crate::cli::bar::Bar;
use crate::cli::failure::Failure;
use crate::cli::screen::{Screen, items, plain};

/// `segue tenant migration verify`
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// How thoroughly: COUNT, HASH or FULL; the migration's own level if left out
    #[arg(long, value_parser = level)]
    level: Option<VerificationLevel>,
    /// How many events FULL compares field by field, in percent
    #[arg(long, value_name = "PERCENT")]
    sample: Option<f64>,
    #[command(flatten)]
    step: Step,
}

/// `segue tenant migration repair`
#[derive(Debug, clap::Args)]
pub struct Repair {
    #[command(flatten)]
    step: Step,
}

fn level(text: &str) -> Result<VerificationLevel, String> {
    let known = [VerificationLevel::Count, VerificationLevel::Hash, VerificationLevel::Full];
    let found = known.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| "write COUNT, HASH or FULL".to_owned())
}

impl Verify {
    /// Runs it; a copy that differs is a failure.
    pub fn run(self) -> Result<(), Failure> {
        let mut body = json!({});
        if let Some(level) = self.level {
            body["level"] = level.as_str().into();
        }
        if let Some(sample) = self.sample {
            body["sample_percentage"] = sample.into();
        }
        let (screen, report) = self.step.worked("/verify", body)?;
        if !screen.prints_json(&report) {
            told(&screen, &report);
        }
        if report["is_consistent"] == true {
            return Ok(());
        }
        let first = items(&report, "violations").first().map(|first| plain(&first["message"]));
        let first = first.unwrap_or_else(|| "see the report".to_owned());
        Err(Failure::Differs { migration: self.step.one.migration, first })
    }
}

impl Repair {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        let (screen, report) = self.step.worked("/repair", json!({}))?;
        if screen.prints_json(&report) {
            return Ok(());
        }
        let (from, to) = (plain(&report["from_position"]), plain(&report["to_position"]));
        for violation in items(&report, "violations") {
            screen.line(plain(&violation["message"]));
        }
        screen.line(match from == to {
            true => format!("nothing was taken back; the copy ends at position {from}"),
            false => format!(
                "the copy was taken back from position {from} to {to}, and is copied anew from there"
            ),
        });
        Ok(())
    }
}

impl Step {
    /// Asks for long work, shows how far it is, and answers with what it came to.
    fn worked(&self, path: &str, mut body: Value) -> Result<(Screen, Value), Failure> {
        let (client, screen) = self.one.operator.open();
        body["by"] = json!(self.by);
        let bar = Bar::of("events");
        let (mut report, mut problem) = (None, None);
        client.follow(&self.one.path(path), &body, |event, data| match event {
            "progress" => bar.show(number(&data["position"]), number(&data["last_position"])),
            "report" => report = Some(data),
            _ => problem = Some(data),
        })?;
        bar.clear();
        match (report, problem) {
            (Some(report), _) => Ok((screen, report)),
            (None, Some(problem)) => Err(Failure::of_problem(&problem)),
            (None, None) => Err(client.broke_off()),
        }
    }
}

fn told(screen: &Screen, report: &Value) {
    let is_consistent = report["is_consistent"] == true;
    let seconds = report["seconds"].as_f64().unwrap_or(0.0);
    let sample = match report["level"] == "FULL" {
        true => format!(", {} % of the events field by field", plain(&report["sample_percentage"])),
        false => String::new(),
    };
    screen.facts(&[
        ("copy", screen.word(if is_consistent { "ok" } else { "critical" })),
        ("compared", format!("{}{sample}", plain(&report["level"]))),
        ("in", plain(&report["target_store_id"])),
        ("with", plain(&report["source_store_id"])),
        ("up to position", plain(&report["position"])),
        ("sound up to", plain(&report["sound_up_to"]["position"])),
        ("events", plain(&report["events_compared"])),
        ("streams", plain(&report["streams_compared"])),
        ("took", format!("{seconds:.1} s")),
    ]);
    for violation in items(report, "violations") {
        screen.line(plain(&violation["message"]));
    }
    let named = items(report, "violations").len() as u64;
    let all = number(&report["violations_total"]);
    if all > named {
        screen.line(screen.dim(&format!("and {} more differences", all - named)));
    }
}
