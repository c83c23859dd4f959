//! Snapshot files: the engine's state, and the places in both logs from which
//! to go on.

use std::io::{self, BufWriter, IntoInnerError, Write};

use ring::digest::{Context, SHA256};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::decisions::{digest, shortened};
use super::log::Place;
use super::record::Anchor;
use crate::model::Moment;

const FORMAT: &str = "backstop snapshot";
/// Rises with every change that an older reader would misread.
const VERSION: u32 = 2;

/// The first line of a snapshot: what to go on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    format: String,
    version: u32,
    /// The state is that after all records below this one.
    pub(crate) next: u64,
    /// The moment of the last of them.
    pub(crate) at: Moment,
    /// How far the wall clock was ahead of the moment.
    pub(crate) wall_ahead_ms: i64,
    pub(crate) anchor: Option<Anchor>,
    pub(crate) samples: Place,
    pub(crate) decisions: Place,
}

impl Head {
    pub(crate) fn new(
        next: u64,
        at: Moment,
        wall_ahead_ms: i64,
        anchor: Option<Anchor>,
        samples: Place,
        decisions: Place,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            next,
            at,
            wall_ahead_ms,
            anchor,
            samples,
            decisions,
        }
    }
}

/// Bytes that are put together before they are hashed and written.
const PIECE: usize = 64 << 10;

/// Writes a whole snapshot file, piece by piece: a state that is megabytes long
/// is never there as text. Returns its length.
///
/// # Errors
///
/// Those of `out`, and of a state that cannot be put into JSON.
pub(crate) fn write<S: Serialize>(head: &Head, state: &S, out: &mut impl Write) -> io::Result<u64> {
    let hashed = Hashed {
        out,
        context: Context::new(&SHA256),
        len: 0,
    };
    let mut pieces = BufWriter::with_capacity(PIECE, hashed);
    serde_json::to_writer(&mut pieces, head)?;
    pieces.write_all(b"\n")?;
    serde_json::to_writer(&mut pieces, state)?;
    pieces.write_all(b"\n")?;
    let Hashed { out, context, len } = pieces.into_inner().map_err(IntoInnerError::into_error)?;
    let hash = shortened(&context.finish());
    let seal = format!("{{\"hash\":\"{hash}\"}}\n");
    out.write_all(seal.as_bytes())?;
    Ok(len + seal.len() as u64)
}

/// Hashes what goes through it.
struct Hashed<'o, W> {
    out: &'o mut W,
    context: Context,
    len: u64,
}

impl<W: Write> Write for Hashed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.context.update(&bytes[..n]);
        self.len += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads a snapshot file.
///
/// # Errors
///
/// Why it cannot be used, in words.
pub(crate) fn read<S: DeserializeOwned>(bytes: &[u8], next: u64) -> Result<(Head, S), String> {
    #[derive(Deserialize)]
    struct Any {
        format: String,
        version: u32,
    }
    let line = memchr::memchr(b'\n', bytes).map_or(bytes, |end| &bytes[..end]);
    match serde_json::from_slice::<Any>(line) {
        Ok(Any { format, .. }) if format != FORMAT => {
            return Err("not a snapshot of backstop".to_owned());
        }
        Ok(Any { version, .. }) if version != VERSION => {
            return Err(format!(
                "format version {version}; this backstop reads version {VERSION}"
            ));
        }
        _ => {}
    }
    let damaged = || "it is damaged: its hash is wrong".to_owned();
    let body = bytes.strip_suffix(b"\n").ok_or_else(damaged)?;
    let seal = memchr::memrchr(b'\n', body).ok_or_else(damaged)? + 1;
    let (said, hash) = bytes.split_at(seal);
    if hash != format!("{{\"hash\":\"{}\"}}\n", digest(said)).as_bytes() {
        return Err(damaged());
    }
    let head: Head = serde_json::from_slice(line)
        .map_err(|e| format!("its first line is of another shape: {e}"))?;
    if head.next != next {
        return Err("its name and its first line disagree".to_owned());
    }
    let state = serde_json::from_slice(said.get(line.len() + 1..).unwrap_or_default())
        .map_err(|e| format!("the state in it is of another shape: {e}"))?;
    Ok((head, state))
}
