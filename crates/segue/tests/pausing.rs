//! Pausing a tenant's writes across processes, and following its log through the library, on files and on
//! PostgreSQL. Two `Opened` on the same place stand for two processes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use jiff::Timestamp;
use segue::clock::SystemClock;
use segue::config::{Config, Database, Store};
use segue::error::Kind;
use segue::events::{AppendEvents, From, GivenEvent, WhenFound};
use segue::scenarios::StartSession;
use segue::stores::Opened;
use segue::tenants::{PageSize, TenantStoreRouter};
use segue::{Error, WritePausedError};
use segue_core::ids::{Epoch, EventId, Position, SessionId, StreamVersion, TenantId, Term};
use segue_store::control::By;
use segue_store::control::routing::{Phase, PhaseChange};
use segue_store::control::sqlite::Control;
use segue_store::events::{
    self, Appended, EventStore, Expected, HeadSwap, MemoryEventStore, Mode, NewEvent, StreamAppend,
};
use segue_store::faulty::{Fault, FaultyEventStore, Operation};
use segue_testing::postgres::TestDatabase;
use serde_json::json;
use support::{Server, order_flow, segue};
use tempfile::TempDir;
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(1));

/// Where everything lies.
struct Place {
    folder: TempDir,
    database: Option<TestDatabase>,
}

impl Place {
    fn files() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), database: None }
    }

    async fn postgres() -> Self {
        Self { database: Some(TestDatabase::fresh().await), ..Self::files() }
    }

    /// One more process, and how long its writes wait for the end of a pause, in seconds.
    async fn opened_with(&self, write_pause_timeout: f64) -> Opened {
        let (control, store) = match &self.database {
            Some(database) => {
                let url = database.url();
                (url.to_owned(), format!("kind = \"postgres\"\nurl = \"{url}\""))
            }
            None => {
                let file = |name| self.folder.path().join(name).display().to_string();
                let store = format!("kind = \"sqlite\"\npath = \"{}\"", file("shared.db"));
                (format!("sqlite:{}", file("control.db")), store)
            }
        };
        let text = format!(
            "[control]\nurl = \"{control}\"\n[stores.shared]\n{store}\n\
             [tenant_migration]\nwrite_pause_timeout = {write_pause_timeout:?}\n"
        );
        let config = toml::from_str::<Config>(&text).unwrap();
        Opened::open(&config, Arc::new(SystemClock)).await.unwrap()
    }

    /// One more process.
    async fn opened(&self) -> Opened {
        self.opened_with(5.0).await
    }
}

/// Makes a test of each story, on files and on PostgreSQL.
macro_rules! on_both {
    ($($story:ident,)+) => {
        mod on_files {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::$story(super::Place::files()).await;
            })+
        }

        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::$story(super::Place::postgres().await).await;
            })+
        }
    };
}

on_both! {
    writes_of_every_process_wait_while_paused_and_go_on_after_it,
    a_write_and_a_turn_that_wait_too_long_are_told_so,
    turns_of_one_session_wait_for_a_pause_side_by_side,
    what_a_pauser_or_resumer_left_half_done_is_completed_by_whoever_comes,
    a_pauser_that_slept_does_not_shut_what_was_opened_after_it,
    pausers_and_resumers_at_once_leave_the_store_as_it_was_decided,
    a_tenant_without_a_home_cannot_be_paused,
    followers_get_every_position_in_order_whoever_appends,
    a_subscriber_that_comes_again_begins_after_what_it_acknowledged,
}

fn olga() -> By {
    By::new("olga", Timestamp::now())
}

async fn append(to: &Opened, nth: u64) -> segue::Result<Appended> {
    let append = AppendEvents {
        stream_id: "counter".parse().unwrap(),
        stream_type: "counter".to_owned(),
        expected: Expected::Any,
        events: vec![GivenEvent {
            event_id: None,
            event_type: "Counted".to_owned(),
            payload: nth.to_string().into_bytes(),
            metadata: Vec::new(),
        }],
        idempotency_key: None,
    };
    to.events.append(TENANT, append).await
}

fn store(of: &Opened) -> Arc<dyn EventStore> {
    of.router.stores().next().unwrap().1.clone()
}

/// A session of a flow that is registered for it.
async fn session(of: &Opened) -> SessionId {
    let mut scenario = order_flow();
    scenario["id"] = json!(Uuid::from_u128(2));
    let scenario = serde_json::from_value(scenario).unwrap();
    let registered = of.scenarios.catalog.register(TENANT, scenario, "ops").await.unwrap();
    let start = StartSession {
        scenario_id: registered.scenario_id,
        channel: "web".parse().unwrap(),
        customer_id: None,
        variables: Default::default(),
        id: None,
    };
    of.scenarios.sessions.start(TENANT, start).await.unwrap().session.id
}

