//! A deployed plan: what came of it so far, live.

use axum::Extension;
use axum::extract::State;
use jiff::Timestamp;
use maud::{Markup, html};
use segue_core::ids::{PlanId, ScenarioId, TenantId};
use segue_core::plan::policy::MigrationScenario;
use segue_store::control::plans::Plan;

use super::address::Path;
use super::answer::{Page, Trouble};
use super::counts::Counts;
use super::done::Done;
use super::frame::{Frame, Place};
use super::parts::{Figure, Part, Tone, badge, empty, figures, heading, parts};
use super::plan::forecast::Card;
use super::sent::Asked;
use super::viewer::Viewer;
use super::{paths, plans, words};
use crate::http::App;
use crate::scenarios::{Application, DeploymentStatus};

/// Decisions that are shown, the latest first.
const LATEST: usize = 50;

/// What the page shows.
#[derive(Debug)]
struct View {
    plan: Plan,
    /// What the scenario is called.
    scenario: String,
    now: Timestamp,
    live: Live,
    forecast: Card,
    done: Option<Done>,
}

/// The part that refreshes itself.
#[derive(Debug)]
struct Live {
    tenant: TenantId,
    scenario: ScenarioId,
    plan: PlanId,
    now: Timestamp,
    /// What came of the plan, and how many seconds ago that was counted; once it is.
    status: Option<(std::sync::Arc<DeploymentStatus>, u64)>,
    applications: Vec<Application>,
}

/// Shows it.
pub async fn show(
    State(app): State<App>,
    Extension(counts): Extension<Counts>,
    viewer: Viewer,
    Path((tenant, id)): Path<(TenantId, PlanId)>,
    Asked(asked): Asked,
) -> Result<Page, Trouble> {
    let plan = app.opened.scenarios.planner.header(tenant, id).await?;
    let scenario = app.opened.scenarios.catalog.scenario(tenant, plan.scenario_id).await?;
    let live = Live::read(&app, &counts, tenant, &plan).await?;
    let now = app.clock.now();
    let forecast = Card::unread(tenant, id, &plan.status, now).read(&app, &counts).await?;
    let done = Done::of(asked.text("done"));
    let view = View { now, plan, scenario: scenario.name, live, forecast, done };
    Ok(Page(view.page(&viewer)))
}

/// Shows the part that refreshes itself, alone.
pub async fn live(
    State(app): State<App>,
    Extension(counts): Extension<Counts>,
    Path((tenant, id)): Path<(TenantId, PlanId)>,
) -> Result<Page, Trouble> {
    let plan = app.opened.scenarios.planner.header(tenant, id).await?;
    Ok(Page(Live::read(&app, &counts, tenant, &plan).await?.part()))
}

/// What was decided for a session, as a badge.
#[must_use]
pub fn outcome(word: &str) -> Markup {
    match word {
        "clean_graft" => badge(Tone::Good, "Silent"),
        "gap_fill" => badge(Tone::Good, "Gap filled"),
        "re_route" => badge(Tone::Good, "Redirected"),
        "relocated" => badge(Tone::Info, "Relocated"),
        "blocked" => badge(Tone::Warn, "Blocked by a checkpoint"),
        "stayed" => badge(Tone::Idle, "Stayed"),
        other => badge(Tone::Idle, &words::spaced(other)),
    }
}

