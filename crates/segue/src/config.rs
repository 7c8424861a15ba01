//! The configuration: what the operator may say, and what happens when it makes no sense.
//!
//! Defaults ← `config/default.toml` if it is there ← `--config FILE` ← environment variables such as
//! `SEGUE__SERVER__LISTEN`. An unknown key or a bad value stops the start and names the file, the line,
//! the key and what is allowed ([`locate`]).

mod access;
mod check;
mod extraction;
mod locate;
mod postgres;
mod stores;
mod telemetry;
mod tenant_migration;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use segue_core::config::Migration;
use serde::{Deserialize, Serialize};

pub use access::Access;
pub use extraction::{Extraction, Invalid as InvalidExtraction, OutputLimitName};
pub use locate::{Error, Place};
pub use postgres::{Options, Url};
pub use stores::{Control, Database, Store, Stores};
pub use telemetry::Telemetry;
pub use tenant_migration::TenantMigration;

use crate::http::live::Limits;

/// Where the configuration is looked for when no file is named.
pub const DEFAULT_FILE: &str = "config/default.toml";

/// Everything that can be configured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How requests come in.
    pub server: Server,
    /// Who may do what.
    pub access: Access,
    /// Where decisions are kept.
    pub control: Control,
    /// Where tenant logs are kept.
    pub stores: Stores,
    /// How scenarios are migrated.
    pub scenario_migration: Migration,
    /// How tenants are moved between stores.
    pub tenant_migration: TenantMigration,
    /// What Segue tells about itself.
    pub telemetry: Telemetry,
    /// The language model that helps turns, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extraction: Option<Extraction>,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// The address and port to listen on; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Allows an address that other machines can reach although no API key is needed: whoever reaches the
    /// port can do everything. For a server behind a proxy that authenticates.
    pub allow_remote_without_authentication: bool,
    /// Threads that serve requests; by default one for each core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_threads: Option<NonZeroUsize>,
    /// Seconds after which a request is given up with 503.
    pub request_timeout_seconds: f64,
    /// Seconds that a stopping server waits for the requests it has accepted.
    pub shutdown_timeout_seconds: f64,
    /// The largest request body, in bytes; that of an append of events may have 17 MiB in any case.
    pub max_body_bytes: usize,
    /// Live streams and waiting long polls that may be open at once.
    pub max_streams: NonZeroUsize,
    /// The same of one tenant.
    pub max_streams_per_tenant: NonZeroUsize,
    /// Seconds after which a client that takes nothing of its answer is given up.
    pub stalled_reader_timeout_seconds: f64,
}

impl Server {
    /// What is allowed of live streams.
    #[must_use]
    pub fn live_limits(&self) -> Limits {
        Limits {
            per_tenant: self.max_streams_per_tenant,
            in_all: self.max_streams,
            request_timeout: Duration::from_secs_f64(self.request_timeout_seconds),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000),
            allow_remote_without_authentication: false,
            worker_threads: None,
            request_timeout_seconds: 30.0,
            shutdown_timeout_seconds: 30.0,
            max_body_bytes: 8 * 1024 * 1024,
            max_streams: NonZeroUsize::new(10_000).expect("it is not 0"),
            max_streams_per_tenant: NonZeroUsize::new(100).expect("it is not 0"),
            stalled_reader_timeout_seconds: 30.0,
        }
    }
}

impl Config {
    /// Reads the configuration from the default file, `file`, the environment, and the address of the
    /// command line, if it names one.
    ///
    /// # Errors
    /// When a file cannot be read or parsed, a key is unknown, or a value is not allowed.
    pub fn load(file: Option<&Path>, listen: Option<SocketAddr>) -> Result<Self, Error> {
        let mut files = Vec::new();
        let default = PathBuf::from(DEFAULT_FILE);
        if default.is_file() {
            files.push(default);
        }
        if let Some(file) = file {
            files.push(file.to_owned());
        }
        Self::read(&files, listen)
    }

    fn read(files: &[PathBuf], listen: Option<SocketAddr>) -> Result<Self, Error> {
        // Whoever configures a store does not want the default one opened beside it.
        let mut defaults = Self::default();
        let unconfigured = std::mem::take(&mut defaults.stores.by_id);
        let mut figment = Figment::from(Serialized::defaults(defaults));
        for file in files {
            locate::parse(file)?;
            figment = figment.merge(Toml::file_exact(file));
        }
        figment = figment.merge(Env::prefixed("SEGUE__").split("__"));
        if let Some(listen) = listen {
            figment = figment.merge(Serialized::default("server.listen", listen));
        }
        let mut config = figment.extract::<Self>().map_err(|error| Error::locate(&error))?;
        if config.stores.by_id.is_empty() {
            config.stores.by_id = unconfigured;
        }
        check::check(&config).map_err(|problem| Error::at(problem, &figment))?;
        Ok(config)
    }

    /// Whether other machines can reach the address.
    #[must_use]
    pub fn listens_to_the_world(&self) -> bool {
        !self.server.listen.ip().is_loopback()
    }
}

#[cfg(test)]
mod tests;
