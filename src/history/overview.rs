//! What there is of the past: from when to when, how much of what, where it has
//! gaps and why, and what it takes on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::export::Remarks;
use super::stretch::{Stretch, Stretches};
use crate::guard::{Command, Event, What};
use crate::journal::{self, Body};
use crate::model::{Moment, Outcome, Series};
use crate::replay::{Entry, Past, PastError, Span};
use crate::view::value;

/// Ticks further apart than so many intervals are a gap.
const APART: u32 = 3;

/// The past cannot be read.
pub type OverviewError = PastError;

/// What there is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overview {
    /// The state directory.
    pub state: String,
    /// On the disk.
    pub bytes: Bytes,
    /// How far the calendar is ahead of the agent's clock, in seconds: set since
    /// the state directory was made.
    pub clock_ahead_seconds: i64,
    /// By name.
    pub services: Vec<ServicePast>,
    /// What is damaged or was not kept, in sentences.
    pub remarks: Vec<String>,
}

/// Bytes on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// Samples and ticks.
    pub samples: u64,
    /// Everything else.
    pub decisions: u64,
    /// The state, as it was last written.
    pub snapshots: u64,
    /// What was imported, of all services.
    pub imported: u64,
}

/// One service's past.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServicePast {
    /// The service.
    pub service: String,
    /// The first sample, RFC 3339 UTC.
    pub from: Option<String>,
    /// The last one.
    pub to: Option<String>,
    /// Ticks that were judged.
    pub ticks: u64,
    /// Values of series, and answers of probes.
    pub samples: u64,
    /// By name.
    pub sources: Vec<SourcePast>,
    /// How often nothing was judged for a while.
    pub gaps_in_all: u64,
    /// The longest of these.
    pub gaps: Vec<Stretch>,
    /// Releases, as they were seen running.
    pub releases: Vec<Released>,
    /// What was decided, noted and refused, by what; how often.
    pub decisions: BTreeMap<&'static str, u64>,
    /// Recordings that were imported.
    pub imported: Vec<Place>,
}

/// One source's past.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourcePast {
    /// The source.
    pub source: String,
    /// The first time that it was sampled, RFC 3339 UTC.
    pub from: String,
    /// The last one.
    pub to: String,
    /// How often it was sampled.
    pub sampled: u64,
    /// How often that failed.
    pub failed: u64,
    /// Series that it had, each once.
    pub series: usize,
    /// Their values, or answers.
    pub samples: u64,
    /// How often it failed for a while.
    pub gaps_in_all: u64,
    /// The longest of these.
    pub gaps: Vec<Stretch>,
}

/// A release that began to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Released {
    /// When, RFC 3339 UTC.
    pub at: String,
    /// Which.
    pub version: String,
}

/// A recording that was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Its directory: removing that is all it takes to be rid of it.
    pub directory: String,
    /// Its first sample, RFC 3339 UTC.
    pub from: String,
    /// Its last one.
    pub to: String,
    /// What it takes.
    pub bytes: u64,
}

impl Overview {
    /// Looks through the past, of one service or of all.
    ///
    /// # Errors
    ///
    /// When the state directory cannot be read. Damage in it is a remark.
    pub fn of(past: &Past, service: Option<&str>, span: Span) -> Result<Self, OverviewError> {
        let mut seen = Seen::default();
        let wanted = |name: &str| service.is_none_or(|service| service == name);
        for entry in past.entries(span)? {
            match entry {
                Ok(entry) => seen.entry(&entry, span, &wanted),
                Err(damage) => seen.remarks.add(format!("damaged: {damage}")),
            }
        }
        let [samples, decisions, snapshots] =
            journal::bytes(past.state()).map_err(PastError::Journal)?;
        let mut imported = 0;
        for place in past.imported() {
            let bytes = size(&place.dir);
            imported += bytes;
            if wanted(&place.service) {
                let Span { from, to } = place.span();
                seen.service(&place.service).imported.push(Place {
                    directory: place.dir.display().to_string(),
                    from: value::time(from, 0),
                    to: value::time(to, 0),
                    bytes,
                });
            }
        }
        let services = seen.services.into_iter();
        Ok(Self {
            state: past.state().display().to_string(),
            bytes: Bytes {
                samples,
                decisions,
                snapshots,
                imported,
            },
            clock_ahead_seconds: past.ahead_seconds(),
            services: services.map(|(name, service)| service.told(name)).collect(),
            remarks: seen.remarks.all(),
        })
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let Bytes {
            samples,
            decisions,
            snapshots,
            imported,
        } = self.bytes;
        let mut text = format!(
            "{}: {} of samples, {} of decisions, {} of state",
            self.state,
            size_text(samples),
            size_text(decisions),
            size_text(snapshots)
        );
        if imported > 0 {
            let _ = write!(text, ", {} imported", size_text(imported));
        }
        text.push('\n');
        if self.clock_ahead_seconds != 0 {
            let _ = writeln!(
                text,
                "  note: the calendar is {} s ahead of the agent's own clock: times here are the calendar's",
                self.clock_ahead_seconds
            );
        }
        for remark in &self.remarks {
            let _ = writeln!(text, "  note: {remark}");
        }
        if self.services.is_empty() {
            text.push_str("\nNothing was taken down.\n");
        }
        for service in &self.services {
            service.text(&mut text);
        }
        text
    }
}

