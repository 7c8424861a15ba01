//! What every turn asks first: where the tenant lives, and whether anything has changed.
//!
//! Made thousands of times a second, so it is one indexed read that adapters keep to microseconds. With
//! its answer a cache of versions, deployments and definitions is known to be true or known to be stale;
//! no other signal is needed for correctness.

use async_trait::async_trait;
use segue_core::ids::{ScenarioId, TenantId, Version};

use super::routing::Route;
use super::{Generation, Result};

/// What a turn finds, from one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where the tenant lives; nothing if it was never placed.
    pub route: Option<Route>,
    /// The scenario; nothing if the tenant has no such scenario.
    pub scenario: Option<ScenarioStanding>,
    /// The generation of the tenant's field definitions; 0 before anything was defined.
    pub fields: Generation,
}

/// What a turn finds of its scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScenarioStanding {
    /// Changes with every deploy, withdrawal and removal of versions.
    pub generation: Generation,
    /// Where new sessions begin.
    pub current_version: Version,
}

/// Answers what every turn asks first.
#[async_trait]
pub trait Standings: Send + Sync {
    /// Reads where the tenant lives and the generations of its scenario and fields.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn standing(&self, tenant: TenantId, scenario: ScenarioId) -> Result<Standing>;
}
