//! What a condition costs: taking it, parsing it at first use, and evaluating it.
#![allow(missing_docs, reason = "criterion's macros write undocumented functions")]

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use segue_core::condition::Condition;
use segue_core::ids::FieldName;
use serde_json::{Value, json};

const TEXTS: [(&str, &str); 4] = [
    ("comparison", "age < 18"),
    ("words", "plan == 'pro' and age >= 21"),
    ("membership", "country in ['FR', 'DE', 'IT', 'ES'] and not (amount > 100 or is_member)"),
    ("natural", "the customer sounds angry"),
];

fn facts() -> BTreeMap<FieldName, Value> {
    let values = [
        ("age", json!(30)),
        ("amount", json!(80.5)),
        ("country", json!("FR")),
        ("is_member", json!(false)),
        ("plan", json!("pro")),
    ];
    values.into_iter().map(|(name, value)| (FieldName::new(name).expect("a name"), value)).collect()
}

fn conditions(criterion: &mut Criterion) {
    let facts = facts();
    for (name, text) in TEXTS {
        criterion.bench_function(&format!("condition/take/{name}"), |b| {
            b.iter(|| Condition::parse(black_box(text)));
        });
        criterion.bench_function(&format!("condition/first_use/{name}"), |b| {
            let fresh = || Condition::parse(text).expect("within the limits");
            b.iter_batched(fresh, |condition| condition.evaluate(&facts), BatchSize::SmallInput);
        });
        criterion.bench_function(&format!("condition/evaluate/{name}"), |b| {
            let condition = Condition::parse(text).expect("within the limits");
            b.iter(|| condition.evaluate(black_box(&facts)));
        });
    }
}

criterion_group!(benches, conditions);
criterion_main!(benches);
