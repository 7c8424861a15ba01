//! `segue session`: customers on their way.

use clap::Subcommand;
use segue_core::ids::{ScenarioId, SessionId};
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::input::{Setting, object};
use super::screen::{Screen, items, plain, when};
use super::{Paging, Remote};

/// `segue session …`
#[derive(Debug, Subcommand)]
pub enum Session {
    /// Start a session on the current version of a scenario
    Start(Start),
    /// List sessions
    List(List),
    /// Show a session, with its pending migration
    Show {
        /// The session
        session: SessionId,
        #[command(flatten)]
        remote: Remote,
    },
    /// Take a turn: what the customer says, and what is known or done now
    Turn(Turn),
    /// List what happened in a session
    Events {
        /// The session
        session: SessionId,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        remote: Remote,
    },
}

/// `segue session start`
#[derive(Debug, clap::Args)]
pub struct Start {
    /// The scenario
    scenario: ScenarioId,
    /// Where the conversation takes place, such as whatsapp
    #[arg(long)]
    channel: String,
    /// Whose profile it reads and writes
    #[arg(long)]
    customer: Option<String>,
    /// What is known from the start
    #[arg(long = "var", value_name = "NAME=VALUE")]
    variables: Vec<Setting>,
    #[command(flatten)]
    remote: Remote,
}

/// `segue session list`
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only of this scenario
    #[arg(long)]
    scenario: Option<ScenarioId>,
    /// Only on this version
    #[arg(long)]
    version: Option<u64>,
    /// Only at this step
    #[arg(long)]
    step: Option<String>,
    /// Only on this channel
    #[arg(long)]
    channel: Option<String>,
    /// Only of this customer
    #[arg(long)]
    customer: Option<String>,
    /// Only those that a deployed plan waits for
    #[arg(long)]
    pending: bool,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    remote: Remote,
}

/// `segue session turn`
#[derive(Debug, clap::Args)]
pub struct Turn {
    /// The session
    session: SessionId,
    /// What the customer wrote
    #[arg(long, short)]
    message: Option<String>,
    /// A value that is known now
    #[arg(long = "field", value_name = "NAME=VALUE")]
    fields: Vec<Setting>,
    /// The customer's word on a value that was found: NAME=true or NAME=false
    #[arg(long = "confirm", value_name = "NAME=BOOL")]
    confirmations: Vec<Setting>,
    /// A step whose action has been run
    #[arg(long = "action-done", value_name = "STEP")]
    actions_done: Vec<String>,
    /// The step where your agent decided to go
    #[arg(long)]
    step: Option<String>,
    /// A repetition with the same key is not taken twice
    #[arg(long)]
    idempotency_key: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl Session {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Start(start) => start.run(),
            Self::List(list) => list.run(),
            Self::Show { session, remote } => show(session, &remote),
            Self::Turn(turn) => turn.run(),
            Self::Events { session, paging, remote } => events(session, &paging, &remote),
        }
    }
}

/// A JSON object of those that are there.
fn given(pairs: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(pairs.collect::<Map<_, _>>())
}

impl Start {
    fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.remote.open();
        let body = given([
            ("scenario_id", Some(json!(self.scenario))),
            ("channel", Some(json!(self.channel))),
            ("customer_id", self.customer.map(Value::from)),
            ("variables", (!self.variables.is_empty()).then(|| object(&self.variables))),
        ]);
        let session = client.post("/sessions", &body)?;
        if !screen.prints_json(&session) {
            screen.line(format!(
                "session {} stands at {}, version {}",
                screen.bold(&plain(&session["id"])),
                plain(&session["step_id"]),
                plain(&session["version"]),
            ));
        }
        Ok(())
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.remote.open();
        let mut query = self.paging.query();
        let filters = [
            ("scenario_id", self.scenario.map(|id| id.to_string())),
            ("version", self.version.map(|version| version.to_string())),
            ("step_id", self.step),
            ("channel", self.channel),
            ("customer_id", self.customer),
            ("pending", self.pending.then(|| "true".to_owned())),
        ];
        query.extend(filters.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let answer = client.get("/sessions", &query)?;
        if screen.prints_json(&answer) {
            return Ok(());
        }
        let sessions = items(&answer, "sessions");
        let row = |session: &Value| {
            vec![
                plain(&session["id"]),
                plain(&session["channel"]),
                plain(&session["customer_id"]),
                plain(&session["version"]),
                plain(&session["step_id"]),
                screen.word(&plain(&session["status"])),
                pending(session),
            ]
        };
        let header = ["ID", "CHANNEL", "CUSTOMER", "VERSION", "STEP", "STATUS", "MIGRATION"];
        screen.table(&header, sessions.iter().map(row).collect());
        screen.end_of_list(sessions.len(), &answer);
        Ok(())
    }
}

