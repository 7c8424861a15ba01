//! Who looks at the console, and acts.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// Who looks at the console, and acts: their name is what plans and the audit keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// What they are called.
    pub name: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Viewer {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self { name: "operator".to_owned() })
    }
}

#[cfg(test)]
impl Viewer {
    /// Somebody with an awkward name.
    pub fn sample() -> Self {
        Self { name: "Olga <script>".to_owned() }
    }
}
