//! Where missed data comes from: the profile, the session, the conversation, the customer.
//!
//! A value found in the conversation is used from one confidence on
//! (`gap_fill.extraction_confidence_threshold`); below a second, higher one
//! (`gap_fill.confirmation_threshold`) it waits for the customer's word first, and only then is it
//! written to the profile. A value that the customer refused is not used again.
//!
//! A language model is asked about what the customer would be asked about, and about nothing else. What it
//! claims waits for the customer's word whatever the thresholds are: it turns an open question into one
//! that is answered by yes or no.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::extract;
use crate::extract::claim::{self, Question};
use crate::fields::{Known, Source, ValueType};
use crate::ids::FieldName;
use crate::reconcile::advice::{Advice, Claims, Unhelped};
use crate::reconcile::evidence::{Evidence, Verdict};
use crate::reconcile::{Confirm, Extractor, Need, Situation};
use crate::scenario::graph::Edge;
use crate::session::Extracted;
use crate::session::event::Filled;

/// Whether data that a condition lacks is looked and asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// It is.
    On,
    /// The condition is decided by what is known already, or not at all.
    Off,
}

/// When a value that was found is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// At once, if it is sure enough.
    IfSure,
    /// After the customer's word.
    Confirmed,
}

/// The search for missed data, and what came of it so far.
pub struct GapFill<'a> {
    situation: Situation<'a>,
    /// Everything that is known, including what was found here.
    pub evidence: Evidence<'a>,
    /// What was missed and is known, in the order in which it was looked for.
    pub filled: Vec<Filled>,
    /// Values that become variables of the session.
    pub learned: BTreeMap<FieldName, Known>,
    /// Values that were found now and wait for the customer's word.
    pub found: BTreeMap<FieldName, Extracted>,
    /// What to ask the customer about.
    pub confirm: Vec<Confirm>,
    /// What to ask the customer for.
    pub ask: Vec<FieldName>,
    /// Conditions that could not be decided, and why.
    pub undecided: Vec<String>,
    /// Fields that a language model was to help with and did not, and why.
    pub unhelped: Vec<(FieldName, Unhelped)>,
    /// What became of its claims.
    pub claims: Claims,
}

impl<'a> GapFill<'a> {
    /// Begins with nothing missed.
    #[must_use]
    pub fn new(situation: &Situation<'a>) -> Self {
        Self {
            situation: *situation,
            evidence: Evidence::new(situation),
            filled: Vec::new(),
            learned: BTreeMap::new(),
            found: BTreeMap::new(),
            confirm: Vec::new(),
            ask: Vec::new(),
            undecided: Vec::new(),
            unhelped: Vec::new(),
            claims: Claims::default(),
        }
    }

    /// Evaluates the condition of a transition of a fork. With `Search::On`, data that it lacks is looked for first,
    /// and asked for if it is not found.
    ///
    /// # Errors
    /// When an answer from outside is needed first.
    pub fn verdict(&mut self, edge: &Edge, fork: &[Edge], search: Search) -> Result<Verdict, Need> {
        let mut verdict = self.evidence.holds_at(edge, fork)?;
        if let (Verdict::Missing(fields), Search::On) = (&verdict, search) {
            self.fill(fields)?;
            verdict = match self.evidence.holds_at(edge, fork)? {
                // Somebody said that there is no such value: asking again does not help.
                Verdict::Missing(_) if !self.must_ask() => Verdict::Undecidable(format!(
                    "`{}` needs a value where none exists",
                    edge.condition_text()
                )),
                verdict => verdict,
            };
        }
        if let Verdict::Undecidable(reason) = &verdict
            && !self.undecided.contains(reason)
        {
            self.undecided.push(reason.clone());
        }
        Ok(verdict)
    }

    /// Whether the customer has to be asked before anything is decided.
    #[must_use]
    pub fn must_ask(&self) -> bool {
        !self.ask.is_empty() || !self.confirm.is_empty()
    }

    /// What is learned of the customer: only what is sure.
    #[must_use]
    pub fn profile_writes(&self) -> BTreeMap<FieldName, Known> {
        if self.situation.session.customer_id.is_none() {
            return BTreeMap::new();
        }
        let sure = |known: &Known| known.source == Source::Extraction;
        self.learned
            .iter()
            .filter(|(_, known)| sure(known))
            .map(|(field, known)| (field.clone(), known.clone()))
            .collect()
    }