fn pending(session: &Value) -> String {
    match &session["pending_migration"] {
        Value::Null => String::new(),
        pending => format!("to {} pending", plain(&pending["target_version"])),
    }
}

fn show(session: SessionId, remote: &Remote) -> Result<(), Failure> {
    let (client, screen) = remote.open();
    let answer = client.get(&format!("/sessions/{session}"), &[])?;
    if !screen.prints_json(&answer) {
        facts(&screen, &answer);
    }
    Ok(())
}

fn facts(screen: &Screen, session: &Value) {
    let variables = session["variables"].as_object().into_iter().flatten();
    let variables = variables.map(|(name, known)| format!("{name} = {}", plain(&known["value"])));
    let visited = items(session, "step_history").iter().map(|visit| plain(&visit["step_id"]));
    screen.facts(&[
        ("session", plain(&session["id"])),
        ("status", screen.word(&plain(&session["status"]))),
        ("scenario", plain(&session["scenario_id"])),
        ("version", plain(&session["version"])),
        ("step", screen.bold(&plain(&session["step_id"]))),
        ("channel", plain(&session["channel"])),
        ("customer", plain(&session["customer_id"])),
        ("variables", variables.collect::<Vec<_>>().join(", ")),
        ("visited", visited.collect::<Vec<_>>().join(" → ")),
        ("turns", plain(&session["turn_count"])),
        ("started", when(&session["created_at"])),
        ("changed", when(&session["updated_at"])),
        ("migration", pending(session)),
    ]);
}

impl Turn {
    fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.remote.open();
        let some = |settings: &[Setting]| (!settings.is_empty()).then(|| object(settings));
        let body = given([
            ("message", self.message.map(|text| json!({ "text": text }))),
            ("fields", some(&self.fields)),
            ("confirmations", some(&self.confirmations)),
            ("actions_done", (!self.actions_done.is_empty()).then(|| json!(self.actions_done))),
            ("step_id", self.step.map(Value::from)),
        ]);
        let path = format!("/sessions/{}/turns", self.session);
        let answer = match &self.idempotency_key {
            Some(key) => client.post_once(&path, &body, key)?,
            None => client.post(&path, &body)?,
        };
        if !screen.prints_json(&answer) {
            told(&screen, &answer);
        }
        Ok(())
    }
}

/// What a turn answered, for people.
pub fn told(screen: &Screen, answer: &Value) {
    let reconciliation = &answer["reconciliation"];
    let confirm = items(reconciliation, "confirm").iter().map(|confirm| {
        format!(
            "{} = {} (“{}”)",
            plain(&confirm["field"]),
            plain(&confirm["value"]),
            plain(&confirm["source_quote"])
        )
    });
    let asked = match plain(&reconciliation["collect_fields"]) {
        text if text.is_empty() => plain(&answer["collect_fields"]),
        text => text,
    };
    screen.facts(&[
        ("action", screen.word(&plain(&reconciliation["action"]))),
        ("migration", screen.word(&plain(&reconciliation["migration_scenario"]))),
        ("why", plain(&reconciliation["reason"])),
        ("moved to", plain(&reconciliation["target_step_id"])),
        ("warning", plain(&reconciliation["checkpoint_warning"])),
        ("confirm", confirm.collect::<Vec<_>>().join(", ")),
        ("run", plain(&reconciliation["execute_action_ids"])),
        ("asked for", asked),
        ("tell", plain(&reconciliation["user_message"])),
        ("entered", plain(&answer["entered_steps"])),
        ("prompt", plain(&answer["prompt"])),
        ("stands at", screen.bold(&plain(&answer["session"]["step_id"]))),
        ("version", plain(&answer["session"]["version"])),
        ("status", screen.word(&plain(&answer["session"]["status"]))),
    ]);
}

fn events(session: SessionId, paging: &Paging, remote: &Remote) -> Result<(), Failure> {
    let (client, screen) = remote.open();
    let answer = client.get(&format!("/sessions/{session}/events"), &paging.query())?;
    if screen.prints_json(&answer) {
        return Ok(());
    }
    let events = items(&answer, "events");
    for event in events {
        let head = format!("{:>4}  {}", plain(&event["version"]), when(&event["recorded_at"]));
        screen.line(format!(
            "{}  {}",
            screen.dim(&head),
            screen.bold(&plain(&event["event_type"]))
        ));
        screen.line(screen.dim(&format!("      {}", event["payload"])));
    }
    screen.end_of_list(events.len(), &answer);
    Ok(())
}
