//! Named consumers of a tenant log, and how far each has come.
//!
//! A subscription is a name and a position. Its consumer reads the log after the position, does what it
//! has to do, and acknowledges; killed in between it reads the same events again. So every position is
//! seen at least once and in order, and whoever keeps the last position together with its own results
//! sees each exactly once.
//!
//! An acknowledgement never takes a position back, so one that arrives late or twice does no harm. Going
//! back is an act of its own, with a line in the audit; acknowledgements leave none, for they come with
//! every page.

use async_trait::async_trait;
use jiff::Timestamp;
use segue_core::ids::{Position, SubscriptionName, TenantId};

use super::{By, Result};

/// How many subscriptions a tenant may have.
pub const SUBSCRIPTIONS_PER_TENANT: usize = 1_000;

/// A named consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its name.
    pub name: SubscriptionName,
    /// The last position that it has acknowledged, or where it was told to begin after.
    pub position: Position,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last came further; nothing before it did.
    pub acknowledged_at: Option<Timestamp>,
}

/// The answer to the putting of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It was new, and begins after the position that was named.
    Created(Subscription),
    /// It was there already, and goes on from where it is.
    Found(Subscription),
}

impl Put {
    /// The subscription either way.
    #[must_use]
    pub fn subscription(self) -> Subscription {
        match self {
            Self::Created(subscription) | Self::Found(subscription) => subscription,
        }
    }
}

/// Keeps the subscriptions.
#[async_trait]
pub trait Subscriptions: Send + Sync {
    /// Creates a subscription that begins after a position. One that exists stays as it is, whatever
    /// position is named here.
    ///
    /// # Errors
    /// [`super::Error::TooMany`] over [`SUBSCRIPTIONS_PER_TENANT`].
    async fn put_subscription(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        after: Position,
        by: &By,
    ) -> Result<Put>;

    /// Reads a subscription.
    ///
    /// # Errors
    /// [`super::Error::NotFound`].
    async fn subscription(&self, tenant: TenantId, name: &SubscriptionName)
    -> Result<Subscription>;

    /// Reads all subscriptions of a tenant, in the order of their names' bytes.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn subscriptions(&self, tenant: TenantId) -> Result<Vec<Subscription>>;

    /// Takes a subscription forward to a position; at or before the one it has come to, it changes
    /// nothing. Answers with the subscription as it is then.
    ///
    /// # Errors
    /// [`super::Error::NotFound`].
    async fn acknowledge(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        position: Position,
        at: Timestamp,
    ) -> Result<Subscription>;

    /// Sets a subscription to a position, backwards too, so that it reads what follows again.
    ///
    /// # Errors
    /// [`super::Error::NotFound`].
    async fn reset_subscription(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        position: Position,
        by: &By,
    ) -> Result<Subscription>;

    /// Deletes a subscription, and answers with what it was.
    ///
    /// # Errors
    /// [`super::Error::NotFound`].
    async fn delete_subscription(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        by: &By,
    ) -> Result<Subscription>;
}
