//! The event store that lives in this process: simple, and the measure of what the others answer.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use segue_core::digest::Mark;
use segue_core::ids::{Epoch, EventId, Position, StreamId, StreamVersion, TenantId, Term};

use super::accept::{Accepted, Checked};
use super::append::at_most;
use super::head::{HeadChange, still_purged};
use super::import::{Admitted, Continuation, Extended};
use super::query::order_key;
use super::redact::Redaction;
use super::{
    Access, Append, Appended, Count, CountQuery, Cursor, Direction, Durability, Error, Event,
    EventStore, Facets, Head, HeadSwap, Import, LogPage, LogRead, Purge, Purged, Redact, Redacted,
    Result, Rewind, SnapshotPage, SnapshotQuery, StreamPage, StreamRead, StreamState, Survives,
    Taken, Tally, TallyRead, TenantMoved, limits,
};

/// An event store in memory. Nothing survives it.
#[derive(Debug, Default)]
pub struct MemoryEventStore {
    tenants: Mutex<HashMap<TenantId, Log>>,
}

/// One tenant's log and what is found through it.
#[derive(Debug)]
struct Log {
    head: Head,
    events: Vec<Event>,
    positions: HashMap<EventId, Position>,
    streams: BTreeMap<StreamId, Stream>,
    digests: Vec<Mark>,
    moved: Option<TenantMoved>,
}

#[derive(Debug)]
struct Stream {
    kind: Cow<'static, str>,
    positions: Vec<Position>,
    snapshot: Option<Taken>,
}

impl MemoryEventStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<TenantId, Log>> {
        // Every change below is complete before the next one can fail, so a poisoned lock is harmless.
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_head(&self, tenant: TenantId, change: HeadChange) -> Result<Head> {
        let mut tenants = self.tenants();
        let current = tenants.get(&tenant).map(|log| log.head);
        let head = change.decide(tenant, current)?;
        let log = tenants.entry(tenant).or_insert_with(|| Log::new(head));
        if change.begins_anew(current) && !log.events.is_empty() {
            return Err(still_purged(tenant));
        }
        log.head = head;
        if let HeadChange::Retire(_, moved) = change {
            log.moved = Some(moved);
        }
        Ok(head)
    }

    fn read<T>(
        &self,
        tenant: TenantId,
        access: Access,
        read: impl FnOnce(&Log) -> Result<T>,
    ) -> Result<T> {
        let tenants = self.tenants();
        let log = tenants.get(&tenant).ok_or(Error::NotFound { tenant })?;
        log.head.admits_read(access)?;
        read(log)
    }
}

impl Log {
    fn new(head: Head) -> Self {
        Self {
            head,
            events: Vec::new(),
            positions: HashMap::new(),
            streams: BTreeMap::new(),
            digests: Vec::new(),
            moved: None,
        }
    }

    fn at(&self, position: Position) -> Option<&Event> {
        let index = usize::try_from(position.0.checked_sub(1)?).ok()?;
        self.events.get(index)
    }

    fn by_id(&self, id: EventId) -> Option<&Event> {
        self.at(*self.positions.get(&id)?)
    }

    fn append(&mut self, checked: &Checked) -> Result<Appended> {
        let append = checked.append();
        self.head.admits_write(append.epoch)?;
        let found: Vec<_> =
            append.events().map(|event| self.by_id(event.event_id).cloned()).collect();
        let beyond = |position| Ok(self.at(position).map(|event| event.append_first_position));
        if let Some(appended) = checked.repeats(&found, beyond)? {
            return Ok(appended);
        }
        let streams: Vec<_> = append
            .streams
            .iter()
            .map(|stream| self.streams.get(&stream.stream_id))
            .map(|stream| stream.map(|stream| (stream.kind.clone(), stream.version())))
            .collect();
        let accepted = checked.accept(&self.head, &streams)?;
        Ok(self.write(append, accepted))
    }

