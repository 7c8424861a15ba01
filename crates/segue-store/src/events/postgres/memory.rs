//! What this process remembers of tenants that it wrote: the head it left, and where streams stood there.
//!
//! It is only a cache, and cannot lie: the digest of a head covers the version of every stream, so what
//! was true at a position and digest is true wherever a head has the same, also after a restart of the
//! server or a restore of an older state. A statement that finds another head writes nothing.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use segue_core::ids::{StreamId, StreamVersion, TenantId};

use super::draft::{Draft, Present};
use crate::events::Head;

/// How many streams are remembered in all, a tenant counting as one more.
const STREAMS: u64 = 64 * 1024;

/// How many streams of one tenant are remembered; one more, and all of them are forgotten.
const STREAMS_PER_TENANT: usize = 4 * 1024;

/// A cache that expects so few entries is not divided into parts. Divided for many processors, a part
/// would be smaller than what is remembered of one large tenant, and never take it.
const UNDIVIDED: usize = 1;

/// The most commits in a row that go the careful way after races were lost.
const LONGEST_DETOUR: u32 = 64;

/// How many commits go the careful way after an append was repeated.
const REPEATS: u32 = 8;

/// What is remembered of the tenants that nothing is written for at the moment.
pub(super) struct Memory {
    tenants: Cache<TenantId, Known, Weight>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("tenants", &self.tenants.len()).finish()
    }
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { tenants: Cache::with_weighter(UNDIVIDED, STREAMS, Weight) }
    }

    /// Gives what is known of a tenant to the one who writes for it.
    pub(super) fn take(&self, tenant: TenantId) -> Known {
        self.tenants.remove(&tenant).map_or_else(Known::default, |(_, known)| known)
    }

    /// Takes it back.
    pub(super) fn keep(&self, tenant: TenantId, known: Known) {
        if known.head.is_some() {
            self.tenants.insert(tenant, known);
        }
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<TenantId, Known> for Weight {
    fn weight(&self, _: &TenantId, known: &Known) -> u64 {
        1 + known.streams.len() as u64
    }
}

/// What is known of a tenant.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    head: Option<Head>,
    /// Where streams stand at that head; `None` for one that does not exist.
    streams: HashMap<StreamId, Option<(Cow<'static, str>, StreamVersion)>>,
    /// Races lost to other writers of this tenant, one after the other.
    lost: u32,
    /// Commits that still go the careful way because of that.
    detour: u32,
}

impl Known {
    /// Whether the next commit should rather be made with care; asked once for each.
    pub(super) fn makes_detour(&mut self) -> bool {
        let detour = self.detour > 0;
        self.detour = self.detour.saturating_sub(1);
        detour
    }

    /// The head to begin with.
    pub(super) fn head(&self) -> Option<Head> {
        self.head
    }

    /// Where a stream stands, or that there is none; nothing when neither is known.
    pub(super) fn stream(&self, stream: &StreamId) -> Option<Option<Present<'_>>> {
        let known = self.streams.get(stream)?.as_ref();
        Some(known.map(|(kind, version)| (Cow::Borrowed(kind.as_ref()), *version)))
    }

    /// Remembers a head that was read, and where streams stand at it.
    pub(super) fn learn(
        &mut self,
        head: Head,
        streams: Vec<(StreamId, Option<(String, StreamVersion)>)>,
    ) {
        self.stand_at(&head);
        self.head = Some(head);
        for (id, found) in streams {
            self.put(id, found.map(|(kind, version)| (Cow::Owned(kind), version)));
        }
    }

    /// Remembers where a draft led that followed the head known here.
    pub(super) fn advance(&mut self, draft: &Draft<'_>) {
        self.lost = 0;
        self.add(draft);
    }

    /// Remembers where a draft led that followed a head found in the database.
    pub(super) fn begin(&mut self, draft: &Draft<'_>) {
        self.stand_at(&draft.before());
        self.add(draft);
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        self.head = None;
        self.streams.clear();
    }

    /// Forgets everything because another writer came first, and lets it pass: where two write one
    /// tenant, guessing the head costs a round trip more often than it saves one.
    pub(super) fn lose(&mut self) {
        self.forget();
        self.lost = self.lost.saturating_add(1);
        self.detour = 1_u32.checked_shl(self.lost).unwrap_or(u32::MAX).min(LONGEST_DETOUR);
    }

    /// Goes the careful way for a while because an append was repeated: where one is, more may be, and the
    /// guess of a repeated one fails, with all that is carried beside it.
    pub(super) fn expect_repeats(&mut self) {
        self.detour = self.detour.max(REPEATS);
    }

    fn add(&mut self, draft: &Draft<'_>) {
        self.head = Some(draft.head());
        for (id, kind, version) in draft.streams() {
            self.put(id.clone(), Some((kind.clone(), version)));
        }
    }

    /// Forgets streams as they stood at another head.
    fn stand_at(&mut self, head: &Head) {
        if self.head.is_none_or(|known| known.mark() != head.mark()) {
            self.streams.clear();
        }
    }

    fn put(&mut self, id: StreamId, stream: Option<(Cow<'static, str>, StreamVersion)>) {
        if self.streams.len() >= STREAMS_PER_TENANT && !self.streams.contains_key(&id) {
            self.streams.clear();
        }
        self.streams.insert(id, stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_tenant_is_remembered_on_a_machine_of_any_size() {
        let memory = Memory::new();
        assert_eq!(memory.tenants.num_shards(), 1, "however many processors there are");
        let tenant = TenantId(uuid::Uuid::from_u128(1));
        let kind = Cow::Borrowed("session");
        let streams = (0..STREAMS_PER_TENANT).map(|n| {
            let id = StreamId::new(format!("s{n}")).unwrap();
            (id, Some((kind.clone(), StreamVersion(1))))
        });
        let head = Some(Head::opened(segue_core::ids::Epoch(1)));
        let known = Known { head, streams: streams.collect(), ..Known::default() };
        memory.keep(tenant, known);
        assert_eq!(memory.take(tenant).streams.len(), STREAMS_PER_TENANT);
    }
}
