//! `/console/tenants/{tenant}`: one tenant: where it lives, in words; whether it is written; its moves; and whether
//! what was written is still what is there.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use segue_core::digest::Mark;
use segue_core::ids::TenantId;
use segue_store::control::Page as Part;
use segue_store::control::audit::{self, Subject};
use segue_store::control::migrations::Filter;
use segue_store::events::Access;

use super::address::Path;
use super::answer::{Page, Trouble, done};
use super::checks::{About, Check, Found};
use super::done::Done;
use super::frame::{Frame, Place};
use super::lengths::lasting;
use super::moves::verification::{differences, failed, running};
use super::parts::{Tone, alert, badge, empty, heading, pairs};
use super::sent::Asked;
use super::viewer::Viewer;
use super::{home, moves, paths, told, words};
use crate::error::{Error, Kind};
use crate::http::App;
use crate::http::verify::turn;
use crate::tenants::verify::Report;
use crate::tenants::{Migration, TenantState, TenantView, Verification};

/// How many of its moves are shown.
const MOVES: u32 = 10;

/// How many decisions are shown.
const LINES: u32 = 6;

/// What the page shows.
#[derive(Debug)]
struct View {
    now: Timestamp,
    tenant: TenantView,
    has_other_stores: bool,
    moves: Vec<Migration>,
    moves_total: u64,
    decisions: Vec<audit::Entry>,
    check: Option<Check>,
    trouble: Option<Trouble>,
    done: Option<Done>,
}

/// Shows it.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path(tenant): Path<TenantId>,
    Asked(asked): Asked,
) -> Result<Page, Trouble> {
    let mut view = View::read(&app, tenant).await?;
    view.done = Done::of(asked.text("done"));
    Ok(Page(view.page(&viewer)))
}

/// Pauses its writes.
pub async fn pause(
    State(app): State<App>,
    viewer: Viewer,
    Path(tenant): Path<TenantId>,
) -> Result<Response, Trouble> {
    let by = viewer.by(app.clock.now());
    let paused = app.opened.router.pause_writes(tenant, &by).await;
    after(&app, &viewer, tenant, paused.map(|_| Done::WritesPaused)).await
}

/// Lets its writes go on.
pub async fn resume(
    State(app): State<App>,
    viewer: Viewer,
    Path(tenant): Path<TenantId>,
) -> Result<Response, Trouble> {
    let by = viewer.by(app.clock.now());
    let resumed = app.opened.router.resume_writes(tenant, &by).await;
    after(&app, &viewer, tenant, resumed.map(|_| Done::WritesResumed)).await
}

/// Begins to verify its log; the page follows that.
pub async fn verify(
    State(app): State<App>,
    viewer: Viewer,
    Path(tenant): Path<TenantId>,
) -> Result<Response, Trouble> {
    let begun = begin_to_verify(&app, tenant).await;
    after(&app, &viewer, tenant, begun.map(|()| Done::Verifying)).await
}

/// Answers with the part that tells how far a verification is.
pub async fn check(State(app): State<App>, Path(tenant): Path<TenantId>) -> Page {
    let check = app.checks.of(About::Log(tenant));
    Page(card(tenant, check.as_ref(), app.clock.now()))
}

/// Leads back to the tenant, for whoever opens the address of something that was asked of it.
pub async fn back(Path(tenant): Path<TenantId>) -> Redirect {
    Redirect::to(&paths::tenant(tenant))
}

/// The page, or the way to it, after something was done or refused.
async fn after(
    app: &App,
    viewer: &Viewer,
    tenant: TenantId,
    outcome: Result<Done, Error>,
) -> Result<Response, Trouble> {
    match outcome {
        Ok(word) => Ok(done(&paths::tenant(tenant), word).into_response()),
        Err(error) => {
            let trouble = Trouble::from(error);
            let mut view = View::read(app, tenant).await?;
            let status = trouble.status;
            view.trouble = Some(trouble);
            Ok((status, Page(view.page(viewer))).into_response())
        }
    }
}

