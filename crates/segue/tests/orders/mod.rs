//! The scenario that the tests of scenario migration migrate.

use serde_json::{Value, json};
use uuid::Uuid;

/// Its id.
pub const ID: Uuid = Uuid::from_u128(2);

/// An order flow; each version asks for more before the checkout: 2 for the age (and turns minors away),
/// 3 for the country, 4 for nothing but has another confirmation.
pub fn document(version: u64) -> Value {
    let step = |id: &str, name: &str, collects: &[&str], to: &[(&str, &str)]| {
        let transitions: Vec<_> =
            to.iter().map(|(to, when)| json!({"to_step_id": to, "condition_text": when})).collect();
        json!({"id": id, "name": name, "collects_profile_fields": collects,
               "transitions": transitions})
    };
    let mut steps = vec![
        step("checkout", "Checkout", &["address"], &[("payment", "")]),
        step("confirm", if version < 4 { "Confirm" } else { "Confirm in writing" }, &["ok"], &[]),
    ];
    let mut payment = step("payment", "Payment", &["card"], &[("confirm", "")]);
    payment["is_checkpoint"] = json!(true);
    steps.push(payment);
    let after_welcome = if version == 1 { "checkout" } else { "age" };
    steps.push(step("welcome", "Welcome", &["product"], &[(after_welcome, "")]));
    if version >= 2 {
        let onward = if version >= 3 { "country" } else { "checkout" };
        let ways = [("rejection", "age < 18"), (onward, "age >= 18")];
        steps.push(step("age", "Age check", &["age"], &ways));
        let mut rejection = step("rejection", "Rejection", &[], &[]);
        rejection["is_terminal"] = json!(true);
        steps.push(rejection);
    }
    if version >= 3 {
        steps.push(step("country", "Country", &["country"], &[("checkout", "")]));
    }
    json!({"id": ID, "name": "Order Flow", "version": version,
           "entry_step_id": "welcome", "steps": steps})
}
