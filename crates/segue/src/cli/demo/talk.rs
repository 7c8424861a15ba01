//! Customers who keep talking while something else happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use segue_core::ids::TenantId;
use serde_json::json;

use crate::cli::client::Client;
use crate::cli::failure::Failure;

/// How long a customer thinks between two messages.
const PAUSE: Duration = Duration::from_millis(10);

/// A conversation in each of some sessions.
pub struct Talk {
    is_over: Arc<AtomicBool>,
    customers: Vec<JoinHandle<Result<Turns, Failure>>>,
}

/// What was answered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Turns {
    /// How many turns.
    pub answered: u64,
    /// How long the one took that took longest.
    pub longest: Duration,
}

impl Talk {
    /// Lets the customers of these sessions talk.
    pub fn begin(url: &str, tenant: TenantId, sessions: Vec<String>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let customers = sessions.into_iter().map(|session| {
            let (client, is_over) = (Client::new(url, tenant), is_over.clone());
            std::thread::spawn(move || talk(&client, &session, &is_over))
        });
        let customers = customers.collect();
        Self { is_over, customers }
    }

    /// Ends it, and tells what was answered; a turn that failed is a failure.
    pub fn end(self) -> Result<Turns, Failure> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Turns::default();
        for customer in self.customers {
            let broken = |_| Failure::Other("a customer of the demo broke off".to_owned());
            let turns = customer.join().map_err(broken)??;
            all.answered += turns.answered;
            all.longest = all.longest.max(turns.longest);
        }
        Ok(all)
    }
}

fn talk(client: &Client, session: &str, is_over: &AtomicBool) -> Result<Turns, Failure> {
    let mut turns = Turns::default();
    let says = json!({ "message": { "text": "Is there any news?" } });
    while !is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        client.post(&format!("/sessions/{session}/turns"), &says)?;
        turns.answered += 1;
        turns.longest = turns.longest.max(begun.elapsed());
        std::thread::sleep(PAUSE);
    }
    Ok(turns)
}
