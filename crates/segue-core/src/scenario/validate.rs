//! Everything that is wrong with a document, at once.
//!
//! A [`Problem`] makes a document unusable and is an error; a [`Graph`]'s [`warnings`] point at what an
//! operator probably did not mean but may do: a step that nobody reaches, a flag that says something
//! else than the transitions.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::condition::{self, Condition};
use crate::ids::StepId;
use crate::scenario::graph::Graph;
use crate::scenario::{Scenario, Step};

/// Steps in a version.
pub const MAX_STEPS: usize = 10_000;
/// Transitions out of one step.
pub const MAX_TRANSITIONS_PER_STEP: usize = 1_000;
/// Transitions in a version.
pub const MAX_TRANSITIONS: usize = 100_000;
/// Characters in the name of a scenario or step.
pub const MAX_NAME_CHARS: usize = 256;
/// Characters in any description.
pub const MAX_DESCRIPTION_CHARS: usize = 8_192;
/// Fields that a step collects, fields that a condition names, and rules of a step.
pub const MAX_LIST: usize = 256;
/// Problems that are listed; a document with more of them is better fixed step by step.
pub const MAX_PROBLEMS: usize = 1_000;

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// Stable, snake_case.
    pub code: String,
    /// A JSON pointer into the document.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    fn new(code: &str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), path: path.into(), message: message.into() }
    }
}

/// Names every problem of a document, in its order.
#[must_use]
pub fn problems(scenario: &Scenario) -> Vec<Problem> {
    let mut check = Check { scenario, by_id: HashMap::new(), found: Vec::new() };
    check.scenario();
    if scenario.steps.len() <= MAX_STEPS {
        check.ids();
        check.entry();
        for (nth, step) in scenario.steps.iter().enumerate() {
            check.step(nth, step);
        }
    }
    let mut found = check.found;
    if found.len() > MAX_PROBLEMS {
        let rest = found.len() - MAX_PROBLEMS;
        found.truncate(MAX_PROBLEMS);
        found.push(Problem::new(
            "too_many_problems",
            "",
            format!("there are {rest} more problems; fix these first"),
        ));
    }
    found
}

struct Check<'a> {
    scenario: &'a Scenario,
    by_id: HashMap<&'a StepId, usize>,
    found: Vec<Problem>,
}

impl<'a> Check<'a> {
    fn report(&mut self, code: &str, path: impl Into<String>, message: impl Into<String>) {
        self.found.push(Problem::new(code, path, message));
    }

    fn scenario(&mut self) {
        self.name("/name", &self.scenario.name);
        self.description("/description", self.scenario.description.as_deref());
        if self.scenario.version.0 == 0 {
            self.report("invalid_version", "/version", "versions count from 1");
        }
        let steps = self.scenario.steps.len();
        if steps == 0 {
            self.report("no_steps", "/steps", "a scenario needs at least one step");
        }
        if steps > MAX_STEPS {
            self.report(
                "too_many_steps",
                "/steps",
                format!("a scenario has at most {MAX_STEPS} steps, this one has {steps}; split it"),
            );
        }
        let transitions: usize = self.scenario.steps.iter().map(|s| s.transitions.len()).sum();
        if transitions > MAX_TRANSITIONS {
            self.report(
                "too_many_transitions",
                "/steps",
                format!(
                    "a scenario has at most {MAX_TRANSITIONS} transitions, this one has {transitions}; split it"
                ),
            );
        }
    }

    fn ids(&mut self) {
        for (nth, step) in self.scenario.steps.iter().enumerate() {
            if let Some(first) = self.by_id.get(&step.id).copied() {
                self.report(
                    "duplicate_step_id",
                    format!("/steps/{nth}/id"),
                    format!(
                        "step {first} already has the id '{}'; give each step its own",
                        step.id
                    ),
                );
            } else {
                self.by_id.insert(&step.id, nth);
            }
        }
    }

    fn entry(&mut self) {
        let entry = &self.scenario.entry_step_id;
        if !self.scenario.steps.is_empty() && !self.by_id.contains_key(entry) {
            self.report(
                "missing_entry",
                "/entry_step_id",
                format!("no step has the id '{entry}'; name one of the steps"),
            );
        }
    }

