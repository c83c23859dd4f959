//! Classic histograms: the increase of each bucket, and what they say of a
//! quantile.
//!
//! Follows Prometheus's `histogram_quantile` (`promql/quantile.go`,
//! `BucketQuantile`): linear inside a bucket, from 0 in the first bucket when
//! its bound is positive, counts made monotone first. It differs in one thing:
//! where the answer lies in the `+Inf` bucket, Prometheus returns the highest
//! finite bound as if it were the value; here it is *above the top*.
//!
//! Native histograms are not understood.

use serde::{Deserialize, Serialize};

use super::packed::{Pack, Packed, Unpacking};
use super::spread::Spread;
use super::window::{Cover, Summary, plus};
use crate::model::Value;

/// The increase of each bucket, by column (the order in which the bounds were
/// first seen), over one or several scrapes. A missing column is 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Columns {
    pub(super) counts: Vec<f64>,
    pub(super) cover: Cover,
}

impl Pack for Columns {
    fn pack(&self, into: &mut Packed) {
        self.cover.pack(into);
        into.whole(self.counts.len() as u64);
        self.counts.iter().for_each(|&count| into.float(count));
    }

    fn unpack(from: &mut Unpacking<'_>) -> Self {
        let cover = Cover::unpack(from);
        let columns = from.whole();
        // Each takes a byte at least.
        let columns = columns.min(from.left() as u64);
        Self {
            counts: (0..columns).map(|_| from.float()).collect(),
            cover,
        }
    }
}

impl Summary for Columns {
    fn add(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0.0);
        }
        for (a, b) in self.counts.iter_mut().zip(&other.counts) {
            *a = plus(*a, *b);
        }
        self.cover.add(other.cover);
    }
}

/// Upper bounds of buckets by column. `None` is `+Inf`, which JSON cannot hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Bounds {
    columns: Vec<Option<f64>>,
    /// Columns from the lowest bound to the highest.
    sorted: Vec<usize>,
}

/// Most bounds of one histogram. Who sends more sends no histogram.
const MOST_BOUNDS: usize = 1000;

impl Bounds {
    /// The column of the bucket with this `le` label: `1` and `1.0` are the
    /// same. `None` where it is no bound, or one too many.
    pub(super) fn column(&mut self, le: &str) -> Option<usize> {
        let bound = match le.parse::<f64>() {
            Ok(x) if x.is_finite() => Some(x),
            Ok(x) if x == f64::INFINITY => None,
            _ => return None,
        };
        if let Some(known) = self.columns.iter().position(|b| *b == bound) {
            return Some(known);
        }
        if self.columns.len() == MOST_BOUNDS {
            return None;
        }
        let column = self.columns.len();
        self.columns.push(bound);
        self.sorted.push(column);
        let key = |i: &usize| self.columns[*i].unwrap_or(f64::INFINITY);
        self.sorted.sort_by(|a, b| key(a).total_cmp(&key(b)));
        Some(column)
    }

    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }
}

/// A histogram over a window: cumulative counts made monotone.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    /// Finite bounds, rising, with the events at or below each.
    buckets: Vec<(f64, f64)>,
    total: f64,
}

impl Histogram {
    /// `None` when there is no `+Inf` bucket, or nothing beside it.
    pub(super) fn new(bounds: &Bounds, columns: &Columns) -> Option<Self> {
        let mut most = 0.0_f64;
        let mut buckets = Vec::with_capacity(bounds.len());
        let mut total = None;
        for &column in &bounds.sorted {
            let count = columns.counts.get(column).copied().unwrap_or(0.0);
            most = most.max(count);
            match bounds.columns[column] {
                Some(bound) => buckets.push((bound, most)),
                None => total = Some(most),
            }
        }
        (!buckets.is_empty()).then_some(Self {
            buckets,
            total: total?,
        })
    }

    /// Events in the window.
    pub(super) const fn total(&self) -> f64 {
        self.total
    }

    /// How the events spread over the buckets.
    pub(super) fn into_spread(self) -> Spread {
        Spread {
            steps: self.buckets,
            events: self.total,
        }
    }

    /// The value below which a fraction `q` of the events lies; `None` without
    /// events.
    pub(super) fn quantile(&self, q: f64) -> Option<Value> {
        if self.total <= 0.0 {
            return None;
        }
        let rank = q * self.total;
        let Some(i) = self.buckets.iter().position(|&(_, count)| count >= rank) else {
            return self.buckets.last().map(|&(top, _)| Value::AboveTop(top));
        };
        let (end, count) = self.buckets[i];
        let (start, below) = match i {
            0 if end <= 0.0 => return Some(Value::Exactly(end)),
            0 => (0.0, 0.0),
            i => self.buckets[i - 1],
        };
        let share = (rank - below) / (count - below);
        let value = (end - start).mul_add(share, start);
        // A quantile of almost 0 in an empty first bucket has no share.
        Some(Value::Exactly(if value.is_finite() { value } else { end }))
    }

