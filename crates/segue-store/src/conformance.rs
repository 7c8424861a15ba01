//! The suites that every adapter must pass: a named property each, run against a fresh store.
//!
//! They are public, so that an adapter outside this crate is held to the same. Being tests, they panic
//! with what they found.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

pub mod control;
pub mod events;
