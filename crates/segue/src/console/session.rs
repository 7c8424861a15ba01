//! One session: where it stands, what is known, and its timeline in words.

mod told;

use axum::extract::State;
use jiff::Timestamp;
use maud::{Markup, html};
use segue_core::fields::{Known, Source};
use segue_core::ids::{SessionId, StreamVersion, TenantId};
use segue_store::events::Event;
use serde_json::Value;

use super::address::Path;
use super::answer::{Page, Trouble};
use super::frame::{Frame, Place};
use super::parts::{Tone, alert, heading, icon, pairs};
use super::sent::Asked;
use super::viewer::Viewer;
use super::{paths, sessions, words};
use crate::http::App;
use crate::scenarios::SessionView;
use told::told;

/// Events on a page.
const EVENTS: u64 = 50;

/// What the page shows.
#[derive(Debug)]
struct View {
    tenant: TenantId,
    now: Timestamp,
    /// What the scenario is called.
    scenario: String,
    view: SessionView,
    events: Vec<Event>,
    /// The number of the first event that is shown.
    from: u64,
    total: u64,
}

/// Shows it; the latest events, unless others are asked for.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path((tenant, id)): Path<(TenantId, SessionId)>,
    Asked(asked): Asked,
) -> Result<Page, Trouble> {
    let scenarios = &app.opened.scenarios;
    let view = scenarios.sessions.get(tenant, id).await?;
    let scenario = scenarios.catalog.scenario(tenant, view.session.scenario_id).await?;
    let latest = view.session.stream_version.0.saturating_sub(EVENTS - 1).max(1);
    let from = asked.optional::<u64>("from", "the number of an event");
    let from = from.map_err(Trouble::bad_request)?.unwrap_or(latest).max(1);
    let page = scenarios.sessions.events(tenant, id, StreamVersion(from), EVENTS as usize).await?;
    let view = View {
        tenant,
        now: app.clock.now(),
        scenario: scenario.name,
        view,
        events: page.events,
        from,
        total: page.version.0,
    };
    Ok(Page(view.page(&viewer)))
}

/// Where a value came from, in words.
pub(super) fn source(source: Source) -> &'static str {
    match source {
        Source::Given => "said in a turn",
        Source::Profile => "the customer's profile",
        Source::Session => "this session",
        Source::Extraction => "found in the conversation",
        Source::Confirmed => "found, and confirmed",
        Source::Operator => "set by an operator",
    }
}