    fn step(&mut self, nth: usize, step: &'a Step) {
        let at = format!("/steps/{nth}");
        self.name(&format!("{at}/name"), &step.name);
        self.description(&format!("{at}/description"), step.description.as_deref());
        let effect = step.checkpoint_description.as_deref();
        self.description(&format!("{at}/checkpoint_description"), effect);
        if !step.is_checkpoint && effect.is_some_and(|text| !text.trim().is_empty()) {
            self.report(
                "contradicting_flags",
                format!("{at}/is_checkpoint"),
                format!(
                    "step '{}' describes an irreversible effect but is not a checkpoint, so nothing would \
                     protect it; set is_checkpoint or remove checkpoint_description",
                    step.id
                ),
            );
        }
        self.list(&format!("{at}/rule_ids"), step.rule_ids.len());
        self.list(&format!("{at}/collects_profile_fields"), step.collects_profile_fields.len());
        let transitions = step.transitions.len();
        if transitions > MAX_TRANSITIONS_PER_STEP {
            self.report(
                "too_many_transitions",
                format!("{at}/transitions"),
                format!(
                    "a step has at most {MAX_TRANSITIONS_PER_STEP} transitions, '{}' has {transitions}",
                    step.id
                ),
            );
            return;
        }
        for (nth, transition) in step.transitions.iter().enumerate() {
            let at = format!("{at}/transitions/{nth}");
            if !self.by_id.contains_key(&transition.to_step_id) {
                self.report(
                    "dangling_transition",
                    format!("{at}/to_step_id"),
                    format!(
                        "'{}' leads to '{}', which does not exist; add the step or remove the transition",
                        step.id, transition.to_step_id
                    ),
                );
            }
            self.list(&format!("{at}/condition_fields"), transition.condition_fields.len());
            if let Some(condition) = transition.condition()
                && let Err(error) = Condition::with_fields(condition, &transition.condition_fields)
            {
                let code = match error {
                    condition::Error::TooLong { .. } => "condition_too_long",
                    condition::Error::TooDeep { .. } => "condition_too_deep",
                    condition::Error::TooManyOperators { .. } => "condition_too_complex",
                };
                self.report(code, format!("{at}/condition_text"), error.to_string());
            }
        }
    }

    fn name(&mut self, path: &str, name: &str) {
        if name.trim().is_empty() {
            self.report("empty_name", path, "a name must not be empty");
        }
        self.length(path, name, MAX_NAME_CHARS, "name_too_long", "a name");
    }

    fn description(&mut self, path: &str, text: Option<&str>) {
        let text = text.unwrap_or_default();
        self.length(path, text, MAX_DESCRIPTION_CHARS, "description_too_long", "a description");
    }

    fn length(&mut self, path: &str, text: &str, limit: usize, code: &str, what: &str) {
        // Bytes are never fewer than characters, so most texts need no count.
        if text.len() > limit {
            let actual = text.chars().count();
            if actual > limit {
                self.report(
                    code,
                    path,
                    format!("{what} has at most {limit} characters, this one has {actual}"),
                );
            }
        }
    }

    fn list(&mut self, path: &str, actual: usize) {
        if actual > MAX_LIST {
            self.report(
                "list_too_long",
                path,
                format!("this list has at most {MAX_LIST} entries, it has {actual}"),
            );
        }
    }
}

/// Names what an operator probably did not mean: unreachable steps, steps that cannot reach an end, and
/// flags that say something else than the transitions. Sessions walk such a version nevertheless.
#[must_use]
pub fn warnings(graph: &Graph) -> Vec<Problem> {
    let scenario = graph.scenario();
    let reached = graph.reachable_from(graph.entry());
    let finishing = graph.reaching_an_end();
    let mut found = Vec::new();
    for ix in graph.indices() {
        let (nth, step) = (ix.at(), graph.step(ix));
        let at = format!("/steps/{nth}");
        if !reached.contains(nth) {
            found.push(Problem::new(
                "unreachable_step",
                &at,
                format!("no path leads from the entry to '{}'", step.name),
            ));
        }
        if !finishing.contains(nth) {
            found.push(Problem::new(
                "no_way_out",
                &at,
                format!("no path leads from '{}' to a step where sessions end", step.name),
            ));
        }
        if step.is_terminal && !step.transitions.is_empty() {
            found.push(Problem::new(
                "terminal_with_transitions",
                format!("{at}/transitions"),
                format!("sessions end at '{}', so its transitions are never taken", step.name),
            ));
        }
        if step.is_entry && step.id != scenario.entry_step_id {
            found.push(Problem::new(
                "entry_flag_elsewhere",
                format!("{at}/is_entry"),
                format!(
                    "'{}' is flagged as the entry, but sessions begin at '{}'",
                    step.name, scenario.entry_step_id
                ),
            ));
        }
        if step.is_required_action && !step.performs_action {
            found.push(Problem::new(
                "required_action_not_performed",
                format!("{at}/is_required_action"),
                format!("'{}' requires an action but is not said to perform one", step.name),
            ));
        }
    }
    found
}
