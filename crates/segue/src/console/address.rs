//! What an address names, read once: an id that is none is the address of no page.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::answer::Trouble;

/// The ids in the path of a page.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Trouble> {
        let path = parts.uri.path().to_owned();
        let named = axum::extract::Path::from_request_parts(parts, state).await;
        named
            .map(|axum::extract::Path(named)| Self(named))
            .map_err(|_| Trouble::no_such_page(&path))
    }
}
