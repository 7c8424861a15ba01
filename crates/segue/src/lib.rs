//! Segue as a library: what the binary does, without the binary.
//!
//! Placeholder until the facade is complete.
pub mod cli;
pub mod clock;
pub mod config;
pub mod error;
pub mod http;
pub mod scenarios;
pub mod stores;
pub mod telemetry;
pub mod tenants;

pub use error::{Error, Result};
