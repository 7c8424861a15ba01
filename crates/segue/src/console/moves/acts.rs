//! What an operator asks of a move by a form, carried out by the library: then the move's page says what was
//! done. What is refused is shown on that page in the words of the library, with what was typed.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use segue_core::digest::Mark;
use segue_core::ids::MigrationId;
use segue_store::control::By;
use segue_store::events::limits::REASON_BYTES;

use super::forms::Typed;
use super::one::{Refused, View};
use super::options;
use super::phase::Act;
use crate::console::address::Path;
use crate::console::answer::{Page, Trouble, done};
use crate::console::checks::{About, Found};
use crate::console::done::Done;
use crate::console::sent::Sent;
use crate::console::viewer::Viewer;
use crate::console::{paths, words};
use crate::error::Error;
use crate::http::App;
use crate::http::moves::steps::{MANUALLY, patience};
use crate::http::verify::turn;
use crate::tenants::Migration;
use crate::tenants::coordinator::verification::Asked;
use crate::tenants::coordinator::{MigrationCoordinator, Outcome};

/// How long a browser waits for a cutover; its page follows what is not over by then.
const PATIENCE: Duration = Duration::from_secs(4);

/// Why nothing was done.
enum Failure {
    /// What was typed.
    Typed(&'static str, String),
    /// The library refused.
    Refused(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// What was done.
struct Carried {
    done: Done,
    /// The move to look at.
    at: MigrationId,
}

/// Carries it out.
pub async fn act(
    State(app): State<App>,
    viewer: Viewer,
    Path((id, word)): Path<(MigrationId, String)>,
    sent: Sent,
) -> Result<Response, Trouble> {
    let path = paths::act(id, &word);
    let act = Act::of(&word).ok_or_else(|| Trouble::no_such_page(&path))?;
    let migration = app.opened.moves.get_migration(id).await?;
    let by = viewer.by(app.clock.now());
    let failure = match carry_out(&app, &migration, act, &sent, &by).await {
        Ok(Carried { done: word, at }) => {
            return Ok(done(&paths::one_move(at), word).into_response());
        }
        Err(failure) => failure,
    };
    let mut typed = Typed {
        act: Some(act),
        confirm: sent.text(confirmed_by(act)).to_owned(),
        reason: sent.text("reason").to_owned(),
        level: sent.text("level").to_owned(),
        sample: sent.text("sample_percentage").to_owned(),
        wrong: None,
    };
    let refused = match failure {
        Failure::Typed(field, message) => {
            typed.wrong = Some((field, message));
            None
        }
        Failure::Refused(error) => Some(Refused::of(error)),
    };
    let status = refused.as_ref().map_or(axum::http::StatusCode::BAD_REQUEST, Refused::status);
    let view = View::read(&app, id, typed, refused, "").await?;
    Ok((status, Page(view.page(&viewer))).into_response())
}

/// Leads back to the move, for whoever opens the address of something that was asked of it.
pub async fn back(Path((id, _)): Path<(MigrationId, String)>) -> Redirect {
    Redirect::to(&paths::one_move(id))
}

/// The field that confirms an act.
fn confirmed_by(act: Act) -> &'static str {
    match act {
        Act::CutOver => "target",
        Act::Reverse => "source",
        Act::Pause
        | Act::Resume
        | Act::Abort
        | Act::Finish
        | Act::FinishNow
        | Act::Verify
        | Act::Repair => "",
    }
}

async fn carry_out(
    app: &App,
    migration: &Migration,
    act: Act,
    sent: &Sent,
    by: &By,
) -> Result<Carried, Failure> {
    let (moves, id) = (&app.opened.moves, migration.id);
    let here = |done| Ok(Carried { done, at: id });
    match act {
        Act::Pause => {
            moves.pause_migration(id, by).await?;
            here(Done::MovePaused)
        }
        Act::Resume => {
            moves.resume_migration(id, by).await?;
            here(Done::MoveResumed)
        }
        Act::CutOver => {
            confirmed(sent, "target", migration.target_store_id.as_str())?;
            let patience = patience(app).min(PATIENCE);
            match moves.initiate_cutover(id, sent.has("force"), by, patience).await? {
                Outcome::Migrated(_) => here(Done::Moved),
                Outcome::Standing(_) => here(Done::CutoverAsked),
            }
        }
        Act::Abort => here(abort(app, id, sent, by).await?),
        Act::Reverse => {
            confirmed(sent, "source", migration.source_store_id.as_str())?;
            let back = moves.reverse(id, by).await?;
            Ok(Carried { done: Done::Reversed, at: back.id })
        }
        Act::Finish => here(finish(moves, id, sent.has("now"), sent.has("abandon"), by).await?),
        Act::FinishNow => here(finish(moves, id, true, sent.has("abandon"), by).await?),
        Act::Verify => here(verify(app, id, sent, by)?),
        Act::Repair => here(repair(app, id, by)?),
    }
}

/// Whether the name was typed that confirms something.
fn confirmed(sent: &Sent, field: &'static str, name: &str) -> Result<(), Failure> {
    if sent.text(field) == name {
        return Ok(());
    }
    let message = format!("Type {name} here; nothing was done.");
    Err(Failure::Typed(field, message))
}

async fn abort(app: &App, id: MigrationId, sent: &Sent, by: &By) -> Result<Done, Failure> {
    let moves = &app.opened.moves;
    let reason = sent.given("reason").unwrap_or(MANUALLY);
    if reason.len() > REASON_BYTES {
        let message = format!(
            "A reason has at most {} bytes, this one has {}.",
            words::length(REASON_BYTES),
            words::length(reason.len())
        );
        return Err(Failure::Typed("reason", message));
    }
    if sent.has("abandon") {
        moves.abort_and_abandon(id, reason, by).await?;
        return Ok(Done::MoveAborted);
    }
    let aborting = moves.abort_migration(id, reason, by);
    match tokio::time::timeout(patience(app).min(PATIENCE), aborting).await {
        Ok(aborted) => drop(aborted?),
        // It is decided, or the control plane does not answer; reading the move tells which.
        Err(_elapsed) => drop(moves.get_migration(id).await?),
    }
    Ok(Done::MoveAborted)
}

async fn finish(
    moves: &MigrationCoordinator,
    id: MigrationId,
    now: bool,
    abandons: bool,
    by: &By,
) -> Result<Done, Failure> {
    if abandons {
        moves.finish_and_abandon(id, by).await?;
    } else {
        moves.finish(id, now, by).await?;
    }
    Ok(Done::MoveFinished)
}

/// Begins to compare the copy; the page follows that.
fn verify(app: &App, id: MigrationId, sent: &Sent, by: &By) -> Result<Done, Failure> {
    let level = match sent.text("level") {
        "" => None,
        text => Some(options::level(text).map_err(|wrong| Failure::Typed("level", wrong))?),
    };
    let sample = sent.text("sample_percentage");
    let sample = Some(sample).filter(|sample| !sample.is_empty()).map(str::parse::<f64>);
    let is_share = |sample: &f64| *sample > 0.0 && *sample <= 100.0;
    let sample_percentage = match sample {
        None => None,
        Some(Ok(sample)) if is_share(&sample) => Some(sample),
        Some(_) => {
            let message = "A percentage over 0, up to 100.".to_owned();
            return Err(Failure::Typed("sample_percentage", message));
        }
    };
    let permit = turn()?;
    let (moves, by, clock) = (app.opened.moves.clone(), by.clone(), app.clock.clone());
    app.checks.begin(
        About::Copy(id),
        &app.live,
        move || clock.now(),
        |teller| async move {
            let _permit = permit;
            let asked = Asked { level, sample_percentage, from: Mark::START };
            let report = moves.verify(id, asked, &by, |progress| teller.tell(progress)).await?;
            Ok(Found::Copy(Box::new(report)))
        },
    );
    Ok(Done::Verifying)
}

/// Begins to mend the copy; the page follows that.
fn repair(app: &App, id: MigrationId, by: &By) -> Result<Done, Failure> {
    let permit = turn()?;
    let (moves, by, clock) = (app.opened.moves.clone(), by.clone(), app.clock.clone());
    app.checks.begin(
        About::Repair(id),
        &app.live,
        move || clock.now(),
        |_| async move {
            let _permit = permit;
            // Once begun it goes on, also when the server is asked to stop meanwhile.
            let repairing = tokio::spawn(async move { moves.repair(id, &by).await });
            let repaired = repairing.await.unwrap_or_else(|broken| {
                let (what, reason) = ("the repair", broken.to_string());
                Err(Error::Unavailable { what, reason, source: None })
            });
            Ok(Found::Repaired(Box::new(repaired?)))
        },
    );
    Ok(Done::Repairing)
}
