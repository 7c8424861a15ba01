//! What can be decided about a move, and what comes of it.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Afterwards, Copying, MigrationState, Moving, Route, Stage};
use crate::digest::Mark;
use crate::ids::{Epoch, MigrationId, StoreId};

/// A decision about a tenant's move.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Decision {
    /// To move the tenant.
    Start {
        /// The move.
        migration: MigrationId,
        /// Where to.
        target: StoreId,
    },
    /// That another process carries the move on; the one before is refused by the stores from now on.
    TakeOver,
    /// Both stores were looked at and will do: to fill the target.
    BeginCopy,
    /// The target has nearly everything: to follow the source closely.
    BeginDualWrite,
    /// To stop copying for a while.
    Pause,
    /// To go on after a pause or a failure.
    Resume,
    /// That the move cannot go on by itself.
    Fail,
    /// To pause writes and decide the move.
    CutOver,
    /// The move itself: the target ends here, with this digest, and is prepared.
    Commit {
        /// Where both logs end.
        at: Mark,
    },
    /// To let writes go on in the source.
    GiveUp {
        /// Why.
        why: Why,
    },
    /// The source takes writes again.
    Reopened,
    /// To abort the move.
    Abort,
    /// The target holds nothing any more.
    RolledBack,
    /// To go back to the old source, by a move of its own.
    Reverse {
        /// The move back.
        migration: MigrationId,
    },
    /// That there is no way back from a time on.
    Finish {
        /// When the old source may be purged.
        purge_at: Timestamp,
    },
    /// The old source holds nothing any more.
    Finished,
    /// That the peer's store is gone for good, and nobody purges what it holds.
    ///
    /// Only where nothing but the purge is left. What stays there, if the store ever comes back, takes no
    /// write: a target was `copying`, or `prepared` at an epoch that nobody is told of any more, for it was
    /// burned; an old source was `fenced` at or after the decision to cut over, or left since, or filled as
    /// a copy again. No effect opens a fence of that term or later, and no route names its epoch. The one
    /// thing that is missing is the tombstone.
    Abandon,
}

/// Why a cutover is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The pause exceeded its budget.
    Timeout,
    /// The two logs differ, or what is stored is not what was sent.
    Inconsistent,
    /// The target cannot be prepared.
    TargetLost,
}

impl Why {
    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Inconsistent => "inconsistent",
            Self::TargetLost => "target_lost",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "the pause exceeded its budget",
            Self::Inconsistent => "the target does not hold what the source holds",
            Self::TargetLost => "the target could not be prepared",
        })
    }
}

/// A decision that does not fit what was decided before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a migration that is {} cannot {action}", current.map_or("over", MigrationState::as_str))]
pub struct Refused {
    /// What the move is; nothing when there is none.
    pub current: Option<MigrationState>,
    /// What was to be decided, as a verb.
    pub action: &'static str,
}

impl Decision {
    /// What it does, as a verb.
    #[must_use]
    pub fn action(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::TakeOver => "be taken over",
            Self::BeginCopy => "begin to copy",
            Self::BeginDualWrite => "begin to follow the source",
            Self::Pause => "be paused",
            Self::Resume => "be resumed",
            Self::Fail => "fail",
            Self::CutOver => "cut over",
            Self::Commit { .. } => "commit",
            Self::GiveUp { .. } => "give its cutover up",
            Self::Reopened => "go on after a cutover",
            Self::Abort => "be aborted",
            Self::RolledBack => "end its roll-back",
            Self::Reverse { .. } => "be reversed",
            Self::Finish { .. } => "be finished",
            Self::Finished => "end",
            Self::Abandon => "end without a purge",
        }
    }
}

impl Decision {
    /// Its name, for logs and measurements.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::TakeOver => "take_over",
            Self::BeginCopy => "begin_copy",
            Self::BeginDualWrite => "begin_dual_write",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Fail => "fail",
            Self::CutOver => "cut_over",
            Self::Commit { .. } => "commit",
            Self::GiveUp { .. } => "give_up",
            Self::Reopened => "reopened",
            Self::Abort => "abort",
            Self::RolledBack => "rolled_back",
            Self::Reverse { .. } => "reverse",
            Self::Finish { .. } => "finish",
            Self::Finished => "finished",
            Self::Abandon => "abandon",
        }
    }
}

