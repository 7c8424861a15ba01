//! Versions that are made from few bytes, so that a fuzzer gets somewhere.

use arbitrary::Arbitrary;
use segue_core::ids::{FieldName, ScenarioId, StepId, Version};
use segue_core::scenario::{Scenario, Step, Transition};
use uuid::Uuid;

/// How many steps a version has at most.
const STEPS: usize = 12;

/// How many ways lead out of a step at most.
const WAYS: usize = 5;

/// The fields that steps ask for and conditions are about.
pub const FIELDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// What ways depend on: known, unknown, unknowable and wrong.
const CONDITIONS: [&str; 16] = [
    "",
    "a > 5",
    "a <= 5",
    "b == 'x'",
    "b != 'x' and c",
    "d < 3",
    "otherwise",
    "the customer sounds angry",
    "a in [1, 2, 3]",
    "has(e.f)",
    "size(b) > 2",
    "!(c)",
    "f ? a > 1 : c",
    "a + 1 > 9223372036854775807",
    "e == null",
    "d.startsWith('2026')",
];

/// A step in the making.
#[derive(Debug, Clone, Arbitrary)]
pub struct Draft {
    asks: Vec<u8>,
    /// Checkpoint, action, required, terminal: a bit each; the rest tells steps of one meaning apart.
    flags: u8,
    ways: Vec<Way>,
}

#[derive(Debug, Clone, Arbitrary)]
struct Way {
    to: u8,
    condition: u8,
    priority: i8,
}

/// A version of these steps; validation may refuse it.
pub fn version(number: u64, drafts: &[Draft]) -> Scenario {
    let drafts = &drafts[..drafts.len().min(STEPS)];
    let count = drafts.len().max(1);
    let mut steps: Vec<Step> =
        drafts.iter().enumerate().map(|(nth, draft)| step(nth, draft, count)).collect();
    if steps.is_empty() {
        steps.push(step(0, &Draft { asks: Vec::new(), flags: 8, ways: Vec::new() }, 1));
    }
    Scenario {
        id: ScenarioId(Uuid::from_u128(1)),
        name: "Fuzz".to_owned(),
        description: None,
        version: Version(number),
        entry_step_id: steps[0].id.clone(),
        steps,
    }
}

fn step(nth: usize, draft: &Draft, count: usize) -> Step {
    let has = |bit: u8| draft.flags & bit != 0;
    let asks = draft.asks.iter().take(3).map(|nth| {
        FieldName::new(FIELDS[usize::from(*nth) % FIELDS.len()]).expect("a word is a name")
    });
    let mut asks: Vec<FieldName> = asks.collect();
    asks.sort();
    asks.dedup();
    let ways = draft.ways.iter().take(if has(8) { 0 } else { WAYS }).map(|way| Transition {
        to_step_id: id(usize::from(way.to) % count),
        condition_text: Some(CONDITIONS[usize::from(way.condition) % CONDITIONS.len()].to_owned()),
        priority: way.priority.into(),
        condition_fields: Vec::new(),
    });
    Step {
        id: id(nth),
        name: format!("step {}", draft.flags >> 4),
        description: None,
        transitions: ways.collect(),
        rule_ids: Vec::new(),
        collects_profile_fields: asks,
        is_checkpoint: has(1),
        checkpoint_description: None,
        is_entry: false,
        is_terminal: has(8),
        performs_action: has(2) || has(4),
        is_required_action: has(4),
    }
}

fn id(nth: usize) -> StepId {
    StepId::new(format!("s{nth}")).expect("a word is an id")
}
