//! Writes decisions down: what the caller is told, and the events that are the audit record.

use crate::fields::Definition;
use crate::ids::{FieldName, PlanId, StepId, Version};
use crate::plan::policy::{AnchorKey, MigrationScenario};
use crate::reconcile::chain::Chain;
use crate::reconcile::checkpoint;
use crate::reconcile::gap_fill::GapFill;
use crate::reconcile::landing::{Ground, Landing};
use crate::reconcile::past::Past;
use crate::reconcile::relocate::{self, Place as Relocation};
use crate::reconcile::replay::Route;
use crate::reconcile::{Action, Decision, Reconciliation, Situation};
use crate::scenario::graph::{Graph, Ix};
use crate::session::Session;
use crate::session::event::{
    CheckpointBlock, Event, FieldsFilled, FieldsFound, Filled, Migration, MigrationApplied,
    MigrationSettled, MigrationWaits, Place,
};

/// A migration whose landing is known.
pub(super) struct Case<'a> {
    pub situation: &'a Situation<'a>,
    pub chain: &'a Chain<'a>,
    pub landing: &'a Landing,
    pub past: Option<Past<'a>>,
}

const GOODBYE: &str = "This conversation cannot go on where it was left, because what it was about has \
                       changed in the meantime. Please start again, we are happy to help.";

/// The operator lets the sessions at this step stay on their version.
pub(super) fn kept(situation: &Situation<'_>, chain: &Chain<'_>, own: &Graph) -> Decision {
    let session = situation.session;
    let step = own.index(&session.step_id).map_or("its step", |ix| &own.step(ix).name);
    let reason = format!(
        "The plan leaves sessions at \"{step}\" on the version that they follow \
         (update_downstream is false), so this one goes on in version {}.",
        session.version,
    );
    settled(
        Draft::of(session, chain),
        Reconciliation {
            teleport_reason: Some("update_downstream_false".to_owned()),
            anchor_hash: Some(chain.anchor().clone()),
            reason: Some(reason),
            ..Reconciliation::default()
        },
    )
}

/// A passed checkpoint forbids the move.
pub(super) fn blocked(
    case: &Case<'_>,
    route: &Route,
    gap_fill: &GapFill<'_>,
    block: &CheckpointBlock,
) -> Decision {
    let Case { situation, chain, landing, .. } = case;
    let reason = format!(
        "{} That would undo what is irreversible, so the session stays on version {}.",
        why(landing, route, gap_fill),
        situation.session.version,
    );
    let mut draft = Draft::of(situation.session, chain);
    draft.checkpoint_block = Some(block.clone());
    settled(
        draft,
        Reconciliation {
            blocked_by_checkpoint: true,
            checkpoint_warning: Some(checkpoint::warning(block, &landing.target)),
            migration_scenario: Some(scenario(route)),
            anchor_hash: Some(landing.anchor.clone()),
            reason: Some(reason),
            ..Reconciliation::default()
        },
    )
}

fn settled(draft: Draft<'_>, result: Reconciliation) -> Decision {
    let migration = draft.migration(&result);
    Decision { events: vec![MigrationSettled { migration }.into()], result, ..Decision::default() }
}

/// The customer or the caller has to do something first.
pub(super) fn waits(case: &Case<'_>, gap_fill: &GapFill<'_>, due: &[StepId]) -> Decision {
    let Case { situation, chain, landing, .. } = case;
    let asks = gap_fill.must_ask();
    let execute = if asks { Vec::new() } else { due.to_vec() };
    let mut events = learned(gap_fill);
    if !gap_fill.found.is_empty() {
        events.push(FieldsFound { unconfirmed: gap_fill.found.clone() }.into());
    }
    events.push(
        MigrationWaits {
            plan_ids: chain.plan_ids(),
            collect_fields: gap_fill.ask.iter().cloned().collect(),
            execute_action_ids: execute.clone(),
        }
        .into(),
    );
    let target = &landing.target;
    let reason = if asks {
        let mut fields: Vec<&str> = gap_fill.ask.iter().map(FieldName::as_str).collect();
        fields.extend(gap_fill.confirm.iter().map(|confirm| confirm.field.as_str()));
        format!(
            "Version {} needs {} of this customer before \"{}\"; it is neither in the profile nor \
             surely said.{}",
            target.scenario().version,
            fields.join(", "),
            target.step(landing.place).name,
            unhelped(gap_fill),
        )
    } else {
        let names: Vec<String> = due
            .iter()
            .filter_map(|id| target.index(id))
            .map(|ix| format!("\"{}\"", target.step(ix).name))
            .collect();
        format!(
            "Version {} requires the action of {} before \"{}\".",
            target.scenario().version,
            names.join(", "),
            target.step(landing.place).name,
        )
    };
    let result = Reconciliation {
        action: if asks { Action::Collect } else { Action::ExecuteAction },
        collect_fields: gap_fill.ask.clone(),
        confirm: gap_fill.confirm.clone(),
        user_message: asks.then(|| question(situation, chain, gap_fill)),
        execute_action_ids: execute,
        migration_scenario: Some(MigrationScenario::GapFill),
        anchor_hash: Some(landing.anchor.clone()),
        reason: Some(reason),
        ..Reconciliation::default()
    };
    let profile_writes = gap_fill.profile_writes();
    Decision { result, events, profile_writes, claims: gap_fill.claims }
}

