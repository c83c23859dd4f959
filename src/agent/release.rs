//! Which release runs, where a link or a file says so.
//!
//! Read at each tick, just before it is judged: one `readlink` costs less than
//! watching. A command that says so is run for the tick, beside its samples
//! (`sampler`). What a metric says is derived by the engine from its samples, and
//! what is reported comes through the API.

use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

use crate::model::{Current, is_version};

/// A version is a name, not a document.
const MOST: u64 = 4096;

/// The version that runs, if this way of knowing it is read from the disk and
/// says one.
pub(super) fn running(current: &Current) -> Option<String> {
    match current {
        Current::Symlink(path) => {
            let target = std::fs::read_link(path).ok()?;
            version(target.file_name()?.to_str()?)
        }
        Current::File(path) => {
            let mut text = String::new();
            // Opening a pipe would wait for its writer.
            let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
            let file = std::fs::OpenOptions::new()
                .read(true)
                .custom_flags(nonblocking)
                .open(path)
                .ok()?;
            if !file.metadata().ok()?.is_file() {
                return None;
            }
            file.take(MOST).read_to_string(&mut text).ok()?;
            version(text.lines().next()?)
        }
        Current::Run(_) | Current::Metric { .. } | Current::Reported => None,
    }
}

fn version(text: &str) -> Option<String> {
    let text = text.trim();
    is_version(text).then(|| text.to_owned())
}
