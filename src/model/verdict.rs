//! What a trigger's condition says at one tick: clear, breach or blind. Never a
//! bool, because "I cannot judge" is neither.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Evidence, NoReading, Value};

/// The answer of a condition at a tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Verdict {
    /// The condition is not met.
    Clear,
    /// The condition is met.
    Breach,
    /// It cannot be judged. Names the signal or source and why.
    Blind {
        /// The signal or source that has no reading.
        subject: String,
        /// Why.
        why: NoReading,
    },
}

impl Verdict {
    /// Whether this is a breach.
    #[must_use]
    pub const fn is_breach(&self) -> bool {
        matches!(self, Self::Breach)
    }

    /// Whether the tick was judged at all.
    #[must_use]
    pub const fn is_judged(&self) -> bool {
        !matches!(self, Self::Blind { .. })
    }
}

/// One test of a condition as it stood at a tick: what a person is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The test as the policy has it: `error_rate > 5%`, `web is down`.
    pub test: String,
    /// The signal or source.
    pub subject: String,
    /// The signal's value; absent for sources and when there is no reading.
    pub value: Option<Value>,
    /// The value's unit, for display.
    pub unit: super::Unit,
    /// The limit in the same unit (a baseline's multiple resolved); absent for
    /// sources and flags.
    pub limit: Option<f64>,
    /// What the limit is a multiple of, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// The signal's window in milliseconds; zero for sources.
    pub window_ms: u64,
    /// What the value rests on.
    pub evidence: Option<Evidence>,
    /// The test's own verdict.
    pub verdict: Verdict,
    /// The proof over the whole hold, for tests that need one.
    pub proof: Option<Proof>,
}

/// What a signal was before the running release: its reading over the last hour
/// of the last good one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// How many times the baseline the limit is; more than 0.
    pub factor: f64,
    /// The baseline, in the signal's base unit.
    pub value: f64,
    /// For a ratio, the events of that hour counted by `of`.
    pub hits: Option<f64>,
    /// The events of that hour, for what is counted.
    pub events: Option<f64>,
    /// The release that ran.
    pub release: Arc<str>,
}

/// Whether the counts of a whole hold prove that a limit was exceeded (SPEC 3,
/// *Proof*). The bound that they give is [`crate::judge::bound`], and against a
/// baseline [`crate::judge::least_factor`]: it takes far longer to find than to
/// compare, and nearly no tick's is ever read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// Events that speak for the breach.
    pub hits: f64,
    /// Events counted.
    pub events: f64,
    /// How sure the bound has to be, in [0, 1); 0 switches it off.
    pub confidence: f64,
    /// What the one-sided lower confidence bound of `hits / events` has to
    /// exceed: the limit, or 1 − q for a quantile.
    pub above: f64,
    /// The least number of events.
    pub min_events: u64,
    /// Whether it is proven.
    pub proven: bool,
    /// The other side, where the limit is a multiple of a baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<Against>,
}

/// The baseline's side of a proof. With it, proven means that the signal is more
/// than `factor` times what it was: both sides are counts, and both may err.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// How many times the baseline has to be exceeded.
    pub factor: f64,
    /// Of the baseline's events those that are like [`Proof::hits`].
    pub hits: f64,
    /// The baseline's events.
    pub events: f64,
    /// For a quantile, between which bounds it was and is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Moved>,
}

/// How far a quantile has moved, in its base unit. Together the two bounds hold
/// with the proof's confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// The baseline was at most this; absent when its counts do not say.
    pub from_at_most: Option<f64>,
    /// It is above this now; absent when the counts do not say.
    pub to_above: Option<f64>,
    /// The hits are the events above this.
    pub cut: f64,
}
