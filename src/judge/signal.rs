//! One signal over one window: what each scrape adds, and what it reads at a
//! tick. SPEC 3, *Signals*.
//!
//! A line keeps its own window. Triggers that use the same signal over the same
//! window share the line, so it is read once a tick however many they are. The
//! counts of a whole hold are a line of their own, over the hold's length.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::baseline::Counted;
use super::counter::{Page, Role, Yield};
use super::gauge::Numbers;
use super::histogram::{Columns, Histogram};
use super::latency::Latencies;
use super::source::{SourceState, Taken};
use super::window::{Counts, Cover, Window, left_by};
use crate::model::{
    By, Evidence, Moment, NoReading, Over, Policy, Reading, Series, SignalKind, Unit, Value, millis,
};

/// What a line computes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Ratio,
    Rate,
    Increase,
    Histogram {
        q: f64,
    },
    Latency {
        q: f64,
    },
    Value {
        by: By,
        over: Over,
    },
    Age,
    /// Computed elsewhere, over its own range: the span of the line.
    Query,
    Count,
    Flag,
}

/// What a line has gathered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Gathered {
    Counts(Window<Counts>),
    Columns(Window<Columns>),
    Latencies(Latencies),
    Gauge {
        /// Empty for gauges that only look at the last page.
        window: Window<Numbers>,
        last: Option<Result<f64, NoReading>>,
    },
}

/// A signal over a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) signal: String,
    pub(super) span: Duration,
    pub(super) unit: Unit,
    shape: Shape,
    /// Which source.
    pub(super) source: usize,
    /// Whether that source is told rather than sampled.
    #[serde(default)]
    told: bool,
    /// Which of its selectors; a ratio's `of` first.
    picks: Vec<usize>,
    gathered: Gathered,
    /// Falls in the window, by scrape and series.
    falls: VecDeque<(Moment, Arc<Series>)>,
    /// Whether it is read at each tick, rather than only asked for its counts.
    pub(super) reads: bool,
    /// What it read at the last tick.
    pub(super) said: Option<Result<Reading, NoReading>>,
}

/// Counts of a test over a whole hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tally {
    pub(super) hits: f64,
    pub(super) events: f64,
    /// What the share of hits has to exceed.
    pub(super) above: f64,
}

impl Line {
    /// The line of a signal of the policy; puts its selectors in force. `None`
    /// when the policy has no such signal, or the signal no source.
    pub(super) fn new(
        policy: &Policy,
        sources: &mut [SourceState],
        signal: &str,
        span: Duration,
        reads: bool,
    ) -> Option<Self> {
        let rule = policy.signals.get(signal)?;
        let source = sources.iter().position(|s| s.name == rule.source)?;
        let page = &mut sources[source].page;
        let (shape, picks) = match &rule.kind {
            SignalKind::Ratio { of, to } => {
                let picks = [of, to].map(|s| page.pick(Role::Counter, s));
                (Shape::Ratio, picks.to_vec())
            }
            SignalKind::Rate(of) => (Shape::Rate, vec![page.pick(Role::Counter, of)]),
            SignalKind::Increase(of) => (Shape::Increase, vec![page.pick(Role::Counter, of)]),
            SignalKind::Histogram { q, buckets } => {
                let picks = vec![page.pick(Role::Buckets, buckets)];
                (Shape::Histogram { q: *q }, picks)
            }
            SignalKind::Latency { q } => (Shape::Latency { q: *q }, Vec::new()),
            SignalKind::Value { of, by, over } => {
                let shape = Shape::Value {
                    by: *by,
                    over: *over,
                };
                (shape, vec![page.pick(Role::Gauge, of)])
            }
            SignalKind::Query { of, .. } => (Shape::Query, vec![page.pick(Role::Gauge, of)]),
            SignalKind::Age { of } => (Shape::Age, vec![page.pick(Role::Gauge, of)]),
            SignalKind::Count(of) => (Shape::Count, vec![page.pick(Role::Counter, of)]),
            SignalKind::Flag { of, .. } => (Shape::Flag, vec![page.pick(Role::Gauge, of)]),
        };
        Some(Self {
            signal: signal.to_owned(),
            span,
            unit: rule.unit,
            shape,
            source,
            told: policy.sources[&rule.source].kind.is_told(),
            picks,
            gathered: shape.nothing(),
            falls: VecDeque::new(),
            reads,
            said: None,
        })
    }

