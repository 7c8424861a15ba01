//! Work that takes as long as a log is long, begun by a form: verifications and repairs.
//!
//! A form answers at once, and its page follows the work. So the work belongs to this process and not to the
//! request: it goes on when the browser leaves, and ends with the server. What it came to is remembered here
//! for its page, the last of each thing; what has to outlive the process is kept in the control plane by the
//! work itself, as the last verification of a migration is. Another server's page does not see it running.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use segue_core::ids::{MigrationId, TenantId};

use crate::error::Result;
use crate::http::live::Live;
use crate::tenants::VerificationReport;
use crate::tenants::coordinator::repair::Repaired;
use crate::tenants::verify::{Progress, Report};

/// How many checks are remembered.
const REMEMBERED: usize = 128;

/// What is checked, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// A tenant's log, in its store.
    Log(TenantId),
    /// The copy of a migration.
    Copy(MigrationId),
    /// The copy of a migration, to be mended.
    Repair(MigrationId),
}

/// How far a check is.
#[derive(Debug, Clone, PartialEq)]
pub enum Check {
    /// It goes on.
    Running {
        /// Since when.
        since: Timestamp,
        /// How far it has come; nothing before its first page.
        progress: Option<Progress>,
    },
    /// It has ended.
    Ended {
        /// When.
        at: Timestamp,
        /// What was found.
        found: Found,
    },
    /// It could not be made.
    Failed {
        /// When that was known.
        at: Timestamp,
        /// Why, for people.
        reason: String,
    },
}

/// What a check found.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Of a tenant's log.
    Log(Box<Report>),
    /// Of a migration's copy.
    Copy(Box<VerificationReport>),
    /// Of a repair.
    Repaired(Box<Repaired>),
}

/// The checks that this process has begun.
#[derive(Debug, Default)]
pub struct Checks {
    by_subject: Mutex<BTreeMap<About, Check>>,
}

/// Tells how far a check is.
#[derive(Debug, Clone)]
pub struct Teller {
    checks: Arc<Checks>,
    about: About,
}

impl Teller {
    /// Tells it.
    pub fn tell(&self, progress: Progress) {
        if let Some(Check::Running { progress: told, .. }) = self.checks.lock().get_mut(&self.about)
        {
            *told = Some(progress);
        }
    }
}

impl Checks {
    /// How a check is, if one was made.
    #[must_use]
    pub fn of(&self, about: About) -> Option<Check> {
        self.lock().get(&about).cloned()
    }

    /// Begins a check; answers whether it was begun. It is not while the same one goes on already.
    pub fn begin<Work>(
        self: &Arc<Self>,
        about: About,
        live: &Arc<Live>,
        now: impl Fn() -> Timestamp + Send + 'static,
        work: impl FnOnce(Teller) -> Work,
    ) -> bool
    where
        Work: Future<Output = Result<Found>> + Send + 'static,
    {
        if !self.enter(about, now()) {
            return false;
        }
        let work = work(Teller { checks: Arc::clone(self), about });
        let (live, entered) = (Arc::clone(live), Entered { checks: Arc::clone(self), about });
        tokio::spawn(async move {
            let outcome = tokio::select! {
                outcome = work => outcome.map_err(|error| error.to_string()),
                () = live.stopped() => Err("the server was stopped".to_owned()),
            };
            entered.leave(match outcome {
                Ok(found) => Check::Ended { at: now(), found },
                Err(reason) => Check::Failed { at: now(), reason },
            });
        });
        true
    }