/// The route after a decision.
///
/// # Errors
/// [`Refused`] when the decision does not fit the route.
pub fn record(route: &Route, decision: &Decision, at: Timestamp) -> Result<Route, Refused> {
    let after = match (&route.moving, decision) {
        (None, Decision::Start { migration, target }) => start(route, *migration, target),
        (Some(moving), decision) => go_on(route, moving, decision, at),
        (None, _) => None,
    };
    let current = || route.moving.as_ref().map(|moving| MigrationState::from(&moving.stage));
    let refused = || Refused { current: current(), action: decision.action() };
    after.map(|after| Route { term: route.term.next(), ..after }).ok_or_else(refused)
}

fn start(route: &Route, migration: MigrationId, target: &StoreId) -> Option<Route> {
    let moving = Moving {
        migration,
        peer: target.clone(),
        stage: Stage::Pending,
        claim: route.term.next(),
        attempts: 0,
    };
    (*target != route.store_id).then(|| Route { moving: Some(moving), ..route.clone() })
}

/// The route after a decision about the move that is under way, its term aside; nothing when it does not
/// fit. The stages that each decision fits are named with it.
fn go_on(route: &Route, moving: &Moving, decision: &Decision, at: Timestamp) -> Option<Route> {
    let to = |stage: Stage| Some(staged(route, moving, stage));
    match (decision, &moving.stage) {
        (Decision::TakeOver, stage) => to(stage.clone()).map(|after| claimed(route, after)),
        (Decision::BeginCopy, Stage::Pending) => to(Stage::BulkCopy),
        (Decision::BeginDualWrite, Stage::BulkCopy) => to(Stage::DualWrite),
        (Decision::Pause, Stage::BulkCopy) => to(Stage::Paused { from: Copying::BulkCopy }),
        (Decision::Pause, Stage::DualWrite) => to(Stage::Paused { from: Copying::DualWrite }),
        (Decision::Fail, Stage::Pending) => to(Stage::Failed { from: Copying::Pending }),
        (Decision::Fail, Stage::BulkCopy) => to(Stage::Failed { from: Copying::BulkCopy }),
        (Decision::Fail, Stage::DualWrite) => to(Stage::Failed { from: Copying::DualWrite }),
        (Decision::Resume, Stage::Paused { from } | Stage::Failed { from }) => to((*from).into()),
        (Decision::CutOver, Stage::DualWrite) => cut_over(route, moving, at),
        (Decision::Commit { at: end }, Stage::CutoverPaused { next, .. }) => {
            Some(commit(route, moving, *next, *end))
        }
        (Decision::GiveUp { .. }, Stage::CutoverPaused { since, .. }) => {
            Some(reopen(route, moving, Afterwards::DualWrite, *since))
        }
        (Decision::Abort, Stage::CutoverPaused { since, .. }) => {
            Some(reopen(route, moving, Afterwards::RollBack, *since))
        }
        (Decision::Abort, Stage::Reopening { since, .. }) => {
            to(Stage::Reopening { then: Afterwards::RollBack, since: *since })
        }
        (Decision::Reopened, Stage::Reopening { then: Afterwards::DualWrite, .. }) => {
            to(Stage::DualWrite)
        }
        (Decision::Reopened, Stage::Reopening { then: Afterwards::RollBack, .. }) => {
            to(Stage::RollingBack)
        }
        // Nothing was sent to the target yet.
        (Decision::Abort, Stage::Pending | Stage::Failed { from: Copying::Pending }) => {
            Some(Route { moving: None, ..route.clone() })
        }
        (
            Decision::Abort,
            Stage::BulkCopy
            | Stage::DualWrite
            | Stage::Paused { .. }
            | Stage::Failed { from: Copying::BulkCopy | Copying::DualWrite },
        ) => to(Stage::RollingBack),
        (Decision::RolledBack | Decision::Abandon, Stage::RollingBack)
        | (Decision::Finished | Decision::Abandon, Stage::Finishing { .. }) => {
            Some(Route { moving: None, ..route.clone() })
        }
        (Decision::Reverse { migration }, Stage::Migrated { .. }) => {
            let back = Moving { migration: *migration, attempts: 0, ..moving.clone() };
            Some(claimed(route, staged(route, &back, Stage::BulkCopy)))
        }
        (Decision::Finish { purge_at }, Stage::Migrated { at } | Stage::Finishing { at, .. }) => {
            to(Stage::Finishing { at: *at, purge_at: *purge_at })
        }
        (
            Decision::Start { .. }
            | Decision::BeginCopy
            | Decision::BeginDualWrite
            | Decision::Pause
            | Decision::Resume
            | Decision::Fail
            | Decision::CutOver
            | Decision::Commit { .. }
            | Decision::GiveUp { .. }
            | Decision::Reopened
            | Decision::Abort
            | Decision::RolledBack
            | Decision::Reverse { .. }
            | Decision::Finish { .. }
            | Decision::Finished
            | Decision::Abandon,
            _,
        ) => None,
    }
}