impl View {
    fn page(&self, viewer: &Viewer) -> Markup {
        let Self { plan, scenario, live, .. } = self;
        let of = format!("{scenario}, {} → {}", plan.from_version, plan.to_version);
        let here = paths::plan(live.tenant, plan.plan_id);
        let trail = [("Plans".to_owned(), paths::plans(live.tenant)), (of.clone(), here.clone())];
        let title = format!("Deployment of {of}");
        let place = Place::Plans(live.tenant);
        let frame = Frame { place, title: &title, trail: &trail, viewer: Some(viewer) };
        let part = paths::of_plan(live.tenant, plan.plan_id, "deployment/live");
        frame.around(html! {
            (heading(
                html! { h1 { (title) } (plans::status(plan.status.kind())) },
                html! {
                    @if let Some(deployed) = plan.status.deployed() {
                        p {
                            "Deployed " (words::when(deployed.signed.at, self.now))
                            @if let Some(by) = &deployed.signed.by { " by " (by) }
                            ". Each session migrates at its customer's next message."
                        }
                    } @else {
                        p { "This plan has not been deployed." }
                    }
                },
                html! { a.button href={ (here) "#decision" } { "Plan and decision" } },
            ))
            (Done::shown(self.done))
            div.stack hx-get=(part) hx-trigger="every 2s" hx-swap="innerHTML" { (live.part()) }
            (self.forecast.against())
        })
    }
}

impl Live {
    async fn read(
        app: &App,
        counts: &Counts,
        tenant: TenantId,
        plan: &Plan,
    ) -> Result<Self, Trouble> {
        let deployer = &app.opened.scenarios.deployer;
        let status = counts.deployment(app, tenant, plan.plan_id).await?;
        let applications = deployer.applications(tenant, plan.plan_id, LATEST).await?;
        Ok(Self {
            tenant,
            scenario: plan.scenario_id,
            plan: plan.plan_id,
            now: app.clock.now(),
            status: status.map(|counted| (counted.value.clone(), counted.age_seconds())),
            applications,
        })
    }

