//! What was taken down, as the series of a recording: the inverse of
//! `recording`, and the same names.
//!
//! | taken down | series |
//! |---|---|
//! | a page, an answer | its series with `backstop_source`, and `up` 1 |
//! | a probe, a connection | `probe_success`, `probe_duration_seconds` |
//! | a failure | `up` 0, of a probe `probe_success` 0 |
//! | a failure that says nothing of the service | none: blindness is no sample |
//! | a word | the name it is of: 1 and 0 of a flag, the sum so far of what is counted |
//! | a release | `backstop_release` 1, when it began; of the first one, when the samples do |
//!
//! A page's own series by these names are passed over, and counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::past::{Entry, Span};
use super::recorder::{LATENCY, RELEASE, SOURCE, SUCCESS, UP};
use crate::guard::{Alert, Event, Push, Statement, flags_of};
use crate::journal::Body;
use crate::model::{Gap, Moment, Outcome, Policy, Sample, Series};

/// A value of a series.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// A small number that stands for the series.
    pub slot: usize,
    /// Which.
    pub series: &'a Series,
    /// When.
    pub at: Moment,
    /// How much.
    pub value: f64,
}

/// The series of one service's past, and how they go on.
#[derive(Debug)]
pub struct Exposed {
    service: String,
    span: Span,
    /// By slot.
    series: Vec<Series>,
    slots: FxHashMap<Series, usize>,
    sources: Vec<Source>,
    /// The places of these, by name.
    places: BTreeMap<String, usize>,
    /// Samples of pages that are named as the recording's own series.
    pub passed_over: u64,
    running: Running,
    /// The policy in force: which flags an alert sets.
    policy: Option<Arc<Policy>>,
}

/// Which release runs.
#[derive(Clone, Debug, Default)]
enum Running {
    /// Nobody has said.
    #[default]
    Unknown,
    /// It was there before the first sample.
    Before(String),
    /// It has been told.
    Told(String),
}

/// One source.
#[derive(Debug, Default)]
struct Source {
    /// It answered as a probe does.
    probes: bool,
    /// The page before, in its order: most pages are like the one before.
    page: Vec<(Arc<Series>, Option<usize>)>,
    own: [Option<usize>; 3],
    words: BTreeMap<String, Word>,
}

/// What was said of one name.
#[derive(Debug, Default)]
struct Word {
    slot: Option<usize>,
    /// All events so far, or what was said last.
    sum: f64,
    told: bool,
    /// Alerts that fire, by fingerprint, and since when.
    alerts: BTreeMap<String, (i64, bool)>,
}

impl Exposed {
    /// Of one service, over a time.
    #[must_use]
    pub fn new(service: &str, span: Span) -> Self {
        Self {
            service: service.to_owned(),
            span,
            series: Vec::new(),
            slots: FxHashMap::default(),
            sources: Vec::new(),
            places: BTreeMap::new(),
            passed_over: 0,
            running: Running::Unknown,
            policy: None,
        }
    }

    /// The series so far, by slot.
    #[must_use]
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// Begins again at the beginning; the series keep their slots.
    pub fn rewind(&mut self) {
        self.running = Running::Unknown;
        self.policy = None;
        self.passed_over = 0;
        for source in &mut self.sources {
            for word in source.words.values_mut() {
                *word = Word {
                    slot: word.slot,
                    ..Word::default()
                };
            }
        }
    }

