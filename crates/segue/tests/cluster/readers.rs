//! Subscribers that are killed in the middle and resumed, by long poll and by SSE.

use std::time::{Duration, Instant};

use reqwest::Method;
use segue_store::dice::Dice;
use segue_testing::history::Delivered;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::api::{Api, logged};

/// How long a subscriber may go without anything new once the log is complete.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(90);

/// The length of the log, once it is known.
pub type End = watch::Receiver<Option<u64>>;

/// Reads a named subscription by long poll until the end of the log. Sometimes it dies between reading a
/// page and acknowledging it, and the next life begins where the last acknowledgement was.
pub async fn poll(api: Api, name: &str, mut dice: Dice, end: End) -> Vec<Delivered> {
    api.ok(Method::PUT, &format!("/subscriptions/{name}"), &json!({})).await;
    let (mut lives, mut acknowledged, mut news) = (Vec::new(), 0, Instant::now());
    while end.borrow().is_none_or(|end| acknowledged < end) {
        let path = format!("/subscriptions/{name}/events?limit=100&wait_ms=500");
        let page = api.get(&path).await;
        let events = page["events"].as_array().expect("a page of events");
        let events: Vec<_> = events.iter().map(logged).map(|e| (e.position, e.event)).collect();
        let last = events.last().map(|(position, _)| *position);
        lives.push(Delivered { after: acknowledged, events });
        if let Some(last) = last.filter(|_| dice.below(5) > 0) {
            let path = format!("/subscriptions/{name}/ack");
            api.ok(Method::POST, &path, &json!({"position": last})).await;
            (acknowledged, news) = (last, Instant::now());
        }
        assert!(end.borrow().is_none() || news.elapsed() < CAUGHT_UP_WITHIN, "it never catches up");
    }
    lives
}

/// Follows the log by SSE until its end. It is cut off now and then, by itself or by a server that dies, and
/// resumes at the last id it has dealt with, which may lie a few events back.
pub async fn tail(api: Api, mut dice: Dice, end: End) -> Vec<Delivered> {
    let (mut lives, mut dealt_with): (Vec<Delivered>, u64) = (Vec::new(), 0);
    let mut news = Instant::now();
    while end.borrow().is_none_or(|end| dealt_with < end) {
        let mut life = Delivered { after: dealt_with, events: Vec::new() };
        let most = 1 + dice.below(400) as usize;
        listen(&api, api.any_node(&mut dice), &mut life, most, &end).await;
        if life.events.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if let Some((last, _)) = life.events.last() {
            let forgotten = dice.below(4).min(life.events.len() as u64);
            let at_end = end.borrow().is_some_and(|end| *last >= end);
            dealt_with = if at_end { *last } else { last - forgotten };
            news = Instant::now();
        }
        lives.push(life);
        assert!(end.borrow().is_none() || news.elapsed() < CAUGHT_UP_WITHIN, "it never catches up");
    }
    lives
}

/// One connection, until it breaks, has brought `most` events, or the log has ended.
async fn listen(api: &Api, node: usize, life: &mut Delivered, most: usize, end: &End) {
    let request = api
        .request(node, Method::GET, "/events")
        .header("Accept", "text/event-stream")
        .header("Last-Event-ID", life.after.to_string());
    let Ok(mut response) = request.send().await else {
        return tokio::time::sleep(Duration::from_millis(100)).await;
    };
    if response.status() != 200 {
        assert_eq!(response.status(), 503, "{:?}", response.text().await);
        return tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut buffer = Vec::new();
    while life.events.len() < most {
        let at = life.events.last().map_or(life.after, |(position, _)| *position);
        if end.borrow().is_some_and(|end| at >= end) {
            return;
        }
        // Wakes up now and then to see whether the log has ended.
        match tokio::time::timeout(Duration::from_millis(500), response.chunk()).await {
            Ok(Ok(Some(chunk))) => buffer.extend_from_slice(&chunk),
            Ok(Ok(None) | Err(_)) => return,
            Err(_) => continue,
        }
        while let Some(end) = buffer.windows(2).position(|two| two == b"\n\n") {
            let message: Vec<u8> = buffer.drain(..end + 2).collect();
            life.events.extend(event(std::str::from_utf8(&message).unwrap()));
        }
    }
}

/// The event of one SSE message. A comment that keeps the connection alive has none, and neither has the
/// last message of a stream that a problem ends.
fn event(message: &str) -> Option<(u64, uuid::Uuid)> {
    let field = |name: &str| {
        message
            .lines()
            .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim_start()))
    };
    let event: Value = serde_json::from_str(field("data")?).expect("JSON");
    if let Some(name) = field("event") {
        assert_eq!(
            (name, event["code"].as_str()),
            ("problem", Some("store_unavailable")),
            "{event}"
        );
        return None;
    }
    let event = logged(&event);
    assert_eq!(field("id"), Some(event.position.to_string().as_str()), "id = position");
    Some((event.position, event.event))
}