    fn part(&self) -> Markup {
        html! {
            @match &self.status {
                Some((status, age)) => (self.progress(status, *age)),
                None => section.card { div.inside role="status" {
                    p.quiet { "The sessions are being counted. This takes a moment when there are many." }
                    p { a.button href=(paths::of_plan(self.tenant, self.plan, "deployment")) { "Look again" } }
                } },
            }
            section.card aria-labelledby="latest" {
                header { h2 #latest { "What was decided last" } }
                @if self.applications.is_empty() {
                    (empty("Nobody has come back yet", html! {
                        p { "A session is decided about at its customer's next message." }
                    }))
                } @else { (self.latest()) }
            }
        }
    }

    fn progress(&self, status: &DeploymentStatus, age: u64) -> Markup {
        let of = |scenario| status.migrations_by_scenario.get(&scenario).copied().unwrap_or(0);
        let figure = |name, value: u64, note: Markup| Figure {
            name,
            value: html! { (words::count(value)) },
            note,
        };
        let scenario = self.scenario.to_string();
        let pending = [("scenario", &*scenario), ("pending", "yes")];
        let pending = paths::asking(&paths::sessions(self.tenant), &pending);
        let (applied, still) = (status.migrations_applied, status.migrations_pending);
        html! {
            (figures(&[
                figure("Migrated", applied, html! { "of " (words::counted(status.sessions_marked, "session")) }),
                figure("Still to come", still, html! { a href=(pending) { "who they are" } }),
                figure("Blocked", status.checkpoint_blocks, html! { "by a checkpoint they passed" }),
                figure("Stayed", status.kept_on_version, html! { "because the plan says so" }),
            ]))
            section.card aria-labelledby="how" {
                header {
                    h2 #how { "How they migrated" }
                    p {
                        @match status.last_migration_at {
                            Some(at) => { "The last one " (words::when(at, self.now)) },
                            None => "Nobody yet",
                        }
                        @if age > 2 { ", counted " (age) " s ago" }
                    }
                }
                div.inside {
                    p.unseen role="status" { (words::count(applied)) " migrated, " (words::count(still)) " still to come" }
                    (parts(&[
                        Part { tone: Tone::Good, name: "silently", amount: of(MigrationScenario::CleanGraft) },
                        Part { tone: Tone::Info, name: "after what was missing", amount: of(MigrationScenario::GapFill) },
                        Part { tone: Tone::Lead, name: "redirected", amount: of(MigrationScenario::ReRoute) },
                        Part { tone: Tone::Bad, name: "relocated", amount: status.relocations },
                        Part { tone: Tone::Warn, name: "blocked or stayed", amount: status.checkpoint_blocks + status.kept_on_version },
                        Part { tone: Tone::Idle, name: "still to come", amount: still },
                    ]))
                }
            }
        }
    }

    fn latest(&self) -> Markup {
        html! {
            div.scroll {
                table {
                    thead {
                        tr {
                            th scope="col" { "Session" }
                            th scope="col" { "What was decided" }
                            th scope="col" { "From, to" }
                            th scope="col" { "Why" }
                            th scope="col" { "When" }
                        }
                    }
                    tbody {
                        @for application in &self.applications {
                            tr {
                                th scope="row" { a href=(paths::session(self.tenant, application.session_id)) { (words::short_id(application.session_id)) } }
                                td { (outcome(application.outcome)) }
                                td.nowrap {
                                    code { (application.migration.step_before) }
                                    @if application.migration.step_after != application.migration.step_before {
                                        " → " code { (application.migration.step_after) }
                                    }
                                    span.under { "version " (application.migration.from_version) " → " (application.migration.to_version) }
                                }
                                td { (application.migration.reason) }
                                td { (words::when(application.applied_at, self.now)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use segue_core::plan::lifecycle::{Kind, Status};
    use segue_core::plan::policy::Policies;
    use segue_store::control::Revision;

    use super::*;
    use crate::console::{check, samples};

    fn sample() -> View {
        let plan = samples::plan();
        let at = plan.created.at;
        let header = Plan {
            plan_id: plan.id,
            scenario_id: plan.scenario_id,
            from_version: plan.from_version,
            to_version: plan.to_version,
            revision: Revision(1),
            status: Status::Pending,
            policies: Policies::new(),
            overview: serde_json::Value::Null,
            created_at: at,
            created_by: "Olga <script>".to_owned(),
        };
        let status = DeploymentStatus {
            plan_id: plan.id,
            status: Kind::Deployed,
            sessions_marked: 1_251,
            migrations_applied: 100,
            migrations_pending: 1_140,
            migrations_by_scenario: BTreeMap::from([(MigrationScenario::GapFill, 100)]),
            relocations: 0,
            checkpoint_blocks: 11,
            kept_on_version: 0,
            deployed_at: Some(at),
            last_migration_at: Some(at),
        };
        let application = Application {
            session_id: "0d8f2c61-6a57-4c0e-8d2e-3a1f5b7c9e12".parse().unwrap(),
            outcome: "gap_fill",
            applied_at: at,
            migration: samples::migration(),
        };
        let live = Live {
            tenant: check::tenant(),
            scenario: plan.scenario_id,
            plan: plan.id,
            now: at,
            status: Some((Arc::new(status), 3)),
            applications: vec![application],
        };
        let scenario = "Order <script>".to_owned();
        let forecast = Card::unread(check::tenant(), plan.id, &header.status, at);
        View { plan: header, scenario, now: at, live, forecast, done: Some(Done::Deployed) }
    }

    #[tokio::test]
    async fn a_deployment_tells_how_far_it_is_and_why_each_session_went_where() {
        let html = sample().page(&Viewer::sample()).into_string();
        check::page(&html).await;
        for shown in
            ["1,140", "of 1,251 sessions", "Needs &lt;script&gt;.", "every 2s", "counted 3 s ago"]
        {
            assert!(html.contains(shown), "{shown} in {html}");
        }
    }

    #[tokio::test]
    async fn while_it_is_counted_it_says_so() {
        let mut view = sample();
        view.live.status = None;
        view.live.applications.clear();
        let html = view.page(&Viewer::sample()).into_string();
        check::page(&html).await;
        assert!(html.contains("being counted") && html.contains("Nobody has come back yet"));
    }
}