    fn write(&mut self, append: &Append, accepted: Accepted<'_>) -> Appended {
        for placed in accepted.placed {
            let (stream, event) = (placed.stream, placed.event);
            self.positions.insert(event.event_id, placed.position);
            let entry = self.streams.entry(stream.stream_id.clone());
            let kept = entry.or_insert_with(|| Stream::new(stream.stream_type.clone()));
            kept.positions.push(placed.position);
            self.events.push(Event {
                position: placed.position,
                append_first_position: accepted.first,
                stream_id: stream.stream_id.clone(),
                stream_type: stream.stream_type.clone(),
                version: placed.version,
                event_id: event.event_id,
                event_type: event.event_type.clone(),
                payload: Some(event.payload.clone()),
                payload_hash: placed.payload_hash,
                metadata: event.metadata.clone(),
                recorded_at: accepted.recorded_at,
            });
        }
        for stream in &append.streams {
            let Some(snapshot) = &stream.snapshot else { continue };
            if let Some(kept) = self.streams.get_mut(&stream.stream_id) {
                kept.snapshot = Some(Taken {
                    version: kept.version(),
                    state: snapshot.state.clone(),
                    facets: snapshot.facets.clone(),
                });
            }
        }
        self.digests.extend(accepted.keep);
        self.head = accepted.head;
        accepted.appended
    }

    fn redact(&mut self, redaction: &Redaction) -> Result<Redacted> {
        let redact = redaction.redact();
        self.head.admits_write(redact.epoch)?;
        let beyond = |position| Ok(self.at(position).map(|event| event.append_first_position));
        let found = self.by_id(redact.event_id).cloned();
        if let Some(redacted) = redaction.repeats(found, beyond)? {
            return Ok(redacted);
        }
        let current = self.streams.get(&redact.stream_id);
        let current = current.map(|stream| (stream.kind.clone(), stream.version()));
        let checked =
            redaction.append(current.as_ref().map(|(kind, version)| (kind.as_ref(), *version)))?;
        let accepted = checked.accept(&self.head, &[current])?;
        self.erase(&redact.stream_id);
        Ok(self.write(checked.append(), accepted).into())
    }

