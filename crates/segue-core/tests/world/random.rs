//! Random versions, changes and customers, for properties.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use segue_core::ids::{ScenarioId, Version};
use segue_core::scenario::{Scenario, Step, Transition};
use uuid::Uuid;

use super::{field, step};

/// What branches depend on: known, unknown and unknowable.
const CONDITIONS: [Option<&str>; 8] = [
    None,
    Some("a > 5"),
    Some("a <= 5"),
    Some("b == 'x'"),
    Some("b != 'x' and c"),
    Some("d < 3"),
    Some("otherwise"),
    Some("the customer sounds angry"),
];

/// A step in the making.
#[derive(Debug, Clone)]
pub struct Draft {
    asks: Vec<&'static str>,
    is_checkpoint: bool,
    is_required: bool,
    ways: Vec<(Index, Index, i64)>,
}

fn draft() -> impl Strategy<Value = Draft> {
    let asks = proptest::sample::subsequence(vec!["a", "b", "c", "d", "e"], 0..2);
    let ways = vec((any::<Index>(), any::<Index>(), -1..2i64), 0..4);
    (asks, proptest::bool::weighted(0.2), proptest::bool::weighted(0.1), ways).prop_map(
        |(asks, is_checkpoint, is_required, ways)| Draft { asks, is_checkpoint, is_required, ways },
    )
}

/// A first version: steps of different meanings, ways anywhere, cycles included.
pub fn version() -> impl Strategy<Value = Scenario> {
    vec(draft(), 2..9).prop_map(|drafts| {
        let count = drafts.len();
        let steps = drafts
            .into_iter()
            .enumerate()
            .map(|(nth, draft)| {
                let mut made = make(&format!("s{nth}"), &draft);
                for (to, condition, priority) in &draft.ways {
                    let to = format!("s{}", to.index(count));
                    made.transitions.push(way(&to, condition, *priority));
                }
                // Mostly one can go on.
                if nth + 1 < count {
                    made.transitions.push(Transition {
                        to_step_id: step(&format!("s{}", nth + 1)),
                        condition_text: Some("a > 5".to_owned()),
                        priority: 0,
                        condition_fields: Vec::new(),
                    });
                }
                made
            })
            .collect();
        Scenario {
            id: ScenarioId(Uuid::from_u128(1)),
            name: "Random".to_owned(),
            description: None,
            version: Version(1),
            entry_step_id: step("s0"),
            steps,
        }
    })
}

fn make(id: &str, draft: &Draft) -> Step {
    Step {
        id: step(id),
        name: id.to_owned(),
        description: None,
        transitions: Vec::new(),
        rule_ids: Vec::new(),
        collects_profile_fields: draft.asks.iter().map(|name| field(name)).collect(),
        is_checkpoint: draft.is_checkpoint,
        checkpoint_description: None,
        is_entry: false,
        is_terminal: false,
        performs_action: draft.is_required,
        is_required_action: draft.is_required,
    }
}

fn way(to: &str, condition: &Index, priority: i64) -> Transition {
    Transition {
        to_step_id: step(to),
        condition_text: condition.get(&CONDITIONS).map(str::to_owned),
        priority,
        condition_fields: Vec::new(),
    }
}

/// What an operator does to a version.
#[derive(Debug, Clone)]
pub enum Change {
    /// A step on an existing way.
    Insert(Index, Index, Draft),
    /// A step is dropped; who came there goes on to where it first led.
    Delete(Index),
    /// A step means something else now.
    Edit(Index),
    /// A step gets another way on.
    Branch(Index, Index, Index, i64),
    /// A way leads elsewhere.
    Turn(Index, Index, Index),
    /// A way asks something else.
    Ask(Index, Index, Index),
}

