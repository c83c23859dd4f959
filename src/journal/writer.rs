//! The journal, open for writing.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::is_sample;
use super::decisions::{self, DecisionWriter, ROOT};
use super::disk::{Disk, DiskFile, HostDisk, uninterrupted, write_named, write_whole};
use super::error::{Damage, JournalError, Torn};
use super::layout::{self, Found, Layout};
use super::log::Place;
use super::record::{Anchor, Lost};
use super::recovery::{Recovery, Steps, Survey};
use super::samples::{self, SampleWriter};
use super::snapshot::{self, Head};
use super::state_dir::StateDir;
use crate::guard::{Command, Event};
use crate::model::Moment;

/// Bytes that wait in memory before they are written without being asked.
const BUFFER: usize = 256 * 1024;

/// How the journal keeps house.
#[derive(Clone, Debug)]
pub struct Options {
    /// When this agent started, Unix time in milliseconds: what a second agent
    /// is told.
    pub started_unix_ms: i64,
    /// Bytes after which a log goes on in a new segment at the next
    /// [`roll`](Journal::roll), and after which one is
    /// [due](Journal::wants_roll).
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
        const DAY: Duration = Duration::from_secs(24 * 3600);
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
    disk: Arc<dyn Disk>,
    options: Options,
    next: u64,
    /// All records up to this one are durable, or told to be lost.
    safe: u64,
    /// All samples up to this one are.
    samples_safe: u64,
    at: Moment,
    wall_ahead_ms: i64,
    anchor: Option<Anchor>,
    samples: Log<SampleWriter>,
    decisions: Log<DecisionWriter>,
    /// Where the last snapshot that can be read goes on.
    snapshot: Option<Head>,
    /// The one before: kept as well, should the last one be damaged.
    previous: Option<Head>,
    /// Samples that are lost, of which no line tells yet.
    untold: Option<Lost>,
    /// Samples given since they were last made durable.
    undurable: u64,
    lost: u64,
    /// Bytes written since the last roll.
    written: u64,
    _lock: Option<OwnedFd>,
}

/// A log as it is open for writing, or why it is not.
enum Log<W> {
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
    /// Takes a state directory for this process, cuts off what the last crash
    /// tore, and reads what to go on from. Writes nothing to a journal that was
    /// left whole: a thousand starts do not make it grow.
    ///
    /// # Errors
    ///
    /// When the directory is not to be trusted, is held by another agent, or
    /// cannot be read or written. Damage in the journal is not an error: it is
    /// in the [`Recovery`].
    pub fn open<S: DeserializeOwned>(
        dir: &Path,
        options: Options,
    ) -> Result<(Self, Recovery<S>), JournalError> {
        let StateDir { dir, lock } = StateDir::take(dir, options.started_unix_ms)?;
        let (mut journal, recovery) = Self::open_on(Arc::new(HostDisk::new(dir)), options)?;
        journal._lock = Some(lock);
        Ok((journal, recovery))
    }

