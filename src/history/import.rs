//! A recording from elsewhere, taken in beside the journal: `OpenMetrics` text
//! with timestamps, as `history export` and Prometheus's tools write it.
//!
//! It goes into a journal of its own below the state directory, in the same
//! format and just as durable, which replays read and no agent does: nothing of
//! it can ever be evidence for a rollback. It appears there whole, by a rename,
//! or not at all.
//!
//! What is not right in the text is told with its line and left out, and the
//! rest is taken: a line that is none, a sample without its time or at a time at
//! which its series has one, a file that ends early. Samples out of order are put
//! in order. What overlaps in time with what the history has of this service is
//! refused whole: of two recordings of one hour nobody could say which is right.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::{self, BufRead};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::export::Remarks;
use crate::guard::Event;
use crate::journal::{Body, Journal, JournalError, Options, Retention};
use crate::model::{Moment, Outcome, Series};
use crate::replay::{self, Fact, Past, PastError, Recorder, Span};
use crate::sense::exposition::{Dialect, Line, MAX_LINE, parse_line, series};
use crate::view::value;

/// The latest time that is believed: seconds that are milliseconds are past it.
const LATEST: Moment = Moment::from_millis(7_258_118_400_000);

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The text could not be read.
    #[error("cannot read the recording")]
    Read(#[source] io::Error),
    /// Nothing in it can be used.
    #[error("the recording has nothing that could be used")]
    Empty {
        /// What is wrong with it, in sentences.
        faults: Vec<String>,
    },
    /// The history has samples of that time.
    #[error(
        "the history has samples of {service} from {from} to {to} already, and the recording has them from {first} to {last}"
    )]
    Overlaps {
        /// The service.
        service: String,
        /// The first sample that is there, in the time of the recording.
        from: String,
        /// The last one.
        to: String,
        /// The recording's first sample.
        first: String,
        /// Its last.
        last: String,
    },
    /// Somebody else must do this.
    #[error("{} belongs to user {owner}, and this is user {me}", state.display())]
    Owner {
        /// The state directory.
        state: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        me: u32,
    },
    /// The history cannot be read.
    #[error(transparent)]
    Past(#[from] PastError),
    /// It cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its journal cannot be written.
    #[error("cannot write {}: {why}", path.display())]
    Journal {
        /// Where.
        path: PathBuf,
        /// Why.
        why: JournalError,
    },
}

/// What was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Where it is.
    pub directory: PathBuf,
    /// From the first sample to the last.
    pub span: Span,
    /// How many samples there are.
    pub samples: u64,
    /// Of how many series.
    pub series: usize,
    /// What was left out or put right, in sentences.
    pub remarks: Vec<String>,
}

/// What is to be imported.
#[derive(Clone, Debug)]
pub struct Import<'a> {
    /// The service that it is of.
    pub service: &'a str,
    /// The source of series that name none.
    pub source: Option<&'a str>,
    /// The time that is wanted of it.
    pub span: Span,
}

