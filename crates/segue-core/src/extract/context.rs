//! What stands around a candidate, and what it says about it.

use std::ops::Range;

use crate::extract::candidates::Candidate;
use crate::extract::phrases::{
    BOUND, CLAUSE_END, FILLING, HYPOTHESIS, I_AM, NEGATED, OWN, PLEASE, SENTENCE_END,
    SOMEBODY_ELSE, YEARS_OLD, YEARS_OR_NOTHING,
};

/// Somebody else is meant, or nobody in particular.
const ELSEWHERE: f64 = 0.50;
/// It may be meant, but the customer does not quite say so.
const HEDGED: f64 = 0.60;

/// The text around one candidate.
pub(super) struct Surroundings<'t> {
    /// From one full stop to the next.
    pub(super) sentence: &'t str,
    /// From one comma, `and` or `but` to the next.
    pub(super) clause: &'t str,
    /// The clause up to the candidate.
    before: &'t str,
    /// The clause from the candidate on.
    after: &'t str,
    /// The message without the candidate.
    rest: String,
}

impl<'t> Surroundings<'t> {
    /// Looks around a candidate; the signs inside other candidates end no clause.
    pub(super) fn of(text: &'t str, span: Range<usize>, candidates: &[Candidate]) -> Self {
        let is_inside = |at: usize| candidates.iter().any(|candidate| candidate.span.contains(&at));
        let cut = |marks: &dyn Fn(&str) -> Vec<Range<usize>>, outer: Range<usize>| {
            let mut range = outer.clone();
            for mark in marks(&text[outer.clone()]) {
                let mark = outer.start + mark.start..outer.start + mark.end;
                if is_inside(mark.start) || span.contains(&mark.start) {
                    continue;
                }
                if mark.end <= span.start {
                    range.start = mark.end;
                } else if mark.start >= span.end {
                    range.end = range.end.min(mark.start);
                }
            }
            range
        };
        let sentence = cut(&sentence_marks, 0..text.len());
        let clause = cut(&clause_marks, sentence.clone());
        // The question mark belongs to the clause: it says that the candidate is doubted.
        let end = sentence.end + usize::from(text[sentence.end..].starts_with('?'));
        let clause_end = if clause.end == sentence.end { end } else { clause.end };
        Self {
            sentence: text[sentence.start..sentence.end].trim(),
            clause: &text[clause.start..clause_end],
            before: &text[clause.start..span.start],
            after: &text[span.end..clause_end.max(span.end)],
            rest: format!("{} {}", &text[..span.start], &text[span.end..]),
        }
    }

    /// Whether the customer says that it is not so.
    pub(super) fn is_negated(&self) -> bool {
        NEGATED.is_match(self.before)
    }

    /// Whether the message is nothing but the value and polite filling.
    pub(super) fn is_alone(&self) -> bool {
        !FILLING.replace_all(&self.rest, "").chars().any(char::is_alphanumeric)
    }

    /// Whether it is told as the customer's own age.
    pub(super) fn tells_an_age(&self) -> bool {
        let is_first_person = I_AM.is_match(self.before);
        (is_first_person && YEARS_OR_NOTHING.is_match(self.after))
            || (self.before.trim().is_empty() && YEARS_OLD.is_match(self.after))
    }

    /// Whether the customer speaks of themselves.
    pub(super) fn is_own(&self) -> bool {
        OWN.is_match(self.clause)
    }

    /// The most that can be thought of the candidate.
    pub(super) fn doubt(&self) -> f64 {
        let clause = PLEASE.replace_all(self.clause, "");
        if SOMEBODY_ELSE.is_match(&clause) || BOUND.is_match(self.before) {
            ELSEWHERE
        } else if HYPOTHESIS.is_match(self.clause) || self.clause.trim_end().ends_with('?') {
            HEDGED
        } else {
            1.0
        }
    }
}

/// The sentences of a text, each with its final sign.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut start = 0;
    let mut sentences = Vec::new();
    for mark in sentence_marks(text) {
        sentences.push(text[start..mark.end].trim());
        start = mark.end;
    }
    sentences.push(text[start..].trim());
    sentences
}

fn sentence_marks(text: &str) -> Vec<Range<usize>> {
    SENTENCE_END
        .find_iter(text)
        .map(|mark| mark.start()..mark.start() + mark.as_str().trim_end().len().max(1))
        .collect()
}

fn clause_marks(text: &str) -> Vec<Range<usize>> {
    CLAUSE_END.find_iter(text).map(|mark| mark.range()).collect()
}
