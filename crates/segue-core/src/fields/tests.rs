#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
//! Definitions and profiles as operators and callers meet them.

use serde_json::json;

use super::*;
use crate::condition::{Condition, Truth, Unknown};

fn define(value_type: ValueType) -> Definition {
    Definition {
        name: FieldName::new("field").unwrap(),
        value_type,
        display_name: None,
        pattern: None,
        values: Vec::new(),
        extraction_hint: None,
        collection_prompt: None,
        expires_after_days: None,
    }
}

fn codes(definition: &Definition) -> Vec<(String, String)> {
    definition.problems().into_iter().map(|problem| (problem.code, problem.path)).collect()
}

#[test]
fn a_sound_definition_has_no_problems() {
    let definition = Definition {
        pattern: Some("[0-9]{5}".into()),
        expires_after_days: Some(365),
        ..define(ValueType::String)
    };
    assert_eq!(codes(&definition), []);
}

#[test]
fn every_problem_of_a_definition_is_named_at_once() {
    let definition = Definition {
        values: vec!["a".into(), "A ".into(), " ".into()],
        pattern: Some("a)(b".into()),
        display_name: Some("x".repeat(MAX_TEXT_CHARS + 1)),
        expires_after_days: Some(0),
        ..define(ValueType::Email)
    };
    let found = codes(&definition);
    let found: Vec<(&str, &str)> = found.iter().map(|(c, p)| (c.as_str(), p.as_str())).collect();
    assert_eq!(
        found,
        [
            ("values_without_enum", "/values"),
            ("duplicate_value", "/values/1"),
            ("empty_value", "/values/2"),
            ("invalid_pattern", "/pattern"),
            ("text_too_long", "/display_name"),
            ("invalid_expiry", "/expires_after_days"),
        ]
    );
    assert_eq!(codes(&define(ValueType::Enum))[0].0, "enum_without_values");
}

#[test]
fn patterns_cannot_be_made_to_cost_much() {
    for pattern in [
        "x".repeat(MAX_PATTERN_BYTES + 1),
        "(((x{100}){100}){100})".into(),
        "(".repeat(500) + &")".repeat(500),
        r"\p{L}{1000}".into(),
    ] {
        let definition = Definition { pattern: Some(pattern), ..define(ValueType::String) };
        assert_eq!(definition.problems().len(), 1);
    }
    let catastrophic = Definition { pattern: Some("(a+)+b".into()), ..define(ValueType::String) };
    assert!(catastrophic.accepts(&"a".repeat(10_000).into()).is_err());
}

#[test]
fn values_are_brought_into_the_form_in_which_they_are_kept() {
    use ValueType::{Boolean, Date, Email, Integer, Number, Phone, String};
    for (value_type, given, kept) in [
        (Integer, json!("17"), json!(17)),
        (Integer, json!(17.0), json!(17)),
        (Integer, json!(-3), json!(-3)),
        (Number, json!("17.5"), json!(17.5)),
        (Number, json!("17"), json!(17)),
        (Boolean, json!("Yes"), json!(true)),
        (Boolean, json!(false), json!(false)),
        (Date, json!("1990-03-12"), json!("1990-03-12")),
        (Date, json!("1990-03-12T10:00:00"), json!("1990-03-12")),
        (Email, json!(" Ana@Example.FR "), json!("Ana@example.fr")),
        (Phone, json!("+33 (0)6 18 12-34.56"), json!("+33618123456")),
        (Phone, json!("0033618123456"), json!("+33618123456")),
        (Phone, json!("06 18 12 34 56"), json!("0618123456")),
        (String, json!(75001), json!("75001")),
        (String, json!("as it is "), json!("as it is ")),
    ] {
        assert_eq!(define(value_type).accepts(&given), Ok(kept), "{value_type:?} {given}");
    }
    let plan = Definition { values: vec!["Pro".into(), "Free".into()], ..define(ValueType::Enum) };
    assert_eq!(plan.accepts(&json!("pro")), Ok(json!("Pro")));
}

#[test]
fn values_of_another_form_are_refused_with_what_is_wanted() {
    use ValueType::{Boolean, Date, Email, Integer, Number, Phone, String};
    for (value_type, given) in [
        (Integer, json!(17.5)),
        (Integer, json!("seventeen")),
        (Integer, json!(true)),
        (Integer, json!(1e300)),
        (Number, json!("inf")),
        (Number, json!("NaN")),
        (Boolean, json!(1)),
        (Boolean, json!("maybe")),
        (Date, json!("12/03/1990")),
        (Date, json!("1990-02-30")),
        (Email, json!("ana@localhost")),
        (Email, json!("ana..b@example.fr")),
        (Phone, json!("12345")),
        (Phone, json!("call me")),
        (String, json!(null)),
        (String, json!(["a"])),
    ] {
        assert!(define(value_type).accepts(&given).is_err(), "{value_type:?} {given}");
    }
    assert_eq!(
        define(Integer).accepts(&json!("seventeen")),
        Err("wants a whole number such as 17, not \"seventeen\"".into())
    );
    let zip = Definition { pattern: Some("[0-9]{5}".into()), ..define(String) };
    assert_eq!(zip.accepts(&json!("7500")), Err("does not match the pattern [0-9]{5}".into()));
    assert_eq!(zip.accepts(&json!("75001\n")), Err("does not match the pattern [0-9]{5}".into()));
}

#[test]
fn an_expired_value_is_as_good_as_missing() {
    let age = FieldName::new("age").unwrap();
    let set: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let known = Known { value: 20.into(), source: Source::Given, confidence: 1.0, updated_at: set };
    let mut profile = Profile::default();
    profile.apply(&BTreeMap::from([(age.clone(), known)]));
    let definition = Definition { expires_after_days: Some(30), ..define(ValueType::Integer) };
    let definitions = Definitions::from([(age.clone(), definition)]);
    let condition = Condition::parse("age >= 18").unwrap();
    let at = |now: &str| condition.evaluate(&profile.current(&definitions, now.parse().unwrap()));
    assert_eq!(at("2026-01-30T23:59:59Z"), Truth::True);
    assert_eq!(at("2026-01-31T00:00:00Z"), Truth::Unknown(Unknown::Missing(vec![age])));
}