    /// Takes over what `old`, the same signal over the same window, gathered.
    pub(super) fn adopt(&mut self, old: Self) {
        self.gathered = old.gathered;
        self.falls = old.falls;
        self.said = old.said;
    }

    /// Forgets all samples.
    pub(super) fn clear(&mut self) {
        self.gathered = self.shape.nothing();
        self.falls.clear();
        self.said = None;
    }

    /// Takes what a sample brought, if it is evidence of the time after `from`.
    pub(super) fn take(&mut self, at: Moment, taken: Taken, page: &Page, from: Option<Moment>) {
        self.evict(at);
        let counts_from = |since: Moment| from.is_none_or(|from| since >= from);
        match (&mut self.gathered, taken) {
            (Gathered::Latencies(latencies), Taken::Latency { took, before }) => {
                let before = before.filter(|b| counts_from(*b) && at.since(*b) <= self.span);
                latencies.push(at, took, before.map_or(Duration::ZERO, |b| at.since(b)));
            }
            (Gathered::Gauge { window, last }, Taken::Page) => {
                let Some(brought) = page.brought(self.picks[0]) else {
                    return;
                };
                let number = self.shape.combine(brought);
                *last = Some(number.clone());
                if let (Ok(x), true) = (number, self.shape.has_window()) {
                    window.push(at, Numbers::one(x));
                }
            }
            (Gathered::Counts(window), Taken::Page) => {
                let Some((since, of, to)) = brought(page, &self.picks) else {
                    return;
                };
                let covers = at.since(since);
                // What was told is known to the event, whenever it is counted.
                let whole = covers <= self.span || self.shape == Shape::Count;
                if !counts_from(since) || !whole {
                    return;
                }
                let ratio = self.shape == Shape::Ratio;
                window.push(
                    at,
                    Counts {
                        hits: if ratio { of.growth() } else { 0.0 },
                        events: to.growth(),
                        cover: Cover::of(covers),
                    },
                );
                if !(of.fell.is_empty() && to.fell.is_empty()) {
                    let twice = |s: &&Arc<Series>| to.fell.iter().any(|t| Arc::ptr_eq(s, t));
                    let fell = to.fell.iter();
                    let fell = fell.chain(of.fell.iter().filter(|s| !twice(s)));
                    self.falls.extend(fell.map(|s| (at, Arc::clone(s))));
                }
            }
            (Gathered::Columns(window), Taken::Page) => {
                let Some((since, _, buckets)) = brought(page, &self.picks) else {
                    return;
                };
                let covers = at.since(since);
                if !counts_from(since) || covers > self.span {
                    return;
                }
                window.push(
                    at,
                    Columns {
                        counts: buckets.grown.clone(),
                        cover: Cover::of(covers),
                    },
                );
                self.falls
                    .extend(buckets.fell.iter().map(|s| (at, Arc::clone(s))));
            }
            // Nothing, or what a source of another type would bring: a page for
            // a latency, a latency for a selector.
            (_, Taken::Nothing | Taken::Page | Taken::Latency { .. }) => {}
        }
    }

    /// Drops what has left the window.
    #[expect(clippy::inline_always, reason = "mostly there is nothing")]
    #[inline(always)]
    pub(super) fn evict(&mut self, now: Moment) {
        let Some(left) = left_by(now, self.span) else {
            return;
        };
        match &mut self.gathered {
            Gathered::Counts(window) => window.evict(left),
            Gathered::Columns(window) => window.evict(left),
            Gathered::Latencies(latencies) => latencies.evict(left),
            Gathered::Gauge { window, .. } => window.evict(left),
        }
        while self.falls.front().is_some_and(|(at, _)| *at <= left) {
            self.falls.pop_front();
        }
    }

    /// The value at a tick. `unix_ms` is the wall clock's time, `None` when it
    /// has just been set.
    pub(super) fn read(
        &self,
        now: Moment,
        unix_ms: Option<i64>,
        source: &SourceState,
        from: Option<Moment>,
    ) -> Result<Reading, NoReading> {
        let fresh = source.fresh(now, from);
        if let Some(fault) = source.fault(&self.signal)
            && fresh != Err(NoReading::NotSampled(None))
        {
            return Err(NoReading::NoNumber(fault.detail.clone()));
        }
        fresh?;
        // Whoever computes it knows of no release: what was before `from` has to
        // leave the range first.
        if let (Shape::Query, Some(from)) = (self.shape, from) {
            self.covered(Cover::of(now.since(from)))?;
        }
        if let Some(selector) = self.never_matched(source) {
            return Err(if self.told {
                NoReading::NeverSaid
            } else {
                NoReading::NeverMatched(selector.to_owned())
            });
        }
        self.value(unix_ms, source).map_err(|why| match why {
            NoReading::NotFinite if self.told => NoReading::SaidBefore,
            why => why,
        })
    }

