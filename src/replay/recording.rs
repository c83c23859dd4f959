//! A recording: `OpenMetrics` text with timestamps → what each source said, and
//! when.
//!
//! The label `backstop_source` names the source and is taken off; without it
//! the policy's only scrape source is meant, for `probe_…` series the only
//! probe or connection. `up{backstop_source="…"}` says at which times a source
//! was scraped and with what result; without it, a source was scraped when any
//! of its series has a sample. `backstop_release{version="…"} 1` says which
//! release ran.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Gap, GapKind, Moment, Outcome, Policy, Sample, Series, SourceKind};
use crate::sense::exposition::{Dialect, Exposition, Framing};

/// Names the source of a recorded series.
const SOURCE: &str = "backstop_source";
/// Says whether a source was scraped.
const UP: &str = "up";
/// A probe's result, as the blackbox exporter names it.
const SUCCESS: &str = "probe_success";
/// A probe's latency in seconds, likewise.
const LATENCY: &str = "probe_duration_seconds";
/// Says which release ran.
const RELEASE: &str = "backstop_release";
/// Bytes read at once.
const CHUNK: usize = 1 << 16;

/// What a source said at a time, or what ran.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A source was sampled.
    Sampled(String, Outcome),
    /// A release ran.
    Ran(String),
}

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

/// Recorded facts in the order of their time.
#[derive(Debug)]
pub struct Recording {
    facts: Vec<(Moment, Fact)>,
    /// Whether it says which release ran.
    pub names_releases: bool,
    /// Names of sources in the recording that the policy does not have, and
    /// how many samples were passed over with each.
    pub foreign: BTreeMap<String, u64>,
}

/// What a recorded series is.
#[derive(Clone)]
enum Kind {
    Series(String, Arc<Series>),
    Up(String),
    Success(String),
    Latency(String),
    Release(String),
    Foreign(String),
}

/// What one source said at one time, as far as it has been read.
#[derive(Default)]
struct Said {
    samples: Vec<Sample>,
    up: Option<bool>,
    success: Option<bool>,
    latency: Option<f64>,
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
        let mut kinds: Vec<Option<Kind>> = Vec::new();
        let mut gathered = Gathered::default();
        let mut fault = None;
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = from.read(&mut buffer)?;
            let mut each = |found: crate::sense::exposition::Found<'_>| {
                if fault.is_none() {
                    fault = gathered.take(policy, &mut kinds, &found).err();
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
        }
        match fault {
            Some(fault) => Err(fault),
            None => gathered.sorted(policy),
        }
    }

    /// The facts, in the order of their time.
    #[must_use]
    pub fn facts(&self) -> &[(Moment, Fact)] {
        &self.facts
    }
}

#[derive(Default)]
struct Gathered {
    said: BTreeMap<(Moment, String), Said>,
    ran: Vec<(Moment, String)>,
    names_releases: bool,
    foreign: BTreeMap<String, u64>,
}

impl Gathered {
    fn take(
        &mut self,
        policy: &Policy,
        kinds: &mut Vec<Option<Kind>>,
        found: &crate::sense::exposition::Found<'_>,
    ) -> Result<(), Fault> {
        let slot = found.slot as usize;
        if kinds.len() <= slot {
            kinds.resize(slot + 1, None);
        }
        let kind = match &kinds[slot] {
            Some(kind) => kind,
            None => kinds[slot].insert(kind_of(policy, found.series)?),
        };
        let ms = found
            .timestamp_ms
            .and_then(|ms| u64::try_from(ms).ok())
            .ok_or_else(|| Fault::Untimed(found.series.to_string()))?;
        let at = Moment::from_millis(ms);
        match kind {
            Kind::Series(source, series) => self.said(at, source).samples.push(Sample {
                series: Arc::clone(series),
                value: found.value,
            }),
            Kind::Up(source) => self.said(at, source).up = Some(found.value != 0.0),
            Kind::Success(source) => self.said(at, source).success = Some(found.value != 0.0),
            Kind::Latency(source) => self.said(at, source).latency = Some(found.value),
            Kind::Release(version) => {
                self.names_releases = true;
                if found.value != 0.0 {
                    self.ran.push((at, version.clone()));
                }
            }
            Kind::Foreign(source) => *self.foreign.entry(source.clone()).or_default() += 1,
        }
        Ok(())
    }

