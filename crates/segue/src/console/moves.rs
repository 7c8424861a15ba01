//! `/console/moves`: tenants on their way to another store, and those that have been.
//!
//! One file a page: [`start`] begins a move after a dry run, [`one`] shows it, [`live`] is the part of that which
//! refreshes itself, and [`acts`] does what an operator asks of it.

pub mod acts;
pub mod chart;
pub mod forms;
pub mod live;
pub mod one;
pub mod options;
pub mod phase;
pub mod record;
#[cfg(test)]
pub mod sample;
pub mod start;
pub mod verification;

use axum::extract::State;
use jiff::Timestamp;
use maud::{Markup, html};
use segue_core::ids::TenantId;
use segue_core::tenancy::migration::MigrationState;
use segue_store::control::migrations::Filter;

use super::answer::{Page, Trouble};
use super::frame::{Frame, Place};
use super::parts::{Field, Tone, badge, empty, heading, pager};
use super::sent::Asked;
use super::viewer::Viewer;
use super::{lengths, paths, words};
use crate::http::App;
use crate::tenants::Migration;

/// Moves on a page.
const MOVES: u32 = 25;

/// What the page shows.
#[derive(Debug)]
struct View {
    now: Timestamp,
    asked: Wanted,
    moves: Vec<Migration>,
    total: u64,
    next: Option<String>,
}

/// Which moves are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wanted {
    /// What was typed where a tenant's id belongs.
    tenant: String,
    /// A state; `active` for those about which something may still be done; empty for all.
    state: String,
    cursor: String,
    /// What is wrong with the tenant's id.
    wrong: Option<String>,
}

/// Shows them.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Asked(asked): Asked,
) -> Result<Page, Trouble> {
    let wanted = Wanted {
        tenant: asked.text("tenant").to_owned(),
        state: asked.text("state").to_owned(),
        cursor: asked.text("cursor").to_owned(),
        wrong: None,
    };
    Ok(Page(View::read(&app, wanted).await?.page(&viewer)))
}

impl Wanted {
    /// What to ask for; nothing, with what is wrong, when it cannot be understood.
    fn filter(&mut self) -> Option<Filter> {
        let mut filter = Filter::default();
        if !self.tenant.is_empty() {
            let Ok(tenant) = self.tenant.parse::<TenantId>() else {
                self.wrong = Some("That is not the id of a tenant, a UUID.".to_owned());
                return None;
            };
            filter.tenant = Some(tenant);
        }
        filter.only_active = self.state == "active";
        // Whatever else stands there is as if nothing did.
        filter.state = self.state.parse().ok();
        Some(filter)
    }

    fn is_empty(&self) -> bool {
        self.tenant.is_empty() && self.state.is_empty()
    }

    fn path(&self, cursor: &str) -> String {
        let pairs = [("tenant", &*self.tenant), ("state", &*self.state), ("cursor", cursor)];
        paths::asking(paths::MOVES, &pairs)
    }
}

impl View {
    async fn read(app: &App, mut asked: Wanted) -> Result<Self, Trouble> {
        let now = app.clock.now();
        let Some(filter) = asked.filter() else {
            return Ok(Self { now, asked, moves: Vec::new(), total: 0, next: None });
        };
        let cursor = Some(&*asked.cursor).filter(|cursor| !cursor.is_empty());
        let page = app.opened.moves.list_migrations(&filter, MOVES, cursor).await?;
        Ok(Self { now, asked, moves: page.migrations, total: page.total, next: page.next_cursor })
    }

    fn page(&self, viewer: &Viewer) -> Markup {
        let frame = Frame { place: Place::Moves, title: "Moves", trail: &[], viewer: Some(viewer) };
        frame.around(html! {
            (heading(
                html! { h1 { "Moves" } },
                html! { p { "Tenants on their way from one store to another, and those that have been." } },
                html! { a.button.first href=(paths::TENANTS) { "Move a tenant" } },
            ))
            section.card aria-labelledby="moves" {
                h2.unseen #moves { "All moves" }
                (self.filters())
                @if self.moves.is_empty() { (self.nothing()) } @else {
                    (table(&self.moves, self.now, Shown::Tenant))
                    (pager(self.moves.len(), self.total, "move", self.first().as_deref(), self.next_page().as_deref()))
                }
            }
        })
    }

    fn first(&self) -> Option<String> {
        (!self.asked.cursor.is_empty()).then(|| self.asked.path(""))
    }

    fn next_page(&self) -> Option<String> {
        self.next.as_deref().map(|next| self.asked.path(next))
    }

    fn filters(&self) -> Markup {
        let state = |state: MigrationState| (state.as_str().to_owned(), word(state).to_owned());
        let choices: Vec<(String, String)> = [("", "All"), ("active", "All that are under way")]
            .map(|(value, called)| (value.to_owned(), called.to_owned()))
            .into_iter()
            .chain(MigrationState::ALL.map(state))
            .collect();
        let tenant = Field {
            name: "tenant",
            label: "Tenant",
            value: &self.asked.tenant,
            wrong: self.asked.wrong.as_deref(),
            ..Field::default()
        };
        let state =
            Field { name: "state", label: "State", value: &self.asked.state, ..Field::default() };
        html! {
            form.filters action=(paths::MOVES) method="get" {
                (tenant.text())
                (state.select(&choices))
                button { "Filter" }
                @if !self.asked.is_empty() { a.button.plain href=(paths::MOVES) { "Show all" } }
            }
        }
    }

