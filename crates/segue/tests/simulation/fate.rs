//! What happens to a coordinator at a step: mostly nothing.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use segue::tenants::coordinator::{Observer, When};
use segue_core::ids::TenantId;
use segue_store::faulty::{Call, Fault, Operation};

use super::chance::Chance;
use super::trouble::{control_away, store_away};
use super::world::World;

/// Strikes the coordinator of one place at steps that the seed chooses.
#[derive(Debug)]
pub struct Fate {
    world: Weak<World>,
    place: usize,
    chance: Chance,
}

impl Fate {
    pub fn new(world: &Arc<World>, place: usize, chance: Chance) -> Self {
        Self { world: Arc::downgrade(world), place, chance }
    }

    /// How many of such steps go well before one does not, on average: those that are rare are struck more.
    fn rarity(name: &str) -> u64 {
        match name {
            "copy" | "read_back" => 100,
            "cut_over" | "fence" | "drain" | "commit" | "give_up" | "reopen" | "reopened" => 6,
            _ => 10,
        }
    }
}

#[async_trait]
impl Observer for Fate {
    async fn step(&self, _: TenantId, name: &'static str, when: When) {
        let Some(world) = self.world.upgrade() else { return };
        let process = world.processes()[self.place].clone();
        world.trace.note(format!("{} {when:?} {name}", process.name));
        if world.is_at_rest() || !self.chance.one_in(Self::rarity(name)) {
            return;
        }
        let dangers = world.dangers;
        match self.chance.below(6) {
            0 if dangers.kills => {
                world.trace.note(format!("{} dies {when:?} {name}", process.name));
                world.kill(self.place, &self.chance);
                std::future::pending::<()>().await;
            }
            1 if dangers.freezes => {
                let time = world.freeze(self.place, &self.chance);
                tokio::time::sleep(time).await;
            }
            2 if dangers.control => {
                let fault = self.fault();
                world.trace.note(format!("{}: the next decision meets {fault:?}", process.name));
                process.control.inject_next(Call::DecideMigration, fault);
            }
            3 if dangers.stores => {
                let operation = self.chance.pick(&[
                    Operation::SwapHead,
                    Operation::BeginCopy,
                    Operation::Import,
                    Operation::Retire,
                    Operation::Purge,
                    Operation::Rewind,
                    Operation::Head,
                    Operation::ReadLog,
                ]);
                let fault = self.fault();
                world.trace.note(format!("{}: next {operation:?}: {fault:?}", process.name));
                self.chance.pick(&process.stores).inject_next(operation, fault);
            }
            4 if dangers.stores => store_away(&world, &self.chance),
            5 if dangers.control => control_away(&world, &self.chance),
            _ => {}
        }
    }
}

impl Fate {
    fn fault(&self) -> Fault {
        match self.chance.below(3) {
            0 => Fault::Before,
            1 => Fault::After,
            _ => Fault::Delay(self.chance.millis(1, 3_000)),
        }
    }
}
