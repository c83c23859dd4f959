//! Takes a recording down, sample by sample, whoever tells them: a file, a
//! Prometheus, the agent's own history.
//!
//! A teller *meets* each series once, which decides what its samples are, and
//! then *puts* them, in any order. When all is told, each series is in the
//! order of its times and has one sample at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::column::Column;
use super::recording::{Fault, Recorded, Recording};
use super::reel::Facts;
use crate::model::{Gap, Moment, Policy, Series};

/// Names the source of a recorded series.
pub const SOURCE: &str = "backstop_source";
/// Says whether a source was scraped.
pub const UP: &str = "up";
/// A probe's result, as the blackbox exporter names it.
pub const SUCCESS: &str = "probe_success";
/// A probe's latency in seconds, likewise.
pub const LATENCY: &str = "probe_duration_seconds";
/// Says which release ran, in its label `version`.
pub const RELEASE: &str = "backstop_release";

/// Reasons for failures that are kept of a source, each once; of more, the last
/// of them stands for the rest.
const MOST_GAPS: usize = 1000;

/// Takes down what the sources of some policies said.
#[derive(Debug)]
pub struct Recorder {
    sources: Vec<Recorded>,
    /// By the teller's number of the series.
    places: Vec<Option<Place>>,
    /// Without a policy every source that is named is one.
    strangers: Option<Strangers>,
    versions: Vec<String>,
    /// By the place of the version.
    ran: Vec<(Moment, usize)>,
    names_releases: bool,
    /// Sources that no policy has, with the samples that were passed over.
    foreign: Vec<(String, u64)>,
    remarks: Vec<String>,
}

/// What the samples of a series are; sources, series, versions and strangers by
/// their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Series { source: usize, series: usize },
    Up(usize),
    Success(usize),
    Latency(usize),
    Release(usize),
    Foreign(usize),
}

/// How sources are met that no policy knows.
#[derive(Debug)]
struct Strangers {
    /// Whose series are that name no source.
    unnamed: Option<String>,
}

