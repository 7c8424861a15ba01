//! A state of a scene, and the steps from it to others.

use segue_core::ids::Epoch;
use segue_core::tenancy::Route;
use segue_core::tenancy::migration::Stage;
use stateright::{Model, Property};

use super::coordinator::{self, View};
use super::fault::Fault;
use super::pauser;
use super::scene::{Left, Order, Scene};
use super::store::Request;
use super::world::{Place, World};
use super::writer::{self, Writer};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub world: World,
    /// The epochs that some route has named, as bits.
    pub named: u32,
    /// Requests that may arrive at any time, any number of times.
    pub late: Vec<(Place, Request)>,
    pub views: Vec<View>,
    pub writers: [Writer; 2],
    /// What each pauser has decided, or found decided.
    pub pausers: Vec<Option<Route>>,
    /// The route by which a store is seen to that is another one than it was.
    pub guard: Option<Route>,
    /// The first order that can still be given.
    pub order: usize,
    pub left: Left,
    /// The store in which an event has rotted.
    pub rotten: Option<Place>,
    /// In which stores a write was acknowledged.
    pub acknowledged: [bool; 2],
}

/// What may happen next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Operator(usize, Order),
    Coordinator(usize, coordinator::Act),
    Writer(usize, writer::Act),
    Pauser(usize, pauser::Act),
    /// A late request, by its number.
    Arrival(usize, Arrival),
    Store(Place, Fault),
}

/// How something late arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    Whole,
    /// The writer does not hear of it.
    Unanswered,
    /// What is stored is not what came, and the store does not notice.
    Damaged,
}

impl State {
    pub fn late_appends(&self) -> usize {
        self.late.iter().filter(|(_, late)| matches!(late, Request::Append { .. })).count()
    }

    pub fn late_effects(&self) -> usize {
        self.late.len() - self.late_appends()
    }

    pub fn send(&mut self, place: Place, request: Request) {
        if !self.late.contains(&(place, request)) {
            self.late.push((place, request));
        }
    }

    pub fn name_epoch(&mut self) {
        self.named |= 1 << self.world.register.epoch.0;
    }

    pub fn names(&self, epoch: Epoch) -> bool {
        self.named & (1 << epoch.0) != 0
    }

    pub fn stage(&self) -> Option<&Stage> {
        self.world.register.moving.as_ref().map(|moving| &moving.stage)
    }
}

impl Scene {
    fn arrivals(&self, state: &State, nth: usize) -> Vec<Arrival> {
        let other = match state.late[nth].1 {
            Request::Append { .. } => Some(Arrival::Unanswered),
            Request::Import(_) => (state.left.damages > 0).then_some(Arrival::Damaged),
            Request::Swap(_) | Request::Claim { .. } | Request::Purge { .. } => None,
        };
        [Arrival::Whole].into_iter().chain(other).collect()
    }

    fn arrived(&self, state: &mut State, nth: usize, arrival: Arrival) {
        let (place, request) = state.late[nth];
        let before = state.world.store(place).log;
        match request {
            Request::Append { .. } => {
                self.append(state, place, &request, arrival != Arrival::Unanswered);
            }
            Request::Import(_)
            | Request::Swap(_)
            | Request::Claim { .. }
            | Request::Purge { .. } => {
                state.world.deliver(place, &request, self.protocol);
            }
        }
        let store = &mut state.world.stores[place as usize];
        if arrival == Arrival::Damaged && store.log != before {
            store.log.damage_last();
            state.left.damages -= 1;
        }
    }

    fn ordered(&self, state: &mut State, nth: usize, order: Order) -> Option<()> {
        let decision = self.decision(order, &state.world);
        state.world.decide(&decision, self.protocol).then_some(())?;
        if order == Order::Finish {
            // The purge comes after a retention, which everything until now has outlived.
            state.world.stores.iter_mut().for_each(|store| store.undone.clear());
        }
        state.order = nth + 1;
        state.name_epoch();
        Some(())
    }
}

impl Model for Scene {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let world = self.start.clone();
        // What they knew before anything moved.
        let route = Some((Place::A, Epoch(1)));
        vec![State {
            named: (0..=world.register.epoch.0).map(|epoch| 1 << epoch).sum(),
            world,
            late: Vec::new(),
            views: vec![View::default(); self.coordinators],
            writers: [Writer { route, acknowledged: 0 }; 2],
            pausers: vec![None; self.wishes.len()],
            guard: None,
            order: 0,
            left: self.left,
            rotten: None,
            acknowledged: [false; 2],
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let orders = self.orders.iter().enumerate().skip(state.order);
        actions.extend(orders.map(|(nth, order)| Action::Operator(nth, *order)));
        for who in 0..state.views.len() {
            let acts = self.coordinator_acts(state, who).into_iter();
            actions.extend(acts.map(|act| Action::Coordinator(who, act)));
        }
        for who in 0..state.writers.len() {
            let acts = self.writer_acts(state, who).into_iter();
            actions.extend(acts.map(|act| Action::Writer(who, act)));
        }
        for nth in 0..state.pausers.len() {
            let acts = self.pauser_acts(state, nth).into_iter();
            actions.extend(acts.map(|act| Action::Pauser(nth, act)));
        }
        for nth in 0..state.late.len() {
            let arrivals = self.arrivals(state, nth).into_iter();
            actions.extend(arrivals.map(|arrival| Action::Arrival(nth, arrival)));
        }
        for place in Place::BOTH {
            let faults = self.faults(state, place).into_iter();
            actions.extend(faults.map(|fault| Action::Store(place, fault)));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Operator(nth, order) => self.ordered(&mut state, nth, order)?,
            Action::Coordinator(who, act) => self.coordinator_acted(&mut state, who, act)?,
            Action::Writer(who, act) => self.writer_acted(&mut state, who, act)?,
            Action::Pauser(nth, act) => self.pauser_acted(&mut state, nth, act)?,
            Action::Arrival(nth, arrival) => self.arrived(&mut state, nth, arrival),
            Action::Store(place, fault) => self.failed(&mut state, place, fault)?,
        }
        (state != *last).then_some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.world.register.term.0 <= self.max_term
    }

    fn properties(&self) -> Vec<Property<Self>> {
        super::property::all()
    }
}
