//! One scenario: its versions, and who stands where.

pub mod document;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use jiff::Timestamp;
use maud::{Markup, PreEscaped, html};
use segue_core::diff::picture::Picture;
use segue_core::ids::{ScenarioId, StepId, TenantId, Version};
use segue_core::scenario::graph::Graph;
use segue_store::control::scenarios::{Registered, VersionEntry};

use super::address::Path;
use super::answer::{Page, Trouble};
use super::counts::Counts;
use super::done::Done;
use super::frame::{Frame, Place};
use super::parts::{Tone, badge, heading, pager};
use super::sent::Asked;
use super::viewer::Viewer;
use super::{paths, words};
use crate::http::App;

/// Versions on a page.
const VERSIONS: u32 = 20;
/// Steps that a picture has room for.
const PICTURED: usize = 150;

/// What the page shows.
#[derive(Debug)]
struct View {
    tenant: TenantId,
    now: Timestamp,
    scenario: Registered,
    versions: Vec<VersionEntry>,
    total: u64,
    is_first: bool,
    next: Option<String>,
    /// The version that is drawn.
    graph: Arc<Graph>,
    /// Live sessions by version and step, and how many seconds ago that was; once they are counted.
    standings: Option<(Arc<crate::scenarios::Standings>, u64)>,
    /// Whether all steps are drawn, however many.
    is_whole: bool,
    done: Option<Done>,
}

/// Shows it.
pub async fn show(
    State(app): State<App>,
    Extension(counts): Extension<Counts>,
    viewer: Viewer,
    Path((tenant, id)): Path<(TenantId, ScenarioId)>,
    Asked(asked): Asked,
) -> Result<Page, Trouble> {
    let catalog = &app.opened.scenarios.catalog;
    let scenario = catalog.scenario(tenant, id).await?;
    let after = asked.given("cursor");
    let listed = catalog.versions(tenant, id, VERSIONS, after).await?;
    let version = asked.optional::<u64>("version", "the number of a version");
    let version = version.map_err(Trouble::bad_request)?.map_or(scenario.current_version, Version);
    let view = View {
        tenant,
        now: app.clock.now(),
        versions: listed.items,
        total: listed.total,
        is_first: after.is_none(),
        next: listed.next.map(|next| next.to_string()),
        graph: catalog.graph(tenant, id, version).await?,
        standings: counts
            .standings(&app, tenant, id)
            .await?
            .map(|counted| (counted.value.clone(), counted.age_seconds())),
        is_whole: asked.has("whole"),
        done: Done::of(asked.text("done")),
        scenario,
    };
    Ok(Page(view.page(&viewer)))
}

impl View {
    fn id(&self) -> ScenarioId {
        self.scenario.scenario_id
    }

    fn at(&self, version: Version) -> Option<&BTreeMap<StepId, u64>> {
        self.standings.as_ref().and_then(|(standings, _)| standings.get(&version))
    }

    fn sessions_on(&self, version: Version) -> Option<u64> {
        self.standings.as_ref()?;
        Some(self.at(version).map_or(0, |steps| steps.values().sum()))
    }

