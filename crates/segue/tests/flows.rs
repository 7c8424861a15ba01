//! Scenario migration through the library: what operators and customers see, on the embedded stores and a
//! clock that stands still.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod orders;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use segue::Error;
use segue::clock::ManualClock;
use segue::scenarios::{Scenarios, SessionFilter, SessionView, StartSession, TurnAnswer};
use segue::tenants::TenantStoreRouter;
use segue_core::config::Migration;
use segue_core::ids::{
    CustomerId, Epoch, PlanId, ScenarioId, SessionId, StreamVersion, TenantId, Version,
};
use segue_core::plan::policy::{AnchorMigrationPolicy, MigrationScenario, Policies};
use segue_core::reconcile::Action;
use segue_core::scenario::Scenario;
use segue_core::session::Status;
use segue_core::session::turn::Input;
use segue_store::control::By;
use segue_store::control::routing::Routing;
use segue_store::control::sqlite::Control;
use segue_store::events::{Direction, MemoryEventStore, StreamRead};
use serde_json::{Value, json};
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const SCENARIO: ScenarioId = ScenarioId(orders::ID);

struct World {
    segue: Scenarios,
    clock: Arc<ManualClock>,
    control: Arc<Control>,
    router: Arc<TenantStoreRouter>,
}

impl World {
    async fn with_orders() -> Self {
        Self::configured(Migration::default()).await
    }

    async fn configured(config: Migration) -> Self {
        let clock = Arc::new(ManualClock::at("2026-11-20T10:00:00Z".parse().unwrap()));
        let control = Arc::new(Control::in_memory().unwrap());
        let store = Arc::new(MemoryEventStore::new());
        let router = TenantStoreRouter::new(control.clone(), "shared".parse().unwrap(), store);
        let router = Arc::new(router);
        let segue = Scenarios::new(control.clone(), router.clone(), clock.clone(), config);
        segue.catalog.register(TENANT, orders(1), "ops").await.unwrap();
        Self { segue, clock, control, router }
    }

    async fn start(&self, channel: &str, customer: Option<&str>) -> SessionId {
        let start = StartSession {
            scenario_id: SCENARIO,
            channel: channel.parse().unwrap(),
            customer_id: customer.map(|id| id.parse().unwrap()),
            variables: BTreeMap::new(),
            id: None,
        };
        self.segue.sessions.start(TENANT, start).await.unwrap().session.id
    }

    async fn turn(&self, session: SessionId, input: Value) -> TurnAnswer {
        self.try_turn(session, input, None).await.unwrap()
    }

    async fn try_turn(
        &self,
        session: SessionId,
        input: Value,
        key: Option<&str>,
    ) -> segue::Result<TurnAnswer> {
        let input: Input = serde_json::from_value(input).unwrap();
        let key = key.map(str::to_owned);
        self.segue.sessions.take_turn(TENANT, session, input, key).await
    }

    /// A session that chose a product and stands at the checkout.
    async fn at_checkout(&self, channel: &str, customer: Option<&str>) -> SessionId {
        let session = self.start(channel, customer).await;
        let answer = self.turn(session, json!({"fields": {"product": "shoes"}})).await;
        assert_eq!(answer.session.session.step_id.as_str(), "checkout");
        session
    }

    async fn get(&self, session: SessionId) -> SessionView {
        self.segue.sessions.get(TENANT, session).await.unwrap()
    }

    async fn plan(&self, version: u64, policies: Policies) -> PlanId {
        let planner = &self.segue.planner;
        let plan =
            planner.generate_plan(TENANT, SCENARIO, orders(version), None, None).await.unwrap();
        if !policies.is_empty() {
            planner.update_policies(TENANT, plan.id, policies, None).await.unwrap();
        }
        planner.approve_plan(TENANT, plan.id, Some("ann".to_owned())).await.unwrap();
        plan.id
    }

