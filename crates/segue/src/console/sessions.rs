//! A tenant's sessions, filtered.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use jiff::Timestamp;
use maud::{Markup, html};
use segue_core::ids::{ScenarioId, TenantId, Version};
use segue_core::session::Status;

use super::address::Path;
use super::answer::{Page, Trouble};
use super::counts::Counts;
use super::frame::{Frame, Place};
use super::parts::{Field, Tone, badge, empty, heading, pages};
use super::plans::{choices, offered};
use super::sent::{Asked, Sent};
use super::viewer::Viewer;
use super::{paths, words};
use crate::http::App;
use crate::scenarios::{BROWSED, SessionFilter, SessionPage, SessionView};

/// Sessions on a page.
const SESSIONS: usize = 50;
/// The fields of the filter.
const FILTERS: [&str; 6] = ["scenario", "version", "step", "channel", "customer", "pending"];

/// What the page shows.
#[derive(Debug)]
struct View {
    tenant: TenantId,
    now: Timestamp,
    scenarios: Vec<(ScenarioId, String)>,
    asked: Sent,
    /// Nothing while it is looked for.
    page: Option<Arc<SessionPage>>,
    /// What in the filter cannot be understood.
    wrong: Option<String>,
}

/// Shows it.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Extension(counts): Extension<Counts>,
    Path(tenant): Path<TenantId>,
    Asked(asked): Asked,
) -> Result<Page, Trouble> {
    let after = asked.given("cursor").map(str::to_owned);
    let (page, wrong) = match filter(&asked) {
        Ok(filter) => {
            let address = here(tenant, &asked);
            (counts.sessions(&app, tenant, address, (filter, SESSIONS, after)).await?, None)
        }
        Err(wrong) => (None, Some(wrong)),
    };
    let scenarios = offered(&app, tenant).await?;
    let view = View { tenant, now: app.clock.now(), scenarios, asked, page, wrong };
    Ok(Page(view.page(&viewer)))
}

/// The address of the page that is asked for.
fn here(tenant: TenantId, asked: &Sent) -> String {
    asked.again(&paths::sessions(tenant), &FILTERS, asked.text("cursor"))
}

fn filter(asked: &Sent) -> Result<SessionFilter, String> {
    Ok(SessionFilter {
        scenario_id: asked.optional("scenario", "the id of a scenario")?,
        version: asked.optional("version", "the number of a version")?.map(Version),
        step_id: asked.optional("step", "the id of a step")?,
        channel: asked.optional("channel", "the name of a channel")?,
        customer_id: asked.optional("customer", "the id of a customer")?,
        pending: match asked.text("pending") {
            "" => None,
            "yes" => Some(true),
            "no" => Some(false),
            other => return Err(format!("“{other}” is neither yes nor no.")),
        },
    })
}

/// A session's state as a badge.
#[must_use]
pub fn status(status: Status) -> Markup {
    match status {
        Status::Active => badge(Tone::Good, "Live"),
        Status::Finished => badge(Tone::Idle, "Finished"),
        Status::Exited => badge(Tone::Warn, "Let go"),
        Status::Erased => badge(Tone::Bad, "Erased"),
    }
}

