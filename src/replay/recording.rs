//! A recording: `OpenMetrics` text with timestamps → what each source said, and
//! when.
//!
//! The label `backstop_source` names the source and is taken off; without it
//! the policy's only scrape source is meant, for `probe_…` series the only
//! probe or connection. `up{backstop_source="…"}` says at which times a source
//! was scraped and with what result; without it, a source was scraped when any
//! of its series has a sample. `backstop_release{version="…"} 1` says which
//! release ran.
//!
//! It is read as a stream, by the scanner that reads pages, into a column for
//! each series: nine bytes a sample. What a source said at a time is only put
//! together when that time is played.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use super::column::Column;
use super::reel::Facts;
use crate::guard::Event;
use crate::model::{Gap, Moment, Policy, Series, SourceKind};
use crate::sense::exposition::{Dialect, Exposition, Found, Framing};

/// Names the source of a recorded series.
pub(super) const SOURCE: &str = "backstop_source";
/// Says whether a source was scraped.
pub(super) const UP: &str = "up";
/// A probe's result, as the blackbox exporter names it.
pub(super) const SUCCESS: &str = "probe_success";
/// A probe's latency in seconds, likewise.
pub(super) const LATENCY: &str = "probe_duration_seconds";
/// Says which release ran.
pub(super) const RELEASE: &str = "backstop_release";
/// Reasons for failures that are kept of a source, each once; of more, the last
/// of them stands for the rest.
const MOST_GAPS: usize = 1000;
/// Bytes read at once.
const CHUNK: usize = 1 << 16;

/// Why a recording cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file could not be read.
    #[error("cannot read the recording")]
    Read(#[from] std::io::Error),
    /// It is no `OpenMetrics` text.
    #[error("the recording is not OpenMetrics text: {0}")]
    Format(Gap),
    /// A sample lacks its time.
    #[error("`{0}` has no timestamp: a recording needs one on every sample")]
    Untimed(String),
    /// Nobody can say whose series this is.
    #[error(
        "`{0}` does not say whose it is: it needs a `backstop_source` label, because the policy has no source or several that could have it"
    )]
    Nobody(String),
    /// It has no samples.
    #[error("the recording has no samples of this policy's sources")]
    Empty,
}

/// Recorded facts of a policy's sources.
#[derive(Debug)]
pub struct Recording {
    /// By name.
    sources: Vec<Recorded>,
    /// Which release ran since when, in the order of time.
    ran: Vec<(Moment, String)>,
    /// The times of the first and of the last fact.
    pub(super) span: (Moment, Moment),
    /// Whether it says which release ran.
    pub names_releases: bool,
    /// Names of sources in the recording that the policy does not have, and
    /// how many samples were passed over with each.
    pub foreign: BTreeMap<String, u64>,
    /// What people and the agent did, in the order of time: only a history
    /// knows. None is before the first fact.
    pub(super) happened: Vec<(Moment, Event)>,
    /// When a rollback really was begun, likewise.
    pub(super) taken: Vec<Moment>,
    /// What its reader should know about how far it can be trusted.
    pub remarks: Vec<String>,
}

/// What one source said.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) name: String,
    /// It is a probe or a connection, and not a page.
    pub(super) probes: bool,
    /// It is a page, and no log: series that name no source may be its own.
    scrapes: bool,
    pub(super) up: Column,
    /// A probe's result.
    pub(super) success: Column,
    /// A probe's latency in seconds.
    pub(super) latency: Column,
    /// A page's series in the file's order.
    pub(super) series: Vec<(Arc<Series>, Column)>,
    /// When it failed, where it is known why: the places of `gaps`.
    pub(super) whys: Column,
    /// Why it failed, each once.
    pub(super) gaps: Vec<Gap>,
}

impl Recorded {
    fn new(name: &str, kind: &SourceKind) -> Self {
        Self {
            probes: !kind.has_series(),
            scrapes: matches!(kind, SourceKind::Scrape { .. }),
            ..Self::named(name)
        }
    }

    /// A page, as far as is known.
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            probes: false,
            scrapes: false,
            up: Column::default(),
            success: Column::default(),
            latency: Column::default(),
            series: Vec::new(),
            whys: Column::default(),
            gaps: Vec::new(),
        }
    }

    /// A page with `up` was scraped at those times only.
    pub(super) fn by_up(&self) -> bool {
        !self.probes && self.up.last().is_some()
    }

    fn columns(&mut self) -> impl Iterator<Item = &mut Column> {
        let own = [
            &mut self.up,
            &mut self.success,
            &mut self.latency,
            &mut self.whys,
        ];
        let series = self.series.iter_mut().map(|(_, column)| column);
        own.into_iter().chain(series)
    }

    /// When it was sampled last; `None` when it never was.
    fn last(&self) -> Option<Moment> {
        if self.by_up() {
            return self.up.last().max(self.whys.last());
        }
        let own = [&self.up, &self.success, &self.latency, &self.whys];
        let series = self.series.iter().map(|(_, column)| column);
        own.into_iter().chain(series).filter_map(Column::last).max()
    }
}

