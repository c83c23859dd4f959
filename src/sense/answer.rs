//! The answer to one request: its head, and its body as it comes in.
//!
//! Nothing is collected: [`Answer::chunk`] lends one piece at a time, and the
//! connection reads no further while that is looked at. Compressed bodies are
//! decompressed in small pieces, so that a bomb costs the pieces that the
//! caller takes.
//!
//! The connection is driven from here rather than by a task of its own. So
//! dropping an answer closes it, a source that is not being sampled wakes
//! nobody, and its connection can be taken out of `hyper` between two samples:
//! what is kept of it is a socket, not the buffer that the largest page needed.

use std::future::{Future as _, poll_fn};
use std::io::{self, BufRead, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use flate2::bufread::MultiGzDecoder;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use reqwest::Url;

use super::connect::Wire;
use super::exposition::Framing;
use super::fault;
use crate::model::{Gap, GapKind};

/// Most bytes that are read at once, and the most that the head of an answer may
/// have: fewer cost more system calls, more cost memory for each sample that is
/// under way, and the nearest cache. An answer that is awaited has 8 KiB,
/// which grow with what comes.
const READ: usize = 32 << 10;

/// Bytes that are decompressed at once.
const INFLATED: usize = 16 << 10;

type Http = Connection<TokioIo<Box<dyn Wire>>, Full<Bytes>>;

/// A head, and a body that is still to be read.
pub(super) struct Answer {
    /// What was asked for.
    url: Url,
    status: StatusCode,
    headers: HeaderMap,
    body: Incoming,
    /// The piece that was lent last.
    piece: Bytes,
    inflate: Option<Box<Inflate>>,
    exchange: Exchange,
}

/// One request on a connection.
struct Exchange {
    /// `None` when it has ended.
    http: Option<Http>,
    sender: SendRequest<Full<Bytes>>,
}

/// A decoder, what it is fed with, and what came out last.
struct Inflate {
    decoder: MultiGzDecoder<Feed>,
    out: Vec<u8>,
}

/// The compressed bytes that are there; for more one has to wait.
#[derive(Debug, Default)]
struct Feed {
    bytes: Bytes,
    ended: bool,
}

impl Answer {
    /// Sends a request over a connection and waits for the head of the answer.
    ///
    /// # Errors
    ///
    /// A failure before the head was whole.
    pub(super) async fn to(
        request: Request<Full<Bytes>>,
        url: &Url,
        wire: Box<dyn Wire>,
    ) -> Result<Self, Gap> {
        let (sender, http) = Builder::new()
            .max_buf_size(READ)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|error| early(&error))?;
        let mut exchange = Exchange {
            http: Some(http),
            sender,
        };
        let sent = exchange.sender.send_request(request);
        let mut sent = std::pin::pin!(sent);
        let head = poll_fn(|context| {
            exchange.drive(context);
            sent.as_mut().poll(context)
        });
        let (head, body) = head.await.map_err(|error| early(&error))?.into_parts();
        let gzip = head
            .headers
            .get(CONTENT_ENCODING)
            .is_some_and(|coding| coding == "gzip" || coding == "x-gzip");
        Ok(Self {
            inflate: (gzip && !body.is_end_stream()).then(Box::default),
            url: url.clone(),
            status: head.status,
            headers: head.headers,
            body,
            piece: Bytes::new(),
            exchange,
        })
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The length that the body will have, where that is known before.
    pub(super) fn length(&self) -> Option<u64> {
        if self.inflate.is_some() {
            return None;
        }
        self.body.size_hint().exact()
    }

    /// How the end of the body is known. A compressed one is taken for one
    /// without a length: its page must end with a line feed then, as the format
    /// demands anyway.
    pub(super) fn framing(&self) -> Framing {
        let announced = [CONTENT_LENGTH, TRANSFER_ENCODING];
        if self.inflate.is_none() && announced.iter().any(|h| self.headers().contains_key(h)) {
            Framing::Announced
        } else {
            Framing::Closed
        }
    }

    /// The next piece of the body, decompressed; `None` at its end.
    ///
    /// # Errors
    ///
    /// A body that broke off or cannot be decompressed.
    pub(super) async fn chunk(&mut self) -> Result<Option<&[u8]>, Gap> {
        // What was lent before has been looked at: its buffer is free again.
        self.piece = Bytes::new();
        if self.inflate.is_some() {
            let len = self.inflated().await?;
            let out = self.inflate.as_ref().map(|inflate| &inflate.out[..len]);
            return Ok(out.filter(|out| !out.is_empty()));
        }
        let Some(piece) = self.frame().await? else {
            return Ok(None);
        };
        self.piece = piece;
        Ok(Some(&self.piece))
    }

    /// The connection, if the body was read to its end and both sides keep it.
    pub(super) fn into_wire(self) -> Option<Box<dyn Wire>> {
        let Exchange { http, sender } = self.exchange;
        let parts = http.filter(|_| sender.is_ready())?.into_parts();
        parts.read_buf.is_empty().then(|| parts.io.into_inner())
    }

    /// Decompresses a piece; how long it is, 0 at the end.
    async fn inflated(&mut self) -> Result<usize, Gap> {
        while let Some(inflate) = &mut self.inflate {
            match inflate.decoder.read(&mut inflate.out) {
                Ok(len) => {
                    // A bomb is all input at once: others must have their turn.
                    tokio::task::coop::consume_budget().await;
                    return Ok(len);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(inflating(&error)),
            }
            let more = self.frame().await?;
            if let Some(inflate) = &mut self.inflate {
                let feed = inflate.decoder.get_mut();
                feed.ended = more.is_none();
                feed.bytes = more.unwrap_or_default();
            }
        }
        Ok(0)
    }

    /// The next piece of the body as it was sent.
    async fn frame(&mut self) -> Result<Option<Bytes>, Gap> {
        loop {
            let frame = poll_fn(|context| {
                self.exchange.drive(context);
                Pin::new(&mut self.body).poll_frame(context)
            });
            match frame.await {
                Some(Ok(frame)) => {
                    // Trailers say nothing that is asked for.
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
                Some(Err(error)) => return Err(broken_off(&error)),
                None => {
                    // Once more, for `hyper` to see that the exchange is over.
                    poll_fn(|context| {
                        self.exchange.drive(context);
                        Poll::Ready(())
                    })
                    .await;
                    return Ok(None);
                }
            }
        }
    }
}

impl Exchange {
    /// Lets the connection read and write. What it fails with it tells the
    /// request, or the body, as well.
    fn drive(&mut self, context: &mut Context<'_>) {
        if let Some(http) = &mut self.http
            && http.poll_without_shutdown(context).is_ready()
        {
            self.http = None;
        }
    }
}

impl Default for Inflate {
    fn default() -> Self {
        Self {
            decoder: MultiGzDecoder::new(Feed::default()),
            out: vec![0; INFLATED],
        }
    }
}

impl BufRead for Feed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.bytes.is_empty() && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(&self.bytes)
    }

    fn consume(&mut self, len: usize) {
        self.bytes.advance(len);
    }
}

impl Read for Feed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(out)?;
        self.consume(len);
        Ok(len)
    }
}

/// A failure before the head of an answer.
fn early(error: &hyper::Error) -> Gap {
    let gap = fault::gap(error);
    if gap.kind == GapKind::Truncated {
        return Gap::new(GapKind::Reset, "the connection closed before an answer");
    }
    gap
}

/// A failure in the body of an answer.
fn broken_off(error: &hyper::Error) -> Gap {
    let gap = fault::gap(error);
    match gap.kind {
        GapKind::Other => Gap::new(
            GapKind::Truncated,
            format!("the body broke off: {}", gap.detail),
        ),
        _ => gap,
    }
}

/// A body that is not what its `Content-Encoding` says.
fn inflating(error: &io::Error) -> Gap {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Gap::new(GapKind::Truncated, "the body ended before its end");
    }
    Gap::new(
        GapKind::Malformed,
        format!("the body cannot be decompressed: {error}"),
    )
}
