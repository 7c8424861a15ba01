//! `/console`: every tenant and every store at a glance.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use segue_core::ids::TenantId;

use super::answer::{Page, Trouble};
use super::frame::{Frame, Place};
use super::parts::{Field, Tone, badge, empty, heading, pager};
use super::sent::Asked;
use super::viewer::Viewer;
use super::{paths, stores, words};
use crate::http::App;
use crate::tenants::{StoreView, TenantState, TenantView};

/// Tenants on a page.
const TENANTS: u32 = 50;

/// What the page shows.
#[derive(Debug)]
struct View {
    now: Timestamp,
    stores: Vec<StoreView>,
    tenants: Vec<TenantView>,
    total: u64,
    is_first: bool,
    next: Option<String>,
    /// What was typed where a tenant's id belongs, and is none.
    wrong: Option<String>,
}

/// Shows it.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Asked(asked): Asked,
) -> Result<Response, Trouble> {
    if let Some(tenant) = viewer.only_tenant() {
        return Ok(Redirect::to(&paths::scenarios(tenant)).into_response());
    }
    let view = View::read(&app, asked.text("cursor"), None).await?;
    Ok(Page(view.page(&viewer)).into_response())
}

/// Goes to the tenant whose id was typed.
pub async fn open(
    State(app): State<App>,
    viewer: Viewer,
    Asked(asked): Asked,
) -> Result<Response, Trouble> {
    match asked.text("tenant").parse::<TenantId>() {
        Ok(tenant) => Ok(Redirect::to(&paths::tenant(tenant)).into_response()),
        Err(_) => {
            let view = View::read(&app, "", Some(asked.text("tenant").to_owned())).await?;
            Ok(Page(view.page(&viewer)).into_response())
        }
    }
}

impl View {
    async fn read(app: &App, cursor: &str, wrong: Option<String>) -> Result<Self, Trouble> {
        let router = &app.opened.router;
        let after = (!cursor.is_empty()).then_some(cursor);
        let (stores, page) =
            tokio::join!(router.store_views(), router.tenant_views(None, TENANTS, after));
        let page = page?;
        Ok(Self {
            now: app.clock.now(),
            stores: stores?,
            tenants: page.tenants,
            total: page.total,
            is_first: after.is_none(),
            next: page.next_cursor,
            wrong,
        })
    }

