//! Which server a database is on, and which branch of its history: its system identifier and timeline.
//!
//! Both stay the same while one server runs, crashes included. The timeline changes when a standby takes
//! over or a backup is restored by recovery; what was not copied is lost then, a fence among it. Every new
//! connection says which it is on, before it is used: a change is noticed before anything is written there.

use std::sync::{Mutex, MutexGuard, PoisonError};

use deadpool_postgres::{ClientWrapper, HookError};
use tokio_postgres::SimpleQueryMessage;

/// What a server that takes writes is.
pub(crate) const INCARNATION: &str = "SELECT system_identifier || '/' || \
    substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) FROM pg_control_system() \
    WHERE NOT pg_is_in_recovery()";

/// A database that is another than it is known to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What it was.
    pub was: String,
    /// What it is.
    pub is: String,
}

/// What is known of the incarnation of one database.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The one whose fences are in place: the first that was seen, unless somebody knows better.
    admitted: Option<String>,
    seen: Option<String>,
}

impl State {
    fn changed(&self) -> Option<Changed> {
        let (was, is) = self.admitted.as_ref().zip(self.seen.as_ref())?;
        (was != is).then(|| Changed { was: was.clone(), is: is.clone() })
    }
}

impl Watch {
    /// Asks on a connection that was just made.
    ///
    /// # Errors
    /// While the server recovers: what it will be is not known yet, and the connection would still be there
    /// when it takes writes, as somebody whom nobody knows.
    pub(crate) async fn ask(&self, client: &ClientWrapper) -> Result<(), HookError> {
        // A role that may not know is as one that did not ask.
        let Ok(said) = client.simple_query(INCARNATION).await else { return Ok(()) };
        let found = said.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        self.saw(found.ok_or_else(|| HookError::message("the server recovers"))?);
        Ok(())
    }

    fn saw(&self, found: String) {
        let mut state = self.lock();
        if state.seen.as_ref() == Some(&found) {
            return;
        }
        state.admitted.get_or_insert_with(|| found.clone());
        state.seen = Some(found);
        if let Some(Changed { was, is }) = state.changed() {
            tracing::error!(
                was,
                is,
                "a database is another than it was: nothing is written there before its fences are back"
            );
        }
    }

    /// The change that nobody has dealt with yet.
    pub(crate) fn changed(&self) -> Option<Changed> {
        self.lock().changed()
    }

    /// Notes whose fences are in place.
    pub(crate) fn admit(&self, incarnation: &str) {
        self.lock().admitted = Some(incarnation.to_owned());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_stands_until_it_is_dealt_with() {
        let watch = Watch::default();
        watch.saw("1/1".into());
        watch.saw("1/1".into());
        assert_eq!(watch.changed(), None);
        watch.saw("1/2".into());
        let changed = Changed { was: "1/1".into(), is: "1/2".into() };
        assert_eq!(watch.changed(), Some(changed));
        watch.saw("1/3".into());
        watch.admit("1/2");
        assert!(watch.changed().is_some(), "it changed once more meanwhile");
        watch.admit("1/3");
        assert_eq!(watch.changed(), None);
    }

    #[test]
    fn a_change_while_nobody_looked_is_seen_by_whoever_knows_what_it_was() {
        let watch = Watch::default();
        watch.admit("1/1");
        assert_eq!(watch.changed(), None);
        watch.saw("1/2".into());
        assert!(watch.changed().is_some());
    }
}
