//! What a subscriber was given, over all the times that it was cut off and resumed.

use uuid::Uuid;

use super::{Logged, Wrong};

/// What came on one connection, from resuming to being cut off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivered {
    /// The position after which it was asked for: what the subscriber had dealt with.
    pub after: u64,
    /// Positions and events as they came.
    pub events: Vec<(u64, Uuid)>,
}

/// Checks that a subscriber saw every position at least once, in order and without gaps, so that by
/// position alone it can keep each one once.
#[must_use]
pub fn check_deliveries(connections: &[Delivered], log: &[Logged]) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (resumed, connection) in connections.iter().enumerate() {
        let mut last = connection.after;
        if last > seen {
            wrong.push(Wrong::Delivery { resumed, expected: seen + 1, found: last + 1 });
        }
        for &(position, delivered) in &connection.events {
            if position != last + 1 {
                wrong.push(Wrong::Delivery { resumed, expected: last + 1, found: position });
            }
            let index = usize::try_from(position).ok().and_then(|position| position.checked_sub(1));
            let logged = index.and_then(|index| log.get(index)).map(|logged| logged.event);
            if logged != Some(delivered) {
                wrong.push(Wrong::DeliveredOther { position, delivered, logged });
            }
            last = position;
            seen = seen.max(position);
        }
    }
    if seen != log.len() as u64 {
        wrong.push(Wrong::Undelivered { seen, log: log.len() as u64 });
    }
    wrong
}
