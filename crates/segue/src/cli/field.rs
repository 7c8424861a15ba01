//! `segue field`: how data is typed, asked for and found.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::Remote;
use super::failure::Failure;
use super::input::part;
use super::screen::{items, plain};

/// `segue field …`
#[derive(Debug, Subcommand)]
pub enum Field {
    /// Define a field, or define it anew
    Put(Put),
    /// List the tenant's fields
    List {
        #[command(flatten)]
        remote: Remote,
    },
}

/// `segue field put`
#[derive(Debug, clap::Args)]
pub struct Put {
    /// The field's name
    name: String,
    /// Its type: string, integer, number, boolean, date, email, phone or enum
    #[arg(long = "type", value_name = "TYPE")]
    value_type: String,
    /// What people call it
    #[arg(long)]
    display_name: Option<String>,
    /// A regular expression that the whole value must match
    #[arg(long)]
    pattern: Option<String>,
    /// An allowed value of an enum; give it once for each
    #[arg(long = "value", value_name = "VALUE")]
    values: Vec<String>,
    /// A hint for an extractor
    #[arg(long)]
    extraction_hint: Option<String>,
    /// What to ask the customer
    #[arg(long)]
    prompt: Option<String>,
    /// Days after which a profile value no longer counts
    #[arg(long)]
    expires_after_days: Option<u32>,
    #[command(flatten)]
    remote: Remote,
}

impl Field {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Put(put) => put.run(),
            Self::List { remote } => list(&remote),
        }
    }
}

impl Put {
    fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.remote.open();
        let mut body = Map::from_iter([("value_type".to_owned(), json!(self.value_type))]);
        let optional = [
            ("display_name", self.display_name.map(Value::from)),
            ("pattern", self.pattern.map(Value::from)),
            ("values", (!self.values.is_empty()).then(|| json!(self.values))),
            ("extraction_hint", self.extraction_hint.map(Value::from)),
            ("collection_prompt", self.prompt.map(Value::from)),
            ("expires_after_days", self.expires_after_days.map(Value::from)),
        ];
        body.extend(optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        let field = client.put(&format!("/fields/{}", part(&self.name)), &Value::Object(body))?;
        if !screen.prints_json(&field) {
            screen.line(format!(
                "field {} is {}",
                plain(&field["name"]),
                plain(&field["value_type"])
            ));
        }
        Ok(())
    }
}

fn list(remote: &Remote) -> Result<(), Failure> {
    let (client, screen) = remote.open();
    let answer = client.get("/fields", &[])?;
    if screen.prints_json(&answer) {
        return Ok(());
    }
    let fields = items(&answer, "fields");
    let row = |field: &Value| {
        let keys = ["name", "value_type", "display_name", "pattern", "values", "collection_prompt"];
        keys.iter().map(|key| plain(&field[*key])).collect()
    };
    let header = ["NAME", "TYPE", "CALLED", "PATTERN", "VALUES", "PROMPT"];
    screen.table(&header, fields.iter().map(row).collect());
    screen.end_of_list(fields.len(), &answer);
    Ok(())
}
