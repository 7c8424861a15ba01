//! Patience, breaker, places and money, against a model in memory, in time that passes when it is waited
//! for.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use serde_json::json;

use super::retry::RetryAfter;
use super::*;
use crate::clock::ManualClock;

const ANN: TenantId = TenantId(Uuid::from_u128(1));
const BOB: TenantId = TenantId(Uuid::from_u128(2));

/// What the model in memory does with a request.
#[derive(Debug, Clone)]
enum Does {
    Answers,
    Says(&'static str),
    Costs(u64),
    Hangs,
    Takes(Duration),
    Fails(Fault),
}

/// A model in memory: it goes through what it is to do, and repeats the last.
#[derive(Debug)]
struct Fake {
    does: Vec<Does>,
    asked: Arc<AtomicUsize>,
    at_once: AtomicUsize,
    most_at_once: Arc<AtomicUsize>,
}

#[async_trait]
impl Endpoint for Fake {
    async fn complete(&self, _: Bytes) -> Result<Bytes, Fault> {
        let nth = self.asked.fetch_add(1, Ordering::SeqCst);
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        let answer = self.answer(&self.does[nth.min(self.does.len() - 1)]).await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        answer
    }
}

impl Fake {
    async fn answer(&self, does: &Does) -> Result<Bytes, Fault> {
        let said = |content: &str, tokens: u64| {
            let message = json!({ "message": { "content": content } });
            let usage = json!({ "prompt_tokens": tokens, "completion_tokens": 0 });
            Bytes::from(json!({ "choices": [message], "usage": usage }).to_string())
        };
        const AGE: &str = r#"{"found":[{"field":"age","value":"41","quote":"41"}]}"#;
        match does {
            Does::Answers => Ok(said(AGE, 10)),
            Does::Says(content) => Ok(said(content, 10)),
            Does::Costs(tokens) => Ok(said(AGE, *tokens)),
            Does::Hangs => std::future::pending().await,
            Does::Takes(time) => {
                tokio::time::sleep(*time).await;
                Ok(said(AGE, 10))
            }
            Does::Fails(fault) => Err(fault.clone()),
        }
    }
}

struct World {
    language: Language,
    clock: Arc<ManualClock>,
    asked: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
}

impl World {
    fn of(does: &[Does]) -> Self {
        Self::with(does, |_| {})
    }

    fn with(does: &[Does], change: impl FnOnce(&mut Extraction)) -> Self {
        let mut settings = Extraction { model: "m".to_owned(), ..Extraction::default() };
        change(&mut settings);
        let (asked, most_at_once) = (Arc::default(), Arc::default());
        let fake = Fake {
            does: does.to_vec(),
            asked: Arc::clone(&asked),
            at_once: AtomicUsize::new(0),
            most_at_once: Arc::clone(&most_at_once),
        };
        let clock = Arc::new(ManualClock::at("2026-11-27T10:00:00Z".parse().unwrap()));
        let language = Language::on(Box::new(fake), &settings, clock.clone());
        Self { language, clock, asked, most_at_once }
    }

