//! A world whose stores and control plane fail on command, and coordinators that stop at a named point.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use segue::tenants::coordinator::{Observer, When};
use segue_core::ids::TenantId;
use segue_store::control::sqlite::Control;
use segue_store::events::MemoryEventStore;
use segue_store::faulty::{FaultyControl, FaultyEventStore};
use tokio::sync::Notify;

use super::World;

/// A world in memory with faults. Every process of it meets the same ones.
pub struct Faulty {
    pub world: World,
    pub control: Arc<FaultyControl>,
    pub shared: Arc<FaultyEventStore>,
    pub dedicated: Arc<FaultyEventStore>,
}

impl Faulty {
    /// With a coordinator at work.
    pub async fn attended() -> Self {
        let faulty = Self::new().await;
        faulty.world.moves.attend();
        faulty
    }

    /// With a history, and one coordinator at work, which stops at a named step.
    pub async fn stopping(name: &'static str, when: When) -> (Self, Arc<StopAt>, World) {
        let faulty = Self::new().await;
        faulty.world.append("history", 10).await;
        let stop = StopAt::new(name, when);
        let first = faulty.world.another(Some(stop.clone()));
        first.moves.attend();
        (faulty, stop, first)
    }

    /// With nobody who carries anything on yet.
    pub async fn new() -> Self {
        let control = Arc::new(FaultyControl::around(Arc::new(Control::in_memory().unwrap())));
        let store = || Arc::new(FaultyEventStore::around(Arc::new(MemoryEventStore::new())));
        let (shared, dedicated) = (store(), store());
        let world = World::placed(control.clone(), shared.clone(), dedicated.clone()).await;
        Self { world, control, shared, dedicated }
    }
}

/// Stops the coordinator at a named step, for good or until it is told to go on.
#[derive(Debug, Default)]
pub struct StopAt {
    at: Mutex<HashSet<(&'static str, When)>>,
    reached: Notify,
    go_on: Notify,
}

impl StopAt {
    pub fn new(name: &'static str, when: When) -> Arc<Self> {
        Arc::new(Self { at: Mutex::new(HashSet::from([(name, when)])), ..Self::default() })
    }

    /// Waits until the coordinator stands there.
    pub async fn reached(&self) {
        let reached = tokio::time::timeout(Duration::from_secs(120), self.reached.notified());
        reached.await.unwrap_or_else(|_| panic!("nobody came to {:?}", self.at));
    }

    /// Lets it go on, and never stops it again.
    pub fn go_on(&self) {
        self.at.lock().unwrap().clear();
        self.go_on.notify_one();
    }
}

#[async_trait]
impl Observer for StopAt {
    async fn step(&self, _: TenantId, name: &'static str, when: When) {
        if self.at.lock().unwrap().contains(&(name, when)) {
            self.reached.notify_one();
            self.go_on.notified().await;
        }
    }
}