    fn page(&self, viewer: &Viewer) -> Markup {
        let Self { tenant, scenario, .. } = self;
        let frame = Frame {
            place: Place::Scenarios(*tenant),
            title: &scenario.name,
            trail: &[("Scenarios".to_owned(), paths::scenarios(*tenant))],
            viewer: Some(viewer),
        };
        let plans = paths::asking(&paths::plans(*tenant), &[("scenario", &self.id().to_string())]);
        frame.around(html! {
            (heading(
                html! { h1 { (scenario.name) } },
                html! {
                    @if let Some(description) = &scenario.description { p { (description) } }
                    p.small { code { (self.id()) } }
                },
                html! {
                    a.button href=(plans) { "Its plans" }
                    a.button.first href=(paths::new_version(*tenant, self.id())) { "New version" }
                },
            ))
            (Done::shown(self.done))
            (self.picture())
            section.card aria-labelledby="versions" {
                header { h2 #versions { "Versions" } }
                (self.versions())
            }
        })
    }

    fn picture(&self) -> Markup {
        let version = self.graph.scenario().version;
        let none = BTreeMap::new();
        let picture = Picture::of_version(&self.graph, self.at(version).unwrap_or(&none));
        let part = if self.is_whole { None } else { picture.around_changes(PICTURED) };
        let shown = part.as_ref().unwrap_or(&picture);
        let svg = shown.inline("graph-", &|spot| {
            let (scenario, version) = (self.id().to_string(), version.to_string());
            let asked =
                [("scenario", &*scenario), ("version", &*version), ("step", spot.step.as_str())];
            Some(paths::asking(&paths::sessions(self.tenant), &asked))
        });
        let whole = paths::asking(
            &paths::scenario(self.tenant, self.id()),
            &[("version", &version.to_string()), ("whole", "1")],
        );
        html! {
            section.card aria-labelledby="standing" {
                header {
                    h2 #standing { "Who stands where in version " (version) }
                    p {
                        @match (self.sessions_on(version), &self.standings) {
                            (Some(sessions), Some((_, age))) => {
                                (words::counted(sessions, "live session"))
                                @if *age > 1 { ", counted " (age) " s ago" }
                            }
                            (_, _) => "The sessions are being counted. Look again in a moment.",
                        }
                    }
                }
                div.canvas tabindex="0" role="region" aria-label="The graph; a step leads to its sessions" {
                    (PreEscaped(svg))
                }
                @if part.is_some() {
                    footer {
                        "The first " (words::length(shown.len())) " of " (words::length(picture.len())) " steps. "
                        a href=(whole) { "Show all of them" }
                    }
                }
            }
        }
    }

    fn versions(&self) -> Markup {
        let here = paths::scenario(self.tenant, self.id());
        let next = self.next.as_deref().map(|next| paths::asking(&here, &[("cursor", next)]));
        let drawn = self.graph.scenario().version;
        html! {
            div.scroll {
                table {
                    thead {
                        tr {
                            th scope="col" { "Version" }
                            th scope="col" { "Name" }
                            th.number scope="col" { "Steps" }
                            th.number scope="col" { "Live sessions" }
                            th scope="col" { "Registered" }
                            th scope="col" { "Replaced" }
                        }
                    }
                    tbody {
                        @for entry in &self.versions {
                            tr {
                                th scope="row" {
                                    span.row {
                                        a href=(paths::version(self.tenant, self.id(), entry.version))
                                            aria-current=[(entry.version == drawn).then_some("true")] {
                                            "Version " (entry.version)
                                        }
                                        @if entry.version == self.scenario.current_version { (badge(Tone::Good, "Current")) }
                                    }
                                }
                                td { (entry.name) }
                                td.number { (words::count(u64::from(entry.steps))) }
                                td.number {
                                    @match self.sessions_on(entry.version) {
                                        Some(sessions) => (words::count(sessions)),
                                        None => span.quiet { "being counted" },
                                    }
                                }
                                td { (words::when(entry.registered_at, self.now)) }
                                td {
                                    @if let Some(at) = entry.replaced_at { (words::when(at, self.now)) }
                                    @else { span.quiet { "–" } }
                                }
                            }
                        }
                    }
                }
            }
            (pager(self.versions.len(), self.total, "version", (!self.is_first).then_some(&here), next.as_deref()))
        }
    }
}

#[cfg(test)]
mod tests {
    use segue_store::control::Generation;

    use super::*;
    use crate::console::{check, samples};

    impl View {
        fn sample() -> Self {
            let graph = Arc::new(Graph::new(samples::order_flow(1)).unwrap());
            let at: Timestamp = "2026-11-27T09:45:12Z".parse().unwrap();
            let step = |id: &str| id.parse::<StepId>().unwrap();
            let standing = BTreeMap::from([(step("welcome"), 12), (step("checkout"), 1_234)]);
            Self {
                tenant: check::tenant(),
                now: at,
                scenario: Registered {
                    scenario_id: graph.scenario().id,
                    name: "Order <script>".to_owned(),
                    description: Some("Sells <script>".to_owned()),
                    current_version: Version(1),
                    generation: Generation(1),
                    created_at: at,
                    updated_at: at,
                },
                versions: vec![VersionEntry {
                    version: Version(1),
                    name: "Order <script>".to_owned(),
                    checksum: graph.checksum(),
                    steps: 3,
                    registered_at: at,
                    replaced_at: Some(at),
                }],
                total: 1,
                is_first: true,
                next: None,
                standings: Some((Arc::new([(Version(1), standing)].into()), 7)),
                graph,
                is_whole: false,
                done: Some(Done::Registered),
            }
        }
    }

    #[tokio::test]
    async fn the_graph_shows_who_stands_where_and_leads_to_them() {
        let html = View::sample().page(&Viewer::sample()).into_string();
        check::page(&html).await;
        assert!(html.contains("1,246 live sessions, counted 7 s ago"), "{html}");
        assert!(html.contains("version=1&amp;step=checkout"), "{html}");
    }

    #[tokio::test]
    async fn while_sessions_are_counted_it_says_so() {
        let html = View { standings: None, ..View::sample() }.page(&Viewer::sample()).into_string();
        check::page(&html).await;
        assert!(html.contains("being counted"));
    }
}
