//! Which file is what in the state directory.

use std::io;

use super::disk::Disk;

/// Ends of names that a crash may leave behind; swept at the next start.
const LEFTOVER: &str = ".tmp";

/// The journal's files, each kind by the sequence number in its name, lowest
/// first. Other files of the directory are none of its business.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) samples: Vec<Found>,
    pub(crate) decisions: Vec<Found>,
    pub(crate) snapshots: Vec<Found>,
    pub(crate) leftovers: Vec<String>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The first sequence number that it may hold; of a snapshot, the first
    /// that it does not know of.
    pub(crate) first: u64,
    pub(crate) name: String,
    pub(crate) len: u64,
}

pub(crate) fn samples_name(first: u64) -> String {
    format!("samples-{first:012}.seg")
}

pub(crate) fn decisions_name(first: u64) -> String {
    format!("decisions-{first:012}.jsonl")
}

pub(crate) fn snapshot_name(first: u64) -> String {
    format!("snapshot-{first:012}.json")
}

impl Layout {
    pub(crate) fn list(disk: &dyn Disk) -> io::Result<Self> {
        let mut layout = Self::default();
        for (name, len) in disk.list()? {
            if let Some(of) = name.strip_suffix(LEFTOVER) {
                if Self::kind(of).is_some() {
                    layout.leftovers.push(name);
                }
            } else if let Some((kind, first)) = Self::kind(&name) {
                let found = Found { first, name, len };
                match kind {
                    Kind::Samples => layout.samples.push(found),
                    Kind::Decisions => layout.decisions.push(found),
                    Kind::Snapshot => layout.snapshots.push(found),
                }
            }
        }
        for files in [
            &mut layout.samples,
            &mut layout.decisions,
            &mut layout.snapshots,
        ] {
            files.sort_by_key(|f| f.first);
        }
        Ok(layout)
    }

    fn kind(name: &str) -> Option<(Kind, u64)> {
        [
            (Kind::Samples, "samples-", ".seg"),
            (Kind::Decisions, "decisions-", ".jsonl"),
            (Kind::Snapshot, "snapshot-", ".json"),
        ]
        .into_iter()
        .find_map(|(kind, before, after)| {
            let number = name.strip_prefix(before)?.strip_suffix(after)?;
            let digits = number.len() >= 12 && number.bytes().all(|b| b.is_ascii_digit());
            Some((kind, number.parse().ok().filter(|_| digits)?))
        })
    }

    /// The highest number in any name.
    pub(crate) fn highest(&self) -> u64 {
        [&self.samples, &self.decisions, &self.snapshots]
            .into_iter()
            .filter_map(|files| files.last())
            .map(|f| f.first)
            .max()
            .unwrap_or(0)
    }

    /// Bytes of all segments: no record is smaller than one byte.
    pub(crate) fn bytes(&self) -> u64 {
        self.samples
            .iter()
            .chain(&self.decisions)
            .map(|f| f.len)
            .sum()
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Samples,
    Decisions,
    Snapshot,
}
