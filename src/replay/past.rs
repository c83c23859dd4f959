//! What a state directory has of the past: the agent's own journal, and the
//! recordings that were imported beside it, in the order of time.
//!
//! It reads beside a running agent, takes no lock and writes nothing. What that
//! agent is writing just now ends the reading; what its retention unlinks
//! meanwhile is not missed.
//!
//! *Times.* The journal is on the agent's own clock, which nobody can set: it
//! begins with the wall clock and then counts for itself. People ask by the
//! calendar, so every moment is moved by how far the wall clock is ahead now, in
//! whole seconds. One distance for all, because the time from tick to tick is
//! what windows and holds count, and it must come out as it went in.

use std::fs;
use std::io;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::guard::{Event, Freeze};
use crate::journal::{self, Body, Damage, JournalError, Record, Records};
use crate::model::Moment;

/// Beside the journal, a directory for each recording that was imported.
const IMPORTED: &str = "imported";

/// A sample arrives after its tick, by its timeout at most and what a busy host
/// adds.
const LATE: Duration = Duration::from_mins(5);

/// A stretch of the calendar, both ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub from: Moment,
    /// The last one.
    pub to: Moment,
}

impl Span {
    /// All of it.
    pub const ALL: Self = Self {
        from: Moment::ZERO,
        to: Moment::from_millis(u64::MAX),
    };

    /// Whether this moment is in it.
    #[must_use]
    pub fn has(&self, at: Moment) -> bool {
        self.from <= at && at <= self.to
    }
}

/// The past cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// The state directory's journal.
    #[error("cannot read the history: {0}")]
    Journal(JournalError),
    /// The imported recordings beside it.
    #[error("cannot list the imported recordings in {}", path.display())]
    Imported {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A recording that was imported.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Imported {
    /// Its directory: a journal of its own.
    pub dir: PathBuf,
    /// The service that it is of.
    pub service: String,
    /// Its first and its last sample, in Unix milliseconds.
    pub first_ms: u64,
    /// The last.
    pub last_ms: u64,
}

impl Imported {
    /// Where a recording of a service is kept, by its first and last sample.
    #[must_use]
    pub fn place(state: &Path, service: &str, span: Span) -> Self {
        let (first_ms, last_ms) = (span.from.as_millis(), span.to.as_millis());
        Self {
            dir: state
                .join(IMPORTED)
                .join(format!("{service}-{first_ms}-{last_ms}")),
            service: service.to_owned(),
            first_ms,
            last_ms,
        }
    }

    fn named(dir: PathBuf) -> Option<Self> {
        let name = dir.file_name()?.to_str()?;
        let mut parts = name.rsplitn(3, '-');
        let last_ms = parts.next()?.parse().ok()?;
        let first_ms = parts.next()?.parse().ok()?;
        let service = parts.next()?.to_owned();
        Some(Self {
            dir,
            service,
            first_ms,
            last_ms,
        })
    }

    /// The time that it is of.
    #[must_use]
    pub const fn span(&self) -> Span {
        Span {
            from: Moment::from_millis(self.first_ms),
            to: Moment::from_millis(self.last_ms),
        }
    }
}

/// What a state directory has of the past.
#[derive(Clone, Debug)]
pub struct Past {
    state: PathBuf,
    /// How far the calendar is ahead of the journal's clock; whole seconds.
    ahead_ms: i64,
    /// By service, then time.
    imported: Vec<Imported>,
}

impl Past {
    /// Looks what there is. Without a journal, what was imported.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn open(state: &Path) -> Result<Self, PastError> {
        let ahead = journal::wall_ahead_ms(state).map_err(PastError::Journal)?;
        let ahead_ms = (ahead.unwrap_or(0) + 500).div_euclid(1000) * 1000;
        let path = state.join(IMPORTED);
        let listed = match fs::read_dir(&path) {
            Ok(entries) => entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<Result<Vec<_>, _>>(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(e),
        };
        let listed = listed.map_err(|source| PastError::Imported { path, source })?;
        let mut imported: Vec<_> = listed.into_iter().filter_map(Imported::named).collect();
        imported.sort_by(|a, b| {
            (&a.service, a.first_ms, &a.dir).cmp(&(&b.service, b.first_ms, &b.dir))
        });
        Ok(Self {
            state: state.to_owned(),
            ahead_ms,
            imported,
        })
    }

    /// The state directory.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// How far the calendar is ahead of the agent's clock, in whole seconds.
    #[must_use]
    pub const fn ahead_seconds(&self) -> i64 {
        self.ahead_ms / 1000
    }

    /// What was imported, by service and then time.
    #[must_use]
    pub fn imported(&self) -> &[Imported] {
        &self.imported
    }

    /// When the last sample was taken, or the last tick judged.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn end(&self) -> Result<Option<Moment>, PastError> {
        let latest = Moment::from_millis(u64::MAX);
        let newest = |from| {
            let store = self.store(&self.state, from, self.ahead_ms)?;
            let ticks = store.records.filter_map(|record| match record.ok()?.body {
                Body::Event(Event::Sampled { tick, .. } | Event::Ticked { tick, .. }) => Some(tick),
                _ => None,
            });
            Ok(ticks.max())
        };
        let own = match newest(latest)? {
            Some(at) => Some(at),
            // The newest segment has just been begun.
            None => newest(Moment::ZERO)?,
        };
        let own = own.map(|at| moved(at, self.ahead_ms));
        let imported = self.imported.iter().map(|imported| imported.span().to);
        Ok(imported.chain(own).max())
    }

    /// What was taken down, about: the samples and ticks of the span, and every
    /// other record up to its end.
    ///
    /// # Errors
    ///
    /// When a directory cannot be read. Damage comes among the entries.
    pub fn entries(&self, span: Span) -> Result<Entries, PastError> {
        let back = -self.ahead_ms;
        let mut stores = vec![self.store(&self.state, moved(span.from, back), self.ahead_ms)?];
        for imported in &self.imported {
            let of = imported.span();
            if of.from <= span.to && span.from <= of.to {
                stores.push(self.store(&imported.dir, span.from, 0)?);
            }
        }
        Ok(Entries { stores, span })
    }

    fn store(&self, dir: &Path, from: Moment, ahead_ms: i64) -> Result<Store, PastError> {
        let records = journal::read_from(dir, from).map_err(PastError::Journal)?;
        Ok(Store {
            records: records.peekable(),
            ahead_ms,
            own: dir == self.state,
        })
    }
}

