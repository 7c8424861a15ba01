//! A tenant, two stores, and everything to move it with, in one process.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod faulty;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use segue::clock::{Clock, SystemClock};
use segue::tenants::coordinator::{Observer, Outcome, Settings};
use segue::tenants::{Migration, MigrationCoordinator, TenantStoreRouter};
use segue_core::ids::{EventId, MigrationId, StoreId, StreamId, TenantId};
use segue_core::tenancy::migration::{MigrationConfig, MigrationState};
use segue_store::control::sqlite::Control;
use segue_store::control::{By, ControlPlane};
use segue_store::events::{
    Access, Event, EventStore, Expected, Facets, Head, LogRead, MemoryEventStore, NewEvent,
    Snapshot, StreamAppend,
};
use segue_testing::history::{History, Logged, Outcome as Told, Sent};
use uuid::Uuid;

pub const PATIENCE: Duration = Duration::from_secs(120);

/// A tenant that lives in the store `shared`, beside the store `dedicated`.
pub struct World {
    pub tenant: TenantId,
    pub control: Arc<dyn ControlPlane>,
    pub shared: Arc<dyn EventStore>,
    pub dedicated: Arc<dyn EventStore>,
    pub router: Arc<TenantStoreRouter>,
    pub moves: MigrationCoordinator,
}

pub fn store_id(id: &str) -> StoreId {
    StoreId::new(id).unwrap()
}

pub fn olga() -> By {
    By::new("olga", SystemClock.now())
}

/// Settings for stores that live in memory, and for tests that do not want to wait.
pub fn config() -> MigrationConfig {
    MigrationConfig {
        allow_unsafe_durability: true,
        sync_check_interval: 0.02,
        ..MigrationConfig::default()
    }
}

pub fn settings() -> Settings {
    Settings {
        config: config(),
        lease: Duration::from_millis(400),
        cutover_lease: Duration::from_millis(200),
        look_every: Duration::from_millis(50),
        ..Settings::default()
    }
}

impl World {
    /// Everything in memory.
    pub async fn in_memory() -> Self {
        let control = Arc::new(Control::in_memory().unwrap());
        Self::over(control, Arc::new(MemoryEventStore::new()), Arc::new(MemoryEventStore::new()))
            .await
    }

    /// Over these stores, with the tenant placed in the first.
    pub async fn over(
        control: Arc<dyn ControlPlane>,
        shared: Arc<dyn EventStore>,
        dedicated: Arc<dyn EventStore>,
    ) -> Self {
        let world = Self::placed(control, shared, dedicated).await;
        world.moves.attend();
        world
    }

    /// The same, with nobody who carries anything on yet.
    pub async fn placed(
        control: Arc<dyn ControlPlane>,
        shared: Arc<dyn EventStore>,
        dedicated: Arc<dyn EventStore>,
    ) -> Self {
        let tenant = TenantId(Uuid::new_v4());
        let world = Self::of(tenant, control, shared, dedicated, None);
        world.router.place_in(tenant, &store_id("shared"), &olga()).await.unwrap();
        world
    }

    /// One more process over the same databases; it carries nothing on before it is told to.
    pub fn another(&self, observer: Option<Arc<dyn Observer>>) -> Self {
        let (control, shared) = (self.control.clone(), self.shared.clone());
        Self::of(self.tenant, control, shared, self.dedicated.clone(), observer)
    }

    pub fn of(
        tenant: TenantId,
        control: Arc<dyn ControlPlane>,
        shared: Arc<dyn EventStore>,
        dedicated: Arc<dyn EventStore>,
        observer: Option<Arc<dyn Observer>>,
    ) -> Self {
        Self::with_more_stores(tenant, control, (shared, dedicated), [], observer)
    }

    /// A process that has these stores too.
    pub fn with_more_stores<const N: usize>(
        tenant: TenantId,
        control: Arc<dyn ControlPlane>,
        (shared, dedicated): (Arc<dyn EventStore>, Arc<dyn EventStore>),
        more: [(&str, Arc<dyn EventStore>); N],
        observer: Option<Arc<dyn Observer>>,
    ) -> Self {
        let mut router =
            TenantStoreRouter::new(control.clone(), store_id("shared"), shared.clone());
        router.register_store(store_id("dedicated"), dedicated.clone());
        for (id, store) in more {
            router.register_store(store_id(id), store);
        }
        // A writer waits as long as the test does.
        router.set_write_pause_timeout(PATIENCE);
        let router = Arc::new(router);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let moves = match observer {
            Some(observer) => {
                MigrationCoordinator::observed(router.clone(), clock, settings(), observer)
            }
            None => MigrationCoordinator::new(router.clone(), clock, settings()),
        };
        Self { tenant, control, shared, dedicated, router, moves }
    }

