//! Reads the original system's situations as ours, and our answers as its.
//!
//! What differs between the two worlds is said here, once:
//! - It stored marks in the session; ours are derived. A session without a mark gets plans that do not
//!   mark sessions.
//! - It keeps plans with their maps, not the version that a session walks; so that version is gone here,
//!   and the plan's stored map stands in ([`Archive::map`]).
//! - Where a policy keeps a session on its version, a stand-in for that version is at hand.
//! - A visit without a content hash cannot exist here; it says nothing and is left out.
//! - A profile value that requires confirmation is, here, a found value that waits for it.
//! - Its judge of natural language says yes where the fields that a transition names are at hand.
//! - `otherwise` is a text like any other to it; here it holds where nothing else does, so it is said in
//!   other words ([`said_otherwise`]), and checksums are translated back.
//! - It never tells a customer that they were redirected, whatever `notify_user` says.
//! - It counts a turn before it reconciles, we after.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use segue_core::config;
use segue_core::diff::{Diff, Mapping};
use segue_core::fields::{Definition, Definitions, Known, Profile, Source, ValueType};
use segue_core::ids::{CustomerId, FieldName, PlanId, StepId, StreamVersion, Version};
use segue_core::plan::deployed::Deployed;
use segue_core::reconcile::landing::MappedAnchor;
use segue_core::reconcile::{
    Action, Archive, Decision, Extractions, Extractor, Judge, Judgements, Need, Situation, pending,
    reconcile,
};
use segue_core::scenario::Scenario;
use segue_core::scenario::graph::Graph;
use segue_core::scenario::hash::{Checksum, ContentHash};
use segue_core::session::event::Event;
use segue_core::session::{Extracted, Message, Role, Session, Status, Visit};
use serde_json::{Value, json};

/// What `otherwise` is called here, so that it is judged by its fields.
fn said_otherwise(fields: &[FieldName]) -> String {
    let fields: Vec<&str> = fields.iter().map(FieldName::as_str).collect();
    format!("in all other cases, as told by: {}", fields.join(", "))
}

/// A case of the corpus.
pub struct Case(Value);

/// The versions and maps that the original system has at hand.
struct Stored {
    current: Arc<Graph>,
    /// Stands in for the session's version where a policy keeps the session there.
    kept: Option<Arc<Graph>>,
    maps: BTreeMap<PlanId, Arc<[MappedAnchor]>>,
}

impl Archive for Stored {
    fn graph(&self, version: Version) -> Option<Arc<Graph>> {
        let versions = [Some(&self.current), self.kept.as_ref()];
        versions.into_iter().flatten().find(|graph| graph.scenario().version == version).cloned()
    }

    fn diff(&self, _: Version, _: Version, _: &[Mapping]) -> Option<Arc<Diff>> {
        None
    }

    fn map(&self, plan: PlanId) -> Option<Arc<[MappedAnchor]>> {
        self.maps.get(&plan).cloned()
    }
}

/// What we answer to a case.
pub struct Ours {
    before: Session,
    after: Session,
    decision: Decision,
    pending: bool,
    extracted: Vec<FieldName>,
    checksums: Option<(Value, Value)>,
}

fn parse<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

impl Case {
    pub fn new(case: Value) -> Self {
        Self(case)
    }

    pub fn id(&self) -> &str {
        text(&self.0["id"])
    }

    pub fn category(&self) -> &str {
        text(&self.0["category"])
    }

    pub fn disputed_codes(&self) -> &Value {
        &self.0["disputed_codes"]
    }

    pub fn original(&self) -> &Value {
        &self.0["disputed"]
    }

    /// The JSON pointers of what is disputed; none if nothing is, or everything.
    pub fn disputed_at(&self) -> Vec<String> {
        list(&self.0["disputed_at"])
            .iter()
            .map(|at| text(&at["path"]).to_owned())
            .filter(|path| path != "/")
            .collect()
    }

    /// Whether some code disputes the case without saying where, or says everywhere.
    pub fn is_wholly_disputed(&self) -> bool {
        let places = list(&self.0["disputed_at"]);
        list(&self.0["disputed_codes"]).iter().any(|code| {
            let mut here = places.iter().filter(|at| at["code"] == *code).peekable();
            here.peek().is_none() || here.any(|at| at["path"] == "/")
        })
    }

