//! A million sessions: memory, the deploy and its counting, and turns while it happens.
//!
//! `cargo bench -p segue --bench million` (`SEGUE_BENCH_SESSIONS` for another number).

mod load;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use load::{Client, Latencies, Server};
use serde_json::{Value, json};

const CLIENTS: usize = 64;

fn main() {
    let sessions = std::env::var("SEGUE_BENCH_SESSIONS")
        .map_or(1_000_000, |text| text.parse().expect("SEGUE_BENCH_SESSIONS is a number"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(run(folder.path(), sessions));
}

/// An order flow, and the same with an age check before the checkout.
fn order_flow(version: u64) -> Value {
    let step = |id: &str, collects: &[&str], to: &[&str]| {
        let transitions: Vec<_> = to.iter().map(|to| json!({"to_step_id": to})).collect();
        json!({"id": id, "name": id, "collects_profile_fields": collects, "transitions": transitions})
    };
    let steps = match version {
        1 => vec![
            step("welcome", &["product"], &["checkout"]),
            step("checkout", &["address"], &["confirm"]),
            step("confirm", &["ok"], &[]),
        ],
        _ => vec![
            step("welcome", &["product"], &["age_check"]),
            step("age_check", &["age"], &["checkout"]),
            step("checkout", &["address"], &["confirm"]),
            step("confirm", &["ok"], &[]),
        ],
    };
    json!({"name": "Order Flow", "version": version, "entry_step_id": "welcome", "steps": steps})
}

async fn run(folder: &std::path::Path, sessions: usize) {
    let server = Server::start(folder);
    let mut operator = Client::connect(&server.address).await;
    let scenario = operator.ok("POST", "/scenarios", &order_flow(1)).await;
    let scenario = Arc::new(scenario["id"].as_str().expect("an id").to_owned());

    let start = Instant::now();
    let filling: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (address, scenario) = (server.address.clone(), scenario.clone());
            tokio::spawn(async move {
                let mut client = Client::connect(&address).await;
                let channel = ["whatsapp", "web", "sms"][n % 3];
                let body = json!({"scenario_id": *scenario, "channel": channel}).to_string();
                let mut last = String::new();
                for _ in 0..sessions / CLIENTS {
                    assert_eq!(client.send("POST", "/sessions", &body).await, 201);
                    if last.is_empty() {
                        last = client.body()["id"].as_str().expect("an id").to_owned();
                    }
                }
                last
            })
        })
        .collect();
    let mut talking = Vec::new();
    for client in filling {
        talking.push(client.await.expect("a client ends"));
    }
    let started = sessions / CLIENTS * CLIENTS;
    println!(
        "sessions started         {:>10.0} /s",
        started as f64 / start.elapsed().as_secs_f64()
    );
    drop(server);

    let server = Server::start(folder);
    let mut operator = Client::connect(&server.address).await;
    let page = operator.ok("GET", "/sessions?limit=100", &Value::Null).await;
    assert_eq!(page["total"].as_u64(), Some(started as u64));

    let quiet = turns(&server, &talking, None).await;
    let body = json!({"new_scenario": order_flow(2), "created_by": "bench"});
    let start = Instant::now();
    let plan = operator.ok("POST", &format!("/scenarios/{scenario}/migration-plan"), &body).await;
    println!("plan generated and counted{:>9.0} ms", start.elapsed().as_secs_f64() * 1_000.0);
    let plan = format!("/migration-plans/{}", plan["id"].as_str().expect("an id"));
    operator.ok("POST", &format!("{plan}/approve"), &json!({})).await;

    let deploying = Arc::new(AtomicBool::new(true));
    let running = turns(&server, &talking, Some(deploying.clone()));
    let deploy = async {
        let start = Instant::now();
        let answer = operator.ok("POST", &format!("{plan}/deploy"), &Value::Null).await;
        let elapsed = start.elapsed();
        deploying.store(false, Ordering::SeqCst);
        (answer, elapsed)
    };
    let (mut busy, (answer, elapsed)) = tokio::join!(running, deploy);
    println!("sessions marked          {:>10}", answer["sessions_marked"]);
    println!("deploy and counting      {:>10.0} ms (target 1,510)", elapsed.as_secs_f64() * 1e3);
    let mut quiet = quiet;
    let decision = operator.metric("migration_plan_deploy_duration_ms_sum").await;
    println!("of which the deploy      {decision:>10.1} ms (target 10)");
    println!(
        "turns before: p50 {:.2} ms, p99 {:.2} ms",
        quiet.quantile_ms(0.5),
        quiet.quantile_ms(0.99)
    );
    println!(
        "turns during: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
        busy.quantile_ms(0.5),
        busy.quantile_ms(0.99),
        busy.quantile_ms(1.0)
    );
    println!(
        "resident memory          {:>10.0} MB (target 200)",
        server.resident_bytes() as f64 / 1e6
    );
}

/// One client's turns: a hundred, or for as long as the flag stands.
async fn turns(server: &Server, sessions: &[String], flag: Option<Arc<AtomicBool>>) -> Latencies {
    let mut client = Client::connect(&server.address).await;
    let mut latencies = Latencies::default();
    let body = json!({"message": {"text": "Hello?"}}).to_string();
    for nth in 0_usize.. {
        let more = flag.as_ref().map_or(nth < 100, |flag| flag.load(Ordering::SeqCst));
        if !more {
            break;
        }
        let session = &sessions[nth % sessions.len()];
        let start = Instant::now();
        let status = client.send("POST", &format!("/sessions/{session}/turns"), &body).await;
        assert_eq!(status, 200, "{}", client.body());
        latencies.since(start);
    }
    latencies
}
