//! A scene: where it begins, who takes part, and how much may go wrong.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use segue_core::ids::MigrationId;
use segue_core::tenancy::migration::{Decision, Rules, Stage};
use segue_core::tenancy::pause::Wish;
use uuid::Uuid;

use super::protocol::{NOW, Protocol};
use super::recovery;
use super::world::World;

/// What an operator may want.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    Start,
    Hold,
    GoOn,
    Fail,
    Abort,
    Reverse,
    Finish,
}

/// How often what may happen still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Left {
    /// Time-outs of a cutover.
    pub time_outs: u8,
    /// Decisions that another process carries the move on.
    pub take_overs: u8,
    /// Coordinators that forget all that they have seen.
    pub crashes: u8,
    /// Stores that are replaced by a standby.
    pub failovers: u8,
    /// Events that are stored otherwise than they came, or rot.
    pub damages: u8,
    /// Looks at one thing alone, so that what a coordinator has seen is of several moments.
    pub glances: u8,
}

/// A small world to search.
pub struct Scene {
    pub protocol: Protocol,
    pub start: World,
    pub rules: Rules,
    /// Each may be given when the one before was, or was left out.
    pub orders: &'static [Order],
    pub coordinators: usize,
    /// How many events each writer has.
    pub events: [u8; 2],
    /// What pausers want, one after the other.
    pub wishes: &'static [Wish],
    pub left: Left,
    /// How many effects may come late, or again.
    pub late_effects: usize,
    /// How many appends may.
    pub late_appends: usize,
    /// Where a scene ends that could go on without end.
    pub max_term: u64,
    /// What must be found in it, by the names of [`super::property`].
    pub finds: &'static [&'static str],
    /// Which properties were found not to hold.
    pub told: [AtomicBool; 6],
    pub known: Mutex<HashMap<World, Result<(), String>>>,
}

impl Scene {
    /// A move to the other store by one coordinator, beside one writer with one event.
    pub fn new() -> Self {
        Self {
            protocol: Protocol::WHOLE,
            start: World::new(),
            rules: recovery::ALONE,
            orders: &[Order::Start],
            coordinators: 1,
            events: [1, 0],
            wishes: &[],
            left: Left::default(),
            late_effects: 0,
            late_appends: 0,
            max_term: u64::MAX,
            finds: &[],
            told: Default::default(),
            known: Mutex::default(),
        }
    }

    /// Begins at some moment of a move that a coordinator carries on alone.
    pub fn during(mut self, is_there: fn(&Stage) -> bool) -> Self {
        let decision = self.decision(Order::Start, &self.start);
        assert!(self.start.decide(&decision, Protocol::WHOLE), "a settled tenant can be moved");
        let at = |world: &World| {
            world.register.moving.as_ref().is_some_and(|moving| is_there(&moving.stage))
        };
        recovery::carried_on_until(&mut self.start, Protocol::WHOLE, &self.rules, at).unwrap();
        self
    }

    /// With more of all that happens in it.
    pub fn deeper(mut self, by: u8) -> Self {
        let more = |left: &mut u8| *left += if *left > 0 { by } else { 0 };
        let Left { time_outs, take_overs, crashes, failovers, damages, glances } = &mut self.left;
        [time_outs, take_overs, crashes, failovers, damages, glances].into_iter().for_each(more);
        self.late_effects += usize::from(by);
        self.late_appends += usize::from(by);
        self.max_term = self.max_term.saturating_add(4 * u64::from(by));
        self
    }

    /// The decision that an order comes to.
    pub fn decision(&self, order: Order, world: &World) -> Decision {
        let migration = MigrationId(Uuid::from_u128(world.register.term.0.into()));
        match order {
            Order::Start => Decision::Start { migration, target: world.owner().other().name() },
            Order::Hold => Decision::Pause,
            Order::GoOn => Decision::Resume,
            Order::Fail => Decision::Fail,
            Order::Abort => Decision::Abort,
            Order::Reverse => Decision::Reverse { migration },
            Order::Finish => Decision::Finish { purge_at: NOW },
        }
    }

    /// Whether nobody is stuck in a world; remembered, for many states share one.
    pub fn is_free(&self, world: &World) -> Result<(), String> {
        if let Some(known) = self.known.lock().unwrap().get(world) {
            return known.clone();
        }
        let found = recovery::check(world, self.protocol, &self.rules);
        self.known.lock().unwrap().insert(world.clone(), found.clone());
        found
    }
}
