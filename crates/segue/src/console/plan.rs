//! A plan's page: what would change for whom, and the decision.
//!
//! From top to bottom: who is concerned, the forecast ([`forecast`]), the decision ([`decision`]), what to look at, both versions in one picture
//! ([`drawn`]), steps that are gone, and the table of anchors ([`anchors`]), each with a page of its own
//! ([`anchor`]).

pub mod anchor;
mod anchors;
pub mod decision;
mod deleted;
mod drawn;
pub mod forecast;
mod policy;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use segue_core::ids::{PlanId, TenantId};
use segue_core::plan::Plan;
use segue_core::plan::lifecycle::{Approval, Kind};
use segue_core::plan::policy::MigrationScenario;
use segue_core::plan::summary::Severity;

use super::address::Path;
use super::answer::{Page, Trouble};
use super::counts::Counts;
use super::done::Done;
use super::frame::{Frame, Place};
use super::parts::{Figure, Part, Tone, badge, figures, heading, parts};
use super::sent::{Asked, Sent};
use super::viewer::Viewer;
use super::{paths, plans, words};
use crate::http::App;
use anchors::Wanted;
use drawn::Drawn;
use forecast::Card;

/// What the page shows.
#[derive(Debug)]
struct View {
    tenant: TenantId,
    now: Timestamp,
    plan: Plan,
    /// What the scenario is called.
    scenario: String,
    drawn: Drawn,
    wanted: Wanted,
    approval: Approval,
    forecast: Card,
    done: Option<Done>,
    /// A decision that was not carried out.
    refused: Option<Refused>,
}

/// A form that was not carried out, with what was typed.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    /// Which form.
    form: &'static str,
    message: String,
    typed: Sent,
}

/// Shows it.
pub async fn show(
    State(app): State<App>,
    Extension(counts): Extension<Counts>,
    viewer: Viewer,
    Path((tenant, id)): Path<(TenantId, PlanId)>,
    Asked(asked): Asked,
) -> Result<Page, Trouble> {
    let view = View::read(&app, tenant, id, &asked).await?;
    let view = View { forecast: view.forecast.read(&app, &counts).await?, ..view };
    Ok(Page(view.page(&viewer)))
}

/// What a migration scenario means, as a badge.
fn scenario(of: MigrationScenario) -> Markup {
    match of {
        MigrationScenario::CleanGraft => badge(Tone::Good, "Silent"),
        MigrationScenario::GapFill => badge(Tone::Info, "May be asked"),
        MigrationScenario::ReRoute => badge(Tone::Warn, "May be redirected"),
    }
}

/// Whom a plan concerns, by what its policies and the graphs let happen to them at most.
#[derive(Debug, Default)]
struct Concerned {
    silent: u64,
    asked: u64,
    redirected: u64,
    relocated: u64,
    staying: u64,
}

impl Concerned {
    fn of(plan: &Plan) -> Self {
        let mut concerned = Self::default();
        for anchor in plan.map.anchors() {
            let sessions = plan.summary.sessions_by_anchor.get(&anchor.key).copied().unwrap_or(0);
            let policy = plan.policies.get(&anchor.key);
            if policy.is_some_and(|policy| !policy.update_downstream) {
                concerned.staying += sessions;
                continue;
            }
            let forced = policy.and_then(|policy| policy.force_scenario);
            match forced.unwrap_or(anchor.migration_scenario) {
                MigrationScenario::CleanGraft => concerned.silent += sessions,
                MigrationScenario::GapFill => concerned.asked += sessions,
                MigrationScenario::ReRoute => concerned.redirected += sessions,
            }
        }
        concerned.relocated = plan.summary.sessions_by_deleted_node.values().sum();
        concerned
    }
}

impl View {
    async fn read(app: &App, tenant: TenantId, id: PlanId, asked: &Sent) -> Result<Self, Trouble> {
        let scenarios = &app.opened.scenarios;
        let plan = scenarios.planner.plan(tenant, id).await?;
        let named = scenarios.catalog.scenario(tenant, plan.scenario_id).await?;
        let diff = scenarios.planner.compared(tenant, &plan).await?;
        // Laying out a few hundred steps takes milliseconds, a few thousand more than a thread should be held.
        let is_whole = asked.has("whole");
        let drawn = tokio::task::spawn_blocking(move || {
            let drawn = Drawn::of(tenant, &plan, &diff, is_whole);
            (plan, drawn)
        });
        let (plan, drawn) = drawn.await.expect("drawing does not panic");
        let now = app.clock.now();
        Ok(Self {
            tenant,
            now,
            forecast: Card::unread(tenant, id, &plan.status, now),
            plan,
            scenario: named.name,
            drawn,
            wanted: Wanted::of(asked).map_err(Trouble::bad_request)?,
            approval: scenarios.planner.approval(),
            done: Done::of(asked.text("done")),
            refused: None,
        })
    }

