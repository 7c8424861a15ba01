//! Segue as a library: what the binary does, without the binary.
//!
//! Placeholder until the facade is complete.
pub mod clock;
pub mod config;
pub mod error;
pub mod http;
pub mod telemetry;

pub use error::{Error, Result};
