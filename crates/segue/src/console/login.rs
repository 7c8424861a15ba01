//! `/console/login`: an API key opens a session of the console, and `/console/logout` closes it.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::answer::{Page, Trouble};
use super::frame::{Frame, Place};
use super::parts::{Tone, alert};
use super::sent::{Asked, Sent};
use super::viewer::Viewer;
use super::{paths, words};
use crate::auth::{Caller, Denied, Error, Mode};
use crate::error::Error as Failed;
use crate::http::App;
use crate::http::error::Refusal;

/// What the page shows.
#[derive(Debug)]
struct View {
    /// Where to go afterwards: a path of the console.
    next: String,
    wrong: Option<String>,
}

/// Asks for the key.
pub async fn show(State(app): State<App>, caller: Caller, Asked(asked): Asked) -> Response {
    let next = safe(asked.text("next"));
    if app.access.mode == Mode::Open || caller.key().is_some() {
        return Redirect::to(next).into_response();
    }
    Page(View { next: next.to_owned(), wrong: None }.page()).into_response()
}

/// Opens a session, if the key is one that may look at the console.
pub async fn enter(State(app): State<App>, sent: Sent) -> Result<Response, Trouble> {
    let next = safe(sent.text("next")).to_owned();
    let refused = |message: String| {
        let view = View { next: next.clone(), wrong: Some(words::sentence(&message)) };
        Ok((StatusCode::UNAUTHORIZED, Page(view.page())).into_response())
    };
    let key = match app.access.keyring.recognise(sent.text("key")).await {
        Ok(key) => key,
        Err(error @ (Error::Denied(Denied::TooManyTries) | Error::Control(_))) => {
            return Err(Refusal::from(error).into());
        }
        Err(Error::Denied(denied)) => return refused(denied.to_string()),
    };
    let viewer = Viewer::of(Caller::bearer(&key));
    if !viewer.is_operator() && !viewer.runs_the_platform() {
        return refused(
            "this key is for an application; the console needs the role operator or platform"
                .into(),
        );
    }
    let opened = app.access.sessions.open(&key, app.access.transport()).await;
    let cookie = opened.map_err(Refusal::from)?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(&next)).into_response())
}

/// Closes the session.
pub async fn leave(
    State(app): State<App>,
    viewer: Viewer,
    headers: axum::http::HeaderMap,
) -> Result<Response, Trouble> {
    let closed = app.access.sessions.close(&headers, &viewer.name, app.access.transport()).await;
    let cookie = closed.map_err(Failed::from)?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(paths::LOGIN)).into_response())
}

/// Where to go after the login: a page of the console, whatever a link to it said.
fn safe(next: &str) -> &str {
    let below = next
        .strip_prefix(paths::HOME)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest.starts_with('?'));
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if below && plain && !next.starts_with(paths::LOGIN) { next } else { paths::HOME }
}

impl View {
    fn page(&self) -> Markup {
        let frame = Frame { place: Place::Login, title: "Log in", trail: &[], viewer: None };
        frame.around(html! {
            section.card aria-labelledby="log-in" {
                header { h1 #log-in { "Log in" } }
                div.inside {
                    @if let Some(wrong) = &self.wrong {
                        div role="alert" { (alert(Tone::Bad, "That did not open it", html! { p { (wrong) } })) }
                    }
                    form.fields method="post" action=(paths::LOGIN) {
                        input type="hidden" name="next" value=(self.next);
                        div.field {
                            label for="key" { "API key" }
                            input #key type="password" name="key" required autofocus
                                autocomplete="current-password" spellcheck="false"
                                aria-describedby="key-hint";
                            p.hint #key-hint {
                                "A key with the role operator or platform. It begins with " code { "segue_" }
                                " and was shown once, when it was made. Who runs the platform makes one with "
                                code.nowrap { "segue key create" } "."
                            }
                        }
                        div.actions { button.first type="submit" { "Log in" } }
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::check;

    #[tokio::test]
    async fn the_page_asks_for_a_key_and_says_what_was_wrong() {
        let view = View { next: "/console/stores?a=<script>".to_owned(), wrong: None };
        check::page(&view.page().into_string()).await;
        let view = View { wrong: Some("It has expired <script>.".to_owned()), ..view };
        let html = view.page().into_string();
        check::page(&html).await;
        assert!(html.contains("It has expired"));
    }

    #[test]
    fn the_way_on_never_leads_out_of_the_console() {
        for own in ["/console", "/console/tenants/1?a=b", "/console?x=y"] {
            assert_eq!(safe(own), own);
        }
        for other in [
            "",
            "/",
            "//evil.example",
            "https://evil.example",
            "/consoles",
            "/console/login",
            "/console\\@evil",
            "/console/\r\nSet-Cookie:a",
        ] {
            assert_eq!(safe(other), "/console", "{other}");
        }
    }
}
