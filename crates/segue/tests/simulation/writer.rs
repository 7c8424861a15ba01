//! Clients that append and redact, and try again when they are not answered.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use segue::Error;
use segue::tenants::failure::Failure;
use segue_core::ids::{Epoch, EventId, StreamId, StreamVersion};
use segue_store::events::{
    self, Expected, Facets, NewEvent, Reason, Redact, Snapshot, StreamAppend,
};
use segue_testing::history::Outcome;
use tokio::time::timeout;

use super::chance::Chance;
use super::truth::{Share, snapshot};
use super::world::{TENANT, World};

/// The streams that all writers share.
pub const SHARED: [&str; 3] = ["s0", "s1", "s2"];

/// How long a write may take when nothing goes wrong, whatever is decided meanwhile.
const LONG: Duration = Duration::from_millis(60);

/// A client.
pub struct Writer {
    world: Arc<World>,
    number: usize,
    chance: Chance,
    /// The version of its own stream, as far as it was told.
    own: Option<u64>,
    /// The process that it goes to; any, if nothing.
    place: Option<usize>,
}

/// Why an attempt came to nothing.
enum Refusal {
    /// It is not in the log, and never will be.
    Conflict,
    /// Nobody knows.
    Unknown,
}

impl Writer {
    pub fn new(world: &Arc<World>, number: usize) -> Self {
        Self {
            world: world.clone(),
            number,
            chance: world.chance.fork(),
            own: Some(0),
            place: None,
        }
    }

    /// A client of one process.
    pub fn at(world: &Arc<World>, number: usize, place: usize) -> Self {
        Self { place: Some(place), ..Self::new(world, number) }
    }

    /// Writes until the world comes to rest.
    pub async fn work(mut self, pace: u64) {
        while !self.world.is_at_rest() {
            if self.chance.one_in(40) {
                self.redact().await;
            } else {
                self.append().await;
            }
            self.chance.rest(1, pace).await;
        }
    }

    async fn append(&mut self) {
        let mut shares = vec![self.share()];
        if self.chance.one_in(5) {
            let other = self.share();
            if other.stream != shares[0].stream {
                shares.push(other);
            }
        }
        self.send(shares, 6).await;
    }

    fn share(&self) -> Share {
        let (stream, expected) = match self.own {
            Some(version) if self.chance.percent(60) => {
                (format!("w{}", self.number), Some(version))
            }
            _ => {
                let stream = self.chance.pick(&SHARED).to_owned();
                let known = self.world.truth.floor().versions.get(&stream).copied().unwrap_or(0);
                (stream, self.chance.percent(30).then_some(known))
            }
        };
        let events = (0..self.chance.within(1, 4)).map(|nth| {
            let id = self.chance.id();
            (id, format!("{}: {nth}, {}", self.number, id.as_fields().0))
        });
        let events = events.collect();
        Share { stream, events, expected, has_snapshot: self.chance.percent(50) }
    }

    /// Appends, tries again where the outcome is unknown, and keeps what came of it. Answers whether it was
    /// acknowledged.
    pub async fn send(&mut self, shares: Vec<Share>, attempts: u64) -> bool {
        let began = Instant::now();
        self.world.truth.sending(&shares);
        let mut outcome = Outcome::Unknown;
        for _ in 0..self.chance.within(1, attempts) {
            match self.attempt(&shares).await {
                Ok((first, versions)) => {
                    self.remember(&shares, &versions);
                    let told = Some((first, versions));
                    self.world.truth.told((self.number, began), shares, told, outcome);
                    return true;
                }
                Err(Refusal::Conflict) => {
                    outcome = Outcome::Refused;
                    break;
                }
                Err(Refusal::Unknown) => self.chance.rest(1, 300).await,
            }
        }
        let own = format!("w{}", self.number);
        if shares.iter().any(|share| share.stream == own) {
            // Its version is not known any more; the client begins anew with another stream.
            self.own = None;
        }
        self.world.truth.told((self.number, began), shares, None, outcome);
        false
    }

    fn remember(&mut self, shares: &[Share], versions: &[u64]) {
        let own = format!("w{}", self.number);
        for (share, version) in shares.iter().zip(versions) {
            if share.stream == own {
                self.own = Some(*version);
            }
        }
    }

