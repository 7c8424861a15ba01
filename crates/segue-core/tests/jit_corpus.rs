//! Every case of the JIT corpus: what the original system answered, and what we answer.
//!
//! What is not disputed must be equal. Of a disputed case either the disputed places are left out
//! (`disputed_at`), or, where no place is named, the whole answer is ours: it is pinned by the case's id
//! in `tests/jit/answers.json`, next to what is wrong with the original one. Cases that are not pinned
//! (other files of the same format, through `SEGUE_CORPORA`) still run, and must hold the invariants.
//!
//! `UPDATE_ANSWERS=1 cargo test --test jit_corpus` writes the pinned answers anew.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod jit {
    pub mod peer;
}

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use jit::peer::{Case, Ours};
use serde_json::{Value, json};

fn corpora() -> PathBuf {
    std::env::var_os("SEGUE_CORPORA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpora"),
        PathBuf::from,
    )
}

fn cases() -> Vec<Case> {
    let path = corpora().join("jit_corpus.jsonl.gz");
    let file =
        std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text.lines().map(|line| Case::new(serde_json::from_str(line).unwrap())).collect()
}

/// Where the two answers differ, of what the case does not dispute.
fn differences(case: &Case, ours: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    for (path, expected) in case.expected() {
        let disputed = case.disputed_at().iter().any(|at| path.starts_with(at.as_str()));
        let actual = ours.pointer(&path).cloned().unwrap_or_default();
        let equal = if case.is_unordered(&path) {
            sorted(&actual) == sorted(&expected)
        } else {
            actual == expected
        };
        if !disputed && !equal {
            differences.push(format!("{path}: expected {expected}, ours is {actual}"));
        }
    }
    differences
}

fn sorted(list: &Value) -> Vec<String> {
    let mut items: Vec<String> =
        list.as_array().into_iter().flatten().map(ToString::to_string).collect();
    items.sort();
    items
}

#[test]
fn everything_that_is_not_disputed_equals_what_the_original_system_answers() {
    let mut failures = Vec::new();
    let mut compared = 0;
    for case in cases() {
        if case.is_wholly_disputed() {
            continue;
        }
        compared += 1;
        let ours = case.decide();
        let differences = differences(&case, &ours.comparable());
        if !differences.is_empty() {
            failures.push(format!(
                "{} ({}):\n  {}\n  we say: {}",
                case.id(),
                case.category(),
                differences.join("\n  "),
                ours.reason(),
            ));
        }
    }
    assert!(compared > 0, "the corpus has no case to compare");
    assert!(
        failures.is_empty(),
        "{} of {compared} differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn where_the_original_answer_is_wrong_ours_is_pinned_with_the_reason() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/jit/answers.json");
    let answer = |case: &Case, ours: &Ours| {
        json!({
            "codes": case.disputed_codes(),
            "original": case.original(),
            "ours": ours.pinned(),
        })
    };
    if std::env::var_os("UPDATE_ANSWERS").is_some() {
        let answers: BTreeMap<String, Value> = cases()
            .iter()
            .filter(|case| case.is_wholly_disputed())
            .map(|case| (case.id().to_owned(), answer(case, &case.decide())))
            .collect();
        std::fs::write(&path, serde_json::to_string_pretty(&answers).unwrap() + "\n").unwrap();
    }
    let pinned: BTreeMap<String, Value> =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for case in cases().iter().filter(|case| case.is_wholly_disputed()) {
        let Some(pinned) = pinned.get(case.id()) else { continue };
        assert_eq!(&answer(case, &case.decide()), pinned, "{}", case.id());
    }
}

#[test]
fn every_answer_is_the_same_again_and_leaves_a_session_that_can_go_on() {
    for case in cases() {
        let (one, two) = (case.decide(), case.decide());
        assert_eq!(one.pinned(), two.pinned(), "{}", case.id());
        one.assert_sound(&case);
    }
}
