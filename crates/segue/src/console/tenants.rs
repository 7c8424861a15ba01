//! `/console/tenants`: where everyone lives, and who is on the move.

use axum::extract::State;
use jiff::Timestamp;
use maud::{Markup, html};
use segue_core::ids::StoreId;
use segue_store::control::migrations::Filter;

use super::answer::{Page, Trouble};
use super::frame::{Frame, Place};
use super::parts::{Field, empty, heading, pager};
use super::sent::Asked;
use super::viewer::Viewer;
use super::{home, moves, paths, words};
use crate::http::App;
use crate::tenants::{Migration, TenantView};

/// Tenants on a page.
const TENANTS: u32 = 50;

/// Moves that are shown above them.
const MOVES: u32 = 5;

/// What the page shows.
#[derive(Debug)]
struct View {
    now: Timestamp,
    store: String,
    stores: Vec<(StoreId, u64)>,
    moves: Vec<Migration>,
    moves_total: u64,
    tenants: Vec<TenantView>,
    total: u64,
    cursor: String,
    next: Option<String>,
}

/// Shows them.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Asked(asked): Asked,
) -> Result<Page, Trouble> {
    let view = View::read(&app, asked.text("store"), asked.text("cursor")).await?;
    Ok(Page(view.page(&viewer)))
}

impl View {
    async fn read(app: &App, store: &str, cursor: &str) -> Result<Self, Trouble> {
        let opened = &app.opened;
        // What names no store is as if nothing did.
        let only = store.parse::<StoreId>().ok();
        let after = Some(cursor).filter(|cursor| !cursor.is_empty());
        let active = Filter { only_active: true, ..Filter::default() };
        let (stores, page, moves) = tokio::join!(
            opened.router.tenants_by_store(),
            opened.router.tenant_views(only.as_ref(), TENANTS, after),
            opened.moves.list_migrations(&active, MOVES, None)
        );
        let (page, moves) = (page?, moves?);
        Ok(Self {
            now: app.clock.now(),
            store: only.map_or_else(String::new, |store| store.to_string()),
            stores: stores?,
            moves: moves.migrations,
            moves_total: moves.total,
            tenants: page.tenants,
            total: page.total,
            cursor: cursor.to_owned(),
            next: page.next_cursor,
        })
    }

    fn page(&self, viewer: &Viewer) -> Markup {
        let frame =
            Frame { place: Place::Tenants, title: "Tenants", trail: &[], viewer: Some(viewer) };
        frame.around(html! {
            (heading(
                html! { h1 { "Tenants" } },
                html! { p { "Each lives in one store. Open one to move it, to pause its writes, or to verify its log." } },
                html! {},
            ))
            (self.on_the_move())
            section.card aria-labelledby="tenants" {
                header { h2 #tenants { "Where everyone lives" } }
                (self.filter())
                @if self.tenants.is_empty() { (self.nobody()) } @else { (self.table()) }
            }
        })
    }

    fn on_the_move(&self) -> Markup {
        let all = paths::asking(paths::MOVES, &[("state", "active")]);
        html! {
            @if !self.moves.is_empty() {
                section.card aria-labelledby="moving" {
                    header { h2 #moving { "On the move" } a href=(all) { "All " (words::count(self.moves_total)) } }
                    (moves::table(&self.moves, self.now, moves::Shown::Tenant))
                }
            }
        }
    }

    fn filter(&self) -> Markup {
        let choices: Vec<(String, String)> =
            std::iter::once((String::new(), "All stores".to_owned()))
                .chain(self.stores.iter().map(|(id, tenants)| {
                    (id.to_string(), format!("{id} ({})", words::count(*tenants)))
                }))
                .collect();
        let store =
            Field { name: "store", label: "Lives in", value: &self.store, ..Field::default() };
        html! {
            form.filters.few action=(paths::TENANTS) method="get" {
                (store.select(&choices))
                button { "Filter" }
            }
        }
    }

    fn path(&self, cursor: &str) -> String {
        paths::asking(paths::TENANTS, &[("store", &self.store), ("cursor", cursor)])
    }

    fn table(&self) -> Markup {
        let first = (!self.cursor.is_empty()).then(|| self.path(""));
        let next = self.next.as_deref().map(|next| self.path(next));
        html! {
            div.scroll {
                table {
                    thead {
                        tr {
                            th scope="col" { "Tenant" }
                            th scope="col" { "Lives in" }
                            th scope="col" { "State" }
                            th.number scope="col" { "Events" }
                            th scope="col" { "Placed" }
                        }
                    }
                    tbody { @for tenant in &self.tenants {
                        tr {
                            th scope="row" { a.mono href=(paths::tenant(tenant.tenant_id)) { (tenant.tenant_id) } }
                            td { (tenant.store_id) span.under { "epoch " (tenant.epoch.0) } }
                            td {
                                (home::state(tenant.state))
                                @if let Some(id) = tenant.migration_id {
                                    span.under { a href=(paths::one_move(id)) { "See its move" } }
                                }
                            }
                            td.number {
                                @match tenant.position {
                                    Some(position) => (words::count(position.0)),
                                    None => span.quiet { "not known" },
                                }
                            }
                            td { (words::when(tenant.placed_at, self.now)) }
                        }
                    } }
                }
            }
            (pager(self.tenants.len(), self.total, "tenant", first.as_deref(), next.as_deref()))
        }
    }

    fn nobody(&self) -> Markup {
        if !self.store.is_empty() {
            return empty(
                "Nobody lives there",
                html! {
                    p { "Move a tenant there, or place a new one:" }
                    pre { "curl -X PUT $SEGUE_URL/api/v1/tenants/$SEGUE_TENANT \\\n  -H 'Content-Type: application/json' \\\n  -d '{\"store_id\": \"" (self.store) "\"}'" }
                },
            );
        }
        empty(
            "No tenant yet",
            html! {
                p { "A tenant comes with the first thing that is kept for it." }
                pre { "segue stream append orders --type orders \\\n  --event 'Opened={}' --tenant 6f1c3b1e-0d5a-4c55-9a3e-0f4f6b8f1a10" }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::check;
    use crate::console::moves::sample;

    fn view() -> View {
        View {
            now: sample::at(600),
            store: "shared".to_owned(),
            stores: Vec::new(),
            moves: sample::of_every_state(),
            moves_total: 12,
            tenants: sample::tenants(),
            total: 1_204,
            cursor: "7-x".to_owned(),
            next: Some("8-<script>".to_owned()),
        }
    }

    #[tokio::test]
    async fn everyone_is_there_with_where_they_live_and_where_they_go() {
        let html = view().page(&Viewer::sample()).into_string();
        check::page(&html).await;
        for told in
            ["On the move", "All 12", "of 1,204 tenants", "epoch 3", "See its move", "not known"]
        {
            assert!(html.contains(told), "{told}");
        }
    }

    #[tokio::test]
    async fn an_empty_store_says_how_somebody_comes_there() {
        let nobody = View { tenants: Vec::new(), moves: Vec::new(), ..view() };
        let html = nobody.page(&Viewer::sample()).into_string();
        check::page(&html).await;
        assert!(html.contains("Nobody lives there") && !html.contains("On the move"), "{html}");
        let first = View { store: String::new(), ..nobody }.page(&Viewer::sample()).into_string();
        assert!(first.contains("segue stream append"), "{first}");
    }
}
