//! `segue subscription`: named consumers of the tenant log.

use clap::Subcommand;
use segue_core::ids::SubscriptionName;
use serde_json::{Value, json};

use super::events::{consume, tell};
use super::failure::Failure;
use super::input::part;
use super::screen::{Screen, items, plain, when};
use super::{Paging, Remote};

/// `segue subscription …`
#[derive(Debug, Subcommand)]
pub enum Subscription {
    /// Create a subscription; one that exists stays where it is
    Put(Put),
    /// List subscriptions, with how far behind each is
    List {
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show a subscription
    Show {
        /// Its name
        name: SubscriptionName,
        #[command(flatten)]
        remote: Remote,
    },
    /// Read what is not acknowledged yet
    Read(Read),
    /// Acknowledge everything up to a position
    Ack {
        /// The subscription
        name: SubscriptionName,
        /// The position of the last event that was dealt with
        position: u64,
        #[command(flatten)]
        remote: Remote,
    },
    /// Delete a subscription
    Delete {
        /// Its name
        name: SubscriptionName,
        #[command(flatten)]
        remote: Remote,
    },
}

/// `segue subscription put`
#[derive(Debug, clap::Args)]
pub struct Put {
    /// Its name
    name: SubscriptionName,
    /// Where it begins: beginning, now, or a position to begin after
    #[arg(long, default_value = "beginning")]
    from: String,
    /// Set one that exists to where a new one would begin, backwards too
    #[arg(long)]
    reset: bool,
    #[command(flatten)]
    remote: Remote,
}

/// `segue subscription read`
#[derive(Debug, clap::Args)]
pub struct Read {
    /// The subscription
    name: SubscriptionName,
    /// Events to read, 1 to 1000; of a page if followed
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Acknowledge what was printed
    #[arg(long)]
    ack: bool,
    /// Go on with events as they come; a lost server is tried again
    #[arg(long, requires = "ack")]
    follow: bool,
    #[command(flatten)]
    remote: Remote,
}

fn path(name: &SubscriptionName) -> String {
    format!("/subscriptions/{}", part(name.as_str()))
}

impl Subscription {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Put(put) => put.run(),
            Self::List { paging, remote } => list(&paging, &remote),
            Self::Show { name, remote } => {
                let (client, screen) = remote.open();
                facts(&screen, &client.get(&path(&name), &[])?);
                Ok(())
            }
            Self::Read(read) => read.run(),
            Self::Ack { name, position, remote } => {
                let (client, screen) = remote.open();
                let body = json!({ "position": position });
                facts(&screen, &client.post(&format!("{}/ack", path(&name)), &body)?);
                Ok(())
            }
            Self::Delete { name, remote } => {
                let (client, screen) = remote.open();
                let deleted = client.delete(&path(&name))?;
                if !screen.prints_json(&deleted) {
                    let at = plain(&deleted["position"]);
                    screen.line(format!("{name} is deleted; it had come to position {at}"));
                }
                Ok(())
            }
        }
    }
}

impl Put {
    fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.remote.open();
        let from = self.from.parse::<u64>().map_or(Value::from(self.from), Value::from);
        let body = json!({ "from": from, "reset": self.reset });
        facts(&screen, &client.put(&path(&self.name), &body)?);
        Ok(())
    }
}

impl Read {
    fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.remote.open();
        let path = path(&self.name);
        if self.follow {
            return consume(&client, &screen, &path, self.limit);
        }
        let answer = client.get(&format!("{path}/events"), &[("limit", self.limit.to_string())])?;
        if !screen.prints_json(&answer) {
            tell(&screen, items(&answer, "events"));
            self.end(&screen, &answer);
        }
        if self.ack && !items(&answer, "events").is_empty() {
            client.post(&format!("{path}/ack"), &json!({ "position": answer["next_after"] }))?;
        }
        Ok(())
    }

    /// Prints what a page says at its end.
    fn end(&self, screen: &Screen, answer: &Value) {
        let (next, head) = (plain(&answer["next_after"]), plain(&answer["head_position"]));
        let up_to = if next == head {
            format!("that is all, up to position {head}")
        } else {
            format!("up to position {next} of {head}")
        };
        let is_to_acknowledge = !self.ack && !items(answer, "events").is_empty();
        let text = if is_to_acknowledge {
            format!("{up_to}; they come again until `segue subscription ack {} {next}`", self.name)
        } else {
            up_to
        };
        screen.line(screen.dim(&text));
    }
}

fn list(paging: &Paging, remote: &Remote) -> Result<(), Failure> {
    let (client, screen) = remote.open();
    let answer = client.get("/subscriptions", &paging.query())?;
    if screen.prints_json(&answer) {
        return Ok(());
    }
    let subscriptions = items(&answer, "subscriptions");
    let row = |subscription: &Value| {
        vec![
            plain(&subscription["name"]),
            plain(&subscription["position"]),
            plain(&subscription["lag"]),
            when(&subscription["acknowledged_at"]),
        ]
    };
    let header = ["NAME", "POSITION", "LAG", "ACKNOWLEDGED"];
    screen.table(&header, subscriptions.iter().map(row).collect());
    screen.end_of_list(subscriptions.len(), &answer);
    Ok(())
}

fn facts(screen: &Screen, subscription: &Value) {
    if screen.prints_json(subscription) {
        return;
    }
    screen.facts(&[
        ("subscription", screen.bold(&plain(&subscription["name"]))),
        ("position", plain(&subscription["position"])),
        ("log at", plain(&subscription["head_position"])),
        ("lag", plain(&subscription["lag"])),
        ("created", when(&subscription["created_at"])),
        ("acknowledged", when(&subscription["acknowledged_at"])),
    ]);
}
