//! What customers may ask to be forgotten: what is gone, what goes on, and who is on record for it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use segue::Error;
use segue::clock::ManualClock;
use segue::scenarios::{Asked, Scenarios, SessionFilter, StartSession, TurnAnswer};
use segue::tenants::TenantStoreRouter;
use segue_core::ids::{
    CustomerId, Epoch, FieldName, ScenarioId, SessionId, StreamId, StreamVersion, TenantId,
};
use segue_core::scenario::Scenario;
use segue_core::session::Status;
use segue_core::session::turn::Input;
use segue_store::control::Page;
use segue_store::control::audit::{Action, Audit, Entry, Filter};
use segue_store::control::sqlite::Control;
use segue_store::events::{Direction, MemoryEventStore, STREAM_REDACTED, StreamRead};
use segue_store::faulty::{Fault, FaultyEventStore, Operation};
use serde_json::{Value, json};
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const SCENARIO: ScenarioId = ScenarioId(Uuid::from_u128(2));

struct World {
    segue: Scenarios,
    control: Arc<Control>,
    store: Arc<FaultyEventStore>,
    router: Arc<TenantStoreRouter>,
}

impl World {
    async fn open() -> Self {
        let clock = Arc::new(ManualClock::at("2026-11-20T10:00:00Z".parse().unwrap()));
        let control = Arc::new(Control::in_memory().unwrap());
        let store = Arc::new(FaultyEventStore::around(Arc::new(MemoryEventStore::new())));
        let shared = "shared".parse().unwrap();
        let router = Arc::new(TenantStoreRouter::new(control.clone(), shared, store.clone()));
        let config = Default::default();
        let segue = Scenarios::new(control.clone(), router.clone(), clock, config);
        let steps = json!([
            {"id": "welcome", "name": "Welcome", "is_entry": true,
             "collects_profile_fields": ["product"], "transitions": [{"to_step_id": "checkout"}]},
            {"id": "checkout", "name": "Checkout", "collects_profile_fields": ["address"],
             "transitions": [{"to_step_id": "confirm"}]},
            {"id": "confirm", "name": "Confirm", "is_terminal": true}]);
        let orders: Scenario = serde_json::from_value(json!({"id": SCENARIO, "name": "Orders",
            "version": 1, "entry_step_id": "welcome", "steps": steps}))
        .unwrap();
        segue.catalog.register(TENANT, orders, "ops").await.unwrap();
        Self { segue, control, store, router }
    }

    async fn start(&self, customer: &str) -> SessionId {
        let start = StartSession {
            scenario_id: SCENARIO,
            channel: "web".parse().unwrap(),
            customer_id: Some(customer.parse().unwrap()),
            variables: BTreeMap::new(),
            id: None,
        };
        self.segue.sessions.start(TENANT, start).await.unwrap().session.id
    }

    async fn turn(&self, session: SessionId, key: Option<&str>) -> segue::Result<TurnAnswer> {
        let input =
            json!({"message": {"text": "I live in Elm Street"}, "fields": {"product": "shoes"}});
        let input: Input = serde_json::from_value(input).unwrap();
        self.segue.sessions.take_turn(TENANT, session, input, key.map(str::to_owned)).await
    }

    async fn patch(&self, customer: &CustomerId, address: &str) {
        let fields = BTreeMap::from([(FieldName::new("address").unwrap(), Value::from(address))]);
        self.segue.sessions.patch_profile(TENANT, customer, fields, "olga").await.unwrap();
    }

    async fn redact(&self, stream: &str) -> segue::Result<segue::scenarios::RedactedStream> {
        self.segue.erasure.redact(TENANT, &StreamId::new(stream).unwrap(), &asked()).await
    }

    async fn listed(&self, filter: SessionFilter) -> Vec<(SessionId, Status)> {
        let page = self.segue.sessions.list(TENANT, filter, 100, None).await.unwrap();
        page.sessions.iter().map(|view| (view.session.id, view.session.status)).collect()
    }

    async fn audit(&self, action: Action) -> Vec<Entry> {
        let filter = Filter { action: Some(action), ..Filter::default() };
        self.control.list_audit(TENANT, &filter, Page::first(100)).await.unwrap().items
    }
}

