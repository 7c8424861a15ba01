//! Telling an erased payload from a lost one.
//!
//! The chain goes over the hash of a payload and does not notice when the payload itself is gone. It may be
//! gone only where its stream has a redaction later on; and where one stands, everything before it must be
//! gone, or a customer was promised too much.

use std::collections::HashMap;

use segue_core::digest::inspection::{Damage, Finding, Inspection};
use segue_core::ids::{StreamId, StreamVersion};
use segue_store::events::{Direction, Event, STREAM_REDACTED, StreamPage, StreamRead};

use super::Verification;
use crate::error::Result;

/// How many streams' redactions are remembered; beyond it all are looked up again.
const STREAMS: usize = 10_000;

/// How many events of a stream are read at a time.
const PAGE: usize = 1_000;

/// Where streams have their next redaction, as far as it was looked up; `None` for no further one.
#[derive(Debug, Default)]
pub(super) struct Erasures {
    next: HashMap<StreamId, Option<StreamVersion>>,
}

impl Erasures {
    /// Checks the events of a page, in order. Where they are a copy, the log that it is copied from says
    /// what was erased.
    pub(super) async fn check(
        &mut self,
        verification: &Verification,
        original: Option<&Verification>,
        events: &[Event],
        inspection: &mut Inspection,
    ) -> Result<()> {
        for event in events {
            // A copy may have been read after a redaction that it does not have yet.
            let accounts = original.unwrap_or(verification);
            if event.payload.is_none() && !self.is_accounted_for(accounts, event).await? {
                inspection.find(Finding::at(event.position, Damage::Unaccounted));
            }
            if event.event_type == STREAM_REDACTED {
                not_erased(verification, event, inspection).await?;
            }
        }
        Ok(())
    }

    async fn is_accounted_for(&mut self, of: &Verification, event: &Event) -> Result<bool> {
        let known = self.next.get(&event.stream_id).copied();
        let next = match known {
            Some(None) => None,
            Some(Some(version)) if version > event.version => Some(version),
            Some(Some(_)) | None => {
                let next = redaction_after(of, event).await?;
                if self.next.len() >= STREAMS {
                    self.next.clear();
                }
                self.next.insert(event.stream_id.clone(), next);
                next
            }
        };
        Ok(next.is_some())
    }
}

/// The version of the first redaction after an event in its stream.
async fn redaction_after(of: &Verification, event: &Event) -> Result<Option<StreamVersion>> {
    let mut from = event.version.next();
    loop {
        let page = page(of, &event.stream_id, from, Direction::Forwards).await?;
        let redaction = page.events.iter().find(|event| event.event_type == STREAM_REDACTED);
        match (redaction, page.next) {
            (Some(redaction), _) => return Ok(Some(redaction.version)),
            (None, Some(next)) => from = next,
            (None, None) => return Ok(None),
        }
    }
}

/// Names the events before a redaction that still have their payload, back to the redaction before it,
/// which answers for what is before itself.
async fn not_erased(of: &Verification, event: &Event, inspection: &mut Inspection) -> Result<()> {
    let mut from = StreamVersion(event.version.0.saturating_sub(1));
    loop {
        let page = page(of, &event.stream_id, from, Direction::Backwards).await?;
        for before in &page.events {
            if before.payload.is_some() {
                inspection.find(Finding::at(before.position, Damage::NotErased));
            }
            if before.event_type == STREAM_REDACTED {
                return Ok(());
            }
        }
        match page.next {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
}

async fn page(
    of: &Verification,
    stream: &StreamId,
    from: StreamVersion,
    direction: Direction,
) -> Result<StreamPage> {
    let (tenant, access, stream) = (of.tenant, of.access, stream.clone());
    let read = StreamRead { tenant, access, stream, from, limit: PAGE, direction };
    Ok(of.store.read_stream(read).await?)
}
