//! Comparing a copy with what it was copied from, while both are written.
//!
//! | level | what is compared |
//! |---|---|
//! | COUNT | where both logs end; that the copy's streams are what its events say, none is ahead of the source's, and none is missing |
//! | HASH  | also the copy itself: everything that is stored in it is read back and hashed, and must come to the source's digest |
//! | FULL  | also events and snapshots of both, field by field: all of them, or an even sample |
//!
//! The copy is compared up to where it ends when the comparison begins; what is copied meanwhile is the next
//! one's. Memory is a few pages, whatever the history. A comparison may be resumed where an earlier one
//! says that everything is sound.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use segue_core::digest::Mark;
use segue_core::ids::{Position, StoreId, StreamId, StreamVersion, TenantId};
use segue_core::tenancy::migration::VerificationLevel;
use segue_store::events::{
    self, Access, Direction, Event, EventStore, LogRead, STREAM_REDACTED, StreamRead, Tally,
    TallyRead, limits,
};
use serde::Serialize;

use super::marks::{kept, mark_at};
use super::verify::{Progress, Verification};
use crate::error::{Error, Result};

/// How many events are compared field by field at a time, and taken or left as a part of a sample.
const BLOCK: u64 = 256;

/// How many streams are compared at a time.
const STREAMS: usize = 500;

/// How many violations are named.
const NAMED: usize = 100;

/// Compares one tenant's log in two stores.
#[derive(Debug, Clone)]
pub struct ConsistencyVerifier {
    tenant: TenantId,
    source: (StoreId, Arc<dyn EventStore>),
    target: (StoreId, Arc<dyn EventStore>),
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct VerificationReport {
    /// Whose log.
    pub tenant_id: TenantId,
    /// Where it comes from.
    pub source_store_id: StoreId,
    /// Where the copy is.
    pub target_store_id: StoreId,
    /// What was compared.
    pub level: VerificationLevel,
    /// How many of the events were compared field by field, in percent; only FULL does.
    pub sample_percentage: f64,
    /// Whether nothing differs.
    pub is_consistent: bool,
    /// Up to where the copy was compared.
    pub position: Position,
    /// What differs: the first hundred.
    pub violations: Vec<Violation>,
    /// How many differences there are.
    pub violations_total: u64,
    /// How far the copy is proven; a later run may begin here.
    #[schema(value_type = Object)]
    pub sound_up_to: Mark,
    /// How many events were read back; FULL compares these, or a sample of them, field by field too.
    pub events_compared: u64,
    /// How many streams were.
    pub streams_compared: u64,
    /// How long it took.
    pub seconds: f64,
}

/// Something that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Violation {
    /// Where in the log; null if it is about a stream as a whole, or about the ends.
    pub position: Option<Position>,
    /// Which stream; null if it is not about one.
    pub stream_id: Option<StreamId>,
    /// What differs, in a word: `head`, `stream`, `digest`, `event`, `snapshot`, or what is damaged.
    pub kind: String,
    /// What differs, for people.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What is found on the way.
#[derive(Debug, Default)]
struct Found {
    violations: Vec<Violation>,
    total: u64,
    events: u64,
    streams: u64,
}

impl Found {
    fn add(&mut self, kind: &str, place: Place<'_>, message: String) {
        self.total += 1;
        if self.violations.len() < NAMED {
            let (position, stream_id) = match place {
                Place::Nowhere => (None, None),
                Place::At(position) => (Some(position), None),
                Place::In(stream) => (None, Some(stream.clone())),
            };
            self.violations.push(Violation { position, stream_id, kind: kind.to_owned(), message });
        }
    }
}

/// What a difference is about.
enum Place<'a> {
    Nowhere,
    At(Position),
    In(&'a StreamId),
}

impl ConsistencyVerifier {
    /// Compares what the second store holds of a tenant with what the first one does.
    #[must_use]
    pub fn new(
        tenant: TenantId,
        source: (StoreId, Arc<dyn EventStore>),
        target: (StoreId, Arc<dyn EventStore>),
    ) -> Self {
        Self { tenant, source, target }
    }

