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
