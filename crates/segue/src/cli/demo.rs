//! `segue demo`: the main job on real input in one command.
//!
//! It runs a server with its own data, drives it through the HTTP API like anybody else, and tells what
//! happens: an order flow with 142 customers on their way, a second version with an age check and a
//! payment, a plan, its review and deploy, and customers who return. Nothing is faked: every line that is
//! printed comes from an answer of the server.

mod flow;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use segue_core::ids::{StoreId, TenantId};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::client::Client;
use super::failure::Failure;
use super::screen::{Screen, items, plain};
use super::serve::{bind, open, runtime};
use crate::config::{Config, Database, Store};
use crate::{http, telemetry};

/// `segue demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Keep the data in this directory; by default it is temporary
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The address and port to listen on; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Stop when the story is told, instead of staying up to be looked at
    #[arg(long, visible_alias = "exit")]
    once: bool,
}

impl Demo {
    /// Tells the story.
    pub fn run(self) -> Result<(), Failure> {
        if std::env::var_os(telemetry::LOG_VARIABLE).is_some() {
            telemetry::init_log().map_err(Failure::Other)?;
        }
        let temporary = TempDir::new().map_err(|error| Failure::Other(error.to_string()))?;
        let data = self.data.unwrap_or_else(|| temporary.path().to_owned());
        let mut config = Config::load(None, Some(self.listen))?;
        config.control.url = Database::Sqlite(data.join("control.db"));
        let shared = StoreId::new("shared").expect("a word is a store id");
        config.stores.default = shared.clone();
        config.stores.by_id = [(shared, Store::Sqlite { path: data.join("shared.db") })].into();

        let runtime = runtime(&config)?;
        let listener = runtime.block_on(bind(config.server.listen))?;
        let address = listener.local_addr().map_err(|error| Failure::Other(error.to_string()))?;
        let app = runtime.block_on(open(&config))?;
        let told = Arc::new(Notify::new());
        let (stay, end) = (!self.once, told.clone());
        let stop = async move {
            end.notified().await;
            if stay {
                http::asked_to_stop().await;
            }
        };
        let serving = runtime.spawn(http::serve(listener, app, stop, Duration::from_secs(10)));
        let story = Story {
            client: Client::new(&format!("http://{address}"), TenantId(uuid::Uuid::now_v7())),
            screen: Screen::new(false),
        };
        let outcome = story.tell(address, stay);
        if outcome.is_err() && stay {
            return outcome;
        }
        told.notify_one();
        let served =
            runtime.block_on(serving).map_err(|error| Failure::Other(error.to_string()))?;
        served.map_err(|error| Failure::Other(error.to_string()))?;
        outcome
    }
}

/// Who tells it, to whom.
struct Story {
    client: Client,
    screen: Screen,
}

impl Story {
    fn tell(&self, address: SocketAddr, stays: bool) -> Result<(), Failure> {
        self.screen.line(format!(
            "Segue listens on http://{address}; this tenant is {}",
            self.client.tenant()
        ));
        let scenario = self.customers_on_their_way()?;
        let plan = self.a_new_version(&scenario)?;
        self.the_review(&plan)?;
        self.customers_return(&scenario)?;
        self.what_came_of_it(&scenario, &plan)?;
        if stays {
            self.hints(address, &scenario, &plan);
        }
        Ok(())
    }

    fn chapter(&self, title: &str) {
        self.screen.line(format!("\n{}", self.screen.bold(title)));
    }

    /// 142 customers of an order flow, at different steps, on several channels.
    fn customers_on_their_way(&self) -> Result<String, Failure> {
        self.chapter("1. An order flow, and 142 customers on their way");
        for (name, definition) in flow::fields() {
            self.client.put(&format!("/fields/{name}"), &definition)?;
        }
        let scenario = self.client.post("/scenarios", &flow::first())?;
        let id = plain(&scenario["id"]);
        for customer in flow::customers() {
            self.client.patch(
                &format!("/customers/{}/profile", customer.name),
                &json!({ "fields": customer.profile }),
            )?;
            let start = json!({ "scenario_id": id, "channel": customer.channel, "customer_id": customer.name });
            let session = plain(&self.client.post("/sessions", &start)?["id"]);
            for turn in &customer.turns {
                self.client.post(&format!("/sessions/{session}/turns"), turn)?;
            }
        }
        let now = self.client.get(&format!("/scenarios/{id}"), &[])?;
        let rows = now["sessions_by_step"].as_object().into_iter().flatten();
        let rows = rows.map(|(step, sessions)| vec![step.clone(), sessions.to_string()]);
        self.screen.table(&["STEP", "CUSTOMERS"], rows.collect());
        Ok(id)
    }

