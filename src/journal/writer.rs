//! The journal, open for writing.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde::Serialize;

use super::codec::is_sample;
use super::decisions::{self, DecisionWriter, ROOT};
use super::disk::{Disk, fill_named, uninterrupted, write_named, write_whole};
use super::error::JournalError;
use super::log::Place;
use super::options::Options;
use super::record::{Anchor, Lost};
use super::samples::{self, SampleWriter};
use super::snapshot::{self, Head};
use super::{layout, retention};
use crate::guard::{Command, Event};
use crate::model::Moment;

/// Bytes that wait in memory before they are written without being asked.
const BUFFER: usize = 256 * 1024;

/// What was kept of what was given to the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a new rollback must not start when its evidence is not kept"]
pub enum Kept {
    /// All of it.
    Whole,
    /// Decisions, and not the samples that they rest on: a rollback that runs
    /// may go on, and no new one may start.
    DecisionsOnly,
}

/// The durable record of one agent, open for writing; nobody else has it open
/// as long as this lives.
///
/// Facts go in with [`event`](Self::event), orders with
/// [`commands`](Self::commands); both only fill buffers. [`flush`](Self::flush)
/// writes them, which survives the agent; [`commit`](Self::commit) makes them
/// durable, which survives the host.
pub struct Journal {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: Options,
    pub(super) next: u64,
    /// All records up to this one are durable, or told to be lost.
    pub(super) safe: u64,
    /// All samples up to this one are.
    pub(super) samples_safe: u64,
    pub(super) at: Moment,
    pub(super) wall_ahead_ms: i64,
    pub(super) anchor: Option<Anchor>,
    pub(super) samples: Log<SampleWriter>,
    pub(super) decisions: Log<DecisionWriter>,
    /// Where the last snapshot that can be read goes on.
    pub(super) snapshot: Option<Head>,
    /// The one before: kept as well, should the last one be damaged.
    pub(super) previous: Option<Head>,
    /// Samples that are lost, of which no line tells yet.
    pub(super) untold: Option<Lost>,
    /// Samples given since they were last made durable.
    pub(super) undurable: u64,
    pub(super) lost: u64,
    /// Bytes written since the last roll.
    pub(super) written: u64,
    /// Held as long as this lives; a simulated disk has none.
    pub(super) lock: Option<OwnedFd>,
}

/// A log as it is open for writing, or why it is not.
pub(super) enum Log<W> {
    Open(W),
    Broken(String),
}

impl<W> Log<W> {
    fn open(&mut self) -> Option<&mut W> {
        match self {
            Self::Open(writer) => Some(writer),
            Self::Broken(_) => None,
        }
    }

    fn why(&self) -> Option<&str> {
        match self {
            Self::Open(_) => None,
            Self::Broken(why) => Some(why),
        }
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("next", &self.next)
            .field("safe", &self.safe)
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}

impl Journal {
    /// Takes down an event at the moment of its arrival, into a buffer. Returns
    /// its sequence number. Never fails: what cannot be kept is told by the next
    /// [`flush`](Self::flush) or [`commit`](Self::commit).
    pub fn event(&mut self, at: Moment, event: &Event) -> u64 {
        if let Event::Ticked { wall_ahead_ms, .. } = event {
            self.wall_ahead_ms = *wall_ahead_ms;
        }
        if !is_sample(event) {
            return self.line(at, b"\"event\":", event);
        }
        let seq = self.take_seq(at);
        match (&mut self.samples, &self.decisions) {
            (Log::Open(samples), Log::Open(_)) => {
                samples.put(seq, at, event, self.safe);
                self.undurable += 1;
                if samples.waiting() > BUFFER {
                    // What fails here is told by the next flush or commit.
                    let _ = self.flush();
                }
            }
            (samples, _) => {
                self.lost += 1;
                let why = samples.why().unwrap_or_default();
                self.untold.get_or_insert_with(|| Lost {
                    from: seq,
                    why: why.to_owned(),
                });
            }
        }
        seq
    }

    /// Takes down what an event led to, into a buffer; nothing if it led to
    /// nothing. To be called before the next event is taken down.
    pub fn commands(&mut self, cause: u64, commands: &[Command]) {
        if !commands.is_empty() {
            let start = format!("\"cause\":{cause},\"commands\":");
            self.line(self.at, start.as_bytes(), commands);
        }
    }

    /// Takes down how the clocks stand, into a buffer.
    pub fn anchor(&mut self, anchor: Anchor) {
        self.wall_ahead_ms = anchor.wall_ahead_ms();
        self.line(anchor.moment, b"\"anchor\":", &anchor);
        self.anchor = Some(anchor);
    }

    /// Writes what is in the buffers, without making it durable: it survives
    /// the agent's end, not the host's. Once a tick.
    ///
    /// # Errors
    ///
    /// When decisions are not kept. The journal is broken from the first such
    /// failure on, until a [`roll`](Self::roll) succeeds.
    pub fn flush(&mut self) -> Result<Kept, JournalError> {
        self.write(false)
    }

