//! Segments of the decisions log: JSON lines, each of which carries the hash of
//! the one before it.

use std::fmt::Write as _;

use serde::Deserialize;

use super::disk::{DiskFile, uninterrupted, write_all};
use super::log::{Item, Place, ReadSegment};
use super::record::{Anchor, Body, Lost, Record};
use crate::guard::{Command, Event};
use crate::model::Moment;

const FORMAT: &str = "backstop decisions";
/// Rises with every change that an older reader would misread.
const VERSION: u32 = 1;
/// The hash that the first line of all builds on.
pub(crate) const ROOT: &str = "00000000000000000000000000000000";
const HASH_KEY: &str = ",\"hash\":\"";
/// The hash field and the brace that ends a line.
const SUFFIX: usize = HASH_KEY.len() + ROOT.len() + 2;

/// The first 16 bytes of the SHA-256, as hex: chance never hits twice.
pub(crate) fn digest(bytes: &[u8]) -> String {
    shortened(&ring::digest::digest(&ring::digest::SHA256, bytes))
}

/// The first 16 bytes of a digest, as hex.
pub(crate) fn shortened(digest: &ring::digest::Digest) -> String {
    digest.as_ref()[..16]
        .iter()
        .fold(String::with_capacity(32), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// Ends a line: over all that was written since `from`.
fn seal(out: &mut Vec<u8>, from: usize) -> String {
    let hash = digest(&out[from..]);
    out.extend_from_slice(HASH_KEY.as_bytes());
    out.extend_from_slice(hash.as_bytes());
    out.extend_from_slice(b"\"}\n");
    hash
}

/// The first line of a segment, and its hash.
pub(crate) fn header(first: u64, at: Moment, prev: &str) -> (Vec<u8>, String) {
    let mut out = format!(
        r#"{{"format":"{FORMAT}","version":{VERSION},"first":{first},"at":{},"prev":"{prev}""#,
        at.as_millis()
    )
    .into_bytes();
    let hash = seal(&mut out, 0);
    (out, hash)
}

/// A record that waits to become a line.
struct Waiting {
    seq: u64,
    at: Moment,
    wall_ms: i64,
    /// Its own fields, as JSON without the braces.
    fields: Vec<u8>,
}

/// Writes one segment.
pub(crate) struct DecisionWriter {
    pub(crate) name: String,
    /// The number in it.
    pub(crate) first_seq: u64,
    /// Bytes on disk, written at least.
    pub(crate) len: u64,
    /// Of the last line written.
    pub(crate) hash: String,
    file: Box<dyn DiskFile>,
    waiting: Vec<Waiting>,
    bytes_waiting: usize,
    unsynced: bool,
    /// Up to where space was made sure of.
    reserved: u64,
}

impl DecisionWriter {
    /// Goes on in a segment of this length whose last line has this hash.
    pub(crate) fn new(
        name: String,
        first_seq: u64,
        file: Box<dyn DiskFile>,
        len: u64,
        hash: String,
    ) -> Self {
        Self {
            name,
            first_seq,
            len,
            hash,
            file,
            waiting: Vec::new(),
            bytes_waiting: 0,
            // What an earlier agent wrote need not be durable yet.
            unsynced: true,
            reserved: len,
        }
    }

    /// Makes sure of space for this many more bytes, or for at least half of
    /// them: a full disk must not stop a rollback half way.
    pub(crate) fn reserve(&mut self, bytes: u64) -> std::io::Result<()> {
        if self.reserved >= self.len + bytes / 2 {
            return Ok(());
        }
        uninterrupted(|| self.file.reserve(self.len + bytes))?;
        self.reserved = self.len + bytes;
        Ok(())
    }

    /// Gives back the space that was made sure of and is not needed any more.
    pub(crate) fn finish(&mut self) {
        if self.reserved > self.len {
            // It costs space until retention unlinks the file, no more.
            let _ = uninterrupted(|| self.file.truncate(self.len));
        }
    }

    /// Bytes that wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.bytes_waiting
    }

    pub(crate) fn put(&mut self, seq: u64, at: Moment, wall_ms: i64, fields: Vec<u8>) {
        self.bytes_waiting += fields.len();
        self.waiting.push(Waiting {
            seq,
            at,
            wall_ms,
            fields,
        });
    }

    /// Writes what waits, without a sync. After a failure the segment is not to
    /// be written to again.
    pub(crate) fn write(&mut self, safe: u64, samples_safe: u64) -> std::io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut out = Vec::with_capacity(self.bytes_waiting + 256 * self.waiting.len());
        for Waiting {
            seq,
            at,
            wall_ms,
            fields,
        } in &self.waiting
        {
            let from = out.len();
            out.extend_from_slice(
                format!(
                    r#"{{"seq":{seq},"at":{},"wall_ms":{wall_ms},"prev":"{}","safe":{safe},"samples_safe":{samples_safe},"#,
                    at.as_millis(),
                    self.hash
                )
                .as_bytes(),
            );
            out.extend_from_slice(fields);
            self.hash = seal(&mut out, from);
        }
        write_all(&mut *self.file, self.len, &out)?;
        self.len += out.len() as u64;
        self.waiting.clear();
        self.bytes_waiting = 0;
        self.unsynced = true;
        Ok(())
    }

    /// Makes durable what was written. After a failure nothing is known of what
    /// was written since the last success, and asking again would lie.
    pub(crate) fn sync(&mut self) -> std::io::Result<()> {
        if self.unsynced {
            uninterrupted(|| self.file.sync())?;
            self.unsynced = false;
        }
        Ok(())
    }
}

