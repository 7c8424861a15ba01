//! What can go wrong with a migration, whether it may go on afterwards, and what to do.

use segue_core::ids::{MigrationId, StoreId, TenantId};
use segue_core::tenancy::migration::MigrationState;
use segue_store::control::migrations::Migration;

/// Why a migration did not do as asked. Nothing was changed by what was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MigrationError {
    /// There is no such migration.
    #[error("there is no tenant migration {migration_id}")]
    NotFound {
        /// Which was asked for.
        migration_id: MigrationId,
    },
    /// The tenant is on the move, or not yet done with the last move.
    #[error(
        "tenant {tenant_id} has migration {migration_id}, which is {state}{}", unfinished(*state)
    )]
    AlreadyExists {
        /// Whose.
        tenant_id: TenantId,
        /// Which one it has.
        migration_id: MigrationId,
        /// How far that is.
        state: MigrationState,
    },
    /// The migration's state does not allow it.
    #[error(
        "migration {migration_id} is {current_state} and cannot {action}; from there it goes to: {}",
        if allowed_transitions.is_empty() { "nowhere".to_owned() } else {
            allowed_transitions.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ")
        }
    )]
    InvalidStateTransition {
        /// Which.
        migration_id: MigrationId,
        /// What it is.
        current_state: MigrationState,
        /// What was asked, as a verb.
        action: &'static str,
        /// The state that this would have led to.
        attempted_state: MigrationState,
        /// Where it may go.
        allowed_transitions: Vec<MigrationState>,
    },
    /// A cutover took longer than it may. Writes go on in the source.
    #[error(
        "the cutover of migration {migration_id} was given up after {timeout_seconds} s; writes go on in \
         the source"
    )]
    CutoverTimeout {
        /// Which.
        migration_id: MigrationId,
        /// How long it may take.
        timeout_seconds: f64,
        /// How many writes of this server waited.
        blocked_writers: u64,
    },
    /// What the target holds is not what the source holds. Writes go on in the source.
    #[error("the target of migration {migration_id} is not consistent with the source: {details}")]
    Consistency {
        /// Which.
        migration_id: MigrationId,
        /// What differs.
        details: String,
    },
    /// A tenant is to move where it lives.
    #[error("tenant {tenant_id} lives in store {store} already")]
    SameStore {
        /// Whose.
        tenant_id: TenantId,
        /// Where.
        store: StoreId,
    },
    /// The target holds something of this tenant that is no copy of its log.
    #[error(
        "store {store} holds a log of tenant {tenant_id} that is not a copy of its present one: {details}"
    )]
    TargetOccupied {
        /// Whose.
        tenant_id: TenantId,
        /// Which store.
        store: StoreId,
        /// What was found.
        details: String,
    },
    /// A store may lose what it has acknowledged, and a fence with it.
    #[error(
        "store {store} may lose what it has acknowledged with the power ({settings}), and a fence with it"
    )]
    UnsafeDurability {
        /// Which.
        store: StoreId,
        /// How it is set.
        settings: String,
    },
    /// Something stands in the way of the migration.
    #[error("migration {migration_id} cannot go on: {details}")]
    Obstructed {
        /// Which.
        migration_id: MigrationId,
        /// What it is.
        details: String,
        /// Whether it may go on when that is mended.
        recoverable: bool,
        /// What to do.
        suggested_action: Option<String>,
    },
}

fn unfinished(state: MigrationState) -> &'static str {
    match state {
        MigrationState::Migrated => ": finish or reverse it first",
        MigrationState::RolledBack => ": its target is being cleaned up",
        MigrationState::Failed | MigrationState::Paused => ": resume or abort it first",
        MigrationState::Pending
        | MigrationState::BulkCopy
        | MigrationState::DualWrite
        | MigrationState::CutoverPaused => "",
    }
}

impl MigrationError {
    /// That a migration is where this cannot be done.
    pub(super) fn not_from_here(
        migration: &Migration,
        action: &'static str,
        attempted_state: MigrationState,
    ) -> Self {
        Self::InvalidStateTransition {
            migration_id: migration.id,
            current_state: migration.state,
            action,
            attempted_state,
            allowed_transitions: migration.state.allowed_transitions().to_vec(),
        }
    }

    /// The migration that it is about, if there is one.
    #[must_use]
    pub fn migration_id(&self) -> Option<MigrationId> {
        match self {
            Self::NotFound { migration_id }
            | Self::AlreadyExists { migration_id, .. }
            | Self::InvalidStateTransition { migration_id, .. }
            | Self::CutoverTimeout { migration_id, .. }
            | Self::Consistency { migration_id, .. }
            | Self::Obstructed { migration_id, .. } => Some(*migration_id),
            Self::SameStore { .. }
            | Self::TargetOccupied { .. }
            | Self::UnsafeDurability { .. } => None,
        }
    }

    /// Whether the same may succeed later, or after the suggested action.
    #[must_use]
    pub fn recoverable(&self) -> bool {
        match self {
            Self::AlreadyExists { .. }
            | Self::InvalidStateTransition { .. }
            | Self::CutoverTimeout { .. }
            | Self::Consistency { .. }
            | Self::TargetOccupied { .. }
            | Self::UnsafeDurability { .. } => true,
            Self::NotFound { .. } | Self::SameStore { .. } => false,
            Self::Obstructed { recoverable, .. } => *recoverable,
        }
    }

    /// What to do.
    #[must_use]
    pub fn suggested_action(&self) -> Option<String> {
        let action = match self {
            Self::NotFound { .. } => "list the tenant's migrations",
            Self::AlreadyExists { .. } => "wait for that migration, abort it, or finish it",
            Self::InvalidStateTransition { .. } => "read the migration and decide again",
            Self::CutoverTimeout { .. } => {
                "look at the health of both stores and the lag, then cut over again"
            }
            Self::Consistency { .. } => "verify the migration, repair it, then cut over again",
            Self::SameStore { .. } => "name another store",
            Self::TargetOccupied { .. } => {
                "look what that log is; a copy that an aborted migration left is purged by aborting it again"
            }
            Self::UnsafeDurability { .. } => {
                "make the store durable, or start the migration with allow_unsafe_durability"
            }
            Self::Obstructed { suggested_action, .. } => return suggested_action.clone(),
        };
        Some(action.to_owned())
    }
}
