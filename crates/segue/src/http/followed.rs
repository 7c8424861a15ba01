//! Long work as an answer that does not end before it: how far it is, then what it came to.

use std::future::Future;
use std::sync::Arc;

use axum::body::Bytes;
use axum::response::Response;
use futures_util::stream;
use serde::Serialize;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::live::{HEARTBEAT, Live, SIGN_OF_LIFE, event_stream, named, problem};
use crate::error::Result;

/// How many signs of progress wait for a client; what does not fit is not said.
const PROGRESS: usize = 16;

/// Tells the client how far the work is.
#[derive(Debug, Clone)]
pub struct Teller(mpsc::Sender<Bytes>);

impl Teller {
    /// Tells it, unless the client reads slowly: then it misses some of it.
    pub fn tell(&self, progress: &impl Serialize) {
        let _ = self.0.try_send(named("progress", progress));
    }
}

/// Answers with events `progress` while the work goes on, and at its end with one event `report`, or
/// `problem`. The work is dropped when the client leaves or the server stops.
pub fn followed<Report, Work>(
    live: &Arc<Live>,
    begin: impl FnOnce(Teller) -> Work + Send + 'static,
) -> Response
where
    Report: Serialize + Send,
    Work: Future<Output = Result<Report>> + Send,
{
    let (told, events) = mpsc::channel(PROGRESS);
    let live = Arc::clone(live);
    let work = async move {
        tokio::select! {
            outcome = begin(Teller(told.clone())) => {
                let last = match outcome {
                    Ok(report) => named("report", &report),
                    Err(error) => problem(error),
                };
                // A client that has gone does not want to know.
                let _ = told.send(last).await;
            }
            () = told.closed() => {}
            () = live.stopped() => {}
        }
    };
    // What is logged on the way belongs to the request.
    tokio::spawn(work.in_current_span());
    event_stream(stream::unfold(events, |mut events| async move {
        let chunk = match tokio::time::timeout(HEARTBEAT, events.recv()).await {
            Ok(chunk) => chunk?,
            Err(_silence) => Bytes::from_static(SIGN_OF_LIFE),
        };
        Some((chunk, events))
    }))
}
