//! What somebody shows to be let in.

use std::fmt;
use std::sync::Arc;

use segue_store::control::keys::Key;

use super::{Access, Error};

/// What somebody shows to be let in. It does not show itself in logs.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// An API key.
    Key(String),
    /// The token of a console session.
    Session(String),
}

impl Credential {
    /// The key that it is, or stands for; none if it is a session that is over.
    ///
    /// # Errors
    /// It opens nothing, or the control plane cannot be asked.
    pub async fn recognise(&self, access: &Access) -> Result<Option<Arc<Key>>, Error> {
        match self {
            Self::Key(shown) => access.keyring.recognise(shown).await.map(Some),
            Self::Session(token) => access.sessions.recognise(token).await,
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "Key(…)",
            Self::Session(_) => "Session(…)",
        })
    }
}
