//! Console sessions: who has shown an API key on the login page carries a token in a cookie instead.
//!
//! The cookie is not readable by scripts, is sent to `/console` only and never from another site's page,
//! and travels by TLS only, unless the server listens on the loopback and has no public `https` URL. The token
//! is 256 random bits; the control plane keeps its SHA-256. A session ends after some hours, by logging out,
//! and together with its key.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use quick_cache::sync::Cache;
use segue_store::control::keys::Key;
use segue_store::control::logins::Login;
use segue_store::control::{By, ControlPlane, Error as ControlError};
use sha2::{Digest, Sha256};

use super::keyring::{BELIEVED_FOR, Keyring};
use super::{Denied, Error};
use crate::clock::Clock;

/// The cookie's name.
pub const COOKIE: &str = "segue_console";

/// Sessions that are remembered.
const REMEMBERED: usize = 1_000;

/// The console sessions, as one process knows them.
pub struct Sessions {
    control: Arc<dyn ControlPlane>,
    clock: Arc<dyn Clock>,
    keyring: Arc<Keyring>,
    lasting: Duration,
    known: Cache<[u8; 32], Arc<Known>>,
}

/// What is remembered of a session.
#[derive(Debug)]
struct Known {
    key: Arc<Key>,
    expires_at: Timestamp,
    read_at: Instant,
    /// The keyring's, before it was read.
    generation: u64,
}

/// How a browser is told of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// By TLS only.
    Secure,
    /// Also without, on the loopback.
    Loopback,
}

impl Sessions {
    /// Knows none yet.
    #[must_use]
    pub fn new(
        control: Arc<dyn ControlPlane>,
        clock: Arc<dyn Clock>,
        keyring: Arc<Keyring>,
        lasting: Duration,
    ) -> Self {
        Self { control, clock, keyring, lasting, known: Cache::new(REMEMBERED) }
    }

    /// Opens a session, and answers with the `Set-Cookie` header of it.
    ///
    /// # Errors
    /// The control plane cannot be asked.
    ///
    /// # Panics
    /// When the machine has no randomness.
    pub async fn open(&self, key: &Key, transport: Transport) -> Result<String, ControlError> {
        let mut token = [0; 32];
        getrandom::fill(&mut token).expect("the machine has randomness");
        let token = URL_SAFE_NO_PAD.encode(token);
        let now = self.clock.now();
        let expires_at = now.checked_add(self.lasting).unwrap_or(Timestamp::MAX);
        let login = Login { token_hash: hash(&token), key: key.id, begun_at: now, expires_at };
        self.control.open_login(&login, &By::new(&*key.name, now)).await?;
        Ok(set_cookie(&token, self.lasting.as_secs(), transport))
    }

    /// Whose session a browser's cookie is of; nobody's if it has none.
    ///
    /// # Errors
    /// [`Denied`] if the session or its key is over, or the control plane cannot be asked.
    pub async fn recognise(&self, headers: &HeaderMap) -> Result<Option<Arc<Key>>, Error> {
        let Some(token) = cookie(headers) else { return Ok(None) };
        let token_hash = hash(token);
        let (now, generation) = (self.clock.now(), self.keyring.generation());
        if let Some(known) = self.known.get(&token_hash)
            && known.generation == generation
            && known.read_at.elapsed() < BELIEVED_FOR
            && now < known.expires_at
            && known.key.is_valid(now)
        {
            return Ok(Some(known.key.clone()));
        }
        let login = match self.control.login(&token_hash).await {
            Ok(login) if now < login.expires_at => login,
            Ok(_) | Err(ControlError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match self.keyring.of_session(login.key).await {
            Ok(key) => {
                let (read_at, expires_at) = (Instant::now(), login.expires_at);
                let known = Known { key: key.clone(), expires_at, read_at, generation };
                self.known.insert(token_hash, Arc::new(known));
                Ok(Some(key))
            }
            Err(Error::Denied(Denied::UnknownKey | Denied::Over { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Closes a browser's session, and answers with the `Set-Cookie` header that takes its cookie away.
    ///
    /// # Errors
    /// The control plane cannot be asked.
    pub async fn close(
        &self,
        headers: &HeaderMap,
        by: &str,
        transport: Transport,
    ) -> Result<String, ControlError> {
        if let Some(token) = cookie(headers) {
            let token_hash = hash(token);
            self.control.close_login(&token_hash, &By::new(by, self.clock.now())).await?;
            self.known.remove(&token_hash);
        }
        Ok(set_cookie("", 0, transport))
    }
}

/// Whether a browser brought a cookie of the console, valid or not.
#[must_use]
pub fn has_cookie(headers: &HeaderMap) -> bool {
    cookie(headers).is_some()
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == COOKIE && !value.is_empty())
        .map(|(_, value)| value)
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn set_cookie(token: &str, max_age_seconds: u64, transport: Transport) -> String {
    let secure = match transport {
        Transport::Secure => "; Secure",
        Transport::Loopback => "",
    };
    format!(
        "{COOKIE}={token}; Path=/console; Max-Age={max_age_seconds}; HttpOnly; SameSite=Strict{secure}"
    )
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("lasting", &self.lasting).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        assert!(!has_cookie(&headers));
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; segue_console_x=no"));
        assert!(!has_cookie(&headers));
        headers.append(header::COOKIE, HeaderValue::from_static("theme=dark; segue_console=t-1"));
        assert_eq!(cookie(&headers), Some("t-1"));
    }

    #[test]
    fn scripts_and_other_sites_never_get_the_cookie() {
        let cookie = set_cookie("t", 60, Transport::Secure);
        for attribute in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/console", "Max-Age=60"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        assert!(!set_cookie("t", 60, Transport::Loopback).contains("Secure"));
    }
}
