//! Where tenants live: the router through which everything reads and writes their logs.

pub mod follow;
pub mod pause;
pub mod router;
mod tails;

pub use follow::{Follow, PageSize, Subscriber};
pub use pause::{PauseMetrics, WritePausedError};
pub use router::TenantStoreRouter;
