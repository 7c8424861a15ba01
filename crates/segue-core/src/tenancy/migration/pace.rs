//! How fast a bulk copy may go: within its limit, and leaving the source's writers what they need.
//!
//! A copy works for a slice of time and then rests. While the source is written, the writers' rate during
//! slices is compared with their rate during rests: with `d` the share of the time that is worked, writers
//! lose `d * (1 - during / at_rest)` of their rate. The share is set so that this stays within
//! [`WRITERS_LOSE`], but no smaller than it takes to gain on the writers: a copy that falls behind never ends.
//! Where nobody writes, or the source has power to spare, the copy does not rest for it.

use std::time::Duration;

/// How much of their rate writers may lose to a copy by what is measured. What they lose in fact is more, up
/// to half as much again: a slice is still felt in the rest after it, against which it is measured.
const WRITERS_LOSE: f64 = 0.12;

/// The share of the time that a copy works until writers were seen without it.
const FIRST_SHARE: f64 = 0.5;

/// The least share of the time that a copy works, so that it comes to its end.
const LEAST_SHARE: f64 = 0.1;

/// How much faster than the writers a copy is to be.
const GAIN: f64 = 1.1;

/// How many slices in a row have to fall behind until the writers are said to be too fast.
const OUTRUN: u32 = 100;

/// The most while somebody writes: without a rest nobody knows what writers do at rest.
const MOST_SHARE: f64 = 0.9;

/// The most while nobody is seen to write: a copy may be what keeps writers from writing.
const ALONE: f64 = 0.98;

/// How long a slice is, in which a copy works without a rest.
pub const SLICE: Duration = Duration::from_millis(100);

/// How much a new measurement counts against those before it.
const FRESH: f64 = 0.3;

/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(2);

/// What was measured of one slice and of the rest before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slice {
    /// How long the copy worked.
    pub worked: Duration,
    /// How many events it copied.
    pub copied: u64,
    /// How many events were appended to the source meanwhile.
    pub appended_at_work: u64,
    /// How long the rest before it was.
    pub rested: Duration,
    /// How many events were appended to the source during that rest.
    pub appended_at_rest: u64,
}

/// The pace of one copy.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pace {
    /// Events per second at most, by order.
    limit: Option<f64>,
    at_work: Option<f64>,
    at_rest: Option<f64>,
    /// Events per second that are copied while it works.
    copies: Option<f64>,
    /// How many slices in a row fell behind.
    behind: u32,
}