    pub(crate) fn open_on<S: DeserializeOwned>(
        disk: Arc<dyn Disk>,
        options: Options,
    ) -> Result<(Self, Recovery<S>), JournalError> {
        let mut layout = uninterrupted(|| Layout::list(&*disk))
            .map_err(|e| JournalError::file("list", ".", e))?;
        for name in &layout.leftovers {
            uninterrupted(|| disk.remove(name))
                .map_err(|e| JournalError::file("remove", name, e))?;
        }
        let mut damage = missing(&layout);
        let mut found = None;
        for Found { first, name, .. } in layout.snapshots.iter().rev() {
            let read = uninterrupted(|| disk.read(name, 0, usize::MAX))
                .map_err(|e| format!("cannot be read: {e}"))
                .and_then(|bytes| snapshot::read::<S>(&bytes, *first));
            match read {
                Ok(read) => {
                    found = Some(read);
                    break;
                }
                Err(found) => damage.push(Damage::File {
                    file: name.clone(),
                    found,
                }),
            }
        }
        let (head, state) = found.unzip();
        if head.is_none() {
            let first = super::recovery::whole_from(&layout);
            if first > 1 || !layout.snapshots.is_empty() && layout.bytes() == 0 {
                damage.push(Damage::NoSnapshot {
                    first: (first > 1).then_some(first),
                });
            }
        }
        let survey = Survey::run(&disk, &layout, head.as_ref());
        damage.extend(survey.damage);

        let mut torn = Vec::new();
        let end = survey.end;
        let steps = Steps::new(&disk, &layout, head.as_ref(), &end);
        let may_cut = survey.cut || damage.is_empty();
        if survey.cut {
            unlink_behind(&*disk, &mut layout.samples, end.samples.as_ref())?;
            unlink_behind(&*disk, &mut layout.decisions, end.decisions.as_ref())?;
        }
        let samples = goes_on(&layout.samples, end.samples.as_ref(), may_cut);
        let decisions = goes_on(&layout.decisions, end.decisions.as_ref(), may_cut);
        let spoiled = |files: &[Found], goes_on: &Option<_>| !files.is_empty() && goes_on.is_none();
        let jump = spoiled(&layout.samples, &samples)
            || spoiled(&layout.decisions, &decisions)
            || !missing(&layout).is_empty();
        // Every record takes a byte at least: no number that the unreadable
        // files may have used is used again.
        let next = if jump {
            end.next.max(layout.highest().saturating_add(1)) + layout.bytes() + 1
        } else {
            end.next
        };
        let at = end.last_at.unwrap_or_default();
        let samples = match samples {
            Some((found, place)) => {
                let file = cut(&*disk, found, place.at, &mut torn)?;
                let head = uninterrupted(|| disk.read(&found.name, 0, samples::HEADER))
                    .map_err(|e| JournalError::file("read", &found.name, e))?;
                let (seed, _) = samples::read_header(&head, found.first).map_err(|why| {
                    JournalError::file("read", &found.name, std::io::Error::other(why))
                })?;
                SampleWriter::new(found.name.clone(), found.first, file, seed, place.at)
            }
            None => new_samples(&*disk, next, at)?,
        };
        let decisions = match decisions {
            Some((found, place)) => {
                let file = cut(&*disk, found, place.at, &mut torn)?;
                let hash = place.chain.clone().unwrap_or_else(|| ROOT.to_owned());
                DecisionWriter::new(found.name.clone(), found.first, file, place.at, hash)
            }
            None => {
                let prev = end
                    .decisions
                    .as_ref()
                    .and_then(|place| place.chain.as_deref());
                let new = new_decisions(&*disk, next, at, prev.unwrap_or(ROOT))?;
                sync_dir(&*disk)?;
                new
            }
        };
        let mut journal = Self {
            disk,
            next,
            // What was read back need not have been durable yet.
            safe: head.as_ref().map_or(0, |head| head.next.saturating_sub(1)),
            samples_safe: head.as_ref().map_or(0, |head| head.next.saturating_sub(1)),
            at,
            wall_ahead_ms: end.wall_ahead_ms,
            anchor: end.anchor.clone(),
            samples: Log::Open(samples),
            decisions: Log::Open(decisions),
            snapshot: head,
            previous: None,
            untold: None,
            undurable: 0,
            lost: 0,
            written: 0,
            options,
            _lock: None,
        };
        if jump {
            let why = damage
                .first()
                .map_or_else(|| "damage was found".to_owned(), ToString::to_string);
            journal.tell_lost(end.next, why);
        }
        journal.reserve();
        let recovery = Recovery {
            snapshot: state,
            steps,
            last_at: end.last_at,
            lost: end.lost(),
            last_anchor: end.anchor,
            damage,
            torn,
        };
        Ok((journal, recovery))
    }

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
                self.unlink_old();
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

