#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
//! Conditions as operators meet them.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::*;

/// What is known in these tests.
struct Known(Value, &'static [&'static str]);

impl Facts for Known {
    fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }

    fn is_defined(&self, field: &str) -> bool {
        self.0.get(field).is_some() || self.1.contains(&field)
    }
}

fn condition(text: &str) -> Condition {
    Condition::parse(text).unwrap()
}

/// `true`, `false`, `missing a b`, `type …` or `unjudged`.
fn ask(text: &str, facts: Value) -> String {
    say(condition(text).evaluate(&Known(facts, &[])))
}

fn say(truth: Truth) -> String {
    match truth {
        Truth::True => "true".into(),
        Truth::False => "false".into(),
        Truth::Unknown(Unknown::Missing(fields)) => {
            let names: Vec<&str> = fields.iter().map(FieldName::as_str).collect();
            format!("missing {}", names.join(" "))
        }
        Truth::Unknown(Unknown::TypeError(why)) => format!("type {why}"),
        Truth::Unknown(Unknown::Unjudged) => "unjudged".into(),
    }
}

fn fields(text: &str) -> Vec<String> {
    condition(text).fields().iter().map(ToString::to_string).collect()
}

#[test]
fn the_conditions_of_the_corpora_hold_where_they_should() {
    let facts =
        json!({"age": 30, "country": "FR", "plan": "pro", "amount": 100, "is_member": true});
    for (text, expected) in [
        ("age < 18", "false"),
        ("age >= 18", "true"),
        ("country == 'FR'", "true"),
        ("country != 'FR'", "false"),
        ("amount > 100", "false"),
        ("amount <= 100", "true"),
        ("is_member == true", "true"),
        ("plan == 'pro' and age >= 21", "true"),
        ("user agrees", "unjudged"),
        ("age < 18!", "unjudged"),
        ("!", "unjudged"),
        ("otherwise", "true"),
    ] {
        assert_eq!(ask(text, facts.clone()), expected, "{text}");
    }
}

#[test]
fn whole_and_real_numbers_compare_by_value() {
    for age in [json!(17), json!(17.0), json!(17.9), json!(-3), json!(17u64)] {
        assert_eq!(ask("age < 18", json!({"age": age})), "true");
    }
    assert_eq!(ask("age == 18.0", json!({"age": 18})), "true");
    assert_eq!(ask("n == 9007199254740993", json!({"n": 9_007_199_254_740_992.0})), "false");
    assert_eq!(ask("n > 18446744073709551614u", json!({"n": u64::MAX})), "true");
}

#[test]
fn what_is_known_decides_where_it_can() {
    for (text, expected) in [
        ("no and gone", "false"),
        ("gone and no", "false"),
        ("yes or gone", "true"),
        ("gone or yes", "true"),
        ("yes and gone", "missing gone"),
        ("no or gone", "missing gone"),
        ("not gone", "missing gone"),
        ("gone == 1 or lost == 2", "missing gone lost"),
        ("gone + lost > 3", "missing gone lost"),
        ("gone ? yes : yes", "true"),
        ("gone ? yes : no", "missing gone"),
        ("yes ? no : gone", "false"),
        ("yes ? gone : no", "missing gone"),
        ("text == 1 and gone", "missing gone"),
        ("no and text == 1", "false"),
        ("nothing == 1", "missing nothing"),
    ] {
        let facts = json!({"yes": true, "no": false, "text": "x", "nothing": null});
        let known = Known(facts, &["gone"]);
        assert_eq!(say(condition(text).evaluate(&known)), expected, "{text}");
    }
}

#[test]
fn a_value_of_the_wrong_type_is_unknown_and_named() {
    let facts = json!({"age": "17", "flag": "true", "list": [1], "object": {"a": 1}});
    for (text, expected) in [
        ("age < 18", "type `<` cannot take `age` (text) and a fixed value (a number)"),
        ("flag == true", "type `==` cannot take `flag` (text) and a fixed value (true or false)"),
        ("flag and true", "type `flag` is text, not true or false"),
        ("age", "type `age` is text, not true or false"),
        ("list[3] == 1", "type the list has no item 3"),
        ("object.b == 1", "type there is no `b` in the object"),
        ("1 / 0 == 1", "type a division by zero"),
        ("9223372036854775807 + 1 > 0", "type a number or a time is out of range"),
        (
            "age in [1, 2]",
            "type `in` cannot take `age` (text) and a part of the condition (a number)",
        ),
        ("size(true) == 1", "type a function cannot take true or false"),
    ] {
        assert_eq!(ask(text, facts.clone()), expected, "{text}");
    }
}

