//! The part of a move's page that refreshes itself: where it stands, how far it is, how fast, and how far behind.
//!
//! The figures are what both stores say at that moment; the charts are the [`Course`] of the move as this
//! process saw it, whoever carries it on. When a decision was made, the whole page is fetched anew, for then
//! other things may be done.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use segue_core::ids::MigrationId;
use segue_core::tenancy::migration::{MigrationState, Stage};

use super::chart::{Bar, Chart, Drawn};
use super::phase::{Look, Phase, Standing};
use crate::console::address::Path;
use crate::console::answer::{Page, Trouble};
use crate::console::lengths::{lasting, lasting_ms, per_second, percent, rate};
use crate::console::parts::{Figure, Icon, Tone, alert, figures, icon};
use crate::console::sent::Asked;
use crate::console::{paths, told, words};
use crate::error::Error;
use crate::http::App;
use crate::tenants::{Course, Migration, Moment};

/// Tells htmx to go to another page.
const GO_TO: HeaderName = HeaderName::from_static("hx-redirect");

/// For how long what was seen of a rate is the rate.
const FRESH_SECONDS: i64 = 10;

/// How much of its course is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// The last minutes.
    Lately,
    /// All of it.
    Whole,
}

impl Span {
    /// As it is asked for.
    #[must_use]
    pub fn of(word: &str) -> Self {
        if word == "all" { Self::Whole } else { Self::Lately }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Lately => "",
            Self::Whole => "all",
        }
    }
}

/// What this part shows.
#[derive(Debug)]
pub struct View {
    /// The time.
    pub now: Timestamp,
    /// The move.
    pub migration: Migration,
    /// Where the tenant's route says that it stands, while the route is about it.
    pub stage: Option<Stage>,
    /// Where it stands, what comes next and what is in the way, in words.
    pub told: Vec<String>,
    /// How it went.
    pub course: Course,
    /// How much of that is shown.
    pub span: Span,
    /// Up to which quarter of the copy it was told aloud; nothing on a page that is new.
    pub told_aloud: Option<u64>,
}

/// Answers with the part, or sends to the whole page when something was decided since it was shown.
pub async fn show(
    State(app): State<App>,
    Path(id): Path<MigrationId>,
    Asked(asked): Asked,
) -> Result<Response, Trouble> {
    let mut view = View::read(&app, id, Span::of(asked.text("span"))).await?;
    view.told_aloud = asked.text("told").parse().ok();
    if asked.text("shown") != view.decided() {
        let path = paths::asking(&paths::one_move(id), &[("span", view.span.word())]);
        let mut response = ().into_response();
        if let Ok(path) = HeaderValue::try_from(path) {
            response.headers_mut().insert(GO_TO, path);
        }
        return Ok(response);
    }
    Ok(Page(view.markup()).into_response())
}

impl View {
    /// Reads it.
    pub async fn read(app: &App, id: MigrationId, span: Span) -> Result<Self, Trouble> {
        let opened = &app.opened;
        let migration = opened.moves.present_migration(id).await?;
        let tenant = migration.tenant_id;
        let (route, tenant) =
            tokio::join!(opened.control.route(tenant), opened.router.tenant_view(tenant));
        let moving = route.map_err(Error::from)?.and_then(|route| route.moving);
        let stage = moving.filter(|moving| moving.migration == id).map(|moving| moving.stage);
        // The first line is about the tenant's home.
        let told = tenant
            .ok()
            .filter(|tenant| tenant.migration_id == Some(id))
            .map_or_else(Vec::new, |tenant| {
                tenant.explanation.lines().skip(1).map(words::sentence).collect()
            });
        let (now, course) = (app.clock.now(), opened.moves.course(id));
        Ok(Self { now, migration, stage, told, course, span, told_aloud: None })
    }