    /// Deploys a plan that leaves version `from` with this policy at the checkout; answers how many
    /// sessions it marks.
    async fn deploy_from(&self, from: u64, to: u64, at_checkout: Value) -> (PlanId, u64) {
        let planner = &self.segue.planner;
        let from = Some(Version(from));
        let plan = planner.generate_plan(TENANT, SCENARIO, orders(to), None, from).await.unwrap();
        let checkout = plan.map.anchors().iter().find(|anchor| anchor.name == "Checkout").unwrap();
        let policy: AnchorMigrationPolicy = serde_json::from_value(at_checkout).unwrap();
        let policies = Policies::from([(checkout.key.clone(), policy)]);
        planner.update_policies(TENANT, plan.id, policies, None).await.unwrap();
        planner.approve_plan(TENANT, plan.id, None).await.unwrap();
        let deployed = self.segue.deployer.deploy(TENANT, plan.id, None).await.unwrap();
        (plan.id, deployed.sessions_marked)
    }

    /// How many sessions the status of a plan says are still to come.
    async fn still_to_come(&self, plan: PlanId) -> u64 {
        let status = self.segue.deployer.get_deployment_status(TENANT, plan).await.unwrap();
        status.migrations_pending
    }

    /// The sessions that are listed with a pending migration, or without one.
    async fn listed(&self, pending: bool) -> Vec<SessionId> {
        let filter = SessionFilter { pending: Some(pending), ..SessionFilter::default() };
        let page = self.segue.sessions.list(TENANT, filter, 100, None).await.unwrap();
        assert_eq!(page.total, page.sessions.len() as u64);
        page.sessions.iter().map(|view| view.session.id).collect()
    }

    async fn deploy(&self, version: u64) -> PlanId {
        let plan = self.plan(version, Policies::new()).await;
        self.segue.deployer.deploy(TENANT, plan, None).await.unwrap();
        plan
    }
}

fn orders(version: u64) -> Scenario {
    serde_json::from_value(orders::document(version)).unwrap()
}

#[tokio::test]
async fn an_unchanged_session_goes_on_by_its_own_rules_until_it_ends() {
    let world = World::with_orders().await;
    let session = world.start("web", None).await;
    let answer = world.turn(session, json!({"message": {"text": "Hello"}})).await;
    assert_eq!(answer.answer.reconciliation.action, Action::Continue);
    assert_eq!(answer.answer.step.collect_fields, ["product".parse().unwrap()]);
    let all = json!({"fields": {"product": "hat", "address": "Rue 1", "card": "4", "ok": "yes"}});
    let answer = world.turn(session, all).await;
    assert_eq!(answer.session.session.step_id.as_str(), "confirm");
}

#[tokio::test]
async fn a_deploy_marks_every_session_and_each_migrates_at_its_next_turn() {
    let world = World::with_orders().await;
    let adult = world.at_checkout("whatsapp", None).await;
    let minor = world.at_checkout("web", None).await;
    let asked = world.at_checkout("web", None).await;
    let welcome = world.start("web", None).await;

    let plan = world.plan(2, Policies::new()).await;
    let before = world.get(adult).await;
    let deployed = world.segue.deployer.deploy(TENANT, plan, None).await.unwrap();
    assert_eq!(deployed.sessions_marked, 4);
    assert_eq!(deployed.sessions_by_anchor.values().copied().collect::<Vec<_>>().len(), 2);
    let after = world.get(adult).await;
    assert_eq!(after.session, before.session, "the deploy touches no session");
    assert_eq!(after.pending_migration.unwrap().target_version, Version(2));

    let answer = world.turn(adult, json!({"fields": {"age": 30}})).await;
    assert_eq!(answer.answer.reconciliation.action, Action::Teleport);
    assert_eq!(answer.session.session.version, Version(2));
    assert_eq!(answer.session.session.step_id.as_str(), "checkout");

    let answer = world.turn(minor, json!({"fields": {"age": 17}})).await;
    assert_eq!(answer.session.session.step_id.as_str(), "rejection");
    assert_eq!(answer.answer.reconciliation.migration_scenario, Some(MigrationScenario::ReRoute));

    let answer = world.turn(asked, json!({"message": {"text": "And my order?"}})).await;
    assert_eq!(answer.answer.reconciliation.action, Action::Collect);
    assert_eq!(answer.answer.reconciliation.collect_fields, ["age".parse().unwrap()]);
    assert_eq!(answer.session.session.version, Version(1), "it waits on its own version");

    let answer = world.turn(welcome, json!({})).await;
    assert_eq!(
        answer.answer.reconciliation.migration_scenario,
        Some(MigrationScenario::CleanGraft)
    );

    let status = world.segue.deployer.get_deployment_status(TENANT, plan).await.unwrap();
    assert_eq!(status.sessions_marked, 4);
    assert_eq!(status.migrations_applied, 3);
    assert_eq!(status.migrations_pending, 1);
    assert_eq!(status.migrations_by_scenario[&MigrationScenario::CleanGraft], 1);
    assert_eq!(status.migrations_by_scenario[&MigrationScenario::ReRoute], 1);
    assert!(status.last_migration_at.is_some());
    let applications = world.segue.deployer.applications(TENANT, plan, 10).await.unwrap();
    let sessions: Vec<_> = applications.iter().map(|applied| applied.session_id).collect();
    assert_eq!(sessions, [welcome, minor, adult], "newest first");
}

