//! What a step means, in 16 hex characters: bit-compatible with the original system.
//!
//! Both hashes are the start of a SHA-256 over JSON exactly as Python's `json.dumps(…, sort_keys=True)`
//! writes it: sorted keys, `", "` and `": "`, everything outside printable ASCII as `\uXXXX`. A step's
//! hash leaves out its id, its transitions and the flags of control flow, so that it says what the step
//! *means*, wherever it stands. The checksum covers the shape of a version but not its texts; it is kept
//! for compatibility and is no proof of equality.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::scenario::{Scenario, Step, Transition};

/// The first 64 bits of the SHA-256 over a step's canonical JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
#[serde(into = "String", try_from = "String")]
pub struct ContentHash(pub u64);

/// The first 64 bits of the SHA-256 over a version's canonical JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
#[serde(into = "String", try_from = "String")]
pub struct Checksum(pub u64);

macro_rules! hex16 {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }
        impl From<$name> for String {
            fn from(hash: $name) -> String {
                hash.to_string()
            }
        }
        impl TryFrom<String> for $name {
            type Error = NotHex;
            fn try_from(text: String) -> Result<Self, NotHex> {
                let lower_hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                if text.len() == 16 && lower_hex {
                    u64::from_str_radix(&text, 16).map(Self).map_err(|_| NotHex)
                } else {
                    Err(NotHex)
                }
            }
        }
    };
}
hex16!(ContentHash);
hex16!(Checksum);

/// Says that a text is not a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 16 lower-case hex characters")]
pub struct NotHex;

/// Says what a step means, independent of its id and of its place in the graph.
///
/// ```
/// use segue_core::scenario::{Step, hash::content_hash};
/// let step: Step = serde_json::from_str(r#"{"id": "welcome", "name": "Greeting"}"#).unwrap();
/// assert_eq!(content_hash(&step).to_string(), "673a195bcd684cb1");
/// ```
#[must_use]
pub fn content_hash(step: &Step) -> ContentHash {
    let mut json = Json::default();
    json.raw("{\"checkpoint_description\": ");
    json.text(step.checkpoint_description.as_deref().unwrap_or_default());
    json.raw(", \"collects_profile_fields\": ");
    let mut fields: Vec<&str> = step.collects_profile_fields.iter().map(|f| f.as_str()).collect();
    fields.sort_unstable();
    json.list(fields, |json, field| json.text(field));
    json.raw(", \"description\": ");
    json.text(step.description.as_deref().unwrap_or_default());
    json.raw(", \"is_checkpoint\": ");
    json.raw(if step.is_checkpoint { "true" } else { "false" });
    json.raw(", \"name\": ");
    json.text(&step.name);
    json.raw(", \"performs_action\": ");
    json.raw(if step.performs_action { "true" } else { "false" });
    json.raw(", \"rule_ids\": ");
    let mut rules = step.rule_ids.clone();
    rules.sort_unstable();
    json.list(rules, |json, rule| json.text(rule.as_hyphenated().encode_lower(&mut [0; 36])));
    json.raw("}");
    ContentHash(json.first_64_bits())
}

/// Sums up the shape of a version: its name, number, entry, steps and transitions.
#[must_use]
pub fn checksum(scenario: &Scenario) -> Checksum {
    let mut json = Json::default();
    json.raw("{\"entry_step_id\": ");
    json.text(scenario.entry_step_id.as_str());
    json.raw(", \"name\": ");
    json.text(&scenario.name);
    json.raw(", \"steps\": ");
    let mut steps: Vec<&Step> = scenario.steps.iter().collect();
    steps.sort_by(|a, b| a.id.cmp(&b.id));
    json.list(steps, |json, step| {
        json.raw("{\"id\": ");
        json.text(step.id.as_str());
        json.raw(", \"name\": ");
        json.text(&step.name);
        json.raw(", \"transitions\": ");
        let mut transitions: Vec<&Transition> = step.transitions.iter().collect();
        transitions.sort_by(|a, b| a.to_step_id.cmp(&b.to_step_id));
        json.list(transitions, |json, transition| {
            json.raw("{\"condition_text\": ");
            json.text(transition.condition_text.as_deref().unwrap_or_default());
            json.raw(", \"priority\": ");
            json.number(transition.priority);
            json.raw(", \"to_step_id\": ");
            json.text(transition.to_step_id.as_str());
            json.raw("}");
        });
        json.raw("}");
    });
    json.raw(", \"version\": ");
    json.number(scenario.version);
    json.raw("}");
    Checksum(json.first_64_bits())
}