    fn erase(&mut self, id: &StreamId) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.snapshot = None;
        for position in &stream.positions {
            let index = usize::try_from(position.0 - 1).expect("it was counted in memory");
            self.events[index].payload = None;
        }
    }

    fn import(&mut self, continuation: &Continuation) -> Result<Head> {
        let Admitted::Now(head) = continuation.admit(&self.head)? else { return Ok(self.head) };
        let stored = |stream: &Extended| {
            let stream = self.streams.get(&stream.id)?;
            Some((Cow::Borrowed(stream.kind.as_ref()), stream.version()))
        };
        let current: Vec<_> = continuation.streams().iter().map(stored).collect();
        let mut ids = continuation.events().iter().map(|event| event.event_id);
        let taken = ids.find(|id| self.positions.contains_key(id));
        continuation.check_stored(&current, taken)?;
        for stream in continuation.streams().iter().filter(|stream| stream.is_redacted) {
            self.erase(&stream.id);
        }
        for event in continuation.events() {
            self.positions.insert(event.event_id, event.position);
            let stream = self.streams.entry(event.stream_id.clone());
            let stream = stream.or_insert_with(|| Stream::new(event.stream_type.clone()));
            stream.positions.push(event.position);
            self.events.push(event.clone());
        }
        for (Extended { id, .. }, state) in continuation.ended() {
            if let Some(stream) = self.streams.get_mut(id) {
                stream.snapshot = state.snapshot.clone();
            }
        }
        self.digests.extend(continuation.digests());
        self.head = head;
        Ok(head)
    }

    fn rewind(&mut self, rewind: &Rewind) -> Result<Head> {
        let Mark { position, .. } = rewind.to;
        let kept = usize::try_from(position.0).unwrap_or(usize::MAX).min(self.events.len());
        let beyond = self.events.len() - kept;
        let is_kept = self.digests.contains(&rewind.to);
        let Some(head) = rewind.decide(self.head, is_kept, beyond as u64)? else {
            return Ok(self.head);
        };
        at_most("a rewind in events", limits::EVENTS_PER_REWIND, beyond)?;
        for event in self.events.drain(kept..) {
            self.positions.remove(&event.event_id);
        }
        self.digests.retain(|mark| mark.position <= position);
        for stream in self.streams.values_mut() {
            stream.positions.retain(|at| *at <= position);
            let version = stream.version();
            stream.snapshot.take_if(|taken| taken.version > version);
        }
        self.streams.retain(|_, stream| !stream.positions.is_empty());
        self.head = head;
        Ok(head)
    }

    /// Removes events from the end, and everything else with the last of them.
    fn purge(&mut self) -> Purged {
        let kept = self.events.len().saturating_sub(limits::EVENTS_PER_PURGE);
        let removed = (self.events.len() - kept) as u64;
        for event in self.events.drain(kept..) {
            self.positions.remove(&event.event_id);
        }
        let is_complete = self.events.is_empty();
        if is_complete {
            self.streams.clear();
            self.digests.clear();
        }
        Purged { head: self.head, removed, is_complete }
    }

    fn state(&self, id: &StreamId) -> Option<StreamState> {
        self.streams.get(id).map(|stream| stream.state(id))
    }

    fn tally(&self, id: &StreamId, stream: &Stream) -> Tally {
        let last = stream.positions.last().and_then(|position| self.at(*position));
        Tally {
            stream_id: id.clone(),
            stream_type: stream.kind.clone(),
            version: stream.version(),
            snapshot_version: stream.snapshot.as_ref().map(|taken| taken.version),
            last: last.map_or(StreamVersion(0), |event| event.version),
            events: stream.positions.len() as u64,
        }
    }

    fn stream_page(&self, read: &StreamRead) -> StreamPage {
        let Some(stream) = self.streams.get(&read.stream) else {
            let version = StreamVersion(0);
            return StreamPage { version, stream_type: None, events: Vec::new(), next: None };
        };
        let all = stream.positions.iter().filter_map(|position| self.at(*position));
        let (events, next) = match read.direction {
            Direction::Forwards => {
                page(all.skip_while(|event| event.version < read.from), read.limit, usize::MAX)
            }
            Direction::Backwards => {
                let newest_first = all.rev().skip_while(|event| event.version > read.from);
                page(newest_first, read.limit, usize::MAX)
            }
        };
        StreamPage {
            version: stream.version(),
            stream_type: Some(stream.kind.clone()),
            events,
            next: next.map(|event| event.version),
        }
    }

    /// The facets of all snapshots of a type, with the streams they belong to.
    fn snapshots<'a>(
        &'a self,
        stream_type: &'a str,
    ) -> impl Iterator<Item = (&'a StreamId, &'a Stream, &'a Facets)> {
        self.streams.iter().filter_map(move |(id, stream)| {
            let taken = stream.snapshot.as_ref().filter(|_| stream.kind == stream_type)?;
            Some((id, stream, &taken.facets))
        })
    }

    fn list(&self, query: &SnapshotQuery) -> SnapshotPage {
        let mut found: Vec<_> = self
            .snapshots(&query.stream_type)
            .filter(|(_, _, facets)| query.admits(facets))
            .map(|(id, stream, facets)| (order_key(facets), id, stream))
            .collect();
        found.sort_by_key(|(started_at, id, _)| Reverse((*started_at, *id)));
        let stops_at = query.counting.stops_at().unwrap_or(u64::MAX);
        let counted = (found.len() as u64).min(stops_at);
        let total = query.after.as_ref().map_or(counted, |cursor| cursor.total);
        if let Some(after) = &query.after {
            found.retain(|(started_at, id, _)| {
                (*started_at, *id) < (after.started_at, &after.stream)
            });
        }
        let limit = query.limit.clamp(1, limits::SNAPSHOTS_PER_PAGE);
        let last = found.get(limit - 1).filter(|_| found.len() > limit);
        let next = last.map(|(started_at, id, _)| Cursor {
            started_at: *started_at,
            total,
            stream: (*id).clone(),
        });
        let streams = found.iter().take(limit).map(|(_, id, stream)| stream.state(id)).collect();
        SnapshotPage { streams, total, next }
    }
}

