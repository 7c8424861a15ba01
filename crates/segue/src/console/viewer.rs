//! Who looks at the console, and acts.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use jiff::Timestamp;
use segue_core::ids::{KeyId, TenantId};
use segue_store::control::By;
use segue_store::control::keys::Role;

use crate::auth::Caller;
use crate::scenarios::{SOMEONE, Signature};

/// Who looks at the console, and acts: their name is what plans and the audit keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// What they are called.
    pub name: String,
    caller: Caller,
}

impl Viewer {
    /// Who makes a request.
    #[must_use]
    pub fn of(caller: Caller) -> Self {
        Self { name: caller.name().unwrap_or(SOMEONE).to_owned(), caller }
    }

    /// What they sign a decision about a plan with; the name that they gave, if they gave one.
    #[must_use]
    pub fn signature(&self, given: Option<String>) -> Signature {
        self.caller.signature(Some(given.unwrap_or_else(|| self.name.clone())))
    }

    /// What they sign anything else with.
    #[must_use]
    pub fn by(&self, now: Timestamp) -> By {
        self.caller.by(Some(self.name.clone()), now)
    }

    /// Whether they came in by this key.
    #[must_use]
    pub fn holds(&self, key: KeyId) -> bool {
        self.caller.key() == Some(key)
    }

    /// The only tenant that they may see, if it is only one.
    #[must_use]
    pub fn only_tenant(&self) -> Option<TenantId> {
        self.caller.only_tenant()
    }

    /// Whether they may decide about plans, and see what is said in sessions.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.caller.may(&[Role::Operator])
    }

    /// Whether they may move tenants, and make API keys.
    #[must_use]
    pub fn runs_the_platform(&self) -> bool {
        self.caller.may(&[Role::Platform])
    }

    /// Whether they came in by a key, and can leave.
    #[must_use]
    pub fn is_logged_in(&self) -> bool {
        self.caller.key().is_some()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Viewer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        Caller::from_request_parts(parts, state).await.map(Self::of)
    }
}

#[cfg(test)]
impl Viewer {
    /// Somebody with an awkward name.
    pub fn sample() -> Self {
        Self { name: "Olga <script>".to_owned(), caller: Caller::Anybody }
    }

    /// Somebody who came in by a key of this tenant, or of all.
    pub fn keyed(roles: &[Role], tenant: Option<TenantId>) -> Self {
        Self::of(Caller::Bearer {
            key: KeyId(uuid::Uuid::nil()),
            name: "Ida <script>".to_owned(),
            roles: segue_store::control::keys::Roles(roles.iter().copied().collect()),
            tenant,
        })
    }
}