    /// Hands out what an entry says, in no order of the series.
    pub fn take(&mut self, entry: &Entry, each: &mut impl FnMut(Row<'_>)) {
        let Body::Event(event) = &entry.body else {
            return;
        };
        match event {
            Event::Sampled {
                service,
                source,
                outcome,
                ..
            } if *service == self.service => self.sampled(source, entry.at, outcome, each),
            Event::Released { service, version } if *service == self.service => {
                if self.span.has(entry.at) {
                    self.ran(version, entry.at, each);
                } else {
                    self.running = Running::Before(version.clone());
                }
            }
            Event::Pushed {
                service,
                source,
                push,
                ..
            } if *service == self.service => self.pushed(source, entry.at, push, each),
            Event::Revised { policy, .. } if policy.service == self.service => {
                self.policy = Some(Arc::clone(policy));
            }
            _ => {}
        }
    }

    fn sampled(
        &mut self,
        source: &str,
        at: Moment,
        outcome: &Outcome,
        each: &mut impl FnMut(Row<'_>),
    ) {
        if let Running::Before(version) = &self.running {
            let version = version.clone();
            self.ran(&version, at, each);
        }
        match outcome {
            Outcome::Scraped(samples) | Outcome::Answered { samples, .. } => {
                self.own(source, UP, at, 1.0, each);
                self.page(source, at, samples, each);
            }
            Outcome::Probed { latency, fault } => {
                if fault.as_ref().is_some_and(Gap::is_blindness) {
                    return;
                }
                self.source(source).probes = true;
                let success = f64::from(u8::from(fault.is_none()));
                self.own(source, SUCCESS, at, success, each);
                self.own(source, LATENCY, at, latency.as_secs_f64(), each);
            }
            Outcome::Failed(gap) if gap.is_blindness() => {}
            Outcome::Failed(_) => {
                let name = if self.source(source).probes {
                    SUCCESS
                } else {
                    UP
                };
                self.own(source, name, at, 0.0, each);
            }
        }
    }

    fn page(
        &mut self,
        source: &str,
        at: Moment,
        samples: &[Sample],
        each: &mut impl FnMut(Row<'_>),
    ) {
        let mut page = std::mem::take(&mut self.source(source).page);
        page.truncate(samples.len());
        for (place, Sample { series, value }) in samples.iter().enumerate() {
            let known = page
                .get(place)
                .filter(|(seen, _)| Arc::ptr_eq(seen, series));
            let slot = if let Some((_, slot)) = known {
                *slot
            } else {
                let slot = self.meet(source, series);
                let seen = (Arc::clone(series), slot);
                match page.get_mut(place) {
                    Some(before) => *before = seen,
                    None => page.push(seen),
                }
                slot
            };
            let Some(slot) = slot else {
                self.passed_over += 1;
                continue;
            };
            each(Row {
                slot,
                series: &self.series[slot],
                at,
                value: *value,
            });
        }
        self.source(source).page = page;
    }

    /// The slot of a page's series; `None` if its name is the recording's own.
    fn meet(&mut self, source: &str, series: &Series) -> Option<usize> {
        if matches!(series.name(), UP | RELEASE) {
            return None;
        }
        let mut labels = series.labels().to_vec();
        labels.retain(|(name, _)| name != SOURCE);
        labels.push((SOURCE.to_owned(), source.to_owned()));
        Some(self.slot(Series::new(series.name(), labels)))
    }

    fn slot(&mut self, series: Series) -> usize {
        if let Some(slot) = self.slots.get(&series) {
            return *slot;
        }
        let slot = self.series.len();
        self.series.push(series.clone());
        self.slots.insert(series, slot);
        slot
    }

    fn source(&mut self, name: &str) -> &mut Source {
        let place = if let Some(place) = self.places.get(name) {
            *place
        } else {
            self.sources.push(Source::default());
            self.places.insert(name.to_owned(), self.sources.len() - 1);
            self.sources.len() - 1
        };
        &mut self.sources[place]
    }

    /// One of the series that say how a source answered.
    fn own(
        &mut self,
        source: &str,
        name: &'static str,
        at: Moment,
        value: f64,
        each: &mut impl FnMut(Row<'_>),
    ) {
        let place = match name {
            UP => 0,
            SUCCESS => 1,
            _ => 2,
        };
        let slot = if let Some(slot) = self.source(source).own[place] {
            slot
        } else {
            let labels = vec![(SOURCE.to_owned(), source.to_owned())];
            let slot = self.slot(Series::new(name, labels));
            self.source(source).own[place] = Some(slot);
            slot
        };
        each(Row {
            slot,
            series: &self.series[slot],
            at,
            value,
        });
    }

    fn ran(&mut self, version: &str, at: Moment, each: &mut impl FnMut(Row<'_>)) {
        if matches!(&self.running, Running::Told(running) if running == version) {
            return;
        }
        let labels = vec![("version".to_owned(), version.to_owned())];
        let slot = self.slot(Series::new(RELEASE, labels));
        each(Row {
            slot,
            series: &self.series[slot],
            at,
            value: 1.0,
        });
        self.running = Running::Told(version.to_owned());
    }

    fn pushed(&mut self, source: &str, at: Moment, push: &Push, each: &mut impl FnMut(Row<'_>)) {
        match push {
            Push::Said { name, what, .. } => {
                let word = self.word(source, name);
                let before = word.sum;
                let value = match *what {
                    Statement::Set => 1.0,
                    Statement::Clear => {
                        for (_, firing) in word.alerts.values_mut() {
                            *firing = false;
                        }
                        0.0
                    }
                    Statement::Events(n) => before + f64::from(n),
                    Statement::Is(x) => x,
                };
                word.sum = value;
                // Of a counter the first sample is where counting begins.
                if matches!(what, Statement::Events(_)) {
                    self.said(source, name, at, Some(before), value, each);
                } else {
                    self.said(source, name, at, None, value, each);
                }
            }
            Push::Alerts { alerts, .. } => {
                let Some(policy) = self.policy.clone() else {
                    return;
                };
                for alert in alerts {
                    for flag in flags_of(&policy, source, &alert.labels) {
                        let value = self.word(source, flag).hear(alert);
                        self.said(source, flag, at, None, value, each);
                    }
                }
            }
        }
    }

    fn word(&mut self, source: &str, name: &str) -> &mut Word {
        let words = &mut self.source(source).words;
        words.entry(name.to_owned()).or_default()
    }

    fn said(
        &mut self,
        source: &str,
        name: &str,
        at: Moment,
        before: Option<f64>,
        value: f64,
        each: &mut impl FnMut(Row<'_>),
    ) {
        if !self.span.has(at) {
            return;
        }
        let slot = if let Some(slot) = self.word(source, name).slot {
            slot
        } else {
            let labels = vec![(SOURCE.to_owned(), source.to_owned())];
            self.slot(Series::new(name, labels))
        };
        let word = self.word(source, name);
        word.slot = Some(slot);
        let first = !std::mem::replace(&mut word.told, true);
        let series = &self.series[slot];
        if let Some(value) = before.filter(|_| first) {
            let at = Moment::from_millis(at.as_millis().saturating_sub(1));
            each(Row {
                slot,
                series,
                at,
                value,
            });
        }
        each(Row {
            slot,
            series,
            at,
            value,
        });
    }
}

impl Word {
    /// Hears of an alert that sets this flag; whether it is set then.
    fn hear(&mut self, alert: &Alert) -> f64 {
        let known = self.alerts.get(&alert.fingerprint).copied();
        // As of the agent's board: an older message never undoes a newer one,
        // and of one time, resolved is the newer.
        let newer = known.is_none_or(|(starts, firing)| {
            alert.starts_ms > starts || (alert.starts_ms == starts && firing && !alert.firing)
        });
        if newer {
            let heard = (alert.starts_ms, alert.firing);
            self.alerts.insert(alert.fingerprint.clone(), heard);
        }
        let fires = self.alerts.values().any(|(_, firing)| *firing);
        f64::from(u8::from(fires || self.sum != 0.0))
    }
}
