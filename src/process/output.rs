//! What a step prints: taken in as fast as it comes, kept at both ends, handed
//! on line by line.
//!
//! Standard output and standard error are one pipe, so that what is kept is in
//! the order in which it was printed, as on a terminal. Memory is bounded by
//! [`Output::KEPT`] and by the length of a line, whatever the step does.
//!
//! Bytes that are no text, and control characters but newline and tab, become
//! U+FFFD here and once: what a step prints ends up on terminals, in pages and
//! in messages, and must not move a cursor or end a quotation there.

use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::model::Output;

/// The size of a pipe on Linux: one read empties it.
const CHUNK: usize = 64 * 1024;

/// A longer line is handed on in pieces of this many bytes. Journals and log
/// shippers cut at 8 KiB and more.
const LINE: usize = 4 * 1024;

/// How long a slow receiver of lines may hold a step up, in all.
const PATIENCE: Duration = Duration::from_secs(1);

/// A line that a step printed, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLine {
    /// The text; pieces of at most 4 KiB of a longer line.
    pub text: String,
    /// Lines, or pieces of longer ones, before this one that were left out, the
    /// receiver being slow.
    pub skipped: u64,
}

/// The output of a step from its start to its end.
#[derive(Debug)]
pub(crate) struct Capture {
    pipe: pipe::Receiver,
    open: bool,
    chunk: Box<[u8]>,
    kept: Kept,
    lines: Lines,
}

impl Capture {
    /// Takes in what comes from `pipe`.
    ///
    /// # Errors
    ///
    /// When the runtime cannot watch the pipe: it is out of descriptors.
    pub(crate) fn new(pipe: io::PipeReader, lines: mpsc::Sender<OutputLine>) -> io::Result<Self> {
        Ok(Self {
            pipe: pipe::Receiver::from_owned_fd(pipe.into())?,
            open: true,
            chunk: vec![0; CHUNK].into_boxed_slice(),
            kept: Kept::default(),
            lines: Lines::to(lines),
        })
    }

    /// Awaits `other`, and takes in what is printed meanwhile.
    pub(crate) async fn during<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = std::pin::pin!(other);
        loop {
            tokio::select! {
                biased;
                done = &mut other => return done,
                read = self.pipe.read(&mut self.chunk), if self.open => self.took(read).await,
            }
        }
    }

    /// Takes in what is there until nobody can print any more, `limit` at most.
    pub(crate) async fn drain(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.open {
            match timeout_at(deadline, self.pipe.read(&mut self.chunk)).await {
                Ok(read) => self.took(read).await,
                Err(_) => return,
            }
        }
    }

    /// What was kept, and the pipe if somebody still holds its other end.
    pub(crate) async fn finish(mut self) -> (Output, Option<Rest>) {
        self.lines.end().await;
        let rest = self.open.then_some(Rest { pipe: self.pipe });
        (self.kept.into_output(), rest)
    }

    async fn took(&mut self, read: io::Result<usize>) {
        match read {
            // A read from a pipe fails only if the descriptor is broken; then
            // there is nothing more to be had from it.
            Ok(0) | Err(_) => self.open = false,
            Ok(n) => {
                self.kept.push(&self.chunk[..n]);
                self.lines.push(&self.chunk[..n]).await;
            }
        }
    }
}

/// The open end of an output that somebody still prints into after the step
/// has ended.
#[derive(Debug)]
#[must_use = "dropping it ends what a step left running, by SIGPIPE"]
pub struct Rest {
    pipe: pipe::Receiver,
}

impl Rest {
    /// Reads and discards until the last holder of the other end is gone.
    pub async fn drained(mut self) {
        let mut chunk = [0; 4096];
        while let Ok(1..) = self.pipe.read(&mut chunk).await {}
    }
}

/// The first and the last bytes of a stream.
#[derive(Debug, Default)]
struct Kept {
    head: Vec<u8>,
    /// Set once `head` has all that it will have.
    full: bool,
    /// At least the last [`Output::KEPT`] bytes after `head`, and up to twice
    /// that: so each byte is moved once at most.
    tail: Vec<u8>,
    total: u64,
}