impl View {
    fn page(&self, viewer: &Viewer) -> Markup {
        let place = Place::Sessions(self.tenant);
        let frame = Frame { place, title: "Sessions", trail: &[], viewer: Some(viewer) };
        frame.around(html! {
            (heading(
                html! { h1 { "Sessions" } },
                html! { p { "Each is one customer's way through a scenario." } },
                html! {},
            ))
            section.card aria-label="Sessions" {
                (self.filters())
                // Without the filters, in which somebody may be typing.
                div #found {
                    @if let Some(wrong) = &self.wrong {
                        div.empty role="alert" { p { (wrong) } }
                    } @else if let Some(page) = &self.page {
                        (self.list(page))
                    } @else {
                        div.empty role="status" hx-get=(here(self.tenant, &self.asked)) hx-trigger="load delay:500ms"
                            hx-select="#found" hx-target="#found" hx-swap="outerHTML" {
                            p { "The sessions are being looked for. This takes a moment where many do not match. " a href=(here(self.tenant, &self.asked)) { "Look again" } "." }
                        }
                    }
                }
            }
        })
    }

    fn list(&self, page: &SessionPage) -> Markup {
        html! {
            @if page.sessions.is_empty() {
                (empty("No session here", html! {
                    p { "Either nothing matches, or nobody has begun yet. Applications begin a session so:" }
                    pre { "segue session start --tenant " (self.tenant) " \\\n  --scenario SCENARIO --channel web" }
                }))
            } @else { (self.table(page)) }
        }
    }

    fn filters(&self) -> Markup {
        let field = |name: &'static str, label: &'static str| Field {
            name,
            label,
            value: self.asked.text(name),
            ..Field::default()
        };
        let pending = [("", "All"), ("yes", "Only pending"), ("no", "Only others")];
        let pending = pending.map(|(word, called)| (word.to_owned(), called.to_owned()));
        html! {
            form.filters action=(paths::sessions(self.tenant)) method="get" {
                (field("scenario", "Scenario").select(&choices(&self.scenarios)))
                (field("version", "Version").number())
                (field("step", "Step").text())
                (field("channel", "Channel").text())
                (field("customer", "Customer").text())
                (field("pending", "Migration").select(&pending))
                button { "Filter" }
            }
        }
    }

    fn at(&self, cursor: &str) -> String {
        self.asked.again(&paths::sessions(self.tenant), &FILTERS, cursor)
    }

    fn table(&self, page: &SessionPage) -> Markup {
        let next = page.next_cursor.as_deref().map(|next| self.at(next));
        let first = self.asked.has("cursor").then(|| self.at(""));
        html! {
            div.scroll {
                table {
                    thead {
                        tr {
                            th scope="col" { "Session" }
                            th scope="col" { "Scenario" }
                            th scope="col" { "Stands at" }
                            th scope="col" { "Channel" }
                            th scope="col" { "State" }
                            th.number scope="col" { "Turns" }
                            th scope="col" { "Last heard of" }
                        }
                    }
                    tbody { @for view in &page.sessions { (self.row(view)) } }
                }
            }
            (pages(&shown(page), first.as_deref(), next.as_deref()))
        }
    }

    fn row(&self, view: &SessionView) -> Markup {
        let session = &view.session;
        let named = self.scenarios.iter().find(|(id, _)| *id == session.scenario_id);
        html! {
            tr {
                th scope="row" {
                    a href=(paths::session(self.tenant, session.id)) { (words::short_id(session.id)) }
                    @if let Some(customer) = &session.customer_id { span.under { (customer) } }
                }
                td {
                    @match named { Some((_, name)) => (name), None => (words::short_id(session.scenario_id)) }
                    span.under { "version " (session.version) }
                }
                td { code { (session.step_id) } }
                td { (session.channel) }
                td {
                    (status(session.status))
                    @if let Some(pending) = &view.pending_migration {
                        span.under { a href=(paths::plan(self.tenant, pending.migration_plan_id)) { "migrates to version " (pending.target_version) } }
                    }
                }
                td.number { (words::count(session.turn_count)) }
                td { (words::when(session.updated_at, self.now)) }
            }
        }
    }
}

/// How many are shown of how many.
fn shown(page: &SessionPage) -> String {
    let shown = words::length(page.sessions.len());
    if page.total > BROWSED {
        format!("{shown} of more than {}", words::counted(BROWSED, "session"))
    } else {
        format!("{shown} of {}", words::counted(page.total, "session"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::{check, samples};

    fn sample(query: &[u8]) -> View {
        let page = SessionPage {
            sessions: vec![samples::session()],
            total: BROWSED + 1,
            next_cursor: Some("5-x".to_owned()),
        };
        View {
            tenant: check::tenant(),
            now: samples::plan().created.at,
            scenarios: vec![(samples::plan().scenario_id, "Order <script>".to_owned())],
            asked: Sent::parse(query),
            page: Some(Arc::new(page)),
            wrong: None,
        }
    }

    #[tokio::test]
    async fn a_list_that_takes_long_says_so_and_looks_again() {
        let view = View { page: None, ..sample(b"pending=no") };
        let html = view.page(&Viewer::sample()).into_string();
        check::page(&html).await;
        assert!(html.contains("being looked for") && html.contains("Look again"), "{html}");
        assert!(html.contains(r#"hx-trigger="load delay:500ms""#), "{html}");
    }

    #[tokio::test]
    async fn sessions_are_listed_with_the_migration_that_waits_for_them() {
        let html =
            sample(b"step=check%3Cscript%3E&pending=yes").page(&Viewer::sample()).into_string();
        check::page(&html).await;
        for shown in [
            "migrates to version 2",
            "1 of more than 10,000 sessions",
            "pending=yes&amp;cursor=5-x",
        ] {
            assert!(html.contains(shown), "{shown} in {html}");
        }
    }

    #[test]
    fn a_list_that_was_counted_to_its_end_says_how_long_it_is() {
        let page =
            SessionPage { sessions: vec![samples::session()], total: BROWSED, next_cursor: None };
        assert_eq!(shown(&page), "1 of 10,000 sessions");
    }

    #[tokio::test]
    async fn a_filter_that_cannot_be_understood_says_so_where_it_was_typed() {
        let asked = Sent::parse(b"version=two");
        let wrong = filter(&asked).unwrap_err();
        assert_eq!(wrong, "“two” is not the number of a version.");
        let view = View { asked, wrong: Some(wrong), ..sample(b"") };
        let html = view.page(&Viewer::sample()).into_string();
        check::page(&html).await;
        assert!(html.contains(r#"value="two""#));
    }
}
