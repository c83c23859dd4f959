//! One connection, and how long it may keep its place.
//!
//! There are few places, so that no flood of connections takes the agent's
//! descriptors. Whoever has one must get an answer out of the server from time
//! to time: a caller that says nothing, sends a byte a minute, or never reads
//! what it asked for, is hung up on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};

/// Most connections at once, for each listener.
pub(super) const PLACES: usize = 64;

/// Longest time without a byte of an answer going out. It is longer than any
/// request takes, a reload with its preflight included, and than the usual
/// interval of those who collect metrics over a kept connection.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// A connection in its place.
#[derive(Debug)]
pub struct Line<S> {
    stream: S,
    silence: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl<S> Line<S> {
    pub(super) fn new(stream: S, place: OwnedSemaphorePermit) -> Self {
        Self {
            stream,
            silence: Box::pin(sleep(PATIENCE)),
            _place: place,
        }
    }

    pub(super) const fn stream(&self) -> &S {
        &self.stream
    }

    /// What a pending read or write comes to: nothing yet, or the end.
    fn waited<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        match self.silence.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => self.waited(cx),
            Poll::Ready(Ok(n)) if n > 0 => {
                self.silence.as_mut().reset(Instant::now() + PATIENCE);
                Poll::Ready(Ok(n))
            }
            done @ Poll::Ready(_) => done,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Pending => self.waited(cx),
            done @ Poll::Ready(_) => done,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::sync::Semaphore;

    use super::*;

    async fn line(stream: tokio::io::DuplexStream) -> Line<tokio::io::DuplexStream> {
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        Line::new(stream, place)
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_a_byte_now_and_then_is_hung_up_on_all_the_same() {
        let (mut caller, served) = duplex(64);
        let mut served = line(served).await;
        let slow = tokio::spawn(async move {
            while caller.write_all(b"G").await.is_ok() {
                sleep(PATIENCE / 10).await;
            }
        });
        let mut read = Vec::new();
        let error = served.read_to_end(&mut read).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(read.len(), 10);
        drop(served);
        slow.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_goes_out_buys_time_and_one_that_nobody_reads_does_not() {
        let (mut caller, served) = duplex(4);
        let mut served = line(served).await;
        sleep(PATIENCE * 2 / 3).await;
        served.write_all(b"200").await.unwrap();
        sleep(PATIENCE * 2 / 3).await;
        caller.write_all(b"GET").await.unwrap();
        assert_eq!(served.read(&mut [0; 3]).await.unwrap(), 3);
        let error = served.write_all(b"nobody reads this").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
