//! Lists come in pages: `limit`, an opaque `cursor`, and `total` and `next_cursor` in the answer.

use serde::Deserialize;
use utoipa::ToSchema;

/// How many items a page has: 1 to 100, by default 50.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "u32")]
#[schema(value_type = u32, minimum = 1, maximum = 100, default = 50)]
pub struct Limit(pub u32);

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl TryFrom<u32> for Limit {
    type Error = &'static str;

    fn try_from(limit: u32) -> Result<Self, Self::Error> {
        if (1..=100).contains(&limit) { Ok(Self(limit)) } else { Err("limit is 1 to 100") }
    }
}
