//! Just-in-time reconciliation: what becomes of a session at its customer's next message.
//!
//! Before a turn is processed, a session that stands on an old version is brought to the version that
//! the deployed plans lead to. Nothing was written to it at the deploy; everything is decided here, from
//! the session's own past and the data at hand:
//!
//! 1. [`chain`] finds the deployed plans that admit the session, one after the other: the target
//!    version. None: the session goes on where it is; if its own version is gone, [`relocate`] finds it
//!    a place on the current one.
//! 2. [`replay`] walks the target version from the entry towards the session's step along the session's
//!    own past, and tells which new steps the customer really missed, and whether a new fork leads them
//!    elsewhere. Where the walk cannot decide, it takes what the diff says of everyone at that step,
//!    which can only ask for more.
//! 3. [`checkpoint`] forbids every move that would undo what is irreversible. A forbidden move is
//!    settled for good: the session stays, and these plans do not try again.
//! 4. [`gap_fill`] looks for the missed data in the profile, the session and the conversation; what is
//!    not found is asked, what is not sure is confirmed, and what must be done first is named. Until
//!    then the migration waits, and the next turn decides again from the facts then at hand.
//! 5. The move is an event that carries its own audit record.
//!
//! All of it is a pure function of the [`Situation`]. Where it needs an answer from outside (a judge of
//! natural language, an external extractor) it returns what it [`Need`]s, and is called again with it.

pub mod advice;
pub mod chain;
pub mod checkpoint;
pub mod evidence;
pub mod gap_fill;
pub mod landing;
mod outcome;
pub mod past;
pub mod relocate;
pub mod replay;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config;
use crate::diff::{Diff, Mapping};
use crate::fields::{Definitions, Known, Profile};
use crate::ids::{FieldName, PlanId, StepId, Version};
use crate::plan::deployed::Deployed;
use crate::plan::policy::{AnchorKey, MigrationScenario};
use crate::reconcile::advice::{Advice, Claims};
use crate::reconcile::chain::Chain;
pub use crate::reconcile::chain::pending;
use crate::reconcile::gap_fill::GapFill;
use crate::reconcile::landing::{Ground, Landing, MappedAnchor};
use crate::reconcile::past::Past;
use crate::reconcile::replay::Route;
use crate::scenario::graph::Graph;
use crate::session::event::Event;
use crate::session::{Extracted, Session};

/// What a caller is told to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing happened, or nothing that the customer notices.
    #[default]
    Continue,
    /// The session moved to `target_step_id` of another version.
    Teleport,
    /// The customer must be asked before the session can move.
    Collect,
    /// Actions must be run and reported done before the session can move.
    ExecuteAction,
    /// There is no place for the session; the customer is let go with `user_message`.
    ExitScenario,
}

/// What became of a pending migration in a turn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reconciliation {
    /// What to do.
    pub action: Action,
    /// Where the session moved.
    pub target_step_id: Option<StepId>,
    /// The short reason: `clean_graft`, `gap_fill`, `re_route`, `composite_v1_to_v3`, `deleted_step`,
    /// `update_downstream_false`, `fallback_hash_match`, `fallback_visited_anchor`, `fallback_entry`.
    pub teleport_reason: Option<String>,
    /// Fields to ask the customer for.
    pub collect_fields: Vec<FieldName>,
    /// Values to ask the customer about; answered by `confirmations`.
    pub confirm: Vec<Confirm>,
    /// Steps of the target version whose action is to be run; answered by `actions_done`.
    pub execute_action_ids: Vec<StepId>,
    /// What to tell the customer.
    pub user_message: Option<String>,
    /// Whether a passed checkpoint forbade the move.
    pub blocked_by_checkpoint: bool,
    /// Which checkpoint, which move, and why it is forbidden.
    pub checkpoint_warning: Option<String>,
    /// What the migration is for this session.
    pub migration_scenario: Option<MigrationScenario>,
    /// The anchor where the session stood.
    pub anchor_hash: Option<AnchorKey>,
    /// Why, in words for people.
    pub reason: Option<String>,
}

/// A value that was found in the conversation and is not sure enough to be used unasked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Confirm {
    /// The field.
    pub field: FieldName,
    /// The value found.
    pub value: Value,
    /// From 0 to 1.
    pub confidence: f64,
    /// The customer's words.
    pub source_quote: String,
}

/// The mark of a session that a deployed plan concerns; derived, never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PendingMigration {
    /// The version that the plans lead to.
    pub target_version: Version,
    /// The anchor where the session stands, or the content hash of its deleted step.
    pub anchor_content_hash: AnchorKey,
    /// The first plan that applies.
    pub migration_plan_id: PlanId,
    /// When that plan was deployed.
    pub marked_at: Timestamp,
    /// All plans that are followed, in order.
    pub plan_ids: Vec<PlanId>,
}

/// The versions of one scenario and what lies between them. Implementations cache: a version never
/// changes, nor does the diff of two.
pub trait Archive {
    /// A version, if it is still archived.
    fn graph(&self, version: Version) -> Option<Arc<Graph>>;

    /// The diff of two archived versions, where these pairs of steps count as anchors as well because an
    /// operator accepted them.
    fn diff(&self, from: Version, to: Version, mappings: &[Mapping]) -> Option<Arc<Diff>>;

    /// The anchors of a plan whose map is still stored. Only asked for when the version that a session
    /// walks is gone, so that there is no diff.
    fn map(&self, plan: PlanId) -> Option<Arc<[MappedAnchor]>> {
        let _ = plan;
        None
    }
}

/// The answers of a judge of natural language, by the text of the condition; nothing where it could not
/// say.
pub type Judgements = BTreeMap<String, Option<bool>>;