    fn tell_lost(&mut self, from: u64, why: String) {
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
        let bytes = snapshot::write(&head, state).map_err(JournalError::Snapshot)?;
        let name = layout::snapshot_name(self.next);
        write_whole(&*self.disk, &name, &bytes)
            .map_err(|e| JournalError::file("write", &name, e))?;
        self.written += bytes.len() as u64;
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

    fn reserve(&mut self) {
        if let Some(decisions) = self.decisions.open() {
            // Not every file system can, and a full one cannot: then the log
            // takes what space it finds.
            let _ = decisions.reserve(self.options.reserve_bytes);
        }
    }

    /// Unlinks snapshots but the last two, and segments that neither of these
    /// nor retention needs. What fails here is tried again after the next roll.
    fn unlink_old(&self) {
        let (Ok(layout), Some(newest)) = (Layout::list(&*self.disk), &self.snapshot) else {
            return;
        };
        let oldest = self.previous.as_ref().unwrap_or(newest);
        for Found { first, name, .. } in &layout.snapshots {
            if *first != newest.next && *first != oldest.next {
                let _ = self.disk.remove(name);
            }
        }
        let samples_begun = |file: &Found| {
            let head = self.disk.read(&file.name, 0, samples::HEADER).ok()?;
            Some(samples::read_header(&head, file.first).ok()?.1)
        };
        let decisions_begun = |file: &Found| {
            let head = self.disk.read(&file.name, 0, 1024).ok()?;
            Some(decisions::read_header(&head, file.first).ok()?.3)
        };
        self.retain(
            &layout.samples,
            self.options.samples,
            oldest.samples.first,
            samples_begun,
        );
        self.retain(
            &layout.decisions,
            self.options.decisions,
            oldest.decisions.first,
            decisions_begun,
        );
    }

    fn retain(
        &self,
        files: &[Found],
        keep: Retention,
        needed: u64,
        begun: impl Fn(&Found) -> Option<Moment>,
    ) {
        let mut bytes: u64 = files.iter().map(|f| f.len).sum();
        for pair in files.windows(2) {
            let [old, next] = pair else { return };
            // A segment ends where the next one begins.
            let expired = || begun(next).is_some_and(|ended| self.at.since(ended) > keep.age);
            if next.first > needed || !(bytes > keep.bytes || expired()) {
                return;
            }
            // One after the other, each durable: no segment is ever missing
            // between others.
            if self.disk.remove(&old.name).is_err() || self.disk.sync_dir().is_err() {
                return;
            }
            bytes -= old.len;
        }
    }
}

/// A log that is not there although the other one is. Samples are begun first.
fn missing(layout: &Layout) -> Vec<Damage> {
    let begun = layout.samples.iter().map(|f| f.len).sum::<u64>() > samples::HEADER as u64;
    let mut damage = Vec::new();
    if layout.samples.is_empty() && !layout.decisions.is_empty() {
        damage.push(Damage::File {
            file: layout::samples_name(1),
            found: "the samples log is missing".to_owned(),
        });
    }
    if layout.decisions.is_empty() && begun {
        damage.push(Damage::File {
            file: layout::decisions_name(1),
            found: "the decisions log is missing".to_owned(),
        });
    }
    damage
}

/// The segment to go on in, and where: the last one, if all of it is known or
/// what is behind may be cut off.
fn goes_on<'a>(
    files: &'a [Found],
    place: Option<&'a Place>,
    may_cut: bool,
) -> Option<(&'a Found, &'a Place)> {
    let (last, place) = (files.last()?, place?);
    let fits = last.first == place.first && last.len >= place.at;
    (fits && (last.len == place.at || may_cut)).then_some((last, place))
}

/// Unlinks segments behind a place at which the log is cut off: there are no
/// records in them.
fn unlink_behind(
    disk: &dyn Disk,
    files: &mut Vec<Found>,
    place: Option<&Place>,
) -> Result<(), JournalError> {
    let Some(place) = place else { return Ok(()) };
    let behind = files.partition_point(|file| file.first <= place.first);
    for Found { name, .. } in files.drain(behind..) {
        uninterrupted(|| disk.remove(&name))
            .and_then(|()| uninterrupted(|| disk.sync_dir()))
            .map_err(|e| JournalError::file("remove", &name, e))?;
    }
    Ok(())
}

/// Opens a segment to write to, behind `at`.
fn cut(
    disk: &dyn Disk,
    found: &Found,
    at: u64,
    torn: &mut Vec<Torn>,
) -> Result<Box<dyn DiskFile>, JournalError> {
    let mut file = uninterrupted(|| disk.open(&found.name))
        .map_err(|e| JournalError::file("open", &found.name, e))?;
    if found.len > at {
        // Durable before anything is written behind it: new records must never
        // stand before a rest of old ones.
        uninterrupted(|| file.truncate(at))
            .and_then(|()| uninterrupted(|| file.sync()))
            .map_err(|e| JournalError::file("cut", &found.name, e))?;
        torn.push(Torn {
            file: found.name.clone(),
            kept: at,
            cut: found.len - at,
        });
    }
    Ok(file)
}

fn new_samples(disk: &dyn Disk, first: u64, at: Moment) -> Result<SampleWriter, JournalError> {
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

/// Its name is not durable until the directory is synced.
fn new_decisions(
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

fn sync_dir(disk: &dyn Disk) -> Result<(), JournalError> {
    uninterrupted(|| disk.sync_dir()).map_err(|e| JournalError::file("sync", ".", e))
}
