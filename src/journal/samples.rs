//! Segments of the samples log: frames of events behind a checksum.

use super::codec::{Decoder, Encoder};
use super::disk::{DiskFile, uninterrupted, write_all};
use super::log::{Item, Place, ReadSegment};
use super::record::{Body, Record};
use super::varint::{Bytes, put};
use crate::guard::Event;
use crate::model::Moment;

const MAGIC: &[u8; 8] = b"BKSTPSMP";
/// Rises with every change that an older reader would misread.
const VERSION: u16 = 1;
/// Magic, version, two zero bytes, first sequence number, moment, checksum.
pub(crate) const HEADER: usize = 32;
/// Kind, length of the payload, checksum.
const FRAME: usize = 9;
/// A frame that starts with empty tables: reading can begin here.
const KEY: u8 = 0xA5;
/// A frame that needs the tables of the one before it.
const NEXT: u8 = 0x5A;
/// Series that one key frame's tables may hold before the next key frame: a
/// source whose labels never repeat must not make the agent grow.
const MAX_SERIES: usize = 100_000;

/// The first bytes of a segment.
pub(crate) fn header(first: u64, at: Moment) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    out[..8].copy_from_slice(MAGIC);
    out[8..10].copy_from_slice(&VERSION.to_le_bytes());
    out[12..20].copy_from_slice(&first.to_le_bytes());
    out[20..28].copy_from_slice(&at.as_millis().to_le_bytes());
    let sum = crc32fast::hash(&out[..28]);
    out[28..].copy_from_slice(&sum.to_le_bytes());
    out
}

/// What a segment's first bytes say: its checksum, which its frames build on,
/// and when it was begun.
///
/// # Errors
///
/// Why it cannot be read, in words.
pub(crate) fn read_header(bytes: &[u8], first: u64) -> Result<(u32, Moment), String> {
    let Some(head) = bytes.first_chunk::<HEADER>() else {
        return Err("the file ends within its header".to_owned());
    };
    if &head[..8] != MAGIC {
        return Err("not a samples log of backstop".to_owned());
    }
    let number = |from: usize| {
        let mut number = [0; 8];
        number.copy_from_slice(&head[from..from + 8]);
        u64::from_le_bytes(number)
    };
    let sum = crc32fast::hash(&head[..28]);
    if sum.to_le_bytes() != head[28..] {
        return Err("its header is damaged".to_owned());
    }
    let version = u16::from_le_bytes([head[8], head[9]]);
    if version != VERSION {
        return Err(format!(
            "format version {version}; this backstop reads version {VERSION}"
        ));
    }
    if number(12) != first {
        return Err("its name and its header disagree".to_owned());
    }
    Ok((sum, Moment::from_millis(number(20))))
}

/// What the checksums of a segment's frames build on: a frame of one segment is
/// none of another.
pub(crate) fn seed(header: &[u8; HEADER]) -> u32 {
    u32::from_le_bytes([header[28], header[29], header[30], header[31]])
}

fn checksum(seed: u32, kind: u8, payload: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&seed.to_le_bytes());
    sum.update(&[kind]);
    sum.update(&(payload.len() as u64).to_le_bytes());
    sum.update(payload);
    sum.finalize()
}

/// Writes one segment.
pub(crate) struct SampleWriter {
    pub(crate) name: String,
    /// The number in it.
    pub(crate) first_seq: u64,
    /// Bytes on disk, written at least.
    pub(crate) len: u64,
    file: Box<dyn DiskFile>,
    seed: u32,
    encoder: Encoder,
    /// The next frame starts with empty tables.
    key: bool,
    /// Records of the frame that is not closed yet.
    frame: Vec<u8>,
    first: u64,
    count: u64,
    /// Closed frames that are not written yet.
    out: Vec<u8>,
    unsynced: bool,
}

impl SampleWriter {
    /// Goes on in a segment of this length.
    pub(crate) fn new(
        name: String,
        first_seq: u64,
        file: Box<dyn DiskFile>,
        seed: u32,
        len: u64,
    ) -> Self {
        Self {
            name,
            first_seq,
            len,
            file,
            seed,
            encoder: Encoder::default(),
            key: true,
            frame: Vec::new(),
            first: 0,
            count: 0,
            out: Vec::new(),
            // What an earlier agent wrote need not be durable yet.
            unsynced: true,
        }
    }

