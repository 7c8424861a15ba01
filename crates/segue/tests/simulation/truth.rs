//! What the clients were told, and what they may therefore expect to read.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use segue_store::events::{Event, STREAM_REDACTED, StreamState};
use segue_testing::history::{History, Logged, Outcome, Sent};
use uuid::Uuid;

use super::trace::Trace;

/// What stands for the payload of a redaction, which the store writes itself.
const REDACTION: &str = "redaction";

/// What all clients together know.
#[derive(Debug)]
pub struct Truth {
    trace: Arc<Trace>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Of every event that was ever sent: its stream and its payload.
    sent: HashMap<Uuid, (String, String)>,
    /// What is where, as acknowledged or as read.
    at: BTreeMap<u64, Uuid>,
    /// Which event is which version of a stream, as acknowledged.
    versions: HashMap<(String, u64), Uuid>,
    floor: Floor,
    /// Streams that somebody has begun to redact.
    redacted: BTreeMap<String, u64>,
    history: History,
}

/// What a read that begins now must see at least.
#[derive(Debug, Clone, Default)]
pub struct Floor {
    /// The last position that was acknowledged or read.
    pub end: u64,
    /// The versions that streams were acknowledged at.
    pub versions: BTreeMap<String, u64>,
    /// The versions of the last snapshots that were acknowledged.
    pub snapshots: BTreeMap<String, u64>,
}

/// The share of one stream in an append.
#[derive(Debug, Clone)]
pub struct Share {
    pub stream: String,
    pub events: Vec<(Uuid, String)>,
    pub expected: Option<u64>,
    pub has_snapshot: bool,
}

