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

/// The most commits in a row that go the careful way after races were lost.
const LONGEST_DETOUR: u32 = 64;

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
        let estimated = usize::try_from(STREAMS / 16).expect("a small number");
        Self { tenants: Cache::with_weighter(estimated, STREAMS, Weight) }
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
    /// Where streams stand at that head.
    streams: HashMap<StreamId, (Cow<'static, str>, StreamVersion)>,
    /// Races lost to other writers of this tenant, one after the other.
    lost: u32,
    /// Commits that still go the careful way because of that.
    detour: u32,
}

impl Known {
    /// The head to begin with, unless it is likely to be another one by now.
    pub(super) fn head(&mut self) -> Option<Head> {
        if self.detour > 0 {
            self.detour -= 1;
            return None;
        }
        self.head
    }

    pub(super) fn stream(&self, stream: &StreamId) -> Option<Present<'_>> {
        let (kind, version) = self.streams.get(stream)?;
        Some((Cow::Borrowed(kind.as_ref()), *version))
    }

    /// Remembers where a draft led that followed the head known here.
    pub(super) fn advance(&mut self, draft: &Draft<'_>) {
        self.lost = 0;
        self.add(draft);
    }

    /// Remembers where a draft led that followed a head found in the database.
    pub(super) fn begin(&mut self, draft: &Draft<'_>) {
        if self.head.is_none_or(|head| head.mark() != draft.before().mark()) {
            self.streams.clear();
        }
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

    fn add(&mut self, draft: &Draft<'_>) {
        self.head = Some(draft.head());
        for (id, kind, version) in draft.streams() {
            if self.streams.len() >= STREAMS_PER_TENANT && !self.streams.contains_key(id) {
                self.streams.clear();
            }
            self.streams.insert(id.clone(), (kind.clone(), version));
        }
    }
}
