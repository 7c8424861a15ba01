//! Where missed data comes from: the profile, the session, the conversation, the customer.
//!
//! A value found in the conversation is used from one confidence on
//! (`gap_fill.extraction_confidence_threshold`); below a second, higher one
//! (`gap_fill.confirmation_threshold`) it waits for the customer's word first, and only then is it
//! written to the profile. A value that the customer refused is not used again.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::extract;
use crate::fields::{Known, Source, ValueType};
use crate::ids::FieldName;
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
        }
    }

    /// Evaluates the condition of a transition. With `Search::On`, data that it lacks is looked for first,
    /// and asked for if it is not found.
    ///
    /// # Errors
    /// When an answer from outside is needed first.
    pub fn verdict(&mut self, edge: &Edge, search: Search) -> Result<Verdict, Need> {
        let mut verdict = self.evidence.holds(edge)?;
        if let (Verdict::Missing(fields), Search::On) = (&verdict, search) {
            self.fill(fields)?;
            verdict = match self.evidence.holds(edge)? {
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
            match waiting.get(field).cloned().or_else(|| extracted.remove(field)) {
                Some(value) => self.take(field, value),
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

    fn take(&mut self, field: &FieldName, value: Extracted) {
        let thresholds = &self.situation.config.gap_fill;
        if value.confidence >= thresholds.confirmation_threshold {
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
    fn extract(&self, fields: &[&FieldName]) -> Result<BTreeMap<FieldName, Extracted>, Need> {
        let Situation { session, config, .. } = self.situation;
        if !config.gap_fill.extraction_enabled || session.messages.is_empty() || fields.is_empty() {
            return Ok(BTreeMap::new());
        }
        let found: Vec<(FieldName, Option<Extracted>)> = match self.situation.extractor {
            Extractor::Embedded => fields
                .iter()
                .map(|field| ((*field).clone(), self.extract_embedded(field, fields)))
                .collect(),
            Extractor::External(answers) => {
                let unasked: Vec<FieldName> = fields
                    .iter()
                    .filter(|field| !answers.contains_key(**field))
                    .map(|field| (*field).clone())
                    .collect();
                if !unasked.is_empty() {
                    return Err(Need::Extract { fields: unasked });
                }
                fields.iter().map(|field| ((*field).clone(), answers[*field].clone())).collect()
            }
        };
        Ok(found
            .into_iter()
            .filter_map(|(field, found)| Some((field, found?)))
            .filter(|(field, found)| self.is_usable(field, found))
            .collect())
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
