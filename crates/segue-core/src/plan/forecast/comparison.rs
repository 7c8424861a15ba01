//! Forecast against actual.

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use super::tally::{Group, Tally};
use crate::ids::{SessionId, StreamVersion};

/// How many sessions that went otherwise are named.
pub const MAX_DIFFERING: usize = 50;

/// What was first decided for a session by the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actual {
    /// The session.
    pub session_id: SessionId,
    /// The version of its stream before that turn; nothing where an older release decided.
    pub version: Option<StreamVersion>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What had been foreseen for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreseen<'a> {
    /// The version of its stream that this was foreseen on.
    pub version: StreamVersion,
    /// The outcome.
    pub outcome: &'a Outcome,
}

/// Why a session went otherwise, as far as that can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ForecastDifference))]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It began after the forecast, or did not take turns then.
    NotForeseen,
    /// It took turns between the forecast and the decision.
    Changed,
    /// The turn that it was decided in brought values, a message, or what had been done.
    Brought,
    /// Neither: the customer's profile, the settings or the time of the deploy made the difference.
    Around,
}

/// A session that went otherwise than foreseen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ForecastDiffering))]
pub struct Differing {
    /// The session.
    pub session_id: SessionId,
    /// What had been foreseen; nothing if it was not.
    pub forecast: Option<Outcome>,
    /// What became of it.
    pub actual: Outcome,
    /// Why.
    pub because: Why,
    /// The version of its stream before the turn that it was decided in; nothing where that is not known.
    pub version: Option<StreamVersion>,
}

/// What was really decided, held against the forecast, session by session.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    tally: Tally,
    as_forecast: u64,
    differing: u64,
    differing_unchanged: u64,
    not_foreseen: u64,
    examples: Vec<Differing>,
}

impl Comparison {
    /// Takes a session's first decision in.
    pub fn add(&mut self, actual: Actual, foreseen: Option<Foreseen<'_>>) {
        self.tally.count(actual.outcome.clone());
        let because = match foreseen {
            None => {
                self.not_foreseen += 1;
                Why::NotForeseen
            }
            Some(foreseen) if foreseen.outcome.foresaw(&actual.outcome) => {
                self.as_forecast += 1;
                return;
            }
            Some(foreseen) => {
                self.differing += 1;
                if actual.version == Some(foreseen.version) {
                    self.differing_unchanged += 1;
                    Why::Around
                } else {
                    Why::Changed
                }
            }
        };
        if self.examples.len() < MAX_DIFFERING {
            self.examples.push(Differing {
                session_id: actual.session_id,
                forecast: foreseen.map(|foreseen| foreseen.outcome.clone()),
                actual: actual.outcome,
                because,
                version: actual.version,
            });
        }
    }

    /// The outcomes that were decided, with their numbers of sessions.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        self.tally.groups()
    }

    /// How many sessions went as foreseen.
    #[must_use]
    pub fn as_forecast(&self) -> u64 {
        self.as_forecast
    }

    /// How many went otherwise.
    #[must_use]
    pub fn differing(&self) -> u64 {
        self.differing
    }

    /// How many of these had not taken a turn between.
    #[must_use]
    pub fn differing_unchanged(&self) -> u64 {
        self.differing_unchanged
    }

    /// How many were not foreseen at all.
    #[must_use]
    pub fn not_foreseen(&self) -> u64 {
        self.not_foreseen
    }

    /// Some of those that went otherwise or were not foreseen.
    #[must_use]
    pub fn examples(&self) -> &[Differing] {
        &self.examples
    }

    /// Says of an example that its turn brought something.
    pub fn brought(&mut self, session: SessionId) {
        let of_session = |example: &&mut Differing| example.session_id == session;
        if let Some(example) = self.examples.iter_mut().find(of_session)
            && example.because == Why::Around
        {
            example.because = Why::Brought;
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ids::StepId;

    fn step(name: &str) -> StepId {
        StepId::new(name).unwrap()
    }

    fn actual(session: u128, version: u64, outcome: Outcome) -> Actual {
        let session_id = SessionId(Uuid::from_u128(session));
        Actual { session_id, version: Some(StreamVersion(version)), outcome }
    }

    #[test]
    fn sessions_are_as_foreseen_or_say_why_not() {
        let graft = Outcome::CleanGraft { to: step("checkout") };
        let moved = Outcome::Redirected { from: step("checkout"), to: step("rejection") };
        let foreseen = Foreseen { version: StreamVersion(3), outcome: &graft };
        let mut comparison = Comparison::default();
        comparison.add(actual(1, 3, graft.clone()), Some(foreseen));
        comparison.add(actual(2, 9, graft.clone()), Some(foreseen));
        comparison.add(actual(3, 3, moved.clone()), Some(foreseen));
        comparison.add(actual(4, 5, moved.clone()), Some(foreseen));
        comparison.add(actual(5, 1, moved.clone()), None);
        comparison.brought(SessionId(Uuid::from_u128(3)));
        comparison.brought(SessionId(Uuid::from_u128(4)));

        assert_eq!((comparison.as_forecast(), comparison.not_foreseen()), (2, 1));
        assert_eq!((comparison.differing(), comparison.differing_unchanged()), (2, 1));
        let why: Vec<Why> = comparison.examples().iter().map(|one| one.because).collect();
        assert_eq!(why, [Why::Brought, Why::Changed, Why::NotForeseen]);
        let counts: Vec<u64> = comparison.groups().iter().map(|group| group.sessions).collect();
        assert_eq!(counts, [2, 3]);
    }

    #[test]
    fn where_details_were_left_out_the_kind_decides() {
        let rest = Outcome::Rest { of: super::super::Kind::Kept };
        assert!(rest.foresaw(&Outcome::Kept { at: step("checkout") }));
        assert!(!rest.foresaw(&Outcome::OtherPlans));
        assert!(!Outcome::Kept { at: step("a") }.foresaw(&Outcome::Kept { at: step("b") }));
    }
}
