//! An operator who pauses the tenant's writes, or resumes them: `tenancy::pause`.

use segue_core::tenancy::Route;
use segue_core::tenancy::pause::decide;

use super::protocol::NOW;
use super::scene::Scene;
use super::state::State;
use super::world::Place;

/// What a pauser does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Decide,
    /// Sees to the store that its decision names.
    Settle,
    /// The same, where it arrives later.
    Send,
    /// A writer that meets a fence does so, by the present route.
    Complete,
}

impl Scene {
    /// A pauser decides when the one before has.
    pub fn pauser_acts(&self, state: &State, nth: usize) -> Vec<Act> {
        let mut acts = Vec::new();
        let is_settled = |route: &Route| state.world.settle(route).is_none();
        match &state.pausers[nth] {
            None if nth > 0 && state.pausers[nth - 1].is_none() => {}
            None => acts.push(Act::Decide),
            Some(route) if is_settled(route) => {}
            Some(_) => {
                acts.push(Act::Settle);
                acts.extend((state.late_effects() < self.late_effects).then_some(Act::Send));
            }
        }
        if nth == 0 && !is_settled(&state.world.register) {
            acts.push(Act::Complete);
        }
        acts
    }

    pub fn pauser_acted(&self, state: &mut State, nth: usize, act: Act) -> Option<()> {
        let asked = |state: &State| -> Option<(Place, _)> {
            state.world.settle(state.pausers[nth].as_ref()?)
        };
        match act {
            Act::Decide => {
                let register = &mut state.world.register;
                if let Some(phase) = decide(self.wishes[nth], register, NOW).ok()? {
                    (register.phase, register.term) = (phase, register.term.next());
                }
                state.pausers[nth] = Some(register.clone());
            }
            Act::Settle => {
                let (place, request) = asked(state)?;
                state.world.deliver(place, &request, self.protocol);
            }
            Act::Send => {
                let (place, request) = asked(state)?;
                state.send(place, request);
            }
            Act::Complete => {
                let (place, request) = state.world.settle(&state.world.register)?;
                state.world.deliver(place, &request, self.protocol);
            }
        }
        Some(())
    }
}
