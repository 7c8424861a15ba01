//! Opens what the configuration names: the control plane, every event store, and the router over them.

use std::sync::Arc;
use std::time::Duration;

use segue_core::ids::StoreId;
use segue_store::control::ControlPlane;
use segue_store::control::sqlite::Control;
use segue_store::events::sqlite::SqliteEventStore;
use segue_store::events::{EventStore, MemoryEventStore};

use crate::clock::Clock;
use crate::config::{Config, Database, Store};
use crate::events::{Events, Subscriptions};
use crate::scenarios::Scenarios;
use crate::tenants::TenantStoreRouter;

/// Why something that the configuration names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be used.
    #[error("{part}: {refusal}")]
    File {
        /// `the control plane` or `event store <id>`.
        part: String,
        /// What is wrong with the file, and what to do.
        refusal: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The kind of database is not part of this version.
    #[error("{part}: PostgreSQL is not built into this version; use SQLite")]
    NoPostgres {
        /// `the control plane` or `event store <id>`.
        part: String,
    },
    /// The default store is none of the configured ones.
    #[error("stores.default names {0}, but no [stores.{0}] is configured")]
    NoDefault(StoreId),
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
}

impl Opened {
    /// Opens everything.
    ///
    /// # Errors
    /// When a file is damaged, of another program or of a newer Segue, or cannot be written. A file that
    /// is refused is left as it was.
    pub fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let control = control(&config.control.url)?;
        let default = config.stores.default.clone();
        let first = config.stores.by_id.get(default.as_str());
        let first = store(&default, first.ok_or_else(|| Error::NoDefault(default.clone()))?)?;
        let mut router = TenantStoreRouter::new(control.clone(), default.clone(), first);
        for (id, configured) in config.stores.by_id.iter().filter(|(id, _)| **id != default) {
            router.register_store(id.clone(), store(id, configured)?);
        }
        let timeout = config.tenant_migration.write_pause_timeout;
        router.set_write_pause_timeout(Duration::from_secs_f64(timeout));
        let router = Arc::new(router);
        let settings = config.scenario_migration.clone();
        let scenarios = Scenarios::new(control.clone(), router.clone(), clock.clone(), settings);
        let events = Events::new(router.clone(), clock.clone());
        let subscriptions = Subscriptions::new(control.clone(), router.clone(), clock);
        Ok(Self { control, router, scenarios, events, subscriptions })
    }

    /// Says whether everything can be read and written now.
    ///
    /// # Errors
    /// What cannot, and why.
    pub async fn ready(&self) -> crate::Result<()> {
        self.control.check().await?;
        for (_, store) in self.router.stores() {
            store.health().await?;
        }
        Ok(())
    }
}

fn control(database: &Database) -> Result<Arc<dyn ControlPlane>, Error> {
    let part = "the control plane";
    let opened = match database {
        Database::Sqlite(path) => Control::open(path),
        Database::Memory => Control::in_memory(),
        Database::Postgres(_) => return Err(Error::NoPostgres { part: part.to_owned() }),
    };
    match opened {
        Ok(opened) => Ok(Arc::new(opened)),
        Err(refusal) => Err(Error::File { part: part.to_owned(), refusal: refusal.into() }),
    }
}

fn store(id: &StoreId, configured: &Store) -> Result<Arc<dyn EventStore>, Error> {
    let part = format!("event store {id}");
    match configured {
        Store::Sqlite { path } => match SqliteEventStore::open(path) {
            Ok(opened) => Ok(Arc::new(opened)),
            Err(refusal) => Err(Error::File { part, refusal: refusal.into() }),
        },
        Store::Memory => Ok(Arc::new(MemoryEventStore::new())),
        Store::Postgres { .. } => Err(Error::NoPostgres { part }),
    }
}