    /// Makes durable what was given so far: first the samples, then the
    /// decisions that rest on them.
    ///
    /// # Errors
    ///
    /// When decisions are not durable. The journal is broken from the first such
    /// failure on, until a [`roll`](Self::roll) succeeds.
    pub fn commit(&mut self) -> Result<Kept, JournalError> {
        self.write(true)
    }

    /// The number that the next record gets.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// Why samples are not kept at the moment, if they are not.
    #[must_use]
    pub fn samples_lost(&self) -> Option<&str> {
        self.samples.why().or_else(|| self.decisions.why())
    }

    /// Why nothing is kept at the moment, if nothing is.
    #[must_use]
    pub fn broken(&self) -> Option<&str> {
        self.decisions.why()
    }

    /// How many records could not be kept since the start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether a [`roll`](Self::roll) is due: a segment is full, or a log is
    /// broken and a roll may mend it.
    #[must_use]
    pub fn wants_roll(&self) -> bool {
        self.written >= self.options.segment_bytes || self.samples_lost().is_some()
    }

    /// Makes all durable and writes the engine's state, so that the next start
    /// goes on from here. Logs that are full or broken go on in new segments;
    /// what retention no longer keeps is unlinked.
    ///
    /// # Errors
    ///
    /// When the snapshot is not durable: the one before stays in force, and what
    /// was broken stays broken.
    pub fn roll<S: Serialize>(&mut self, state: &S) -> Result<(), JournalError> {
        // A failure here is why there are new segments below.
        let _ = self.commit();
        let broken = self.decisions.why().map(str::to_owned);
        let durable = (self.safe, self.samples_safe);
        let rolled = self.rotate().and_then(|()| self.snapshot(state));
        match (&rolled, broken) {
            (Ok(()), _) => {
                self.written = 0;
                self.reserve();
                if let Some(newest) = &self.snapshot {
                    let oldest = self.previous.as_ref().unwrap_or(newest);
                    retention::unlink_old(&*self.disk, &self.options, self.at, newest, oldest);
                }
            }
            // Only a snapshot makes up for decisions that are lost: without it
            // the next start would not know them. Try again from the beginning.
            (Err(_), Some(why)) => {
                (self.safe, self.samples_safe) = durable;
                for name in [
                    self.samples.open().map(|samples| samples.name.clone()),
                    self.decisions
                        .open()
                        .map(|decisions| decisions.name.clone()),
                ] {
                    // An empty segment that stays behind does no harm.
                    let _ = name.map(|name| self.disk.remove(&name));
                }
                self.samples = Log::Broken(why.clone());
                self.decisions = Log::Broken(why);
            }
            (Err(_), None) => {}
        }
        rolled
    }

    fn take_seq(&mut self, at: Moment) -> u64 {
        let seq = self.next;
        self.next += 1;
        self.at = self.at.max(at);
        seq
    }

    /// One line of the decisions log: `start` and the value as JSON.
    fn line<T: Serialize + ?Sized>(&mut self, at: Moment, start: &[u8], value: &T) -> u64 {
        let seq = self.take_seq(at);
        let wall_ms = at.unix_millis(self.wall_ahead_ms);
        let Log::Open(decisions) = &mut self.decisions else {
            self.lost += 1;
            return seq;
        };
        let mut fields = start.to_vec();
        if let Err(e) = serde_json::to_writer(&mut fields, value) {
            self.break_decisions(&format!("a record cannot be put into JSON: {e}"));
            self.lost += 1;
            return seq;
        }
        decisions.put(seq, at, wall_ms, fields);
        if decisions.waiting() > BUFFER {
            // What fails here is told by the next flush or commit.
            let _ = self.flush();
        }
        seq
    }

    pub(super) fn tell_lost(&mut self, from: u64, why: String) {
        self.line(self.at, b"\"lost\":", &Lost { from, why });
    }

    fn write(&mut self, durable: bool) -> Result<Kept, JournalError> {
        if let Some(why) = self.decisions.why() {
            return Err(JournalError::Broken {
                why: why.to_owned(),
                lost: self.lost,
            });
        }
        let last = self.next - 1;
        if let Some(samples) = self.samples.open() {
            let before = samples.len;
            let written = samples
                .write(self.safe)
                .and_then(|()| if durable { samples.sync() } else { Ok(()) });
            self.written += samples.len - before;
            match written {
                Ok(()) if durable => {
                    self.samples_safe = last;
                    self.undurable = 0;
                }
                Ok(()) => {}
                Err(e) => {
                    let e = JournalError::file("write", &samples.name, e);
                    self.break_samples(&e.to_string());
                }
            }
        }
        if let Some(Lost { from, why }) = self.untold.take() {
            self.tell_lost(from, why);
        }
        let last = self.next - 1;
        if let Some(decisions) = self.decisions.open() {
            let before = decisions.len;
            let written = decisions
                .write(self.safe, self.samples_safe)
                .and_then(|()| if durable { decisions.sync() } else { Ok(()) });
            self.written += decisions.len - before;
            if let Err(e) = written {
                let e = JournalError::file("write", &decisions.name, e);
                self.break_decisions(&e.to_string());
                return Err(e);
            }
            if durable {
                self.safe = last;
                self.reserve();
            }
        }
        Ok(if self.samples.why().is_some() {
            Kept::DecisionsOnly
        } else {
            Kept::Whole
        })
    }

