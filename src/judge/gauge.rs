//! Gauges: several series made one number, and several scrapes made one.
//!
//! A series that is NaN or infinite on a page counts as absent from it, like a
//! counter; only when nothing else is left is the gauge *not finite*.

use serde::{Deserialize, Serialize};

use super::packed::{Pack, Packed, Unpacking};
use super::window::{Summary, plus};
use crate::model::{By, Over};

/// Finite numbers, summed up in all the ways a gauge may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Numbers {
    pub(super) count: u32,
    sum: f64,
    max: f64,
    min: f64,
}

impl Numbers {
    /// One number, which must be finite.
    pub(super) const fn one(x: f64) -> Self {
        Self {
            count: 1,
            sum: x,
            max: x,
            min: x,
        }
    }

    /// The least; `None` without numbers.
    pub(super) fn least(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// Several series as one number.
    pub(super) fn by(&self, by: By) -> Option<f64> {
        (self.count > 0).then(|| match by {
            By::Max => self.max,
            By::Min => self.min,
            By::Sum => self.sum,
            By::Avg => self.sum / f64::from(self.count),
        })
    }

    /// Several scrapes as one number; `Last` is not a sum and has no answer
    /// here.
    pub(super) fn over(&self, over: Over) -> Option<f64> {
        match over {
            Over::Last => None,
            Over::Avg => self.by(By::Avg),
            Over::Max => self.by(By::Max),
            Over::Min => self.by(By::Min),
        }
    }
}

impl Pack for Numbers {
    fn pack(&self, into: &mut Packed) {
        into.whole(self.count.into());
        into.float(self.sum);
        // In a window there is one number a scrape.
        if self.count > 1 {
            into.float(self.max);
            into.float(self.min);
        }
    }

    fn unpack(from: &mut Unpacking<'_>) -> Self {
        let count = u32::try_from(from.whole()).unwrap_or(u32::MAX);
        let sum = from.float();
        let (max, min) = if count > 1 {
            (from.float(), from.float())
        } else {
            (sum, sum)
        };
        Self {
            count,
            sum,
            max,
            min,
        }
    }
}

impl Summary for Numbers {
    fn add(&mut self, other: &Self) {
        *self = match (self.count, other.count) {
            (_, 0) => *self,
            (0, _) => *other,
            _ => Self {
                count: self.count.saturating_add(other.count),
                sum: plus(self.sum, other.sum),
                max: self.max.max(other.max),
                min: self.min.min(other.min),
            },
        };
    }
}