    /// Looks for these fields. What is not found is asked; what is not sure is to be confirmed.
    ///
    /// # Errors
    /// When an external extractor has to be asked first.
    pub fn fill(&mut self, fields: &[FieldName]) -> Result<(), Need> {
        let mut wanted: Vec<&FieldName> = Vec::new();
        for field in fields {
            let seen = wanted.contains(&field)
                || self.ask.contains(field)
                || self.confirm.iter().any(|confirm| confirm.field == *field)
                || self.filled.iter().any(|filled| filled.field == *field);
            if !seen && !self.is_known(field) {
                wanted.push(field);
            }
        }
        let waiting = &self.situation.session.unconfirmed;
        let unfound: Vec<&FieldName> =
            wanted.iter().copied().filter(|field| !waiting.contains_key(*field)).collect();
        let mut extracted = self.extract(&unfound)?;
        for field in wanted {
            // What waits for the customer's word goes on waiting, whatever the thresholds have become.
            let waiting = waiting.get(field).map(|value| (value.clone(), Use::Confirmed));
            match waiting.or_else(|| extracted.remove(field)) {
                Some((value, when)) => self.take(field, value, when),
                None => self.ask.push(field.clone()),
            }
        }
        Ok(())
    }

    /// Takes a field that is known already: from the profile first, then from the session. What the
    /// customer was asked for on behalf of this migration counts as theirs, though both have it by now.
    fn is_known(&mut self, field: &FieldName) -> bool {
        let session = self.situation.session;
        let variable = self.evidence.variable(field.as_str());
        let source = match (variable, self.evidence.in_profile(field.as_str())) {
            (Some(known), _) if session.fields_asked.contains(field) => known.source,
            (Some(_), Some(_)) => Source::Profile,
            (None, Some(known)) => {
                let known = Known { source: Source::Profile, ..known.clone() };
                self.learned.insert(field.clone(), known);
                Source::Profile
            }
            (Some(known), None) => match known.source {
                Source::Extraction | Source::Confirmed => known.source,
                Source::Given | Source::Profile | Source::Session | Source::Operator => {
                    Source::Session
                }
            },
            (None, None) => return false,
        };
        self.filled.push(Filled { field: field.clone(), source });
        true
    }

    fn take(&mut self, field: &FieldName, value: Extracted, when: Use) {
        let thresholds = &self.situation.config.gap_fill;
        if when == Use::IfSure && value.confidence >= thresholds.confirmation_threshold {
            self.evidence.find(field.clone(), value.value.clone());
            self.filled.push(Filled { field: field.clone(), source: Source::Extraction });
            let known = Known {
                value: value.value,
                source: Source::Extraction,
                confidence: value.confidence,
                updated_at: self.situation.now,
            };
            self.learned.insert(field.clone(), known);
        } else {
            self.confirm.push(Confirm {
                field: field.clone(),
                value: value.value.clone(),
                confidence: value.confidence,
                source_quote: value.source_quote.clone(),
            });
            self.found.insert(field.clone(), value);
        }
    }

    /// What the conversation says of these fields, as far as it can be used.
    fn extract(
        &mut self,
        fields: &[&FieldName],
    ) -> Result<BTreeMap<FieldName, (Extracted, Use)>, Need> {
        let Situation { session, config, extractor, .. } = self.situation;
        if !config.gap_fill.extraction_enabled || session.messages.is_empty() || fields.is_empty() {
            return Ok(BTreeMap::new());
        }
        match extractor {
            Extractor::Embedded => Ok(self.extract_all_embedded(fields)),
            Extractor::External(answers) => {
                asked_already(fields, |field| answers.contains_key(field))?;
                let found = fields.iter().filter_map(|field| {
                    let found = answers[*field].clone()?;
                    Some(((*field).clone(), (found, Use::IfSure)))
                });
                Ok(found.filter(|(field, (found, _))| self.is_usable(field, found)).collect())
            }
            Extractor::Advised(advice) => self.extract_advised(fields, advice),
        }
    }

