//! Where tenants live: the router through which everything reads and writes their logs, and whether what
//! was written is still what is there.

mod beside;
pub mod consistency;
pub mod coordinator;
pub mod copier;
pub mod course;
mod explanation;
pub mod failure;
#[cfg(test)]
mod fixture;
pub mod follow;
mod guard;
mod marks;
pub mod migration;
mod migration_error;
pub mod mirror;
pub mod pages;
pub mod pause;
pub mod placement;
mod preflight;
mod present;
mod reached;
pub mod read_back;
pub mod router;
mod routes;
pub mod subscriptions;
mod tails;
pub mod verify;
pub mod waiting;

pub use consistency::{ConsistencyVerifier, VerificationReport, Violation};
pub use coordinator::MigrationCoordinator;
pub use copier::{BulkCopier, CopyResult};
pub use course::{Course, Moment};
pub use follow::{Follow, PageSize, Subscriber};
pub use migration::Migration;
pub use migration_error::MigrationError;
pub use mirror::DualWriteInterceptor;
pub use pause::WritePausedError;
pub use placement::{StoreView, TenantPage, TenantState, TenantView};
pub use preflight::{DryRun, DurabilityOfBoth};
pub use router::{Home, TenantStoreRouter};
pub use subscriptions::SubscriptionMigrator;
pub use verify::Verification;
pub use waiting::PauseMetrics;