    /// Another tenant of the same process, in the store `shared`.
    pub async fn neighbour(&self) -> Self {
        let neighbour = Self {
            tenant: TenantId(Uuid::new_v4()),
            control: self.control.clone(),
            shared: self.shared.clone(),
            dedicated: self.dedicated.clone(),
            router: self.router.clone(),
            moves: self.moves.clone(),
        };
        self.router.place_in(neighbour.tenant, &store_id("shared"), &olga()).await.unwrap();
        neighbour
    }

    pub async fn append(&self, stream: &str, count: usize) {
        let events: Vec<_> = (0..count).map(|_| new_event()).collect();
        for events in events.chunks(500) {
            let append = to(stream, Expected::Any, events.to_vec(), Some("state"));
            self.router.append_events(self.tenant, SystemClock.now(), append).await.unwrap();
        }
    }

    pub async fn start(&self, target: &str) -> Migration {
        self.start_with(target, config()).await
    }

    pub async fn start_with(&self, target: &str, config: MigrationConfig) -> Migration {
        let (target, by) = (store_id(target), olga());
        self.moves.start_migration(self.tenant, &target, config, &by).await.unwrap()
    }

    /// Starts a migration, and asks for its cutover when the target follows.
    pub async fn asks_to_move(&self, target: &str, config: MigrationConfig) -> Migration {
        let migration = self.start_with(target, config).await;
        self.reaches(migration.id, MigrationState::DualWrite).await;
        let by = olga();
        let asked = self.moves.initiate_cutover(migration.id, false, &by, Duration::ZERO);
        asked.await.unwrap();
        migration
    }

    pub async fn reaches(&self, id: MigrationId, state: MigrationState) -> Migration {
        let reached = self.moves.wait_until(id, PATIENCE, |migration| migration.state == state);
        let migration = reached.await.unwrap();
        assert_eq!(migration.state, state, "{migration:?}");
        migration
    }

    pub async fn cut_over(&self, id: MigrationId) -> Migration {
        self.reaches(id, MigrationState::DualWrite).await;
        match self.moves.initiate_cutover(id, false, &olga(), PATIENCE).await.unwrap() {
            Outcome::Migrated(migration) => *migration,
            Outcome::Standing(migration) => panic!("it has not moved: {migration:?}"),
        }
    }

    /// Moves the tenant, from the start to the commit.
    pub async fn moved(&self, target: &str) -> Migration {
        let migration = self.start(target).await;
        self.cut_over(migration.id).await
    }

    pub async fn home(&self) -> (StoreId, Head) {
        let home = self.router.home(self.tenant).await.unwrap().unwrap();
        (home.route.store_id, home.store.head(self.tenant).await.unwrap())
    }

    /// The log, as whoever asks the router reads it.
    pub async fn log(&self) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        loop {
            let after = events.last().map_or_else(Default::default, |event| event.position);
            let (tenant, access, limit) = (self.tenant, Access::Copy, 1_000);
            let read = LogRead { tenant, access, after, limit, max_bytes: usize::MAX };
            let page = self.router.read_log(read).await.unwrap();
            if page.events.is_empty() {
                return events;
            }
            events.extend(page.events);
        }
    }
}

pub fn new_event() -> NewEvent {
    NewEvent {
        event_id: EventId(Uuid::new_v4()),
        event_type: Cow::Borrowed("Happened"),
        payload: br#"{"what":"it"}"#.to_vec(),
        metadata: Vec::new(),
    }
}

pub fn to(
    stream: &str,
    expected: Expected,
    events: Vec<NewEvent>,
    state: Option<&str>,
) -> StreamAppend {
    StreamAppend {
        stream_id: StreamId::new(stream).unwrap(),
        stream_type: Cow::Borrowed("thing"),
        expected,
        events,
        snapshot: state.map(|state| Snapshot {
            state: state.as_bytes().to_vec(),
            facets: Facets { live: true, ..Facets::default() },
        }),
    }
}

