//! PostgreSQL databases as Segue keeps them: how one is reached, recognised, brought up to date, and what
//! its errors mean.
//!
//! Each part of Segue (an event store, the control plane) lives in a schema of its own, with its own
//! history of migrations, so that several may share one database. Opening connects to nothing: a server
//! starts while its database is down. Everything that uses the database passes one gate ([`Database`]):
//!
//! 1. A database that is known to be down is answered for at once, and tried again by one caller at a
//!    time, with a growing pause in between.
//! 2. The first to reach it finds out what it is. An old server, another encoding, another program's
//!    schema or that of a newer Segue is refused by name, before anything is written.
//! 3. What the schema lacks is added under an advisory lock, for several servers may start at once.
//!
//! Only the session of PostgreSQL holds settings (`search_path`, time-outs), so a pooler in between must
//! pool sessions, not transactions.

mod backoff;
mod database;
mod fault;
mod incarnation;
mod lifetime;
mod outage;
mod refusal;
mod schema;
mod settings;
mod tls;

use std::fmt;

pub(crate) use backoff::Backoff;
pub(crate) use database::{Client, Database};
pub use fault::{Fault, fault};
pub use incarnation::Changed;
pub(crate) use incarnation::INCARNATION;
pub(crate) use outage::BACKOFF;
pub use refusal::{OpenError, Refusal};
pub use settings::{InvalidSetting, Settings};

/// Which part of Segue a schema belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The control plane.
    Control,
    /// An event store.
    Events,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Control, Self::Events];

    /// The schema that is used when the settings name none.
    #[must_use]
    pub const fn default_schema(self) -> &'static str {
        match self {
            Self::Control => "segue_control",
            Self::Events => "segue_events",
        }
    }

    /// The table of the migrations that were applied; it also tells whose schema it is.
    const fn history(self) -> &'static str {
        match self {
            Self::Control => "segue_control_history",
            Self::Events => "segue_events_history",
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
