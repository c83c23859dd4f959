//! The thread that writes the journal.
//!
//! A disk that takes half a minute over an fsync must not stop judging, so the
//! loop hands over what it has stepped and goes on; only what rests on a record
//! being durable (a step that is to run, a notice, an answer to a person) waits
//! for its acknowledgement. What is handed over while the disk is busy is
//! written and synced together.
//!
//! When the disk falls so far behind that the queue is full, everything is left
//! out from there on until a whole snapshot fits in again: what is on the disk
//! is a prefix of what happened, never a selection of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{oneshot, watch};

use super::AgentError;
use crate::guard::{Command, Event, Snapshot};
use crate::journal::{Anchor, Journal, Kept};
use crate::model::Moment;

/// Entries that may wait for the disk: minutes of a hundred services.
const QUEUE: usize = 4096;

/// Entries that are written together at most.
const TOGETHER: usize = 512;

/// Whether a record is durable: all of it, decisions only, or not, and why.
pub(super) type Durable = Result<Kept, String>;

/// One step of the engine, to be written down.
#[derive(Debug)]
pub(super) struct Stepped {
    pub(super) at: Moment,
    pub(super) event: Event,
    pub(super) commands: Vec<Command>,
}

/// What is handed over.
enum Entry {
    Steps {
        steps: Vec<Stepped>,
        /// Who waits until these and all before them are durable.
        waiting: Vec<oneshot::Sender<Durable>>,
    },
    Anchor(Anchor),
    Roll {
        state: Box<Snapshot>,
        anchor: Anchor,
        done: oneshot::Sender<Result<(), String>>,
    },
}

/// How the journal is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    /// Why nothing is kept, if nothing is.
    pub(super) broken: Option<String>,
    /// How often that began since the start, and why the last time. A snapshot
    /// may mend it before anybody looks, and it has to be told all the same.
    pub(super) failures: u64,
    pub(super) failure: Option<String>,
    /// Why samples are not kept, if they are not.
    pub(super) samples_lost: Option<String>,
    /// Records that could not be kept since the start.
    pub(super) lost: u64,
    /// Whether a snapshot is due, because a segment is full or the journal is
    /// broken and a snapshot may mend it.
    pub(super) wants_roll: bool,
}

/// The loop's side.
pub(super) struct Scribe {
    entries: Option<SyncSender<Box<Entry>>>,
    thread: Option<JoinHandle<()>>,
    handed: u64,
    written: Arc<AtomicU64>,
    health: watch::Receiver<Health>,
    /// Why entries are left out until a snapshot fits in.
    behind: Option<String>,
    /// The journal comes back when the thread ends: its lock must outlive it.
    journal: Arc<Mutex<Option<Journal>>>,
}

impl Scribe {
    pub(super) fn start(journal: Journal) -> Result<Self, AgentError> {
        let (entries, queue) = sync_channel(QUEUE);
        let (report, health) = watch::channel(Health::default());
        let written = Arc::new(AtomicU64::new(0));
        let back = Arc::new(Mutex::new(None));
        let mut writer = Writer {
            journal,
            report,
            written: Arc::clone(&written),
            failures: 0,
            failure: None,
            broken: false,
        };
        let give_back = Arc::clone(&back);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                writer.run(&queue);
                *give_back.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer.journal);
            })
            .map_err(|e| AgentError::system("start the thread of the journal", e))?;
        Ok(Self {
            entries: Some(entries),
            thread: Some(thread),
            handed: 0,
            written,
            health,
            behind: None,
            journal: back,
        })
    }

    /// Hands steps over. `waiting` hear when these and all before are durable.
    pub(super) fn steps(&mut self, steps: Vec<Stepped>, waiting: Vec<oneshot::Sender<Durable>>) {
        if let Some(why) = &self.behind {
            for one in waiting {
                let _ = one.send(Err(why.clone()));
            }
            return;
        }
        self.hand(Entry::Steps { steps, waiting });
    }

    /// Hands over how the clocks stand.
    pub(super) fn anchor(&mut self, anchor: Anchor) {
        if self.behind.is_none() {
            self.hand(Entry::Anchor(anchor));
        }
    }

    /// Hands the state over, so that a start goes on from here. Says when it is
    /// written, or why it is not.
    pub(super) fn roll(
        &mut self,
        state: Snapshot,
        anchor: Anchor,
    ) -> oneshot::Receiver<Result<(), String>> {
        let (done, rolled) = oneshot::channel();
        self.behind = None;
        self.hand(Entry::Roll {
            state: Box::new(state),
            anchor,
            done,
        });
        rolled
    }

    fn hand(&mut self, entry: Entry) {
        let Some(entries) = &self.entries else {
            return;
        };
        let (why, entry) = match entries.try_send(Box::new(entry)) {
            Ok(()) => {
                self.handed += 1;
                return;
            }
            Err(TrySendError::Full(entry)) => ("the disk is too slow for the journal", entry),
            Err(TrySendError::Disconnected(entry)) => ("the journal's thread has ended", entry),
        };
        tracing::error!(why, "nothing is written down until a snapshot is");
        self.behind = Some(why.to_owned());
        match *entry {
            Entry::Steps { waiting, .. } => {
                for one in waiting {
                    let _ = one.send(Err(why.to_owned()));
                }
            }
            Entry::Roll { done, .. } => {
                let _ = done.send(Err(why.to_owned()));
            }
            Entry::Anchor(_) => {}
        }
    }

    /// How the journal is, as of the last write.
    pub(super) fn health(&self) -> Health {
        let mut health = self.health.borrow().clone();
        if let Some(why) = &self.behind {
            health.broken.get_or_insert_with(|| why.clone());
            health.wants_roll = true;
        }
        health
    }

    /// A view that says when the health changes.
    pub(super) fn watch(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// How many entries were handed over, and how many of them are written.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.handed, self.written.load(Ordering::Acquire))
    }

    /// Whether the thread has ended, which it does by a panic only.
    pub(super) fn is_dead(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Writes what was handed over and ends the thread. Blocks on the disk.
    pub(super) fn end(mut self) {
        self.entries = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the journal's thread panicked");
        }
        drop(
            self.journal
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }
}

