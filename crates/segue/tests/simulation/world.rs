//! A simulated world: what a seed makes of it, and the processes that live in it now.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use segue::tenants::coordinator::Settings;
use segue_core::ids::{StoreId, TenantId};
use segue_core::tenancy::migration::{MigrationConfig, VerificationLevel};
use segue_store::control::By;
use segue_store::control::sqlite::Control;
use segue_store::events::{EventStore, MemoryEventStore};
use segue_store::faulty::Weather;
use uuid::Uuid;

use super::bent::{Bend, Bent};
use super::chance::Chance;
use super::clock::SkewedClock;
use super::fate::Fate;
use super::process::{Databases, Making, Process};
use super::trace::Trace;
use super::truth::Truth;

pub const TENANT: TenantId = TenantId(Uuid::from_u128(7));

/// What may go wrong under a seed.
#[derive(Debug, Clone, Copy)]
pub struct Dangers {
    /// Stores fail, answer late, or are away.
    pub stores: bool,
    /// The control plane does.
    pub control: bool,
    /// Processes end and begin.
    pub kills: bool,
    /// Processes stand still and go on.
    pub freezes: bool,
    /// Operators pause the tenant's writes.
    pub pauses: bool,
    /// Operators change their minds.
    pub whims: bool,
}

impl Dangers {
    fn of(chance: &Chance) -> Self {
        // One seed in eight shows what callers see when nothing is wrong.
        if chance.one_in(8) {
            let (stores, control, kills, freezes) = (false, false, false, false);
            let whims = chance.percent(50);
            return Self { stores, control, kills, freezes, pauses: false, whims };
        }
        Self {
            stores: chance.percent(60),
            control: chance.percent(60),
            kills: chance.percent(60),
            freezes: chance.percent(60),
            pauses: chance.percent(40),
            whims: chance.percent(70),
        }
    }

    /// Whether a client may be answered that something is unavailable.
    pub fn break_calls(self) -> bool {
        self.stores || self.control || self.kills || self.freezes
    }
}

/// Everything that a run is made of.
#[derive(Debug)]
pub struct World {
    pub chance: Chance,
    pub dangers: Dangers,
    pub trace: Arc<Trace>,
    pub truth: Truth,
    pub databases: Databases,
    pub settings: Settings,
    processes: Mutex<Vec<Arc<Process>>>,
    begun: Mutex<u64>,
    is_at_rest: AtomicBool,
}

impl World {
    pub async fn of(seed: u64, bend: Bend) -> Arc<Self> {
        let chance = Chance::new(seed);
        let dangers = Dangers::of(&chance);
        let trace = Arc::new(Trace::new());
        let store = |id: &str| -> (StoreId, Arc<dyn EventStore>) {
            let sound = Arc::new(MemoryEventStore::new());
            (StoreId::new(id).unwrap(), Arc::new(Bent::new(sound, bend)))
        };
        let databases = Databases {
            control: Arc::new(Control::in_memory().unwrap()),
            stores: vec![store("shared"), store("dedicated")],
        };
        let settings = Settings {
            config: MigrationConfig::default(),
            lease: chance.millis(300, 2_000),
            cutover_lease: chance.millis(200, 800),
            look_every: chance.millis(50, 400),
            copies_at_once: 2,
        };
        let world = Arc::new(Self {
            truth: Truth::new(trace.clone()),
            chance: chance.fork(),
            dangers,
            trace,
            databases,
            settings,
            processes: Mutex::default(),
            begun: Mutex::default(),
            is_at_rest: AtomicBool::new(false),
        });
        world.trace.note(format!("seed {seed}: {dangers:?} {:?}", world.settings));
        for nth in 0..usize::try_from(chance.within(2, 3)).unwrap() {
            world.begin(nth);
        }
        let by = By::new("olga", world.processes()[0].clock.now());
        let placed = world.databases.control.place(TENANT, &world.databases.stores[0].0, &by);
        placed.await.unwrap();
        let epoch = segue_core::ids::Epoch(1);
        world.databases.stores[0].1.open_tenant(TENANT, epoch).await.unwrap();
        world
    }