/// A line as it stands. The wall clock is for people: nothing rests on it.
#[derive(Deserialize)]
struct Line {
    seq: u64,
    at: Moment,
    prev: String,
    safe: u64,
    samples_safe: u64,
    event: Option<Event>,
    cause: Option<u64>,
    commands: Option<Vec<Command>>,
    anchor: Option<Anchor>,
    lost: Option<Lost>,
}

impl Line {
    fn body(self) -> Option<Body> {
        Some(match self {
            Self { event: Some(e), .. } => Body::Event(e),
            Self {
                cause: Some(cause),
                commands: Some(commands),
                ..
            } => Body::Commands { cause, commands },
            Self {
                anchor: Some(a), ..
            } => Body::Anchor(a),
            Self { lost: Some(l), .. } => Body::Lost(l),
            _ => return None,
        })
    }
}

#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
    first: u64,
    at: Moment,
    prev: String,
}

/// The hash that a whole line, without its newline, says of itself, if it is
/// true.
fn sealed(line: &[u8]) -> Option<&str> {
    let (said, suffix) = line.split_at_checked(line.len().checked_sub(SUFFIX)?)?;
    let hash = suffix
        .strip_prefix(HASH_KEY.as_bytes())?
        .strip_suffix(b"\"}")?;
    let hash = std::str::from_utf8(hash).ok()?;
    (digest(said) == hash).then_some(hash)
}

/// Whether a write that was cut short can leave a line like this, given what
/// stands in the file from its start on: it ends early, or sectors of it were
/// never written and read as zeros.
fn looks_torn(line: &[u8], ended: bool) -> bool {
    if line.contains(&0) {
        return true;
    }
    // Whole but for its newline, and then something else: that is no early end.
    let over =
        memchr::memmem::find(line, HASH_KEY.as_bytes()).is_some_and(|at| line.len() > at + SUFFIX);
    !ended && !over
}

