//! SQLite files as Segue keeps them: how one is opened, recognised, brought up to date, and what its
//! errors mean.
//!
//! Every file is in WAL mode with `synchronous=FULL`: readers never wait for the writer, and what was
//! committed survives the loss of power. Its `application_id` says which of Segue's files it is, so
//! that another program's database, or the event store's file where the control plane's is expected, is
//! refused before anything is written to it.

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use refinery::{Migration, Runner};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

/// How long a statement waits for another process's lock before it fails as busy.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Which of Segue's files a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The control plane.
    Control,
    /// An event store.
    Events,
}

impl Kind {
    /// The number in the file's header: four letters, so that `file(1)` and a hex dump show them.
    const fn application_id(self) -> i32 {
        i32::from_be_bytes(match self {
            Self::Control => *b"SgCt",
            Self::Events => *b"SgEv",
        })
    }

    const fn recognise(application_id: i32) -> Option<Self> {
        if application_id == Self::Control.application_id() {
            Some(Self::Control)
        } else if application_id == Self::Events.application_id() {
            Some(Self::Events)
        } else {
            None
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Control => "a Segue control plane",
            Self::Events => "a Segue event store",
        })
    }
}

/// Why a database file cannot be used. Says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}", path = path.display())]
pub struct OpenError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: Refusal,
    /// What lies under it, where something does.
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What is wrong with a database file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The folder is missing and cannot be made.
    #[error("its folder cannot be created; create it, or name another path in the configuration")]
    Folder,
    /// The file cannot be opened.
    #[error("the file cannot be opened; check that it is a file that this user may read and write")]
    CannotOpen,
    /// The file may be read, not written.
    #[error("the file is read-only; let this user write the file and its folder")]
    ReadOnly,
    /// The file is of another program, or of no database at all.
    #[error("the file is {found}, not {wanted}; move it away, or name another path")]
    Foreign {
        /// What the file is.
        found: String,
        /// What is expected there.
        wanted: Kind,
    },
    /// A newer Segue has been at work.
    #[error(
        "the file has schema version {found}, this Segue knows up to {known}; use the newer Segue"
    )]
    NewerSchema {
        /// The version of the file.
        found: i64,
        /// The highest version that this Segue knows.
        known: i64,
    },
    /// Pages of the file are damaged.
    #[error(
        "the file is damaged ({0}); restore it from a backup, with its -wal file if there is one"
    )]
    Corrupt(String),
    /// The file system does not support WAL, as some network file systems do not.
    #[error("the file system does not support SQLite's write-ahead log; use a local disk")]
    NoWal,
    /// Another process holds the file.
    #[error("another process keeps the file locked; stop it, or name another path")]
    Busy,
    /// There is no room to open the file.
    #[error("the disk is full; make room")]
    DiskFull,
    /// Anything else that the database said.
    #[error("the database cannot be prepared")]
    Other,
}

/// What an error of SQLite means to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There is no room left; the transaction is rolled back and the file is whole.
    DiskFull,
    /// Another connection held its lock for longer than [`BUSY_TIMEOUT`].
    Busy,
    /// The file or its folder does not allow writing.
    ReadOnly,
    /// Reading or writing the disk failed.
    Io,
    /// The file cannot be opened.
    CannotOpen,
    /// The file is not a SQLite database.
    NotADatabase,
    /// A page or a value of the file is damaged.
    Corrupt,
    /// A unique index or another constraint refused the row.
    Constraint,
    /// Anything else: a mistake in a statement, or no memory.
    Other,
}

/// Sorts an error of SQLite by what it means.
#[must_use]
pub fn fault(error: &rusqlite::Error) -> Fault {
    use rusqlite::Error as E;
    match error {
        E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::InvalidColumnType(..)
        | E::Utf8Error(..) => return Fault::Corrupt,
        _ => {}
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Fault::DiskFull,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Fault::Busy,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Fault::ReadOnly,
        Some(ErrorCode::SystemIoFailure) => Fault::Io,
        Some(ErrorCode::CannotOpen) => Fault::CannotOpen,
        Some(ErrorCode::NotADatabase) => Fault::NotADatabase,
        Some(ErrorCode::DatabaseCorrupt) => Fault::Corrupt,
        Some(ErrorCode::ConstraintViolation) => Fault::Constraint,
        _ => Fault::Other,
    }
}

