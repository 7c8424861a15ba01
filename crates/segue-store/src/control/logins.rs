//! Console sessions: a browser that has shown an API key once and carries a token since.
//!
//! Only the token's SHA-256 is kept: whoever reads the database cannot enter with what is there. A session
//! is worth what its key is worth; whether that is still valid is asked of [`super::Keys`] each time.

use async_trait::async_trait;
use jiff::Timestamp;
use segue_core::ids::KeyId;

use super::{By, Result};

/// How many sessions one key may have open; the oldest ends when one more is opened.
pub const LOGINS_PER_KEY: usize = 50;

/// A console session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The SHA-256 of its token.
    pub token_hash: [u8; 32],
    /// The key that it was opened with.
    pub key: KeyId,
    /// When.
    pub begun_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// Keeps console sessions.
#[async_trait]
pub trait Logins: Send + Sync {
    /// Opens a session. Those that have expired are removed, and of one key only the latest
    /// [`LOGINS_PER_KEY`] are kept.
    ///
    /// # Errors
    /// [`super::Error::NotFound`] if there is no such key.
    async fn open_login(&self, login: &Login, by: &By) -> Result<()>;

    /// Finds a session, also one that has expired and was not removed yet.
    ///
    /// # Errors
    /// [`super::Error::NotFound`].
    async fn login(&self, token_hash: &[u8; 32]) -> Result<Login>;

    /// Closes a session; one that is not there is closed already.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn close_login(&self, token_hash: &[u8; 32], by: &By) -> Result<()>;
}
