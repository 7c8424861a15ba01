//! Why a PostgreSQL database cannot be used: what is wrong, with which database, and what to do.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use super::fault::{Fault, fault};
use super::{Kind, Settings};

/// An error underneath, shared by all who wait for the same database.
pub(super) type Cause = Arc<dyn StdError + Send + Sync>;

/// Why a database cannot be used. Says what, where, and what to do; never the password.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{database}: {reason}")]
pub struct OpenError {
    /// The database as `postgres://user@host:port/name, schema …`.
    pub database: String,
    /// What is wrong with it.
    pub reason: Refusal,
    /// What lies under it, where something does.
    #[source]
    pub source: Option<Cause>,
}

/// What is wrong with a database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing answers there.
    #[error("the server cannot be reached; start it, or check host and port")]
    Unreachable,
    /// The server did not answer in time.
    #[error("the server did not answer in time; check the network, or raise the time-outs")]
    TimedOut,
    /// The server is starting or stopping.
    #[error("the server is starting or stopping")]
    ShuttingDown,
    /// Every connection of the pool is in use.
    #[error("all connections are in use; raise pool_size, or look for what keeps them")]
    Busy,
    /// The server has no connection left.
    #[error(
        "the server gives out no more connections; raise max_connections there, or lower pool_size"
    )]
    TooManyConnections,
    /// The server takes no writes.
    #[error("the server is read-only; name the primary")]
    ReadOnly,
    /// The server has no room.
    #[error("the server's disk or memory is full; make room")]
    DiskFull,
    /// The user may not log in.
    #[error("user {user} is not let in; check the password, and pg_hba.conf on the server")]
    NotLetIn {
        /// Who.
        user: String,
    },
    /// There is no such database.
    #[error("there is no such database; create it, or check its name")]
    NoDatabase,
    /// The user lacks a right.
    #[error(
        "the user lacks a right ({0}); grant it, or create the schema with this user as its owner"
    )]
    Denied(String),
    /// The server's certificate is not to be trusted.
    #[error(
        "the server's certificate is not trusted ({0}); name the file of its authority as tls_ca, or \
         write sslmode=disable if the network is your own"
    )]
    Untrusted(String),
    /// TLS is demanded, and the server has none.
    #[error("the server does not offer TLS; configure it there, or write sslmode=disable")]
    NoTls,
    /// The authority's file cannot be used.
    #[error("tls_ca {path} cannot be used ({reason}); name a PEM file with certificates")]
    Authority {
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The server is too old.
    #[error("the server has version {found}; version {needed} or later is needed")]
    OldServer {
        /// The server's version.
        found: String,
        /// The oldest that serves.
        needed: u32,
    },
    /// Text would not come back as it went in.
    #[error("the database has encoding {0}, UTF8 is needed; create it with ENCODING 'UTF8'")]
    Encoding(String),
    /// The schema is of another program, or of another part of Segue.
    #[error("the schema holds {found}, not {wanted}; name another schema")]
    Foreign {
        /// What the schema holds.
        found: String,
        /// What is expected there.
        wanted: Kind,
    },
    /// A newer Segue has been at work.
    #[error(
        "the schema has version {found}, this program knows versions up to {known}. Start the version of \
         Segue that wrote it, or a later one"
    )]
    NewerSchema {
        /// The version of the schema.
        found: i32,
        /// The highest version that this program knows.
        known: i32,
    },
    /// The schema could not be brought up to date.
    #[error("the schema could not be brought up to version {0}")]
    Migration(i32),
    /// Anything else that the database said.
    #[error("the database cannot be prepared")]
    Other,
}

impl Refusal {
    /// Whether it may be over without anyone changing the configuration or the schema: a server that
    /// starts waits for that, and refuses to start otherwise.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::Unreachable
            | Self::TimedOut
            | Self::ShuttingDown
            | Self::Busy
            | Self::TooManyConnections
            | Self::ReadOnly
            | Self::DiskFull => true,
            Self::NotLetIn { .. }
            | Self::NoDatabase
            | Self::Denied(_)
            | Self::Untrusted(_)
            | Self::NoTls
            | Self::Authority { .. }
            | Self::OldServer { .. }
            | Self::Encoding(_)
            | Self::Foreign { .. }
            | Self::NewerSchema { .. }
            | Self::Migration(_)
            | Self::Other => false,
        }
    }
}

impl OpenError {
    pub(super) fn new(settings: &Settings, reason: Refusal) -> Self {
        Self { database: settings.to_string(), reason, source: None }
    }

    /// Explains what PostgreSQL, or the way to it, said.
    pub(super) fn explain(settings: &Settings, error: tokio_postgres::Error) -> Self {
        let reason = refusal(settings, &error);
        Self { database: settings.to_string(), reason, source: Some(Arc::new(error)) }
    }
}

pub(super) fn refusal(settings: &Settings, error: &tokio_postgres::Error) -> Refusal {
    if let Some(refusal) = of_tls(error) {
        return refusal;
    }
    if let Some(said) = error.as_db_error() {
        match said.code().code() {
            "28P01" | "28000" => return Refusal::NotLetIn { user: settings.user().to_owned() },
            "3D000" => return Refusal::NoDatabase,
            _ => {}
        }
    }
    match fault(error) {
        Fault::ConnectionLost => Refusal::Unreachable,
        Fault::Shutdown => Refusal::ShuttingDown,
        Fault::ReadOnly => Refusal::ReadOnly,
        Fault::DiskFull => Refusal::DiskFull,
        Fault::TooManyConnections => Refusal::TooManyConnections,
        Fault::StatementTimeout | Fault::LockTimeout => Refusal::TimedOut,
        Fault::Denied => Refusal::Denied(
            error.as_db_error().map_or_else(String::new, |said| said.message().to_owned()),
        ),
        // Such as a password that the server asks for, and nobody gave.
        Fault::Other if error.to_string() == "authentication error" => {
            Refusal::NotLetIn { user: settings.user().to_owned() }
        }
        Fault::Other if error.to_string() == "invalid configuration" => {
            Refusal::NotLetIn { user: settings.user().to_owned() }
        }
        Fault::Serialization | Fault::Unique { .. } | Fault::Corrupt | Fault::Other => {
            Refusal::Other
        }
    }
}

/// What went wrong in the making of a TLS connection, if that is what went wrong. A connection that broke
/// in the middle of it is none of these.
fn of_tls(error: &tokio_postgres::Error) -> Option<Refusal> {
    let source = error.source()?;
    if let Some(error) = source.downcast_ref::<io::Error>() {
        let untrusted = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        return Some(Refusal::Untrusted(untrusted.to_string()));
    }
    (source.to_string() == "server does not support TLS").then_some(Refusal::NoTls)
}