/// Opens the file for reading and writing: creates it, with its folder, if it is not there, checks that
/// it is of this kind, and brings its schema up to date. Several processes may do so at once.
///
/// # Errors
/// [`OpenError`] with what is wrong; a file that is refused is left as it was.
pub fn open(path: &Path, kind: Kind, schema: &[Migration]) -> Result<Connection, OpenError> {
    // Switching a new file to WAL, and upgrading a read to a write beside another process that does the
    // same, answer "busy" at once, without the wait that other statements have.
    const ATTEMPTS: u32 = 50;
    let mut attempt = 1;
    loop {
        match open_once(path, kind, schema) {
            Err(error) if error.reason == Refusal::Busy && attempt < ATTEMPTS => attempt += 1,
            outcome => return outcome,
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn open_once(path: &Path, kind: Kind, schema: &[Migration]) -> Result<Connection, OpenError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|source| OpenError {
            path: path.to_owned(),
            reason: Refusal::Folder,
            source: Some(Box::new(source)),
        })?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection =
        Connection::open_with_flags(path, flags).map_err(|error| refused(path, kind, error))?;
    recognise(&mut connection, path, kind)?;
    prepare(&connection, path, kind)?;
    bring_up_to_date(&mut connection, path, kind, schema)?;
    Ok(connection)
}

/// Opens one more connection that only reads, to a file that [`open`] has prepared.
///
/// # Errors
/// [`OpenError`] with what is wrong.
pub fn open_reader(path: &Path, kind: Kind) -> Result<Connection, OpenError> {
    // Not SQLITE_OPEN_READ_ONLY: a reader of a WAL file writes to its shared-memory index.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "query_only", true)?;
        plan_once(&connection)?;
        Ok(connection)
    };
    connect().map_err(|error| refused(path, kind, error))
}

/// Has a statement planned once, whatever its parameters are bound to. Without it SQLite plans many a statement
/// again for every binding, because a value might suit another plan: a fifth of what a turn costs.
///
/// # Errors
/// SQLite's.
pub fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Opens a database that lives in memory and ends with its connection; for tests.
///
/// # Errors
/// [`OpenError`] if the schema cannot be made.
pub fn open_in_memory(kind: Kind, schema: &[Migration]) -> Result<Connection, OpenError> {
    let path = Path::new(":memory:");
    let mut connection =
        Connection::open_in_memory().map_err(|error| refused(path, kind, error))?;
    connection
        .pragma_update(None, "foreign_keys", true)
        .and_then(|()| plan_once(&connection))
        .map_err(|error| refused(path, kind, error))?;
    bring_up_to_date(&mut connection, path, kind, schema)?;
    Ok(connection)
}

/// Reads every page of the file once and checks its structure. Takes about a second per gigabyte.
///
/// # Errors
/// [`Refusal::Corrupt`] with the first damage found.
pub fn check_pages(connection: &Connection, path: &Path, kind: Kind) -> Result<(), OpenError> {
    let finding: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| refused(path, kind, error))?;
    if finding == "ok" {
        return Ok(());
    }
    Err(OpenError { path: path.to_owned(), reason: Refusal::Corrupt(finding), source: None })
}

/// Refuses what is not a file of this kind, before anything is written to it.
fn recognise(connection: &mut Connection, path: &Path, kind: Kind) -> Result<(), OpenError> {
    let mut header = || -> rusqlite::Result<(i32, bool)> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // One snapshot, for another process may be making the file at this moment.
        let snapshot = connection.transaction()?;
        let application_id = snapshot.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        let has_tables =
            snapshot.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |r| r.get(0))?;
        Ok((application_id, has_tables))
    };
    let (application_id, has_tables) = header().map_err(|error| refused(path, kind, error))?;
    let found = match Kind::recognise(application_id) {
        Some(found) if found == kind => return Ok(()),
        Some(found) => found.to_string(),
        None if application_id == 0 && !has_tables => return Ok(()),
        None => "a SQLite database of another program".to_owned(),
    };
    let reason = Refusal::Foreign { found, wanted: kind };
    Err(OpenError { path: path.to_owned(), reason, source: None })
}

/// Sets what every connection that writes needs.
fn prepare(connection: &Connection, path: &Path, kind: Kind) -> Result<(), OpenError> {
    let refuse = |reason| Err(OpenError { path: path.to_owned(), reason, source: None });
    let failed = |error| refused(path, kind, error);
    if connection.is_readonly(rusqlite::MAIN_DB).map_err(failed)? {
        return refuse(Refusal::ReadOnly);
    }
    let mode: String =
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
    if !mode.eq_ignore_ascii_case("wal") {
        return refuse(Refusal::NoWal);
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    plan_once(connection).map_err(failed)
}

/// Marks a new file as one of this kind, and applies the migrations that the file lacks.
fn bring_up_to_date(
    connection: &mut Connection,
    path: &Path,
    kind: Kind,
    schema: &[Migration],
) -> Result<(), OpenError> {
    let known = schema.iter().map(|m| i64::from(m.version())).max().unwrap_or(0);
    let found = applied(connection).map_err(|error| refused(path, kind, error))?;
    if found > known {
        let reason = Refusal::NewerSchema { found, known };
        return Err(OpenError { path: path.to_owned(), reason, source: None });
    }
    if found == 0 {
        // Before the schema, so that a file whose making was cut short is still recognised.
        connection
            .pragma_update(None, "application_id", kind.application_id())
            .map_err(|error| refused(path, kind, error))?;
    }
    // Grouped: a migration and the note that it was applied are one transaction, also in a crash.
    if found < known
        && let Err(error) = Runner::new(schema).set_grouped(true).run(connection)
        // Another process may have applied the same migrations at the same moment.
        && applied(connection).map_err(|error| refused(path, kind, error))? < known
    {
        return Err(migration_failed(path, kind, error));
    }
    Ok(())
}

/// The schema version of the file; 0 for a new one.
fn applied(connection: &Connection) -> rusqlite::Result<i64> {
    const HISTORY: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_schema \
                           WHERE type = 'table' AND name = 'refinery_schema_history')";
    if connection.query_row(HISTORY, [], |row| row.get(0))? {
        let highest = "SELECT coalesce(max(version), 0) FROM refinery_schema_history";
        connection.query_row(highest, [], |row| row.get(0))
    } else {
        Ok(0)
    }
}

