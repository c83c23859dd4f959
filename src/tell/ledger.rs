//! The outbox's file: what was accepted, and what became of it.
//!
//! `outbox.jsonl` in the state directory, one JSON object a line, only ever
//! appended to. Accepting is durable before it is acknowledged. That something
//! was delivered is written but not synced: after a power cut it may be
//! delivered once more, which is what *at least once* means. A new file in
//! place of the old, renamed over it, drops what is settled and heals what a
//! failed write left behind: a sync that failed is never tried again as if
//! nothing had been lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::guard::Notice;
use crate::model::Moment;

/// The file's name.
const NAME: &str = "outbox.jsonl";

/// The format's version.
const VERSION: u32 = 1;

/// Pairs of notice and notifier that are remembered, so that none is accepted
/// twice.
const REMEMBERED: usize = 4096;

/// Threads that are remembered; the one that was told of the longest ago goes
/// first.
const THREADS: usize = 1024;

/// A file is rewritten when it is longer than this and than twice what it was
/// after the last time, in bytes.
const LONG: u64 = 256 * 1024;

/// What became of a notice for one notifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fate {
    /// It was handed over.
    Delivered,
    /// It failed for a whole day, or its notifier is no more.
    GivenUp,
    /// There was no room for it.
    Dropped,
    /// Its matter was closed at the receiver before it came to it.
    Superseded,
}

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Outbox {
        version: u32,
    },
    Remembered {
        pairs: Vec<(String, String)>,
    },
    Accepted {
        notice: Arc<Notice>,
        to: BTreeSet<String>,
    },
    Settled {
        id: String,
        to: String,
        fate: Fate,
    },
    Thread {
        to: String,
        key: String,
        /// When it was last told of.
        at: Moment,
        /// Absent once it is over.
        memory: Option<String>,
    },
}

/// What a notifier remembers of a thread, and when it last told of it.
pub(super) type Remembered = (Moment, String);

/// Why the outbox cannot be opened, or cannot promise.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The file cannot be read or written at the start.
    #[error("cannot open the outbox {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A newer agent wrote the file.
    #[error(
        "the outbox {path} has format {found}, this agent knows {VERSION}: start the newer agent, or move the file away and lose what is in it"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: u32,
    },
    /// A notice could not be made durable. It is queued and will be delivered
    /// all the same, unless the agent ends before that.
    #[error("the outbox {path} cannot be written: {source}; the notice is queued in memory only")]
    NotDurable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The file and what is in it.
pub(super) struct Ledger {
    path: PathBuf,
    /// `None` after a failure, until a new file is in place.
    file: Option<File>,
    bytes: u64,
    bytes_when_new: u64,
    record: Record,
}

/// What the lines say.
#[derive(Default)]
struct Record {
    /// What waits, oldest first, by when it was accepted.
    waiting: BTreeMap<u64, (Arc<Notice>, BTreeSet<String>)>,
    /// Where a notice is in `waiting`.
    places: BTreeMap<String, u64>,
    last: u64,
    known: BTreeSet<(String, String)>,
    known_in_order: VecDeque<(String, String)>,
    /// By notifier and key.
    threads: BTreeMap<(String, String), Remembered>,
}