#[tokio::test]
async fn a_paid_customer_is_not_sent_back_and_the_block_lasts() {
    let world = World::with_orders().await;
    let paid = world.at_checkout("web", None).await;
    world.turn(paid, json!({"fields": {"address": "Rue 1", "card": "4", "age": 17}})).await;
    let plan = world.deploy(2).await;
    let answer = world.turn(paid, json!({})).await;
    let reconciliation = &answer.answer.reconciliation;
    assert!(reconciliation.blocked_by_checkpoint, "{reconciliation:?}");
    assert_eq!(answer.session.session.version, Version(1));
    assert_eq!(answer.session.pending_migration, None, "the same plan does not try again");
    let answer = world.turn(paid, json!({})).await;
    assert_eq!(answer.answer.reconciliation.action, Action::Continue);
    assert!(!answer.answer.reconciliation.blocked_by_checkpoint);

    let status = world.segue.deployer.get_deployment_status(TENANT, plan).await.unwrap();
    assert_eq!((status.checkpoint_blocks, status.migrations_pending), (1, 0));
    assert_eq!(status.last_migration_at, None, "nobody has moved");
    assert_eq!(status.migrations_applied, 0);
    let pending = SessionFilter { pending: Some(true), ..SessionFilter::default() };
    let page = world.segue.sessions.list(TENANT, pending, 10, None).await.unwrap();
    assert_eq!(page.total, 0);
}

#[tokio::test]
async fn a_plan_warns_of_paid_customers_before_it_is_approved() {
    let world = World::with_orders().await;
    for _ in 0..3 {
        let paid = world.at_checkout("web", None).await;
        world.turn(paid, json!({"fields": {"address": "Rue 1", "card": "4"}})).await;
    }
    let planner = &world.segue.planner;
    let plan = planner.generate_plan(TENANT, SCENARIO, orders(2), None, None).await.unwrap();
    let warning = plan
        .summary
        .warnings
        .iter()
        .find(|warning| warning.message.contains("Payment"))
        .unwrap_or_else(|| panic!("{:#?}", plan.summary.warnings));
    assert_eq!(warning.affected_sessions_estimate, 3);
}