    /// What the original system answers, by JSON pointer.
    pub fn expected(&self) -> Vec<(String, Value)> {
        let mut expected = vec![];
        let compared = [
            "/result/action",
            "/result/target_step_id",
            "/result/teleport_reason",
            "/result/collect_fields",
            "/result/execute_action_ids",
            "/result/user_message",
            "/result/blocked_by_checkpoint",
            "/result/checkpoint_warning",
            "/session_after/active_scenario_id",
            "/session_after/active_step_id",
            "/session_after/active_scenario_version",
            "/session_after/pending_migration",
            "/session_after/variables",
            "/llm_calls",
        ];
        for path in compared {
            // Where the order of the fields is open, the sentence that lists them is left out.
            if path == "/result/user_message" && self.is_unordered("/result/collect_fields") {
                continue;
            }
            expected.push((path.to_owned(), self.0["expected"].pointer(path).cloned().unwrap()));
        }
        let after = &self.0["expected"]["session_after"];
        // A relocated session keeps the checksum of the version that it left there; here it would be
        // relocated again and again.
        if !text(&self.0["expected"]["result"]["teleport_reason"]).starts_with("fallback") {
            expected.push((
                "/session_after/scenario_checksum".to_owned(),
                after["scenario_checksum"].clone(),
            ));
        }
        // Names, hashes and checkpoints of visits that a migration makes are not recorded there.
        for (nth, visit) in list(&after["history_appended"]).iter().enumerate() {
            for name in ["step_id", "transition_reason", "turn_number"] {
                let path = format!("/session_after/history_appended/{nth}/{name}");
                expected.push((path, visit[name].clone()));
            }
        }
        for (nth, write) in list(&self.0["expected"]["profile_writes"]).iter().enumerate() {
            for name in ["name", "value", "confidence"] {
                expected.push((format!("/profile_writes/{nth}/{name}"), write[name].clone()));
            }
        }
        expected
    }

    pub fn is_unordered(&self, path: &str) -> bool {
        path == "/result/collect_fields"
            && self.0["expected"]["collect_fields_unordered"] == Value::Bool(true)
    }

    fn marked_at(&self) -> Timestamp {
        let mark = &self.0["session"]["pending_migration"]["marked_at"];
        mark.as_str().unwrap_or("2026-01-01T00:00:00Z").parse().unwrap()
    }

    fn now(&self) -> Timestamp {
        self.marked_at() + SignedDuration::from_hours(24)
    }

    fn plans(&self) -> Vec<Deployed> {
        let marked = self.0["session"]["pending_migration"].is_object();
        list(&self.0["plans"])
            .iter()
            .filter(|plan| plan["status"] == "deployed")
            .map(|plan| {
                let mut policies = plan["anchor_policies"].clone();
                for (_, policy) in policies.as_object_mut().unwrap() {
                    policy["scope_filter"].as_object_mut().unwrap().remove("custom_conditions");
                    // Any other word is refused by us when the policy is set, and ignored there.
                    let known = ["clean_graft", "gap_fill", "re_route"];
                    if !known.contains(&text(&policy["force_scenario"])) {
                        policy["force_scenario"] = Value::Null;
                    }
                }
                Deployed {
                    plan_id: parse(&plan["id"]),
                    scenario_id: parse(&plan["scenario_id"]),
                    from_version: parse(&plan["from_version"]),
                    to_version: parse(&plan["to_version"]),
                    from_checksum: parse(&plan["scenario_checksum_v1"]),
                    to_checksum: parse(&plan["scenario_checksum_v2"]),
                    policies: parse(&policies),
                    deployed_at: self.marked_at(),
                    marks_sessions: marked,
                    withdrawn_at: None,
                }
            })
            .collect()
    }

    /// The current version in our words.
    fn current(&self) -> Option<Graph> {
        let mut scenario: Scenario = parse(&self.0["current_scenario"]);
        for transition in scenario.steps.iter_mut().flat_map(|step| &mut step.transitions) {
            if transition.condition() == Some("otherwise") {
                transition.condition_text = Some(said_otherwise(&transition.condition_fields));
            }
        }
        Graph::new(scenario).ok()
    }

    /// The checksums of the current version: as it is, and in our words.
    fn checksums(&self) -> Option<(Value, Value)> {
        let original = Graph::new(parse(&self.0["current_scenario"])).ok()?;
        Some((json!(original.checksum()), json!(self.current()?.checksum())))
    }

    fn stored(&self) -> Option<Stored> {
        let maps = list(&self.0["plans"])
            .iter()
            .map(|plan| {
                let anchors = list(&plan["transformation_map"]["anchors"]);
                (parse(&plan["id"]), anchors.iter().map(mapped).collect())
            })
            .collect();
        Some(Stored { current: Arc::new(self.current()?), kept: self.kept(), maps })
    }