impl ServicePast {
    fn text(&self, text: &mut String) {
        let _ = writeln!(text);
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => {
                let _ = writeln!(
                    text,
                    "{}: {from} to {to}, {} ticks, {} samples",
                    self.service,
                    value::count(self.ticks as f64),
                    value::count(self.samples as f64)
                );
            }
            _ => {
                let _ = writeln!(text, "{}: no samples", self.service);
            }
        }
        gaps(text, "  ", &self.gaps, self.gaps_in_all);
        for source in &self.sources {
            let _ = write!(
                text,
                "  {}: {} to {}, sampled {}",
                source.source,
                source.from,
                source.to,
                times(source.sampled)
            );
            if source.series > 0 {
                let _ = write!(text, ", {} series", source.series);
            }
            if source.failed > 0 {
                let _ = write!(text, ", failed {}", times(source.failed));
            }
            let _ = writeln!(text);
            gaps(text, "    ", &source.gaps, source.gaps_in_all);
        }
        for Released { at, version } in &self.releases {
            let _ = writeln!(text, "  {at}  release {version}");
        }
        if !self.decisions.is_empty() {
            let decisions = self.decisions.iter();
            let words: Vec<_> = decisions
                .map(|(what, n)| format!("{} {}", what.replace('_', " "), value::count(*n as f64)))
                .collect();
            let _ = writeln!(text, "  decisions: {}", words.join(", "));
        }
        for place in &self.imported {
            let _ = writeln!(
                text,
                "  imported: {} to {}, {} in {}",
                place.from,
                place.to,
                size_text(place.bytes),
                place.directory
            );
        }
    }
}

fn gaps(text: &mut String, indent: &str, gaps: &[Stretch], all: u64) {
    /// Lines of them; JSON has more.
    const SHOWN: usize = 5;
    let mut longest: Vec<_> = gaps.iter().collect();
    longest.sort_by_key(|gap| std::cmp::Reverse(gap.seconds));
    longest.truncate(SHOWN);
    longest.sort_by_key(|gap| &gap.from);
    for gap in &longest {
        let tries = match gap.samples {
            0 => String::new(),
            n => format!(" ({})", times(n)),
        };
        let _ = writeln!(
            text,
            "{indent}gap: {} for {}{tries}: {}",
            gap.from,
            value::span(Duration::from_secs(gap.seconds)),
            value::one_line(&gap.reason, 200)
        );
    }
    let more = all.saturating_sub(longest.len() as u64);
    if more > 0 {
        let _ = writeln!(
            text,
            "{indent}and {} shorter",
            if more == 1 {
                "one more that is".to_owned()
            } else {
                format!("{} more that are", value::count(more as f64))
            }
        );
    }
}

fn times(n: u64) -> String {
    match n {
        1 => "once".to_owned(),
        n => format!("{} times", value::count(n as f64)),
    }
}

/// `1.3 MiB`.
fn size_text(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 0.1 {
        format!("{:.1} KiB", bytes as f64 / 1024.0)
    } else {
        format!("{mib:.1} MiB")
    }
}

/// Bytes of the files in a directory; what cannot be looked at takes none.
fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| entry.metadata().ok());
    files.filter(fs::Metadata::is_file).map(|f| f.len()).sum()
}

/// What has passed by.
#[derive(Default)]
struct Seen {
    services: BTreeMap<String, Service>,
    remarks: Remarks,
}

#[derive(Default)]
struct Service {
    span: Option<Span>,
    ticks: u64,
    last_tick: Option<Moment>,
    /// The shortest time between two ticks: the interval.
    interval: Option<Duration>,
    /// Why there may be no tick since the last one.
    away: Option<&'static str>,
    sources: BTreeMap<String, Source>,
    gaps: Stretches,
    releases: Vec<Released>,
    decisions: BTreeMap<&'static str, u64>,
    imported: Vec<Place>,
}

#[derive(Default)]
struct Source {
    span: Option<Span>,
    sampled: u64,
    failed: u64,
    series: BTreeSet<Series>,
    /// The page before, to look up only what is new on this one.
    page: Vec<Arc<Series>>,
    samples: u64,
    gaps: Stretches,
}

