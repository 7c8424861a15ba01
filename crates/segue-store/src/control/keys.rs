//! API keys: who may do what, and how a secret that is presented is recognised.
//!
//! A key is found by its prefix, which is public, and recognised by its verifier, an Argon2id hash in PHC
//! form; the secret itself is shown once and kept nowhere. Keys belong to the whole installation: their
//! lines of the audit are [`audit::PLATFORM`](super::audit::PLATFORM)'s.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use jiff::Timestamp;
use segue_core::ids::{KeyId, TenantId};
use serde::{Deserialize, Serialize};

use super::{By, Conflict, Error, Listing, Page, Result, UnknownWord};

/// How many keys there may be, the revoked and expired ones included.
pub const KEYS: usize = 10_000;

/// What the bearer of a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// An application: the sessions and events of one tenant.
    App,
    /// Who decides about scenarios: plans, policies, deployments, and the console.
    Operator,
    /// Who runs the platform: stores, moves of tenants, API keys.
    Platform,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::App, Self::Operator, Self::Platform];

    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Operator => "operator",
            Self::Platform => "platform",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownWord)
    }
}

/// The roles of one key. Written as words with spaces between.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Roles(pub BTreeSet<Role>);

impl Roles {
    /// Whether one of them is among those that are allowed.
    #[must_use]
    pub fn any_of(&self, allowed: &[Role]) -> bool {
        allowed.iter().any(|role| self.0.contains(role))
    }
}

impl<const N: usize> From<[Role; N]> for Roles {
    fn from(roles: [Role; N]) -> Self {
        Self(roles.into())
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, role) in self.0.iter().enumerate() {
            write!(f, "{}{role}", if nth == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl FromStr for Roles {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        text.split_whitespace().map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// The hash that a secret is recognised by. It does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier(pub String);

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// The public part that it is found by.
    pub prefix: String,
    /// Whose or what it is for, as it appears in the audit.
    pub name: String,
    /// What its bearer may do.
    pub roles: Roles,
    /// The only tenant that it is for; every tenant if there is none.
    pub tenant: Option<TenantId>,
    /// What its secret is recognised by.
    pub verifier: Verifier,
    /// Requests per second; as configured if there is none.
    pub requests_per_second: Option<u64>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Who created it.
    pub created_by: String,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it ends, or ended, because it was rotated: another key has its place.
    pub superseded_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was used last, to the minute.
    pub used_at: Option<Timestamp>,
}

impl Key {
    /// Whether it opens anything at this time.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.ends_at().is_none_or(|end| now < end)
    }

    /// Refuses one that has ended, for a key in its place would revive it.
    pub(super) fn goes_on(&self, now: Timestamp) -> Result<()> {
        if self.is_valid(now) { Ok(()) } else { Err(Error::Conflict(Conflict::KeyOver)) }
    }

    /// When it ends without being revoked: by itself, or because it was rotated.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.expires_at.into_iter().chain(self.superseded_at).min()
    }
}

/// Keeps API keys.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Adds a key.
    ///
    /// # Errors
    /// [`super::Error::Exists`] if the id or the prefix is taken; [`super::Error::TooMany`] over [`KEYS`].
    async fn create_key(&self, key: &Key, by: &By) -> Result<()>;

    /// Adds a key in another one's place, which is superseded at `ends_at`, or earlier if it was to be earlier.
    ///
    /// # Errors
    /// [`super::Error::NotFound`] if there is no such key; as [`Keys::create_key`]; [`Conflict::KeyOver`] if the old
    /// one has ended when this is decided.
    async fn rotate_key(&self, old: KeyId, ends_at: Timestamp, new: &Key, by: &By) -> Result<()>;

    /// Revokes a key, and ends the console sessions that were opened with it. Once more is the same.
    ///
    /// # Errors
    /// [`super::Error::NotFound`].
    async fn revoke_key(&self, id: KeyId, by: &By) -> Result<Key>;

    /// Reads a key.
    ///
    /// # Errors
    /// [`super::Error::NotFound`].
    async fn key(&self, id: KeyId) -> Result<Key>;

    /// Reads the key with a prefix.
    ///
    /// # Errors
    /// [`super::Error::NotFound`].
    async fn key_by_prefix(&self, prefix: &str) -> Result<Key>;

    /// Lists the keys, the newest first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn list_keys(&self, page: Page) -> Result<Listing<Key>>;

    /// Keeps when a key was used; an earlier time than the one known changes nothing. Leaves no line in
    /// the audit.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn key_used(&self, id: KeyId, at: Timestamp) -> Result<()>;
}
