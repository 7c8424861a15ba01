//! `/console/stores`: where tenants can live, and how each place is.

use axum::extract::State;
use maud::{Markup, html};

use super::answer::{Page, Trouble};
use super::frame::{Frame, Place};
use super::parts::{Tone, alert, badge, heading, pairs};
use super::viewer::Viewer;
use super::{paths, words};
use crate::http::App;
use crate::tenants::StoreView;

/// What the page shows.
#[derive(Debug)]
struct View {
    stores: Vec<StoreView>,
}

/// Shows them, as they are now.
pub async fn show(State(app): State<App>, viewer: Viewer) -> Result<Page, Trouble> {
    let stores = app.opened.router.store_views().await?;
    Ok(Page(View { stores }.page(&viewer)))
}

/// A store's health as a badge.
#[must_use]
pub fn health(store: &StoreView) -> Markup {
    if store.healthy { badge(Tone::Good, "Healthy") } else { badge(Tone::Bad, "Away") }
}

/// What an acknowledged write survives there, in words.
fn survives(word: &str) -> Markup {
    match word {
        "power_loss" => badge(Tone::Good, "Survives a loss of power"),
        "process_crash" => badge(Tone::Warn, "Survives a crash, not a loss of power"),
        "nothing" => badge(Tone::Warn, "Gone with the process"),
        other => badge(Tone::Idle, &words::capital(other)),
    }
}

impl View {
    fn page(&self, viewer: &Viewer) -> Markup {
        let frame =
            Frame { place: Place::Stores, title: "Stores", trail: &[], viewer: Some(viewer) };
        frame.around(html! {
            (heading(
                html! { h1 { "Stores" } },
                html! { p { "Where tenants can live: the event stores that this server's configuration names, asked just now." } },
                html! {},
            ))
            div.columns { @for store in &self.stores { (card(store)) } }
        })
    }
}

fn card(store: &StoreView) -> Markup {
    let id = store.store_id.as_str();
    let name = format!("store-{id}");
    let tenants = paths::asking(paths::TENANTS, &[("store", id)]);
    html! {
        section.card aria-labelledby=(name) {
            header {
                h2 id=(name) { (id) }
                (health(store))
            }
            div.inside {
                @if let Some(reason) = &store.reason {
                    (alert(Tone::Bad, "It does not answer as it should", html! {
                        p { (words::sentence(reason)) }
                        p.quiet.small { "Reads and writes of its tenants fail until it does; moves from and to it wait." }
                    }))
                }
                (pairs(&[
                    ("Kind", html! { (store.kind) @if store.is_default { " · new tenants live here" } }),
                    ("Tenants", html! { a href=(tenants) { (words::count(store.tenants)) } }),
                    ("Writes", survives(store.durability.survives)),
                    ("Settings", html! { span.quiet { (store.durability.settings) } }),
                ]))
            }
        }
    }
}

/// Stores in every condition, for tests.
#[cfg(test)]
pub use tests::stores as sample;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::check;
    use crate::tenants::placement::DurabilityView;

    /// Stores in every condition.
    pub fn stores() -> Vec<StoreView> {
        let store = |id: &str, kind, survives, reason: Option<&str>| StoreView {
            store_id: id.parse().unwrap(),
            kind,
            healthy: reason.is_none(),
            reason: reason.map(str::to_owned),
            is_default: id == "shared",
            tenants: 1_204,
            durability: DurabilityView { survives, settings: "synchronous <script>".to_owned() },
        };
        vec![
            store("shared", "postgres", "power_loss", None),
            store("dedicated", "sqlite", "process_crash", None),
            store("far", "postgres", "nothing", Some("no answer: <script>")),
        ]
    }

    #[tokio::test]
    async fn every_store_says_how_it_is_and_what_it_keeps() {
        let html = View { stores: stores() }.page(&Viewer::sample()).into_string();
        check::page(&html).await;
        for told in
            ["Healthy", "Away", "No answer", "Survives a loss of power", "not a loss", "1,204"]
        {
            assert!(html.contains(told), "{told}");
        }
        assert!(html.contains("new tenants live here"));
    }
}
