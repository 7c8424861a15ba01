//! The life of a plan.
//!
//! ```text
//! pending ──► approved ──► deployed ──► withdrawn
//!    │  └────────┼───────────▲ │          (the operator takes it back)
//!    │           │ (approval   └────────► superseded
//!    ▼           ▼  not required)         (a newer plan of the scenario was deployed)
//! rejected    superseded
//! ```
//!
//! What happened, by whom and when is inside each state, so that no two facts can disagree. Nothing
//! here reads a clock or a store: the shell saves what [`Status::after`] answers by compare-and-swap on
//! the plan's revision.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::PlanId;
use crate::plan::policy::AnchorKey;

/// Who did something, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The operator, if they gave a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// A deploy, and whom it marked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// By whom and when; the ages of sessions count from here.
    #[serde(flatten)]
    pub signed: Signed,
    /// How many sessions had a pending migration by it at that moment.
    pub sessions_marked: u64,
    /// The same by anchor; deleted steps and sessions at them count under the anchor they go to.
    pub sessions_by_anchor: BTreeMap<AnchorKey, u64>,
}

/// Where a plan stands, and how it came there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Status {
    /// Waits for an operator; only now may policies change.
    Pending,
    /// An operator agreed.
    Approved {
        /// Who and when.
        approved: Signed,
    },
    /// An operator refused; final.
    Rejected {
        /// Who and when.
        rejected: Signed,
        /// Why.
        reason: Option<String>,
    },
    /// Its version is current, and it applies to the sessions that it marked.
    Deployed {
        /// Who agreed, where that was asked for.
        approved: Option<Signed>,
        /// The deploy.
        deployed: Deployment,
    },
    /// It no longer applies to sessions that have not migrated; final.
    Withdrawn {
        /// Who agreed, where that was asked for.
        approved: Option<Signed>,
        /// The deploy.
        deployed: Deployment,
        /// Who took it back, and when.
        withdrawn: Signed,
    },
    /// A newer plan of the scenario was deployed; final. If this one had been deployed it still applies
    /// to sessions on the version that it leaves.
    Superseded {
        /// Who agreed, if anyone had.
        approved: Option<Signed>,
        /// The deploy, if there had been one.
        deployed: Option<Deployment>,
        /// When.
        at: Timestamp,
        /// The newer plan.
        by_plan: PlanId,
    },
}

/// The word for a status, as the API shows and filters it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// See [`Status::Pending`].
    Pending,
    /// See [`Status::Approved`].
    Approved,
    /// See [`Status::Rejected`].
    Rejected,
    /// See [`Status::Deployed`].
    Deployed,
    /// See [`Status::Withdrawn`].
    Withdrawn,
    /// See [`Status::Superseded`].
    Superseded,
}

impl Kind {
    /// All of them, in the order of a plan's life.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Approved,
        Self::Rejected,
        Self::Deployed,
        Self::Withdrawn,
        Self::Superseded,
    ];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Deployed => "deployed",
            Self::Withdrawn => "withdrawn",
            Self::Superseded => "superseded",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is done to a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// An operator agrees.
    Approve(Signed),
    /// An operator refuses.
    Reject {
        /// Who and when.
        signed: Signed,
        /// Why.
        reason: Option<String>,
    },
    /// The plan goes live.
    Deploy(Deployment),
    /// An operator takes the plan back.
    Withdraw(Signed),
    /// A newer plan of the scenario is deployed.
    Supersede {
        /// When.
        at: Timestamp,
        /// The newer plan.
        by_plan: PlanId,
    },
}

impl Action {
    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Approve(_) => "approve",
            Self::Reject { .. } => "reject",
            Self::Deploy(_) => "deploy",
            Self::Withdraw(_) => "withdraw",
            Self::Supersede { .. } => "supersede",
        }
    }
}

/// Whether a plan must be approved before it is deployed (`deployment.require_approval`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// It must.
    Required,
    /// A pending plan may be deployed.
    Optional,
}

impl From<&crate::config::Deployment> for Approval {
    fn from(config: &crate::config::Deployment) -> Self {
        if config.require_approval { Self::Required } else { Self::Optional }
    }
}

/// Says that an action does not fit a plan's status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {action} a plan that is {status}; it must be {}", or(allowed))]
pub struct Refused {
    /// What was asked for.
    pub action: &'static str,
    /// Where the plan stands.
    pub status: Kind,
    /// Where it would have to stand.
    pub allowed: &'static [Kind],
}

fn or(kinds: &[Kind]) -> String {
    kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" or ")
}

