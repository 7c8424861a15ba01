//! `/console/moves/{id}`: one move, from its preflight to its tombstone.

use axum::extract::State;
use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use segue_core::ids::MigrationId;
use segue_core::tenancy::migration::{MigrationState, Stage};

use super::forms::{Forms, Typed};
use super::live::{self, Span};
use super::record::Record;
use super::verification::Verification;
use crate::console::address::Path;
use crate::console::answer::{Page, Trouble};
use crate::console::done::Done;
use crate::console::frame::{Frame, Place};
use crate::console::lengths::{lasting, lasting_ms};
use crate::console::parts::{Tone, alert, heading, pairs};
use crate::console::sent::Asked;
use crate::console::viewer::Viewer;
use crate::console::{paths, words};
use crate::error::Error;
use crate::http::App;
use crate::tenants::Migration;

/// What the library refused, in its words.
#[derive(Debug)]
pub struct Refused {
    trouble: Trouble,
    /// What to do.
    then: Option<String>,
}

impl Refused {
    /// Of an error.
    #[must_use]
    pub fn of(error: Error) -> Self {
        let then =
            if let Error::Migration(error) = &error { error.suggested_action() } else { None };
        Self { trouble: error.into(), then }
    }

    /// The status to answer with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.trouble.status
    }

    /// Says so.
    #[must_use]
    pub fn shown(&self) -> Markup {
        html! {
            div role="alert" {
                (alert(Tone::Bad, "That was not done", html! {
                    p { (self.trouble.message) }
                    @if let Some(then) = &self.then { p.quiet { (words::sentence(then)) "." } }
                }))
            }
        }
    }
}

/// What the page shows.
#[derive(Debug)]
pub struct View {
    /// The part that refreshes itself.
    pub live: live::View,
    /// What was compared, and what is being compared.
    pub verification: Verification,
    /// What is on record.
    pub record: Record,
    /// What was typed, when it is shown again.
    pub typed: Typed,
    /// What was refused.
    pub refused: Option<Refused>,
    /// What was just done.
    pub done: Option<Done>,
}

/// Shows it.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path(id): Path<MigrationId>,
    Asked(asked): Asked,
) -> Result<Page, Trouble> {
    let mut view = View::read(&app, id, Typed::default(), None, asked.text("span")).await?;
    view.done = Done::of(asked.text("done"));
    Ok(Page(view.page(&viewer)))
}

impl View {
    /// Reads it.
    pub async fn read(
        app: &App,
        id: MigrationId,
        typed: Typed,
        refused: Option<Refused>,
        span: &str,
    ) -> Result<Self, Trouble> {
        let live = live::View::read(app, id, Span::of(span)).await?;
        let record = Record::read(app, &live.migration).await?;
        let verification = Verification::of(app, &live.migration);
        Ok(Self { live, verification, record, typed, refused, done: None })
    }

    /// The page.
    #[must_use]
    pub fn page(&self, viewer: &Viewer) -> Markup {
        let one = &self.live.migration;
        let trail = [("Moves".to_owned(), paths::MOVES.to_owned())];
        let title = format!("{} → {}", one.source_store_id, one.target_store_id);
        let frame =
            Frame { place: Place::Moves, title: &title, trail: &trail, viewer: Some(viewer) };
        let forms = Forms { migration: one, stage: self.live.stage.as_ref(), typed: &self.typed };
        frame.around(html! {
            (heading(
                html! { h1 { (super::way(one)) } (super::state(one.state, one.is_active)) },
                self.lead(),
                html! {},
            ))
            (Done::shown(self.done))
            @if let Some(refused) = &self.refused { (refused.shown()) }
            div.split.of-move {
                div.stack {
                    (self.live.markup())
                    (self.cutovers())
                    (self.verification.card())
                    (self.record.failures())
                    (self.record.subscriptions())
                    (self.record.audit(one, self.live.now))
                }
                aside.stack aria-label="About this move" {
                    (forms.markup())
                    (self.kept())
                    (self.facts())
                }
            }
        })
    }

    fn lead(&self) -> Markup {
        let one = &self.live.migration;
        html! {
            p {
                "Tenant " a href=(paths::tenant(one.tenant_id)) { (words::short_id(one.tenant_id)) }
                ", asked for by " (one.created_by) " " (words::when(one.created_at, self.live.now)) "."
                @if let Some(before) = one.reverses {
                    " It takes back " a href=(paths::one_move(before)) { "an earlier move" } "."
                }
            }
        }
    }