impl Truth {
    pub fn new(trace: Arc<Trace>) -> Self {
        Self { trace, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    /// What is about to be sent may be read from now on.
    pub fn sending(&self, shares: &[Share]) {
        let mut known = self.known();
        for share in shares {
            for (id, payload) in &share.events {
                known.sent.insert(*id, (share.stream.clone(), payload.clone()));
            }
        }
    }

    pub fn redacting(&self, stream: &str, event: Uuid) {
        let mut known = self.known();
        known.sent.insert(event, (stream.to_owned(), REDACTION.to_owned()));
        *known.redacted.entry(stream.to_owned()).or_default() += 1;
    }

    pub fn floor(&self) -> Floor {
        self.known().floor.clone()
    }

    /// Keeps what a client was told of an append. `acknowledged` is the first position of it and the
    /// version of each stream after it; nothing when it was refused or nobody knows.
    pub fn told(
        &self,
        (client, began): (usize, Instant),
        shares: Vec<Share>,
        acknowledged: Option<(u64, Vec<u64>)>,
        otherwise: Outcome,
    ) {
        let mut known = self.known();
        self.trace.count(if acknowledged.is_some() {
            "writes acknowledged"
        } else {
            "other writes"
        });
        let mut position = acknowledged.as_ref().map_or(0, |(first, _)| *first);
        for (nth, share) in shares.into_iter().enumerate() {
            let outcome = match &acknowledged {
                Some((_, versions)) => {
                    let (version, first_position) = (versions[nth], position);
                    self.acknowledged(&mut known, &share, first_position, version);
                    position += share.events.len() as u64;
                    Outcome::Acknowledged { version, first_position, at: Instant::now() }
                }
                None => otherwise,
            };
            let Share { stream, events, expected: expected_version, .. } = share;
            let sent = Sent { client, stream, events, expected_version, began, outcome };
            known.history.push(sent);
        }
    }

    fn acknowledged(&self, known: &mut Known, share: &Share, first: u64, version: u64) {
        let count = share.events.len() as u64;
        for (nth, (id, _)) in (0..).zip(&share.events) {
            self.is_at(known, first + nth, *id);
            let key = (share.stream.clone(), version - count + 1 + nth);
            known.versions.insert(key, *id);
        }
        let floor = &mut known.floor;
        floor.end = floor.end.max(first + count - 1);
        let kept = floor.versions.entry(share.stream.clone()).or_default();
        *kept = version.max(*kept);
        if share.has_snapshot {
            let kept = floor.snapshots.entry(share.stream.clone()).or_default();
            *kept = version.max(*kept);
        }
    }

    /// An event is at a position, and never another one.
    fn is_at(&self, known: &mut Known, position: u64, id: Uuid) {
        let before = *known.at.entry(position).or_insert(id);
        if before != id {
            self.trace.wrong(format!("position {position} was event {before}, and now is {id}"));
        }
    }

    /// Checks events that were read, and keeps that they were.
    pub fn read(&self, who: &str, events: &[Event]) {
        let mut known = self.known();
        for event in events {
            let (position, id) = (event.position.0, event.event_id.0);
            self.is_at(&mut known, position, id);
            known.floor.end = known.floor.end.max(position);
            let stream = event.stream_id.as_str();
            let Some((sent_to, payload)) = known.sent.get(&id) else {
                self.trace.wrong(format!("{who}: nobody sent event {id} at position {position}"));
                continue;
            };
            let is_as_sent = match &event.payload {
                Some(_) if event.event_type == STREAM_REDACTED => payload == REDACTION,
                Some(read) => read == payload.as_bytes(),
                None => known.redacted.contains_key(stream),
            };
            if sent_to != stream || !is_as_sent {
                self.trace.wrong(format!("{who}: event {id} at {position} is not what was sent"));
            }
        }
    }

    /// Checks a position that was read of the head, and keeps it.
    pub fn reached(&self, position: u64) {
        let mut known = self.known();
        known.floor.end = known.floor.end.max(position);
    }

    /// Checks the state of a stream that was read.
    pub fn loaded(&self, who: &str, stream: &str, state: Option<&StreamState>, floor: &Floor) {
        let known = self.known();
        let version = state.map_or(0, |state| state.version.0);
        let acknowledged = floor.versions.get(stream).copied().unwrap_or(0);
        if version < acknowledged {
            let message = format!("{who}: {stream} is at version {version}, not {acknowledged}");
            return self.trace.wrong(message);
        }
        let taken = state.and_then(|state| state.snapshot.as_ref());
        let wanted = floor.snapshots.get(stream).copied().unwrap_or(0);
        let of = taken.map_or(0, |taken| taken.version.0);
        if of < wanted && !known.redacted.contains_key(stream) {
            self.trace.wrong(format!("{who}: the snapshot of {stream} is of {of}, not {wanted}"));
        }
        if let Some(taken) = taken
            && let Some(event) = known.versions.get(&(stream.to_owned(), of))
            && taken.state != snapshot(stream, *event)
        {
            self.trace.wrong(format!("{who}: the snapshot of {stream} at {of} is another one's"));
        }
    }

    /// An event that is known to be somewhere.
    pub fn some_event(&self, nth: u64) -> Option<(u64, Uuid)> {
        let known = self.known();
        let last = *known.at.last_key_value()?.0;
        known.at.range(1 + nth % last..).next().map(|(position, id)| (*position, *id))
    }

    /// Compares everything that anybody was told with the log as it is in the end.
    pub fn check(&self, log: &[Event]) {
        let known = self.known();
        let logged: Vec<Logged> = log.iter().map(|event| known.logged(event)).collect();
        let mut streams: BTreeMap<String, Vec<Logged>> = BTreeMap::new();
        for event in &logged {
            streams.entry(event.stream.clone()).or_default().push(event.clone());
        }
        for wrong in known.history.check(&logged, &streams) {
            self.trace.wrong(wrong.to_string());
        }
        for (position, id) in &known.at {
            let found = log.get(usize::try_from(position - 1).unwrap());
            if found.map(|event| event.event_id.0) != Some(*id) {
                self.trace
                    .wrong(format!("event {id} was at position {position}, and is not there"));
            }
        }
    }

    /// The log as the checkers of histories read it.
    pub fn logged(&self, log: &[Event]) -> Vec<Logged> {
        let known = self.known();
        log.iter().map(|event| known.logged(event)).collect()
    }
}

impl Known {
    /// What is erased counts as what was sent; that it was rightly erased was checked as it was read.
    fn logged(&self, event: &Event) -> Logged {
        let id = event.event_id.0;
        let is_redaction = event.event_type == STREAM_REDACTED;
        let payload = match &event.payload {
            Some(payload) if !is_redaction => String::from_utf8_lossy(payload).into_owned(),
            Some(_) | None => self.sent.get(&id).map_or_else(String::new, |sent| sent.1.clone()),
        };
        Logged {
            position: event.position.0,
            stream: event.stream_id.to_string(),
            version: event.version.0,
            event: id,
            payload,
        }
    }
}

/// The state that comes with an append whose last event this is.
pub fn snapshot(stream: &str, last: Uuid) -> Vec<u8> {
    format!("{stream} up to {last}").into_bytes()
}