impl Stream {
    fn new(kind: Cow<'static, str>) -> Self {
        Self { kind, positions: Vec::new(), snapshot: None }
    }

    fn version(&self) -> StreamVersion {
        StreamVersion(self.positions.len() as u64)
    }

    fn state(&self, id: &StreamId) -> StreamState {
        StreamState {
            stream_id: id.clone(),
            stream_type: self.kind.clone(),
            version: self.version(),
            snapshot: self.snapshot.clone(),
        }
    }
}

/// Takes events up to the limits of a page, and the one after them.
fn page<'a>(
    events: impl Iterator<Item = &'a Event>,
    limit: usize,
    max_bytes: usize,
) -> (Vec<Event>, Option<&'a Event>) {
    let limit = limit.clamp(1, limits::EVENTS_PER_PAGE);
    let max_bytes = max_bytes.min(limits::BYTES_PER_PAGE);
    let mut taken = Vec::new();
    let mut bytes = 0;
    for event in events {
        bytes += event.size();
        if taken.len() == limit || (!taken.is_empty() && bytes > max_bytes) {
            return (taken, Some(event));
        }
        taken.push(event.clone());
    }
    (taken, None)
}

#[async_trait]
impl EventStore for MemoryEventStore {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn durability(&self) -> Durability {
        Durability { survives: Survives::Nothing, settings: "in memory only".into() }
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }

    async fn head(&self, tenant: TenantId) -> Result<Head> {
        self.tenants().get(&tenant).map(|log| log.head).ok_or(Error::NotFound { tenant })
    }

    async fn open_tenant(&self, tenant: TenantId, epoch: Epoch) -> Result<Head> {
        self.change_head(tenant, HeadChange::Open(epoch))
    }

    async fn swap_head(&self, tenant: TenantId, swap: HeadSwap) -> Result<Head> {
        self.change_head(tenant, HeadChange::Swap(swap))
    }

    async fn begin_copy(&self, tenant: TenantId, epoch: Epoch, term: Term) -> Result<Head> {
        self.change_head(tenant, HeadChange::Copy(epoch, term))
    }

    async fn retire(&self, tenant: TenantId, swap: HeadSwap, moved: TenantMoved) -> Result<Head> {
        self.change_head(tenant, HeadChange::Retire(swap, moved))
    }

    async fn moved(&self, tenant: TenantId) -> Result<Option<TenantMoved>> {
        let tenants = self.tenants();
        Ok(tenants.get(&tenant).ok_or(Error::NotFound { tenant })?.moved.clone())
    }

    /// It plans without statistics.
    async fn analyze(&self) -> Result<()> {
        Ok(())
    }

    async fn incarnation(&self) -> Result<String> {
        Ok("memory".to_owned())
    }

    async fn import(&self, import: Import) -> Result<Head> {
        let continuation = Continuation::new(import)?;
        let tenant = continuation.tenant();
        let mut tenants = self.tenants();
        tenants.get_mut(&tenant).ok_or(Error::NotFound { tenant })?.import(&continuation)
    }

    async fn rewind(&self, rewind: Rewind) -> Result<Head> {
        let tenant = rewind.tenant;
        let mut tenants = self.tenants();
        tenants.get_mut(&tenant).ok_or(Error::NotFound { tenant })?.rewind(&rewind)
    }

