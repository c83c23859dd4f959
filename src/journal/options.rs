//! How the journal keeps house.

use std::time::Duration;

/// How the journal keeps house.
#[derive(Clone, Debug)]
pub struct Options {
    /// When this agent started, Unix time in milliseconds: what a second agent
    /// is told.
    pub started_unix_ms: i64,
    /// Bytes after which a log goes on in a new segment at the next
    /// [`roll`](super::Journal::roll), and after which one is
    /// [due](super::Journal::wants_roll).
    pub segment_bytes: u64,
    /// What is kept of the samples log.
    pub samples: Retention,
    /// What is kept of the decisions log.
    pub decisions: Retention,
    /// Bytes of disk space made sure of ahead of the decisions log, so that a
    /// running rollback can be written down on a full disk.
    pub reserve_bytes: u64,
}

/// What is kept of a log: whole segments, none that the snapshots need is ever
/// unlinked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// At most about this many bytes.
    pub bytes: u64,
    /// At most about this long.
    pub age: Duration,
}

impl Default for Options {
    /// Segments of 1 MiB; samples for 30 days in 256 MiB at most, decisions for
    /// a year in 64 MiB at most; a reserve of 1 MiB.
    fn default() -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self {
            started_unix_ms: 0,
            segment_bytes: 1 << 20,
            samples: Retention {
                bytes: 256 << 20,
                age: DAY * 30,
            },
            decisions: Retention {
                bytes: 64 << 20,
                age: DAY * 365,
            },
            reserve_bytes: 1 << 20,
        }
    }
}
