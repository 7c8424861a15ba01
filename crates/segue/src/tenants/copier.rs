//! Copying a tenant's log into another store, page by page, while it is written.
//!
//! While one page is imported the next is read, so memory is two pages whatever the log. The target's head
//! is all there is to resume from. What is read is hashed before it is stored ([`EventStore::import`]), and
//! compared with the digests that the source has kept on the way, so a source that is damaged is found by
//! the position, and the copy ends before it.
//!
//! A page brings the present snapshots of streams whose last event it holds. Those of other streams come
//! with the later page that holds theirs; so each is brought once, and at the end all are there.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use segue_core::digest::Mark;
use segue_core::ids::{Epoch, MigrationId, Position, StreamId, StreamVersion, TenantId, Term};
use segue_store::events::{
    self, Access, Event, EventStore, Head, Import, Mode, StreamState, limits,
};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::beside::ended;
use super::marks::kept;
use super::pages::{Page, Pages};

/// Up to how many streams' states a drain reads without asking first whether the page holds their last event.
const FEW_STREAMS: usize = 64;

/// How many streams' versions are remembered between pages.
const REMEMBERED: usize = 64 * 1024;

/// Why a copy does not go on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CopyError {
    /// The source did not answer, or not as it should.
    #[error("the source: {0}")]
    Source(#[source] events::Error),
    /// The target did not answer, or refused a page.
    #[error("the target: {0}")]
    Target(#[source] events::Error),
    /// The source is damaged. What lies before is copied.
    #[error("the source is damaged at position {position}: {what}")]
    Damaged {
        /// The first position that is, or that lies in a range that is.
        position: Position,
        /// How.
        what: String,
    },
    /// The source has nothing more, and the target is not where it must be.
    #[error(
        "the target ends at position {target} and cannot be brought to where the log ends, position {end}: \
         the two are not one log, or the source has lost its end"
    )]
    Apart {
        /// Where the target ends.
        target: Position,
        /// Where it must.
        end: Position,
    },
}

/// What a copy came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CopyResult {
    /// How many events were copied.
    pub events_copied: u64,
    /// How long it took, in seconds.
    pub duration_seconds: f64,
    /// The target's head after it.
    pub target: Head,
    /// The source's head, as it was read last.
    pub source: Head,
}

/// Copies one tenant's log from one store to another.
pub struct BulkCopier {
    source: Source,
    target: Arc<dyn EventStore>,
    tenant: TenantId,
    /// A page that was read while the one before was imported.
    ahead: Option<(Position, Loaded)>,
}

impl fmt::Debug for BulkCopier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkCopier").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// A page and the states that come with it.
#[derive(Debug)]
struct Loaded {
    page: Page,
    states: Vec<StreamState>,
}

impl Loaded {
    /// The groups at its beginning that one import takes with the states of the streams that end with them,
    /// so that the head never passes an event whose stream's state is still to come. A group that is too
    /// large alone stays whole.
    fn within_one_import(mut self) -> Self {
        let states: HashMap<_, _> = self
            .states
            .iter()
            .map(|state| ((&state.stream_id, state.version), size(state)))
            .collect();
        let (mut fitting, mut bytes) = (0, 0);
        let groups = self
            .page
            .events
            .chunk_by(|one, next| one.append_first_position == next.append_first_position);
        for group in groups {
            for event in group {
                let state = states.get(&(&event.stream_id, event.version));
                bytes += event.size() + state.unwrap_or(&0);
            }
            if fitting > 0 && bytes > limits::IMPORT_BYTES {
                break;
            }
            fitting += group.len();
        }
        let beyond = self.page.events.split_off(fitting);
        let beyond: HashSet<_> = beyond.iter().map(|event| &event.stream_id).collect();
        self.states.retain(|state| !beyond.contains(&state.stream_id));
        self
    }
}