async fn begin_to_verify(app: &App, tenant: TenantId) -> Result<(), Error> {
    let home = app.opened.router.home(tenant).await?;
    let home = home.ok_or(Error::NotFound { kind: Kind::Tenant, id: tenant.to_string() })?;
    let permit = turn()?;
    let verification = Verification {
        store_id: home.route.store_id,
        store: home.store,
        tenant,
        // Also while a move is under way: what was appended does not change.
        access: Access::Copy,
        from: Mark::START,
    };
    let clock = app.clock.clone();
    app.checks.begin(
        About::Log(tenant),
        &app.live,
        move || clock.now(),
        |teller| async move {
            let _permit = permit;
            let report = verification.run(|progress| teller.tell(progress)).await?;
            Ok(Found::Log(Box::new(report)))
        },
    );
    Ok(())
}

impl View {
    async fn read(app: &App, id: TenantId) -> Result<Self, Trouble> {
        let opened = &app.opened;
        let of_tenant = Filter { tenant: Some(id), ..Filter::default() };
        let decided = audit::Filter { subjects: vec![Subject::Tenant], ..audit::Filter::default() };
        let (tenant, moves, lines) = tokio::join!(
            opened.router.tenant_view(id),
            opened.moves.list_migrations(&of_tenant, MOVES, None),
            opened.control.list_audit(id, &decided, Part::first(LINES))
        );
        let (tenant, moves, lines) = (tenant?, moves?, lines.map_err(Error::from)?);
        Ok(Self {
            now: app.clock.now(),
            has_other_stores: opened.router.stores().count() > 1,
            tenant,
            moves: moves.migrations,
            moves_total: moves.total,
            decisions: lines.items,
            check: app.checks.of(About::Log(id)),
            trouble: None,
            done: None,
        })
    }

    fn id(&self) -> TenantId {
        self.tenant.tenant_id
    }

    fn page(&self, viewer: &Viewer) -> Markup {
        let id = self.id();
        let trail = [("Tenants".to_owned(), paths::TENANTS.to_owned())];
        let title = format!("Tenant {id}");
        let place = Place::Tenant(id);
        let frame = Frame { place, title: &title, trail: &trail, viewer: Some(viewer) };
        frame.around(html! {
            (heading(
                html! { h1 { "Tenant" } (home::state(self.tenant.state)) },
                html! { p { code { (id) } } },
                self.actions(),
            ))
            (Done::shown(self.done))
            @if let Some(trouble) = &self.trouble {
                div role="alert" { (alert(Tone::Bad, "That was not done", html! { p { (trouble.message) } })) }
            }
            div.split {
                div.stack {
                    (self.situation())
                    (self.moves())
                    (card(id, self.check.as_ref(), self.now))
                }
                aside.stack aria-label="About this tenant" {
                    (self.facts())
                    (self.writes())
                    (self.decisions())
                }
            }
        })
    }

    fn actions(&self) -> Markup {
        html! {
            @match self.tenant.migration_id {
                Some(moving) => a.button.first href=(paths::one_move(moving)) { "See its move" },
                None if self.has_other_stores => a.button.first href=(paths::start_move(self.id())) { "Move it…" },
                None => {}
            }
        }
    }

