//! What somebody else claims to have found in the customer's words, checked against these words.
//!
//! A language model understands what no pattern does, and obeys whoever writes to it. So nothing that it
//! says is believed. It has to quote the words that it took a value from, and then
//!
//! - the quote occurs in a message of the customer, but for case, white space and the shape of signs;
//! - inside the quote stands what the embedded extractor reads as that very value: the same number, date,
//!   address or value of an enum; free text is a part of the quote, in the customer's own spelling;
//! - the customer does not say there that it is *not* so;
//! - a yes or no is the beginning of an answer to a question;
//! - the field's definition accepts the value.
//!
//! What is left to the model is to say which of the customer's words are meant for which field. It makes
//! nothing sure: [`CLAIMED`] is below what is used unasked, and whoever uses a claim asks for the
//! customer's word first.

use std::ops::Range;

use serde_json::Value;

use super::candidates;
use super::context::Surroundings;
use super::questions::Field;
use super::{Asked, MAX_QUOTE_CHARS, start_of};
use crate::fields::{Definition, ValueType};
use crate::session::{Extracted, Message, Role};

/// The confidence in a claim that the customer's words bear out.
pub const CLAIMED: f64 = 0.90;

/// The longest quote and the longest free text that are looked at, in characters.
const MAX_CLAIM_CHARS: usize = 500;
/// At how many places of one message a quote is looked at.
const MAX_PLACES: usize = 16;

/// A value of a field, and the words that it is said to be taken from. Both are somebody's say-so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The value, as text.
    pub value: String,
    /// The customer's words.
    pub quote: String,
}

/// Why a claim is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfounded {
    /// The quote is in no message of the customer.
    #[error("what it quotes is not in the customer's words")]
    NotSaid,
    /// The value is not in the quote.
    #[error("the value is not in the words that it quotes")]
    DoesNotFollow,
    /// The customer says that it is not so.
    #[error("the customer says that it is not so")]
    Denied,
    /// The field's definition does not accept the value.
    #[error("the field does not take such a value")]
    NotAccepted,
}

/// Whether Segue asked for the field, and for no other that a bare answer could be meant for, before the
/// newest message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// It did.
    Asked,
    /// It did not.
    NotAsked,
}

/// Checks a claim about a field against the conversation, oldest message first. The confidence may be
/// below any use; the caller knows its thresholds.
///
/// ```
/// use segue_core::extract::claim::{Claim, Question, Unfounded, check};
/// use segue_core::session::{Message, Role};
///
/// let definition = serde_json::from_str(r#"{"name": "age", "value_type": "integer"}"#)?;
/// let messages = [Message { role: Role::User, text: "I have seen 41 winters by now".to_owned() }];
/// let claim = |value: &str, quote: &str| Claim { value: value.to_owned(), quote: quote.to_owned() };
/// let checked = |claim| check(&definition, messages.iter(), Question::NotAsked, &claim);
/// assert_eq!(checked(claim("41", "41 winters"))?.value, 41);
/// assert_eq!(checked(claim("18", "41 winters")), Err(Unfounded::DoesNotFollow));
/// assert_eq!(checked(claim("18", "I am 18")), Err(Unfounded::NotSaid));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Why it is not believed.
pub fn check<'a>(
    definition: &Definition,
    messages: impl DoubleEndedIterator<Item = &'a Message>,
    question: Question,
    claim: &Claim,
) -> Result<Extracted, Unfounded> {
    let field = Field::new(definition);
    let accepted =
        definition.accepts(&Value::from(claim.value.trim())).map_err(|_| Unfounded::NotAccepted)?;
    let quote = Folded::of(&claim.quote).trimmed().ok_or(Unfounded::NotSaid)?;
    let mut refused = Unfounded::NotSaid;
    let mut newest_first = messages.rev().enumerate().peekable();
    while let Some((age, message)) = newest_first.next() {
        if message.role == Role::Assistant {
            continue;
        }
        let asked = match newest_first.peek() {
            Some((_, before)) if before.role == Role::Assistant => Asked::Seen,
            Some(_) | None if age == 0 && question == Question::Asked => Asked::Unseen,
            Some(_) | None => Asked::No,
        };
        let text = start_of(&message.text);
        for place in Folded::of(text).places(&quote) {
            let found = match (definition.value_type, &definition.pattern) {
                (ValueType::String, None) => in_own_words(&field, text, place, claim),
                (
                    ValueType::String
                    | ValueType::Integer
                    | ValueType::Number
                    | ValueType::Boolean
                    | ValueType::Date
                    | ValueType::Email
                    | ValueType::Phone
                    | ValueType::Enum,
                    _,
                ) => in_form(&field, text, place, &accepted, asked),
            };
            match found {
                Ok(extracted) => return Ok(extracted),
                Err(unfounded) => refused = unfounded,
            }
        }
    }
    Err(refused)
}

/// Whether a quote is in a message of the customer.
#[must_use]
pub fn is_said<'a>(messages: impl IntoIterator<Item = &'a Message>, quote: &str) -> bool {
    let Some(quote) = Folded::of(quote).trimmed() else { return false };
    messages
        .into_iter()
        .filter(|message| message.role == Role::User)
        .any(|message| !Folded::of(start_of(&message.text)).places(&quote).is_empty())
}

