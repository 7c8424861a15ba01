//! What becomes of a process: every effect that it has is named here, and at one of them it may die.

use std::collections::HashSet;
use std::fmt;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use tokio::sync::{RwLock, RwLockWriteGuard};

/// On which side of an effect a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    Before,
    After,
}

/// A fail point: one side of an effect, the first time that there is one of this name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    pub when: When,
    pub effect: String,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.when {
            When::Before => "before",
            When::After => "after",
        };
        write!(f, "{when} {}", self.effect)
    }
}

/// What is not as it should be in a process while it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bend {
    /// Nothing.
    Straight,
    /// Its imports do not arrive: what comes to a target is brought by the other process alone.
    NoImports,
    /// The next prepared target says that it ends elsewhere.
    OtherEnd,
    /// The target's events read otherwise than they were sent.
    Damaged,
    /// A fence is said to be there and is not. No store may do that; the matrix must notice.
    NoFence,
}

/// The fate of one process.
#[derive(Debug)]
pub struct Fate {
    /// Whether its effects are told on the standard error output.
    is_told: bool,
    dies: Option<Point>,
    bend: Mutex<Bend>,
    /// The last decision: effects are named after the one that they follow.
    since: Mutex<Option<&'static str>>,
    told: Mutex<HashSet<String>>,
    /// Held for reading by every effect while it is had.
    at_work: RwLock<()>,
}

/// Begins a line that tells of an effect.
pub const HAD: &str = "had ";

/// Begins the last line of a process that dies.
pub const DIES: &str = "dies ";

impl Fate {
    /// The fate of the process that lives on.
    pub fn lives() -> Self {
        Self::new(false, None, Bend::Straight)
    }

    /// The fate of the process that is watched, and dies where there is a point.
    pub fn dies(at: Option<Point>, bend: Bend) -> Self {
        Self::new(true, at, bend)
    }

    fn new(is_told: bool, dies: Option<Point>, bend: Bend) -> Self {
        let (bend, since, told) = (Mutex::new(bend), Mutex::default(), Mutex::default());
        Self { is_told, dies, bend, since, told, at_work: RwLock::default() }
    }

    /// Waits until every effect that has begun is over, and lets none begin after it: what is done may be seen
    /// before the one who did it hears so, and a process that ends in between would not come to its point.
    pub async fn rests(&self) -> RwLockWriteGuard<'_, ()> {
        self.at_work.write().await
    }

    pub fn bend(&self, bend: Bend) {
        *self.bend.lock().unwrap() = bend;
    }

    pub fn is_bent(&self, bend: Bend) -> bool {
        *self.bend.lock().unwrap() == bend
    }

    /// Whether one of these was the last decision.
    pub fn follows(&self, decisions: &[&str]) -> bool {
        self.since.lock().unwrap().is_some_and(|since| decisions.contains(&since))
    }

    /// Has an effect that follows the last decision.
    pub async fn has<T, E>(
        &self,
        effect: impl fmt::Display,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.has_at_any_time(self.named(effect), work).await
    }

    fn named(&self, effect: impl fmt::Display) -> String {
        let since = *self.since.lock().unwrap();
        since.map_or_else(|| effect.to_string(), |since| format!("{since} / {effect}"))
    }

    /// Has an effect that comes beside all others.
    pub async fn has_at_any_time<T, E>(
        &self,
        effect: String,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let _at_work = self.at_work.read().await;
        self.comes_to(When::Before, &effect);
        let done = work.await?;
        self.comes_to(When::After, &effect);
        if self.is_told && self.told.lock().unwrap().insert(effect.clone()) {
            eprintln!("{HAD}{effect}");
        }
        Ok(done)
    }

    /// Decides something. What follows may begin before its answer is here: another task hears of it too.
    pub async fn decides<T, E>(
        &self,
        decision: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let named = self.named(format!("decide {decision}"));
        let before = self.since.lock().unwrap().replace(decision);
        let decided = self.has_at_any_time(named, work).await;
        if decided.is_err() {
            *self.since.lock().unwrap() = before;
        }
        decided
    }

    fn comes_to(&self, when: When, effect: &str) {
        if self.dies.as_ref().is_some_and(|at| at.when == when && at.effect == effect) {
            let point = Point { when, effect: effect.to_owned() };
            eprintln!("{DIES}{point}");
            std::process::abort();
        }
    }
}
