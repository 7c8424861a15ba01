//! `/console/decided`: what was decided about where a tenant lives and how it moved, when and by whom.
//!
//! The audit is kept by tenant, so one has to be named, by itself or by one of its moves.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::civil::Date;
use maud::{Markup, html};
use segue_core::ids::{MigrationId, TenantId};
use segue_store::control::audit::{Action, Entry, Filter, Subject};
use serde_json::Value;

use super::answer::{Page, Trouble};
use super::frame::{Frame, Place};
use super::parts::{Field, empty, heading, pager};
use super::sent::Asked;
use super::viewer::Viewer;
use super::{audit, paths, words};
use crate::http::App;

/// What is decided about tenants' homes and moves.
const ACTIONS: [Action; 24] = [
    Action::TenantPlaced,
    Action::WritesPaused,
    Action::WritesResumed,
    Action::MigrationStarted,
    Action::MigrationTakenOver,
    Action::BulkCopyBegun,
    Action::DualWriteBegun,
    Action::MigrationPaused,
    Action::MigrationResumed,
    Action::MigrationFailed,
    Action::CutoverRequested,
    Action::MigrationVerified,
    Action::MigrationRepaired,
    Action::CutoverBegun,
    Action::CutoverGivenUp,
    Action::WritesReopened,
    Action::TenantMigrated,
    Action::MigrationAborted,
    Action::MigrationRolledBack,
    Action::MigrationReversed,
    Action::MigrationFinished,
    Action::SourcePurged,
    Action::CopyAbandoned,
    Action::FencesRestored,
];

/// Details that are folded: the same in every line of a move, or long.
const FOLDED: [&str; 4] = ["tenant_id", "source_store_id", "target_store_id", "digest"];

/// What is wanted, as it was typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wanted {
    tenant: String,
    of_move: String,
    /// `tenant` or `migration`; empty for both and all else.
    about: String,
    action: String,
    actor: String,
    /// The first day and the last, in UTC.
    from: String,
    until: String,
    cursor: String,
}

/// What the page shows.
#[derive(Debug)]
struct View {
    now: Timestamp,
    asked: Wanted,
    /// Whose lines these are; nobody's before a tenant or a move is named.
    whose: Option<TenantId>,
    lines: Vec<Entry>,
    total: u64,
    next: Option<String>,
    wrong: Option<(&'static str, String)>,
}

/// Shows it.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Asked(asked): Asked,
) -> Result<Response, Trouble> {
    let text = |name| asked.text(name).to_owned();
    let asked = Wanted {
        tenant: text("tenant"),
        of_move: text("move"),
        about: text("about"),
        action: text("action"),
        actor: text("actor"),
        from: text("from"),
        until: text("until"),
        cursor: text("cursor"),
    };
    let view = View::read(&app, &viewer, asked).await?;
    let status = if view.wrong.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    Ok((status, Page(view.page(&viewer))).into_response())
}

impl Wanted {
    /// What to ask for; or the field that is wrong, and how.
    fn filter(&self, of_move: Option<MigrationId>) -> Result<Filter, (&'static str, String)> {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let about = match of_move {
            Some(_) => Some(Subject::Migration),
            None => self.about.parse().ok(),
        };
        let day = |field, text: &str| match text {
            "" => Ok(None),
            text => text
                .parse::<Date>()
                .map(Some)
                .map_err(|_| (field, format!("“{text}” is not a day such as 2026-11-27."))),
        };
        Ok(Filter {
            from: day("from", &self.from)?.and_then(audit::begin),
            until: day("until", &self.until)?.and_then(audit::end),
            action: self.action.parse().ok(),
            subjects: about.into_iter().collect(),
            subject_id: of_move.map(|id| id.to_string()),
            actor: given(&self.actor),
        })
    }

    fn path(&self, cursor: &str) -> String {
        paths::asking(
            paths::DECIDED,
            &[
                ("tenant", &*self.tenant),
                ("move", &self.of_move),
                ("about", &self.about),
                ("action", &self.action),
                ("actor", &self.actor),
                ("from", &self.from),
                ("until", &self.until),
                ("cursor", cursor),
            ],
        )
    }
}

