//! Which store owns a tenant, at which epoch.

use async_trait::async_trait;
use jiff::Timestamp;
use segue_core::ids::{Epoch, StoreId, TenantId};
use serde::{Deserialize, Serialize};

use super::audit::words;
use super::{By, Listing, Page, Result};

words!(/// Whether a tenant is on the move.
Phase {
    /// The tenant lives in its store, and nothing moves.
    Settled = "settled",
});

/// Where a tenant's log is written and read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The store that owns the tenant.
    pub store_id: StoreId,
    /// The only epoch at which that store accepts the tenant's writes.
    pub epoch: Epoch,
    /// Whether the tenant is on the move.
    pub phase: Phase,
}

/// The answer to the placing of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// The tenant was new and lives here now, at epoch 1.
    Placed(Route),
    /// The tenant had a home already, and keeps it.
    Home(Route),
}

impl Placement {
    /// Where the tenant lives either way.
    #[must_use]
    pub fn route(self) -> Route {
        match self {
            Self::Placed(route) | Self::Home(route) => route,
        }
    }
}

/// A tenant as the operator's list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Where it lives.
    pub route: Route,
    /// When it was placed.
    pub placed_at: Timestamp,
}

/// Keeps the routes.
#[async_trait]
pub trait Routing: Send + Sync {
    /// Reads where a tenant lives; nothing if it was never placed.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn route(&self, tenant: TenantId) -> Result<Option<Route>>;

    /// Gives a new tenant its store, at epoch 1. A tenant that has a home keeps it, whichever store is
    /// named here.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn place(&self, tenant: TenantId, store: &StoreId, by: &By) -> Result<Placement>;

    /// Reads a tenant's row of the operator's list.
    ///
    /// # Errors
    /// [`super::Error::NotFound`] if it was never placed.
    async fn tenant(&self, tenant: TenantId) -> Result<Tenant>;

    /// Lists tenants by id, those of one store or all. For operators: nothing else reads across tenants.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn list_tenants(&self, store: Option<&StoreId>, page: Page) -> Result<Listing<Tenant>>;
}