/// The answers of an external extractor by field; nothing where it found nothing or failed.
pub type Extractions = BTreeMap<FieldName, Option<Extracted>>;

/// Who finds values in the conversation.
#[derive(Debug, Clone, Copy)]
pub enum Extractor<'a> {
    /// The embedded one, by field type.
    Embedded,
    /// An external one; what it was not asked yet is a [`Need`].
    External(&'a Extractions),
    /// The embedded one, and a language model for what it does not find. What the model claims is held
    /// against the customer's words, and is used with the customer's word only.
    Advised(&'a Advice),
}

/// Who judges conditions in natural language.
#[derive(Debug, Clone, Copy)]
pub enum Judge<'a> {
    /// Nobody: such conditions are unknown.
    Nobody,
    /// An external one; what it was not asked yet is a [`Need`].
    External(&'a Judgements),
    /// A language model, whose yes has to quote the customer.
    Advised(&'a Advice),
}

/// Everything that a decision depends on.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// The session, with what this turn brought already applied to it.
    pub session: &'a Session,
    /// What is known of the customer.
    pub profile: &'a Profile,
    /// The deployed plans of the session's scenario, in any order.
    pub plans: &'a [Deployed],
    /// The versions of the session's scenario.
    pub archive: &'a dyn Archive,
    /// The current version of the session's scenario.
    pub current: &'a Graph,
    /// The tenant's fields.
    pub definitions: &'a Definitions,
    /// The settings.
    pub config: &'a config::Migration,
    /// Who finds values in the conversation.
    pub extractor: Extractor<'a>,
    /// Who judges conditions in natural language.
    pub judge: Judge<'a>,
    /// When the turn is taken.
    pub now: Timestamp,
}

/// An answer from outside without which a decision cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// Judge these conditions over the conversation and what is known.
    Judge {
        /// Their texts.
        conditions: Vec<String>,
    },
    /// Look for these fields in the conversation.
    Extract {
        /// The fields.
        fields: Vec<FieldName>,
    },
}

/// What was decided.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// What the caller is told.
    pub result: Reconciliation,
    /// What happens to the session, in order.
    pub events: Vec<Event>,
    /// What is learned of the customer.
    pub profile_writes: BTreeMap<FieldName, Known>,
    /// What became of a language model's claims.
    pub claims: Claims,
}

/// Decides what becomes of a session, before its turn is processed.
///
/// # Errors
/// When an answer from outside is needed first.
pub fn reconcile(situation: &Situation<'_>) -> Result<Decision, Need> {
    let Situation { session, plans, archive, config, .. } = *situation;
    let own = archive
        .graph(session.version)
        .filter(|graph| graph.checksum() == session.scenario_checksum);
    let chain = if config.enabled { Chain::find(session, plans, archive) } else { None };
    let Some(chain) = chain else {
        return Ok(match own {
            Some(_) => Decision::default(),
            None => outcome::relocated(situation, &[], None),
        });
    };
    if !chain.updates_downstream() {
        if let Some(own) = own {
            return Ok(outcome::kept(situation, &chain, &own));
        }
        return Ok(outcome::relocated(situation, &chain.plan_ids(), None));
    }
    let landing = match &own {
        Some(_) => archive
            .diff(session.version, chain.target(), &chain.mappings(archive))
            .and_then(|diff| Landing::by_diff(session, diff)),
        None => Landing::by_maps(session, &chain, archive),
    };
    match landing {
        Some(landing) => migrate(situation, &chain, &landing),
        None if own.is_some() && situation.current.scenario().version == session.version => {
            Ok(outcome::unreachable(&chain))
        }
        None => Ok(outcome::relocated(situation, &chain.plan_ids(), own.as_deref())),
    }
}

/// Brings a session to where the plans want it: there, or to where a new rule leads, or not past a
/// checkpoint, or not yet.
fn migrate(
    situation: &Situation<'_>,
    chain: &Chain<'_>,
    landing: &Landing,
) -> Result<Decision, Need> {
    let Situation { session, config, .. } = *situation;
    let past = landing.diff().map(|diff| Past::of(session, diff.v1()));
    let case = outcome::Case { situation, chain, landing, past };
    let mut gap_fill = GapFill::new(situation);
    let mut bound = chain.forced().unwrap_or(landing.bound);
    if !config.re_routing.enabled {
        bound = bound.min(MigrationScenario::GapFill);
    }
    let route = replay::route(case.past.as_ref(), landing, bound, &mut gap_fill)?;
    let (to, is_own, missed) = match &route {
        Route::Arrives { missed, .. } => {
            (landing.place, landing.ground == Ground::Same, missed.as_slice())
        }
        Route::ReRoutes { to, missed, .. } => (*to, false, missed.as_slice()),
        Route::Lacks => return Ok(outcome::waits(&case, &gap_fill, &[])),
    };
    let block = if is_own {
        None
    } else {
        checkpoint::forbids(session, landing.diff(), &landing.target, to)
    };
    if let Some(block) = &block
        && config.checkpoints.block_teleport_past_checkpoint
    {
        return Ok(outcome::blocked(&case, &route, &gap_fill, block));
    }
    gap_fill.fill(&replay::collected(&landing.target, missed))?;
    let due: Vec<StepId> = missed
        .iter()
        .filter(|ix| landing.target.step(**ix).is_required_action)
        .filter(|ix| !landing.is_done(session, **ix))
        .map(|ix| landing.target.step(*ix).id.clone())
        .collect();
    if gap_fill.must_ask() || !due.is_empty() {
        return Ok(outcome::waits(&case, &gap_fill, &due));
    }
    Ok(outcome::moved(&case, &route, &gap_fill, block.as_ref()))
}
