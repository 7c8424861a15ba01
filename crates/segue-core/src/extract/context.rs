//! What stands around a candidate, and what it says about it.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::extract::candidates::Candidate;

/// Somebody else is meant, or nobody in particular.
const ELSEWHERE: f64 = 0.50;
/// It may be meant, but the customer does not quite say so.
const HEDGED: f64 = 0.60;

macro_rules! phrases {
    ($name:ident, $pattern:expr) => {
        static $name: LazyLock<Regex> =
            LazyLock::new(|| Regex::new($pattern).expect("the pattern is fixed and valid"));
    };
}

phrases!(
    NEGATION,
    r"(?i)\b(not|n['’]t|never|no longer|isn|ain|pas|jamais|rather than|instead of|plutôt que)(\b|['’])[^,;]*$"
);
phrases!(
    SOMEBODY_ELSE,
    r"(?i)\b(he|she|they|his|her|their|il|elle|(my|mon|ma|our|notre|your|votre|ton|ta) (\w+ )?(wife|husband|son|daughter|mother|mom|mum|father|dad|brother|sister|friend|boss|colleague|child|kid|baby|partner|neighbou?r|dog|cat|company|team|agent|femme|mari|fils|fille|mère|père|frère|sœur|ami|amie|enfant|collègue))\b"
);
phrases!(
    HYPOTHESIS,
    r"(?i)\b(if|suppose|imagine|pretend|would|were|wish|when i was|used to|for example|e\.g|in \w+ years|will be|si|imagine[rz]?|serais|quand j['’]étais)\b"
);
phrases!(
    BOUND_BEFORE,
    r"(?i)\b(under|over|above|below|than|least|most|until|before|after|since|about|around|almost|nearly|approximately|roughly|maybe|perhaps|moins de|plus de|environ|avant|après|depuis|presque)\s+(the\s+|le\s+)?\W*$"
);
phrases!(
    AGE_BEFORE,
    r"(?i)(\b(i['’]?m|i am|im|j['’]ai|just turned|turned|aged)\s+(only |just |now |already )?)$"
);
phrases!(
    AGE_AFTER,
    r"(?i)^\s*(-?\s*years?[\s-]old|yrs?\b|yo\b|y/o|ans\b|printemps)|^\s*$|^\s*[.,;!)]|^\s+(and|et|now|today)\b"
);
phrases!(YEARS_AFTER, r"(?i)^\s*(-?\s*years?[\s-]old|yrs? old|yo\b|y/o)");
phrases!(
    FILLER,
    r"(?i)\b(it['’]?s|it is|that['’]?s|that is|i['’]?m|i am|my|is|the|sure|ok|okay|yes|yep|well|here|here it is|thanks|thank you|please|hi|hello|answer|c['’]est|oui|merci|voici|bonjour|mon|ma|est|je suis|j['’]ai|ans|years|year|old|euros?|dollars?|eur|usd)\b"
);

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
        NEGATION.is_match(self.before)
    }

    /// Whether the message is nothing but the value and polite filling.
    pub(super) fn is_alone(&self) -> bool {
        !FILLER.replace_all(&self.rest, "").chars().any(char::is_alphanumeric)
    }

    /// Whether it is told as the customer's own age.
    pub(super) fn tells_an_age(&self) -> bool {
        let is_first_person = AGE_BEFORE.is_match(self.before);
        (is_first_person && AGE_AFTER.is_match(self.after))
            || (self.before.trim().is_empty() && YEARS_AFTER.is_match(self.after))
    }

    /// The most that can be thought of the candidate.
    pub(super) fn doubt(&self) -> f64 {
        if SOMEBODY_ELSE.is_match(self.clause) {
            return ELSEWHERE;
        }
        self.doubt_when_named()
    }

    /// As [`Self::doubt`], where the field is named.
    pub(super) fn doubt_when_named(&self) -> f64 {
        if SOMEBODY_ELSE.is_match(self.clause) || BOUND_BEFORE.is_match(self.before) {
            ELSEWHERE
        } else if HYPOTHESIS.is_match(self.sentence) || self.clause.trim_end().ends_with('?') {
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
    phrases!(MARKS, r"[.!?…]+(\s|$)|[;\n?!]");
    MARKS
        .find_iter(text)
        .map(|mark| mark.start()..mark.start() + mark.as_str().trim_end().len().max(1))
        .collect()
}

fn clause_marks(text: &str) -> Vec<Range<usize>> {
    phrases!(MARKS, r"(?i),|\s[–—-]\s|\b(but|and|mais|et|while|whereas|although|tandis que)\b");
    MARKS.find_iter(text).map(|mark| mark.range()).collect()
}