#[tokio::test]
async fn sessions_out_of_scope_stay_undisturbed_and_are_not_counted() {
    let world = World::with_orders().await;
    let on_web = world.at_checkout("web", None).await;
    let on_whatsapp = world.at_checkout("whatsapp", None).await;
    world.clock.advance(SignedDuration::from_hours(24 * 40));
    let young = world.at_checkout("whatsapp", None).await;

    let planner = &world.segue.planner;
    let plan = planner.generate_plan(TENANT, SCENARIO, orders(2), None, None).await.unwrap();
    let checkout = plan.map.anchors().iter().find(|anchor| anchor.name == "Checkout").unwrap();
    let policy = json!({"scope_filter": {"include_channels": ["whatsapp"],
                                         "max_session_age_days": 30}});
    let policy: AnchorMigrationPolicy = serde_json::from_value(policy).unwrap();
    let policies = Policies::from([(checkout.key.clone(), policy)]);
    planner.update_policies(TENANT, plan.id, policies, None).await.unwrap();
    planner.approve_plan(TENANT, plan.id, None).await.unwrap();
    let deployed = world.segue.deployer.deploy(TENANT, plan.id, None).await.unwrap();
    assert_eq!(deployed.sessions_marked, 1, "{deployed:?}");

    for outside in [on_web, on_whatsapp] {
        let answer = world.turn(outside, json!({"fields": {"address": "Rue 2"}})).await;
        assert_eq!(answer.answer.reconciliation.action, Action::Continue);
        assert_eq!(answer.session.session.version, Version(1));
        assert_eq!(answer.session.session.step_id.as_str(), "payment", "it goes on there");
    }
    let pending = SessionFilter { pending: Some(true), ..SessionFilter::default() };
    let page = world.segue.sessions.list(TENANT, pending, 10, None).await.unwrap();
    let listed: Vec<_> = page.sessions.iter().map(|view| view.session.id).collect();
    assert!(listed.contains(&young), "{listed:?}");
    for view in &page.sessions {
        assert!(view.pending_migration.is_some(), "the list and the mark agree");
    }
    let not_pending = SessionFilter { pending: Some(false), ..SessionFilter::default() };
    let rest = world.segue.sessions.list(TENANT, not_pending, 10, None).await.unwrap();
    assert_eq!(page.total + rest.total, 3);
    for view in &rest.sessions {
        assert!(view.pending_migration.is_none(), "the list and the mark agree");
    }
}

#[tokio::test]
async fn a_session_dormant_over_several_versions_is_asked_only_for_what_the_last_one_wants() {
    let world = World::with_orders().await;
    let dormant = world.at_checkout("web", None).await;
    let plans = [world.deploy(2).await, world.deploy(3).await, world.deploy(4).await];
    world.clock.advance(SignedDuration::from_hours(24 * 90));
    let removed = world.segue.deployer.tidy().await.unwrap();
    assert!(removed.plans > 0, "plans past their retention are removed");
    assert_eq!(removed.versions, 0, "what the dormant session may need stays");

    let answer = world.turn(dormant, json!({"fields": {"age": 40, "country": "FR"}})).await;
    let session = &answer.session.session;
    assert_eq!(session.version, Version(4), "{:?}", answer.answer.reconciliation);
    assert_eq!(session.step_id.as_str(), "checkout");
    for plan in &plans[..] {
        let applications = world.segue.deployer.applications(TENANT, *plan, 10).await.unwrap();
        assert_eq!(applications.len(), 1, "each plan of the chain counts it");
    }
}

#[tokio::test]
async fn a_withdrawn_plan_no_longer_applies_and_new_sessions_walk_the_old_version() {
    let world = World::with_orders().await;
    let session = world.at_checkout("web", None).await;
    let plan = world.deploy(2).await;
    world.segue.deployer.withdraw(TENANT, plan, Some("ann".to_owned())).await.unwrap();
    assert_eq!(world.get(session).await.pending_migration, None);
    let answer = world.turn(session, json!({"fields": {"address": "Rue 1"}})).await;
    assert_eq!(answer.session.session.version, Version(1));
    let fresh = world.start("web", None).await;
    assert_eq!(world.get(fresh).await.session.version, Version(1));
    let again = world.segue.deployer.withdraw(TENANT, plan, None).await;
    assert!(matches!(again, Err(Error::PlanStatus { status: "withdrawn", .. })), "{again:?}");
}

