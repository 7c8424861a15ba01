//! Who does something and why, as operators write it. Both stay on record and are read again with what they
//! are about, so both are short.

use segue_store::events::limits::{ACTOR_BYTES, REASON_BYTES};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Reads a name, if there is one.
pub fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    at_most("a name", ACTOR_BYTES, deserializer)
}

/// Reads a reason, if there is one.
pub fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    at_most("a reason", REASON_BYTES, deserializer)
}

fn at_most<'de, D: Deserializer<'de>>(
    what: &str,
    limit: usize,
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    match text.as_ref().map_or(0, String::len) {
        length if length > limit => Err(D::Error::custom(format!(
            "{what} has at most {limit} bytes, this one has {length}"
        ))),
        _ => Ok(text),
    }
}
