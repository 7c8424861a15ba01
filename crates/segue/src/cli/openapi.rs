//! `segue openapi`: the description of the API, as it is committed in `docs/openapi.json`.

use std::io::Write;

use super::failure::Failure;
use crate::http::{openapi, openapi_text};

/// Prints it.
pub fn run() -> Result<(), Failure> {
    let text = openapi_text(&openapi());
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::Other(error.to_string()))
}
