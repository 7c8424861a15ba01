//! What is around every page: the head, the way around, where one is, and who one is.

use maud::{DOCTYPE, Markup, html};
use segue_core::ids::TenantId;

use super::assets::{HTMX, ICON, STYLE};
use super::parts::{Icon, icon};
use super::viewer::Viewer;
use super::{paths, words};

/// How htmx must behave here: nothing inline, no other host, no code in attributes.
const HTMX_CONFIG: &str = r#"{"includeIndicatorStyles":false,"allowEval":false,"selfRequestsOnly":true,"historyCacheSize":0}"#;

/// Where in the console a page belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The first page: tenants and stores at a glance.
    Overview,
    /// The tenants.
    Tenants,
    /// The stores.
    Stores,
    /// Moves of tenants.
    Moves,
    /// What was decided about tenants' homes and moves.
    Decided,
    /// The API keys.
    Keys,
    /// A tenant's home: where it lives, and its moves.
    Tenant(TenantId),
    /// A tenant's scenarios.
    Scenarios(TenantId),
    /// A tenant's plans.
    Plans(TenantId),
    /// A tenant's sessions.
    Sessions(TenantId),
    /// A tenant's audit.
    Audit(TenantId),
    /// The way in.
    Login,
    /// None of them.
    Elsewhere,
}

impl Place {
    fn tenant(self) -> Option<TenantId> {
        match self {
            Self::Overview
            | Self::Tenants
            | Self::Stores
            | Self::Moves
            | Self::Decided
            | Self::Keys
            | Self::Login
            | Self::Elsewhere => None,
            Self::Tenant(tenant)
            | Self::Scenarios(tenant)
            | Self::Plans(tenant)
            | Self::Sessions(tenant)
            | Self::Audit(tenant) => Some(tenant),
        }
    }
}

/// What is around a page.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Where the page belongs.
    pub place: Place,
    /// What the browser's tab says.
    pub title: &'a str,
    /// The pages above this one, from the top, and where they are.
    pub trail: &'a [(String, String)],
    /// Who looks; nobody on a page of trouble.
    pub viewer: Option<&'a Viewer>,
}

impl Frame<'_> {
    /// The whole document around what a page shows.
    #[must_use]
    pub fn around(&self, body: Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="htmx-config" content=(HTMX_CONFIG);
                    title { (self.title) " · Segue" }
                    link rel="icon" type="image/svg+xml" href=(ICON.path());
                    link rel="stylesheet" href=(STYLE.path());
                    script src=(HTMX.path()) defer {}
                }
                body {
                    a.skip href="#main" { "To the content" }
                    div.frame.door[self.place == Place::Login] {
                        @if self.place == Place::Login {
                            header { (brand()) }
                        } @else {
                            header.side {
                                (brand())
                                (self.nav("Sections"))
                                (self.who())
                            }
                            header.top {
                                details {
                                    summary { (mark()) span { "Menu" } }
                                    div {
                                        (self.nav("Menu"))
                                        (self.who())
                                    }
                                }
                            }
                        }
                        main.main #main tabindex="-1" {
                            (self.crumbs())
                            (body)
                        }
                    }
                }
            }
        }
    }

    fn crumbs(&self) -> Markup {
        html! {
            @if !self.trail.is_empty() {
                nav.crumbs aria-label="Where this page is" {
                    ol {
                        @for (name, path) in self.trail {
                            li { a href=(path) { (name) } }
                        }
                    }
                }
            }
        }
    }

    fn who(&self) -> Markup {
        html! {
            @if let Some(viewer) = self.viewer {
                div.who {
                    p { "Acting as " span.name { (viewer.name) } }
                    @if viewer.is_logged_in() {
                        form method="post" action=(paths::LOGOUT) {
                            button.plain.small type="submit" { "Log out" }
                        }
                    }
                }
            }
        }
    }

    fn nav(&self, label: &str) -> Markup {
        let link = |to: Place, path: &str, shown: Icon, name: &str| {
            html! {
                li {
                    a href=(path) aria-current=[(self.place == to).then_some("page")] {
                        (icon(shown)) (name)
                    }
                }
            }
        };
        let overview = link(Place::Overview, paths::HOME, Icon::Home, "Overview");
        html! {
            nav.nav aria-label=(label) {
                @if let Some(tenant) = self.place.tenant() {
                    div {
                        h2 { "Tenant " (words::short_id(tenant)) }
                        ul {
                            (link(Place::Tenant(tenant), &paths::tenant(tenant), Icon::Home, "Home and moves"))
                            @if self.viewer.is_some_and(Viewer::is_operator) {
                                (link(Place::Scenarios(tenant), &paths::scenarios(tenant), Icon::Graph, "Scenarios"))
                                (link(Place::Plans(tenant), &paths::plans(tenant), Icon::Plan, "Plans"))
                                (link(Place::Sessions(tenant), &paths::sessions(tenant), Icon::Talk, "Sessions"))
                            }
                            (link(Place::Audit(tenant), &paths::audit(tenant), Icon::Book, "Audit"))
                        }
                    }
                }
                @if self.viewer.is_none() {
                    ul { (overview) }
                } @else if self.viewer.is_some_and(|viewer| viewer.only_tenant().is_none()) {
                    div {
                        h2 { "Platform" }
                        ul {
                            (overview)
                            (link(Place::Tenants, paths::TENANTS, Icon::People, "Tenants"))
                            (link(Place::Stores, paths::STORES, Icon::Store, "Stores"))
                            (link(Place::Moves, paths::MOVES, Icon::Move, "Moves"))
                            (link(Place::Decided, paths::DECIDED, Icon::Book, "Decisions"))
                            @if self.viewer.is_some_and(Viewer::runs_the_platform) {
                                (link(Place::Keys, paths::KEYS, Icon::Key, "API keys"))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn brand() -> Markup {
    html! { a.brand href=(paths::HOME) { (mark()) "Segue" } }
}

fn mark() -> Markup {
    html! {
        svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true" {
            rect width="32" height="32" rx="8" fill="#5145cd" {}
            path d="M8 21c5 0 5-10 8-10s3 10 8 10" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round" {}
            circle cx="8" cy="21" r="2.4" fill="#fff" {}
            circle cx="24" cy="21" r="2.4" fill="#fff" {}
        }
    }
}
