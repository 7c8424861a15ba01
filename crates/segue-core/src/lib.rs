//! The pure core of Segue: it decides, and performs nothing.
pub mod breaker;
pub mod condition;
pub mod config;
pub mod diff;
pub mod digest;
pub mod extract;
pub mod fields;
pub mod ids;
pub mod plan;
pub mod reconcile;
pub mod scenario;
pub mod session;
pub mod tenancy;