#[tokio::test]
async fn an_unapproved_plan_is_not_deployed_and_two_open_plans_exclude_each_other() {
    let world = World::with_orders().await;
    let planner = &world.segue.planner;
    let plan = planner.generate_plan(TENANT, SCENARIO, orders(2), None, None).await.unwrap();
    let second = planner.generate_plan(TENANT, SCENARIO, orders(2), None, None).await;
    assert!(matches!(second, Err(Error::PlanExists { .. })), "{second:?}");
    let early = world.segue.deployer.deploy(TENANT, plan.id, None).await;
    assert!(matches!(early, Err(Error::PlanStatus { status: "pending", .. })), "{early:?}");
    planner.reject_plan(TENANT, plan.id, None, Some("not yet".to_owned())).await.unwrap();
    planner.generate_plan(TENANT, SCENARIO, orders(2), None, None).await.unwrap();
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_whatever_came_after() {
    let world = World::with_orders().await;
    let session = world.start("web", None).await;
    let first = json!({"fields": {"product": "hat"}});
    let answer = world.try_turn(session, first.clone(), Some("k1")).await.unwrap();
    world.turn(session, json!({"fields": {"address": "Rue 1"}})).await;
    let again = world.try_turn(session, first.clone(), Some("k1")).await.unwrap();
    assert_eq!(again.answer, answer.answer);
    assert_eq!(again.session.session, answer.session.session);
    assert_eq!(world.get(session).await.session.turn_count, 2, "no third turn was taken");

    world.clock.advance(SignedDuration::from_secs(1));
    world.deploy(2).await;
    let again = world.try_turn(session, first.clone(), Some("k1")).await.unwrap();
    assert_eq!(again, answer, "nothing was pending then");
    let over = json!({"fields": {"product": "hat", "age": 17}});
    let minor = world.start("web", None).await;
    let last = world.try_turn(minor, over.clone(), Some("k2")).await.unwrap();
    assert_eq!(last.session.session.status, Status::Finished);
    let again = world.try_turn(minor, over, Some("k2")).await.unwrap();
    assert_eq!(again, last, "also after the end");
    let other = world.try_turn(session, json!({}), Some("k1")).await;
    assert!(matches!(other, Err(Error::IdempotencyKeyReused { .. })), "{other:?}");
}

#[tokio::test]
async fn what_one_session_learns_another_of_the_same_customer_need_not_ask() {
    let world = World::with_orders().await;
    let first = world.start("web", Some("ann")).await;
    world.turn(first, json!({"fields": {"age": 30}})).await;
    let second = world.at_checkout("whatsapp", Some("ann")).await;
    world.deploy(2).await;
    let answer = world.turn(second, json!({})).await;
    assert_eq!(answer.answer.reconciliation.action, Action::Teleport);
    assert_eq!(answer.session.session.version, Version(2));
    let customer: CustomerId = "ann".parse().unwrap();
    let profile = world.segue.sessions.profile(TENANT, &customer).await.unwrap();
    assert_eq!(profile.fields["age"].value, 30);
}

#[tokio::test]
async fn another_tenants_things_are_not_found() {
    let world = World::with_orders().await;
    let session = world.start("web", None).await;
    let stranger = TenantId(Uuid::from_u128(99));
    let read = world.segue.sessions.get(stranger, session).await;
    assert!(matches!(read, Err(Error::NotFound { .. })), "{read:?}");
    let plan = world.plan(2, Policies::new()).await;
    let read = world.segue.planner.plan(stranger, plan).await;
    assert!(matches!(read, Err(Error::NotFound { .. })), "{read:?}");
    let deploy = world.segue.deployer.deploy(stranger, plan, None).await;
    assert!(matches!(deploy, Err(Error::NotFound { .. })), "{deploy:?}");
}

#[tokio::test]
async fn without_marking_a_deploy_concerns_only_new_sessions() {
    let mut config = Migration::default();
    config.deployment.auto_mark_sessions = false;
    let world = World::configured(config).await;
    let old = world.at_checkout("web", None).await;
    let plan = world.plan(2, Policies::new()).await;
    let deployed = world.segue.deployer.deploy(TENANT, plan, None).await.unwrap();
    assert_eq!(deployed.sessions_marked, 0);
    let answer = world.turn(old, json!({})).await;
    assert_eq!(answer.session.session.version, Version(1));
    let new = world.start("web", None).await;
    assert_eq!(world.get(new).await.session.version, Version(2));
}

#[tokio::test]
async fn a_session_that_one_plan_keeps_is_offered_the_next_and_counted_once() {
    let world = World::with_orders().await;
    let session = world.at_checkout("web", None).await;
    let other = world.start("web", None).await;
    let keep = json!({"update_downstream": false});
    let (first, marked) = world.deploy_from(1, 2, keep.clone()).await;
    assert_eq!(marked, 2);
    let answer = world.turn(session, json!({})).await;
    assert_eq!(answer.session.pending_migration, None);
    assert_eq!((world.still_to_come(first).await, world.listed(true).await), (1, vec![other]));

    world.clock.advance(SignedDuration::from_secs(1));
    let (second, marked) = world.deploy_from(1, 3, keep).await;
    assert_eq!(marked, 1, "the session that the first plan keeps");
    assert_eq!(world.get(session).await.pending_migration.unwrap().migration_plan_id, second);
    assert_eq!((world.still_to_come(first).await, world.still_to_come(second).await), (1, 1));
    assert_eq!(world.listed(true).await.len(), 2);

    world.turn(session, json!({})).await;
    assert_eq!(world.get(session).await.pending_migration, None, "both have decided");
    assert_eq!((world.still_to_come(first).await, world.still_to_come(second).await), (1, 0));
    assert_eq!((world.listed(true).await, world.listed(false).await), (vec![other], vec![session]));
}

#[tokio::test]
async fn a_plan_that_leads_on_does_not_mark_those_whom_it_leaves_out() {
    let world = World::with_orders().await;
    let session = world.at_checkout("web", None).await;
    let (first, _) = world.deploy_from(1, 2, json!({"update_downstream": false})).await;
    world.turn(session, json!({})).await;
    world.clock.advance(SignedDuration::from_secs(1));
    let elsewhere = json!({"scope_filter": {"include_channels": ["whatsapp"]}});
    world.deploy_from(2, 3, elsewhere).await;
    assert_eq!(world.get(session).await.pending_migration, None);
    assert_eq!(world.still_to_come(first).await, 0);
}

#[tokio::test]
async fn an_age_beyond_all_history_is_no_limit() {
    let world = World::with_orders().await;
    world.at_checkout("web", None).await;
    let filter = json!({"scope_filter": {"max_session_age_days": u32::MAX}});
    assert_eq!(world.deploy_from(1, 2, filter).await.1, 1);
}

#[tokio::test]
async fn where_migration_is_switched_off_nothing_is_pending() {
    let world = World::configured(Migration { enabled: false, ..Migration::default() }).await;
    let session = world.at_checkout("web", None).await;
    let (plan, marked) = world.deploy_from(1, 2, json!({})).await;
    assert_eq!((marked, world.still_to_come(plan).await), (0, 0));
    assert_eq!((world.listed(true).await, world.listed(false).await), (vec![], vec![session]));
}

#[tokio::test]
async fn a_start_that_is_repeated_is_the_same_session() {
    let world = World::with_orders().await;
    let start = |channel: &str| StartSession {
        scenario_id: SCENARIO,
        channel: channel.parse().unwrap(),
        customer_id: None,
        variables: BTreeMap::from([("product".parse().unwrap(), json!("hat"))]),
        id: Some(SessionId(Uuid::from_u128(77))),
    };
    let sessions = &world.segue.sessions;
    let first = sessions.start(TENANT, start("web")).await.unwrap();
    world.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(sessions.start(TENANT, start("web")).await.unwrap(), first);
    let other = sessions.start(TENANT, start("sms")).await;
    assert!(matches!(other, Err(Error::Exists { .. })), "{other:?}");
    assert_eq!(world.listed(false).await.len(), 1);
}

#[tokio::test]
async fn a_registration_that_is_repeated_is_the_same_scenario() {
    let world = World::with_orders().await;
    let catalog = &world.segue.catalog;
    let again = catalog.register(TENANT, orders(1), "ops").await.unwrap();
    assert_eq!(again.current_version, Version(1));
    let changed = Scenario { name: "Another".to_owned(), ..orders(1) };
    let other = catalog.register(TENANT, changed, "ops").await;
    assert!(matches!(other, Err(Error::Exists { .. })), "{other:?}");
}

#[tokio::test]
async fn a_request_with_too_many_values_is_refused_before_they_are_looked_at() {
    let world = World::with_orders().await;
    let values = (0..300).map(|n| (format!("f{n}").parse().unwrap(), Value::Null)).collect();
    let customer: CustomerId = "ann".parse().unwrap();
    let patch = world.segue.sessions.patch_profile(TENANT, &customer, values, "ann").await;
    let Err(Error::Invalid { problems, .. }) = patch else { panic!("{patch:?}") };
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[tokio::test]
async fn the_event_that_changes_a_profile_names_the_operator() {
    let world = World::with_orders().await;
    let customer: CustomerId = "ann".parse().unwrap();
    let fields = BTreeMap::from([("age".parse().unwrap(), json!(30))]);
    world.segue.sessions.patch_profile(TENANT, &customer, fields, "otto").await.unwrap();
    let read = StreamRead {
        tenant: TENANT,
        access: Epoch::default().into(),
        stream: "customer-ann".parse().unwrap(),
        from: StreamVersion(1),
        limit: 10,
        direction: Direction::Forwards,
    };
    let page = world.router.read_stream(read).await.unwrap();
    let payload: Value = serde_json::from_slice(page.events[0].payload.as_ref().unwrap()).unwrap();
    assert_eq!(
        (&payload["changed_by"], &payload["fields"]["age"]["value"]),
        (&json!("otto"), &json!(30))
    );
}

#[tokio::test]
async fn a_plan_can_be_withdrawn_for_as_long_as_it_is_kept() {
    let world = World::with_orders().await;
    let plan = world.deploy(2).await;
    world.clock.advance(SignedDuration::from_hours(24 * 20));
    let removed = world.segue.deployer.tidy().await.unwrap();
    assert_eq!(removed.versions, 0, "nobody walks version 1, but it is current after a withdrawal");
    world.segue.deployer.withdraw(TENANT, plan, None).await.unwrap();
    let fresh = world.start("web", None).await;
    assert_eq!(world.get(fresh).await.session.version, Version(1));
}

#[tokio::test]
async fn a_tenant_whose_store_is_missing_does_not_keep_the_others_from_being_tidied() {
    let world = World::with_orders().await;
    let lost = TenantId(Uuid::nil());
    let by = By::new("ops", "2026-11-20T10:00:00Z".parse().unwrap());
    world.control.place(lost, &"elsewhere".parse().unwrap(), &by).await.unwrap();
    world.segue.catalog.register(lost, orders(1), "ops").await.unwrap();
    let session = world.start("web", None).await;
    world.deploy(2).await;
    world.turn(session, json!({})).await;
    world.clock.advance(SignedDuration::from_hours(24 * 40));
    let removed = world.segue.deployer.tidy().await.unwrap();
    assert_eq!((removed.plans, removed.versions), (1, 1));
}

#[tokio::test]
async fn a_session_walks_a_long_way_in_several_turns() {
    let world = World::with_orders().await;
    let steps: Vec<_> = (0..1_200)
        .map(|n| match n {
            1_199 => json!({"id": "end", "name": "End", "is_terminal": true}),
            1_198 => json!({"id": "s1198", "name": "1198", "transitions": [{"to_step_id": "end"}]}),
            n => json!({"id": format!("s{n}"), "name": n.to_string(),
                        "transitions": [{"to_step_id": format!("s{}", n + 1)}]}),
        })
        .collect();
    let id = ScenarioId(Uuid::from_u128(5));
    let long =
        json!({"id": id, "name": "Long", "version": 1, "entry_step_id": "s0", "steps": steps});
    world
        .segue
        .catalog
        .register(TENANT, serde_json::from_value(long).unwrap(), "ops")
        .await
        .unwrap();
    let start = StartSession {
        scenario_id: id,
        channel: "web".parse().unwrap(),
        customer_id: None,
        variables: BTreeMap::new(),
        id: None,
    };
    let session = world.segue.sessions.start(TENANT, start).await.unwrap().session.id;
    for stands_at in ["s500", "s1000", "end"] {
        let answer = world.turn(session, json!({})).await;
        assert_eq!(answer.session.session.step_id.as_str(), stands_at);
    }
}