/// JSON as Python writes it.
#[derive(Default)]
struct Json {
    written: String,
}

impl Json {
    fn raw(&mut self, json: &str) {
        self.written.push_str(json);
    }

    fn number(&mut self, number: impl fmt::Display) {
        write!(self.written, "{number}").expect("writing to a string cannot fail");
    }

    fn list<T>(&mut self, items: Vec<T>, mut write_item: impl FnMut(&mut Self, T)) {
        self.raw("[");
        for (nth, item) in items.into_iter().enumerate() {
            if nth > 0 {
                self.raw(", ");
            }
            write_item(self, item);
        }
        self.raw("]");
    }

    fn text(&mut self, text: &str) {
        self.raw("\"");
        // Most texts need no escape at all.
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
            self.raw(text);
            self.raw("\"");
            return;
        }
        for character in text.chars() {
            match character {
                '"' => self.raw("\\\""),
                '\\' => self.raw("\\\\"),
                '\n' => self.raw("\\n"),
                '\r' => self.raw("\\r"),
                '\t' => self.raw("\\t"),
                '\u{8}' => self.raw("\\b"),
                '\u{c}' => self.raw("\\f"),
                ' '..='~' => self.written.push(character),
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        write!(self.written, "\\u{unit:04x}")
                            .expect("writing to a string cannot fail");
                    }
                }
            }
        }
        self.raw("\"");
    }

    fn first_64_bits(&self) -> u64 {
        let digest = Sha256::digest(self.written.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        u64::from_be_bytes(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(json: &str) -> Step {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_vectors_of_the_design_hold() {
        let greeting = step(r#"{"id": "a", "name": "Greeting"}"#);
        assert_eq!(content_hash(&greeting).to_string(), "673a195bcd684cb1");
        let scenario: Scenario = serde_json::from_str(
            r#"{"id": "00000000-0000-4000-8000-00000000000a", "name": "S", "version": 1,
                "entry_step_id": "00000000-0000-4000-8000-000000000001",
                "steps": [
                  {"id": "00000000-0000-4000-8000-000000000002", "name": "B"},
                  {"id": "00000000-0000-4000-8000-000000000001", "name": "A", "transitions": [
                    {"to_step_id": "00000000-0000-4000-8000-000000000002",
                     "condition_text": "ok", "priority": 0}]}]}"#,
        )
        .unwrap();
        assert_eq!(checksum(&scenario).to_string(), "b8b305dcec26237c");
    }

    #[test]
    fn absent_null_and_empty_texts_mean_the_same() {
        let absent = step(r#"{"id": "a", "name": "n"}"#);
        let null = step(r#"{"id": "a", "name": "n", "description": null}"#);
        let empty =
            step(r#"{"id": "a", "name": "n", "description": "", "checkpoint_description": ""}"#);
        assert_eq!(content_hash(&absent), content_hash(&null));
        assert_eq!(content_hash(&absent), content_hash(&empty));
    }

    #[test]
    fn the_order_of_fields_and_rules_means_nothing_but_their_number_does() {
        let one = step(r#"{"id": "a", "name": "n", "collects_profile_fields": ["b", "a"]}"#);
        let other = step(r#"{"id": "z", "name": "n", "collects_profile_fields": ["a", "b"]}"#);
        let twice = step(r#"{"id": "a", "name": "n", "collects_profile_fields": ["a", "a", "b"]}"#);
        assert_eq!(content_hash(&one), content_hash(&other));
        assert_ne!(content_hash(&one), content_hash(&twice));
    }

    #[test]
    fn every_character_is_written_as_python_writes_it() {
        let mut json = Json::default();
        json.text("\"\\/\n\r\t\u{8}\u{c}\u{0}\u{7f} ~é確😀");
        assert_eq!(json.written, r#""\"\\/\n\r\t\b\f\u0000\u007f ~\u00e9\u78ba\ud83d\ude00""#);
    }
}
