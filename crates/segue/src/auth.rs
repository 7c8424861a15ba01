//! Who may do what: the one place that decides it.
//!
//! ```text
//!  request ──▶ who is it?  ([keyring] by an API key, [session] by the cookie of a console session)
//!          ──▶ may they?   ([rules]: roles by method and route; a key of one tenant sees that tenant only)
//!          ──▶ how often?  ([rate]: so many requests a second for each key)
//!          ──▶ the endpoint, with the [Caller] beside the request
//! ```
//!
//! What holds:
//! - **A route that no rule names is closed** ([`rules`]); a test walks every route of the description.
//! - **A secret is shown once** and kept as an Argon2id hash; it is in no log and no debugging output
//!   ([`secret`]).
//! - **A key of one tenant never reaches another one's things**, whatever a request says of its tenant.
//! - **A browser is believed only where it says that the request is its own page's** ([`origin`]).
//! - **Without keys only the loopback is served** ([`Mode::Open`]), and there only under a loopback name, so
//!   that no page on the web reaches it by a name of its own.
//!
//! A key that is revoked opens nothing any more, and what is still open ends: at once in the process that
//! revoked it, within half a second in the others as a rule, and if the message of it is lost within
//! [`keyring::BELIEVED_FOR`], or twice that for what is open. What is open ends after a minute, too, in which
//! the control plane could not be asked.

pub mod caller;
pub mod credential;
pub mod keyring;
pub mod origin;
pub mod rate;
pub mod rules;
pub mod secret;
pub mod session;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use segue_core::ids::TenantId;
use segue_store::control::ControlPlane;
use segue_store::control::keys::{Key, Role, Roles};
use serde::{Deserialize, Serialize};

pub use caller::Caller;
pub use credential::Credential;
pub use keyring::Keyring;
pub use origin::PublicUrl;
pub use session::{Sessions, Transport};

use crate::clock::Clock;
use crate::config;

/// Whether an API key is needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Whoever reaches the port may do everything. A key that is sent is checked all the same.
    #[default]
    Open,
    /// Everything but health, the API's description and the console's login needs a key.
    ApiKeys,
}

/// Why a request is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nothing says who it is.
    #[error(
        "this server needs an API key: send it as `Authorization: Bearer segue_…`, or set SEGUE_API_KEY \
         for the command line; `segue key create` makes one"
    )]
    NoKey,
    /// What was sent is no key that this server knows.
    #[error("this API key is not known here: it is mistyped, or of another installation")]
    UnknownKey,
    /// The header is not what it should be.
    #[error("the header Authorization is not `Bearer segue_…`")]
    NotBearer,
    /// The session of the console is over.
    #[error("this session of the console is over: log in again")]
    SessionOver,
    /// The key is over.
    #[error("this API key ({name}) has {how}: ask for a new one")]
    Over {
        /// The key's name.
        name: String,
        /// How it ended.
        how: End,
    },
    /// The key is for something else.
    #[error("the key {name} has the roles {has}; this needs {}", words(needs))]
    Role {
        /// The key's name.
        name: String,
        /// What it may do.
        has: Roles,
        /// What would be enough: any of these.
        needs: &'static [Role],
    },
    /// The key is for one tenant only, and this is about all of them.
    #[error("the key {name} is for one tenant; this is about all tenants")]
    OneTenantOnly {
        /// The key's name.
        name: String,
    },
    /// The key is for another tenant.
    #[error("the key {name} is not for this tenant")]
    OtherTenant {
        /// The key's name.
        name: String,
        /// The tenant that it is for.
        tenant: TenantId,
    },
    /// What is named as a tenant is none.
    #[error(
        "ffffffff-ffff-ffff-ffff-ffffffffffff is no tenant: what belongs to none is kept under it; write \
         a tenant's id plainly"
    )]
    NotATenant,
    /// There were too many requests.
    #[error("the key {name} may make {per_second} requests a second; come back in {wait_ms} ms")]
    TooFast {
        /// The key's name.
        name: String,
        /// How many it may make.
        per_second: u64,
        /// When the next one is let in.
        wait_ms: u64,
    },
    /// Too many sessions of the console were opened with a key.
    #[error(
        "the key {name} may open {} sessions of the console a minute; come back in {wait_ms} ms",
        session::OPENED_PER_MINUTE
    )]
    TooManyLogins {
        /// The key's name.
        name: String,
        /// When the next one may be opened.
        wait_ms: u64,
    },
    /// Too many wrong secrets were tried.
    #[error("too many wrong API keys were tried; come back in a second")]
    TooManyTries,
    /// A page of another site sent it.
    #[error(
        "a browser sent this from a page of another site ({from}); only this server's own pages may"
    )]
    CrossOrigin {
        /// Which, as far as the browser said.
        from: String,
    },
    /// The server was called by a name that is not its own.
    #[error(
        "this server has no authentication and answers to a loopback address only, not to {host}; \
         set access.mode = \"api_keys\", or access.public_url if that is its name"
    )]
    WrongHost {
        /// The name.
        host: String,
    },
}