    /// A session that a policy keeps on its version goes on there. The original has dropped that version;
    /// a version with just the session's step in it is enough to decide that it stays.
    fn kept(&self) -> Option<Arc<Graph>> {
        let mark = text(&self.0["session"]["pending_migration"]["anchor_content_hash"]);
        let keeps = |plan: &Value| plan["anchor_policies"][mark]["update_downstream"] == false;
        list(&self.0["plans"]).iter().any(keeps).then(|| {
            let peer = &self.0["session"];
            let step = json!({"id": peer["active_step_id"], "name": "Where the session stands"});
            let version = json!({
                "id": peer["active_scenario_id"],
                "name": "The version that the session walks",
                "version": peer["active_scenario_version"],
                "entry_step_id": peer["active_step_id"],
                "steps": [step],
            });
            Arc::new(Graph::new(parse(&version)).unwrap())
        })
    }

    fn own_checksum(&self) -> Checksum {
        let peer = &self.0["session"]["scenario_checksum"];
        match self.checksums() {
            Some((original, ours)) if original == *peer => parse(&ours),
            Some(_) | None => parse(peer),
        }
    }

    fn session(&self) -> Session {
        let peer = &self.0["session"];
        let started: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let step_id: StepId = parse(&peer["active_step_id"]);
        let step_history = history(peer);
        let visited = step_history.iter().rev().find(|visit| visit.step_id == step_id);
        let marked = &peer["pending_migration"]["anchor_content_hash"];
        let step_content_hash = visited
            .map(|visit| visit.step_content_hash)
            .or_else(|| serde_json::from_value(marked.clone()).ok())
            .unwrap_or(ContentHash(0));
        let given = |value: &Value| Known {
            value: value.clone(),
            source: Source::Given,
            confidence: 1.0,
            updated_at: started,
        };
        let variables = peer["variables"].as_object().unwrap();
        Session {
            id: parse(&peer["session_id"]),
            scenario_id: parse(&peer["active_scenario_id"]),
            version: parse(&peer["active_scenario_version"]),
            scenario_checksum: self
                .kept()
                .map_or_else(|| self.own_checksum(), |kept| kept.checksum()),
            channel: parse(&peer["channel"]),
            customer_id: self.0["profile"]["interlocutor_id"]
                .as_str()
                .map(|id| CustomerId::new(id).unwrap()),
            status: Status::Active,
            step_id,
            step_content_hash,
            variables: variables
                .iter()
                .map(|(name, value)| (FieldName::new(name.as_str()).unwrap(), given(value)))
                .collect(),
            step_history,
            messages: list(&self.0["message_history"]).iter().map(message).collect(),
            unconfirmed: self.profile_fields(|field| {
                (field["requires_confirmation"] == true).then(|| Extracted {
                    value: field["value"].clone(),
                    confidence: field["confidence"].as_f64().unwrap(),
                    source_quote: String::new(),
                })
            }),
            refused: BTreeMap::new(),
            fields_asked: std::collections::BTreeSet::new(),
            actions_due: Vec::new(),
            actions_done: Vec::new(),
            actions_ahead: Vec::new(),
            waiting_for: Vec::new(),
            settled: Vec::new(),
            turn_count: peer["turn_count"].as_u64().unwrap(),
            created_at: started,
            updated_at: started,
            stream_version: StreamVersion(1),
        }
    }

    fn profile_fields<T>(&self, read: impl Fn(&Value) -> Option<T>) -> BTreeMap<FieldName, T> {
        let fields = self.0["profile"]["fields"].as_object();
        fields
            .into_iter()
            .flatten()
            .filter_map(|(name, field)| {
                Some((FieldName::new(name.as_str()).unwrap(), read(field)?))
            })
            .collect()
    }

    /// The profile, and definitions by which its expired values are expired.
    fn profile(&self) -> (Profile, Definitions) {
        let now = self.now();
        let long_ago = now - SignedDuration::from_hours(24 * 365);
        let is_expired = |field: &Value| {
            field["status"] == "expired"
                || field["expires_at"]
                    .as_str()
                    .is_some_and(|at| at.parse::<Timestamp>().unwrap() <= now)
        };
        let fields = self.profile_fields(|field| {
            let usable = matches!(text(&field["status"]), "active" | "expired")
                && field["requires_confirmation"] != true;
            usable.then(|| Known {
                value: field["value"].clone(),
                source: Source::Operator,
                confidence: field["confidence"].as_f64().unwrap(),
                updated_at: if is_expired(field) { long_ago } else { now },
            })
        });
        let definitions = fields
            .keys()
            .map(|name| {
                let definition = Definition {
                    name: name.clone(),
                    value_type: ValueType::String,
                    display_name: None,
                    pattern: None,
                    values: Vec::new(),
                    extraction_hint: None,
                    collection_prompt: None,
                    expires_after_days: Some(30),
                };
                (name.clone(), definition)
            })
            .collect();
        (Profile { fields }, definitions)
    }

