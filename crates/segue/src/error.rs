//! What can go wrong when Segue is asked for something, by kind.
//!
//! The HTTP layer maps every kind to one status and one stable code; nothing else does. Each message says
//! what happened, to what, and what to do.

use segue_core::ids::{
    EventId, Position, SessionId, StepId, StoreId, StreamId, StreamVersion, SubscriptionName,
    TenantId, Version,
};
use segue_core::scenario::validate::Problem;
use segue_core::session::Status;
use segue_store::control;
use segue_store::events::Expected;

use crate::tenants::{MigrationError, WritePausedError};

/// Something with an id that a tenant can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A scenario.
    Scenario,
    /// A version of a scenario.
    Version,
    /// A migration plan.
    Plan,
    /// An anchor of a plan.
    Anchor,
    /// A session.
    Session,
    /// A field definition.
    Field,
    /// A tenant's place.
    Tenant,
    /// A stream of events.
    Stream,
    /// A named consumer.
    Subscription,
    /// An API key.
    Key,
    /// A plan's forecast.
    Forecast,
}

impl Kind {
    /// What to do when an id is taken.
    fn instead(self) -> &'static str {
        match self {
            Self::Version => "versions never change, so give the changed scenario a greater number",
            Self::Scenario => "make a migration plan to a new version of it, or choose another id",
            Self::Plan
            | Self::Anchor
            | Self::Session
            | Self::Field
            | Self::Tenant
            | Self::Stream
            | Self::Subscription
            | Self::Key
            | Self::Forecast => "choose another id",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Scenario => "scenario",
            Self::Version => "version",
            Self::Plan => "plan",
            Self::Anchor => "anchor",
            Self::Session => "session",
            Self::Field => "field",
            Self::Tenant => "tenant",
            Self::Stream => "stream",
            Self::Subscription => "subscription",
            Self::Key => "key",
            Self::Forecast => "forecast of plan",
        })
    }
}

