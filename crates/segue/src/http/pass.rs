//! A request that was let in, for as long as its answer goes on: whoever loses their key or their session
//! meanwhile is told no more.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Method, header};
use axum::response::Response;
use futures_util::{Stream, StreamExt, stream};

use super::live;
use crate::auth::credential::Credential;
use crate::auth::{Access, Denied, Error};

/// How long an answer may take before it is asked again whether its reader may have it.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a request was let in with.
#[derive(Debug)]
pub struct Pass {
    access: Arc<Access>,
    /// Nothing, if everybody is let in there.
    credential: Option<Credential>,
    is_read: bool,
}

impl Pass {
    /// Let in with this.
    #[must_use]
    pub fn new(access: &Arc<Access>, credential: Option<Credential>, method: &Method) -> Self {
        Self { access: Arc::clone(access), credential, is_read: *method == Method::GET }
    }

    /// Hands an answer out, which took so long. A stream of events ends when what it was asked for with opens
    /// nothing any more; what was read by a long poll is kept back then.
    ///
    /// # Errors
    /// What it was asked for with opens nothing any more.
    pub async fn hand_out(self, answer: Response, took: Duration) -> Result<Response, Error> {
        let Self { access, credential: Some(credential), is_read } = self else {
            return Ok(answer);
        };
        if is_live(&answer) {
            let (head, body) = answer.into_parts();
            let ends = async move { is_over(&access, &credential).await };
            let chunks = until(body.into_data_stream(), ends);
            return Ok(Response::from_parts(head, Body::from_stream(chunks)));
        }
        // What was written is written, and its answer says so.
        if is_read && took > ASKED_AGAIN_AFTER {
            credential.recognise(&access).await?.ok_or(Denied::NoKey)?;
        }
        Ok(answer)
    }
}

fn is_live(answer: &Response) -> bool {
    answer.headers().get(header::CONTENT_TYPE)
        == Some(&HeaderValue::from_static("text/event-stream"))
}

/// Waits until a credential opens nothing any more, and says why.
async fn is_over(access: &Access, credential: &Credential) -> Denied {
    loop {
        access.keyring.changed().await;
        match credential.recognise(access).await {
            Ok(None) => return Denied::NoKey,
            Err(Error::Denied(denied @ (Denied::UnknownKey | Denied::Over { .. }))) => {
                return denied;
            }
            // It cannot be said now.
            Ok(Some(_)) | Err(Error::Denied(_) | Error::Control(_)) => {}
        }
    }
}

/// A stream of events, up to its end or until it is over, which its last event says.
fn until<E>(
    chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    over: impl Future<Output = Denied> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, E>> + Send + 'static {
    let both = Some((Box::pin(chunks), Box::pin(over)));
    stream::unfold(both, |both| async {
        let (mut chunks, mut over) = both?;
        tokio::select! {
            biased;
            denied = &mut over => Some((Ok(live::denied(denied)), None)),
            chunk = chunks.next() => Some((chunk?, Some((chunks, over)))),
        }
    })
}
