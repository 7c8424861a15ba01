//! Why an operation on a tenant's log failed: what callers decide upon, and everything else.

use segue_core::ids::{Epoch, TenantId};
use segue_store::control::routing::Route;
use segue_store::events::{self, Mode};

use crate::error::Error;

/// Why an operation on a tenant's log failed.
#[derive(Debug)]
pub enum Failure {
    /// The store refused it.
    Store(events::Error),
    /// It did not come to the store.
    Other(Error),
}

impl Failure {
    /// The route changed more often than any operation follows it.
    pub(super) fn keeps_changing(tenant: TenantId) -> Self {
        Self::Other(Error::Unavailable {
            what: "the event store",
            reason: format!("the route of tenant {tenant} keeps changing"),
            source: None,
        })
    }

    /// The store's fence and the control plane's route contradict each other: an operator has to look.
    pub(super) fn fenced_by_nobody(
        tenant: TenantId,
        route: &Route,
        mode: Mode,
        epoch: Epoch,
    ) -> Self {
        Self::Other(Error::Unavailable {
            what: "the event store",
            reason: format!(
                "tenant {tenant} is routed to store `{}` at epoch {}, but is {mode} there at epoch {epoch}",
                route.store_id, route.epoch
            ),
            source: None,
        })
    }

    /// The store that the tenant is routed to has no log of it.
    pub(super) fn lost(tenant: TenantId, route: &Route) -> Self {
        Self::Other(Error::Corrupt {
            what: "the event store",
            reason: format!(
                "tenant {tenant} is routed to store `{}`, which has no log of it: was its file replaced? \
                 Restore it from a backup",
                route.store_id
            ),
            source: None,
        })
    }
}

impl From<events::Error> for Failure {
    fn from(error: events::Error) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error.into(),
            Failure::Other(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use segue_store::events::Reason;

    use super::*;

    #[test]
    fn a_reason_of_the_store_is_kept_for_the_operator() {
        let full = events::Error::Unavailable { reason: Reason::DiskFull, source: None };
        let error = Error::from(Failure::from(full));
        assert!(error.to_string().contains("the disk is full"), "{error}");
    }
}