/// One record of the past.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// By the calendar: of a sample its tick, of all else when it arrived.
    pub at: Moment,
    /// What it says. Freezes are on the calendar, other moments in it on the
    /// agent's clock.
    pub body: Body,
    /// The agent took it down itself; else it was imported.
    pub own: bool,
}

/// The past, from its beginning to its end.
pub struct Entries {
    stores: Vec<Store>,
    span: Span,
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entries")
            .field("span", &self.span)
            .finish_non_exhaustive()
    }
}

/// One journal.
struct Store {
    records: Peekable<Records>,
    ahead_ms: i64,
    own: bool,
}

impl Store {
    /// When its next record arrived; damage comes at once.
    fn next_at(&mut self) -> Option<Moment> {
        let next = self.records.peek()?;
        Some(match next {
            Ok(record) => moved(record.at, self.ahead_ms),
            Err(_) => Moment::ZERO,
        })
    }

    fn entry(&self, record: Record) -> Entry {
        let ahead = self.ahead_ms;
        let mut body = record.body;
        let at = match &mut body {
            Body::Event(Event::Sampled { tick, .. } | Event::Ticked { tick, .. }) => *tick,
            Body::Event(Event::Froze { freeze, .. }) => {
                let Freeze { since, until, .. } = freeze;
                *since = moved(*since, ahead);
                *until = until.map(|until| moved(until, ahead));
                record.at
            }
            _ => record.at,
        };
        Entry {
            at: moved(at, ahead),
            body,
            own: self.own,
        }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let next = |store: &mut Store| store.next_at();
            let (_, place) = self
                .stores
                .iter_mut()
                .enumerate()
                .filter_map(|(place, store)| Some((next(store)?, place)))
                .min()?;
            let store = &mut self.stores[place];
            let record = match store.records.next()? {
                Ok(record) => record,
                Err(damage) => return Some(Err(damage)),
            };
            if moved(record.at, store.ahead_ms) > self.span.to + LATE {
                self.stores.swap_remove(place);
                continue;
            }
            let entry = store.entry(record);
            let of_the_span = match &entry.body {
                Body::Event(Event::Sampled { .. } | Event::Ticked { .. }) => {
                    self.span.has(entry.at)
                }
                _ => entry.at <= self.span.to,
            };
            if of_the_span {
                return Some(Ok(entry));
            }
        }
    }
}

fn moved(at: Moment, by_ms: i64) -> Moment {
    Moment::from_millis(at.as_millis().saturating_add_signed(by_ms))
}
