//! What a signal was before the running release: the value that limits are
//! multiples of, and the counts that tell a difference from chance.
//!
//! It is taken from the last hour of a good release, when another one takes its
//! place. Of a ratio its two counts are kept, of a quantile the bounds from it
//! upward (`spread`), at most a hundred: what a test needs, and no more, since
//! every snapshot holds it. What is not counted keeps its value alone and is
//! compared with nothing but that.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::condition::Burden;
use super::regression::{Share, is_worse, least_events, moved};
use super::spread::Spread;
use crate::model::{self, Against, NoReading, Proof};

/// What was counted in a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Counted {
    /// Nothing that a difference could be proven on.
    Nothing,
    Ratio {
        hits: f64,
        events: f64,
    },
    Quantile {
        q: f64,
        spread: Spread,
    },
}

/// A signal over the last hour of a good release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Baseline {
    pub(super) value: f64,
    counted: Counted,
    release: Arc<str>,
}

impl Baseline {
    pub(super) fn new(value: f64, counted: Counted, release: &str) -> Self {
        Self {
            value,
            counted: match counted {
                Counted::Quantile { q, spread } => Counted::Quantile {
                    q,
                    spread: spread.upward(q),
                },
                counted => counted,
            },
            release: release.into(),
        }
    }

    /// What a person is shown of it. `value` is that of the hour, or what it
    /// comes to over the signal's window.
    pub(super) fn shown(&self, factor: f64, value: f64) -> model::Baseline {
        let (hits, events) = match &self.counted {
            Counted::Nothing => (None, None),
            Counted::Ratio { hits, events } => (Some(*hits), Some(*events)),
            Counted::Quantile { spread, .. } => (None, Some(spread.events)),
        };
        model::Baseline {
            factor,
            value,
            hits,
            events,
            release: Arc::clone(&self.release),
        }
    }

    /// Why nothing can be said against it, whatever comes. Without a burden it is
    /// only compared with, and may rest on little.
    pub(super) fn fault(&self, burden: Option<Burden>) -> Option<NoReading> {
        if self.value < 0.0 {
            return Some(NoReading::NegativeBaseline);
        }
        let burden = burden?;
        let least = burden.min_events as f64;
        let (events, needed) = match &self.counted {
            Counted::Nothing => return None,
            Counted::Ratio { events, .. } => (*events, least),
            Counted::Quantile { q, spread } => {
                let bounded = least_events(*q, burden.confidence);
                (spread.events, least.max(bounded))
            }
        };
        (events < needed).then_some(NoReading::ThinBaseline { events, needed })
    }

    /// Proves that what was counted over a whole hold is more than `factor`
    /// times this. `limit` is that multiple of the value.
    pub(super) fn prove(&self, now: &Counted, factor: f64, limit: f64, burden: Burden) -> Proof {
        let Burden {
            min_events,
            confidence,
        } = burden;
        let mut proof = Proof {
            hits: 0.0,
            events: 0.0,
            confidence,
            above: limit,
            min_events,
            proven: false,
            against: None,
        };
        let against = |hits, events, moved| {
            Some(Against {
                factor,
                hits,
                events,
                moved,
            })
        };
        let worse = match (now, &self.counted) {
            (
                &Counted::Ratio { hits, events },
                &Counted::Ratio {
                    hits: before,
                    events: all,
                },
            ) => {
                proof.hits = hits;
                proof.events = events;
                proof.against = against(before, all, None);
                let now = Share { hits, events };
                let baseline = Share {
                    hits: before,
                    events: all,
                };
                hits <= events && is_worse(now, baseline, factor, confidence)
            }
            (Counted::Quantile { q, spread }, Counted::Quantile { spread: before, .. }) => {
                let (moved, worse) = moved(spread, before, *q, factor, confidence);
                proof.hits = spread.above(moved.cut);
                proof.events = spread.events;
                proof.above = 1.0 - q;
                proof.against = against(before.above(moved.cut), before.events, Some(moved));
                worse
            }
            _ => false,
        };
        proof.proven = worse && proof.events > 0.0 && proof.events >= min_events as f64;
        proof
    }
}
