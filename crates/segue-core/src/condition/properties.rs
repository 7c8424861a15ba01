#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
//! What holds for every condition, whatever its text.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cel::{Context, Program};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::*;

/// The fields that the generated expressions are about.
fn everything() -> BTreeMap<FieldName, Value> {
    let known = json!({
        "age": 17, "amount": 100, "count": -3, "country": "FR", "note": "it's and or not",
        "is_member": true, "is_new": false, "rate": 0.5,
    });
    let known = known.as_object().unwrap().clone();
    known.into_iter().map(|(name, value)| (FieldName::new(name).unwrap(), value)).collect()
}

fn whole() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        select(vec!["age", "amount", "count", "size(country)", "size(note)"])
            .prop_map(str::to_owned),
        (0i64..200).prop_map(|n| n.to_string()),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        (inner.clone(), select(vec!["+", "-", "*", "/", "%"]), inner)
            .prop_map(|(a, sign, b)| format!("({a} {sign} {b})"))
    })
    .boxed()
}

fn words() -> BoxedStrategy<String> {
    select(vec!["country", "note", "'FR'", "\"it's and or not\"", "r'a\\b'", "country + '!'"])
        .prop_map(str::to_owned)
        .boxed()
}

/// Expressions that are true or false, or stop with an error in both evaluators.
fn boolean() -> BoxedStrategy<String> {
    let order = select(vec!["<", "<=", ">", ">=", "==", "!="]);
    let leaf = prop_oneof![
        select(vec!["is_member", "is_new", "true", "false", "rate < 0.75"]).prop_map(str::to_owned),
        (whole(), order.clone(), whole()).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        (words(), order, words()).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        (words(), words(), words()).prop_map(|(a, b, c)| format!("{a} in [{b}, {c}]")),
        (words(), words()).prop_map(|(a, b)| format!("({a}).contains({b})")),
        (whole(), whole()).prop_map(|(a, b)| format!("[1, {a}, 17].exists(x, x > {b})")),
        (whole(), whole()).prop_map(|(a, b)| format!("[1, {a}].map(x, x * 2).all(x, x != {b})")),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), select(vec!["&&", "||"]), inner.clone())
                .prop_map(|(a, sign, b)| format!("({a}) {sign} ({b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("({a}) ? ({b}) : ({c})")),
        ]
    })
    .boxed()
}

/// What the interpreter of `cel` says of an expression parsed by its other parser.
fn interpreted(text: &str, facts: &BTreeMap<FieldName, Value>) -> Option<bool> {
    stacker::grow(64 * 1024 * 1024, || {
        let mut context = Context::default();
        for (name, value) in facts {
            match value {
                Value::Bool(b) => context.add_variable_from_value(name.as_str(), *b),
                Value::String(s) => context.add_variable_from_value(name.as_str(), s.clone()),
                Value::Number(n) if n.is_i64() => {
                    context.add_variable_from_value(name.as_str(), n.as_i64().unwrap());
                }
                other => context.add_variable_from_value(name.as_str(), other.as_f64().unwrap()),
            }
        }
        match Program::compile(text).unwrap().execute(&context) {
            Ok(cel::Value::Bool(b)) => Some(b),
            Ok(other) => panic!("{text} is {other:?}"),
            Err(_) => None,
        }
    })
}

fn known(truth: &Truth) -> Option<bool> {
    match truth {
        Truth::True => Some(true),
        Truth::False => Some(false),
        Truth::Unknown(_) => None,
    }
}

/// Texts of everything that means something to some reader on the way.
fn scraps() -> impl Strategy<Value = String> {
    let scrap = prop_oneof![
        8 => select(vec![
            "(", ")", "[", "]", "{", "}", "a", "age", "and", "or", "not", "in", "not in", "has(", "fields",
            "fields[", "'", "\"", "'''", "r'", "b\"", "`", "\\", "!", "-", "+", "?", ":", ".", ",", "=",
            "==", "&&", "||", "&", "true", "null", "0", "1.5", "1e999", "0x", "9223372036854775808",
            ".exists(x, ", ".map(a, ", ".all(", ".matches(", "size(", "timestamp(", "duration(", "@result",
            "__known(", "__not_in(", "é", "🦀", "\n", "//", "for", "a{", ".?", "[?", "\u{0}",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    (proptest::collection::vec(scrap, 0..60), select(vec!["", " "])).prop_map(|(s, by)| s.join(by))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn expressions_mean_what_they_mean_in_cel(text in boolean()) {
        let facts = everything();
        let condition = Condition::parse(&text).unwrap();
        let ours = condition.evaluate(&facts);
        prop_assert_eq!(condition.natural_language(|_| false), None);
        let theirs = interpreted(&text, &facts);
        // Where CEL gives up at the condition of `?:`, we still know what both branches agree on.
        if theirs.is_some() || !text.contains('?') {
            prop_assert_eq!(known(&ours), theirs, "{}: {:?}", text, ours);
        }
    }

    #[test]
    fn words_mean_what_their_signs_mean(text in boolean()) {
        let spoken = text.replace("&&", "AND").replace("||", "or").replace("!(", "not (");
        let facts = everything();
        let answer = |text: &str| Condition::parse(text).unwrap().evaluate(&facts);
        prop_assert_eq!(answer(&text), answer(&spoken));
    }

    #[test]
    fn what_is_decided_early_stays_so_when_more_is_known(
        text in boolean(),
        some in subsequence(everything().into_iter().collect::<Vec<_>>(), 0..8),
    ) {
        let some: BTreeMap<_, _> = some.into_iter().collect();
        let condition = Condition::parse(&text).unwrap();
        match condition.evaluate(&some) {
            Truth::Unknown(Unknown::Missing(fields)) => {
                prop_assert!(!fields.is_empty());
                for field in fields {
                    prop_assert!(!some.contains_key(&field) && condition.fields().contains(&field));
                }
            }
            Truth::Unknown(Unknown::TypeError(_) | Unknown::Unjudged) => {}
            early @ (Truth::True | Truth::False) => {
                prop_assert_eq!(condition.evaluate(&everything()), early);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic_or_stall(text in scraps()) {
        let start = Instant::now();
        let declared = [FieldName::new("2nd a").unwrap(), FieldName::new("e-mail").unwrap()];
        if let Ok(condition) = Condition::with_fields(&text, &declared) {
            let _ = condition.evaluate(&everything());
            let _ = condition.evaluate(&());
        }
        let _ = check_limits(&text);
        prop_assert!(start.elapsed() < Duration::from_secs(1), "{}", text);
    }
}
