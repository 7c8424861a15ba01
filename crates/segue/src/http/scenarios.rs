//! `/scenarios`: graphs of steps, and their immutable versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use jiff::Timestamp;
use segue_core::ids::{ScenarioId, StepId, TenantId, Version};
use segue_core::scenario::graph::Graph;
use segue_core::scenario::hash::Checksum;
use segue_core::scenario::validate::Problem;
use segue_core::scenario::{Scenario, Step};
use segue_store::control::scenarios::{Registered, StoredVersion};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::{ErrorBody, Refusal};
use super::extract::{Json, Path, Query, Tenant};
use super::page::Limit;
use super::{App, BASE};
use crate::auth::Caller;
use crate::error::Error;

/// A scenario as operators write it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewScenario {
    /// What operators call it.
    pub name: String,
    /// A sentence for operators.
    pub description: Option<String>,
    /// Where new sessions begin; may be left out if exactly one step has `is_entry`.
    #[schema(value_type = Option<String>)]
    pub entry_step_id: Option<StepId>,
    /// The nodes of the graph.
    pub steps: Vec<Step>,
    /// Its id; a fresh one if none is given.
    pub id: Option<ScenarioId>,
    /// 1 for a new scenario, and one more than the latest for a new version, if none is given.
    pub version: Option<Version>,
}

impl NewScenario {
    /// The version that it describes.
    pub fn into_scenario(self, id: ScenarioId, default: Version) -> Result<Scenario, Error> {
        let version = self.version.unwrap_or(default);
        let mut entries = self.steps.iter().filter(|step| step.is_entry);
        let only = match (entries.next(), entries.next()) {
            (Some(step), None) => Some(step.id.clone()),
            (Some(_), Some(_)) | (None, _) => None,
        };
        let entry = self.entry_step_id.or(only);
        let mut scenario = Scenario {
            id,
            name: self.name,
            description: self.description,
            version,
            entry_step_id: StepId::new("entry").expect("a word is a step id"),
            steps: self.steps,
        };
        match entry {
            Some(entry) => {
                scenario.entry_step_id = entry;
                Ok(scenario)
            }
            None => Err(without_entry(scenario)),
        }
    }
}

/// The scenario names no entry; whatever else is wrong with it is said at the same time.
fn without_entry(mut scenario: Scenario) -> Error {
    if let Some(first) = scenario.steps.first() {
        scenario.entry_step_id = first.id.clone();
    }
    let mut problems = vec![Problem {
        code: "missing_entry".to_owned(),
        path: "/entry_step_id".to_owned(),
        message:
            "the entry is missing: name the step where sessions begin, or set is_entry on one step"
                .to_owned(),
    }];
    let others = Graph::new(scenario).err().unwrap_or_default();
    problems.extend(others.into_iter().filter(|problem| problem.path != "/entry_step_id"));
    Error::Invalid { what: "scenario", problems }
}

/// A version of a scenario.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScenarioView {
    /// The document.
    #[serde(flatten)]
    #[schema(value_type = Scenario)]
    pub document: Arc<Scenario>,
    /// Tells whether two documents have the same graph.
    pub checksum: Checksum,
    /// Where new sessions begin.
    pub current_version: Version,
    /// Sessions that still take turns, by version.
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    pub sessions_by_version: BTreeMap<Version, u64>,
    /// Sessions of this version that still take turns, by step.
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    pub sessions_by_step: BTreeMap<StepId, u64>,
    /// When this version was registered.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A scenario in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScenarioItem {
    /// The scenario.
    pub id: ScenarioId,
    /// The current version's name.
    pub name: String,
    /// The current version's description.
    pub description: Option<String>,
    /// Where new sessions begin.
    pub current_version: Version,
    /// Sessions that still take turns, by version.
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    pub sessions_by_version: BTreeMap<Version, u64>,
    /// When the first version was registered.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the current version became so.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// A page of scenarios.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScenarioList {
    /// The newest first.
    pub scenarios: Vec<ScenarioItem>,
    /// How many there are in all.
    pub total: u64,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// A version in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionItem {
    /// The number.
    pub version: Version,
    /// Its name.
    pub name: String,
    /// Its checksum.
    pub checksum: Checksum,
    /// How many steps it has.
    pub steps: u32,
    /// Whether new sessions begin on it.
    pub is_current: bool,
    /// Sessions on it that still take turns.
    pub sessions: u64,
    /// When it was registered.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ceased to be current.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub replaced_at: Option<Timestamp>,
}

/// A page of versions.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionList {
    /// The highest first.
    pub versions: Vec<VersionItem>,
    /// How many are archived in all.
    pub total: u64,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// Which part of a list is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub struct Paging {
    /// Items at most: 1 to 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 50)]
    pub limit: Limit,
    /// Where to go on: the `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Paging {
    /// The page as the control plane's lists take it.
    ///
    /// # Errors
    /// The cursor is from no list.
    pub fn page(&self) -> Result<segue_store::control::Page, Error> {
        let after = self.cursor.as_deref().map(str::parse).transpose();
        let after = after.map_err(|_| Error::BadCursor)?;
        Ok(segue_store::control::Page { limit: self.limit.0, after })
    }
}

/// Registers a scenario with its first version
#[utoipa::path(post, path = "/scenarios", tag = "scenarios", params(("X-Tenant-ID" = uuid::Uuid, Header)),
    request_body = NewScenario,
    responses(
        (status = 201, body = ScenarioView),
        (status = 400, description = "`invalid_scenario`: every problem at once", body = ErrorBody),
        (status = 409, description = "`already_exists`", body = ErrorBody)))]
