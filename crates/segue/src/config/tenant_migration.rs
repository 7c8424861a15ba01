//! `[tenant_migration]`: how tenants are moved between stores, and how this process takes part in it.

use std::time::Duration;

use segue_core::tenancy::migration::{MigrationConfig, VerificationLevel};
use serde::{Deserialize, Serialize};

use crate::tenants::coordinator::Settings;

/// `[tenant_migration]`, with the names and defaults of the original system. The settings of a move are
/// those of [`MigrationConfig`], flat in the section; a move may be started with others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantMigration {
    /// Events copied at a time.
    pub batch_size: u32,
    /// How many events the target may be behind when a cutover begins.
    pub sync_lag_threshold: u64,
    /// Seconds between two looks at the lag.
    pub sync_check_interval: f64,
    /// Seconds after which a cutover is given up and writes go on.
    pub cutover_timeout_seconds: f64,
    /// What is compared before the move is decided.
    pub verification_level: VerificationLevel,
    /// How many of the events are compared field by field, in percent.
    pub sample_percentage: f64,
    /// Whether moves are traced.
    pub enable_tracing: bool,
    /// Whether moves are counted and timed.
    pub enable_metrics: bool,
    /// Events per second that the bulk copy may take; if absent, as many as leave the writers what they need.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bulk_copy_rate: Option<f64>,
    /// Whether a write during the dual write waits for the target, half a second at most.
    pub synchronous_dual_write: bool,
    /// Whether the cutover follows by itself when the target is close enough.
    pub auto_cutover: bool,
    /// Whether the old source follows the new owner after the cutover.
    pub keep_way_back: bool,
    /// Seconds after the cutover for which the old source keeps its copy at least.
    pub source_retention_seconds: u64,
    /// Whether stores may be used that lose an acknowledged write with the power.
    pub allow_unsafe_durability: bool,
    /// Seconds that a write waits for the end of a pause before it answers 503.
    pub write_pause_timeout: f64,
    /// How many bulk copies this process makes at once; others wait for their turn.
    pub max_concurrent_copies: usize,
    /// Seconds that a coordinator may be silent before another process takes over.
    pub coordinator_lease_seconds: f64,
    /// The same while a tenant's writes wait for it.
    pub cutover_lease_seconds: f64,
    /// Seconds between two looks for moves that nobody carries on.
    pub coordinator_check_interval: f64,
}

impl Default for TenantMigration {
    fn default() -> Self {
        let MigrationConfig {
            batch_size,
            sync_lag_threshold,
            sync_check_interval,
            cutover_timeout_seconds,
            verification_level,
            sample_percentage,
            enable_tracing,
            enable_metrics,
            max_bulk_copy_rate,
            synchronous_dual_write,
            auto_cutover,
            keep_way_back,
            source_retention_seconds,
            allow_unsafe_durability,
        } = MigrationConfig::default();
        Self {
            batch_size,
            sync_lag_threshold,
            sync_check_interval,
            cutover_timeout_seconds,
            verification_level,
            sample_percentage,
            enable_tracing,
            enable_metrics,
            max_bulk_copy_rate,
            synchronous_dual_write,
            auto_cutover,
            keep_way_back,
            source_retention_seconds,
            allow_unsafe_durability,
            write_pause_timeout: 5.0,
            max_concurrent_copies: 4,
            coordinator_lease_seconds: 5.0,
            cutover_lease_seconds: 1.0,
            coordinator_check_interval: 1.0,
        }
    }
}

impl TenantMigration {
    /// How a move is made that says nothing else.
    #[must_use]
    pub fn of_a_move(&self) -> MigrationConfig {
        MigrationConfig {
            batch_size: self.batch_size,
            sync_lag_threshold: self.sync_lag_threshold,
            sync_check_interval: self.sync_check_interval,
            cutover_timeout_seconds: self.cutover_timeout_seconds,
            verification_level: self.verification_level,
            sample_percentage: self.sample_percentage,
            enable_tracing: self.enable_tracing,
            enable_metrics: self.enable_metrics,
            max_bulk_copy_rate: self.max_bulk_copy_rate,
            synchronous_dual_write: self.synchronous_dual_write,
            auto_cutover: self.auto_cutover,
            keep_way_back: self.keep_way_back,
            source_retention_seconds: self.source_retention_seconds,
            allow_unsafe_durability: self.allow_unsafe_durability,
        }
    }

    /// How this process carries moves on.
    #[must_use]
    pub fn of_this_process(&self) -> Settings {
        Settings {
            config: self.of_a_move(),
            lease: Duration::from_secs_f64(self.coordinator_lease_seconds),
            cutover_lease: Duration::from_secs_f64(self.cutover_lease_seconds),
            look_every: Duration::from_secs_f64(self.coordinator_check_interval),
            copies_at_once: self.max_concurrent_copies,
        }
    }
}
