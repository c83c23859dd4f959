//! Snapshot files: the engine's state, and the places in both logs from which
//! to go on.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::decisions::digest;
use super::log::Place;
use super::record::Anchor;
use crate::model::Moment;

const FORMAT: &str = "backstop snapshot";
/// Rises with every change that an older reader would misread.
const VERSION: u32 = 1;

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

/// A whole snapshot file.
pub(crate) fn write<S: Serialize>(head: &Head, state: &S) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = serde_json::to_vec(head)?;
    out.push(b'\n');
    serde_json::to_writer(&mut out, state)?;
    out.push(b'\n');
    let hash = digest(&out);
    out.extend_from_slice(format!("{{\"hash\":\"{hash}\"}}\n").as_bytes());
    Ok(out)
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
