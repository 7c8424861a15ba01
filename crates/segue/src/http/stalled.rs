//! Connections whose client takes nothing any more are given up.
//!
//! What a client does not take waits in its connection, with the answer that it belongs to. As long as
//! it takes anything at all it may be as slow as it likes; one that takes nothing for a while is gone, or
//! might as well be.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// A listener whose connections end when nothing can be written to them for so long.
#[derive(Debug)]
pub struct Impatient<L> {
    listener: L,
    patience: Duration,
}

impl<L> Impatient<L> {
    /// Around another listener.
    pub fn new(listener: L, patience: Duration) -> Self {
        Self { listener, patience }
    }
}

impl<L: Listener> Listener for Impatient<L> {
    type Io = Watched<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (io, address) = self.listener.accept().await;
        let deadline = Box::pin(tokio::time::sleep(Duration::ZERO));
        (Watched { io, patience: self.patience, deadline, state: State::Flows }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that is given up when it takes nothing for too long.
#[derive(Debug)]
pub struct Watched<Io> {
    io: Io,
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Flows,
    Stalls,
}

impl<Io> Watched<Io> {
    /// Passes the outcome of a write on, unless there was none for too long.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.state = State::Flows;
            return outcome;
        }
        if self.state == State::Flows {
            self.state = State::Stalls;
            self.deadline.as_mut().reset(Instant::now() + self.patience);
        }
        ready!(self.deadline.as_mut().poll(context));
        let text = format!("the client took nothing for {:?}", self.patience);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Watched<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Watched<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(context, bytes);
        self.watch(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(context, parts);
        self.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    fn pair() -> (Watched<DuplexStream>, DuplexStream) {
        let (io, client) = tokio::io::duplex(8);
        let deadline = Box::pin(tokio::time::sleep(Duration::ZERO));
        let patience = Duration::from_millis(200);
        (Watched { io, patience, deadline, state: State::Flows }, client)
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (mut server, _client) = pair();
        let begun = Instant::now();
        let error = server.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= Duration::from_millis(200));
    }

    #[tokio::test]
    async fn a_client_that_takes_a_little_now_and_then_is_served_to_the_end() {
        let (mut server, mut client) = pair();
        let reading = tokio::spawn(async move {
            let mut taken = Vec::new();
            while taken.len() < 40 {
                tokio::time::sleep(Duration::from_millis(60)).await;
                client.read_buf(&mut taken).await.unwrap();
            }
            taken.len()
        });
        server.write_all(&[0; 40]).await.unwrap();
        assert_eq!(reading.await.unwrap(), 40);
    }
}