/// Writers that append through a router until they are told to stop, and remember what they were told.
pub struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Vec<Sent>>>,
}

impl Writers {
    pub fn begin(world: &World, count: usize) -> Self {
        Self::through(std::slice::from_ref(&world.router), world.tenant, count)
    }

    /// Writers that take turns at several processes' routers. A store in memory takes more than a database
    /// can follow, so that they rest a little.
    pub fn through(routers: &[Arc<TenantStoreRouter>], tenant: TenantId, count: usize) -> Self {
        Self::resting(routers, tenant, count, Duration::from_millis(2))
    }

    /// Writers that rest for so long between two appends.
    pub fn resting(
        routers: &[Arc<TenantStoreRouter>],
        tenant: TenantId,
        count: usize,
        rest: Duration,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..count).map(|nth| {
            let router = routers[nth % routers.len()].clone();
            tokio::spawn(write(nth, router, tenant, stop.clone(), rest))
        });
        let tasks = tasks.collect();
        Self { stop, tasks }
    }

    /// Whether nobody has come upon an answer that cannot be.
    pub fn are_writing(&self) -> bool {
        self.tasks.iter().all(|task| !task.is_finished())
    }

    /// Ends them, and gives back everything that they were told.
    pub async fn end(self) -> History {
        self.stop.store(true, Ordering::SeqCst);
        let mut history = History::default();
        for task in self.tasks {
            task.await.unwrap().into_iter().for_each(|sent| history.push(sent));
        }
        history
    }
}

async fn write(
    client: usize,
    router: Arc<TenantStoreRouter>,
    tenant: TenantId,
    stop: Arc<AtomicBool>,
    rest: Duration,
) -> Vec<Sent> {
    let mut sent = Vec::new();
    let stream = format!("writer-{client}");
    let mut version = 0;
    while !stop.load(Ordering::SeqCst) {
        let events: Vec<_> = (0..1 + sent.len() % 3).map(|_| new_event()).collect();
        let ids = events
            .iter()
            .map(|event| (event.event_id.0, String::from_utf8(event.payload.clone()).unwrap()));
        let ids: Vec<_> = ids.collect();
        let began = Instant::now();
        let state = (sent.len() % 2 == 0).then(|| format!("after {}", sent.len()));
        let expected = Expected::Version(segue_core::ids::StreamVersion(version));
        let append = to(&stream, expected, events, state.as_deref());
        let at = SystemClock.now();
        let appended = router.append_events(tenant, at, append).await;
        let appended = appended.unwrap_or_else(|error| panic!("writer {client}: {error:?}"));
        version = appended.versions[0].0;
        let outcome = Told::Acknowledged {
            version,
            first_position: appended.first_position.0,
            at: Instant::now(),
        };
        sent.push(Sent {
            client,
            stream: stream.clone(),
            events: ids,
            expected_version: Some(version - appended.event_ids.len() as u64),
            began,
            outcome,
        });
        tokio::time::sleep(rest).await;
    }
    sent
}

/// The log as the checker of histories reads it; events of other streams than the writers' are left out of
/// the account of who sent what, but keep their positions.
pub fn logged(events: &[Event]) -> Vec<Logged> {
    events
        .iter()
        .map(|event| Logged {
            position: event.position.0,
            stream: event.stream_id.to_string(),
            version: event.version.0,
            event: event.event_id.0,
            payload: String::from_utf8_lossy(event.payload.as_deref().unwrap_or_default()).into(),
        })
        .collect()
}

pub fn streams(events: &[Logged]) -> BTreeMap<String, Vec<Logged>> {
    let mut streams: BTreeMap<String, Vec<Logged>> = BTreeMap::new();
    for event in events {
        streams.entry(event.stream.clone()).or_default().push(event.clone());
    }
    streams
}

/// Checks that everything that the writers were told is in the log, once, in order, and nothing else.
pub fn check(history: &History, events: &[Event]) {
    let log = logged(events);
    let wrong = history.check(&log, &streams(&log));
    let wrong: Vec<_> = wrong.iter().map(ToString::to_string).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
