//! What has the form of a field's type.

use std::ops::Range;

use regex::Regex;
use serde_json::Value;

use crate::extract::dates;
use crate::extract::phrases::{
    EMAIL, LINK, NO, NUMBER, PHONE, RANGE, REVERSED, TIME, UNDECIDED, WORD, YES,
};
use crate::extract::questions::Field;
use crate::fields::{Definition, ValueType, forms};

/// The most candidates of one message that are weighed.
const MAX_CANDIDATES: usize = 32;
/// The most words that a value with a pattern spans.
const MAX_PATTERN_WORDS: usize = 4;

/// Nothing about the form is in doubt.
pub(super) const CERTAIN: f64 = 1.0;
/// The form, or a turn of phrase, gives it away.
pub(super) const TELLING: f64 = 0.90;
/// Free text that has the right form can still be something else.
const LOOSE: f64 = 0.92;
/// A word that is a value, and may be used as another.
const MERE_WORD: f64 = 0.60;
/// A number or date among other words.
const AMONG_WORDS: f64 = 0.50;
/// `1.500` is a thousand and a half to some, one and a half to others.
const EITHER_WAY: f64 = 0.80;
/// `1,500` nearly always is a thousand and a half.
const GROUPED: f64 = 0.94;

/// Something of the right form.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) value: Value,
    pub(super) span: Range<usize>,
    /// How likely it is the field's value if nothing around it says so.
    pub(super) by_itself: f64,
    /// How sure its form leaves one, whatever is around it.
    pub(super) at_most: f64,
}

/// Everything in a message that has the form of the field, in order.
pub(super) fn find(field: &Field<'_>, text: &str, is_asked: bool) -> Vec<Candidate> {
    let mut found = match field.definition.value_type {
        ValueType::Email => emails(text),
        ValueType::Phone => phones(text),
        ValueType::Date => calendar(text),
        ValueType::Integer | ValueType::Number => numbers(text),
        ValueType::Enum => values(field.definition, text),
        ValueType::Boolean if is_asked => answer(text),
        ValueType::Boolean => Vec::new(),
        ValueType::String => matches(field, text),
    };
    found.truncate(MAX_CANDIDATES);
    found
}

fn emails(text: &str) -> Vec<Candidate> {
    EMAIL
        .find_iter(text)
        .filter_map(|found| {
            let start = found.as_str().trim_start_matches(|c: char| !c.is_alphanumeric());
            let trimmed = start.trim_end_matches(['.', '-']);
            let value = forms::email(trimmed)?.into();
            let from = found.end() - start.len();
            let span = from..from + trimmed.len();
            Some(Candidate { value, span, by_itself: TELLING, at_most: CERTAIN })
        })
        .collect()
}

fn phones(text: &str) -> Vec<Candidate> {
    let dates = dates::find(text);
    let links: Vec<Range<usize>> = LINK.find_iter(text).map(|link| link.range()).collect();
    PHONE
        .find_iter(text)
        .filter(|found| !dates.iter().any(|date| overlap(&date.span, &found.range())))
        .filter(|found| !links.iter().any(|link| overlap(link, &found.range())))
        .filter(|found| stands_alone(text, &found.range()))
        .filter_map(|found| {
            let value = forms::phone(found.as_str())?;
            let is_dialled = value.starts_with('+') || value.starts_with('0');
            let by_itself = if is_dialled { TELLING } else { AMONG_WORDS };
            Some(Candidate {
                value: value.into(),
                span: found.range(),
                by_itself,
                at_most: CERTAIN,
            })
        })
        .collect()
}

fn calendar(text: &str) -> Vec<Candidate> {
    dates::find(text)
        .into_iter()
        .map(|found| Candidate {
            value: found.date.to_string().into(),
            span: found.span,
            by_itself: AMONG_WORDS,
            at_most: found.at_most,
        })
        .collect()
}

/// Numbers that are no part of an address, a telephone number, a date, a time, a range or a word.
fn numbers(text: &str) -> Vec<Candidate> {
    let mut taken: Vec<Range<usize>> =
        dates::find(text).into_iter().map(|date| date.span).collect();
    for form in [&*EMAIL, &*LINK, &*TIME, &*RANGE] {
        taken.extend(form.find_iter(text).map(|found| found.range()));
    }
    taken.extend(
        phones(text).into_iter().filter(|phone| phone.by_itself == TELLING).map(|phone| phone.span),
    );
    NUMBER
        .find_iter(text)
        .filter(|found| !taken.iter().any(|span| overlap(span, &found.range())))
        .filter(|found| stands_alone(text, &found.range()))
        .filter_map(|found| {
            let (value, at_most) = number(found.as_str())?;
            Some(Candidate { value, span: found.range(), by_itself: AMONG_WORDS, at_most })
        })
        .collect()
}