impl Status {
    /// The word for it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Pending => Kind::Pending,
            Self::Approved { .. } => Kind::Approved,
            Self::Rejected { .. } => Kind::Rejected,
            Self::Deployed { .. } => Kind::Deployed,
            Self::Withdrawn { .. } => Kind::Withdrawn,
            Self::Superseded { .. } => Kind::Superseded,
        }
    }

    /// Whether the plan may still be deployed; two open plans for one pair of versions exclude each other.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Pending | Self::Approved { .. })
    }

    /// Who approved, if anyone did.
    #[must_use]
    pub fn approved(&self) -> Option<&Signed> {
        match self {
            Self::Pending | Self::Rejected { .. } => None,
            Self::Approved { approved } => Some(approved),
            Self::Deployed { approved, .. }
            | Self::Withdrawn { approved, .. }
            | Self::Superseded { approved, .. } => approved.as_ref(),
        }
    }

    /// The deploy, if there was one.
    #[must_use]
    pub fn deployed(&self) -> Option<&Deployment> {
        match self {
            Self::Pending | Self::Approved { .. } | Self::Rejected { .. } => None,
            Self::Deployed { deployed, .. } | Self::Withdrawn { deployed, .. } => Some(deployed),
            Self::Superseded { deployed, .. } => deployed.as_ref(),
        }
    }

    /// Whether it applies to sessions on the version that it leaves.
    #[must_use]
    pub fn applies(&self) -> bool {
        match self {
            Self::Deployed { .. } => true,
            Self::Superseded { deployed, .. } => deployed.is_some(),
            Self::Pending
            | Self::Approved { .. }
            | Self::Rejected { .. }
            | Self::Withdrawn { .. } => false,
        }
    }

    /// Allows policies to change, or not.
    ///
    /// # Errors
    /// When the plan is no longer pending.
    pub fn check_editable(&self) -> Result<(), Refused> {
        match self.kind() {
            Kind::Pending => Ok(()),
            status => {
                Err(Refused { action: "change the policies of", status, allowed: &[Kind::Pending] })
            }
        }
    }

    /// The status after an action.
    ///
    /// # Errors
    /// When the action does not fit the status.
    pub fn after(self, action: Action, approval: Approval) -> Result<Self, Refused> {
        let refused = |status: &Self, action: &Action, allowed| {
            Err(Refused { action: action.as_str(), status: status.kind(), allowed })
        };
        match (self, action) {
            (Self::Pending, Action::Approve(approved)) => Ok(Self::Approved { approved }),
            (Self::Pending, Action::Reject { signed: rejected, reason }) => {
                Ok(Self::Rejected { rejected, reason })
            }
            (Self::Pending, Action::Deploy(deployed)) if approval == Approval::Optional => {
                Ok(Self::Deployed { approved: None, deployed })
            }
            (Self::Approved { approved }, Action::Deploy(deployed)) => {
                Ok(Self::Deployed { approved: Some(approved), deployed })
            }
            (Self::Deployed { approved, deployed }, Action::Withdraw(withdrawn)) => {
                Ok(Self::Withdrawn { approved, deployed, withdrawn })
            }
            (Self::Pending, Action::Supersede { at, by_plan }) => {
                Ok(Self::Superseded { approved: None, deployed: None, at, by_plan })
            }
            (Self::Approved { approved }, Action::Supersede { at, by_plan }) => {
                Ok(Self::Superseded { approved: Some(approved), deployed: None, at, by_plan })
            }
            (Self::Deployed { approved, deployed }, Action::Supersede { at, by_plan }) => {
                Ok(Self::Superseded { approved, deployed: Some(deployed), at, by_plan })
            }
            (status, action @ (Action::Approve(_) | Action::Reject { .. })) => {
                refused(&status, &action, &[Kind::Pending])
            }
            (status, action @ Action::Deploy(_)) => match approval {
                Approval::Required => refused(&status, &action, &[Kind::Approved]),
                Approval::Optional => refused(&status, &action, &[Kind::Pending, Kind::Approved]),
            },
            (status, action @ Action::Withdraw(_)) => refused(&status, &action, &[Kind::Deployed]),
            (
                status @ (Self::Rejected { .. } | Self::Withdrawn { .. } | Self::Superseded { .. }),
                action @ Action::Supersede { .. },
            ) => refused(&status, &action, &[Kind::Pending, Kind::Approved, Kind::Deployed]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> Signed {
        Signed { by: Some("olga".to_owned()), at: Timestamp::UNIX_EPOCH }
    }

    fn deployment() -> Deployment {
        Deployment { signed: signed(), sessions_marked: 3, sessions_by_anchor: BTreeMap::new() }
    }

    fn actions() -> [Action; 5] {
        [
            Action::Approve(signed()),
            Action::Reject { signed: signed(), reason: None },
            Action::Deploy(deployment()),
            Action::Withdraw(signed()),
            Action::Supersede { at: Timestamp::UNIX_EPOCH, by_plan: PlanId(uuid::Uuid::nil()) },
        ]
    }

    fn statuses() -> [Status; 6] {
        [
            Status::Pending,
            Status::Approved { approved: signed() },
            Status::Rejected { rejected: signed(), reason: None },
            Status::Deployed { approved: Some(signed()), deployed: deployment() },
            Status::Withdrawn { approved: None, deployed: deployment(), withdrawn: signed() },
            Status::Superseded {
                approved: None,
                deployed: None,
                at: Timestamp::UNIX_EPOCH,
                by_plan: PlanId(uuid::Uuid::nil()),
            },
        ]
    }

    #[test]
    fn every_pair_of_status_and_action_is_allowed_or_refused_by_name() {
        let mut table = String::new();
        for approval in [Approval::Required, Approval::Optional] {
            table += &format!("{approval:?}\n");
            for status in statuses() {
                let row: Vec<String> = actions()
                    .into_iter()
                    .map(|action| {
                        let word = action.as_str();
                        match status.clone().after(action, approval) {
                            Ok(next) => format!("{word} -> {}", next.kind()),
                            Err(_) => format!("{word} -> no"),
                        }
                    })
                    .collect();
                table += &format!("  {}: {}\n", status.kind(), row.join(", "));
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn a_refusal_says_what_would_be_needed() {
        let refused =
            Status::Pending.after(Action::Deploy(deployment()), Approval::Required).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "cannot deploy a plan that is pending; it must be approved"
        );
    }

    #[test]
    fn a_plan_superseded_after_its_deploy_still_applies_to_those_left_behind() {
        let supersede =
            Action::Supersede { at: Timestamp::UNIX_EPOCH, by_plan: PlanId(uuid::Uuid::nil()) };
        let deployed = Status::Deployed { approved: None, deployed: deployment() };
        assert!(deployed.after(supersede.clone(), Approval::Required).unwrap().applies());
        assert!(!Status::Pending.after(supersede, Approval::Required).unwrap().applies());
    }
}
