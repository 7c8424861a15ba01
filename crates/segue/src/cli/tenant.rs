//! `segue tenant`: where tenants live, whether they are written, and how they move. For operators.

mod check;
pub(super) mod cutover;
mod explain;
mod migration;
mod migrations;
mod record;
mod relocate;
mod shown;
pub(super) mod watch;

use clap::Subcommand;
use segue_core::ids::{StoreId, TenantId};
use serde_json::{Value, json};

use super::Paging;
use super::failure::Failure;
use super::operator::Operator;
use super::screen::{Screen, items, plain, when};

/// `segue tenant …`
#[derive(Debug, Subcommand)]
pub enum Tenant {
    /// List tenants
    List {
        /// Only those that live in this store
        #[arg(long)]
        store: Option<StoreId>,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        operator: Operator,
    },
    /// Show where a tenant lives and how far its log goes
    Show {
        /// The tenant
        tenant: TenantId,
        #[command(flatten)]
        operator: Operator,
    },
    /// Place a new tenant in a store
    Place {
        /// The tenant
        tenant: TenantId,
        /// The store
        store: StoreId,
        /// Who places it
        #[arg(long, value_name = "WHO")]
        by: Option<String>,
        #[command(flatten)]
        operator: Operator,
    },
    /// Make a tenant's writes wait, on every server, until they are resumed; reads go on
    Pause {
        /// The tenant
        tenant: TenantId,
        /// Who pauses them
        #[arg(long, value_name = "WHO")]
        by: Option<String>,
        #[command(flatten)]
        operator: Operator,
    },
    /// Let a tenant's writes go on
    Resume {
        /// The tenant
        tenant: TenantId,
        /// Who resumes them
        #[arg(long, value_name = "WHO")]
        by: Option<String>,
        #[command(flatten)]
        operator: Operator,
    },
    /// List what was decided about a tenant, and by whom
    Audit {
        /// The tenant
        tenant: TenantId,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        operator: Operator,
    },
    /// Move a tenant to another store while it is read and written
    Move(relocate::Move),
    /// Say in words where a tenant stands, who carries its migration on, and what happens next
    Explain(explain::Explain),
    /// List migrations of tenants
    Migrations(migrations::Migrations),
    /// Look at one migration, and decide about it
    #[command(subcommand)]
    Migration(migration::Migration),
}

impl Tenant {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::List { store, paging, operator } => list(store, &paging, &operator),
            Self::Show { tenant, operator } => {
                let (client, screen) = operator.open();
                shown(&screen, &client.get(&format!("/tenants/{tenant}"), &[])?);
                Ok(())
            }
            Self::Place { tenant, store, by, operator } => {
                let (client, screen) = operator.open();
                let body = json!({ "store_id": store, "placed_by": by });
                shown(&screen, &client.put(&format!("/tenants/{tenant}"), &body)?);
                Ok(())
            }
            Self::Pause { tenant, by, operator } => {
                let (client, screen) = operator.open();
                let path = format!("/tenants/{tenant}/pause-writes");
                shown(&screen, &client.post(&path, &json!({ "by": by }))?);
                Ok(())
            }
            Self::Resume { tenant, by, operator } => {
                let (client, screen) = operator.open();
                let path = format!("/tenants/{tenant}/resume-writes");
                resumed(&screen, &client.post(&path, &json!({ "by": by }))?);
                Ok(())
            }
            Self::Audit { tenant, paging, operator } => {
                let (client, screen) = operator.open();
                let path = format!("/tenants/{tenant}/audit");
                record::decided(&screen, &client.get(&path, &paging.query())?);
                Ok(())
            }
            Self::Move(relocate) => relocate.run(),
            Self::Explain(explain) => explain.run(),
            Self::Migrations(migrations) => migrations.run(),
            Self::Migration(migration) => migration.run(),
        }
    }
}

fn list(store: Option<StoreId>, paging: &Paging, operator: &Operator) -> Result<(), Failure> {
    let (client, screen) = operator.open();
    let mut query = paging.query();
    query.extend(store.map(|store| ("store_id", store.to_string())));
    let answer = client.get("/tenants", &query)?;
    if screen.prints_json(&answer) {
        return Ok(());
    }
    let tenants = items(&answer, "tenants");
    let row = |tenant: &Value| {
        vec![
            plain(&tenant["tenant_id"]),
            plain(&tenant["store_id"]),
            plain(&tenant["epoch"]),
            screen.word(&plain(&tenant["state"])),
            plain(&tenant["position"]),
        ]
    };
    let header = ["TENANT", "STORE", "EPOCH", "STATE", "POSITION"];
    screen.table(&header, tenants.iter().map(row).collect());
    screen.end_of_list(tenants.len(), &answer);
    Ok(())
}

fn resumed(screen: &Screen, answer: &Value) {
    shown(screen, answer);
    let pause = &answer["pause"];
    if !screen.is_json() && pause.is_object() {
        screen.facts(&[
            ("paused for", format!("{} ms", pause["duration_ms"])),
            ("writes that waited", plain(&pause["blocked_writers"])),
            ("longest wait", format!("{} ms", pause["longest_wait_ms"])),
        ]);
    }
}

fn shown(screen: &Screen, tenant: &Value) {
    if screen.prints_json(tenant) {
        return;
    }
    screen.facts(&[
        ("tenant", plain(&tenant["tenant_id"])),
        ("store", screen.bold(&plain(&tenant["store_id"]))),
        ("epoch", plain(&tenant["epoch"])),
        ("state", screen.word(&plain(&tenant["state"]))),
        ("position", plain(&tenant["position"])),
        ("digest", plain(&tenant["digest"])),
        ("migration", plain(&tenant["migration_id"])),
        ("placed", when(&tenant["placed_at"])),
        ("", plain(&tenant["explanation"])),
    ]);
}
