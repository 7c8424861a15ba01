//! `/console/keys`: who may use this installation, and where a key is made.
//!
//! A key is shown by the answer that made it and by nothing else, so that answer is a page and no redirect, and
//! no browser may keep it. A form brings the id of the key that it makes, so that one that is sent twice makes
//! one key (decision 0144).

use std::num::NonZeroU32;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::civil::Date;
use maud::{Markup, html};
use segue_core::ids::{KeyId, TenantId};
use segue_store::control::keys::{Key, Role, Roles};
use segue_store::control::{Error as ControlError, Listing};

use super::answer::{Page, Trouble};
use super::frame::{Frame, Place};
use super::parts::{Field, Tone, alert, badge, empty, heading, pager};
use super::sent::{Asked, Sent, part};
use super::viewer::Viewer;
use super::{audit, key, paths, words};
use crate::auth::keyring::{Invalid, NewKey};
use crate::auth::{End, Mode};
use crate::error::Error;
use crate::http::App;

/// The field of a form that brings the id of the key that it makes.
pub const NEW_ID: &str = "new_id";

/// Keys on a page.
const KEYS: u32 = 50;

/// What the page shows.
#[derive(Debug)]
struct View {
    now: Timestamp,
    mode: Mode,
    keys: Listing<Key>,
    cursor: String,
}

/// Shows them.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Asked(asked): Asked,
) -> Result<Page, Trouble> {
    let cursor = asked.text("cursor").to_owned();
    let part = part(KEYS, &cursor)?;
    let keys = app.access.keyring.list(part).await.map_err(Error::from)?;
    let view = View { now: app.clock.now(), mode: app.access.mode, keys, cursor };
    Ok(Page(view.page(&viewer)))
}

impl View {
    fn page(&self, viewer: &Viewer) -> Markup {
        let frame =
            Frame { place: Place::Keys, title: "API keys", trail: &[], viewer: Some(viewer) };
        frame.around(html! {
            (heading(
                html! { h1 { "API keys" } },
                html! { p { "Who may use this installation. Give each person and each program a key of its own: the audit tells of it by name." } },
                html! { a.button.first href=(paths::NEW_KEY) { "Make a key…" } },
            ))
            @if self.mode == Mode::Open {
                (alert(Tone::Warn, "Nobody needs a key here", html! {
                    p { "This server lets in whoever reaches its port. Set " code { "access.mode = \"api_keys\"" } " once there is a key with the role platform." }
                }))
            }
            section.card aria-labelledby="keys" {
                h2.unseen #keys { "Keys" }
                @if self.keys.items.is_empty() {
                    (empty("There is no key yet", html! {
                        p { "Make the first one with the role platform, for yourself." }
                    }))
                } @else { (self.table()) }
            }
        })
    }

    fn table(&self) -> Markup {
        let first = (!self.cursor.is_empty()).then_some(paths::KEYS);
        let next = self.keys.next.map(|next| next.to_string());
        let next = next.map(|next| paths::asking(paths::KEYS, &[("cursor", &next)]));
        html! {
            div.scroll {
                table {
                    thead {
                        tr {
                            th scope="col" { "Name" }
                            th scope="col" { "State" }
                            th scope="col" { "Roles" }
                            th scope="col" { "For" }
                            th scope="col" { "Last used" }
                            th scope="col" { "Made" }
                        }
                    }
                    tbody { @for key in &self.keys.items {
                        tr {
                            th scope="row" {
                                a href=(paths::key(key.id)) { (key.name) }
                                span.under { code { (key::begins_with(key)) "…" } }
                            }
                            td { (state(key, self.now)) }
                            td { (roles(&key.roles)) }
                            td { (whose(key.tenant)) }
                            td { (used(key, self.now)) }
                            td { (words::when(key.created_at, self.now)) span.under { "by " (key.created_by) } }
                        }
                    } }
                }
            }
            (pager(self.keys.items.len(), self.keys.total, "key", first, next.as_deref()))
        }
    }
}

/// The way to a page below this one.
#[must_use]
pub fn trail() -> [(String, String); 1] {
    [("API keys".to_owned(), paths::KEYS.to_owned())]
}

/// Whether a key opens anything, and until when.
#[must_use]
pub fn state(key: &Key, now: Timestamp) -> Markup {
    match End::of(key, now) {
        Some(End::Revoked) => badge(Tone::Bad, "Revoked"),
        Some(End::Rotated) => badge(Tone::Idle, "Rotated"),
        Some(End::Expired) => badge(Tone::Idle, "Expired"),
        None => html! {
            (badge(Tone::Good, "Valid"))
            @if let Some(end) = key.ends_at() { span.under { "until " (words::exactly(end)) } }
        },
    }
}

/// Roles in words.
#[must_use]
pub fn roles(roles: &Roles) -> String {
    roles.0.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")
}

/// The tenant that a key is for.
#[must_use]
pub fn whose(tenant: Option<TenantId>) -> Markup {
    html! {
        @match tenant {
            Some(tenant) => a href=(paths::tenant(tenant)) { (words::short_id(tenant)) },
            None => span.quiet { "all tenants" },
        }
    }
}

