//! What was decided for a tenant, when and by whom.

use axum::extract::State;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use segue_core::ids::TenantId;
use segue_store::control::Listing;
use segue_store::control::audit::{Action, Entry, Filter, PLATFORM, Subject};
use serde_json::Value;

use super::address::Path;
use super::answer::{Page, Trouble};
use super::frame::{Frame, Place};
use super::parts::{Field, empty, heading, pager};
use super::sent::{Asked, Sent, part};
use super::viewer::Viewer;
use super::{paths, words};
use crate::auth::{self, Denied};
use crate::error::Error;
use crate::http::App;
use crate::http::error::Refusal;

/// Lines on a page.
const LINES: u32 = 50;
/// The fields of the filter.
const FILTERS: [&str; 6] = ["subject", "id", "action", "actor", "from", "until"];

/// What the page shows.
#[derive(Debug)]
struct View {
    tenant: TenantId,
    now: Timestamp,
    asked: Sent,
    lines: Listing<Entry>,
    /// What in the filter cannot be understood.
    wrong: Option<String>,
}

/// Shows it.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path(tenant): Path<TenantId>,
    Asked(asked): Asked,
) -> Result<Page, Trouble> {
    let (lines, wrong) = match filter(&asked, &viewer) {
        Ok(filter) => (read(&app, &viewer, tenant, filter, asked.text("cursor")).await?, None),
        Err(wrong) => (Listing { items: Vec::new(), total: 0, next: None }, Some(wrong)),
    };
    let view = View { tenant, now: app.clock.now(), asked, lines, wrong };
    Ok(Page(view.page(&viewer)))
}

/// Reads a page of the lines that somebody may see.
///
/// # Errors
/// The tenant is none; the cursor is from no list; the control plane cannot be asked.
pub async fn read(
    app: &App,
    viewer: &Viewer,
    tenant: TenantId,
    mut filter: Filter,
    cursor: &str,
) -> Result<Listing<Entry>, Trouble> {
    // What was decided about keys is told on their pages, to the role platform.
    if tenant == PLATFORM {
        return Err(Refusal::from(auth::Error::from(Denied::NotATenant)).into());
    }
    if !viewer.is_operator() {
        let may_see = subjects(viewer);
        if filter.subjects.is_empty() {
            filter.subjects = may_see.to_vec();
        }
        filter.subjects.retain(|subject| may_see.contains(subject));
        if filter.subjects.is_empty() {
            return Ok(Listing { items: Vec::new(), total: 0, next: None });
        }
    }
    let part = part(LINES, cursor)?;
    Ok(app.opened.control.list_audit(tenant, &filter, part).await.map_err(Error::from)?)
}

/// The things that somebody may see the decisions about.
fn subjects(viewer: &Viewer) -> &'static [Subject] {
    // What the API shows to the role platform: plans and sessions are the operators'.
    if viewer.is_operator() { Subject::ALL } else { &[Subject::Tenant, Subject::Migration] }
}

fn filter(asked: &Sent, viewer: &Viewer) -> Result<Filter, String> {
    let text = |name: &str| asked.given(name).map(str::to_owned);
    let day = |name: &str| asked.optional::<Date>(name, "a day such as 2026-11-27");
    let subject = asked.optional::<Subject>("subject", "a known subject")?;
    if subject.is_some_and(|subject| !subjects(viewer).contains(&subject)) {
        return Err("What was decided about these is for the role operator.".to_owned());
    }
    Ok(Filter {
        action: asked.optional::<Action>("action", "a known action")?,
        subjects: subject.into_iter().collect(),
        subject_id: text("id"),
        actor: text("actor"),
        from: day("from")?.and_then(begin),
        until: day("until")?.and_then(end),
    })
}

/// When a day ends in UTC; nothing for the last of all days.
pub fn end(day: Date) -> Option<Timestamp> {
    begin(day.tomorrow().ok()?)
}

