//! Checks what is in a tenant log against what its writers and readers were told.
//!
//! A [`History`] collects every append that clients sent and what they were answered. When the dust has
//! settled, [`History::check`] reads it beside the whole log and every stream, and names whatever is
//! [`Wrong`]: what was acknowledged is there exactly once, where and as it was acknowledged, in the order of
//! real time; what was refused is not; positions and versions have no gaps. [`check_chain`] recomputes the
//! digests, and [`check_deliveries`] does the same for a subscriber that was cut off and resumed.
//!
//! An append that was never answered may be there or not, but not twice and not in part.

mod chain;
mod delivery;
mod wrong;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use uuid::Uuid;

pub use chain::{Linked, check_chain};
pub use delivery::{Delivered, check_deliveries};
pub use wrong::Wrong;

/// An append as its client saw it, all its attempts together.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Who sent it.
    pub client: usize,
    /// To which stream.
    pub stream: String,
    /// The ids and payloads of its events, in order.
    pub events: Vec<(Uuid, String)>,
    /// The version that the stream had to have, if any.
    pub expected_version: Option<u64>,
    /// When the first attempt began.
    pub began: Instant,
    /// What came back in the end.
    pub outcome: Outcome,
}

/// What a client was answered in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the log.
    Acknowledged {
        /// The stream's version after it.
        version: u64,
        /// The position of its first event.
        first_position: u64,
        /// When the answer came.
        at: Instant,
    },
    /// It is not in the log and never will be: the stream was at another version.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// An event as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its place in the log.
    pub position: u64,
    /// Its stream.
    pub stream: String,
    /// Its place in the stream.
    pub version: u64,
    /// Its id.
    pub event: Uuid,
    /// What it carries.
    pub payload: String,
}

/// Every append that was sent to a tenant.
#[derive(Debug, Default)]
pub struct History {
    sent: Vec<Sent>,
}

impl History {
    /// Adds an append.
    pub fn push(&mut self, sent: Sent) {
        self.sent.push(sent);
    }

    /// Lets events be that somebody else wrote: they are there, and nobody was told anything of them.
    pub fn let_be<'a>(&mut self, others: impl IntoIterator<Item = &'a Logged>) {
        self.sent.extend(others.into_iter().map(|other| Sent {
            client: usize::MAX,
            stream: other.stream.clone(),
            events: vec![(other.event, other.payload.clone())],
            expected_version: None,
            began: Instant::now(),
            outcome: Outcome::Unknown,
        }));
    }

    /// All of them.
    #[must_use]
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// How many were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        let outcomes = self.sent.iter().map(|sent| sent.outcome);
        outcomes.filter(|outcome| matches!(outcome, Outcome::Acknowledged { .. })).count()
    }

    /// How many were refused for their stream's version.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.sent.iter().filter(|sent| sent.outcome == Outcome::Refused).count()
    }

    /// Compares with the whole log, in the order it was read, and with each stream that was read.
    #[must_use]
    pub fn check(&self, log: &[Logged], streams: &BTreeMap<String, Vec<Logged>>) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        check_positions(log, &mut wrong);
        check_streams(log, streams, &mut wrong);
        let found = occurrences(log, &mut wrong);
        let at_position: HashMap<u64, &Logged> =
            log.iter().map(|logged| (logged.position, logged)).collect();
        for sent in &self.sent {
            match sent.outcome {
                Outcome::Acknowledged { version, first_position, .. } => {
                    check_acknowledged(
                        sent,
                        version,
                        first_position,
                        &found,
                        &at_position,
                        &mut wrong,
                    );
                }
                Outcome::Refused => check_absent(sent, &found, &mut wrong),
                Outcome::Unknown => check_whole(sent, &found, &mut wrong),
            }
        }
        self.check_origin(log, &mut wrong);
        self.check_order(&mut wrong);
        wrong
    }

    /// Every event of the log was sent by somebody, to this stream, with this payload.
    fn check_origin(&self, log: &[Logged], wrong: &mut Vec<Wrong>) {
        let sent: HashMap<Uuid, (&str, &str)> = self
            .sent
            .iter()
            .flat_map(|sent| {
                sent.events
                    .iter()
                    .map(|(id, payload)| (*id, (sent.stream.as_str(), payload.as_str())))
            })
            .collect();
        for logged in log {
            match sent.get(&logged.event) {
                None => {
                    wrong.push(Wrong::Invented { position: logged.position, event: logged.event });
                }
                Some(as_sent) if *as_sent != (logged.stream.as_str(), logged.payload.as_str()) => {
                    wrong.push(Wrong::Altered { position: logged.position, event: logged.event });
                }
                Some(_) => {}
            }
        }
    }

    /// An append that began after another was acknowledged has a higher position.
    fn check_order(&self, wrong: &mut Vec<Wrong>) {
        let mut acknowledged: Vec<(Instant, Instant, u64)> = self
            .sent
            .iter()
            .filter_map(|sent| match sent.outcome {
                Outcome::Acknowledged { first_position, at, .. } => {
                    Some((sent.began, at, first_position))
                }
                Outcome::Refused | Outcome::Unknown => None,
            })
            .collect();
        let mut by_answer: Vec<(Instant, u64)> =
            acknowledged.iter().map(|(_, at, position)| (*at, *position)).collect();
        by_answer.sort_unstable();
        acknowledged.sort_unstable();
        let (mut answered, mut highest) = (by_answer.into_iter().peekable(), 0);
        for (began, _, position) in acknowledged {
            while let Some((_, before)) = answered.next_if(|(at, _)| *at < began) {
                highest = highest.max(before);
            }
            if position <= highest {
                wrong.push(Wrong::Reordered { earlier: highest, later: position });
            }
        }
    }
}

