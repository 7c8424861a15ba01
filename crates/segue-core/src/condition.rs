//! Conditions: CEL over what is known, with three truth values.

use crate::ids::FieldName;

/// What a condition looks up.
pub trait Facts {
    /// The value of a field, if it is known now.
    fn get(&self, field: &str) -> Option<&serde_json::Value>;
}

/// The answer of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be said.
    Unknown(Unknown),
}

/// Why it cannot be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// These fields are missing; with them it could be said.
    Missing(Vec<FieldName>),
    /// A value has a type that the condition cannot use; worth a warning.
    TypeError(String),
    /// The text is natural language and nobody has judged it.
    Unjudged,
}

/// A parsed condition.
#[derive(Debug)]
pub struct Condition {}
