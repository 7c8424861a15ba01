//! Following a tenant log: one page after the other, for ever.
//!
//! A page is read when it is asked for, so a slow follower holds nothing back and nothing is kept for
//! it. A follower that has everything waits for the tail. It names a tenant and never a store: when the
//! tenant's route changes, the next page comes from its new home.

use std::sync::Arc;

use futures_util::{Stream, stream};
use jiff::Timestamp;
use segue_core::ids::{Epoch, Position, SubscriptionName, TenantId};
use segue_store::control::subscriptions::Subscription;
use segue_store::events::{LogPage, LogRead};

use super::failure::Failure;
use super::router::TenantStoreRouter;
use super::tails::{QUICK, Tail};
use crate::error::{Error, Result};

/// How much a page has at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize {
    /// Events.
    pub events: usize,
    /// Payload and metadata, in bytes; a page has at least one event, whatever its size.
    pub bytes: usize,
}

impl Default for PageSize {
    fn default() -> Self {
        Self { events: 1_000, bytes: 1024 * 1024 }
    }
}

/// Somebody who reads a tenant log as it grows.
#[derive(Debug)]
pub struct Follow {
    router: Arc<TenantStoreRouter>,
    tail: Arc<Tail>,
    tenant: TenantId,
    after: Position,
    size: PageSize,
}

impl TenantStoreRouter {
    /// Follows a tenant log from the event after a position on; 0 is before the first.
    #[must_use]
    pub fn follow(self: &Arc<Self>, tenant: TenantId, after: Position, size: PageSize) -> Follow {
        let (router, tail) = (Arc::clone(self), self.tails.of(tenant));
        Follow { router, tail, tenant, after, size }
    }

    /// Follows a tenant log on behalf of a subscription, from where it has come to.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a subscription that was never put.
    pub async fn subscribe(
        self: &Arc<Self>,
        tenant: TenantId,
        name: &SubscriptionName,
        size: PageSize,
    ) -> Result<Subscriber> {
        let found = self.control().subscription(tenant, name).await;
        let found = found.map_err(|error| Error::of_subscription(error, name))?;
        let follow = self.follow(tenant, found.position, size);
        Ok(Subscriber { follow, name: found.name })
    }
}

impl Follow {
    /// The position of the last event that was answered, or the one to begin after.
    #[must_use]
    pub fn position(&self) -> Position {
        self.after
    }

    /// The next page, as soon as there is an event for it. May be given up while it waits, and asked
    /// again after a failure: no event is lost or answered twice.
    ///
    /// # Errors
    /// [`Failure`] as [`TenantStoreRouter::read_log`].
    pub async fn next_page(&mut self) -> Result<LogPage, Failure> {
        let mut told = false;
        loop {
            let (tenant, after) = (self.tenant, self.after);
            let PageSize { events: limit, bytes: max_bytes } = self.size;
            let read = LogRead { tenant, access: Epoch::default().into(), after, limit, max_bytes };
            let page = self.router.read_log(read).await?;
            self.tail.saw(page.head.position);
            if let Some(last) = page.events.last() {
                self.after = last.position;
                return Ok(page);
            }
            // Told of more than there is: a store that failed over has lost what it acknowledged.
            if told {
                tokio::time::sleep(QUICK).await;
            }
            self.tail.beyond(&self.router, after).await?;
            told = true;
        }
    }

    /// All pages, as a stream without an end; after a failure it goes on where it was.
    pub fn pages(self) -> impl Stream<Item = Result<LogPage, Failure>> + Send {
        stream::unfold(self, |mut follow| async move {
            let page = follow.next_page().await;
            Some((page, follow))
        })
    }
}

/// A named consumer at work.
#[derive(Debug)]
pub struct Subscriber {
    follow: Follow,
    name: SubscriptionName,
}

impl Subscriber {
    /// The subscription's name.
    #[must_use]
    pub fn name(&self) -> &SubscriptionName {
        &self.name
    }

    /// The position of the last event that was answered to this subscriber; not what it acknowledged.
    #[must_use]
    pub fn position(&self) -> Position {
        self.follow.position()
    }

    /// The next page, as soon as there is an event for it; see [`Follow::next_page`].
    ///
    /// # Errors
    /// [`Failure`] as [`TenantStoreRouter::read_log`].
    pub async fn next_page(&mut self) -> Result<LogPage, Failure> {
        self.follow.next_page().await
    }

    /// Keeps that everything up to a position was dealt with. A subscriber of this name that comes later
    /// begins after it.
    ///
    /// # Errors
    /// [`Error::PositionAhead`] for a position that was not answered to this subscriber yet;
    /// [`Error::NotFound`] if the subscription was deleted meanwhile.
    pub async fn acknowledge(&self, position: Position, at: Timestamp) -> Result<Subscription> {
        let last = self.position();
        if position > last {
            return Err(Error::PositionAhead { position, last });
        }
        let control = self.follow.router.control();
        let acknowledged = control.acknowledge(self.follow.tenant, &self.name, position, at).await;
        acknowledged.map_err(|error| Error::of_subscription(error, &self.name))
    }
}
