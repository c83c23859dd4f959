//! What came of sampling a source once: samples, an answer, or a gap with its
//! reason. Never a zero that stands for "I do not know".

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Series;

/// One series' value in one scrape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Which series. Shared: a source hands out the same `Arc` for the same
    /// series scrape after scrape, which makes looking it up a pointer compare.
    pub series: Arc<Series>,
    /// Its value as it stood on the page; may be NaN or infinite.
    pub value: f64,
}

/// What came of sampling a source for one tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// A page was read whole: the selected series on it, in the page's order.
    /// An empty list is a page without them, which is neither zero errors nor
    /// all errors.
    Scraped(Vec<Sample>),
    /// Queries were answered, at least one of them or none without a fault.
    Answered {
        /// The numbers, one for each query that gave one.
        samples: Vec<Sample>,
        /// Why the others gave none, by their signal.
        faults: BTreeMap<String, Gap>,
    },
    /// A probe or a connection was answered.
    Probed {
        /// From the start of the attempt to the end of the answer.
        latency: Duration,
        /// `None` when the answer was the expected one, else why it was not.
        fault: Option<Gap>,
    },
    /// Nothing could be read; the reason says whose fault that looks like.
    Failed(Gap),
}

impl Outcome {
    /// Whether the source answered as it should.
    #[must_use]
    pub fn gap(&self) -> Option<&Gap> {
        match self {
            Self::Scraped(_) => None,
            Self::Answered { faults, .. } => faults.values().next(),
            Self::Probed { fault, .. } => fault.as_ref(),
            Self::Failed(gap) => Some(gap),
        }
    }
}

/// Why a sample is missing or not good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The kind, for counting and for telling blindness from a fault.
    pub kind: GapKind,
    /// A short sentence for people, without the URL: `connection refused`,
    /// `status 503`, `not an exposition at line 7: …`.
    pub detail: String,
}

/// The kinds of failure of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapKind {
    /// The connection was refused.
    Refused,
    /// No answer, or no whole answer, within the source's timeout.
    TimedOut,
    /// The connection broke.
    Reset,
    /// The TLS handshake failed.
    Tls,
    /// An HTTP status that was not expected.
    Status,
    /// A redirect to another host, or more than three.
    Redirect,
    /// The body is not what it should be (not an exposition, not JSON).
    Malformed,
    /// The body ended before its announced end.
    Truncated,
    /// The body, decompressed, or its head is larger than the limit.
    TooLarge,
    /// The answer came but does not meet the probe's expectation.
    Expectation,
    /// The agent's own network has no way there.
    NoRoute,
    /// The name could not be resolved.
    Unresolved,
    /// The agent's own host is broken: its self-check failed.
    Own,
    /// A check did not check: it said that it could not, or could not be run.
    Unknown,
    /// Something else failed; the detail says what.
    Other,
}

impl GapKind {
    /// Stable name, as metrics and JSON have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Reset => "reset",
            Self::Tls => "tls",
            Self::Status => "status",
            Self::Redirect => "redirect",
            Self::Malformed => "malformed",
            Self::Truncated => "truncated",
            Self::TooLarge => "too_large",
            Self::Expectation => "expectation",
            Self::NoRoute => "no_route",
            Self::Unresolved => "unresolved",
            Self::Own => "own",
            Self::Unknown => "unknown",
            Self::Other => "other",
        }
    }
}

impl Gap {
    /// A gap of this kind, with a detail for people.
    #[must_use]
    pub fn new(kind: GapKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
        }
    }

    /// Whether this says nothing about the service, but something about the
    /// agent's side or about the check: such a sample never counts towards
    /// *down*.
    #[must_use]
    pub const fn is_blindness(&self) -> bool {
        matches!(
            self.kind,
            GapKind::NoRoute | GapKind::Unresolved | GapKind::Own | GapKind::Unknown
        )
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}