    /// The events above a limit, interpolated inside a bucket and rounded down.
    /// Where the histogram cannot tell, those that are above for certain.
    pub(super) fn above(&self, limit: f64) -> f64 {
        let Some(i) = self.buckets.iter().position(|&(bound, _)| bound >= limit) else {
            // In the `+Inf` bucket: they may all be below the limit.
            return 0.0;
        };
        let (end, count) = self.buckets[i];
        let (start, below) = match i {
            0 if end <= 0.0 => (end, count),
            0 => (0.0, 0.0),
            i => self.buckets[i - 1],
        };
        let share = if end > start {
            ((limit - start) / (end - start)).clamp(0.0, 1.0)
        } else {
            1.0
        };
        let at_or_below = (count - below).mul_add(share, below);
        (self.total - at_or_below).floor().max(0.0)
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "whole counts and closed forms are exact")]
mod tests {
    use super::*;

    fn histogram(buckets: &[(&str, f64)]) -> Option<Histogram> {
        let mut bounds = Bounds::default();
        let mut columns = Columns::default();
        for &(le, count) in buckets {
            let column = bounds.column(le).unwrap();
            columns.counts.resize(bounds.len(), 0.0);
            columns.counts[column] += count;
        }
        Histogram::new(&bounds, &columns)
    }

    #[test]
    fn quantiles_agree_with_prometheus() {
        // Expectations from promqltest/testdata/histograms.test: positive
        // buckets 0.1:5 0.2:+2 1e0:+1 +Inf:+4, negative -.2:1 -0.1:+1 0.3:+2.
        let positive = &[("0.1", 50.0), (".2", 70.0), ("1e0", 110.0), ("+Inf", 120.0)];
        let negative = &[("-.2", 10.0), ("-0.1", 20.0), ("0.3", 20.0), ("+Inf", 30.0)];
        for (buckets, q, expected) in [
            (positive, 0.01, Value::Exactly(0.0024)),
            (positive, 0.5, Value::Exactly(0.15)),
            (positive, 0.99, Value::AboveTop(1.0)),
            (positive, 0.75, Value::Exactly(0.6)),
            (negative, 0.01, Value::Exactly(-0.2)),
            (negative, 0.5, Value::Exactly(-0.15)),
            (negative, 0.9, Value::AboveTop(0.3)),
        ] {
            let found = histogram(buckets).unwrap().quantile(q).unwrap();
            match (found, expected) {
                (Value::Exactly(a), Value::Exactly(b)) => assert!((a - b).abs() < 1e-12, "{a} {b}"),
                (a, b) => assert_eq!(a, b, "{q}"),
            }
        }
    }

    #[test]
    fn counts_that_fall_from_bucket_to_bucket_are_repaired() {
        let broken = histogram(&[("1", 10.0), ("2", 8.0), ("3", 20.0), ("+Inf", 19.0)]).unwrap();
        let mended = histogram(&[("1", 10.0), ("2", 10.0), ("3", 20.0), ("+Inf", 20.0)]).unwrap();
        for q in [0.1, 0.5, 0.9] {
            assert_eq!(broken.quantile(q), mended.quantile(q));
        }
    }

    #[test]
    fn one_bound_in_two_spellings_is_one_bucket() {
        let twice = histogram(&[("1", 3.0), ("1.0", 4.0), ("+Inf", 7.0)]).unwrap();
        assert_eq!(twice.above(1.0), 0.0);
        assert_eq!(twice.total(), 7.0);
    }

    #[test]
    fn what_is_no_histogram_has_no_quantile() {
        assert!(histogram(&[("1", 3.0), ("2", 4.0)]).is_none());
        assert!(histogram(&[("+Inf", 4.0)]).is_none());
        assert!(
            histogram(&[("1", 0.0), ("+Inf", 0.0)])
                .unwrap()
                .quantile(0.5)
                .is_none()
        );
        assert_eq!(Bounds::default().column("NaN"), None);
        assert_eq!(Bounds::default().column(""), None);
    }

    #[test]
    fn events_above_a_limit_are_interpolated_and_rounded_down() {
        let h = histogram(&[("1", 10.0), ("2", 15.0), ("+Inf", 18.0)]).unwrap();
        for (limit, above) in [
            (-1.0, 18.0),
            (0.0, 18.0),
            (0.5, 13.0),
            (1.0, 8.0),
            (1.5, 5.0),
            (2.0, 3.0),
            (2.1, 0.0),
        ] {
            assert_eq!(h.above(limit), above, "{limit}");
        }
    }
}
