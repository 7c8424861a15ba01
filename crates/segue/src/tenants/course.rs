//! How migrations went of late, as this process saw them: for charts, and for nothing else.
//!
//! Every process reads the active migrations once a second anyway, to find those that nobody carries on. What
//! their rows say of progress then is remembered here, whoever carries them on: how many events the target has,
//! how many the source has, and how fast that goes. So the charts of any server show any migration, and begin
//! when that server did. Another server has seen it at other moments.
//!
//! Whoever follows a migration by [`present_migration`] has both stores asked, which is newer than what the
//! row says; while somebody does, that is what is remembered.
//!
//! [`present_migration`]: super::MigrationCoordinator::present_migration
//!
//! Each course keeps its last minutes as they were, and the whole way ever more coarsely: when there is no room
//! left every other moment of it is forgotten. Memory is bounded, however long a migration takes and however
//! many there are.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use segue_core::ids::MigrationId;
use segue_core::tenancy::migration::MigrationState;
use segue_store::control::migrations::Migration;

/// How many moments of the last minutes are remembered.
const LATELY: usize = 300;

/// How many moments of the whole way are remembered.
const WHOLE: usize = 256;

/// How many migrations' courses are remembered.
const COURSES: usize = 256;

/// Over how long a rate is observed at least.
const OBSERVED: SignedDuration = SignedDuration::from_secs(15);

/// The least time between two moments; a change of state is remembered in any case.
const APART: SignedDuration = SignedDuration::from_millis(900);

/// For how long the stores' own answer keeps out what a row says.
const NEWER: SignedDuration = SignedDuration::from_secs(3);

/// Who says how far a migration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Its row, as its coordinator told a second or two ago.
    Told,
    /// Both stores, now.
    Stores,
}

/// A migration at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// When it was seen so.
    pub at: Timestamp,
    /// What it was.
    pub state: MigrationState,
    /// How many events the target had.
    pub copied: u64,
    /// How many events the source had.
    pub total: u64,
    /// Events per second, as its coordinator told.
    pub events_per_second: f64,
}

impl Moment {
    /// How many events the target was behind.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.total.saturating_sub(self.copied)
    }
}

/// How one migration went.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    lately: VecDeque<Moment>,
    whole: Vec<Moment>,
    /// The least time between two moments of the whole way.
    spacing: SignedDuration,
    /// When the stores were asked last.
    asked: Option<Timestamp>,
}

impl Default for Course {
    fn default() -> Self {
        Self { lately: VecDeque::new(), whole: Vec::new(), spacing: APART, asked: None }
    }
}

impl Course {
    /// The last minutes, the oldest moment first.
    pub fn lately(&self) -> impl Iterator<Item = &Moment> {
        self.lately.iter()
    }

    /// All the way since this process saw it first, the oldest moment first.
    pub fn whole(&self) -> impl Iterator<Item = &Moment> {
        // What was seen last may be too young for the coarse way.
        let last = self.whole.last().map(|moment| moment.at);
        let newest = self.lately.back().filter(|moment| Some(moment.at) > last);
        self.whole.iter().chain(newest)
    }

    /// How fast events came to the target, at each of some moments, the oldest first: over the seconds before
    /// it, as they were seen and with every rest. A copy that is taken back counts as a standstill.
    #[must_use]
    pub fn rates(moments: &[&Moment]) -> Vec<(Timestamp, f64)> {
        let mut from = 0;
        let mut rates = Vec::new();
        for (nth, moment) in moments.iter().enumerate().skip(1) {
            while from + 1 < nth && moment.at.duration_since(moments[from + 1].at) >= OBSERVED {
                from += 1;
            }
            let seconds = moment.at.duration_since(moments[from].at).as_secs_f64();
            let came = moment.copied.saturating_sub(moments[from].copied) as f64;
            if seconds > 0.0 {
                rates.push((moment.at, came / seconds));
            }
        }
        rates
    }

    /// Remembers a moment.
    pub fn see(&mut self, moment: Moment, source: Source) {
        match source {
            Source::Stores => self.asked = Some(moment.at),
            Source::Told => {
                let is_newer = |asked: Timestamp| moment.at.duration_since(asked) < NEWER;
                let is_decision = self.lately.back().is_some_and(|last| last.state != moment.state);
                if !is_decision && self.asked.is_some_and(is_newer) {
                    return;
                }
            }
        }
        let is_due = |last: Option<&Moment>, spacing: SignedDuration| {
            last.is_none_or(|last| {
                last.state != moment.state || moment.at.duration_since(last.at) >= spacing
            })
        };
        if is_due(self.lately.back(), APART) {
            if self.lately.len() >= LATELY {
                self.lately.pop_front();
            }
            self.lately.push_back(moment);
        }
        if is_due(self.whole.last(), self.spacing) {
            if self.whole.len() >= WHOLE {
                let mut nth = 0_usize;
                self.whole.retain(|_| {
                    nth += 1;
                    nth % 2 == 1
                });
                self.spacing = self.spacing.checked_mul(2).unwrap_or(SignedDuration::MAX);
            }
            self.whole.push(moment);
        }
    }