/// Why a request was not carried out. Unless it says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tenant has nothing of this kind under this id. Another tenant's things are not found either.
    #[error("there is no {kind} {id}")]
    NotFound {
        /// What was asked for.
        kind: Kind,
        /// Under which id.
        id: String,
    },
    /// Something of this kind has this id already, and is not the same.
    #[error("the {kind} {id} exists already and is another one: {}", kind.instead())]
    Exists {
        /// What was to be created.
        kind: Kind,
        /// Under which id.
        id: String,
    },
    /// A document is wrong, in one or more places.
    #[error("the {what} has {} problem(s): {}", problems.len(), problems.first().map_or("", |p| p.message.as_str()))]
    Invalid {
        /// Which document: `scenario`, `policies`, `field`, `turn`, …
        what: &'static str,
        /// Every problem, by JSON pointer.
        problems: Vec<Problem>,
    },
    /// A new version must be greater than the one it replaces.
    #[error("the new version must be greater than {current}, it is {given}")]
    VersionNotGreater {
        /// The version that it should replace.
        current: Version,
        /// The version that was given.
        given: Version,
    },
    /// A plan for the same two versions is still open.
    #[error("plan {plan_id} from version {from} to {to} is still open: deploy or reject it first")]
    PlanExists {
        /// The open plan.
        plan_id: String,
        /// The version it leaves.
        from: Version,
        /// The version it leads to.
        to: Version,
    },
    /// The plan's status does not allow the step.
    #[error("cannot {action} a plan that is {status}; it must be {}", allowed.join(" or "))]
    PlanStatus {
        /// What was asked: `approve`, `reject`, `deploy`, `withdraw`, `change the policies of`.
        action: &'static str,
        /// What the plan is.
        status: &'static str,
        /// What it would have to be.
        allowed: Vec<&'static str>,
    },
    /// Whoever made a plan, or changed its policies, may not approve it.
    #[error(
        "plan {plan_id} was made or changed with the same key: somebody else has to approve it \
         (scenario_migration.deployment.four_eyes)"
    )]
    FourEyes {
        /// The plan.
        plan_id: String,
    },
    /// Someone else changed the plan at the same moment.
    #[error(
        "plan {plan_id} was changed by someone else at the same moment: read it again and repeat"
    )]
    PlanChanged {
        /// The plan.
        plan_id: String,
    },
    /// The session takes no more turns.
    #[error("session {session} is {}: it takes no more turns", status.name())]
    SessionOver {
        /// The session.
        session: SessionId,
        /// What it is.
        status: Status,
    },
    /// What was said in the session was erased. That is final.
    #[error("session {session} was erased: start a new one")]
    SessionErased {
        /// The session.
        session: SessionId,
    },
    /// No store of this id is configured.
    #[error("there is no store {store}; this server has: {}",
        known.iter().map(StoreId::as_str).collect::<Vec<_>>().join(", "))]
    UnknownStore {
        /// Which was asked for.
        store: StoreId,
        /// Which there are.
        known: Vec<StoreId>,
    },
    /// The tenant has its home in another store.
    #[error(
        "tenant {tenant} lives in store {store}: a tenant is placed once, and moved by a migration"
    )]
    TenantPlaced {
        /// The tenant.
        tenant: TenantId,
        /// Where it lives.
        store: StoreId,
    },
    /// The graph has no way from the session's step to the one that the caller named.
    #[error("the graph has no way from step {from} to step {to}; from there it leads to: {}",
        if allowed.is_empty() { "nowhere".to_owned() } else { allowed.iter().map(StepId::as_str).collect::<Vec<_>>().join(", ") })]
    StepNotAllowed {
        /// Where the session stands.
        from: StepId,
        /// Where the caller wanted to go.
        to: StepId,
        /// Where one may go from there.
        allowed: Vec<StepId>,
    },
    /// The same idempotency key came with a different request.
    #[error(
        "the idempotency key {key} was used for a different request: use a new key for a new request"
    )]
    IdempotencyKeyReused {
        /// The key.
        key: String,
    },
    /// The tenant has as many of them as it may.
    #[error(
        "there are {limit} {kind}s already, and there may be no more: delete one that nobody needs"
    )]
    TooMany {
        /// Of what.
        kind: Kind,
        /// How many there may be.
        limit: usize,
    },
    /// As many forecasts are being computed as a process computes at once.
    #[error("{limit} forecasts are being computed here: try again when one of them is done")]
    TooManyForecasts {
        /// How many there may be.
        limit: usize,
    },
    /// A stream is not where an append expected it.
    #[error(
        "stream {stream} is at version {current}, {expected} was expected: read it and decide again"
    )]
    VersionConflict {
        /// The stream.
        stream: StreamId,
        /// What the append expected.
        expected: Expected,
        /// Where the stream is; 0 if it does not exist.
        current: StreamVersion,
    },
    /// An event id is taken by another event.
    #[error(
        "event {event_id} exists already and is another one: repeat an append with the same events, \
         or give new ones new ids"
    )]
    DuplicateEvent {
        /// The id.
        event_id: EventId,
    },
    /// A stream of Segue's own was to be written by an application.
    #[error(
        "stream {stream} is kept by Segue itself: read it, and name yours otherwise than session-…, \
         customer-… or plan-…"
    )]
    ReservedStream {
        /// The stream.
        stream: StreamId,
    },
    /// A position was named that nobody can have come to.
    #[error("position {position} is ahead: there is nothing to have been read after {last}")]
    PositionAhead {
        /// The position.
        position: Position,
        /// The last one that can have been read.
        last: Position,
    },
    /// The tenant's writes are paused.
    #[error(transparent)]
    WritePaused(#[from] WritePausedError),
    /// A migration of a tenant did not do as asked.
    #[error(transparent)]
    Migration(#[from] MigrationError),
    /// A list was asked to go on from a place that it never named.
    #[error("a page cursor must be one that a list answered: start again without it")]
    BadCursor,
    /// Too many turns of the same session at once; nothing was applied.
    #[error("session {session} took too many turns at once: try again")]
    Contended {
        /// The session.
        session: SessionId,
    },
    /// A store cannot be reached or has no room. What was acknowledged is safe; try again later.
    #[error("{what} is not available just now: {reason}")]
    Unavailable {
        /// `the event store` or `the control plane`.
        what: &'static str,
        /// Why.
        reason: String,
        /// Where it came from.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// Stored data is not what it must be. Needs an operator.
    #[error("{what} holds data that cannot be right: {reason}")]
    Corrupt {
        /// Which store, and where in it.
        what: &'static str,
        /// What is wrong.
        reason: String,
        /// Where it came from.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

/// The result of a request.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What the control plane said of a subscription.
    pub(crate) fn of_subscription(error: control::Error, name: &SubscriptionName) -> Self {
        match error {
            control::Error::NotFound(_) => {
                Self::NotFound { kind: Kind::Subscription, id: name.to_string() }
            }
            other => other.into(),
        }
    }

    /// Part of a request is over its limit: `thing` names it with its unit, `path` is where it stands.
    pub(crate) fn over_limit(
        what: &'static str,
        path: &str,
        thing: &str,
        limit: usize,
        actual: usize,
    ) -> Self {
        let problem = Problem {
            code: "over_limit".to_owned(),
            path: path.to_owned(),
            message: format!("{thing} may be {limit} at most, here it is {actual}"),
        };
        Self::Invalid { what, problems: vec![problem] }
    }
}

impl Error {
    /// Says which store an error is of.
    pub(crate) fn of_store(id: &StoreId, error: segue_store::events::Error) -> Self {
        match Self::from(error) {
            Self::Unavailable { what, reason, source } => {
                Self::Unavailable { what, reason: format!("store `{id}`: {reason}"), source }
            }
            Self::Corrupt { what, reason, source } => {
                Self::Corrupt { what, reason: format!("store `{id}`: {reason}"), source }
            }
            other => other,
        }
    }
}

impl From<segue_store::events::Error> for Error {
    fn from(error: segue_store::events::Error) -> Self {
        use segue_store::events::Error as Store;
        let what = "the event store";
        match error {
            Store::Unavailable { reason, .. } => Self::Unavailable {
                what,
                reason: reason.to_string(),
                source: Some(Box::new(error)),
            },
            Store::StreamNotFound { stream } => {
                Self::NotFound { kind: Kind::Stream, id: stream.to_string() }
            }
            Store::TooLarge { what, limit, actual } => {
                Self::over_limit("request", "", what, limit, actual)
            }
            Store::Conflict { .. }
            | Store::Fenced { .. }
            | Store::HeadDiffers { .. }
            | Store::NotFound { .. }
            | Store::DuplicateEvent { .. }
            | Store::Damaged { .. }
            | Store::Invalid(_)
            | Store::Corrupt { .. } => {
                Self::Corrupt { what, reason: error.to_string(), source: Some(Box::new(error)) }
            }
        }
    }
}

impl From<control::Error> for Error {
    fn from(error: control::Error) -> Self {
        use control::{Error as Control, Noun};
        let what = "the control plane";
        match error {
            Control::Unavailable(reason, source) => {
                Self::Unavailable { what, reason: reason.to_string(), source: Some(source) }
            }
            Control::TooMany { noun: Noun::Subscription, limit } => {
                Self::TooMany { kind: Kind::Subscription, limit }
            }
            Control::TooMany { noun: Noun::Key, limit } => Self::TooMany { kind: Kind::Key, limit },
            // Such as a version.
            Control::TooGreat => Self::Invalid {
                what: "request",
                problems: vec![Problem {
                    code: "over_limit".to_owned(),
                    path: String::new(),
                    message: error.to_string(),
                }],
            },
            Control::NotFound(_)
            | Control::Exists(_)
            | Control::Conflict(_)
            | Control::TooMany { .. }
            | Control::Transition(_)
            | Control::Refused(_)
            | Control::Corrupt { .. } => {
                Self::Corrupt { what, reason: error.to_string(), source: Some(Box::new(error)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_taken_says_what_to_do() {
        let error = Error::Exists { kind: Kind::Version, id: "2".to_owned() };
        let expected = "the version 2 exists already and is another one: versions never change, so give \
                        the changed scenario a greater number";
        assert_eq!(error.to_string(), expected);
    }
}