    /// The page again, with what was typed and why it was not carried out.
    fn again(mut self, viewer: &Viewer, refused: Refused) -> Response {
        let status = refused.status;
        self.refused = Some(refused);
        (status, Page(self.page(viewer))).into_response()
    }

    fn title(&self) -> String {
        format!("{}, {} → {}", self.scenario, self.plan.from_version, self.plan.to_version)
    }

    fn page(&self, viewer: &Viewer) -> Markup {
        let plan = &self.plan;
        let title = self.title();
        let frame = Frame {
            place: Place::Plans(self.tenant),
            title: &title,
            trail: &[("Plans".to_owned(), paths::plans(self.tenant))],
            viewer: Some(viewer),
        };
        frame.around(html! {
            (heading(
                html! { h1 { (title) } (plans::status(plan.status.kind())) },
                html! {
                    p.small {
                        "Made " (words::when(plan.created.at, self.now))
                        @if let Some(by) = &plan.created.by { " by " (by) }
                        ". Kept until " (words::exactly(plan.expires_at)) "."
                    }
                    p.small { code { (plan.id) } }
                },
                self.actions(),
            ))
            (Done::shown(self.done))
            (self.concerned())
            (self.forecast.section(self.wrong("forecast")))
            div.split {
                div.stack { (self.warnings()) (self.fields()) }
                (self.decision(viewer))
            }
            (self.drawn.card(&self.here(), plan))
            (self.deleted())
            (self.anchors())
        })
    }

    fn here(&self) -> String {
        paths::plan(self.tenant, self.plan.id)
    }

    fn actions(&self) -> Markup {
        let deployment = paths::of_plan(self.tenant, self.plan.id, "deployment");
        html! {
            a.button href=(paths::scenario(self.tenant, self.plan.scenario_id)) { "The scenario" }
            @if self.plan.status.deployed().is_some() {
                a.button.first href=(deployment) { "Watch the deployment" }
            }
        }
    }

    fn concerned(&self) -> Markup {
        let Concerned { silent, asked, redirected, relocated, staying } = Concerned::of(&self.plan);
        let all = self.plan.summary.estimated_sessions_affected;
        let figure = |name, value: u64, note: &str| Figure {
            name,
            value: html! { (words::count(value)) },
            note: html! { (note) },
        };
        html! {
            section aria-labelledby="concerned" {
                h2.unseen #concerned { "Whom it concerns" }
                (figures(&[
                    figure("Sessions concerned", all, "when the plan was made"),
                    figure("Go on silently", silent, "nothing new concerns them"),
                    figure("May be asked", asked, "for what is not known of them"),
                    figure("May be redirected", redirected, "where new rules demand it"),
                    figure("Step is gone", relocated, "they go on nearby"),
                ]))
            }
            section.card aria-label="Shares" {
                div.inside {
                    (parts(&[
                        Part { tone: Tone::Good, name: "silent", amount: silent },
                        Part { tone: Tone::Info, name: "may be asked", amount: asked },
                        Part { tone: Tone::Warn, name: "may be redirected", amount: redirected },
                        Part { tone: Tone::Bad, name: "at a step that is gone", amount: relocated },
                        Part { tone: Tone::Idle, name: "stay on their version", amount: staying },
                    ]))
                    p.quiet.small { "At most: whoever has passed no new fork, or of whom everything is known, goes on silently." }
                }
            }
        }
    }

    fn warnings(&self) -> Markup {
        let warnings = &self.plan.summary.warnings;
        html! {
            section.card aria-labelledby="warnings" {
                header {
                    h2 #warnings { "What to look at" }
                    p { (words::counted(warnings.len() as u64, "warning")) }
                }
                @if warnings.is_empty() {
                    div.inside.quiet { "Nothing stands out." }
                } @else {
                    ul.warnings {
                        @for warning in warnings.iter().take(12) { (self.warning(warning)) }
                    }
                    @if warnings.len() > 12 {
                        details.inside {
                            summary { (words::length(warnings.len() - 12)) " more" }
                            ul.warnings { @for warning in warnings.iter().skip(12) { (self.warning(warning)) } }
                        }
                    }
                }
            }
        }
    }

