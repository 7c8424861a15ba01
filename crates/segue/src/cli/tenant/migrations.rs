//! `segue tenant migrations`: which tenants are on the move, and which were.

use segue_core::ids::TenantId;
use segue_core::tenancy::migration::MigrationState;
use serde_json::Value;

use crate::cli::Paging;
use crate::cli::failure::Failure;
use crate::cli::operator::Operator;
use crate::cli::screen::{items, plain, when};

/// `segue tenant migrations`
#[derive(Debug, clap::Args)]
pub struct Migrations {
    /// Only this tenant's
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Only those in this state, such as dual_write or failed
    #[arg(long)]
    state: Option<MigrationState>,
    /// Only those about which something may still be done
    #[arg(long)]
    active: bool,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    operator: Operator,
}

impl Migrations {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.operator.open();
        let mut query = self.paging.query();
        query.extend(self.tenant.map(|tenant| ("tenant_id", tenant.to_string())));
        query.extend(self.state.map(|state| ("state", state.to_string())));
        query.extend(self.active.then(|| ("active", true.to_string())));
        let answer = client.get("/tenant-migrations", &query)?;
        if screen.prints_json(&answer) {
            return Ok(());
        }
        let row = |migration: &Value| {
            let share = migration["progress_percentage"].as_f64().unwrap_or(0.0);
            vec![
                plain(&migration["id"]),
                plain(&migration["tenant_id"]),
                plain(&migration["source_store_id"]),
                plain(&migration["target_store_id"]),
                screen.word(&plain(&migration["state"])),
                format!("{share:.0} %"),
                if migration["is_active"] == true { "active" } else { "over" }.to_owned(),
                when(&migration["created_at"]),
            ]
        };
        let migrations = items(&answer, "migrations");
        let header = ["MIGRATION", "TENANT", "FROM", "TO", "STATE", "COPIED", "", "ASKED FOR"];
        screen.table(&header, migrations.iter().map(row).collect());
        screen.end_of_list(migrations.len(), &answer);
        Ok(())
    }
}
