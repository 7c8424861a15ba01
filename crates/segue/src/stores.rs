//! Opens what the configuration names: the control plane, every event store, and the router over them.
//!
//! A database that cannot be used as it is stops the start. One that is only away does not: the server
//! listens, `/readyz` and every request that needs it answer 503, and someone keeps asking until it is
//! there.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use segue_core::ids::StoreId;
use segue_store::control::{self, Changes, ControlPlane};
use segue_store::events::postgres::PostgresEventStore;
use segue_store::events::sqlite::SqliteEventStore;
use segue_store::events::{EventStore, MemoryEventStore};
use segue_store::postgres::{InvalidSetting, OpenError};

use crate::clock::Clock;
use crate::config::{Config, Control, Database, InvalidExtraction, Store};
use crate::events::{Events, Subscriptions};
use crate::language::Language;
use crate::scenarios::{Foundation, Scenarios};
use crate::tenants::placement::health;
use crate::tenants::{MigrationCoordinator, TenantStoreRouter};

/// Why something that the configuration names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or a database cannot be used as it is.
    #[error("{part}: {refusal}{}", cause(refusal.as_ref()))]
    Refused {
        /// Which part of Segue it is for.
        part: Part,
        /// What is wrong with it, and what to do.
        refusal: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A setting of a database is not allowed.
    #[error("{part}: {}: {invalid}", invalid.setting)]
    Setting {
        /// Which part of Segue it is for.
        part: Part,
        /// What is wrong and what is allowed.
        invalid: InvalidSetting,
    },
    /// A setting of the language model is not allowed.
    #[error(transparent)]
    Language(InvalidExtraction),
    /// The default store is none of the configured ones.
    #[error("stores.default names {0}, but no [stores.{0}] is configured")]
    NoDefault(StoreId),
}

/// What lies at the bottom of a refusal, such as what the server said.
fn cause(refusal: &(dyn std::error::Error + Send + Sync)) -> String {
    let mut deepest = refusal.source();
    while let Some(source) = deepest.and_then(std::error::Error::source) {
        deepest = Some(source);
    }
    deepest.map_or_else(String::new, |source| format!(" ({source})"))
}

/// A part of Segue that has a file or a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The control plane.
    Control,
    /// An event store.
    Store(StoreId),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control => f.write_str("the control plane"),
            Self::Store(id) => write!(f, "event store {id}"),
        }
    }
}

/// Everything that the server keeps, open.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The control plane.
    pub control: Arc<dyn ControlPlane>,
    /// The event stores.
    pub router: Arc<TenantStoreRouter>,
    /// Scenario migration on both.
    pub scenarios: Scenarios,
    /// Applications' access to the logs.
    pub events: Events,
    /// Named consumers of the logs.
    pub subscriptions: Subscriptions,
    /// Moves of tenants between the stores. It carries nothing on before it is told to attend.
    pub moves: MigrationCoordinator,
}

impl Opened {
    /// Opens everything. A database that is away is waited for in the background.
    ///
    /// # Errors
    /// When a file or a database is damaged, of another program or of a newer Segue, or may not be
    /// written. What is refused is left as it was.
    pub async fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let language = config.extraction.as_ref();
        let language = language.map(|settings| Language::open(settings, clock.clone()));
        let language = language.transpose().map_err(Error::Language)?;
        let mut remote = Vec::new();
        let control = control(&config.control, &mut remote)?;
        let default = config.stores.default.clone();
        let first = config.stores.by_id.get(default.as_str());
        let first = first.ok_or_else(|| Error::NoDefault(default.clone()))?;
        let first = store(&default, first, &mut remote)?;
        let mut router = TenantStoreRouter::new(control.clone(), default.clone(), first);
        for (id, configured) in config.stores.by_id.iter().filter(|(id, _)| **id != default) {
            router.register_store(id.clone(), store(id, configured, &mut remote)?);
        }
        let timeout = config.tenant_migration.write_pause_timeout;
        router.set_write_pause_timeout(Duration::from_secs_f64(timeout));
        reach(remote).await?;
        let router = Arc::new(router);
        tokio::spawn(follow(control.changes(), Arc::downgrade(&router)));
        let settings = config.scenario_migration.clone();
        let scenarios = Scenarios::on(Foundation {
            control: control.clone(),
            router: router.clone(),
            clock: clock.clone(),
            config: settings,
            language,
        });
        let events = Events::new(router.clone(), clock.clone());
        let subscriptions = Subscriptions::new(control.clone(), router.clone(), clock.clone());
        let settings = config.tenant_migration.of_this_process();
        let moves = MigrationCoordinator::new(router.clone(), clock, settings);
        Ok(Self { control, router, scenarios, events, subscriptions, moves })
    }

    /// Says whether everything can be read and written now.
    ///
    /// # Errors
    /// What cannot, and why.
    pub async fn ready(&self) -> crate::Result<()> {
        self.control.check().await?;
        let healths = self.router.stores().map(|(id, store)| async move {
            health(store).await.map_err(|error| crate::Error::of_store(id, error))
        });
        join_all(healths).await.into_iter().collect()
    }
}