/// What the samples of a recorded series are; sources and series by their
/// place.
#[derive(Clone, Debug)]
enum Kind {
    Series { source: usize, series: usize },
    Up(usize),
    Success(usize),
    Latency(usize),
    Release(String),
    Foreign(String),
}

impl Recording {
    /// Reads a recording of this policy's sources.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn read(policy: &Policy, mut from: impl Read) -> Result<Self, Fault> {
        let mut exposition = Exposition::everything();
        let mut page = exposition.page(Dialect::OpenMetrics, u64::MAX);
        let mut recorder = Recorder::new(policy);
        let mut fault = None;
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = from.read(&mut buffer)?;
            let mut each = |found: Found<'_>| {
                if fault.is_none() {
                    fault = recorder.take(&found).err();
                }
                Ok(())
            };
            if read == 0 {
                page.finish_each(Framing::Announced, &mut each)
                    .map_err(Fault::Format)?;
                break;
            }
            page.feed_each(&buffer[..read], &mut each)
                .map_err(Fault::Format)?;
            if let Some(fault) = fault {
                return Err(fault);
            }
        }
        if let Some(fault) = fault {
            return Err(fault);
        }
        let span = recorder.span().ok_or(Fault::Empty)?;
        Ok(recorder.finish(span))
    }

    /// A recording that was written rather than taken down: values of series,
    /// each with its time, over this span. A series without a value is well.
    ///
    /// # Errors
    ///
    /// As of [`Recording::read`], of the series.
    pub(super) fn written<'s>(
        policy: &Policy,
        series: impl IntoIterator<Item = (&'s Series, Vec<(Moment, f64)>)>,
        span: (Moment, Moment),
    ) -> Result<Self, Fault> {
        let mut recorder = Recorder::new(policy);
        for (slot, (series, samples)) in series.into_iter().enumerate() {
            let kind = recorder.meet(series)?;
            recorder.kinds.push(Some(kind));
            for (at, value) in samples {
                recorder.put(slot, at, value);
            }
        }
        Ok(recorder.finish(span))
    }

    /// The times of the facts, in order. There is one at least.
    pub fn times(&self) -> impl Iterator<Item = Moment> {
        let mut facts = self.facts();
        let latest = self.span.1;
        std::iter::from_fn(move || facts.next_by(latest)).map(|(at, _)| at)
    }

    /// The facts, in the order of their time.
    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts::new(&self.sources, &self.ran, &self.happened)
    }
}

/// Takes a recording down.
pub(crate) struct Recorder {
    sources: Vec<Recorded>,
    /// By the scanner's number of the series.
    kinds: Vec<Option<Kind>>,
    ran: Vec<(Moment, String)>,
    names_releases: bool,
    foreign: BTreeMap<String, u64>,
    /// Without a policy every source that is named is one.
    strangers: Option<Strangers>,
}

/// How sources are met that no policy knows.
#[derive(Debug)]
struct Strangers {
    /// Whose series are that name no source.
    unnamed: Option<String>,
}

impl Recorder {
    pub(super) fn new(policy: &Policy) -> Self {
        let sources = policy
            .sources
            .iter()
            .map(|(name, source)| Recorded::new(name, &source.kind));
        Self {
            sources: sources.collect(),
            kinds: Vec::new(),
            ran: Vec::new(),
            names_releases: false,
            foreign: BTreeMap::new(),
            strangers: None,
        }
    }

    /// Of whatever sources there are. Series that name none are of `unnamed`.
    pub(crate) fn open(unnamed: Option<&str>) -> Self {
        Self {
            sources: Vec::new(),
            kinds: Vec::new(),
            ran: Vec::new(),
            names_releases: false,
            foreign: BTreeMap::new(),
            strangers: Some(Strangers {
                unnamed: unnamed.map(str::to_owned),
            }),
        }
    }

    fn take(&mut self, found: &Found<'_>) -> Result<(), Fault> {
        let ms = found
            .timestamp_ms
            .and_then(|ms| u64::try_from(ms).ok())
            .ok_or_else(|| Fault::Untimed(found.series.to_string()))?;
        let at = Moment::from_millis(ms);
        self.row(found.slot as usize, found.series, at, found.value)
    }

    /// Takes a sample down, of a series that goes by this number.
    #[inline]
    pub(crate) fn row(
        &mut self,
        slot: usize,
        series: &Series,
        at: Moment,
        value: f64,
    ) -> Result<(), Fault> {
        if self.kinds.get(slot).is_none_or(Option::is_none) {
            let kind = self.meet(series)?;
            if self.kinds.len() <= slot {
                self.kinds.resize(slot + 1, None);
            }
            self.kinds[slot] = Some(kind);
        }
        self.put(slot, at, value);
        Ok(())
    }