pub fn changes() -> impl Strategy<Value = Vec<Change>> {
    let any_ix = any::<Index>;
    vec(
        prop_oneof![
            3 => (any_ix(), any_ix(), draft()).prop_map(|(s, w, d)| Change::Insert(s, w, d)),
            2 => any_ix().prop_map(Change::Delete),
            1 => any_ix().prop_map(Change::Edit),
            2 => (any_ix(), any_ix(), any_ix(), -1..3i64)
                .prop_map(|(s, to, c, p)| Change::Branch(s, to, c, p)),
            1 => (any_ix(), any_ix(), any_ix()).prop_map(|(s, w, to)| Change::Turn(s, w, to)),
            1 => (any_ix(), any_ix(), any_ix()).prop_map(|(s, w, c)| Change::Ask(s, w, c)),
        ],
        0..6,
    )
}

/// The next version.
pub fn changed(old: &Scenario, changes: &[Change]) -> Scenario {
    let mut new = old.clone();
    new.version = old.version.next();
    for (nth, change) in changes.iter().enumerate() {
        let fresh = format!("v{}n{nth}", new.version);
        apply(&mut new, change, &fresh);
    }
    new
}

fn apply(scenario: &mut Scenario, change: &Change, fresh: &str) {
    let count = scenario.steps.len();
    let ids: Vec<_> = scenario.steps.iter().map(|step| step.id.clone()).collect();
    let way_of = |step: &mut Step, way: &Index| {
        let ways = step.transitions.len();
        (ways > 0).then(|| way.index(ways))
    };
    match change {
        Change::Insert(at, way, draft) => {
            let from = &mut scenario.steps[at.index(count)];
            let Some(way) = way_of(from, way) else { return };
            let mut made = make(fresh, draft);
            made.transitions.push(Transition {
                to_step_id: from.transitions[way].to_step_id.clone(),
                condition_text: None,
                priority: 0,
                condition_fields: Vec::new(),
            });
            for (to, condition, priority) in &draft.ways {
                let to = to.get(&ids).as_str().to_owned();
                made.transitions.push(self::way(&to, condition, *priority));
            }
            from.transitions[way].to_step_id = step(fresh);
            scenario.steps.push(made);
        }
        Change::Delete(at) => {
            let gone = at.index(count);
            if count < 2 || scenario.steps[gone].id == scenario.entry_step_id {
                return;
            }
            let gone = scenario.steps.remove(gone);
            let onward =
                gone.transitions.iter().map(|way| &way.to_step_id).find(|to| **to != gone.id);
            for step in &mut scenario.steps {
                match onward {
                    Some(onward) => {
                        for way in &mut step.transitions {
                            if way.to_step_id == gone.id {
                                way.to_step_id = onward.clone();
                            }
                        }
                    }
                    None => step.transitions.retain(|way| way.to_step_id != gone.id),
                }
            }
        }
        Change::Edit(at) => scenario.steps[at.index(count)].name = fresh.to_owned(),
        Change::Branch(at, to, condition, priority) => {
            let to = to.get(&ids).as_str().to_owned();
            scenario.steps[at.index(count)].transitions.push(way(&to, condition, *priority));
        }
        Change::Turn(at, way, to) => {
            let from = &mut scenario.steps[at.index(count)];
            if let Some(way) = way_of(from, way) {
                from.transitions[way].to_step_id = to.get(&ids).clone();
            }
        }
        Change::Ask(at, way, condition) => {
            let from = &mut scenario.steps[at.index(count)];
            if let Some(way) = way_of(from, way) {
                from.transitions[way].condition_text =
                    condition.get(&CONDITIONS).map(str::to_owned);
            }
        }
    }
}

/// The same version with other ids and its steps in another order.
pub fn renamed(scenario: &Scenario) -> Scenario {
    let mut new = scenario.clone();
    let other = |id: &segue_core::ids::StepId| step(&format!("other-{id}"));
    new.entry_step_id = other(&new.entry_step_id);
    for step in &mut new.steps {
        step.id = other(&step.id);
        for way in &mut step.transitions {
            way.to_step_id = other(&way.to_step_id);
        }
    }
    new.steps.reverse();
    new
}