    /// Every cutover that was tried.
    fn cutovers(&self) -> Markup {
        let tried = &self.live.migration.cutover.history;
        html! {
            @if !tried.is_empty() {
                section.card aria-labelledby="cutovers" {
                    header { h2 #cutovers { "Cutovers" } }
                    div.scroll {
                        table {
                            thead {
                                tr {
                                    th scope="col" { "Attempt" }
                                    th scope="col" { "Began" }
                                    th scope="col" { "Writes waited" }
                                    th.number scope="col" { "Copied meanwhile" }
                                    th scope="col" { "Outcome" }
                                }
                            }
                            tbody { @for cutover in tried.iter().rev() {
                                tr {
                                    th scope="row" { (cutover.attempt) }
                                    td { (words::when(cutover.began_at, self.live.now)) }
                                    td {
                                        @match cutover.pause_ms {
                                            Some(pause) => (lasting_ms(pause)),
                                            None => span.quiet { "not measured" },
                                        }
                                    }
                                    td.number { (words::counted(cutover.events_drained, "event")) }
                                    td {
                                        @match cutover.gave_up {
                                            None => (crate::console::parts::badge(Tone::Good, "Moved")),
                                            Some(why) => {
                                                (crate::console::parts::badge(Tone::Warn, "Given up"))
                                                span.under { (words::sentence(&why.to_string())) }
                                            }
                                        }
                                    }
                                }
                            } }
                        }
                    }
                }
            }
        }
    }

    /// What is left of the tenant elsewhere, and until when.
    fn kept(&self) -> Markup {
        let one = &self.live.migration;
        let (source, target) = (&one.source_store_id, &one.target_store_id);
        let told = match Left::of(self.live.stage.as_ref(), one.state) {
            Left::Copy => html! {
                p {
                    code { (source) }
                    @if one.config.keep_way_back { " follows " code { (target) } ", for a way back." }
                    @else { " keeps its copy as it was at the cutover." }
                }
                p.quiet.small {
                    "Until somebody finishes the move. Then it is purged"
                    @if let Some(due) = self.due() { ", not before " (words::exactly(due)) ", or at once if you say so" }
                    "."
                }
            },
            Left::Until(purge_at) => html! {
                p { "What " code { (source) } " holds is purged at " (words::exactly(purge_at)) " or a little later." }
                p.quiet.small { "A tombstone stays, so that nothing brings the old log back to life." }
            },
            Left::SourceTombstone => html! {
                p { "Nothing is left in " code { (source) } " but a tombstone." }
            },
            Left::TargetTombstone => html! {
                p { "The tenant stayed in " code { (source) } ". Nothing is left in " code { (target) } "." }
            },
            Left::Purging => html! {
                p { "What " code { (target) } " holds is being purged." }
            },
            Left::Undecided => return html! {},
        };
        html! {
            section.card aria-labelledby="kept" {
                header { h2 #kept { "What is kept" } }
                div.inside { div.tight { (told) } }
            }
        }
    }

    /// When the old source may be purged at the earliest.
    fn due(&self) -> Option<Timestamp> {
        let one = &self.live.migration;
        let kept = i64::try_from(one.config.source_retention_seconds).unwrap_or(i64::MAX);
        one.completed_at?.checked_add(SignedDuration::from_secs(kept)).ok()
    }

    fn facts(&self) -> Markup {
        let Migration { config, .. } = &self.live.migration;
        let one = &self.live.migration;
        let switch = |is_on: bool| html! { (if is_on { "yes" } else { "no" }) };
        html! {
            section.card aria-labelledby="facts" {
                header { h2 #facts { "Facts" } }
                div.inside {
                    (pairs(&[
                        ("Move", html! { code { (one.id) } }),
                        ("Tenant", html! { a.mono href=(paths::tenant(one.tenant_id)) { (one.tenant_id) } }),
                        ("Began to copy", moment(one.started_at, self.live.now)),
                        ("Decided", moment(one.completed_at, self.live.now)),
                        ("Carried on by", html! {
                            @match one.coordinator { Some(process) => code { (process) }, None => "nobody yet" }
                        }),
                    ]))
                    details.more {
                        summary { "Settings" }
                        (pairs(&[
                            ("Verification", html! { (config.verification_level.as_str()) ", " (config.sample_percentage) " %" }),
                            ("Cuts over by itself", switch(config.auto_cutover)),
                            ("Longest cutover", html! { (lasting(config.cutover_timeout_seconds)) }),
                            ("Close enough", html! { (words::counted(config.sync_lag_threshold, "event")) }),
                            ("Looks every", html! { (lasting(config.sync_check_interval)) }),
                            ("Writes wait for the target", switch(config.synchronous_dual_write)),
                            ("Way back", switch(config.keep_way_back)),
                            ("Old source kept", html! { (lasting(config.source_retention_seconds as f64)) }),
                            ("Copies at most", html! {
                                @match config.max_bulk_copy_rate {
                                    Some(rate) => (crate::console::lengths::rate(rate)),
                                    None => "as much as writers leave",
                                }
                            }),
                            ("Page of the copy", html! { (words::counted(u64::from(config.batch_size), "event")) }),
                            ("Stores that may forget", switch(config.allow_unsafe_durability)),
                        ]))
                    }
                }
            }
        }
    }
}

/// What a move has left behind, beside the tenant's home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Nothing is decided yet.
    Undecided,
    /// The old source keeps a copy, for a way back.
    Copy,
    /// It keeps it until then.
    Until(Timestamp),
    /// Only a tombstone stayed in the old source.
    SourceTombstone,
    /// What the target holds is being purged.
    Purging,
    /// Nothing stayed in the target.
    TargetTombstone,
}

impl Left {
    fn of(stage: Option<&Stage>, state: MigrationState) -> Self {
        match stage {
            Some(Stage::Migrated { .. }) => Self::Copy,
            Some(Stage::Finishing { purge_at, .. }) => Self::Until(*purge_at),
            Some(Stage::RollingBack) => Self::Purging,
            Some(
                Stage::Pending
                | Stage::BulkCopy
                | Stage::DualWrite
                | Stage::Paused { .. }
                | Stage::Failed { .. }
                | Stage::CutoverPaused { .. }
                | Stage::Reopening { .. },
            ) => Self::Undecided,
            None => match state {
                MigrationState::Migrated => Self::SourceTombstone,
                MigrationState::RolledBack => Self::TargetTombstone,
                MigrationState::Pending
                | MigrationState::BulkCopy
                | MigrationState::DualWrite
                | MigrationState::CutoverPaused
                | MigrationState::Failed
                | MigrationState::Paused => Self::Undecided,
            },
        }
    }
}

fn moment(at: Option<Timestamp>, now: Timestamp) -> Markup {
    html! {
        @match at { Some(at) => (words::when(at, now)), None => span.quiet { "not yet" } }
    }
}

#[cfg(test)]
mod tests {
    use segue_core::tenancy::migration::FailureStats;

    use super::*;
    use crate::console::check;
    use crate::console::checks::{Check, Found};
    use crate::console::moves::phase::{Act, allowed};
    use crate::console::moves::sample;
    use crate::tenants::coordinator::repair::Repaired;
    use crate::tenants::course::Source;
    use crate::tenants::verify::Progress;
    use crate::tenants::{Course, MigrationError};

    fn view(migration: Migration, stage: Option<Stage>) -> View {
        let mut course = Course::default();
        sample::moments().into_iter().for_each(|moment| course.see(moment, Source::Told));
        let told = vec!["Next: `segue <script>`".to_owned()];
        let now = sample::at(600);
        View {
            verification: Verification {
                now,
                id: migration.id,
                last: migration.verification.clone(),
                check: None,
                repair: None,
            },
            live: live::View {
                now,
                migration,
                stage,
                told,
                course,
                span: Span::Lately,
                told_aloud: None,
            },
            record: Record {
                failures: FailureStats {
                    total_failures: 2,
                    total_events_failed: 5,
                    ..Default::default()
                },
                subscriptions: Some(sample::subscriptions()),
                is_migrated: false,
                audit: sample::decisions(),
                decisions: 40,
            },
            typed: Typed::default(),
            refused: None,
            done: None,
        }
    }

    async fn shown(view: &View) -> String {
        check::shown(view.page(&Viewer::sample())).await
    }

    #[tokio::test]
    async fn every_stage_has_a_page_with_what_may_be_done_there_and_nothing_else() {
        for (state, stage) in sample::stages() {
            let html = shown(&view(sample::full(state), Some(stage.clone()))).await;
            for act in Act::ALL {
                let action = format!(r#"action="{}""#, paths::act(sample::id(), act.word()));
                let is_allowed = allowed(Some(&stage)).contains(&act)
                    && !(act == Act::CutOver && sample::full(state).cutover.requested);
                assert_eq!(html.contains(&action), is_allowed, "{act:?} in {stage:?}");
            }
            assert!(html.contains("hx-get"), "it is followed: {stage:?}");
        }
    }

    #[tokio::test]
    async fn a_move_that_is_over_is_not_followed_and_offers_nothing() {
        for migration in sample::of_every_state() {
            let over = Migration { is_active: false, ..migration };
            let html = shown(&view(over, None)).await;
            assert!(!html.contains("hx-get") && !html.contains("What you can do"), "{html}");
            assert!(html.contains("This move is over"));
        }
    }

    #[tokio::test]
    async fn progress_rate_lag_and_pauses_are_told_in_numbers_and_in_pictures() {
        let html =
            shown(&view(sample::full(MigrationState::BulkCopy), Some(Stage::BulkCopy))).await;
        for told in [
            "41 %",
            "512,000 of 1,234,567 events",
            "about 39 s to go",
            "18,300/s",
            "12.3 ms",
            "5 s",
            "722,567",
            "the pause exceeded its budget",
            "does not answer",
            "As this server saw it",
            "event 17 &lt;script&gt; differs",
            "of 25 % of the events",
            "billing",
            "some come again",
            "5 events",
            "3 of 40",
            "<code>segue &lt;script&gt;</code>",
        ] {
            assert!(html.to_lowercase().contains(&told.to_lowercase()), "{told}");
        }
        assert_eq!(html.matches("<figure").count(), 3);
    }

    #[test]
    fn a_quarter_of_the_copy_is_told_aloud_once() {
        let mut part = view(sample::full(MigrationState::BulkCopy), Some(Stage::BulkCopy)).live;
        let aloud = |part: &live::View| {
            let html = part.markup().into_string();
            check::fragment(&html);
            html.split_once("id=\"aloud\"").map(|(_, said)| said.to_owned())
        };
        assert!(!aloud(&part).unwrap().contains("is copied"), "nobody is told what they can read");
        part.told_aloud = Some(0);
        assert!(aloud(&part).unwrap().contains("25 % is copied"));
        part.told_aloud = Some(1);
        assert_eq!(aloud(&part), None);
    }

    #[tokio::test]
    async fn after_the_cutover_it_says_what_is_kept_and_until_when() {
        let mark = segue_core::digest::Mark::START;
        let migrated =
            view(sample::full(MigrationState::Migrated), Some(Stage::Migrated { at: mark }));
        let html = shown(&migrated).await;
        assert!(html.contains("follows <code>dedicated</code>, for a way back"), "{html}");
        assert!(html.contains("not before") && html.contains("28 Nov 2026, 09:53:32"), "{html}");
        let purge_at = sample::at(90_000);
        let finishing = Stage::Finishing { at: mark, purge_at };
        let html = shown(&view(sample::full(MigrationState::Migrated), Some(finishing))).await;
        assert!(html.contains("is purged at") && html.contains("Purge the old copy now"), "{html}");
    }

    #[tokio::test]
    async fn what_is_refused_or_mistyped_is_said_where_it_was_asked() {
        let mut refused = view(sample::full(MigrationState::DualWrite), Some(Stage::DualWrite));
        refused.typed = Typed {
            act: Some(Act::CutOver),
            confirm: "<script>".to_owned(),
            wrong: Some(("target", "Type dedicated here; nothing was done.".to_owned())),
            ..Typed::default()
        };
        let error = MigrationError::Consistency {
            migration_id: sample::id(),
            details: "<script>".to_owned(),
        };
        refused.refused = Some(Refused::of(error.into()));
        let html = shown(&refused).await;
        for told in [
            "nothing was done",
            "value=\"&lt;script&gt;\"",
            "repair it, then cut over again",
            "open",
        ] {
            assert!(html.contains(told), "{told}");
        }
    }

    #[tokio::test]
    async fn a_comparison_that_runs_is_followed_and_what_came_of_it_stays() {
        let mut view = view(sample::full(MigrationState::DualWrite), Some(Stage::DualWrite));
        let progress = Progress {
            position: segue_core::ids::Position(50),
            last_position: segue_core::ids::Position(200),
            streams_checked: 0,
        };
        let since = sample::at(590);
        view.verification.check = Some(Check::Running { since, progress: Some(progress) });
        let html = shown(&view).await;
        assert!(html.contains("25 %, position 50 of 200"), "{html}");
        let reason = "store <script> does not answer".to_owned();
        view.verification.check = Some(Check::Failed { at: since, reason });
        let repaired = Repaired {
            migration: sample::full(MigrationState::DualWrite),
            violations: Vec::new(),
            from_position: segue_core::ids::Position(700),
            to_position: segue_core::ids::Position(16),
        };
        view.verification.repair =
            Some(Check::Ended { at: since, found: Found::Repaired(Box::new(repaired)) });
        let html = shown(&view).await;
        assert!(
            html.contains("Store &lt;script&gt; does not answer") && html.contains("700 to 16"),
            "{html}"
        );
    }

    #[tokio::test]
    async fn a_cutover_that_is_asked_for_is_not_offered_again() {
        let mut migration = sample::full(MigrationState::DualWrite);
        migration.cutover.requested = true;
        let html = shown(&view(migration, Some(Stage::DualWrite))).await;
        assert!(
            html.contains("The cutover is asked for") && !html.contains("/cutover\""),
            "{html}"
        );
    }
}
