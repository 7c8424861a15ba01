//! Counting outcomes: exact numbers, few examples, bounded in size whatever the sessions are.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::outcome::{Kind, Outcome};
use crate::ids::{Channel, SessionId, StepId, Version};
use crate::session::Session;

/// The most outcomes that are told apart, a rest of each kind aside.
pub const MAX_GROUPS: usize = 4_096;

/// The most bytes that they take.
const MAX_BYTES: usize = 1024 * 1024;

/// Examples of one kind.
const SAMPLES_PER_KIND: usize = 20;

/// Examples of one outcome, so that a frequent one does not take the place of the others.
const SAMPLES_PER_GROUP: usize = 4;

/// The most bytes of an example's outcome; what takes more is told by its kind.
const SAMPLE_BYTES: usize = 2_048;

/// The longest reason of an example, in characters.
const REASON_CHARS: usize = 600;

/// An outcome, and how many sessions have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ForecastGroup))]
pub struct Group {
    /// What becomes of them.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How many they are.
    pub sessions: u64,
}

/// A session as an example of what becomes of many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ForecastSample))]
pub struct Sample {
    /// The session.
    pub session_id: SessionId,
    /// Where it stands.
    pub step_id: StepId,
    /// The version that it walks.
    pub version: Version,
    /// Where the conversation takes place.
    pub channel: Channel,
    /// What becomes of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Why, in words for people.
    pub reason: String,
}

/// Exact counts of outcomes, with examples.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    groups: Vec<Group>,
    index: HashMap<Outcome, u16>,
    bytes: usize,
    samples: Vec<Sample>,
    sampled: HashMap<Kind, usize>,
    sampled_of: HashMap<u16, usize>,
}

impl Tally {
    /// Counts a session, and answers with the number of its outcome among the [`Tally::groups`].
    pub fn add(&mut self, session: &Session, outcome: Outcome, reason: &str) -> u16 {
        let kind = outcome.kind();
        let nth = self.count(outcome.clone());
        let of_kind = self.sampled.entry(kind).or_default();
        let of_group = self.sampled_of.entry(nth).or_default();
        if *of_kind < SAMPLES_PER_KIND && *of_group < SAMPLES_PER_GROUP {
            *of_kind += 1;
            *of_group += 1;
            let is_short = outcome.weight() <= SAMPLE_BYTES;
            self.samples.push(Sample {
                session_id: session.id,
                step_id: session.step_id.clone(),
                version: session.version,
                channel: session.channel.clone(),
                outcome: if is_short { outcome } else { Outcome::Rest { of: kind } },
                reason: reason.chars().take(REASON_CHARS).collect(),
            });
        }
        nth
    }

    /// Counts an outcome without an example.
    pub fn count(&mut self, outcome: Outcome) -> u16 {
        let nth = match self.index.get(&outcome) {
            Some(nth) => *nth,
            None => self.new_group(outcome),
        };
        self.groups[usize::from(nth)].sessions += 1;
        nth
    }

    /// A place for an outcome that was not met before: its own, or where there are too many of them that of
    /// the rest of its kind.
    fn new_group(&mut self, outcome: Outcome) -> u16 {
        let weight = outcome.weight();
        let is_full = self.groups.len() >= MAX_GROUPS || self.bytes + weight > MAX_BYTES;
        let outcome = if is_full { Outcome::Rest { of: outcome.kind() } } else { outcome };
        if let Some(nth) = self.index.get(&outcome) {
            return *nth;
        }
        let nth = u16::try_from(self.groups.len()).expect("the groups are some thousands at most");
        self.bytes += weight;
        self.index.insert(outcome.clone(), nth);
        self.groups.push(Group { outcome, sessions: 0 });
        nth
    }

    /// The outcomes in the order in which they were met.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The examples.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The outcomes and the examples, to be kept.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Group>, Vec<Sample>) {
        (self.groups, self.samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirected(nth: usize) -> Outcome {
        let step = |name: String| StepId::new(name).unwrap();
        Outcome::Redirected { from: step(format!("from-{nth}")), to: step("away".to_owned()) }
    }

    #[test]
    fn more_outcomes_than_are_told_apart_are_still_counted_exactly_by_kind() {
        let mut tally = Tally::default();
        for nth in 0..MAX_GROUPS + 500 {
            tally.count(redirected(nth));
        }
        tally.count(redirected(7));
        assert_eq!(tally.groups().len(), MAX_GROUPS + 1);
        let all: u64 = tally.groups().iter().map(|group| group.sessions).sum();
        assert_eq!(all, MAX_GROUPS as u64 + 501);
        let rest = tally.groups().last().unwrap();
        assert_eq!(rest, &Group { outcome: Outcome::Rest { of: Kind::Redirected }, sessions: 500 });
        assert_eq!(tally.groups()[7].sessions, 2);
    }

    #[test]
    fn long_names_leave_room_for_fewer_outcomes() {
        let mut tally = Tally::default();
        let long = "x".repeat(100);
        for nth in 0..MAX_GROUPS {
            let step = StepId::new(format!("{long}-{nth}")).unwrap();
            let checkpoint = format!("{nth}").repeat(500);
            tally.count(Outcome::Blocked { from: step.clone(), to: step, checkpoint });
        }
        let kept = serde_json::to_vec(tally.groups()).unwrap().len();
        assert!(kept < 2 * MAX_BYTES, "{kept}");
        let all: u64 = tally.groups().iter().map(|group| group.sessions).sum();
        assert_eq!(all, MAX_GROUPS as u64);
    }
}