    fn last_seen(&self) -> Option<Timestamp> {
        self.lately.back().map(|moment| moment.at)
    }
}

/// The courses that this process remembers.
#[derive(Debug, Default)]
pub(super) struct Courses {
    by_migration: Mutex<BTreeMap<MigrationId, Course>>,
}

impl Courses {
    /// Remembers how migrations are now.
    pub(super) fn see(&self, migrations: &[Migration], at: Timestamp, source: Source) {
        let mut courses = self.lock();
        for migration in migrations.iter().filter(|migration| migration.beats > 0) {
            if courses.len() >= COURSES && !courses.contains_key(&migration.id) {
                forget_one(&mut courses);
            }
            let progress = &migration.progress;
            let moment = Moment {
                at,
                state: migration.state,
                copied: progress.copied.0,
                total: progress.total.0,
                events_per_second: progress.events_per_second,
            };
            courses.entry(migration.id).or_default().see(moment, source);
        }
    }

    /// How a migration went; nothing of one that this process never saw.
    pub(super) fn of(&self, id: MigrationId) -> Course {
        self.lock().get(&id).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<MigrationId, Course>> {
        self.by_migration.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room: what was not seen for longest goes.
fn forget_one(courses: &mut BTreeMap<MigrationId, Course>) {
    let oldest = courses.iter().min_by_key(|(_, course)| course.last_seen());
    if let Some(id) = oldest.map(|(id, _)| *id) {
        courses.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(second: i64, copied: u64) -> Moment {
        Moment {
            at: Timestamp::from_second(second).unwrap(),
            state: MigrationState::BulkCopy,
            copied,
            total: 1_000_000,
            events_per_second: 1.0,
        }
    }

    #[test]
    fn the_last_minutes_are_kept_as_they_were_and_the_whole_way_coarsely() {
        let mut course = Course::default();
        (0..100_000)
            .for_each(|second| course.see(moment(second, second.unsigned_abs()), Source::Told));
        let lately: Vec<u64> = course.lately().map(|moment| moment.copied).collect();
        assert_eq!(lately, (99_700..100_000).collect::<Vec<_>>());
        let whole: Vec<u64> = course.whole().map(|moment| moment.copied).collect();
        assert!(whole.len() <= WHOLE + 1, "{}", whole.len());
        assert_eq!((whole.first(), whole.last()), (Some(&0), Some(&99_999)));
        assert!(whole.is_sorted());
        let widest = whole.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(widest <= 1_024, "no gap hides anything: {widest}");
    }

    #[test]
    fn rates_are_what_came_in_the_seconds_before() {
        let moments: Vec<Moment> = [(0, 0), (20, 200), (40, 2_200), (41, 2_200), (42, 500)]
            .map(|(second, copied)| moment(second, copied))
            .to_vec();
        let moments: Vec<&Moment> = moments.iter().collect();
        let rates: Vec<f64> = Course::rates(&moments).into_iter().map(|(_, rate)| rate).collect();
        assert_eq!(rates[..2], [10.0, 100.0]);
        assert!((rates[2] - 2_000.0 / 21.0).abs() < 0.01, "over at least some seconds: {rates:?}");
        assert!(rates[3] >= 0.0, "a copy that is taken back is no negative rate");
        assert_eq!(Course::rates(&moments[..1]), []);
    }

    #[test]
    fn what_comes_too_soon_is_not_kept_but_a_change_of_state_is() {
        let mut course = Course::default();
        course.see(moment(1, 1), Source::Told);
        course.see(moment(1, 2), Source::Told);
        let cut = Moment { state: MigrationState::CutoverPaused, ..moment(1, 3) };
        course.see(cut, Source::Told);
        let copied: Vec<u64> = course.lately().map(|moment| moment.copied).collect();
        assert_eq!(copied, [1, 3]);
        assert_eq!(cut.lag(), 999_997);
    }

    #[test]
    fn what_the_stores_say_keeps_out_what_was_told_before() {
        let mut course = Course::default();
        let copied =
            |course: &Course| course.lately().map(|moment| moment.copied).collect::<Vec<_>>();
        course.see(moment(1, 10), Source::Told);
        course.see(moment(2, 30), Source::Stores);
        course.see(moment(3, 20), Source::Told);
        assert_eq!(copied(&course), [10, 30], "or it would seem to go backwards");
        course.see(moment(5, 40), Source::Told);
        assert_eq!(copied(&course), [10, 30, 40], "nobody follows it any more");
    }

    #[test]
    fn the_course_that_was_not_seen_for_longest_makes_room() {
        let id = |nth: usize| MigrationId(uuid::Uuid::from_u128(nth as u128));
        let mut courses: BTreeMap<MigrationId, Course> = BTreeMap::new();
        for nth in 0..COURSES {
            courses.entry(id(nth)).or_default().see(moment(1_000 - nth as i64, 0), Source::Told);
        }
        forget_one(&mut courses);
        assert_eq!((courses.len(), courses.contains_key(&id(COURSES - 1))), (COURSES - 1, false));
    }
}
