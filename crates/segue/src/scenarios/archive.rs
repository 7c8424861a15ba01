//! What turns need to know of scenarios, remembered for as long as the control plane vouches for it.
//!
//! Versions are immutable, so their graphs may be kept for ever; they are kept up to a limit. What is
//! deployed may change, so it is kept with the generation that it is true of, and every turn reads the
//! present generation first: one indexed read. Nothing here is ever the only copy, and all of it is
//! weighed in bytes, whatever tenants register.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, RwLock};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use segue_core::diff::{Diff, Mapping};
use segue_core::ids::{ScenarioId, TenantId, Version};
use segue_core::plan::deployed::Deployed;
use segue_core::scenario::graph::Graph;
use segue_store::control::deployments::{History, current_version};
use segue_store::control::fields::Defined;
use segue_store::control::standing::Standing;
use segue_store::control::{ControlPlane, Error as ControlError, Generation};

use super::catalog::not_found;
use super::retention::reachable;
use crate::error::{Error, Result};

/// How many bytes of graphs are remembered, over all tenants.
const GRAPH_BYTES: u64 = 64 * 1024 * 1024;
/// How many bytes of deployments with their graphs are remembered, over all tenants.
const VIEW_BYTES: u64 = 256 * 1024 * 1024;
/// How many bytes of field definitions are remembered, over all tenants.
const FIELD_BYTES: u64 = 32 * 1024 * 1024;
/// The comparisons of versions that one view remembers, by the steps of both versions together; a step
/// takes about 100 bytes.
const DIFF_STEPS: usize = 100_000;
/// Few enough that a cache is not divided into shards, each of which refuses what is heavier than its
/// share.
const UNDIVIDED: usize = 32;

type GraphKey = (TenantId, ScenarioId, Version);

/// Weighs what is remembered by the bytes that it takes, roughly.
#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<GraphKey, Arc<Graph>> for ByBytes {
    fn weight(&self, _: &GraphKey, graph: &Arc<Graph>) -> u64 {
        bytes(graph)
    }
}

impl Weighter<(TenantId, ScenarioId), Weighed> for ByBytes {
    fn weight(&self, _: &(TenantId, ScenarioId), weighed: &Weighed) -> u64 {
        weighed.bytes
    }
}

/// A view and what it weighed when it was put into the cache, which must stay the same until it leaves.
#[derive(Debug, Clone)]
struct Weighed {
    view: Arc<View>,
    bytes: u64,
}

impl Weighed {
    fn now(view: &Arc<View>) -> Self {
        let graphs = view.graphs.read().expect("no panic while it is held");
        let graphs: u64 = graphs.values().flatten().map(|graph| bytes(graph)).sum();
        let policies: usize = view.deployed.iter().map(|plan| 1 + plan.policies.len()).sum();
        Self { view: view.clone(), bytes: 1_024 + graphs + 512 * policies as u64 }
    }
}

impl Weighter<TenantId, Arc<Defined>> for ByBytes {
    fn weight(&self, _: &TenantId, fields: &Arc<Defined>) -> u64 {
        1_024 * (1 + fields.definitions.len() as u64)
    }
}

fn bytes(graph: &Graph) -> u64 {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let steps = graph.scenario().steps.iter().map(|step| {
        let ways = &step.transitions;
        // A condition is kept as text and parsed.
        let ways: usize = ways.iter().map(|way| 256 + 4 * text(&way.condition_text)).sum();
        let lists = 64 * (step.rule_ids.len() + step.collects_profile_fields.len());
        1_024 + step.name.len() + text(&step.description) + ways + lists
    });
    1_024 + steps.sum::<usize>() as u64
}

/// Remembers graphs, deployments and field definitions.
#[derive(Debug)]
pub(super) struct Archive {
    control: Arc<dyn ControlPlane>,
    graphs: Cache<GraphKey, Arc<Graph>, ByBytes>,
    views: Cache<(TenantId, ScenarioId), Weighed, ByBytes>,
    fields: Cache<TenantId, Arc<Defined>, ByBytes>,
}

impl Archive {
    pub(super) fn new(control: Arc<dyn ControlPlane>) -> Self {
        Self {
            control,
            graphs: Cache::with_weighter(UNDIVIDED, GRAPH_BYTES, ByBytes),
            views: Cache::with_weighter(UNDIVIDED, VIEW_BYTES, ByBytes),
            fields: Cache::with_weighter(UNDIVIDED, FIELD_BYTES, ByBytes),
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
        let known = self.views.get(&(tenant, scenario)).map(|weighed| weighed.view);
        let view = match known.filter(|view| Some(view.generation) == generation) {
            Some(view) => view,
            None => self.read_view(tenant, scenario).await?,
        };
        let version = version.unwrap_or(view.current_version);
        if self.grow(tenant, scenario, &view, version).await? {
            // Weighs it again.
            self.views.insert((tenant, scenario), Weighed::now(&view));
        }
        Ok(view)
    }

    /// Gives a view the graphs that a session on `version` may need; answers whether it lacked any.
    pub(super) async fn grow(
        &self,
        tenant: TenantId,
        scenario: ScenarioId,
        view: &View,
        version: Version,
    ) -> Result<bool> {
        let mut has_grown = false;
        for version in view.reachable(version) {
            if !view.knows(version) {
                let graph = self.graph(tenant, scenario, version).await?;
                view.graphs.write().expect("no panic while it is held").insert(version, graph);
                has_grown = true;
            }
        }
        Ok(has_grown)
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

    /// What would be deployed of a scenario if one more plan were. It is remembered nowhere, and has no
    /// graphs before it is grown.
    pub(super) fn imagined(history: History, record: Deployed) -> View {
        let mut deployed = history.deployed;
        deployed.push(record);
        View {
            generation: history.generation,
            current_version: current_version(history.first_version, &deployed),
            deployed,
            graphs: RwLock::default(),
            diffs: RwLock::default(),
        }
    }

    async fn read_view(&self, tenant: TenantId, scenario: ScenarioId) -> Result<Arc<View>> {
        let read = self.control.deployed(tenant, scenario).await;
        let history = read.map_err(|error| not_found(error, scenario, None))?;
        Ok(Arc::new(View {
            generation: history.generation,
            current_version: history.current_version,
            deployed: history.deployed,
            graphs: RwLock::default(),
            diffs: RwLock::default(),
        }))
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
    diffs: RwLock<Diffs>,
}

#[derive(Debug, Default)]
struct Diffs {
    known: HashMap<Compared, Arc<Diff>>,
    steps: usize,
}

/// Two versions, and the mappings that an operator accepted between them.
type Compared = (Version, Version, Vec<Mapping>);

impl View {
    /// The version itself, the current one, and every one that deployed plans lead to from there.
    fn reachable(&self, version: Version) -> BTreeSet<Version> {
        reachable([version, self.current_version], &self.deployed)
    }

    /// The generation of the scenario that this is true of.
    pub(super) fn generation(&self) -> Generation {
        self.generation
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
        if let Some(diff) = self.diffs.read().expect("no panic while it is held").known.get(&key) {
            return Some(diff.clone());
        }
        let diff = Arc::new(Diff::between(self.graph(from)?, self.graph(to)?, mappings));
        let steps = diff.v1().len() + diff.v2().len();
        let mut diffs = self.diffs.write().expect("no panic while it is held");
        if diffs.steps + steps > DIFF_STEPS {
            *diffs = Diffs::default();
        }
        diffs.steps += steps;
        diffs.known.insert(key, diff.clone());
        Some(diff)
    }
}