impl Import<'_> {
    /// Takes a recording in.
    ///
    /// # Errors
    ///
    /// When nothing was imported, and why.
    pub fn read(&self, state: &Path, text: impl BufRead) -> Result<Imported, ImportError> {
        let past = Past::open(state)?;
        owned(state)?;
        let mut reading = Reading::new(self);
        reading.all(text).map_err(ImportError::Read)?;
        let Reading {
            mut recorder,
            samples,
            slots,
            faults,
            ..
        } = reading;
        let series = slots.len();
        let mut remarks = Remarks::default();
        for fault in faults.told() {
            remarks.add(fault);
        }
        let Some((from, to)) = recorder.span() else {
            let faults = remarks.all();
            return Err(ImportError::Empty { faults });
        };
        let span = Span { from, to };
        self.overlaps(&past, span)?;
        let place = replay::Imported::place(state, self.service, span);
        let recording = recorder.over((from, to));
        let facts = recording.facts();
        let twice = self.write(&place.dir, facts, span)?;
        if twice > 0 {
            remarks.add(format!(
                "{twice} samples out of order were at a time at which their series has one, and are left out"
            ));
        }
        Ok(Imported {
            directory: place.dir,
            span,
            samples: samples - twice,
            series,
            remarks: remarks.all(),
        })
    }

    /// Refuses what the history has already.
    fn overlaps(&self, past: &Past, span: Span) -> Result<(), ImportError> {
        let mut known: Option<Span> = None;
        for entry in past.entries(span)?.flatten() {
            if let Body::Event(Event::Sampled { service, .. }) = &entry.body
                && service == self.service
            {
                let known = known.get_or_insert(Span {
                    from: entry.at,
                    to: entry.at,
                });
                known.from = known.from.min(entry.at);
                known.to = known.to.max(entry.at);
            }
        }
        let Some(known) = known else { return Ok(()) };
        let time = |at| value::time(at, 0);
        Err(ImportError::Overlaps {
            service: self.service.to_owned(),
            from: time(known.from),
            to: time(known.to),
            first: time(span.from),
            last: time(span.to),
        })
    }

    /// Writes it aside and renames it. Returns how many samples were at a time
    /// at which their series had one.
    fn write(
        &self,
        place: &Path,
        facts: replay::Facts<'_>,
        span: Span,
    ) -> Result<u64, ImportError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ImportError::Write { path, source }
        };
        let parent = place.parent().unwrap_or(place);
        let made = DirBuilder::new().mode(0o700).create(parent);
        match made {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(parent)(e)),
            _ => sweep(parent).map_err(failed(parent))?,
        }
        let aside = place.with_extension(format!("{}.tmp", std::process::id()));
        let journal = |why| ImportError::Journal {
            path: aside.clone(),
            why,
        };
        let twice = self.fill(&aside, facts, span).map_err(journal);
        let moved = twice.and_then(|twice| {
            fs::rename(&aside, place)
                .and_then(|()| fs::File::open(parent)?.sync_all())
                .map_err(failed(place))?;
            Ok(twice)
        });
        if moved.is_err() {
            // What failed is told; the rest is swept by the next import.
            let _ = fs::remove_dir_all(&aside);
        }
        moved
    }

    fn fill(
        &self,
        dir: &Path,
        mut facts: replay::Facts<'_>,
        span: Span,
    ) -> Result<u64, JournalError> {
        let all = Retention {
            bytes: u64::MAX,
            age: Duration::MAX,
        };
        let options = Options {
            samples: all,
            decisions: all,
            reserve_bytes: 0,
            ..Options::default()
        };
        let (mut journal, _) = Journal::open::<()>(dir, options)?;
        let mut twice = 0;
        while let Some((at, fact)) = facts.next_by(span.to) {
            let service = self.service.to_owned();
            let event = match fact {
                Fact::Ran(version) => Event::Released {
                    service,
                    version: version.to_owned(),
                },
                Fact::Sampled(source, mut outcome) => {
                    if let Outcome::Scraped(samples) = &mut outcome {
                        let before = samples.len();
                        // A series' samples of one time stand side by side.
                        samples.dedup_by(|later, first| later.series == first.series);
                        twice += (before - samples.len()) as u64;
                    }
                    Event::Sampled {
                        service,
                        source: source.to_owned(),
                        tick: at,
                        outcome,
                    }
                }
                // A recording of samples knows of no deeds.
                Fact::Happened(_) => continue,
            };
            journal.event(at, &event);
            if journal.wants_roll() {
                journal.roll(&())?;
            }
        }
        // Whole or not at all: a journal that lost something is no import.
        journal.roll(&())?;
        Ok(twice)
    }
}

/// Whoever owns the state directory must be able to read what is put there.
fn owned(state: &Path) -> Result<(), ImportError> {
    let path = state.to_owned();
    let owner = fs::metadata(state)
        .map_err(|source| ImportError::Write { path, source })?
        .uid();
    let me = rustix::process::geteuid().as_raw();
    if owner == me {
        return Ok(());
    }
    Err(ImportError::Owner {
        state: state.to_owned(),
        owner,
        me,
    })
}

/// Removes what imports left that were killed; one that still writes holds its
/// directory.
fn sweep(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "tmp")
            && Journal::open::<()>(&path, Options::default()).is_ok()
        {
            fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// The text as it is read.
struct Reading<'a> {
    import: &'a Import<'a>,
    recorder: Recorder,
    /// The series text as it stands on the line → its number.
    slots: FxHashMap<Vec<u8>, usize>,
    /// By number: the series, and the last time of it.
    known: Vec<(Series, Option<Moment>)>,
    samples: u64,
    faults: Faults,
}

impl<'a> Reading<'a> {
    fn new(import: &'a Import<'a>) -> Self {
        Self {
            import,
            recorder: Recorder::open(import.source),
            slots: FxHashMap::default(),
            known: Vec::new(),
            samples: 0,
            faults: Faults::default(),
        }
    }

