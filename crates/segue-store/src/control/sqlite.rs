//! The control plane in one SQLite file.
//!
//! One connection writes, behind a lock and off the asynchronous threads; each write is one immediate
//! transaction, synced to the disk before it is answered. Others read beside it, from snapshots, and
//! never wait for it. Several processes may share the file.
//!
//! What every turn asks ([`Standings`](super::Standings)) is read where it is asked, without a change of
//! thread: an indexed read of rows that lie in the page cache takes microseconds, less than the change
//! would.

mod audit;
mod column;
mod connections;
mod deployments;
mod fields;
mod list;
mod plans;
mod routing;
mod scenarios;
mod standing;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::{ControlPlane, Error, Result, Unavailable};
use crate::sqlite::{Fault, OpenError, fault};
use connections::Connections;

mod schema {
    refinery::embed_migrations!("src/control/migrations/sqlite");
}

/// A control plane in a SQLite file, or in memory.
#[derive(Debug, Clone)]
pub struct Control {
    connections: Arc<Connections>,
}

impl Control {
    /// Opens the file, or makes it, and checks its pages. Blocks while it does.
    ///
    /// ```
    /// use segue_store::control::sqlite::Control;
    ///
    /// let folder = tempfile::tempdir()?;
    /// let control = Control::open(&folder.path().join("segue-data/control.db"))?;
    ///
    /// let letter = folder.path().join("letter.txt");
    /// std::fs::write(&letter, "no database".repeat(200))?;
    /// assert!(Control::open(&letter).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`OpenError`]: the file is damaged, of another program, of a newer Segue, or cannot be written.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self { connections: Arc::new(Connections::open(path, &migrations())?) })
    }

    /// Makes an empty control plane that lives as long as this value and its clones; for tests.
    ///
    /// # Errors
    /// [`OpenError`] if there is no memory for it.
    pub fn in_memory() -> Result<Self, OpenError> {
        Ok(Self { connections: Arc::new(Connections::in_memory(&migrations())?) })
    }
}

fn migrations() -> Vec<refinery::Migration> {
    schema::migrations::runner().get_migrations().clone()
}

#[async_trait]
impl ControlPlane for Control {
    async fn check(&self) -> Result<()> {
        // Takes and gives back the right to write, which a read-only or a locked file refuses.
        self.connections.write(|_| Ok(())).await
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        if matches!(error, rusqlite::Error::ToSqlConversionFailure(_)) {
            return Self::Refused("a number is above 9,223,372,036,854,775,807");
        }
        let reason = match fault(&error) {
            Fault::DiskFull => Unavailable::DiskFull,
            Fault::Busy => Unavailable::Busy,
            Fault::ReadOnly => Unavailable::ReadOnly,
            Fault::Io | Fault::CannotOpen | Fault::Constraint | Fault::Other => Unavailable::Io,
            Fault::Corrupt | Fault::NotADatabase => {
                return Self::Corrupt { what: "row or page", source: Box::new(error) };
            }
        };
        Self::Unavailable(reason, Box::new(error))
    }
}