    /// Takes down why a source failed. One that the policy does not have is
    /// passed over.
    pub(crate) fn why(&mut self, source: &str, at: Moment, gap: &Gap) {
        let Some(recorded) = self.sources.iter_mut().find(|s| s.name == source) else {
            return;
        };
        // Most failures are like the one before.
        let known = recorded.gaps.iter().rposition(|known| known == gap);
        let place = known.unwrap_or_else(|| {
            if recorded.gaps.len() < MOST_GAPS {
                recorded.gaps.push(gap.clone());
            }
            recorded.gaps.len() - 1
        });
        recorded.whys.push(at, place as f64);
    }

    /// Takes a sample down, of a series that was met.
    #[inline]
    fn put(&mut self, slot: usize, at: Moment, value: f64) {
        match &self.kinds[slot] {
            Some(Kind::Series { source, series }) => {
                self.sources[*source].series[*series].1.push(at, value);
            }
            Some(Kind::Up(source)) => self.sources[*source].up.push(at, value),
            Some(Kind::Success(source)) => self.sources[*source].success.push(at, value),
            Some(Kind::Latency(source)) => self.sources[*source].latency.push(at, value),
            Some(Kind::Release(version)) => {
                self.names_releases = true;
                if value != 0.0 {
                    self.ran.push((at, version.clone()));
                }
            }
            Some(Kind::Foreign(source)) => match self.foreign.get_mut(source) {
                Some(samples) => *samples += 1,
                None => drop(self.foreign.insert(source.clone(), 1)),
            },
            None => {}
        }
    }

    /// What a series stands for, decided once.
    fn meet(&mut self, series: &Series) -> Result<Kind, Fault> {
        if series.name() == RELEASE {
            return Ok(Kind::Release(series.label("version").to_owned()));
        }
        let mut named = series.label(SOURCE);
        let source = if let Some(strangers) = &self.strangers {
            if named.is_empty() {
                let unnamed = strangers.unnamed.as_deref();
                named = unnamed.ok_or_else(|| Fault::Nobody(series.to_string()))?;
            }
            let source = self.sources.iter().position(|s| s.name == named);
            let source = source.unwrap_or(self.sources.len());
            if source == self.sources.len() {
                self.sources.push(Recorded::named(named));
            }
            let recorded = &mut self.sources[source];
            recorded.probes |= matches!(series.name(), SUCCESS | LATENCY);
            source
        } else if named.is_empty() {
            let probes = matches!(series.name(), SUCCESS | LATENCY);
            let mut candidates = (0..self.sources.len()).filter(|i| {
                let source = &self.sources[*i];
                if probes {
                    source.probes
                } else {
                    source.scrapes
                }
            });
            match (candidates.next(), candidates.next()) {
                (Some(source), None) => source,
                _ => return Err(Fault::Nobody(series.to_string())),
            }
        } else {
            match self.sources.iter().position(|s| s.name == named) {
                Some(source) => source,
                None => return Ok(Kind::Foreign(named.to_owned())),
            }
        };
        let recorded = &mut self.sources[source];
        Ok(match series.name() {
            UP if !named.is_empty() => Kind::Up(source),
            SUCCESS if recorded.probes => Kind::Success(source),
            LATENCY if recorded.probes => Kind::Latency(source),
            _ if recorded.probes => Kind::Foreign(recorded.name.clone()),
            _ => {
                let labels = series.labels().iter();
                let labels = labels.filter(|(name, _)| name != SOURCE).cloned().collect();
                let series = Arc::new(Series::new(series.name(), labels));
                recorded.series.push((series, Column::default()));
                Kind::Series {
                    source,
                    series: recorded.series.len() - 1,
                }
            }
        })
    }

    /// The times of the first and of the last fact, if there is one.
    pub(crate) fn span(&mut self) -> Option<(Moment, Moment)> {
        self.sort();
        let last = self.sources.iter().filter_map(Recorded::last);
        let last = last.chain(self.ran.last().map(|(at, _)| *at)).max();
        Facts::new(&self.sources, &self.ran, &[]).at().zip(last)
    }

    pub(crate) fn finish(mut self, span: (Moment, Moment)) -> Recording {
        self.sort();
        Recording {
            sources: self.sources,
            ran: self.ran,
            span,
            names_releases: self.names_releases,
            foreign: self.foreign,
            happened: Vec::new(),
            taken: Vec::new(),
            remarks: Vec::new(),
        }
    }

    fn sort(&mut self) {
        for column in self.sources.iter_mut().flat_map(Recorded::columns) {
            column.sort();
        }
        self.ran.sort_by_key(|(at, _)| *at);
    }
}
