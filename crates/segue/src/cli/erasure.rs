//! `segue stream redact` and `segue customer erase`: what customers may ask to be forgotten.

use clap::Subcommand;
use segue_core::ids::{CustomerId, StreamId};
use serde_json::{Value, json};

use super::Remote;
use super::confirm::{Answer, ask};
use super::failure::Failure;
use super::input::part;
use super::screen::plain;

/// `segue stream redact`
#[derive(Debug, clap::Args)]
pub struct Redact {
    /// The stream, such as session-6f1c…
    stream: StreamId,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    remote: Remote,
}

/// `segue customer …`
#[derive(Debug, Subcommand)]
pub enum Customer {
    /// Erase a customer: every session, and the profile
    Erase {
        /// The customer
        customer: CustomerId,
        #[command(flatten)]
        asked: Asked,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Who asks, and why.
#[derive(Debug, clap::Args)]
pub struct Asked {
    /// Who erases; stays on record
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// Why; stays on record, so it should not repeat what is erased
    #[arg(long)]
    reason: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Redact {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        let Self { stream, asked, remote } = self;
        asked.confirm(&format!("erase everything that stream {stream} says, for ever"))?;
        let (client, screen) = remote.open();
        let path = format!("/streams/{}/redact", part(stream.as_str()));
        let answer = client.post(&path, &asked.body())?;
        if !screen.prints_json(&answer) {
            screen.line(format!(
                "{} events of stream {stream} say nothing any more; position {} tells of it",
                plain(&answer["events_redacted"]),
                plain(&answer["position"]),
            ));
        }
        Ok(())
    }
}

impl Customer {
    /// Runs it, again and again until nothing is left.
    pub fn run(self) -> Result<(), Failure> {
        let Self::Erase { customer, asked, remote } = self;
        asked.confirm(&format!("erase every session and the profile of {customer}, for ever"))?;
        let (client, screen) = remote.open();
        let path = format!("/customers/{}/erase", part(customer.as_str()));
        let mut done = json!({ "customer_id": customer });
        let (mut streams, mut events) = (0, 0);
        loop {
            let answer = client.post(&path, &asked.body())?;
            streams += answer["streams_redacted"].as_u64().unwrap_or(0);
            events += answer["events_redacted"].as_u64().unwrap_or(0);
            let left = answer["sessions_left"].as_u64().unwrap_or(0);
            if left == 0 {
                break;
            }
            eprintln!("{streams} streams erased, {left} sessions left");
        }
        done["streams_redacted"] = streams.into();
        done["events_redacted"] = events.into();
        if !screen.prints_json(&done) {
            screen.line(format!(
                "customer {customer} is erased: {events} events of {streams} streams say nothing any more"
            ));
        }
        Ok(())
    }
}

impl Asked {
    fn body(&self) -> Value {
        json!({ "redacted_by": self.by, "reason": self.reason })
    }

    /// Asks before it cannot be taken back.
    fn confirm(&self, what: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        let refused = |why: &str| Err(Failure::Other(format!("{why}; nothing was erased")));
        match ask(&format!("This will {what}.")) {
            Answer::Yes => Ok(()),
            Answer::No => refused("it was not confirmed"),
            Answer::Nobody => refused("this cannot be taken back: add --yes"),
        }
    }
}