impl Ledger {
    /// Opens the file in this directory, or makes it. Returns also how many
    /// lines could not be read; the file with them is then kept beside it as
    /// `outbox.jsonl.damaged`.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written, or is of a newer format.
    pub(super) fn open(directory: &Path) -> Result<(Self, u64), OutboxError> {
        let path = directory.join(NAME);
        let failed = |source| OutboxError::Open {
            path: path.clone(),
            source,
        };
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(failed)?,
        };
        let mut record = Record::default();
        let mut damaged = 0;
        // What follows the last newline was being written when the agent
        // ended: it was never acknowledged.
        let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |end| end + 1);
        for line in bytes[..whole]
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
        {
            match serde_json::from_slice(line) {
                Ok(Line::Outbox { version }) if version > VERSION => {
                    return Err(OutboxError::Newer {
                        path,
                        found: version,
                    });
                }
                Ok(line) => record.read(line),
                Err(_) => damaged += 1,
            }
        }
        if damaged > 0 {
            std::fs::copy(&path, path.with_extension("jsonl.damaged")).map_err(failed)?;
        }
        let mut ledger = Self {
            path: path.clone(),
            file: None,
            bytes: 0,
            bytes_when_new: 0,
            record,
        };
        ledger.renew().map_err(failed)?;
        Ok((ledger, damaged))
    }

    /// What waits, oldest first, and for whom.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&Arc<Notice>, &BTreeSet<String>)> {
        self.record.waiting.values().map(|(n, to)| (n, to))
    }

    /// Takes a notice in for these notifiers, but for those it was taken in for
    /// before. Returns those it is new to; they are to be served even when it
    /// could not be made durable, which is the second answer.
    pub(super) fn accept(
        &mut self,
        notice: &Arc<Notice>,
        to: impl IntoIterator<Item = String>,
    ) -> (BTreeSet<String>, Result<(), OutboxError>) {
        let to: BTreeSet<String> = to
            .into_iter()
            .filter(|to| !self.record.knows(&notice.id, to))
            .collect();
        if to.is_empty() {
            return (to, Ok(()));
        }
        let line = Line::Accepted {
            notice: Arc::clone(notice),
            to: to.clone(),
        };
        let written = self.append(&line, true);
        self.record.read(line);
        let durable = written.map_err(|source| OutboxError::NotDurable {
            path: self.path.clone(),
            source,
        });
        (to, durable)
    }

    /// Writes down what became of a notice for a notifier. What cannot be
    /// written costs a second delivery after a restart, no more.
    pub(super) fn settle(&mut self, id: &str, to: &str, fate: Fate) -> io::Result<()> {
        let line = Line::Settled {
            id: id.into(),
            to: to.into(),
            fate,
        };
        let written = self.append(&line, false);
        self.record.read(line);
        written
    }

    /// What a notifier remembers, by thread.
    pub(super) fn threads(&self, to: &str) -> BTreeMap<String, Remembered> {
        let of = |name: &str| name == to;
        let threads = self.record.threads.iter();
        threads
            .filter(|((name, _), _)| of(name))
            .map(|((_, key), remembered)| (key.clone(), remembered.clone()))
            .collect()
    }

    /// Remembers what a notifier knows of a thread, or that it is over. Durable
    /// when it returns well: it is what keeps a restart from opening a second
    /// issue.
    pub(super) fn remember(
        &mut self,
        to: &str,
        key: &str,
        at: Moment,
        memory: Option<&str>,
    ) -> io::Result<()> {
        let line = Line::Thread {
            to: to.into(),
            key: key.into(),
            at,
            memory: memory.map(str::to_owned),
        };
        let written = self.append(&line, memory.is_some());
        self.record.read(line);
        written
    }

    fn append(&mut self, line: &Line, durable: bool) -> io::Result<()> {
        if self.file.is_none() || self.bytes > LONG.max(2 * self.bytes_when_new) {
            self.renew()?;
        }
        let Some(file) = &mut self.file else {
            return Err(io::Error::other("it is not open"));
        };
        let text = encode(line)?;
        let written = file
            .write_all(&text)
            .and_then(|()| if durable { file.sync_data() } else { Ok(()) });
        if written.is_err() {
            // Whether half a line is in the file, or whether what was written
            // before is still there, is not known any more.
            self.file = None;
        }
        self.bytes += text.len() as u64;
        written
    }

    /// Puts a new file with all that still matters in place of the old one.
    fn renew(&mut self) -> io::Result<()> {
        self.file = None;
        let mut text = encode(&Line::Outbox { version: VERSION })?;
        text.extend(encode(&Line::Remembered {
            pairs: self.record.known_in_order.iter().cloned().collect(),
        })?);
        for (notice, to) in self.record.waiting.values() {
            text.extend(encode(&Line::Accepted {
                notice: Arc::clone(notice),
                to: to.clone(),
            })?);
        }
        for ((to, key), (at, memory)) in &self.record.threads {
            text.extend(encode(&Line::Thread {
                to: to.clone(),
                key: key.clone(),
                at: *at,
                memory: Some(memory.clone()),
            })?);
        }
        let beside = self.path.with_extension("jsonl.new");
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        if let Some(directory) = self.path.parent() {
            File::open(directory)?.sync_all()?;
        }
        self.bytes = text.len() as u64;
        self.bytes_when_new = self.bytes;
        self.file = Some(file);
        Ok(())
    }
}

impl Record {
    fn knows(&self, id: &str, to: &str) -> bool {
        let waits = self
            .places
            .get(id)
            .and_then(|place| self.waiting.get(place))
            .is_some_and(|(_, waits_for)| waits_for.contains(to));
        waits || self.known.contains(&(id.to_owned(), to.to_owned()))
    }

    fn remember(&mut self, pair: (String, String)) {
        if self.known.insert(pair.clone()) {
            self.known_in_order.push_back(pair);
        }
        while self.known_in_order.len() > REMEMBERED {
            if let Some(oldest) = self.known_in_order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    fn read(&mut self, line: Line) {
        match line {
            Line::Outbox { .. } => {}
            Line::Remembered { pairs } => pairs.into_iter().for_each(|pair| self.remember(pair)),
            Line::Accepted { notice, to } => {
                for to in &to {
                    self.remember((notice.id.clone(), to.clone()));
                }
                let place = *self.places.entry(notice.id.clone()).or_insert_with(|| {
                    self.last += 1;
                    self.last
                });
                self.waiting
                    .entry(place)
                    .or_insert_with(|| (notice, BTreeSet::new()))
                    .1
                    .extend(to);
            }
            Line::Thread {
                to,
                key,
                at,
                memory: Some(memory),
            } => {
                self.threads.insert((to, key), (at, memory));
                if self.threads.len() > THREADS
                    && let Some(oldest) = self.threads.iter().min_by_key(|(_, (at, _))| *at)
                {
                    let oldest = oldest.0.clone();
                    self.threads.remove(&oldest);
                }
            }
            Line::Thread { to, key, .. } => {
                self.threads.remove(&(to, key));
            }
            Line::Settled { id, to, .. } => {
                let Some(&place) = self.places.get(&id) else {
                    return;
                };
                if let Some((_, waits_for)) = self.waiting.get_mut(&place) {
                    waits_for.remove(&to);
                    if waits_for.is_empty() {
                        self.waiting.remove(&place);
                        self.places.remove(&id);
                    }
                }
            }
        }
    }
}

fn encode(line: &Line) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests;