impl BulkCopier {
    /// A copier that reads `batch_size` events at a time.
    #[must_use]
    pub fn new(
        source: Arc<dyn EventStore>,
        target: Arc<dyn EventStore>,
        tenant: TenantId,
        batch_size: usize,
    ) -> Self {
        let pages = Pages::of(Arc::clone(&source), tenant, batch_size);
        let latest = HashMap::new();
        let source = Source { store: source, tenant, pages, latest, is_still: false };
        Self { source, target, tenant, ahead: None }
    }

    /// Claims the target for a copy at this term and copies until it has all that the source has; tells
    /// how many events of how many it has after each page.
    ///
    /// # Errors
    /// [`CopyError`].
    pub async fn copy_tenant_events(
        &mut self,
        epoch: Epoch,
        migration: MigrationId,
        term: Term,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<CopyResult, CopyError> {
        tracing::debug!(tenant = %self.tenant, migration_id = %migration, "copying");
        let begun = Instant::now();
        let claimed = self.target.begin_copy(self.tenant, epoch, term).await;
        let first = claimed.map_err(CopyError::Target)?;
        let mut target = first;
        loop {
            let copied = self.copy(target, term, Instant::now(), u64::MAX).await?;
            target = copied.target;
            progress(target.position.0, copied.source.position.0);
            if copied.source.position <= target.position {
                let events_copied = target.position.0 - first.position.0;
                let duration_seconds = begun.elapsed().as_secs_f64();
                return Ok(CopyResult { events_copied, duration_seconds, ..copied });
            }
        }
    }

    /// Copies at least a page where there is one, and more until a moment, or until so many events are copied.
    /// `head` is the target's, in mode `copying` at this term.
    pub(super) async fn copy(
        &mut self,
        head: Head,
        term: Term,
        until: Instant,
        most: u64,
    ) -> Result<CopyResult, CopyError> {
        let begun = Instant::now();
        self.source.is_still = false;
        let mut target = head;
        let mut next = self.page(target.position).await?;
        let mut source = None;
        let copied = |target: Head| target.position.0 - head.position.0;
        let may_go_on = |target| Instant::now() < until && copied(target) < most;
        while let Some(loaded) = next.take() {
            let (before, last) = (target.mark(), loaded.page.last());
            source = Some(loaded.page.head);
            // In a task of its own, so that reading the next page does not hold it up.
            let target_store = Arc::clone(&self.target);
            let importing = import(target_store, self.tenant, term, before, loaded, None);
            let importing = AbortOnDropHandle::new(tokio::spawn(importing));
            let (imported, read) = tokio::join!(importing, self.source.page(last));
            let imported =
                ended(imported).unwrap_or_else(|ending| Err(CopyError::Target(ending.into())));
            target = match imported {
                Err(CopyError::Damaged { position, what }) => {
                    self.copy_up_to(before, term, position).await?;
                    return Err(CopyError::Damaged { position, what });
                }
                imported => imported?,
            };
            self.compare(before, target.mark()).await?;
            match read? {
                Some(loaded) if may_go_on(target) => next = Some(loaded),
                Some(loaded) => {
                    source = Some(loaded.page.head);
                    self.ahead = Some((last, loaded));
                }
                None => {}
            }
        }
        let source = match source {
            Some(head) => head,
            None => self.source.store.head(self.tenant).await.map_err(CopyError::Source)?,
        };
        Ok(CopyResult {
            events_copied: copied(target),
            duration_seconds: begun.elapsed().as_secs_f64(),
            target,
            source,
        })
    }

    /// Copies what is left up to the end of a source that is not written any more, and prepares the target
    /// with the last of it; answers with the target's head.
    pub(super) async fn drain(
        &mut self,
        head: Head,
        to: Mark,
        term: Term,
        epoch: Epoch,
    ) -> Result<Head, CopyError> {
        self.source.is_still = true;
        let mut target = head;
        while target.position < to.position {
            let Some(loaded) = self.page(target.position).await? else { break };
            let prepare = (loaded.page.last() >= to.position).then_some(epoch);
            let after = target.mark();
            target =
                import(Arc::clone(&self.target), self.tenant, term, after, loaded, prepare).await?;
        }
        if target.mode == Mode::Prepared {
            return Ok(target);
        }
        if target.mark() != to {
            return Err(CopyError::Apart { target: target.position, end: to.position });
        }
        let nothing = Import {
            tenant: self.tenant,
            term,
            after: to,
            events: Vec::new(),
            streams: Vec::new(),
            prepare: Some(epoch),
        };
        self.target.import(nothing).await.map_err(CopyError::Target)
    }

    /// Forgets what was read of the source: it may have been read before something that matters now.
    pub(super) fn forget(&mut self) {
        self.ahead = None;
        self.source.latest.clear();
    }

    async fn page(&mut self, after: Position) -> Result<Option<Loaded>, CopyError> {
        match self.ahead.take().filter(|(at, _)| *at == after) {
            Some((_, loaded)) => Ok(Some(loaded)),
            None => self.source.page(after).await,
        }
    }

    /// Copies the groups that end before a position.
    async fn copy_up_to(
        &mut self,
        mut after: Mark,
        term: Term,
        damaged: Position,
    ) -> Result<(), CopyError> {
        loop {
            let room = damaged.0.saturating_sub(after.position.0 + 1);
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            let pages = Pages::of(Arc::clone(&self.source.store), self.tenant, room);
            let page =
                if room == 0 { None } else { pages.after(after.position).await.ok().flatten() };
            let Some(mut page) = page else { return Ok(()) };
            let cut = page.events.iter().find(|event| event.position >= damaged);
            let cut = cut.map_or(damaged, |event| event.append_first_position);
            page.events.retain(|event| event.position < cut);
            if page.events.is_empty() {
                return Ok(());
            }
            let loaded = self.source.load(page).await?;
            let imported =
                import(Arc::clone(&self.target), self.tenant, term, after, loaded, None).await?;
            after = imported.mark();
        }
    }

    /// Compares the digests that both stores keep between two marks. The target's were computed from what
    /// was read; the source's when it was written.
    async fn compare(&self, from: Mark, to: Mark) -> Result<(), CopyError> {
        let block = |position: Position| position.0 / limits::DIGEST_EVERY;
        if block(from.position) == block(to.position) {
            return Ok(());
        }
        let most = usize::try_from(block(to.position) - block(from.position) + 1);
        let most = most.unwrap_or(limits::EVENTS_PER_PAGE);
        let stores = [&self.source.store, &self.target];
        let (written, read) = kept(stores, self.tenant, from.position, most).await;
        let written = written.map_err(CopyError::Source)?;
        let mut sound = from.position;
        for mark in read.map_err(CopyError::Target)? {
            if mark.position <= to.position && !written.contains(&mark) {
                return Err(CopyError::Damaged {
                    position: sound.next(),
                    what: format!(
                        "between here and position {} something is not what was written",
                        mark.position
                    ),
                });
            }
            sound = mark.position;
        }
        Ok(())
    }
}

/// What is copied from.
struct Source {
    store: Arc<dyn EventStore>,
    tenant: TenantId,
    pages: Pages,
    /// Versions that streams are known to have reached.
    latest: HashMap<StreamId, StreamVersion>,
    /// Whether it is written no more: most streams of a page end with it then.
    is_still: bool,
}

impl Source {
    async fn page(&mut self, after: Position) -> Result<Option<Loaded>, CopyError> {
        match self.pages.after(after).await {
            Ok(Some(page)) => self.load(page).await.map(Some),
            Ok(None) => Ok(None),
            Err(events::Error::Damaged { position, what }) => {
                Err(CopyError::Damaged { position, what })
            }
            Err(error) => Err(CopyError::Source(error)),
        }
    }