fn check_positions(log: &[Logged], wrong: &mut Vec<Wrong>) {
    let mut expected = 1;
    for logged in log {
        if logged.position != expected {
            wrong.push(Wrong::Positions { expected, found: logged.position });
        }
        expected = logged.position + 1;
    }
}

/// Versions have no gaps in the log's order, and a stream read by itself is the same events.
fn check_streams(log: &[Logged], streams: &BTreeMap<String, Vec<Logged>>, wrong: &mut Vec<Wrong>) {
    let mut in_log: BTreeMap<&str, Vec<&Logged>> = BTreeMap::new();
    for logged in log {
        let stream = in_log.entry(&logged.stream).or_default();
        let expected = stream.last().map_or(1, |last| last.version + 1);
        if logged.version != expected {
            let (stream, found) = (logged.stream.clone(), logged.version);
            wrong.push(Wrong::Versions { stream, expected, found, position: logged.position });
        }
        stream.push(logged);
    }
    for (stream, read) in streams {
        let of_log = in_log.get(stream.as_str()).map_or(&[][..], Vec::as_slice);
        let differs =
            (0..read.len().max(of_log.len())).find(|&i| of_log.get(i).copied() != read.get(i));
        if let Some(index) = differs {
            let version = index as u64 + 1;
            wrong.push(Wrong::StreamDiffers { stream: stream.clone(), version });
        }
    }
}

/// Where each event is, the first time; a second time is wrong.
fn occurrences<'a>(log: &'a [Logged], wrong: &mut Vec<Wrong>) -> HashMap<Uuid, &'a Logged> {
    let mut found: HashMap<Uuid, &Logged> = HashMap::new();
    for logged in log {
        match found.get(&logged.event) {
            Some(first) => wrong.push(Wrong::Doubled {
                event: logged.event,
                first: first.position,
                second: logged.position,
            }),
            None => {
                found.insert(logged.event, logged);
            }
        }
    }
    found
}

fn check_acknowledged(
    sent: &Sent,
    version: u64,
    first_position: u64,
    found: &HashMap<Uuid, &Logged>,
    at_position: &HashMap<u64, &Logged>,
    wrong: &mut Vec<Wrong>,
) {
    let client = sent.client;
    let first_version = (version + 1).saturating_sub(sent.events.len() as u64);
    if let Some(expected) = sent.expected_version
        && first_version != expected + 1
    {
        let stream = sent.stream.clone();
        wrong.push(Wrong::Expectation { client, stream, expected, found: first_version - 1 });
    }
    for (nth, (event, _)) in (0..).zip(&sent.events) {
        let (event, position) = (*event, first_position + nth);
        match found.get(&event) {
            None => wrong.push(Wrong::Lost { client, event, position }),
            Some(logged) if logged.position != position => {
                wrong.push(Wrong::Elsewhere { client, event, position, found: logged.position });
            }
            Some(logged) if logged.version != first_version + nth => {
                let (acknowledged, found) = (first_version + nth, logged.version);
                wrong.push(Wrong::OtherVersion { client, event, acknowledged, found });
            }
            Some(_) => {}
        }
        if let Some(other) = at_position.get(&position)
            && other.event != event
        {
            wrong.push(Wrong::Replaced { client, position, event, found: other.event });
        }
    }
}

fn check_absent(sent: &Sent, found: &HashMap<Uuid, &Logged>, wrong: &mut Vec<Wrong>) {
    for (event, _) in &sent.events {
        if let Some(logged) = found.get(event) {
            let (client, event, position) = (sent.client, *event, logged.position);
            wrong.push(Wrong::Resurrected { client, event, position });
        }
    }
}

/// All of an append without an answer is there, together, or none of it.
fn check_whole(sent: &Sent, found: &HashMap<Uuid, &Logged>, wrong: &mut Vec<Wrong>) {
    let positions: Vec<Option<u64>> = sent
        .events
        .iter()
        .map(|(event, _)| found.get(event).map(|logged| logged.position))
        .collect();
    let distinct: HashSet<Option<u64>> = (0..)
        .zip(&positions)
        .map(|(nth, position)| position.map(|position| position.wrapping_sub(nth)))
        .collect();
    if distinct.len() > 1 {
        let events = sent.events.iter().map(|(event, _)| *event).collect();
        wrong.push(Wrong::Torn { client: sent.client, events });
    }
}