/// When a day begins in UTC; nothing for one that lies beyond all times.
pub fn begin(day: Date) -> Option<Timestamp> {
    Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Where a thing is looked at, if it has a page.
fn page_of(tenant: TenantId, subject: Subject, id: &str) -> Option<String> {
    match subject {
        Subject::Scenario => Some(paths::scenario(tenant, id.parse().ok()?)),
        Subject::Plan => Some(paths::plan(tenant, id.parse().ok()?)),
        Subject::Customer => Some(paths::asking(&paths::sessions(tenant), &[("customer", id)])),
        Subject::Stream => {
            let session = id.strip_prefix("session-")?;
            Some(paths::session(tenant, session.parse().ok()?))
        }
        Subject::Tenant => Some(paths::tenant(tenant)),
        Subject::Migration => Some(paths::one_move(id.parse().ok()?)),
        Subject::Field | Subject::Subscription | Subject::Key => None,
    }
}

impl View {
    fn page(&self, viewer: &Viewer) -> Markup {
        let place = Place::Audit(self.tenant);
        let frame = Frame { place, title: "Audit", trail: &[], viewer: Some(viewer) };
        frame.around(html! {
            (heading(
                html! { h1 { "Audit" } },
                html! { p { "Every decision, with who made it. A line is written with the change itself, and never changed." } },
                html! {},
            ))
            section.card aria-label="Audit" {
                (self.filters(viewer))
                @if let Some(wrong) = &self.wrong {
                    div.empty role="alert" { p { (wrong) } }
                } @else if self.lines.items.is_empty() {
                    (empty("No such line", html! { p { "Nothing that matches was decided for this tenant." } }))
                } @else { (self.table()) }
            }
        })
    }

    fn filters(&self, viewer: &Viewer) -> Markup {
        let field = |name: &'static str, label: &'static str, hint: &'static str| Field {
            name,
            label,
            value: self.asked.text(name),
            hint,
            wrong: None,
        };
        let all = || (String::new(), "All".to_owned());
        let mut kinds = vec![all()];
        let known = subjects(viewer).iter();
        kinds.extend(known.map(|of| (of.to_string(), words::capital(of.as_str()))));
        let mut actions = vec![all()];
        actions.extend(Action::ALL.iter().map(|of| (of.to_string(), words::capital(of.as_str()))));
        html! {
            form.filters action=(paths::audit(self.tenant)) method="get" {
                (field("subject", "Kind of thing", "").select(&kinds))
                (field("action", "Action", "").select(&actions))
                (field("id", "Id", "").text())
                (field("actor", "Who", "").text())
                (field("from", "From (UTC)", "").day())
                (field("until", "Until (UTC)", "").day())
                button { "Filter" }
            }
        }
    }

    fn at(&self, cursor: &str) -> String {
        self.asked.again(&paths::audit(self.tenant), &FILTERS, cursor)
    }

    fn table(&self) -> Markup {
        let next = self.lines.next.map(|next| self.at(&next.to_string()));
        let first = self.asked.has("cursor").then(|| self.at(""));
        html! {
            div.scroll {
                table {
                    thead {
                        tr {
                            th scope="col" { "When" }
                            th scope="col" { "Who" }
                            th scope="col" { "What" }
                            th scope="col" { "To what" }
                            th scope="col" { "Details" }
                        }
                    }
                    tbody {
                        @for entry in &self.lines.items {
                            tr {
                                td { (words::when(entry.at, self.now)) span.under.nowrap { (words::moment(entry.at)) } }
                                td { (entry.actor) }
                                th.nowrap scope="row" { (words::capital(entry.action.as_str())) }
                                td {
                                    (words::capital(entry.subject.as_str()))
                                    span.under {
                                        @match page_of(self.tenant, entry.subject, &entry.subject_id) {
                                            Some(page) => a href=(page) { (called(&entry.subject_id)) },
                                            None => (called(&entry.subject_id)),
                                        }
                                    }
                                }
                                td { (details(&entry.details)) }
                            }
                        }
                    }
                }
            }
            (pager(self.lines.items.len(), self.lines.total, "line", first.as_deref(), next.as_deref()))
        }
    }
}

/// The id of a thing: short where it is one that nobody reads.
fn called(id: &str) -> Markup {
    if id.parse::<uuid::Uuid>().is_ok() {
        words::short_id(id)
    } else {
        html! { (id) }
    }
}

/// What explains a line further.
fn details(details: &Value) -> Markup {
    match details {
        Value::Null => html! { span.quiet { "–" } },
        Value::Object(details) => html! {
            ul.small {
                @for (name, value) in details.iter().filter(|(_, value)| !value.is_null()) {
                    li {
                        span.quiet { (words::spaced(name)) ": " }
                        @match value { Value::String(text) => (text), other => (other.to_string()) }
                    }
                }
            }
        },
        other => html! { (other.to_string()) },
    }
}

#[cfg(test)]
mod tests {
    use segue_store::control::Cursor;
    use segue_store::control::keys::Role;
    use serde_json::json;

    use super::*;
    use crate::console::{check, samples};

    fn sample(query: &[u8]) -> View {
        let at = samples::plan().created.at;
        let line = |subject, id: &str| Entry {
            at,
            actor: "Olga <script>".to_owned(),
            action: Action::PlanRejected,
            subject,
            subject_id: id.to_owned(),
            details: json!({"reason": "no <script>", "nothing": null, "to_version": 2}),
        };
        let plan = samples::plan().id.to_string();
        let items = vec![line(Subject::Plan, &plan), line(Subject::Field, "age <script>")];
        let next = Some(Cursor { rank: 7, id: uuid::Uuid::nil() });
        let lines = Listing { items, total: 80, next };
        View { tenant: check::tenant(), now: at, asked: Sent::parse(query), lines, wrong: None }
    }

    #[tokio::test]
    async fn every_decision_is_there_with_who_and_why() {
        let html = sample(b"actor=Olga+%3Cscript%3E").page(&Viewer::sample()).into_string();
        check::page(&html).await;
        for shown in ["Plan rejected", "no &lt;script&gt;", "2 of 80 lines", "to version"] {
            assert!(html.contains(shown), "{shown} in {html}");
        }
    }

    #[test]
    fn a_day_is_asked_for_from_its_beginning_to_its_end() {
        let filter = |asked: &[u8]| filter(&Sent::parse(asked), &Viewer::sample());
        let asked = filter(b"from=2026-11-26&until=2026-11-27").unwrap();
        assert_eq!(asked.from, Some("2026-11-26T00:00:00Z".parse().unwrap()));
        assert_eq!(asked.until, Some("2026-11-28T00:00:00Z".parse().unwrap()));
        assert!(filter(b"from=yesterday").unwrap_err().contains("a day such as"));
        assert!(filter(b"action=plan_eaten").is_err());
    }

    #[test]
    fn who_runs_the_platform_sees_what_was_decided_about_the_tenant_and_its_moves() {
        let platform = Viewer::keyed(&[Role::Platform], None);
        let asked = |asked: &[u8]| filter(&Sent::parse(asked), &platform).map(|of| of.subjects);
        assert_eq!(asked(b"subject=migration"), Ok(vec![Subject::Migration]));
        assert!(asked(b"subject=plan").unwrap_err().contains("the role operator"));
        let html = sample(b"").page(&platform).into_string();
        assert!(
            !html.contains(r#"value="plan""#) && html.contains(r#"value="migration""#),
            "{html}"
        );
    }
}
