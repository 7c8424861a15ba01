//! A tenant's migration plans.

use axum::extract::State;
use jiff::Timestamp;
use maud::{Markup, html};
use segue_core::ids::{ScenarioId, TenantId};
use segue_core::plan::lifecycle::Kind;
use segue_store::control::plans::{Filter, Plan};

use super::address::Path;
use super::answer::{Page, Trouble};
use super::frame::{Frame, Place};
use super::parts::{Field, Tone, badge, empty, heading, pager};
use super::sent::Asked;
use super::viewer::Viewer;
use super::{paths, words};
use crate::http::App;
use crate::scenarios::Overview;

/// Plans on a page.
const PLANS: u32 = 50;
/// Scenarios that the filter offers.
pub(super) const OFFERED: u32 = 100;

/// What the page shows.
#[derive(Debug)]
struct View {
    tenant: TenantId,
    now: Timestamp,
    plans: Vec<(Plan, Overview)>,
    total: u64,
    /// What the filter offers: ids and names.
    scenarios: Vec<(ScenarioId, String)>,
    scenario: Option<ScenarioId>,
    status: Option<Kind>,
    is_first: bool,
    next: Option<String>,
}

/// Shows it.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path(tenant): Path<TenantId>,
    Asked(asked): Asked,
) -> Result<Page, Trouble> {
    let scenario =
        asked.optional("scenario", "the id of a scenario").map_err(Trouble::bad_request)?;
    let status = match asked.text("status") {
        "" => None,
        word => {
            Some(Kind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
                Trouble::bad_request(format!("“{word}” is not the status of a plan."))
            })?)
        }
    };
    let filter = Filter { scenario_id: scenario, status };
    let after = asked.given("cursor");
    let listed = app.opened.scenarios.planner.plans(tenant, filter, PLANS, after).await?;
    let view = View {
        tenant,
        now: app.clock.now(),
        plans: listed.items,
        total: listed.total,
        scenarios: offered(&app, tenant).await?,
        scenario,
        status,
        is_first: after.is_none(),
        next: listed.next.map(|next| next.to_string()),
    };
    Ok(Page(view.page(&viewer)))
}

/// The scenarios that filters offer.
pub(super) async fn offered(
    app: &App,
    tenant: TenantId,
) -> crate::Result<Vec<(ScenarioId, String)>> {
    let listed = app.opened.scenarios.catalog.scenarios(tenant, OFFERED, None).await?;
    Ok(listed.items.into_iter().map(|of| (of.scenario_id, of.name)).collect())
}

/// What a filter over scenarios offers, all of them first.
pub(super) fn choices(scenarios: &[(ScenarioId, String)]) -> Vec<(String, String)> {
    let all = (String::new(), "All".to_owned());
    let each = scenarios.iter().map(|(id, name)| (id.to_string(), name.clone()));
    std::iter::once(all).chain(each).collect()
}

/// A plan's status as a badge.
#[must_use]
pub fn status(kind: Kind) -> Markup {
    let (tone, word) = match kind {
        Kind::Pending => (Tone::Warn, "To be reviewed"),
        Kind::Approved => (Tone::Info, "Approved"),
        Kind::Rejected => (Tone::Bad, "Rejected"),
        Kind::Deployed => (Tone::Good, "Deployed"),
        Kind::Withdrawn => (Tone::Bad, "Withdrawn"),
        Kind::Superseded => (Tone::Idle, "Superseded"),
    };
    badge(tone, word)
}

impl View {
    fn page(&self, viewer: &Viewer) -> Markup {
        let place = Place::Plans(self.tenant);
        let frame = Frame { place, title: "Plans", trail: &[], viewer: Some(viewer) };
        frame.around(html! {
            (heading(
                html! { h1 { "Plans" } },
                html! { p { "From one version to the next: what changes for whom, decided before anybody notices." } },
                html! {},
            ))
            section.card aria-label="Plans" {
                (self.filters())
                @if self.plans.is_empty() { (self.nothing()) } @else { (self.table()) }
            }
        })
    }

    fn filters(&self) -> Markup {
        let scenario = self.scenario.map(|id| id.to_string()).unwrap_or_default();
        let mut statuses = vec![(String::new(), "All".to_owned())];
        statuses.extend(Kind::ALL.map(|kind| (kind.to_string(), words::capital(kind.as_str()))));
        html! {
            form.filters action=(paths::plans(self.tenant)) method="get" {
                (Field { name: "scenario", label: "Scenario", value: &scenario, ..Field::default() }
                    .select(&choices(&self.scenarios)))
                (Field { name: "status", label: "Status", value: self.status.map_or("", Kind::as_str), ..Field::default() }
                    .select(&statuses))
                button { "Filter" }
            }
        }
    }

