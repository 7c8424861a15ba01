//! Where logs are, and with which digests: at a position, and in two stores.

use std::sync::Arc;

use segue_core::digest::{Mark, Verifier};
use segue_core::ids::{Position, TenantId};
use segue_store::events::{self, Access, EventStore};

use super::pages::Pages;

/// The digests that each of two stores keeps after a position.
pub(super) async fn kept(
    stores: [&Arc<dyn EventStore>; 2],
    tenant: TenantId,
    after: Position,
    most: usize,
) -> (events::Result<Vec<Mark>>, events::Result<Vec<Mark>>) {
    let [one, other] = stores.map(|store| store.digests(tenant, Access::Copy, after, most));
    tokio::join!(one, other)
}

/// The last digest before a position that both stores keep.
pub(super) async fn common_before(
    source: &Arc<dyn EventStore>,
    target: &Arc<dyn EventStore>,
    tenant: TenantId,
    before: Position,
) -> events::Result<Mark> {
    let mut common = Mark::START;
    loop {
        let (written, read) = kept([source, target], tenant, common.position, 500).await;
        let (written, read) = (written?, read?);
        let same = read.iter().rfind(|mark| mark.position < before && written.contains(mark));
        match same {
            Some(mark) if mark.position > common.position => common = *mark,
            _ => return Ok(common),
        }
    }
}

/// The mark of a log at a position, computed from the digest that is kept before it; nothing when no append
/// group ends there.
pub(super) async fn mark_at(
    store: &Arc<dyn EventStore>,
    tenant: TenantId,
    position: Position,
) -> events::Result<Option<Mark>> {
    let mut mark = Mark::START;
    'kept: loop {
        let kept = store.digests(tenant, Access::Copy, mark.position, 1_000).await?;
        if kept.is_empty() {
            break;
        }
        for next in kept {
            if next.position > position {
                break 'kept;
            }
            mark = next;
        }
    }
    let pages = Pages::of(Arc::clone(store), tenant, 4_096);
    while mark.position < position {
        let Some(page) = pages.after(mark.position).await? else { return Ok(None) };
        let mut verifier = Verifier::after(mark);
        for event in page.events.iter().take_while(|event| event.position <= position) {
            let (at, first) = (event.position, event.append_first_position);
            verifier.push(at, first, &event.entry(), event.payload.as_deref()).map_err(
                |found| events::Error::Damaged { position: at, what: found.to_string() },
            )?;
        }
        let cuts_a_group = page.events.iter().any(|event| {
            event.position == position.next() && event.append_first_position != position.next()
        });
        if cuts_a_group {
            return Ok(None);
        }
        mark = verifier.close();
    }
    Ok(Some(mark))
}
