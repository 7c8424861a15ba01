//! Why a command did not do what it should, and the exit code that says so.

use std::net::SocketAddr;
use std::path::PathBuf;

use segue_core::ids::{MigrationId, TenantId};
use serde_json::Value;

use crate::http::code::Code;
use crate::http::error::{ErrorBody, Refusal};
use crate::{config, stores};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file, or standard input, cannot be used.
    #[error("{}: {reason}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A case to explain makes no sense.
    #[error("{0}")]
    Case(String),
    /// Nobody answers.
    #[error(
        "{url} cannot be reached: {reason}\nstart a server with `segue serve`, or name one with --url or SEGUE_URL"
    )]
    Unreachable {
        /// The server.
        url: String,
        /// Why.
        reason: String,
    },
    /// The server said no.
    #[error("{message} ({code})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Our stable code.
        code: String,
        /// For people.
        message: String,
        /// For programs.
        details: Value,
    },
    /// The server cannot be configured like this.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The address is taken or does not exist.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why, and what to do.
        reason: String,
    },
    /// A store or the control plane cannot be opened.
    #[error(transparent)]
    Open(#[from] Box<stores::Error>),
    /// A log is not what was written.
    #[error("the log of tenant {tenant} is damaged{}",
        first.as_ref().map(|first| format!(", first at position {first}")).unwrap_or_default())]
    Damaged {
        /// Whose.
        tenant: TenantId,
        /// The first damaged position, if events are.
        first: Option<String>,
    },
    /// It cannot be told whether a log is sound.
    #[error("the log could not be verified: {reason}")]
    Unverified {
        /// Why.
        reason: String,
    },
    /// The copy of a migration is not what it was copied from.
    #[error("the copy of migration {migration} differs: {first}")]
    Differs {
        /// Which.
        migration: MigrationId,
        /// What differs first.
        first: String,
    },
    /// A tenant was to move, and has not.
    #[error("{reason}\n{then}")]
    NotMoved {
        /// Why.
        reason: String,
        /// How to go on.
        then: String,
    },
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// The exit code, as `segue --help` lists them.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::File { .. } | Self::Other(_) => 1,
            Self::Unreachable { .. } => 3,
            Self::Case(_) => 5,
            Self::Refused { status: 404, .. } => 4,
            Self::Refused { status: 409, .. } => 6,
            Self::Refused { status: 401 | 403, .. } => 13,
            Self::Refused { status, .. } if *status < 500 => 5,
            Self::Refused { .. } | Self::Unverified { .. } => 7,
            Self::Damaged { .. } | Self::Differs { .. } => 8,
            Self::NotMoved { .. } => 9,
            Self::Config(_) => 10,
            Self::Listen { .. } => 11,
            Self::Open(_) => 12,
        }
    }

    /// Whether the same request may succeed later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => matches!(status, 429 | 502..=504),
            Self::File { .. }
            | Self::Case(_)
            | Self::Config(_)
            | Self::Listen { .. }
            | Self::Open(_)
            | Self::Damaged { .. }
            | Self::Unverified { .. }
            | Self::Differs { .. }
            | Self::NotMoved { .. }
            | Self::Other(_) => false,
        }
    }

    /// Prints it to stderr, with every problem of a document on its own line.
    pub fn print(&self) {
        eprintln!("segue: {self}");
        let Self::Refused { details, .. } = self else { return };
        if let Some(action) = details["suggested_action"].as_str() {
            eprintln!("  what to do: {action}");
        }
        for problem in details["problems"].as_array().into_iter().flatten() {
            let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
            eprintln!("  {} {}: {}", text("path"), text("code"), text("message"));
        }
    }
}

impl Failure {
    /// What a live stream said instead of going on.
    pub fn of_problem(problem: &Value) -> Self {
        let code = problem["code"].as_str().unwrap_or("unknown").to_owned();
        let known = Code::ALL.iter().find(|known| known.as_str() == code);
        Self::Refused {
            status: known.map_or(500, |known| known.status().as_u16()),
            code,
            message: problem["message"].as_str().unwrap_or("no more is known").to_owned(),
            details: problem["details"].clone(),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let ErrorBody { code, message, details } = refusal.body;
        let status = code.status().as_u16();
        Self::Refused { status, code: code.as_str().to_owned(), message, details }
    }
}
