//! A turn: what the caller brings, and where the session goes by its own rules.
//!
//! ```text
//! input -> applied to the session (fields, confirmations, actions, message)
//!       -> a pending migration is reconciled
//!       -> the session moves: to the step that the caller chose, or by itself
//!       -> the answer: where it went, what the step asks for
//! ```
//!
//! By itself a session moves on while the step's fields are known, its action is reported done, and
//! exactly one transition holds: the highest priority first, an empty condition always, `otherwise` when
//! nothing else does. A condition that nobody can evaluate yet stops it, and so do two transitions of
//! the same priority that both hold: it never guesses. It goes [`STEPS_PER_TURN`] steps at most. While a migration waits for the customer the
//! session does not move at all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fields::{Known, Source};
use crate::ids::{FieldName, StepId, Version};
use crate::reconcile::advice::Claims;
use crate::reconcile::evidence::{Evidence, Verdict};
use crate::reconcile::{self, Action, Decision, Need, Situation};
use crate::scenario::graph::{Edge, Graph, Ix};
use crate::session::event::{
    Answer, Event, Idempotency, Place, SessionFinished, StepEntered, TurnTaken,
};
use crate::session::{Message, Session, Status};

/// The most steps that a session moves on by itself in one turn; the next turn goes on from there. Each is
/// an event, and a turn's events must fit one append.
pub const STEPS_PER_TURN: usize = 500;

/// What a caller brings to a turn. Everything is optional: an empty turn only reconciles and moves on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Input {
    /// What the customer wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// Values that are known now; they set the session's variables and the customer's profile.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::HashMap<String, Value>))]
    pub fields: BTreeMap<FieldName, Value>,
    /// The customer's word on values that were found in the conversation.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::HashMap<String, bool>))]
    pub confirmations: BTreeMap<FieldName, bool>,
    /// Steps whose action the caller has run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions_done: Vec<StepId>,
    /// Where the caller's agent decided to go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_id: Option<StepId>,
}

/// Where the session went in a turn, and what the step where it stands asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepAnswer {
    /// The steps that the session came to by its own rules or the caller's choice, in order.
    pub entered_steps: Vec<StepId>,
    /// Fields that the session waits for where it stands.
    pub collect_fields: Vec<FieldName>,
    /// What to ask the customer, if something is to be asked.
    pub prompt: Option<String>,
}

/// Why a turn is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The session takes no more turns.
    #[error("the session takes no more turns: it is {}", .status.name())]
    NotActive {
        /// What it is.
        status: Status,
    },
    /// No transition leads to the step that the caller chose.
    #[error(
        "step `{step_id}` cannot be entered from `{from}` in version {version}; \
         a transition leads to: {}", list(.allowed)
    )]
    StepNotAllowed {
        /// The step that the caller chose.
        step_id: StepId,
        /// Where the session stands.
        from: StepId,
        /// The version that it walks.
        version: Version,
        /// The steps that may be chosen: where it stands, and where a transition leads.
        allowed: Vec<StepId>,
    },
}

fn list(steps: &[StepId]) -> String {
    steps.iter().map(|step| format!("`{step}`")).collect::<Vec<_>>().join(", ")
}

/// A turn to be decided.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// The session before the turn, and what the decision depends on.
    pub situation: Situation<'a>,
    /// What the caller brings.
    pub input: &'a Input,
    /// How a repetition of the request is recognised.
    pub idempotency: Option<&'a Idempotency>,
}

/// A decided turn: append the events, then answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// What to answer.
    pub answer: Answer,
    /// What happened, for one append.
    pub events: Vec<Event>,
    /// The session after these events, recorded at the turn's time: its new snapshot.
    pub session: Session,
    /// What was learned of the customer, if the session has one.
    pub profile_writes: BTreeMap<FieldName, Known>,
    /// What became of a language model's claims.
    pub claims: Claims,
}

/// What came of the attempt to decide a turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is decided.
    Taken(Box<Taken>),
    /// It needs an answer from outside first.
    Need(Need),
}

/// Decides a turn.
///
/// # Errors
/// When the session takes no more turns, or the caller chose a step that no transition leads to.
pub fn take(turn: &Turn<'_>) -> Result<Outcome, Refused> {
    let mut progress = Progress::begin(turn)?;
    let decision = match progress.reconcile(turn) {
        Ok(decision) => decision,
        Err(need) => return Ok(Outcome::Need(need)),
    };
    progress.reconciled(decision, turn);
    match progress.answer.reconciliation.action {
        Action::Collect | Action::ExecuteAction => progress.wait(turn),
        Action::ExitScenario => {}
        Action::Continue | Action::Teleport => match progress.walk(turn)? {
            Ok(()) => {}
            Err(need) => return Ok(Outcome::Need(need)),
        },
    }
    Ok(Outcome::Taken(Box::new(progress.finish())))
}

