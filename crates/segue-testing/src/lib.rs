//! What Segue's tests and benchmarks stand on.
//!
//! [`postgres`] starts PostgreSQL servers that can be crashed and that never outlive the tests; [`history`]
//! checks a tenant log against what its writers and readers were told. No product
//! code depends on this crate.

pub mod history;
pub mod postgres;
