//! Clients that append, and never take an unknown outcome for an answer.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use segue_store::dice::Dice;
use segue_testing::history::{Outcome, Sent};
use serde_json::json;
use uuid::Uuid;

use super::api::{Api, append};

/// How many streams all writers share.
const SHARED: u64 = 5;
/// How long an append may take, over all its attempts. The longest outage is far below it.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);

/// What the writers have in common.
#[derive(Default)]
pub struct Load {
    stop: AtomicBool,
    /// How long a client rests between two appends or two messages.
    pub rest: Duration,
    /// The last known versions of the shared streams.
    versions: [AtomicU64; SHARED as usize],
    pub acknowledged: AtomicU64,
    /// Answers that said `try again`.
    pub turned_away: AtomicU64,
    /// Requests without an answer.
    pub cut_off: AtomicU64,
}

impl Load {
    /// Of clients who rest for so long.
    pub fn resting(rest: Duration) -> Self {
        Self { rest, ..Self::default() }
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits until so many more appends are acknowledged; answers how many there were before, and how long
    /// that took. `what` is what had happened.
    pub fn recovers(&self, more: u64, within: Duration, what: impl Display) -> (u64, Duration) {
        let (before, healed) = (self.acknowledged(), Instant::now());
        while self.acknowledged() < before + more {
            assert!(healed.elapsed() < within, "no appends any more after {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
        (before, healed.elapsed())
    }
}

/// One client, until the load is over: appends to a stream of its own and, at expected versions, to those
/// that it shares with everybody.
pub async fn write(client: usize, api: Api, load: Arc<Load>, mut dice: Dice) -> Vec<Sent> {
    let (mut sent, mut own_version) = (Vec::new(), Some(0));
    while !load.is_over() {
        let shared = (dice.below(3) == 0).then(|| dice.below(SHARED) as usize);
        let (stream, expected_version) = match shared {
            Some(number) => {
                let version = load.versions[number].load(Ordering::SeqCst);
                (format!("shared-{number}"), Some(version))
            }
            None if dice.below(2) == 0 => (format!("own-{client}"), own_version),
            None => (format!("own-{client}"), None),
        };
        let events = (0..=dice.below(3))
            .map(|nth| {
                let payload = json!({"client": client, "append": sent.len(), "event": nth});
                (Uuid::new_v4(), payload.to_string())
            })
            .collect();
        // A client that gives up leaves an append behind that may be there or not.
        let patience = if dice.below(20) == 0 { Patience::OneAttempt } else { Patience::Endless };
        let began = Instant::now();
        let outcome = Outcome::Unknown;
        let mut one = Sent { client, stream, events, expected_version, began, outcome };
        let version = settle(&api, &load, &mut one, patience, &mut dice).await;
        match shared {
            Some(number) => {
                if let Some(version) = version {
                    load.versions[number].store(version, Ordering::SeqCst);
                }
            }
            // Nobody else writes there, so only an unknown outcome leaves its version unknown.
            None => own_version = version,
        }
        sent.push(one);
        tokio::time::sleep(load.rest).await;
    }
    sent
}

/// How often an append is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    OneAttempt,
    Endless,
}

/// Sends an append with the same event ids to one node or the other until its outcome is known. Answers
/// with the stream's version where that is known.
async fn settle(
    api: &Api,
    load: &Load,
    sent: &mut Sent,
    patience: Patience,
    dice: &mut Dice,
) -> Option<u64> {
    let path = format!("/streams/{}/events", sent.stream);
    let body = append(sent.expected_version, &sent.events);
    loop {
        let node = api.any_node(dice);
        match api.send(node, Method::POST, &path, &body).await {
            // 200 says that an attempt before had succeeded.
            Ok(answer) if matches!(answer.status, 200 | 201) => {
                let number = |name: &str| answer.body[name].as_u64().expect(name);
                let (version, first_position) = (number("version"), number("first_position"));
                sent.outcome =
                    Outcome::Acknowledged { version, first_position, at: Instant::now() };
                load.acknowledged.fetch_add(1, Ordering::SeqCst);
                return Some(version);
            }
            Ok(answer) if answer.status == 409 => {
                assert_eq!(answer.code(), "version_conflict", "{answer:?}");
                sent.outcome = Outcome::Refused;
                return answer.body["details"]["current_version"].as_u64();
            }
            Ok(answer) => {
                assert!(answer.is_try_again(), "{answer:?}");
                load.turned_away.fetch_add(1, Ordering::SeqCst);
            }
            Err(_) => {
                load.cut_off.fetch_add(1, Ordering::SeqCst);
            }
        }
        if patience == Patience::OneAttempt {
            return None;
        }
        assert!(
            sent.began.elapsed() < SETTLED_WITHIN,
            "an append to {} never settles",
            sent.stream
        );
        tokio::time::sleep(Duration::from_millis(10 + dice.below(200))).await;
    }
}