/// What is foreseen of a session.
#[derive(Debug, Clone, PartialEq)]
pub enum Foreseen {
    /// What its next turn would decide about its migration.
    Decided(Box<Decision>),
    /// It would need an answer from outside first.
    Need(Need),
}

/// Foresees what the session's next turn would make of its pending migration if the turn brought nothing: the
/// first half of [`take`], the very same. Where the session goes by its own rules after that is left out.
///
/// # Errors
/// When the session takes no more turns.
pub fn foresee(situation: &Situation<'_>) -> Result<Foreseen, Refused> {
    let turn = Turn { situation: *situation, input: &Input::default(), idempotency: None };
    let progress = Progress::begin(&turn)?;
    Ok(match progress.reconcile(&turn) {
        Ok(decision) => Foreseen::Decided(Box::new(decision)),
        Err(need) => Foreseen::Need(need),
    })
}

/// A turn under way: the events so far, and the session after them.
struct Progress {
    session: Session,
    events: Vec<Event>,
    answer: Answer,
    profile_writes: BTreeMap<FieldName, Known>,
    claims: Claims,
    now: jiff::Timestamp,
}

impl Progress {
    fn begin(turn: &Turn<'_>) -> Result<Self, Refused> {
        let Situation { session, now, config, .. } = turn.situation;
        match session.status {
            Status::Active => {}
            status @ (Status::Finished | Status::Exited | Status::Erased) => {
                return Err(Refused::NotActive { status });
            }
        }
        let mut progress = Self {
            session: session.clone(),
            events: Vec::new(),
            answer: Answer::default(),
            profile_writes: BTreeMap::new(),
            claims: Claims::default(),
            now,
        };
        progress.happen(TurnTaken {
            turn_number: session.turn_count + 1,
            input: turn.input.clone(),
            messages_kept: config.gap_fill.max_conversation_turns,
            idempotency: turn.idempotency.cloned(),
            answer: Answer::default(),
        });
        for field in turn.input.fields.keys().chain(turn.input.confirmations.keys()) {
            if let Some(known) = progress.session.variables.get(field)
                && matches!(known.source, Source::Given | Source::Confirmed)
                && known.updated_at == now
                && !known.value.is_null()
            {
                progress.profile_writes.insert(field.clone(), known.clone());
            }
        }
        Ok(progress)
    }

    /// Decides about a pending migration, on what the turn has brought so far.
    fn reconcile(&self, turn: &Turn<'_>) -> Result<Decision, Need> {
        reconcile::reconcile(&Situation { session: &self.session, ..turn.situation })
    }

    fn happen(&mut self, event: impl Into<Event>) {
        let event = event.into();
        self.session.apply(&event, self.now);
        self.events.push(event);
    }

    fn reconciled(&mut self, decision: Decision, turn: &Turn<'_>) {
        for event in decision.events {
            self.happen(event);
        }
        self.profile_writes.extend(decision.profile_writes);
        self.claims = decision.claims;
        self.answer.reconciliation = decision.result;
        if turn.situation.session.customer_id.is_none() {
            self.profile_writes.clear();
        }
    }

    /// The migration waits: what it waits for is what is asked.
    fn wait(&mut self, turn: &Turn<'_>) {
        let asked = self.answer.reconciliation.collect_fields.clone();
        self.answer.step.prompt = prompt(turn, &asked);
    }

    /// Moves the session by the caller's choice, or by itself.
    fn walk(&mut self, turn: &Turn<'_>) -> Result<Result<(), Need>, Refused> {
        let Some((graph, here)) = self.stand(turn) else { return Ok(Ok(())) };
        let here = match &turn.input.step_id {
            Some(chosen) => {
                let to = allowed(&graph, here, chosen, self.session.version)?;
                if to != here {
                    self.enter(&graph, to, "caller");
                }
                to
            }
            None => match self.advance(turn, &graph, here) {
                Ok(reached) => reached,
                Err(need) => return Ok(Err(need)),
            },
        };
        if graph.step(here).is_terminal {
            self.happen(SessionFinished { step_id: graph.step(here).id.clone() });
            return Ok(Ok(()));
        }
        let evidence = evidence(turn, &self.session);
        let asked = match awaited(&evidence, &graph, here) {
            Ok(fields) => fields,
            Err(need) => return Ok(Err(need)),
        };
        self.answer.step.prompt = prompt(turn, &asked);
        self.answer.step.collect_fields = asked;
        Ok(Ok(()))
    }

    /// The graph that the session walks now, and where it stands in it.
    fn stand(&self, turn: &Turn<'_>) -> Option<(std::sync::Arc<Graph>, Ix)> {
        let graph = turn.situation.archive.graph(self.session.version)?;
        let here = graph.index(&self.session.step_id)?;
        Some((graph, here))
    }

