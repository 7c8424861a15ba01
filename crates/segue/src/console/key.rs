//! `/console/keys/{key}`: one API key: what it may, what was decided about it, and how it ends.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use segue_core::ids::KeyId;
use segue_store::control::audit::{Entry, Filter, PLATFORM, Subject};
use segue_store::control::keys::Key;
use segue_store::control::{Error as ControlError, Listing, Page as Part};

use super::address::Path;
use super::answer::{Page, Trouble, done};
use super::done::Done;
use super::frame::{Frame, Place};
use super::keys::{roles, state, used, whose};
use super::parts::{Field, Tone, alert, heading, pairs};
use super::sent::{Asked, Sent};
use super::viewer::Viewer;
use super::{decided, paths, words};
use crate::auth::keyring::Rotation;
use crate::auth::secret::Secret;
use crate::error::{Error, Kind};
use crate::http::App;

/// How many decisions are shown.
const LINES: u32 = 20;

/// How long an old key may go on, in seconds, and in words.
const OVERLAPS: [(u64, &str); 5] = [
    (0, "Not at all: it ends at once"),
    (60 * 60, "An hour"),
    (24 * 60 * 60, "A day"),
    (7 * 24 * 60 * 60, "A week"),
    (30 * 24 * 60 * 60, "30 days"),
];

/// What stands in the form before anything is chosen: long enough to bring a new key out.
const OVERLAP: &str = "86400";

/// The forms of the page.
const ROTATE: &str = "rotate";
const REVOKE: &str = "revoke";

/// What the page shows.
#[derive(Debug)]
struct View {
    now: Timestamp,
    key: Key,
    decisions: Listing<Entry>,
    refused: Option<Refused>,
    done: Option<Done>,
}

/// A form that was not carried out.
#[derive(Debug)]
struct Refused {
    form: &'static str,
    message: String,
    typed: Sent,
}

/// Shows it.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path(id): Path<KeyId>,
    Asked(asked): Asked,
) -> Result<Page, Trouble> {
    let mut view = View::read(&app, id).await?;
    view.done = Done::of(asked.text("done"));
    Ok(Page(view.page(&viewer)))
}

/// Leads back to the key, for whoever opens the address of something that was asked of it.
pub async fn back(Path(id): Path<KeyId>) -> Redirect {
    Redirect::to(&paths::key(id))
}

/// Makes a key in its place, and shows that, this once.
pub async fn rotate(
    State(app): State<App>,
    viewer: Viewer,
    Path(id): Path<KeyId>,
    sent: Sent,
) -> Result<Response, Trouble> {
    let chosen = sent.text("overlap").parse::<u64>().ok();
    let Some((overlap, _)) = OVERLAPS.into_iter().find(|(seconds, _)| Some(*seconds) == chosen)
    else {
        let message = "Choose one of these.".to_owned();
        return again(&app, &viewer, id, ROTATE, message, sent).await;
    };
    let (overlap, by) = (Duration::from_secs(overlap), viewer.actor());
    match app.access.keyring.rotate(id, overlap, &by).await {
        Ok(new) => Ok(made(&viewer, new)),
        Err(over @ Rotation::Over(_)) => {
            let message = format!("{}.", words::sentence(&over.to_string()));
            again(&app, &viewer, id, ROTATE, message, sent).await
        }
        Err(Rotation::Control(error)) => Err(not_found(error, id).into()),
    }
}

/// Revokes it.
pub async fn revoke(
    State(app): State<App>,
    viewer: Viewer,
    Path(id): Path<KeyId>,
    sent: Sent,
) -> Result<Response, Trouble> {
    let keyring = &app.access.keyring;
    let key = keyring.key(id).await.map_err(|error| not_found(error, id))?;
    if sent.text("confirmation") != key.name.trim() {
        let message = format!("Type “{}” to confirm; nothing was changed.", key.name);
        return again(&app, &viewer, id, REVOKE, message, sent).await;
    }
    keyring.revoke(id, &viewer.actor()).await.map_err(|error| not_found(error, id))?;
    Ok(done(&paths::key(id), Done::KeyRevoked).into_response())
}

/// The page with what was typed and what is wrong.
async fn again(
    app: &App,
    viewer: &Viewer,
    id: KeyId,
    form: &'static str,
    message: String,
    typed: Sent,
) -> Result<Response, Trouble> {
    let mut view = View::read(app, id).await?;
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    view.refused = Some(Refused { form, message, typed });
    Ok((status, Page(view.page(viewer))).into_response())
}

fn not_found(error: ControlError, id: KeyId) -> Error {
    match error {
        ControlError::NotFound(_) => Error::NotFound { kind: Kind::Key, id: id.to_string() },
        other => other.into(),
    }
}

/// A key that was made just now, with its secret.
pub fn made(viewer: &Viewer, (key, secret): (Key, Secret)) -> Response {
    (StatusCode::CREATED, Page(shown_once(viewer, &key, secret.reveal()))).into_response()
}

