//! Where a consumer goes on when its log's events got other numbers.
//!
//! Our own stores keep every event's position, so a position means the same in each of them. A foreign source
//! has numbers of its own; while its events are imported, pairs of its numbers and our positions are
//! recorded. A consumer that stands at a number without a pair goes on at the nearest one below: what lies
//! between is delivered again, and nothing is passed over.

use std::collections::BTreeMap;

use crate::ids::Position;

/// Translates positions of a source into positions of a tenant log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PositionMapper {
    /// The pairs of a foreign source; nothing for a source that numbers its events as we do.
    recorded: Option<BTreeMap<u64, Position>>,
}

/// Where a consumer goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// It has seen everything up to here, and nothing after.
    pub position: Position,
    /// Whether that is the very place where it stood; if not, it lies before it.
    pub is_exact: bool,
}

/// A pair that contradicts an earlier one: the order of events would differ between the two logs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "position {source_position} of the source cannot be position {position} here: {other_source} is \
     position {other} already"
)]
pub struct OutOfOrder {
    /// The source's number.
    pub source_position: u64,
    /// Our position.
    pub position: Position,
    /// The number of the pair that it contradicts.
    pub other_source: u64,
    /// The position of that pair.
    pub other: Position,
}

impl PositionMapper {
    /// For a source that numbers its events as we do.
    #[must_use]
    pub fn identity() -> Self {
        Self { recorded: None }
    }

    /// For a source that numbers its events otherwise; nothing is recorded yet.
    #[must_use]
    pub fn foreign() -> Self {
        Self { recorded: Some(BTreeMap::new()) }
    }

    /// Whether positions are the same in both logs.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.recorded.is_none()
    }

    /// Records that the source's event of a number is the event at a position. Again, it changes nothing.
    ///
    /// # Errors
    /// [`OutOfOrder`], also in a mapper of equal numbers when they are not equal.
    ///
    /// ```
    /// use segue_core::ids::Position;
    /// use segue_core::tenancy::migration::PositionMapper;
    ///
    /// let mut positions = PositionMapper::foreign();
    /// positions.record(100, Position(1))?;
    /// positions.record(130, Position(2))?;
    /// let there = positions.map(115);
    /// assert_eq!((there.position, there.is_exact), (Position(1), false));
    /// assert!(positions.record(140, Position(2)).is_err());
    /// # Ok::<(), segue_core::tenancy::migration::positions::OutOfOrder>(())
    /// ```
    pub fn record(&mut self, source_position: u64, position: Position) -> Result<(), OutOfOrder> {
        let contradicts = |(other_source, other): (u64, Position)| OutOfOrder {
            source_position,
            position,
            other_source,
            other,
        };
        let Some(recorded) = &mut self.recorded else {
            let same = (source_position, Position(source_position));
            return if same.1 == position { Ok(()) } else { Err(contradicts(same)) };
        };
        let pair = |(source, position): (&u64, &Position)| (*source, *position);
        let before = recorded.range(..=source_position).next_back().map(pair);
        let after = recorded.range(source_position..).next().map(pair);
        let is_same = before.is_some_and(|(source, _)| source == source_position);
        for other in [before, after].into_iter().flatten() {
            let fits = match other.0.cmp(&source_position) {
                std::cmp::Ordering::Less => other.1 < position,
                std::cmp::Ordering::Equal => other.1 == position,
                std::cmp::Ordering::Greater => other.1 > position,
            };
            if !fits {
                return Err(contradicts(other));
            }
        }
        if !is_same {
            recorded.insert(source_position, position);
        }
        Ok(())
    }

    /// Where a consumer goes on that has seen everything up to a number of the source.
    #[must_use]
    pub fn map(&self, source_position: u64) -> Mapped {
        let Some(recorded) = &self.recorded else {
            return Mapped { position: Position(source_position), is_exact: true };
        };
        match recorded.range(..=source_position).next_back() {
            Some((source, position)) => {
                Mapped { position: *position, is_exact: *source == source_position }
            }
            // Before everything that was imported; nothing seen is nothing seen in any numbers.
            None => Mapped { position: Position(0), is_exact: source_position == 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    fn foreign(pairs: &[(u64, u64)]) -> PositionMapper {
        let mut positions = PositionMapper::foreign();
        for (source, position) in pairs {
            positions.record(*source, Position(*position)).unwrap();
        }
        positions
    }

    #[test]
    fn between_our_own_stores_a_position_stays_what_it_is() {
        let positions = PositionMapper::identity();
        let mapped = Mapped { position: Position(4_711), is_exact: true };
        assert_eq!(positions.map(4_711), mapped);
        let mut positions = positions;
        assert_eq!(positions.record(7, Position(7)), Ok(()));
        assert!(positions.record(7, Position(8)).is_err());
    }

    #[test]
    fn a_number_without_a_pair_goes_to_the_nearest_one_below() {
        let positions = foreign(&[(10, 1), (20, 2), (40, 3)]);
        let at = |source| {
            let Mapped { position, is_exact } = positions.map(source);
            (position.0, is_exact)
        };
        assert_eq!(at(0), (0, true), "whoever has seen nothing has seen nothing");
        assert_eq!((at(9), at(10), at(19)), ((0, false), (1, true), (1, false)));
        assert_eq!((at(40), at(u64::MAX)), ((3, true), (3, false)));
    }

    #[test]
    fn a_pair_that_would_change_the_order_is_refused_and_named() {
        let mut positions = foreign(&[(10, 1), (30, 3)]);
        let refused = positions.record(20, Position(3)).unwrap_err();
        let text = "position 20 of the source cannot be position 3 here: 30 is position 3 already";
        assert_eq!(refused.to_string(), text);
        assert!(positions.record(30, Position(2)).is_err());
        assert_eq!(positions.record(30, Position(3)), Ok(()), "again changes nothing");
        assert_eq!(positions.record(20, Position(2)), Ok(()), "late is as good");
    }

    proptest! {
        #[test]
        fn nothing_is_ever_skipped(
            gaps in btree_map(1_u64..50, 1_u64..50, 1..40),
            seen in 0_u64..3_000,
        ) {
            let (mut source, mut position, mut pairs) = (0, 0, Vec::new());
            for (by, gap) in gaps {
                (source, position) = (source + by, position + gap);
                pairs.push((source, position));
            }
            let mapped = foreign(&pairs).map(seen);
            // Whatever the consumer had not seen lies after the place where it goes on.
            for (source, position) in pairs {
                if source > seen {
                    prop_assert!(Position(position) > mapped.position);
                } else {
                    prop_assert!(Position(position) <= mapped.position);
                }
            }
        }
    }
}
