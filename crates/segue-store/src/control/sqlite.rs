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
mod changes;
mod column;
mod connections;
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
mod subscriptions;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::changes::{Announcer, Changes};
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
    announcer: Arc<Announcer>,
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
        Ok(Self::over(Connections::open(path, &migrations())?))
    }

    /// Makes an empty control plane that lives as long as this value and its clones; for tests.
    ///
    /// # Errors
    /// [`OpenError`] if there is no memory for it.
    pub fn in_memory() -> Result<Self, OpenError> {
        Ok(Self::over(Connections::in_memory(&migrations())?))
    }

    fn over(connections: Connections) -> Self {
        Self { connections: Arc::new(connections), announcer: Announcer::new() }
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

    fn changes(&self) -> Changes {
        let connections = Arc::downgrade(&self.connections);
        let written = self.connections.written();
        self.announcer.listen(|listeners| changes::watch(connections, written, listeners))
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        if matches!(error, rusqlite::Error::ToSqlConversionFailure(_)) {
            return Self::TooGreat;
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use jiff::Timestamp;
    use rusqlite::Connection;
    use segue_core::ids::{StoreId, TenantId};
    use serde_json::Value;
    use tempfile::TempDir;
    use uuid::Uuid;

    use super::super::audit::{Action, Entry, Filter, Subject};
    use super::super::{Audit, By, Page, Routing, Standings};
    use super::*;
    use crate::sqlite::Refusal;

    const TENANT: TenantId = TenantId(Uuid::nil());

    fn scenario() -> segue_core::ids::ScenarioId {
        segue_core::ids::ScenarioId(Uuid::nil())
    }

    fn opened() -> (TempDir, std::path::PathBuf, Control) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.db");
        let control = Control::open(&path).unwrap();
        (folder, path, control)
    }

    fn line(text: String) -> Entry {
        Entry {
            at: Timestamp::UNIX_EPOCH,
            actor: "olga".to_owned(),
            action: Action::ProfileChanged,
            subject: Subject::Customer,
            subject_id: "customer-1".to_owned(),
            details: Value::String(text),
        }
    }

    async fn lines(control: &Control) -> u64 {
        let listed = control.list_audit(TENANT, &Filter::default(), Page::first(1)).await;
        listed.unwrap().total
    }

    /// Lets the file have so many pages more than it has, as a disk with that much room would.
    async fn leave_room(control: &Control, pages: i64) {
        let leave = move |transaction: &rusqlite::Transaction<'_>| {
            let now: i64 = transaction.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            transaction.query_row(
                &format!("PRAGMA max_page_count = {}", now + pages),
                [],
                |_| Ok(()),
            )?;
            Ok(())
        };
        control.connections.write(leave).await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_fails_the_write_whole_and_is_over_when_there_is_room() {
        let (_folder, path, control) = opened();
        control.record(TENANT, &line("before".to_owned())).await.unwrap();
        leave_room(&control, 2).await;
        let large = line("x".repeat(100_000));
        let failed = control.record(TENANT, &large).await;
        assert!(matches!(failed, Err(Error::Unavailable(Unavailable::DiskFull, _))), "{failed:?}");
        assert_eq!(lines(&control).await, 1, "reads go on, and nothing is stored half-way");

        leave_room(&control, 1_000).await;
        control.record(TENANT, &large).await.unwrap();
        drop(control);
        assert_eq!(lines(&Control::open(&path).unwrap()).await, 2);
    }

    #[tokio::test]
    async fn turns_go_on_while_another_process_writes_and_writes_fail_as_busy() {
        let (_folder, path, control) = opened();
        let store = StoreId::new("shared").unwrap();
        let by = By::new("olga", Timestamp::UNIX_EPOCH);
        control.place(TENANT, &store, &by).await.unwrap();
        let quickly = |connection: &rusqlite::Transaction<'_>| {
            Ok(connection.busy_timeout(Duration::from_millis(50))?)
        };
        control.connections.write(quickly).await.unwrap();

        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE; DELETE FROM tenants").unwrap();
        let begun = Instant::now();
        let standing = control.standing(TENANT, scenario()).await.unwrap();
        assert!(standing.route.is_some(), "what is not committed is not seen");
        assert!(begun.elapsed() < Duration::from_secs(1));
        let busy = control.check().await;
        assert!(matches!(busy, Err(Error::Unavailable(Unavailable::Busy, _))), "{busy:?}");

        other.execute_batch("COMMIT").unwrap();
        assert!(control.standing(TENANT, scenario()).await.unwrap().route.is_none());
        control.check().await.unwrap();
    }

    #[tokio::test]
    async fn a_value_that_nobody_wrote_is_damage_and_not_an_empty_answer() {
        let (_folder, path, control) = opened();
        let store = StoreId::new("shared").unwrap();
        let by = By::new("olga", Timestamp::UNIX_EPOCH);
        control.place(TENANT, &store, &by).await.unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute("UPDATE tenants SET phase = 'sideways'", []).unwrap();
        let damaged = control.route(TENANT).await;
        assert!(matches!(damaged, Err(Error::Corrupt { .. })), "{damaged:?}");
    }

    #[test]
    fn damaged_pages_are_found_when_the_file_is_opened() {
        let (_folder, path, control) = opened();
        drop(control);
        let mut bytes = std::fs::read(&path).unwrap();
        let last_page = bytes.len() - 4096;
        bytes[last_page..].fill(0xA5);
        std::fs::write(&path, bytes).unwrap();
        let error = Control::open(&path).unwrap_err();
        assert!(matches!(error.reason, Refusal::Corrupt(_)), "{error}");
        assert!(error.to_string().contains("restore it from a backup"), "{error}");
    }

    #[tokio::test]
    async fn a_panic_in_a_write_leaves_nothing_behind_and_the_next_write_works() {
        let (_folder, _path, control) = opened();
        let connections = control.connections.clone();
        let panicked = tokio::spawn(async move {
            connections
                .write(|transaction| -> Result<()> {
                    transaction.execute("INSERT INTO field_generations VALUES (x'00', 1)", [])?;
                    panic!("a mistake")
                })
                .await
        });
        assert!(panicked.await.unwrap_err().is_panic());
        let left = |snapshot: &rusqlite::Transaction<'_>| {
            Ok(snapshot.query_row("SELECT count(*) FROM field_generations", [], |row| {
                row.get::<_, i64>(0)
            })?)
        };
        assert_eq!(control.connections.read(left).await.unwrap(), 0);
        control.record(TENANT, &line("after".to_owned())).await.unwrap();
        assert_eq!(lines(&control).await, 1);
    }
}