    /// What the window holds, whenever its last sample was.
    pub(super) fn value(
        &self,
        unix_ms: Option<i64>,
        source: &SourceState,
    ) -> Result<Reading, NoReading> {
        match (&self.gathered, self.shape) {
            (Gathered::Counts(window), shape) => {
                let sum = window.sum();
                if shape != Shape::Count {
                    self.covered(sum.cover)?;
                }
                let (hits, events) = (sum.hits, sum.events);
                let value = match shape {
                    Shape::Ratio if events <= 0.0 => return Err(NoReading::NoEvents),
                    Shape::Ratio if hits > events => {
                        return Err(NoReading::HitsExceedEvents { hits, events });
                    }
                    Shape::Ratio => hits / events,
                    Shape::Rate => events / sum.cover.time().as_secs_f64(),
                    _ => events,
                };
                let hits = (shape == Shape::Ratio).then_some(hits);
                exactly(value, evidence(hits, events, sum.cover))
            }
            (Gathered::Columns(window), Shape::Histogram { q }) => {
                let sum = window.sum();
                self.covered(sum.cover)?;
                let histogram = Histogram::new(&source.page.known(self.picks[0]).bounds, &sum)
                    .ok_or(NoReading::NotAHistogram)?;
                let value = histogram.quantile(q).ok_or(NoReading::NoEvents)?;
                Ok(Reading {
                    value,
                    evidence: evidence(None, histogram.total(), sum.cover),
                })
            }
            (Gathered::Latencies(latencies), Shape::Latency { q }) => {
                let cover = latencies.cover();
                self.covered(cover)?;
                let value = latencies.quantile(q).ok_or(NoReading::NoEvents)?;
                exactly(value, evidence(None, f64::from(cover.scrapes), cover))
            }
            (Gathered::Gauge { window, last }, shape) => {
                let last = || last.clone().unwrap_or(Err(NoReading::NotSampled(None)));
                let once = Cover { ms: 0, scrapes: 1 };
                let (value, cover) = match shape {
                    Shape::Value { over, .. } if shape.has_window() => {
                        let sum = window.sum();
                        let cover = Cover {
                            ms: 0,
                            scrapes: sum.count,
                        };
                        match sum.over(over) {
                            Some(value) => (value, cover),
                            None => (last()?, once),
                        }
                    }
                    Shape::Age => {
                        let now = unix_ms.ok_or(NoReading::ClockMoved)?;
                        (now as f64 / 1000.0 - last()?, once)
                    }
                    _ => (last()?, once),
                };
                exactly(value, evidence(None, f64::from(cover.scrapes), cover))
            }
            // A shape and what it gathers are made together.
            _ => Err(NoReading::NotSampled(None)),
        }
    }

    /// The counts that speak for `value > limit` (or `>=`) over this line's
    /// window; `None` for signals whose tests need no proof.
    pub(super) fn tally(&self, limit: f64, or_equal: bool, page: &Page) -> Option<Tally> {
        match (&self.gathered, self.shape) {
            (Gathered::Counts(window), Shape::Ratio) => {
                let sum = window.sum();
                Some(Tally {
                    hits: sum.hits,
                    events: sum.events,
                    above: limit,
                })
            }
            (Gathered::Columns(window), Shape::Histogram { q }) => {
                let histogram = Histogram::new(&page.known(self.picks[0]).bounds, &window.sum())?;
                Some(Tally {
                    hits: histogram.above(limit),
                    events: histogram.total(),
                    above: 1.0 - q,
                })
            }
            (Gathered::Latencies(latencies), Shape::Latency { q }) => Some(Tally {
                hits: latencies.above(limit, or_equal) as f64,
                events: latencies.len() as f64,
                above: 1.0 - q,
            }),
            _ => None,
        }
    }

