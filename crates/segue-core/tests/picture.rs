//! The picture of a diff, as a golden file to look at.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use segue_core::diff::picture::Picture;
use segue_core::diff::{Diff, picture};
use segue_core::ids::StepId;
use segue_core::plan::summary::SessionCounts;
use segue_core::scenario::graph::Graph;
use serde_json::{Value, json};

fn graph(version: u64, steps: &Value) -> Arc<Graph> {
    let scenario = json!({
        "id": "00000000-0000-4000-8000-00000000000a", "name": "Order flow", "version": version,
        "entry_step_id": "welcome", "steps": steps,
    });
    Arc::new(Graph::new(serde_json::from_value(scenario).unwrap()).unwrap())
}

fn order_flow() -> (Diff, SessionCounts) {
    let v1 = graph(
        1,
        &json!([
            {"id": "welcome", "name": "Welcome", "transitions": [{"to_step_id": "catalogue"}]},
            {"id": "catalogue", "name": "Catalogue", "transitions": [
                {"to_step_id": "checkout", "condition_text": "items > 0", "priority": 1},
                {"to_step_id": "survey"}]},
            {"id": "survey", "name": "Short survey", "transitions": [{"to_step_id": "catalogue"}]},
            {"id": "checkout", "name": "Checkout", "collects_profile_fields": ["address"],
             "transitions": [{"to_step_id": "payment"}]},
            {"id": "payment", "name": "Payment", "is_checkpoint": true,
             "checkpoint_description": "money was taken", "transitions": [{"to_step_id": "gift"}]},
            {"id": "gift", "name": "Gift wrap <3", "transitions": [{"to_step_id": "shipping"}]},
            {"id": "shipping", "name": "Shipping", "is_terminal": true}]),
    );
    let v2 = graph(
        2,
        &json!([
            {"id": "welcome", "name": "Welcome", "transitions": [{"to_step_id": "catalogue"}]},
            {"id": "catalogue", "name": "Catalogue", "transitions": [
                {"to_step_id": "age", "condition_text": "items > 0", "priority": 2},
                {"to_step_id": "human", "condition_text": "wants_human", "priority": 1},
                {"to_step_id": "age"}]},
            {"id": "human", "name": "Hand over to a person & wait", "is_terminal": true},
            {"id": "age", "name": "Age verification", "collects_profile_fields": ["age"], "transitions": [
                {"to_step_id": "rejected", "condition_text": "age < 18", "priority": 1},
                {"to_step_id": "gift", "condition_text": "age >= 18"}]},
            {"id": "rejected", "name": "Rejection", "is_terminal": true},
            {"id": "gift", "name": "Gift wrap <3", "transitions": [{"to_step_id": "checkout"}]},
            {"id": "checkout", "name": "Checkout", "collects_profile_fields": ["address"],
             "transitions": [{"to_step_id": "payment"}]},
            {"id": "payment", "name": "Payment", "is_checkpoint": true,
             "checkpoint_description": "money was taken", "transitions": [{"to_step_id": "shipping"}]},
            {"id": "shipping", "name": "Shipping", "is_terminal": true}]),
    );
    let at = |id: &str, count: u64| (StepId::new(id).unwrap(), count);
    let by_step = BTreeMap::from([
        at("catalogue", 31),
        at("checkout", 45),
        at("survey", 4),
        at("payment", 1200),
    ]);
    (Diff::between(v1, v2, &[]), SessionCounts { by_step, ..SessionCounts::default() })
}

#[test]
fn the_picture_shows_what_stays_moves_comes_and_goes() {
    let (diff, sessions) = order_flow();
    let svg = picture::svg(&diff, &sessions);
    assert!(svg.contains("Gift wrap &lt;3 (moved)"));
    assert!(svg.contains("Age verification (inserted), asks age, new fork"));
    assert!(svg.contains("Catalogue (kept), new fork") || svg.contains("Catalogue (kept)"));
    assert!(svg.contains("Short survey (deleted), 4 session(s) here"));
    insta::assert_snapshot!("order_flow_svg", svg);
}

#[test]
fn graphviz_gets_the_same_picture() {
    let (diff, sessions) = order_flow();
    insta::assert_snapshot!("order_flow_dot", picture::dot(&diff, &sessions));
}

#[test]
fn hostile_names_cannot_leave_their_labels() {
    let step = json!([{"id": "welcome", "name": "\"><script>alert(1)</script>\u{1}\u{202e}&"}]);
    let diff = Diff::between(graph(1, &step), graph(2, &step), &[]);
    let svg = picture::svg(&diff, &SessionCounts::default());
    assert!(!svg.contains("<script") && !svg.contains('\u{1}') && !svg.contains('\u{202e}'));
    let dot = picture::dot(&diff, &SessionCounts::default());
    assert!(dot.contains("\\\"><script>"));
}

/// A chain of steps in which one is new, far from the entry.
fn long_chain() -> Diff {
    let steps = |names: &[String]| -> Value {
        let all = names.iter().enumerate().map(|(nth, name)| {
            let next = names.get(nth + 1).map(|next| json!({"to_step_id": next}));
            let ways: Vec<Value> = next.into_iter().collect();
            json!({"id": name, "name": name, "transitions": ways})
        });
        let mut all: Vec<Value> = all.collect();
        all[0]["id"] = json!("welcome");
        json!(all)
    };
    let mut names: Vec<String> = (0..300).map(|nth| format!("step{nth}")).collect();
    let v1 = steps(&names);
    names.insert(200, "brand_new".to_owned());
    Diff::between(graph(1, &v1), graph(2, &steps(&names)), &[])
}

#[test]
fn of_a_long_graph_the_part_around_the_changes_is_shown_and_how_much_is_not() {
    let picture = Picture::of(&long_chain(), &SessionCounts::default());
    assert!(picture.around_changes(400).is_none(), "all of it has room");
    let part = picture.around_changes(40).unwrap();
    let svg = part.inline("p-", &|_| None);
    assert_eq!(
        part.len(),
        5,
        "the entry and its neighbour, and the new step with both of its own: {svg}"
    );
    assert!(svg.contains("brand_new (inserted)") && svg.contains("step199"), "{svg}");
    assert!(svg.contains("… 197 more"), "{svg}");
    assert!(!svg.contains("step100"), "{svg}");
}

#[test]
fn a_picture_in_a_page_leads_to_what_it_shows_and_brings_no_style() {
    let (diff, sessions) = order_flow();
    let picture = Picture::of(&diff, &sessions);
    let svg = picture.inline("p-", &|spot| {
        let anchor = spot.anchor.as_ref()?;
        Some(format!("/anchors/{anchor}?x=\"><script>"))
    });
    assert!(!svg.contains("<style") && !svg.contains("style=") && !svg.contains("<script"));
    assert!(svg.contains("<a href=\"/anchors/") && svg.contains("url(#p-to-inserted)"));
    assert_eq!(svg.matches("<a ").count(), diff.anchors().len());
}

#[test]
fn one_version_is_drawn_with_whoever_stands_where() {
    let (diff, sessions) = order_flow();
    let svg = Picture::of_version(diff.v1(), &sessions.by_step)
        .inline("v-", &|spot| Some(format!("/steps/{}", spot.step)));
    assert!(svg.contains("Payment, irreversible, 1200 session(s) here"), "{svg}");
    assert!(svg.contains("<a href=\"/steps/payment\">"), "{svg}");
}
