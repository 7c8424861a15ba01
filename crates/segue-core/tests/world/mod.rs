//! A small world for tests: versions written as text, plans, one customer and their session.
//!
//! ```text
//! welcome -> age_check
//! age_check [asks age] -> rejection if age < 18; checkout if age >= 18
//! payment [checkpoint, action] -> confirm
//! confirm [end]
//! rejection [end, as Sorry]
//! ```
//!
//! The first step is the entry; a step's id is its name unless `as` says otherwise; `@2` after a branch is
//! its priority.
#![allow(dead_code, reason = "every test file uses its part")]

pub mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use segue_core::config;
use segue_core::diff::{Diff, Mapping};
use segue_core::fields::{Definition, Definitions, Known, Profile, Source, ValueType};
use segue_core::ids::{
    Channel, CustomerId, FieldName, PlanId, ScenarioId, SessionId, StepId, Version,
};
use segue_core::plan::deployed::Deployed;
use segue_core::plan::policy::{AnchorKey, AnchorMigrationPolicy, Policies};
use segue_core::reconcile::advice::Advice;
use segue_core::reconcile::{
    Action, Archive, Extractor, Judge, Judgements, PendingMigration, Reconciliation, Situation,
    pending,
};
use segue_core::scenario::graph::Graph;
use segue_core::scenario::hash::Checksum;
use segue_core::scenario::{Scenario, Step, Transition};
use segue_core::session::event::{Event, Migration, Place, SessionStarted};
use segue_core::session::turn::{self, Input, Outcome, Refused, Taken, Turn};
use segue_core::session::{Message, Role, Session, Visit};
use serde_json::Value;
use uuid::Uuid;

/// The smallest scenario that one can stand in the middle of.
pub const PLAIN: &str = "welcome -> checkout if ready\ncheckout";

pub fn field(name: &str) -> FieldName {
    FieldName::new(name).unwrap()
}

pub fn step(id: &str) -> StepId {
    StepId::new(id).unwrap()
}

pub fn at(days: i64) -> Timestamp {
    let start: Timestamp = "2026-11-01T12:00:00Z".parse().unwrap();
    start + SignedDuration::from_hours(24 * days)
}

pub fn known(value: Value) -> Known {
    Known { value, source: Source::Operator, confidence: 1.0, updated_at: at(0) }
}

/// Reads a version.
pub fn scenario(version: u64, text: &str) -> Scenario {
    let steps: Vec<Step> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(read_step).collect();
    Scenario {
        id: ScenarioId(Uuid::from_u128(1)),
        name: "Order".to_owned(),
        description: None,
        version: Version(version),
        entry_step_id: steps[0].id.clone(),
        steps,
    }
}

fn read_step(line: &str) -> Step {
    let (head, ways) = line.split_once("->").unwrap_or((line, ""));
    let (id, flags) = match head.split_once('[') {
        Some((id, flags)) => (id.trim(), flags.trim().trim_end_matches(']')),
        None => (head.trim(), ""),
    };
    let mut read = Step {
        id: step(id),
        name: id.to_owned(),
        description: None,
        transitions: ways
            .split(';')
            .map(str::trim)
            .filter(|way| !way.is_empty())
            .map(way)
            .collect(),
        rule_ids: Vec::new(),
        collects_profile_fields: Vec::new(),
        is_checkpoint: false,
        checkpoint_description: None,
        is_entry: false,
        is_terminal: false,
        performs_action: false,
        is_required_action: false,
    };
    for flag in flags.split(',').map(str::trim).filter(|flag| !flag.is_empty()) {
        match flag.split_once(' ') {
            Some(("asks", fields)) => {
                read.collects_profile_fields = fields.split_whitespace().map(field).collect();
            }
            Some(("as", name)) => read.name = name.to_owned(),
            _ => match flag {
                "checkpoint" => read.is_checkpoint = true,
                "end" => read.is_terminal = true,
                "action" => read.performs_action = true,
                "required" => (read.performs_action, read.is_required_action) = (true, true),
                other => panic!("no flag is called {other:?} in {line:?}"),
            },
        }
    }
    read
}

fn way(text: &str) -> Transition {
    let (text, priority) = match text.rsplit_once('@') {
        Some((text, priority)) => (text.trim(), priority.trim().parse().unwrap()),
        None => (text, 0),
    };
    let (to, condition) = match text.split_once(" if ") {
        Some((to, condition)) => (to, Some(condition.trim().to_owned())),
        None => (text, None),
    };
    Transition {
        to_step_id: step(to.trim()),
        condition_text: condition,
        priority,
        condition_fields: Vec::new(),
    }
}

