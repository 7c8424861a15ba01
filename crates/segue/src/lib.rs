//! Segue as a library: what the binary does, without the binary.
//!
//! [`scenarios::Scenarios`] is scenario migration on a control plane and a [`TenantStoreRouter`];
//! [`events`] opens the tenant logs behind it to applications; [`MigrationCoordinator`] moves tenants between
//! its stores. The HTTP API and the command line are thin layers over them.
//!
//! ```
//! use std::sync::Arc;
//!
//! use segue::scenarios::{Scenarios, StartSession};
//! use segue::{TenantStoreRouter, clock::SystemClock};
//! use segue_core::ids::{ScenarioId, TenantId};
//! use segue_store::{control::sqlite::Control, events::MemoryEventStore};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let control = Arc::new(Control::in_memory()?);
//! let store = Arc::new(MemoryEventStore::new());
//! let router = Arc::new(TenantStoreRouter::new(control.clone(), "shared".parse()?, store));
//! let segue = Scenarios::new(control, router, Arc::new(SystemClock), Default::default());
//!
//! let tenant: TenantId = "6f1c3b1e-0d5a-4c55-9a3e-0f4f6b8f1a10".parse()?;
//! let scenario = serde_json::from_str(include_str!("../../../examples/order-flow-v1.json"))?;
//! let registered = segue.catalog.register(tenant, scenario, "ann").await?;
//! let session = StartSession {
//!     scenario_id: registered.scenario_id,
//!     channel: "whatsapp".parse()?,
//!     customer_id: None,
//!     variables: Default::default(),
//!     id: None,
//! };
//! let started = segue.sessions.start(tenant, session).await?;
//! assert_eq!(started.session.step_id.as_str(), "welcome");
//! # Ok(())
//! # })
//! # }
//! ```

pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod error;
pub mod events;
pub mod http;
pub mod language;
pub mod scenarios;
pub mod stores;
pub mod telemetry;
pub mod tenants;

pub use error::{Error, Result};
pub use scenarios::{DeploymentResult, DeploymentStatus, MigrationDeployer, MigrationPlanner};
pub use segue_core::plan::document::MigrationPlan;
pub use segue_core::plan::policy::{AnchorMigrationPolicy, MigrationScenario, ScopeFilter};
pub use segue_core::plan::summary::MigrationSummary;
pub use tenants::{
    MigrationCoordinator, MigrationError, PauseMetrics, SubscriptionMigrator, TenantStoreRouter,
    WritePausedError,
};
