//! Verifying a tenant's log: every event is read back and hashed again, and the chain compared with the
//! head's digest and with those kept on the way.
//!
//! The log is read once, from the beginning or from a mark that an earlier run has proven, up to where the
//! head stands when it begins; what is appended meanwhile is the next run's. While one page is hashed the
//! next is read, so memory is two pages, whatever the log. What the digests say is decided by
//! [`Inspection`]; here is what needs a store: reading around rows that cannot be read, telling an erased
//! payload from a lost one, naming the position inside a block that differs ([`locate`]), and the streams.
//!
//! It only reads, and may be dropped at any time.

mod erased;
mod locate;

use std::sync::Arc;
use std::time::Instant;

use segue_core::digest::Mark;
use segue_core::digest::inspection::{Damage, Finding, Findings, Inspection};
use segue_core::ids::{Position, StoreId, StreamId, TenantId};
use segue_store::events::{self, Access, Event, EventStore, LogPage, LogRead, Tally, TallyRead};
use serde::{Deserialize, Serialize};

use super::beside::beside;
use crate::error::{Error, Result};
use erased::Erasures;

/// How many events are read at a time, at most.
const PAGE_EVENTS: usize = 8_192;

/// How many bytes of payload and metadata are read at a time, at most.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// How many kept digests are read at a time.
const MARKS: usize = 256;

/// How many streams are read at a time.
const STREAMS: usize = 500;

/// How many rows that cannot be read are passed over before the store as a whole is given up.
const UNREADABLE: u64 = 1_000;

/// How many damaged streams are named.
const STREAMS_NAMED: usize = 100;

/// A tenant's log in one store, to be verified.
#[derive(Debug, Clone)]
pub struct Verification {
    /// Which store.
    pub store_id: StoreId,
    /// The store itself.
    pub store: Arc<dyn EventStore>,
    /// Whose log.
    pub tenant: TenantId,
    /// On what ground it is read.
    pub access: Access,
    /// What is known to be sound: [`Mark::START`], or where an earlier report says so.
    pub from: Mark,
}

/// How far a verification has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Progress {
    /// The last position that was hashed.
    pub position: Position,
    /// The position that it goes up to.
    pub last_position: Position,
    /// The streams compared with their events, once the log is done.
    pub streams_checked: u64,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Report {
    /// Whose log.
    pub tenant_id: TenantId,
    /// In which store.
    pub store_id: StoreId,
    /// Whether nothing is damaged.
    pub is_sound: bool,
    /// How far the log is proven; it ends before the first damage, and a later run may begin here.
    #[schema(value_type = Object)]
    pub sound_up_to: Mark,
    /// The first position that is found damaged, or lies in a range that is; null if none is. What lies
    /// between `sound_up_to` and here could not be proven either.
    pub first_damaged_position: Option<Position>,
    /// What is damaged, in order of position: the first hundred.
    pub damages: Vec<DamagedRange>,
    /// How many damages there are.
    pub damages_total: u64,
    /// Streams that disagree with their events: the first hundred.
    pub streams: Vec<DamagedStream>,
    /// How many such streams there are.
    pub streams_damaged: u64,
    /// How many events were hashed.
    pub events_checked: u64,
    /// How many streams were compared with their events.
    pub streams_checked: u64,
    /// How long it took.
    pub seconds: f64,
}

/// A range of the log that is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DamagedRange {
    /// The first position that may be damaged.
    pub first_position: Position,
    /// The last one; the same where it is known exactly.
    pub last_position: Position,
    /// What is wrong, in a word, such as `payload`.
    pub damage: String,
    /// What is wrong, for people.
    pub message: String,
}

/// A stream that disagrees with its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DamagedStream {
    /// Which; null for events whose stream is not kept at all.
    pub stream_id: Option<StreamId>,
    /// What is wrong, for people.
    pub message: String,
}

/// What was read of the log at once.
enum Read {
    /// Events, maybe none.
    Page(LogPage),
    /// The row at this position cannot be read.
    Unreadable(Position),
}

impl Verification {
    /// Verifies, and tells how far it has come after each page.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store cannot answer; [`Error::Corrupt`] when it is damaged beyond
    /// reading. Damage that can be named is no error but what the report is about.
    pub async fn run(&self, tell: impl FnMut(Progress)) -> Result<Report> {
        self.run_beside(None, tell).await
    }