    /// The original's judge: yes where the fields that a transition names are at hand.
    fn judge(&self, condition: &str, session: &Session, profile: &Profile) -> Option<bool> {
        let at_hand = |name: &Value| {
            session.variables.contains_key(text(name)) || profile.fields.contains_key(text(name))
        };
        let mut transitions = list(&self.0["current_scenario"]["steps"])
            .iter()
            .flat_map(|step| list(&step["transitions"]));
        transitions
            .any(|transition| {
                let fields = list(&transition["condition_fields"]);
                let said = match text(&transition["condition_text"]).trim() {
                    "otherwise" => {
                        said_otherwise(&parse::<Vec<FieldName>>(&transition["condition_fields"]))
                    }
                    said => said.to_owned(),
                };
                said == condition && !fields.is_empty() && fields.iter().all(at_hand)
            })
            .then_some(true)
    }

    /// What the extractor answers, read as strictly as the original reads it.
    fn extraction(&self, field: &FieldName) -> Option<Extracted> {
        let raw = self.0["llm"]["responses"].get(field.as_str())?.as_str()?;
        let answer: Value = serde_json::from_str(raw).ok()?;
        (answer["found"] == true).then(|| Extracted {
            value: answer["value"].clone(),
            confidence: answer["confidence"].as_f64().unwrap_or_default(),
            source_quote: text(&answer["source_quote"]).to_owned(),
        })
    }

    pub fn decide(&self) -> Ours {
        let before = self.session();
        let Some(stored) = self.stored() else {
            // The original takes graphs that our validation refuses; no such version can be current.
            return Ours {
                after: before.clone(),
                before,
                decision: Decision::default(),
                pending: false,
                extracted: Vec::new(),
                checksums: None,
            };
        };
        let plans = self.plans();
        let (profile, definitions) = self.profile();
        let mut config = config::Migration::default();
        config.re_routing.notify_user = false;
        let (mut extractions, mut judgements) = (Extractions::new(), Judgements::new());
        let mut extracted = Vec::new();
        let decision = loop {
            let situation = Situation {
                session: &before,
                profile: &profile,
                plans: &plans,
                archive: &stored,
                current: &stored.current,
                definitions: &definitions,
                config: &config,
                extractor: Extractor::External(&extractions),
                judge: Judge::External(&judgements),
                now: self.now(),
            };
            match reconcile(&situation) {
                Ok(decision) => break decision,
                Err(Need::Extract { fields }) => {
                    for field in fields {
                        extractions.insert(field.clone(), self.extraction(&field));
                        extracted.push(field);
                    }
                }
                Err(Need::Judge { conditions }) => {
                    for condition in conditions {
                        let answer = self.judge(&condition, &before, &profile);
                        judgements.insert(condition, answer);
                    }
                }
            }
        };
        let mut after = before.clone();
        for event in &decision.events {
            after.apply(event, self.now());
        }
        let pending = pending(&after, &plans, &stored).is_some();
        Ours { before, after, decision, pending, extracted, checksums: self.checksums() }
    }
}

fn mapped(anchor: &Value) -> MappedAnchor {
    let upstream = &anchor["upstream_changes"];
    let ids = |list_of: &Value, name: &str| -> Vec<StepId> {
        list(list_of).iter().map(|node| parse(&node[name])).collect()
    };
    let content_hash: ContentHash = parse(&anchor["anchor_content_hash"]);
    MappedAnchor {
        key: parse(&anchor["anchor_content_hash"]),
        content_hash,
        v1: parse(&anchor["anchor_node_id_v1"]),
        v2: parse(&anchor["anchor_node_id_v2"]),
        migration_scenario: parse(&anchor["migration_scenario"]),
        inserted: ids(&upstream["inserted_nodes"], "node_id"),
        forks: ids(&upstream["new_forks"], "fork_node_id"),
    }
}