/// Reads a number with its thousands and decimals, and says how sure the signs leave one.
fn number(written: &str) -> Option<(Value, f64)> {
    let (sign, body) = match written.strip_prefix(['-', '−']) {
        Some(body) => ("-", body),
        None => ("", written),
    };
    let signs: Vec<(usize, char)> =
        body.char_indices().filter(|(_, c)| !c.is_ascii_digit()).collect();
    let Some(&(last, last_sign)) = signs.last() else {
        return Some((format!("{sign}{body}").parse::<i64>().ok()?.into(), CERTAIN));
    };
    let decimals = body.len() - last - last_sign.len_utf8();
    let is_repeated = signs.iter().filter(|(_, c)| *c == last_sign).count() > 1;
    let is_decimal = matches!(last_sign, '.' | ',') && !is_repeated && decimals != 3;
    let at_most = match (last_sign, decimals, signs.len()) {
        ('.', 3, 1) => EITHER_WAY,
        (',', 3, 1) => GROUPED,
        _ => CERTAIN,
    };
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    if is_decimal {
        let fraction = &body[last + last_sign.len_utf8()..];
        let real: f64 = format!("{sign}{}.{fraction}", digits(&body[..last])).parse().ok()?;
        Some((serde_json::Number::from_f64(real)?.into(), at_most))
    } else {
        Some((format!("{sign}{}", digits(body)).parse::<i64>().ok()?.into(), at_most))
    }
}

/// The values of an enum that stand in the text as words of their own, the longest at each place.
fn values(definition: &Definition, text: &str) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    let lowered = text.to_lowercase();
    for value in &definition.values {
        let wanted = value.trim();
        if !lowered.contains(&wanted.to_lowercase()) {
            continue;
        }
        // A code such as `IT` is a word in lower case.
        let is_code = wanted.len() <= 3 && wanted.chars().all(char::is_uppercase);
        let is_whole =
            text.trim().trim_end_matches(['.', '!']).to_lowercase() == wanted.to_lowercase();
        let flags = if is_code && !is_whole { "" } else { "(?i)" };
        let pattern = format!(r"{flags}{}", regex::escape(wanted));
        let Ok(regex) = Regex::new(&pattern) else { continue };
        found.extend(regex.find_iter(text).filter(|m| stands_alone(text, &m.range())).map(|m| {
            Candidate {
                value: value.clone().into(),
                span: m.range(),
                by_itself: MERE_WORD,
                at_most: CERTAIN,
            }
        }));
    }
    found.sort_by_key(|candidate| (candidate.span.start, std::cmp::Reverse(candidate.span.end)));
    let mut end = 0;
    found.retain(|candidate| {
        let is_new = candidate.span.start >= end;
        end = end.max(candidate.span.end);
        is_new
    });
    found
}

/// Yes or no, at the start of the answer.
fn answer(text: &str) -> Vec<Candidate> {
    let (value, span) = match (NO.find(text), YES.find(text)) {
        (Some(no), _) => (false, no.range()),
        (None, Some(yes)) => (true, yes.range()),
        (None, None) => return Vec::new(),
    };
    let is_unsure = UNDECIDED.is_match(text) || REVERSED.is_match(&text[span.end..]);
    let at_most = if is_unsure { MERE_WORD } else { CERTAIN };
    vec![Candidate { value: value.into(), span, by_itself: AMONG_WORDS, at_most }]
}

/// Runs of words that match the field's pattern as a whole, the longest at each place.
fn matches(field: &Field<'_>, text: &str) -> Vec<Candidate> {
    let Some(pattern) = &field.pattern else { return Vec::new() };
    let words: Vec<Range<usize>> = words(text);
    let mut found = Vec::new();
    let mut first = 0;
    while first < words.len() && found.len() < MAX_CANDIDATES {
        let longest = (1..=MAX_PATTERN_WORDS.min(words.len() - first)).rev().find_map(|count| {
            let outer = words[first].start..words[first + count - 1].end;
            [outer.clone(), unpunctuated(text, outer)]
                .into_iter()
                .find(|span| !span.is_empty() && pattern.is_match(&text[span.clone()]))
                .map(|span| (span, count))
        });
        match longest {
            Some((span, count)) => {
                let written = &text[span.clone()];
                let has_digits = written.chars().any(|c| c.is_ascii_digit());
                let at_most = if has_digits { CERTAIN } else { LOOSE };
                found.push(Candidate {
                    value: written.into(),
                    span,
                    by_itself: MERE_WORD,
                    at_most,
                });
                first += count;
            }
            None => first += 1,
        }
    }
    found
}

fn words(text: &str) -> Vec<Range<usize>> {
    WORD.find_iter(text).map(|word| word.range()).collect()
}

fn unpunctuated(text: &str, span: Range<usize>) -> Range<usize> {
    const MARKS: &[char] = &['.', ',', ';', ':', '!', '?', '"', '\'', '(', ')', '“', '”', '«', '»'];
    let written = &text[span.clone()];
    let start = span.start + written.len() - written.trim_start_matches(MARKS).len();
    let end = start + text[start..span.end].trim_end_matches(MARKS).len();
    start..end
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// Whether a span is no part of a longer word or number.
fn stands_alone(text: &str, span: &Range<usize>) -> bool {
    let before = text[..span.start].chars().next_back();
    let mut after = text[span.end..].chars();
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '@';
    let next = after.next();
    let goes_on =
        matches!(next, Some('.' | ',')) && after.next().is_some_and(|c| c.is_ascii_digit());
    let is_joined = matches!(next, Some('-')) && after.next().is_some_and(char::is_alphanumeric);
    !before.is_some_and(|c| is_word(c) || c == '+' || c == '#' || c == '.')
        && !next.is_some_and(is_word)
        && !goes_on
        && !is_joined
}
