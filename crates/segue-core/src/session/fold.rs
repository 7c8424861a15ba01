//! The fold: how each event changes a session.
//!
//! It is total: any event of a session's stream can be applied, in any state, so that a stream written
//! by another release never stops a session. Rules that refuse are the business of
//! [`turn`](super::turn) and [`reconcile`](crate::reconcile), before the append.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use crate::fields::{Known, Source};
use crate::ids::{FieldName, StepId, StreamVersion};
use crate::reconcile::Action;
use crate::scenario::hash::ContentHash;
use crate::session::event::{
    Event, MigrationApplied, MigrationSettled, Place, Renamed, SessionStarted, TurnTaken,
};
use crate::session::{Session, Status, Visit};

/// How many refused values of a field are remembered, the latest.
const MAX_REFUSED: usize = 32;

impl Session {
    /// The state after a stream's first event.
    #[must_use]
    pub fn start(started: &SessionStarted, recorded_at: Timestamp) -> Self {
        let mut session = Self {
            id: started.session_id,
            scenario_id: started.scenario_id,
            version: started.version,
            scenario_checksum: started.scenario_checksum,
            channel: started.channel.clone(),
            customer_id: started.customer_id.clone(),
            status: Status::Active,
            step_id: started.entry.step_id.clone(),
            step_content_hash: started.entry.step_content_hash,
            variables: started.variables.clone(),
            step_history: Vec::new(),
            messages: VecDeque::new(),
            unconfirmed: BTreeMap::new(),
            refused: BTreeMap::new(),
            fields_asked: BTreeSet::new(),
            actions_due: Vec::new(),
            actions_done: Vec::new(),
            actions_ahead: Vec::new(),
            waiting_for: Vec::new(),
            settled: Vec::new(),
            turn_count: 0,
            created_at: recorded_at,
            updated_at: recorded_at,
            stream_version: StreamVersion(1),
        };
        session.enter(&started.entry, "entry", recorded_at);
        session
    }

