//! A recording: what each source said, and when.
//!
//! The label `backstop_source` names the source and is taken off; without it
//! the policy's only scrape source is meant, for `probe_…` series the only
//! probe or connection. `up{backstop_source="…"}` says at which times a source
//! was scraped and with what result; without it, a source was scraped when any
//! of its series has a sample. `backstop_release{version="…"} 1` says which
//! release ran.
//!
//! Wherever it comes from (see [`Recorder`]), it is a column for each series:
//! nine bytes a sample. What a source said at a time is only put together when
//! that time is played, so one recording is replayed as often as one likes, and
//! under as many policies, at the cost of the playing alone.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use super::column::Column;
use super::recorder::Recorder;
use super::reel::Facts;
use super::text;
use crate::guard::Event;
use crate::model::{Gap, Moment, Policy, Series, SourceKind};

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
    pub(super) sources: Vec<Recorded>,
    /// Which release ran since when, in the order of time.
    pub(super) ran: Vec<(Moment, String)>,
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
    pub(super) scrapes: bool,
    /// It is told when there is something to tell.
    pub(super) told: bool,
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
    /// How far apart its samples are; `None` when there are too few to say.
    pub(super) cadence: Option<Duration>,
}

impl Recorded {
    pub(super) fn new(name: &str, kind: &SourceKind) -> Self {
        Self {
            probes: !kind.has_series(),
            scrapes: matches!(kind, SourceKind::Scrape { .. }),
            told: kind.is_told(),
            ..Self::named(name)
        }
    }

    /// A page, as far as is known.
    pub(super) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            probes: false,
            scrapes: false,
            told: false,
            up: Column::default(),
            success: Column::default(),
            latency: Column::default(),
            series: Vec::new(),
            whys: Column::default(),
            gaps: Vec::new(),
            cadence: None,
        }
    }

    /// Finds out how often it was sampled: the mean of the steps from sample to
    /// sample that are no gaps.
    pub(super) fn measure(&mut self) {
        /// Fewer say little.
        const LEAST: usize = 20;
        let own = [&self.up, &self.success, &self.latency];
        let series = self.series.iter().map(|(_, column)| column);
        let Some(longest) = own.into_iter().chain(series).max_by_key(|c| c.len()) else {
            return;
        };
        let times: Vec<_> = longest.play().map(|(at, _)| at).collect();
        let mut steps: Vec<_> = times.windows(2).map(|w| w[1].since(w[0])).collect();
        if steps.len() < LEAST {
            return;
        }
        let middle = steps.len() / 2;
        let usual = *steps.select_nth_unstable(middle).1;
        steps.retain(|step| *step > usual / 2 && *step < usual * 3 / 2);
        let n = u32::try_from(steps.len()).unwrap_or(u32::MAX);
        let mean = steps.iter().sum::<Duration>().checked_div(n);
        self.cadence = mean.map(whole_millis).filter(|mean| !mean.is_zero());
    }

    /// A page with `up` was scraped at those times only.
    pub(super) fn by_up(&self) -> bool {
        !self.probes && self.up.last().is_some()
    }

    pub(super) fn columns(&mut self) -> impl Iterator<Item = &mut Column> {
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
    pub(super) fn last(&self) -> Option<Moment> {
        if self.by_up() {
            return self.up.last().max(self.whys.last());
        }
        let own = [&self.up, &self.success, &self.latency, &self.whys];
        let series = self.series.iter().map(|(_, column)| column);
        own.into_iter().chain(series).filter_map(Column::last).max()
    }
}

/// A moment has no more.
fn whole_millis(d: Duration) -> Duration {
    let ms = (d + Duration::from_micros(500)).as_millis();
    Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
}

impl Recording {
    /// Reads a recording of this policy's sources, as `OpenMetrics` text.
    ///
    /// # Errors
    ///
    /// Why nothing of it can be used. What is wrong with a part of it is one of
    /// its remarks.
    pub fn read(policy: &Policy, from: impl Read) -> Result<Self, Fault> {
        Self::read_for(&[policy], from)
    }

    /// As [`Recording::read`], of the sources of several policies, to be
    /// replayed under each.
    ///
    /// # Errors
    ///
    /// As of [`Recording::read`].
    pub fn read_for(policies: &[&Policy], from: impl Read) -> Result<Self, Fault> {
        let mut recorder = Recorder::new(policies.iter().copied());
        let fault = text::read(&mut recorder, from)?;
        recorder.finish().map_err(|empty| fault.unwrap_or(empty))
    }

    /// A recording that was written rather than taken down: values of series,
    /// each with its time, over this span. A series without a value is well.
    ///
    /// # Errors
    ///
    /// [`Fault::Nobody`] of the series.
    pub(super) fn written<'s>(
        policy: &Policy,
        series: impl IntoIterator<Item = (&'s Series, Vec<(Moment, f64)>)>,
        span: (Moment, Moment),
    ) -> Result<Self, Fault> {
        let mut recorder = Recorder::new([policy]);
        for (series, samples) in series {
            let place = recorder.meet(series)?;
            for (at, value) in samples {
                recorder.put(place, at, value);
            }
        }
        Ok(recorder.over(span))
    }

    /// The times of the facts, in order. There is one at least.
    pub fn times(&self) -> impl Iterator<Item = Moment> {
        let mut facts = self.facts();
        let latest = self.span.1;
        std::iter::from_fn(move || facts.next_by(latest)).map(|(at, _)| at)
    }

    /// The facts, in the order of their time.
    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts::new(self.sources.iter(), &self.ran, &self.happened)
    }

    /// Those that concern a policy.
    pub(super) fn facts_of<'a>(&'a self, policy: &Policy) -> Facts<'a> {
        let sources = self.sources.iter();
        let own = sources.filter(|source| policy.sources.contains_key(&source.name));
        Facts::new(own, &self.ran, &self.happened)
    }
}
