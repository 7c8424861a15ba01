//! Two stores of a kind, a tenant in the first, and what is measured of it.

use std::any::Any;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use segue::clock::{Clock, SystemClock};
use segue::tenants::coordinator::{Observer, Outcome, Settings, When};
use segue::tenants::{Migration, MigrationCoordinator, TenantStoreRouter};
use segue_core::digest::{Digest, Mark};
use segue_core::ids::{
    Epoch, EventId, MigrationId, Position, StoreId, StreamId, StreamVersion, TenantId, Term,
};
use segue_core::tenancy::head::{HeadSwap, Mode};
use segue_core::tenancy::migration::{MigrationConfig, MigrationState};
use segue_store::control::{self, By, ControlPlane};
use segue_store::events::postgres::PostgresEventStore;
use segue_store::events::sqlite::SqliteEventStore;
use segue_store::events::{
    Event, EventStore, Expected, Import, NewEvent, StreamAppend, StreamState,
};
use segue_store::postgres::Settings as Database;
use segue_testing::postgres::TestDatabase;
use uuid::Uuid;

/// The payload of an event, in bytes.
pub const PAYLOAD: usize = 300;
/// Streams that the history goes to.
pub const STREAMS: u64 = 5_000;
/// Events of one page of the history, as it is made.
const PAGE: u64 = 5_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// Two stores and a control plane.
pub struct World {
    pub kind: Kind,
    pub tenant: TenantId,
    pub shared: Arc<dyn EventStore>,
    pub dedicated: Arc<dyn EventStore>,
    pub router: Arc<TenantStoreRouter>,
    pub moves: MigrationCoordinator,
    pub timeline: Arc<Timeline>,
    /// Where the stores are: URLs or paths.
    pub places: [String; 2],
    pub folder: tempfile::TempDir,
    _databases: Vec<Box<dyn Any>>,
}

/// When a coordinator did what.
#[derive(Debug, Default)]
pub struct Timeline {
    steps: Mutex<Vec<(Instant, &'static str, When)>>,
}

#[async_trait]
impl Observer for Timeline {
    async fn step(&self, _: TenantId, name: &'static str, when: When) {
        self.steps.lock().unwrap().push((Instant::now(), name, when));
    }
}

impl Timeline {
    /// What was done since this was asked last.
    pub fn take(&self) -> Vec<(Instant, &'static str, When)> {
        std::mem::take(&mut *self.steps.lock().unwrap())
    }
}

pub fn store_id(id: &str) -> StoreId {
    StoreId::new(id).unwrap()
}

pub fn by() -> By {
    By::new("bench", SystemClock.now())
}

pub fn tenant(n: u64) -> TenantId {
    TenantId(Uuid::new_v5(&Uuid::NAMESPACE_DNS, &n.to_be_bytes()))
}

pub fn stream(n: u64) -> StreamId {
    // As random as the ids of sessions are.
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, &n.to_be_bytes());
    StreamId::new(format!("session-{id}")).unwrap()
}

async fn postgres(url: &str) -> (Arc<dyn EventStore>, String, TestDatabase) {
    let database = TestDatabase::at(url).await.unwrap();
    let settings = Database::new(database.url()).unwrap().with_pool_size(32).unwrap();
    let store = PostgresEventStore::open(settings).unwrap();
    store.ready().await.unwrap();
    store.health().await.unwrap();
    (Arc::new(store), database.url().to_owned(), database)
}

impl World {
    pub async fn new(kind: Kind, url: &str) -> Self {
        let folder = tempfile::tempdir_in(".").unwrap();
        let mut databases: Vec<Box<dyn Any>> = Vec::new();
        let mut stores: Vec<Arc<dyn EventStore>> = Vec::new();
        let mut places = Vec::new();
        for name in ["shared", "dedicated"] {
            match kind {
                Kind::Sqlite => {
                    let path = folder.path().join(format!("{name}.db"));
                    stores.push(Arc::new(SqliteEventStore::open(&path).unwrap()));
                    places.push(path.display().to_string());
                }
                Kind::Postgres => {
                    let (store, place, database) = postgres(url).await;
                    stores.push(store);
                    places.push(place);
                    databases.push(Box::new(database));
                }
            }
        }
        let control: Arc<dyn ControlPlane> = match kind {
            Kind::Sqlite => {
                let path = folder.path().join("control.db");
                Arc::new(control::sqlite::Control::open(&path).unwrap())
            }
            Kind::Postgres => {
                let database = TestDatabase::at(url).await.unwrap();
                let control =
                    control::postgres::Control::open(Database::new(database.url()).unwrap());
                databases.push(Box::new(database));
                Arc::new(control.unwrap())
            }
        };
        let (shared, dedicated) = (stores[0].clone(), stores[1].clone());
        let mut router = TenantStoreRouter::new(control, store_id("shared"), shared.clone());
        router.register_store(store_id("dedicated"), dedicated.clone());
        let router = Arc::new(router);
        let config = MigrationConfig { sync_check_interval: 0.05, ..MigrationConfig::default() };
        let settings = Settings { config, ..Settings::default() };
        let timeline = Arc::new(Timeline::default());
        let clock = Arc::new(SystemClock);
        let moves =
            MigrationCoordinator::observed(router.clone(), clock, settings, timeline.clone());
        moves.attend();
        let places = [places[0].clone(), places[1].clone()];
        let tenant = tenant(1);
        Self {
            kind,
            tenant,
            shared,
            dedicated,
            router,
            moves,
            timeline,
            places,
            folder,
            _databases: databases,
        }
    }

