//! Stores that fail on command: before the work, after it, slowly, or for good; or that keep their caller
//! waiting, as one who is frozen.
//!
//! What they wrap are real stores. A fault *after* leaves the work done and loses the answer, which is the
//! case that retries by event id exist for. A *crash* makes every later call fail until
//! [`FaultyEventStore::restart`], as if the process that owns the store had died at that point.
//!
//! ```
//! # use std::sync::Arc;
//! # use segue_core::ids::{Epoch, TenantId};
//! # use segue_store::events::{EventStore, MemoryEventStore};
//! use segue_store::faulty::{Fault, FaultyEventStore, Operation};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let store = FaultyEventStore::around(Arc::new(MemoryEventStore::new()));
//! store.inject(Operation::OpenTenant, 1, Fault::After);
//! let tenant = TenantId(uuid::Uuid::nil());
//! assert!(store.open_tenant(tenant, Epoch(1)).await.is_err(), "the answer is lost");
//! assert!(store.head(tenant).await.is_ok(), "the work was done");
//! # }
//! ```

mod control;
mod events;
mod faults;

use std::time::Duration;

use crate::dice::Dice;

pub use control::{Call, FaultyControl};
pub use events::{FaultyEventStore, Operation};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails, and nothing was done.
    Before,
    /// The call fails, and everything was done.
    After,
    /// The call takes this much longer.
    Delay(Duration),
    /// As [`Fault::Before`], and every later call fails too.
    CrashBefore,
    /// As [`Fault::After`], and every later call fails too.
    CrashAfter,
}

/// How often faults come by themselves, out of a thousand calls each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    /// Decides everything: the same seed and the same calls meet the same faults.
    pub seed: u64,
    /// Calls that fail before the work.
    pub before_per_mille: u64,
    /// Calls that fail after the work.
    pub after_per_mille: u64,
    /// Calls that are slow.
    pub delay_per_mille: u64,
    /// The longest delay.
    pub longest_delay: Duration,
}

impl Weather {
    fn roll(&self, dice: &mut Dice) -> Option<Fault> {
        // Both are thrown each time, so that one call's fate does not shift the next one's.
        let (roll, length) = (dice.below(1_000), dice.below(1_000));
        let slow_from = self.before_per_mille + self.after_per_mille;
        if roll < self.before_per_mille {
            Some(Fault::Before)
        } else if roll < slow_from {
            Some(Fault::After)
        } else if roll < slow_from + self.delay_per_mille {
            Some(Fault::Delay(self.longest_delay.mul_f64(length as f64 / 1_000.0)))
        } else {
            None
        }
    }
}
