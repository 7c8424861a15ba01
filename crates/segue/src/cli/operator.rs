//! `segue store` and `segue tenant`: where tenants live. For operators.

use clap::Subcommand;
use segue_core::ids::{StoreId, TenantId};
use serde_json::{Value, json};

use super::client::Client;
use super::failure::Failure;
use super::screen::{Screen, items, plain, when};
use super::{Output, Paging};

/// How an operator reaches the server.
#[derive(Debug, clap::Args)]
pub struct Operator {
    /// The server
    #[arg(long, env = "SEGUE_URL", default_value = "http://127.0.0.1:8000")]
    url: String,
    #[command(flatten)]
    output: Output,
}

impl Operator {
    /// Opens nothing yet.
    pub fn open(&self) -> (Client, Screen) {
        (Client::of_operator(&self.url), self.output.screen())
    }
}

/// `segue store …`
#[derive(Debug, Subcommand)]
pub enum Store {
    /// List the event stores with their health
    List {
        #[command(flatten)]
        operator: Operator,
    },
}

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