/// Why a language model was no help, if it was none.
fn unhelped(gap_fill: &GapFill<'_>) -> String {
    if gap_fill.unhelped.is_empty() {
        return String::new();
    }
    let each = gap_fill.unhelped.iter().map(|(field, why)| format!("{field} ({why})"));
    format!(" The language model was no help with {}.", each.collect::<Vec<_>>().join(", "))
}

/// What to tell the customer who is asked.
fn question(situation: &Situation<'_>, chain: &Chain<'_>, gap_fill: &GapFill<'_>) -> String {
    let name = |field: &FieldName| {
        let definition = situation.definitions.get(field);
        definition.map_or(field.as_str(), Definition::label).to_owned()
    };
    let own_words = match &gap_fill.ask[..] {
        [only] => situation.definitions.get(only).and_then(|of| of.collection_prompt.clone()),
        _ => None,
    };
    let mut parts = Vec::new();
    if let Some(prompt) = own_words {
        parts.push(prompt);
    } else if !gap_fill.ask.is_empty() {
        let fields: Vec<String> = gap_fill.ask.iter().map(name).collect();
        let what = if chain.is_composite() { "collect" } else { "collect some information" };
        parts.push(format!("Before we continue, I need to {what}: {}", fields.join(", ")));
    }
    if !gap_fill.confirm.is_empty() {
        let values: Vec<String> = gap_fill
            .confirm
            .iter()
            .map(|confirm| match &confirm.value {
                serde_json::Value::String(text) => format!("{}: {text}", name(&confirm.field)),
                value => format!("{}: {value}", name(&confirm.field)),
            })
            .collect();
        parts.push(format!("Before we continue, is this right? {}", values.join(", ")));
    }
    parts.join("\n")
}

/// The session moves.
pub(super) fn moved(
    case: &Case<'_>,
    route: &Route,
    gap_fill: &GapFill<'_>,
    warned: Option<&CheckpointBlock>,
) -> Decision {
    let Case { situation, chain, landing, past } = case;
    let session = situation.session;
    let target = &landing.target;
    let to = match route {
        Route::ReRoutes { to, .. } => *to,
        Route::Arrives { .. } | Route::Lacks => landing.place,
    };
    let redirected = matches!(route, Route::ReRoutes { .. });
    let teleport_reason = if redirected {
        "re_route".to_owned()
    } else if landing.ground == Ground::Nearest {
        "deleted_step".to_owned()
    } else if chain.is_composite() {
        format!("composite_v{}_to_v{}", session.version, chain.target())
    } else {
        name(scenario(route)).to_owned()
    };
    let notify = redirected && situation.config.re_routing.notify_user;
    let result = Reconciliation {
        action: Action::Teleport,
        target_step_id: Some(target.step(to).id.clone()),
        teleport_reason: Some(teleport_reason),
        user_message: notify.then(|| situation.config.re_routing.notification_template.clone()),
        checkpoint_warning: warned.map(|block| checkpoint::warning(block, target)),
        migration_scenario: Some(scenario(route)),
        anchor_hash: Some(landing.anchor.clone()),
        reason: Some(why(landing, route, gap_fill)),
        ..Reconciliation::default()
    };
    let (renamed, gone) = match (past, landing.diff()) {
        (Some(past), Some(diff)) => past.retold(diff),
        (None, _) | (_, None) => relocate::past(session, target),
    };
    let made_up = match route {
        Route::Arrives { missed, .. } | Route::ReRoutes { missed, .. } => missed.as_slice(),
        Route::Lacks => &[],
    };
    let made_up = made_up
        .iter()
        .filter(|ix| target.step(**ix).is_required_action)
        .map(|ix| Place::of(target, *ix))
        .collect();
    let mut draft = Draft::of(session, chain);
    draft.fields_filled.clone_from(&gap_fill.filled);
    draft.checkpoint_block = warned.cloned();
    let mut events = learned(gap_fill);
    events.push(
        MigrationApplied {
            migration: draft.migration(&result),
            place: Some(Place::of(target, to)),
            scenario_checksum: target.checksum(),
            renamed,
            gone,
            made_up,
        }
        .into(),
    );
    let profile_writes = gap_fill.profile_writes();
    Decision { result, events, profile_writes, claims: gap_fill.claims }
}