/// A value that has a form: the embedded extractor reads the same one inside the quote.
fn in_form(
    field: &Field<'_>,
    text: &str,
    place: Range<usize>,
    claimed: &Value,
    asked: Asked,
) -> Result<Extracted, Unfounded> {
    let candidates = candidates::find(field, text, asked != Asked::No);
    let mut refused = Unfounded::DoesNotFollow;
    for candidate in &candidates {
        let is_inside = place.start <= candidate.span.start && candidate.span.end <= place.end;
        let value = field.accept(&candidate.value);
        let Some(value) = value.filter(|value| is_inside && is_same(value, claimed)) else {
            continue;
        };
        let around = Surroundings::of(text, candidate.span.clone(), &candidates);
        if around.is_negated() {
            refused = Unfounded::Denied;
            continue;
        }
        let confidence = CLAIMED.min(candidate.at_most).min(around.doubt());
        return Ok(extracted(value, confidence, &around));
    }
    Err(refused)
}

/// Free text: a part of the quote, as the customer wrote it.
fn in_own_words(
    field: &Field<'_>,
    text: &str,
    place: Range<usize>,
    claim: &Claim,
) -> Result<Extracted, Unfounded> {
    let wanted = Folded::of(&claim.value).trimmed().ok_or(Unfounded::NotAccepted)?;
    let mut refused = Unfounded::DoesNotFollow;
    for found in Folded::of(&text[place.clone()]).places(&wanted) {
        let span = place.start + found.start..place.start + found.end;
        let around = Surroundings::of(text, span.clone(), &[]);
        if around.is_negated() {
            refused = Unfounded::Denied;
            continue;
        }
        let words = text[span].split_whitespace().collect::<Vec<_>>().join(" ");
        let value = field.accept(&words.into()).ok_or(Unfounded::NotAccepted)?;
        return Ok(extracted(value, CLAIMED, &around));
    }
    Err(refused)
}

fn is_same(found: &Value, claimed: &Value) -> bool {
    match (found, claimed) {
        (Value::String(found), Value::String(claimed)) => {
            Folded::of(found).text == Folded::of(claimed).text
        }
        (Value::Number(found), Value::Number(claimed)) => {
            found == claimed || found.as_f64() == claimed.as_f64()
        }
        (found, claimed) => found == claimed,
    }
}

fn extracted(value: Value, confidence: f64, around: &Surroundings<'_>) -> Extracted {
    let source_quote = around.sentence.chars().take(MAX_QUOTE_CHARS).collect();
    Extracted { value, confidence, source_quote }
}

/// A text in lower case, with one space for each run of white space and one shape for each sign, that
/// remembers where its characters stood.
struct Folded {
    text: String,
    /// For each byte of `text`, the bytes of the original that it stands for.
    origins: Vec<Range<usize>>,
}

impl Folded {
    fn of(original: &str) -> Self {
        let mut folded = Self { text: String::new(), origins: Vec::new() };
        for (at, character) in original.char_indices() {
            let origin = at..at + character.len_utf8();
            let one = match character {
                '’' | '‘' | 'ʼ' => '\'',
                '“' | '”' | '«' | '»' => '"',
                '–' | '—' | '−' | '‑' => '-',
                blank if blank.is_whitespace() => ' ',
                other => other,
            };
            if one == ' ' && folded.text.ends_with(' ') {
                if let Some(last) = folded.origins.last_mut() {
                    last.end = origin.end;
                }
                continue;
            }
            for lower in one.to_lowercase() {
                folded.text.push(lower);
                let bytes = lower.len_utf8();
                folded.origins.extend(std::iter::repeat_n(origin.clone(), bytes));
            }
        }
        folded
    }

    /// Itself as something to look for; nothing if it is blank or too long.
    fn trimmed(self) -> Option<String> {
        let text = self.text.trim();
        let fits = !text.is_empty() && text.chars().count() <= MAX_CLAIM_CHARS;
        fits.then(|| text.to_owned())
    }

    /// Where another folded text stands in the original, as whole words.
    fn places(&self, wanted: &str) -> Vec<Range<usize>> {
        self.text
            .match_indices(wanted)
            .filter(|(at, _)| self.is_whole(*at..*at + wanted.len()))
            .take(MAX_PLACES)
            .map(|(at, _)| self.origins[at].start..self.origins[at + wanted.len() - 1].end)
            .collect()
    }

    /// Whether a span neither begins nor ends inside a word or number.
    fn is_whole(&self, span: Range<usize>) -> bool {
        let cuts = |before: Option<char>, after: Option<char>| {
            before.is_some_and(char::is_alphanumeric) && after.is_some_and(char::is_alphanumeric)
        };
        let (outer, inner) = (&self.text, &self.text[span.clone()]);
        !cuts(outer[..span.start].chars().next_back(), inner.chars().next())
            && !cuts(inner.chars().next_back(), outer[span.end..].chars().next())
    }
}

#[cfg(test)]
mod tests;