    /// What the window has counted, to be held against a baseline's counts or
    /// kept as one.
    pub(super) fn counted(&self, page: &Page) -> Counted {
        match (&self.gathered, self.shape) {
            (Gathered::Counts(window), Shape::Ratio) => {
                let sum = window.sum();
                Counted::Ratio {
                    hits: sum.hits,
                    events: sum.events,
                }
            }
            (Gathered::Columns(window), Shape::Histogram { q }) => {
                let bounds = &page.known(self.picks[0]).bounds;
                match Histogram::new(bounds, &window.sum()) {
                    Some(histogram) => Counted::Quantile {
                        q,
                        spread: histogram.into_spread(),
                    },
                    None => Counted::Nothing,
                }
            }
            (Gathered::Latencies(latencies), Shape::Latency { q }) => Counted::Quantile {
                q,
                spread: latencies.spread(),
            },
            _ => Counted::Nothing,
        }
    }

    /// What a value over `span` comes to over this line's window: events add up,
    /// whatever else a signal is does not.
    pub(super) fn over_window(&self, value: f64, span: Duration) -> f64 {
        match self.shape {
            Shape::Increase | Shape::Count => value * self.span.div_duration_f64(span),
            _ => value,
        }
    }

    /// The selector that must have matched by now and never did.
    pub(super) fn never_matched<'s>(&self, source: &'s SourceState) -> Option<&'s str> {
        // `of` without a series is 0; everything else must have been seen.
        let pick = source.page.known(*self.picks.last()?);
        (!pick.matched).then(|| pick.selector.text())
    }

    /// SPEC 3: scrapes cover at least 80% of the window, and no series falls in
    /// more than a quarter of them.
    fn covered(&self, cover: Cover) -> Result<(), NoReading> {
        if cover.time() < enough_of(self.span) {
            return Err(NoReading::Uncovered {
                covered: cover.time(),
                window: self.span,
            });
        }
        let quarter = cover.scrapes as usize / 4;
        if self.falls.len() <= quarter {
            return Ok(());
        }
        let mut counts = BTreeMap::new();
        for (_, series) in &self.falls {
            *counts.entry(series).or_insert(0_usize) += 1;
        }
        match counts.into_iter().find(|&(_, n)| n > quarter) {
            Some((series, _)) => Err(NoReading::SeveralProcesses(series.to_string())),
            None => Ok(()),
        }
    }
}

/// How much of a window has to be covered: 80% (SPEC 3).
pub(super) const fn enough_of(window: Duration) -> Duration {
    Duration::from_millis(millis(window).saturating_mul(4).div_ceil(5))
}

impl Shape {
    fn nothing(self) -> Gathered {
        match self {
            Self::Ratio | Self::Rate | Self::Increase | Self::Count => {
                Gathered::Counts(Window::default())
            }
            Self::Histogram { .. } => Gathered::Columns(Window::default()),
            Self::Latency { .. } => Gathered::Latencies(Latencies::default()),
            Self::Value { .. } | Self::Age | Self::Query | Self::Flag => Gathered::Gauge {
                window: Window::default(),
                last: None,
            },
        }
    }

    const fn has_window(self) -> bool {
        matches!(
            self,
            Self::Value {
                over: Over::Avg | Over::Max | Over::Min,
                ..
            }
        )
    }

    /// A page's gauges as one number.
    fn combine(self, brought: &Yield) -> Result<f64, NoReading> {
        let numbers = &brought.numbers;
        let one = match self {
            Self::Value { by, .. } => numbers.by(by),
            _ => numbers.least(),
        };
        one.ok_or_else(|| {
            if brought.not_finite {
                NoReading::NotFinite
            } else {
                NoReading::NotSampled(Some("no such series on the last page".to_owned()))
            }
        })
    }
}

/// What a page brought for the first and the last of these selectors, and since
/// when; `None` when it was the first in which one of them was in force.
fn brought<'p>(page: &'p Page, picks: &[usize]) -> Option<(Moment, &'p Yield, &'p Yield)> {
    let first = page.brought(*picks.first()?)?;
    let last = page.brought(*picks.last()?)?;
    Some((first.since?.max(last.since?), first, last))
}

fn evidence(hits: Option<f64>, events: f64, cover: Cover) -> Evidence {
    Evidence {
        hits,
        events,
        scrapes: cover.scrapes,
        covers: cover.time(),
    }
}

fn exactly(value: f64, evidence: Evidence) -> Result<Reading, NoReading> {
    if value.is_finite() {
        Ok(Reading {
            value: Value::Exactly(value),
            evidence,
        })
    } else {
        Err(NoReading::NotFinite)
    }
}
