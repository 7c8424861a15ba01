//! A shop whose second version changes something for everybody: a world for forecasts.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use segue::clock::{Clock, ManualClock};
use segue::scenarios::{ForecastState, ForecastView, Scenarios, StartSession, TurnAnswer};
use segue::tenants::TenantStoreRouter;
use segue_core::config::Migration;
use segue_core::ids::{PlanId, ScenarioId, SessionId, TenantId, Version};
use segue_core::plan::policy::{AnchorMigrationPolicy, Policies};
use segue_core::session::turn::Input;
use segue_store::control::sqlite::Control;
use segue_store::events::{Head, MemoryEventStore};
use segue_store::faulty::{Fault, FaultyEventStore, Operation};
use serde_json::{Value, json};
use uuid::Uuid;

pub const TENANT: TenantId = TenantId(Uuid::from_u128(1));
pub const SCENARIO: ScenarioId = ScenarioId(Uuid::from_u128(2));

/// Welcome → checkout (or survey, or lounge) → payment (a checkpoint) → confirm → end. From version 2 on an age
/// check lies before the checkout, terms must be sent before the payment, and the survey is gone. Higher versions
/// are as the second, with another confirmation.
pub fn document(version: u64) -> Value {
    let is_new = version >= 2;
    let after_welcome = if is_new { "age" } else { "checkout" };
    let confirm =
        if version > 2 { format!("Confirm in version {version}") } else { "Confirm".into() };
    let mut welcome = vec![(after_welcome, ""), ("lounge", "product == 'nothing'")];
    let mut steps = Vec::new();
    if is_new {
        let ways = [("rejection", "age < 18"), ("checkout", "age >= 18")];
        steps.push(step("age", "Age", &["age"], &ways));
        steps.push(with(step("rejection", "Rejection", &[], &[]), &["is_terminal"]));
        let terms = step("terms", "Terms", &[], &[("payment", "")]);
        steps.push(with(terms, &["performs_action", "is_required_action"]));
    } else {
        welcome.push(("survey", "product == 'opinion'"));
        steps.push(step("survey", "Survey", &["rating"], &[("checkout", "")]));
    }
    let after_checkout = if is_new { "terms" } else { "payment" };
    let payment = step("payment", "Payment", &["card"], &[("confirm", "")]);
    steps.extend([
        step("welcome", "Welcome", &["product"], &welcome),
        step("lounge", "Lounge", &["patience"], &[(after_welcome, "")]),
        step("checkout", "Checkout", &["address"], &[(after_checkout, "")]),
        with(payment, &["is_checkpoint"]),
        step("confirm", &confirm, &["ok"], &[("end", "")]),
        with(step("end", "End", &[], &[]), &["is_terminal"]),
    ]);
    json!({"id": SCENARIO, "name": "Shop", "version": version,
           "entry_step_id": "welcome", "steps": steps})
}

fn step(id: &str, name: &str, collects: &[&str], to: &[(&str, &str)]) -> Value {
    let way = |(to, when): &(&str, &str)| {
        let priority = i32::from(when.starts_with("product"));
        json!({"to_step_id": to, "condition_text": when, "priority": priority})
    };
    let transitions: Vec<_> = to.iter().map(way).collect();
    json!({"id": id, "name": name, "collects_profile_fields": collects, "transitions": transitions})
}

fn with(mut step: Value, flags: &[&str]) -> Value {
    for flag in flags {
        step[flag] = json!(true);
    }
    step
}

pub struct World {
    pub segue: Scenarios,
    pub clock: Arc<ManualClock>,
    pub control: Arc<Control>,
    pub store: Arc<FaultyEventStore>,
    router: Arc<TenantStoreRouter>,
}

impl World {
    /// With the first version.
    pub async fn new() -> Self {
        Self::configured(Migration::default()).await
    }

    /// With the first version, and other settings.
    pub async fn configured(settings: Migration) -> Self {
        let clock = Arc::new(ManualClock::at("2026-11-27T10:00:00Z".parse().unwrap()));
        let control = Arc::new(Control::in_memory().unwrap());
        let store = Arc::new(FaultyEventStore::around(Arc::new(MemoryEventStore::new())));
        let world = Self::with_stores(clock, control, store, settings);
        let first = serde_json::from_value(document(1)).unwrap();
        world.segue.catalog.register(TENANT, first, "ops").await.unwrap();
        world
    }

    fn with_stores(
        clock: Arc<ManualClock>,
        control: Arc<Control>,
        store: Arc<FaultyEventStore>,
        settings: Migration,
    ) -> Self {
        let id = "shared".parse().unwrap();
        let router = Arc::new(TenantStoreRouter::new(control.clone(), id, store.clone()));
        let segue = Scenarios::new(control.clone(), router.clone(), clock.clone(), settings);
        Self { segue, clock, control, store, router }
    }

