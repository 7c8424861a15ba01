//! Segue's stores: the contracts of the event store and of the control plane, and their adapters.
//!
//! `segue-core` decides, this crate keeps. [`control`] is the database of decisions: scenarios, plans,
//! deployments, field definitions, routing and the audit. [`events`] is where tenant logs live.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod conformance;
pub mod control;
pub mod dice;
pub mod events;
pub mod faulty;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;
