//! `/console/keys/{key}`: one API key: what it may, what was decided about it, and how it ends.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use segue_core::ids::KeyId;
use segue_store::control::audit::{Entry, PLATFORM};
use segue_store::control::keys::{Key, Role};
use segue_store::control::{Error as ControlError, Listing};

use super::address::Path;
use super::answer::{Page, Trouble, done};
use super::done::Done;
use super::frame::{Frame, Place};
use super::keys::{NEW_ID, new_id, not_made, roles, state, trail, used, whose};
use super::parts::{Field, Tone, alert, heading, pager, pairs};
use super::sent::{Asked, Sent, part};
use super::viewer::Viewer;
use super::{decided, paths, words};
use crate::auth::keyring::Rotation;
use crate::auth::secret::Secret;
use crate::error::Error;
use crate::http::App;
use crate::http::keys::{LONGEST_OVERLAP, lines_about, not_found};

/// Decisions on a page.
const LINES: u32 = 20;

/// How long an old key may go on, in seconds, and in words.
const OVERLAPS: [(u64, &str); 5] = [
    (0, "Not at all: it ends at once"),
    (60 * 60, "An hour"),
    A_DAY,
    (7 * 24 * 60 * 60, "A week"),
    (LONGEST_OVERLAP.as_secs(), "30 days"),
];

/// What is chosen before anything is: long enough to bring a new key out.
const A_DAY: (u64, &str) = (24 * 60 * 60, "A day");

/// What the page shows.
#[derive(Debug)]
struct View {
    now: Timestamp,
    key: Key,
    /// The id of the key that takes its place if it is rotated.
    new_id: KeyId,
    lines: Listing<Entry>,
    cursor: String,
    refused: Option<Refused>,
    done: Option<Done>,
}

/// A form of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Rotate,
    Revoke,
}

/// A form that was not carried out.
#[derive(Debug)]
struct Refused {
    form: Form,
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
    let mut view = View::read(&app, id, &asked).await?;
    // A link says what was done, and the key whether it was.
    let is_so = |done: &Done| *done == Done::KeyRevoked && view.key.revoked_at.is_some();
    view.done = Done::of(asked.text("done")).filter(is_so);
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
    let overlap = sent.text("overlap").parse().ok().map(Duration::from_secs);
    let Some(overlap) = overlap.filter(|overlap| *overlap <= LONGEST_OVERLAP) else {
        return Err(Trouble::bad_request(
            "Choose for how long the old key goes on: for 30 days at most.",
        ));
    };
    let (new, by) = (new_id(&app, &sent)?, viewer.by(app.clock.now()));
    let trouble = match app.access.keyring.rotate(id, overlap, new, &by).await {
        Ok(new) => return Ok(made(&viewer, by.at, new)),
        Err(over @ Rotation::Over(_)) => {
            let message = format!("{}.", words::sentence(&over.to_string()));
            Trouble::refused(StatusCode::CONFLICT, message)
        }
        Err(Rotation::Control(error @ ControlError::NotFound(_))) => {
            return Err(not_found(error, id).into());
        }
        Err(Rotation::Control(error)) => not_made(error),
    };
    again(&app, &viewer, id, Form::Rotate, trouble, sent).await
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
    let begins_with = begins_with(&key);
    if sent.text("confirmation") != begins_with {
        let message = format!("Type {begins_with} to confirm; nothing was changed.");
        let trouble = Trouble::refused(StatusCode::UNPROCESSABLE_ENTITY, message);
        return again(&app, &viewer, id, Form::Revoke, trouble, sent).await;
    }
    let by = viewer.by(app.clock.now());
    keyring.revoke(id, &by).await.map_err(|error| not_found(error, id))?;
    Ok(done(&paths::key(id), Done::KeyRevoked).into_response())
}

/// The page with what was typed and what is wrong, if whoever sent it can put it right.
async fn again(
    app: &App,
    viewer: &Viewer,
    id: KeyId,
    form: Form,
    trouble: Trouble,
    typed: Sent,
) -> Result<Response, Trouble> {
    if !trouble.is_the_senders() {
        return Err(trouble);
    }
    let mut view = View::read(app, id, &Sent::default()).await?;
    let (status, message) = (trouble.status, trouble.message);
    view.refused = Some(Refused { form, message, typed });
    Ok((status, Page(view.page(viewer))).into_response())
}

