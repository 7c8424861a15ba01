//! Why there is no server or no database to test with.

use std::io;
use std::path::PathBuf;

/// Why there is no server or no database to test with, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server's programs are nowhere.
    #[error(
        "PostgreSQL is not installed: apt-get install postgresql, or run ./test, which does it"
    )]
    NotInstalled,
    /// We are root, which PostgreSQL refuses, and there is nobody else to run it as.
    #[error(
        "PostgreSQL does not run as root, and neither `postgres` nor `nobody` is in /etc/passwd"
    )]
    NoAccount,
    /// The server's folder cannot be made.
    #[error("{path}: {source}")]
    Folder {
        /// Which folder or file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A program cannot be run.
    #[error("{program}: {source}")]
    Run {
        /// Which program.
        program: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A program of PostgreSQL failed.
    #[error("{program} failed:\n{printed}\n{log}")]
    Failed {
        /// Which program.
        program: PathBuf,
        /// What it printed.
        printed: String,
        /// Where the server's log lies, and its last lines.
        log: String,
    },
    /// A database cannot be created.
    #[error(
        "no database can be created on {server}: {reason}; the URL must name a running server and a \
         user with CREATEDB"
    )]
    Database {
        /// The server's URL.
        server: String,
        /// What it answered.
        reason: String,
    },
}
