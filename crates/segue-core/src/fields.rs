//! What is known of a customer: values, where they came from, how long they hold.
//!
//! A value lives in a session's variables or in the customer's profile. [`Definition`] says how a field
//! is typed, asked for and found in a message.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::FieldName;

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
    /// A hint for an extractor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extraction_hint: Option<String>,
    /// What to ask the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection_prompt: Option<String>,
    /// Days after which a profile value no longer counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_after_days: Option<u32>,
}

/// The definitions of a tenant by field.
pub type Definitions = BTreeMap<FieldName, Definition>;
