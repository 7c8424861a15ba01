//! The settings that decisions depend on, with the defaults of the seeds (`[scenario_migration]`).

use serde::{Deserialize, Serialize};

/// What the operator configured of scenario migration, as far as decisions depend on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Migration {
    /// Whether sessions are migrated at all; if not everyone stays on their version.
    pub enabled: bool,
    /// How plans are deployed.
    pub deployment: Deployment,
    /// How missing data is found.
    pub gap_fill: GapFill,
    /// How customers are redirected.
    pub re_routing: ReRouting,
    /// How irreversible steps are protected.
    pub checkpoints: Checkpoints,
    /// How long old things are kept.
    pub retention: Retention,
    /// What is logged.
    pub logging: Logging,
}

impl Default for Migration {
    fn default() -> Self {
        Self {
            enabled: true,
            deployment: Deployment::default(),
            gap_fill: GapFill::default(),
            re_routing: ReRouting::default(),
            checkpoints: Checkpoints::default(),
            retention: Retention::default(),
            logging: Logging::default(),
        }
    }
}

/// `[scenario_migration.deployment]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deployment {
    /// Whether a deploy marks existing sessions; if not only new ones walk the new version.
    pub auto_mark_sessions: bool,
    /// Whether a plan must be approved before it is deployed.
    pub require_approval: bool,
    /// Whether who made a plan, or changed its policies, may not be the one who approves it.
    pub four_eyes: bool,
}

impl Default for Deployment {
    fn default() -> Self {
        Self { auto_mark_sessions: true, require_approval: true, four_eyes: false }
    }
}

/// `[scenario_migration.gap_fill]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GapFill {
    /// Whether missing fields are looked for in the conversation.
    pub extraction_enabled: bool,
    /// An extracted value below this confidence (0 to 1) is not used.
    pub extraction_confidence_threshold: f64,
    /// An extracted value below this confidence (0 to 1) waits for the customer's word.
    pub confirmation_threshold: f64,
    /// How many of the last messages are kept and searched.
    pub max_conversation_turns: usize,
}

impl Default for GapFill {
    fn default() -> Self {
        Self {
            extraction_enabled: true,
            extraction_confidence_threshold: 0.85,
            confirmation_threshold: 0.95,
            max_conversation_turns: 20,
        }
    }
}

/// `[scenario_migration.re_routing]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReRouting {
    /// Whether new forks are evaluated; if not sessions stay at their anchor.
    pub enabled: bool,
    /// Whether a redirected customer is told.
    pub notify_user: bool,
    /// What they are told.
    pub notification_template: String,
}

impl Default for ReRouting {
    fn default() -> Self {
        Self {
            enabled: true,
            notify_user: true,
            notification_template: "I have new instructions. Let me redirect our conversation."
                .to_owned(),
        }
    }
}

/// `[scenario_migration.checkpoints]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Checkpoints {
    /// Whether a move that would undo a passed checkpoint is blocked; if not it is only warned of.
    pub block_teleport_past_checkpoint: bool,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self { block_teleport_past_checkpoint: true }
    }
}

/// `[scenario_migration.retention]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Days for which a version is archived after it is replaced, and as long as anything needs it.
    pub version_retention_days: u32,
    /// Days for which a deployed, superseded or rejected plan is kept whole.
    pub plan_retention_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { version_retention_days: 7, plan_retention_days: 30 }
    }
}

/// `[scenario_migration.logging]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Logging {
    /// Whether clean grafts are logged too.
    pub log_clean_grafts: bool,
    /// Whether gap fills are logged.
    pub log_gap_fills: bool,
    /// Whether re-routes are logged.
    pub log_re_routes: bool,
    /// Whether checkpoint blocks are logged.
    pub log_checkpoint_blocks: bool,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            log_clean_grafts: false,
            log_gap_fills: true,
            log_re_routes: true,
            log_checkpoint_blocks: true,
        }
    }
}
