//! What is known, and what conditions make of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::condition::{Facts, Truth, Unknown};
use crate::extract::claim;
use crate::fields::{Definitions, Known, Profile, Source};
use crate::ids::FieldName;
use crate::reconcile::{Judge, Need, Situation};
use crate::scenario::graph::Edge;
use crate::session::Session;

/// The data at hand. The session's own variables come first, because they are what was said here; then
/// what was found for this decision; then the profile, as far as it has not expired.
pub struct Evidence<'a> {
    session: &'a Session,
    profile: &'a Profile,
    definitions: &'a Definitions,
    judge: Judge<'a>,
    now: Timestamp,
    found: BTreeMap<FieldName, Value>,
}

/// What is made of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Yes,
    /// It does not hold.
    No,
    /// With these fields it could be said.
    Missing(Vec<FieldName>),
    /// It cannot be said, for this reason; no field would help.
    Undecidable(String),
}

impl<'a> Evidence<'a> {
    /// The data of a situation.
    #[must_use]
    pub fn new(situation: &Situation<'a>) -> Self {
        Self {
            session: situation.session,
            profile: situation.profile,
            definitions: situation.definitions,
            judge: situation.judge,
            now: situation.now,
            found: BTreeMap::new(),
        }
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &'a Session {
        self.session
    }

    /// Adds a value that was found for this decision.
    pub fn find(&mut self, field: FieldName, value: Value) {
        self.found.insert(field, value);
    }

    /// Whether the field has a value. A null of the session counts: somebody said that there is none.
    #[must_use]
    pub fn knows(&self, field: &FieldName) -> bool {
        self.variable(field.as_str()).is_some()
            || self.found.contains_key(field)
            || self.in_profile(field.as_str()).is_some()
    }

    /// The session's value of a field. A copy of the profile's counts no longer than the profile's own,
    /// and only where the profile no longer has one.
    #[must_use]
    pub fn variable(&self, field: &str) -> Option<&'a Known> {
        let known = self.session.variables.get(field)?;
        let is_outdated = known.source == Source::Profile
            && (self.in_profile(field).is_some()
                || self
                    .definitions
                    .get(field)
                    .is_some_and(|definition| definition.is_expired(known, self.now)));
        (!is_outdated).then_some(known)
    }

    /// The profile's value of a field, unless it has expired.
    #[must_use]
    pub fn in_profile(&self, field: &str) -> Option<&'a Known> {
        let known = self.profile.current(self.definitions, self.now).known(field)?;
        (!known.value.is_null()).then_some(known)
    }

    /// Whether the condition of a transition holds. (`otherwise` by itself holds.)
    ///
    /// # Errors
    /// When a judge has to be asked first.
    pub fn holds(&self, edge: &Edge) -> Result<Verdict, Need> {
        let Some(condition) = edge.condition.as_deref() else { return Ok(Verdict::Yes) };
        Ok(match condition.evaluate(self) {
            Truth::True => Verdict::Yes,
            Truth::False => Verdict::No,
            Truth::Unknown(Unknown::Missing(fields)) => Verdict::Missing(fields),
            Truth::Unknown(Unknown::TypeError(error)) => {
                Verdict::Undecidable(format!("`{}`: {error}", condition.text()))
            }
            Truth::Unknown(Unknown::Unjudged) => self.judged(condition.text())?,
        })
    }

    /// Whether the condition of a transition holds, as [`holds`](Self::holds). If a judge has to be asked,
    /// it is asked about all conditions of the fork at once.
    ///
    /// # Errors
    /// When a judge has to be asked first.
    pub fn holds_at(&self, edge: &Edge, fork: &[Edge]) -> Result<Verdict, Need> {
        self.holds(edge).map_err(|need| match need {
            Need::Judge { mut conditions } => {
                for other in fork.iter().filter_map(|other| other.condition.as_deref()) {
                    let is_new = !conditions.iter().any(|named| named == other.text());
                    if is_new
                        && other.evaluate(self) == Truth::Unknown(Unknown::Unjudged)
                        && self.judged(other.text()).is_err()
                    {
                        conditions.push(other.text().to_owned());
                    }
                }
                Need::Judge { conditions }
            }
            Need::Extract { fields } => Need::Extract { fields },
        })
    }

    fn judged(&self, condition: &str) -> Result<Verdict, Need> {
        let need = || Need::Judge { conditions: vec![condition.to_owned()] };
        let undecidable =
            |why: &str| Verdict::Undecidable(format!("nobody could judge `{condition}`{why}"));
        Ok(match self.judge {
            Judge::Nobody => undecidable(""),
            Judge::External(judgements) => match judgements.get(condition).ok_or_else(need)? {
                Some(true) => Verdict::Yes,
                Some(false) => Verdict::No,
                None => undecidable(""),
            },
            Judge::Advised(advice) => match advice.judgement(condition).ok_or_else(need)? {
                Ok(made) if !made.holds => Verdict::No,
                Ok(made) if claim::is_said(&self.session.messages, &made.quote) => Verdict::Yes,
                Ok(_) => {
                    undecidable(" (what the language model quotes is not in the customer's words)")
                }
                Err(silence) => undecidable(&format!(" (of the language model: {silence})")),
            },
        })
    }
}

impl Facts for Evidence<'_> {
    fn get(&self, field: &str) -> Option<&Value> {
        self.variable(field)
            .map(|known| &known.value)
            .or_else(|| self.found.get(field))
            .or_else(|| self.in_profile(field).map(|known| &known.value))
    }

    fn is_defined(&self, field: &str) -> bool {
        self.get(field).is_some() || self.definitions.contains_key(field)
    }
}
