//! `segue verify`: is what was written still what is there?

use segue_core::ids::TenantId;
use serde_json::Value;

use super::bar::Bar;
use super::failure::Failure;
use super::operator::Operator;
use super::screen::{Screen, items, plain};

/// `segue verify`
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// The tenant, a UUID
    #[arg(env = "SEGUE_TENANT")]
    tenant: TenantId,
    #[command(flatten)]
    operator: Operator,
}

impl Verify {
    /// Runs it; a damaged log is a failure.
    pub fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.operator.open();
        let bar = Bar::of("events");
        let mut report = None;
        let mut problem = None;
        let path = format!("/tenants/{}/verify", self.tenant);
        client.follow(&path, &Value::Null, |event, data| match event {
            "progress" => bar.show(
                data["position"].as_u64().unwrap_or(0),
                data["last_position"].as_u64().unwrap_or(0),
            ),
            "report" => report = Some(data),
            _ => problem = Some(data),
        })?;
        bar.clear();
        let Some(report) = report else {
            let problem = problem.map_or_else(
                || "the server ended before it was done".to_owned(),
                |problem| plain(&problem["message"]),
            );
            return Err(Failure::Unverified { reason: problem });
        };
        if !screen.prints_json(&report) {
            told(&screen, &report);
        }
        if report["is_sound"] == true {
            return Ok(());
        }
        let first = plain(&report["first_damaged_position"]);
        Err(Failure::Damaged { tenant: self.tenant, first: (!first.is_empty()).then_some(first) })
    }
}

fn told(screen: &Screen, report: &Value) {
    let is_sound = report["is_sound"] == true;
    let seconds = report["seconds"].as_f64().unwrap_or(0.0);
    let rate = report["events_checked"].as_f64().unwrap_or(0.0) / seconds.max(0.001);
    screen.facts(&[
        ("log", screen.word(if is_sound { "ok" } else { "critical" })),
        ("store", plain(&report["store_id"])),
        ("sound up to", plain(&report["sound_up_to"]["position"])),
        ("digest there", plain(&report["sound_up_to"]["digest"])),
        ("first damage", plain(&report["first_damaged_position"])),
        ("events", plain(&report["events_checked"])),
        ("streams", plain(&report["streams_checked"])),
        ("took", format!("{seconds:.1} s, {rate:.0} events/s")),
    ]);
    for damage in items(report, "damages") {
        screen.line(plain(&damage["message"]));
    }
    for stream in items(report, "streams") {
        screen.line(format!(
            "stream {}: {}",
            plain(&stream["stream_id"]),
            plain(&stream["message"])
        ));
    }
    let damages = report["damages_total"].as_u64().unwrap_or(0);
    let named = items(report, "damages").len() as u64;
    if damages > named {
        screen.line(screen.dim(&format!("and {} more damages", damages - named)));
    }
}