fn staged(route: &Route, moving: &Moving, stage: Stage) -> Route {
    Route { moving: Some(Moving { stage, ..moving.clone() }), ..route.clone() }
}

/// Makes the decision's own term the one at which the copy is claimed.
fn claimed(route: &Route, mut after: Route) -> Route {
    if let Some(moving) = &mut after.moving {
        moving.claim = route.term.next();
    }
    after
}

fn cut_over(route: &Route, moving: &Moving, since: Timestamp) -> Option<Route> {
    if route.holds_writes() {
        return None;
    }
    let next = route.minted.next();
    let stage = Stage::CutoverPaused { next, decided: route.term.next(), since };
    let after = staged(route, &Moving { attempts: moving.attempts + 1, ..moving.clone() }, stage);
    Some(Route { minted: next, ..after })
}

fn commit(route: &Route, moving: &Moving, next: Epoch, at: Mark) -> Route {
    let left = Moving { peer: route.store_id.clone(), ..moving.clone() };
    let after = staged(route, &left, Stage::Migrated { at });
    claimed(route, Route { store_id: moving.peer.clone(), epoch: next, ..after })
}

fn reopen(route: &Route, moving: &Moving, then: Afterwards, since: Timestamp) -> Route {
    let epoch = route.minted.next();
    let after = staged(route, moving, Stage::Reopening { then, since });
    claimed(route, Route { epoch, minted: epoch, ..after })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Term;

    #[test]
    fn a_copy_is_given_up_only_where_nothing_but_its_purge_is_left() {
        let (since, at) = (Timestamp::UNIX_EPOCH, Mark::START);
        let (next, decided, purge_at) = (Epoch(2), Term(3), since);
        let cases = [
            (Stage::Pending, false),
            (Stage::BulkCopy, false),
            (Stage::DualWrite, false),
            (Stage::Paused { from: Copying::DualWrite }, false),
            (Stage::Failed { from: Copying::BulkCopy }, false),
            (Stage::CutoverPaused { next, decided, since }, false),
            (Stage::Reopening { then: Afterwards::RollBack, since }, false),
            (Stage::RollingBack, true),
            (Stage::Migrated { at }, false),
            (Stage::Finishing { at, purge_at }, true),
        ];
        let peer = StoreId::new("dedicated").expect("an id");
        for (stage, is_allowed) in cases {
            let migration = MigrationId(uuid::Uuid::nil());
            let moving =
                Moving { migration, peer: peer.clone(), stage, claim: Term(1), attempts: 0 };
            let route = Route {
                moving: Some(moving),
                ..Route::first(StoreId::new("shared").expect("an id"))
            };
            let after = record(&route, &Decision::Abandon, since);
            assert_eq!(after.is_ok_and(|after| after.moving.is_none()), is_allowed, "{route:?}");
        }
    }
}