fn asked() -> Asked {
    Asked { by: "olga".to_owned(), reason: Some("asked by letter".to_owned()) }
}

#[tokio::test]
async fn an_erased_session_is_over_and_says_nothing_of_its_customer() {
    let world = World::open().await;
    let session = world.start("anna").await;
    world.turn(session, Some("first")).await.unwrap();
    let redacted = world.redact(&format!("session-{session}")).await.unwrap();
    assert_eq!(redacted.events_redacted, redacted.version.0 - 1);

    let view = world.segue.sessions.get(TENANT, session).await.unwrap();
    assert_eq!((view.session.status, view.pending_migration), (Status::Erased, None));
    let text = serde_json::to_string(&view.session).unwrap();
    for secret in ["anna", "Elm", "shoes"] {
        assert!(!text.contains(secret), "{text}");
    }
    for key in [None, Some("first"), Some("second")] {
        let refused = world.turn(session, key).await.unwrap_err();
        assert!(matches!(refused, Error::SessionErased { .. }), "key {key:?}: {refused}");
    }
    let events = world.segue.sessions.events(TENANT, session, StreamVersion(1), 100).await;
    let events = events.unwrap().events;
    let (last, erased) = events.split_last().unwrap();
    assert!(erased.iter().all(|event| event.payload.is_none()));
    assert_eq!(last.event_type, STREAM_REDACTED);

    let anna = SessionFilter { customer_id: Some("anna".parse().unwrap()), ..Default::default() };
    assert_eq!(world.listed(anna).await, []);
    assert_eq!(world.listed(SessionFilter::default()).await, [(session, Status::Erased)]);
    let standings = world.segue.catalog.standings(TENANT, SCENARIO).await.unwrap();
    assert!(standings.is_empty(), "nobody walks the scenario any more");
}

#[tokio::test]
async fn a_redaction_is_repeated_without_effect_and_needs_a_stream() {
    let world = World::open().await;
    let session = world.start("anna").await;
    let stream = format!("session-{session}");
    let first = world.redact(&stream).await.unwrap();
    assert_eq!(world.redact(&stream).await.unwrap(), first);
    assert_eq!(world.audit(Action::StreamRedacted).await.len(), 1);
    let missing = world.redact("session-nobody").await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
    let nobody = Asked { by: " ".to_owned(), reason: None };
    let stream = StreamId::new(stream).unwrap();
    let refused = world.segue.erasure.redact(TENANT, &stream, &nobody).await.unwrap_err();
    assert!(matches!(refused, Error::Invalid { .. }), "{refused}");
    let other = TenantId(Uuid::from_u128(7));
    let elsewhere = world.segue.erasure.redact(other, &stream, &asked()).await.unwrap_err();
    assert!(matches!(elsewhere, Error::NotFound { .. }), "{elsewhere}");
}

#[tokio::test]
async fn a_redacted_profile_is_empty_and_can_start_anew() {
    let world = World::open().await;
    let anna: CustomerId = "anna".parse().unwrap();
    world.patch(&anna, "1 Elm Street").await;
    world.redact("customer-anna").await.unwrap();
    assert!(world.segue.sessions.profile(TENANT, &anna).await.unwrap().fields.is_empty());
    world.patch(&anna, "2 Oak Street").await;
    let profile = world.segue.sessions.profile(TENANT, &anna).await.unwrap();
    assert_eq!(profile.fields.values().next().unwrap().value, "2 Oak Street");
}

