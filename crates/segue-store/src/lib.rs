//! Segue's stores: the contracts of the event store and of the control plane, and their adapters.
//!
//! `segue-core` decides, this crate keeps. [`control`] is the database of decisions: scenarios, plans,
//! deployments, field definitions, routing and the audit.
pub mod control;
