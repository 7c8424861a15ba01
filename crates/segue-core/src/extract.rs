//! The embedded extractor: finds the value of a field in what the customer wrote, by the field's type.
//!
//! Every candidate of the right form is weighed by what stands around it; the words are English and
//! French. Where it cannot tell, it says so with a low confidence, and the customer is asked.
//!
//! | confidence | when |
//! |---|---|
//! | 0.97 | the message is nothing but the value, and the agent had just asked for the field |
//! | 0.96 | the customer names the field beside the value: "my age is 17", "age: 17" |
//! | 0.92 | the value is in a sentence that answers the agent's question |
//! | 0.92 | the message is nothing but the value, and Segue had asked for the field ([`extract_answer`]) |
//! | 0.90 | the form or a turn of phrase gives it away: an address, "I'm 17" for an age, "the pro plan" |
//! | 0.50 | a number in a sentence about something else; somebody else's age; "under 18" |
//!
//! Two different values that are about as likely lower the confidence: to 0.90 when a later message
//! corrects an earlier one, to 0.60 inside one message. Negated values ("I'm not 17") are no candidates.
//!
//! Only messages of the customer are evidence, the newest first; the agent's tell what was asked. A
//! message is data and nothing else: no wording makes it an instruction.

mod candidates;
pub mod claim;
mod context;
mod dates;
mod phrases;
mod questions;

#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::extract::candidates::Candidate;
use crate::extract::context::Surroundings;
use crate::extract::questions::Field;
use crate::fields::{Definition, ValueType};
use crate::session::{Extracted, Message, Role};

/// How much of a message is read, in bytes; what customers tell of themselves is not behind that.
const MAX_MESSAGE_BYTES: usize = 4096;
/// How much of the customer's words is quoted, in characters.
const MAX_QUOTE_CHARS: usize = 200;

const ANSWER: f64 = 0.97;
const NAMED: f64 = 0.96;
const ANSWER_IN_SENTENCE: f64 = 0.92;
const CORRECTED: f64 = 0.90;
const RIVALLED: f64 = 0.60;
/// Candidates closer than this are rivals.
const RIVAL_GAP: f64 = 0.10;

/// Whether a message answers a question for the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    No,
    /// We asked for it; the agent's words are not among the messages.
    Unseen,
    /// The agent's message before asks for it.
    Seen,
}

/// A candidate with its weight.
struct Weighed {
    value: Value,
    confidence: f64,
    quote: String,
    /// 0 is the newest message.
    age: usize,
}

/// Looks for a field in the conversation, oldest message first. Values that the customer refused
/// are not offered again.
///
/// The confidence of what it finds may be below any use; the caller knows its thresholds.
///
/// ```
/// use segue_core::extract::extract;
/// use segue_core::session::{Message, Role};
///
/// let definition = serde_json::from_str(r#"{"name": "age", "value_type": "integer"}"#)?;
/// let messages = [Message { role: Role::User, text: "Sure, my age is 17.".to_owned() }];
/// let found = extract(&definition, messages.iter(), &[]).expect("an age is there");
/// assert_eq!((found.value, found.confidence), (17.into(), 0.96));
/// assert_eq!(found.source_quote, "Sure, my age is 17");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn extract<'a>(
    definition: &Definition,
    messages: impl DoubleEndedIterator<Item = &'a Message>,
    refused: &[Value],
) -> Option<Extracted> {
    look(definition, messages, refused, Asked::No)
}

/// As [`extract`], where Segue had asked for this field, and for no other that one could take it for,
/// before the newest message.
///
/// Callers need not report what their agent said. Then a bare value is taken for the answer, and is
/// confirmed.
#[must_use]
pub fn extract_answer<'a>(
    definition: &Definition,
    messages: impl DoubleEndedIterator<Item = &'a Message>,
    refused: &[Value],
) -> Option<Extracted> {
    look(definition, messages, refused, Asked::Unseen)
}

fn look<'a>(
    definition: &Definition,
    messages: impl DoubleEndedIterator<Item = &'a Message>,
    refused: &[Value],
    newest: Asked,
) -> Option<Extracted> {
    if !definition.is_extractable() {
        return None;
    }
    let field = Field::new(definition);
    let mut weighed = Vec::new();
    let mut newest_first = messages.rev().enumerate().peekable();
    while let Some((age, message)) = newest_first.next() {
        if message.role == Role::Assistant {
            continue;
        }
        let question =
            newest_first.peek().map(|(_, before)| *before).filter(|m| m.role == Role::Assistant);
        let asked = match question {
            Some(question) if field.is_asked_in(start_of(&question.text)) => Asked::Seen,
            None if age == 0 => newest,
            Some(_) | None => Asked::No,
        };
        weigh_message(&field, start_of(&message.text), asked, age, &mut weighed);
    }
    weighed.retain(|candidate| !refused.contains(&candidate.value));
    choose(weighed)
}

fn start_of(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_MESSAGE_BYTES)]
}

fn weigh_message(
    field: &Field<'_>,
    text: &str,
    asked: Asked,
    age: usize,
    weighed: &mut Vec<Weighed>,
) {
    let candidates = candidates::find(field, text, asked != Asked::No);
    for candidate in &candidates {
        let around = Surroundings::of(text, candidate.span.clone(), &candidates);
        let Some(value) = field.accept(&candidate.value) else { continue };
        if let Some(confidence) = weigh(field, candidate, &around, asked) {
            let quote = around.sentence.chars().take(MAX_QUOTE_CHARS).collect();
            weighed.push(Weighed { value, confidence, quote, age });
        }
    }
}

/// How likely a candidate is the value of the field; nothing if the customer says it is not.
fn weigh(
    field: &Field<'_>,
    candidate: &Candidate,
    around: &Surroundings<'_>,
    asked: Asked,
) -> Option<f64> {
    if around.is_negated() {
        return None;
    }
    let answering = match (asked, around.is_alone()) {
        (Asked::Seen, true) => ANSWER,
        (Asked::Seen, false) | (Asked::Unseen, true) => ANSWER_IN_SENTENCE,
        (Asked::Unseen, false) | (Asked::No, _) => 0.0,
    };
    let mut confidence = candidate.by_itself.max(answering);
    if field.definition.value_type != ValueType::Boolean && field.is_named_in(around.clause) {
        let is_own = around.is_own() || field.leads(around.clause);
        confidence = confidence.max(if is_own { NAMED } else { candidates::TELLING });
    }
    if field.is_told_in(around) {
        confidence = confidence.max(candidates::TELLING);
    }
    Some(confidence.min(candidate.at_most).min(around.doubt()))
}

/// The newest candidate among the likeliest, less sure where another one is about as likely.
fn choose(weighed: Vec<Weighed>) -> Option<Extracted> {
    let best = weighed.iter().map(|candidate| candidate.confidence).fold(0.0, f64::max);
    let is_close = |candidate: &&Weighed| candidate.confidence > best - RIVAL_GAP;
    let newest = weighed.iter().filter(is_close).map(|candidate| candidate.age).min()?;
    let chosen = weighed
        .iter()
        .filter(|candidate| candidate.age == newest)
        .max_by(|a, b| a.confidence.total_cmp(&b.confidence))?;
    let mut confidence = chosen.confidence;
    for rival in weighed.iter().filter(is_close).filter(|rival| rival.value != chosen.value) {
        confidence = confidence.min(if rival.age == newest { RIVALLED } else { CORRECTED });
    }
    Some(Extracted { value: chosen.value.clone(), confidence, source_quote: chosen.quote.clone() })
}