fn shown_once(viewer: &Viewer, key: &Key, secret: &str) -> Markup {
    let trail = [("API keys".to_owned(), paths::KEYS.to_owned())];
    let frame =
        Frame { place: Place::Keys, title: "A new API key", trail: &trail, viewer: Some(viewer) };
    frame.around(html! {
        (heading(
            html! { h1 { "A new API key" } },
            html! { p { "For " strong { (key.name) } ", with the roles " (roles(&key.roles)) "." } },
            html! {},
        ))
        section.card aria-labelledby="secret" {
            header { h2 #secret { "Take it now" } }
            div.inside {
                (alert(Tone::Warn, "It is not shown again", html! { p { "It is kept as a hash. Who loses it needs another one." } }))
                pre.secret { (secret) }
                p.actions { a.button.first href=(paths::key(key.id)) { "I have taken it" } }
            }
        }
    })
}

impl View {
    async fn read(app: &App, id: KeyId) -> Result<Self, Trouble> {
        let about = Filter {
            subjects: vec![Subject::Key],
            subject_id: Some(id.to_string()),
            ..Filter::default()
        };
        let (key, decisions) = tokio::join!(
            app.access.keyring.key(id),
            app.opened.control.list_audit(PLATFORM, &about, Part::first(LINES))
        );
        Ok(Self {
            now: app.clock.now(),
            key: key.map_err(|error| not_found(error, id))?,
            decisions: decisions.map_err(Error::from)?,
            refused: None,
            done: None,
        })
    }

    fn page(&self, viewer: &Viewer) -> Markup {
        let trail = [("API keys".to_owned(), paths::KEYS.to_owned())];
        let frame = Frame {
            place: Place::Keys,
            title: &self.key.name,
            trail: &trail,
            viewer: Some(viewer),
        };
        let is_own = viewer.holds(self.key.id);
        frame.around(html! {
            (heading(
                html! { h1 { (self.key.name) } (state(&self.key, self.now)) },
                html! { p { code { "segue_" (self.key.prefix) "…" } } },
                html! {},
            ))
            (Done::shown(self.done))
            @if let Some(refused) = &self.refused {
                div role="alert" { (alert(Tone::Bad, "That was not done", html! {
                    // A form that is still there says itself what was wrong with it.
                    @if !self.takes(refused.form) { p { (refused.message) } }
                })) }
            }
            div.split {
                div.stack { (self.decisions()) }
                aside.stack aria-label="About this key" {
                    (self.facts())
                    @if self.takes(ROTATE) { (self.rotation(is_own)) }
                    @if self.takes(REVOKE) { (self.revocation(is_own)) }
                }
            }
        })
    }

    /// Whether a form means something now.
    fn takes(&self, form: &str) -> bool {
        if form == ROTATE { self.key.is_valid(self.now) } else { self.key.revoked_at.is_none() }
    }

    fn facts(&self) -> Markup {
        let key = &self.key;
        let mut facts = vec![
            ("Roles", html! { (roles(&key.roles)) }),
            ("For", whose(key.tenant)),
            ("Last used", used(key, self.now)),
            ("Made", html! { (words::when(key.created_at, self.now)) " by " (key.created_by) }),
            (
                "Rate",
                html! {
                    @match key.requests_per_second {
                        Some(rate) => { (words::counted(rate, "request")) " a second" },
                        None => span.quiet { "as the server is configured" },
                    }
                },
            ),
        ];
        if let Some(end) = key.expires_at {
            facts.push(("Expires", words::exactly(end)));
        }
        match (key.revoked_at, key.superseded_at) {
            (Some(end), _) => facts.push(("Revoked", words::exactly(end))),
            (None, Some(end)) => facts.push(("Rotated, until", words::exactly(end))),
            (None, None) => {}
        }
        html! {
            section.card aria-labelledby="facts" {
                header { h2 #facts { "Facts" } }
                div.inside { (pairs(&facts)) }
            }
        }
    }

    fn decisions(&self) -> Markup {
        html! {
            section.card aria-labelledby="decisions" {
                header {
                    h2 #decisions { "What was decided about it" }
                    @if self.decisions.total > self.decisions.items.len() as u64 {
                        span.quiet { "the latest of " (words::count(self.decisions.total)) }
                    }
                }
                (decided::table(&self.decisions.items, self.now))
            }
        }
    }

    fn field<'a>(&'a self, form: &str, name: &'a str, label: &'a str) -> Field<'a> {
        let refused = self.refused.as_ref().filter(|refused| refused.form == form);
        Field {
            name,
            label,
            value: refused.map_or("", |refused| refused.typed.text(name)),
            wrong: refused.map(|refused| &*refused.message),
            hint: "",
        }
    }

    fn rotation(&self, is_own: bool) -> Markup {
        let overlaps = OVERLAPS.map(|(seconds, words)| (seconds.to_string(), words.to_owned()));
        let mut overlap = self.field(ROTATE, "overlap", "The old key goes on for");
        if overlap.value.is_empty() {
            overlap.value = OVERLAP;
        }
        html! {
            section.card aria-labelledby="rotation" {
                header { h2 #rotation { "Rotate" } }
                form.inside.fields action=(paths::of_key(self.key.id, ROTATE)) method="post" {
                    p.quiet.small {
                        "A new key of the same name, roles and limits takes its place. Meanwhile both open the same."
                        @if is_own { " You are logged in with this one, and are logged out when it ends." }
                    }
                    (overlap.select(&overlaps))
                    div.actions { button { "Rotate the key" } }
                }
            }
        }
    }

    fn revocation(&self, is_own: bool) -> Markup {
        let mut name = self.field(REVOKE, "confirmation", "Type the key's name to confirm");
        name.hint = &self.key.name;
        html! {
            section.card aria-labelledby="revocation" {
                header { h2 #revocation { "Revoke" } }
                form.inside.fields action=(paths::of_key(self.key.id, REVOKE)) method="post" {
                    p.quiet.small {
                        "It opens nothing any more, its streams end, and whoever is logged in with it is logged out. That cannot be undone."
                        @if is_own { " You are: you will need another key." }
                    }
                    (name.text())
                    div.actions { button.danger { "Revoke the key" } }
                }
            }
        }
    }
}

/// Keys for tests.
#[cfg(test)]
pub mod sample {
    use jiff::ToSpan;
    use segue_store::control::keys::{Role, Roles, Verifier};

    use super::*;
    use crate::console::check;
    use crate::console::moves::sample::at;

    /// A key that goes on.
    pub fn key() -> Key {
        Key {
            id: KeyId(uuid::Uuid::from_u128(1)),
            prefix: "0a1b2c3d4e5f".to_owned(),
            name: "olga <script>".to_owned(),
            roles: Roles::from([Role::App, Role::Operator]),
            tenant: Some(check::tenant()),
            verifier: Verifier("$argon2id$secret".to_owned()),
            requests_per_second: Some(50),
            created_at: at(0),
            created_by: "ann <script>".to_owned(),
            expires_at: None,
            superseded_at: None,
            revoked_at: None,
            used_at: None,
        }
    }

    /// One that goes on, one that goes on for a while, and one that ended in every way there is.
    pub fn of_every_state() -> Vec<Key> {
        let soon = at(600).checked_add(1.hour()).ok();
        vec![
            Key { tenant: None, used_at: Some(at(590)), ..key() },
            Key { superseded_at: soon, ..key() },
            Key { expires_at: Some(at(10)), ..key() },
            Key { superseded_at: Some(at(10)), ..key() },
            Key { revoked_at: Some(at(10)), ..key() },
        ]
    }
}

#[cfg(test)]
mod tests {
    use segue_store::control::keys::Role;

    use super::*;
    use crate::console::check;
    use crate::console::moves::sample as moves;

    fn view(key: Key) -> View {
        let items = moves::decisions();
        let decisions = Listing { total: 70, items, next: None };
        View { now: moves::at(600), key, decisions, refused: None, done: None }
    }

    async fn shown(view: &View) -> String {
        let html = view.page(&Viewer::sample()).into_string();
        check::page(&html).await;
        html
    }

    #[tokio::test]
    async fn a_key_is_rotated_and_revoked_as_long_as_that_means_something() {
        let [valid, replaced, expired, rotated, revoked] =
            sample::of_every_state().try_into().unwrap();
        for (key, rotates, revokes) in [
            (valid, true, true),
            (replaced, true, true),
            (expired, false, true),
            (rotated, false, true),
            (revoked, false, false),
        ] {
            let html = shown(&view(key.clone())).await;
            assert_eq!(html.contains("Rotate the key"), rotates, "{key:?}");
            assert_eq!(html.contains("Revoke the key"), revokes, "{key:?}");
            assert!(html.contains("the latest of 70") && !html.contains("argon2"), "{html}");
        }
    }

    #[tokio::test]
    async fn whoever_ends_their_own_key_is_told_what_that_means() {
        let viewer = Viewer::keyed(&[Role::Platform], None);
        let own = Key { id: KeyId(uuid::Uuid::nil()), ..sample::key() };
        let html = view(own).page(&viewer).into_string();
        assert!(html.contains("You are logged in with this one") && html.contains("You are: "));
        let html = view(sample::key()).page(&viewer).into_string();
        assert!(!html.contains("You are"), "{html}");
    }

    #[tokio::test]
    async fn a_form_that_was_not_carried_out_keeps_what_was_typed_and_says_why() {
        let mut view = view(sample::key());
        view.refused = Some(Refused {
            form: REVOKE,
            message: "Type “olga <script>”.".to_owned(),
            typed: Sent::parse(b"confirmation=anna"),
        });
        let html = shown(&view).await;
        for told in ["That was not done", "Type “olga &lt;script&gt;”.", "value=\"anna\""] {
            assert!(html.contains(told), "{told}");
        }
    }

    #[tokio::test]
    async fn a_new_key_is_shown_with_what_it_is_for() {
        let html =
            shown_once(&Viewer::sample(), &sample::key(), "segue_0a1b2c3d4e5f_x").into_string();
        check::page(&html).await;
        for told in ["segue_0a1b2c3d4e5f_x", "It is not shown again", "olga &lt;script&gt;"] {
            assert!(html.contains(told), "{told}");
        }
    }
}