    /// What was decided so far, as a word that changes with every decision.
    fn decided(&self) -> String {
        let Migration { state, is_active, cutover, .. } = &self.migration;
        let stage = match &self.stage {
            Some(Stage::Finishing { .. }) => "finishing",
            Some(Stage::Reopening { .. }) => "reopening",
            Some(
                Stage::Pending
                | Stage::BulkCopy
                | Stage::DualWrite
                | Stage::Paused { .. }
                | Stage::Failed { .. }
                | Stage::CutoverPaused { .. }
                | Stage::RollingBack
                | Stage::Migrated { .. },
            )
            | None => state.as_str(),
        };
        let wish = if cutover.requested { "wished" } else { "open" };
        let active = if *is_active { wish } else { "over" };
        format!("{stage}-{active}-{}", cutover.attempts)
    }

    /// How often this part asks for news; nothing once there are none.
    fn every(&self) -> Option<&'static str> {
        let is_quiet = match self.migration.state {
            MigrationState::Pending
            | MigrationState::BulkCopy
            | MigrationState::DualWrite
            | MigrationState::CutoverPaused
            | MigrationState::RolledBack => false,
            MigrationState::Migrated | MigrationState::Failed | MigrationState::Paused => true,
        };
        match (self.migration.is_active, is_quiet) {
            (false, _) => None,
            (true, true) => Some("every 3s"),
            (true, false) => Some("every 1s"),
        }
    }

    /// The part itself.
    #[must_use]
    pub fn markup(&self) -> Markup {
        let quarter = self.quarter().to_string();
        let pairs = [("shown", &*self.decided()), ("span", self.span.word()), ("told", &quarter)];
        let path = paths::asking(&paths::act(self.migration.id, "live"), &pairs);
        let every = self.every();
        html! {
            div.stack #live hx-get=[every.map(|_| path)] hx-trigger=[every] hx-swap="outerHTML" {
                section.card aria-labelledby="standing" {
                    header { h2 #standing { "Where it stands" } (self.pulse()) }
                    div.inside {
                        (self.steps())
                        (self.progress())
                        (self.words())
                    }
                }
                (self.figures())
                (self.charts())
            }
            (self.aloud())
        }
    }

    /// How many quarters of the copy are there.
    fn quarter(&self) -> u64 {
        let one = &self.migration;
        4 * one.events_copied.min(one.total_events) / one.total_events.max(1)
    }

    /// What a screen reader says: each quarter once, and not every second. It lies outside of the part that is
    /// replaced, or nothing would be said.
    fn aloud(&self) -> Markup {
        let said = format!("{} % is copied", 25 * self.quarter());
        html! {
            @match self.told_aloud {
                None => p.unseen #aloud role="status" {},
                Some(told) if told != self.quarter() => {
                    p.unseen #aloud role="status" hx-swap-oob="innerHTML" { (said) }
                },
                Some(_) => {}
            }
        }
    }

    /// Whether this part is live.
    fn pulse(&self) -> Markup {
        html! {
            @if self.every().is_some() {
                span.note.pulse { span.beat aria-hidden="true" {} "Live" }
            } @else if self.migration.is_active { "" } @else {
                span.note { "This move is over" }
            }
        }
    }

    fn steps(&self) -> Markup {
        let standing = Standing::of(&self.migration, self.stage.as_ref());
        html! {
            ol.steps {
                @for phase in Phase::ALL {
                    @let look = standing.look(phase);
                    li class=(class(look)) aria-current=[(phase == standing.phase).then_some("step")] {
                        span.dot aria-hidden="true" {
                            @match look {
                                Look::Done => (icon(Icon::Check)),
                                Look::Failed | Look::Aborted => (icon(Icon::Cross)),
                                Look::Paused => (icon(Icon::Dash)),
                                Look::Now | Look::Ahead => {}
                            }
                        }
                        span.name { (phase.title()) span.unseen { ": " (look.word()) } }
                        span.under {
                            @match look {
                                Look::Paused | Look::Failed | Look::Aborted => (look.word()),
                                Look::Done | Look::Now | Look::Ahead => (phase.hint()),
                            }
                        }
                    }
                }
            }
        }
    }

    fn progress(&self) -> Markup {
        let one = &self.migration;
        if one.total_events == 0 && !one.is_active {
            return html! {};
        }
        html! {
            div.copied {
                div.row.apart {
                    span { strong { (percent(one.progress_percentage)) } " copied" }
                    span.quiet.small {
                        (words::count(one.events_copied)) " of " (words::counted(one.total_events, "event"))
                        @if let Some(left) = self.left() { ", about " (lasting(left)) " to go" }
                    }
                }
                progress class=(self.tone().class()) max="100"
                    value=(format!("{:.2}", one.progress_percentage)) aria-label="Copied" {}
            }
        }
    }

    /// How fast events come to the target: as seen here, or as its coordinator told when nothing was seen yet.
    fn rate_now(&self) -> f64 {
        if !self.migration.is_active {
            return 0.0;
        }
        let lately: Vec<&Moment> = self.course.lately().collect();
        let seen = Course::rates(&lately).last().copied();
        let is_fresh = |at: Timestamp| self.now.duration_since(at).as_secs() < FRESH_SECONDS;
        seen.filter(|(at, _)| is_fresh(*at))
            .map_or(self.migration.events_per_second, |(_, rate)| rate)
    }

    /// How long the rest of the bulk copy takes at that rate, in seconds; nothing while that is not known.
    fn left(&self) -> Option<f64> {
        let one = &self.migration;
        let rate = self.rate_now();
        let is_copying = one.state == MigrationState::BulkCopy && one.sync_lag > 0 && rate > 0.0;
        is_copying.then(|| one.sync_lag as f64 / rate)
    }

    fn tone(&self) -> Tone {
        super::tone(self.migration.state, self.migration.is_active)
    }

    fn words(&self) -> Markup {
        let one = &self.migration;
        let next = self.told.iter().find_map(|line| line.strip_prefix("Next: "));
        let more = self.told.iter().map(String::as_str);
        let more =
            more.filter(|line| !line.starts_with("Next: ") && !line.starts_with("In the way"));
        html! {
            @if let Some(error) = &one.error {
                (alert(if error.recoverable { Tone::Warn } else { Tone::Bad }, "In the way", html! {
                    p { (told::sentence(&words::sentence(&error.message))) }
                    @if let Some(action) = &error.suggested_action {
                        p.quiet { (told::sentence(&words::sentence(action))) }
                    }
                    p.small.quiet { "Since " (words::when(error.at, self.now)) }
                }))
            }
            @if let Some(reason) = &one.abort_reason {
                (alert(Tone::Idle, "It was aborted", html! { p { (reason) } }))
            }
            @if let Some(next) = next {
                p.next { span.strong { "Next:" } " " (told::sentence(next)) }
            }
            @if !self.told.is_empty() {
                details.in-words { summary { "In more words" } (told::sentences(more)) }
            }
        }
    }

    fn figures(&self) -> Markup {
        let one = &self.migration;
        let read_back = match one.events_copied {
            0 => 0.0,
            copied => 100.0 * one.events_read_back.min(copied) as f64 / copied as f64,
        };
        figures(&[
            Figure {
                name: "Behind",
                value: html! { (words::count(one.sync_lag)) },
                note: html! { "events; a cutover begins at " (words::count(one.config.sync_lag_threshold)) },
            },
            Figure {
                name: "Rate",
                value: html! { (per_second(self.rate_now())) },
                note: html! { "events that come to the target" },
            },
            Figure {
                name: "Read back",
                value: html! { (percent(read_back)) },
                note: html! { (words::count(one.events_read_back)) " events hashed in the target" },
            },
            Figure {
                name: "Writes waited",
                value: html! {
                    @match one.cutover.pause_ms {
                        Some(pause) => (lasting_ms(pause)),
                        None => "–",
                    }
                },
                note: html! {
                    @match one.cutover.attempts {
                        0 => { (lasting(one.config.cutover_timeout_seconds)) " at most" },
                        1 => { "in its cutover" },
                        tried => { "in the last of " (words::count(u64::from(tried))) " cutovers" },
                    }
                },
            },
        ])
    }

    fn charts(&self) -> Markup {
        let moments: Vec<&Moment> = match self.span {
            Span::Lately => self.course.lately().collect(),
            Span::Whole => self.course.whole().collect(),
        };
        let page = paths::one_move(self.migration.id);
        let link = |span: Span, name: &str| {
            let path = paths::asking(&page, &[("span", span.word())]);
            html! { a href=(path) aria-current=[(self.span == span).then_some("true")] { (name) } }
        };
        html! {
            section.card aria-labelledby="charts" {
                header {
                    h2 #charts { "Over time" }
                    nav.switch aria-label="How much is shown" {
                        (link(Span::Lately, "Last 5 minutes")) (link(Span::Whole, "All of it"))
                    }
                }
                div.inside {
                    div.sparks {
                        (self.rates(&moments).markup())
                        (self.lag(&moments).markup())
                        (self.pauses().markup())
                    }
                }
                footer { "As this server saw it, whichever server carries the move on." }
            }
        }
    }

    fn rates(&self, moments: &[&Moment]) -> Chart {
        let rates = Course::rates(moments).into_iter();
        let points: Vec<(f64, f64)> = rates.map(|(at, rate)| (second(at), rate)).collect();
        let highest = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        let mark = self.migration.config.max_bulk_copy_rate;
        let mark = mark.map(|most| (most, format!("at most {}", rate(most))));
        Chart {
            title: "Rate",
            now: rate(self.rate_now()),
            note: format!("Highest {}", rate(highest)),
            drawn: Drawn::Line { points, mark },
        }
    }

    fn lag(&self, moments: &[&Moment]) -> Chart {
        let points = line(moments, |moment| moment.lag() as f64);
        let highest = moments.iter().map(|moment| moment.lag()).max().unwrap_or(0);
        let threshold = self.migration.config.sync_lag_threshold;
        let mark = Some((threshold as f64, "close enough to cut over".to_owned()));
        Chart {
            title: "Lag",
            now: words::counted(self.migration.sync_lag, "event"),
            note: format!("Highest {}", words::counted(highest, "event")),
            drawn: Drawn::Line { points, mark },
        }
    }

    fn pauses(&self) -> Chart {
        let cutover = &self.migration.cutover;
        let bars = cutover.history.iter().filter_map(|tried| {
            let value = tried.pause_ms?;
            Some(Bar { value, is_good: tried.gave_up.is_none() })
        });
        let now = match (&self.stage, cutover.pause_ms) {
            (Some(Stage::CutoverPaused { since, .. } | Stage::Reopening { since, .. }), _) => {
                let waited = self.now.duration_since(*since).as_secs_f64().max(0.0);
                format!("waiting for {}", lasting(waited))
            }
            (_, Some(last)) => lasting_ms(last),
            (_, None) => "none yet".to_owned(),
        };
        let budget = lasting(self.migration.config.cutover_timeout_seconds);
        Chart {
            title: "Pause of writes",
            now,
            note: format!("One bar for each cutover; given up after {budget}"),
            drawn: Drawn::Bars(bars.collect()),
        }
    }
}

fn second(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}

fn line(moments: &[&Moment], value: impl Fn(&Moment) -> f64) -> Vec<(f64, f64)> {
    moments.iter().map(|moment| (second(moment.at), value(moment))).collect()
}

fn class(look: Look) -> &'static str {
    match look {
        Look::Done => "done good",
        Look::Now => "now lead-tone",
        Look::Paused => "now warn",
        Look::Failed => "now bad",
        Look::Aborted => "now idle",
        Look::Ahead => "ahead idle",
    }
}
