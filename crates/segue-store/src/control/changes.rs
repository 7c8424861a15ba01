//! What was decided, told to whoever wants to know soon.
//!
//! Nothing depends on it for being right: every turn reads [`super::Standings::standing`], and a store
//! refuses what comes by a stale route. It only shortens the time until a server that remembers something
//! looks again. So a message may come twice, may be about nothing that matters, and may be lost with the
//! connection that carried it; then [`Changed::Anything`] is told, and a look at what was decided of late
//! makes up for it.

use std::sync::{Arc, OnceLock};

use segue_core::ids::TenantId;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::AbortHandle;

use super::audit::Subject;

/// How many messages wait for a slow listener; beyond it the listener is told [`Changed::Anything`].
const BACKLOG: usize = 1_024;

/// What may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Something of this kind, of this tenant.
    Noun(TenantId, Subject),
    /// Anything of this tenant.
    Tenant(TenantId),
    /// Anything of anybody: messages were lost.
    Anything,
}

impl Changed {
    /// Whether it may be about this kind of thing of this tenant.
    #[must_use]
    pub fn concerns(self, tenant: TenantId, subject: Subject) -> bool {
        match self {
            Self::Noun(of, what) => of == tenant && what == subject,
            Self::Tenant(of) => of == tenant,
            Self::Anything => true,
        }
    }
}

/// A listener to what is decided from now on, by this process or another.
#[derive(Debug)]
pub struct Changes {
    messages: broadcast::Receiver<Changed>,
    has_begun: bool,
}

impl Changes {
    /// Waits for the next message; for ever once the control plane is closed. The first is
    /// [`Changed::Anything`] and comes at once: what was decided until now is the listener's to read.
    pub async fn next(&mut self) -> Changed {
        if !std::mem::replace(&mut self.has_begun, true) {
            return Changed::Anything;
        }
        match self.messages.recv().await {
            Ok(changed) => changed,
            Err(RecvError::Lagged(_)) => Changed::Anything,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Tells the listeners of one control plane. The task that finds out what to tell begins with the first
/// listener and ends with this value.
#[derive(Debug)]
pub(super) struct Announcer {
    sender: broadcast::Sender<Changed>,
    watching: OnceLock<AbortHandle>,
}

impl Announcer {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { sender: broadcast::Sender::new(BACKLOG), watching: OnceLock::new() })
    }

    /// A new listener. `watch` makes the task that tells, if there is none yet.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(super) fn listen<Watching>(
        &self,
        watch: impl FnOnce(broadcast::Sender<Changed>) -> Watching,
    ) -> Changes
    where
        Watching: Future<Output = ()> + Send + 'static,
    {
        let messages = self.sender.subscribe();
        self.watching.get_or_init(|| tokio::spawn(watch(self.sender.clone())).abort_handle());
        Changes { messages, has_begun: false }
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        if let Some(watching) = self.watching.get() {
            watching.abort();
        }
    }
}
