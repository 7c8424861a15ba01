//! A request that was let in, for as long as its answer goes on: whoever loses their key or their session
//! meanwhile is told no more. What is read ends then; what is written is written, and its answer says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::Method;
use axum::response::Response;
use futures_util::{Stream, StreamExt, stream};
use segue_store::control::keys::Key;
use tokio_util::task::AbortOnDropHandle;

use super::live::{self, EventStream};
use crate::auth::keyring::{BELIEVED_FOR, Heard};
use crate::auth::{Access, Credential, Denied, Error};

/// How long something stays open of which it cannot be said whether it still may.
const UNSAID_FOR: Duration = Duration::from_secs(60);

/// What a request is let in with.
#[derive(Debug)]
pub struct Pass {
    access: Arc<Access>,
    credential: Credential,
    /// What is heard about keys since it was shown.
    heard: Heard,
    is_read: bool,
}

impl Pass {
    /// What a request shows.
    #[must_use]
    pub fn new(access: &Arc<Access>, credential: Credential, method: &Method) -> Self {
        let (access, heard) = (Arc::clone(access), access.keyring.heard());
        Self { access, credential, heard, is_read: matches!(*method, Method::GET | Method::HEAD) }
    }

    /// The key that it is, or stands for; none if it is a session that is over.
    ///
    /// # Errors
    /// It opens nothing, or the control plane cannot be asked.
    pub async fn recognise(&self) -> Result<Option<Arc<Key>>, Error> {
        self.credential.recognise(&self.access).await
    }

    /// Runs an endpoint for as long as the pass is good.
    ///
    /// # Errors
    /// Why it is not any more.
    pub async fn run(
        mut self,
        endpoint: impl Future<Output = Response>,
    ) -> Result<Response, Error> {
        let answer = if self.is_read {
            tokio::select! {
                biased;
                answer = endpoint => answer,
                error = self.ends() => return Err(error),
            }
        } else {
            endpoint.await
        };
        if answer.extensions().get::<EventStream>().is_none() {
            return Ok(answer);
        }
        self.heard.again();
        let (head, body) = answer.into_parts();
        // A task of its own: a body is only asked for more when its reader has taken what there is, and whoever is
        // asked about the pass must not wait for that.
        let ends = AbortOnDropHandle::new(tokio::spawn(async move { self.ends().await }));
        let chunks = until(body.into_data_stream(), async { ends.await.ok() });
        Ok(Response::from_parts(head, Body::from_stream(chunks)))
    }

    /// Waits until the credential opens nothing any more, and says why.
    async fn ends(&mut self) -> Error {
        let mut said_at = Instant::now();
        loop {
            // It does not matter whether something was heard or the time is over.
            let _ = tokio::time::timeout(BELIEVED_FOR, self.heard.something()).await;
            match self.recognise().await {
                Ok(Some(_)) => said_at = Instant::now(),
                Ok(None) => return Denied::SessionOver.into(),
                Err(Error::Denied(Denied::TooManyTries) | Error::Control(_))
                    if said_at.elapsed() < UNSAID_FOR => {}
                Err(error) => return error,
            }
        }
    }
}

/// A stream of events, up to its end or until another one's, which its last event tells.
fn until<E>(
    chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    end: impl Future<Output = Option<Error>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, E>> + Send + 'static {
    let both = Some((Box::pin(chunks), Box::pin(end)));
    stream::unfold(both, |both| async {
        let (mut chunks, mut end) = both?;
        tokio::select! {
            biased;
            why = &mut end => Some((Ok(live::problem(why?)), None)),
            chunk = chunks.next() => Some((chunk?, Some((chunks, end)))),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    async fn text(stream: impl Stream<Item = Result<Bytes, Infallible>>) -> String {
        let chunks: Vec<_> = stream.map(Result::unwrap).collect().await;
        String::from_utf8(chunks.concat()).unwrap()
    }

    fn chunks(texts: &[&'static str]) -> impl Stream<Item = Result<Bytes, Infallible>> + use<> {
        let bytes: Vec<_> =
            texts.iter().map(|text| Ok(Bytes::from_static(text.as_bytes()))).collect();
        stream::iter(bytes)
    }

    #[tokio::test]
    async fn a_stream_goes_to_its_end_while_nothing_else_ends() {
        let whole = until(chunks(&["a", "b"]), std::future::pending());
        assert_eq!(text(whole).await, "ab");
    }

    #[tokio::test]
    async fn a_stream_whose_reader_may_not_have_it_says_so_and_ends() {
        let endless = chunks(&["a"]).chain(stream::pending());
        let (told, end) = tokio::sync::oneshot::channel();
        let mut cut = Box::pin(until(endless, async { end.await.ok() }));
        assert_eq!(cut.next().await.unwrap().unwrap(), "a");
        told.send(Error::from(Denied::SessionOver)).unwrap();
        let rest = text(cut).await;
        assert!(rest.starts_with("event: problem\n") && rest.contains("unauthenticated"), "{rest}");
    }
}