#[test]
fn operators_write_words() {
    let facts = json!({"age": 20, "country": "FR", "and_more": true, "text": "this and that"});
    for (text, expected) in [
        ("age > 18 AND country == 'FR'", "true"),
        ("age < 18 Or country = 'FR'", "true"),
        ("not age < 18", "true"),
        ("not age < 18 and country == 'DE'", "false"),
        ("not (age < 18 or country == 'FR')", "false"),
        ("not not age == 20", "true"),
        ("age == 20 and not country == 'DE' or false", "true"),
        ("country in ['FR', 'DE']", "true"),
        ("country not in ['FR', 'DE']", "false"),
        ("country NOT IN ['DE'] and age == 20", "true"),
        ("(country not in ['DE']) == True", "true"),
        ("text == 'this and that'", "true"),
        ("and_more == TRUE", "true"),
        ("[age].exists(a, not a < 18)", "true"),
        ("age > 18 // and adult", "true"),
    ] {
        assert_eq!(ask(text, facts.clone()), expected, "{text}");
    }
}

#[test]
fn natural_language_is_not_mistaken_for_an_expression() {
    for text in [
        "customer is angry",
        "age below 18",
        "user agrees",
        "angry or upset",
        "urgent",
        "not interested",
        "customer in France",
        "great - thanks",
        "refund/exchange",
        "wants-refund and angry",
        "don't know",
        "le client est fâché",
        "order cancelled?",
        "age",
        "",
        "42",
        "'FR'",
        "[1, 2]",
        "agrees(really)",
        "yes, please",
        "also",
        "{}",
        "b'abc' == b'abc'",
    ] {
        assert_eq!(ask(text, json!({})), "unjudged", "{text}");
    }
}

#[test]
fn what_makes_a_text_natural_language_is_told() {
    for (text, reason) in [
        ("customer is angry", "no CEL: mismatched input 'is' where it should end"),
        ("le client est fâché", "no CEL: unexpected character at byte 15"),
        ("agrees(really)", "there is no function `agrees`"),
        ("refund/exchange", "a part of it is neither true nor false"),
        ("angry or upset", "none of its words is the name of a defined field"),
        ("name.matches(pattern)", "`matches` needs a pattern in quotes"),
        ("name.contains('a', 'b')", "`contains` takes 2 values, not 3"),
    ] {
        assert_eq!(condition(text).natural_language(|_| false), Some(reason), "{text}");
    }
}

#[test]
fn plain_words_are_fields_once_somebody_defined_them() {
    assert_eq!(ask("urgent", json!({"urgent": true})), "true");
    assert_eq!(ask("not urgent", json!({"urgent": true})), "false");
    assert_eq!(say(condition("urgent").evaluate(&Known(json!({}), &["urgent"]))), "missing urgent");
    assert_eq!(ask("is_member", json!({})), "missing is_member");
    assert!(condition("urgent").natural_language(|_| false).is_some());
    assert_eq!(condition("urgent").natural_language(|name| name == "urgent"), None);
    let declared = [FieldName::new("urgent").unwrap()];
    let condition = Condition::with_fields("urgent", &declared).unwrap();
    assert_eq!(say(condition.evaluate(&())), "missing urgent");
}

#[test]
fn otherwise_needs_nothing_and_says_so() {
    for text in ["otherwise", "Else", " default "] {
        let condition = condition(text);
        assert!(condition.is_otherwise() && condition.fields().is_empty());
        assert_eq!(condition.natural_language(|_| false), None);
    }
    assert!(!condition("otherwise!").is_otherwise());
}