    /// Gives the tenant a history of so many events, and its home in the first store.
    pub async fn fill(&self, events: u64) {
        let store = &self.shared;
        let mut head = store.begin_copy(self.tenant, Epoch(1), Term(0)).await.unwrap();
        while head.position.0 < events {
            let last = events.min(head.position.0 + PAGE);
            head = store.import(page(self.tenant, head.mark(), last, events)).await.unwrap();
        }
        let open = HeadSwap {
            expect_epoch: Epoch(1),
            expect_mode: Mode::Copying,
            expect_mark: None,
            term: Term(0),
            epoch: Epoch(1),
            mode: Mode::Open,
        };
        store.swap_head(self.tenant, open).await.unwrap();
        self.router.place_in(self.tenant, &store_id("shared"), &by()).await.unwrap();
    }

    pub async fn start(&self, target: &str) -> Migration {
        let config = self.moves.config().clone();
        self.moves.start_migration(self.tenant, &store_id(target), config, &by()).await.unwrap()
    }

    pub async fn follows(&self, id: MigrationId) -> Migration {
        let follows = |migration: &Migration| migration.state == MigrationState::DualWrite;
        let patience = Duration::from_secs(600);
        let migration = self.moves.wait_until(id, patience, follows).await.unwrap();
        assert!(follows(&migration), "{migration:?}");
        migration
    }

    pub async fn cut_over(&self, id: MigrationId) -> Migration {
        let patience = Duration::from_secs(60);
        match self.moves.initiate_cutover(id, false, &by(), patience).await.unwrap() {
            Outcome::Migrated(migration) => *migration,
            Outcome::Standing(migration) => panic!("{migration:?}"),
        }
    }
}

/// A page of events of 300 bytes after a mark, each in its own group, of a history that ends at `end`. With
/// the last event of a stream comes its state, as in any import.
fn page(tenant: TenantId, after: Mark, last: u64, end: u64) -> Import {
    let events = (after.position.0..last).map(|n| {
        let payload = vec![b'a' + (n % 26) as u8; PAYLOAD];
        Event {
            position: Position(n + 1),
            append_first_position: Position(n + 1),
            stream_id: stream(n % STREAMS),
            stream_type: "session".into(),
            version: StreamVersion(n / STREAMS + 1),
            event_id: EventId(Uuid::now_v7()),
            event_type: "TurnTaken".into(),
            payload_hash: Digest::of_payload(&payload),
            payload: Some(payload),
            metadata: b"{}".to_vec(),
            recorded_at: Timestamp::from_second(1_800_000_000).unwrap(),
        }
    });
    let ends = (after.position.0..last).filter(|n| n + STREAMS >= end).map(|n| StreamState {
        stream_id: stream(n % STREAMS),
        stream_type: "session".into(),
        version: StreamVersion(n / STREAMS + 1),
        snapshot: None,
    });
    let (term, streams, prepare) = (Term(0), ends.collect(), None);
    Import { tenant, term, after, events: events.collect(), streams, prepare }
}

pub fn append(stream_id: StreamId, version: u64) -> StreamAppend {
    StreamAppend {
        stream_id,
        stream_type: "session".into(),
        expected: Expected::Version(StreamVersion(version)),
        events: vec![NewEvent {
            event_id: EventId(Uuid::now_v7()),
            event_type: "TurnTaken".into(),
            payload: vec![b'x'; PAYLOAD],
            metadata: b"{}".to_vec(),
        }],
        snapshot: None,
    }
}

pub fn heading(text: &str) {
    println!("\n{text}");
}

pub fn rate(what: &str, per_second: f64) {
    println!("{what:<64} {per_second:>12.0} /s");
}

pub fn value(what: &str, value: f64, unit: &str) {
    println!("{what:<64} {value:>12.3} {unit}");
}

pub fn ratio(what: &str, ratio: f64, target: &str) {
    println!("  {what:<62} {ratio:>12.2}  {target}");
}

pub fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1024
}

/// The share of sorted durations that stayed within, in milliseconds.
pub fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share) as usize).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}