    async fn purge(&self, Purge { tenant, epoch, term }: Purge) -> Result<Purged> {
        let mut tenants = self.tenants();
        let head = Head::purged(tenants.get(&tenant).map(|log| log.head), epoch, term)?;
        let log = tenants.entry(tenant).or_insert_with(|| Log::new(head));
        log.head = head;
        Ok(log.purge())
    }

    async fn append(&self, append: Append) -> Result<Appended> {
        let checked = Checked::new(append)?;
        let tenant = checked.append().tenant;
        let mut tenants = self.tenants();
        tenants.get_mut(&tenant).ok_or(Error::NotFound { tenant })?.append(&checked)
    }

    async fn redact(&self, redact: Redact) -> Result<Redacted> {
        let redaction = Redaction::new(redact)?;
        let tenant = redaction.redact().tenant;
        let mut tenants = self.tenants();
        tenants.get_mut(&tenant).ok_or(Error::NotFound { tenant })?.redact(&redaction)
    }

    async fn load_many(
        &self,
        tenant: TenantId,
        access: Access,
        streams: &[StreamId],
    ) -> Result<Vec<Option<StreamState>>> {
        at_most("a load in streams", limits::STREAMS_PER_LOAD, streams.len())?;
        self.read(tenant, access, |log| Ok(streams.iter().map(|id| log.state(id)).collect()))
    }

    async fn stream_versions(
        &self,
        tenant: TenantId,
        access: Access,
        streams: &[StreamId],
    ) -> Result<Vec<StreamVersion>> {
        at_most("a load in streams", limits::STREAMS_PER_LOAD, streams.len())?;
        self.read(tenant, access, |log| {
            let version = |id| log.streams.get(id).map_or(StreamVersion(0), Stream::version);
            Ok(streams.iter().map(version).collect())
        })
    }

    async fn read_stream(&self, read: StreamRead) -> Result<StreamPage> {
        self.read(read.tenant, read.access, |log| Ok(log.stream_page(&read)))
    }

    async fn read_log(&self, read: LogRead) -> Result<LogPage> {
        self.read(read.tenant, read.access, |log| {
            let after = usize::try_from(read.after.0).unwrap_or(usize::MAX);
            let (events, _) = page(log.events.iter().skip(after), read.limit, read.max_bytes);
            Ok(LogPage { events, head: log.head })
        })
    }

    async fn event(&self, tenant: TenantId, access: Access, id: EventId) -> Result<Option<Event>> {
        self.read(tenant, access, |log| Ok(log.by_id(id).cloned()))
    }

    async fn digests(
        &self,
        tenant: TenantId,
        access: Access,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Mark>> {
        let limit = limit.clamp(1, limits::EVENTS_PER_PAGE);
        self.read(tenant, access, |log| {
            let later = log.digests.iter().filter(|mark| mark.position > after);
            Ok(later.take(limit).copied().collect())
        })
    }

    async fn tallies(&self, read: TallyRead) -> Result<Vec<Tally>> {
        let limit = read.limit.clamp(1, limits::STREAMS_PER_LOAD);
        let from = read.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        self.read(read.tenant, read.access, |log| {
            let streams = log.streams.range::<StreamId, _>((from, Bound::Unbounded)).take(limit);
            Ok(streams.map(|(id, stream)| log.tally(id, stream)).collect())
        })
    }

    async fn list(&self, query: SnapshotQuery) -> Result<SnapshotPage> {
        self.read(query.tenant, query.access, |log| Ok(log.list(&query)))
    }

    async fn count(&self, query: CountQuery) -> Result<Vec<Count>> {
        self.read(query.tenant, query.access, |log| {
            let mut counts = BTreeMap::new();
            for (_, _, facets) in log.snapshots(&query.stream_type) {
                if query.filter.admits(facets) {
                    *counts.entry(query.by.group_of(facets)).or_insert(0) += 1;
                }
            }
            Ok(counts.into_iter().map(Count::from).collect())
        })
    }
}
