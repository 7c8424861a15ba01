//! What is known of a customer: values, where they came from, how long they hold.
//!
//! A value lives in a session's variables or in the customer's profile. [`Definition`] says how a field
//! is typed, asked for and found in a message. A field that nobody defined takes any value but null, is
//! asked for by its name, and is never looked for in messages.

mod accept;
pub(crate) mod forms;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::condition::Facts;
use crate::ids::FieldName;

pub(crate) use accept::whole;
pub use accept::{MAX_EXPIRY_DAYS, MAX_PATTERN_BYTES, MAX_TEXT_CHARS, MAX_VALUES};

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The customer or the caller said so in a turn, or at the start.
    Given,
    /// The customer's profile.
    Profile,
    /// The session's own variables.
    Session,
    /// Found in the conversation.
    Extraction,
    /// Found in the conversation and confirmed by the customer.
    Confirmed,
    /// Set through the profile API.
    Operator,
}

/// A value and its provenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Any JSON but null.
    pub value: Value,
    /// Where it came from.
    pub source: Source,
    /// From 0 to 1.
    pub confidence: f64,
    /// When it was set.
    pub updated_at: Timestamp,
}

/// A customer's profile, as the fold of the customer's stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The fields by name.
    pub fields: BTreeMap<FieldName, Known>,
}

impl Profile {
    /// Adds what was learned; a newer value replaces an older one.
    pub fn apply(&mut self, writes: &BTreeMap<FieldName, Known>) {
        self.fields.extend(writes.iter().map(|(name, known)| (name.clone(), known.clone())));
    }

    /// The profile as it counts at a moment: without the values that have expired.
    #[must_use]
    pub fn current<'a>(&'a self, definitions: &'a Definitions, now: Timestamp) -> Current<'a> {
        Current { profile: self, definitions, now }
    }
}

/// A profile as it counts at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Current<'a> {
    profile: &'a Profile,
    definitions: &'a Definitions,
    now: Timestamp,
}

impl<'a> Current<'a> {
    /// What is known of a field, unless it has expired.
    #[must_use]
    pub fn known(&self, field: &str) -> Option<&'a Known> {
        let known = self.profile.fields.get(field)?;
        match self.definitions.get(field) {
            Some(definition) if definition.is_expired(known, self.now) => None,
            Some(_) | None => Some(known),
        }
    }
}

impl Facts for Current<'_> {
    fn get(&self, field: &str) -> Option<&Value> {
        self.known(field).map(|known| &known.value)
    }

    fn is_defined(&self, field: &str) -> bool {
        self.definitions.contains_key(field) || self.profile.fields.contains_key(field)
    }
}

impl Facts for BTreeMap<FieldName, Known> {
    fn get(&self, field: &str) -> Option<&Value> {
        self.get(field).map(|known| &known.value)
    }
}

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// Any text. Never extracted without a pattern.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// Yes or no.
    Boolean,
    /// A calendar date, as `YYYY-MM-DD`.
    Date,
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// One of `values`.
    Enum,
}

/// How a field is typed, asked for, found and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The field.
    pub name: FieldName,
    /// Its type.
    pub value_type: ValueType,
    /// What operators and customers call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// A regular expression that the whole value must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The allowed values of an enum.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// What customers may call it, separated by commas, or a sentence for an external extractor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extraction_hint: Option<String>,
    /// What to ask the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection_prompt: Option<String>,
    /// Days after which a profile value no longer counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_after_days: Option<u32>,
}

impl Definition {
    /// What customers and operators call it: its display name, or its own.
    #[must_use]
    pub fn label(&self) -> &str {
        self.display_name.as_deref().unwrap_or(self.name.as_str())
    }

    /// Whether a profile value is too old to count.
    #[must_use]
    pub fn is_expired(&self, known: &Known, now: Timestamp) -> bool {
        const SECONDS_PER_DAY: i64 = 24 * 60 * 60;
        self.expires_after_days.is_some_and(|days| {
            now.duration_since(known.updated_at).as_secs() >= i64::from(days) * SECONDS_PER_DAY
        })
    }

    /// Whether the embedded extractor can look for it: every type has a form but free text, which needs
    /// a pattern.
    #[must_use]
    pub fn is_extractable(&self) -> bool {
        self.value_type != ValueType::String || self.pattern.is_some()
    }
}

/// The definitions of a tenant by field.
pub type Definitions = BTreeMap<FieldName, Definition>;