    /// Nothing is known of what was written since the last sync, and nothing
    /// more is written to this segment.
    fn break_samples(&mut self, why: &str) {
        self.lost += self.undurable;
        self.undurable = 0;
        self.untold = Some(Lost {
            from: self.samples_safe + 1,
            why: why.to_owned(),
        });
        self.samples = Log::Broken(why.to_owned());
    }

    fn break_decisions(&mut self, why: &str) {
        self.lost += (self.next - 1).saturating_sub(self.safe);
        self.undurable = 0;
        self.samples = Log::Broken(why.to_owned());
        self.decisions = Log::Broken(why.to_owned());
    }

    /// New segments for logs that are full or broken.
    fn rotate(&mut self) -> Result<(), JournalError> {
        let broken = self.decisions.why().map(str::to_owned);
        let full = self.options.segment_bytes;
        if broken.is_some()
            || self
                .samples
                .open()
                .is_none_or(|samples| samples.len >= full)
        {
            let samples = new_samples(&*self.disk, self.next, self.at)?;
            self.samples = Log::Open(samples);
        }
        let prev = match &self.decisions {
            Log::Open(decisions) if decisions.len < full => None,
            Log::Open(decisions) => Some(decisions.hash.clone()),
            Log::Broken(_) => Some(ROOT.to_owned()),
        };
        if let Some(prev) = prev {
            let new = new_decisions(&*self.disk, self.next, self.at, &prev)?;
            if let Err(e) = sync_dir(&*self.disk) {
                // Its name is there, durable or not, and nothing may be written
                // to the segment before it any more: the chain would fork.
                self.break_decisions(&e.to_string());
                return Err(e);
            }
            if let Log::Open(full) = &mut self.decisions {
                full.finish();
            }
            self.decisions = Log::Open(new);
        }
        if let Some(why) = broken {
            self.untold = None;
            self.tell_lost(self.safe + 1, why);
        }
        match self.commit()? {
            Kept::Whole => Ok(()),
            Kept::DecisionsOnly => Err(JournalError::Broken {
                why: self.samples.why().unwrap_or_default().to_owned(),
                lost: self.lost,
            }),
        }
    }

    fn snapshot<S: Serialize>(&mut self, state: &S) -> Result<(), JournalError> {
        let (Some(samples), Some(decisions)) = (self.samples.open(), self.decisions.open()) else {
            return Err(JournalError::Broken {
                why: "a log is not open".to_owned(),
                lost: self.lost,
            });
        };
        samples.begin_anew(self.safe);
        let head = Head::new(
            self.next,
            self.at,
            self.wall_ahead_ms,
            self.anchor.clone(),
            Place {
                first: samples.first_seq,
                at: samples.len,
                chain: None,
            },
            Place {
                first: decisions.first_seq,
                at: decisions.len,
                chain: Some(decisions.hash.clone()),
            },
        );
        let name = layout::snapshot_name(self.next);
        let filled = fill_named(&*self.disk, &name, |out| snapshot::write(&head, state, out));
        let (_, len) = filled
            .and_then(|filled| uninterrupted(|| self.disk.sync_dir()).map(|()| filled))
            .map_err(|e| JournalError::file("write", &name, e))?;
        self.written += len;
        if let Some(before) = self.snapshot.replace(head)
            && self
                .snapshot
                .as_ref()
                .is_some_and(|new| new.next != before.next)
        {
            self.previous = Some(before);
        }
        Ok(())
    }

    pub(super) fn reserve(&mut self) {
        if let Some(decisions) = self.decisions.open() {
            // Not every file system can, and a full one cannot: then the log
            // takes what space it finds.
            let _ = decisions.reserve(self.options.reserve_bytes);
        }
    }
}

/// Begins a segment of the samples log.
pub(super) fn new_samples(
    disk: &dyn Disk,
    first: u64,
    at: Moment,
) -> Result<SampleWriter, JournalError> {
    let name = layout::samples_name(first);
    let header = samples::header(first, at);
    let file =
        write_whole(disk, &name, &header).map_err(|e| JournalError::file("write", &name, e))?;
    Ok(SampleWriter::new(
        name,
        first,
        file,
        samples::seed(&header),
        header.len() as u64,
    ))
}

/// Begins a segment of the decisions log. Its name is not durable until the directory is synced.
pub(super) fn new_decisions(
    disk: &dyn Disk,
    first: u64,
    at: Moment,
    prev: &str,
) -> Result<DecisionWriter, JournalError> {
    let name = layout::decisions_name(first);
    let (header, hash) = decisions::header(first, at, prev);
    let file =
        write_named(disk, &name, &header).map_err(|e| JournalError::file("write", &name, e))?;
    Ok(DecisionWriter::new(
        name,
        first,
        file,
        header.len() as u64,
        hash,
    ))
}

pub(super) fn sync_dir(disk: &dyn Disk) -> Result<(), JournalError> {
    uninterrupted(|| disk.sync_dir()).map_err(|e| JournalError::file("sync", ".", e))
}
