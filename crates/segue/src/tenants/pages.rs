//! A tenant's log in whole append groups, page by page, as those who move and check logs read it.

use std::sync::Arc;

use segue_core::ids::{Position, TenantId};
use segue_store::events::{self, Access, Event, EventStore, Head, LogRead, limits};

/// A log that is read in whole groups.
#[derive(Debug, Clone)]
pub struct Pages {
    store: Arc<dyn EventStore>,
    tenant: TenantId,
    /// Events at a time, more or less: a group is never cut.
    batch: usize,
}

/// A page of whole groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The events, at least one.
    pub events: Vec<Event>,
    /// The head in the same snapshot.
    pub head: Head,
}

impl Page {
    /// The position of its last event.
    #[must_use]
    pub fn last(&self) -> Position {
        self.events.last().map_or(Position(0), |event| event.position)
    }
}

impl Pages {
    /// Reads whatever the store holds of a tenant, so many events at a time.
    #[must_use]
    pub fn of(store: Arc<dyn EventStore>, tenant: TenantId, batch: usize) -> Self {
        Self { store, tenant, batch: batch.max(1) }
    }

    /// The page after a position, which is the end of a group; nothing at the end of the log.
    ///
    /// # Errors
    /// As [`EventStore::read_log`]; [`events::Error::Damaged`] with the position of a row that cannot be
    /// read, when it comes next.
    pub async fn after(&self, after: Position) -> events::Result<Option<Page>> {
        // One more tells whether the last group ends with the page.
        let mut limit = self.batch + 1;
        let mut has_shrunk = false;
        loop {
            match self.read(after, limit).await {
                Ok(page) => {
                    let (Some(whole), head) = (whole_groups(&page.events, &page.head), page.head)
                    else {
                        return Ok(None);
                    };
                    if whole > 0 {
                        let mut events = page.events;
                        events.truncate(whole);
                        return Ok(Some(Page { events, head }));
                    }
                    if has_shrunk || limit > limits::EVENTS_PER_APPEND {
                        return self.first_group(page).await.map(Some);
                    }
                    limit = limits::EVENTS_PER_APPEND + 1;
                }
                // Around a row that cannot be read the page shrinks until that row comes next, or lies
                // beyond a part of one group.
                Err(events::Error::Corrupt { .. }) if limit > 1 => {
                    limit /= 2;
                    has_shrunk = true;
                }
                Err(events::Error::Corrupt { what, .. }) => {
                    return Err(events::Error::Damaged { position: after.next(), what });
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A page that is one group, read on event by event to where the next one begins.
    async fn first_group(&self, page: events::LogPage) -> events::Result<Page> {
        let events::LogPage { mut events, head } = page;
        let first = events[0].append_first_position;
        loop {
            let last = events[events.len() - 1].position;
            let position = last.next();
            let next = match self.read(last, 1).await {
                Err(events::Error::Corrupt { what, .. }) => {
                    return Err(events::Error::Damaged { position, what });
                }
                read => read?.events.pop(),
            };
            match next.filter(|event| event.append_first_position == first) {
                None => return Ok(Page { events, head }),
                Some(_) if events.len() >= limits::EVENTS_PER_APPEND => {
                    let what = "its append group is larger than any may be".to_owned();
                    return Err(events::Error::Damaged { position, what });
                }
                Some(event) => events.push(event),
            }
        }
    }

    async fn read(&self, after: Position, limit: usize) -> events::Result<events::LogPage> {
        let (tenant, access, max_bytes) = (self.tenant, Access::Copy, limits::BYTES_PER_PAGE);
        self.store.read_log(LogRead { tenant, access, after, limit, max_bytes }).await
    }
}

/// How many of the events are groups of which the end is certain; nothing when there are no events.
fn whole_groups(events: &[Event], head: &Head) -> Option<usize> {
    let last = events.last()?;
    if last.position >= head.position {
        // What lies beyond the head is damage, and not a part of the log.
        return Some(events.iter().take_while(|event| event.position <= head.position).count())
            .filter(|whole| *whole > 0);
    }
    let open = last.append_first_position;
    Some(events.iter().take_while(|event| event.append_first_position != open).count())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use segue_store::events::MemoryEventStore;
    use segue_store::events::sqlite::SqliteEventStore;

    use super::*;
    use crate::tenants::fixture::{EPOCH, TENANT, append};

    /// A log of groups of these sizes.
    async fn log(groups: &[usize]) -> Arc<dyn EventStore> {
        let store = MemoryEventStore::new();
        fill(&store, groups).await;
        Arc::new(store)
    }

    async fn fill(store: &dyn EventStore, groups: &[usize]) {
        store.open_tenant(TENANT, EPOCH).await.unwrap();
        for size in groups {
            append(store, "s", *size, None).await;
        }
    }

    async fn lengths(store: Arc<dyn EventStore>, batch: usize) -> Vec<usize> {
        let pages = Pages::of(store, TENANT, batch);
        let (mut lengths, mut after) = (Vec::new(), Position(0));
        while let Some(page) = pages.after(after).await.unwrap() {
            lengths.push(page.events.len());
            after = page.last();
        }
        lengths
    }

    #[tokio::test]
    async fn a_group_is_never_cut_however_small_the_pages() {
        let groups = [3, 1, 5, 1_000, 2];
        assert_eq!(lengths(log(&groups).await, 4).await, [4, 5, 1_000, 2]);
        assert_eq!(lengths(log(&groups).await, 1).await, [9, 1_000, 2]);
        assert_eq!(lengths(log(&groups).await, 10_000).await, [1_011]);
        assert_eq!(lengths(log(&[]).await, 10).await, [0; 0]);
    }

    /// A log of groups of these sizes, of which the row at a position cannot be read.
    async fn hurt(folder: &Path, groups: &[usize], position: u64) -> Arc<dyn EventStore> {
        let file = folder.join(format!("{position}.db"));
        fill(&SqliteEventStore::open(&file).unwrap(), groups).await;
        let hurt = "UPDATE events SET event_id = x'00' WHERE position = ?1";
        rusqlite::Connection::open(&file).unwrap().execute(hurt, [position as i64]).unwrap();
        Arc::new(SqliteEventStore::open(&file).unwrap())
    }

    #[tokio::test]
    async fn a_row_that_cannot_be_read_is_named_wherever_in_its_group_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        // Whether a group ends before a row that cannot be read, nobody can tell.
        for (position, end) in [(1, 0), (4, 0), (7, 3), (400, 3), (603, 3)] {
            let store = hurt(folder.path(), &[3, 600, 3], position).await;
            for batch in [1, 10, 1_000] {
                let pages = Pages::of(Arc::clone(&store), TENANT, batch);
                let named = async {
                    let mut after = Position(0);
                    loop {
                        match pages.after(after).await {
                            Ok(page) => after = page.expect("there is more").last(),
                            Err(error) => return (after.0, error),
                        }
                    }
                };
                let named = tokio::time::timeout(Duration::from_secs(20), named).await;
                let case = format!("position {position}, {batch} at a time");
                let (after, error) = named.unwrap_or_else(|_| panic!("{case}: for ever"));
                let events::Error::Damaged { position: named, .. } = error else {
                    panic!("{case}: {error}")
                };
                assert_eq!((named.0, after), (position, end), "{case}");
            }
        }
    }
}