/// Forgets what the router remembers as soon as it may have changed. Nothing depends on it: a store refuses
/// what comes by a stale route.
async fn follow(mut changes: Changes, router: Weak<TenantStoreRouter>) {
    loop {
        let changed = changes.next().await;
        match router.upgrade() {
            Some(router) => router.forget(changed),
            None => return,
        }
    }
}

/// Opens the control plane alone.
///
/// # Errors
/// As [`Opened::open`], and when it is away.
pub async fn open_control(configured: &Control) -> Result<Arc<dyn ControlPlane>, Error> {
    let mut remote = Vec::new();
    let control = control(configured, &mut remote)?;
    for remote in remote {
        remote.ready().await.map_err(|error| refused(remote.part(), error))?;
    }
    Ok(control)
}

fn control(configured: &Control, remote: &mut Vec<Remote>) -> Result<Arc<dyn ControlPlane>, Error> {
    let part = Part::Control;
    let opened = match &configured.url {
        Database::Sqlite(path) => control::sqlite::Control::open(path),
        Database::Memory => control::sqlite::Control::in_memory(),
        Database::Postgres(url) => {
            let settings = configured.options.settings(url);
            let settings = settings.map_err(|invalid| Error::Setting { part, invalid })?;
            let opened = control::postgres::Control::open(settings);
            let opened = opened.map_err(|error| refused(Part::Control, error))?;
            remote.push(Remote::Control(opened.clone()));
            return Ok(Arc::new(opened));
        }
    };
    match opened {
        Ok(opened) => Ok(Arc::new(opened)),
        Err(error) => Err(refused(part, error)),
    }
}

fn store(
    id: &StoreId,
    configured: &Store,
    remote: &mut Vec<Remote>,
) -> Result<Arc<dyn EventStore>, Error> {
    let part = Part::Store(id.clone());
    match configured {
        Store::Sqlite { path } => match SqliteEventStore::open(path) {
            Ok(opened) => Ok(Arc::new(opened)),
            Err(error) => Err(refused(part, error)),
        },
        Store::Memory => Ok(Arc::new(MemoryEventStore::new())),
        Store::Postgres { url, options } => {
            let settings = options.settings(url);
            let settings =
                settings.map_err(|invalid| Error::Setting { part: part.clone(), invalid })?;
            let opened = PostgresEventStore::open(settings);
            let opened = Arc::new(opened.map_err(|error| refused(part, error))?);
            remote.push(Remote::Store(id.clone(), opened.clone()));
            Ok(opened)
        }
    }
}

fn refused(part: Part, refusal: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Refused { part, refusal: Box::new(refusal) }
}

/// Something that lies on a server of its own, and may be away.
#[derive(Debug)]
enum Remote {
    Control(control::postgres::Control),
    Store(StoreId, Arc<PostgresEventStore>),
}

impl Remote {
    fn part(&self) -> Part {
        match self {
            Self::Control(_) => Part::Control,
            Self::Store(id, _) => Part::Store(id.clone()),
        }
    }

    async fn ready(&self) -> Result<(), OpenError> {
        match self {
            Self::Control(control) => control.ready().await,
            Self::Store(_, store) => store.ready().await,
        }
    }
}

/// Finds out what can be reached, and what can be used.
async fn reach(remote: Vec<Remote>) -> Result<(), Error> {
    let reached = join_all(remote.iter().map(Remote::ready)).await;
    for (remote, reached) in remote.into_iter().zip(reached) {
        match reached {
            Ok(()) => {}
            Err(error) if error.reason.passes() => {
                tracing::warn!(
                    part = %remote.part(),
                    "{error}{}; this server starts without it and answers 503 until it is there",
                    cause(&error)
                );
                tokio::spawn(wait_for(remote));
            }
            Err(error) => return Err(refused(remote.part(), error)),
        }
    }
    Ok(())
}

/// Asks until the database is there. Requests ask too; this one sees to it that the schema is in order,
/// and the log tells, before the first of them comes.
async fn wait_for(remote: Remote) {
    let mut known = None;
    loop {
        match remote.ready().await {
            Ok(()) => {
                tracing::info!(part = %remote.part(), "it is there, and in order");
                return;
            }
            Err(error) => {
                if !error.reason.passes() && known.as_ref() != Some(&error.reason) {
                    tracing::error!(part = %remote.part(), "{error}{}", cause(&error));
                }
                known = Some(error.reason);
            }
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// How often a database that is away is asked for. Most of the time the answer is known and costs nothing.
const ASK_EVERY: Duration = Duration::from_millis(250);
