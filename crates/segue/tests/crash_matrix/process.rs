//! The process that dies: this test binary once more, which tells a story over the same databases.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Arc;

use segue_core::ids::TenantId;
use serde::{Deserialize, Serialize};

use super::databases::Address;
use super::fate::{Bend, DIES, Fate, HAD, Point};
use super::story::{Story, Teller};
use crate::moves::PATIENCE;

/// The test that is that process.
pub const ENTRY: &str = "the_process_that_dies";

/// The environment variable with its orders.
const ORDERS: &str = "SEGUE_CRASH_MATRIX";

/// The signal that `abort` raises.
const SIGABRT: i32 = 6;

/// What a process is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orders {
    pub address: Address,
    pub tenant: TenantId,
    pub story: Story,
    /// Where it dies; nowhere if it is to tell its story to the end.
    pub dies: Option<Point>,
    pub bend: Bend,
}

impl Orders {
    /// Lets a process live as ordered, and answers with the effects that it has had.
    ///
    /// # Errors
    /// What it said, if it did not end as ordered.
    pub async fn carried_out(self) -> Result<Vec<String>, String> {
        tokio::task::spawn_blocking(move || self.run()).await.unwrap()
    }

    fn run(&self) -> Result<Vec<String>, String> {
        let orders = serde_json::to_string(self).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([ENTRY, "--exact", "--ignored", "--nocapture"]).env(ORDERS, orders);
        let ended = command.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        let last = said.lines().rfind(|line| line.starts_with(DIES));
        let is_as_ordered = match &self.dies {
            None => ended.status.success(),
            Some(point) => {
                let there = last == Some(&format!("{DIES}{point}"));
                there && ended.status.signal() == Some(SIGABRT)
            }
        };
        if !is_as_ordered {
            let ordered = self.dies.as_ref().map_or("live".to_owned(), |at| format!("die {at}"));
            return Err(format!("it was to {ordered}, but: {}\n{said}", ended.status));
        }
        Ok(said.lines().filter_map(|line| line.strip_prefix(HAD)).map(str::to_owned).collect())
    }
}

/// Carries out the orders of the environment, if this process has any.
pub fn live() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let Orders { address, tenant, story, dies, bend } = serde_json::from_str(&orders).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let fate = Arc::new(Fate::dies(dies, bend));
        let world = address.world(tenant, &fate).await;
        world.moves.attend();
        let telling = story.tell(&world, Teller::First, &fate);
        tokio::time::timeout(PATIENCE, telling).await.expect("the story comes to its end");
        let _rests = tokio::time::timeout(PATIENCE, fate.rests()).await.expect("effects end");
    });
}