fn widen(span: &mut Option<Span>, at: Moment) {
    let span = span.get_or_insert(Span { from: at, to: at });
    span.from = span.from.min(at);
    span.to = span.to.max(at);
}

impl Seen {
    fn service(&mut self, name: &str) -> &mut Service {
        self.services.entry(name.to_owned()).or_default()
    }

    fn entry(&mut self, entry: &Entry, span: Span, wanted: &impl Fn(&str) -> bool) {
        match &entry.body {
            Body::Event(Event::Sampled {
                service,
                source,
                outcome,
                ..
            }) if wanted(service) => self.service(service).sampled(source, entry.at, outcome),
            Body::Event(Event::Ticked { service, .. }) if wanted(service) => {
                self.service(service).ticked(entry.at);
            }
            Body::Event(Event::Released { service, version })
                if wanted(service) && span.has(entry.at) =>
            {
                let releases = &mut self.service(service).releases;
                if releases.last().is_none_or(|last| last.version != *version) {
                    releases.push(Released {
                        at: value::time(entry.at, 0),
                        version: version.clone(),
                    });
                }
            }
            Body::Event(Event::Restarted { .. }) if entry.own => {
                for service in self.services.values_mut() {
                    service.away.get_or_insert("the agent did not run");
                }
            }
            Body::Event(Event::Removed { service }) if wanted(service) => {
                self.service(service).away = Some("its policy was removed");
            }
            Body::Commands { commands, .. } if span.has(entry.at) => {
                for command in commands {
                    if let Command::Note(note) = command
                        && wanted(&note.service)
                        && note.what != What::Restarted
                    {
                        let decisions = &mut self.service(&note.service).decisions;
                        *decisions.entry(note.what.name()).or_default() += 1;
                    }
                }
            }
            Body::Lost(lost) if span.has(entry.at) => {
                self.remarks
                    .add(format!("records were not kept: {}", lost.why));
            }
            _ => {}
        }
    }
}

impl Service {
    fn sampled(&mut self, source: &str, at: Moment, outcome: &Outcome) {
        widen(&mut self.span, at);
        let source = self.sources.entry(source.to_owned()).or_default();
        widen(&mut source.span, at);
        source.sampled += 1;
        match outcome {
            Outcome::Scraped(samples) | Outcome::Answered { samples, .. } => {
                source.samples += samples.len() as u64;
                let same = source.page.len() == samples.len()
                    && (source.page.iter().zip(samples))
                        .all(|(before, now)| Arc::ptr_eq(before, &now.series));
                if !same {
                    source.page = samples.iter().map(|s| s.series.clone()).collect();
                    for sample in samples {
                        if !source.series.contains(&*sample.series) {
                            source.series.insert((*sample.series).clone());
                        }
                    }
                }
            }
            Outcome::Probed { .. } => source.samples += 1,
            Outcome::Failed(_) => {}
        }
        match outcome.gap() {
            Some(gap) => {
                source.failed += 1;
                source.gaps.fails(at, &gap.to_string());
            }
            None => source.gaps.works(),
        }
    }

    fn ticked(&mut self, at: Moment) {
        self.ticks += 1;
        if let Some(last) = self.last_tick.filter(|last| *last < at) {
            let apart = at.since(last);
            let interval = self.interval.map_or(apart, |known| known.min(apart));
            self.interval = Some(interval);
            if apart > interval * APART {
                let reason = self.away.unwrap_or("the agent stood still");
                self.gaps.between(last, at, reason);
            }
        }
        self.last_tick = Some(at);
        self.away = None;
    }

    fn told(self, service: String) -> ServicePast {
        let time = |at| value::time(at, 0);
        let (gaps_in_all, gaps) = self.gaps.told();
        let sources: Vec<_> = (self.sources.into_iter())
            .map(|(name, source)| source.told(name))
            .collect();
        ServicePast {
            service,
            from: self.span.map(|span| time(span.from)),
            to: self.span.map(|span| time(span.to)),
            ticks: self.ticks,
            samples: sources.iter().map(|source| source.samples).sum(),
            sources,
            gaps_in_all,
            gaps,
            releases: self.releases,
            decisions: self.decisions,
            imported: self.imported,
        }
    }
}

impl Source {
    fn told(self, source: String) -> SourcePast {
        let (gaps_in_all, gaps) = self.gaps.told();
        let span = self.span.unwrap_or(Span::ALL);
        SourcePast {
            source,
            from: value::time(span.from, 0),
            to: value::time(span.to, 0),
            sampled: self.sampled,
            failed: self.failed,
            series: self.series.len(),
            samples: self.samples,
            gaps_in_all,
            gaps,
        }
    }
}