    /// Compares, from a mark that an earlier report calls sound; tells how far it has come.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when a store does not answer; [`Error::Corrupt`] when one is damaged beyond
    /// reading. Differences are no errors but what the report is about.
    pub async fn verify_tenant_consistency(
        &self,
        level: VerificationLevel,
        sample_percentage: f64,
        from: Mark,
        mut tell: impl FnMut(Progress),
    ) -> Result<VerificationReport> {
        let begun = Instant::now();
        let mut found = Found::default();
        let head = self.target.1.head(self.tenant).await;
        let head = head.map_err(|error| Error::of_store(&self.target.0, error))?;
        let end = head.mark();
        self.ends(end, &mut found).await?;
        let mut sound_up_to = from;
        if level >= VerificationLevel::Hash {
            sound_up_to = self.hashes(from, end, &mut found, &mut tell).await?;
        }
        let tallied = self.streams(&mut found, level, &mut tell, end.position).await?;
        self.missing(end, &mut found).await?;
        self.sum(tallied, end, &mut found).await?;
        if level == VerificationLevel::Full {
            let range = Range { after: from.position, end: end.position };
            self.events(range, sample_percentage, &mut found, &mut tell).await?;
        }
        Ok(VerificationReport {
            tenant_id: self.tenant,
            source_store_id: self.source.0.clone(),
            target_store_id: self.target.0.clone(),
            level,
            sample_percentage,
            is_consistent: found.total == 0,
            position: end.position,
            violations: found.violations,
            violations_total: found.total,
            sound_up_to,
            events_compared: found.events,
            streams_compared: found.streams,
            seconds: begun.elapsed().as_secs_f64(),
        })
    }

    /// Compares events of both field by field, after a position and up to another one.
    pub(super) async fn compare_events(
        &self,
        after: Position,
        end: Position,
        sample_percentage: f64,
    ) -> Result<Vec<Violation>> {
        let mut found = Found::default();
        self.events(Range { after, end }, sample_percentage, &mut found, &mut |_| ()).await?;
        Ok(found.violations)
    }

    async fn ends(&self, end: Mark, found: &mut Found) -> Result<()> {
        let source = self.source.1.head(self.tenant).await;
        let source = source.map_err(|error| Error::of_store(&self.source.0, error))?;
        if end.position > source.position {
            found.add(
                "head",
                Place::Nowhere,
                format!(
                    "the copy ends at position {}, beyond the source's {}",
                    end.position, source.position
                ),
            );
        }
        Ok(())
    }

    /// Reads the copy back; compares what it comes to, there and on the way, with the source.
    async fn hashes(
        &self,
        from: Mark,
        end: Mark,
        found: &mut Found,
        tell: &mut impl FnMut(Progress),
    ) -> Result<Mark> {
        let of = |(store_id, store): &(StoreId, Arc<dyn EventStore>)| Verification {
            store_id: store_id.clone(),
            store: Arc::clone(store),
            tenant: self.tenant,
            access: Access::Copy,
            from,
        };
        let (original, copy) = (of(&self.source), of(&self.target));
        let report = copy.run_beside(Some(&original), &mut *tell).await?;
        found.events += report.events_checked;
        for damage in report.damages {
            found.add(&damage.damage, Place::At(damage.first_position), damage.message);
        }
        let sound = self.last_common_digest(report.sound_up_to, end, found).await?;
        match mark_at(&self.source.1, self.tenant, end.position).await {
            Ok(Some(mark)) if mark == end => {}
            Ok(_) => found.add(
                "digest",
                Place::At(end.position),
                format!("the digests of both stores differ at position {}", end.position),
            ),
            Err(events::Error::Damaged { position, what }) => found.add(
                "source",
                Place::At(position),
                format!("the source is damaged at position {position}: {what}"),
            ),
            Err(error) => return Err(Error::of_store(&self.source.0, error)),
        }
        Ok(sound)
    }

