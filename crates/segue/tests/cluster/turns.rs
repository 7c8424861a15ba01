//! Customers whose messages land on either node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use segue_store::dice::Dice;
use serde_json::{Value, json};

use super::api::Api;
use super::writers::Load;

/// Registers a ring of three steps and starts sessions on it.
pub async fn sessions(api: &Api, count: usize) -> Vec<String> {
    let step = |id: &str, to: &str| {
        let condition = format!("next == '{to}'");
        json!({"id": id, "name": id,
               "transitions": [{"to_step_id": to, "condition_text": condition}]})
    };
    let steps = [step("a", "b"), step("b", "c"), step("c", "a")];
    let ring = json!({"name": "Ring", "entry_step_id": "a", "steps": steps});
    let scenario = api.ok(Method::POST, "/scenarios", &ring).await;
    let body = json!({"scenario_id": scenario["id"], "channel": "web"});
    let mut sessions = Vec::new();
    for _ in 0..count {
        let session = api.ok(Method::POST, "/sessions", &body).await;
        sessions.push(session["id"].as_str().unwrap().to_owned());
    }
    sessions
}

/// One customer, who talks in all sessions until the load is over and repeats a message that was not
/// answered. Answers with the messages, by session.
pub async fn talk(
    customer: usize,
    api: Api,
    sessions: Arc<Vec<String>>,
    load: Arc<Load>,
    mut dice: Dice,
) -> BTreeMap<String, Vec<String>> {
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for nth in 0.. {
        if load.is_over() {
            break;
        }
        let session = &sessions[dice.below(sessions.len() as u64) as usize];
        let text = format!("customer {customer}, message {nth}");
        let next = ["b", "c", "a"][nth % 3];
        let body = json!({"message": {"text": text}, "fields": {"next": next}});
        say(&api, session, &text, &body, &mut dice).await;
        said.entry(session.clone()).or_default().push(text);
        tokio::time::sleep(load.rest).await;
    }
    said
}

async fn say(api: &Api, session: &str, text: &str, body: &Value, dice: &mut Dice) {
    let path = format!("/sessions/{session}/turns");
    let began = Instant::now();
    loop {
        let request = api.request(api.any_node(dice), Method::POST, &path);
        match api.answer(request.header("Idempotency-Key", text).json(body)).await {
            Ok(answer) if answer.status == 200 => return,
            Ok(answer) => assert!(answer.is_try_again(), "{answer:?}"),
            Err(_) => {}
        }
        assert!(began.elapsed() < Duration::from_secs(90), "a turn of {session} never settles");
        tokio::time::sleep(Duration::from_millis(10 + dice.below(200))).await;
    }
}

/// Checks that each session holds exactly what was said in it, once, and in the order of each customer.
pub async fn check(api: &Api, sessions: &[String], said: &[BTreeMap<String, Vec<String>>]) {
    for session in sessions {
        let kept = messages(api, session).await;
        let mut all: Vec<_> = said.iter().filter_map(|said| said.get(session)).flatten().collect();
        for one in said.iter().filter_map(|said| said.get(session)) {
            let of_one: Vec<_> = kept.iter().filter(|message| one.contains(message)).collect();
            assert_eq!(of_one, one.iter().collect::<Vec<_>>(), "the order in {session}");
        }
        let mut sorted: Vec<_> = kept.iter().collect();
        sorted.sort();
        all.sort();
        assert_eq!(sorted, all, "what was said in {session}, each message once");
    }
}

/// The messages of a session in order, from events whose versions have no gap.
async fn messages(api: &Api, session: &str) -> Vec<String> {
    let (mut messages, mut cursor, mut version) = (Vec::new(), String::new(), 0);
    loop {
        let page = api.get(&format!("/sessions/{session}/events?limit=100{cursor}")).await;
        for event in page["events"].as_array().unwrap() {
            version += 1;
            assert_eq!(event["version"], version, "a gap in {session}");
            if event["event_type"] == "TurnTaken" {
                let text = event["payload"]["input"]["message"]["text"].as_str().unwrap();
                messages.push(text.to_owned());
                assert_eq!(event["payload"]["turn_number"], messages.len(), "in {session}");
            }
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return messages,
        }
    }
}