/// When a key was used.
#[must_use]
pub fn used(key: &Key, now: Timestamp) -> Markup {
    match key.used_at {
        Some(at) => words::when(at, now),
        None => html! { span.quiet { "never" } },
    }
}

/// The form that makes one.
#[derive(Debug)]
struct Form {
    /// The id of the key that it makes.
    id: KeyId,
    typed: Sent,
    wrong: Option<Wrong>,
}

/// What keeps the form from being carried out.
#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    /// The field that cannot be understood; empty if it is none of them.
    field: &'static str,
    message: String,
}

impl From<Invalid> for Wrong {
    fn from(invalid: Invalid) -> Self {
        let field = match invalid {
            Invalid::Name => "name",
            Invalid::NoRole => "roles",
            Invalid::AppWithoutTenant | Invalid::PlatformWithTenant | Invalid::NotATenant => {
                "tenant"
            }
            Invalid::Expired => "last_day",
        };
        Self { field, message: format!("{}.", words::sentence(&invalid.to_string())) }
    }
}

/// Shows the form.
pub async fn form(State(app): State<App>, viewer: Viewer) -> Page {
    let form = Form { id: KeyId(app.clock.new_id()), typed: Sent::default(), wrong: None };
    Page(form.page(&viewer))
}

/// Makes a key, and shows it, this once.
pub async fn make(State(app): State<App>, viewer: Viewer, sent: Sent) -> Result<Response, Trouble> {
    let now = app.clock.now();
    let id = new_id(&app, &sent)?;
    let (status, wrong) = match asked_for(&sent, now) {
        Ok(new) => match app.access.keyring.create(id, new, &viewer.by(now)).await {
            Ok(made) => return Ok(key::made(&viewer, now, made)),
            Err(error) => {
                let trouble = not_made(error);
                if !trouble.is_the_senders() {
                    return Err(trouble);
                }
                (trouble.status, Wrong { field: "", message: trouble.message })
            }
        },
        Err(wrong) => (StatusCode::BAD_REQUEST, wrong),
    };
    // Sent once more, the form makes another key.
    let id = KeyId(app.clock.new_id());
    let form = Form { id, typed: sent, wrong: Some(wrong) };
    Ok((status, Page(form.page(&viewer))).into_response())
}

/// The id of the key that a form makes.
pub fn new_id(app: &App, sent: &Sent) -> Result<KeyId, Trouble> {
    let id = sent.optional(NEW_ID, "the id of a key").map_err(Trouble::bad_request)?;
    Ok(id.unwrap_or_else(|| KeyId(app.clock.new_id())))
}

/// Why a key was not made.
pub fn not_made(error: ControlError) -> Trouble {
    match error {
        ControlError::Exists(_) => Trouble::refused(
            StatusCode::CONFLICT,
            "This form has made its key already, and that may have been shown. It is among the API keys: if nobody \
             took it, revoke it and make another one.",
        ),
        other => Error::from(other).into(),
    }
}

/// The key that a form asks for.
fn asked_for(sent: &Sent, now: Timestamp) -> Result<NewKey, Wrong> {
    let wrong = |field| move |message| Wrong { field, message };
    let roles = sent.all("roles").map(str::parse::<Role>).collect::<Result<_, _>>();
    let roles = roles.map_err(|_| wrong("roles")("That is none of the roles.".to_owned()))?;
    let last_day = sent.optional::<Date>("last_day", "a day such as 2027-11-27");
    let last_day = last_day.map_err(wrong("last_day"))?;
    let beyond = || wrong("last_day")("That is beyond all times.".to_owned());
    let expires_at = last_day.map(|day| audit::end(day).ok_or_else(beyond)).transpose()?;
    let new = NewKey {
        name: sent.text("name").to_owned(),
        roles: Roles(roles),
        tenant: sent.optional("tenant", "the id of a tenant, a UUID").map_err(wrong("tenant"))?,
        expires_at,
        requests_per_second: sent
            .optional::<NonZeroU32>("rate", "a number from 1 to 4,294,967,295")
            .map_err(wrong("rate"))?,
    };
    new.check(now)?;
    Ok(new)
}

impl Form {
    fn page(&self, viewer: &Viewer) -> Markup {
        let trail = trail();
        let frame = Frame {
            place: Place::Keys,
            title: "Make an API key",
            trail: &trail,
            viewer: Some(viewer),
        };
        let field = |name, label, hint| Field {
            name,
            label,
            value: self.typed.text(name),
            hint,
            wrong: self.wrong(name),
        };
        frame.around(html! {
            (heading(
                html! { h1 { "Make an API key" } },
                html! { p { "It is shown once, when it is made, and kept as a hash." } },
                html! {},
            ))
            @if let Some(why) = self.wrong("") {
                div role="alert" { (alert(Tone::Bad, "No key was made", html! { p { (why) } })) }
            }
            form.card action=(paths::NEW_KEY) method="post" {
                input type="hidden" name=(NEW_ID) value=(self.id);
                div.inside.fields {
                    (field("name", "Name", "Whose or what it is for, such as olga or checkout-app.").text())
                    (self.roles())
                    (field("tenant", "Only for the tenant", "Its id. Needed for the role app; left empty, the key is for all tenants.").text())
                    (field("last_day", "Last day (UTC)", "The key ends by itself when this day does. Left empty, it does not.").day())
                    (field("rate", "Requests per second", "Left empty, as the server is configured.").number())
                }
                footer.row.apart {
                    span { "It can be revoked at any time." }
                    button.first { "Make the key" }
                }
            }
        })
    }

