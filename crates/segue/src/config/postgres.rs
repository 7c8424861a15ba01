//! A PostgreSQL database as the configuration names it: the same keys for a store and the control plane.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use segue_store::postgres::{InvalidSetting, Settings};
use serde::{Deserialize, Serialize, Serializer};

/// `postgres://…`, shown without its password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Url(String);

impl Url {
    /// Whether a text means to be one.
    #[must_use]
    pub(super) fn recognise(text: &str) -> Option<Self> {
        let is_one = text.starts_with("postgres://") || text.starts_with("postgresql://");
        is_one.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Settings::new(&self.0) {
            Ok(settings) => settings.fmt(f),
            Err(_) => f.write_str("postgres://…"),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How a PostgreSQL database is used, beyond its URL. What is absent has the store's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Options {
    /// The schema in which everything lies; by default `segue_events` or `segue_control`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// How many connections there may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_size: Option<usize>,
    /// Milliseconds to make a connection, TLS and login included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout_ms: Option<u64>,
    /// Milliseconds that a statement may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement_timeout_ms: Option<u64>,
    /// Milliseconds that a statement waits for another transaction's lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_timeout_ms: Option<u64>,
    /// A PEM file with the authority that the server's certificate must be of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<PathBuf>,
    /// The environment variable that holds the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
}

impl Options {
    /// Checks the URL and the options together, and reads the password from the environment.
    ///
    /// # Errors
    /// The first setting that cannot be used; never with the password.
    pub fn settings(&self, url: &Url) -> Result<Settings, InvalidSetting> {
        let mut settings = Settings::new(&url.0)?;
        if let Some(schema) = &self.schema {
            settings = settings.with_schema(schema)?;
        }
        if let Some(pool_size) = self.pool_size {
            settings = settings.with_pool_size(pool_size)?;
        }
        if let Some(timeout) = self.connect_timeout_ms {
            settings = settings.with_connect_timeout(Duration::from_millis(timeout))?;
        }
        if let Some(timeout) = self.statement_timeout_ms {
            settings = settings.with_statement_timeout(Duration::from_millis(timeout))?;
        }
        if let Some(timeout) = self.lock_timeout_ms {
            settings = settings.with_lock_timeout(Duration::from_millis(timeout))?;
        }
        if let Some(file) = &self.tls_ca {
            settings = settings.with_tls_ca(file.clone());
        }
        if let Some(variable) = &self.password_env {
            settings = settings.with_password(&password(variable)?);
        }
        Ok(settings)
    }
}

fn password(variable: &str) -> Result<String, InvalidSetting> {
    std::env::var(variable).map_err(|_| InvalidSetting {
        setting: "password_env",
        message: format!(
            "the environment variable {variable} is not set; put the password there, or name another"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let shown = |text| format!("{0} {0:?}", Url::recognise(text).unwrap());
        let url = "postgres://segue@db:5432/orders";
        assert_eq!(shown("postgres://segue:s3cr3t@db/orders"), format!("{url} {url}"));
        assert!(!shown("postgres://segue:s3cr3t@db").contains("s3cr3t"));
    }
}
