//! A path through a scene, for people to read.

use std::fmt;

use segue_core::digest::Mark;
use segue_core::tenancy::head::Head;
use segue_core::tenancy::migration::{Decision, Stage};
use segue_core::tenancy::{Phase, Route};
use stateright::Path;

use super::coordinator::{self, Look};
use super::pauser;
use super::state::{Action, State};
use super::store::{Request, Store};
use super::world::{Place, World};
use super::writer;

/// Every step, and the world after it where it is another one.
pub fn told(path: Path<State, Action>) -> String {
    let mut lines = String::new();
    let steps = path.into_vec();
    for (nth, (state, _)) in steps.iter().enumerate() {
        let before = nth.checked_sub(1).map(|nth| &steps[nth]);
        if let Some((last, Some(action))) = before {
            lines += &format!("{nth:>4}. {}\n", Told(last, action));
        }
        if before.is_none_or(|(last, _)| last.world != state.world) {
            lines += &format!("        {}\n", state.world);
        }
    }
    lines
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | A {} | B {}", Shown(&self.register), self.stores[0], self.stores[1])
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.head {
            Some(head) => write!(f, "{} {:?}", Shown(&head), self.log)?,
            None => f.write_str("–")?,
        }
        if self.is_foreign { f.write_str(" (another incarnation)") } else { Ok(()) }
    }
}

/// Values of the core, in a few letters.
struct Shown<'a, T>(&'a T);

impl fmt::Display for Shown<'_, Head> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Head { mode, epoch, term, .. } = self.0;
        write!(f, "{mode} @{epoch} t{term}")
    }
}

impl fmt::Display for Shown<'_, Route> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Route { epoch, term, phase, moving, .. } = self.0;
        write!(f, "t{term}: {:?} @{epoch}", Place::of(&self.0.store_id))?;
        if let Phase::Paused { .. } = phase {
            f.write_str(" paused")?;
        }
        let Some(moving) = moving else { return Ok(()) };
        match &moving.stage {
            Stage::CutoverPaused { next, decided, .. } => {
                write!(f, " cutover to @{next} decided t{decided}")?;
            }
            Stage::Reopening { then, .. } => write!(f, " reopening, then {then:?}")?,
            Stage::Migrated { at } => write!(f, " migrated at {}", at.position)?,
            Stage::Finishing { .. } => f.write_str(" finishing")?,
            stage => write!(f, " {stage:?}")?,
        }
        write!(f, ", claim t{}", moving.claim)
    }
}

impl fmt::Display for Shown<'_, Mark> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.position)
    }
}

impl fmt::Display for Shown<'_, Request> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Request::Append { id, epoch } => write!(f, "append {id:02x} @{epoch}"),
            Request::Swap(swap) => write!(
                f,
                "{} @{} → {} @{} t{}",
                swap.expect_mode, swap.expect_epoch, swap.mode, swap.epoch, swap.term
            ),
            Request::Claim { epoch, term } => write!(f, "claim @{epoch} t{term}"),
            Request::Import(page) => {
                write!(f, "import {:?} after {} t{}", page.events, Shown(&page.after), page.term)?;
                match page.prepare {
                    Some(epoch) => write!(f, ", prepare @{epoch}"),
                    None => Ok(()),
                }
            }
            Request::Purge { epoch, term } => write!(f, "purge @{epoch} t{term}"),
        }
    }
}

/// What somebody does in a state.
struct Told<'a>(&'a State, &'a Action);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(state, action) = self;
        match action {
            Action::Operator(_, order) => write!(f, "operator: {order:?}"),
            Action::Coordinator(who, act) => write!(f, "coordinator {who} {}", Shown(act)),
            Action::Writer(who, act) => {
                let route = state.writers[*who].route;
                match act {
                    writer::Act::ReadRoute => write!(f, "writer {who} reads the route"),
                    writer::Act::Append { is_answered: true } => {
                        write!(f, "writer {who} appends by {route:?}")
                    }
                    writer::Act::Append { is_answered: false } => {
                        write!(f, "writer {who} appends by {route:?}, and hears nothing")
                    }
                    writer::Act::Send => write!(f, "writer {who} appends late by {route:?}"),
                }
            }
            Action::Pauser(_, pauser::Act::Complete) => {
                f.write_str("a writer completes what pausers have decided")
            }
            Action::Pauser(nth, act) => write!(f, "pauser {nth}: {act:?}"),
            Action::Arrival(nth, arrival) => {
                let (place, request) = &state.late[*nth];
                write!(f, "arrives in {place:?}, {arrival:?}: {}", Shown(request))
            }
            Action::Store(place, fault) => write!(f, "{place:?}: {fault:?}"),
        }
    }
}

impl fmt::Display for Shown<'_, coordinator::Act> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use coordinator::Act;
        match self.0 {
            Act::Look(Look::Everything) => f.write_str("looks"),
            Act::Look(look) => write!(f, "looks at {look:?}"),
            Act::Decide(Decision::Commit { at }) => {
                write!(f, "decides: commit at {}", Shown(at))
            }
            Act::Decide(decision) => write!(f, "decides: {}", decision.action()),
            Act::ReadBack => f.write_str("reads back"),
            Act::Ask(place, request) => write!(f, "to {place:?}: {}", Shown(request)),
            Act::Send(place, request) => write!(f, "to {place:?}, late: {}", Shown(request)),
            Act::Crash => f.write_str("crashes"),
        }
    }
}