    /// Compares the digests that both stores keep; the last that is the same and within what is sound.
    async fn last_common_digest(&self, sound: Mark, end: Mark, found: &mut Found) -> Result<Mark> {
        let mut common = Mark::START;
        loop {
            let stores = [&self.source.1, &self.target.1];
            let (source, target) = kept(stores, self.tenant, common.position, 500).await;
            let source = source.map_err(|error| Error::of_store(&self.source.0, error))?;
            let target = target.map_err(|error| Error::of_store(&self.target.0, error))?;
            let target: Vec<_> =
                target.into_iter().filter(|mark| mark.position <= end.position).collect();
            if target.is_empty() {
                break;
            }
            for mark in target {
                if mark.position > sound.position {
                    return Ok(common);
                }
                if !source.contains(&mark) {
                    found.add(
                        "digest",
                        Place::At(mark.position),
                        format!(
                            "the digests of both stores differ between positions {} and {}",
                            common.position.next(),
                            mark.position
                        ),
                    );
                    return Ok(common);
                }
                common = mark;
            }
        }
        Ok(if found.total == 0 { sound } else { common })
    }

    /// Compares what is kept about the copy's streams with its events, and with the source. Answers how many
    /// events they have together.
    async fn streams(
        &self,
        found: &mut Found,
        level: VerificationLevel,
        tell: &mut impl FnMut(Progress),
        end: Position,
    ) -> Result<u64> {
        let (tenant, access) = (self.tenant, Access::Copy);
        let (mut after, mut tallied) = (None, 0);
        loop {
            let read = TallyRead { tenant, access, after, limit: STREAMS };
            let page = self.target.1.tallies(read).await;
            let page = page.map_err(|error| Error::of_store(&self.target.0, error))?;
            let Some(last) = page.last() else { return Ok(tallied) };
            after = Some(last.stream_id.clone());
            tallied += page.iter().map(|tally| tally.events).sum::<u64>();
            let ids: Vec<_> = page.iter().map(|tally| tally.stream_id.clone()).collect();
            let versions = self.source.1.stream_versions(tenant, access, &ids).await;
            let versions = versions.map_err(|error| Error::of_store(&self.source.0, error))?;
            for (tally, version) in page.iter().zip(versions) {
                compare_tally(tally, version.0, found);
            }
            if level == VerificationLevel::Full {
                self.snapshots(&ids, found).await?;
            }
            found.streams += ids.len() as u64;
            tell(Progress { position: end, last_position: end, streams_checked: found.streams });
        }
    }

    /// Looks for streams of the source that the copy does not keep though it has their last events. One that
    /// goes on beyond the copy is written with its last event, and may be missing until then.
    async fn missing(&self, end: Mark, found: &mut Found) -> Result<()> {
        let (tenant, access) = (self.tenant, Access::Copy);
        let of_source = |error| Error::of_store(&self.source.0, error);
        let mut after = None;
        loop {
            let read = TallyRead { tenant, access, after, limit: STREAMS };
            let page = self.source.1.tallies(read).await.map_err(of_source)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.stream_id.clone());
            let ids: Vec<_> = page.into_iter().map(|tally| tally.stream_id).collect();
            let kept = self.target.1.stream_versions(tenant, access, &ids).await;
            let kept = kept.map_err(|error| Error::of_store(&self.target.0, error))?;
            let missing = ids.iter().zip(kept).filter(|(_, version)| version.0 == 0);
            for (stream, _) in missing {
                let last = last_of(&self.source.1, tenant, stream).await.map_err(of_source)?;
                if last.is_some_and(|last| last <= end.position) {
                    found.add(
                        "stream",
                        Place::In(stream),
                        format!("stream {stream} is missing in the copy, which has its events"),
                    );
                }
            }
        }
    }

    /// Compares the number of events with what the streams have together, for streams that are missing in
    /// both stores. It can be said only where nothing was appended since the comparison began, and nothing
    /// is on its way.
    async fn sum(&self, tallied: u64, end: Mark, found: &mut Found) -> Result<()> {
        if found.total > 0 || tallied == end.position.0 {
            return Ok(());
        }
        for (id, store) in [&self.source, &self.target] {
            let head = store.head(self.tenant).await;
            if head.map_err(|error| Error::of_store(id, error))?.mark() != end {
                return Ok(());
            }
        }
        found.add(
            "stream",
            Place::Nowhere,
            format!(
                "the streams of the copy hold {tallied} events, its log {}: a stream is missing in both \
                 stores, or an event is",
                end.position
            ),
        );
        Ok(())
    }

