//! Values derived from samples: the signals of a policy.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Selector, Series, Unit};

/// A value derived from a source over a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// The source it reads.
    pub source: String,
    /// How it is computed.
    pub kind: SignalKind,
    /// Over how long; at least two intervals of its source.
    pub window: Duration,
    /// What its numbers are.
    pub unit: Unit,
}

impl Signal {
    /// The name that its source is told of, for signals that are told.
    #[must_use]
    pub fn told_name(&self) -> Option<&str> {
        match &self.kind {
            SignalKind::Count(of) | SignalKind::Flag { of, .. } | SignalKind::Value { of, .. } => {
                of.name()
            }
            SignalKind::Ratio { .. }
            | SignalKind::Rate(_)
            | SignalKind::Increase(_)
            | SignalKind::Histogram { .. }
            | SignalKind::Latency { .. }
            | SignalKind::Age { .. }
            | SignalKind::Query { .. } => None,
        }
    }
}

/// The kinds of signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SignalKind {
    /// increase(of) ÷ increase(to).
    Ratio {
        /// The part.
        of: Selector,
        /// The whole.
        to: Selector,
    },
    /// Increase per second.
    Rate(Selector),
    /// Events in the window.
    Increase(Selector),
    /// A quantile of a classic histogram.
    Histogram {
        /// Which quantile, in (0, 1).
        q: f64,
        /// Selects the `…_bucket` series.
        buckets: Selector,
    },
    /// A quantile of a probe's or connection's latency, exact.
    Latency {
        /// Which quantile, in (0, 1).
        q: f64,
    },
    /// A gauge.
    Value {
        /// Which.
        of: Selector,
        /// How several series are combined.
        by: By,
        /// How the window is combined.
        over: Over,
    },
    /// Now − the gauge, read as Unix seconds.
    Age {
        /// Which; of several series the oldest counts.
        of: Selector,
    },
    /// One number that a Prometheus answers.
    Query {
        /// The query, in PromQL.
        promql: String,
        /// The series that the answer is kept as: see [`asked_as`].
        of: Selector,
    },
    /// Events that a source was told of in the window. Unlike an increase it
    /// needs no coverage: none can be missed.
    Count(Selector),
    /// Set or not, as a source was told.
    Flag {
        /// Which.
        of: Selector,
        /// How long it stays set when nobody clears it; `None` is for ever.
        ttl: Option<Duration>,
    },
}

/// The series that the answers to a signal's query are kept as, live and in a
/// recording: `backstop_query{signal="NAME"}`.
#[must_use]
pub fn asked_as(signal: &str) -> Series {
    let labels = vec![("signal".to_owned(), signal.to_owned())];
    Series::new("backstop_query", labels)
}

impl SignalKind {
    /// What it reads of its source's series; nothing of a latency.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        let (of, to) = match self {
            Self::Ratio { of, to } => (Some(of), Some(to)),
            Self::Rate(of)
            | Self::Increase(of)
            | Self::Histogram { buckets: of, .. }
            | Self::Value { of, .. }
            | Self::Age { of }
            | Self::Query { of, .. }
            | Self::Count(of)
            | Self::Flag { of, .. } => (Some(of), None),
            Self::Latency { .. } => (None, None),
        };
        of.into_iter().chain(to)
    }
}

/// How several series of a gauge are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum By {
    Max,
    Min,
    Sum,
    Avg,
}

/// How a gauge's window is combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Over {
    Last,
    Avg,
    Max,
    Min,
}