    /// Begins a process in a place, whatever was there before.
    pub fn begin(self: &Arc<Self>, place: usize) {
        let number = {
            let mut begun = self.begun.lock().unwrap();
            *begun += 1;
            *begun
        };
        let chance = self.chance.fork();
        let skew = SignedDuration::from_millis(chance.within(0, 4_000) as i64 - 2_000);
        let making = Making {
            name: format!("p{place}.{number}"),
            settings: self.settings.clone(),
            clock: Arc::new(SkewedClock::new(self.trace.begun(), skew, number)),
            observer: Arc::new(Fate::new(self, place, chance.fork())),
            listens: chance.percent(70),
        };
        self.trace.note(format!("{} begins, {skew:?} off", making.name));
        let process = Arc::new(Process::begin(&self.databases, making));
        let mut processes = self.processes.lock().unwrap();
        match processes.get_mut(place) {
            Some(there) => *there = process,
            None => processes.push(process),
        }
    }

    /// Whether the faults, and whoever worked, have come to their end.
    pub fn is_at_rest(&self) -> bool {
        self.is_at_rest.load(Ordering::Relaxed)
    }

    pub fn rest(&self) {
        self.is_at_rest.store(true, Ordering::Relaxed);
    }

    pub fn processes(&self) -> Vec<Arc<Process>> {
        self.processes.lock().unwrap().clone()
    }

    pub fn process(&self, chance: &Chance) -> Arc<Process> {
        chance.pick(&self.processes.lock().unwrap())
    }

    /// Ends the process in a place; another one takes it after a while.
    pub fn kill(self: &Arc<Self>, place: usize, chance: &Chance) {
        let process = self.processes()[place].clone();
        let arrives = chance.percent(50);
        self.trace.count("processes killed");
        self.trace.note(format!("{} is killed, what it sent arrives: {arrives}", process.name));
        process.kill(arrives);
        let (world, after) = (Arc::downgrade(self), chance.millis(0, 1_500));
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if let Some(world) = world.upgrade()
                && Arc::ptr_eq(&world.processes()[place], &process)
            {
                world.begin(place);
            }
        });
    }

    /// Lets a process stand still for a while.
    pub fn freeze(self: &Arc<Self>, place: usize, chance: &Chance) -> Duration {
        let process = self.processes()[place].clone();
        let time = chance.millis(20, 4_000);
        self.trace.count("processes frozen");
        self.trace.note(format!("{} is frozen for {time:?}", process.name));
        process.freeze();
        let trace = self.trace.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            trace.note(format!("{} goes on", process.name));
            process.thaw();
        });
        time
    }

    pub fn config(&self, chance: &Chance) -> MigrationConfig {
        let level = [VerificationLevel::Count, VerificationLevel::Hash, VerificationLevel::Full];
        MigrationConfig {
            batch_size: chance.pick(&[1, 3, 10, 50, 1_000]),
            sync_lag_threshold: chance.pick(&[0, 1, 10, 100]),
            sync_check_interval: chance.pick(&[0.05, 0.2, 0.5]),
            cutover_timeout_seconds: chance.pick(&[0.05, 0.2, 0.5, 1.0, 2.0]),
            verification_level: chance.pick(&level),
            sample_percentage: chance.pick(&[100.0, 100.0, 50.0]),
            enable_tracing: false,
            enable_metrics: false,
            max_bulk_copy_rate: chance.pick(&[None, None, None, Some(300.0)]),
            synchronous_dual_write: chance.percent(20),
            auto_cutover: chance.percent(25),
            keep_way_back: chance.percent(80),
            source_retention_seconds: chance.within(0, 1),
            allow_unsafe_durability: true,
        }
    }
}

/// What the weather is like for a while.
pub fn weather(chance: &Chance) -> Weather {
    Weather {
        seed: chance.seed(),
        before_per_mille: chance.below(150),
        after_per_mille: chance.below(150),
        delay_per_mille: chance.below(200),
        longest_delay: chance.millis(1, 600),
    }
}
