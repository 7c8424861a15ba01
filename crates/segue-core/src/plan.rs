//! Migration plans.
pub mod deployed;
pub mod policy;
