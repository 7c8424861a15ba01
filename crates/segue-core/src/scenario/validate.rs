//! Everything that is wrong with a document, at once.

use serde::{Deserialize, Serialize};

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// Stable, snake_case.
    pub code: String,
    /// A JSON pointer into the document.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}