    fn all(&mut self, mut text: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        let mut number = 0;
        let mut ended = None;
        loop {
            line.clear();
            let longest = MAX_LINE as u64 + 1;
            let read = io::Read::take(&mut text, longest).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            number += 1;
            let whole = line.last() == Some(&b'\n');
            if whole {
                line.pop();
            } else if line.len() > MAX_LINE {
                self.faults.add(Kind::Long, number, "");
                text.skip_until(b'\n')?;
                continue;
            }
            if let Some(end) = ended {
                if !line.trim_ascii().is_empty() {
                    self.faults
                        .add(Kind::Behind, number, &format!("line {end}"));
                    break;
                }
                continue;
            }
            match parse_line(&line, Dialect::OpenMetrics) {
                Ok(Line::Eof) => ended = Some(number),
                Ok(Line::Sample {
                    series,
                    value,
                    timestamp_ms,
                }) if whole => self.sample(number, series, value, timestamp_ms),
                // Of a sample that is cut, the last digits may be missing.
                Ok(Line::Blank | Line::Comment | Line::Sample { .. }) => {}
                Err(_) if !whole => {}
                Err(fault) => self.faults.add(Kind::Malformed, number, &fault.to_string()),
            }
        }
        if ended.is_none() {
            self.faults.add(Kind::Cut, number, "");
        }
        Ok(())
    }

    fn sample(&mut self, number: u64, raw: &[u8], value: f64, timestamp_ms: Option<i64>) {
        let slot = match self.slots.get(raw) {
            Some(slot) => *slot,
            None => match self.meet(number, raw) {
                Some(slot) => slot,
                None => return,
            },
        };
        let (series, last) = &mut self.known[slot];
        let at = timestamp_ms.and_then(|ms| u64::try_from(ms).ok());
        let Some(at) = at.map(Moment::from_millis) else {
            self.faults.add(Kind::Untimed, number, &series.to_string());
            return;
        };
        if at > LATEST {
            self.faults.add(Kind::Future, number, &series.to_string());
            return;
        }
        if !self.import.span.has(at) {
            return;
        }
        if *last == Some(at) {
            self.faults.add(Kind::Twice, number, &series.to_string());
            return;
        }
        if last.is_some_and(|last| at < last) {
            self.faults
                .add(Kind::Disordered, number, &series.to_string());
        }
        *last = Some(at);
        match self.recorder.row(slot, series, at, value) {
            Ok(()) => self.samples += 1,
            Err(fault) => self.faults.add(Kind::Nobody, number, &fault.to_string()),
        }
    }

    fn meet(&mut self, number: u64, raw: &[u8]) -> Option<usize> {
        match series(raw) {
            Ok(series) => {
                let slot = self.known.len();
                self.known.push((series, None));
                self.slots.insert(raw.to_vec(), slot);
                Some(slot)
            }
            Err(fault) => {
                self.faults.add(Kind::Malformed, number, &fault.to_string());
                None
            }
        }
    }
}

/// What can be wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Malformed,
    Long,
    Untimed,
    Future,
    Nobody,
    Twice,
    Disordered,
    Behind,
    Cut,
}

/// What is wrong: of each kind the first, and how many there are.
#[derive(Debug, Default)]
struct Faults(BTreeMap<Kind, (u64, String, u64)>);

impl Faults {
    fn add(&mut self, kind: Kind, line: u64, detail: &str) {
        let (.., count) = self
            .0
            .entry(kind)
            .or_insert_with(|| (line, value::one_line(detail, 200), 0));
        *count += 1;
    }

    fn told(self) -> impl Iterator<Item = String> {
        self.0.into_iter().map(|(kind, (line, detail, count))| {
            let said = match kind {
                Kind::Malformed | Kind::Nobody => format!("{detail}; left out"),
                Kind::Long => format!("longer than {MAX_LINE} bytes; left out"),
                Kind::Untimed => format!("`{detail}` has no timestamp; left out"),
                Kind::Future => format!(
                    "the timestamp of `{detail}` is centuries ahead: OpenMetrics has seconds, not milliseconds; left out"
                ),
                Kind::Twice => format!("`{detail}` has a sample of that time already; left out"),
                Kind::Disordered => {
                    format!("`{detail}` is earlier than the line before; put in order")
                }
                Kind::Behind => format!("text after `# EOF` in {detail}; not read"),
                Kind::Cut => {
                    "the file ends without `# EOF`: it may have been cut; what is before is taken"
                        .to_owned()
                }
            };
            let more = match count {
                1 => String::new(),
                n => format!(" (and {} more lines like it)", value::count((n - 1) as f64)),
            };
            format!("line {line}: {said}{more}")
        })
    }
}