    fn extract_all_embedded(&self, fields: &[&FieldName]) -> BTreeMap<FieldName, (Extracted, Use)> {
        let found = fields.iter().filter_map(|field| {
            let found = self.extract_embedded(field, fields)?;
            Some(((*field).clone(), (found, Use::IfSure)))
        });
        found.filter(|(field, (found, _))| self.is_usable(field, found)).collect()
    }

    /// What the embedded extractor finds, and what a language model finds of the rest.
    fn extract_advised(
        &mut self,
        fields: &[&FieldName],
        advice: &Advice,
    ) -> Result<BTreeMap<FieldName, (Extracted, Use)>, Need> {
        let mut found = self.extract_all_embedded(fields);
        // Nobody knows what a field without a definition looks like.
        let is_open = |field: &FieldName| {
            !found.contains_key(field) && self.situation.definitions.contains_key(field)
        };
        let open: Vec<&FieldName> = fields.iter().copied().filter(|field| is_open(field)).collect();
        asked_already(&open, |field| advice.value(field).is_some())?;
        for field in open {
            let claimed = match advice.value(field) {
                None => continue,
                Some(Err(silence)) => Err(Unhelped::Silent(silence)),
                Some(Ok(claim)) => self.check(field, fields, claim).map_err(Unhelped::Unfounded),
            };
            match claimed {
                Ok(value) => {
                    self.claims.founded += 1;
                    if self.is_usable(field, &value) {
                        found.insert(field.clone(), (value, Use::Confirmed));
                    }
                }
                Err(why) => {
                    self.claims.unfounded += usize::from(matches!(why, Unhelped::Unfounded(_)));
                    self.unhelped.push((field.clone(), why));
                }
            }
        }
        Ok(found)
    }

    fn check(
        &self,
        field: &FieldName,
        open: &[&FieldName],
        claim: &claim::Claim,
    ) -> Result<Extracted, claim::Unfounded> {
        let Situation { session, definitions, .. } = self.situation;
        let definition = definitions.get(field).ok_or(claim::Unfounded::NotAccepted)?;
        let is_asked = self.is_asked_alone(field, open);
        let question = if is_asked { Question::Asked } else { Question::NotAsked };
        claim::check(definition, session.messages.iter(), question, claim)
    }

    fn extract_embedded(&self, field: &FieldName, open: &[&FieldName]) -> Option<Extracted> {
        let Situation { session, definitions, .. } = self.situation;
        let definition = definitions.get(field)?;
        let messages = session.messages.iter();
        let refused = self.refused(field);
        if self.is_asked_alone(field, open) {
            extract::extract_answer(definition, messages, refused)
        } else {
            extract::extract(definition, messages, refused)
        }
    }

    /// Whether the customer was asked for this field, and for no other of the fields still open that a
    /// bare answer could be meant for as well.
    fn is_asked_alone(&self, field: &FieldName, open: &[&FieldName]) -> bool {
        let Situation { session, definitions, .. } = self.situation;
        let form = |name: &FieldName| match definitions.get(name).map(|found| found.value_type) {
            Some(ValueType::Number) => Some(ValueType::Integer),
            other => other,
        };
        let is_asked = |name: &FieldName| session.fields_asked.contains(name);
        let could_be = |other: &&&FieldName| is_asked(other) && form(other) == form(field);
        is_asked(field) && open.iter().filter(could_be).count() == 1
    }

    fn refused(&self, field: &FieldName) -> &'a [Value] {
        self.situation.session.refused.get(field).map_or(&[], Vec::as_slice)
    }

    fn is_usable(&self, field: &FieldName, found: &Extracted) -> bool {
        let threshold = self.situation.config.gap_fill.extraction_confidence_threshold;
        !found.value.is_null()
            && found.confidence >= threshold
            && !self.refused(field).contains(&found.value)
    }
}

/// Goes on if all of these fields were asked of whoever is outside.
fn asked_already(fields: &[&FieldName], is_asked: impl Fn(&FieldName) -> bool) -> Result<(), Need> {
    let unasked = fields.iter().filter(|field| !is_asked(field));
    let unasked: Vec<FieldName> = unasked.map(|field| (*field).clone()).collect();
    if unasked.is_empty() { Ok(()) } else { Err(Need::Extract { fields: unasked }) }
}