    /// Compares the snapshots of streams that stand at the same version in both.
    async fn snapshots(&self, ids: &[StreamId], found: &mut Found) -> Result<()> {
        let (tenant, access) = (self.tenant, Access::Copy);
        let (source, target) = tokio::join!(
            self.source.1.load_many(tenant, access, ids),
            self.target.1.load_many(tenant, access, ids)
        );
        let source = source.map_err(|error| Error::of_store(&self.source.0, error))?;
        let target = target.map_err(|error| Error::of_store(&self.target.0, error))?;
        for (source, target) in source.iter().zip(&target) {
            let (Some(source), Some(target)) = (source, target) else { continue };
            if source.version == target.version && source.snapshot != target.snapshot {
                found.add(
                    "snapshot",
                    Place::In(&target.stream_id),
                    format!("the snapshots of stream {} differ", target.stream_id),
                );
            }
        }
        Ok(())
    }

    async fn events(
        &self,
        range: Range,
        sample_percentage: f64,
        found: &mut Found,
        tell: &mut impl FnMut(Progress),
    ) -> Result<()> {
        let share = (sample_percentage / 100.0).clamp(0.0, 1.0);
        let first = range.after.0 / BLOCK;
        let is_taken = |block: u64| {
            // As many blocks as the share says, evenly, and the first of however few.
            let so_far = |blocks: u64| (blocks as f64 * share).ceil();
            so_far(block - first + 1) > so_far(block - first)
        };
        let mut after = range.after;
        while after < range.end {
            let block = after.0 / BLOCK;
            let last = Position(((block + 1) * BLOCK).min(range.end.0));
            if is_taken(block) {
                self.block(Range { after, end: last }, found).await?;
            }
            after = last;
            tell(Progress {
                position: after,
                last_position: range.end,
                streams_checked: found.streams,
            });
        }
        Ok(())
    }

    async fn block(&self, range: Range, found: &mut Found) -> Result<()> {
        let (source, target) = tokio::join!(
            read(&self.source.1, self.tenant, range),
            read(&self.target.1, self.tenant, range)
        );
        let source = source.map_err(|error| Error::of_store(&self.source.0, error))?;
        let target = target.map_err(|error| Error::of_store(&self.target.0, error))?;
        for position in range.after.0 + 1..=range.end.0 {
            let at = |events: &[Event]| {
                events.iter().find(|event| event.position.0 == position).cloned()
            };
            let difference = match (at(&source), at(&target)) {
                (Some(source), Some(target)) if source == target => None,
                (Some(source), Some(target)) if differ_by_erasure(&source, &target) => {
                    self.unexplained(&source).await?
                }
                (Some(source), Some(target)) => Some(differing(&source, &target)),
                (Some(_), None) => Some("the copy lacks it"),
                (None, Some(_)) => Some("the source lacks it"),
                (None, None) => Some("both lack it"),
            };
            if let Some(difference) = difference {
                found.add(
                    "event",
                    Place::At(Position(position)),
                    format!("the event at position {position} differs: {difference}"),
                );
            }
        }
        Ok(())
    }
    /// What is wrong with an event that one side had erased and the other had not when they were read;
    /// nothing where that is on its way: the redaction came in between, or the copy does not have it yet.
    async fn unexplained(&self, event: &Event) -> Result<Option<&'static str>> {
        let of_source = |error| Error::of_store(&self.source.0, error);
        let of_target = |error| Error::of_store(&self.target.0, error);
        let redaction = redaction_of(&self.source.1, self.tenant, event).await;
        let Some(redaction) = redaction.map_err(of_source)? else { return Ok(Some("its payload")) };
        let copied = self.target.1.head(self.tenant).await.map_err(of_target)?;
        if redaction > copied.position {
            return Ok(None);
        }
        let again = self.target.1.event(self.tenant, Access::Copy, event.event_id).await;
        let is_erased = again.map_err(of_target)?.is_some_and(|event| event.payload.is_none());
        Ok((!is_erased).then_some("its payload, which should be erased"))
    }
}

