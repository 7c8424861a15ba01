//! Who makes a request, as far as it is known.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use jiff::Timestamp;
use segue_core::ids::{KeyId, TenantId};
use segue_store::control::By;
use segue_store::control::keys::{Key, Role, Roles};

use crate::scenarios::{SOMEONE, Signature};

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Somebody on a server that asks for no key: they may do everything.
    Anybody,
    /// The bearer of an API key.
    Bearer {
        /// Which key.
        key: KeyId,
        /// Its name.
        name: String,
        /// What it may do.
        roles: Roles,
        /// The only tenant that it is for.
        tenant: Option<TenantId>,
    },
}

impl Caller {
    /// The bearer of this key.
    #[must_use]
    pub fn bearer(key: &Key) -> Self {
        Self::Bearer {
            key: key.id,
            name: key.name.clone(),
            roles: key.roles.clone(),
            tenant: key.tenant,
        }
    }

    /// Whether they may do what one of these roles may.
    #[must_use]
    pub fn may(&self, roles: &[Role]) -> bool {
        match self {
            Self::Anybody => true,
            Self::Bearer { roles: has, .. } => has.any_of(roles),
        }
    }

    /// The only tenant whose things they may see, if there is only one.
    #[must_use]
    pub fn only_tenant(&self) -> Option<TenantId> {
        match self {
            Self::Anybody => None,
            Self::Bearer { tenant, .. } => *tenant,
        }
    }

    /// The key that they have shown.
    #[must_use]
    pub fn key(&self) -> Option<KeyId> {
        match self {
            Self::Anybody => None,
            Self::Bearer { key, .. } => Some(*key),
        }
    }

    /// Whom they are called, if that is known.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Anybody => None,
            Self::Bearer { name, .. } => Some(name),
        }
    }

    /// The name under which an act of theirs stays on record: the one that they give, and always the one
    /// of their key, if they have shown one.
    ///
    /// ```
    /// use segue::auth::Caller;
    ///
    /// let olga = Some("olga".to_owned());
    /// assert_eq!(Caller::Anybody.signs(olga.clone()), olga);
    /// assert_eq!(Caller::Anybody.signs(None), None);
    /// ```
    #[must_use]
    pub fn signs(&self, claimed: Option<String>) -> Option<String> {
        match self {
            Self::Anybody => claimed,
            Self::Bearer { name, .. } => Some(match claimed {
                Some(claimed) if claimed != *name => format!("{claimed} (key {name})"),
                Some(_) | None => name.clone(),
            }),
        }
    }
}

impl Caller {
    /// What they sign a decision about a plan with.
    #[must_use]
    pub fn signature(&self, claimed: Option<String>) -> Signature {
        Signature { name: self.signs(claimed), key: self.key() }
    }

    /// What they sign anything else with.
    #[must_use]
    pub fn by(&self, claimed: Option<String>, now: Timestamp) -> By {
        self.signature(claimed).at(now)
    }

    /// The name that they sign with.
    #[must_use]
    pub fn actor(&self, claimed: Option<String>) -> String {
        self.signs(claimed).unwrap_or_else(|| SOMEONE.to_owned())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &S,
    ) -> Result<Self, std::convert::Infallible> {
        // Without the layer that lets requests in nothing is to be answered.
        Ok(parts.extensions.get().cloned().expect("a request was let in before it is answered"))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_name_of_a_key_stays_on_record_whatever_is_claimed() {
        let caller = Caller::Bearer {
            key: KeyId(Uuid::nil()),
            name: "console".to_owned(),
            roles: Roles::from([Role::Operator]),
            tenant: None,
        };
        assert_eq!(caller.signs(None).as_deref(), Some("console"));
        assert_eq!(caller.signs(Some("console".into())).as_deref(), Some("console"));
        assert_eq!(caller.signs(Some("olga".into())).as_deref(), Some("olga (key console)"));
        assert!(caller.may(&[Role::App, Role::Operator]) && !caller.may(&[Role::Platform]));
    }
}
