//! What a plan would do to every live session if it were deployed now, and afterwards what it did.
//!
//! It is asked for by a button, computed in the background, and looked at each second while it is. Once the plan is
//! deployed the decisions are held against it, on the plan's page with the sessions that went otherwise, and on the
//! deployment's page in numbers.

mod result;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{Redirect, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use segue_core::ids::{PlanId, TenantId};
use segue_core::plan::lifecycle::Status;

use super::decision;
use crate::console::address::Path;
use crate::console::answer::{Page, Trouble, done};
use crate::console::counts::Counts;
use crate::console::done::Done;
use crate::console::parts::{Figure, Tone, alert, empty, figures};
use crate::console::sent::Sent;
use crate::console::viewer::Viewer;
use crate::console::{paths, words};
use crate::error::{Error, Kind};
use crate::http::App;
use crate::scenarios::{ForecastActual, ForecastState, ForecastView, Stale};

/// The card of a plan's forecast.
#[derive(Debug)]
pub struct Card {
    tenant: TenantId,
    plan: PlanId,
    now: Timestamp,
    asking: Asking,
    seen: Seen,
}

/// Whether a forecast may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    Open,
    Over,
}

/// What is known of the forecast.
#[derive(Debug)]
enum Seen {
    /// It is being read.
    NotYet,
    /// There is none.
    None,
    /// As it is.
    Forecast(Arc<ForecastView>),
}

/// Begins a forecast.
pub async fn begin(
    State(app): State<App>,
    viewer: Viewer,
    Path((tenant, id)): Path<(TenantId, PlanId)>,
    sent: Sent,
) -> Result<Response, Trouble> {
    let begun = app.opened.scenarios.forecaster.begin(tenant, id).await;
    let begun = begun.map(drop).map_err(decision::Wrong::from);
    decision::answer(&app, &viewer, (tenant, id), sent, "forecast", begun, Done::ForecastBegun)
        .await
}

/// Gives up one that is being computed.
pub async fn cancel(
    State(app): State<App>,
    viewer: Viewer,
    Path((tenant, id)): Path<(TenantId, PlanId)>,
) -> Result<Redirect, Trouble> {
    let is_cancelled = app.opened.scenarios.forecaster.cancel(tenant, id, &viewer.name).await?;
    let plan = paths::plan(tenant, id);
    // It may have come to its end before.
    Ok(if is_cancelled { done(&plan, Done::ForecastCancelled) } else { Redirect::to(&plan) })
}

/// Shows the card alone.
pub async fn live(
    State(app): State<App>,
    Extension(counts): Extension<Counts>,
    Path((tenant, id)): Path<(TenantId, PlanId)>,
) -> Result<Page, Trouble> {
    let plan = app.opened.scenarios.planner.header(tenant, id).await?;
    let card = Card::unread(tenant, id, &plan.status, app.clock.now());
    Ok(Page(card.read(&app, &counts).await?.section(None)))
}

/// Shows the forecast against what was decided, alone.
pub async fn against(
    State(app): State<App>,
    Extension(counts): Extension<Counts>,
    Path((tenant, id)): Path<(TenantId, PlanId)>,
) -> Result<Page, Trouble> {
    let plan = app.opened.scenarios.planner.header(tenant, id).await?;
    let card = Card::unread(tenant, id, &plan.status, app.clock.now());
    Ok(Page(card.read(&app, &counts).await?.against()))
}

impl Card {
    /// The card before its forecast is read.
    pub fn unread(tenant: TenantId, plan: PlanId, status: &Status, now: Timestamp) -> Self {
        let asking = if status.is_open() { Asking::Open } else { Asking::Over };
        Self { tenant, plan, now, asking, seen: Seen::NotYet }
    }

    /// Reads the forecast. Comparing it with many decisions takes longer than a page may.
    pub async fn read(self, app: &App, counts: &Counts) -> Result<Self, Trouble> {
        let (tenant, plan) = (self.tenant, self.plan);
        let seen = match self.asking {
            Asking::Open => match app.opened.scenarios.forecaster.forecast(tenant, plan).await {
                Ok(forecast) => Seen::Forecast(Arc::new(forecast)),
                Err(Error::NotFound { kind: Kind::Forecast, .. }) => Seen::None,
                Err(error) => return Err(error.into()),
            },
            Asking::Over => match counts.forecast(app, tenant, plan).await? {
                None => Seen::NotYet,
                Some(kept) => match &*kept.value {
                    None => Seen::None,
                    Some(forecast) => Seen::Forecast(forecast.clone()),
                },
            },
        };
        Ok(Self { seen, ..self })
    }

    fn here(&self) -> String {
        paths::of_plan(self.tenant, self.plan, "forecast")
    }

