//! What went wrong while a target was written beside its source.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Failed writes to a target, in all. Each of these events reaches the target all the same: the copier
/// brings what a failed write left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FailureStats {
    /// Failed writes.
    pub total_failures: u64,
    /// The events that these would have written.
    pub total_events_failed: u64,
    /// When the first failed; null if none did.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub first_failure_at: Option<Timestamp>,
    /// When the last failed; null if none did.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_failure_at: Option<Timestamp>,
    /// How many streams these events belong to. A stream counts once for each server that writes it.
    pub unique_aggregates_affected: u64,
}

impl FailureStats {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let first = [self.first_failure_at, other.first_failure_at].into_iter().flatten().min();
        Self {
            total_failures: self.total_failures + other.total_failures,
            total_events_failed: self.total_events_failed + other.total_events_failed,
            first_failure_at: first,
            last_failure_at: self.last_failure_at.max(other.last_failure_at),
            unique_aggregates_affected: self.unique_aggregates_affected
                + other.unique_aggregates_affected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failures_of_two_servers_add_up() {
        let at = |second| Timestamp::from_second(second).ok();
        let one = FailureStats {
            total_failures: 2,
            total_events_failed: 5,
            first_failure_at: at(10),
            last_failure_at: at(20),
            unique_aggregates_affected: 1,
        };
        assert_eq!(FailureStats::default().and(one), one);
        let two = FailureStats { first_failure_at: at(5), last_failure_at: at(15), ..one };
        let both = one.and(two);
        assert_eq!((both.first_failure_at, both.last_failure_at), (at(5), at(20)));
        assert_eq!((both.total_failures, both.total_events_failed), (4, 10));
    }
}
