//! Console sessions: who has shown an API key on the login page carries a token in a cookie instead.
//!
//! The cookie is not readable by scripts, and another site's page cannot send anything with it but follow a
//! link. It travels by TLS only and cannot be set by another host (`__Host-`), unless the server listens on the
//! loopback and has no public `https` URL. The token is 256 random bits; the control plane keeps its SHA-256. A
//! session ends after some hours, by logging out, and together with its key.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use quick_cache::sync::Cache;
use segue_core::ids::KeyId;
use segue_store::control::keys::Key;
use segue_store::control::logins::Login;
use segue_store::control::{By, ControlPlane, Error as ControlError};
use sha2::{Digest, Sha256};

use super::keyring::{BELIEVED_FOR, Keyring};
use super::{Denied, Error, in_ms};
use crate::clock::Clock;

/// Sessions that may be opened with one key in a minute, on one server.
pub const OPENED_PER_MINUTE: u32 = 10;

/// Sessions that are remembered.
const REMEMBERED: usize = 1_000;

/// The console sessions, as one process knows them.
pub struct Sessions {
    control: Arc<dyn ControlPlane>,
    clock: Arc<dyn Clock>,
    keyring: Arc<Keyring>,
    lasting: Duration,
    known: Cache<[u8; 32], Arc<Known>>,
    opened: DefaultKeyedRateLimiter<KeyId>,
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

impl Transport {
    /// The name of its cookie.
    #[must_use]
    pub fn cookie(self) -> &'static str {
        match self {
            // Browsers take a cookie with this prefix from nobody but the host itself, by TLS.
            Self::Secure => "__Host-segue_console",
            Self::Loopback => "segue_console",
        }
    }

    /// What a browser brought in its cookie, valid or not.
    #[must_use]
    pub fn token(self, headers: &HeaderMap) -> Option<&str> {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, value)| *name == self.cookie() && !value.is_empty())
            .map(|(_, value)| value)
    }

    fn set_cookie(self, token: &str, max_age_seconds: u64) -> String {
        let reach = match self {
            Self::Secure => "Path=/; Secure",
            Self::Loopback => "Path=/console",
        };
        let name = self.cookie();
        format!("{name}={token}; {reach}; Max-Age={max_age_seconds}; HttpOnly; SameSite=Lax")
    }
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
        let a_minute = NonZeroU32::new(OPENED_PER_MINUTE).expect("it is not 0");
        let opened = RateLimiter::keyed(Quota::per_minute(a_minute));
        Self { control, clock, keyring, lasting, known: Cache::new(REMEMBERED), opened }
    }

    /// Opens a session, and answers with the `Set-Cookie` header of it.
    ///
    /// # Errors
    /// [`Denied::TooManyLogins`], or the control plane cannot be asked.
    ///
    /// # Panics
    /// When the machine has no randomness.
    pub async fn open(&self, key: &Key, transport: Transport) -> Result<String, Error> {
        self.opened.retain_recent();
        self.opened.check_key(&key.id).map_err(|not_until| Denied::TooManyLogins {
            name: key.name.clone(),
            wait_ms: in_ms(not_until.wait_time_from(DefaultClock::default().now())),
        })?;
        let mut token = [0; 32];
        getrandom::fill(&mut token).expect("the machine has randomness");
        let token = URL_SAFE_NO_PAD.encode(token);
        let now = self.clock.now();
        let expires_at = now.checked_add(self.lasting).unwrap_or(Timestamp::MAX);
        let login = Login { token_hash: hash(&token), key: key.id, begun_at: now, expires_at };
        self.control.open_login(&login, &By::new(&*key.name, now)).await?;
        Ok(transport.set_cookie(&token, self.lasting.as_secs()))
    }

    /// Whose session a token is of; nobody's if the session or its key is over.
    ///
    /// # Errors
    /// The control plane cannot be asked.
    pub async fn recognise(&self, token: &str) -> Result<Option<Arc<Key>>, Error> {
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
        let login = match self.keyring.in_turn(self.control.login(&token_hash)).await? {
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
        if let Some(token) = transport.token(headers) {
            let token_hash = hash(token);
            self.control.close_login(&token_hash, &By::new(by, self.clock.now())).await?;
            self.known.remove(&token_hash);
        }
        Ok(transport.set_cookie("", 0))
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
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
        let token = |headers: &HeaderMap| Transport::Loopback.token(headers).map(str::to_owned);
        let mut headers = HeaderMap::new();
        assert_eq!(token(&headers), None);
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; segue_console_x=no"));
        assert_eq!(token(&headers), None);
        headers.append(header::COOKIE, HeaderValue::from_static("theme=dark; segue_console=t-1"));
        assert_eq!(token(&headers).as_deref(), Some("t-1"));
        let planted = Transport::Secure.token(&headers);
        assert_eq!(planted, None, "by TLS only the name counts that no other host can set");
    }

    #[test]
    fn scripts_and_other_hosts_never_get_the_cookie() {
        let cookie = Transport::Secure.set_cookie("t", 60);
        assert!(cookie.starts_with("__Host-segue_console=t; "), "{cookie}");
        for attribute in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/;", "Max-Age=60"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        let plain = Transport::Loopback.set_cookie("t", 60);
        assert!(!plain.contains("Secure") && plain.contains("Path=/console;"), "{plain}");
    }
}
