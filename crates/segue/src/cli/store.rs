//! `segue store`: the event stores, for operators.

use clap::Subcommand;
use serde_json::Value;

use super::failure::Failure;
use super::operator::Operator;
use super::screen::plain;

/// `segue store …`
#[derive(Debug, Subcommand)]
pub enum Store {
    /// List the event stores with their health
    List {
        #[command(flatten)]
        operator: Operator,
    },
}

impl Store {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        let Self::List { operator } = self;
        let (client, screen) = operator.open();
        let answer = client.get("/stores", &[])?;
        if screen.prints_json(&answer) {
            return Ok(());
        }
        let row = |store: &Value| {
            let health = if store["healthy"] == true { "ok" } else { "critical" };
            let health = match plain(&store["reason"]) {
                reason if reason.is_empty() => screen.word(health),
                reason => format!("{}: {reason}", screen.word(health)),
            };
            let name = plain(&store["store_id"]);
            let is_default = store["is_default"] == true;
            vec![
                if is_default { format!("{name} (default)") } else { name },
                plain(&store["kind"]),
                health,
                plain(&store["tenants"]),
                plain(&store["durability"]["survives"]).replace('_', " "),
                plain(&store["durability"]["settings"]),
            ]
        };
        let stores = answer.as_array().map_or(&[][..], Vec::as_slice);
        let header = ["STORE", "KIND", "HEALTH", "TENANTS", "SURVIVES", "SETTINGS"];
        screen.table(&header, stores.iter().map(row).collect());
        Ok(())
    }
}
