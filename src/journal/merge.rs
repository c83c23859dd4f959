//! Both logs as one sequence, and what is missing in it.
//!
//! Every record has the next number of one sequence, whichever log it is in, so
//! a number that is in neither is a record that is missing: nothing can vanish
//! silently. Bad bytes are only the reason for that.

use super::error::Damage;
use super::log::{Item, Located, LogReader, Place};
use super::record::{Body, Record};

/// The next thing in the sequence.
pub(crate) enum Merged {
    Record {
        record: Record,
        safe: u64,
        samples_safe: u64,
    },
    Hole(Hole),
    Damage(Damage),
}

/// Records that are missing before one that is there.
#[derive(Clone, Debug)]
pub(crate) struct Hole {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) found: Vec<String>,
    /// The decisions log is whole there: it is samples that are missing.
    pub(crate) of_samples: bool,
}

/// Bytes that are no record.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) file: String,
    pub(crate) start: u64,
    pub(crate) found: String,
    pub(crate) torn: bool,
}

impl Fault {
    pub(crate) fn damage(self) -> Damage {
        if self.start == 0 {
            Damage::File {
                file: self.file,
                found: self.found,
            }
        } else {
            Damage::Bytes {
                file: self.file,
                offset: self.start,
                found: self.found,
            }
        }
    }

    fn words(&self) -> String {
        if self.start == 0 {
            format!("{}: {}", self.file, self.found)
        } else {
            format!("{}: {} at byte {}", self.file, self.found, self.start)
        }
    }
}

/// One log within the merge.
pub(crate) struct Side {
    reader: LogReader,
    next: Option<Next>,
    /// Bad bytes before `next`, or before the end.
    pub(crate) faults: Vec<Fault>,
    /// Behind the last record that was passed on; `None` as long as no segment
    /// could be read.
    pub(crate) place: Option<Place>,
    /// The last segment in which a record was found.
    pub(crate) last: u64,
}

struct Next {
    record: Record,
    safe: u64,
    samples_safe: u64,
    follows: bool,
    file: std::sync::Arc<str>,
    place: Place,
}

impl Side {
    fn new(reader: LogReader) -> Self {
        Self {
            reader,
            next: None,
            faults: Vec::new(),
            place: None,
            last: 0,
        }
    }

    fn fill(&mut self) {
        while self.next.is_none() {
            let Some(Located { item, file, place }) = self.reader.next() else {
                return;
            };
            match item {
                Item::Opened => self.place = Some(place),
                Item::Bad { start, found, torn } => self.faults.push(Fault {
                    file: file.as_ref().to_owned(),
                    start,
                    found,
                    torn,
                }),
                Item::Record {
                    record,
                    safe,
                    samples_safe,
                    follows,
                } => {
                    self.last = place.first;
                    self.next = Some(Next {
                        record,
                        safe,
                        samples_safe,
                        follows,
                        file,
                        place,
                    });
                }
            }
        }
    }

    fn seq(&self) -> Option<u64> {
        self.next.as_ref().map(|n| n.record.seq)
    }
}

/// Both logs, merged.
pub(crate) struct Merge {
    pub(crate) samples: Side,
    pub(crate) decisions: Side,
    /// The number that the next record should have, at least.
    expected: u64,
    /// Below this, records of one log may be gone by retention.
    whole_from: u64,
    /// A hole was just told: what comes behind it need not follow.
    after_hole: bool,
}

impl Merge {
    /// Merges; every number from `whole_from` on should be there.
    pub(crate) fn new(samples: LogReader, decisions: LogReader, whole_from: u64) -> Self {
        Self {
            samples: Side::new(samples),
            decisions: Side::new(decisions),
            expected: 0,
            whole_from,
            after_hole: false,
        }
    }

    /// Whether the next decision says that the hole is known of.
    pub(crate) fn is_told(&self, hole: &Hole) -> bool {
        matches!(
            &self.decisions.next,
            Some(Next { record: Record { seq, body: Body::Lost(lost), .. }, .. })
                if lost.from <= hole.from && hole.to <= *seq
        )
    }
}

impl Iterator for Merge {
    type Item = Merged;

    fn next(&mut self) -> Option<Merged> {
        self.samples.fill();
        self.decisions.fill();
        let (side, seq) = match (self.samples.seq(), self.decisions.seq()) {
            (None, None) => return None,
            (Some(seq), None) => (&mut self.samples, seq),
            (None, Some(seq)) => (&mut self.decisions, seq),
            (Some(a), Some(b)) if a <= b => (&mut self.samples, a),
            (Some(_), Some(b)) => (&mut self.decisions, b),
        };
        let expected = self.expected.max(self.whole_from);
        if seq > expected {
            let whole = self.decisions.faults.is_empty()
                && self.decisions.next.as_ref().is_some_and(|n| n.follows);
            let faults = self
                .samples
                .faults
                .drain(..)
                .chain(self.decisions.faults.drain(..));
            let hole = Hole {
                from: expected,
                to: seq,
                found: faults.map(|f| f.words()).collect(),
                of_samples: whole,
            };
            self.expected = seq;
            self.whole_from = 0;
            self.after_hole = true;
            return Some(Merged::Hole(hole));
        }
        // No hole, and yet there is something that is no record.
        if let Some(fault) = side.faults.pop() {
            return Some(Merged::Damage(fault.damage()));
        }
        let next = side.next.as_mut()?;
        let told = matches!(next.record.body, Body::Lost(_));
        if !next.follows && !self.after_hole && !told {
            next.follows = true;
            return Some(Merged::Damage(Damage::Chain {
                file: next.file.as_ref().to_owned(),
                seq,
            }));
        }
        let Next {
            record,
            safe,
            samples_safe,
            file,
            place,
            ..
        } = side.next.take()?;
        side.place = Some(place);
        if seq < self.expected {
            return Some(Merged::Damage(Damage::File {
                file: file.as_ref().to_owned(),
                found: format!("record {seq} is there again, or out of order"),
            }));
        }
        self.expected = seq.saturating_add(1);
        self.after_hole = false;
        Some(Merged::Record {
            record,
            safe,
            samples_safe,
        })
    }
}
