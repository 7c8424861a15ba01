//! What was compared between the two stores of a move, and what is being compared: the part of the move's page
//! that refreshes itself while a verification or a repair goes on.

use axum::extract::State;
use jiff::Timestamp;
use maud::{Markup, html};
use segue_core::ids::MigrationId;
use segue_core::tenancy::migration::journal::Verified;

use crate::console::address::Path;
use crate::console::answer::{Page, Trouble};
use crate::console::checks::{About, Check, Found};
use crate::console::lengths::{lasting, percent};
use crate::console::parts::{Tone, alert, badge};
use crate::console::{paths, words};
use crate::http::App;
use crate::tenants::verify::Progress;
use crate::tenants::{Migration, VerificationReport};

/// How many differences are shown.
const SHOWN: usize = 20;

/// What was compared.
#[derive(Debug)]
pub struct Verification {
    /// The time.
    pub now: Timestamp,
    /// Of which move.
    pub id: MigrationId,
    /// The last one, whoever asked for it and wherever.
    pub last: Option<Verified>,
    /// What this server compares, or compared last.
    pub check: Option<Check>,
    /// What this server repairs, or repaired last.
    pub repair: Option<Check>,
}

/// Answers with the part.
pub async fn show(State(app): State<App>, Path(id): Path<MigrationId>) -> Result<Page, Trouble> {
    let migration = app.opened.moves.get_migration(id).await?;
    Ok(Page(Verification::of(&app, &migration).card()))
}

impl Verification {
    /// What is known of a move's.
    #[must_use]
    pub fn of(app: &App, migration: &Migration) -> Self {
        Self {
            now: app.clock.now(),
            id: migration.id,
            last: migration.verification.clone(),
            check: app.checks.of(About::Copy(migration.id)),
            repair: app.checks.of(About::Repair(migration.id)),
        }
    }

    /// The part.
    #[must_use]
    pub fn card(&self) -> Markup {
        let runs = |check: &Option<Check>| matches!(check, Some(Check::Running { .. }));
        let is_live = runs(&self.check) || runs(&self.repair);
        let path = paths::act(self.id, "check");
        html! {
            section.card #check aria-labelledby="verification" hx-get=[is_live.then_some(path)]
                hx-trigger=[is_live.then_some("every 1s")] hx-swap="outerHTML" {
                header { h2 #verification { "Verification" } (self.verdict()) }
                div.inside aria-live="polite" {
                    (self.last())
                    @if let Some(check) = &self.check { (self.shown(check)) }
                    @if let Some(repair) = &self.repair { (self.shown(repair)) }
                }
            }
        }
    }

    fn verdict(&self) -> Markup {
        match &self.last {
            None => badge(Tone::Idle, "Not yet"),
            Some(last) if last.is_consistent => badge(Tone::Good, "Consistent"),
            Some(_) => badge(Tone::Bad, "It differs"),
        }
    }

    fn last(&self) -> Markup {
        let Some(last) = &self.last else {
            return html! {
                p.quiet { "Before a cutover the history is compared by itself. Whenever you like it is compared by Verify." }
            };
        };
        html! {
            p {
                strong { (last.level.as_str()) }
                @if last.sample_percentage < 100.0 { " of " (last.sample_percentage) " % of the events" }
                " up to position " (words::count(last.position.0))
                @if last.is_consistent { ": nothing differs." } @else { ": something differs." }
                " " span.quiet { (words::when(last.at, self.now)) }
            }
            (differences(last.violations.iter().map(String::as_str)))
        }
    }

    fn shown(&self, check: &Check) -> Markup {
        match check {
            Check::Running { since, progress } => running(*since, progress.as_ref(), self.now),
            Check::Failed { at, reason } => failed(reason, *at, self.now),
            Check::Ended { found: Found::Copy(report), .. } => compared(report),
            Check::Ended { found: Found::Repaired(repaired), at } => html! {
                p {
                    "Repaired " (words::when(*at, self.now)) ": the copy was taken back from position "
                    (words::count(repaired.from_position.0)) " to " (words::count(repaired.to_position.0))
                    ", and is copied anew from there."
                }
                (differences(repaired.violations.iter().map(|violation| violation.message.as_str())))
            },
            // A tenant's own log is the tenant's page's.
            Check::Ended { found: Found::Log(_), .. } => html! {},
        }
    }
}

/// Why a check could not be made.
#[must_use]
pub fn failed(reason: &str, at: Timestamp, now: Timestamp) -> Markup {
    let why = html! { p { (words::sentence(reason)) } p.small.quiet { (words::when(at, now)) } };
    alert(Tone::Bad, "That could not be done", why)
}

/// How far a check is.
#[must_use]
pub fn running(since: Timestamp, progress: Option<&Progress>, now: Timestamp) -> Markup {
    let share = progress.map_or(0.0, |progress| match progress.last_position.0 {
        0 => 100.0,
        last => 100.0 * progress.position.0.min(last) as f64 / last as f64,
    });
    html! {
        div.copied {
            div.row.apart {
                span { strong { "Comparing" } " " span.quiet { "since " (words::when(since, now)) } }
                span.quiet.small {
                    @match progress {
                        None => "it begins",
                        Some(progress) if progress.streams_checked > 0 => {
                            (words::counted(progress.streams_checked, "stream")) " compared"
                        },
                        Some(progress) => {
                            (percent(share)) ", position " (words::count(progress.position.0)) " of "
                            (words::count(progress.last_position.0))
                        },
                    }
                }
            }
            progress max="100" value=(format!("{share:.1}")) aria-label="Compared" {}
        }
    }
}

/// What a comparison of this server came to.
fn compared(report: &VerificationReport) -> Markup {
    html! {
        p.quiet.small {
            (words::counted(report.events_compared, "event")) " and "
            (words::counted(report.streams_compared, "stream")) " compared in " (lasting(report.seconds)) "."
            @if report.violations_total > 0 {
                " " (words::counted(report.violations_total, "difference")) " in all."
            }
        }
    }
}

/// What differs, or is damaged: the first of it.
#[must_use]
pub fn differences<'a>(all: impl Iterator<Item = &'a str>) -> Markup {
    let shown: Vec<&str> = all.take(SHOWN).collect();
    html! {
        @if !shown.is_empty() { ul.told.bad-news { @for one in shown { li { (words::sentence(one)) } } } }
    }
}