    /// Asks for an age on behalf of a turn.
    async fn ask(&self, tenant: TenantId) -> Result<usize, Silence> {
        let age: Definition =
            serde_json::from_value(json!({ "name": "age", "value_type": "integer" })).unwrap();
        let conversation = VecDeque::new();
        let deadline = Instant::now() + self.language.turn_timeout();
        let found = self.language.extract(tenant, &[&age], &conversation, deadline).await?;
        Ok(found.1.len())
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn status(status: u16, retry_after: Option<u64>) -> Does {
    let retry_after = retry_after.map(|seconds| RetryAfter::In(Duration::from_secs(seconds)));
    Does::Fails(Fault::Status { status, retry_after })
}

async fn later(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_tried_again_and_what_does_not_is_not() {
    let unreachable = Does::Fails(Fault::Unreachable("refused".to_owned()));
    let world = World::of(&[status(503, None), unreachable, Does::Answers]);
    assert_eq!((world.ask(ANN).await, world.asked()), (Ok(1), 3));
    let world = World::of(&[status(500, None)]);
    assert_eq!((world.ask(ANN).await, world.asked()), (Err(Silence::Unavailable), 3));
    for refused in [400, 401, 404, 302] {
        let world = World::of(&[status(refused, None)]);
        assert_eq!((world.ask(ANN).await, world.asked()), (Err(Silence::Unavailable), 1));
    }
    for said in ["{", "{\"found\":[{\"field\":\"admin\",\"value\":\"1\",\"quote\":\"1\"}]}"] {
        let world = World::of(&[Does::Says(said)]);
        assert_eq!((world.ask(ANN).await, world.asked()), (Err(Silence::Unusable), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_asked_again_no_sooner_than_it_wishes() {
    let world = World::of(&[status(429, Some(4)), Does::Answers]);
    let begun = Instant::now();
    assert_eq!(world.ask(ANN).await, Ok(1));
    assert_eq!(begun.elapsed().as_secs(), 4);
    // Longer than a turn waits: the turn goes on at once, and others leave the endpoint alone.
    let world = World::of(&[status(429, Some(60)), Does::Answers]);
    let begun = Instant::now();
    assert_eq!(world.ask(ANN).await, Err(Silence::Unavailable));
    assert_eq!(world.ask(ANN).await, Err(Silence::LeftAlone));
    assert_eq!((world.asked(), begun.elapsed().as_secs()), (1, 0));
    later(60).await;
    assert_eq!(world.ask(ANN).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_turn_waits_no_longer_than_it_may() {
    let world = World::of(&[Does::Hangs]);
    let begun = Instant::now();
    assert_eq!(world.ask(ANN).await, Err(Silence::TimedOut));
    let waited = begun.elapsed();
    assert!(waited <= Duration::from_secs(12), "{waited:?}");
    assert!(waited >= Duration::from_secs(10), "it was tried twice: {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn the_breaker_opens_after_failures_lets_one_try_and_closes_again() {
    let mut does = vec![Does::Hangs; 6];
    does.push(Does::Answers);
    let world = World::with(&does, |settings| settings.max_retries = 0);
    for _ in 0..5 {
        assert_eq!(world.ask(ANN).await, Err(Silence::TimedOut));
    }
    assert_eq!((world.ask(ANN).await, world.asked()), (Err(Silence::LeftAlone), 5));
    later(6).await;
    // One tries, and hangs; the others do not even begin.
    let (tried, others) = tokio::join!(world.ask(ANN), async {
        later(1).await;
        (world.ask(BOB).await, world.ask(ANN).await)
    });
    assert_eq!(tried, Err(Silence::TimedOut));
    assert_eq!(others, (Err(Silence::LeftAlone), Err(Silence::LeftAlone)));
    assert_eq!((world.ask(ANN).await, world.asked()), (Err(Silence::LeftAlone), 6));
    later(11).await;
    assert_eq!(world.ask(ANN).await, Ok(1));
    assert_eq!(world.ask(BOB).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn no_customer_takes_the_model_away_from_others() {
    let refused = status(400, None);
    let does = [
        vec![refused; 5],
        vec![Does::Says("no JSON"); 5],
        vec![Does::Fails(Fault::TooLong); 5],
        vec![Does::Answers],
    ];
    let world = World::of(&does.concat());
    for _ in 0..15 {
        assert!(world.ask(BOB).await.is_err());
    }
    assert_eq!(world.ask(ANN).await, Ok(1), "the breaker is closed");
}

#[tokio::test(start_paused = true)]
async fn only_so_many_ask_at_once_and_whoever_finds_no_place_goes_on_without() {
    let two = |settings: &mut Extraction| settings.max_concurrent = 2;
    let world = World::with(&[Does::Takes(Duration::from_millis(600))], two);
    let (a, b, c, d) = tokio::join!(world.ask(ANN), world.ask(ANN), world.ask(ANN), world.ask(ANN));
    assert_eq!([a, b, c, d], [Ok(1); 4]);
    assert_eq!(world.most_at_once.load(Ordering::SeqCst), 2);

    let world = World::with(&[Does::Takes(Duration::from_secs(3))], two);
    let begun = Instant::now();
    let (a, b, (c, waited)) = tokio::join!(world.ask(ANN), world.ask(ANN), async {
        (world.ask(ANN).await, begun.elapsed())
    });
    assert_eq!([a, b, c], [Ok(1), Ok(1), Err(Silence::Busy)]);
    assert_eq!(waited.as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn requests_and_tokens_are_spent_up_to_their_limits() {
    let world = World::with(&[Does::Answers], |settings| {
        settings.max_requests_per_hour_per_tenant = 2;
        settings.max_requests_per_hour = 3;
    });
    let mut outcomes = Vec::new();
    for tenant in [ANN, ANN, ANN, BOB, BOB] {
        outcomes.push(world.ask(tenant).await);
    }
    let spent = Err(Silence::Spent);
    assert_eq!(outcomes, [Ok(1), Ok(1), spent, Ok(1), spent]);
    assert_eq!(world.asked(), 3);
    world.clock.advance(jiff::SignedDuration::from_hours(1));
    assert_eq!(world.ask(ANN).await, Ok(1));

    let world = World::with(&[Does::Costs(4_000)], |settings| {
        settings.max_tokens_per_day_per_tenant = 9_000;
    });
    assert_eq!(world.ask(ANN).await, Ok(1));
    assert_eq!(world.ask(ANN).await, Ok(1));
    assert_eq!(world.ask(ANN).await, spent, "what is left is less than a request may cost");
    assert_eq!(world.ask(BOB).await, Ok(1));
    world.clock.advance(jiff::SignedDuration::from_hours(24));
    assert_eq!(world.ask(ANN).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn what_failed_for_nothing_costs_no_tokens_and_what_timed_out_may_have() {
    let change = |settings: &mut Extraction| {
        settings.max_retries = 0;
        settings.max_tokens_per_day = 6_000;
        settings.breaker_failures = 100;
    };
    let world = World::with(&[status(500, None)], change);
    for _ in 0..20 {
        assert_eq!(world.ask(ANN).await, Err(Silence::Unavailable));
    }
    let world = World::with(&[Does::Hangs], change);
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        outcomes.push(world.ask(ANN).await.unwrap_err());
    }
    assert_eq!(outcomes.first(), Some(&Silence::TimedOut));
    assert_eq!(outcomes.last(), Some(&Silence::Spent));
}