#[test]
fn names_that_are_no_identifiers_can_be_reached() {
    let facts = json!({"e-mail_2nd": "a@b.fr", "2nd": 2, "a b": 1, "address.city": "Lyon"});
    for text in [
        "`e-mail_2nd` == 'a@b.fr'",
        "fields['e-mail_2nd'] == 'a@b.fr' and fields['2nd'] == 2",
        "fields.`e-mail_2nd`.contains('@')",
        "`a b` == 1",
        "fields['address.city'] == \"Lyon\"",
        "has(`a b`) and has(fields.`e-mail_2nd`)",
    ] {
        assert_eq!(ask(text, facts.clone()), "true", "{text}");
    }
    let declared = ["e-mail_2nd", "2nd"].map(|name| FieldName::new(name).unwrap());
    let condition =
        Condition::with_fields("e-mail_2nd != '' and 2nd>1 and 'e-mail_2nd' != ''", &declared)
            .unwrap();
    assert_eq!(say(condition.evaluate(&Known(facts, &[]))), "true");
    assert_eq!(condition.fields(), declared);
}

#[test]
fn has_asks_whether_a_field_is_known() {
    assert_eq!(ask("has(country)", json!({"country": "FR"})), "true");
    assert_eq!(ask("has(country)", json!({"country": null})), "false");
    assert_eq!(ask("not has(country) or country == 'FR'", json!({})), "true");
    assert_eq!(ask("has(address.city)", json!({"address": {"city": "Lyon"}})), "true");
    assert_eq!(ask("has(address.city)", json!({})), "false");
    assert!(fields("has(country) or has(address.city)").is_empty());
    assert_eq!(fields("has(address.city) and address.city == 'Lyon'"), ["address"]);
}

#[test]
fn the_fields_are_the_names_in_order() {
    assert_eq!(fields("b > 1 and a.size() == c[d]"), ["b", "a", "c", "d"]);
    assert_eq!(fields("tags.exists(t, t == wanted)"), ["tags", "wanted"]);
    assert_eq!(fields("has(x) and x > 1"), ["x"]);
    assert!(fields("customer is angry").is_empty());
}

#[test]
fn functions_and_loops_work_on_what_json_has() {
    let facts = json!({
        "mail": "Ana@Example.fr", "tags": ["vip", "new"], "born": "2008-11-20", "n": [1, 2, 3],
        "address": {"city": "Lyon"}, "code": "AB12",
    });
    for text in [
        "mail.contains('@') and mail.endsWith('.fr') and mail.startsWith('Ana')",
        "mail.lowerAscii() == 'ana@example.fr'",
        "size(tags) == 2 and tags.size() == 2 and size('é') == 1",
        "tags.exists(t, t == 'vip') and not tags.all(t, t == 'vip')",
        "n.filter(x, x > 1).map(x, x * 2) == [4, 6]",
        "n.exists_one(x, x == 2)",
        "n[0] + n[1] * n[2] == 7 and n[2] % 2 == 1 and -n[0] == -1",
        "code.matches('^[A-Z]{2}[0-9]+$')",
        "int('17') == 17 and double('1.5') == 1.5 and string(3) == '3'",
        "timestamp(born) < timestamp('2008-11-21T00:00:00Z')",
        "timestamp('2020-01-02') - timestamp('2020-01-01') == duration('24h')",
        "timestamp('2020-01-01') + duration('1h30m') == timestamp('2020-01-01T01:30:00Z')",
        "born.getFullYear() == 2008 and born.getMonth() == 10 and born.getDate() == 20",
        "address.city == 'Lyon' and address['city'] == 'Lyon' and 'city' in address",
        "'a' + 'b' == 'ab' and [1] + [2] == [1, 2]",
        "null == null",
    ] {
        assert_eq!(ask(text, facts.clone()), "true", "{text}");
    }
}

#[test]
fn sources_combine_and_the_first_that_knows_wins() {
    let field = |name: &str| FieldName::new(name).unwrap();
    let turn = BTreeMap::from([(field("age"), json!(20))]);
    let profile = BTreeMap::from([(field("age"), json!(3)), (field("country"), json!("FR"))]);
    let truth = condition("age == 20 and country == 'FR'").evaluate(&(&turn, &(), &profile));
    assert_eq!(truth, Truth::True);
}