/// The length of a segment's first line, its hash, the hash that it builds on,
/// and when it was begun.
///
/// # Errors
///
/// Why it cannot be read, in words.
pub(crate) fn read_header(
    bytes: &[u8],
    first: u64,
) -> Result<(usize, String, String, Moment), String> {
    let line = memchr::memchr(b'\n', bytes).map_or(bytes, |end| &bytes[..end]);
    let Ok(header) = serde_json::from_slice::<Header>(line) else {
        return Err("not a decisions log of backstop, or its first line is damaged".to_owned());
    };
    let Some(hash) = sealed(line) else {
        return Err("its first line is damaged".to_owned());
    };
    if header.format != FORMAT {
        return Err("not a decisions log of backstop".to_owned());
    }
    if header.version != VERSION {
        return Err(format!(
            "format version {}; this backstop reads version {VERSION}",
            header.version
        ));
    }
    if header.first != first {
        return Err("its name and its first line disagree".to_owned());
    }
    if line.len() == bytes.len() {
        return Err("the file ends within its first line".to_owned());
    }
    Ok((line.len() + 1, hash.to_owned(), header.prev, header.at))
}

/// Reads one segment.
pub(crate) struct DecisionReader {
    bytes: Vec<u8>,
    at: usize,
    /// The end of the last good line.
    good: u64,
    /// The hash of the last good line.
    hash: String,
    /// Whether the next line need not build on it: what was between them is
    /// bad and has been told, or was never known.
    loose: bool,
    /// The header does not build on the segment before.
    unchained: bool,
}

impl DecisionReader {
    /// Over a whole file, or from a place on. `chain` is the hash of the last
    /// line of the segment before, if known.
    pub(crate) fn new(
        bytes: Vec<u8>,
        first: u64,
        from: Option<Place>,
        chain: Option<String>,
    ) -> Result<Self, String> {
        let (header, hash, prev, _) = read_header(&bytes, first)?;
        let mut reader = Self {
            bytes,
            at: header,
            good: header as u64,
            hash,
            loose: false,
            unchained: chain.is_some_and(|chain| chain != prev),
        };
        if let Some(Place { at, chain, .. }) = from {
            reader.at = usize::try_from(at).unwrap_or(usize::MAX).max(header);
            if reader.at > reader.bytes.len() {
                return Err(format!(
                    "ends at byte {}, before byte {at} up to which it was known to be durable",
                    reader.bytes.len()
                ));
            }
            reader.good = reader.at as u64;
            reader.hash = chain.unwrap_or(reader.hash);
        }
        Ok(reader)
    }
}

impl ReadSegment for DecisionReader {
    fn next(&mut self) -> Option<Item> {
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            return None;
        }
        let start = self.at as u64;
        let end = memchr::memchr(b'\n', rest);
        let line = &rest[..end.unwrap_or(rest.len())];
        self.at += (line.len() + 1).min(rest.len());
        let bad = |found: &str, torn| {
            Some(Item::Bad {
                start,
                found: found.to_owned(),
                torn,
            })
        };
        let (Some(hash), true) = (sealed(line), end.is_some()) else {
            let torn = looks_torn(line, end.is_some());
            self.loose = true;
            return bad(
                if torn {
                    "a line is cut short"
                } else {
                    "a line's hash is wrong"
                },
                torn,
            );
        };
        let parsed = serde_json::from_slice::<Line>(line);
        let before = std::mem::replace(&mut self.hash, hash.to_owned());
        let Ok(line) = parsed else {
            // Its hash is true, so the next line can still be checked.
            return bad("a line that this version of backstop does not know", false);
        };
        let follows = !std::mem::take(&mut self.unchained)
            && (std::mem::take(&mut self.loose) || line.prev == before);
        let (seq, at, safe, samples_safe) = (line.seq, line.at, line.safe, line.samples_safe);
        let Some(body) = line.body() else {
            return bad("a line that this version of backstop does not know", false);
        };
        self.good = self.at as u64;
        Some(Item::Record {
            record: Record { seq, at, body },
            safe,
            samples_safe,
            follows,
        })
    }

    fn at(&self) -> u64 {
        self.good
    }

    fn chain(&self) -> Option<&str> {
        (!self.loose).then_some(&self.hash)
    }
}
