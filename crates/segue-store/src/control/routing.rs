//! Which store owns a tenant, at which epoch, and whether its writes go on.

use async_trait::async_trait;
use jiff::Timestamp;
use segue_core::ids::{StoreId, TenantId, Term};

pub use segue_core::tenancy::{Phase, Route};

use super::audit::Action;
use super::{By, Listing, Page, Result};

/// A decision about a tenant's writes, made only if nothing was decided since the term it was made on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseChange {
    /// The term that the route must have; the decision makes it one greater.
    pub expected: Term,
    /// What is decided.
    pub phase: Phase,
}

impl PhaseChange {
    /// The line that it leaves in the audit.
    #[must_use]
    pub fn action(&self) -> Action {
        match self.phase {
            Phase::Settled => Action::WritesResumed,
            Phase::Paused { .. } => Action::WritesPaused,
        }
    }
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

    /// Decides whether a tenant's writes go on, by compare-and-swap on the route's term, and answers with
    /// the route after it. Its effect in the store follows; see [`segue_core::tenancy::pause`].
    ///
    /// # Errors
    /// [`super::Error::Conflict`] at another term; [`super::Error::NotFound`] if it was never placed.
    async fn change_phase(&self, tenant: TenantId, change: PhaseChange, by: &By) -> Result<Route>;

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
