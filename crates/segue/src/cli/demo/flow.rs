//! The order flow of the demo, its customers, and what they say when they return.

use serde_json::{Value, json};

/// The fields that it collects.
pub fn fields() -> Vec<(&'static str, Value)> {
    vec![
        (
            "age",
            json!({
                "value_type": "integer",
                "display_name": "Age",
                "collection_prompt": "Before we continue, how old are you?",
            }),
        ),
        ("item", json!({ "value_type": "string", "collection_prompt": "What may we bring you?" })),
        (
            "address",
            json!({ "value_type": "string", "collection_prompt": "Where shall we deliver?" }),
        ),
        ("slot", json!({ "value_type": "string", "collection_prompt": "When shall we come?" })),
    ]
}

fn step(id: &str, name: &str, collects: &[&str], to: &[&str]) -> Value {
    let ways: Vec<Value> = to.iter().map(|to| json!({ "to_step_id": to })).collect();
    json!({
        "id": id,
        "name": name,
        "collects_profile_fields": collects,
        "transitions": ways,
        "is_terminal": to.is_empty(),
    })
}

fn deposit(to: &str) -> Value {
    let mut deposit = step("deposit", "Deposit", &["slot"], &[to]);
    deposit["is_checkpoint"] = true.into();
    deposit["checkpoint_description"] = "The deposit was charged".into();
    deposit
}

/// Version 1: welcome, choose, check out, deposit, delivery.
pub fn first() -> Value {
    json!({
        "name": "Order Flow",
        "description": "From the first hello to the delivery",
        "version": 1,
        "entry_step_id": "welcome",
        "steps": [
            step("welcome", "Welcome", &[], &["choose"]),
            step("choose", "Choose", &["item"], &["checkout"]),
            step("checkout", "Checkout", &["address"], &["deposit"]),
            deposit("delivery"),
            step("delivery", "Delivery", &[], &[]),
        ],
    })
}

/// Version 2: an age check with a fork before the checkout, a payment after the deposit.
pub fn second() -> Value {
    let mut age_check = step("age_check", "Age check", &["age"], &[]);
    age_check["is_terminal"] = false.into();
    age_check["transitions"] = json!([
        { "to_step_id": "rejection", "condition_text": "age < 18", "priority": 10 },
        { "to_step_id": "checkout", "condition_text": "age >= 18" },
    ]);
    let mut payment = step("payment", "Payment", &[], &["delivery"]);
    payment["is_checkpoint"] = true.into();
    payment["checkpoint_description"] = "The rest was charged".into();
    json!({
        "name": "Order Flow",
        "description": "From the first hello to the delivery",
        "version": 2,
        "entry_step_id": "welcome",
        "steps": [
            step("welcome", "Welcome", &[], &["choose"]),
            step("choose", "Choose", &["item"], &["age_check"]),
            age_check,
            step("checkout", "Checkout", &["address"], &["deposit"]),
            deposit("payment"),
            payment,
            step("delivery", "Delivery", &[], &[]),
            step("rejection", "Rejection", &[], &[]),
        ],
    })
}

/// A customer on their way.
pub struct Customer {
    pub name: String,
    pub channel: &'static str,
    pub profile: Value,
    /// What they said so far.
    pub turns: Vec<Value>,
}

/// 142 of them: six with a name, and many others.
pub fn customers() -> Vec<Customer> {
    let named = [
        ("anna", "whatsapp", json!({}), 1),
        ("bert", "web", json!({ "age": 34 }), 2),
        ("carla", "whatsapp", json!({}), 2),
        ("dora", "web", json!({}), 2),
        ("emil", "whatsapp", json!({ "age": 17 }), 2),
        ("finn", "web", json!({ "age": 16 }), 3),
        ("gina", "sms", json!({}), 2),
    ];
    let named = named.into_iter().map(|(name, channel, profile, turns)| Customer {
        name: name.to_owned(),
        channel,
        profile,
        turns: path(turns),
    });
    let others = (0..135).map(|nth: usize| Customer {
        name: format!("customer-{nth:03}"),
        channel: ["whatsapp", "web", "sms"][nth % 3],
        profile: if nth.is_multiple_of(4) { json!({ "age": 20 + nth % 40 }) } else { json!({}) },
        turns: path(nth % 4),
    });
    named.chain(others).collect()
}

/// The first turns of the way: to `choose`, to `checkout`, past the deposit.
fn path(turns: usize) -> Vec<Value> {
    let all = [
        json!({ "message": { "text": "Hello!" } }),
        json!({ "message": { "text": "A case of wine, please." }, "fields": { "item": "wine" } }),
        json!({ "message": { "text": "To 5 Harbour Street." }, "fields": { "address": "5 Harbour Street" } }),
    ];
    all.into_iter().take(turns).collect()
}

/// Customers who are in the middle of something, and ask for news.
pub const TALKING: [&str; 4] = ["anna", "bert", "carla", "dora"];

/// A customer who returns.
pub struct Returning {
    pub customer: &'static str,
    pub situation: &'static str,
    pub turns: Vec<Value>,
}

/// One for each thing that can happen.
pub fn returning() -> Vec<Returning> {
    let says = |text: &str| json!({ "message": { "text": text } });
    vec![
        Returning {
            customer: "anna",
            situation: "nothing new lies before her step, so she goes on silently",
            turns: vec![says("Sorry, I was away. What wines do you have?")],
        },
        Returning {
            customer: "bert",
            situation: "missed the age check, but his profile knows his age: silent as well",
            turns: vec![says("Where were we?")],
        },
        Returning {
            customer: "carla",
            situation: "missed the age check and nobody knows her age: she is asked, once",
            turns: vec![says("I am back."), json!({ "fields": { "age": 41 } })],
        },
        Returning {
            customer: "dora",
            situation: "mentions her age in passing: she is asked to confirm it, not to repeat it",
            turns: vec![
                says("Hi again, I'm 25 and still thirsty."),
                json!({ "confirmations": { "age": true } }),
            ],
        },
        Returning {
            customer: "emil",
            situation: "is 17: the new fork sends him elsewhere",
            turns: vec![says("Can I have my wine now?")],
        },
        Returning {
            customer: "finn",
            situation: "is 16 but has paid the deposit, which cannot be undone: blocked, he goes on as before",
            turns: vec![says("When will it come?"), json!({ "fields": { "slot": "Monday" } })],
        },
        Returning {
            customer: "gina",
            situation: "writes by sms, which the policy leaves out: undisturbed on version 1",
            turns: vec![json!({ "fields": { "address": "7 Mill Lane" } })],
        },
    ]
}
