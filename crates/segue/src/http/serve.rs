//! Accepts connections until told to stop, then finishes what it has accepted.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use super::stalled::Impatient;
use super::{App, router};

/// How long a server goes on once it is asked to stop, so that what had reached the machine by then, a request that
/// waits in its connection or a connection that waits to be accepted, is answered and not reset.
const LINGER: Duration = Duration::from_millis(100);

/// In so many parts: a process that was given no time meanwhile still turns to its connections so often.
const TURNS: u32 = 10;

/// Serves until `stop` completes and for a moment longer; then accepts nothing more, ends what would stay
/// open, and waits for the requests at hand, at most for `patience`.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    app: App,
    stop: impl Future<Output = ()> + Send + 'static,
    patience: Duration,
) -> io::Result<()> {
    let listener = listener.tap_io(|connection| {
        // An answer is written at once and not held back for more; a failure only costs latency.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    let listener = Impatient::new(listener, app.stalled_reader_timeout);
    let live = app.live.clone();
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let stop = async move {
        stop.await;
        for _ in 0..TURNS {
            tokio::time::sleep(LINGER / TURNS).await;
        }
        tracing::info!("stopping: finishing the requests at hand");
        live.stop();
        // The receiver is gone only when serving has ended already.
        let _ = stopping.send(());
    };
    let serving = axum::serve(listener, router(app)).with_graceful_shutdown(stop);
    tokio::select! {
        result = serving.into_future() => result,
        () = async {
            match stopped.await {
                Ok(()) => tokio::time::sleep(patience).await,
                Err(_) => std::future::pending().await,
            }
        } => {
            tracing::warn!(?patience, "stopped with requests at hand");
            Ok(())
        }
    }
}

/// Listens for SIGTERM and Ctrl-C from now on; the future completes at the first.
///
/// # Panics
/// Outside of a runtime, or when the process cannot listen for signals.
pub fn asked_to_stop() -> impl Future<Output = ()> + Send + 'static {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be listened for");
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be listened for");
    async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
