//! What becomes of one session, told from the decision about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fields::Source;
use crate::ids::{FieldName, PlanId, StepId};
use crate::plan::deployed::Deployed;
use crate::plan::policy::MigrationScenario;
use crate::reconcile::{Action, Decision, Reconciliation};
use crate::session::Session;
use crate::session::event::{Event, Migration};

/// What becomes of a session by a plan, as far as sessions are told apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ForecastOutcome))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing: it goes on as it is.
    Unaffected {
        /// Why.
        because: Unaffected,
    },
    /// Something, but by other plans or by none: its own version is gone, for example.
    OtherPlans,
    /// It goes on in the new version, and its customer notices nothing.
    CleanGraft {
        /// The step where it goes on.
        to: StepId,
    },
    /// The same, with values that it missed and that are known.
    GapFill {
        /// The step where it goes on.
        to: StepId,
        /// The fields, and where their values are found.
        filled: BTreeMap<FieldName, Source>,
    },
    /// The customer is asked before it moves.
    Asked {
        /// The fields that they are asked for.
        fields: BTreeSet<FieldName>,
        /// The fields whose value, found in the conversation, they are asked to confirm.
        confirm: BTreeSet<FieldName>,
    },
    /// Actions must be run before it moves.
    ActionDue {
        /// The steps whose action that is.
        steps: BTreeSet<StepId>,
    },
    /// A new rule sends it elsewhere.
    Redirected {
        /// Where it stands.
        from: StepId,
        /// Where it goes on.
        to: StepId,
    },
    /// A checkpoint that was passed forbids the move; it keeps its version.
    Blocked {
        /// Where it stands.
        from: StepId,
        /// Where it was to go.
        to: StepId,
        /// The checkpoint's name.
        checkpoint: String,
    },
    /// Its step is gone; it goes on at the closest one.
    Relocated {
        /// Where it stands.
        from: StepId,
        /// Where it goes on.
        to: StepId,
    },
    /// The plan lets it keep its version.
    Kept {
        /// Where it stands.
        at: StepId,
    },
    /// There is no place for it; the customer is let go.
    Exits {
        /// Where it stands.
        from: StepId,
    },
    /// One of more outcomes than are told apart.
    Rest {
        /// Of this kind.
        of: Kind,
    },
}

/// Why a plan leaves a session alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ForecastUnaffected))]
#[serde(rename_all = "snake_case")]
pub enum Unaffected {
    /// It walks a version that the plan does not lead from.
    OtherVersion,
    /// The scope that an operator set leaves it out.
    OutOfScope,
    /// Plans mark no existing sessions, or sessions are not migrated at all: the settings say so.
    NotMarked,
}

/// The kinds of outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ForecastKind))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// [`Outcome::Unaffected`].
    Unaffected,
    /// [`Outcome::OtherPlans`].
    OtherPlans,
    /// [`Outcome::CleanGraft`].
    CleanGraft,
    /// [`Outcome::GapFill`].
    GapFill,
    /// [`Outcome::Asked`].
    Asked,
    /// [`Outcome::ActionDue`].
    ActionDue,
    /// [`Outcome::Redirected`].
    Redirected,
    /// [`Outcome::Blocked`].
    Blocked,
    /// [`Outcome::Relocated`].
    Relocated,
    /// [`Outcome::Kept`].
    Kept,
    /// [`Outcome::Exits`].
    Exits,
}