    /// Moves on by itself, each step at most once in a turn.
    fn advance(&mut self, turn: &Turn<'_>, graph: &Graph, mut here: Ix) -> Result<Ix, Need> {
        let mut seen = vec![here];
        while seen.len() <= STEPS_PER_TURN {
            let evidence = evidence(turn, &self.session);
            let Some(next) = next(&evidence, graph, here)? else { return Ok(here) };
            if seen.contains(&next) {
                return Ok(here);
            }
            self.enter(graph, next, "transition");
            seen.push(next);
            here = next;
        }
        Ok(here)
    }

    fn enter(&mut self, graph: &Graph, to: Ix, reason: &str) {
        self.answer.step.entered_steps.push(graph.step(to).id.clone());
        self.happen(StepEntered {
            place: Place::of(graph, to),
            transition_reason: reason.to_owned(),
        });
    }

    fn finish(mut self) -> Taken {
        if let Some(Event::TurnTaken(taken)) = self.events.first_mut() {
            taken.answer = self.answer.clone();
        }
        Taken {
            answer: self.answer,
            events: self.events,
            session: self.session,
            profile_writes: self.profile_writes,
            claims: self.claims,
        }
    }
}

fn evidence<'a>(turn: &Turn<'a>, session: &'a Session) -> Evidence<'a> {
    Evidence::new(&Situation { session, ..turn.situation })
}

/// The step that the caller chose, if the graph allows it.
fn allowed(graph: &Graph, here: Ix, chosen: &StepId, version: Version) -> Result<Ix, Refused> {
    let mut allowed = vec![here];
    for edge in graph.edges(here) {
        if !allowed.contains(&edge.to) {
            allowed.push(edge.to);
        }
    }
    graph.index(chosen).filter(|to| allowed.contains(to)).ok_or_else(|| Refused::StepNotAllowed {
        step_id: chosen.clone(),
        from: graph.step(here).id.clone(),
        version,
        allowed: allowed.iter().map(|ix| graph.step(*ix).id.clone()).collect(),
    })
}

/// Where the session goes by itself, if it does.
fn next(evidence: &Evidence<'_>, graph: &Graph, here: Ix) -> Result<Option<Ix>, Need> {
    let step = graph.step(here);
    let acts = step.performs_action || step.is_required_action;
    if step.is_terminal
        || !unknown_fields(evidence, graph, here).is_empty()
        || (acts && !evidence.session().actions_done.contains(&step.id))
    {
        return Ok(None);
    }
    let (rest, groups): (Vec<&Edge>, Vec<&Edge>) =
        graph.edges(here).iter().partition(|edge| edge.is_otherwise());
    for group in groups.chunk_by(|one, other| one.priority == other.priority) {
        let mut held = Vec::new();
        for edge in group {
            match evidence.holds_at(edge, graph.edges(here))? {
                Verdict::Yes => held.push(edge.to),
                Verdict::No => {}
                Verdict::Missing(_) | Verdict::Undecidable(_) => return Ok(None),
            }
        }
        held.dedup();
        match held[..] {
            [] => {}
            [to] => return Ok(Some(to)),
            [_, _, ..] => return Ok(None),
        }
    }
    match rest[..] {
        [edge] => Ok(Some(edge.to)),
        [] | [_, _, ..] => Ok(None),
    }
}

/// What the session waits for where it stands: the step's own fields, else those of its conditions.
fn awaited(evidence: &Evidence<'_>, graph: &Graph, here: Ix) -> Result<Vec<FieldName>, Need> {
    let mut fields = unknown_fields(evidence, graph, here);
    if fields.is_empty() {
        for edge in graph.edges(here) {
            if let Verdict::Missing(missing) = evidence.holds_at(edge, graph.edges(here))? {
                for field in missing {
                    if !fields.contains(&field) {
                        fields.push(field);
                    }
                }
            }
        }
    }
    Ok(fields)
}

fn unknown_fields(evidence: &Evidence<'_>, graph: &Graph, here: Ix) -> Vec<FieldName> {
    let mut unknown: Vec<FieldName> = Vec::new();
    for field in &graph.step(here).collects_profile_fields {
        if !evidence.knows(field) && !unknown.contains(field) {
            unknown.push(field.clone());
        }
    }
    unknown
}

/// How the operator wants these fields asked.
fn prompt(turn: &Turn<'_>, fields: &[FieldName]) -> Option<String> {
    let prompts: Vec<&str> = fields
        .iter()
        .filter_map(|field| turn.situation.definitions.get(field)?.collection_prompt.as_deref())
        .collect();
    (!prompts.is_empty()).then(|| prompts.join(" "))
}
