//! What is kept of a move beside the route: what was wished, tried, found and shown. Nothing that keeps data
//! safe depends on it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{VerificationLevel, Why};
use crate::ids::{Position, SubscriptionName};

/// How many cutovers are kept, the last ones.
const CUTOVERS: usize = 20;

/// What is kept of a move.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Journal {
    /// Who wants to cut over, if somebody does.
    pub wish: Option<Wish>,
    /// The cutovers that were tried, the last one last.
    pub cutovers: Vec<Cutover>,
    /// The last verification, whoever asked for it.
    pub verification: Option<Verified>,
    /// What a cutover relies on.
    pub proof: Option<Proof>,
    /// What stands in the way, while the move has failed or was not let cut over.
    pub error: Option<Obstacle>,
    /// Which databases the two stores were when the move began.
    pub incarnations: Option<Incarnations>,
    /// What the commit did to subscriptions.
    pub subscriptions: Option<Vec<SubscriptionMigration>>,
    /// Why the move was aborted.
    pub abort_reason: Option<String>,
}

/// A wish to cut over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Whether the verification of the whole history is passed over.
    pub force: bool,
    /// Who wishes it.
    pub by: String,
    /// Since when.
    pub at: Timestamp,
}

/// A cutover that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cutover {
    /// Its number, from 1.
    pub attempt: u32,
    /// When it was decided.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub began_at: Timestamp,
    /// Why it was given up; null if it was not.
    pub gave_up: Option<Why>,
    /// From the fence to the decision, in milliseconds, as the coordinator measured it; null when another
    /// one ended it.
    pub pause_ms: Option<f64>,
    /// How many events were copied during the pause.
    pub events_drained: u64,
}

/// A verification of a whole history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Verified {
    /// What was compared.
    pub level: VerificationLevel,
    /// How many of the events were compared field by field, in percent.
    pub sample_percentage: f64,
    /// Up to where.
    pub position: Position,
    /// Whether nothing differs.
    pub is_consistent: bool,
    /// What differs: the first few, for people.
    pub violations: Vec<String>,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
}

/// That the whole history was compared before a cutover.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// What was found.
    pub verified: Verified,
    /// The wish that it was made for, by its moment; nothing when the move cuts over by itself.
    pub wished_at: Option<Timestamp>,
}

/// Something that stands in the way of a move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Obstacle {
    /// What it is, for people.
    pub message: String,
    /// Whether the move may go on when that is mended.
    pub recoverable: bool,
    /// What to do.
    pub suggested_action: Option<String>,
    /// Since when.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
}

/// Which databases two stores are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incarnations {
    /// The source.
    pub source: String,
    /// The target.
    pub target: String,
}

/// What a move means for a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SubscriptionMigration {
    /// Its name.
    pub subscription_name: SubscriptionName,
    /// How far it has come in the source.
    pub current_position: Position,
    /// Where it goes on in the target.
    pub planned_target_position: Position,
    /// Whether that is the very same place, or one before it.
    pub is_exact: bool,
    /// How many events it has not acknowledged.
    pub lag: u64,
}

/// Something to keep.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// Somebody wants to cut over.
    Wished(Wish),
    /// Nobody does any more.
    WishDropped,
    /// A cutover ended.
    CutOver(Cutover),
    /// The copy was verified.
    Verified(Verified),
    /// The history was compared for a cutover.
    Proved(Proof),
    /// What was compared is not there any more.
    Disproved,
    /// Something stands in the way.
    Obstructed(Obstacle),
    /// Nothing stands in the way any more.
    Clear,
    /// Both stores were looked at.
    Incarnations(Incarnations),
    /// The commit took subscriptions along.
    Subscriptions(Vec<SubscriptionMigration>),
    /// The move is aborted.
    Aborted(String),
}

impl Journal {
    /// What was found when the history was compared for the cutover that is wanted now.
    #[must_use]
    pub fn proof(&self) -> Option<&Verified> {
        let wished_at = self.wish.as_ref().map(|wish| wish.at);
        let proof = self.proof.as_ref().filter(|proof| proof.wished_at == wished_at);
        proof.map(|proof| &proof.verified)
    }

    /// Whether nothing but its distance keeps the copy from becoming the owner.
    #[must_use]
    pub fn is_ready(&self, auto_cutover: bool) -> bool {
        let is_proved = self.proof().is_some_and(|found| found.is_consistent);
        match &self.wish {
            Some(wish) => wish.force || is_proved,
            None => auto_cutover && is_proved,
        }
    }

    /// Keeps something.
    pub fn enter(&mut self, entry: Entry) {
        match entry {
            Entry::Wished(wish) => self.wish = Some(wish),
            Entry::WishDropped => self.wish = None,
            Entry::CutOver(cutover) => {
                // What is known better afterwards replaces what was known before.
                self.cutovers.retain(|known| known.attempt != cutover.attempt);
                self.cutovers.push(cutover);
                let surplus = self.cutovers.len().saturating_sub(CUTOVERS);
                self.cutovers.drain(..surplus);
            }
            Entry::Verified(verified) => self.verification = Some(verified),
            Entry::Proved(proof) => self.proof = Some(proof),
            Entry::Disproved => self.proof = None,
            Entry::Obstructed(obstacle) => self.error = Some(obstacle),
            Entry::Clear => self.error = None,
            Entry::Incarnations(incarnations) => self.incarnations = Some(incarnations),
            Entry::Subscriptions(migrated) => self.subscriptions = Some(migrated),
            Entry::Aborted(reason) => self.abort_reason = Some(reason),
        }
    }
}
