//! What a field is called, and whether a text asks for it or names it.

use regex::Regex;
use serde_json::Value;

use crate::extract::context::{self, Surroundings};
use crate::extract::phrases::{EMPTY_WORDS, SYNONYMS};
use crate::fields::{self, Definition, ValueType};

/// A longer hint is a sentence for a model and no name.
const MAX_HINT_WORDS: usize = 3;

/// A field with what is needed to look for it.
pub(super) struct Field<'a> {
    pub(super) definition: &'a Definition,
    pub(super) pattern: Option<Regex>,
    /// Each of these word sequences names it.
    names: Vec<String>,
    is_age: bool,
    is_birth: bool,
}

impl<'a> Field<'a> {
    pub(super) fn new(definition: &'a Definition) -> Self {
        let mut names = Vec::new();
        let words = split(definition.name.as_str());
        let telling: Vec<&String> =
            words.iter().filter(|word| !EMPTY_WORDS.contains(&word.as_str())).collect();
        names.push(words.join(" "));
        if !telling.is_empty() {
            names.push(telling.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(" "));
        }
        names.extend(definition.display_name.as_deref().map(|name| split(name).join(" ")));
        let hints = definition.extraction_hint.as_deref().unwrap_or_default().split([',', ';']);
        names.extend(
            hints.map(split).filter(|hint| hint.len() <= MAX_HINT_WORDS).map(|hint| hint.join(" ")),
        );
        for word in telling {
            for (_, synonyms) in SYNONYMS.iter().filter(|(name, _)| name == word) {
                names.extend(synonyms.iter().map(ToString::to_string));
            }
        }
        names.retain(|name| !name.is_empty());
        let has = |word: &str| names.iter().any(|name| name.split(' ').any(|part| part == word));
        Self {
            definition,
            pattern: definition.pattern.as_deref().and_then(|pattern| fields::whole(pattern).ok()),
            is_age: has("age") && definition.value_type != ValueType::Date,
            is_birth: has("born"),
            names,
        }
    }

    /// The value as the definition keeps it, if it accepts it.
    pub(super) fn accept(&self, value: &Value) -> Option<Value> {
        let accepted = self.definition.normalised(value)?;
        let fits = match (&self.definition.pattern, &self.pattern) {
            (None, _) => true,
            (Some(_), Some(pattern)) => match &accepted {
                Value::String(text) => pattern.is_match(text),
                other => pattern.is_match(&other.to_string()),
            },
            (Some(_), None) => false,
        };
        fits.then_some(accepted)
    }

    /// Whether an agent's message asks for the field: in one of its questions, or anywhere if it holds
    /// none.
    pub(super) fn is_asked_in(&self, text: &str) -> bool {
        let is_prompt = self
            .definition
            .collection_prompt
            .as_deref()
            .is_some_and(|prompt| !prompt.trim().is_empty() && text.contains(prompt.trim()));
        is_prompt
            || if text.contains('?') {
                let sentences = context::sentences(text);
                sentences
                    .iter()
                    .any(|sentence| sentence.ends_with('?') && self.is_named_in(sentence))
            } else {
                self.is_named_in(text)
            }
    }

    /// Whether a text names the field.
    pub(super) fn is_named_in(&self, text: &str) -> bool {
        let words = format!(" {} ", split(text).join(" "));
        self.names.iter().any(|name| {
            words.contains(&format!(" {name} ")) || words.contains(&format!(" {name}s "))
        })
    }

    /// Whether a text begins with the name of the field, as a form would: "age: 17".
    pub(super) fn leads(&self, text: &str) -> bool {
        let words = format!("{} ", split(text).join(" "));
        self.names.iter().any(|name| words.starts_with(&format!("{name} ")))
    }

    /// Whether a turn of phrase tells that the candidate is about this field: "I'm 17", "17 years old",
    /// "born on 12 March".
    pub(super) fn is_told_in(&self, around: &Surroundings<'_>) -> bool {
        (self.is_age && around.tells_an_age()) || (self.is_birth && self.is_named_in(around.clause))
    }
}

/// The words of a name or text in lower case, split at signs and humps: `birthDate` is `birth date`.
fn split(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous = ' ';
    for c in text.chars() {
        let is_part = c.is_alphanumeric() || (c == '-' && previous == 'e');
        let is_hump = c.is_uppercase() && previous.is_lowercase();
        if !is_part || is_hump {
            words.push(String::new());
        }
        if is_part && let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
        previous = c;
    }
    words.retain(|word| !word.is_empty());
    words
}
