//! The control plane: the database of decisions.
//!
//! Scenarios and their versions, plans, forecasts, deployments, field definitions, where a tenant lives and moves, how far
//! its consumers have come, and the audit of who changed what. One small trait per noun; [`ControlPlane`] is all of them.
//!
//! Rules that every adapter keeps, and that `conformance::control` shows:
//!
//! - Every call names its tenant. Another tenant's id is [`Error::NotFound`], like one that never was.
//! - A decision is one transaction with a compare-and-swap at its heart, and its audit rows are in that
//!   same transaction. After an unknown outcome the caller reads what is and goes on from there.
//! - What a turn must know of a scenario changes only together with the scenario's [`Generation`], so a
//!   cache is valid exactly as long as [`Standings::standing`] answers the same number.
//! - Times are kept to the microsecond.

pub mod audit;
pub mod changes;
mod column;
pub mod deployments;
pub mod fields;
pub mod forecasts;
pub mod keys;
mod list;
pub mod logins;
pub mod migrations;
pub mod page;
pub mod plans;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod routing;
pub mod scenarios;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod standing;
pub mod subscriptions;

use std::error::Error as StdError;
use std::fmt;

use async_trait::async_trait;
use segue_core::ids::{PlanId, Term};
use segue_core::plan::lifecycle::Kind;
use segue_core::tenancy::migration::Refused;

pub use audit::{Audit, By};
pub use changes::{Changed, Changes};
pub use deployments::Deployments;
pub use fields::Fields;
pub use forecasts::Forecasts;
pub use keys::Keys;
pub use logins::Logins;
pub use migrations::Migrations;
pub use page::{Cursor, Listing, Page};
pub use plans::{Plans, Revision};
pub use routing::Routing;
pub use scenarios::{Generation, Scenarios};
pub use standing::Standings;
pub use subscriptions::Subscriptions;

/// Everything that the control plane keeps.
#[async_trait]
pub trait ControlPlane:
    Scenarios
    + Plans
    + Deployments
    + Fields
    + Forecasts
    + Routing
    + Migrations
    + Standings
    + Subscriptions
    + Keys
    + Logins
    + Audit
    + fmt::Debug
{
    /// Whether the database answers and takes writes; for readiness.
    ///
    /// # Errors
    /// [`Error::Unavailable`] with the reason.
    async fn check(&self) -> Result<()>;

    /// Listens to what is decided from now on, by this process or another.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    fn changes(&self) -> Changes;
}

/// What the control plane answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause that a database gave.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Why the control plane did not do as asked. Nothing is stored half-way.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tenant has no such thing.
    #[error("there is no such {0}")]
    NotFound(Noun),
    /// It is there already, and differs from what was to be stored.
    #[error("this {0} exists already")]
    Exists(Noun),
    /// What the caller decided upon has changed since it was read: read it again and decide again.
    #[error("{0}")]
    Conflict(Conflict),
    /// There are as many of them as there may be.
    #[error("there may be at most {limit} {noun}s of one owner: delete one that nobody needs")]
    TooMany {
        /// Of what.
        noun: Noun,
        /// How many there may be.
        limit: usize,
    },
    /// A decision about a migration does not fit what was decided before.
    #[error(transparent)]
    Transition(Refused),
    /// The call names a number that no database can count to.
    #[error("a number is above 9,223,372,036,854,775,807")]
    TooGreat,
    /// The call itself asks for something that the contract rules out.
    #[error("refused: {0}")]
    Refused(&'static str),
    /// The database cannot do it now; trying again later is safe.
    #[error("the control plane is unavailable: {0}")]
    Unavailable(Unavailable, #[source] Cause),
    /// Something stored cannot be read back.
    #[error("the control plane holds a damaged {what}; restore the database from a backup")]
    Corrupt {
        /// What was being read.
        what: &'static str,
        /// How it is damaged.
        #[source]
        source: Cause,
    },
}

/// What an [`Error`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Noun {
    /// A scenario.
    Scenario,
    /// A version of a scenario.
    Version,
    /// A migration plan.
    Plan,
    /// An open plan between the same two versions.
    OpenPlan,
    /// A field definition.
    Field,
    /// A tenant's place.
    Tenant,
    /// A subscription.
    Subscription,
    /// A migration of a tenant.
    Migration,
    /// An API key.
    Key,
    /// A console session.
    Login,
    /// A forecast of a plan, or a page of it.
    Forecast,
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scenario => "scenario",
            Self::Version => "version",
            Self::Plan => "plan",
            Self::OpenPlan => "open plan for these two versions",
            Self::Field => "field",
            Self::Tenant => "tenant",
            Self::Subscription => "subscription",
            Self::Migration => "migration",
            Self::Key => "key",
            Self::Login => "login",
            Self::Forecast => "forecast",
        })
    }
}

/// What had changed when a compare-and-swap came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The plan has another revision than expected.
    #[error("plan {plan_id} has changed: it is {status} at revision {revision}")]
    Plan {
        /// Which plan.
        plan_id: PlanId,
        /// Its present revision.
        revision: Revision,
        /// Its present status.
        status: Kind,
    },
    /// Older open plans of the scenario were not named among those to supersede.
    #[error("{} more open plans have to be superseded", .0.len())]
    OpenPlans(Vec<PlanId>),
    /// The scenario has another generation than expected.
    #[error("the scenario has changed: it is at generation {}", .0.0)]
    Scenario(Generation),
    /// The API key has ended since.
    #[error("the key is over")]
    KeyOver,
    /// Something was decided about the tenant since.
    #[error("the tenant's route has changed: it is at term {0}")]
    Route(Term),
}

/// Why the database cannot do it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// There is no room left.
    DiskFull,
    /// Another writer kept the database locked for too long.
    Busy,
    /// The file or its folder does not allow writing.
    ReadOnly,
    /// The disk failed, or the database cannot be used as it is.
    Io,
    /// The database cannot be reached, or the connection to it was lost.
    Lost,
    /// The database did not answer in time.
    Slow,
    /// The process is about to end.
    Closing,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DiskFull => "the disk is full",
            Self::Busy => "the database is busy with others",
            Self::ReadOnly => "the database is read-only",
            Self::Io => "the database failed",
            Self::Lost => "the database cannot be reached",
            Self::Slow => "the database did not answer in time",
            Self::Closing => "this process is about to end",
        })
    }
}

/// Says that a stored word is none of those known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this word is not known to this version of Segue")]
pub struct UnknownWord;
