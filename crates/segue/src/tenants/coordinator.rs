//! Moving tenants between stores: what callers ask for, and who carries it on.
//!
//! What is asked for is a decision in the control plane, made here by compare-and-swap, in whichever process
//! the caller came to. What follows from it is carried on by one process at a time, the migration's
//! coordinator ([`driver`]): it asks the core for the next step, performs it, and asks again. It keeps
//! nothing that matters. While it is alive it says so now and then; when it falls silent another process
//! takes over ([`attend`]). That two of them believe to be it costs time and nothing else: the older one's
//! decisions are refused by the control plane, and its effects by the stores.

mod abandon;
mod at;
mod attempt;
mod attend;
mod beat;
mod decide;
mod driver;
mod effects;
pub mod lifecycle;
pub mod repair;
mod spans;
mod trouble;
pub mod verification;
mod wait;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use segue_core::ids::{MigrationId, StoreId, TenantId};
use segue_core::tenancy::Route;
use segue_core::tenancy::migration::{MigrationConfig, MigrationState};
use segue_store::control::migrations::{self as row, Filter};
use segue_store::control::{self, ControlPlane, Page};
use segue_store::events::EventStore;
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::course::{Course, Courses, Source};
use super::migration::Migration;
use super::migration_error::MigrationError;
use super::preflight::{DryRun, Preflight};
use super::router::TenantStoreRouter;
use crate::clock::Clock;
use crate::error::{Error, Kind, Result};

pub use wait::Outcome;

/// How a process carries migrations on.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How a migration is made that says nothing else.
    pub config: MigrationConfig,
    /// How long a coordinator may be silent before another process takes over.
    pub lease: Duration,
    /// The same while writes wait for it.
    pub cutover_lease: Duration,
    /// How often a process looks for migrations that nobody carries on.
    pub look_every: Duration,
    /// How many bulk copies work at the same time in this process; the others wait for their turn.
    pub copies_at_once: usize,
}

impl Settings {
    /// How long a coordinator may be silent where a route stands.
    fn lease_in(&self, route: &Route) -> Duration {
        if route.is_cut_over() { self.cutover_lease.min(self.lease) } else { self.lease }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            config: MigrationConfig::default(),
            lease: Duration::from_secs(5),
            cutover_lease: Duration::from_secs(1),
            look_every: Duration::from_secs(1),
            copies_at_once: 4,
        }
    }
}

/// When an observer is told of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum When {
    /// Before it is made.
    Before,
    /// After it was made, and before anything else is.
    After,
}

/// Is told of every decision and effect of a coordinator, by its name. It may take its time, or never
/// return: a test stops a coordinator there, as a crash would.
#[async_trait]
pub trait Observer: fmt::Debug + Send + Sync {
    /// A step is about to be made, or was made.
    async fn step(&self, tenant: TenantId, name: &'static str, when: When);
}

/// Looks away.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Observer for Nobody {
    async fn step(&self, _: TenantId, _: &'static str, _: When) {}
}

/// Moves tenants between the stores of a router. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MigrationCoordinator {
    shared: Arc<Shared>,
    /// With the last clone, this process stops carrying anything on.
    _alive: Arc<Alive>,
}

/// Stops what a coordinator does when it is dropped.
#[derive(Debug)]
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// What the parts of a coordinator share.
#[derive(Debug)]
pub(super) struct Shared {
    control: Arc<dyn ControlPlane>,
    router: Arc<TenantStoreRouter>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    /// This process, as the others know it.
    process: Uuid,
    /// Turns of bulk copies.
    copies: Semaphore,
    /// The migrations that this process carries on.
    driven: Mutex<BTreeMap<MigrationId, Driven>>,
    attending: Mutex<Option<[AbortHandle; 2]>>,
    /// How active migrations went, as this process saw them.
    courses: Courses,
    observer: Arc<dyn Observer>,
}

/// A migration that this process carries on.
#[derive(Debug)]
struct Driven {
    tenant: TenantId,
    /// Told when something may have been decided.
    news: Arc<Notify>,
    task: AbortHandle,
}

impl MigrationCoordinator {
    /// A coordinator for the tenants of a router. It carries nothing on before
    /// [`MigrationCoordinator::attend`].
    #[must_use]
    pub fn new(router: Arc<TenantStoreRouter>, clock: Arc<dyn Clock>, settings: Settings) -> Self {
        Self::observed(router, clock, settings, Arc::new(Nobody))
    }

    /// As [`MigrationCoordinator::new`], with somebody who is told of every step.
    #[must_use]
    pub fn observed(
        router: Arc<TenantStoreRouter>,
        clock: Arc<dyn Clock>,
        settings: Settings,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let process = clock.new_id();
        router.set_process(process);
        let copies = Semaphore::new(settings.copies_at_once.max(1));
        let shared = Arc::new(Shared {
            control: Arc::clone(router.control()),
            router,
            clock,
            settings,
            process,
            copies,
            driven: Mutex::default(),
            attending: Mutex::default(),
            courses: Courses::default(),
            observer,
        });
        Self { _alive: Arc::new(Alive(Arc::clone(&shared))), shared }
    }

    /// This process, as the audit names it.
    #[must_use]
    pub fn process(&self) -> Uuid {
        self.shared.process
    }

    /// The settings of a migration that says nothing else.
    #[must_use]
    pub fn config(&self) -> &MigrationConfig {
        &self.shared.settings.config
    }

    /// Reads a migration.
    ///
    /// # Errors
    /// [`MigrationError::NotFound`].
    pub async fn get_migration(&self, id: MigrationId) -> Result<Migration> {
        self.shared.row(id).await.map(Migration::from)
    }