impl Pace {
    /// A copy that has measured nothing yet.
    #[must_use]
    pub fn new(limit: Option<f64>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// How many events a slice may copy, so that the limit holds for every second and not only on average.
    #[must_use]
    pub fn most_at_once(&self) -> u64 {
        let share = |limit: f64| (limit * SLICE.as_secs_f64()).ceil().max(1.0) as u64;
        self.limit.map_or(u64::MAX, share)
    }

    /// How long to rest after a slice.
    ///
    /// ```
    /// use std::time::Duration;
    /// use segue_core::tenancy::migration::pace::{Pace, Slice};
    ///
    /// let worked = Duration::from_millis(100);
    /// let slice = Slice {
    ///     worked, copied: 1_000, appended_at_work: 0, rested: Duration::ZERO, appended_at_rest: 0,
    /// };
    /// assert!(Pace::new(None).rest_after(&slice) < Duration::from_millis(12), "nobody writes");
    /// assert_eq!(Pace::new(Some(2_000.0)).rest_after(&slice), Duration::from_millis(400));
    /// ```
    pub fn rest_after(&mut self, slice: &Slice) -> Duration {
        blend(&mut self.at_work, slice.appended_at_work, slice.worked);
        blend(&mut self.at_rest, slice.appended_at_rest, slice.rested);
        blend(&mut self.copies, slice.copied, slice.worked);
        let gains = slice.copied > slice.appended_at_work + slice.appended_at_rest;
        self.behind = if gains { 0 } else { self.behind.saturating_add(1) };
        let ordered = self.limit.map_or(Duration::ZERO, |limit| {
            let due = Duration::try_from_secs_f64(slice.copied as f64 / limit);
            due.unwrap_or(Duration::MAX).saturating_sub(slice.worked)
        });
        let share = self.share();
        let yielded = slice.worked.mul_f64(1.0 / share - 1.0).min(LONGEST_REST);
        ordered.max(yielded)
    }

    /// Whether the tenant is written faster than it is copied, and has been for a while.
    #[must_use]
    pub fn is_outrun(&self) -> bool {
        self.behind >= OUTRUN
    }

    /// The share of the time that the copy may work.
    fn share(&self) -> f64 {
        match (self.at_work, self.at_rest) {
            (None | Some(0.0), Some(0.0)) => ALONE,
            (None | Some(0.0), None) => MOST_SHARE,
            (Some(_), None) => FIRST_SHARE,
            (at_work, Some(at_rest)) => {
                let at_work = at_work.unwrap_or(0.0);
                let loss = 1.0 - at_work / at_rest.max(f64::MIN_POSITIVE);
                let bearable = WRITERS_LOSE / loss.max(f64::MIN_POSITIVE);
                let least = self.gaining(at_work, at_rest).max(LEAST_SHARE);
                bearable.max(least).clamp(LEAST_SHARE, MOST_SHARE)
            }
        }
    }

    /// The share `d` at which as much is copied as is written, and a little more: `d * copies` is `GAIN`
    /// times `d * at_work + (1 - d) * at_rest`.
    fn gaining(&self, at_work: f64, at_rest: f64) -> f64 {
        let per_share = self.copies.unwrap_or(0.0) + GAIN * (at_rest - at_work);
        if per_share > 0.0 { GAIN * at_rest / per_share } else { MOST_SHARE }
    }
}

/// Counts a measurement in, unless it is of no time at all.
fn blend(rate: &mut Option<f64>, events: u64, time: Duration) {
    if time < Duration::from_millis(1) {
        return;
    }
    let now = events as f64 / time.as_secs_f64();
    *rate = Some(rate.map_or(now, |before| before + FRESH * (now - before)));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writers that reach `at_rest` events per second alone, and `at_work` beside a fast copy.
    fn settled(at_work: f64, at_rest: f64) -> f64 {
        settled_beside(500_000.0, at_work, at_rest)
    }

    /// The same beside a copy of so many events per second.
    fn settled_beside(copies: f64, at_work: f64, at_rest: f64) -> f64 {
        let mut pace = Pace::new(None);
        let (worked, mut rested) = (SLICE, Duration::ZERO);
        for _ in 0..50 {
            let count = |rate: f64, time: Duration| (rate * time.as_secs_f64()).round() as u64;
            rested = pace.rest_after(&Slice {
                worked,
                copied: count(copies, worked),
                appended_at_work: count(at_work, worked),
                rested,
                appended_at_rest: count(at_rest, rested),
            });
        }
        worked.as_secs_f64() / (worked + rested).as_secs_f64()
    }

    #[test]
    fn a_copy_that_takes_half_of_the_writers_rate_works_a_quarter_of_the_time() {
        let share = settled(10_000.0, 20_000.0);
        assert!((0.22..0.26).contains(&share), "{share}");
    }

    #[test]
    fn a_copy_takes_the_time_it_needs_to_gain_on_the_writers() {
        let (copies, at_work, at_rest) = (50_000.0, 10_000.0, 20_000.0);
        let share = settled_beside(copies, at_work, at_rest);
        let written = share * at_work + (1.0 - share) * at_rest;
        assert!((1.05..1.15).contains(&(share * copies / written)), "{share}");
    }

    #[test]
    fn writers_who_are_too_fast_are_found_out_and_one_busy_moment_is_not() {
        let mut pace = Pace::new(Some(1_000.0));
        let slice = |copied| Slice {
            worked: SLICE,
            copied,
            appended_at_work: 20,
            rested: SLICE,
            appended_at_rest: 100,
        };
        for _ in 0..OUTRUN {
            assert!(!pace.is_outrun());
            pace.rest_after(&slice(100));
        }
        assert!(pace.is_outrun());
        pace.rest_after(&slice(200));
        assert!(!pace.is_outrun());
    }

    #[test]
    fn where_there_is_power_to_spare_the_copy_hardly_rests() {
        let share = settled(1_000.0, 1_000.0);
        assert!((0.89..0.91).contains(&share), "{share}");
    }

    #[test]
    fn a_copy_that_stops_the_writers_altogether_still_comes_to_its_end() {
        let share = settled(0.0, 20_000.0);
        assert!((0.11..0.13).contains(&share), "{share}");
    }

    #[test]
    fn what_is_copied_at_once_is_within_the_limit_of_a_tenth_of_a_second() {
        assert_eq!(Pace::new(None).most_at_once(), u64::MAX);
        assert_eq!(Pace::new(Some(2_000.0)).most_at_once(), 200);
        assert_eq!(Pace::new(Some(0.5)).most_at_once(), 1);
    }

    #[test]
    fn writers_who_were_not_seen_without_the_copy_yet_are_given_a_rest_to_be_seen_in() {
        let slice = Slice {
            worked: SLICE,
            copied: 10_000,
            appended_at_work: 50,
            rested: Duration::ZERO,
            appended_at_rest: 0,
        };
        assert_eq!(Pace::new(None).rest_after(&slice), SLICE);
    }

    #[test]
    fn nobody_is_waited_for_where_nobody_writes() {
        assert!(settled(0.0, 0.0) > 0.97);
    }
}
