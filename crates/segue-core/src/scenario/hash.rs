//! What a step means, in 16 hex characters: bit-compatible with the original system.

use std::fmt;

use serde::{Deserialize, Serialize};

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
