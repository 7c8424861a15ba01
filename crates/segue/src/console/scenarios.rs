//! A tenant's scenarios: their versions, and how many sessions are on them.

use axum::Extension;
use axum::extract::State;
use jiff::Timestamp;
use maud::{Markup, html};
use segue_core::ids::TenantId;
use segue_store::control::scenarios::Registered;

use super::address::Path;
use super::answer::{Page, Trouble};
use super::counts::Counts;
use super::frame::{Frame, Place};
use super::parts::{empty, heading, pager};
use super::sent::Asked;
use super::viewer::Viewer;
use super::{paths, words};
use crate::http::App;

/// Scenarios on a page.
const SCENARIOS: u32 = 50;

/// What the page shows.
#[derive(Debug)]
struct View {
    tenant: TenantId,
    now: Timestamp,
    /// Each with its live sessions on the current version and on others, once they are counted.
    scenarios: Vec<(Registered, Option<(u64, u64)>)>,
    total: u64,
    is_first: bool,
    next: Option<String>,
}

/// Shows it.
pub async fn show(
    State(app): State<App>,
    Extension(counts): Extension<Counts>,
    viewer: Viewer,
    Path(tenant): Path<TenantId>,
    Asked(asked): Asked,
) -> Result<Page, Trouble> {
    let after = asked.given("cursor");
    let listed = app.opened.scenarios.catalog.scenarios(tenant, SCENARIOS, after).await?;
    let counted = listed.items.iter().map(|of| counts.standings(&app, tenant, of.scenario_id));
    let counted = futures_util::future::join_all(counted).await;
    let mut scenarios = Vec::with_capacity(listed.items.len());
    for (registered, counted) in listed.items.into_iter().zip(counted) {
        let sessions = counted?.map(|counted| {
            let on = |steps: &std::collections::BTreeMap<_, u64>| steps.values().sum::<u64>();
            let all: u64 = counted.value.values().map(on).sum();
            let current = counted.value.get(&registered.current_version).map_or(0, on);
            (current, all - current)
        });
        scenarios.push((registered, sessions));
    }
    let view = View {
        tenant,
        now: app.clock.now(),
        scenarios,
        total: listed.total,
        is_first: after.is_none(),
        next: listed.next.map(|next| next.to_string()),
    };
    Ok(Page(view.page(&viewer)))
}

impl View {
    fn page(&self, viewer: &Viewer) -> Markup {
        let place = Place::Scenarios(self.tenant);
        let frame = Frame { place, title: "Scenarios", trail: &[], viewer: Some(viewer) };
        frame.around(html! {
            (heading(
                html! { h1 { "Scenarios" } },
                html! { p { "Graphs of steps that customers walk, and the versions of each." } },
                html! { a.button.first href=(paths::new_scenario(self.tenant)) { "Register a scenario" } },
            ))
            section.card aria-label="Scenarios" {
                @if self.scenarios.is_empty() { (self.nothing()) } @else { (self.table()) }
            }
        })
    }

    fn nothing(&self) -> Markup {
        empty(
            "No scenario yet",
            html! {
                p { "Register one here, or from the command line:" }
                pre { "segue scenario register examples/order-flow-v1.json \\\n  --tenant " (self.tenant) }
            },
        )
    }

    fn table(&self) -> Markup {
        let list = paths::scenarios(self.tenant);
        let next = self.next.as_deref().map(|next| paths::asking(&list, &[("cursor", next)]));
        html! {
            div.scroll {
                table {
                    thead {
                        tr {
                            th scope="col" { "Scenario" }
                            th.number scope="col" { "Current version" }
                            th.number scope="col" { "Sessions on it" }
                            th.number scope="col" { "On other versions" }
                            th scope="col" { "Current since" }
                        }
                    }
                    tbody {
                        @for (scenario, sessions) in &self.scenarios {
                            tr {
                                th scope="row" {
                                    a href=(paths::scenario(self.tenant, scenario.scenario_id)) { (scenario.name) }
                                    @if let Some(description) = &scenario.description { span.under { (description) } }
                                }
                                td.number { (scenario.current_version) }
                                @match sessions {
                                    Some((current, others)) => {
                                        td.number { (words::count(*current)) }
                                        td.number { (words::count(*others)) }
                                    }
                                    None => {
                                        td.number.quiet { "being counted" }
                                        td.number.quiet { "being counted" }
                                    }
                                }
                                td { (words::when(scenario.updated_at, self.now)) }
                            }
                        }
                    }
                }
            }
            (pager(self.scenarios.len(), self.total, "scenario", (!self.is_first).then_some(&list), next.as_deref()))
        }
    }
}

#[cfg(test)]
mod tests {
    use segue_core::ids::Version;
    use segue_store::control::Generation;

    use super::*;
    use crate::console::check;

    impl View {
        fn sample() -> Self {
            let at: Timestamp = "2026-11-27T09:45:12Z".parse().unwrap();
            let scenario = |name: &str| Registered {
                scenario_id: "0d8f2c61-6a57-4c0e-8d2e-3a1f5b7c9e10".parse().unwrap(),
                name: name.to_owned(),
                description: Some("Says <script>".to_owned()),
                current_version: Version(2),
                generation: Generation(4),
                created_at: at,
                updated_at: at,
            };
            Self {
                tenant: check::tenant(),
                now: at,
                scenarios: vec![
                    (scenario("Order Flow"), Some((12_345, 6))),
                    (scenario("Claims <script>"), None),
                ],
                total: 2,
                is_first: true,
                next: None,
            }
        }
    }

    #[tokio::test]
    async fn scenarios_show_how_many_sessions_are_on_the_current_version_and_how_many_are_not() {
        let html = View::sample().page(&Viewer::sample()).into_string();
        check::page(&html).await;
        assert!(html.contains("12,345") && html.contains("being counted"), "{html}");
        let none = View { scenarios: Vec::new(), total: 0, ..View::sample() };
        check::page(&none.page(&Viewer::sample()).into_string()).await;
    }
}
