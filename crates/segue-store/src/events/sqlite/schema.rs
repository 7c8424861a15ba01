//! Opening a database file: is it ours, is it whole, is its schema one that we know.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::sqlite::plan_once;

/// Written into the header of every database of ours: `SegE` in ASCII.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"SegE");

/// The schema that this program writes; the number of the last migration.
const SCHEMA_VERSION: i32 = 3;

/// How long a statement waits for another process that writes.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The page cache of the writer, in KiB.
const WRITER_CACHE_KIB: i32 = 16 * 1024;

/// The write-ahead log is copied into the database each time it has grown by so many pages of 4 KiB.
const WAL_PAGES: i32 = 4_000;

/// A page of the database, in bytes.
const PAGE_BYTES: u64 = 4_096;

/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 64;

mod embedded {
    refinery::embed_migrations!("src/events/sqlite/migrations");
}

/// Why a file cannot serve as an event store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder of the file cannot be made.
    #[error(
        "cannot create the folder {path} for the event store; create it or choose another path"
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is a database of another program.
    #[error(
        "{path} is an SQLite database of another application (application id {application_id:#x}), \
         not a Segue event store; it was left untouched. Choose another path for the store"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What its header says.
        application_id: i32,
    },
    /// The file is not a database, or a damaged one.
    #[error(
        "{path} is not a readable SQLite database: it is another kind of file, or damaged. It was left \
         untouched. Restore it from a backup, or choose another path for the store"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// A later program has written the file.
    #[error(
        "{path} has schema version {found}, this program knows versions up to {known}. Start the \
         version of Segue that wrote it, or a later one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i32,
        /// The latest that is known here.
        known: i32,
    },
    /// The file may not be written.
    #[error(
        "{path} may not be written by this user; change its permissions or choose another path"
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The schema could not be brought up to date.
    #[error("the schema of {path} could not be brought up to version {SCHEMA_VERSION}")]
    Migration {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: Box<refinery::Error>,
    },
    /// SQLite refused for another reason.
    #[error("{path} cannot be opened as an event store")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// A thread of the store could not be started.
    #[error("cannot start a thread for the event store {path}")]
    Thread {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Opens the file for writing, makes it ours if it is new, and brings its schema up to date.
pub(super) fn open(path: &Path, max_bytes: Option<u64>) -> Result<Connection, OpenError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .map_err(|source| OpenError::Folder { path: folder.to_owned(), source })?;
    }
    let sqlite = |source| explain(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
    identify(&conn, path)?;
    if conn.is_readonly("main").map_err(sqlite)? {
        return Err(OpenError::ReadOnly { path: path.to_owned() });
    }
    conn.pragma_update(None, "journal_mode", "WAL").map_err(sqlite)?;
    conn.pragma_update(None, "synchronous", "FULL").map_err(sqlite)?;
    conn.pragma_update(None, "secure_delete", true).map_err(sqlite)?;
    conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB).map_err(sqlite)?;
    conn.pragma_update(None, "wal_autocheckpoint", WAL_PAGES).map_err(sqlite)?;
    plan_once(&conn).map_err(sqlite)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    migrate(&mut conn, path)?;
    if let Some(max_bytes) = max_bytes {
        let pages = i64::try_from(max_bytes / PAGE_BYTES).unwrap_or(i64::MAX);
        conn.pragma_update(None, "max_page_count", pages).map_err(sqlite)?;
    }
    Ok(conn)
}

/// Opens the file for reading beside the writer.
pub(super) fn open_reader(path: &Path, cache_kib: i32) -> Result<Connection, OpenError> {
    let sqlite = |source| explain(path, source);
    // Not read-only: a reader may have to recover the log of a writer that was killed.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
    conn.pragma_update(None, "query_only", true).map_err(sqlite)?;
    conn.pragma_update(None, "cache_size", -cache_kib).map_err(sqlite)?;
    plan_once(&conn).map_err(sqlite)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(conn)
}

/// Where SQLite keeps the write-ahead log of a database.
pub(super) fn wal_path(path: &Path) -> PathBuf {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    PathBuf::from(wal)
}

/// Refuses a file that is not ours, before anything is written to it.
fn identify(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    let number = |sql: &str| {
        conn.query_row(sql, [], |row| row.get::<_, i32>(0)).map_err(|source| explain(path, source))
    };
    let application_id = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let objects = number("SELECT count(*) FROM sqlite_schema")?;
    let is_new = application_id == 0 && version == 0 && objects == 0;
    if !is_new && application_id != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.to_owned(), application_id });
    }
    if version > SCHEMA_VERSION {
        let path = path.to_owned();
        return Err(OpenError::Newer { path, found: version, known: SCHEMA_VERSION });
    }
    Ok(())
}

/// Runs what is missing. When another process does the same at the same time, one of the two fails on
/// what the other has made, and finds at its next try that nothing is missing.
fn migrate(conn: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let mut tries_left = 3;
    loop {
        match embedded::migrations::runner().run(conn) {
            Ok(_) => return Ok(()),
            Err(_) if tries_left > 0 => {
                tries_left -= 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(source) => {
                let source = Box::new(source);
                return Err(OpenError::Migration { path: path.to_owned(), source });
            }
        }
    }
}

fn explain(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenError::Damaged { path, source }
        }
        Some(ErrorCode::ReadOnly) => OpenError::ReadOnly { path },
        _ => OpenError::Sqlite { path, source },
    }
}
