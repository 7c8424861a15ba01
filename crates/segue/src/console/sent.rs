//! What a visitor sent: the fields of a form or of a query, by name, as text.
//!
//! Text, because what cannot be understood is shown again where it was typed, with what is wrong.

use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Multipart, Request};
use axum::http::header;
use axum::http::request::Parts;
use segue_store::control::Page as Part;

use super::answer::Trouble;
use super::paths;
use crate::error::Error;
use crate::http::App;
use crate::http::extract;

/// The fields of a form. What browsers send for a file counts as text, too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent(Vec<(String, String)>);

/// The fields of a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked(pub Sent);

/// The part of a list that a cursor names, the first if it is empty.
///
/// # Errors
/// The cursor is from no list.
pub fn part(limit: u32, cursor: &str) -> Result<Part, Error> {
    let after = Some(cursor).filter(|cursor| !cursor.is_empty());
    let after = after.map(str::parse).transpose().map_err(|_| Error::BadCursor)?;
    Ok(Part { limit, after })
}

impl Sent {
    /// The fields of `a=1&b=2`.
    #[must_use]
    pub fn parse(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// A field without the blanks around it; empty if it was not sent.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim())
    }

    /// A field, if something stands in it.
    #[must_use]
    pub fn given(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// The address that asks for these fields again, at another page of the list.
    #[must_use]
    pub fn again(&self, path: &str, names: &[&str], cursor: &str) -> String {
        let asked = names.iter().map(|name| (*name, self.text(name)));
        let asked: Vec<(&str, &str)> = asked.chain([("cursor", cursor)]).collect();
        paths::asking(path, &asked)
    }

    /// Every value of a field that may be sent several times.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name = self.0.iter().filter(move |(known, _)| known == name);
        of_name.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// Whether a box was checked.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// A field that may be left empty.
    ///
    /// # Errors
    /// What was sent is none of its kind; the message says what belongs there.
    pub fn optional<T: FromStr>(&self, name: &str, wanted: &str) -> Result<Option<T>, String> {
        match self.text(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| format!("“{text}” is not {wanted}.")),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Sent::parse(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

impl FromRequest<App> for Sent {
    type Rejection = Trouble;

    async fn from_request(request: Request, app: &App) -> Result<Self, Trouble> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("multipart/form-data") {
            return in_parts(request, app).await;
        }
        if !kind.starts_with("application/x-www-form-urlencoded") {
            return Err(Trouble::bad_request(
                "This address takes what a form of the console sends.",
            ));
        }
        let bytes = extract::read(request.into_body(), app.max_body_bytes).await?;
        Ok(Self::parse(&bytes))
    }
}

/// Reads a form with files.
async fn in_parts(request: Request, app: &App) -> Result<Sent, Trouble> {
    let (parts, body) = request.into_parts();
    let bytes = extract::read(body, app.max_body_bytes).await?;
    let whole = Request::from_parts(parts, axum::body::Body::from(bytes));
    let broken = |error: &dyn std::fmt::Display| {
        Trouble::bad_request(format!("The form could not be read: {error}."))
    };
    let mut form = Multipart::from_request(whole, app).await.map_err(|error| broken(&error))?;
    let mut sent = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|error| broken(&error))? {
        let name = field.name().unwrap_or_default().to_owned();
        let bytes = field.bytes().await.map_err(|error| broken(&error))?;
        let text = String::from_utf8(bytes.to_vec())
            .map_err(|_| Trouble::bad_request(format!("What was sent as {name} is not text.")))?;
        sent.push((name, text));
    }
    Ok(Sent(sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_empty_is_as_if_it_was_not_sent() {
        let sent = Sent::parse(b"step=&by=+Ann+&channel=web&channel=&channel=sms&version=x");
        assert_eq!((sent.text("by"), sent.text("step"), sent.text("other")), ("Ann", "", ""));
        assert_eq!(sent.all("channel").collect::<Vec<_>>(), ["web", "sms"]);
        assert_eq!(sent.optional::<u32>("step", "a number"), Ok(None));
        let wrong = sent.optional::<u32>("version", "a number");
        assert_eq!(wrong, Err("“x” is not a number.".to_owned()));
    }
}
