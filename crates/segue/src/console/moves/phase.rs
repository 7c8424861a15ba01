//! Where a move stands, as a line of steps, and what may be done from there. Pure: of the migration's row and
//! the stage that the tenant's route says.

use segue_core::tenancy::migration::{Afterwards, Copying, MigrationState, Stage};

use crate::tenants::Migration;

/// The steps of every move, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Both stores are looked at.
    Preparing,
    /// The target is filled.
    BulkCopy,
    /// The target follows the source closely.
    Following,
    /// Writes wait, and the move is decided.
    Cutover,
    /// The target owns the tenant, and the old source keeps a copy.
    Migrated,
    /// Nothing is left of it in the old source.
    Finished,
}

impl Phase {
    /// Every one, in order.
    pub const ALL: [Self; 6] = [
        Self::Preparing,
        Self::BulkCopy,
        Self::Following,
        Self::Cutover,
        Self::Migrated,
        Self::Finished,
    ];

    /// What people call it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Preparing => "Prepare",
            Self::BulkCopy => "Bulk copy",
            Self::Following => "Dual write",
            Self::Cutover => "Cutover",
            Self::Migrated => "Migrated",
            Self::Finished => "Finished",
        }
    }

    /// What happens there, in a few words.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Preparing => "both stores are looked at",
            Self::BulkCopy => "the target is filled",
            Self::Following => "the target follows closely",
            Self::Cutover => "writes wait for a moment",
            Self::Migrated => "the target owns the tenant",
            Self::Finished => "the old copy is purged",
        }
    }
}

/// How a step looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It is behind.
    Done,
    /// It is where the move stands.
    Now,
    /// The move stands there, and an operator stopped it.
    Paused,
    /// The move stands there, and something stands in its way.
    Failed,
    /// The move was aborted there.
    Aborted,
    /// It is to come.
    Ahead,
}

impl Look {
    /// The word beside it, so that nothing is told by colour alone.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Now => "now",
            Self::Paused => "paused",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Ahead => "to come",
        }
    }
}

/// Where a move stands: on which step, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// On which step.
    pub phase: Phase,
    /// How.
    pub look: Look,
}

impl Standing {
    /// Where a move stands; `stage` is what the route says while it is about this move.
    #[must_use]
    pub fn of(migration: &Migration, stage: Option<&Stage>) -> Self {
        let at = |phase, look| Self { phase, look };
        let Some(stage) = stage else { return Self::of_row(migration) };
        match stage {
            Stage::Pending => at(Phase::Preparing, Look::Now),
            Stage::BulkCopy => at(Phase::BulkCopy, Look::Now),
            Stage::DualWrite => at(Phase::Following, Look::Now),
            Stage::Paused { from } => at(from_phase(*from), Look::Paused),
            Stage::Failed { from } => at(from_phase(*from), Look::Failed),
            Stage::CutoverPaused { .. } | Stage::Reopening { then: Afterwards::DualWrite, .. } => {
                at(Phase::Cutover, Look::Now)
            }
            Stage::Reopening { then: Afterwards::RollBack, .. } => {
                at(Phase::Cutover, Look::Aborted)
            }
            Stage::RollingBack => at(reached(migration), Look::Aborted),
            Stage::Migrated { .. } => at(Phase::Migrated, Look::Now),
            Stage::Finishing { .. } => at(Phase::Finished, Look::Now),
        }
    }

    /// Of a move that no route is about any more, or whose route was not read.
    fn of_row(migration: &Migration) -> Self {
        let at = |phase, look| Self { phase, look };
        match migration.state {
            MigrationState::Pending => at(Phase::Preparing, Look::Now),
            MigrationState::BulkCopy => at(Phase::BulkCopy, Look::Now),
            MigrationState::DualWrite => at(Phase::Following, Look::Now),
            MigrationState::CutoverPaused => at(Phase::Cutover, Look::Now),
            MigrationState::Migrated if migration.is_active => at(Phase::Migrated, Look::Now),
            MigrationState::Migrated => at(Phase::Finished, Look::Done),
            MigrationState::Failed => at(reached(migration), Look::Failed),
            MigrationState::Paused => at(reached(migration), Look::Paused),
            MigrationState::RolledBack => at(reached(migration), Look::Aborted),
        }
    }

    /// How a step looks from here.
    #[must_use]
    pub fn look(self, phase: Phase) -> Look {
        match phase.cmp(&self.phase) {
            std::cmp::Ordering::Less => Look::Done,
            std::cmp::Ordering::Equal => self.look,
            std::cmp::Ordering::Greater => Look::Ahead,
        }
    }
}

/// The step that a move had come to for certain, as its row tells.
fn reached(migration: &Migration) -> Phase {
    if migration.cutover.attempts > 0 {
        Phase::Following
    } else if migration.started_at.is_some() {
        Phase::BulkCopy
    } else {
        Phase::Preparing
    }
}

fn from_phase(from: Copying) -> Phase {
    match from {
        Copying::Pending => Phase::Preparing,
        Copying::BulkCopy => Phase::BulkCopy,
        Copying::DualWrite => Phase::Following,
    }
}

/// What an operator may do about a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Stop the copying for a while.
    Pause,
    /// Go on.
    Resume,
    /// Move the tenant.
    CutOver,
    /// Give the move up.
    Abort,
    /// Go back.
    Reverse,
    /// Give the way back up.
    Finish,
    /// Purge the old source now and not later, or give it up.
    FinishNow,
    /// Compare the copy with what it was copied from.
    Verify,
    /// Copy anew from before what differs.
    Repair,
}

/// What may be done where the route stands, as the core decides it; nothing about a move that is over.
#[must_use]
pub fn allowed(stage: Option<&Stage>) -> &'static [Act] {
    use Act as A;
    let Some(stage) = stage else { return &[] };
    match stage {
        Stage::Pending | Stage::Reopening { .. } => &[A::Abort],
        Stage::BulkCopy => &[A::Pause, A::Abort, A::Verify, A::Repair],
        Stage::DualWrite => &[A::CutOver, A::Pause, A::Abort, A::Verify, A::Repair],
        Stage::Failed { from: Copying::Pending } => &[A::Resume, A::Abort],
        Stage::Paused { .. } | Stage::Failed { from: Copying::BulkCopy | Copying::DualWrite } => {
            &[A::Resume, A::Abort, A::Verify, A::Repair]
        }
        Stage::CutoverPaused { .. } => &[A::Abort],
        Stage::RollingBack => &[A::Abort],
        Stage::Migrated { .. } => &[A::Reverse, A::Finish, A::Verify],
        Stage::Finishing { .. } => &[A::FinishNow],
    }
}
