//! The settings of a move, with the names and defaults of the original system.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a move is made. Each move keeps the settings that it was started with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct MigrationConfig {
    /// Events copied at a time: 1 to 10,000.
    pub batch_size: u32,
    /// How many events the target may be behind when a cutover begins. What is left is copied during the
    /// pause, never dropped.
    pub sync_lag_threshold: u64,
    /// Seconds between two looks at the lag: 0.01 to 60.
    pub sync_check_interval: f64,
    /// Seconds after which a cutover is given up and writes go on: 0.05 to 60.
    pub cutover_timeout_seconds: f64,
    /// What is compared before a cutover.
    pub verification_level: VerificationLevel,
    /// How many of the events FULL compares field by field, in percent: over 0, to 100.
    pub sample_percentage: f64,
    /// Whether the move is traced.
    pub enable_tracing: bool,
    /// Whether the move is counted and timed.
    pub enable_metrics: bool,
    /// Events per second that the bulk copy may take at most; null for as many as leave the tenant's
    /// writers what they need.
    pub max_bulk_copy_rate: Option<f64>,
    /// Whether a write during the dual write waits for the target, half a second at most and not for one that
    /// fails: a shorter pause, slower writes.
    pub synchronous_dual_write: bool,
    /// Whether the cutover follows by itself when the target is close enough.
    pub auto_cutover: bool,
    /// Whether the old source follows the new owner after the cutover, so that one can go back.
    pub keep_way_back: bool,
    /// Seconds after the cutover for which the old source keeps its copy at least.
    pub source_retention_seconds: u64,
    /// Whether stores may be used that lose an acknowledged write, and so a fence, with the power.
    pub allow_unsafe_durability: bool,
}

impl Default for MigrationConfig {
    fn default() -> Self {
        Self {
            batch_size: 1000,
            sync_lag_threshold: 100,
            sync_check_interval: 1.0,
            cutover_timeout_seconds: 5.0,
            verification_level: VerificationLevel::Hash,
            sample_percentage: 100.0,
            enable_tracing: true,
            enable_metrics: true,
            max_bulk_copy_rate: None,
            synchronous_dual_write: false,
            auto_cutover: false,
            keep_way_back: true,
            source_retention_seconds: 24 * 60 * 60,
            allow_unsafe_durability: false,
        }
    }
}

/// What is compared between the two stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum VerificationLevel {
    /// The ends of the logs, the streams and their versions.
    Count,
    /// What is stored in the target, read back and hashed, too.
    Hash,
    /// Events and snapshots, field by field, too.
    Full,
}

impl VerificationLevel {
    /// The word that is written and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "COUNT",
            Self::Hash => "HASH",
            Self::Full => "FULL",
        }
    }
}

/// A setting that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {allowed}")]
pub struct InvalidSetting {
    /// Its name.
    pub setting: &'static str,
    /// What may stand there.
    pub allowed: &'static str,
}

impl MigrationConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first that makes no sense.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let within = |value: f64, from: f64, to: f64| value >= from && value <= to;
        let rate = self.max_bulk_copy_rate.is_none_or(|rate| rate.is_finite() && rate >= 1.0);
        let sample = self.sample_percentage;
        for (is_right, setting, allowed) in [
            ((1..=10_000).contains(&self.batch_size), "batch_size", "a number from 1 to 10,000"),
            (
                within(self.sync_check_interval, 0.01, 60.0),
                "sync_check_interval",
                "a number of seconds from 0.01 to 60",
            ),
            (
                within(self.cutover_timeout_seconds, 0.05, 60.0),
                "cutover_timeout_seconds",
                "a number of seconds from 0.05 to 60",
            ),
            (
                sample > 0.0 && sample <= 100.0,
                "sample_percentage",
                "a percentage over 0, up to 100",
            ),
            (rate, "max_bulk_copy_rate", "a number of events per second, 1 or more"),
        ] {
            if !is_right {
                return Err(InvalidSetting { setting, allowed });
            }
        }
        Ok(())
    }

    /// The longest that the tenant's writes may wait for a cutover.
    #[must_use]
    pub fn pause_budget(&self) -> Duration {
        Duration::from_secs_f64(self.cutover_timeout_seconds)
    }

    /// The time between two looks at the lag.
    #[must_use]
    pub fn check_interval(&self) -> Duration {
        Duration::from_secs_f64(self.sync_check_interval)
    }

    /// Whether a cutover needs the target to be read back.
    #[must_use]
    pub fn needs_read_back(&self) -> bool {
        match self.verification_level {
            VerificationLevel::Count => false,
            VerificationLevel::Hash | VerificationLevel::Full => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_out_of_range_is_named_with_its_range() {
        let config = MigrationConfig { sample_percentage: 0.0, ..MigrationConfig::default() };
        let invalid = config.check().unwrap_err();
        assert_eq!(invalid.to_string(), "sample_percentage is a percentage over 0, up to 100");
        let config =
            MigrationConfig { cutover_timeout_seconds: f64::NAN, ..MigrationConfig::default() };
        assert_eq!(config.check().unwrap_err().setting, "cutover_timeout_seconds");
        assert_eq!(MigrationConfig::default().check(), Ok(()));
    }
}