/// The target is not at hand, and the session stands on the current version: it waits there.
pub(super) fn unreachable(chain: &Chain<'_>) -> Decision {
    let reason = format!("Version {} is not at hand; the session stays.", chain.target());
    Decision {
        result: Reconciliation { reason: Some(reason), ..Reconciliation::default() },
        ..Decision::default()
    }
}

/// A session is placed on the current version without a plan that knows the way. `own` is its own
/// version, if that is at hand: then it can stay there instead of leaving the scenario.
pub(super) fn relocated(
    situation: &Situation<'_>,
    plan_ids: &[PlanId],
    own: Option<&Graph>,
) -> Decision {
    let Situation { session, current, .. } = *situation;
    let (to, teleport_reason, reason) = match relocate::place(session, current) {
        Relocation::Same(ix) => {
            (ix, "fallback_hash_match", "the step that means what the session's step means")
        }
        Relocation::Visited(ix) => {
            (ix, "fallback_visited_anchor", "the last visited step that still exists")
        }
        Relocation::Entry(ix) => (ix, "fallback_entry", "the start, because no past is known"),
        Relocation::Nowhere(block) => return nowhere(situation, plan_ids, own, block),
    };
    let reason = format!(
        "{} The session goes on in version {} at \"{}\": {reason}.",
        no_way(session, own),
        current.scenario().version,
        current.step(to).name,
    );
    let result = Reconciliation {
        action: Action::Teleport,
        target_step_id: Some(current.step(to).id.clone()),
        teleport_reason: Some(teleport_reason.to_owned()),
        reason: Some(reason),
        ..Reconciliation::default()
    };
    let (renamed, gone) = relocate::past(session, current);
    let draft = Draft::relocation(session, plan_ids, current);
    let event = MigrationApplied {
        migration: draft.migration(&result),
        place: Some(Place::of(current, to)),
        scenario_checksum: current.checksum(),
        renamed,
        gone,
        made_up: Vec::new(),
    };
    Decision { result, events: vec![event.into()], ..Decision::default() }
}

fn nowhere(
    situation: &Situation<'_>,
    plan_ids: &[PlanId],
    own: Option<&Graph>,
    block: Option<CheckpointBlock>,
) -> Decision {
    let Situation { session, current, .. } = *situation;
    let mut draft = Draft::relocation(session, plan_ids, current);
    draft.checkpoint_block.clone_from(&block);
    let what = match &block {
        Some(_) => "every place that it has visited lies before a checkpoint that it has passed",
        None => "it has visited nothing that still exists",
    };
    let mut result = Reconciliation {
        blocked_by_checkpoint: block.is_some(),
        checkpoint_warning: block.as_ref().map(|block| checkpoint::warning(block, current)),
        ..Reconciliation::default()
    };
    if own.is_some() {
        result.reason = Some(format!(
            "Version {} has no place for the session: {what}. It goes on in version {}.",
            current.scenario().version,
            session.version,
        ));
        return settled(draft, result);
    }
    result.action = Action::ExitScenario;
    result.user_message = Some(GOODBYE.to_owned());
    result.reason = Some(format!(
        "{} Version {} has no place for the session: {what}.",
        no_way(session, own),
        current.scenario().version,
    ));
    let event = MigrationApplied {
        migration: draft.migration(&result),
        place: None,
        scenario_checksum: session.scenario_checksum,
        renamed: Vec::new(),
        gone: Vec::new(),
        made_up: Vec::new(),
    };
    Decision { result, events: vec![event.into()], ..Decision::default() }
}