fn migration_failed(path: &Path, kind: Kind, error: refinery::Error) -> OpenError {
    let cause = StdError::source(error.kind()).and_then(|e| e.downcast_ref::<rusqlite::Error>());
    let reason = cause.map_or(Refusal::Other, |cause| refusal(kind, cause));
    OpenError { path: path.to_owned(), reason, source: Some(Box::new(error)) }
}

fn refused(path: &Path, kind: Kind, error: rusqlite::Error) -> OpenError {
    OpenError {
        path: path.to_owned(),
        reason: refusal(kind, &error),
        source: Some(Box::new(error)),
    }
}

fn refusal(kind: Kind, error: &rusqlite::Error) -> Refusal {
    match fault(error) {
        Fault::NotADatabase => {
            Refusal::Foreign { found: "not a SQLite database".to_owned(), wanted: kind }
        }
        Fault::Corrupt => Refusal::Corrupt("SQLite cannot read it".to_owned()),
        Fault::ReadOnly => Refusal::ReadOnly,
        Fault::Busy => Refusal::Busy,
        Fault::DiskFull => Refusal::DiskFull,
        Fault::CannotOpen => Refusal::CannotOpen,
        Fault::Io | Fault::Constraint | Fault::Other => Refusal::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Vec<Migration> {
        let first = "CREATE TABLE thing (id INTEGER PRIMARY KEY) STRICT";
        vec![Migration::unapplied("V1__thing", first).unwrap()]
    }

    fn refusal_of(path: &Path, kind: Kind) -> Refusal {
        open(path, kind, &schema()).unwrap_err().reason
    }

    #[test]
    fn a_new_file_is_made_with_its_folder_and_opens_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/control.db");
        for _ in 0..2 {
            let connection = open(&path, Kind::Control, &schema()).unwrap();
            let synchronous: i64 =
                connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
            assert_eq!(synchronous, 2, "FULL");
            connection.execute("INSERT INTO thing DEFAULT VALUES", []).unwrap();
        }
        let reader = open_reader(&path, Kind::Control).unwrap();
        let things: i64 =
            reader.query_row("SELECT count(*) FROM thing", [], |row| row.get(0)).unwrap();
        assert_eq!(things, 2);
        let refused = reader.execute("DELETE FROM thing", []).unwrap_err();
        assert_eq!(fault(&refused), Fault::ReadOnly);
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter.txt");
        let letter = "Dear reader, this is no database. ".repeat(100);
        std::fs::write(&path, &letter).unwrap();
        let error = open(&path, Kind::Control, &schema()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{}: the file is not a SQLite database, not a Segue control plane; \
                 move it away, or name another path",
                path.display()
            )
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), letter);
    }

    #[test]
    fn another_programs_database_is_refused_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(refusal_of(&path, Kind::Control), Refusal::Foreign { .. }));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn the_event_stores_file_is_refused_as_a_control_plane_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared.db");
        drop(open(&path, Kind::Events, &schema()).unwrap());
        let wanted = Kind::Control;
        let found = "a Segue event store".to_owned();
        assert_eq!(refusal_of(&path, Kind::Control), Refusal::Foreign { found, wanted });
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.db");
        let connection = open(&path, Kind::Control, &schema()).unwrap();
        connection
            .execute(
                "INSERT INTO refinery_schema_history SELECT 9, name, applied_on, checksum \
                 FROM refinery_schema_history",
                [],
            )
            .unwrap();
        drop(connection);
        let newer = Refusal::NewerSchema { found: 9, known: 1 };
        assert_eq!(refusal_of(&path, Kind::Control), newer);
    }

    #[test]
    fn a_damaged_file_is_found_by_reading_its_pages() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.db");
        let connection = open(&path, Kind::Control, &schema()).unwrap();
        connection
            .execute_batch(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000) \
                 INSERT INTO thing SELECT i FROM n; PRAGMA wal_checkpoint(TRUNCATE)",
            )
            .unwrap();
        drop(connection);
        let mut bytes = std::fs::read(&path).unwrap();
        let last_page = bytes.len() - 4096;
        bytes[last_page..].fill(0xA5);
        std::fs::write(&path, bytes).unwrap();
        let damage = open(&path, Kind::Control, &schema())
            .and_then(|connection| check_pages(&connection, &path, Kind::Control));
        assert!(matches!(damage.unwrap_err().reason, Refusal::Corrupt(_)));
    }

    #[test]
    fn a_folder_in_the_files_place_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(refusal_of(folder.path(), Kind::Control), Refusal::CannotOpen);
    }

    #[test]
    fn two_processes_may_make_the_same_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.db");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| open(&path, Kind::Control, &schema()).unwrap());
            }
        });
    }
}
