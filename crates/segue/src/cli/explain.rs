//! `segue plan explain`: what would happen to one session, and why, without a server.
//!
//! A case is one JSON file:
//!
//! | field | meaning |
//! |---|---|
//! | `v1`, `v2` | the version that the session walks, and the one that is deployed |
//! | `session` | `{step_id, visited?, channel?, variables?, messages?, started_at?}`; `visited` lists steps of `v1` in order, by default the shortest way to `step_id` |
//! | `profile` | what is known of the customer, by field |
//! | `fields` | field definitions, as `PUT /fields/{name}` takes them, with `name` |
//! | `policies` | by anchor key, as `PUT /migration-plans/{id}/policies` takes them |
//! | `turn` | what the customer's next turn brings |
//!
//! The decision is the one that the server would take: it comes from the same function of the core.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use segue_core::config::Migration;
use segue_core::diff::{Diff, Mapping};
use segue_core::fields::{Definition, Known, Profile, Source};
use segue_core::ids::{Channel, FieldName, PlanId, SessionId, StepId, Version};
use segue_core::plan::deployed::Deployed;
use segue_core::plan::policy::Policies;
use segue_core::reconcile::{Archive, Extractor, Judge, Situation};
use segue_core::scenario::graph::{Graph, Ix};
use segue_core::session::event::{Event, Place, SessionStarted, StepEntered};
use segue_core::session::turn::{Input, Outcome, Taken, Turn, take};
use segue_core::session::{Message, Session};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Output;
use super::compare::graph;
use super::failure::Failure;
use super::input::{self, File};
use super::screen::Screen;
use super::session::told;
use crate::http::scenarios::NewScenario;

/// `segue plan explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// The case as JSON, or - for standard input; see examples/case.json
    case: File,
    #[command(flatten)]
    output: Output,
}

/// One situation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    v1: NewScenario,
    v2: NewScenario,
    session: Customer,
    #[serde(default)]
    profile: BTreeMap<FieldName, Value>,
    #[serde(default)]
    fields: Vec<Definition>,
    #[serde(default)]
    policies: Policies,
    #[serde(default)]
    turn: Input,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Customer {
    step_id: StepId,
    #[serde(default)]
    visited: Vec<StepId>,
    channel: Option<Channel>,
    #[serde(default)]
    variables: BTreeMap<FieldName, Value>,
    #[serde(default)]
    messages: Vec<Message>,
    started_at: Option<Timestamp>,
}

impl Explain {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        let case: Case = input::document(&self.case)?;
        let screen = self.output.screen();
        let answer = case.decide()?;
        if !screen.prints_json(&answer) {
            print(&screen, &answer);
        }
        Ok(())
    }
}

/// The two versions of a case.
#[derive(Debug)]
struct Versions {
    v1: Arc<Graph>,
    v2: Arc<Graph>,
}

impl Archive for Versions {
    fn graph(&self, version: Version) -> Option<Arc<Graph>> {
        [&self.v1, &self.v2].into_iter().find(|graph| graph.scenario().version == version).cloned()
    }

    fn diff(&self, from: Version, to: Version, mappings: &[Mapping]) -> Option<Arc<Diff>> {
        Some(Arc::new(Diff::between(self.graph(from)?, self.graph(to)?, mappings)))
    }
}

fn wrong(text: impl Into<String>) -> Failure {
    Failure::Case(text.into())
}

impl Case {
    fn decide(self) -> Result<Value, Failure> {
        let now = Timestamp::now();
        let v1 = graph(self.v1, Version(1))?;
        let v2 = graph(
            NewScenario { id: Some(v1.scenario().id), ..self.v2 },
            v1.scenario().version.next(),
        )?;
        let (from, to) = (v1.scenario().version, v2.scenario().version);
        if to <= from {
            return Err(wrong(format!(
                "v2 must come after v1: it has version {to}, v1 has {from}"
            )));
        }
        let session = walked(&v1, self.session, now)?;
        let known =
            |value| Known { value, source: Source::Given, confidence: 1.0, updated_at: now };
        let fields = self.profile.into_iter().map(|(name, value)| (name, known(value))).collect();
        let definitions =
            self.fields.into_iter().map(|field| (field.name.clone(), field)).collect();
        let plan = Deployed {
            plan_id: PlanId(uuid::Uuid::nil()),
            scenario_id: v1.scenario().id,
            from_version: from,
            to_version: to,
            from_checksum: v1.checksum(),
            to_checksum: v2.checksum(),
            policies: self.policies,
            deployed_at: now,
            marks_sessions: true,
            withdrawn_at: None,
        };
        let versions = Versions { v1, v2: v2.clone() };
        let situation = Situation {
            session: &session,
            profile: &Profile { fields },
            plans: &[plan],
            archive: &versions,
            current: &v2,
            definitions: &definitions,
            config: &Migration::default(),
            extractor: Extractor::Embedded,
            judge: Judge::Nobody,
            now,
        };
        let turn = Turn { situation, input: &self.turn, idempotency: None };
        match take(&turn).map_err(|refused| wrong(refused.to_string()))? {
            Outcome::Taken(taken) => Ok(answer(&taken)),
            Outcome::Need(need) => Err(wrong(format!("this cannot be decided offline: {need:?}"))),
        }
    }
}