    fn nothing(&self) -> Markup {
        if self.asked.is_empty() {
            return empty(
                "Nothing has moved yet",
                html! {
                    p { "Choose a tenant and where it should live; a dry run tells what would happen. Or:" }
                    pre { "segue tenant move 6f1c3b1e-0d5a-4c55-9a3e-0f4f6b8f1a10 \\\n  --to dedicated --dry-run" }
                },
            );
        }
        empty("No move is like that", html! { p { a href=(paths::MOVES) { "Show all moves" } } })
    }
}

/// What the first column of a table of moves leads by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Moves of many tenants: each with its tenant.
    Tenant,
    /// Moves of one tenant.
    MovesOnly,
}

/// Moves as a table.
#[must_use]
pub fn table(moves: &[Migration], now: Timestamp, shown: Shown) -> Markup {
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        th scope="col" { "Move" }
                        @match shown {
                            Shown::Tenant => th scope="col" { "Tenant" },
                            Shown::MovesOnly => {}
                        }
                        th scope="col" { "State" }
                        th scope="col" { "Copied" }
                        th scope="col" { "Writes waited" }
                        th scope="col" { "Begun" }
                    }
                }
                tbody { @for one in moves { (row(one, now, shown)) } }
            }
        }
    }
}

fn row(one: &Migration, now: Timestamp, shown: Shown) -> Markup {
    html! {
        tr {
            th scope="row" {
                a href=(paths::one_move(one.id)) { (way(one)) }
                span.under { (words::short_id(one.id)) @if one.reverses.is_some() { " · a way back" } }
            }
            @match shown {
                Shown::Tenant => td {
                    a href=(paths::tenant(one.tenant_id)) { (words::short_id(one.tenant_id)) }
                },
                Shown::MovesOnly => {}
            }
            td { (state(one.state, one.is_active)) }
            td {
                @if one.total_events == 0 { span.quiet { "–" } } @else {
                    progress class={ "short " (tone(one.state, one.is_active).class()) } max="100"
                        value=(format!("{:.1}", one.progress_percentage)) aria-label="Copied" {}
                    span.under { (lengths::percent(one.progress_percentage)) " of " (words::count(one.total_events)) }
                }
            }
            td {
                @match one.cutover.pause_ms {
                    Some(pause) if one.state == MigrationState::Migrated => (lengths::lasting_ms(pause)),
                    Some(_) | None => span.quiet { "–" },
                }
            }
            td { (words::when(one.created_at, now)) span.under { "by " (one.created_by) } }
        }
    }
}

/// Where from and where to.
#[must_use]
pub fn way(one: &Migration) -> Markup {
    html! { (one.source_store_id) " → " (one.target_store_id) }
}

/// A state as people call it.
#[must_use]
pub fn word(state: MigrationState) -> &'static str {
    match state {
        MigrationState::Pending => "Preparing",
        MigrationState::BulkCopy => "Bulk copy",
        MigrationState::DualWrite => "Dual write",
        MigrationState::CutoverPaused => "Cutting over",
        MigrationState::Migrated => "Migrated",
        MigrationState::Failed => "Failed",
        MigrationState::RolledBack => "Aborted",
        MigrationState::Paused => "Paused",
    }
}

/// A state as a badge.
#[must_use]
pub fn state(state: MigrationState, is_active: bool) -> Markup {
    let shown = match (state, is_active) {
        (MigrationState::Migrated, true) => "Migrated, way back kept",
        (MigrationState::Migrated, false) => "Finished",
        (MigrationState::RolledBack, true) => "Aborted, cleaning up",
        (
            MigrationState::Pending
            | MigrationState::BulkCopy
            | MigrationState::DualWrite
            | MigrationState::CutoverPaused
            | MigrationState::Failed
            | MigrationState::RolledBack
            | MigrationState::Paused,
            _,
        ) => word(state),
    };
    badge(tone(state, is_active), shown)
}

fn tone(state: MigrationState, is_active: bool) -> Tone {
    match state {
        MigrationState::Pending | MigrationState::BulkCopy | MigrationState::DualWrite => {
            Tone::Info
        }
        MigrationState::CutoverPaused | MigrationState::Paused => Tone::Warn,
        MigrationState::Migrated => Tone::Good,
        MigrationState::Failed => Tone::Bad,
        MigrationState::RolledBack if is_active => Tone::Warn,
        MigrationState::RolledBack => Tone::Idle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::check;

    fn view(moves: Vec<Migration>, asked: Wanted) -> String {
        let now = sample::at(600);
        let (total, next) = (moves.len() as u64 + 3, Some("7-<script>".to_owned()));
        View { now, asked, moves, total, next }.page(&Viewer::sample()).into_string()
    }

    #[tokio::test]
    async fn every_state_of_a_move_is_told_in_words() {
        let html = view(sample::of_every_state(), Wanted::default());
        check::page(&html).await;
        for told in [
            "Preparing",
            "Bulk copy",
            "Dual write",
            "Cutting over",
            "way back kept",
            "Finished",
            "Failed",
            "cleaning up",
            "Paused",
            "shared → dedicated",
            "12.3 ms",
        ] {
            assert!(html.contains(told), "{told}");
        }
    }

    #[tokio::test]
    async fn without_moves_it_says_how_to_make_one() {
        let html = view(Vec::new(), Wanted::default());
        check::page(&html).await;
        assert!(html.contains("segue tenant move"), "{html}");
    }

    #[tokio::test]
    async fn a_tenants_id_that_is_none_stays_where_it_was_typed() {
        let mut asked = Wanted { tenant: "<script>".to_owned(), ..Wanted::default() };
        assert_eq!(asked.filter(), None);
        let html = view(Vec::new(), asked);
        check::page(&html).await;
        assert!(
            html.contains("not the id of a tenant") && html.contains("&lt;script&gt;"),
            "{html}"
        );
    }
}