async fn mode(of: &Opened) -> (Mode, u64) {
    let head = store(of).head(TENANT).await.unwrap();
    (head.mode, head.term.0)
}

async fn writes_of_every_process_wait_while_paused_and_go_on_after_it(place: Place) {
    let (first, second) = (place.opened().await, place.opened().await);
    append(&first, 1).await.unwrap();
    append(&second, 2).await.unwrap();

    assert!(first.router.pause_writes(TENANT, &olga()).await.unwrap());
    assert!(!second.router.pause_writes(TENANT, &olga()).await.unwrap(), "it is paused already");
    let writers: Vec<_> = (0..20)
        .map(|nth| {
            let to = if nth % 2 == 0 { first.clone() } else { second.clone() };
            tokio::spawn(async move { append(&to, nth).await.map(|_| Instant::now()) })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let page = second.events.log(TENANT, Position(0), PageSize::default()).await.unwrap();
    assert_eq!(page.events.len(), 2, "reads go on, and see nothing new");
    let resumed = Instant::now();
    let metrics = second.router.resume_writes(TENANT, &olga()).await.unwrap().unwrap();
    assert_eq!(metrics.blocked_writers, 10, "the waiting of its own process");
    let longest = metrics.longest_wait;
    assert!(
        longest >= Duration::from_millis(250) && longest < Duration::from_secs(20),
        "{metrics:?}"
    );
    assert!(metrics.duration >= Duration::from_millis(300), "{metrics:?}");
    for writer in writers {
        let done = writer.await.unwrap().unwrap();
        assert!(done > resumed - Duration::from_millis(50));
        assert!(done.duration_since(resumed) < Duration::from_secs(20));
    }
    assert_eq!(first.router.resume_writes(TENANT, &olga()).await.unwrap(), None);
    let head = first.router.head(TENANT).await.unwrap().unwrap();
    assert_eq!((head.position, head.mode), (Position(22), Mode::Open));
}

async fn a_write_and_a_turn_that_wait_too_long_are_told_so(place: Place) {
    let (first, second) = (place.opened().await, place.opened_with(0.3).await);
    let session = session(&first).await;
    first.router.pause_writes(TENANT, &olga()).await.unwrap();

    let begun = Instant::now();
    let expected = WritePausedError { tenant_id: TENANT, timeout_seconds: 0.3 };
    let refused = append(&second, 1).await;
    assert!(
        matches!(&refused, Err(Error::WritePaused(error)) if *error == expected),
        "{refused:?}"
    );
    assert!((300..20_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    let turn = second.scenarios.sessions.take_turn(TENANT, session, Default::default(), None).await;
    assert!(matches!(turn, Err(Error::WritePaused(_))), "{turn:?}");
    second.scenarios.sessions.get(TENANT, session).await.unwrap();

    first.router.resume_writes(TENANT, &olga()).await.unwrap().unwrap();
    second.scenarios.sessions.take_turn(TENANT, session, Default::default(), None).await.unwrap();
}

/// However many turns of a session come during a pause, none waits for another's wait to end.
async fn turns_of_one_session_wait_for_a_pause_side_by_side(place: Place) {
    let opened = place.opened_with(1.0).await;
    let session = session(&opened).await;
    opened.router.pause_writes(TENANT, &olga()).await.unwrap();

    let begun = Instant::now();
    let turns = (0..6).map(|_| {
        let sessions = opened.scenarios.sessions.clone();
        tokio::spawn(
            async move { sessions.take_turn(TENANT, session, Default::default(), None).await },
        )
    });
    for turn in turns.collect::<Vec<_>>() {
        let turn = turn.await.unwrap();
        assert!(matches!(turn, Err(Error::WritePaused(_))), "{turn:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

async fn what_a_pauser_or_resumer_left_half_done_is_completed_by_whoever_comes(place: Place) {
    let first = place.opened().await;
    append(&first, 1).await.unwrap();
    let decide = async |expected, phase| {
        let change = PhaseChange { expected: Term(expected), phase };
        first.control.change_phase(TENANT, change, &olga()).await.unwrap();
    };
    // A pauser decides and dies.
    decide(0, Phase::Paused { since: Timestamp::now() }).await;
    assert_eq!(mode(&first).await, (Mode::Open, 0));
    let second = place.opened_with(0.2).await;
    let refused = append(&second, 2).await;
    assert!(matches!(refused, Err(Error::WritePaused(_))), "{refused:?}");
    assert_eq!(mode(&first).await, (Mode::Fenced, 1), "the writer has fenced the store");
    // A resumer decides and dies.
    decide(1, Phase::Settled).await;
    assert_eq!(mode(&first).await, (Mode::Fenced, 1));
    append(&second, 3).await.unwrap();
    assert_eq!(mode(&first).await, (Mode::Open, 2), "the writer has opened the store");
    // A pauser dies before its effect, and the resumer comes first: the head is claimed all the same.
    decide(2, Phase::Paused { since: Timestamp::now() }).await;
    second.router.resume_writes(TENANT, &olga()).await.unwrap().unwrap();
    assert_eq!(mode(&first).await, (Mode::Open, 4));
    append(&first, 4).await.unwrap();
}

async fn a_pauser_that_slept_does_not_shut_what_was_opened_after_it(place: Place) {
    let opened = place.opened().await;
    append(&opened, 1).await.unwrap();
    opened.router.pause_writes(TENANT, &olga()).await.unwrap();
    opened.router.resume_writes(TENANT, &olga()).await.unwrap();
    let late = HeadSwap {
        expect_epoch: Epoch(1),
        expect_mode: Mode::Open,
        expect_mark: None,
        term: Term(1),
        epoch: Epoch(1),
        mode: Mode::Fenced,
    };
    let refused = store(&opened).swap_head(TENANT, late).await;
    assert!(matches!(refused, Err(events::Error::HeadDiffers { .. })), "{refused:?}");
    append(&opened, 2).await.unwrap();
}

/// Eight processes pause and resume as they like while others write; nothing is lost, and at the end the
/// store does what the route says.
async fn pausers_and_resumers_at_once_leave_the_store_as_it_was_decided(place: Place) {
    let first = place.opened().await;
    append(&first, 0).await.unwrap();
    let mut tasks = Vec::new();
    for nth in 0..4 {
        let process = place.opened().await;
        tasks.push(tokio::spawn(async move {
            for round in 0..10 {
                if (nth + round) % 2 == 0 {
                    process.router.pause_writes(TENANT, &olga()).await.unwrap();
                } else {
                    process.router.resume_writes(TENANT, &olga()).await.unwrap();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            0
        }));
        let writer = place.opened().await;
        tasks.push(tokio::spawn(async move {
            let mut acknowledged = 0;
            for nth in 0..20 {
                acknowledged += u64::from(append(&writer, nth).await.is_ok());
            }
            acknowledged
        }));
    }
    // Writers go on once everybody has had their way.
    let release = {
        let process = place.opened().await;
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                process.router.resume_writes(TENANT, &olga()).await.unwrap();
            }
        })
    };
    let mut acknowledged = 1;
    for task in tasks {
        acknowledged += task.await.unwrap();
    }
    release.abort();
    first.router.resume_writes(TENANT, &olga()).await.unwrap();
    let route = first.control.route(TENANT).await.unwrap().unwrap();
    assert_eq!(mode(&first).await, (Mode::Open, route.term.0));
    let head = first.router.head(TENANT).await.unwrap().unwrap();
    assert_eq!(head.position, Position(acknowledged), "each acknowledged write once, and no other");
    first.router.pause_writes(TENANT, &olga()).await.unwrap();
    assert_eq!(mode(&first).await, (Mode::Fenced, route.term.0 + 1));
}

async fn a_tenant_without_a_home_cannot_be_paused(place: Place) {
    let refused = place.opened().await.router.pause_writes(TENANT, &olga()).await;
    assert!(matches!(refused, Err(Error::NotFound { kind: Kind::Tenant, .. })), "{refused:?}");
}

#[tokio::test]
async fn a_server_answers_503_while_another_process_has_paused_the_tenant() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = segue(dir.path());
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    command.env("SEGUE__TENANT_MIGRATION__WRITE_PAUSE_TIMEOUT", "0.2");
    let server = Server::spawn(command, dir);
    let tenant = server.tenant();
    let id = TenantId(tenant.id);
    let event = json!([{"event_type": "Counted", "payload": 1}]);
    let body = json!({"stream_type": "counter", "expected_version": "any", "events": event});
    tenant.post("/streams/counter/events", &body).is(201);

    let mut config = Config::default();
    config.control.url = Database::Sqlite(server.dir.path().join("segue-data/control.db"));
    let path = server.dir.path().join("segue-data/shared.db");
    config
        .stores
        .by_id
        .values_mut()
        .for_each(|store| *store = Store::Sqlite { path: path.clone() });
    let beside = Opened::open(&config, Arc::new(SystemClock)).await.unwrap();
    beside.router.pause_writes(id, &olga()).await.unwrap();
    let refused = tenant.post("/streams/counter/events", &body);
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.refused(503, "write_paused")["timeout_seconds"], 0.2);
    tenant.get("/events").is(200);
    beside.router.resume_writes(id, &olga()).await.unwrap().unwrap();
    tenant.post("/streams/counter/events", &body).is(201);
}

async fn followers_get_every_position_in_order_whoever_appends(place: Place) {
    let (first, second) = (place.opened().await, place.opened().await);
    let size = PageSize { events: 7, ..PageSize::default() };
    let followers: Vec<_> = (0..8)
        .map(|_| {
            let mut pages = Box::pin(first.events.follow(TENANT, Position(0), size).pages());
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while seen.len() < 100 {
                    let page = pages.next().await.unwrap().unwrap();
                    assert!(page.events.len() <= 7);
                    seen.extend(page.events.iter().map(|event| event.position.0));
                }
                seen
            })
        })
        .collect();
    for nth in 0..100 {
        append(if nth % 3 == 0 { &second } else { &first }, nth).await.unwrap();
    }
    for follower in followers {
        assert_eq!(follower.await.unwrap(), (1..=100).collect::<Vec<_>>());
    }
    let stream = "counter".parse().unwrap();
    let page = first.router.get_events(TENANT, &stream, StreamVersion(99), 10).await.unwrap();
    assert_eq!(page.events.len(), 2);
}

async fn a_subscriber_that_comes_again_begins_after_what_it_acknowledged(place: Place) {
    let opened = place.opened().await;
    for nth in 0..5 {
        append(&opened, nth).await.unwrap();
    }
    let name = "billing".parse().unwrap();
    let size = PageSize { events: 2, ..PageSize::default() };
    let missing = opened.router.subscribe(TENANT, &name, size).await;
    assert!(matches!(missing, Err(Error::NotFound { kind: Kind::Subscription, .. })));
    opened
        .subscriptions
        .put(TENANT, &name, From::Beginning, WhenFound::Keep, "olga")
        .await
        .unwrap();

    let mut killed = opened.router.subscribe(TENANT, &name, size).await.unwrap();
    killed.next_page().await.unwrap();
    let ahead = killed.acknowledge(Position(3), Timestamp::now()).await;
    assert!(matches!(ahead, Err(Error::PositionAhead { last: Position(2), .. })), "{ahead:?}");
    killed.acknowledge(Position(2), Timestamp::now()).await.unwrap();
    killed.next_page().await.unwrap();
    drop(killed);
    let mut again = opened.router.subscribe(TENANT, &name, size).await.unwrap();
    let page = again.next_page().await.unwrap();
    assert_eq!(page.events[0].position, Position(3));
}

/// A store and a router on it that fail on command.
async fn failing() -> (Arc<FaultyEventStore>, Arc<MemoryEventStore>, Arc<TenantStoreRouter>) {
    let memory = Arc::new(MemoryEventStore::new());
    let faulty = Arc::new(FaultyEventStore::around(memory.clone()));
    let control = Arc::new(Control::in_memory().unwrap());
    let router = TenantStoreRouter::new(control, "shared".parse().unwrap(), faulty.clone());
    let router = Arc::new(router);
    let events = vec![NewEvent {
        event_id: EventId(Uuid::new_v4()),
        event_type: "Counted".into(),
        payload: b"1".to_vec(),
        metadata: Vec::new(),
    }];
    let stream = StreamAppend {
        stream_id: "counter".parse().unwrap(),
        stream_type: "counter".into(),
        expected: Expected::Any,
        events,
        snapshot: None,
    };
    router.append_events(TENANT, Timestamp::now(), stream).await.unwrap();
    (faulty, memory, router)
}

#[tokio::test]
async fn a_pause_or_resume_whose_answer_was_lost_is_completed_by_repeating_it() {
    for fault in [Fault::Before, Fault::After] {
        let (faulty, memory, router) = failing().await;
        let mode = async || memory.head(TENANT).await.unwrap().mode;
        faulty.inject_next(Operation::SwapHead, fault);
        router.pause_writes(TENANT, &olga()).await.unwrap_err();
        assert!(
            !router.pause_writes(TENANT, &olga()).await.unwrap(),
            "it was decided the first time"
        );
        assert_eq!(mode().await, Mode::Fenced);

        faulty.inject_next(Operation::SwapHead, fault);
        router.resume_writes(TENANT, &olga()).await.unwrap_err();
        assert_eq!(router.resume_writes(TENANT, &olga()).await.unwrap(), None);
        assert_eq!(mode().await, Mode::Open);
        faulty.inject_next(Operation::Head, fault);
        router.pause_writes(TENANT, &olga()).await.unwrap_err();
        router.resume_writes(TENANT, &olga()).await.unwrap().unwrap();
        assert_eq!(mode().await, Mode::Open);
    }
}

#[tokio::test]
async fn while_writes_are_paused_a_read_asks_the_store_once() {
    let (faulty, _, router) = failing().await;
    router.pause_writes(TENANT, &olga()).await.unwrap();
    let before = faulty.calls(Operation::StreamVersions);
    for _ in 0..3 {
        let versions = router.stream_versions(TENANT, &["counter".parse().unwrap()]).await.unwrap();
        assert_eq!(versions, [StreamVersion(1)]);
    }
    assert_eq!(faulty.calls(Operation::StreamVersions) - before, 3);
}
