//! One process of the simulation: a router, a coordinator, and its own lines to the databases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use segue::clock::Clock;
use segue::tenants::coordinator::{Observer, Settings};
use segue::tenants::{MigrationCoordinator, TenantStoreRouter};
use segue_core::ids::StoreId;
use segue_store::control::{By, ControlPlane};
use segue_store::events::EventStore;
use segue_store::faulty::{FaultyControl, FaultyEventStore};
use tokio::task::AbortHandle;

/// The databases that all processes share.
#[derive(Debug, Clone)]
pub struct Databases {
    pub control: Arc<dyn ControlPlane>,
    pub stores: Vec<(StoreId, Arc<dyn EventStore>)>,
}

/// A process.
#[derive(Debug)]
pub struct Process {
    pub name: String,
    pub control: Arc<FaultyControl>,
    pub stores: Vec<Arc<FaultyEventStore>>,
    pub router: Arc<TenantStoreRouter>,
    pub moves: MigrationCoordinator,
    pub clock: Arc<dyn Clock>,
    listening: Option<AbortHandle>,
    is_dead: AtomicBool,
}

/// How a process is made.
#[derive(Debug)]
pub struct Making {
    pub name: String,
    pub settings: Settings,
    pub clock: Arc<dyn Clock>,
    pub observer: Arc<dyn Observer>,
    /// Whether it is told of what others decide.
    pub listens: bool,
}

impl Process {
    /// Begins a process.
    pub fn begin(databases: &Databases, making: Making) -> Self {
        let Making { name, settings, clock, observer, listens } = making;
        let control = Arc::new(FaultyControl::around(databases.control.clone()));
        let faulty =
            |store: &Arc<dyn EventStore>| Arc::new(FaultyEventStore::around(store.clone()));
        let stores: Vec<_> = databases.stores.iter().map(|(_, store)| faulty(store)).collect();
        let ids = databases.stores.iter().map(|(id, _)| id.clone());
        let mut named = ids.zip(stores.iter().cloned());
        let (first, store) = named.next().unwrap();
        let mut router = TenantStoreRouter::new(control.clone(), first, store);
        named.for_each(|(id, store)| router.register_store(id, store));
        let router = Arc::new(router);
        let moves =
            MigrationCoordinator::observed(router.clone(), clock.clone(), settings, observer);
        moves.attend();
        let listening = listens.then(|| {
            let (mut changes, router) = (control.changes(), Arc::downgrade(&router));
            let listening = tokio::spawn(async move {
                loop {
                    let changed = changes.next().await;
                    let Some(router) = router.upgrade() else { return };
                    router.forget(changed);
                }
            });
            listening.abort_handle()
        });
        let is_dead = AtomicBool::new(false);
        Self { name, control, stores, router, moves, clock, listening, is_dead }
    }

    /// Whoever acts in it is in the audit by its name.
    pub fn by(&self) -> By {
        By::new(self.name.clone(), self.clock.now())
    }

    /// Stands still, as under SIGSTOP: whatever it was about to do is done when it goes on.
    pub fn freeze(&self) {
        self.control.hold();
        self.stores.iter().for_each(|store| store.hold());
    }

    pub fn thaw(&self) {
        self.control.release();
        self.stores.iter().for_each(|store| store.release());
    }

    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Relaxed)
    }

    /// Ends it. What it has sent may still arrive, or not.
    pub fn kill(&self, arrives: bool) {
        self.is_dead.store(true, Ordering::Relaxed);
        self.moves.stop();
        self.listening.iter().for_each(AbortHandle::abort);
        if !arrives {
            self.control.crash();
            self.stores.iter().for_each(|store| store.crash());
        }
        self.thaw();
    }

    /// Ends every fault.
    pub fn mend(&self) {
        self.control.mend();
        self.stores.iter().for_each(|store| store.mend());
    }
}