    /// Verifies a copy beside the log that it is copied from, which may have more, and redactions among
    /// that.
    pub(super) async fn run_beside(
        &self,
        original: Option<&Self>,
        mut tell: impl FnMut(Progress),
    ) -> Result<Report> {
        let begun = Instant::now();
        let head = self.store.head(self.tenant).await?;
        head.admits_read(self.access).map_err(events::Error::from)?;
        let mut inspection = self.log(original, head.mark(), &mut tell).await?;
        locate::narrow(self, &mut inspection).await?;
        let last_position = head.position;
        let streams = self.streams(head.mark(), |streams_checked| {
            tell(Progress { position: last_position, last_position, streams_checked });
        });
        let streams = streams.await?;
        let findings = inspection.findings();
        let is_sound = findings.total() == 0 && streams.damaged == 0;
        let of_events = |finding: &&Finding| finding.damage.is_of_events();
        Ok(Report {
            tenant_id: self.tenant,
            store_id: self.store_id.clone(),
            is_sound,
            sound_up_to: inspection.sound(),
            first_damaged_position: findings.kept().iter().find(of_events).map(|found| found.first),
            damages: damages(findings),
            damages_total: findings.total(),
            streams: streams.named,
            streams_damaged: streams.damaged,
            events_checked: head.position.0.saturating_sub(self.from.position.0),
            streams_checked: streams.checked,
            seconds: begun.elapsed().as_secs_f64(),
        })
    }

    /// Hashes the log up to `head`.
    async fn log(
        &self,
        original: Option<&Self>,
        head: Mark,
        tell: &mut impl FnMut(Progress),
    ) -> Result<Inspection> {
        let mut inspection = Inspection::after(self.from);
        let mut erasures = Erasures::default();
        let mut marks = Marks { last: self.from.position, head };
        let mut unreadable = 0;
        let mut read = Some(self.read(self.from.position).await?);
        while let Some(page) = read.take() {
            let page = match page {
                Read::Page(page) => page,
                Read::Unreadable(position) => {
                    marks.up_to(position, self, &mut inspection).await?;
                    inspection.skip(position);
                    unreadable += 1;
                    if unreadable > UNREADABLE {
                        return Err(self.beyond_reading(position));
                    }
                    read = self.read_on(Some(position), head).await?;
                    continue;
                }
            };
            let mut events = page.events;
            events.retain(|event| event.position <= head.position);
            let Some(last) = events.last().map(|event| event.position) else { break };
            marks.up_to(last, self, &mut inspection).await?;
            let hashing = beside(move || {
                for event in &events {
                    let (first, payload) = (event.append_first_position, event.payload.as_deref());
                    inspection.push(event.position, first, &event.entry(), payload);
                }
                (inspection, events)
            });
            let reading = self.read_on(Some(last), head);
            let (hashed, next) = tokio::join!(hashing, reading);
            let (hashed, events) = hashed.map_err(events::Error::from)?;
            inspection = hashed;
            read = next?;
            erasures.check(self, original, &events, &mut inspection).await?;
            tell(Progress { position: last, last_position: head.position, streams_checked: 0 });
        }
        marks.up_to(head.position, self, &mut inspection).await?;
        inspection.finish(head);
        self.beyond(head.position, &mut inspection).await?;
        Ok(inspection)
    }

    /// The page after a position, unless the log ends there.
    async fn read_on(&self, after: Option<Position>, head: Mark) -> Result<Option<Read>> {
        match after.filter(|after| *after < head.position) {
            Some(after) => self.read(after).await.map(Some),
            None => Ok(None),
        }
    }