    /// Reads the states that a page has to bring.
    async fn load(&mut self, page: Page) -> Result<Loaded, CopyError> {
        let mut ends: BTreeMap<&StreamId, StreamVersion> = BTreeMap::new();
        for event in &page.events {
            ends.insert(&event.stream_id, event.version);
        }
        // A stream that is known to go on needs no look.
        ends.retain(|stream, end| self.latest.get(*stream).is_none_or(|known| known <= end));
        let asked: Vec<StreamId> = ends.keys().map(|stream| (*stream).clone()).collect();
        let last = match self.is_still && asked.len() <= FEW_STREAMS {
            true => asked,
            false => self.ending_with(&ends, &asked).await?,
        };
        let mut states = Vec::with_capacity(last.len());
        for streams in last.chunks(limits::STREAMS_PER_LOAD) {
            let loaded = self.store.load_many(self.tenant, Access::Copy, streams).await;
            states.extend(loaded.map_err(CopyError::Source)?.into_iter().flatten());
        }
        // Written since: the page with its last event brings it.
        states.retain(|state| ends.get(&state.stream_id) == Some(&state.version));
        Ok(Loaded { page, states }.within_one_import())
    }

    /// The streams among those asked for that end where a page leaves them.
    async fn ending_with(
        &mut self,
        ends: &BTreeMap<&StreamId, StreamVersion>,
        asked: &[StreamId],
    ) -> Result<Vec<StreamId>, CopyError> {
        let mut last = Vec::new();
        for streams in asked.chunks(limits::STREAMS_PER_LOAD) {
            let versions = self.store.stream_versions(self.tenant, Access::Copy, streams).await;
            for (stream, version) in streams.iter().zip(versions.map_err(CopyError::Source)?) {
                if ends.get(stream) == Some(&version) {
                    last.push(stream.clone());
                }
                self.remember(stream, version);
            }
        }
        Ok(last)
    }

