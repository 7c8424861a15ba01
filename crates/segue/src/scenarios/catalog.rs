//! Scenarios, their versions, and the fields that they collect: what operators register.

use std::collections::BTreeMap;
use std::sync::Arc;

use segue_core::fields::{Definition, Definitions};
use segue_core::ids::{ScenarioId, StepId, TenantId, Version};
use segue_core::scenario::Scenario;
use segue_core::scenario::graph::Graph;
use segue_store::control::scenarios::{NewVersion, Registered, StoredVersion, VersionEntry};
use segue_store::control::{Cursor, Error as ControlError, Listing, Noun, Page};
use segue_store::events::{Choice, CountBy, Filter};

use super::Shared;
use crate::error::{Error, Kind, Result};

/// How many sessions stand where, by version.
pub type Standings = BTreeMap<Version, BTreeMap<StepId, u64>>;

/// What operators register.
#[derive(Debug, Clone)]
pub struct Catalog(pub(super) Arc<Shared>);

impl Catalog {
    /// Registers a scenario with its first version, which is current from now on.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every problem of the document; [`Error::Exists`] if the id is taken by a
    /// scenario that began otherwise. The same scenario again is answered as it is now: whoever did not
    /// hear the answer may repeat.
    pub async fn register(
        &self,
        tenant: TenantId,
        first: Scenario,
        by: &str,
    ) -> Result<Registered> {
        let scenario_id = first.id;
        let (_, version) = checked(first)?;
        let by = self.0.by(by);
        match self.0.control.register_scenario(tenant, &version, &by).await {
            Ok(registered) => Ok(registered),
            Err(ControlError::Exists(_)) if self.began_so(tenant, &version.document).await? => {
                self.scenario(tenant, scenario_id).await
            }
            Err(ControlError::Exists(_)) => {
                Err(Error::Exists { kind: Kind::Scenario, id: scenario_id.to_string() })
            }
            Err(other) => Err(other.into()),
        }
    }

    /// Whether the scenario of this id has this very version.
    async fn began_so(&self, tenant: TenantId, wanted: &Scenario) -> Result<bool> {
        match self.0.control.version(tenant, wanted.id, wanted.version).await {
            Ok(kept) => Ok(*kept.document == *wanted),
            Err(ControlError::NotFound(_)) => Ok(false),
            Err(other) => Err(other.into()),
        }
    }

    /// Reads a scenario.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn scenario(&self, tenant: TenantId, id: ScenarioId) -> Result<Registered> {
        self.0.control.scenario(tenant, id).await.map_err(|error| not_found(error, id, None))
    }

    /// Lists a tenant's scenarios, the newest first.
    ///
    /// # Errors
    /// [`Error::BadCursor`].
    pub async fn scenarios(
        &self,
        tenant: TenantId,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Listing<Registered>> {
        Ok(self.0.control.list_scenarios(tenant, page(limit, cursor)?).await?)
    }

    /// Lists the archived versions of a scenario, the highest first.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BadCursor`].
    pub async fn versions(
        &self,
        tenant: TenantId,
        id: ScenarioId,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Listing<VersionEntry>> {
        let page = page(limit, cursor)?;
        let listed = self.0.control.list_versions(tenant, id, page).await;
        listed.map_err(|error| not_found(error, id, None))
    }

    /// Reads a version with its document.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn version(
        &self,
        tenant: TenantId,
        id: ScenarioId,
        version: Version,
    ) -> Result<StoredVersion> {
        let read = self.0.control.version(tenant, id, version).await;
        read.map_err(|error| not_found(error, id, Some(version)))
    }

    /// Reads a version, compiled.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn graph(
        &self,
        tenant: TenantId,
        id: ScenarioId,
        version: Version,
    ) -> Result<Arc<Graph>> {
        let graph = self.0.archive.graph(tenant, id, version).await?;
        graph.ok_or_else(|| Error::NotFound { kind: Kind::Version, id: version.to_string() })
    }

    /// How many live sessions stand at which step of which version.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn standings(&self, tenant: TenantId, id: ScenarioId) -> Result<Standings> {
        let filter = Filter { live: Some(true), versions: Choice::Any, ..self.0.sessions_of(id) };
        let mut standings = Standings::new();
        for count in self.0.count(tenant, filter, CountBy::Step).await? {
            if let (Some(version), Some(step)) = (count.scenario_version, count.step_id) {
                *standings.entry(version).or_default().entry(step).or_default() += count.n;
            }
        }
        Ok(standings)
    }

    /// Defines a field, or defines it anew.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every problem of the definition.
    pub async fn put_field(&self, tenant: TenantId, field: &Definition, by: &str) -> Result<()> {
        let problems = field.problems();
        if !problems.is_empty() {
            return Err(Error::Invalid { what: "field", problems });
        }
        self.0.control.put_field(tenant, field, &self.0.by(by)).await?;
        Ok(())
    }

    /// Every field definition of a tenant.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn fields(&self, tenant: TenantId) -> Result<Definitions> {
        Ok(self.0.control.fields(tenant).await?.definitions)
    }
}

/// Validates a document, compiles it, and seals it with its checksum.
pub(super) fn checked(document: Scenario) -> Result<(Graph, NewVersion)> {
    let graph =
        Graph::new(document).map_err(|problems| Error::Invalid { what: "scenario", problems })?;
    let document = Arc::new(graph.scenario().clone());
    let checksum = graph.checksum();
    Ok((graph, NewVersion { document, checksum }))
}

/// A page as the lists of the control plane take it.
pub(super) fn page(limit: u32, cursor: Option<&str>) -> Result<Page> {
    let after = cursor.map(str::parse::<Cursor>).transpose().map_err(|_| Error::BadCursor)?;
    Ok(Page { limit, after })
}

/// Names what was not found.
pub(super) fn not_found(error: ControlError, id: ScenarioId, version: Option<Version>) -> Error {
    match (error, version) {
        (ControlError::NotFound(Noun::Version), Some(version)) => {
            Error::NotFound { kind: Kind::Version, id: version.to_string() }
        }
        (ControlError::NotFound(_), _) => {
            Error::NotFound { kind: Kind::Scenario, id: id.to_string() }
        }
        (other, _) => other.into(),
    }
}
