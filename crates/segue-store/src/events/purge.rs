//! Removing a log from a store that no longer owns the tenant, or never came to.
//!
//! The head becomes a tombstone first and stays one forever: it keeps the epoch and the term, so that
//! neither a writer that slept nor a copier that slept brings anything back. Then the events go, a bounded
//! number at a time; whoever finds a tombstone that still has events goes on.

use segue_core::ids::{Epoch, TenantId, Term};

use super::head::Head;

/// A request to purge a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purge {
    /// Whose log.
    pub tenant: TenantId,
    /// The epoch at which another store owns the tenant.
    pub epoch: Epoch,
    /// The term of the decision that this follows.
    pub term: Term,
}

/// What one call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    /// The tombstone.
    pub head: Head,
    /// How many events this call removed.
    pub removed: u64,
    /// Whether nothing is left.
    pub is_complete: bool,
}