/// The thread's side.
struct Writer {
    journal: Journal,
    report: watch::Sender<Health>,
    written: Arc<AtomicU64>,
    /// How often the journal broke, and why the last time.
    failures: u64,
    failure: Option<String>,
    /// Whether it was broken when that was last asked.
    broken: bool,
}

impl Writer {
    fn run(&mut self, queue: &Receiver<Box<Entry>>) {
        while let Ok(first) = queue.recv() {
            let mut waiting = Vec::new();
            let mut taken = 0;
            let mut next = Some(first);
            while let Some(entry) = next {
                self.take(*entry, &mut waiting);
                taken += 1;
                next = (taken < TOGETHER).then(|| queue.try_recv().ok()).flatten();
            }
            self.write(waiting);
            self.written.fetch_add(taken as u64, Ordering::Release);
        }
    }

    fn take(&mut self, entry: Entry, waiting: &mut Vec<oneshot::Sender<Durable>>) {
        match entry {
            Entry::Steps {
                steps,
                waiting: more,
            } => {
                for step in steps {
                    let seq = self.journal.event(step.at, &step.event);
                    self.journal.commands(seq, &step.commands);
                }
                waiting.extend(more);
            }
            Entry::Anchor(anchor) => self.journal.anchor(anchor),
            Entry::Roll {
                state,
                anchor,
                done,
            } => {
                // Whoever waits for what came before a snapshot must not be told
                // that it is durable because the snapshot is; and what cannot be
                // written is a failure, although the snapshot mends it.
                self.journal.anchor(anchor);
                self.write(std::mem::take(waiting));
                let rolled = self.journal.roll(&*state).map_err(|e| e.to_string());
                if let Err(why) = &rolled {
                    tracing::error!(why, "no snapshot of the state could be written");
                }
                let _ = done.send(rolled);
            }
        }
    }

    /// Once for all that came together; durable if somebody waits for that.
    fn write(&mut self, waiting: Vec<oneshot::Sender<Durable>>) {
        let written = if waiting.is_empty() {
            self.journal.flush()
        } else {
            self.journal.commit()
        };
        let durable = written.map_err(|e| e.to_string());
        for one in waiting {
            // Whoever gave up waiting needs no answer.
            let _ = one.send(durable.clone());
        }
        let broken = self.journal.broken().map(str::to_owned);
        if let (false, Some(why)) = (self.broken, &broken) {
            self.failures += 1;
            self.failure = Some(why.clone());
        }
        self.broken = broken.is_some();
        let health = Health {
            broken,
            failures: self.failures,
            failure: self.failure.clone(),
            samples_lost: self.journal.samples_lost().map(str::to_owned),
            lost: self.journal.lost(),
            wants_roll: self.journal.wants_roll(),
        };
        self.report.send_if_modified(|before| {
            let changed = *before != health;
            *before = health;
            changed
        });
    }
}
