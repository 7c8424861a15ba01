//! Where tenants live: the router through which everything reads and writes their logs, and whether what
//! was written is still what is there.

pub mod follow;
pub mod pause;
pub mod placement;
pub mod router;
mod tails;
pub mod verify;
pub mod waiting;

pub use follow::{Follow, PageSize, Subscriber};
pub use pause::WritePausedError;
pub use placement::{StoreView, TenantPage, TenantState, TenantView};
pub use router::{Home, TenantStoreRouter};
pub use verify::Verification;
pub use waiting::PauseMetrics;
