//! One log, read over its segments.
//!
//! Neither log knows alone whether something is missing: that shows where both
//! are merged by sequence number ([`super::merge`]). So a log only says what it
//! found, good and bad, and where.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::decisions::DecisionReader;
use super::disk::{Disk, uninterrupted};
use super::layout::{self, Found};
use super::record::Record;
use super::samples::SampleReader;

/// What a segment has at a place.
pub(crate) enum Item {
    /// A record.
    Record {
        record: Record,
        /// All records up to this one were durable when it was written.
        safe: u64,
        /// All samples up to this one were.
        samples_safe: u64,
        /// Whether it builds on the record before it.
        follows: bool,
    },
    /// A segment can be read; nothing of it has been, yet.
    Opened,
    /// Bytes that are no record.
    Bad {
        start: u64,
        found: String,
        /// Whether a torn write can look like this.
        torn: bool,
    },
}

/// A segment, read from front to back.
pub(crate) trait ReadSegment {
    fn next(&mut self) -> Option<Item>;
    /// The offset behind the last good item, or behind its frame.
    fn at(&self) -> u64;
    /// The hash of the last good line, of a segment that has such.
    fn chain(&self) -> Option<&str>;
}

/// A place in a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The segment's first sequence number.
    pub(crate) first: u64,
    /// The offset.
    pub(crate) at: u64,
    /// In the decisions log, the hash of the line that ends there.
    pub(crate) chain: Option<String>,
}

/// An item and where it was found.
pub(crate) struct Located {
    pub(crate) item: Item,
    pub(crate) file: Arc<str>,
    /// Behind it, if it is good.
    pub(crate) place: Place,
}

/// Which of the two logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Samples,
    Decisions,
}

/// Reads one log from a place to its end, or to a place.
pub(crate) struct LogReader {
    disk: Arc<dyn Disk>,
    which: Which,
    segments: VecDeque<Found>,
    from: Option<Place>,
    until: Option<Place>,
    current: Option<Current>,
    /// The hash that the next segment's header should repeat, if known.
    chain: Option<String>,
}

struct Current {
    file: Arc<str>,
    first: u64,
    segment: Box<dyn ReadSegment + Send>,
}

impl Current {
    fn locate(&self, item: Item) -> Located {
        Located {
            item,
            file: Arc::clone(&self.file),
            place: Place {
                first: self.first,
                at: self.segment.at(),
                chain: self.segment.chain().map(str::to_owned),
            },
        }
    }
}

impl LogReader {
    /// Reads these segments, from a place on if it is given. A place whose
    /// segment is missing is told as bad.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        which: Which,
        segments: &[Found],
        from: Option<Place>,
        until: Option<Place>,
    ) -> Self {
        let skip = from
            .as_ref()
            .map_or(0, |from| segments.partition_point(|s| s.first < from.first));
        Self {
            disk,
            which,
            segments: segments[skip..].iter().cloned().collect(),
            from,
            until,
            current: None,
            chain: None,
        }
    }

    /// The next thing found.
    pub(crate) fn next(&mut self) -> Option<Located> {
        if let Some(current) = &mut self.current {
            if let Some(item) = current.segment.next() {
                return Some(current.locate(item));
            }
            self.chain = current.segment.chain().map(str::to_owned);
            self.current = None;
        }
        let from = self.from.take();
        let next = self.segments.pop_front();
        if let Some(from) = &from
            && next.as_ref().is_none_or(|next| next.first != from.first)
        {
            let name = match self.which {
                Which::Samples => layout::samples_name(from.first),
                Which::Decisions => layout::decisions_name(from.first),
            };
            if let Some(next) = next {
                self.segments.push_front(next);
            }
            return Some(bad(&name, from.first, "the file is missing".to_owned()));
        }
        let found = next?;
        let mut limit = usize::MAX;
        if let Some(until) = &self.until {
            if found.first > until.first {
                self.segments.clear();
                return None;
            }
            if found.first == until.first {
                limit = usize::try_from(until.at).unwrap_or(usize::MAX);
            }
        }
        let opened = uninterrupted(|| self.disk.read(&found.name, 0, limit))
            .map_err(|e| format!("cannot be read: {e}"))
            .and_then(|bytes| self.segment(bytes, &found, from));
        Some(match opened {
            Ok(segment) => {
                let current = Current {
                    file: found.name.as_str().into(),
                    first: found.first,
                    segment,
                };
                let located = current.locate(Item::Opened);
                self.current = Some(current);
                located
            }
            Err(why) => {
                self.chain = None;
                bad(&found.name, found.first, why)
            }
        })
    }

    fn segment(
        &mut self,
        bytes: Vec<u8>,
        found: &Found,
        from: Option<Place>,
    ) -> Result<Box<dyn ReadSegment + Send>, String> {
        let chain = self.chain.take();
        Ok(match self.which {
            Which::Samples => Box::new(SampleReader::new(bytes, found.first, from)?),
            Which::Decisions => Box::new(DecisionReader::new(bytes, found.first, from, chain)?),
        })
    }
}

/// A file that is of no use as a whole.
fn bad(name: &str, first: u64, found: String) -> Located {
    Located {
        item: Item::Bad {
            start: 0,
            found,
            torn: false,
        },
        file: name.into(),
        place: Place {
            first,
            at: 0,
            chain: None,
        },
    }
}
