//! What must hold in every state, and what must happen in some, or the search would prove nothing.

use std::sync::atomic::Ordering;

use segue_core::ids::Epoch;
use segue_core::tenancy::head::{Access, Mode};
use segue_core::tenancy::migration::{Stage, Step};
use stateright::Property;

use super::log::Log;
use super::scene::Scene;
use super::state::State;
use super::store::Store;
use super::world::Place;
use super::writer::id;

pub const KEPT: &str = "no acknowledged write is lost, doubled or reordered";
pub const COPIED: &str = "one log is the beginning of the other";
pub const OWNED: &str = "one store at most takes writes";
pub const READ: &str = "a log that is read as the present one lacks nothing";
pub const FREE: &str = "nobody is stuck";
pub const JUDGED: &str = "who looks in order sees no contradiction where there is none";

pub const COMMITTED: &str = "the target owns the tenant";
pub const GIVEN_UP: &str = "a cutover is given up after the fence";
pub const ABORTED: &str = "a move is aborted after the fence, and what was copied is purged";
pub const BACK: &str = "the tenant is back in the store that it left";
pub const PURGED: &str = "the old source is purged, and no move is left";
pub const BOTH_WRITTEN: &str = "both stores have acknowledged a write";
pub const TORN: &str = "what was seen at several moments looks like a contradiction";
pub const REPLACED: &str =
    "a store is another one than it was, and the move is decided all the same";
pub const DAMAGED: &str = "a copy is damaged";

pub fn all() -> Vec<Property<Scene>> {
    vec![
        Property::always(KEPT, |scene, state| is_news(scene, 0, is_kept(scene, state))),
        Property::always(COPIED, |scene, state| is_news(scene, 1, are_copies(state))),
        Property::always(OWNED, |scene, state| is_news(scene, 2, is_owned_once(state))),
        Property::always(READ, |scene, state| is_news(scene, 3, is_read_whole(scene, state))),
        Property::always(FREE, |scene, state| is_news(scene, 4, is_free(scene, state))),
        Property::always(JUDGED, |scene, state| is_news(scene, 5, is_judged(scene, state))),
        Property::sometimes(COMMITTED, |_: &Scene, state: &State| {
            is_migrated(state) && state.world.owner() == Place::B
        }),
        Property::sometimes(GIVEN_UP, |_, state: &State| {
            mode(state, state.world.owner()) == Some(Mode::Fenced)
                && matches!(state.stage(), Some(Stage::Reopening { .. }))
        }),
        Property::sometimes(ABORTED, |_, state: &State| {
            // An epoch was burned, and the log was reopened where it was.
            state.stage().is_none()
                && state.world.register.epoch > Epoch(2)
                && mode(state, state.world.owner().other()) == Some(Mode::Tombstone)
        }),
        Property::sometimes(BACK, |_, state: &State| {
            is_migrated(state) && state.world.owner() == Place::A
        }),
        Property::sometimes(PURGED, |_, state: &State| {
            state.stage().is_none()
                && state.world.owner() == Place::B
                && mode(state, Place::A) == Some(Mode::Tombstone)
        }),
        Property::sometimes(BOTH_WRITTEN, |_, state: &State| state.acknowledged == [true; 2]),
        Property::sometimes(TORN, |scene: &Scene, state: &State| {
            state.views.iter().any(|view| {
                let step = view.next(scene.protocol, &scene.rules).map(|(_, step)| step);
                matches!(step, Some(Step::Stop(_)))
                    && view.route.as_ref() == Some(&state.world.register)
            })
        }),
        Property::sometimes(REPLACED, |scene: &Scene, state: &State| {
            state.left.failovers < scene.left.failovers && is_migrated(state)
        }),
        Property::sometimes(DAMAGED, |_, state: &State| {
            state.world.stores.iter().any(|store| store.log != store.log.undamaged())
        }),
    ]
}

/// Keeps the first path to what is wrong, which is the shortest; a later one would replace it.
fn is_news(scene: &Scene, nth: usize, holds: bool) -> bool {
    holds || scene.told[nth].swap(true, Ordering::Relaxed)
}

fn is_migrated(state: &State) -> bool {
    matches!(state.stage(), Some(Stage::Migrated { .. }))
}

fn mode(state: &State, place: Place) -> Option<Mode> {
    state.world.store(place).head.map(|head| head.mode)
}

fn is_kept(scene: &Scene, state: &State) -> bool {
    let owner = state.world.owner();
    let log = state.world.store(owner).log;
    // What rots in the owner's store is lost, but not by the move.
    let log = if state.rotten == Some(owner) { log.undamaged() } else { log };
    let is_doubled = |nth: usize| log.events()[..nth].contains(&log.events()[nth]);
    !(0..log.events().len()).any(is_doubled) && has_acknowledged(scene, state, &log)
}

/// Whether all is there that was acknowledged, in the order of each writer.
fn has_acknowledged(_: &Scene, state: &State, log: &Log) -> bool {
    state.writers.iter().enumerate().all(|(nth, writer)| {
        let sought = (0..writer.acknowledged).map(|event| id(nth, event));
        let places =
            sought.map(|id| log.events().iter().position(|here| *here == id).unwrap_or(usize::MAX));
        places.clone().all(|place| place != usize::MAX) && places.is_sorted()
    })
}

fn is_free(scene: &Scene, state: &State) -> bool {
    scene.is_free(&state.world).is_ok()
}

fn are_copies(state: &State) -> bool {
    let [a, b] = [0, 1].map(|nth| state.world.stores[nth].log.undamaged());
    a.is_comparable(&b)
}

/// The epoch at which a store would take or answer something; nothing if no route has named it.
fn named_epoch(state: &State, store: &Store) -> Option<Epoch> {
    store.head.map(|head| head.epoch).filter(|epoch| !store.is_foreign && state.names(*epoch))
}

fn is_owned_once(state: &State) -> bool {
    let admits =
        |store: &&Store| named_epoch(state, store).is_some_and(|epoch| store.admits(epoch));
    state.world.stores.iter().filter(admits).count() < 2
}

/// Whoever reads by a route that he remembers is answered by the owner, or not at all.
fn is_read_whole(scene: &Scene, state: &State) -> bool {
    state.world.stores.iter().all(|store| {
        let is_read = named_epoch(state, store).is_some_and(|epoch| {
            store.head.is_some_and(|head| head.admits_read(Access::Current(epoch)).is_ok())
        });
        !is_read || has_acknowledged(scene, state, &store.log.undamaged())
    })
}

/// Whoever reads the route, looks at the peer, then at the owner, and finds the route as it was.
fn is_judged(scene: &Scene, state: &State) -> bool {
    state.views.iter().all(|view| {
        let is_current = view.in_order == 3 && view.route.as_ref() == Some(&state.world.register);
        let step = view.next(scene.protocol, &scene.rules).map(|(_, step)| step);
        !(is_current && matches!(step, Some(Step::Stop(_))))
    })
}
