//! Naming the position inside a block whose digest differs, where something else gives it away.
//!
//! A digest over thousands of events says only that one of them is not what it was. But a version that was
//! changed no longer follows the one before it in its stream, a stream type differs from its stream's, and
//! events that were appended together have one time. A changed event type, id or metadata betrays itself by
//! nothing else, and the block stays the answer.

use std::collections::{HashMap, HashSet};

use segue_core::digest::inspection::{Damage, Finding, Inspection};
use segue_core::ids::{Position, StreamVersion};
use segue_store::events::{Direction, Event, LogRead, StreamRead};

use super::Verification;
use crate::error::Result;

/// How many blocks are looked into; after so many the first ones are what matters.
const BLOCKS: usize = 8;

/// The most events of a block that are looked at.
const EVENTS: usize = 10_000;

/// Replaces findings about whole blocks by exact ones, where there are clues.
pub(super) async fn narrow(of: &Verification, inspection: &mut Inspection) -> Result<()> {
    let is_coarse =
        |found: &&Finding| matches!(found.damage, Damage::Contents | Damage::ContentsOrHead);
    let coarse: Vec<_> =
        inspection.findings().kept().iter().filter(is_coarse).take(BLOCKS).copied().collect();
    for block in coarse {
        let events = block_events(of, &block).await?;
        let mut exact = times(&events);
        exact.extend(places(of, &events).await?);
        if !exact.is_empty() {
            inspection.explain(&block, &exact);
        }
    }
    Ok(())
}

async fn block_events(of: &Verification, block: &Finding) -> Result<Vec<Event>> {
    let mut events: Vec<Event> = Vec::new();
    let mut after = Position(block.first.0 - 1);
    while after < block.last && events.len() < EVENTS {
        let (tenant, access) = (of.tenant, of.access);
        let read = LogRead { tenant, access, after, limit: 1_000, max_bytes: super::PAGE_BYTES };
        let page = of.store.read_log(read).await?;
        let Some(last) = page.events.last() else { break };
        after = last.position;
        events.extend(page.events.into_iter().map(|event| Event { payload: None, ..event }));
    }
    events.retain(|event| event.position <= block.last);
    Ok(events)
}

/// Groups whose events have different times. The one that stands alone is named; where it cannot be told,
/// the group.
fn times(events: &[Event]) -> Vec<Finding> {
    let groups = events.chunk_by(|a, b| a.append_first_position == b.append_first_position);
    let mut found = Vec::new();
    for group in groups.filter(|group| group.len() > 1) {
        let mut counts: HashMap<_, usize> = HashMap::new();
        for event in group {
            *counts.entry(event.recorded_at).or_default() += 1;
        }
        let most = counts.values().copied().max().unwrap_or(0);
        let odd: Vec<_> = group.iter().filter(|event| counts[&event.recorded_at] < most).collect();
        if counts.len() > 1 && odd.is_empty() {
            let (first, last) = (group[0].position, group[group.len() - 1].position);
            found.push(Finding { first, last, damage: Damage::Time });
        }
        found.extend(odd.iter().map(|event| Finding::at(event.position, Damage::Time)));
    }
    found
}

/// Events that do not fit into their streams; of each stream the first, because those that follow it only
/// miss what it was.
async fn places(of: &Verification, events: &[Event]) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let mut blamed = HashSet::new();
    for event in events {
        if blamed.contains(&event.stream_id) {
            continue;
        }
        let read = StreamRead {
            tenant: of.tenant,
            access: of.access,
            stream: event.stream_id.clone(),
            from: event.version,
            limit: 2,
            direction: Direction::Backwards,
        };
        let page = of.store.read_stream(read).await?;
        let follows = event.version == StreamVersion(1)
            || page.events.get(1).is_some_and(|before| {
                before.version.next() == event.version && before.position < event.position
            });
        let damage = match page.stream_type {
            // Its stream is not kept at all, so the event says the wrong one.
            None => Some(Damage::Contents),
            Some(_) if !follows => Some(Damage::Version),
            Some(kind) if kind != event.stream_type => Some(Damage::StreamType),
            Some(_) => None,
        };
        if let Some(damage) = damage {
            blamed.insert(event.stream_id.clone());
            found.push(Finding::at(event.position, damage));
        }
    }
    Ok(found)
}
