//! Segue as a library: what the binary does, without the binary.
//!
//! Placeholder until the facade is complete.
pub mod error;

pub use error::{Error, Result};