    /// The card on the plan's page.
    pub(super) fn section(&self, wrong: Option<&str>) -> Markup {
        let is_moving = match &self.seen {
            Seen::NotYet => true,
            Seen::None => false,
            Seen::Forecast(forecast) => match forecast.state {
                ForecastState::Running => true,
                ForecastState::Done => forecast.actual.as_ref().is_some_and(|one| !one.complete),
                ForecastState::Failed | ForecastState::Interrupted => false,
            },
        };
        let again = is_moving.then_some("every 1s");
        html! {
            section.card #forecast aria-labelledby="forecast-name"
                hx-get=[again.map(|_| self.here())] hx-trigger=[again] hx-swap=[again.map(|_| "outerHTML")] {
                header {
                    h2 #forecast-name { "Forecast" }
                    (self.told())
                }
                @if let Some(wrong) = wrong {
                    div.inside role="alert" { (alert(Tone::Bad, "It was not begun", html! { p { (wrong) } })) }
                }
                @match &self.seen {
                    Seen::NotYet => div.inside { p.quiet { "The forecast is being held against what was decided." } (self.look_again()) },
                    Seen::None => (self.none()),
                    Seen::Forecast(forecast) => (self.forecast(forecast)),
                }
            }
        }
    }

    /// Where it stands, in a line.
    fn told(&self) -> Markup {
        let Seen::Forecast(forecast) = &self.seen else { return html! {} };
        match forecast.state {
            ForecastState::Running => {
                html! { p { "Begun " (words::when(forecast.started_at, self.now)) } }
            }
            ForecastState::Done => html! {
                p {
                    (words::counted(forecast.sessions_done, "session")) " as they were "
                    (words::when(forecast.started_at, self.now))
                }
            },
            ForecastState::Failed | ForecastState::Interrupted => {
                html! { p { "Last heard of " (words::when(forecast.heard_at, self.now)) } }
            }
        }
    }

    fn none(&self) -> Markup {
        match self.asking {
            Asking::Open => empty(
                "What would it do to each session?",
                html! {
                    p { "Every live session is decided as its next turn would decide it if the plan were deployed now. Nothing is written to sessions." }
                    (self.button("Forecast"))
                },
            ),
            Asking::Over => html! { div.inside.quiet { "It was not forecast while it could be." } },
        }
    }

    fn button(&self, word: &str) -> Markup {
        html! {
            @if self.asking == Asking::Open {
                form action=(self.here()) method="post" { button { (word) } }
            }
        }
    }

    fn look_again(&self) -> Markup {
        let plan = paths::plan(self.tenant, self.plan);
        html! { p { a.button href={ (plan) "#forecast" } { "Look again" } } }
    }

    fn forecast(&self, forecast: &ForecastView) -> Markup {
        match forecast.state {
            ForecastState::Running => self.running(forecast),
            ForecastState::Failed => {
                let why = forecast.failure.as_deref().unwrap_or("No reason was kept.");
                self.given_up("The forecast was given up", why)
            }
            ForecastState::Interrupted => self.given_up(
                "The forecast was interrupted",
                "Whoever computed it is heard of no more.",
            ),
            ForecastState::Done => self.done(forecast),
        }
    }

