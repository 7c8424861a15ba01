//! What applications do with a tenant's log: append their own events, read them, follow them.
//!
//! - [`Events`] appends to streams and reads streams and the log.
//! - [`Subscriptions`] keeps how far named consumers have come.
//!
//! Both are thin: an append is checked once, with every problem named by its place, and given its ids;
//! everything else is the router's. Streams that Segue keeps itself are read like any other and never
//! written from here.

mod append;
mod subscriptions;

use std::sync::Arc;

use segue_core::ids::{Epoch, Position, StreamId, StreamVersion, TenantId};
use segue_store::events::{Appended, LogPage, LogRead, StreamPage};

pub use append::{AppendEvents, GivenEvent};
pub use subscriptions::{From, Put, Subscriptions, View, WhenFound};

use crate::clock::Clock;
use crate::error::{Error, Kind, Result};
use crate::telemetry;
use crate::tenants::{Follow, PageSize, TenantStoreRouter};

/// Applications' access to tenant logs.
#[derive(Debug, Clone)]
pub struct Events {
    router: Arc<TenantStoreRouter>,
    clock: Arc<dyn Clock>,
}

impl Events {
    /// On the stores behind `router`.
    #[must_use]
    pub fn new(router: Arc<TenantStoreRouter>, clock: Arc<dyn Clock>) -> Self {
        Self { router, clock }
    }

    /// Appends events to a stream. The same again, with the same event ids or the same idempotency key,
    /// gets the first answer.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every problem; [`Error::ReservedStream`]; [`Error::VersionConflict`];
    /// [`Error::DuplicateEvent`] and [`Error::IdempotencyKeyReused`] for another content under the same
    /// ids; [`Error::WritePaused`].
    pub async fn append(&self, tenant: TenantId, append: AppendEvents) -> Result<Appended> {
        append.check()?;
        let key = append.key_of_all().cloned();
        let stream = append.into_stream(tenant, || self.clock.new_id());
        let count = stream.events.len();
        let appended = self.router.append_events(tenant, self.clock.now(), stream).await;
        let appended = appended.map_err(|failure| append::refused(failure, key))?;
        if !appended.duplicate {
            telemetry::events_appended(count);
        }
        Ok(appended)
    }

    /// A page of a stream, oldest first, from a version on.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a stream that nothing was ever appended to.
    pub async fn stream(
        &self,
        tenant: TenantId,
        stream: &StreamId,
        from: StreamVersion,
        limit: usize,
    ) -> Result<StreamPage> {
        let page = self.router.get_events(tenant, stream, from, limit).await?;
        match page.stream_type {
            Some(_) => Ok(page),
            None => Err(Error::NotFound { kind: Kind::Stream, id: stream.to_string() }),
        }
    }

    /// A page of the tenant log after a position; empty at its end, with the head in any case.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn log(&self, tenant: TenantId, after: Position, size: PageSize) -> Result<LogPage> {
        let PageSize { events: limit, bytes: max_bytes } = size;
        let read = LogRead { tenant, access: Epoch::default().into(), after, limit, max_bytes };
        Ok(self.router.read_log(read).await?)
    }

    /// Follows the tenant log from the event after a position on.
    #[must_use]
    pub fn follow(&self, tenant: TenantId, after: Position, size: PageSize) -> Follow {
        self.router.follow(tenant, after, size)
    }
}
