//! A coordinator: what it has seen, and the steps that come of it.

use segue_core::digest::Mark;
use segue_core::ids::Term;
use segue_core::tenancy::Route;
use segue_core::tenancy::head::Head;
use segue_core::tenancy::migration::{Decision, Effect, Rules, Sight, Step};

use super::log::Log;
use super::protocol::Protocol;
use super::scene::{Left, Scene};
use super::state::State;
use super::store::{Answer, Page, Request};
use super::world::{Place, World};

/// What one process has seen, each thing at some time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct View {
    pub route: Option<Route>,
    pub heads: [Option<Head>; 2],
    pub read_back: Mark,
    /// The term at which it has purged the peer to its end.
    pub purged: Option<Term>,
    /// How far it has looked in the order route, peer, owner; then nothing that contradicts the route can
    /// be an older thing than what it contradicts.
    pub in_order: u8,
}

/// What a look is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Look {
    /// The route and both heads, in one moment.
    Everything,
    Route,
    Head(Place),
}

/// What a coordinator does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Look(Look),
    Decide(Decision),
    ReadBack,
    /// Asks a store, which does it at once.
    Ask(Place, Request),
    /// Asks a store, where it arrives later.
    Send(Place, Request),
    /// Forgets everything.
    Crash,
}

impl Default for View {
    fn default() -> Self {
        let read_back = Mark::START;
        Self { route: None, heads: [None; 2], read_back, purged: None, in_order: 0 }
    }
}

impl View {
    /// Looks; to nothing where a store that is not known any more does not answer.
    fn look(&mut self, look: Look, world: &World) -> Option<()> {
        let answers = |place: Place| !world.store(place).is_foreign;
        match look {
            Look::Everything => {
                Place::BOTH.into_iter().all(answers).then_some(())?;
                self.learn(&world.register);
                self.heads = Place::BOTH.map(|place| world.store(place).head);
            }
            Look::Route => {
                self.learn(&world.register);
                self.in_order = 1;
            }
            Look::Head(place) => {
                answers(place).then_some(())?;
                let owner = self.route.as_ref().map(|route| Place::of(&route.store_id));
                self.in_order = match (self.in_order, owner == Some(place)) {
                    (1, false) => 2,
                    (2, true) => 3,
                    _ => 0,
                };
                self.heads[place as usize] = world.store(place).head;
            }
        }
        Some(())
    }

    /// Takes a route for the present one. What was read back for another move proves nothing for this.
    fn learn(&mut self, route: &Route) {
        let migration = |route: &Route| route.moving.as_ref().map(|moving| moving.migration);
        if self.route.as_ref().is_none_or(|known| migration(known) != migration(route)) {
            self.read_back = Mark::START;
        }
        self.purged = self.purged.filter(|term| *term == route.term);
        (self.in_order, self.route) = (0, Some(route.clone()));
    }

    pub fn next(&self, protocol: Protocol, rules: &Rules) -> Option<(&Route, Step)> {
        let route = self.route.as_ref()?;
        let owner = Place::of(&route.store_id);
        let sight = Sight {
            owner: self.heads[owner as usize],
            peer: self.heads[owner.other() as usize],
            read_back: self.read_back,
            preflight_passed: true,
            is_purged: self.purged == Some(route.term),
        };
        Some((route, protocol.next(route, &sight, rules)))
    }
}

impl Scene {
    pub fn coordinator_acts(&self, state: &State, who: usize) -> Vec<Act> {
        let view = &state.views[who];
        let mut acts = vec![Act::Look(Look::Everything)];
        if state.left.glances > 0 && view.route.is_some() {
            let heads = Place::BOTH.map(Look::Head);
            acts.extend([Look::Route].into_iter().chain(heads).map(Act::Look));
        }
        if state.left.crashes > 0 && *view != View::default() {
            acts.push(Act::Crash);
        }
        if state.left.take_overs > 0 && view.route.as_ref() == Some(&state.world.register) {
            acts.push(Act::Decide(Decision::TakeOver));
        }
        let patient = view.next(self.protocol, &self.rules);
        let hasty = (state.left.time_outs > 0)
            .then(|| view.next(self.protocol, &Rules { is_over_budget: true, ..self.rules }))
            .flatten()
            .filter(|step| Some(step) != patient.as_ref());
        for (route, step) in patient.into_iter().chain(hasty) {
            match step {
                Step::Decide(decision) => acts.push(Act::Decide(decision)),
                Step::Perform(Effect::ReadBack) => acts.push(Act::ReadBack),
                Step::Perform(effect) => {
                    let asked = state.world.request(route, &view.heads, &effect);
                    acts.extend(asked.into_iter().flat_map(|asked| self.ways(state, asked)));
                }
                Step::Wait(_) | Step::Over | Step::Stop(_) => {}
            }
        }
        acts
    }

    /// How a request reaches its store. What did not fit into a page of events follows it: a page without
    /// events, which brings states of streams.
    fn ways(&self, state: &State, (place, request): (Place, Request)) -> Vec<Act> {
        let mut acts = vec![Act::Ask(place, request)];
        if state.late_effects() < self.late_effects {
            acts.push(Act::Send(place, request));
            if let Request::Import(page @ Page { prepare: None, .. }) = request {
                let after = self.protocol.extended(page.after, page.events.events());
                let states = Page { after, events: Log::default(), ..page };
                acts.push(Act::Send(place, Request::Import(states)));
            }
        }
        acts
    }

    pub fn coordinator_acted(&self, state: &mut State, who: usize, act: Act) -> Option<()> {
        match act {
            Act::Look(look) => {
                state.left.glances -= u8::from(look != Look::Everything);
                state.views[who].look(look, &state.world)?;
            }
            Act::Decide(decision) => self.decided(state, who, &decision)?,
            Act::ReadBack => {
                let view = &mut state.views[who];
                let peer = Place::of(&view.route.as_ref()?.store_id).other();
                view.read_back = state.world.read_back(peer, view.read_back, self.protocol)?;
            }
            Act::Ask(place, request) => {
                let answer = state.world.deliver(place, &request, self.protocol);
                if let (Request::Purge { term, .. }, Answer::Done) = (request, answer) {
                    state.views[who].purged = Some(term);
                }
            }
            Act::Send(place, request) => state.send(place, request),
            Act::Crash => {
                state.left.crashes -= 1;
                state.views[who] = View::default();
            }
        }
        Some(())
    }

    fn decided(&self, state: &mut State, who: usize, decision: &Decision) -> Option<()> {
        let known = state.views[who].route.clone()?;
        if self.protocol.compares(decision) {
            (known.term == state.world.register.term).then_some(())?;
            state.world.decide(decision, self.protocol).then_some(())?;
        } else {
            state.world.register = self.protocol.record(&known, decision)?;
        }
        let Left { time_outs, take_overs, .. } = &mut state.left;
        *take_overs -= u8::from(*decision == Decision::TakeOver);
        let gives_up = matches!(decision, Decision::GiveUp { .. });
        *time_outs = time_outs.saturating_sub(u8::from(gives_up));
        state.views[who].learn(&state.world.register);
        state.name_epoch();
        Some(())
    }
}