    fn running(&self, forecast: &ForecastView) -> Markup {
        let (at, all) = (forecast.sessions_done, forecast.sessions_total);
        html! {
            div.inside.tight {
                p { "It has come to " span.strong { (words::count(at)) } " of " (words::counted(all, "session")) "." }
                progress aria-labelledby="forecast-name" value=(at) max=(all.max(1)) {}
                form action=(paths::of_plan(self.tenant, self.plan, "forecast/cancel")) method="post" { button #cancel-forecast { "Cancel" } }
                noscript { (self.look_again()) }
            }
        }
    }

    fn given_up(&self, title: &str, why: &str) -> Markup {
        html! {
            div.inside.tight { (alert(Tone::Warn, title, html! { p { (why) } })) (self.button("Forecast again")) }
        }
    }

    fn done(&self, forecast: &ForecastView) -> Markup {
        html! {
            @if !forecast.stale.is_empty() {
                div.inside.tight { (stale(&forecast.stale)) }
            }
            @if let Some(actual) = &forecast.actual { div.inside { (self.held(actual)) } }
            @if let Some(result) = &forecast.result {
                (result::shown(self.tenant, result, forecast.actual.as_ref()))
            }
            @if let Some(actual) = &forecast.actual { (result::differences(self.tenant, actual)) }
            @if self.asking == Asking::Open { div.foot { (self.button("Forecast again")) } }
        }
    }

    /// The numbers of those who went as foreseen, and of those who did not.
    fn held(&self, actual: &ForecastActual) -> Markup {
        let figure = |name, value: u64, note: String| Figure {
            name,
            value: html! { (words::count(value)) },
            note: html! { (note) },
        };
        let unchanged = words::count(actual.differing_unchanged);
        html! {
            (figures(&[
                figure("As foreseen", actual.as_forecast, format!("of {} decided", words::count(actual.decided))),
                figure("Otherwise", actual.differing, format!("{unchanged} of them had taken no turn between")),
                figure("Not foreseen", actual.not_foreseen, "they began later".to_owned()),
                figure("Still to come", actual.pending, format!("{} of them were asked", words::count(actual.waiting))),
            ]))
            @if !actual.complete {
                p.quiet.small { "More decisions are being read." }
                noscript { (self.look_again()) }
            }
        }
    }

    /// The forecast against what was decided, on the deployment's page; nothing if there is no forecast.
    pub fn against(&self) -> Markup {
        let every = match &self.seen {
            Seen::NotYet => "every 1s",
            Seen::None => return html! {},
            Seen::Forecast(_) => "every 5s",
        };
        let part = paths::of_plan(self.tenant, self.plan, "deployment/forecast");
        let plan = paths::plan(self.tenant, self.plan);
        html! {
            section.card aria-labelledby="against" hx-get=(part) hx-trigger=(every) hx-swap="outerHTML" {
                header {
                    h2 #against { "Held against the forecast" }
                    p { a href={ (plan) "#forecast" } { "which sessions, and why" } }
                }
                div.inside {
                    @match &self.seen {
                        Seen::Forecast(forecast) => {
                            @match &forecast.actual {
                                Some(actual) => (self.held(actual)),
                                None => p.quiet { "The forecast was not finished before the deploy." },
                            }
                        },
                        Seen::NotYet | Seen::None => p.quiet { "What was decided is being read." },
                    }
                }
            }
        }
    }
}

/// What has changed since, so that it may be otherwise now.
fn stale(stale: &[Stale]) -> Markup {
    let changed = |stale: &Stale| match stale {
        Stale::Policies => "the plan's policies",
        Stale::Deployments => "which other plans are deployed",
        Stale::Fields => "the definitions of fields",
        Stale::Settings => "the server's settings",
    };
    let changed: Vec<&str> = stale.iter().map(changed).collect();
    alert(
        Tone::Warn,
        "It may no longer be true",
        html! { p { "Changed since: " (changed.join(", ")) "." } },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::plan::View;
    use crate::console::{check, samples};

    fn card(asking: Asking, seen: Seen) -> Card {
        let plan = samples::plan();
        Card { tenant: check::tenant(), plan: plan.id, now: plan.created.at, asking, seen }
    }

    fn shown(card: Card) -> View {
        View { forecast: card, ..View::sample() }
    }

    async fn page(card: Card) -> String {
        let html = shown(card).page(&Viewer::sample()).into_string();
        check::page(&html).await;
        html
    }

    fn says(html: &str, texts: &[&str]) {
        for text in texts {
            assert!(html.contains(text), "{text} in {html}");
        }
    }

    #[tokio::test]
    async fn a_plan_that_was_not_forecast_offers_it_while_it_is_open() {
        says(&page(card(Asking::Open, Seen::None)).await, &["/forecast\" method=\"post\""]);
        let over = page(card(Asking::Over, Seen::None)).await;
        says(&over, &["It was not forecast while it could be"]);
        assert!(!over.contains("/forecast\" method"), "{over}");
        let deployed = shown(card(Asking::Over, Seen::None)).forecast.against();
        assert_eq!(deployed.into_string(), "");
    }

    #[tokio::test]
    async fn a_forecast_that_runs_refreshes_itself_and_one_that_ended_does_not() {
        let in_state = |state| {
            let forecast = ForecastView { state, result: None, ..samples::forecast() };
            card(Asking::Open, Seen::Forecast(Arc::new(forecast)))
        };
        let running = page(in_state(ForecastState::Running)).await;
        says(
            &running,
            &["every 1s", "1,251 sessions", "<progress", "forecast/cancel", "Look again"],
        );
        for (state, told) in [
            (ForecastState::Failed, "no &lt;script&gt; today"),
            (ForecastState::Interrupted, "heard of no more"),
        ] {
            let html = page(in_state(state)).await;
            says(&html, &[told, "Forecast again"]);
            assert!(!html.contains("every 1s"), "{html}");
        }
    }

    #[tokio::test]
    async fn a_forecast_says_what_becomes_of_whom_and_why() {
        let forecast = ForecastView { actual: None, ..samples::forecast() };
        let html = page(card(Asking::Open, Seen::Forecast(Arc::new(forecast)))).await;
        says(
            &html,
            &[
                "Gap filled",
                "the plan's policies",
                "needs &lt;script&gt;",
                "<code>age</code>",
                "Paid &lt;script&gt;",
                "1,000",
                "Forecast again",
            ],
        );
        assert!(!html.contains("Really"), "nothing was decided yet");
    }

    #[tokio::test]
    async fn after_the_deploy_the_forecast_is_held_against_what_was_decided() {
        let forecast = || card(Asking::Over, Seen::Forecast(Arc::new(samples::forecast())));
        let html = page(forecast()).await;
        says(&html, &["Really", "As foreseen", "it took turns between", "of 90 decided"]);
        let part = forecast().against().into_string();
        check::fragment(&part);
        says(&part, &["As foreseen", "every 5s", "deployment/forecast"]);
        let unread = card(Asking::Over, Seen::NotYet);
        check::fragment(&unread.against().into_string());
        says(&page(unread).await, &["every 1s", "Look again"]);
    }
}
