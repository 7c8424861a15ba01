//! Any text as a condition, on any facts: it is read and evaluated without a panic, the answer is the same
//! each time, and what it calls missing is not there. libFuzzer ends a run that takes more than seconds.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::{Corpus, fuzz_target};
use segue_core::condition::{Condition, Truth, Unknown};
use segue_core::ids::FieldName;
use serde_json::Value;

fuzz_target!(|input: (BTreeMap<u8, u8>, &str)| -> Corpus {
    let (known, text) = input;
    let Ok(condition) = Condition::parse(text) else { return Corpus::Keep };
    let facts: BTreeMap<FieldName, Value> =
        known.into_iter().map(|(name, value)| (field(name), fact(value))).collect();
    let truth = condition.evaluate(&facts);
    assert_eq!(condition.evaluate(&facts), truth, "the same question has one answer");
    if let Truth::Unknown(Unknown::Missing(fields)) = &truth {
        assert!(!fields.is_empty());
        // A fact that is null is not known either.
        let is_known = |field| facts.get(field).is_some_and(|fact| !fact.is_null());
        assert!(!fields.iter().any(is_known), "{fields:?} are known");
    }
    // A copy that was never read means the same.
    let copy = Condition::parse(condition.text()).expect("it was within the limits");
    assert_eq!(copy.evaluate(&facts), truth);
    let _ = condition.natural_language(|name| name.len() % 2 == 0);
    Corpus::Keep
});

/// The names that the dictionary knows.
fn field(name: u8) -> FieldName {
    const NAMES: [&str; 8] = ["age", "country", "vip", "amount", "since", "a", "b", "tags"];
    FieldName::new(NAMES[usize::from(name) % NAMES.len()]).expect("a word is a name")
}

/// Values of every kind, at the edges too.
fn fact(value: u8) -> Value {
    const VALUES: [&str; 16] = [
        "0",
        "17",
        "18",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "1.5",
        "1e308",
        "true",
        "false",
        "\"FR\"",
        "\"\"",
        "\"2026-11-27\"",
        "null",
        "[1,\"a\",true]",
        "{\"a\":{\"b\":1}}",
    ];
    serde_json::from_str(VALUES[usize::from(value) % VALUES.len()]).expect("these are JSON")
}