/// A value as people read it.
fn value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl View {
    fn page(&self, viewer: &Viewer) -> Markup {
        let session = &self.view.session;
        let place = Place::Sessions(self.tenant);
        let trail = [("Sessions".to_owned(), paths::sessions(self.tenant))];
        let frame = Frame { place, title: "Session", trail: &trail, viewer: Some(viewer) };
        frame.around(html! {
            (heading(
                html! { h1 { "Session " (words::short_id(session.id)) } (sessions::status(session.status)) },
                html! { p.small { code { (session.id) } } },
                html! {},
            ))
            @if let Some(pending) = &self.view.pending_migration {
                (alert(Tone::Info, "It migrates at the customer's next message", html! {
                    p {
                        "To version " (pending.target_version) ", by "
                        a href=(paths::plan(self.tenant, pending.migration_plan_id)) { "the plan" }
                        " that was deployed " (words::when(pending.marked_at, self.now)) "."
                    }
                }))
            }
            div.split {
                (self.timeline())
                div.stack { (self.facts()) (self.known()) (self.way()) }
            }
        })
    }

    fn facts(&self) -> Markup {
        let session = &self.view.session;
        let scenario = paths::version(self.tenant, session.scenario_id, session.version);
        let customer = match &session.customer_id {
            Some(customer) => {
                let asked = [("customer", customer.as_str())];
                let all = paths::asking(&paths::sessions(self.tenant), &asked);
                html! { a href=(all) { (customer) } }
            }
            None => html! { span.quiet { "not known" } },
        };
        html! {
            section.card aria-labelledby="facts" {
                header { h2 #facts { "Where it stands" } }
                div.inside {
                    (pairs(&[
                        ("Step", html! { code { (session.step_id) } }),
                        ("Scenario", html! { a href=(scenario) { (self.scenario) ", version " (session.version) } }),
                        ("Customer", customer),
                        ("Channel", html! { (session.channel) }),
                        ("Turns", html! { (words::count(session.turn_count)) }),
                        ("Began", words::when(session.created_at, self.now)),
                        ("Last heard of", words::when(session.updated_at, self.now)),
                    ]))
                }
            }
        }
    }

    fn known(&self) -> Markup {
        let variables = &self.view.session.variables;
        html! {
            section.card aria-labelledby="known" {
                header { h2 #known { "What is known" } }
                @if variables.is_empty() {
                    div.inside.quiet { "Nothing yet." }
                } @else {
                    div.scroll {
                        table {
                            thead { tr { th scope="col" { "Field" } th scope="col" { "Value" } } }
                            tbody {
                                @for (name, Known { value: known, source: from, .. }) in variables {
                                    tr {
                                        th scope="row" { code { (name) } }
                                        td { (value(known)) span.under { (source(*from)) } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn way(&self) -> Markup {
        let visits = &self.view.session.step_history;
        html! {
            @if !visits.is_empty() {
                section.card aria-labelledby="way" {
                    header { h2 #way { "Steps it came to" } }
                    ul.inside.tight {
                        @for visit in visits.iter().rev().take(100) {
                            li {
                                span.strong { (visit.step_name) } " "
                                @if visit.is_checkpoint { (super::parts::badge(Tone::Warn, "Checkpoint passed")) }
                                span.quiet.small { " " (words::when(visit.entered_at, self.now)) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn timeline(&self) -> Markup {
        let here = paths::session(self.tenant, self.view.session.id);
        let last = self.from + self.events.len() as u64;
        let at = |from: u64| paths::asking(&here, &[("from", &from.to_string())]);
        html! {
            section.card aria-labelledby="happened" {
                header { h2 #happened { "What happened" } p { (words::counted(self.total, "event")) } }
                ol.timeline {
                    @for (nth, event) in self.events.iter().enumerate() {
                        @let (tone, shown, body) = told(self.tenant, event);
                        // The events of one turn happened at the same time.
                        @let is_later = self.events.get(nth + 1).is_none_or(|next| next.recorded_at != event.recorded_at);
                        li {
                            span class={ "mark " (tone.class()) } { (icon(shown)) }
                            div.tight {
                                (body)
                                @if is_later { div { time datetime=(event.recorded_at) { (words::moment(event.recorded_at)) " UTC" } } }
                            }
                        }
                    }
                }
                div.pager {
                    span { "Events " (self.from) " to " (last.saturating_sub(1)) " of " (words::count(self.total)) }
                    nav.row aria-label="Pages" {
                        @if self.from > 1 { a.button.plain href=(at(self.from.saturating_sub(EVENTS).max(1))) { "Earlier" } }
                        @if last <= self.total { a.button.plain href=(at(last)) { "Later" } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::{check, samples};

    #[tokio::test]
    async fn a_session_tells_what_happened_in_words() {
        let view = View {
            tenant: check::tenant(),
            now: samples::plan().created.at,
            scenario: "Order <script>".to_owned(),
            view: samples::session(),
            events: told::tests::events(),
            from: 51,
            total: 200,
        };
        let html = view.page(&Viewer::sample()).into_string();
        check::page(&html).await;
        for shown in [
            "Began at “Welcome &lt;script&gt;” in version 1 on web",
            "It migrates at the customer&#39;s next message",
            "I am &lt;script&gt; 17",
            "Migrated from version 1 to 2",
            "Stayed on version 1",
            "“Paid &lt;script&gt;” was passed",
            "Its content was erased",
            "from=1\"",
        ] {
            let shown = shown.replace("&#39;", "'");
            assert!(html.contains(&shown), "{shown} in {html}");
        }
    }
}