    async fn attempt(&self, shares: &[Share]) -> Result<(u64, Vec<u64>), Refusal> {
        let process = match self.place {
            Some(place) => self.world.processes()[place].clone(),
            None => self.world.process(&self.chance),
        };
        let streams: Vec<_> = shares.iter().map(as_append).collect();
        let (router, at) = (process.router.clone(), process.clock.now());
        // It goes on by itself when its client waits no longer, as a request on its way does.
        let sent = tokio::spawn(async move { router.append(TENANT, at, streams).await });
        let (who, begun) =
            (format!("writer {} at {}", self.number, process.name), tokio::time::Instant::now());
        let answer = match timeout(self.patience(), sent).await {
            Ok(answer) => answer.expect("nothing panics"),
            Err(_) => {
                self.world.trace.note(format!("{who} waits no longer"));
                return Err(Refusal::Unknown);
            }
        };
        match answer {
            Ok(appended) => {
                let versions: Vec<_> = appended.versions.iter().map(|version| version.0).collect();
                let first = appended.first_position.0;
                self.world.trace.note(format!("{who}: {first}, {versions:?}"));
                let (waited, dangers) = (begun.elapsed(), self.world.dangers);
                if waited > LONG && !dangers.break_calls() && !dangers.pauses {
                    self.world.trace.wrong(format!("{who} waited for {waited:?}, for nothing"));
                }
                Ok((first, versions))
            }
            Err(failure) => Err(self.judge(&who, &failure)),
        }
    }

    /// Mostly until the router gives up; now and then not so long.
    fn patience(&self) -> Duration {
        if self.place.is_none() && self.chance.one_in(20) {
            self.chance.millis(1, 2_000)
        } else {
            Duration::from_secs(60)
        }
    }

    async fn redact(&mut self) {
        let stream = self.chance.pick(&SHARED);
        let (event, began) = (self.chance.id(), Instant::now());
        self.world.truth.redacting(stream, event);
        let share = Share {
            stream: stream.to_owned(),
            events: vec![(event, "redaction".to_owned())],
            expected: None,
            has_snapshot: false,
        };
        for _ in 0..4 {
            let process = self.world.process(&self.chance);
            let redact = Redact {
                tenant: TENANT,
                epoch: Epoch::default(),
                recorded_at: process.clock.now(),
                stream_id: StreamId::new(stream).unwrap(),
                expected: Expected::Any,
                event_id: EventId(event),
                redacted_by: "olga".into(),
                reason: None,
                snapshot: None,
            };
            let who = format!("writer {} at {}, redacting", self.number, process.name);
            match process.router.redact(redact).await {
                Ok(redacted) => {
                    let (position, version) = (redacted.position.0, redacted.version.0);
                    self.world.trace.note(format!("{who} {stream}: {position}"));
                    let told = Some((position, vec![version]));
                    let truth = &self.world.truth;
                    return truth.told((self.number, began), vec![share], told, Outcome::Unknown);
                }
                Err(Failure::Store(events::Error::StreamNotFound { .. })) => break,
                Err(failure) => drop(self.judge(&who, &failure)),
            }
            self.chance.rest(1, 300).await;
        }
        self.world.truth.told((self.number, began), vec![share], None, Outcome::Unknown);
    }

    /// What a failure means; one that must not be is noted.
    fn judge(&self, who: &str, failure: &Failure) -> Refusal {
        self.world.trace.note(format!("{who}: {failure:?}"));
        match failure {
            Failure::Store(events::Error::Conflict { .. }) => return Refusal::Conflict,
            failure => self.world.judge(who, failure),
        }
        Refusal::Unknown
    }
}

impl World {
    /// Notes a failure that nothing explains.
    pub fn judge(&self, who: &str, failure: &Failure) {
        let is_explained = match failure {
            Failure::Store(events::Error::Unavailable { reason: Reason::Injected, .. }) => {
                self.dangers.break_calls()
            }
            Failure::Other(Error::WritePaused(_)) => {
                self.dangers.break_calls() || self.dangers.pauses
            }
            Failure::Other(Error::Unavailable { reason, .. }) => {
                self.dangers.break_calls() && !reason.contains("tenant")
            }
            Failure::Store(_) | Failure::Other(_) => false,
        };
        if !is_explained {
            self.trace.wrong(format!("{who}: nothing explains {failure:?}"));
        }
    }
}

fn as_append(share: &Share) -> StreamAppend {
    let event = |(id, payload): &(uuid::Uuid, String)| NewEvent {
        event_id: EventId(*id),
        event_type: Cow::Borrowed("Happened"),
        payload: payload.clone().into_bytes(),
        metadata: Vec::new(),
    };
    let last = share.events.last().expect("a share has events").0;
    StreamAppend {
        stream_id: StreamId::new(share.stream.clone()).unwrap(),
        stream_type: Cow::Borrowed("thing"),
        expected: share.expected.map_or(Expected::Any, |version| {
            if version == 0 {
                Expected::NoStream
            } else {
                Expected::Version(StreamVersion(version))
            }
        }),
        events: share.events.iter().map(event).collect(),
        snapshot: share.has_snapshot.then(|| Snapshot {
            state: snapshot(&share.stream, last),
            facets: Facets { live: true, ..Facets::default() },
        }),
    }
}
