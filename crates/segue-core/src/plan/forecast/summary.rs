//! Outcomes as operators read them: how many of each kind, which fields, from where to where.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::outcome::{Kind, Outcome, Unaffected};
use super::tally::Group;
use crate::fields::Source;
use crate::ids::{FieldName, StepId};

/// The longest of a summary's lists.
pub const LISTED: usize = 200;

/// How many sessions a field, a step or a checkpoint concerns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ForecastCount))]
pub struct Count {
    /// The field's name, the step's id, the checkpoint's name.
    pub name: String,
    /// How many sessions.
    pub sessions: u64,
}

/// A field whose value is known, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ForecastFilled))]
pub struct FilledCount {
    /// The field.
    pub field: FieldName,
    /// Where its value is found.
    pub source: Source,
    /// For how many sessions.
    pub sessions: u64,
}

/// From one step to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ForecastWay))]
pub struct Way {
    /// Where they stand.
    pub from: StepId,
    /// Where they go on.
    pub to: StepId,
    /// How many sessions.
    pub sessions: u64,
}

/// What becomes of sessions, in numbers. The counts are exact; lists have the greatest 200 entries, those first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ForecastSummary))]
pub struct Summary {
    /// Sessions by what becomes of them: each in one of these.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::HashMap<String, u64>))]
    pub sessions_by_kind: BTreeMap<Kind, u64>,
    /// How many of them go on without a word to the customer: `unaffected`, `clean_graft` and `gap_fill`.
    pub silent: u64,
    /// Why the unaffected ones are.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::HashMap<String, u64>))]
    pub unaffected_because: BTreeMap<Unaffected, u64>,
    /// Fields whose missing values are known, for those who go on silently.
    pub filled: Vec<FilledCount>,
    /// Fields that customers are asked for.
    pub asked_fields: Vec<Count>,
    /// Fields whose value customers are asked to confirm.
    pub confirmed_fields: Vec<Count>,
    /// Steps whose action has to be run first.
    pub due_actions: Vec<Count>,
    /// Who is redirected where.
    pub redirected: Vec<Way>,
    /// Who goes on elsewhere because their step is gone.
    pub relocated: Vec<Way>,
    /// The checkpoints that block a move.
    pub blocking_checkpoints: Vec<Count>,
    /// Sessions of which no more than the kind is told, because there are too many different outcomes.
    pub without_details: u64,
}

impl Summary {
    /// Sums groups up.
    #[must_use]
    pub fn of(groups: &[Group]) -> Self {
        let mut sums = Sums::default();
        for Group { outcome, sessions } in groups {
            sums.add(outcome, *sessions);
        }
        sums.listed()
    }
}

/// A summary in the making, before its lists are cut.
#[derive(Default)]
struct Sums<'a> {
    summary: Summary,
    filled: BTreeMap<(&'a FieldName, Source), u64>,
    asked: BTreeMap<&'a str, u64>,
    confirmed: BTreeMap<&'a str, u64>,
    due: BTreeMap<&'a str, u64>,
    redirected: BTreeMap<(&'a StepId, &'a StepId), u64>,
    relocated: BTreeMap<(&'a StepId, &'a StepId), u64>,
    blocking: BTreeMap<&'a str, u64>,
}