    fn said(&mut self, at: Moment, source: &str) -> &mut Said {
        self.said.entry((at, source.to_owned())).or_default()
    }

    fn sorted(self, policy: &Policy) -> Result<Recording, Fault> {
        // A source with `up` was scraped at those times only.
        let mut by_up: BTreeMap<String, bool> = BTreeMap::new();
        for ((_, source), said) in &self.said {
            *by_up.entry(source.clone()).or_default() |= said.up.is_some();
        }
        let mut facts: Vec<(Moment, Fact)> = self
            .ran
            .into_iter()
            .map(|(at, version)| (at, Fact::Ran(version)))
            .collect();
        for ((at, source), said) in self.said {
            let probes = !policy.sources[&source].kind.has_series();
            if !probes && by_up[&source] && said.up.is_none() {
                continue;
            }
            facts.push((at, Fact::Sampled(source, said.outcome(probes))));
        }
        if facts.is_empty() {
            return Err(Fault::Empty);
        }
        // Stable: at one time releases come first, then sources by name.
        facts.sort_by_key(|(at, _)| *at);
        Ok(Recording {
            facts,
            names_releases: self.names_releases,
            foreign: self.foreign,
        })
    }
}

impl Said {
    fn outcome(self, probes: bool) -> Outcome {
        let failed = || Gap::new(GapKind::Other, "recorded as failed");
        if !probes {
            return match self.up {
                Some(false) => Outcome::Failed(failed()),
                Some(true) | None => Outcome::Scraped(self.samples),
            };
        }
        let success = self.success.or(self.up).unwrap_or(true);
        let latency = self
            .latency
            .and_then(|s| Duration::try_from_secs_f64(s).ok());
        match latency {
            Some(latency) => Outcome::Probed {
                latency,
                fault: (!success).then(failed),
            },
            None if success => Outcome::Probed {
                latency: Duration::ZERO,
                fault: None,
            },
            None => Outcome::Failed(failed()),
        }
    }
}

/// What a series stands for, decided once.
fn kind_of(policy: &Policy, series: &Series) -> Result<Kind, Fault> {
    if series.name() == RELEASE {
        return Ok(Kind::Release(series.label("version").to_owned()));
    }
    let probes = matches!(series.name(), SUCCESS | LATENCY);
    let named = series.label(SOURCE);
    let source = if named.is_empty() {
        let mut candidates = policy
            .sources
            .iter()
            .filter(|(_, source)| match source.kind {
                SourceKind::Scrape { .. } => !probes,
                _ => probes && !source.kind.has_series(),
            });
        match (candidates.next(), candidates.next()) {
            (Some((name, _)), None) => name.clone(),
            _ => return Err(Fault::Nobody(series.to_string())),
        }
    } else if policy.sources.contains_key(named) {
        named.to_owned()
    } else {
        return Ok(Kind::Foreign(named.to_owned()));
    };
    let scraped = policy.sources[&source].kind.has_series();
    Ok(match series.name() {
        UP if !named.is_empty() => Kind::Up(source),
        SUCCESS if !scraped => Kind::Success(source),
        LATENCY if !scraped => Kind::Latency(source),
        _ if !scraped => Kind::Foreign(source),
        _ => {
            let labels = series
                .labels()
                .iter()
                .filter(|(name, _)| name != SOURCE)
                .cloned()
                .collect();
            Kind::Series(source, Arc::new(Series::new(series.name(), labels)))
        }
    })
}
