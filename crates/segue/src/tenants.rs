//! Where tenants live: the router through which everything reads and writes their logs.

pub mod router;

pub use router::TenantStoreRouter;