impl Recorder {
    /// For the sources of these policies. Of sources that share a name, the
    /// first policy's says whether they are probes or pages.
    #[must_use]
    pub fn new<'p>(policies: impl IntoIterator<Item = &'p Policy>) -> Self {
        let mut sources = BTreeMap::new();
        for (name, source) in policies.into_iter().flat_map(|policy| &policy.sources) {
            sources
                .entry(name)
                .or_insert_with(|| Recorded::new(name, &source.kind));
        }
        Self::with(sources.into_values().collect(), None)
    }

    /// Of whatever sources there are, with every sample as it is told. Series
    /// that name none are of `unnamed`.
    pub(crate) fn open(unnamed: Option<&str>) -> Self {
        let unnamed = unnamed.map(str::to_owned);
        Self::with(Vec::new(), Some(Strangers { unnamed }))
    }

    const fn with(sources: Vec<Recorded>, strangers: Option<Strangers>) -> Self {
        Self {
            sources,
            places: Vec::new(),
            strangers,
            versions: Vec::new(),
            ran: Vec::new(),
            names_releases: false,
            foreign: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// What the samples of a series are. The label [`SOURCE`] names the source,
    /// and is no part of what the policy sees.
    ///
    /// # Errors
    ///
    /// [`Fault::Nobody`] without that label, where it is not plain whose series
    /// it is.
    pub fn meet(&mut self, series: &Series) -> Result<Place, Fault> {
        if series.name() == RELEASE {
            let version = series.label("version");
            let known = self.versions.iter().position(|v| v == version);
            let place = known.unwrap_or_else(|| {
                self.versions.push(version.to_owned());
                self.versions.len() - 1
            });
            return Ok(Place(Kind::Release(place)));
        }
        let mut named = series.label(SOURCE);
        let strangers = self.strangers.as_ref().map(|all| all.unnamed.clone());
        let source = if let Some(unnamed) = &strangers {
            if named.is_empty() {
                let unnamed = unnamed.as_deref();
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
            self.only(series)?
        } else {
            match self.sources.iter().position(|s| s.name == named) {
                Some(source) => source,
                None => return Ok(self.foreigner(named)),
            }
        };
        let recorded = &mut self.sources[source];
        Ok(Place(match series.name() {
            UP if !named.is_empty() => Kind::Up(source),
            SUCCESS if recorded.probes => Kind::Success(source),
            LATENCY if recorded.probes => Kind::Latency(source),
            _ if recorded.probes => {
                let name = recorded.name.clone();
                return Ok(self.foreigner(&name));
            }
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
        }))
    }

    /// The one source that a series without a name of its source can be of.
    fn only(&self, series: &Series) -> Result<usize, Fault> {
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
            (Some(source), None) => Ok(source),
            _ => Err(Fault::Nobody(series.to_string())),
        }
    }

    fn foreigner(&mut self, name: &str) -> Place {
        let known = self.foreign.iter().position(|(n, _)| n == name);
        Place(Kind::Foreign(known.unwrap_or_else(|| {
            self.foreign.push((name.to_owned(), 0));
            self.foreign.len() - 1
        })))
    }

    /// Takes a sample down, of a series that was met.
    #[inline]
    pub fn put(&mut self, place: Place, at: Moment, value: f64) {
        match place.0 {
            Kind::Series { source, series } => {
                self.sources[source].series[series].1.push(at, value);
            }
            Kind::Up(source) => self.sources[source].up.push(at, value),
            Kind::Success(source) => self.sources[source].success.push(at, value),
            Kind::Latency(source) => self.sources[source].latency.push(at, value),
            Kind::Release(version) => {
                self.names_releases = true;
                if value != 0.0 {
                    self.ran.push((at, version));
                }
            }
            Kind::Foreign(source) => self.foreign[source].1 += 1,
        }
    }

    /// Takes a sample down, of a series that goes by this number, met or not.
    ///
    /// # Errors
    ///
    /// As of [`Recorder::meet`].
    #[inline]
    pub fn row(
        &mut self,
        slot: usize,
        series: &Series,
        at: Moment,
        value: f64,
    ) -> Result<(), Fault> {
        let known = self.places.get(slot).copied().flatten();
        let place = match known {
            Some(place) => place,
            None => self.number(slot, series)?,
        };
        self.put(place, at, value);
        Ok(())
    }

    #[cold]
    fn number(&mut self, slot: usize, series: &Series) -> Result<Place, Fault> {
        let place = self.meet(series)?;
        if self.places.len() <= slot {
            self.places.resize(slot + 1, None);
        }
        self.places[slot] = Some(place);
        Ok(place)
    }

    /// Takes down why a source failed. One that no policy has is passed over.
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

    /// Something that the reader of a replay should know about how far the
    /// recording can be trusted.
    pub fn remark(&mut self, remark: impl Into<String>) {
        self.remarks.push(remark.into());
    }

    /// The recording, from its first fact to its last.
    ///
    /// # Errors
    ///
    /// [`Fault::Empty`] when nothing was told of the policies' sources.
    pub fn finish(mut self) -> Result<Recording, Fault> {
        let span = self.span().ok_or(Fault::Empty)?;
        for source in self.sources.iter_mut().filter(|s| !s.told) {
            source.measure();
        }
        Ok(self.over(span))
    }

    /// The times of the first and of the last fact, if there is one.
    pub(crate) fn span(&mut self) -> Option<(Moment, Moment)> {
        self.settle();
        let ran = self.ran.iter().map(|(at, _)| *at);
        let first = Facts::new(self.sources.iter(), &[], &[]).at();
        let first = first.into_iter().chain(ran.clone().min()).min()?;
        let last = self.sources.iter().filter_map(Recorded::last);
        let last = last.chain(ran.max()).max()?;
        Some((first, last))
    }

    /// The recording of a stretch of time.
    pub(crate) fn over(mut self, span: (Moment, Moment)) -> Recording {
        self.settle();
        let versions = &self.versions;
        let ran = self.ran.iter();
        let mut ran: Vec<_> = ran.map(|(at, v)| (*at, versions[*v].clone())).collect();
        ran.sort_by_key(|(at, _)| *at);
        ran.dedup();
        Recording {
            sources: self.sources,
            ran,
            span,
            names_releases: self.names_releases,
            foreign: self.foreign.into_iter().filter(|(_, n)| *n > 0).collect(),
            happened: Vec::new(),
            taken: Vec::new(),
            remarks: self.remarks,
        }
    }

    /// All is told.
    fn settle(&mut self) {
        let columns = self.sources.iter_mut().flat_map(Recorded::columns);
        if self.strangers.is_some() {
            columns.for_each(Column::sort);
            return;
        }
        let (mut twice, mut otherwise) = (0, 0);
        for column in columns {
            let doubles = column.settle();
            twice += doubles.alike;
            otherwise += doubles.unlike;
        }
        match otherwise {
            0 => {}
            1 => self.remark("a sample stands in the recording a second time with another value: the first is used"),
            n => self.remark(format!("{n} samples stand in the recording a second time with another value: the first is used")),
        }
        match twice {
            0 => {}
            1 => self.remark("a sample stands in the recording twice: it is used once"),
            n => self.remark(format!(
                "{n} samples stand in the recording twice: each is used once"
            )),
        }
    }
}