    /// The state after a whole stream, or nothing if it does not begin with a start.
    pub fn fold<'a>(events: impl IntoIterator<Item = (&'a Event, Timestamp)>) -> Option<Self> {
        let mut events = events.into_iter();
        let mut session = match events.next()? {
            (Event::SessionStarted(started), at) => Self::start(started, at),
            _ => return None,
        };
        for (event, at) in events {
            session.apply(event, at);
        }
        Some(session)
    }

    /// The state after one more event.
    pub fn apply(&mut self, event: &Event, recorded_at: Timestamp) {
        self.stream_version = self.stream_version.next();
        self.updated_at = recorded_at;
        match event {
            Event::SessionStarted(started) => *self = Self::start(started, recorded_at),
            Event::TurnTaken(turn) => self.take(turn, recorded_at),
            Event::FieldsFilled(filled) => {
                for (field, known) in &filled.fields {
                    self.know(field.clone(), known.clone());
                }
            }
            Event::FieldsFound(found) => {
                self.unconfirmed.extend(found.unconfirmed.clone());
            }
            Event::MigrationWaits(waits) => {
                for plan in &waits.plan_ids {
                    if !self.waiting_for.contains(plan) {
                        self.waiting_for.push(*plan);
                    }
                }
                self.fields_asked.extend(waits.collect_fields.iter().cloned());
                for action in &waits.execute_action_ids {
                    if !self.actions_due.contains(action) {
                        self.actions_due.push(action.clone());
                    }
                }
            }
            Event::MigrationApplied(applied) => self.migrate(applied, recorded_at),
            Event::MigrationSettled(settled) => self.settle(settled),
            Event::StepEntered(entered) => {
                let place = &entered.place;
                let is_again = place.step_id != self.step_id
                    && self
                        .step_history
                        .iter()
                        .any(|visit| is(visit, &place.step_id, place.step_content_hash));
                if is_again {
                    // What was done on an earlier round is not done on this one.
                    self.actions_done.retain(|done| *done != place.step_id);
                }
                self.enter(&entered.place, &entered.transition_reason, recorded_at);
            }
            Event::SessionFinished(_) => self.status = Status::Finished,
        }
    }

    fn know(&mut self, field: FieldName, known: Known) {
        self.unconfirmed.remove(&field);
        self.refused.remove(&field);
        self.variables.insert(field, known);
    }

    fn take(&mut self, turn: &TurnTaken, recorded_at: Timestamp) {
        self.turn_count = turn.turn_number;
        let known = |value, source, confidence| Known {
            value,
            source,
            confidence,
            updated_at: recorded_at,
        };
        for (field, confirmed) in &turn.input.confirmations {
            let Some(found) = self.unconfirmed.remove(field) else { continue };
            if *confirmed {
                let known = known(found.value, Source::Confirmed, found.confidence);
                self.know(field.clone(), known);
            } else {
                let refused = self.refused.entry(field.clone()).or_default();
                refused.push(found.value);
                refused.drain(..refused.len().saturating_sub(MAX_REFUSED));
            }
        }
        for (field, value) in &turn.input.fields {
            self.know(field.clone(), known(value.clone(), Source::Given, 1.0));
        }
        for action in &turn.input.actions_done {
            let is_ahead = self.actions_due.contains(action) || self.actions_ahead.contains(action);
            self.actions_due.retain(|due| due != action);
            let done = if is_ahead { &mut self.actions_ahead } else { &mut self.actions_done };
            if !done.contains(action) {
                done.push(action.clone());
            }
        }
        self.messages.extend(turn.input.message.clone());
        let surplus = self.messages.len().saturating_sub(turn.messages_kept);
        self.messages.drain(..surplus);
    }

    fn migrate(&mut self, applied: &MigrationApplied, recorded_at: Timestamp) {
        self.fields_asked.clear();
        self.actions_due.clear();
        self.waiting_for.clear();
        let Some(place) = &applied.place else {
            self.status = Status::Exited;
            return;
        };
        self.version = applied.migration.to_version;
        self.scenario_checksum = applied.scenario_checksum;
        // No plan leads from the new version to itself, so what was settled for the old one is history.
        self.settled.clear();
        self.retell(applied, &place.step_id);
        for action in std::mem::take(&mut self.actions_ahead) {
            if !self.actions_done.contains(&action) {
                self.actions_done.push(action);
            }
        }
        for step in &applied.made_up {
            self.record(step, "migration:action", recorded_at);
        }
        let reason = applied.migration.teleport_reason.as_deref().unwrap_or("moved");
        self.enter(place, &format!("migration:{reason}"), recorded_at);
    }

    fn settle(&mut self, settled: &MigrationSettled) {
        debug_assert_eq!(settled.migration.action, Action::Continue);
        self.fields_asked.clear();
        self.actions_due.clear();
        self.waiting_for.clear();
        for plan in &settled.migration.plan_ids {
            if !self.settled.contains(plan) {
                self.settled.push(*plan);
            }
        }
    }

    /// Comes to a step: the visit is recorded, and the step left behind remembers where it was left for.
    fn enter(&mut self, place: &Place, reason: &str, at: Timestamp) {
        let here = (&place.step_id, place.step_content_hash);
        if here != (&self.step_id, self.step_content_hash) {
            let left = (self.step_id.clone(), self.step_content_hash);
            if let Some(visit) =
                self.step_history.iter_mut().find(|visit| is(visit, &left.0, left.1))
            {
                visit.left_to = Some(place.step_id.clone());
            }
        }
        self.record(place, reason, at);
        self.step_id = place.step_id.clone();
        self.step_content_hash = place.step_content_hash;
    }

    fn record(&mut self, place: &Place, reason: &str, at: Timestamp) {
        self.remember(Visit {
            step_id: place.step_id.clone(),
            step_name: place.step_name.clone(),
            step_content_hash: place.step_content_hash,
            is_checkpoint: place.is_checkpoint,
            checkpoint_description: place.checkpoint_description.clone(),
            entered_at: at,
            turn_number: self.turn_count,
            transition_reason: reason.to_owned(),
            left_to: None,
        });
    }

    /// Only the latest visit to a step is kept. That an earlier one passed a checkpoint stays true, though
    /// an operator may since have mapped the step to an ordinary one.
    fn remember(&mut self, mut visit: Visit) {
        let (step_id, hash) = (visit.step_id.clone(), visit.step_content_hash);
        let earlier = self.step_history.extract_if(.., |seen| is(seen, &step_id, hash));
        for seen in earlier.filter(|seen| seen.is_checkpoint) {
            visit.is_checkpoint = true;
            visit.checkpoint_description =
                visit.checkpoint_description.or(seen.checkpoint_description);
        }
        self.step_history.push(visit);
    }

    /// Tells the past in the ids of the new version, all steps at once, so that swapped ids stay apart.
    ///
    /// A step that no longer exists is taken out of the path: whoever left for it left for where it was
    /// left for, in the end for `place`. If it was a checkpoint it stays on record, beside the path.
    fn retell(&mut self, applied: &MigrationApplied, place: &StepId) {
        if applied.renamed.is_empty() && applied.gone.is_empty() {
            return;
        }
        let renamed: BTreeMap<&StepId, &Renamed> =
            applied.renamed.iter().map(|step| (&step.from, step)).collect();
        let is_gone = |visit: &Visit| {
            applied.gone.iter().any(|gone| is(visit, &gone.step_id, gone.content_hash))
        };
        let old = std::mem::take(&mut self.step_history);
        let past_gone: BTreeMap<StepId, Option<StepId>> = old
            .iter()
            .filter(|visit| is_gone(visit))
            .map(|visit| (visit.step_id.clone(), visit.left_to.clone()))
            .collect();
        for mut visit in old {
            if is_gone(&visit) {
                if visit.is_checkpoint {
                    visit.left_to = None;
                    self.step_history.push(visit);
                }
                continue;
            }
            visit.left_to = visit.left_to.map(|exit| match past(&past_gone, exit) {
                Some(exit) => renamed.get(&exit).map_or(exit, |step| step.to.clone()),
                None => place.clone(),
            });
            if let Some(step) = renamed.get(&visit.step_id)
                && step.from_hash == visit.step_content_hash
            {
                visit.step_id = step.to.clone();
                visit.step_content_hash = step.to_hash;
                visit.is_checkpoint |= step.to_checkpoint;
            }
            // A step that was gone for a version and has come back: only its latest visit counts.
            self.remember(visit);
        }
        if let Some(step) = renamed.get(&self.step_id) {
            self.step_id = step.to.clone();
            self.step_content_hash = step.to_hash;
        }
        // An id whose step is gone may come to mean another one.
        self.actions_done
            .retain(|done| !past_gone.contains_key(done) || renamed.contains_key(done));
        for action in &mut self.actions_done {
            if let Some(step) = renamed.get(action) {
                *action = step.to.clone();
            }
        }
    }
}

/// The first step on the way that still exists; nothing if the way ends where the session stood.
fn past(gone: &BTreeMap<StepId, Option<StepId>>, exit: StepId) -> Option<StepId> {
    let mut exit = exit;
    for _ in 0..=gone.len() {
        match gone.get(&exit) {
            Some(next) => exit = next.clone()?,
            None => return Some(exit),
        }
    }
    // A loop of steps that are all gone leads nowhere; nobody's path goes over it.
    None
}

fn is(visit: &Visit, step_id: &StepId, hash: ContentHash) -> bool {
    visit.step_id == *step_id && visit.step_content_hash == hash
}