    /// How a migration went, as this process saw it while it attended; nothing of one that it never saw.
    #[must_use]
    pub fn course(&self, id: MigrationId) -> Course {
        self.shared.courses.of(id)
    }

    /// What the control plane keeps of a migration.
    pub(super) async fn row(&self, id: MigrationId) -> Result<row::Migration> {
        self.shared.row(id).await
    }

    /// Takes note of how a migration is now.
    pub(super) fn saw(&self, migration: &row::Migration) {
        if migration.is_active {
            let now = self.shared.clock.now();
            self.shared.courses.see(std::slice::from_ref(migration), now, Source::Stores);
        }
    }

    /// Where tenants live.
    pub(super) fn router(&self) -> &TenantStoreRouter {
        &self.shared.router
    }

    /// A page of migrations, the newest first.
    ///
    /// # Errors
    /// [`Error::BadCursor`]; [`Error::Unavailable`].
    pub async fn list_migrations(
        &self,
        filter: &Filter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<MigrationPage> {
        let after = cursor.map(str::parse::<control::Cursor>).transpose();
        let after = after.map_err(|_| Error::BadCursor)?;
        let page = self.shared.control.list_migrations(filter, Page { limit, after }).await?;
        Ok(MigrationPage {
            migrations: page.items.into_iter().map(Migration::from).collect(),
            total: page.total,
            next_cursor: page.next.map(|next| next.to_string()),
        })
    }

    /// How many events the target is behind, as both stores say now.
    ///
    /// # Errors
    /// [`MigrationError::NotFound`]; [`Error::Unavailable`].
    pub async fn get_sync_lag(&self, id: MigrationId) -> Result<u64> {
        let migration = self.shared.row(id).await?;
        if !migration.is_active {
            return Ok(0);
        }
        let route = self.shared.route(migration.tenant_id).await?;
        let peer =
            if route.store_id == migration.target { &migration.source } else { &migration.target };
        let owner = self.shared.router.store(&route.store_id)?.head(migration.tenant_id).await?;
        let copied = match self.shared.router.store(peer)?.head(migration.tenant_id).await {
            Ok(head) => head.position.0,
            Err(segue_store::events::Error::NotFound { .. }) => 0,
            Err(error) => return Err(Error::of_store(peer, error)),
        };
        Ok(owner.position.0.saturating_sub(copied))
    }

    /// What starting a migration would come to. Nothing is changed.
    ///
    /// # Errors
    /// As [`MigrationCoordinator::start_migration`].
    pub async fn dry_run(
        &self,
        tenant: TenantId,
        target: &StoreId,
        config: &MigrationConfig,
    ) -> Result<DryRun> {
        let (source, stores) = self.shared.ends(tenant, target).await?;
        self.shared.settled(tenant).await?;
        let preflight = Preflight {
            control: &self.shared.control,
            tenant,
            source: (&source, &stores.0),
            target: (target, &stores.1),
            config,
        };
        preflight.dry_run().await
    }
}

/// A page of migrations.
#[derive(Debug, Clone, PartialEq)]
pub struct MigrationPage {
    /// The migrations.
    pub migrations: Vec<Migration>,
    /// How many there are in all.
    pub total: u64,
    /// Where the next page begins; `None` when this was the last.
    pub next_cursor: Option<String>,
}

/// The stores that a tenant comes from and goes to.
type Stores = (Arc<dyn EventStore>, Arc<dyn EventStore>);

impl Shared {
    async fn row(&self, id: MigrationId) -> Result<row::Migration> {
        self.control.migration(id).await.map_err(|error| match error {
            control::Error::NotFound(_) => MigrationError::NotFound { migration_id: id }.into(),
            other => other.into(),
        })
    }

    async fn route(&self, tenant: TenantId) -> Result<segue_core::tenancy::Route> {
        let route = self.router.refresh(tenant).await?;
        route.ok_or_else(|| Error::NotFound { kind: Kind::Tenant, id: tenant.to_string() })
    }

    /// Refuses a tenant that is on the move, or not yet done with the last one.
    async fn settled(&self, tenant: TenantId) -> Result<()> {
        let Some(moving) = self.route(tenant).await?.moving else { return Ok(()) };
        let state = MigrationState::from(&moving.stage);
        let (tenant_id, migration_id) = (tenant, moving.migration);
        Err(MigrationError::AlreadyExists { tenant_id, migration_id, state }.into())
    }

    /// Where a tenant is, and both stores of a move to another one.
    async fn ends(&self, tenant: TenantId, target: &StoreId) -> Result<(StoreId, Stores)> {
        let into = self.router.store_named(target)?;
        let source = self.route(tenant).await?.store_id;
        if source == *target {
            let (tenant_id, store) = (tenant, source);
            return Err(MigrationError::SameStore { tenant_id, store }.into());
        }
        let from = self.router.store(&source)?;
        Ok((source, (from, into)))
    }

    fn driven(&self) -> MutexGuard<'_, BTreeMap<MigrationId, Driven>> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets who carried a migration on here, unless that is another by now.
    fn forget(&self, id: MigrationId, news: &Arc<Notify>) {
        let mut driven = self.driven();
        if driven.get(&id).is_some_and(|driven| Arc::ptr_eq(&driven.news, news)) {
            driven.remove(&id);
        }
    }

    /// Lets whoever carries a tenant's migration on here look at what was decided.
    fn nudge(&self, tenant: Option<TenantId>) {
        for driven in self.driven().values() {
            if tenant.is_none_or(|tenant| tenant == driven.tenant) {
                driven.news.notify_one();
            }
        }
    }
}
