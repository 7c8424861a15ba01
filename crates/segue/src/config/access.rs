//! `[access]`: who may do what, and how often.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::auth::{Mode, PublicUrl};

/// `[access]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// `open`: no key is needed. `api_keys`: everything but health, the API's description and the
    /// console's login needs one.
    pub mode: Mode,
    /// What the server is called from outside, such as `https://segue.example.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<PublicUrl>,
    /// Requests per second that a key may make, unless it has a limit of its own.
    pub requests_per_second: NonZeroU32,
    /// Requests that it may make at once after a rest.
    pub burst: NonZeroU32,
    /// Hours after which a console session ends.
    pub console_session_hours: f64,
}

impl Access {
    /// How long a console session lasts.
    #[must_use]
    pub fn console_session(&self) -> Duration {
        Duration::from_secs_f64(self.console_session_hours * 3_600.0)
    }
}

impl Default for Access {
    fn default() -> Self {
        let limit = |limit| NonZeroU32::new(limit).expect("it is not 0");
        Self {
            mode: Mode::Open,
            public_url: None,
            requests_per_second: limit(2_000),
            burst: limit(4_000),
            console_session_hours: 12.0,
        }
    }
}
