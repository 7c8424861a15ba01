//! `segue demo`: the main job on real input in one command.
//!
//! It runs a server with its own data, drives it through the HTTP API like anybody else, and tells what
//! happens: an order flow with 142 customers on their way, a second version with an age check and a
//! payment, a plan, its review and deploy, customers who return, and at last the move of all of them to
//! another store while they are still talking. Nothing is faked: every line that is printed comes from an
//! answer of the server.

mod flow;
mod talk;

use std::net::SocketAddr;
use std::ops::ControlFlow;
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
use super::serve::{bind, leave, open, runtime};
use super::tenant::cutover::{cut_over, is_decided};
use super::tenant::watch::{View, follow};
use talk::Talk;

use crate::config::{Config, Database, Store};
use crate::{http, telemetry};

/// The store that the tenant moves to.
const OWN_STORE: &str = "own";

/// How long the end of the demo waits for what is under way.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long customers talk on after the tenant has moved.
const A_LITTLE_MORE: Duration = Duration::from_millis(200);

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
        let temporary = TempDir::new().map_err(|error| Failure::Other(error.to_string()))?;
        let data = self.data.unwrap_or_else(|| temporary.path().to_owned());
        let mut config = Config::load(None, Some(self.listen))?;
        let _traces = match std::env::var_os(telemetry::LOG_VARIABLE) {
            Some(_) => telemetry::init(&config.telemetry).map_err(Failure::Other)?,
            None => None,
        };
        config.control.url = Database::Sqlite(data.join("control.db"));
        let shared = StoreId::new("shared").expect("a word is a store id");
        let own = StoreId::new(OWN_STORE).expect("a word is a store id");
        config.stores.default = shared.clone();
        config.stores.by_id = [
            (shared, Store::Sqlite { path: data.join("shared.db") }),
            (own, Store::Sqlite { path: data.join("own.db") }),
        ]
        .into();

        let runtime = runtime(&config)?;
        let listener = runtime.block_on(bind(config.server.listen))?;
        let address = listener.local_addr().map_err(|error| Failure::Other(error.to_string()))?;
        let app = runtime.block_on(open(&config))?;
        let moves = app.opened.moves.clone();
        runtime.block_on(async { moves.attend() });
        let told = Arc::new(Notify::new());
        let (stay, end) = (!self.once, told.clone());
        let stop = async move {
            end.notified().await;
            if stay {
                http::asked_to_stop().await;
            }
        };
        let serving = runtime.spawn(http::serve(listener, app, stop, PATIENCE));
        let (url, tenant) = (format!("http://{address}"), TenantId(uuid::Uuid::now_v7()));
        let client = Client::new(&url, tenant);
        let story = Story { client, url, tenant, screen: Screen::new(false) };
        let outcome = story.tell(address, stay);
        if outcome.is_err() && stay {
            return outcome;
        }
        told.notify_one();
        let served =
            runtime.block_on(serving).map_err(|error| Failure::Other(error.to_string()))?;
        runtime.block_on(leave(&moves, PATIENCE));
        served.map_err(|error| Failure::Other(error.to_string()))?;
        outcome
    }
}

/// Who tells it, to whom.
struct Story {
    client: Client,
    url: String,
    tenant: TenantId,
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
        let migration = self.the_move(&scenario)?;
        if stays {
            self.hints(address, &scenario, &plan, &migration);
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
            let session = self.session_of(scenario, returning.customer)?;
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

    fn session_of(&self, scenario: &str, customer: &str) -> Result<Value, Failure> {
        let query = [("scenario_id", scenario.to_owned()), ("customer_id", customer.to_owned())];
        let found = self.client.get("/sessions", &query)?;
        let session = items(&found, "sessions").first().cloned();
        session.ok_or_else(|| Failure::Other(format!("{customer} has no session")))
    }

    /// All of it moves to another store, and four customers talk on.
    fn the_move(&self, scenario: &str) -> Result<String, Failure> {
        self.chapter("6. The tenant moves to a store of its own, and its customers keep talking");
        let sessions = flow::TALKING
            .iter()
            .map(|customer| Ok(plain(&self.session_of(scenario, customer)?["id"])));
        let sessions = sessions.collect::<Result<Vec<_>, Failure>>()?;
        let talk = Talk::begin(&self.url, self.tenant, sessions);
        let body = json!({ "target_store_id": OWN_STORE, "started_by": "olga@example.com" });
        let begun = self.client.post(&format!("/tenants/{}/migrations", self.tenant), &body)?;
        let id = plain(&begun["id"]);
        let mut view = View::on(&self.screen);
        let following = follow(&self.client, &id, |migration| {
            view.see(migration);
            let is_over = migration["state"] == "dual_write" || is_decided(migration);
            if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        view.clear();
        let by = Some("olga@example.com");
        let moved = cut_over(&self.client, &self.screen, &following?, false, by)?;
        std::thread::sleep(A_LITTLE_MORE);
        let turns = talk.end()?;
        let verify = json!({ "level": "FULL", "by": "olga@example.com" });
        let report = self.client.post(&format!("/tenant-migrations/{id}/verify"), &verify)?;
        let tenant = self.client.get(&format!("/tenants/{}", self.tenant), &[])?;
        let milliseconds = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
        let pause = moved["cutover"]["pause_ms"].as_f64().unwrap_or_default() / 1e3;
        self.screen.facts(&[
            ("turns answered meanwhile", format!("{}, none failed", turns.answered)),
            ("the longest of them took", milliseconds(turns.longest)),
            ("writes were paused for", milliseconds(Duration::from_secs_f64(pause))),
            ("both stores, field by field", differences(&report)),
            ("the tenant lives in", self.screen.bold(&plain(&tenant["store_id"]))),
        ]);
        Ok(id)
    }

    fn hints(&self, address: SocketAddr, scenario: &str, plan: &Value, migration: &str) {
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
        self.screen.line(format!("  SEGUE_URL={base} segue tenant explain {tenant}"));
        self.screen.line(format!("  SEGUE_URL={base} segue tenant migration reverse {migration}"));
    }
}

/// What a verification of both stores found.
fn differences(report: &Value) -> String {
    let compared = format!(
        "{} events and {} streams compared",
        plain(&report["position"]),
        plain(&report["streams_compared"])
    );
    match report["is_consistent"] == true {
        true => format!("the same; {compared}"),
        false => format!("{} differences; {compared}", plain(&report["violations_total"])),
    }
}
