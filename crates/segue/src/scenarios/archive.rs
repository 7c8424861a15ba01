//! What turns need to know of scenarios, remembered for as long as the control plane vouches for it.
//!
//! Versions are immutable, so their graphs may be kept for ever; they are kept up to a limit. What is
//! deployed may change, so it is kept with the generation that it is true of, and every turn reads the
//! present generation first: one indexed read. Nothing here is ever the only copy.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, RwLock};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use segue_core::diff::{Diff, Mapping};
use segue_core::ids::{ScenarioId, TenantId, Version};
use segue_core::plan::deployed::Deployed;
use segue_core::scenario::graph::Graph;
use segue_store::control::fields::Defined;
use segue_store::control::standing::Standing;
use segue_store::control::{ControlPlane, Error as ControlError, Generation};

use super::catalog::not_found;
use super::retention::reachable;
use crate::error::{Error, Result};

/// How many steps of graphs are remembered, over all tenants; a step takes about a kilobyte.
const STEPS: u64 = 50_000;
/// How many scenarios' deployments are remembered, over all tenants.
const VIEWS: usize = 2_000;
/// How many tenants' field definitions are remembered.
const TENANTS: usize = 2_000;
/// How many comparisons of versions one view remembers.
const DIFFS: usize = 64;

type GraphKey = (TenantId, ScenarioId, Version);

#[derive(Debug, Clone)]
struct BySteps;

impl Weighter<GraphKey, Arc<Graph>> for BySteps {
    fn weight(&self, _: &GraphKey, graph: &Arc<Graph>) -> u64 {
        graph.len() as u64 + 1
    }
}

/// Remembers graphs, deployments and field definitions.
#[derive(Debug)]
pub(super) struct Archive {
    control: Arc<dyn ControlPlane>,
    graphs: Cache<GraphKey, Arc<Graph>, BySteps>,
    views: Cache<(TenantId, ScenarioId), Arc<View>>,
    fields: Cache<TenantId, Arc<Defined>>,
}

impl Archive {
    pub(super) fn new(control: Arc<dyn ControlPlane>) -> Self {
        Self {
            control,
            graphs: Cache::with_weighter(STEPS as usize / 50, STEPS, BySteps),
            views: Cache::new(VIEWS),
            fields: Cache::new(TENANTS),
        }
    }

    /// A version's graph; `None` if the version is not archived.
    pub(super) async fn graph(
        &self,
        tenant: TenantId,
        scenario: ScenarioId,
        version: Version,
    ) -> Result<Option<Arc<Graph>>> {
        let key = (tenant, scenario, version);
        if let Some(graph) = self.graphs.get(&key) {
            return Ok(Some(graph));
        }
        let stored = match self.control.version(tenant, scenario, version).await {
            Ok(stored) => stored,
            Err(ControlError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let graph = Graph::new((*stored.document).clone()).map_err(|problems| Error::Corrupt {
            what: "the control plane",
            reason: format!("version {version} of scenario {scenario} is not valid: {problems:?}"),
            source: None,
        })?;
        let graph = Arc::new(graph);
        self.graphs.insert(key, graph.clone());
        Ok(Some(graph))
    }

    /// What is deployed of a scenario, with the graphs that a session on `version` may need.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the tenant has no such scenario.
    pub(super) async fn view(
        &self,
        tenant: TenantId,
        scenario: ScenarioId,
        version: Option<Version>,
        standing: &Standing,
    ) -> Result<Arc<View>> {
        let generation = standing.scenario.map(|scenario| scenario.generation);
        let known = self.views.get(&(tenant, scenario));
        let view = match known.filter(|view| Some(view.generation) == generation) {
            Some(view) => view,
            None => self.read_view(tenant, scenario).await?,
        };
        for version in view.reachable(version.unwrap_or(view.current_version)) {
            if !view.knows(version) {
                let graph = self.graph(tenant, scenario, version).await?;
                view.graphs.write().expect("no panic while it is held").insert(version, graph);
            }
        }
        Ok(view)
    }

    /// As [`Archive::view`], for callers that have not read the standing.
    pub(super) async fn fresh_view(
        &self,
        tenant: TenantId,
        scenario: ScenarioId,
        version: Option<Version>,
    ) -> Result<Arc<View>> {
        let standing = self.control.standing(tenant, scenario).await?;
        self.view(tenant, scenario, version, &standing).await
    }

    async fn read_view(&self, tenant: TenantId, scenario: ScenarioId) -> Result<Arc<View>> {
        let read = self.control.deployed(tenant, scenario).await;
        let history = read.map_err(|error| not_found(error, scenario, None))?;
        let view = Arc::new(View {
            generation: history.generation,
            current_version: history.current_version,
            deployed: history.deployed,
            graphs: RwLock::default(),
            diffs: RwLock::default(),
        });
        self.views.insert((tenant, scenario), view.clone());
        Ok(view)
    }

    /// A tenant's field definitions.
    pub(super) async fn fields(
        &self,
        tenant: TenantId,
        standing: &Standing,
    ) -> Result<Arc<Defined>> {
        let known = self.fields.get(&tenant);
        if let Some(fields) = known.filter(|known| known.generation == standing.fields) {
            return Ok(fields);
        }
        let fields = Arc::new(self.control.fields(tenant).await?);
        self.fields.insert(tenant, fields.clone());
        Ok(fields)
    }
}

/// What is deployed of one scenario, as of one generation.
#[derive(Debug)]
pub(super) struct View {
    generation: Generation,
    /// Where new sessions begin.
    pub(super) current_version: Version,
    /// The deployed plans in the order of their deployment, the withdrawn ones among them.
    pub(super) deployed: Vec<Deployed>,
    /// Nothing for a version that was asked for and is not archived.
    graphs: RwLock<HashMap<Version, Option<Arc<Graph>>>>,
    diffs: RwLock<HashMap<Compared, Arc<Diff>>>,
}

/// Two versions, and the mappings that an operator accepted between them.
type Compared = (Version, Version, Vec<Mapping>);

impl View {
    /// The version itself, the current one, and every one that deployed plans lead to from there.
    fn reachable(&self, version: Version) -> BTreeSet<Version> {
        reachable([version, self.current_version], &self.deployed)
    }

    fn knows(&self, version: Version) -> bool {
        self.graphs.read().expect("no panic while it is held").contains_key(&version)
    }
}

impl segue_core::reconcile::Archive for View {
    fn graph(&self, version: Version) -> Option<Arc<Graph>> {
        self.graphs.read().expect("no panic while it is held").get(&version).cloned().flatten()
    }

    fn diff(&self, from: Version, to: Version, mappings: &[Mapping]) -> Option<Arc<Diff>> {
        let key = (from, to, mappings.to_vec());
        if let Some(diff) = self.diffs.read().expect("no panic while it is held").get(&key) {
            return Some(diff.clone());
        }
        let diff = Arc::new(Diff::between(self.graph(from)?, self.graph(to)?, mappings));
        let mut diffs = self.diffs.write().expect("no panic while it is held");
        if diffs.len() >= DIFFS {
            diffs.clear();
        }
        diffs.insert(key, diff.clone());
        Some(diff)
    }
}