    /// A page of the log. Around a row that cannot be read the page shrinks until it is that row alone.
    async fn read(&self, after: Position) -> Result<Read> {
        let mut limit = PAGE_EVENTS;
        loop {
            let (tenant, access) = (self.tenant, self.access);
            let read = LogRead { tenant, access, after, limit, max_bytes: PAGE_BYTES };
            match self.store.read_log(read).await {
                Ok(page) => return Ok(Read::Page(page)),
                Err(events::Error::Corrupt { .. }) if limit > 1 => limit /= 2,
                Err(events::Error::Corrupt { what, .. }) => {
                    tracing::warn!(%tenant, position = after.0 + 1, what, "an event cannot be read");
                    return Ok(Read::Unreadable(after.next()));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Looks for events after the end of the log.
    async fn beyond(&self, end: Position, inspection: &mut Inspection) -> Result<()> {
        let Read::Page(page) = self.read(end).await? else { return Ok(()) };
        let beyond = |event: &&Event| event.position > page.head.position;
        if let (Some(first), Some(last)) =
            (page.events.iter().find(beyond), page.events.last().filter(beyond))
        {
            let (first, last) = (first.position, last.position);
            inspection.find(Finding { first, last, damage: Damage::BeyondHead });
        }
        Ok(())
    }

    /// Compares what is kept about the streams with their events.
    async fn streams(&self, head: Mark, mut tell: impl FnMut(u64)) -> Result<Streams> {
        let mut streams = Streams::default();
        let (tenant, access) = (self.tenant, self.access);
        let mut after = None;
        let mut events = 0;
        loop {
            let read = TallyRead { tenant, access, after, limit: STREAMS };
            let page = self.store.tallies(read).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.stream_id.clone());
            for tally in &page {
                streams.check(tally);
                events += tally.events;
            }
            tell(streams.checked);
        }
        // Only while nothing was appended can the sum be compared.
        if self.store.head(tenant).await?.mark() == head && events != head.position.0 {
            let message = format!(
                "the streams hold {events} events, the log {}: a stream is missing, or an event is",
                head.position
            );
            streams.name(None, message);
        }
        Ok(streams)
    }

    fn beyond_reading(&self, position: Position) -> Error {
        Error::Corrupt {
            what: "the event store",
            reason: format!(
                "more than {UNREADABLE} events of tenant {} in store `{}` cannot be read, the last at \
                 position {position}: restore it from a backup",
                self.tenant, self.store_id
            ),
            source: None,
        }
    }
}

/// The kept digests, read as the log comes to them.
struct Marks {
    last: Position,
    head: Mark,
}

impl Marks {
    /// Tells the inspection of every mark up to a position.
    async fn up_to(
        &mut self,
        position: Position,
        verification: &Verification,
        inspection: &mut Inspection,
    ) -> Result<()> {
        while self.last < position && self.last < self.head.position {
            let Verification { store, tenant, access, .. } = verification;
            let marks = store.digests(*tenant, *access, self.last, MARKS).await?;
            let is_past = |mark: &Mark| mark.position >= self.head.position;
            let is_last = marks.len() < MARKS || marks.last().is_some_and(is_past);
            for mark in marks.into_iter().filter(|mark| mark.position <= self.head.position) {
                self.last = mark.position;
                inspection.expect(mark);
            }
            if is_last {
                self.last = self.head.position;
            }
        }
        Ok(())
    }
}

/// What was found of the streams.
#[derive(Debug, Default)]
struct Streams {
    checked: u64,
    damaged: u64,
    named: Vec<DamagedStream>,
}

impl Streams {
    fn check(&mut self, tally: &Tally) {
        self.checked += 1;
        if tally.is_sound() {
            return;
        }
        let Tally { stream_id, version, snapshot_version, last, events, .. } = tally;
        let message = match snapshot_version {
            _ if version != last => {
                format!("it is kept at version {version}, its events end at version {last}")
            }
            _ if *events != last.0 => format!("it has {events} events up to version {last}"),
            Some(snapshot) => {
                format!("its snapshot is of version {snapshot}, after its end {version}")
            }
            None => "it disagrees with its events".to_owned(),
        };
        self.name(Some(stream_id.clone()), message);
    }

    fn name(&mut self, stream_id: Option<StreamId>, message: String) {
        self.damaged += 1;
        if self.named.len() < STREAMS_NAMED {
            self.named.push(DamagedStream { stream_id, message });
        }
    }
}

fn damages(findings: &Findings) -> Vec<DamagedRange> {
    let range = |finding: &Finding| DamagedRange {
        first_position: finding.first,
        last_position: finding.last,
        damage: finding.damage.as_str().to_owned(),
        message: finding.to_string(),
    };
    findings.kept().iter().map(range).collect()
}
