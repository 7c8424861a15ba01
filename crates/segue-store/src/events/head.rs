//! The head of a tenant log, as stores keep it. What it admits and becomes is decided in the core.

use jiff::Timestamp;
use segue_core::digest::Mark;
use segue_core::ids::{Epoch, StoreId, TenantId, Term};
pub use segue_core::tenancy::head::{Access, Differs, Fenced, Head, HeadSwap, Mode};

use super::error::{Error, Result};

/// Where a tenant went, kept in the store that it left: for those who read that store past Segue, and for
/// whoever wonders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantMoved {
    /// The store that owns it since.
    pub target: StoreId,
    /// The epoch at which that store accepted its first write.
    pub epoch: Epoch,
    /// The end of the log here; what follows it is there.
    pub at: Mark,
    /// When that was decided.
    pub moved_at: Timestamp,
}

/// A change of a head that touches no event. What every adapter decides in the same way.
#[derive(Debug, Clone)]
pub(crate) enum HeadChange {
    /// Opens an empty log.
    Open(Epoch),
    /// As the swap says.
    Swap(HeadSwap),
    /// As the swap says, and keeps where the tenant went.
    Retire(HeadSwap, TenantMoved),
    /// Claims it for a copy at this epoch and term.
    Copy(Epoch, Term),
}

impl HeadChange {
    /// The head after it; `current` is the head as it is, where there is one.
    pub(crate) fn decide(&self, tenant: TenantId, current: Option<Head>) -> Result<Head> {
        match (self, current) {
            (Self::Open(epoch), None) => Ok(Head::opened(*epoch)),
            (Self::Open(epoch), Some(head)) => {
                head.admits_open(*epoch)?;
                Ok(head)
            }
            (Self::Swap(swap) | Self::Retire(swap, _), Some(head)) => Ok(head.swapped(swap)?),
            (Self::Swap(_) | Self::Retire(..), None) => Err(Error::NotFound { tenant }),
            (Self::Copy(epoch, term), current) => Ok(Head::claimed(current, *epoch, *term)?),
        }
    }

    /// Whether the log must hold no event: what is left of a purge would spoil the copy that begins.
    pub(crate) fn begins_anew(&self, current: Option<Head>) -> bool {
        matches!(self, Self::Copy(..)) && current.is_none_or(|head| head.mode == Mode::Tombstone)
    }
}

/// The answer to a copy that would begin among the remains of one that was purged.
pub(crate) fn still_purged(tenant: TenantId) -> Error {
    Error::Invalid(format!(
        "the log of tenant {tenant} was purged here, but not to its end: purge it again first"
    ))
}

impl From<Fenced> for Error {
    fn from(Fenced { mode, epoch }: Fenced) -> Self {
        Self::Fenced { mode, epoch }
    }
}

impl From<Differs> for Error {
    fn from(Differs(head): Differs) -> Self {
        Self::HeadDiffers { head: Box::new(head) }
    }
}
