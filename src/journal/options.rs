//! How the journal keeps house.

use std::time::Duration;

use crate::model::History;

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

/// Decisions are few, and asked for long after their samples are gone.
const DECISIONS: Duration = Duration::from_hours(366 * 24);

impl Options {
    /// Keeps samples for so long, and a sixteenth of the bytes for decisions,
    /// which are kept for a year at least as long as they fit.
    #[must_use]
    pub fn keeping(history: History) -> Self {
        let decisions = history.size / 16;
        Self {
            started_unix_ms: 0,
            segment_bytes: 1 << 20,
            samples: Retention {
                bytes: history.size - decisions,
                age: history.keep,
            },
            decisions: Retention {
                bytes: decisions,
                age: history.keep.max(DECISIONS),
            },
            reserve_bytes: 1 << 20,
        }
    }
}

impl Default for Options {
    /// Segments of 1 MiB; samples for 30 days in 960 MiB at most, decisions for
    /// a year in 64 MiB at most; a reserve of 1 MiB.
    fn default() -> Self {
        Self::keeping(History::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_a_month_is_kept_in_a_gibibyte() {
        let Options {
            samples, decisions, ..
        } = Options::default();
        assert_eq!(samples.bytes + decisions.bytes, 1 << 30);
        assert_eq!(decisions.bytes, 64 << 20);
        assert_eq!(samples.age, Duration::from_hours(30 * 24));
        assert_eq!(decisions.age, Duration::from_hours(366 * 24));
    }
}