    /// Where it stands, in words.
    fn situation(&self) -> Markup {
        let lines: Vec<String> = self.tenant.explanation.lines().map(words::sentence).collect();
        html! {
            section.card aria-labelledby="situation" {
                header { h2 #situation { "Where it stands" } }
                div.inside { (told::sentences(lines.iter().map(String::as_str))) }
            }
        }
    }

    fn moves(&self) -> Markup {
        let all = paths::asking(paths::MOVES, &[("tenant", &self.id().to_string())]);
        html! {
            section.card aria-labelledby="moves" {
                header {
                    h2 #moves { "Its moves" }
                    @if self.moves_total > self.moves.len() as u64 { a href=(all) { "All " (words::count(self.moves_total)) } }
                }
                @if self.moves.is_empty() {
                    (empty("It has never moved", html! {
                        @if self.has_other_stores {
                            p { a href=(paths::start_move(self.id())) { "Ask what a move would mean" } ". That changes nothing." }
                        } @else {
                            p { "There is no other store to move to." }
                        }
                    }))
                } @else {
                    (moves::table(&self.moves, self.now, moves::Shown::MovesOnly))
                }
            }
        }
    }

    fn facts(&self) -> Markup {
        let tenant = &self.tenant;
        html! {
            section.card aria-labelledby="facts" {
                header { h2 #facts { "Facts" } }
                div.inside {
                    (pairs(&[
                        ("Lives in", html! { strong { (tenant.store_id) } }),
                        ("Epoch", html! { (tenant.epoch.0) }),
                        ("Events", html! {
                            @match tenant.position {
                                Some(position) => (words::count(position.0)),
                                None => span.quiet { "its store does not say" },
                            }
                        }),
                        ("Digest", html! {
                            @match &tenant.digest {
                                Some(digest) => code { (digest) },
                                None => span.quiet { "its store does not say" },
                            }
                        }),
                        ("Placed", words::when(tenant.placed_at, self.now)),
                        ("Work", html! { a href=(paths::scenarios(self.id())) { "Scenarios and sessions" } }),
                    ]))
                }
            }
        }
    }

    /// Whether it is written, and the button that changes that.
    fn writes(&self) -> Markup {
        let is_paused = match self.tenant.state {
            TenantState::Paused => true,
            TenantState::Normal
            | TenantState::BulkCopy
            | TenantState::DualWrite
            | TenantState::CutoverPaused
            | TenantState::Migrated => false,
        };
        let path = |act: &str| paths::of_tenant(self.id(), act);
        html! {
            section.card aria-labelledby="writes" {
                header {
                    h2 #writes { "Writes" }
                    @if is_paused { (badge(Tone::Warn, "Paused")) } @else { (badge(Tone::Good, "Go on")) }
                }
                div.inside {
                    @if is_paused {
                        p.small { "Every write waits for a while and is then refused. Reads go on." }
                        form action=(path("resume-writes")) method="post" { button.first { "Let writes go on" } }
                    } @else {
                        p.small { "Paused, every write waits for a while and is then refused, on every server, until somebody lets them go on. Reads go on. A move does not need it." }
                        form action=(path("pause-writes")) method="post" { button.danger { "Pause writes" } }
                    }
                }
            }
        }
    }

    fn decisions(&self) -> Markup {
        let id = self.id().to_string();
        let all = paths::asking(paths::DECIDED, &[("tenant", &id)]);
        html! {
            section.card aria-labelledby="decisions" {
                header { h2 #decisions { "Decisions" } a href=(all) { "All of them" } }
                @if self.decisions.is_empty() { div.inside { p.quiet { "None yet." } } } @else {
                    ul.lines { @for line in &self.decisions {
                        li {
                            span { (words::capital(line.action.as_str())) span.under { "by " (line.actor) } }
                            span.quiet.small { (words::when(line.at, self.now)) }
                        }
                    } }
                }
            }
        }
    }
}

/// The verification of its log; refreshes itself while one goes on.
fn card(tenant: TenantId, check: Option<&Check>, now: Timestamp) -> Markup {
    let is_live = matches!(check, Some(Check::Running { .. }));
    let path = paths::of_tenant(tenant, "check");
    html! {
        section.card #check aria-labelledby="verification" hx-get=[is_live.then_some(path)]
            hx-trigger=[is_live.then_some("every 1s")] hx-swap="outerHTML" {
            header {
                h2 #verification { "Is what was written still there?" }
                @if let Some(Check::Ended { found: Found::Log(report), .. }) = check { (verdict(report)) }
            }
            div.inside aria-live="polite" {
                @match check {
                    None => p.quiet { "Every event is read back and hashed again, and the chain compared with the digests that were kept on the way. Reads and writes go on." },
                    Some(Check::Running { since, progress }) => (running(*since, progress.as_ref(), now)),
                    Some(Check::Failed { at, reason }) => (failed(reason, *at, now)),
                    Some(Check::Ended { at, found: Found::Log(report) }) => (found(report, *at, now)),
                    // What is about a move is shown there.
                    Some(Check::Ended { found: Found::Copy(_) | Found::Repaired(_), .. }) => {}
                }
                @if !is_live {
                    form action=(paths::of_tenant(tenant, "verify")) method="post" {
                        button { @if check.is_none() { "Verify the log" } @else { "Verify again" } }
                    }
                }
            }
        }
    }
}

fn verdict(report: &Report) -> Markup {
    if report.is_sound { badge(Tone::Good, "Sound") } else { badge(Tone::Bad, "Damaged") }
}

/// What a verification found.
fn found(report: &Report, at: Timestamp, now: Timestamp) -> Markup {
    let damages = report.damages.iter().map(|damage| damage.message.as_str());
    let streams = report.streams.iter().map(|stream| stream.message.as_str());
    html! {
        p {
            (words::counted(report.events_checked, "event")) " and "
            (words::counted(report.streams_checked, "stream")) " read back in " (lasting(report.seconds))
            ", from " code { (report.store_id) } ". "
            span.quiet { (words::when(at, now)) }
        }
        @if !report.is_sound {
            p {
                (words::counted(report.damages_total, "damage")) " and "
                (words::counted(report.streams_damaged, "damaged stream")) ". It is proven up to position "
                (words::count(report.sound_up_to.position.0)) "."
            }
            (differences(damages.chain(streams)))
        }
    }
}

#[cfg(test)]
mod tests {
    use segue_core::ids::Position;

    use super::*;
    use crate::console::check;
    use crate::console::moves::sample;
    use crate::tenants::verify::{DamagedRange, DamagedStream, Progress};

    fn view(state: TenantState) -> View {
        View {
            now: sample::at(600),
            tenant: sample::tenant(state),
            has_other_stores: true,
            moves: sample::of_every_state(),
            moves_total: 40,
            decisions: sample::decisions(),
            check: None,
            trouble: None,
            done: None,
        }
    }

    async fn shown(view: &View) -> String {
        check::shown(view.page(&Viewer::sample())).await
    }

    #[tokio::test]
    async fn a_tenant_tells_where_it_lives_what_comes_next_and_what_was_decided() {
        let html = shown(&view(TenantState::DualWrite)).await;
        for told in
            ["Lives in store", "Next: the cutover", "See its move", "All 40", "Pause writes"]
        {
            assert!(html.contains(told), "{told}");
        }
        let mut still = view(TenantState::Normal);
        still.tenant.migration_id = None;
        still.moves.clear();
        let html = shown(&still).await;
        assert!(html.contains("Move it…") && html.contains("It has never moved"));
    }

    #[tokio::test]
    async fn paused_writes_are_let_go_on_by_the_same_page() {
        let html = shown(&view(TenantState::Paused)).await;
        assert!(html.contains("Let writes go on") && !html.contains("Pause writes"));
    }

    #[tokio::test]
    async fn what_a_verification_found_is_told_and_one_that_runs_is_followed() {
        let mut view = view(TenantState::Normal);
        let (position, last_position) = (Position(100), Position(400));
        let progress = Some(Progress { position, last_position, streams_checked: 0 });
        view.check = Some(Check::Running { since: sample::at(590), progress });
        let html = shown(&view).await;
        assert!(html.contains("25 %") && html.contains("every 1s"), "{html}");
        view.check =
            Some(Check::Ended { at: sample::at(590), found: Found::Log(Box::new(damaged())) });
        let html = shown(&view).await;
        for told in ["Damaged", "payload &lt;script&gt;", "proven up to position 7", "Verify again"]
        {
            assert!(html.to_lowercase().contains(&told.to_lowercase()), "{told}");
        }
        view.check =
            Some(Check::Failed { at: sample::at(590), reason: "gone <script>".to_owned() });
        assert!(shown(&view).await.contains("Gone &lt;script&gt;"));
    }

    fn damaged() -> Report {
        Report {
            tenant_id: check::tenant(),
            store_id: "shared".parse().unwrap(),
            is_sound: false,
            sound_up_to: Mark { position: Position(7), ..Mark::START },
            first_damaged_position: Some(Position(8)),
            damages: vec![DamagedRange {
                first_position: Position(8),
                last_position: Position(8),
                damage: "payload".to_owned(),
                message: "the payload <script> differs".to_owned(),
            }],
            damages_total: 1,
            streams: vec![DamagedStream { stream_id: None, message: "stream <script>".to_owned() }],
            streams_damaged: 1,
            events_checked: 400,
            streams_checked: 3,
            seconds: 0.2,
        }
    }
}
