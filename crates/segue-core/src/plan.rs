//! Migration plans.
pub mod policy;