/// Whether two events are the same but for a payload that one of them has no more.
fn differ_by_erasure(source: &Event, target: &Event) -> bool {
    let erased = |event: &Event| Event { payload: None, ..event.clone() };
    source.payload.is_none() != target.payload.is_none() && erased(source) == erased(target)
}

/// Where the redaction stands that erased an event.
async fn redaction_of(
    store: &Arc<dyn EventStore>,
    tenant: TenantId,
    event: &Event,
) -> events::Result<Option<Position>> {
    let mut from = event.version.next();
    loop {
        let (access, direction, limit) = (Access::Copy, Direction::Forwards, 1_000);
        let stream = event.stream_id.clone();
        let read = StreamRead { tenant, access, stream, from, limit, direction };
        let page = store.read_stream(read).await?;
        match (page.events.iter().find(|event| event.event_type == STREAM_REDACTED), page.next) {
            (Some(redaction), _) => return Ok(Some(redaction.position)),
            (None, Some(next)) => from = next,
            (None, None) => return Ok(None),
        }
    }
}

/// The position of a stream's last event, if it has one.
pub(super) async fn last_of(
    store: &Arc<dyn EventStore>,
    tenant: TenantId,
    stream: &StreamId,
) -> events::Result<Option<Position>> {
    let (access, direction, limit) = (Access::Copy, Direction::Backwards, 1);
    let (stream, from) = (stream.clone(), StreamVersion(u64::MAX));
    let read = StreamRead { tenant, access, stream, from, limit, direction };
    Ok(store.read_stream(read).await?.events.first().map(|event| event.position))
}

/// Positions after one and up to another.
#[derive(Debug, Clone, Copy)]
struct Range {
    after: Position,
    end: Position,
}

async fn read(
    store: &Arc<dyn EventStore>,
    tenant: TenantId,
    range: Range,
) -> events::Result<Vec<Event>> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let after = events.last().map_or(range.after, |event| event.position);
        let limit = usize::try_from(range.end.0.saturating_sub(after.0)).unwrap_or(1);
        if limit == 0 {
            return Ok(events);
        }
        let (access, max_bytes) = (Access::Copy, limits::BYTES_PER_PAGE);
        let page = store.read_log(LogRead { tenant, access, after, limit, max_bytes }).await?;
        if page.events.is_empty() {
            return Ok(events);
        }
        events.extend(page.events.into_iter().filter(|event| event.position <= range.end));
    }
}

/// Compares what the copy keeps about a stream with its events there and with the source. A stream that has
/// gone on in the source is written with its last event only, so until that comes it may be kept at less.
fn compare_tally(tally: &Tally, source: u64, found: &mut Found) {
    let Tally { stream_id, version, snapshot_version, last, events, .. } = tally;
    let is_on_its_way = source > last.0 && version < last;
    let is_sound = *events == last.0
        && (version == last || is_on_its_way)
        && snapshot_version.is_none_or(|snapshot| snapshot <= *version);
    let place = Place::In(stream_id);
    if !is_sound {
        found.add(
            "stream",
            place,
            format!(
                "stream {stream_id} is kept at version {version} in the copy, and has {events} events up \
                 to version {last}"
            ),
        );
    } else if last.0 > source {
        found.add(
            "stream",
            place,
            format!(
                "stream {stream_id} is at version {last} in the copy and {source} in the source"
            ),
        );
    }
}

/// In which field two events differ first.
fn differing(source: &Event, target: &Event) -> &'static str {
    if source.event_id != target.event_id {
        "its id"
    } else if source.stream_id != target.stream_id || source.stream_type != target.stream_type {
        "its stream"
    } else if source.version != target.version {
        "its version"
    } else if source.event_type != target.event_type {
        "its type"
    } else if source.payload != target.payload || source.payload_hash != target.payload_hash {
        "its payload"
    } else if source.metadata != target.metadata {
        "its metadata"
    } else if source.append_first_position != target.append_first_position {
        "its append group"
    } else {
        "its time"
    }
}