    fn remember(&mut self, stream: &StreamId, version: StreamVersion) {
        if self.latest.len() >= REMEMBERED && !self.latest.contains_key(stream) {
            self.latest.clear();
        }
        self.latest.insert(stream.clone(), version);
    }
}

/// Imports a page, and after it the states that do not fit beside it, if it is a single group. Should these
/// stay behind, the streams are found by any comparison of both stores. The last import prepares the target,
/// where an epoch is given.
async fn import(
    target: Arc<dyn EventStore>,
    tenant: TenantId,
    term: Term,
    after: Mark,
    Loaded { page, states }: Loaded,
    epoch: Option<Epoch>,
) -> Result<Head, CopyError> {
    let bytes: usize = page.events.iter().map(Event::size).sum();
    let mut shares = shares(states, limits::IMPORT_BYTES.saturating_sub(bytes));
    let (mut events, mut after) = (page.events, after);
    loop {
        let streams = shares.pop_front().unwrap_or_default();
        let prepare = epoch.filter(|_| shares.is_empty());
        let events = std::mem::take(&mut events);
        let import = Import { tenant, term, after, events, streams, prepare };
        let head = target.import(import).await.map_err(|error| match error {
            events::Error::Damaged { position, what } => CopyError::Damaged { position, what },
            other => CopyError::Target(other),
        })?;
        if shares.is_empty() {
            return Ok(head);
        }
        after = head.mark();
    }
}

/// Divides states among imports: the first has so many bytes to give, each other as many as an import may
/// have.
fn shares(states: Vec<StreamState>, first: usize) -> VecDeque<Vec<StreamState>> {
    let mut shares = VecDeque::new();
    let (mut share, mut left) = (Vec::new(), first);
    for state in states {
        if size(&state) > left {
            shares.push_back(std::mem::take(&mut share));
            left = limits::IMPORT_BYTES;
        }
        left = left.saturating_sub(size(&state));
        share.push(state);
    }
    shares.push_back(share);
    shares
}

/// What a state takes of an import.
fn size(state: &StreamState) -> usize {
    state.snapshot.as_ref().map_or(0, |taken| taken.state.len())
}

#[cfg(test)]
mod tests {
    use segue_core::digest::Digest;
    use segue_store::events::MemoryEventStore;
    use segue_store::faulty::{Fault, FaultyEventStore, Operation};
    use uuid::Uuid;

    use super::*;
    use crate::tenants::fixture::{EPOCH, TENANT, append};

    const TERM: Term = Term(1);

