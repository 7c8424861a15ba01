//! Named consumers of a tenant log, with how far each has come and how far behind it is.

use std::sync::Arc;

use jiff::Timestamp;
use segue_core::ids::{Position, SubscriptionName, TenantId};
use segue_store::control::subscriptions::{self, Subscription};
use segue_store::control::{By, ControlPlane};
use serde::Serialize;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::tenants::{PageSize, Subscriber, TenantStoreRouter};

/// Where a new subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At the first event.
    Beginning,
    /// After the last event that there is now.
    Now,
    /// After this position.
    After(Position),
}

/// What becomes of a subscription that exists when it is put again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFound {
    /// It goes on from where it is.
    Keep,
    /// It is set to where a new one would begin, backwards too.
    Reset,
}

/// A subscription, and how far behind it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct View {
    /// Its name.
    pub name: SubscriptionName,
    /// The last position that it has acknowledged, or where it was told to begin after.
    pub position: Position,
    /// The last position of the log.
    pub head_position: Position,
    /// How many events are not acknowledged yet.
    pub lag: u64,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last came further.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub acknowledged_at: Option<Timestamp>,
}

impl View {
    fn of(subscription: Subscription, head: Position) -> Self {
        let Subscription { name, position, created_at, acknowledged_at } = subscription;
        let lag = head.0.saturating_sub(position.0);
        Self { name, position, head_position: head, lag, created_at, acknowledged_at }
    }
}

/// The answer to the putting of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It was new.
    Created(View),
    /// It was there already.
    Found(View),
}

/// Named consumers of tenant logs.
#[derive(Debug, Clone)]
pub struct Subscriptions {
    control: Arc<dyn ControlPlane>,
    router: Arc<TenantStoreRouter>,
    clock: Arc<dyn Clock>,
}

impl Subscriptions {
    /// In `control`, of the logs behind `router`.
    #[must_use]
    pub fn new(
        control: Arc<dyn ControlPlane>,
        router: Arc<TenantStoreRouter>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { control, router, clock }
    }

    /// Creates a subscription, or finds it.
    ///
    /// # Errors
    /// [`Error::PositionAhead`] for a position after the end of the log; [`Error::TooMany`].
    pub async fn put(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        from: From,
        when_found: WhenFound,
        actor: &str,
    ) -> Result<Put> {
        let head = self.head(tenant).await?;
        let after = match from {
            From::Beginning => Position::default(),
            From::Now => head,
            From::After(position) => within(position, head)?,
        };
        let by = By::new(actor, self.clock.now());
        let found = match self.control.put_subscription(tenant, name, after, &by).await? {
            subscriptions::Put::Created(new) => return Ok(Put::Created(View::of(new, head))),
            subscriptions::Put::Found(found) => found,
        };
        let found = match when_found {
            WhenFound::Keep => found,
            WhenFound::Reset => {
                let reset = self.control.reset_subscription(tenant, name, after, &by).await;
                reset.map_err(|error| Error::of_subscription(error, name))?
            }
        };
        Ok(Put::Found(View::of(found, head)))
    }

    /// Shows a subscription.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, tenant: TenantId, name: &SubscriptionName) -> Result<View> {
        let found = self.control.subscription(tenant, name).await;
        let found = found.map_err(|error| Error::of_subscription(error, name))?;
        Ok(View::of(found, self.head(tenant).await?))
    }

    /// Shows all subscriptions of a tenant, by name.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list(&self, tenant: TenantId) -> Result<Vec<View>> {
        let all = self.control.subscriptions(tenant).await?;
        let head = self.head(tenant).await?;
        Ok(all.into_iter().map(|subscription| View::of(subscription, head)).collect())
    }

    /// Reads the log from where a subscription has come to.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn subscribe(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        size: PageSize,
    ) -> Result<Subscriber> {
        self.router.subscribe(tenant, name, size).await
    }

    /// Keeps that everything up to a position was dealt with; one that is behind already changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::PositionAhead`] for a position after the end of the log.
    pub async fn acknowledge(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        position: Position,
    ) -> Result<View> {
        let head = self.head(tenant).await?;
        within(position, head)?;
        let now = self.clock.now();
        let acknowledged = self.control.acknowledge(tenant, name, position, now).await;
        let acknowledged = acknowledged.map_err(|error| Error::of_subscription(error, name))?;
        Ok(View::of(acknowledged, head))
    }

    /// Deletes a subscription; what it was.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        actor: &str,
    ) -> Result<View> {
        let by = By::new(actor, self.clock.now());
        let deleted = self.control.delete_subscription(tenant, name, &by).await;
        let deleted = deleted.map_err(|error| Error::of_subscription(error, name))?;
        Ok(View::of(deleted, self.head(tenant).await?))
    }

    async fn head(&self, tenant: TenantId) -> Result<Position> {
        let head = self.router.head(tenant).await?;
        Ok(head.map_or(Position::default(), |head| head.position))
    }
}

fn within(position: Position, last: Position) -> Result<Position> {
    if position <= last { Ok(position) } else { Err(Error::PositionAhead { position, last }) }
}