/// The session of a case: it began at the entry and visited these steps.
fn walked(v1: &Graph, customer: Customer, now: Timestamp) -> Result<Session, Failure> {
    let find =
        |id: &StepId| v1.index(id).ok_or_else(|| wrong(format!("session: v1 has no step {id}")));
    let target = find(&customer.step_id)?;
    let mut steps = customer.visited.iter().map(find).collect::<Result<Vec<Ix>, _>>()?;
    if steps.is_empty() {
        steps = way(v1, target)
            .ok_or_else(|| wrong(format!("session: no way in v1 leads to {}", customer.step_id)))?;
    }
    if steps.first() != Some(&v1.entry()) {
        steps.insert(0, v1.entry());
    }
    if steps.last() != Some(&target) {
        steps.push(target);
    }
    let given = |value| Known { value, source: Source::Given, confidence: 1.0, updated_at: now };
    let variables = customer.variables.into_iter().map(|(name, value)| (name, given(value)));
    let started = SessionStarted {
        session_id: SessionId(uuid::Uuid::nil()),
        scenario_id: v1.scenario().id,
        version: v1.scenario().version,
        scenario_checksum: v1.checksum(),
        channel: customer.channel.unwrap_or_else(|| Channel::new("web").expect("a channel")),
        customer_id: None,
        variables: variables.collect(),
        entry: Place::of(v1, v1.entry()),
    };
    let began = customer.started_at.unwrap_or(now);
    let mut session = Session::start(&started, began);
    for step in &steps[1..] {
        let place = Place::of(v1, *step);
        let entered = StepEntered { place, transition_reason: "transition".to_owned() };
        session.apply(&Event::from(entered), began);
    }
    session.messages = customer.messages.into();
    Ok(session)
}

/// The shortest way from the entry.
fn way(graph: &Graph, target: Ix) -> Option<Vec<Ix>> {
    let mut came_from: HashMap<Ix, Ix> = HashMap::new();
    let mut queue = VecDeque::from([graph.entry()]);
    while let Some(here) = queue.pop_front() {
        if here == target {
            let mut steps = vec![here];
            while let Some(before) =
                came_from.get(steps.last()?).filter(|_| steps.len() <= graph.len())
            {
                steps.push(*before);
            }
            steps.reverse();
            return Some(steps);
        }
        for edge in graph.edges(here) {
            if edge.to != graph.entry() && !came_from.contains_key(&edge.to) {
                came_from.insert(edge.to, here);
                queue.push_back(edge.to);
            }
        }
    }
    None
}

fn answer(taken: &Taken) -> Value {
    let events = taken.events.iter().map(|event| {
        let payload: Value = serde_json::from_slice(&event.to_payload()).unwrap_or_default();
        json!({ "event_type": event.event_type(), "payload": payload })
    });
    let mut answer = serde_json::to_value(&taken.answer).expect("plain data serialises");
    answer["session"] = serde_json::to_value(&taken.session).expect("plain data serialises");
    answer["profile_writes"] =
        serde_json::to_value(&taken.profile_writes).expect("plain data serialises");
    answer["events"] = events.collect();
    answer
}

fn print(screen: &Screen, answer: &Value) {
    told(screen, answer);
    screen.line("\nWhat would be recorded:");
    for event in super::screen::items(answer, "events") {
        screen.line(format!("  {}", super::screen::plain(&event["event_type"])));
    }
}