    fn stream(name: &str) -> StreamId {
        StreamId::new(name).unwrap()
    }

    async fn source() -> Arc<MemoryEventStore> {
        let store = Arc::new(MemoryEventStore::new());
        store.open_tenant(TENANT, EPOCH).await.unwrap();
        store
    }

    async fn copies(copier: &mut BulkCopier) -> Result<CopyResult, CopyError> {
        let migration = MigrationId(Uuid::nil());
        copier.copy_tenant_events(EPOCH, migration, TERM, |_, _| ()).await
    }

    async fn states(store: &dyn EventStore, streams: &[StreamId]) -> Vec<Option<StreamState>> {
        store.load_many(TENANT, Access::Copy, streams).await.unwrap()
    }

    #[tokio::test]
    async fn a_copy_that_ends_anywhere_leaves_no_state_behind_that_does_not_fit_beside_its_events()
    {
        let source = source().await;
        let names: Vec<_> = (0..20).map(|nth| format!("s{nth:02}")).collect();
        for name in &names {
            append(&*source, name, 1, Some(limits::SNAPSHOT_BYTES)).await;
        }
        let streams: Vec<_> = names.iter().map(|name| stream(name)).collect();
        for fault in [Fault::Before, Fault::After] {
            let target = Arc::new(FaultyEventStore::around(Arc::new(MemoryEventStore::new())));
            target.inject(Operation::Import, 2, fault);
            let copier = || {
                BulkCopier::new(source.clone(), target.clone() as Arc<dyn EventStore>, TENANT, 100)
            };
            assert!(copies(&mut copier()).await.is_err(), "what follows has met a fault");
            let copied = copies(&mut copier()).await.unwrap();
            assert_eq!(copied.target.mark(), copied.source.mark());
            let (there, here) =
                tokio::join!(states(source.as_ref(), &streams), states(target.as_ref(), &streams));
            assert!(there == here, "a state is missing");
        }
    }

    #[tokio::test]
    async fn what_is_forgotten_is_also_where_streams_once_ended() {
        let source = source().await;
        append(&*source, "s", 1, Some(3)).await;
        let target = Arc::new(MemoryEventStore::new());
        let mut copier = BulkCopier::new(source.clone(), target.clone(), TENANT, 10);
        // Since then the source was restored from a backup.
        copier.source.remember(&stream("s"), StreamVersion(9));
        copier.forget();
        copies(&mut copier).await.unwrap();
        let streams = [stream("s")];
        let (there, here) =
            tokio::join!(states(source.as_ref(), &streams), states(target.as_ref(), &streams));
        assert_eq!(there, here);
    }

    #[tokio::test]
    async fn a_drain_that_cannot_come_to_its_end_says_so() {
        let source = source().await;
        append(&*source, "s", 1, None).await;
        append(&*source, "s", 1, None).await;
        let target = Arc::new(MemoryEventStore::new());
        let mut copier = BulkCopier::new(source.clone(), target.clone(), TENANT, 10);
        let empty = target.begin_copy(TENANT, EPOCH, TERM).await.unwrap();
        let (position, digest) = (Position(3), Digest([3; 32]));
        let beyond = Mark { position, digest };
        let drained = copier.drain(empty, beyond, TERM, EPOCH.next()).await;
        assert!(
            matches!(drained, Err(CopyError::Apart { .. })),
            "the source is shorter: {drained:?}"
        );
        let head = target.head(TENANT).await.unwrap();
        assert_eq!((head.mode, head.position), (Mode::Copying, Position(2)));
        let before = Mark { position: Position(1), digest };
        let drained = copier.drain(head, before, TERM, EPOCH.next()).await;
        assert!(
            matches!(drained, Err(CopyError::Apart { .. })),
            "the target is longer: {drained:?}"
        );
        let to = source.head(TENANT).await.unwrap().mark();
        let drained = copier.drain(head, to, TERM, EPOCH.next()).await.unwrap();
        assert_eq!((drained.mode, drained.mark()), (Mode::Prepared, to));
    }
}