impl View {
    async fn read(app: &App, viewer: &Viewer, asked: Wanted) -> Result<Self, Trouble> {
        let now = app.clock.now();
        let nothing = |asked, wrong| Self {
            now,
            asked,
            whose: None,
            lines: Vec::new(),
            total: 0,
            next: None,
            wrong,
        };
        let is_wrong =
            |field, what: &str| Some((field, format!("That is not the id of {what}, a UUID.")));
        let (tenant, of_move) = if asked.of_move.is_empty() {
            match asked.tenant.parse::<TenantId>() {
                Ok(tenant) => (tenant, None),
                Err(_) if asked.tenant.is_empty() => return Ok(nothing(asked, None)),
                Err(_) => return Ok(nothing(asked, is_wrong("tenant", "a tenant"))),
            }
        } else {
            let Ok(id) = asked.of_move.parse::<MigrationId>() else {
                return Ok(nothing(asked, is_wrong("move", "a move")));
            };
            (app.opened.moves.get_migration(id).await?.tenant_id, Some(id))
        };
        let filter = match asked.filter(of_move) {
            Ok(filter) => filter,
            Err(wrong) => return Ok(nothing(asked, Some(wrong))),
        };
        let found = audit::read(app, viewer, tenant, filter, &asked.cursor).await?;
        Ok(Self {
            now,
            asked,
            whose: Some(tenant),
            lines: found.items,
            total: found.total,
            next: found.next.map(|next| next.to_string()),
            wrong: None,
        })
    }

    fn page(&self, viewer: &Viewer) -> Markup {
        let frame =
            Frame { place: Place::Decided, title: "Decisions", trail: &[], viewer: Some(viewer) };
        frame.around(html! {
            (heading(
                html! { h1 { "Decisions" } },
                html! { p { "What was decided about a tenant's home and its moves, when and by whom." } },
                html! {},
            ))
            section.card aria-labelledby="decisions" {
                h2.unseen #decisions { "Who decided what" }
                (self.filters())
                @if self.whose.is_none() {
                    (empty("Whose?", html! {
                        p { "Name a tenant or one of its moves above. They are listed under " a href=(paths::TENANTS) { "Tenants" } " and " a href=(paths::MOVES) { "Moves" } "." }
                    }))
                } @else if self.lines.is_empty() {
                    (empty("Nothing like that was decided", html! { p { "Take a filter away to see more." } }))
                } @else {
                    (table(&self.lines, self.now))
                    (pager(self.lines.len(), self.total, "decision", self.first().as_deref(), self.next_page().as_deref()))
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
        let wrong = |name: &str| {
            self.wrong.as_ref().filter(|(field, _)| *field == name).map(|(_, wrong)| wrong.as_str())
        };
        let field = |name, label, value| Field { name, label, value, wrong: wrong(name), hint: "" };
        let all = |word: &str| (String::new(), word.to_owned());
        let actions: Vec<(String, String)> = std::iter::once(all("Anything"))
            .chain(
                ACTIONS.map(|action| (action.as_str().to_owned(), words::capital(action.as_str()))),
            )
            .collect();
        let abouts = [
            all("Anything"),
            ("tenant".to_owned(), "The tenant itself".to_owned()),
            ("migration".to_owned(), "Its moves".to_owned()),
        ];
        html! {
            form.filters action=(paths::DECIDED) method="get" {
                (field("tenant", "Tenant", &self.asked.tenant).text())
                (field("move", "Move", &self.asked.of_move).text())
                (field("about", "About", &self.asked.about).select(&abouts))
                (field("action", "What", &self.asked.action).select(&actions))
                (field("actor", "Who", &self.asked.actor).text())
                (field("from", "From (UTC)", &self.asked.from).day())
                (field("until", "Until (UTC)", &self.asked.until).day())
                button { "Filter" }
            }
        }
    }
}

/// Decisions as a table.
#[must_use]
pub fn table(lines: &[Entry], now: Timestamp) -> Markup {
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        th scope="col" { "When" }
                        th scope="col" { "Who" }
                        th scope="col" { "What" }
                        th scope="col" { "Further" }
                    }
                }
                tbody { @for line in lines {
                    tr {
                        td { (words::when(line.at, now)) }
                        td { (actor(&line.actor)) }
                        th.nowrap scope="row" { (words::capital(line.action.as_str())) }
                        td.further { (details(&line.details)) }
                    }
                } }
            }
        }
    }
}