pub async fn register_scenario(
    State(app): State<App>,
    caller: Caller,
    Tenant(tenant): Tenant,
    Json(new): Json<NewScenario>,
) -> Result<(StatusCode, [(HeaderName, String); 1], axum::Json<ScenarioView>), Refusal> {
    let id = new.id.unwrap_or_else(|| ScenarioId(app.clock.new_id()));
    let scenario = new.into_scenario(id, Version(1))?;
    app.opened.scenarios.catalog.register(tenant, scenario, &caller.actor(None)).await?;
    let place = [(header::LOCATION, format!("{BASE}/scenarios/{id}"))];
    Ok((StatusCode::CREATED, place, axum::Json(view(&app, tenant, id, None).await?)))
}

/// Lists scenarios
#[utoipa::path(get, path = "/scenarios", tag = "scenarios", params(("X-Tenant-ID" = uuid::Uuid, Header), Paging),
    responses((status = 200, body = ScenarioList), (status = 400, body = ErrorBody)))]
pub async fn list_scenarios(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Query(paging): Query<Paging>,
) -> Result<axum::Json<ScenarioList>, Refusal> {
    let catalog = &app.opened.scenarios.catalog;
    let listed = catalog.scenarios(tenant, paging.limit.0, paging.cursor.as_deref()).await?;
    let mut scenarios = Vec::with_capacity(listed.items.len());
    for registered in listed.items {
        let sessions_by_version = by_version(&app, tenant, registered.scenario_id).await?;
        scenarios.push(ScenarioItem {
            id: registered.scenario_id,
            name: registered.name,
            description: registered.description,
            current_version: registered.current_version,
            sessions_by_version,
            created_at: registered.created_at,
            updated_at: registered.updated_at,
        });
    }
    let next_cursor = listed.next.map(|cursor| cursor.to_string());
    Ok(axum::Json(ScenarioList { scenarios, total: listed.total, next_cursor }))
}

/// Shows the current version of a scenario
#[utoipa::path(get, path = "/scenarios/{scenario_id}", tag = "scenarios",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("scenario_id" = uuid::Uuid, Path)),
    responses((status = 200, body = ScenarioView), (status = 404, body = ErrorBody)))]
pub async fn get_scenario(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(id): Path<ScenarioId>,
) -> Result<axum::Json<ScenarioView>, Refusal> {
    Ok(axum::Json(view(&app, tenant, id, None).await?))
}

/// Lists the archived versions of a scenario
#[utoipa::path(get, path = "/scenarios/{scenario_id}/versions", tag = "scenarios",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("scenario_id" = uuid::Uuid, Path), Paging),
    responses((status = 200, body = VersionList), (status = 404, body = ErrorBody)))]
pub async fn list_versions(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path(id): Path<ScenarioId>,
    Query(paging): Query<Paging>,
) -> Result<axum::Json<VersionList>, Refusal> {
    let catalog = &app.opened.scenarios.catalog;
    let Registered { current_version, .. } = catalog.scenario(tenant, id).await?;
    let listed = catalog.versions(tenant, id, paging.limit.0, paging.cursor.as_deref()).await?;
    let sessions = by_version(&app, tenant, id).await?;
    let versions = listed.items.into_iter().map(|entry| VersionItem {
        version: entry.version,
        name: entry.name,
        checksum: entry.checksum,
        steps: entry.steps,
        is_current: entry.version == current_version,
        sessions: sessions.get(&entry.version).copied().unwrap_or(0),
        created_at: entry.registered_at,
        replaced_at: entry.replaced_at,
    });
    let next_cursor = listed.next.map(|cursor| cursor.to_string());
    Ok(axum::Json(VersionList { versions: versions.collect(), total: listed.total, next_cursor }))
}

/// Shows a version of a scenario
#[utoipa::path(get, path = "/scenarios/{scenario_id}/versions/{version}", tag = "scenarios",
    params(("X-Tenant-ID" = uuid::Uuid, Header), ("scenario_id" = uuid::Uuid, Path), ("version" = u64, Path)),
    responses((status = 200, body = ScenarioView), (status = 404, body = ErrorBody)))]
pub async fn get_version(
    State(app): State<App>,
    Tenant(tenant): Tenant,
    Path((id, version)): Path<(ScenarioId, Version)>,
) -> Result<axum::Json<ScenarioView>, Refusal> {
    Ok(axum::Json(view(&app, tenant, id, Some(version)).await?))
}

/// A version, the current one if none is named, with the sessions that stand on it.
async fn view(
    app: &App,
    tenant: TenantId,
    id: ScenarioId,
    version: Option<Version>,
) -> Result<ScenarioView, Error> {
    let catalog = &app.opened.scenarios.catalog;
    let current_version = catalog.scenario(tenant, id).await?.current_version;
    let version = version.unwrap_or(current_version);
    let StoredVersion { document, checksum, registered_at } =
        catalog.version(tenant, id, version).await?;
    let mut standings = catalog.standings(tenant, id).await?;
    Ok(ScenarioView {
        document,
        checksum,
        current_version,
        sessions_by_version: standings
            .iter()
            .map(|(v, steps)| (*v, steps.values().sum()))
            .collect(),
        sessions_by_step: standings.remove(&version).unwrap_or_default(),
        created_at: registered_at,
    })
}

async fn by_version(
    app: &App,
    tenant: TenantId,
    id: ScenarioId,
) -> Result<BTreeMap<Version, u64>, Error> {
    let standings = app.opened.scenarios.catalog.standings(tenant, id).await?;
    Ok(standings.into_iter().map(|(version, steps)| (version, steps.values().sum())).collect())
}