/// A key that was made just now, with its secret.
pub fn made(viewer: &Viewer, now: Timestamp, (key, secret): (Key, Secret)) -> Response {
    let page = shown_once(viewer, now, &key, secret.reveal());
    (StatusCode::CREATED, Page(page)).into_response()
}

fn shown_once(viewer: &Viewer, now: Timestamp, key: &Key, secret: &str) -> Markup {
    let trail = trail();
    let frame =
        Frame { place: Place::Keys, title: "A new API key", trail: &trail, viewer: Some(viewer) };
    frame.around(html! {
        (heading(html! { h1 { "A new API key" } }, html! { p { "For " strong { (key.name) } "." } }, html! {}))
        section.card aria-labelledby="secret" {
            header { h2 #secret { "Take it now" } }
            div.inside {
                (alert(Tone::Warn, "It is not shown again", html! { p { "It is kept as a hash. Who loses it needs another one." } }))
                pre.secret { (secret) }
                p.actions { a.button.first href=(paths::key(key.id)) { "I have taken it" } }
            }
        }
        (facts(key, now))
    })
}

/// The public part of a key, which tells it from all others.
#[must_use]
pub fn begins_with(key: &Key) -> String {
    format!("segue_{}", key.prefix)
}

/// What a key may, and since and until when.
fn facts(key: &Key, now: Timestamp) -> Markup {
    let rate = html! {
        @match key.requests_per_second {
            Some(rate) => { (words::counted(rate, "request")) " a second" },
            None => span.quiet { "as the server is configured" },
        }
    };
    let made = html! { (words::when(key.created_at, now)) " by " (key.created_by) };
    let mut facts = vec![
        ("Begins with", html! { code { (begins_with(key)) } }),
        ("Roles", html! { (roles(&key.roles)) }),
        ("For", whose(key.tenant)),
        ("Rate", rate),
        ("Made", made),
        ("Last used", used(key, now)),
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

impl View {
    async fn read(app: &App, id: KeyId, asked: &Sent) -> Result<Self, Trouble> {
        let part = part(LINES, asked.text("cursor"))?;
        let about = lines_about(id);
        let (key, lines) = tokio::join!(
            app.access.keyring.key(id),
            app.opened.control.list_audit(PLATFORM, &about, part)
        );
        Ok(Self {
            now: app.clock.now(),
            key: key.map_err(|error| not_found(error, id))?,
            new_id: KeyId(app.clock.new_id()),
            lines: lines.map_err(Error::from)?,
            cursor: asked.text("cursor").to_owned(),
            refused: None,
            done: None,
        })
    }

    fn page(&self, viewer: &Viewer) -> Markup {
        let trail = trail();
        let frame = Frame {
            place: Place::Keys,
            title: &self.key.name,
            trail: &trail,
            viewer: Some(viewer),
        };
        frame.around(html! {
            (heading(
                html! { h1 { (self.key.name) } (state(&self.key, self.now)) },
                html! { p { "An API key." } },
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
                div.stack { (self.lines()) }
                aside.stack aria-label="About this key" {
                    (facts(&self.key, self.now))
                    @if self.takes(Form::Rotate) { (self.rotation(viewer)) }
                    @if self.takes(Form::Revoke) { (self.revocation(viewer)) }
                }
            }
        })
    }

    /// Whether a form means something now.
    fn takes(&self, form: Form) -> bool {
        match form {
            Form::Rotate => self.key.is_valid(self.now),
            Form::Revoke => self.key.revoked_at.is_none(),
        }
    }

    fn lines(&self) -> Markup {
        let page = paths::key(self.key.id);
        let first = (!self.cursor.is_empty()).then_some(&*page);
        let next = self.lines.next.map(|next| next.to_string());
        let next = next.map(|next| paths::asking(&page, &[("cursor", &next)]));
        html! {
            section.card aria-labelledby="lines" {
                header { h2 #lines { "Decisions and logins" } }
                (decided::table(&self.lines.items, self.now))
                (pager(self.lines.items.len(), self.lines.total, "line", first, next.as_deref()))
            }
        }
    }

    fn field<'a>(&'a self, form: Form, name: &'a str, label: &'a str) -> Field<'a> {
        let refused = self.refused.as_ref().filter(|refused| refused.form == form);
        Field {
            name,
            label,
            value: refused.map_or("", |refused| refused.typed.text(name)),
            wrong: refused.map(|refused| &*refused.message),
            hint: "",
        }
    }

    fn rotation(&self, viewer: &Viewer) -> Markup {
        // A second click would find whoever ends their own key logged out, in place of the page with the new one.
        let is_offered = |overlap: &&(u64, &str)| overlap.0 > 0 || !viewer.holds(self.key.id);
        let overlaps = OVERLAPS.iter().filter(is_offered);
        let overlaps: Vec<_> =
            overlaps.map(|(seconds, words)| (seconds.to_string(), (*words).to_owned())).collect();
        let a_day = A_DAY.0.to_string();
        let mut overlap = self.field(Form::Rotate, "overlap", "The old key goes on for");
        if overlap.value.is_empty() {
            overlap.value = &a_day;
        }
        html! {
            section.card aria-labelledby="rotation" {
                header { h2 #rotation { "Rotate" } }
                form.inside.fields action=(paths::of_key(self.key.id, "rotate")) method="post" {
                    p.quiet.small {
                        "A new key of the same name, roles, tenant, rate and last day takes its place. Meanwhile both open the same."
                        @if viewer.holds(self.key.id) { " You are logged in with this one, and are logged out when it ends." }
                    }
                    input type="hidden" name=(NEW_ID) value=(self.new_id);
                    (overlap.select(&overlaps))
                    div.actions { button { "Rotate the key" } }
                }
            }
        }
    }

    fn revocation(&self, viewer: &Viewer) -> Markup {
        let hint = begins_with(&self.key);
        let label = "Type what it begins with to confirm";
        let field = Field { hint: &hint, ..self.field(Form::Revoke, "confirmation", label) };
        html! {
            section.card aria-labelledby="revocation" {
                header { h2 #revocation { "Revoke" } }
                form.inside.fields action=(paths::of_key(self.key.id, "revoke")) method="post" {
                    p.quiet.small {
                        "It opens nothing any more, its streams end, and whoever is logged in with it is logged out. That cannot be undone."
                        @if viewer.holds(self.key.id) { " You are: you will need another key." }
                    }
                    @if self.key.roles.any_of(&[Role::Platform]) {
                        p.quiet.small { "If it is the last one with the role platform, the next is made beside the control plane, with " code.nowrap { "segue key create --local" } "." }
                    }
                    (field.text())
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
    use segue_store::control::keys::{Roles, Verifier};

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
    use super::*;
    use crate::console::check;
    use crate::console::moves::sample as moves;

    fn view(key: Key) -> View {
        View {
            now: moves::at(600),
            key,
            new_id: KeyId(uuid::Uuid::from_u128(2)),
            lines: Listing { total: 70, items: moves::decisions(), next: "8-x".parse().ok() },
            cursor: "9-x".to_owned(),
            refused: None,
            done: None,
        }
    }

    async fn shown(view: &View) -> String {
        check::shown(view.page(&Viewer::sample())).await
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
            assert!(html.contains("of 70 lines") && !html.contains("argon2"), "{html}");
        }
    }

    #[tokio::test]
    async fn whoever_ends_their_own_key_is_told_what_that_means() {
        let viewer = Viewer::keyed(&[Role::Platform], None);
        let own = Key { id: KeyId(uuid::Uuid::nil()), ..sample::key() };
        let html = view(own).page(&viewer).into_string();
        assert!(html.contains("You are logged in with this one") && html.contains("You are: "));
        assert!(!html.contains("it ends at once"), "{html}");
        let html = view(sample::key()).page(&viewer).into_string();
        assert!(!html.contains("You are") && html.contains("it ends at once"), "{html}");
    }

    #[tokio::test]
    async fn a_form_that_was_not_carried_out_keeps_what_was_typed_and_says_why() {
        let mut view = view(sample::key());
        view.refused = Some(Refused {
            form: Form::Revoke,
            message: "Type segue_0a1b2c3d4e5f.".to_owned(),
            typed: Sent::parse(b"confirmation=<script>"),
        });
        let html = shown(&view).await;
        for told in ["That was not done", "Type segue_0a", "value=\"&lt;script&gt;\""] {
            assert!(html.contains(told), "{told}");
        }
    }

    #[tokio::test]
    async fn a_new_key_is_shown_with_what_it_is_for() {
        let secret = "segue_0a1b2c3d4e5f_x";
        let key = Key { expires_at: Some(moves::at(700)), ..sample::key() };
        let html = shown_once(&Viewer::sample(), moves::at(600), &key, secret).into_string();
        check::page(&html).await;
        for told in
            [secret, "It is not shown again", "olga &lt;script&gt;", "app, operator", "Expires"]
        {
            assert!(html.contains(told), "{told}");
        }
    }
}
