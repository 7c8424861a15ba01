//! The states that operators see, by the names of the original system.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Afterwards, Route, Stage};

/// The state of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum MigrationState {
    /// Wanted; nothing is changed yet.
    Pending,
    /// The target is filled.
    BulkCopy,
    /// The target follows the source closely.
    DualWrite,
    /// The tenant's writes wait for the move to be decided.
    CutoverPaused,
    /// The target owns the tenant.
    Migrated,
    /// Something stands in the way; see the error message. Resume or abort it.
    Failed,
    /// Aborted; the source owns the tenant.
    RolledBack,
    /// An operator has stopped the copying.
    Paused,
}

impl MigrationState {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::BulkCopy,
        Self::DualWrite,
        Self::CutoverPaused,
        Self::Migrated,
        Self::Failed,
        Self::RolledBack,
        Self::Paused,
    ];

    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::BulkCopy => "bulk_copy",
            Self::DualWrite => "dual_write",
            Self::CutoverPaused => "cutover_paused",
            Self::Migrated => "migrated",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
            Self::Paused => "paused",
        }
    }

    /// The states that may come next.
    #[must_use]
    pub fn allowed_transitions(self) -> &'static [Self] {
        match self {
            Self::Pending => &[Self::BulkCopy, Self::Failed, Self::RolledBack],
            Self::BulkCopy => &[Self::DualWrite, Self::Paused, Self::Failed, Self::RolledBack],
            Self::DualWrite => &[Self::CutoverPaused, Self::Paused, Self::Failed, Self::RolledBack],
            Self::CutoverPaused => &[Self::Migrated, Self::DualWrite, Self::RolledBack],
            Self::Paused => &[Self::BulkCopy, Self::DualWrite, Self::RolledBack],
            Self::Failed => &[Self::Pending, Self::BulkCopy, Self::DualWrite, Self::RolledBack],
            Self::Migrated | Self::RolledBack => &[],
        }
    }
}

impl fmt::Display for MigrationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is none of the states.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a state of a migration")]
pub struct UnknownState(String);

impl FromStr for MigrationState {
    type Err = UnknownState;
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == text);
        known.ok_or_else(|| UnknownState(text.to_owned()))
    }
}

impl From<&Stage> for MigrationState {
    fn from(stage: &Stage) -> Self {
        match stage {
            Stage::Pending => Self::Pending,
            Stage::BulkCopy => Self::BulkCopy,
            Stage::DualWrite => Self::DualWrite,
            Stage::Paused { .. } => Self::Paused,
            Stage::Failed { .. } => Self::Failed,
            Stage::CutoverPaused { .. }
            | Stage::Reopening { then: Afterwards::DualWrite | Afterwards::RollBack, .. } => {
                Self::CutoverPaused
            }
            Stage::RollingBack => Self::RolledBack,
            Stage::Migrated { .. } | Stage::Finishing { .. } => Self::Migrated,
        }
    }
}

/// What a migration means for a tenant's reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TenantMigrationState {
    /// It lives in its store, and nothing moves.
    Normal,
    /// It lives in the source, which is being copied.
    BulkCopy,
    /// It lives in the source, which the target follows.
    DualWrite,
    /// Its writes wait for the end of a cutover; its reads go on.
    CutoverPaused,
    /// It lives in the target, which the old source follows, for a way back.
    Migrated,
}

impl From<&Route> for TenantMigrationState {
    fn from(route: &Route) -> Self {
        let Some(moving) = &route.moving else { return Self::Normal };
        match &moving.stage {
            Stage::Pending | Stage::RollingBack => Self::Normal,
            Stage::BulkCopy | Stage::Paused { .. } | Stage::Failed { .. } => Self::BulkCopy,
            Stage::DualWrite => Self::DualWrite,
            Stage::CutoverPaused { .. } | Stage::Reopening { .. } => Self::CutoverPaused,
            Stage::Migrated { .. } | Stage::Finishing { .. } => Self::Migrated,
        }
    }
}
