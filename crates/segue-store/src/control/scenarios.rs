//! Scenarios and their versions.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use segue_core::ids::{ScenarioId, TenantId, Version};
use segue_core::scenario::Scenario;
use segue_core::scenario::hash::Checksum;

use super::{By, Listing, Page, Result};

/// Counts the changes of what a turn must know of a scenario. Only equality means anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

/// A version that is to be kept, with the checksum that the caller computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVersion {
    /// The document, validated by the caller.
    pub document: Arc<Scenario>,
    /// The checksum of the document.
    pub checksum: Checksum,
}

/// A scenario as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The scenario.
    pub scenario_id: ScenarioId,
    /// The current version's name.
    pub name: String,
    /// The current version's description.
    pub description: Option<String>,
    /// Where new sessions begin.
    pub current_version: Version,
    /// Changes whenever a turn must look again.
    pub generation: Generation,
    /// When the first version was registered.
    pub created_at: Timestamp,
    /// When the current version became so.
    pub updated_at: Timestamp,
}

/// A version as lists show it, without its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionEntry {
    /// The number.
    pub version: Version,
    /// Its name.
    pub name: String,
    /// Its checksum.
    pub checksum: Checksum,
    /// How many steps it has.
    pub steps: u32,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// When it ceased to be current; nothing while it is, or if it never was.
    pub replaced_at: Option<Timestamp>,
}

/// A version with its document. Immutable, so a cache may keep it for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVersion {
    /// The document.
    pub document: Arc<Scenario>,
    /// The checksum it was registered with.
    pub checksum: Checksum,
    /// When it was registered.
    pub registered_at: Timestamp,
}

/// Which versions of a scenario may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionCleanup {
    /// Only versions that ceased to be current before this, or were registered before this and never
    /// became current.
    pub replaced_before: Timestamp,
    /// Versions that a session, or the record of a deployed plan, still needs.
    pub needed: BTreeSet<Version>,
    /// The scenario's generation when that was found out.
    pub expected: Generation,
}

/// Keeps scenarios and their versions.
#[async_trait]
pub trait Scenarios: Send + Sync {
    /// Registers a scenario with its first version, which is current from now on.
    ///
    /// # Errors
    /// [`super::Error::Exists`] if the tenant has a scenario of this id.
    async fn register_scenario(
        &self,
        tenant: TenantId,
        first: &NewVersion,
        by: &By,
    ) -> Result<Registered>;

    /// Reads a scenario.
    ///
    /// # Errors
    /// [`super::Error::NotFound`].
    async fn scenario(&self, tenant: TenantId, scenario: ScenarioId) -> Result<Registered>;

    /// Lists a tenant's scenarios, the first registered last.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn list_scenarios(&self, tenant: TenantId, page: Page) -> Result<Listing<Registered>>;

    /// Lists the versions that are still archived, the highest first.
    ///
    /// # Errors
    /// [`super::Error::NotFound`] if there is no such scenario.
    async fn list_versions(
        &self,
        tenant: TenantId,
        scenario: ScenarioId,
        page: Page,
    ) -> Result<Listing<VersionEntry>>;

    /// Reads a version with its document.
    ///
    /// # Errors
    /// [`super::Error::NotFound`] if it never was or is no longer archived.
    async fn version(
        &self,
        tenant: TenantId,
        scenario: ScenarioId,
        version: Version,
    ) -> Result<StoredVersion>;

    /// Removes the documents of versions past their retention, and answers which. The current version
    /// and those of open plans always stay. A removed version's number is never given out again.
    ///
    /// # Errors
    /// [`super::Error::Conflict`] if the scenario's generation is not the expected one,
    /// [`super::Error::NotFound`].
    async fn delete_versions(
        &self,
        tenant: TenantId,
        scenario: ScenarioId,
        cleanup: &VersionCleanup,
        by: &By,
    ) -> Result<Vec<Version>>;
}