    fn warning(&self, warning: &segue_core::plan::summary::MigrationWarning) -> Markup {
        html! {
            li {
                (severity(warning.severity))
                div {
                    (warning.message)
                    @match (&warning.anchor_key, &warning.anchor_name) {
                        (Some(key), name) => {
                            " " a href=(paths::anchor(self.tenant, self.plan.id, key)) { (name.as_deref().unwrap_or("The anchor")) }
                        }
                        (None, _) => {}
                    }
                }
                @if warning.affected_sessions_estimate > 0 {
                    span.quiet.small.nowrap { (words::counted(warning.affected_sessions_estimate, "session")) }
                }
            }
        }
    }

    fn fields(&self) -> Markup {
        let fields = &self.plan.summary.fields_to_collect;
        html! {
            @if !fields.is_empty() {
                section.card aria-labelledby="asked" {
                    header { h2 #asked { "What customers may be asked for" } }
                    div.scroll {
                        table {
                            thead {
                                tr {
                                    th scope="col" { "Field" }
                                    th scope="col" { "Why" }
                                    th.number scope="col" { "Anchors" }
                                    th scope="col" { "In the conversation" }
                                }
                            }
                            tbody {
                                @for field in fields {
                                    tr {
                                        th scope="row" { (field.display_name) span.under { code { (field.field_name) } } }
                                        td { (field.reason) }
                                        td.number { (words::length(field.affected_anchor_count)) }
                                        td {
                                            @if field.can_extract_from_conversation { "may be found there first" }
                                            @else { "is not looked for" }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn is_pending(&self) -> bool {
        self.plan.status.kind() == Kind::Pending
    }
}

fn severity(severity: Severity) -> Markup {
    match severity {
        Severity::Critical => badge(Tone::Bad, "Critical"),
        Severity::Warning => badge(Tone::Warn, "Warning"),
        Severity::Info => badge(Tone::Info, "Note"),
    }
}

#[cfg(test)]
mod tests {
    use segue_core::plan::lifecycle::{Action, Deployment, Signed};

    use super::*;
    use crate::console::{check, samples};

    impl View {
        pub(super) fn sample() -> Self {
            let plan = samples::plan();
            Self {
                tenant: check::tenant(),
                now: plan.created.at,
                drawn: Drawn::of(check::tenant(), &plan, &samples::diff(), false),
                scenario: "Order <script>".to_owned(),
                wanted: Wanted::default(),
                approval: Approval::Required,
                forecast: Card::unread(check::tenant(), plan.id, &plan.status, plan.created.at),
                done: Some(Done::Planned),
                refused: None,
                plan,
            }
        }
    }

    #[tokio::test]
    async fn a_plan_says_whom_it_concerns_and_shows_both_versions() {
        let html = View::sample().page(&Viewer::sample()).into_string();
        check::page(&html).await;
        for shown in
            ["May be redirected", "To be reviewed", "Age &lt;script&gt; (inserted)", "Warning"]
        {
            assert!(html.contains(shown), "{shown} in {html}");
        }
    }

    #[tokio::test]
    async fn each_status_renders_with_what_can_be_done_next() {
        let signed =
            || Signed { by: Some("Ann <script>".to_owned()), at: samples::plan().created.at };
        let deploy = Action::Deploy(Deployment {
            signed: signed(),
            sessions_marked: 9,
            sessions_by_anchor: std::collections::BTreeMap::new(),
        });
        let reject = Action::Reject { signed: signed(), reason: Some("no <script>".to_owned()) };
        for (actions, shown) in [
            (vec![Action::Approve(signed())], "Type the scenario"),
            (vec![reject], "no &lt;script&gt;"),
            (vec![Action::Approve(signed()), deploy.clone()], "Withdraw"),
            (vec![Action::Approve(signed()), deploy, Action::Withdraw(signed())], "withdrawn by"),
        ] {
            let mut view = View::sample();
            for action in actions {
                view.plan = view.plan.after(action, Approval::Required).unwrap();
            }
            let html = view.page(&Viewer::sample()).into_string();
            check::page(&html).await;
            assert!(html.contains(shown), "{shown} in {html}");
        }
    }
}