impl Kind {
    /// Every kind, in the order in which operators are shown them.
    pub const ALL: [Self; 11] = [
        Self::CleanGraft,
        Self::GapFill,
        Self::Asked,
        Self::ActionDue,
        Self::Redirected,
        Self::Relocated,
        Self::Blocked,
        Self::Kept,
        Self::Exits,
        Self::OtherPlans,
        Self::Unaffected,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unaffected => "unaffected",
            Self::OtherPlans => "other_plans",
            Self::CleanGraft => "clean_graft",
            Self::GapFill => "gap_fill",
            Self::Asked => "asked",
            Self::ActionDue => "action_due",
            Self::Redirected => "redirected",
            Self::Blocked => "blocked",
            Self::Relocated => "relocated",
            Self::Kept => "kept",
            Self::Exits => "exits",
        }
    }

    /// Whether the session goes on without a word to its customer, and without anything that stops it.
    #[must_use]
    pub fn is_silent(self) -> bool {
        match self {
            Self::Unaffected | Self::CleanGraft | Self::GapFill => true,
            Self::OtherPlans
            | Self::Kept
            | Self::Blocked
            | Self::Asked
            | Self::ActionDue
            | Self::Redirected
            | Self::Relocated
            | Self::Exits => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Outcome {
    /// What a decision about a session means for a plan. `marks` says whether the settings let plans apply to
    /// existing sessions at all.
    #[must_use]
    pub fn of_decision(
        decision: &Decision,
        session: &Session,
        plan: &Deployed,
        marks: Marks,
    ) -> Self {
        for event in &decision.events {
            let (plans, outcome) = match event {
                Event::MigrationApplied(applied) => {
                    let migration = &applied.migration;
                    (&migration.plan_ids, Self::of_migration(migration))
                }
                Event::MigrationSettled(settled) => {
                    let migration = &settled.migration;
                    (&migration.plan_ids, Self::of_migration(migration))
                }
                Event::MigrationWaits(waits) => {
                    (&waits.plan_ids, Self::of_waiting(&decision.result))
                }
                Event::SessionStarted(_)
                | Event::TurnTaken(_)
                | Event::FieldsFilled(_)
                | Event::FieldsFound(_)
                | Event::StepEntered(_)
                | Event::SessionFinished(_) => continue,
            };
            return if plans.contains(&plan.plan_id) { outcome } else { Self::OtherPlans };
        }
        let because = match marks {
            Marks::Nobody => Unaffected::NotMarked,
            Marks::Sessions if session.version == plan.from_version => Unaffected::OutOfScope,
            Marks::Sessions => Unaffected::OtherVersion,
        };
        Self::Unaffected { because }
    }

    /// What a migration that moved or settled a session was for it.
    #[must_use]
    pub fn of_migration(migration: &Migration) -> Self {
        let (from, to) = (migration.step_before.clone(), migration.step_after.clone());
        match migration.action {
            Action::ExitScenario => Self::Exits { from },
            Action::Teleport if migration.teleport_reason.as_deref() == Some("deleted_step") => {
                Self::Relocated { from, to }
            }
            Action::Teleport => match migration.migration_scenario {
                None => Self::Relocated { from, to },
                Some(MigrationScenario::CleanGraft) => Self::CleanGraft { to },
                Some(MigrationScenario::GapFill) => {
                    let filled = migration.fields_filled.iter();
                    let filled = filled.map(|one| (one.field.clone(), one.source)).collect();
                    Self::GapFill { to, filled }
                }
                Some(MigrationScenario::ReRoute) => Self::Redirected { from, to },
            },
            // A migration that waits is no event of this kind; what neither moves nor is blocked stays.
            Action::Continue | Action::Collect | Action::ExecuteAction => {
                match &migration.checkpoint_block {
                    Some(block) => Self::Blocked {
                        from,
                        to: block.target_step_id.clone(),
                        checkpoint: block.checkpoint_name.clone(),
                    },
                    None => Self::Kept { at: from },
                }
            }
        }
    }

    /// What a customer or a caller who has to do something first was told.
    #[must_use]
    pub fn of_waiting(told: &Reconciliation) -> Self {
        if told.action == Action::ExecuteAction {
            return Self::ActionDue { steps: told.execute_action_ids.iter().cloned().collect() };
        }
        Self::Asked {
            fields: told.collect_fields.iter().cloned().collect(),
            confirm: told.confirm.iter().map(|confirm| confirm.field.clone()).collect(),
        }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Unaffected { .. } => Kind::Unaffected,
            Self::OtherPlans => Kind::OtherPlans,
            Self::CleanGraft { .. } => Kind::CleanGraft,
            Self::GapFill { .. } => Kind::GapFill,
            Self::Asked { .. } => Kind::Asked,
            Self::ActionDue { .. } => Kind::ActionDue,
            Self::Redirected { .. } => Kind::Redirected,
            Self::Blocked { .. } => Kind::Blocked,
            Self::Relocated { .. } => Kind::Relocated,
            Self::Kept { .. } => Kind::Kept,
            Self::Exits { .. } => Kind::Exits,
            Self::Rest { of } => *of,
        }
    }

    /// Whether the other one is what this one foresaw: the same, or of the same kind where more is not known.
    #[must_use]
    pub fn foresaw(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Rest { of }, other) | (other, Self::Rest { of }) => *of == other.kind(),
            (
                Self::Unaffected { .. }
                | Self::OtherPlans
                | Self::CleanGraft { .. }
                | Self::GapFill { .. }
                | Self::Asked { .. }
                | Self::ActionDue { .. }
                | Self::Redirected { .. }
                | Self::Blocked { .. }
                | Self::Relocated { .. }
                | Self::Kept { .. }
                | Self::Exits { .. },
                other,
            ) => self == other,
        }
    }

    /// About how many bytes it takes to keep.
    pub(super) fn weight(&self) -> usize {
        let steps = |steps: &[&StepId]| steps.iter().map(|step| step.as_str().len()).sum::<usize>();
        let fields = |fields: &BTreeSet<FieldName>| -> usize {
            fields.iter().map(|field| 8 + field.as_str().len()).sum()
        };
        64 + match self {
            Self::Unaffected { .. } | Self::OtherPlans | Self::Rest { .. } => 0,
            Self::CleanGraft { to: one } | Self::Kept { at: one } | Self::Exits { from: one } => {
                steps(&[one])
            }
            Self::GapFill { to, filled } => {
                let filled = filled.keys().map(|field| 24 + field.as_str().len());
                steps(&[to]) + filled.sum::<usize>()
            }
            Self::Asked { fields: asked, confirm } => fields(asked) + fields(confirm),
            Self::ActionDue { steps: due } => due.iter().map(|step| 8 + step.as_str().len()).sum(),
            Self::Redirected { from, to } | Self::Relocated { from, to } => steps(&[from, to]),
            Self::Blocked { from, to, checkpoint } => steps(&[from, to]) + checkpoint.len(),
        }
    }
}

/// Whether plans apply to sessions that exist when they are deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// They do.
    Sessions,
    /// They only lead new sessions to the new version.
    Nobody,
}

/// Why nothing happens to a session by a plan, in words for people.
#[must_use]
pub fn nothing_happens(because: Unaffected, plan: PlanId) -> String {
    match because {
        Unaffected::OtherVersion => {
            format!("Plan {plan} does not lead from the version that the session walks.")
        }
        Unaffected::OutOfScope => {
            "The scope of the plan leaves the session out; it goes on as it is.".to_owned()
        }
        Unaffected::NotMarked => {
            "The settings let no plan apply to sessions that exist when it is \
                                  deployed; it goes on as it is."
                .to_owned()
        }
    }
}