#[tokio::test]
async fn a_customer_is_erased_with_every_session_and_nobody_else_is() {
    let world = World::open().await;
    let (anna, otto): (CustomerId, CustomerId) = ("anna".parse().unwrap(), "otto".parse().unwrap());
    for _ in 0..3 {
        let session = world.start("anna").await;
        world.turn(session, None).await.unwrap();
    }
    let ottos = world.start("otto").await;
    world.patch(&anna, "1 Elm Street").await;
    world.patch(&otto, "2 Oak Street").await;

    let erased = world.segue.erasure.erase_customer(TENANT, &anna, &asked()).await.unwrap();
    assert_eq!((erased.streams_redacted, erased.sessions_left), (4, 0));
    assert!(erased.events_redacted > 4);
    let live = |(_, status): &&(SessionId, Status)| *status != Status::Erased;
    let listed = world.listed(SessionFilter::default()).await;
    assert_eq!(listed.iter().filter(live).collect::<Vec<_>>(), [&(ottos, Status::Active)]);
    assert!(world.segue.sessions.profile(TENANT, &anna).await.unwrap().fields.is_empty());
    assert_eq!(world.segue.sessions.profile(TENANT, &otto).await.unwrap().fields.len(), 1);
    assert_eq!(world.audit(Action::CustomerErased).await[0].subject_id, "anna");
    assert_eq!(world.audit(Action::StreamRedacted).await.len(), 4);

    let again = world.segue.erasure.erase_customer(TENANT, &anna, &asked()).await.unwrap();
    assert_eq!((again.streams_redacted, again.sessions_left), (0, 0));
    assert_eq!(world.audit(Action::CustomerErased).await.len(), 1, "nothing was done");
}

#[tokio::test]
async fn more_sessions_than_one_call_erases_are_left_for_the_next() {
    let world = World::open().await;
    let anna: CustomerId = "anna".parse().unwrap();
    world.patch(&anna, "1 Elm Street").await;
    for _ in 0..103 {
        world.start("anna").await;
    }
    let first = world.segue.erasure.erase_customer(TENANT, &anna, &asked()).await.unwrap();
    assert_eq!((first.streams_redacted, first.sessions_left), (100, 3));
    let profile = world.segue.sessions.profile(TENANT, &anna).await.unwrap();
    assert_eq!(profile.fields.len(), 1, "the profile goes last");
    let second = world.segue.erasure.erase_customer(TENANT, &anna, &asked()).await.unwrap();
    assert_eq!((second.streams_redacted, second.sessions_left), (4, 0));
}

#[tokio::test]
async fn no_redaction_is_without_its_line_in_the_audit_wherever_it_breaks_off() {
    for fault in [Fault::Before, Fault::After] {
        let world = World::open().await;
        let session = world.start("anna").await;
        let stream = format!("session-{session}");
        world.store.inject(Operation::Redact, 1, fault);
        let broken = world.redact(&stream).await.unwrap_err();
        assert!(matches!(broken, Error::Unavailable { .. }), "{broken}");
        let on_record = world.audit(Action::StreamRedacted).await;
        assert_eq!(on_record.len(), 1, "{fault:?}");
        assert_eq!(
            (on_record[0].actor.as_str(), on_record[0].subject_id.as_str()),
            ("olga", &*stream)
        );
        assert_eq!(on_record[0].details["reason"], "asked by letter");

        world.redact(&stream).await.unwrap();
        let read = StreamRead {
            tenant: TENANT,
            access: Epoch::default().into(),
            stream: StreamId::new(stream).unwrap(),
            from: StreamVersion(1),
            limit: 10,
            direction: Direction::Forwards,
        };
        let events = world.router.read_stream(read).await.unwrap().events;
        let types: Vec<_> = events.iter().map(|event| event.event_type.as_ref()).collect();
        assert_eq!(types, ["SessionStarted", STREAM_REDACTED], "once, after {fault:?}");
    }
}

#[tokio::test]
async fn a_customer_who_is_erased_while_they_talk_is_erased_in_the_end() {
    let world = Arc::new(World::open().await);
    let anna: CustomerId = "anna".parse().unwrap();
    let mut talking = Vec::new();
    for _ in 0..8 {
        let session = world.start("anna").await;
        let world = world.clone();
        talking.push(tokio::spawn(async move {
            while world.turn(session, None).await.is_ok() {
                tokio::task::yield_now().await;
            }
        }));
    }
    loop {
        let erased = world.segue.erasure.erase_customer(TENANT, &anna, &asked()).await.unwrap();
        if erased.sessions_left == 0 {
            break;
        }
    }
    for talk in talking {
        talk.await.unwrap();
    }
    let listed = world.listed(SessionFilter::default()).await;
    assert!(listed.iter().all(|(_, status)| *status == Status::Erased), "{listed:?}");
    assert!(world.segue.sessions.profile(TENANT, &anna).await.unwrap().fields.is_empty());
}