fn no_way(session: &Session, own: Option<&Graph>) -> String {
    match own {
        Some(_) => format!("No way is known from version {} to the current one.", session.version),
        None => format!("Version {} is no longer at hand as the session knew it.", session.version),
    }
}

fn learned(gap_fill: &GapFill<'_>) -> Vec<Event> {
    if gap_fill.learned.is_empty() {
        return Vec::new();
    }
    vec![FieldsFilled { fields: gap_fill.learned.clone() }.into()]
}

fn scenario(route: &Route) -> MigrationScenario {
    match route {
        Route::Arrives { scenario, .. } => *scenario,
        Route::ReRoutes { .. } => MigrationScenario::ReRoute,
        Route::Lacks => MigrationScenario::GapFill,
    }
}

fn name(scenario: MigrationScenario) -> &'static str {
    match scenario {
        MigrationScenario::CleanGraft => "clean_graft",
        MigrationScenario::GapFill => "gap_fill",
        MigrationScenario::ReRoute => "re_route",
    }
}

/// Why a session goes where it goes, in words for people.
fn why(landing: &Landing, route: &Route, gap_fill: &GapFill<'_>) -> String {
    let target = &landing.target;
    let step = |ix: Ix| format!("\"{}\"", target.step(ix).name);
    let place = step(landing.place);
    let mut why = match route {
        Route::ReRoutes { to, fork, .. } => format!(
            "At {} a rule of version {} leads to {}.",
            step(*fork),
            version(target),
            step(*to)
        ),
        Route::Arrives { .. } | Route::Lacks if landing.ground == Ground::Nearest => format!(
            "The session's step is not in version {}; {place} is the closest one that is.",
            version(target)
        ),
        Route::Arrives { missed, .. } if !missed.is_empty() => {
            let steps: Vec<String> = missed.iter().map(|ix| step(*ix)).collect();
            format!("New before {place}: {}. Everything that they ask is known.", steps.join(", "))
        }
        Route::Arrives { .. } | Route::Lacks => {
            format!("Nothing new before {place} concerns this customer.")
        }
    };
    if !gap_fill.undecided.is_empty() {
        why.push_str(&format!(" Not decided: {}.", gap_fill.undecided.join("; ")));
    }
    why
}

fn version(graph: &Graph) -> Version {
    graph.scenario().version
}

/// A migration's record under way.
struct Draft<'a> {
    session: &'a Session,
    plan_ids: Vec<PlanId>,
    to_version: Version,
    anchor: Option<AnchorKey>,
    fields_filled: Vec<Filled>,
    checkpoint_block: Option<CheckpointBlock>,
}

impl<'a> Draft<'a> {
    fn of(session: &'a Session, chain: &Chain<'_>) -> Self {
        Self {
            session,
            plan_ids: chain.plan_ids(),
            to_version: chain.target(),
            anchor: Some(chain.anchor().clone()),
            fields_filled: Vec::new(),
            checkpoint_block: None,
        }
    }

    fn relocation(session: &'a Session, plan_ids: &[PlanId], current: &Graph) -> Self {
        Self {
            session,
            plan_ids: plan_ids.to_vec(),
            to_version: current.scenario().version,
            anchor: None,
            fields_filled: Vec::new(),
            checkpoint_block: None,
        }
    }

    fn migration(self, result: &Reconciliation) -> Migration {
        let here = &self.session.step_id;
        Migration {
            plan_ids: self.plan_ids,
            from_version: self.session.version,
            to_version: self.to_version,
            migration_scenario: result.migration_scenario,
            anchor: self.anchor,
            step_before: here.clone(),
            step_after: result.target_step_id.as_ref().unwrap_or(here).clone(),
            action: result.action,
            teleport_reason: result.teleport_reason.clone(),
            fields_filled: self.fields_filled,
            fields_asked: self.session.fields_asked.clone(),
            checkpoint_block: self.checkpoint_block,
            reason: result.reason.clone().unwrap_or_default(),
            duration_ms: None,
        }
    }
}
