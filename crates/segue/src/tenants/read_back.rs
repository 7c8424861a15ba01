//! Reading back what a copy has stored, and hashing it again.
//!
//! The head's digest says what was sent to a store. The digest computed here says what lies in it: only
//! when both are the same has the copy been stored as it was read. It goes on from where it came to, so
//! that what is left during a cutover is what was copied last.

use std::sync::Arc;

use segue_core::digest::{Mark, Verifier};
use segue_core::ids::TenantId;
use segue_store::events::{self, EventStore, Head};
use tokio::time::Instant;

use super::beside::beside;
use super::pages::{Page, Pages};

/// How many events are read at a time.
const PAGE_EVENTS: usize = 4_096;

/// How many events are hashed sooner than a thread is asked to.
const FEW: usize = 128;

/// A copy that is read back.
#[derive(Debug)]
pub struct ReadBack {
    pages: Pages,
    /// How far it was read, and what that hashed to.
    mark: Mark,
}

impl ReadBack {
    /// Goes on after a mark that was read back before.
    #[must_use]
    pub fn after(store: Arc<dyn EventStore>, tenant: TenantId, mark: Mark) -> Self {
        Self { pages: Pages::of(store, tenant, PAGE_EVENTS), mark }
    }

    /// How far it was read, and what that hashed to.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// Begins anew: what was read may have been replaced.
    pub fn begin_anew(&mut self) {
        self.mark = Mark::START;
    }

    /// Reads at least a page where there is one, and more until a moment. Answers with the head of what is
    /// read, as it was last.
    ///
    /// # Errors
    /// As [`EventStore::read_log`]; [`events::Error::Damaged`] with the position of the first event that
    /// is not what it was.
    pub async fn run(&mut self, until: Instant) -> events::Result<Option<Head>> {
        let mut head = None;
        let mut next = self.pages.after(self.mark.position).await?;
        while let Some(page) = next.take() {
            head = Some(page.head);
            let (mark, last) = (self.mark, page.last());
            let hashing = hash_beside(mark, page);
            let reading = async {
                match Instant::now() < until {
                    true => self.pages.after(last).await,
                    false => Ok(None),
                }
            };
            let (hashed, read) = tokio::join!(hashing, reading);
            self.mark = hashed?;
            next = read?;
        }
        Ok(head)
    }
}

/// Hashes a page without holding others up: a few events here, more on a thread of their own.
async fn hash_beside(mark: Mark, page: Page) -> events::Result<Mark> {
    if page.events.len() <= FEW {
        return hash(mark, &page);
    }
    beside(move || hash(mark, &page)).await?
}

/// Hashes the groups of a page after a mark.
fn hash(mark: Mark, page: &Page) -> events::Result<Mark> {
    let mut verifier = Verifier::after(mark);
    for event in &page.events {
        let (position, first) = (event.position, event.append_first_position);
        verifier.push(position, first, &event.entry(), event.payload.as_deref()).map_err(
            |violation| events::Error::Damaged { position, what: violation.to_string() },
        )?;
    }
    Ok(verifier.close())
}