impl Kept {
    fn push(&mut self, mut bytes: &[u8]) {
        self.total += bytes.len() as u64;
        if !self.full {
            let room = Output::KEPT - self.head.len();
            let (taken, left) = bytes.split_at(room.min(bytes.len()));
            self.head.extend_from_slice(taken);
            bytes = left;
            if bytes.is_empty() {
                return;
            }
            // A character that the limit cuts in two goes to the tail whole.
            self.full = true;
            let whole = self.head.len() - cut_character(&self.head);
            self.tail.extend(self.head.drain(whole..));
        }
        self.tail.extend_from_slice(bytes);
        if self.tail.len() > 2 * Output::KEPT {
            let old = self.tail.len() - Output::KEPT;
            self.tail.drain(..old);
        }
    }

    fn into_output(mut self) -> Output {
        let old = self.tail.len().saturating_sub(Output::KEPT);
        self.tail.drain(..old);
        let left_out = self.total - (self.head.len() + self.tail.len()) as u64;
        Output {
            head: text(&self.head),
            tail: text(&self.tail),
            total: self.total,
            left_out,
        }
    }
}

/// How many bytes at the end of `bytes` begin a character that is not whole.
fn cut_character(bytes: &[u8]) -> usize {
    bytes
        .utf8_chunks()
        .last()
        .map(|chunk| chunk.invalid())
        .filter(|tail| std::str::from_utf8(tail).is_err_and(|e| e.error_len().is_none()))
        .map_or(0, <[u8]>::len)
}

/// What may be shown to a person anywhere.
pub(crate) fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' | '\t' => shown.push(c),
            '\r' if chars.peek() == Some(&'\n') => {}
            c if c.is_control() => shown.push(char::REPLACEMENT_CHARACTER),
            c => shown.push(c),
        }
    }
    shown
}

/// Cuts a stream into lines and hands them on.
#[derive(Debug)]
struct Lines {
    to: mpsc::Sender<OutputLine>,
    /// The line that has not ended yet.
    partial: Vec<u8>,
    skipped: u64,
    patience: Duration,
}

impl Lines {
    const fn to(to: mpsc::Sender<OutputLine>) -> Self {
        Self {
            to,
            partial: Vec::new(),
            skipped: 0,
            patience: PATIENCE,
        }
    }