#[test]
fn limits_are_errors_that_say_what_to_do() {
    let deep = |n: usize| format!("{}x{} == 1", "(".repeat(n), ")".repeat(n));
    let wide = |n: usize| format!("x{} == 1", " + 1".repeat(n));
    assert!(Condition::parse(&deep(MAX_DEPTH)).is_ok());
    assert_eq!(Condition::parse(&deep(MAX_DEPTH + 1)), Err(Error::TooDeep { at: MAX_DEPTH }));
    assert!(Condition::parse(&wide(MAX_OPERATORS - 1)).is_ok());
    assert!(matches!(Condition::parse(&wide(MAX_OPERATORS)), Err(Error::TooManyOperators { .. })));
    assert_eq!(
        Condition::parse(&"x".repeat(MAX_BYTES + 1)),
        Err(Error::TooLong { actual: MAX_BYTES + 1 })
    );
    assert!(check_limits("'((((((((((((((((((((((((((((((((((((((((' == x").is_ok());
    let many = format!("x in [{}]", vec!["'FR'"; 600].join(","));
    assert_eq!(ask(&many, json!({"x": "DE"})), "false");
}

/// Texts at and around the limits, of every shape that nests.
fn extremes() -> Vec<String> {
    let n = MAX_OPERATORS;
    let d = MAX_DEPTH;
    vec![
        format!("{}x{} == 1", "(".repeat(d), ")".repeat(d)),
        format!("x == {}1{}", "[".repeat(d), "]".repeat(d)),
        format!("{}x{}", "size(".repeat(d), ")".repeat(d) + " == 1"),
        format!("x{} == 1", " + 1".repeat(n - 1)),
        format!("x{}", " && x".repeat(n)),
        format!("x{}", " and not x".repeat(n / 2)),
        format!("{}x", "!".repeat(n)),
        format!("{}x == 1", "-".repeat(n - 1)),
        format!("{}x", "not ".repeat(n)),
        format!("x{}", ".x".repeat(n)),
        format!("x{} == 1", "[0]".repeat(n)),
        format!("{}x", "x ? x : ".repeat(n / 2)),
        format!("{}x{}", "x ? ".repeat(n / 2), " : x".repeat(n / 2)),
        format!("x{}", ".trim()".repeat(n)),
        format!("{}x{}", "x.exists(x, ".repeat(d), ")".repeat(d)),
        format!("{}x{}", "x.map(x, ".repeat(d), ")".repeat(d)),
        format!("{}x", "x not in ".repeat(n / 2)),
        format!("{}x == 1{}", "{".repeat(d), "}".repeat(d)),
        format!("{}{}x{}", "not ".repeat(n / 2), "(!".repeat(d), ")".repeat(d)),
        format!("{}x == 1", "(not ".repeat(d)),
        "x".repeat(MAX_BYTES),
        "'".repeat(MAX_BYTES),
        "(".repeat(MAX_BYTES),
        "é".repeat(MAX_BYTES / 2),
        "`".repeat(MAX_BYTES),
        "//".repeat(MAX_BYTES / 2),
        "x,".repeat(MAX_BYTES / 2),
    ]
}

#[test]
fn the_limits_fit_on_small_stacks() {
    for kib in [512, 2048] {
        let work = || {
            for text in extremes() {
                let start = Instant::now();
                if let Ok(condition) = Condition::parse(&text) {
                    let _ = condition.evaluate(&Known(json!({"x": true}), &[]));
                    let _ = condition.evaluate(&Known(json!({"x": "y"}), &[]));
                    let _ = condition.evaluate(&Known(json!({"x": 1}), &[]));
                    let _ = condition.evaluate(&Known(json!({"x": [[[1]]]}), &[]));
                    drop(condition);
                }
                assert!(start.elapsed().as_millis() < 1000, "{text}");
            }
        };
        std::thread::Builder::new().stack_size(kib * 1024).spawn(work).unwrap().join().unwrap();
    }
}

#[test]
fn work_on_large_values_is_bounded() {
    let big: Vec<i64> = (0..50_000).collect();
    let text = "y".repeat(1 << 20);
    assert_eq!(ask("n[4999] == 4999", json!({"n": big, "s": text})), "true");
    for condition in [
        "n.all(a, n.all(b, n.all(c, a + b + c >= 0)))",
        "n.map(a, n).map(a, a) == []",
        "n.map(a, a + 1) == n",
        "n.exists(a, gone == a)",
        "(s + s + s + s + s + s + s + s + s + s + s + s).size() > 0",
        "n.map(x, s).size() == 0",
    ] {
        let start = Instant::now();
        let answer = ask(condition, json!({"n": big, "s": text}));
        assert!(
            answer.starts_with("type") || answer.starts_with("missing"),
            "{condition}: {answer}"
        );
        assert!(start.elapsed().as_millis() < 500, "{condition}: {:?}", start.elapsed());
    }
}
