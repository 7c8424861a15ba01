//! Real clients, a real server, a real disk: what was acknowledged is there, once and in order, also
//! when plans are deployed meanwhile and when the server is killed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../benches/load/mod.rs"]
mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use load::{Client, Server};
use serde_json::{Value, json};

const CLIENTS: usize = 64;
const SESSIONS: usize = 50;

/// A ring of four steps; each further version adds a way aside.
fn ring(version: u64) -> Value {
    let step = |id: &str, to: &str| {
        let condition = format!("next == '{to}'");
        json!({"id": id, "name": id,
               "transitions": [{"to_step_id": to, "condition_text": condition}]})
    };
    let mut steps = vec![step("a", "b"), step("b", "c"), step("c", "d"), step("d", "a")];
    for extra in 1..version {
        let way =
            json!({"to_step_id": format!("aside-{extra}"), "condition_text": "next == 'aside'"});
        steps[0]["transitions"].as_array_mut().unwrap().push(way);
        steps.push(json!({"id": format!("aside-{extra}"), "name": format!("Aside {extra}")}));
    }
    json!({"name": "Ring", "version": version, "entry_step_id": "a", "steps": steps})
}

async fn ring_with_sessions(address: &str) -> (String, Arc<Vec<String>>) {
    let mut client = Client::connect(address).await;
    let scenario =
        client.ok("POST", "/scenarios", &ring(1)).await["id"].as_str().unwrap().to_owned();
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        let body = json!({"scenario_id": scenario, "channel": "web"});
        let session = client.ok("POST", "/sessions", &body).await;
        sessions.push(session["id"].as_str().unwrap().to_owned());
    }
    (scenario, Arc::new(sessions))
}

/// A turn whose message no other turn has, and the session that it goes to.
fn turn(client: usize, nth: usize, sessions: &[String]) -> Turn {
    let text = format!("client {client}, turn {nth}");
    let next = ["b", "c", "d", "a"][nth % 4];
    let session = sessions[(client * 7 + nth * 13) % sessions.len()].clone();
    let body = json!({"message": {"text": text}, "fields": {"next": next}}).to_string();
    Turn { path: format!("/sessions/{session}/turns"), session, text, body }
}

struct Turn {
    path: String,
    session: String,
    text: String,
    body: String,
}

/// Checks a session's stream from its first event on, and answers the messages of its turns.
async fn messages_in_order(client: &mut Client, session: &str) -> Vec<String> {
    let (mut messages, mut after, mut expected_version) = (Vec::new(), String::new(), 1);
    loop {
        let path = format!("/sessions/{session}/events?limit=100{after}");
        let page = client.ok("GET", &path, &Value::Null).await;
        for event in page["events"].as_array().unwrap() {
            assert_eq!(event["version"], expected_version, "a gap in {session}");
            expected_version += 1;
            if event["event_type"] == "TurnTaken" {
                let text = event["payload"]["input"]["message"]["text"].as_str().unwrap();
                messages.push(text.to_owned());
                assert_eq!(event["payload"]["turn_number"], messages.len(), "in {session}");
            }
        }
        match page["next_cursor"].as_str() {
            Some(next) => after = format!("&cursor={next}"),
            None => {
                assert_eq!(page["total"], expected_version - 1, "events of {session}");
                return messages;
            }
        }
    }
}

/// Checks that each session holds exactly the turns that it should.
async fn assert_exactly(
    client: &mut Client,
    sessions: &[String],
    mut wanted: BTreeMap<String, BTreeSet<String>>,
) {
    for session in sessions {
        let kept = messages_in_order(client, session).await;
        let once: BTreeSet<_> = kept.iter().cloned().collect();
        assert_eq!(once.len(), kept.len(), "a turn was applied twice in {session}");
        assert_eq!(once, wanted.remove(session).unwrap_or_default(), "turns of {session}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_turns_are_neither_lost_nor_doubled_while_plans_deploy() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (scenario, sessions) = ring_with_sessions(&server.address).await;

    let talking: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (address, sessions) = (server.address.clone(), sessions.clone());
            tokio::spawn(async move {
                let mut connection = Client::connect(&address).await;
                let mut said = Vec::new();
                for nth in 0..40 {
                    let turn = turn(client, nth, &sessions);
                    let status = connection.send("POST", &turn.path, &turn.body).await;
                    assert_eq!(status, 200, "{}", connection.body());
                    said.push(turn);
                }
                said
            })
        })
        .collect();

    let mut operator = Client::connect(&server.address).await;
    for version in 2..=5 {
        let body = json!({"new_scenario": ring(version)});
        let path = format!("/scenarios/{scenario}/migration-plan");
        let plan = operator.ok("POST", &path, &body).await;
        let plan = format!("/migration-plans/{}", plan["id"].as_str().unwrap());
        operator.ok("POST", &format!("{plan}/approve"), &json!({})).await;
        operator.ok("POST", &format!("{plan}/deploy"), &Value::Null).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let mut acknowledged: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for client in talking {
        for turn in client.await.unwrap() {
            assert!(acknowledged.entry(turn.session).or_default().insert(turn.text));
        }
    }
    assert_exactly(&mut operator, &sessions, acknowledged).await;

    for session in sessions.iter() {
        operator.ok("POST", &format!("/sessions/{session}/turns"), &json!({})).await;
        let session = operator.ok("GET", &format!("/sessions/{session}"), &Value::Null).await;
        assert_eq!(session["version"], 5, "everyone arrives at the last version");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_turn_survives_a_killed_server_and_a_retry_is_not_a_second_turn() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (_, sessions) = ring_with_sessions(&server.address).await;
    let killed = Arc::new(AtomicBool::new(false));

    let talking: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (address, sessions) = (server.address.clone(), sessions.clone());
            let killed = killed.clone();
            tokio::spawn(async move {
                let mut connection = Client::connect(&address).await;
                let mut acknowledged = Vec::new();
                for nth in 0.. {
                    let turn = turn(client, nth, &sessions);
                    let key = Some(turn.text.as_str());
                    match connection.try_send("POST", &turn.path, &turn.body, key).await {
                        Ok(200) => acknowledged.push(turn),
                        cut_off => {
                            assert!(killed.load(Ordering::SeqCst), "{cut_off:?} before the kill");
                            return (acknowledged, turn);
                        }
                    }
                }
                unreachable!("the server is killed first")
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    killed.store(true, Ordering::SeqCst);
    drop(server);

    let server = Server::start(folder.path());
    let mut client = Client::connect(&server.address).await;
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut acknowledged_before_the_kill = 0;
    for task in talking {
        let (acknowledged, cut_off) = task.await.unwrap();
        acknowledged_before_the_kill += acknowledged.len();
        // Nobody knows whether the last one was taken. The same key again makes it exactly once.
        let key = Some(cut_off.text.as_str());
        let status = client.try_send("POST", &cut_off.path, &cut_off.body, key).await;
        assert_eq!(status.unwrap(), 200, "{}", client.body());
        for turn in acknowledged.into_iter().chain([cut_off]) {
            wanted.entry(turn.session).or_default().insert(turn.text);
        }
    }
    assert!(acknowledged_before_the_kill > CLIENTS, "the server was under load when it was killed");
    assert_exactly(&mut client, &sessions, wanted).await;
}