    async fn push(&mut self, bytes: &[u8]) {
        if self.to.is_closed() {
            return;
        }
        if self.is_stuck() {
            self.skip(bytes);
            return;
        }
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            self.extend(&bytes[start..end]).await;
            self.hand_on().await;
            start = end + 1;
        }
        self.extend(&bytes[start..]).await;
    }

    /// Whether the receiver has no room and has used up its time.
    fn is_stuck(&self) -> bool {
        self.patience.is_zero() && self.to.capacity() == 0
    }

    /// Counts what the receiver will not see, without looking at each line: a
    /// flood must not be slower for being left out.
    fn skip(&mut self, bytes: &[u8]) {
        let ends = memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.skipped += ends.max(1);
        self.partial.clear();
        if let Some(last) = memchr::memrchr(b'\n', bytes) {
            let begun = &bytes[last + 1..];
            self.partial
                .extend_from_slice(&begun[..begun.len().min(LINE)]);
        }
    }

    /// Adds to the line, handing it on in pieces while it is too long.
    async fn extend(&mut self, mut bytes: &[u8]) {
        while self.partial.len() + bytes.len() > LINE {
            let (now, later) = bytes.split_at(LINE - self.partial.len());
            self.partial.extend_from_slice(now);
            bytes = later;
            let whole = self.partial.len() - cut_character(&self.partial);
            let begun = self.partial.split_off(whole);
            self.hand_on().await;
            self.partial = begun;
        }
        self.partial.extend_from_slice(bytes);
    }

    async fn hand_on(&mut self) {
        let line = self.partial.strip_suffix(b"\r").unwrap_or(&self.partial);
        let line = OutputLine {
            text: text(line),
            skipped: self.skipped,
        };
        self.partial.clear();
        let before = Instant::now();
        let sent = match self.to.try_send(line) {
            Err(mpsc::error::TrySendError::Full(line)) if !self.patience.is_zero() => {
                let sent = self.to.send_timeout(line, self.patience).await.is_ok();
                self.patience = self.patience.saturating_sub(before.elapsed());
                sent
            }
            other => other.is_ok(),
        };
        self.skipped = if sent { 0 } else { self.skipped + 1 };
    }

    /// Hands on what has no newline at its end.
    async fn end(&mut self) {
        if !self.partial.is_empty() {
            self.hand_on().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is kept of `bytes`, pushed in pieces of `piece` bytes.
    fn kept(bytes: &[u8], piece: usize) -> Output {
        let mut kept = Kept::default();
        for part in bytes.chunks(piece) {
            kept.push(part);
        }
        kept.into_output()
    }

    #[test]
    fn what_fits_is_kept_whole_and_what_does_not_at_both_ends() {
        let bytes: Vec<u8> = (0..300_000_u32)
            .map(|i| b'a' + u8::try_from(i % 23).unwrap())
            .collect();
        for size in [
            0,
            1,
            Output::KEPT - 1,
            Output::KEPT,
            Output::KEPT + 1,
            2 * Output::KEPT,
            2 * Output::KEPT + 1,
            bytes.len(),
        ] {
            for piece in [1, 7, 4096, CHUNK, 100_000] {
                let (bytes, out) = (&bytes[..size], kept(&bytes[..size], piece));
                assert_eq!(out.total, size as u64);
                let head = size.min(Output::KEPT);
                assert_eq!(out.head.as_bytes(), &bytes[..head]);
                let tail = (size - head).min(Output::KEPT);
                assert_eq!(out.tail.as_bytes(), &bytes[size - tail..]);
                assert_eq!(out.left_out, (size - head - tail) as u64);
            }
        }
    }

    #[test]
    fn a_character_at_the_limit_is_not_broken() {
        let mut bytes = vec![b'x'; Output::KEPT - 1];
        bytes.extend_from_slice("€ after".as_bytes());
        let out = kept(&bytes, 1000);
        assert_eq!(out.head.len(), Output::KEPT - 1);
        assert_eq!(out.tail, "€ after");
        assert!(!out.is_cut());
    }

    #[test]
    fn nothing_that_is_kept_can_move_a_cursor() {
        assert_eq!(
            text(b"a\r\nb\x1b[31m\0\xff\tc"),
            "a\nb\u{fffd}[31m\u{fffd}\u{fffd}\tc"
        );
    }

    /// The lines that come of `parts`, with a receiver that has room.
    async fn lines(parts: &[&[u8]]) -> Vec<String> {
        let (to, mut from) = mpsc::channel(64);
        let mut lines = Lines::to(to);
        for part in parts {
            lines.push(part).await;
        }
        lines.end().await;
        drop(lines);
        let mut all = Vec::new();
        while let Some(line) = from.recv().await {
            all.push(line.text);
        }
        all
    }

    #[tokio::test]
    async fn lines_come_whole_wherever_the_reads_cut_them() {
        assert_eq!(
            lines(&[b"one\ntw", b"o\r\n\nlast"]).await,
            ["one", "two", "", "last"]
        );
    }

    #[tokio::test]
    async fn a_long_line_comes_in_pieces() {
        let long = vec![b'x'; LINE + 10];
        let pieces = lines(&[&long, b"\nnext"]).await;
        assert_eq!(
            pieces.iter().map(String::len).collect::<Vec<_>>(),
            [LINE, 10, 4]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_is_stuck_costs_a_second_and_is_told_what_it_missed() {
        let (to, mut from) = mpsc::channel(1);
        let mut lines = Lines::to(to);
        let began = Instant::now();
        lines.push(b"1\n2\n3\n4\n").await;
        assert_eq!(began.elapsed(), PATIENCE);
        assert_eq!(from.recv().await.unwrap().text, "1");
        lines.push(b"5\n").await;
        assert_eq!(
            from.recv().await.unwrap(),
            OutputLine {
                text: "5".into(),
                skipped: 3
            }
        );
    }
}