    fn nothing(&self) -> Markup {
        empty(
            "No plan here",
            html! {
                p { "A plan comes with a new version of a scenario." }
                p { a.button href=(paths::scenarios(self.tenant)) { "Choose a scenario" } }
            },
        )
    }

    fn name(&self, scenario: ScenarioId) -> Markup {
        match self.scenarios.iter().find(|(id, _)| *id == scenario) {
            Some((_, name)) => html! { (name) },
            None => html! { "Scenario " (words::short_id(scenario)) },
        }
    }

    fn table(&self) -> Markup {
        let scenario = self.scenario.map(|id| id.to_string()).unwrap_or_default();
        let status_word = self.status.map_or("", Kind::as_str);
        let list = paths::asking(
            &paths::plans(self.tenant),
            &[("scenario", &scenario), ("status", status_word)],
        );
        let next = self.next.as_deref().map(|next| {
            let asked = [("scenario", &*scenario), ("status", status_word), ("cursor", next)];
            paths::asking(&paths::plans(self.tenant), &asked)
        });
        html! {
            div.scroll {
                table {
                    thead {
                        tr {
                            th scope="col" { "Plan" }
                            th scope="col" { "Status" }
                            th.number scope="col" { "Sessions" }
                            th.number scope="col" { "Silent" }
                            th.number scope="col" { "May be asked" }
                            th.number scope="col" { "May be redirected" }
                            th.number scope="col" { "Warnings" }
                            th scope="col" { "Made" }
                        }
                    }
                    tbody {
                        @for (plan, overview) in &self.plans {
                            tr {
                                th scope="row" {
                                    a href=(paths::plan(self.tenant, plan.plan_id)) {
                                        (self.name(plan.scenario_id)) ", " (plan.from_version) " → " (plan.to_version)
                                    }
                                    span.under { (words::short_id(plan.plan_id)) }
                                }
                                td { (status(plan.status.kind())) }
                                td.number { (words::count(overview.estimated_sessions_affected)) }
                                td.number { (words::length(overview.anchors_with_clean_graft)) span.under { "anchors" } }
                                td.number { (words::length(overview.anchors_with_gap_fill)) span.under { "anchors" } }
                                td.number { (words::length(overview.anchors_with_re_route)) span.under { "anchors" } }
                                td.number { (words::length(overview.warnings)) }
                                td {
                                    (words::when(plan.created_at, self.now))
                                    span.under { "by " (plan.created_by) }
                                }
                            }
                        }
                    }
                }
            }
            (pager(self.plans.len(), self.total, "plan", (!self.is_first).then_some(&list), next.as_deref()))
        }
    }
}

#[cfg(test)]
mod tests {
    use segue_core::ids::Version;
    use segue_core::plan::lifecycle::Status;
    use segue_core::plan::policy::Policies;
    use segue_store::control::Revision;

    use super::*;
    use crate::console::{check, samples};

    impl View {
        fn sample() -> Self {
            let plan = samples::plan();
            let overview = Overview {
                scenario_checksum_v1: plan.scenario_checksum_v1,
                scenario_checksum_v2: plan.scenario_checksum_v2,
                expires_at: plan.expires_at,
                created_by: None,
                total_anchors: 3,
                anchors_with_clean_graft: 1,
                anchors_with_gap_fill: 1,
                anchors_with_re_route: 1,
                nodes_deleted: 1,
                estimated_sessions_affected: 45_678,
                warnings: 4,
            };
            let header = Plan {
                plan_id: plan.id,
                scenario_id: plan.scenario_id,
                from_version: Version(1),
                to_version: Version(2),
                revision: Revision(1),
                status: Status::Pending,
                policies: Policies::new(),
                overview: serde_json::Value::Null,
                created_at: plan.created.at,
                created_by: "Olga <script>".to_owned(),
            };
            Self {
                tenant: check::tenant(),
                now: plan.created.at,
                plans: vec![(header, overview)],
                total: 1,
                scenarios: vec![(plan.scenario_id, "Order <script>".to_owned())],
                scenario: Some(plan.scenario_id),
                status: Some(Kind::Pending),
                is_first: false,
                next: Some("7-x".to_owned()),
            }
        }
    }

    #[tokio::test]
    async fn plans_are_listed_with_what_they_mean_for_how_many() {
        let html = View::sample().page(&Viewer::sample()).into_string();
        check::page(&html).await;
        assert!(html.contains("45,678") && html.contains("To be reviewed"), "{html}");
        let none = View { plans: Vec::new(), total: 0, ..View::sample() };
        check::page(&none.page(&Viewer::sample()).into_string()).await;
    }
}
