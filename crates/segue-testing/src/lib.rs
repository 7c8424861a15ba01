//! What Segue's tests and benchmarks stand on.
//!
//! [`postgres`] starts PostgreSQL servers that can be crashed and that never outlive the tests. No product
//! code depends on this crate.

pub mod postgres;