fn history(peer: &Value) -> Vec<Visit> {
    let peers = list(&peer["step_history"]);
    let mut visits: Vec<Visit> = Vec::new();
    for (nth, visit) in peers.iter().enumerate() {
        let Ok(hash) = serde_json::from_value::<ContentHash>(visit["step_content_hash"].clone())
        else {
            continue;
        };
        let step_id: StepId = parse(&visit["step_id"]);
        visits.retain(|seen| seen.step_id != step_id || seen.step_content_hash != hash);
        visits.push(Visit {
            step_id,
            step_name: text(&visit["step_name"]).to_owned(),
            step_content_hash: hash,
            is_checkpoint: visit["is_checkpoint"] == true,
            checkpoint_description: visit["checkpoint_description"].as_str().map(str::to_owned),
            entered_at: visit["entered_at"].as_str().unwrap().parse().unwrap(),
            turn_number: visit["turn_number"].as_u64().unwrap(),
            transition_reason: text(&visit["transition_reason"]).to_owned(),
            left_to: peers.get(nth + 1).map(|next| parse(&next["step_id"])),
        });
    }
    visits
}

fn message(message: &Value) -> Message {
    let role = if message["role"] == "user" { Role::User } else { Role::Assistant };
    Message { role, text: text(&message["content"]).to_owned() }
}

impl Ours {
    /// Our answer with the original's names.
    pub fn comparable(&self) -> Value {
        let result = &self.decision.result;
        let appended: Vec<Value> = self
            .after
            .step_history
            .iter()
            .filter(|visit| visit.transition_reason.starts_with("migration:"))
            .filter(|visit| !self.before.step_history.contains(visit))
            .map(|visit| {
                json!({
                    "step_id": visit.step_id,
                    "transition_reason": visit.transition_reason,
                    "turn_number": visit.turn_number,
                })
            })
            .collect();
        let variables: BTreeMap<&str, &Value> = self
            .after
            .variables
            .iter()
            .map(|(name, known)| (name.as_str(), &known.value))
            .collect();
        let checksum = match &self.checksums {
            Some((original, ours)) if *ours == json!(self.after.scenario_checksum) => {
                original.clone()
            }
            Some(_) | None => json!(self.after.scenario_checksum),
        };
        let writes = &self.decision.profile_writes;
        let writes: Vec<Value> = self
            .extracted
            .iter()
            .filter_map(|name| Some((name, writes.get(name)?)))
            .map(|(name, known)| {
                json!({"name": name, "value": known.value, "confidence": known.confidence})
            })
            .collect();
        json!({
            "result": serde_json::to_value(result).unwrap(),
            "session_after": {
                "active_scenario_id": self.after.scenario_id,
                "active_step_id": self.after.step_id,
                "active_scenario_version": self.after.version,
                "scenario_checksum": checksum,
                "pending_migration": self.pending,
                "variables": variables,
                "history_appended": appended,
            },
            "profile_writes": writes,
            "llm_calls": self.extracted,
        })
    }

    /// Our whole answer, as it is pinned.
    pub fn pinned(&self) -> Value {
        let mut answer = self.comparable();
        let result = answer["result"].as_object_mut().unwrap();
        result
            .retain(|_, value| !(value.is_null() || value == &json!([]) || value == &json!(false)));
        answer
    }

    pub fn reason(&self) -> &str {
        self.decision.result.reason.as_deref().unwrap_or("nothing concerns this session")
    }

    /// What must hold of every answer, whatever the case says.
    pub fn assert_sound(&self, case: &Case) {
        let id = case.id();
        let result = &self.decision.result;
        match result.action {
            Action::Continue => assert_eq!(self.after.step_id, self.before.step_id, "{id}"),
            Action::Teleport => {
                assert_eq!(Some(&self.after.step_id), result.target_step_id.as_ref(), "{id}");
                assert!(!self.pending, "{id}: a migrated session must not be marked still");
            }
            Action::Collect => {
                assert!(!result.collect_fields.is_empty() || !result.confirm.is_empty(), "{id}");
                assert_eq!(self.after.version, self.before.version, "{id}");
            }
            Action::ExecuteAction => assert!(!result.execute_action_ids.is_empty(), "{id}"),
            Action::ExitScenario => {
                assert_eq!(self.after.status, Status::Exited, "{id}");
                assert!(result.user_message.is_some(), "{id}");
            }
        }
        if result.blocked_by_checkpoint {
            assert!(result.checkpoint_warning.is_some(), "{id}");
            assert!(!self.pending, "{id}: a block lasts");
        }
        let moved = |event: &Event| match event {
            Event::MigrationApplied(applied) => applied.place.clone(),
            _ => None,
        };
        if let Some(place) = self.decision.events.iter().find_map(moved) {
            let visit = self.after.step_history.last().unwrap();
            // What was irreversible once stays so.
            assert!(visit.is_checkpoint || !place.is_checkpoint, "{id}");
            assert_eq!(visit.step_content_hash, place.step_content_hash, "{id}");
        }
    }
}