    /// Another process on the same stores.
    pub fn other_process(&self) -> Self {
        let (clock, control) = (self.clock.clone(), self.control.clone());
        Self::with_stores(clock, control, self.store.clone(), Migration::default())
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub async fn head(&self) -> Head {
        self.router.head(TENANT).await.unwrap().unwrap()
    }

    /// A session of a new customer that stands at a step; their age is in their profile.
    pub async fn at(&self, step: &str, channel: &str, age: Option<u64>) -> SessionId {
        let customer = Uuid::now_v7().to_string();
        self.at_for(step, channel, age, &customer).await
    }

    pub async fn at_for(
        &self,
        step: &str,
        channel: &str,
        age: Option<u64>,
        customer: &str,
    ) -> SessionId {
        let start = StartSession {
            scenario_id: SCENARIO,
            channel: channel.parse().unwrap(),
            customer_id: Some(customer.parse().unwrap()),
            variables: BTreeMap::new(),
            id: None,
        };
        let session = self.segue.sessions.start(TENANT, start).await.unwrap().session.id;
        let given = match step {
            "welcome" => json!({}),
            "lounge" => json!({"product": "nothing"}),
            "survey" => json!({"product": "opinion"}),
            "checkout" => json!({"product": "shoes"}),
            "payment" => json!({"product": "shoes", "address": "Elm Street"}),
            "confirm" => json!({"product": "shoes", "address": "Elm Street", "card": "4111"}),
            other => panic!("nobody stands at {other}"),
        };
        let answer = self.turn(session, json!({"fields": given})).await;
        assert_eq!(answer.session.session.step_id.as_str(), step);
        if let Some(age) = age {
            self.knows(customer, "age", json!(age)).await;
        }
        session
    }

    pub async fn knows(&self, customer: &str, field: &str, value: Value) {
        let fields = BTreeMap::from([(field.parse().unwrap(), value)]);
        let customer = customer.parse().unwrap();
        self.segue.sessions.patch_profile(TENANT, &customer, fields, "ops").await.unwrap();
    }

    pub async fn turn(&self, session: SessionId, input: Value) -> TurnAnswer {
        let input: Input = serde_json::from_value(input).unwrap();
        self.segue.sessions.take_turn(TENANT, session, input, None).await.unwrap()
    }

    /// A plan to version 2 that leaves customers at the checkout alone who write SMS, and lets the lounge keep its
    /// version.
    pub async fn plan(&self) -> PlanId {
        let plan = self.plan_to(2).await;
        self.with_policy(plan, "Checkout", json!({"scope_filter": {"exclude_channels": ["sms"]}}))
            .await;
        self.with_policy(plan, "Lounge", json!({"update_downstream": false})).await;
        plan
    }

    pub async fn plan_to(&self, version: u64) -> PlanId {
        self.plan_between(1, version).await
    }

    pub async fn plan_between(&self, from: u64, to: u64) -> PlanId {
        let new = serde_json::from_value(document(to)).unwrap();
        let from = Some(Version(from));
        let planner = &self.segue.planner;
        planner.generate_plan(TENANT, SCENARIO, new, None, from).await.unwrap().id
    }

    pub async fn with_policy(&self, plan: PlanId, anchor: &str, policy: Value) {
        let planner = &self.segue.planner;
        let read = planner.plan(TENANT, plan).await.unwrap();
        let key = &read.map.anchors().iter().find(|found| found.name == anchor).unwrap().key;
        let policy: AnchorMigrationPolicy = serde_json::from_value(policy).unwrap();
        let policies = Policies::from([(key.clone(), policy)]);
        planner.update_policies(TENANT, plan, policies, None).await.unwrap();
    }

    pub async fn keep_at_checkout(&self, plan: PlanId) {
        self.with_policy(plan, "Checkout", json!({"update_downstream": false})).await;
    }

    pub async fn defines_age(&self) {
        let age = json!({"name": "age", "value_type": "integer"});
        let age = serde_json::from_value(age).unwrap();
        self.segue.catalog.put_field(TENANT, &age, "ops").await.unwrap();
    }

    pub async fn approve_and_deploy(&self, plan: PlanId) {
        let approved = self.segue.planner.approve_plan(TENANT, plan, None).await;
        approved.unwrap();
        self.segue.deployer.deploy(TENANT, plan, None).await.unwrap();
    }

    /// Has a forecast computed, and answers with it once it is over.
    pub async fn forecast(&self, plan: PlanId) -> ForecastView {
        self.segue.forecaster.begin(TENANT, plan).await.unwrap();
        self.over(plan).await
    }

    pub async fn over(&self, plan: PlanId) -> ForecastView {
        for _ in 0..3_000 {
            let view = self.shown(plan).await;
            if view.state != ForecastState::Running {
                return view;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the forecast does not end");
    }

    pub async fn shown(&self, plan: PlanId) -> ForecastView {
        self.segue.forecaster.forecast(TENANT, plan).await.unwrap()
    }

    /// Waits until sessions were listed.
    pub async fn until_listed(&self) {
        while self.store.calls(Operation::List) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Fails so many of the lists that follow.
    pub fn fails_to_list(&self, times: u64) {
        let so_far = self.store.calls(Operation::List);
        for nth in 1..=times {
            self.store.inject(Operation::List, so_far + nth, Fault::Before);
        }
    }
}