    fn a_new_version(&self, scenario: &str) -> Result<Value, Failure> {
        self.chapter("2. Version 2: an age check with a new fork, and a payment after the deposit");
        let body = json!({ "new_scenario": flow::second(), "created_by": "olga@example.com" });
        let plan = self.client.post(&format!("/scenarios/{scenario}/migration-plan"), &body)?;
        super::plan::overview(&self.screen, &plan);
        Ok(plan)
    }

    fn the_review(&self, plan: &Value) -> Result<(), Failure> {
        let id = plain(&plan["id"]);
        self.chapter("3. Review: customers on sms are left alone; then approve and deploy");
        let policies = items(&plan["transformation_map"], "anchors").iter().map(|anchor| {
            let policy = json!({ "scope_filter": { "exclude_channels": ["sms"] } });
            (plain(&anchor["anchor_key"]), policy)
        });
        let policies: serde_json::Map<String, Value> = policies.collect();
        let body = json!({ "policies": policies, "updated_by": "olga@example.com" });
        self.client.put(&format!("/migration-plans/{id}/policies"), &body)?;
        let approve = json!({ "approved_by": "omar@example.com" });
        self.client.post(&format!("/migration-plans/{id}/approve"), &approve)?;
        let deployed = self.client.post(&format!("/migration-plans/{id}/deploy"), &Value::Null)?;
        self.screen.line(format!(
            "{} sessions are marked and not one was touched: each migrates at its customer's next message",
            self.screen.bold(&plain(&deployed["sessions_marked"]))
        ));
        Ok(())
    }

    fn customers_return(&self, scenario: &str) -> Result<(), Failure> {
        self.chapter("4. Customers return");
        for returning in flow::returning() {
            let query = [
                ("scenario_id", scenario.to_owned()),
                ("customer_id", returning.customer.to_owned()),
            ];
            let found = self.client.get("/sessions", &query)?;
            let session = &items(&found, "sessions")[0];
            self.screen.line(format!(
                "\n{}, at {}: {}",
                self.screen.bold(returning.customer),
                plain(&session["step_id"]),
                returning.situation
            ));
            for turn in &returning.turns {
                let path = format!("/sessions/{}/turns", plain(&session["id"]));
                let answer = self.client.post(&path, turn)?;
                self.screen.line(self.screen.dim(&format!("  → {turn}")));
                self.happened(&answer);
            }
        }
        Ok(())
    }

    /// What one turn answered.
    fn happened(&self, answer: &Value) {
        let reconciliation = &answer["reconciliation"];
        let action = self.screen.word(&plain(&reconciliation["action"]));
        let step = plain(&answer["session"]["step_id"]);
        let version = plain(&answer["session"]["version"]);
        self.screen.line(format!("  {action}: now at {step}, version {version}"));
        let confirm = items(reconciliation, "confirm").iter();
        let confirm = confirm
            .map(|found| format!("{} = {}?", plain(&found["field"]), plain(&found["value"])));
        for (label, text) in [
            ("why", plain(&reconciliation["reason"])),
            ("warning", plain(&reconciliation["checkpoint_warning"])),
            ("to confirm", confirm.collect::<Vec<_>>().join(", ")),
            ("to the customer", plain(&reconciliation["user_message"])),
            ("to ask", plain(&answer["prompt"])),
        ] {
            if !text.is_empty() {
                self.screen.line(format!("    {} {text}", self.screen.dim(label)));
            }
        }
    }

    fn what_came_of_it(&self, scenario: &str, plan: &Value) -> Result<(), Failure> {
        self.chapter("5. What came of it so far");
        let path = format!("/migration-plans/{}/deployment-status", plain(&plan["id"]));
        let status = self.client.get(&path, &[])?;
        self.screen.facts(&[
            ("marked", plain(&status["sessions_marked"])),
            ("applied", plain(&status["migrations_applied"])),
            ("by scenario", plain(&status["migrations_by_scenario"])),
            ("pending", plain(&status["migrations_pending"])),
            ("blocked", plain(&status["checkpoint_blocks"])),
        ]);
        let now = self.client.get(&format!("/scenarios/{scenario}"), &[])?;
        self.screen.line(format!("sessions by version: {}", plain(&now["sessions_by_version"])));
        Ok(())
    }

    fn hints(&self, address: SocketAddr, scenario: &str, plan: &Value) {
        let tenant = self.client.tenant();
        let (base, plan) = (format!("http://{address}"), plain(&plan["id"]));
        self.chapter("The server stays up; stop it with Ctrl-C. Look around:");
        self.screen.line(format!("  {base}/docs"));
        for path in [
            format!("scenarios/{scenario}"),
            format!("migration-plans/{plan}/summary"),
            format!("migration-plans/{plan}/applications"),
            "sessions?pending=true&limit=3".to_owned(),
        ] {
            self.screen.line(format!("  curl -H 'X-Tenant-ID: {tenant}' '{base}/api/v1/{path}'"));
        }
        self.screen
            .line(format!("  SEGUE_URL={base} SEGUE_TENANT={tenant} segue session list --pending"));
    }
}
