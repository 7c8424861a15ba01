//! A tenant's migration as callers see it.

use jiff::Timestamp;
use segue_core::ids::{MigrationId, StoreId, TenantId};
use segue_core::tenancy::migration::journal::{Cutover, Obstacle, SubscriptionMigration, Verified};
use segue_core::tenancy::migration::{MigrationConfig, MigrationState, Progress};
use segue_store::control::migrations as row;
use serde::Serialize;
use uuid::Uuid;

/// One move of a tenant from one store to another.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = TenantMigration)]
pub struct Migration {
    /// Its id.
    pub id: MigrationId,
    /// Whose log.
    pub tenant_id: TenantId,
    /// Where it comes from.
    pub source_store_id: StoreId,
    /// Where it goes.
    pub target_store_id: StoreId,
    /// How far it is.
    pub state: MigrationState,
    /// How much of the source's log the target has, from 0 to 100.
    pub progress_percentage: f64,
    /// How many events the target has.
    pub events_copied: u64,
    /// How many events the source has.
    pub total_events: u64,
    /// How many events the target is behind.
    pub sync_lag: u64,
    /// How many events of the target were read back and hashed.
    pub events_read_back: u64,
    /// Events per second of late.
    pub events_per_second: f64,
    /// How long the rest of the copy takes at that rate, in seconds; null while that is not known.
    pub eta_seconds: Option<f64>,
    /// What stands in the way; null if nothing does.
    pub error_message: Option<String>,
    /// The same with what to do about it.
    pub error: Option<Obstacle>,
    /// Who wanted it.
    pub created_by: String,
    /// When it was wanted.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it began to copy; null before.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it was decided, migrated or rolled back; null before.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub completed_at: Option<Timestamp>,
    /// Whether something may still be done about it. A tenant has one such migration at most.
    pub is_active: bool,
    /// The process that carries it on, or did so last; null before one does.
    pub coordinator: Option<Uuid>,
    /// The migration that this one takes back; null if it does not.
    pub reverses: Option<MigrationId>,
    /// The cutovers that were tried.
    pub cutover: CutoverView,
    /// The last verification of the whole history; null if there was none.
    pub verification: Option<Verified>,
    /// What the move meant for subscriptions; null before it was decided.
    pub subscriptions: Option<Vec<SubscriptionMigration>>,
    /// Why it was aborted; null if it was not.
    pub abort_reason: Option<String>,
    /// How it is made.
    pub config: MigrationConfig,
}

/// The cutovers of a migration.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct CutoverView {
    /// Whether somebody wants to cut over.
    pub requested: bool,
    /// How many were tried.
    pub attempts: u32,
    /// How long the last pause was, in milliseconds, as the coordinator measured it.
    pub pause_ms: Option<f64>,
    /// The last of them, the last one last.
    pub history: Vec<Cutover>,
}

impl From<row::Migration> for Migration {
    fn from(migration: row::Migration) -> Self {
        let row::Migration { progress, journal, .. } = migration;
        // Before it begins to copy, what its target holds is of something else.
        let is_told = migration.beats > 0 && migration.started_at.is_some();
        let progress = if is_told {
            progress
        } else {
            Progress { total: progress.total, ..Progress::default() }
        };
        Self {
            id: migration.id,
            tenant_id: migration.tenant_id,
            source_store_id: migration.source,
            target_store_id: migration.target,
            state: migration.state,
            progress_percentage: if is_told { progress.percentage() } else { 0.0 },
            events_copied: progress.copied.0,
            total_events: progress.total.0,
            sync_lag: progress.lag(),
            events_read_back: progress.read_back.position.0,
            events_per_second: progress.events_per_second,
            eta_seconds: progress.eta().filter(|_| is_told).map(|eta| eta.as_secs_f64()),
            error_message: journal.error.as_ref().map(|obstacle| obstacle.message.clone()),
            error: journal.error,
            created_by: migration.created_by,
            created_at: migration.created_at,
            started_at: migration.started_at,
            completed_at: migration.completed_at,
            is_active: migration.is_active,
            coordinator: migration.coordinator,
            reverses: migration.reverses,
            cutover: CutoverView {
                requested: journal.wish.is_some(),
                attempts: journal.cutovers.last().map_or(0, |last| last.attempt),
                pause_ms: journal.cutovers.last().and_then(|last| last.pause_ms),
                history: journal.cutovers,
            },
            verification: journal.verification,
            subscriptions: journal.subscriptions,
            abort_reason: journal.abort_reason,
            config: migration.config,
        }
    }
}
