//! A signal's value at one tick with its evidence, or the reason why there is
//! none.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A signal's value at a tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The value, in the signal's base unit (a fraction, seconds, events per
    /// second, bytes, or a plain number).
    pub value: Value,
    /// What it rests on.
    pub evidence: Evidence,
}

/// A number, or as much as a histogram can say of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// The value. Always finite.
    Exactly(f64),
    /// A quantile that lies in the `+Inf` bucket: above the top finite bound.
    AboveTop(f64),
}

/// What a reading rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// For a ratio, the events counted by `of`; else absent.
    pub hits: Option<f64>,
    /// Events in the window: a ratio's `to`, a histogram's count, an increase;
    /// for gauges and probes the samples used.
    pub events: f64,
    /// Samples of the source in the window.
    pub scrapes: u32,
    /// The time that those samples cover.
    pub covers: Duration,
}

/// Why a signal has no reading at a tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum NoReading {
    /// The source has no good sample within its interval; the reason is the
    /// last failure, if one is known.
    NotSampled(Option<String>),
    /// The scrapes of the window cover less than 80% of it.
    Uncovered {
        /// What they cover.
        covered: Duration,
        /// The window.
        window: Duration,
    },
    /// A query was asked and gave no number, with the reason.
    NoNumber(String),
    /// The denominator did not grow: no events in the window.
    NoEvents,
    /// The selector has never matched a series.
    NeverMatched(String),
    /// A series falls in more than a quarter of the window's scrapes: several
    /// processes answer behind one address.
    SeveralProcesses(String),
    /// More hits than events: `of` is not a part of `to`.
    HitsExceedEvents {
        /// Counted by `of`.
        hits: f64,
        /// Counted by `to`.
        events: f64,
    },
    /// The page's value is NaN or infinite.
    NotFinite,
    /// The histogram has no `+Inf` bucket, or fewer than two buckets.
    NotAHistogram,
    /// The wall clock moved against the monotonic one by more than 2 s.
    ClockMoved,
    /// No good release has run long enough to give a baseline.
    NoBaseline,
    /// The baseline rests on too few events to compare anything with.
    ThinBaseline {
        /// Events of its hour.
        events: f64,
        /// How many would be needed.
        needed: f64,
    },
    /// The baseline is below 0: a multiple of it is no limit.
    NegativeBaseline,
    /// Fewer samples than `fail_after` or `pass_after` agree.
    Undecided {
        /// How many samples in a row agree.
        agree: u32,
        /// How many would be needed.
        needed: u32,
    },
    /// Above the histogram's top bound, which is below the limit.
    AboveTop(f64),
    /// The agent's own host or network is at fault.
    Own(String),
    /// Nobody has said what it is.
    NeverSaid,
    /// It was said before the running release was deployed or rolled back to,
    /// and has not been said again since.
    SaidBefore,
}

impl NoReading {
    /// Whether this is only the absence of traffic, which neither alarms
    /// anybody nor keeps a release from being found good.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        matches!(
            self,
            Self::NoEvents | Self::NeverMatched(_) | Self::NeverSaid
        )
    }

    /// Whether a release may be found good all the same: what is quiet, and a
    /// baseline, which there is only once one was.
    #[must_use]
    pub const fn lets_prove(&self) -> bool {
        self.is_quiet() || self.lacks_baseline()
    }

    /// Whether there is nothing to compare with. Somebody should hear that a row
    /// guards nothing; but it keeps no release from being found good, because
    /// without a good release there never is a baseline.
    #[must_use]
    pub const fn lacks_baseline(&self) -> bool {
        matches!(
            self,
            Self::NoBaseline | Self::ThinBaseline { .. } | Self::NegativeBaseline
        )
    }
}

/// `12.3s` rather than `12s 345ms 678us`.
pub(crate) struct Short(pub(crate) Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        if ms < 10_000 && !ms.is_multiple_of(1000) {
            return if ms < 1000 {
                write!(f, "{ms}ms")
            } else {
                write!(f, "{}.{}s", ms / 1000, ms % 1000 / 100)
            };
        }
        let s = ms / 1000;
        let (d, h, m, s) = (s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60);
        let mut said = false;
        for (n, unit) in [(d, "d"), (h, "h"), (m, "m"), (s, "s")] {
            if n > 0 {
                write!(f, "{n}{unit}")?;
                said = true;
            }
        }
        if said { Ok(()) } else { f.write_str("0s") }
    }
}

impl fmt::Display for NoReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSampled(None) => f.write_str("the source has not been sampled"),
            Self::NotSampled(Some(why)) => write!(f, "the source was not sampled: {why}"),
            Self::Uncovered { covered, window } => write!(
                f,
                "the window is not full: {} of {} covered",
                Short(*covered),
                Short(*window)
            ),
            Self::NoNumber(why) => write!(f, "the query gave no number: {why}"),
            Self::NoEvents => f.write_str("no events in the window"),
            Self::NeverSaid => f.write_str("nobody has said what it is"),
            Self::SaidBefore => f.write_str(
                "it was said of the release before; clear it, or say it again of this one",
            ),
            Self::NeverMatched(selector) => write!(f, "`{selector}` has never matched a series"),
            Self::SeveralProcesses(series) => write!(
                f,
                "`{series}` falls again and again: several processes answer behind one address"
            ),
            Self::HitsExceedEvents { hits, events } => {
                write!(f, "{hits} of {events} events: `of` is not a part of `to`")
            }
            Self::NotFinite => f.write_str("the value is not a finite number"),
            Self::NotAHistogram => f.write_str("no histogram: it has no `+Inf` bucket"),
            Self::ClockMoved => f.write_str("the wall clock was set"),
            Self::NoBaseline => f.write_str("no baseline of a good release is known"),
            Self::ThinBaseline { events, needed } => {
                write!(f, "the baseline has {events} events, {needed} are needed")
            }
            Self::NegativeBaseline => {
                f.write_str("the baseline is below 0: no multiple of it is a limit")
            }
            Self::Undecided { agree, needed } => {
                write!(f, "{agree} of {needed} samples in a row agree")
            }
            Self::AboveTop(top) => {
                write!(f, "above the histogram's top bound {top}, below the limit")
            }
            Self::Own(why) => write!(f, "the agent's own host: {why}"),
        }
    }
}