    /// Bytes that wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.frame.len() + self.out.len()
    }

    /// The next record begins a key frame, so that reading can begin there.
    pub(crate) fn begin_anew(&mut self, safe: u64) {
        self.close(safe);
        self.key = true;
    }

    pub(crate) fn put(&mut self, seq: u64, at: Moment, event: &Event, safe: u64) {
        // A frame's records are consecutive, so that a torn end can be cut off
        // at any record of the other log.
        if self.count > 0 && seq != self.first + self.count {
            self.close(safe);
        }
        if self.count == 0 {
            self.first = seq;
            if self.encoder.series() > MAX_SERIES {
                self.key = true;
            }
            if self.key {
                self.encoder = Encoder::default();
            }
        }
        self.encoder.put(&mut self.frame, at, event);
        self.count += 1;
    }

    fn close(&mut self, safe: u64) {
        if self.count == 0 {
            return;
        }
        let mut payload = Vec::with_capacity(self.frame.len() + 24);
        put(&mut payload, self.first);
        put(&mut payload, self.first.saturating_sub(safe));
        put(&mut payload, self.count);
        payload.append(&mut self.frame);
        let kind = if self.key { KEY } else { NEXT };
        // Far below 2^32: the journal writes long before.
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.out.push(kind);
        self.out.extend_from_slice(&len.to_le_bytes());
        let sum = checksum(self.seed, kind, &payload);
        self.out.extend_from_slice(&sum.to_le_bytes());
        self.out.append(&mut payload);
        self.key = false;
        self.count = 0;
    }

    /// Writes what waits, without a sync. After a failure the segment is not to
    /// be written to again.
    pub(crate) fn write(&mut self, safe: u64) -> std::io::Result<()> {
        self.close(safe);
        if self.out.is_empty() {
            return Ok(());
        }
        write_all(&mut *self.file, self.len, &self.out)?;
        self.len += self.out.len() as u64;
        self.out.clear();
        // A burst must not keep its buffer for good.
        self.out.shrink_to(64 * 1024);
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

/// Reads one segment.
pub(crate) struct SampleReader {
    bytes: Vec<u8>,
    seed: u32,
    /// Where the next frame should begin.
    at: usize,
    /// The end of the last frame of which a record was read.
    good: u64,
    decoder: Decoder,
    /// Whether the tables are those that a [`NEXT`] frame needs.
    in_step: bool,
    /// Within a frame: the rest of its payload, its next record, how many are
    /// left, and what it knows to be safe.
    frame: std::ops::Range<usize>,
    start: usize,
    seq: u64,
    left: u64,
    safe: u64,
}

impl SampleReader {
    /// Over a whole file, from a place on at which a key frame begins.
    pub(crate) fn new(bytes: Vec<u8>, first: u64, from: Option<Place>) -> Result<Self, String> {
        let (seed, _) = read_header(&bytes, first)?;
        let from = from.map_or(0, |from| from.at);
        let at = usize::try_from(from).unwrap_or(usize::MAX).max(HEADER);
        if at > bytes.len() {
            return Err(format!(
                "ends at byte {}, before byte {at} up to which it was known to be durable",
                bytes.len()
            ));
        }
        Ok(Self {
            bytes,
            seed,
            at,
            good: at as u64,
            decoder: Decoder::default(),
            in_step: false,
            frame: at..at,
            start: at,
            seq: 0,
            left: 0,
            safe: 0,
        })
    }

    /// The payload of the frame at an offset, and its kind.
    fn frame_at(&self, at: usize) -> Result<(u8, std::ops::Range<usize>), &'static str> {
        let cut = "a frame is cut short";
        let head = self.bytes.get(at..at + FRAME).ok_or(cut)?;
        let kind = head[0];
        if kind != KEY && kind != NEXT {
            return Err("not a frame");
        }
        let len = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let from = at + FRAME;
        let payload = self.bytes.get(from..from.saturating_add(len)).ok_or(cut)?;
        if checksum(self.seed, kind, payload).to_le_bytes() != head[5..9] {
            return Err("a frame's checksum is wrong");
        }
        Ok((kind, from..from + len))
    }

    /// Enters the frame at `self.at`.
    fn enter(&mut self) -> Result<(), &'static str> {
        let (kind, payload) = self.frame_at(self.at)?;
        if kind == KEY {
            self.decoder = Decoder::default();
        } else if !self.in_step {
            return Err("a frame needs another that is not there");
        }
        let mut bytes = Bytes(&self.bytes[payload.clone()]);
        let mut number = || bytes.varint().ok_or("a frame does not say what it holds");
        let (seq, before, left) = (number()?, number()?, number()?);
        self.safe = seq.saturating_sub(before);
        self.frame = payload.end - bytes.left()..payload.end;
        self.seq = seq;
        self.left = left;
        self.start = self.at;
        self.at = payload.end;
        self.in_step = true;
        Ok(())
    }

    fn record(&mut self) -> Option<(Moment, Event)> {
        let mut bytes = Bytes(&self.bytes[self.frame.clone()]);
        let taken = self.decoder.take(&mut bytes)?;
        self.frame.start = self.frame.end - bytes.left();
        (self.left > 1 || bytes.is_empty()).then_some(taken)
    }
}

impl ReadSegment for SampleReader {
    fn next(&mut self) -> Option<Item> {
        if self.left == 0 {
            if self.at >= self.bytes.len() {
                return None;
            }
            if let Err(why) = self.enter() {
                let from = self.at;
                self.in_step = false;
                // Reading can only begin again at a key frame.
                self.at = (from + 1..self.bytes.len())
                    .find(|&at| self.bytes[at] == KEY && self.frame_at(at).is_ok())
                    .unwrap_or(self.bytes.len());
                return Some(Item::Bad {
                    start: from as u64,
                    found: why.to_owned(),
                    torn: true,
                });
            }
        }
        let Some((at, event)) = self.record() else {
            let start = self.start as u64;
            self.left = 0;
            self.in_step = false;
            return Some(Item::Bad {
                start,
                found: "a frame holds what no backstop of this version wrote".to_owned(),
                torn: false,
            });
        };
        self.good = self.at as u64;
        let seq = self.seq;
        self.seq = self.seq.wrapping_add(1);
        self.left -= 1;
        Some(Item::Record {
            record: Record {
                seq,
                at,
                body: Body::Event(event),
            },
            safe: self.safe,
            samples_safe: self.safe,
            follows: true,
        })
    }

    fn at(&self) -> u64 {
        self.good
    }

    fn chain(&self) -> Option<&str> {
        None
    }
}