/// The versions of a scenario.
#[derive(Default)]
pub struct Versions(pub BTreeMap<Version, Arc<Graph>>);

impl Archive for Versions {
    fn graph(&self, version: Version) -> Option<Arc<Graph>> {
        self.0.get(&version).cloned()
    }

    fn diff(&self, from: Version, to: Version, mappings: &[Mapping]) -> Option<Arc<Diff>> {
        Some(Arc::new(Diff::between(self.graph(from)?, self.graph(to)?, mappings)))
    }
}

/// A scenario with its plans, and one customer's session in it.
pub struct World {
    pub versions: Versions,
    pub current: Version,
    pub plans: Vec<Deployed>,
    pub definitions: Definitions,
    pub config: config::Migration,
    pub judgements: Option<Judgements>,
    /// What a language model has said, if there is one.
    pub advice: Option<Advice>,
    pub profile: Profile,
    pub session: Session,
    pub events: Vec<(Event, Timestamp)>,
    pub today: i64,
}

impl World {
    /// A world in which a customer begins at the entry of version 1.
    pub fn new(text: &str) -> Self {
        Self::of(scenario(1, text))
    }

    pub fn of(scenario: Scenario) -> Self {
        let graph = Arc::new(Graph::new(scenario).unwrap());
        let started = SessionStarted {
            session_id: SessionId(Uuid::from_u128(7)),
            scenario_id: graph.scenario().id,
            version: Version(1),
            scenario_checksum: graph.checksum(),
            channel: Channel::new("whatsapp").unwrap(),
            customer_id: Some(CustomerId::new("ann").unwrap()),
            variables: BTreeMap::new(),
            entry: Place::of(&graph, graph.entry()),
        };
        let session = Session::start(&started, at(0));
        Self {
            versions: Versions(BTreeMap::from([(Version(1), graph)])),
            current: Version(1),
            plans: Vec::new(),
            definitions: Definitions::new(),
            config: config::Migration::default(),
            judgements: None,
            advice: None,
            profile: Profile::default(),
            session,
            events: vec![(started.into(), at(0))],
            today: 0,
        }
    }

    /// The customer walks here, one step after the other, by the agent's choice.
    pub fn walk(mut self, steps: &str) -> Self {
        for id in steps.split_whitespace() {
            self.turn(Input { step_id: Some(step(id)), ..Input::default() });
        }
        self
    }

    /// Publishes the next version and deploys a plan from the one before it.
    pub fn deploy(self, text: &str) -> Self {
        self.deploy_with(text, Policies::new())
    }

    pub fn deploy_with(self, text: &str, policies: Policies) -> Self {
        let next = self.current.next();
        self.deploy_version(scenario(next.0, text), policies)
    }

    pub fn deploy_version(mut self, scenario: Scenario, policies: Policies) -> Self {
        let (from, to) = (self.current, scenario.version);
        let graph = Arc::new(Graph::new(scenario).unwrap());
        self.versions.0.insert(to, graph);
        self.current = to;
        self.today += 1;
        let plan = self.plan(from, to, policies);
        self.plans.push(plan);
        self
    }

    pub fn plan(&self, from: Version, to: Version, policies: Policies) -> Deployed {
        let checksum = |version: Version| {
            self.versions.0.get(&version).map_or(Checksum(0), |graph| graph.checksum())
        };
        Deployed {
            plan_id: PlanId(Uuid::from_u128(u128::from(from.0 * 1000 + to.0))),
            scenario_id: self.session.scenario_id,
            from_version: from,
            to_version: to,
            from_checksum: checksum(from),
            to_checksum: checksum(to),
            policies,
            deployed_at: at(self.today),
            marks_sessions: true,
            withdrawn_at: None,
        }
    }

    /// A policy for the anchor at a step of a version.
    pub fn policy(&self, version: u64, id: &str, policy: AnchorMigrationPolicy) -> Policies {
        let graph = &self.versions.0[&Version(version)];
        let hash = graph.hash(graph.index(&step(id)).unwrap());
        Policies::from([(AnchorKey(hash.to_string()), policy)])
    }

    /// The version that the customer's step belongs to is lost.
    pub fn lose(mut self, version: u64) -> Self {
        self.versions.0.remove(&Version(version));
        self
    }

    pub fn knowing(mut self, name: &str, value: impl Into<Value>) -> Self {
        let known = Known { updated_at: at(self.today), ..known(value.into()) };
        self.profile.fields.insert(field(name), known);
        self
    }

    pub fn defining(mut self, name: &str, value_type: ValueType) -> Self {
        let definition = Definition {
            name: field(name),
            value_type,
            display_name: None,
            pattern: None,
            values: Vec::new(),
            extraction_hint: None,
            collection_prompt: Some(format!("What is your {name}?")),
            expires_after_days: None,
        };
        self.definitions.insert(field(name), definition);
        self
    }

