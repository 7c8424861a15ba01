//! What goes wrong in a store, and who sees to it.

use segue_core::tenancy::head::Mode;

use super::protocol::Rule;
use super::scene::Scene;
use super::state::State;
use super::world::Place;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its standby takes over, which has the nth of the heads that were not known to be on both.
    FailOver(usize),
    /// Whoever looks after a store that is another one than it was reads the route.
    GuardReads,
    /// Sets the head as that route wants it, and tells that this store is known.
    GuardActs,
    /// The last event of the owner is not what was appended any more.
    Rot,
    /// Without the rule that none does.
    FenceExpires,
}

impl Scene {
    pub fn faults(&self, state: &State, place: Place) -> Vec<Fault> {
        let store = state.world.store(place);
        let is_fenced = store.head.is_some_and(|head| head.mode == Mode::Fenced);
        let expires = is_fenced && !self.protocol.keeps(Rule::FencesDoNotExpire);
        let rots = state.left.damages > 0
            && place == state.world.owner()
            && !store.log.events().is_empty();
        let guard = store.is_foreign.then_some(match state.guard {
            None => Fault::GuardReads,
            Some(_) => Fault::GuardActs,
        });
        let mut faults: Vec<_> = guard.into_iter().collect();
        if state.left.failovers > 0 {
            faults.extend((0..store.undone.len()).map(Fault::FailOver));
        }
        faults.extend(rots.then_some(Fault::Rot));
        faults.extend(expires.then_some(Fault::FenceExpires));
        faults
    }

    pub fn failed(&self, state: &mut State, place: Place, fault: Fault) -> Option<()> {
        let world = &mut state.world;
        let store = &mut world.stores[place as usize];
        match fault {
            Fault::FailOver(nth) => {
                state.left.failovers -= 1;
                store.head = store.undone[nth];
                store.undone.truncate(nth);
                store.is_foreign = self.protocol.keeps(Rule::IncarnationsAreChecked);
            }
            Fault::GuardReads => state.guard = Some(world.register.clone()),
            Fault::GuardActs => world.guarded(place, &state.guard.take()?, self.protocol),
            Fault::Rot => {
                state.left.damages -= 1;
                store.log.damage_last();
                state.rotten = Some(place);
            }
            Fault::FenceExpires => store.head.as_mut()?.mode = Mode::Open,
        }
        Some(())
    }
}
