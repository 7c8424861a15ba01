//! The control plane in one schema of a PostgreSQL database, which several servers share.
//!
//! A read is one statement, and so one snapshot and one round trip; only a list counts in a second one that
//! travels with it, so its total may be of a moment earlier or later. A decision is one transaction that
//! first takes the tenant's turn to decide ([`statement::decide`]); then it reads, checks and writes as if
//! it were alone. A connection that is lost while the commit is under way leaves its outcome unknown:
//! that is [`Error::Unavailable`], and the caller reads what is.

mod audit;
mod changes;
mod column;
mod deployments;
mod fields;
mod forecasts;
mod keys;
mod list;
mod logins;
mod migrations;
mod plans;
mod routing;
mod scenarios;
mod standing;
mod statement;
mod subscriptions;

use std::error::Error as _;
use std::num::TryFromIntError;
use std::sync::Arc;

use async_trait::async_trait;

use super::changes::{Announcer, Changes};
use super::{ControlPlane, Error, Result, Unavailable};
use crate::postgres::{Client, Database, Fault, Kind, OpenError, Refusal, Settings, fault};

mod schema {
    refinery::embed_migrations!("src/control/migrations/postgres");
}

/// A control plane in a schema of a PostgreSQL database. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Control {
    database: Database,
    announcer: Arc<Announcer>,
}

impl Control {
    /// Names the database. Nothing connects before [`Control::ready`], or before something is asked.
    ///
    /// # Errors
    /// [`OpenError`] when the settings name a file of certificates that cannot be used.
    pub fn open(settings: Settings) -> Result<Self, OpenError> {
        let migrations = schema::migrations::runner().get_migrations().clone();
        let database = Database::open(settings, Kind::Control, &migrations)?;
        Ok(Self { database, announcer: Announcer::new() })
    }

    /// Connects, finds out what the database is, and brings its schema up to date, unless that was done.
    ///
    /// # Errors
    /// [`OpenError`] with what is wrong; [`Refusal::passes`] says whether waiting may help.
    pub async fn ready(&self) -> Result<(), OpenError> {
        self.database.ready().await
    }

    async fn client(&self) -> Result<Client> {
        Ok(self.database.client().await?)
    }
}

#[async_trait]
impl ControlPlane for Control {
    async fn check(&self) -> Result<()> {
        let read_only = "SELECT current_setting('transaction_read_only') = 'on'";
        match statement::row(&self.client().await?, read_only, &[]).await? {
            Some(row) if row.try_get(0)? => {
                let reason = Refusal::ReadOnly.to_string();
                Err(Error::Unavailable(Unavailable::ReadOnly, reason.into()))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn changes(&self) -> Changes {
        let database = self.database.clone();
        let schema = database.settings().schema(Kind::Control).to_owned();
        self.announcer.listen(|listeners| changes::watch(database, schema, listeners))
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        if error.source().is_some_and(|source| source.is::<TryFromIntError>())
            && fault(&error) == Fault::Other
        {
            return Self::TooGreat;
        }
        let reason = match fault(&error) {
            Fault::DiskFull => Unavailable::DiskFull,
            Fault::LockTimeout | Fault::Serialization | Fault::TooManyConnections => {
                Unavailable::Busy
            }
            Fault::StatementTimeout => Unavailable::Slow,
            Fault::ReadOnly => Unavailable::ReadOnly,
            Fault::ConnectionLost | Fault::Shutdown => Unavailable::Lost,
            Fault::Unique { .. } | Fault::Denied | Fault::Other => Unavailable::Io,
            Fault::Corrupt => {
                return Self::Corrupt { what: "row or page", source: Box::new(error) };
            }
        };
        Self::Unavailable(reason, Box::new(error))
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        let reason = match &error.reason {
            Refusal::Busy | Refusal::TooManyConnections => Unavailable::Busy,
            Refusal::TimedOut => Unavailable::Slow,
            Refusal::ReadOnly => Unavailable::ReadOnly,
            Refusal::DiskFull => Unavailable::DiskFull,
            Refusal::Unreachable
            | Refusal::ShuttingDown
            | Refusal::NotLetIn { .. }
            | Refusal::NoDatabase
            | Refusal::Denied(_)
            | Refusal::Untrusted(_)
            | Refusal::NoTls
            | Refusal::Authority { .. } => Unavailable::Lost,
            Refusal::OldServer { .. }
            | Refusal::Encoding(_)
            | Refusal::Foreign { .. }
            | Refusal::NewerSchema { .. }
            | Refusal::Migration(_)
            | Refusal::Other => Unavailable::Io,
        };
        Self::Unavailable(reason, Box::new(error))
    }
}