    fn wrong(&self, name: &str) -> Option<&str> {
        self.wrong.as_ref().filter(|wrong| wrong.field == name).map(|wrong| &*wrong.message)
    }

    fn roles(&self) -> Markup {
        html! {
            fieldset aria-describedby=[self.wrong("roles").map(|_| "roles-wrong")] {
                legend { "What its bearer may do" }
                @if let Some(wrong) = self.wrong("roles") { p.wrong #roles-wrong { (wrong) } }
                @for role in Role::ALL {
                    label.choice {
                        input type="checkbox" name="roles" value=(role)
                            checked[self.typed.all("roles").any(|chosen| chosen == role.as_str())];
                        span {
                            (words::capital(role.as_str()))
                            span.hint {
                                @match role {
                                    Role::App => "The sessions and events of one tenant: for an application.",
                                    Role::Operator => "Scenarios, plans, policies, deployments, and this console.",
                                    Role::Platform => "Stores, moves of tenants, and API keys.",
                                }
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
    use super::*;
    use crate::console::check;
    use crate::console::key::sample;
    use crate::console::moves::sample::at;

    fn view(mode: Mode, items: Vec<Key>) -> View {
        let next = "8-x".parse().ok();
        View { now: at(600), mode, keys: Listing { items, total: 120, next }, cursor: "9-x".into() }
    }

    async fn shown(view: &View) -> String {
        check::shown(view.page(&Viewer::sample())).await
    }

    #[tokio::test]
    async fn every_key_says_whose_it_is_what_it_may_and_whether_it_opens_anything() {
        let html = shown(&view(Mode::ApiKeys, sample::of_every_state())).await;
        for told in [
            "Valid",
            "Revoked",
            "Rotated",
            "Expired",
            "until ",
            "all tenants",
            "never",
            "app, operator",
            "segue_0a1b2c3d4e5f…",
            "by ann &lt;script&gt;",
            "5 of 120 keys",
        ] {
            assert!(html.contains(told), "{told}");
        }
        assert!(!html.contains("argon2") && !html.contains("Nobody needs a key"));
    }

    #[tokio::test]
    async fn a_server_that_lets_everybody_in_says_so_where_keys_are() {
        let html = shown(&view(Mode::Open, Vec::new())).await;
        assert!(html.contains("Nobody needs a key here") && html.contains("There is no key yet"));
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_new_key_is_said_where_it_was_typed() {
        let day = "2026-11-27T10:00:00Z".parse().unwrap();
        for (sent, field, says) in [
            ("roles=app&tenant=6f1c3b1e-0d5a-4c55-9a3e-0f4f6b8f1a10", "name", "A key has a name"),
            ("name=a", "roles", "at least one of"),
            ("name=a&roles=root", "roles", "none of the roles"),
            ("name=a&roles=app", "tenant", "is for one tenant; name it"),
            ("name=a&roles=app&tenant=x", "tenant", "“x” is not the id"),
            ("name=a&roles=operator&last_day=2026-11-26", "last_day", "passed already"),
            ("name=a&roles=operator&last_day=soon", "last_day", "“soon” is not a day"),
            ("name=a&roles=operator&last_day=9999-12-31", "last_day", "beyond all times"),
            ("name=a&roles=operator&rate=0", "rate", "“0” is not a number from 1"),
        ] {
            let typed = Sent::parse(sent.as_bytes());
            let wrong = asked_for(&typed, day).unwrap_err();
            assert_eq!(wrong.field, field, "{sent}");
            assert!(wrong.message.contains(says), "{sent}: {}", wrong.message);
            let form = Form { id: KeyId(uuid::Uuid::nil()), typed, wrong: Some(wrong) };
            let html = form.page(&Viewer::sample()).into_string();
            check::page(&html).await;
            assert!(html.contains(says), "{sent}: {html}");
        }
    }

    #[test]
    fn a_key_goes_on_to_the_end_of_its_last_day() {
        let sent = Sent::parse(b"name=+olga+&roles=operator&roles=platform&last_day=2026-11-27");
        let new = asked_for(&sent, "2026-11-27T23:59:59Z".parse().unwrap()).unwrap();
        assert_eq!(new.expires_at, "2026-11-28T00:00:00Z".parse().ok());
        assert_eq!(
            (new.name.as_str(), new.roles.to_string().as_str()),
            ("olga", "operator platform")
        );
    }
}
