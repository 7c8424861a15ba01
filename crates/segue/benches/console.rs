//! The console's pages over a plan of a thousand steps and many sessions: how long the server takes.
//!
//! `cargo bench -p segue --bench console`, with `-- --sessions 1000000` for another number than 100,000.

mod load;

use std::time::Instant;

use load::{Client, Latencies, Server, TENANT};
use serde_json::{Value, json};

const CLIENTS: usize = 64;
/// Steps of the scenario.
const STEPS: usize = 1_000;
/// How often each page is asked for.
const LOOKS: usize = 40;
/// What a page may take, in milliseconds.
const TARGET_MS: f64 = 100.0;

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(run(folder.path(), sessions()));
}

/// What `--sessions` says.
fn sessions() -> usize {
    let mut arguments = std::env::args();
    let named = arguments.by_ref().find(|argument| argument == "--sessions");
    let number = named.and_then(|_| arguments.next());
    number.map_or(100_000, |text| text.parse().expect("--sessions takes a number"))
}

/// A long order flow; in the second version every tenth step is edited and a new one stands before it.
fn long_flow(version: u64) -> Value {
    let mut steps = Vec::new();
    for nth in 0..STEPS {
        let is_changed = version > 1 && nth % 10 == 5;
        let next = |nth: usize| {
            if version > 1 && nth % 10 == 5 { format!("new{nth}") } else { format!("step{nth}") }
        };
        let mut ways = Vec::new();
        if nth + 1 < STEPS {
            ways.push(json!({"to_step_id": next(nth + 1)}));
        }
        if nth % 7 == 3 && nth + 4 < STEPS {
            let condition = format!("amount > {nth}");
            ways.insert(0, json!({"to_step_id": next(nth + 4), "condition_text": condition}));
        }
        let name = if is_changed { format!("Step {nth}, edited") } else { format!("Step {nth}") };
        let asks = format!("field{nth}");
        steps.push(json!({"id": format!("step{nth}"), "name": name, "transitions": ways,
            "collects_profile_fields": [asks], "is_checkpoint": nth % 100 == 99}));
        if is_changed {
            let way = json!([{"to_step_id": format!("step{nth}")}]);
            let asks = format!("more{nth}");
            steps.push(json!({"id": format!("new{nth}"), "name": format!("New before {nth}"),
                "collects_profile_fields": [asks], "transitions": way}));
        }
    }
    json!({"name": "Long flow", "version": version, "entry_step_id": "step0", "steps": steps})
}

/// Starts the sessions; answers one of them.
async fn fill(server: &Server, scenario: &str, sessions: usize) -> String {
    let filling: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let address = server.address.clone();
            let channel = ["whatsapp", "web", "sms"][n % 3];
            let body = json!({"scenario_id": scenario, "channel": channel}).to_string();
            tokio::spawn(async move {
                let mut client = Client::connect(&address).await;
                let mut last = String::new();
                for nth in 0..sessions / CLIENTS {
                    assert_eq!(client.send("POST", "/sessions", &body).await, 201);
                    if nth % 50 == 0 {
                        last = client.body()["id"].as_str().expect("an id").to_owned();
                        let known: Value = (0..1 + nth % 20)
                            .map(|nth| (format!("field{nth}"), json!(1)))
                            .collect::<serde_json::Map<_, _>>()
                            .into();
                        let turn = json!({"fields": known});
                        client.ok("POST", &format!("/sessions/{last}/turns"), &turn).await;
                    }
                }
                last
            })
        })
        .collect();
    let mut one = String::new();
    for client in filling {
        one = client.await.expect("a client ends");
    }
    one
}

async fn run(folder: &std::path::Path, sessions: usize) {
    let server = Server::start(folder);
    let mut operator = Client::connect(&server.address).await;
    let scenario = operator.ok("POST", "/scenarios", &long_flow(1)).await;
    let scenario = scenario["id"].as_str().expect("an id").to_owned();
    let session = fill(&server, &scenario, sessions).await;
    let body = json!({"new_scenario": long_flow(2), "created_by": "bench"});
    let plan = operator.ok("POST", &format!("/scenarios/{scenario}/migration-plan"), &body).await;
    let id = plan["id"].as_str().expect("an id").to_owned();
    let anchor = plan["transformation_map"]["anchors"][500]["anchor_key"].as_str().expect("a key");
    let anchor = format!("/plans/{id}/anchors/{}", anchor.replace('~', "%7E"));

    println!(
        "{sessions} sessions, {STEPS} steps; milliseconds at the client, on a kept connection"
    );
    println!("{:<34}{:>9}{:>9}{:>9}{:>10}", "page", "first", "p50", "longest", "kB");
    let mut slow = Vec::new();
    let list = format!("/sessions?scenario={scenario}");
    let before = [
        ("overview", String::new()),
        ("scenarios", "/scenarios".to_owned()),
        ("scenario", format!("/scenarios/{scenario}")),
        ("scenario, all steps drawn", format!("/scenarios/{scenario}?whole=1")),
        ("plans", "/plans".to_owned()),
        ("plan to be reviewed", format!("/plans/{id}")),
        ("plan, all steps drawn", format!("/plans/{id}?whole=1")),
        ("anchor", anchor),
        ("sessions", "/sessions".to_owned()),
        ("sessions of the scenario", list.clone()),
        ("sessions at a step", format!("{list}&version=1&step=step3")),
        ("session", format!("/sessions/{session}")),
        ("audit", "/audit".to_owned()),
    ];
    for (name, path) in before {
        look(&mut operator, name, &path, &mut slow).await;
    }
    operator.ok("POST", &format!("/migration-plans/{id}/approve"), &json!({})).await;
    operator.ok("POST", &format!("/migration-plans/{id}/deploy"), &Value::Null).await;
    let after = [
        ("deployment", format!("/plans/{id}/deployment")),
        ("deployment, what refreshes itself", format!("/plans/{id}/deployment/live")),
        ("sessions, pending", format!("{list}&pending=yes")),
        ("sessions, not pending", format!("{list}&pending=no")),
    ];
    for (name, path) in after {
        look(&mut operator, name, &path, &mut slow).await;
    }
    if slow.is_empty() {
        println!("every page within the target of {TARGET_MS} ms");
    } else {
        println!("over the target of {TARGET_MS} ms: {}", slow.join(", "));
    }
}

/// Asks for a page over and over, and prints how long it took.
async fn look(client: &mut Client, name: &'static str, path: &str, slow: &mut Vec<&'static str>) {
    let path = if path.is_empty() {
        "/console".to_owned()
    } else {
        format!("/console/tenants/{TENANT}{path}")
    };
    let start = Instant::now();
    let (status, bytes) = client.page(&path).await;
    assert_eq!(status, 200, "{path}");
    let first = start.elapsed().as_secs_f64() * 1_000.0;
    let mut latencies = Latencies::default();
    for _ in 0..LOOKS {
        let start = Instant::now();
        client.page(&path).await;
        latencies.since(start);
    }
    let (p50, longest) = (latencies.quantile_ms(0.5), latencies.quantile_ms(1.0));
    println!("{name:<34}{first:>9.1}{p50:>9.1}{longest:>9.1}{:>10}", bytes / 1_024);
    if first.max(longest) > TARGET_MS {
        slow.push(name);
    }
}