    /// Takes note of a beginning, unless it goes on already.
    fn enter(&self, about: About, since: Timestamp) -> bool {
        let mut checks = self.lock();
        if let Some(Check::Running { .. }) = checks.get(&about) {
            return false;
        }
        if checks.len() >= REMEMBERED {
            // What goes on is bounded by itself; the oldest of what has ended goes.
            let oldest = checks.iter().filter_map(|(about, check)| match check {
                Check::Running { .. } => None,
                Check::Ended { at, .. } | Check::Failed { at, .. } => Some((*at, *about)),
            });
            if let Some((_, about)) = oldest.min() {
                checks.remove(&about);
            }
        }
        checks.insert(about, Check::Running { since, progress: None });
        true
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<About, Check>> {
        self.by_subject.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A check that goes on. One that panics is forgotten, so that it can be made again.
struct Entered {
    checks: Arc<Checks>,
    about: About,
}

impl Entered {
    fn leave(self, check: Check) {
        self.checks.lock().insert(self.about, check);
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut checks = self.checks.lock();
        if let Some(Check::Running { .. }) = checks.get(&self.about) {
            checks.remove(&self.about);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use segue_core::ids::Position;

    use super::*;
    use crate::config::Config;
    use crate::console::check;
    use crate::console::moves::sample;
    use crate::error::Error;

    const ABOUT: About = About::Copy(MigrationId(uuid::Uuid::nil()));

    fn live() -> Arc<Live> {
        Live::new(Config::default().server.live_limits())
    }

    fn broken() -> Result<Found> {
        let reason = "it is away".to_owned();
        Err(Error::Unavailable { what: "the store", reason, source: None })
    }

    async fn ended(checks: &Checks) -> Option<Check> {
        for _ in 0..1_000 {
            match checks.of(ABOUT) {
                Some(Check::Running { .. }) => tokio::time::sleep(Duration::from_millis(1)).await,
                other => return other,
            }
        }
        panic!("it goes on");
    }

    #[tokio::test]
    async fn a_check_is_not_begun_twice_and_tells_how_far_it_is() {
        let (checks, live) = (Arc::new(Checks::default()), live());
        let (go_on, wait) = tokio::sync::oneshot::channel::<()>();
        let (position, last_position) = (Position(1), Position(2));
        let told = Progress { position, last_position, streams_checked: 0 };
        let begun = checks.begin(
            ABOUT,
            &live,
            || sample::at(1),
            |teller| async move {
                teller.tell(told);
                let _ = wait.await;
                broken()
            },
        );
        assert!(begun);
        tokio::task::yield_now().await;
        let running = Check::Running { since: sample::at(1), progress: Some(told) };
        assert_eq!(checks.of(ABOUT), Some(running));
        assert!(!checks.begin(ABOUT, &live, || sample::at(2), |_| async { broken() }));
        go_on.send(()).unwrap();
        let Some(Check::Failed { reason, .. }) = ended(&checks).await else { panic!("no reason") };
        assert!(reason.contains("it is away"), "{reason}");
        assert!(checks.begin(ABOUT, &live, || sample::at(3), |_| async { broken() }));
    }

    #[tokio::test]
    async fn a_check_ends_with_the_server_and_is_forgotten_when_it_panics() {
        let (checks, live) = (Arc::new(Checks::default()), live());
        checks.begin(ABOUT, &live, || sample::at(1), |_| async { panic!("a defect") });
        assert_eq!(ended(&checks).await, None);
        checks.begin(ABOUT, &live, || sample::at(1), |_| std::future::pending());
        live.stop();
        let Some(Check::Failed { reason, .. }) = ended(&checks).await else { panic!("no reason") };
        assert_eq!(reason, "the server was stopped");
    }

    #[test]
    fn only_so_many_are_remembered_and_the_oldest_makes_room() {
        let checks = Checks::default();
        let about = |nth: u128| About::Copy(MigrationId(uuid::Uuid::from_u128(nth)));
        for nth in 0..REMEMBERED as u128 {
            assert!(checks.enter(about(nth), sample::at(0)));
            let at = sample::at(if nth == 7 { -5 } else { 5 });
            checks.lock().insert(about(nth), Check::Failed { at, reason: String::new() });
        }
        assert!(checks.enter(About::Log(check::tenant()), sample::at(9)));
        assert_eq!(checks.of(about(7)), None);
        assert_eq!(checks.lock().len(), REMEMBERED);
    }
}
