//! What outlives every process: the register and the stores.

use std::sync::LazyLock;

use segue_core::digest::Mark;
use segue_core::ids::{Epoch, StoreId, Term};
use segue_core::tenancy::Route;
use segue_core::tenancy::head::{Head, HeadSwap, Mode};
use segue_core::tenancy::migration::{Decision, Effect, Side};
use segue_core::tenancy::pause::{self, Gate, Seen};
use segue_core::tenancy::restored;

use super::log::{Id, Log};
use super::protocol::{Protocol, Rule};
use super::store::{Answer, Page, Request, Store};

/// One of the two stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    A,
    B,
}

/// An event of nobody who takes part.
const BEFORE: Id = 0x40;

static NAMES: LazyLock<[StoreId; 2]> =
    LazyLock::new(|| ["a", "b"].map(|name| name.parse().unwrap()));

impl Place {
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    pub fn of(id: &StoreId) -> Self {
        if *id == NAMES[0] { Self::A } else { Self::B }
    }

    pub fn name(self) -> StoreId {
        NAMES[self as usize].clone()
    }

    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub register: Route,
    pub stores: [Store; 2],
    /// Whether stores may forget what they did last.
    pub fails_over: bool,
}

impl World {
    /// A new tenant that lives in A.
    pub fn new() -> Self {
        let register = Route::first(Place::A.name());
        let head = Some(Head::opened(register.epoch));
        let stores = [Store { head, ..Store::default() }, Store::default()];
        Self { register, stores, fails_over: false }
    }

    /// The same, and stores may forget what they did last. There is an event, so that heads which are
    /// forgotten belong to a log.
    pub fn forgetful() -> Self {
        let mut world = Self { fails_over: true, ..Self::new() };
        let append = Request::Append { id: BEFORE, epoch: Epoch(1) };
        world.deliver(Place::A, &append, Protocol::WHOLE);
        world
    }

    pub fn store(&self, place: Place) -> &Store {
        &self.stores[place as usize]
    }

    pub fn owner(&self) -> Place {
        Place::of(&self.register.store_id)
    }

    pub fn deliver(&mut self, place: Place, request: &Request, protocol: Protocol) -> Answer {
        let answer = self.stores[place as usize].take(request, protocol);
        if !self.fails_over {
            self.stores.iter_mut().for_each(|store| store.undone.clear());
        }
        answer
    }

    /// Whether a writer that reads the route now can write.
    pub fn takes_writes(&self) -> bool {
        !self.register.holds_writes() && self.store(self.owner()).admits(self.register.epoch)
    }

    /// What an effect asks of a store, by somebody who knows this route and has seen these heads; nothing
    /// where the pages to send cannot be read. Pages are read now.
    pub fn request(
        &self,
        route: &Route,
        heads: &[Option<Head>; 2],
        effect: &Effect,
    ) -> Option<(Place, Request)> {
        let owner = Place::of(&route.store_id);
        let place = |side| match side {
            Side::Owner => owner,
            Side::Peer => owner.other(),
        };
        match effect {
            Effect::SwapOwner(swap) => Some((owner, Request::Swap(*swap))),
            Effect::Retire(swap) => Some((owner.other(), Request::Swap(*swap))),
            Effect::Claim { side, epoch, term } => {
                Some((place(*side), Request::Claim { epoch: *epoch, term: *term }))
            }
            Effect::Purge { epoch, term } => {
                Some((owner.other(), Request::Purge { epoch: *epoch, term: *term }))
            }
            Effect::Copy => {
                let term = route.moving.as_ref()?.claim;
                let page = self.page(heads, owner.other(), None)?;
                Some((owner.other(), Request::Import(Page { term, prepare: None, ..page })))
            }
            Effect::Drain { into, to, epoch, term } => {
                let into = place(*into);
                let page = self.page(heads, into, Some(to.position.0.try_into().unwrap()))?;
                let (term, prepare) = (*term, Some(*epoch));
                Some((into, Request::Import(Page { term, prepare, ..page })))
            }
            Effect::Preflight | Effect::ReadBack => None,
        }
    }

    /// What a copy lacks, as far as it was seen, up to an end.
    fn page(&self, heads: &[Option<Head>; 2], into: Place, end: Option<usize>) -> Option<Page> {
        let after = heads[into as usize]?.mark();
        let begin = usize::try_from(after.position.0).unwrap();
        let mut page = Page { term: Term(0), after, events: Log::default(), prepare: None };
        if end == Some(begin) {
            // Nothing is lacking, so the other store need not have it any more.
            return Some(page);
        }
        let from = self.readable(into.other())?;
        let lacking = from.events().get(begin..end.unwrap_or(from.len()))?;
        lacking.iter().for_each(|id| page.events.push(*id));
        Some(page)
    }

    /// The log as movers read it.
    fn readable(&self, place: Place) -> Option<&Log> {
        let store = self.store(place);
        let is_there = store.head.is_some_and(|head| head.mode != Mode::Tombstone);
        (is_there && !store.is_foreign).then_some(&store.log)
    }

    /// The watermark after what the peer has stored was read back from it on.
    pub fn read_back(&self, place: Place, from: Mark, protocol: Protocol) -> Option<Mark> {
        let log = self.readable(place)?;
        let begin = usize::try_from(from.position.0).unwrap();
        match log.events().get(begin..) {
            Some(events) => Some(protocol.extended(from, events)),
            None => Some(protocol.extended(Mark::START, log.events())),
        }
    }

    pub fn decide(&mut self, decision: &Decision, protocol: Protocol) -> bool {
        let Some(after) = protocol.record(&self.register, decision) else { return false };
        self.register = after;
        true
    }

    /// What is left to do about a pause by somebody who knows this route: see `TenantStoreRouter::settle`.
    pub fn settle(&self, route: &Route) -> Option<(Place, Request)> {
        let place = Place::of(&route.store_id);
        let head = self.store(place).head?;
        let gate = match head.mode {
            Mode::Open | Mode::Prepared => Gate::Open,
            Mode::Fenced => Gate::Shut,
            Mode::Moved | Mode::Copying | Mode::Tombstone => return None,
        };
        let seen = Seen { epoch: head.epoch, gate, term: head.term };
        let pause::Effect::Set { gate, term } = pause::effect(route, &seen) else { return None };
        let mode = match gate {
            Gate::Open => Mode::Open,
            Gate::Shut => Mode::Fenced,
        };
        Some((place, Request::Swap(HeadSwap { term, ..swap(&head, head.epoch, mode) })))
    }

    /// Sees to a store that was replaced; from then on it is known again.
    pub fn guarded(&mut self, place: Place, route: &Route, protocol: Protocol) {
        let request = self.guard(place, route, protocol);
        self.stores[place as usize].is_foreign = false;
        if let Some(request) = request {
            self.deliver(place, &request, protocol);
        }
    }

    /// What makes a store that was replaced do what a route wants.
    fn guard(&self, place: Place, route: &Route, protocol: Protocol) -> Option<Request> {
        let head = self.store(place).head?;
        if head.mode == Mode::Fenced && !protocol.keeps(Rule::EveryHeadIsSet) {
            return None;
        }
        restored::mend(route, &place.name(), &head).map(Request::Swap)
    }
}

/// A swap of a head that was seen, at no term yet.
pub fn swap(head: &Head, epoch: Epoch, mode: Mode) -> HeadSwap {
    HeadSwap {
        expect_epoch: head.epoch,
        expect_mode: head.mode,
        expect_mark: None,
        term: Term(0),
        epoch,
        mode,
    }
}
