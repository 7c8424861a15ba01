//! Computing something long beside everything else.

use segue_store::events::{self, Reason};
use tokio::task::JoinError;

/// The process is about to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending;

impl From<Ending> for events::Error {
    fn from(_: Ending) -> Self {
        Self::Unavailable { reason: Reason::Closed, source: None }
    }
}

/// What a task has come to. Where it has panicked, so does whoever waits for it.
pub(super) fn ended<T>(joined: Result<T, JoinError>) -> Result<T, Ending> {
    joined.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_aborted) => Ending,
    })
}

/// Runs a computation on a thread of its own, so that it holds nobody up. In a runtime of one thread it
/// runs here: a simulation under such a one is the same each time.
pub(super) async fn beside<T: Send + 'static>(
    compute: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Ending> {
    let flavor = tokio::runtime::Handle::current().runtime_flavor();
    if flavor == tokio::runtime::RuntimeFlavor::CurrentThread {
        return Ok(compute());
    }
    ended(tokio::task::spawn_blocking(compute).await)
}
