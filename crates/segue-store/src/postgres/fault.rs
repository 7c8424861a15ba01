//! What an error of PostgreSQL means to a caller, by its SQLSTATE.

use std::error::Error as _;
use std::io;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// What an error of PostgreSQL means to a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection ended while an answer was awaited: if that was to a commit, its outcome is unknown.
    ConnectionLost,
    /// The server is starting, stopping, or gave this session up (57P01 to 57P05, class 08). As above.
    Shutdown,
    /// This server takes no writes: a standby, or a primary that has become one (25006).
    ReadOnly,
    /// A concurrent transaction came first (40001, 40P01). Nothing was written; the same may be tried again.
    Serialization,
    /// A unique constraint refused a row (23505).
    Unique {
        /// The constraint's name.
        constraint: String,
    },
    /// The server has no room left, on its disk or in its memory (class 53, without the next).
    DiskFull,
    /// The server has no connection to give (53300).
    TooManyConnections,
    /// A statement took longer than `statement_timeout` and was given up (57014).
    StatementTimeout,
    /// A lock was not given up within `lock_timeout` (55P03).
    LockTimeout,
    /// The role lacks a right (42501).
    Denied,
    /// Stored data is damaged (class XX), or is not what this program writes.
    Corrupt,
    /// Anything else: a mistake in a statement.
    Other,
}

impl Fault {
    /// Whether the connection is gone with it, and with it the outcome of what was under way.
    #[must_use]
    pub fn loses_the_connection(&self) -> bool {
        match self {
            Self::ConnectionLost | Self::Shutdown => true,
            Self::ReadOnly
            | Self::Serialization
            | Self::Unique { .. }
            | Self::DiskFull
            | Self::TooManyConnections
            | Self::StatementTimeout
            | Self::LockTimeout
            | Self::Denied
            | Self::Corrupt
            | Self::Other => false,
        }
    }
}

/// Sorts an error of PostgreSQL by what it means.
#[must_use]
pub fn fault(error: &Error) -> Fault {
    if let Some(refused) = error.as_db_error() {
        return by_state(refused.code(), refused.constraint());
    }
    let is_of_the_wire = error.source().is_some_and(|source| source.is::<io::Error>());
    if error.is_closed() || is_of_the_wire {
        return Fault::ConnectionLost;
    }
    // The library has no name for a value that it cannot read, only this sentence.
    if error.to_string().starts_with("error deserializing column") {
        return Fault::Corrupt;
    }
    Fault::Other
}

fn by_state(state: &SqlState, constraint: Option<&str>) -> Fault {
    match state.code() {
        "25006" => Fault::ReadOnly,
        "40001" | "40P01" => Fault::Serialization,
        "23505" => Fault::Unique { constraint: constraint.unwrap_or_default().to_owned() },
        "53300" => Fault::TooManyConnections,
        "57014" => Fault::StatementTimeout,
        "55P03" => Fault::LockTimeout,
        "42501" => Fault::Denied,
        // A session that was idle in a transaction for too long, and one that was idle for too long.
        "25P03" | "57P05" => Fault::Shutdown,
        code => match &code[..2] {
            "08" | "57" => Fault::Shutdown,
            "53" => Fault::DiskFull,
            "XX" => Fault::Corrupt,
            _ => Fault::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_means_what_the_manual_says() {
        let means = |code, fault| assert_eq!(by_state(&SqlState::from_code(code), None), fault);
        means("57P01", Fault::Shutdown);
        means("57P03", Fault::Shutdown);
        means("08006", Fault::Shutdown);
        means("25006", Fault::ReadOnly);
        means("40001", Fault::Serialization);
        means("40P01", Fault::Serialization);
        means("53100", Fault::DiskFull);
        means("53200", Fault::DiskFull);
        means("53300", Fault::TooManyConnections);
        means("57014", Fault::StatementTimeout);
        means("55P03", Fault::LockTimeout);
        means("XX001", Fault::Corrupt);
        means("42601", Fault::Other);
    }

    #[test]
    fn a_unique_violation_names_its_constraint() {
        let fault = by_state(&SqlState::UNIQUE_VIOLATION, Some("plans_open"));
        assert_eq!(fault, Fault::Unique { constraint: "plans_open".to_owned() });
    }
}
