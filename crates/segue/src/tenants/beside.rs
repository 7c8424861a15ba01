//! Computing something long beside everything else.

/// The process is about to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending;

/// Runs a computation on a thread of its own, so that it holds nobody up. In a runtime of one thread it
/// runs here: a simulation under such a one is the same each time.
pub(super) async fn beside<T: Send + 'static>(
    compute: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Ending> {
    let flavor = tokio::runtime::Handle::current().runtime_flavor();
    if flavor == tokio::runtime::RuntimeFlavor::CurrentThread {
        return Ok(compute());
    }
    match tokio::task::spawn_blocking(compute).await {
        Ok(computed) => Ok(computed),
        Err(panicked) if panicked.is_panic() => std::panic::resume_unwind(panicked.into_panic()),
        Err(_) => Err(Ending),
    }
}