impl<'a> Sums<'a> {
    fn add(&mut self, outcome: &'a Outcome, n: u64) {
        let kind = outcome.kind();
        *self.summary.sessions_by_kind.entry(kind).or_default() += n;
        if kind.is_silent() {
            self.summary.silent += n;
        }
        match outcome {
            Outcome::Unaffected { because } => {
                *self.summary.unaffected_because.entry(*because).or_default() += n;
            }
            Outcome::GapFill { filled, .. } => {
                for (field, source) in filled {
                    *self.filled.entry((field, *source)).or_default() += n;
                }
            }
            Outcome::Asked { fields, confirm } => {
                for field in fields {
                    *self.asked.entry(field.as_str()).or_default() += n;
                }
                for field in confirm {
                    *self.confirmed.entry(field.as_str()).or_default() += n;
                }
            }
            Outcome::ActionDue { steps } => {
                for step in steps {
                    *self.due.entry(step.as_str()).or_default() += n;
                }
            }
            Outcome::Redirected { from, to } => {
                *self.redirected.entry((from, to)).or_default() += n;
            }
            Outcome::Relocated { from, to } => {
                *self.relocated.entry((from, to)).or_default() += n;
            }
            Outcome::Blocked { checkpoint, .. } => {
                *self.blocking.entry(checkpoint).or_default() += n;
            }
            Outcome::Rest { .. } => self.summary.without_details += n,
            Outcome::OtherPlans
            | Outcome::CleanGraft { .. }
            | Outcome::Kept { .. }
            | Outcome::Exits { .. } => {}
        }
    }

    fn listed(self) -> Summary {
        let counts = |sums: BTreeMap<&str, u64>| -> Vec<Count> {
            let greatest = greatest(sums).into_iter();
            greatest.map(|(name, sessions)| Count { name: name.to_owned(), sessions }).collect()
        };
        let ways = |sums: BTreeMap<(&StepId, &StepId), u64>| -> Vec<Way> {
            let way = |((from, to), sessions): ((&StepId, &StepId), u64)| Way {
                from: from.clone(),
                to: to.clone(),
                sessions,
            };
            greatest(sums).into_iter().map(way).collect()
        };
        let filled = greatest(self.filled).into_iter();
        Summary {
            filled: filled
                .map(|((field, source), sessions)| FilledCount {
                    field: field.clone(),
                    source,
                    sessions,
                })
                .collect(),
            asked_fields: counts(self.asked),
            confirmed_fields: counts(self.confirmed),
            due_actions: counts(self.due),
            redirected: ways(self.redirected),
            relocated: ways(self.relocated),
            blocking_checkpoints: counts(self.blocking),
            ..self.summary
        }
    }
}

/// The entries with the greatest numbers, those first.
fn greatest<K: Ord>(sums: BTreeMap<K, u64>) -> Vec<(K, u64)> {
    let mut entries: Vec<(K, u64)> = sums.into_iter().collect();
    entries.sort_by(|(one, n), (other, m)| m.cmp(n).then_with(|| one.cmp(other)));
    entries.truncate(LISTED);
    entries
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn group(outcome: Outcome, sessions: u64) -> Group {
        Group { outcome, sessions }
    }

    #[test]
    fn each_session_counts_once_by_kind_and_for_each_of_its_fields() {
        let step = |name: &str| StepId::new(name).unwrap();
        let fields = |names: &[&str]| -> BTreeSet<FieldName> {
            names.iter().map(|name| FieldName::new(*name).unwrap()).collect()
        };
        let asked = |names: &[&str]| Outcome::Asked { fields: fields(names), confirm: fields(&[]) };
        let groups = [
            group(Outcome::Unaffected { because: Unaffected::OutOfScope }, 5),
            group(Outcome::CleanGraft { to: step("a") }, 7),
            group(asked(&["age"]), 2),
            group(asked(&["age", "email"]), 3),
            group(Outcome::Redirected { from: step("a"), to: step("b") }, 1),
            group(Outcome::Rest { of: Kind::Redirected }, 4),
        ];
        let summary = Summary::of(&groups);
        assert_eq!(summary.sessions_by_kind.values().sum::<u64>(), 22);
        assert_eq!(summary.sessions_by_kind[&Kind::Asked], 5);
        assert_eq!(summary.sessions_by_kind[&Kind::Redirected], 5);
        assert_eq!((summary.silent, summary.without_details), (12, 4));
        let asked: Vec<_> = summary
            .asked_fields
            .iter()
            .map(|count| (count.name.as_str(), count.sessions))
            .collect();
        assert_eq!(asked, [("age", 5), ("email", 3)]);
        assert_eq!(summary.redirected.len(), 1);
    }
}
