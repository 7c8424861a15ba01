//! An operator who moves a tenant back and forth, in one way or another, and never takes an answer that is
//! lost for an answer: looks again, and goes on from there.

use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use reqwest::Method;
use segue_store::dice::Dice;
use serde_json::{Value, json};

use super::api::Api;

/// How long a move may take from one to the next, with all that happens to it.
const MOVES_WITHIN: Duration = Duration::from_secs(120);

/// How long the tenant stays between two moves at most.
const MOST_AT_HOME_MS: u64 = 2_000;

/// It was decided meanwhile, by a request of this operator whose answer was lost; or a store is away.
const MAY_BE_REFUSED_FOR: [&str; 4] =
    ["migration_already_exists", "invalid_state_transition", "same_store", "migration_obstructed"];

/// What the operator lets others know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// A cutover is about to be asked for.
    CutsOver,
    /// The tenant has moved.
    Moved,
}

/// What the operator does next.
enum Step {
    Ask(String, Value),
    Wait,
    Done,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Moved {
    /// The migrations that moved the tenant, in order, as they were when they had.
    pub moves: Vec<Value>,
    pub aborted: usize,
    /// How often a migration was found to be carried on by another server than before.
    pub taken_over: usize,
}

impl Moved {
    /// How many cutovers were tried in vain.
    pub fn given_up(&self) -> u64 {
        let attempts = self.moves.iter().map(|moved| moved["cutover"]["attempts"].as_u64());
        attempts.map(|attempts| attempts.unwrap() - 1).sum()
    }
}

/// Moves the tenant so many times, and leaves it with its last move finished.
pub async fn move_about(api: Api, wanted: usize, mut dice: Dice, news: Sender<News>) -> Moved {
    let (mut moved, mut since) = (Moved::default(), Instant::now());
    let mut carried_on_by = (Value::Null, Value::Null);
    loop {
        let tenant = api.get(&format!("/tenants/{}", api.tenant)).await;
        let migration = match tenant["migration_id"].as_str() {
            Some(id) => Some(api.get(&format!("/tenant-migrations/{id}")).await),
            None => None,
        };
        assert!(since.elapsed() < MOVES_WITHIN, "it does not move: {tenant:#} {migration:#?}");
        if let Some(migration) = &migration {
            let now = (migration["id"].clone(), migration["coordinator"].clone());
            moved.taken_over += usize::from(now.0 == carried_on_by.0 && now.1 != carried_on_by.1);
            carried_on_by = now;
            let is_new = moved.moves.last().is_none_or(|last| last["id"] != migration["id"]);
            if migration["state"] == "migrated" && is_new {
                moved.moves.push(migration.clone());
                // Nobody listens any more once the test has failed.
                let _ = news.send(News::Moved);
                let (nth, to) = (moved.moves.len(), &migration["target_store_id"]);
                println!("move {nth}, to {to}, after {:?}", since.elapsed());
                // The tenant lives there for a while.
                tokio::time::sleep(Duration::from_millis(dice.below(MOST_AT_HOME_MS))).await;
                since = Instant::now();
            }
        }
        let goes_on = moved.moves.len() < wanted;
        let (path, body) = match next(&tenant, migration.as_ref(), goes_on, &mut dice) {
            Step::Done => return moved,
            Step::Wait => {
                tokio::time::sleep(Duration::from_millis(30)).await;
                continue;
            }
            Step::Ask(path, body) => (path, body),
        };
        if path.ends_with("/cutover") {
            let _ = news.send(News::CutsOver);
        }
        match api.send(api.any_node(&mut dice), Method::POST, &path, &body).await {
            Ok(answer) if (200..300).contains(&answer.status) => {
                moved.aborted += usize::from(path.ends_with("/abort"));
            }
            Ok(answer) if MAY_BE_REFUSED_FOR.contains(&answer.code()) => {}
            Ok(answer) => assert!(answer.is_try_again(), "{path} {body}: {answer:?}"),
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(dice.below(100))).await;
    }
}

fn next(tenant: &Value, migration: Option<&Value>, goes_on: bool, dice: &mut Dice) -> Step {
    let Some(migration) = migration else {
        return if goes_on { start(tenant, dice) } else { Step::Done };
    };
    let ask = |what: &str, body: Value| {
        let id = migration["id"].as_str().unwrap();
        Step::Ask(format!("/tenant-migrations/{id}/{what}"), body)
    };
    match migration["state"].as_str().unwrap() {
        "dual_write" if migration["cutover"]["requested"] == true => Step::Wait,
        "dual_write" if migration["config"]["auto_cutover"] == true => Step::Wait,
        "dual_write" if dice.below(15) == 0 => ask("abort", json!({"reason": "second thoughts"})),
        "dual_write" => ask("cutover", Value::Null),
        "migrated" if goes_on && dice.below(5) > 1 => ask("reverse", Value::Null),
        // The settings say how long the old source is kept: not at all.
        "migrated" => ask("finish", Value::Null),
        "pending" | "bulk_copy" | "cutover_paused" | "rolled_back" => Step::Wait,
        other => panic!("{other}: {migration:#}"),
    }
}

/// A move to the other store, made in one of several ways.
fn start(tenant: &Value, dice: &mut Dice) -> Step {
    let target = if tenant["store_id"] == "shared" { "dedicated" } else { "shared" };
    let level = ["COUNT", "HASH", "FULL"][dice.below(3) as usize];
    let config = json!({
        "verification_level": level,
        "batch_size": 500 + dice.below(1_500),
        "auto_cutover": dice.below(3) == 0,
        "synchronous_dual_write": dice.below(4) == 0,
    });
    let body = json!({"target_store_id": target, "config": config, "started_by": "olga"});
    Step::Ask(format!("/tenants/{}/migrations", tenant["tenant_id"].as_str().unwrap()), body)
}