    fn page(&self, viewer: &Viewer) -> Markup {
        let frame =
            Frame { place: Place::Overview, title: "Overview", trail: &[], viewer: Some(viewer) };
        frame.around(html! {
            (heading(
                html! { h1 { "Overview" } },
                html! { p { "Where everyone lives, and how their stores are." } },
                html! {},
            ))
            section.card aria-labelledby="stores" {
                header { h2 #stores { "Stores" } }
                (self.stores())
            }
            section.card aria-labelledby="tenants" {
                header { h2 #tenants { "Tenants" } }
                (self.open())
                @if self.tenants.is_empty() { (nobody()) } @else { (self.tenants()) }
            }
        })
    }

    fn stores(&self) -> Markup {
        html! {
            div.scroll {
                table {
                    thead {
                        tr {
                            th scope="col" { "Store" }
                            th scope="col" { "Health" }
                            th scope="col" { "What is written survives" }
                            th.number scope="col" { "Tenants" }
                        }
                    }
                    tbody {
                        @for store in &self.stores {
                            tr {
                                th scope="row" {
                                    (store.store_id)
                                    span.under { (store.kind) @if store.is_default { ", for new tenants" } }
                                }
                                td {
                                    (stores::health(store))
                                    @if let Some(reason) = &store.reason { span.under { (reason) } }
                                }
                                td {
                                    (words::spaced(store.durability.survives))
                                    span.under { (store.durability.settings) }
                                }
                                td.number { (words::count(store.tenants)) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn open(&self) -> Markup {
        let wrong = self.wrong.as_deref().map(|_| "That is not the id of a tenant, a UUID.");
        let field = Field {
            name: "tenant",
            label: "Go to a tenant by its id",
            value: self.wrong.as_deref().unwrap_or_default(),
            wrong,
            ..Field::default()
        };
        html! {
            form.filters action=(paths::OPEN) method="get" {
                (field.text())
                button { "Go" }
            }
        }
    }

    fn tenants(&self) -> Markup {
        let next = self.next.as_deref().map(|next| paths::asking(paths::HOME, &[("cursor", next)]));
        html! {
            div.scroll {
                table {
                    thead {
                        tr {
                            th scope="col" { "Tenant" }
                            th scope="col" { "Lives in" }
                            th scope="col" { "State" }
                            th.number scope="col" { "Events" }
                            th scope="col" { "Since" }
                        }
                    }
                    tbody {
                        @for tenant in &self.tenants {
                            tr {
                                th scope="row" { a.mono href=(paths::tenant(tenant.tenant_id)) { (tenant.tenant_id) } }
                                td { (tenant.store_id) }
                                td { (state(tenant.state)) }
                                td.number {
                                    @match tenant.position {
                                        Some(position) => (words::count(position.0)),
                                        None => span.quiet { "not known" },
                                    }
                                }
                                td { (words::when(tenant.placed_at, self.now)) }
                            }
                        }
                    }
                }
            }
            (pager(self.tenants.len(), self.total, "tenant", (!self.is_first).then_some(paths::HOME), next.as_deref()))
        }
    }
}

/// A tenant's state as a badge.
#[must_use]
pub fn state(state: TenantState) -> Markup {
    match state {
        TenantState::Normal => badge(Tone::Good, "Settled"),
        TenantState::Paused => badge(Tone::Warn, "Writes paused"),
        TenantState::BulkCopy => badge(Tone::Info, "Being copied"),
        TenantState::DualWrite => badge(Tone::Info, "Followed"),
        TenantState::CutoverPaused => badge(Tone::Warn, "Cutting over"),
        TenantState::Migrated => badge(Tone::Info, "Moved, with a way back"),
    }
}

fn nobody() -> Markup {
    empty(
        "No tenant yet",
        html! {
            p { "A tenant comes with the first thing that is kept for it. Registering a scenario is a good one:" }
            pre { "segue scenario register examples/order-flow-v1.json \\\n  --tenant 6f1c3b1e-0d5a-4c55-9a3e-0f4f6b8f1a10" }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::check;
    use crate::tenants::placement::DurabilityView;

    impl View {
        fn sample() -> Self {
            let store = |id: &str, reason: Option<&str>| StoreView {
                store_id: id.parse().unwrap(),
                kind: "postgres",
                healthy: reason.is_none(),
                reason: reason.map(str::to_owned),
                is_default: reason.is_none(),
                tenants: 1_204,
                durability: DurabilityView {
                    survives: "power_loss",
                    settings: "synchronous_commit <script>".to_owned(),
                },
            };
            let at: Timestamp = "2026-11-27T09:45:12Z".parse().unwrap();
            let tenant = |state| TenantView {
                tenant_id: check::tenant(),
                store_id: "shared".parse().unwrap(),
                epoch: segue_core::ids::Epoch(3),
                state,
                position: Some(segue_core::ids::Position(1_234_567)),
                digest: None,
                migration_id: None,
                placed_at: at,
                explanation: "It lives in shared.".to_owned(),
            };
            Self {
                now: at + jiff::SignedDuration::from_hours(3),
                stores: vec![store("shared", None), store("own", Some("refused <script>"))],
                tenants: vec![tenant(TenantState::Normal), tenant(TenantState::DualWrite)],
                total: 120,
                is_first: true,
                next: Some("7-x".to_owned()),
                wrong: Some("<script>".to_owned()),
            }
        }
    }

    #[tokio::test]
    async fn tenants_and_stores_are_seen_at_a_glance() {
        let html = View::sample().page(&Viewer::sample()).into_string();
        check::page(&html).await;
        for shown in ["1,234,567", "3 h ago", "2 of 120 tenants", "Away", "Followed"] {
            assert!(html.contains(shown), "{shown}");
        }
    }

    #[tokio::test]
    async fn without_tenants_it_says_how_to_get_one() {
        let nobody = View { tenants: Vec::new(), total: 0, wrong: None, ..View::sample() };
        let html = nobody.page(&Viewer::sample()).into_string();
        check::page(&html).await;
        assert!(html.contains("segue scenario register"));
    }
}