    pub fn situation<'a>(&'a self, session: &'a Session, current: &'a Graph) -> Situation<'a> {
        Situation {
            session,
            profile: &self.profile,
            plans: &self.plans,
            archive: &self.versions,
            current,
            definitions: &self.definitions,
            config: &self.config,
            extractor: self.advice.as_ref().map_or(Extractor::Embedded, Extractor::Advised),
            judge: match (&self.advice, &self.judgements) {
                (Some(advice), _) => Judge::Advised(advice),
                (None, Some(judgements)) => Judge::External(judgements),
                (None, None) => Judge::Nobody,
            },
            now: at(self.today),
        }
    }

    pub fn pending(&self) -> Option<PendingMigration> {
        pending(&self.session, &self.plans, &self.versions)
    }

    pub fn decide(&self, input: &Input) -> Result<Outcome, Refused> {
        let current = self.versions.graph(self.current).unwrap();
        let situation = self.situation(&self.session, &current);
        turn::take(&Turn { situation, input, idempotency: None })
    }

    /// The customer returns.
    pub fn turn(&mut self, input: Input) -> Taken {
        self.try_turn(input).unwrap()
    }

    pub fn try_turn(&mut self, input: Input) -> Result<Taken, Refused> {
        let taken = match self.decide(&input)? {
            Outcome::Taken(taken) => *taken,
            Outcome::Need(need) => panic!("nothing outside answers {need:?}"),
        };
        for event in &taken.events {
            let stored = Event::from_payload(event.event_type(), &event.to_payload()).unwrap();
            self.events.push((stored, at(self.today)));
        }
        self.session = taken.session.clone();
        self.profile.apply(&taken.profile_writes);
        let events = self.events.iter().map(|(event, at)| (event, *at));
        assert_eq!(Session::fold(events).as_ref(), Some(&self.session), "the snapshot is the fold");
        Ok(taken)
    }

    pub fn says(&mut self, text: &str) -> Taken {
        let message = Message { role: Role::User, text: text.to_owned() };
        self.turn(Input { message: Some(message), ..Input::default() })
    }

    pub fn returns(&mut self) -> Taken {
        self.turn(Input::default())
    }

    pub fn gives(&mut self, name: &str, value: impl Into<Value>) -> Taken {
        let fields = BTreeMap::from([(field(name), value.into())]);
        self.turn(Input { fields, ..Input::default() })
    }

    pub fn stands_at(&self) -> (&str, u64) {
        (self.session.step_id.as_str(), self.session.version.0)
    }

    pub fn visit(&self, id: &str) -> &Visit {
        self.session.step_history.iter().find(|visit| visit.step_id.as_str() == id).unwrap()
    }
}

/// The latest migration that was decided.
pub fn applied(world: &World) -> &Migration {
    let applied = world.events.iter().rev().find_map(|(event, _)| match event {
        Event::MigrationApplied(applied) => Some(&applied.migration),
        Event::MigrationSettled(settled) => Some(&settled.migration),
        _ => None,
    });
    applied.expect("a migration was decided")
}

/// What a caller is told, in one line.
pub fn told(taken: &Taken) -> String {
    line(&taken.answer.reconciliation)
}

pub fn line(result: &Reconciliation) -> String {
    let fields = |fields: &[FieldName]| {
        fields
            .iter()
            .map(FieldName::as_str)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
            .join(" ")
    };
    match result.action {
        Action::Continue if result.blocked_by_checkpoint => "blocked".to_owned(),
        Action::Continue => match &result.teleport_reason {
            Some(reason) => format!("continue: {reason}"),
            None => "continue".to_owned(),
        },
        Action::Teleport => format!(
            "{} -> {}",
            result.teleport_reason.as_deref().unwrap_or("?"),
            result.target_step_id.as_ref().unwrap()
        ),
        Action::Collect => {
            let confirm: Vec<FieldName> =
                result.confirm.iter().map(|confirm| confirm.field.clone()).collect();
            match (fields(&result.collect_fields), fields(&confirm)) {
                (ask, none) if none.is_empty() => format!("collect {ask}"),
                (none, confirm) if none.is_empty() => format!("confirm {confirm}"),
                (ask, confirm) => format!("collect {ask}, confirm {confirm}"),
            }
        }
        Action::ExecuteAction => {
            let ids: Vec<&str> = result.execute_action_ids.iter().map(StepId::as_str).collect();
            format!("execute {}", ids.join(" "))
        }
        Action::ExitScenario => "exit".to_owned(),
    }
}