/// Who: a process of Segue is told by its name, with its id below.
fn actor(actor: &str) -> Markup {
    match actor.split_once(' ') {
        Some(("segue", process)) => html! { "Segue" span.under { (words::short_id(process)) } },
        Some(_) | None => html! { (actor) },
    }
}

/// What explains it further, as words. What is the same in every line, or long, is folded.
fn details(details: &Value) -> Markup {
    let Value::Object(details) = details else {
        return html! { @if !details.is_null() { (details) } };
    };
    let is_folded = |name: &str, value: &Value| FOLDED.contains(&name) || value.is_object();
    let shown: Vec<_> =
        details.iter().filter(|(name, value)| !is_folded(name.as_str(), value)).collect();
    let folded: Vec<_> =
        details.iter().filter(|(name, value)| is_folded(name.as_str(), value)).collect();
    html! {
        ul.details { @for (name, value) in shown {
            li { span.quiet { (words::spaced(name)) } " " (plain(value)) }
        } }
        @if !folded.is_empty() {
            details.small {
                summary.quiet { "More" }
                dl.pairs { @for (name, value) in folded { (pair(name, value)) } }
            }
        }
    }
}

/// A name and what it is; of an object, each thing in it.
fn pair(name: &str, value: &Value) -> Markup {
    html! {
        @match value {
            Value::Object(within) => { @for (name, value) in within {
                dt { (words::spaced(name)) } dd { (plain(value)) }
            } },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                dt { (words::spaced(name)) } dd { (plain(value)) }
            }
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => match text.parse::<Timestamp>() {
            Ok(at) => format!("{} UTC", words::moment(at)),
            Err(_) => text.clone(),
        },
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Null => "–".to_owned(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::check;
    use crate::console::moves::sample;

    fn view(lines: Vec<Entry>) -> View {
        View {
            now: sample::at(600),
            asked: Wanted { tenant: check::tenant().to_string(), ..Wanted::default() },
            whose: Some(check::tenant()),
            total: lines.len() as u64,
            lines,
            next: Some("8-<script>".to_owned()),
            wrong: None,
        }
    }

    #[tokio::test]
    async fn every_decision_says_who_what_and_why() {
        let html = view(sample::decisions()).page(&Viewer::sample()).into_string();
        check::page(&html).await;
        for told in [
            "Migration started",
            "Segue",
            "olga &lt;script&gt;",
            "is consistent",
            "yes",
            "Next page",
        ] {
            assert!(html.contains(told), "{told}");
        }
    }

    #[tokio::test]
    async fn before_a_tenant_is_named_it_says_how_to() {
        let view = View { whose: None, asked: Wanted::default(), ..view(Vec::new()) };
        let html = view.page(&Viewer::sample()).into_string();
        check::page(&html).await;
        assert!(html.contains("Whose?") && html.contains(paths::TENANTS));
    }

    #[test]
    fn a_move_is_asked_for_by_its_id_whatever_else_is_chosen() {
        let id: MigrationId = "6f1c3b1e-0d5a-4c55-9a3e-0f4f6b8f1a10".parse().unwrap();
        let wanted = Wanted {
            about: "tenant".to_owned(),
            action: "nonsense".to_owned(),
            ..Wanted::default()
        };
        let filter = wanted.filter(Some(id)).unwrap();
        assert_eq!(filter.subjects, [Subject::Migration]);
        assert_eq!((filter.subject_id, filter.action), (Some(id.to_string()), None));
    }

    #[test]
    fn days_are_whole_and_a_wrong_one_is_named() {
        let day = || "2026-11-27".to_owned();
        let wanted = Wanted { from: day(), until: day(), ..Wanted::default() };
        let filter = wanted.filter(None).unwrap();
        assert_eq!(filter.from, "2026-11-27T00:00:00Z".parse().ok());
        assert_eq!(filter.until, "2026-11-28T00:00:00Z".parse().ok());
        let wrong = Wanted { until: "soon".to_owned(), ..Wanted::default() }.filter(None);
        assert_eq!(wrong.unwrap_err().0, "until");
    }
}