/// A time to wait, as a client is told it.
fn in_ms(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Roles as a choice, such as "app or operator".
fn words(roles: &[Role]) -> String {
    match roles {
        [] => "a role that does not exist: the route is closed".to_owned(),
        roles => roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" or "),
    }
}

/// How a key ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Expired,
    /// Another key took its place.
    Rotated,
    /// By somebody's decision.
    Revoked,
}

impl End {
    /// How a key ended, if it has.
    #[must_use]
    pub fn of(key: &Key, now: Timestamp) -> Option<Self> {
        match (key.revoked_at, key.superseded_at) {
            (Some(_), _) => Some(Self::Revoked),
            (None, Some(end)) if end <= now => Some(Self::Rotated),
            (None, _) => (!key.is_valid(now)).then_some(Self::Expired),
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Expired => "expired",
            Self::Rotated => "been rotated, and its overlap is over",
            Self::Revoked => "been revoked",
        })
    }
}

/// Why it cannot be said whether a request is let in, or why it is not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The control plane cannot be asked now.
    #[error(transparent)]
    Control(#[from] segue_store::control::Error),
}

/// The doors of one server.
#[derive(Debug)]
pub struct Access {
    /// Whether a key is needed.
    pub mode: Mode,
    /// What the server is called from outside.
    pub public_url: Option<PublicUrl>,
    /// Whether the port can be reached from this machine only.
    pub on_loopback: bool,
    /// The API keys.
    pub keyring: Arc<Keyring>,
    /// Console sessions.
    pub sessions: Sessions,
    /// How often a key may come.
    pub rate: rate::Limits,
}

impl Access {
    /// Puts the doors in, as configured.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(
        config: &config::Config,
        control: Arc<dyn ControlPlane>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let access = &config.access;
        let keyring = Keyring::new(control.clone(), clock.clone());
        Arc::new(Self {
            mode: access.mode,
            public_url: access.public_url.clone(),
            on_loopback: !config.listens_to_the_world(),
            sessions: Sessions::new(control, clock, keyring.clone(), access.console_session()),
            keyring,
            rate: rate::Limits::new(access.requests_per_second, access.burst),
        })
    }

    /// Lets the bearer of a key make one more request, if they do not make too many.
    ///
    /// # Errors
    /// [`Denied::TooFast`].
    pub fn pace(&self, key: &Key) -> Result<(), Denied> {
        self.rate.pass(key).map_err(|too_fast| Denied::TooFast {
            name: key.name.clone(),
            per_second: too_fast.per_second,
            wait_ms: in_ms(too_fast.wait),
        })
    }

    /// How the console's cookie travels from this server.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match &self.public_url {
            Some(url) if url.is_secure() => Transport::Secure,
            _ if self.on_loopback => Transport::Loopback,
            Some(_) | None => Transport::Secure,
        }
    }
}
